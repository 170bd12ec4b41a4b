//! Records as the remote writes them, and rows as it takes them.

use std::borrow::Cow;
use std::collections::HashMap;

use headwater_sdk::{DeliveryRow, Error, ErrorKind, Fields, RemoteRecord, Result};

use super::DeclarativeSink;
use super::fields::Described;
use super::outcome::refused;
use crate::engine::plan::Requester;
use crate::engine::{self, Evaluate as _, Map, Value};
use crate::language::compile::{FieldPlan, FirstPlan};
use crate::language::evaluate::Placed;
use crate::language::spec::SinkType;

/// How deep a record's objects are looked into for fields.
const MAX_DEPTH: usize = 4;

/// Records by the values that they hold in one field: a search for a thousand people must not compare each with each.
#[derive(Debug, Default)]
pub(super) struct ByValue {
    records: Vec<Value>,
    places: HashMap<String, Vec<usize>>,
}

impl ByValue {
    /// The records that really hold a value.
    pub(super) fn holding(&self, value: &str) -> impl Iterator<Item = &Value> {
        let places = self.places.get(&fold(value)).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|place| self.records.get(*place))
    }
}

impl DeclarativeSink {
    /// Asks what may be asked again. Nothing when the remote knows of nothing there.
    pub(super) async fn ask(&self, what: &str, request: &Requester, more: &[(&str, &Value)]) -> Result<Option<Answered>> {
        let asked = self.executor.ask(request, more, false).await?;
        if self.refuses(asked.status, &asked.headers, &asked.body)? {
            return Err(refused(&format!("the remote refused a {what}")).context("request", request.name.clone()));
        }
        match asked.status {
            200..=299 => Ok(Some(Answered { headers: asked.headers, body: asked.body, status: asked.status })),
            404 | 410 if !matches!(what, "check" | "description") => Ok(None),
            404 | 410 if self.plan.missing.is_some() => Err(self.nothing_there()?),
            status => Err(refused(&format!("the remote refused a {what}"))
                .context("request", request.name.clone())
                .context("status", status.to_string())),
        }
    }

    /// What a request needs of another one's answer, beside what it knows already; nothing when the remote knows of nothing there.
    pub(super) async fn given(&self, first: &FirstPlan, name: &str, known: &Value) -> Result<Option<Value>> {
        let Some(answer) = self.ask("read", &first.request, &[(name, known)]).await? else { return Ok(None) };
        let scope = engine::Scope {
            response: Some(&answer.body),
            headers: Some(&answer.headers),
            status: Some(answer.status),
            ..self.scope()
        };
        let mut known = known.clone();
        for (name, value) in &first.give {
            match value.found(&scope)? {
                Some(value) if !value.is_null() => engine::set(&mut known, &[name], value),
                _ => return Ok(None),
            }
        }
        Ok(Some(known))
    }

    /// Whether an answer of a good status refuses nonetheless.
    pub(super) fn refuses(&self, status: u16, headers: &Value, body: &Value) -> Result<bool> {
        let scope = engine::Scope { response: Some(body), headers: Some(headers), status: Some(status), ..self.scope() };
        self.plan.refused.as_ref().map_or(Ok(false), |refused| refused.test(&scope))
    }

    /// The records that stand at a place of an answer.
    pub(super) fn listed(&self, answer: Option<&Answered>, from: &Placed) -> Result<Vec<Value>> {
        let Some(answer) = answer else { return Ok(Vec::new()) };
        let scope = engine::Scope {
            response: Some(&answer.body),
            headers: Some(&answer.headers),
            status: Some(answer.status),
            ..self.scope()
        };
        Ok(match from.found(&scope)? {
            Some(Value::List(records)) => records.into_iter().filter(|record| matches!(record, Value::Map(_))).collect(),
            Some(record @ Value::Map(_)) => vec![record],
            _ => Vec::new(),
        })
    }

    /// The remote's fields, by name, as far as it tells. Asked once: a sink lives for one run.
    pub(super) async fn described(&self) -> Result<&Described> {
        self.described.get_or_try_init(|| self.describe()).await
    }

    pub(super) fn keeps_our_id(&self, fields: &[(String, String)]) -> bool {
        fields.iter().any(|(name, _)| *name == self.plan.external_id) || self.plan.fields.contains_key(&self.plan.external_id)
    }

    /// A setting names what the remote does not have.
    fn nothing_there(&self) -> Result<Error> {
        let Some(missing) = &self.plan.missing else {
            return Ok(Error::new(ErrorKind::NotFound, "the remote knows of nothing there"));
        };
        let error = Error::new(ErrorKind::Config, missing.message.text(&self.scope())?).hint(missing.hint.clone());
        Ok(if missing.setting.is_empty() { error } else { error.context("path", missing.setting.clone()) })
    }

