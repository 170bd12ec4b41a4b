//! Attio's REST API of people, version 2.
//!
//! After docs.attio.com: values are lists under the slug of their attribute; a record is asserted by an attribute whose values are
//! unique; `PUT` of a record replaces lists and `PATCH` adds in front of them; a value that another record has is refused with 400;
//! a task is about linked records, has no attributes of its own, and all members that it is made of are required;
//! too many calls get 429 with `Retry-After` as a date, and were not worked on.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::call::{guid, http_date, list, number_of, of_kind, text};
use crate::tasks::{self, Tasks};
use crate::{Answer, Call, Conditions, Record, Records, Vendor};

/// The access token that every fake takes.
pub const TOKEN: &str = "attio-fake-0000";
/// What may be said of a task, beside whom it is about and who is to do it.
const TASK: [&str; 3] = ["content", "deadline_at", "is_completed"];
/// Records of one answer to a query.
const MAX_RECORDS: u64 = 500;

/// An Attio workspace with people.
#[derive(Debug)]
pub struct Attio {
    people: Records,
    attributes: BTreeSet<String>,
    unique: BTreeSet<String>,
    tasks: Tasks,
}

impl Default for Attio {
    fn default() -> Self {
        let attributes = ["name", "email_addresses", "phone_numbers", "job_title", "description"].map(str::to_owned).into();
        Self {
            people: Records::starting_at(501, &[]),
            attributes,
            unique: ["email_addresses".to_owned()].into(),
            tasks: Tasks::new(8_001, &TASK),
        }
    }
}

impl Attio {
    /// Makes a text attribute whose values are unique, as an administrator would.
    pub fn add_attribute(&mut self, slug: &str) {
        self.attributes.insert(slug.to_owned());
        self.unique.insert(slug.to_owned());
    }

    /// Its people: attributes by slug; several values have `;` between them.
    pub fn people(&mut self) -> &mut Records {
        &mut self.people
    }

    fn shown(&self, record: &Record) -> Value {
        let value = |slug: &str, value: &str| match slug {
            "name" => {
                json!({ "full_name": value, "first_name": value.split(' ').next(), "last_name": value.split_once(' ').map(|(_, last)| last),
                              "attribute_type": "personal-name" })
            }
            "email_addresses" => {
                json!({ "email_address": value, "original_email_address": value, "attribute_type": "email-address" })
            }
            "phone_numbers" => json!({ "phone_number": value, "original_phone_number": value, "attribute_type": "phone-number" }),
            _ => json!({ "value": value, "attribute_type": "text" }),
        };
        let values = |slug: &String| -> (String, Value) {
            let held = record.fields.get(slug).map(|held| parts(slug, held)).unwrap_or_default();
            (slug.clone(), held.into_iter().map(|held| value(slug, held)).collect())
        };
        let values: Map<String, Value> = self.attributes.iter().map(values).collect();
        let id = guid(&record.id);
        json!({ "id": { "workspace_id": guid("1"), "object_id": guid("2"), "record_id": id },
                "created_at": crate::call::instant(record.created_at), "values": values })
    }

    /// What a body sets, flat, or what is wrong with it.
    fn values(&self, body: &Value, conditions: &Conditions) -> Result<BTreeMap<String, String>, Answer> {
        let mut fields = BTreeMap::new();
        let Some(values) = body.pointer("/data/values").and_then(Value::as_object) else {
            return Err(refusal("data.values is required"));
        };
        for (slug, value) in values {
            let wrong = || refusal(&format!("An invalid value was passed to attribute with slug \"{slug}\"."));
            if !self.attributes.contains(slug) {
                return Err(refusal(&format!("Cannot find attribute with slug/ID \"{slug}\".")));
            }
            let given = match value {
                Value::Null => Vec::new(),
                Value::Array(items) => items.clone(),
                one => vec![one.clone()],
            };
            let one = |item: &Value| match (slug.as_str(), item) {
                ("name", Value::Object(_))
                    if ["first_name", "last_name", "full_name"].iter().all(|part| item.get(part).is_some()) =>
                {
                    Some(text(item, "full_name").to_owned())
                }
                ("phone_numbers", Value::Object(_)) => Some(text(item, "original_phone_number").to_owned()),
                ("name", _) => None,
                (_, Value::String(value)) => Some(value.clone()),
                _ => None,
            };
            let texts: Vec<String> = given.iter().map(one).collect::<Option<_>>().ok_or_else(wrong)?;
            let bad = |value: &String| conditions.refuses(value) || slug == "email_addresses" && !value.contains('@');
            if texts.iter().any(bad) {
                return Err(wrong());
            }
            fields.insert(slug.clone(), texts.join(";"));
        }
        Ok(fields)
    }

    /// The record that has a value in an attribute.
    fn holder(&self, slug: &str, value: &str) -> Option<&Record> {
        let has = |record: &&Record| {
            let held = record.fields.get(slug).map(|held| parts(slug, held)).unwrap_or_default();
            held.iter().any(|held| held.eq_ignore_ascii_case(value))
        };
        self.people.iter().find(has)
    }

