//! From a vendor's record to a row of text: the last step of a stream's engine, and the first of its pages.

use headwater_model::page::Page;
use headwater_sdk::{Error, ErrorKind, Result, TextRows};
use std::collections::BTreeMap;

use super::evaluate::{Made, Placed};
use super::expr::{EvalError, Scope as Names};
use crate::engine::plan::{Extract, Transform};
use crate::engine::{Map, Scope, Value};

/// Where a made row has its position; the engine's cursor looks there.
pub(super) const POSITION: &str = "position";
const ROW: &str = "row";
const KEY: &str = "key";
/// The record as it arrived, as JSON.
pub(super) const RAW: &str = "raw";
const DELETED: &str = "deleted";
/// The name of one item of a record's list, where `each` divides it.
const ITEM: &str = "item";

/// Makes rows of records.
#[derive(Debug)]
pub(super) struct MakeRow {
    pub(super) fields: Vec<(String, FieldPlan)>,
    pub(super) key: Option<Placed>,
    pub(super) deleted: Option<Placed>,
    pub(super) position: Option<Placed>,
}

/// How one field is made.
#[derive(Debug)]
pub(super) struct FieldPlan {
    pub(super) value: Placed,
    pub(super) words: BTreeMap<String, String>,
    pub(super) otherwise: Option<String>,
}

impl FieldPlan {
    /// The field's text: nothing where the record does not have it, empty where it says null.
    fn text(&self, scope: &Names<'_>) -> Result<Value, EvalError> {
        let Some(found) = self.value.expr().eval(scope)? else { return Ok(Value::Null) };
        let text = match found.as_ref() {
            Value::Null => return Ok(Value::text("")),
            Value::Text(_) if self.words.is_empty() => return Ok(found.into_owned()),
            other => other.to_plain(),
        };
        if self.words.is_empty() {
            return Ok(text.into());
        }
        Ok(match (self.words.get(&text), &self.otherwise) {
            (Some(ours), _) => ours.as_str().into(),
            (None, Some(otherwise)) => otherwise.as_str().into(),
            (None, None) => text.into(),
        })
    }
}

impl Transform for MakeRow {
    fn apply(&self, record: &mut Value, scope: &Scope<'_>) -> Result<()> {
        let made = Made::all(scope);
        let row = {
            let names = made.scope(&scope.with_record(record));
            let mut cells = Vec::with_capacity(self.fields.len());
            for (_, field) in &self.fields {
                cells.push(field.text(&names).map_err(|error| field.value.failed(&error))?);
            }
            let one = |placed: &Option<Placed>| -> Result<Value> {
                match placed {
                    None => Ok(Value::Null),
                    Some(placed) => {
                        let found = placed.expr().eval(&names).map_err(|error| placed.failed(&error))?;
                        Ok(found.map(std::borrow::Cow::into_owned).unwrap_or_default())
                    }
                }
            };
            let key = match (&self.key, one(&self.key)?) {
                (None, _) => Value::Null,
                (Some(_), key) if key.is_null() || key.as_str() == Some("") => {
                    return Err(Error::new(ErrorKind::Protocol, "a record has no id where the connector file says it has one"));
                }
                (Some(_), key) => key.to_plain().into(),
            };
            let deleted = match &self.deleted {
                None => false,
                Some(placed) => placed.expr().holds(&names).map_err(|error| placed.failed(&error))?,
            };
            [
                (KEY, key),
                (DELETED, Value::Bool(deleted)),
                (POSITION, one(&self.position)?),
                (RAW, record.to_json().into()),
                (ROW, Value::List(cells)),
            ]
        };
        *record = Value::Map(row.into_iter().collect::<Map>());
        Ok(())
    }
}

/// What a sub-stream sees of its parent's record.
#[derive(Debug)]
pub(super) struct Give {
    pub(super) names: Vec<(String, Placed)>,
    /// Whether paging looks at the last record as it arrived.
    pub(super) keep_raw: bool,
}

impl Transform for Give {
    fn apply(&self, record: &mut Value, scope: &Scope<'_>) -> Result<()> {
        let mut out = Map::default();
        if self.keep_raw {
            out.insert(RAW, record.to_json().into());
        }
        for (name, placed) in &self.names {
            let value = placed.found(&scope.with_record(record))?;
            if let Some(value) = value {
                out.insert(name.as_str(), value);
            }
        }
        *record = Value::Map(out);
        Ok(())
    }
}

/// Finds records by an expression, and divides them by one of their lists.
#[derive(Debug)]
pub(super) struct FindRecords {
    pub(super) from: Placed,
    pub(super) each: Option<Placed>,
}

impl Extract for FindRecords {
    fn extract(&self, body: Value, scope: &Scope<'_>) -> Result<Vec<Value>> {
        let scope = Scope { response: Some(&body), ..*scope };
        let mut records = Vec::new();
        match self.from.found(&scope)? {
            None | Some(Value::Null) => {}
            Some(Value::List(items)) => items.into_iter().for_each(|item| match item {
                // `response.lists[*].members` gives a list of lists.
                Value::List(inner) => records.extend(inner),
                other => records.push(other),
            }),
            Some(record) => records.push(record),
        }
        let Some(each) = &self.each else { return Ok(records) };
        let mut divided = Vec::new();
        for mut record in records {
            let items = each.found(&scope.with_record(&record))?;
            let items = match items {
                None | Some(Value::Null) => continue,
                Some(Value::List(items)) => items,
                Some(other) => vec![other],
            };
            for item in items {
                let Some(map) = record.as_map_mut() else { break };
                map.insert(ITEM, item);
                divided.push(record.clone());
            }
        }
        Ok(divided)
    }
}

/// Made rows as a page.
pub(super) fn page(stream: &str, fields: &[String], keyed: bool, records: &[Value]) -> Result<Page> {
    let mut rows = TextRows::new(fields.iter().map(String::as_str));
    let mut deleted = Vec::with_capacity(records.len());
    for record in records {
        let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
        let cells = record.get(ROW).and_then(Value::as_list).unwrap_or_default();
        rows.push(text(KEY), text(RAW), cells.iter().map(|cell| cell.as_str().map(str::to_owned)));
        deleted.push(record.get(DELETED) == Some(&Value::Bool(true)));
    }
    let mut page = rows.finish(stream)?;
    if !keyed {
        page.keys = None;
    }
    page.deleted = deleted.contains(&true).then_some(deleted);
    Ok(page)
}