    /// Refuses fields that the remote lacks, where it tells which it has: some remotes pass over them without a word.
    pub(super) async fn check_fields(&self, rows: &[DeliveryRow]) -> Result<()> {
        let known = &self.described().await?.fields;
        let declared = |name: &String| self.plan.fields.contains_key(name) || known.iter().any(|(known, _)| known == name);
        match rows.iter().flat_map(|row| row.fields.keys()).find(|name| !declared(name)) {
            Some(name) if !known.is_empty() => {
                Err(Error::new(ErrorKind::Config, format!("the remote has no field `{name}` that can be written"))
                    .hint("make the field there, or map to another"))
            }
            Some(name) if !self.plan.other_fields => {
                Err(Error::new(ErrorKind::Config, format!("the sink writes no field `{name}`"))
                    .hint("map to another: the connector's README names them"))
            }
            _ => Ok(()),
        }
    }

    /// The id of a record.
    pub(super) fn id(&self, record: &Value) -> Result<String> {
        let id = self.plan.id.text(&self.scope().with_record(record))?;
        if id.is_empty() { Err(Error::new(ErrorKind::Protocol, "a record of the remote has no id")) } else { Ok(id) }
    }

    /// A field of a record as text; nothing where it is empty.
    pub(super) fn text(&self, record: &Value, name: &str) -> Result<Option<String>> {
        let value = match (self.plan.fields.get(name).and_then(|field| field.read.as_ref()), &self.plan.value) {
            (Some(read), _) => read.found(&self.scope().with_record(record))?,
            (None, None) => self.at(&*self.values(record)?, name).cloned(),
            (None, Some(value)) => match self.at(&*self.values(record)?, name) {
                Some(held) => self.valued(value, held)?,
                None => None,
            },
        };
        let flag = self.plan.fields.get(name).is_some_and(|field| field.kind == SinkType::Boolean);
        Ok(value.as_ref().filter(|value| flag || !self.is_empty(value)).and_then(plain))
    }