    /// Writes to a record, or makes one, unless another has a value that is unique.
    fn put(&mut self, id: Option<String>, fields: BTreeMap<String, String>, now_us: i64) -> Answer {
        for slug in &self.unique {
            for value in fields.get(slug).map(|held| parts(slug, held)).unwrap_or_default() {
                if self.holder(slug, value).is_some_and(|holder| Some(&holder.id) != id.as_ref()) {
                    return refusal(&format!(
                        "The value provided for attribute with slug \"{slug}\" conflicts with one already in the system."
                    ));
                }
            }
        }
        let id = match id {
            Some(id) => {
                if !self.people.change(&id, fields, now_us) {
                    return missing();
                }
                id
            }
            None => self.people.insert(fields.into_iter().filter(|(_, value)| !value.is_empty()).collect(), now_us),
        };
        self.people.get(&id).map_or_else(missing, |record| Answer::json(200, &json!({ "data": self.shown(record) })).wrote())
    }

    fn assert(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let Some(by) = call.parameter("matching_attribute").filter(|slug| self.unique.contains(*slug)).map(str::to_owned) else {
            return refusal("matching_attribute must name a unique attribute");
        };
        let fields = match self.values(&call.json(), conditions) {
            Ok(fields) => fields,
            Err(refusal) => return refusal,
        };
        let Some(value) = fields.get(&by).filter(|value| !value.is_empty()) else {
            return refusal("the matching attribute has no value");
        };
        let found = parts(&by, value).into_iter().find_map(|value| self.holder(&by, value)).map(|record| record.id.clone());
        self.put(found, fields, now_us)
    }

    fn query(&self, body: &Value) -> Answer {
        let filter = body.get("filter").and_then(Value::as_object).filter(|filter| filter.len() == 1);
        let Some((slug, wanted)) = filter.and_then(|filter| filter.iter().next()) else {
            return refusal("this filter is not known");
        };
        let Some(wanted) = wanted.as_str().or_else(|| wanted.get("$eq").and_then(Value::as_str)) else {
            return refusal("this condition is not known");
        };
        if !self.attributes.contains(slug) {
            return refusal(&format!("Unknown attribute slug: {slug}"));
        }
        let has = |record: &&Record| {
            let held = record.fields.get(slug).map(|held| parts(slug, held)).unwrap_or_default();
            held.iter().any(|held| held.eq_ignore_ascii_case(wanted))
        };
        let limit = body.get("limit").and_then(Value::as_u64).unwrap_or(MAX_RECORDS).min(MAX_RECORDS);
        let found = self.people.iter().filter(has).take(usize::try_from(limit).unwrap_or(usize::MAX));
        Answer::json(200, &json!({ "data": found.map(|record| self.shown(record)).collect::<Vec<_>>() }))
    }
}

impl Attio {
    /// Its tasks.
    pub fn tasks(&mut self) -> &mut Records {
        &mut self.tasks.records
    }

    fn task(&self, record: &Record) -> Value {
        let field = |name: &str| json!(record.fields.get(name));
        let assignee = record
            .fields
            .get("assignee")
            .map(|member| json!({ "referenced_actor_type": "workspace-member", "referenced_actor_id": member }));
        json!({ "id": { "workspace_id": guid("1"), "task_id": guid(&record.id) }, "content_plaintext": field("content"),
                "deadline_at": field("deadline_at"), "is_completed": record.fields.get("is_completed").is_some_and(|held| held == "true"),
                "linked_records": [{ "target_object_id": "people", "target_record_id": guid(tasks::person(record)) }],
                "assignees": assignee.into_iter().collect::<Vec<_>>() })
    }

    fn on_tasks(&mut self, method: &str, rest: &[&str], call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let told = |task: Value| Answer::json(200, &json!({ "data": task }));
        match (method, rest) {
            ("GET", []) => {
                let Some(about) = call.parameter("linked_record_id").map(number_of) else {
                    return told(self.tasks.records.iter().map(|record| self.task(record)).collect());
                };
                if call.parameter("linked_object") != Some("people") {
                    return refusal("linked_object is required with linked_record_id");
                }
                told(self.tasks.about(&about).map(|record| self.task(record)).collect())
            }
            ("GET", [id]) => self.tasks.records.get(&number_of(id)).map_or_else(missing, |record| told(self.task(record))),
            ("POST", []) => {
                let body = call.json();
                let mut data = body.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
                let needed = ["content", "format", "deadline_at", "is_completed", "linked_records", "assignees"];
                if let Some(absent) = needed.iter().find(|name| !data.contains_key(**name)) {
                    return refusal(&format!("Body payload validation error: data.{absent} is required"));
                }
                if data.remove("format") != Some(json!("plaintext")) {
                    return refusal("format must be plaintext");
                }
                let linked = data.remove("linked_records").and_then(|all| all.get(0).cloned()).unwrap_or_default();
                let person = number_of(text(&linked, "target_record_id"));
                if text(&linked, "target_object") != "people" || self.people.get(&person).is_none() {
                    return refusal("Could not find the linked record.");
                }
                let assignees = data.remove("assignees").unwrap_or_default();
                let assignee = assignees.get(0).map(|one| text(one, "referenced_actor_id").to_owned());
                match self.tasks.read(&data, conditions) {
                    Ok(mut fields) => {
                        fields.extend(assignee.map(|assignee| ("assignee".to_owned(), assignee)));
                        let made = self.tasks.make(fields, &person, now_us);
                        told(self.task(&made)).wrote()
                    }
                    Err(field) => refusal(&format!("An invalid value was passed to {field}.")),
                }
            }
            ("PATCH", [id]) => {
                let body = call.json();
                let data = body.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
                // The text of a task is never changed.
                if data.contains_key("content") {
                    return refusal("content cannot be changed");
                }
                let id = number_of(id);
                match self.tasks.read(&data, conditions) {
                    Ok(fields) if self.tasks.records.change(&id, fields.clone(), now_us) => {
                        self.tasks.records.get(&id).map_or_else(missing, |record| told(self.task(record)).wrote())
                    }
                    Ok(_) => missing(),
                    Err(field) => refusal(&format!("An invalid value was passed to {field}.")),
                }
            }
            ("DELETE", [id]) if self.tasks.records.remove(&number_of(id)) => Answer::json(200, &json!({})).wrote(),
            _ => missing(),
        }
    }
}

