//! Pipedrive's API of persons and organizations, version 2.
//!
//! After developers.pipedrive.com: one person a request, no upsert, nothing is unique; search is by a term in named fields and lags
//! behind writes; a deleted person is still shown, marked. An activity names its person as a participant, since `person_id` is only
//! read; it has no custom fields, and is listed by its person.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::call::{list, of_kind, text};
use crate::tasks::{self, Tasks};
use crate::{Answer, Call, Conditions, Record, Records, Vendor};

/// The API token that every fake takes.
pub const TOKEN: &str = "pipedrive-fake-0000";
/// Ids of one listing.
const MAX_IDS: usize = 100;
/// Fields that every account has.
const FIELDS: [&str; 6] = ["name", "email", "phone", "owner_id", "org_id", "visible_to"];
/// What may be said of an activity.
const ACTIVITY: [&str; 7] = ["subject", "type", "due_date", "due_time", "note", "done", "owner_id"];
/// What stands before the key of a custom field.
const CUSTOM: &str = "custom_fields.";

/// A Pipedrive account.
#[derive(Debug)]
pub struct Pipedrive {
    persons: Kind,
    organizations: Kind,
    /// Fields of the account's own: keys and names.
    custom: BTreeMap<String, String>,
    activities: Tasks,
}

/// The records of one kind.
#[derive(Debug)]
struct Kind {
    records: Records,
    deleted: BTreeMap<String, Record>,
}

impl Kind {
    fn starting_at(first: u64) -> Self {
        Self { records: Records::starting_at(first, &[]), deleted: BTreeMap::new() }
    }
}

impl Default for Pipedrive {
    fn default() -> Self {
        Self {
            persons: Kind::starting_at(101),
            organizations: Kind::starting_at(5_001),
            custom: BTreeMap::new(),
            activities: Tasks::new(8_001, &ACTIVITY),
        }
    }
}

impl Pipedrive {
    /// Makes a field of persons and organizations, as an administrator would.
    pub fn add_field(&mut self, key: &str) {
        self.custom.insert(key.to_owned(), format!("Field {key}"));
    }

    /// Its persons: `name`, `emails` and `phones` with `;` between, numbers, and `custom_fields.KEY`.
    pub fn persons(&mut self) -> &mut Records {
        &mut self.persons.records
    }

    /// Its organizations: `name` and `custom_fields.KEY`.
    pub fn organizations(&mut self) -> &mut Records {
        &mut self.organizations.records
    }

    fn kind(&self, name: &str) -> Option<&Kind> {
        match name {
            "persons" => Some(&self.persons),
            "organizations" => Some(&self.organizations),
            _ => None,
        }
    }

    fn kind_mut(&mut self, name: &str) -> Option<&mut Kind> {
        match name {
            "persons" => Some(&mut self.persons),
            "organizations" => Some(&mut self.organizations),
            _ => None,
        }
    }

    fn shown(&self, record: &Record, deleted: bool) -> Value {
        let field = |name: &str| record.fields.get(name).map(String::as_str);
        let several = |name: &str| -> Value {
            let values = field(name).unwrap_or_default().split(';').filter(|value| !value.is_empty()).enumerate();
            values.map(|(place, value)| json!({ "value": value, "primary": place == 0, "label": "work" })).collect()
        };
        let number = |name: &str| field(name).and_then(|value| value.parse::<i64>().ok());
        let custom: Map<String, Value> =
            self.custom.keys().map(|key| (key.clone(), json!(field(&format!("{CUSTOM}{key}"))))).collect();
        json!({ "id": record.id.parse::<u64>().unwrap_or_default(), "name": field("name"), "emails": several("emails"),
                "phones": several("phones"), "owner_id": number("owner_id"), "org_id": number("org_id"),
                "visible_to": number("visible_to"), "custom_fields": custom, "is_deleted": deleted,
                "update_time": crate::call::instant(record.updated_at) })
    }