    /// Where a record has its fields.
    fn values<'a>(&self, record: &'a Value) -> Result<Cow<'a, Value>> {
        Ok(match &self.plan.values {
            None => Cow::Borrowed(record),
            Some(values) => Cow::Owned(values.value(&self.scope().with_record(record))?),
        })
    }

    /// The value of what stands under a field's name.
    fn valued(&self, value: &Placed, held: &Value) -> Result<Option<Value>> {
        let held = Value::Map([("value", held.clone())].into_iter().collect());
        value.found(&engine::Scope { more: &[("field", &held)], ..self.scope() })
    }

    /// Whether a value stands for none.
    fn is_empty(&self, value: &Value) -> bool {
        self.plan.empty.as_ref() == Some(value)
    }

    fn at<'a>(&self, record: &'a Value, name: &str) -> Option<&'a Value> {
        record.get(name).or_else(|| record.at(&self.path(name)))
    }

    fn path<'a>(&self, name: &'a str) -> Vec<&'a str> {
        if self.plan.nested { name.split('.').collect() } else { vec![name] }
    }

    /// Whether a record holds this value in the field.
    pub(super) fn holds(&self, record: &Value, name: &str, value: &str) -> Result<bool> {
        Ok(self.held(record, name)?.contains(&fold(value)))
    }

    /// The values that a record holds in a field, as they are compared.
    fn held(&self, record: &Value, name: &str) -> Result<Vec<String>> {
        let mut held: Vec<String> = self.text(record, name)?.iter().map(|text| fold(text)).collect();
        if let Some(all) = self.plan.fields.get(name).and_then(|field| field.all.as_ref()) {
            let all = all.found(&self.scope().with_record(record))?;
            let values = all.as_ref().and_then(Value::as_list).unwrap_or_default();
            held.extend(values.iter().filter_map(plain).map(|text| fold(&text)));
        }
        Ok(held)
    }

    /// Records by the values that they hold in a field.
    pub(super) fn by_value(&self, records: Vec<Value>, name: &str) -> Result<ByValue> {
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, record) in records.iter().enumerate() {
            for value in self.held(record, name)? {
                let places = places.entry(value).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        Ok(ByValue { records, places })
    }

    /// A record with all its fields as text.
    pub(super) fn remote(&self, record: &Value, matched_on: &str) -> Result<RemoteRecord> {
        let mut fields = Fields::new();
        let values = self.values(record)?;
        match &self.plan.value {
            None => self.flatten(&values, &mut String::new(), 0, &mut fields),
            Some(value) => {
                for (name, held) in values.as_map().into_iter().flat_map(Map::iter) {
                    if let Some(text) = self.valued(value, held)?.as_ref().filter(|held| !self.is_empty(held)).and_then(plain) {
                        fields.insert(name.to_owned(), Some(text));
                    }
                }
            }
        }
        for name in self.plan.fields.keys() {
            match self.text(record, name)? {
                Some(text) => drop(fields.insert(name.clone(), Some(text))),
                None => drop(fields.remove(name)),
            }
        }
        Ok(RemoteRecord { remote_id: self.id(record)?, fields, matched_on: matched_on.to_owned() })
    }

    fn flatten(&self, value: &Value, name: &mut String, depth: usize, fields: &mut Fields) {
        match value {
            Value::Map(map) if depth == 0 || self.plan.nested && depth < MAX_DEPTH => {
                for (key, member) in map.iter() {
                    let length = name.len();
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.push_str(key);
                    self.flatten(member, name, depth + 1, fields);
                    name.truncate(length);
                }
            }
            Value::List(_) | Value::Map(_) => {}
            value if self.is_empty(value) => {}
            value => {
                if let Some(text) = plain(value) {
                    fields.insert(name.clone(), Some(text));
                }
            }
        }
    }

    /// What of the row the record lacks; our id too, unless another stands there.
    pub(super) fn difference(&self, row: &DeliveryRow, record: &Value) -> Result<Fields> {
        let mut fields = Fields::new();
        for (name, value) in &row.fields {
            let value = value.as_deref().filter(|value| !value.is_empty());
            let same = match value {
                None => self.text(record, name)?.is_none(),
                Some(value) => self.same(record, name, value)?,
            };
            if !same {
                fields.insert(name.clone(), value.map(str::to_owned));
            }
        }
        if self.text(record, &self.plan.external_id)?.is_none() {
            fields.insert(self.plan.external_id.clone(), Some(row.prospect_id.clone()));
        }
        Ok(fields)
    }

    /// Whether somebody changed a field of the record since the row was planned, and not to what the row sets.
    pub(super) fn moved(&self, row: &DeliveryRow, record: &Value) -> Result<bool> {
        row.moved(|name, value| match value.map(str::trim).filter(|value| !value.is_empty()) {
            None => Ok(self.text(record, name)?.is_none()),
            Some(value) => self.same(record, name, value),
        })
    }

    fn same(&self, record: &Value, name: &str, value: &str) -> Result<bool> {
        let field = self.plan.fields.get(name);
        let held = self.text(record, name)?;
        Ok(match (field.map(|field| field.kind).unwrap_or_default(), held) {
            // A value among several is there already: the first of them must not be replaced by it.
            (_, _) if field.is_some_and(|field| field.all.is_some()) => self.holds(record, name, value)?,
            (_, None) => false,
            (SinkType::Text, Some(held)) => held == value.trim(),
            (SinkType::Number, Some(held)) => decimal(&held) == decimal(value),
            (SinkType::Boolean, Some(held)) => held.eq_ignore_ascii_case(value.trim()),
        })
    }

    /// Why a record is left as it is, if it is.
    pub(super) fn hold(&self, row: &DeliveryRow, record: &Value, fields: &Fields) -> Result<Option<String>> {
        if self.plan.hold.is_empty() {
            return Ok(None);
        }
        let sent = [("fields", self.body(fields)?), ("id", Value::text(row.prospect_id.as_str()))];
        let sent = Value::Map(sent.into_iter().collect());
        let scope = engine::Scope { more: &[("row", &sent)], ..self.scope().with_record(record) };
        for hold in &self.plan.hold {
            if hold.when.test(&scope)? {
                return hold.reason.text(&scope).map(Some);
            }
        }
        Ok(None)
    }

    /// The fields of a row as the remote takes them.
    pub(super) fn body(&self, fields: &Fields) -> Result<Value> {
        let mut body = Value::Map(Map::default());
        let plain = FieldPlan::default();
        for (name, value) in fields {
            let field = self.plan.fields.get(name).unwrap_or(&plain);
            let value = match value {
                Some(value) => self.written(name, field, value)?,
                None => match &field.clear {
                    Some(clear) => clear.value(&self.scope())?,
                    None => self.plan.empty.clone().unwrap_or_default(),
                },
            };
            let path = self.path(field.at.as_deref().unwrap_or(name));
            engine::set(&mut body, &path, value);
        }
        Ok(body)
    }

    fn written(&self, name: &str, field: &FieldPlan, text: &str) -> Result<Value> {
        if let Some(write) = &field.write {
            let value = Value::Map([("value", Value::text(text))].into_iter().collect());
            return write.value(&engine::Scope { more: &[("field", &value)], ..self.scope() });
        }
        let wrong = |what: &str| refused(&format!("{name}: the value is not {what}"));
        match field.kind {
            SinkType::Text => Ok(Value::text(text)),
            SinkType::Number => match engine::json::parse(text.trim().as_bytes()) {
                Ok(number @ (Value::Int(_) | Value::Number(_))) => Ok(number),
                _ => Err(wrong("a number")),
            },
            SinkType::Boolean => match text.trim().to_ascii_lowercase().as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(wrong("true or false")),
            },
        }
    }
}

/// An answer that counts.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) headers: Value,
    pub(super) body: Value,
}

/// A value as text; nothing where it is empty.
fn plain(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::List(_) | Value::Map(_) => value.to_json(),
        other => other.to_plain(),
    };
    (!text.is_empty()).then_some(text)
}

fn fold(value: &str) -> String {
    value.trim().to_lowercase()
}

/// A decimal without what does not change its value.
fn decimal(text: &str) -> String {
    let text = text.trim();
    match text.split_once('.') {
        Some((_, fraction)) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => text.to_owned(),
    }
}