impl Vendor for Attio {
    fn answer(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        if call.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return error(401, "auth_error", "unauthorized", "The access token is not valid.");
        }
        let (method, path) = call.route();
        if let ["v2", "tasks", rest @ ..] = path.as_slice() {
            return self.on_tasks(method, rest, call, conditions, now_us);
        }
        let ["v2", "objects", "people", rest @ ..] = path.as_slice() else { return missing() };
        match (method, rest) {
            ("GET", ["attributes"]) => {
                let attribute = |slug: &String| json!({ "api_slug": slug, "title": slug, "is_writable": true, "is_unique": self.unique.contains(slug) });
                Answer::json(200, &json!({ "data": self.attributes.iter().map(attribute).collect::<Vec<_>>() }))
            }
            ("POST", ["attributes"]) => {
                let body = call.json();
                let slug = body.pointer("/data/api_slug").and_then(Value::as_str).unwrap_or_default().to_owned();
                if self.attributes.contains(&slug) {
                    return error(409, "invalid_request_error", "slug_conflict", "An attribute with this slug exists already.");
                }
                self.attributes.insert(slug.clone());
                if body.pointer("/data/is_unique") == Some(&json!(true)) {
                    self.unique.insert(slug.clone());
                }
                Answer::json(200, &json!({ "data": { "api_slug": slug } })).wrote()
            }
            ("PUT", ["records"]) => self.assert(call, conditions, now_us),
            ("POST", ["records", "query"]) => self.query(&call.json()),
            ("GET", ["records", id]) => match self.people.get(&number_of(id)) {
                Some(record) => Answer::json(200, &json!({ "data": self.shown(record) })),
                None => missing(),
            },
            ("PUT" | "PATCH", ["records", id]) => match self.values(&call.json(), conditions) {
                Err(refusal) => refusal,
                Ok(mut fields) => {
                    let id = number_of(id);
                    let held = self.people.get(&id).map(|record| record.fields.clone()).unwrap_or_default();
                    for slug in ["email_addresses", "phone_numbers"].iter().filter(|_| method == "PATCH") {
                        if let (Some(given), Some(held)) = (fields.get_mut(*slug), held.get(*slug)) {
                            *given = if given.is_empty() { held.clone() } else { format!("{given};{held}") };
                        }
                    }
                    self.put(Some(id), fields, now_us)
                }
            },
            ("DELETE", ["records", id]) if self.people.remove(&number_of(id)) => Answer::json(200, &json!({})).wrote(),
            _ => missing(),
        }
    }

    fn limited(&self, wait_ms: u64, now_us: i64) -> Answer {
        error(429, "rate_limit_error", "rate_limit_exceeded", "Rate limit exceeded, please try again later")
            .with("retry-after", http_date(wait_ms, now_us))
    }

    fn state(&self) -> Value {
        let tasks = self.tasks.records.iter().map(|record| of_kind("task", true, record));
        self.people.iter().map(|record| json!(record.fields)).chain(tasks).collect()
    }
}

/// The values of an attribute: only some have several.
fn parts<'a>(slug: &str, held: &'a str) -> Vec<&'a str> {
    match slug {
        "email_addresses" | "phone_numbers" => held.split(';').filter(|part| !part.is_empty()).collect(),
        _ => Some(held).filter(|held| !held.is_empty()).into_iter().collect(),
    }
}

fn refusal(message: &str) -> Answer {
    error(400, "invalid_request_error", "validation_type", message)
}

fn missing() -> Answer {
    error(404, "invalid_request_error", "not_found", "Could not find the record.")
}

fn error(status: u16, kind: &str, code: &str, message: &str) -> Answer {
    let validation = list(&Value::Null, "");
    Answer::json(
        status,
        &json!({ "status_code": status, "type": kind, "code": code, "message": message, "validation_errors": validation }),
    )
}