    /// A body's fields, flat, or what is wrong with it.
    fn fields(&self, body: &Value, conditions: &Conditions) -> Result<BTreeMap<String, String>, Answer> {
        let mut fields = BTreeMap::new();
        for (name, value) in body.as_object().into_iter().flatten() {
            match (name.as_str(), value) {
                ("name", Value::String(name)) if !name.is_empty() => drop(fields.insert("name".to_owned(), name.clone())),
                ("emails" | "phones", Value::Array(values)) => {
                    let values: Vec<&str> = values.iter().map(|value| text(value, "value")).collect();
                    fields.insert(name.clone(), values.join(";"));
                }
                ("owner_id" | "org_id" | "visible_to", Value::Number(number)) => {
                    fields.insert(name.clone(), number.to_string());
                }
                ("owner_id" | "org_id" | "visible_to", Value::Null) => drop(fields.insert(name.clone(), String::new())),
                ("custom_fields", Value::Object(custom)) => {
                    for (key, value) in custom {
                        if !self.custom.contains_key(key) || !(value.is_string() || value.is_null()) {
                            return Err(invalid(&format!("custom_fields: {key} is not a field of this account")));
                        }
                        fields.insert(format!("{CUSTOM}{key}"), value.as_str().unwrap_or_default().to_owned());
                    }
                }
                _ => return Err(invalid(&format!("{name}: the value has a wrong type"))),
            }
        }
        match fields.iter().find(|(_, value)| conditions.refuses(value)) {
            Some((name, value)) => Err(invalid(&format!("{name}: '{value}' was not accepted"))),
            None => Ok(fields),
        }
    }

    fn search(&self, kind: &str, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let Some(kind) = self.kind(kind) else { return missing() };
        let term = call.parameter("term").unwrap_or_default().to_lowercase();
        let exact = call.parameter("exact_match") == Some("true");
        if term.is_empty() || term.chars().count() < 2 && !exact {
            return invalid("term: too short");
        }
        let lag_us = i64::try_from(conditions.search_lag_ms * 1_000).unwrap_or(i64::MAX);
        let wanted = call.parameter("fields").unwrap_or_default();
        let fits = |record: &&Record| {
            record.fields.iter().any(|(name, value)| {
                let asked = match name.as_str() {
                    "emails" => wanted.contains("email"),
                    "phones" => wanted.contains("phone"),
                    "name" => wanted.contains("name"),
                    other => other.starts_with(CUSTOM) && wanted.contains("custom_fields"),
                };
                asked
                    && value
                        .split(';')
                        .any(|value| if exact { value.to_lowercase() == term } else { value.to_lowercase().contains(&term) })
            })
        };
        let indexed = kind.records.iter().filter(|record| now_us - record.updated_at >= lag_us);
        let item = |record: &Record| {
            let emails: Vec<&str> = record.fields.get("emails").map(|emails| emails.split(';').collect()).unwrap_or_default();
            json!({ "result_score": 1.0, "item": { "id": record.id.parse::<u64>().unwrap_or_default(), "type": "person",
                    "name": record.fields.get("name"), "emails": emails } })
        };
        let items: Vec<Value> = indexed.filter(fits).map(item).collect();
        Answer::json(200, &json!({ "success": true, "data": { "items": items }, "additional_data": { "next_cursor": null } }))
    }

    fn list(&self, name: &str, call: &Call) -> Answer {
        let Some(kind) = self.kind(name) else { return missing() };
        let ids: Option<Vec<&str>> = call.parameter("ids").map(|ids| ids.split(',').collect());
        let data: Vec<Value> = match ids {
            Some(ids) if ids.len() > MAX_IDS => return invalid("ids: at most 100"),
            Some(ids) => ids.iter().filter_map(|id| self.record(name, id)).collect(),
            None => kind.records.iter().take(MAX_IDS).map(|record| self.shown(record, false)).collect(),
        };
        Answer::json(200, &json!({ "success": true, "data": data, "additional_data": { "next_cursor": null } }))
    }

    fn record(&self, kind: &str, id: &str) -> Option<Value> {
        let kind = self.kind(kind)?;
        let there = kind.records.get(id).map(|record| self.shown(record, false));
        there.or_else(|| kind.deleted.get(id).map(|record| self.shown(record, true)))
    }

    fn written(&self, status: u16, kind: &str, id: &str) -> Answer {
        Answer::json(status, &json!({ "success": true, "data": self.record(kind, id) })).wrote()
    }

    fn make(&mut self, name: &str, body: &Value, conditions: &Conditions, now_us: i64) -> Answer {
        match (self.fields(body, conditions), self.kind_mut(name)) {
            (Ok(fields), Some(kind)) if fields.contains_key("name") => {
                let id = kind.records.insert(fields.into_iter().filter(|(_, value)| !value.is_empty()).collect(), now_us);
                self.written(201, name, &id)
            }
            (Ok(_), _) => invalid("name: is required"),
            (Err(refusal), _) => refusal,
        }
    }

    fn change(&mut self, kind: &str, id: &str, fields: BTreeMap<String, String>, now_us: i64) -> bool {
        self.kind_mut(kind).is_some_and(|kind| kind.records.change(id, fields, now_us))
    }

    fn delete(&mut self, name: &str, id: &str) -> Answer {
        let Some(kind) = self.kind_mut(name) else { return missing() };
        match kind.records.get(id).cloned() {
            Some(record) => {
                kind.records.remove(id);
                kind.deleted.insert(id.to_owned(), record);
                Answer::json(200, &json!({ "success": true, "data": { "id": id.parse::<u64>().unwrap_or_default() } })).wrote()
            }
            // A second deletion is a success too.
            None if kind.deleted.contains_key(id) => Answer::json(200, &json!({ "success": true, "data": null })),
            None => missing(),
        }
    }
}

impl Pipedrive {
    /// Its activities.
    pub fn activities(&mut self) -> &mut Records {
        &mut self.activities.records
    }

    fn activity(&self, record: &Record) -> Value {
        let mut shown = self.activities.shown(record, "update_time");
        let person = tasks::person(record).parse::<u64>().ok();
        shown.insert("id".to_owned(), json!(record.id.parse::<u64>().unwrap_or_default()));
        shown.insert("person_id".to_owned(), json!(person));
        shown.insert("done".to_owned(), json!(record.fields.get("done").is_some_and(|done| done == "true")));
        shown.insert("is_deleted".to_owned(), json!(false));
        shown.into()
    }

    fn on_activities(&mut self, method: &str, rest: &[&str], call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let told = |status: u16, data: Value| Answer::json(status, &json!({ "success": true, "data": data }));
        match (method, rest) {
            ("GET", []) => {
                let of = |record: &&Record| match (call.parameter("ids"), call.parameter("person_id")) {
                    (Some(ids), _) => ids.split(',').any(|id| id == record.id),
                    (None, Some(person)) => tasks::person(record) == person,
                    (None, None) => true,
                };
                let found = self.activities.records.iter().filter(of).take(MAX_IDS);
                told(200, found.map(|record| self.activity(record)).collect())
            }
            ("POST", []) => {
                let mut body = call.json().as_object().cloned().unwrap_or_default();
                if body.contains_key("person_id") {
                    return invalid("'person_id' is a read-only field. Add a primary participant to set 'person_id' instead.");
                }
                let person = body.remove("participants").and_then(|all| all.get(0)?.get("person_id").cloned());
                let person = person.filter(Value::is_number).map(|person| person.to_string()).unwrap_or_default();
                if self.persons.records.get(&person).is_none() {
                    return invalid("participants: the person was not found");
                }
                match self.activities.read(&body, conditions) {
                    Ok(fields) => {
                        let made = self.activities.make(fields, &person, now_us);
                        told(201, self.activity(&made)).wrote()
                    }
                    Err(field) => invalid(&format!("{field}: the value was not accepted")),
                }
            }
            ("PATCH", [id]) => {
                let body = call.json().as_object().cloned().unwrap_or_default();
                match self.activities.read(&body, conditions) {
                    Ok(fields) if self.activities.records.change(id, fields.clone(), now_us) => {
                        let record = self.activities.records.get(id).map(|record| self.activity(record));
                        told(200, record.unwrap_or_default()).wrote()
                    }
                    Ok(_) => missing(),
                    Err(field) => invalid(&format!("{field}: the value was not accepted")),
                }
            }
            ("DELETE", [id]) if self.activities.records.remove(id) => told(200, json!({ "id": id })).wrote(),
            _ => missing(),
        }
    }
}

impl Vendor for Pipedrive {
    fn answer(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        if call.header("x-api-token") != Some(TOKEN) {
            return Answer::json(401, &json!({ "success": false, "error": "unauthorized access", "errorCode": 401 }));
        }
        let (method, path) = call.route();
        match (method, path.as_slice()) {
            (method, ["api", "v2", "activities", rest @ ..]) => self.on_activities(method, rest, call, conditions, now_us),
            ("GET", ["api", "v1", "personFields" | "organizationFields"]) => {
                let own = self
                    .custom
                    .iter()
                    .map(|(key, name)| json!({ "key": key, "name": name, "field_type": "varchar", "edit_flag": true }));
                let field = |key: &&str| json!({ "key": key, "name": key, "field_type": "varchar", "edit_flag": false });
                Answer::json(200, &json!({ "success": true, "data": FIELDS.iter().map(field).chain(own).collect::<Vec<_>>() }))
            }
            ("POST", ["api", "v1", "personFields" | "organizationFields"]) => {
                let name = text(&call.json(), "name").to_owned();
                if name.is_empty() || text(&call.json(), "field_type") != "varchar" {
                    return invalid("name and field_type are required");
                }
                // The key is Pipedrive's to choose.
                let key = format!("{:040x}", self.custom.len() + 0xd4de);
                self.custom.insert(key.clone(), name.clone());
                Answer::json(201, &json!({ "success": true, "data": { "key": key, "name": name } })).wrote()
            }
            ("GET", ["api", "v2", kind]) => self.list(kind, call),
            ("GET", ["api", "v2", kind, "search"]) => self.search(kind, call, conditions, now_us),
            ("POST", ["api", "v2", kind]) => self.make(kind, &call.json(), conditions, now_us),
            ("PATCH", ["api", "v2", kind, id]) => match self.fields(&call.json(), conditions) {
                Ok(fields) if self.change(kind, id, fields.clone(), now_us) => self.written(200, kind, id),
                Ok(_) => missing(),
                Err(refusal) => refusal,
            },
            ("DELETE", ["api", "v2", kind, id]) => self.delete(kind, id),
            _ => missing(),
        }
    }

    fn limited(&self, wait_ms: u64, _: i64) -> Answer {
        let body = json!({ "success": false, "error": "request over limit", "errorCode": 429 });
        Answer::json(429, &body).with("x-ratelimit-reset", wait_ms.div_ceil(1_000).to_string()).with("x-ratelimit-remaining", "0")
    }

    fn state(&self) -> Value {
        let organizations = self.organizations.records.iter().map(|record| of_kind("organization", true, record));
        let activities = self.activities.records.iter().map(|record| of_kind("activity", true, record));
        self.persons
            .records
            .iter()
            .map(|record| of_kind("person", false, record))
            .chain(organizations)
            .chain(activities)
            .collect()
    }
}

fn invalid(error: &str) -> Answer {
    Answer::json(
        400,
        &json!({ "success": false, "error": error, "code": "ERR_SCHEMA_VALIDATION_FAILED", "data": list(&Value::Null, "") }),
    )
}

fn missing() -> Answer {
    Answer::json(404, &json!({ "success": false, "error": "Person not found", "code": "ERR_NOT_FOUND" }))
}
