//! Close's REST API of contacts and tasks, version 1.
//!
//! After developer.close.com: the key is the user of Basic; `PUT` changes what it names alone; a contact without a lead gets one;
//! nothing is unique and there is no upsert; searching takes a tree of conditions and lags; refusals name fields under
//! `field-errors`; calls too many get 429 with `RateLimit: limit=, remaining=, reset=`. A task belongs to a lead and says its type; a
//! listing shows those that are done too, a hundred at most; of a task for a lead only text, day, assignee and state change.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::call::{instant, list, of_kind, text};
use crate::tasks::{self, Tasks};
use crate::{Answer, Call, Conditions, Record, Records, Vendor};

/// The API key that every fake takes.
pub const KEY: &str = "api_fake.0000";
/// `Authorization` for it: Basic, with an empty password.
pub(crate) const BASIC: &str = "Basic YXBpX2Zha2UuMDAwMDo=";
/// What stands before the id of a custom field.
const CUSTOM: &str = "custom.";

/// What may be said of a task, beside its lead.
const TASK: [&str; 4] = ["text", "date", "assigned_to", "is_complete"];
/// Tasks of one page.
const PAGE: usize = 100;

/// A Close organization with contacts.
#[derive(Debug)]
pub struct Close {
    contacts: Records,
    /// Fields of the organization's own: ids and names.
    custom: BTreeMap<String, String>,
    leads: u64,
    tasks: Tasks,
}

impl Default for Close {
    fn default() -> Self {
        Self { contacts: Records::starting_at(701, &[]), custom: BTreeMap::new(), leads: 0, tasks: Tasks::new(901, &TASK) }
    }
}

impl Close {
    /// Makes a custom field of contacts (`cf_…`), as an administrator would.
    pub fn add_field(&mut self, id: &str) {
        self.custom.insert(id.to_owned(), format!("Field {id}"));
    }

    /// Its contacts: `name`, `title`, `lead_id`, `emails` and `phones` with `;` between, and `custom.cf_…`.
    pub fn contacts(&mut self) -> &mut Records {
        &mut self.contacts
    }

    /// Its tasks.
    pub fn tasks(&mut self) -> &mut Records {
        &mut self.tasks.records
    }

    fn task(&self, record: &Record) -> Value {
        let mut shown = self.tasks.shown(record, "date_updated");
        shown.insert("id".to_owned(), json!(format!("task_{}", record.id)));
        shown.insert("_type".to_owned(), json!("lead"));
        shown.insert("lead_id".to_owned(), json!(tasks::person(record)));
        shown.insert("is_complete".to_owned(), json!(record.fields.get("is_complete").is_some_and(|done| done == "true")));
        shown.into()
    }

    fn on_tasks(&mut self, method: &str, rest: &[&str], call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let number = |id: &str| id.strip_prefix("task_").unwrap_or_default().to_owned();
        let mut body = call.json().as_object().cloned().unwrap_or_default();
        let unfit = |name: String| refusal(&name, "This field is not known or its value is not valid.");
        match (method, rest) {
            ("GET", []) => {
                let of = |record: &&Record| call.parameter("lead_id").is_none_or(|lead| tasks::person(record) == lead);
                let mut found: Vec<&Record> = self.tasks.records.iter().filter(of).collect();
                if call.parameter("_order_by") == Some("-date_created") {
                    found.reverse();
                }
                let data: Vec<Value> = found.iter().take(PAGE).map(|record| self.task(record)).collect();
                Answer::json(200, &json!({ "data": data, "has_more": found.len() > PAGE }))
            }
            ("GET", [id]) => match self.tasks.records.get(&number(id)) {
                Some(record) => Answer::json(200, &self.task(record)),
                None => missing(),
            },
            ("POST", []) => {
                if body.remove("_type") != Some(json!("lead")) {
                    return refusal("_type", "Not a valid choice.");
                }
                let lead = body.remove("lead_id").and_then(|lead| lead.as_str().map(str::to_owned)).unwrap_or_default();
                let known = self.contacts.iter().any(|contact| contact.fields.get("lead_id") == Some(&lead));
                match self.tasks.read(&body, conditions) {
                    _ if !known => refusal("lead_id", "This object does not exist."),
                    Ok(fields) => {
                        let made = self.tasks.make(fields, &lead, now_us);
                        Answer::json(200, &self.task(&made)).wrote()
                    }
                    Err(name) => unfit(name),
                }
            }
            ("PUT", [id]) => match self.tasks.read(&body, conditions) {
                Ok(fields) if self.tasks.records.change(&number(id), fields.clone(), now_us) => {
                    let record = self.tasks.records.get(&number(id)).map(|record| self.task(record));
                    Answer::json(200, &json!(record)).wrote()
                }
                Ok(_) => missing(),
                Err(name) => unfit(name),
            },
            ("DELETE", [id]) if self.tasks.records.remove(&number(id)) => Answer::json(200, &json!({})).wrote(),
            _ => missing(),
        }
    }

    fn shown(record: &Record) -> Value {
        let field = |name: &str| record.fields.get(name).map(String::as_str);
        let several = |name: &str, key: &str| -> Value {
            let values = field(name).unwrap_or_default().split(';').filter(|value| !value.is_empty());
            values.map(|value| json!({ key: value, "type": "office" })).collect()
        };
        let mut shown: Map<String, Value> = Map::new();
        shown.insert("id".to_owned(), json!(format!("cont_{}", record.id)));
        for name in ["name", "title", "lead_id"] {
            shown.insert(name.to_owned(), json!(field(name)));
        }
        shown.insert("emails".to_owned(), several("emails", "email"));
        shown.insert("phones".to_owned(), several("phones", "phone"));
        shown.insert("date_updated".to_owned(), json!(instant(record.updated_at)));
        for (name, value) in record.fields.iter().filter(|(name, _)| name.starts_with(CUSTOM)) {
            shown.insert(name.clone(), json!(value));
        }
        shown.into()
    }

    fn fields(&self, body: &Value, conditions: &Conditions) -> Result<BTreeMap<String, String>, Answer> {
        let mut fields = BTreeMap::new();
        for (name, value) in body.as_object().into_iter().flatten() {
            let own = name.strip_prefix(CUSTOM).is_some_and(|id| self.custom.contains_key(id));
            let given = match (name.as_str(), value) {
                ("emails" | "phones", Value::Array(values)) => {
                    let key = name.trim_end_matches('s');
                    values.iter().map(|value| text(value, key)).collect::<Vec<_>>().join(";")
                }
                ("name" | "title" | "lead_id", Value::String(value)) => value.clone(),
                ("name" | "title", Value::Null) => String::new(),
                (_, Value::String(value)) if own => value.clone(),
                (_, Value::Null) if own => String::new(),
                _ => return Err(refusal(name, "This field is not known or its value has a wrong type.")),
            };
            if conditions.refuses(&given) {
                return Err(refusal(name, &format!("'{given}' is not valid.")));
            }
            fields.insert(name.clone(), given);
        }
        Ok(fields)
    }

    fn search(&self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let body = call.json();
        let lag_us = i64::try_from(conditions.search_lag_ms * 1_000).unwrap_or(i64::MAX);
        let Some(query) = body.get("query").filter(|query| known(query)) else {
            return Answer::json(400, &json!({ "errors": ["This query is not known."], "field-errors": {} }));
        };
        let found = self.contacts.iter().filter(|record| now_us - record.updated_at >= lag_us && fits(record, query));
        let data: Vec<Value> =
            found.map(|record| json!({ "__object_type": "contact", "id": format!("cont_{}", record.id) })).collect();
        Answer::json(200, &json!({ "data": data, "cursor": null }))
    }
}

/// Whether a query is one that this fake understands: it must not find by what it passes over.
fn known(query: &Value) -> bool {
    match text(query, "type") {
        "and" => list(query, "queries").iter().all(known),
        "object_type" => text(query, "object_type") == "contact",
        "has_related" => {
            matches!(text(query, "related_object_type"), "contact_email" | "contact_phone")
                && query.get("related_query").is_some_and(known)
        }
        "field_condition" => query.pointer("/condition/mode") == Some(&json!("exact_value")),
        _ => false,
    }
}

fn fits(record: &Record, query: &Value) -> bool {
    match text(query, "type") {
        "and" => list(query, "queries").iter().all(|query| fits(record, query)),
        "has_related" => query.get("related_query").is_some_and(|query| fits(record, query)),
        "field_condition" => {
            let part = |path: &str| query.pointer(path).and_then(Value::as_str).unwrap_or_default();
            let name = match (part("/field/type"), part("/field/field_name")) {
                ("custom_field", _) => format!("{CUSTOM}{}", part("/field/custom_field_id")),
                (_, "email") => "emails".to_owned(),
                (_, "phone") => "phones".to_owned(),
                (_, name) => name.to_owned(),
            };
            let several = matches!(name.as_str(), "emails" | "phones");
            let held = record.fields.get(&name).map(String::as_str).unwrap_or_default();
            let same = |held: &str| held.eq_ignore_ascii_case(part("/condition/value"));
            if several { held.split(';').any(same) } else { same(held) }
        }
        _ => true,
    }
}

impl Vendor for Close {
    fn answer(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        if call.header("authorization") != Some(BASIC) {
            return Answer::json(401, &json!({ "error": "The server could not verify that you are authorized." }));
        }
        let (method, path) = call.route();
        let ["api", "v1", rest @ ..] = path.as_slice() else { return missing() };
        let number = |id: &str| id.strip_prefix("cont_").unwrap_or_default().to_owned();
        match (method, rest) {
            ("GET", ["me"]) => Answer::json(200, &json!({ "id": "user_1", "email": "ada@example.com" })),
            ("GET", ["custom_field", "contact"]) => {
                let field = |(id, name): (&String, &String)| json!({ "id": id, "name": name, "type": "text" });
                Answer::json(200, &json!({ "data": self.custom.iter().map(field).collect::<Vec<_>>(), "has_more": false }))
            }
            ("POST", ["custom_field", "contact"]) => {
                let name = text(&call.json(), "name").to_owned();
                if name.is_empty() || text(&call.json(), "type") != "text" {
                    return refusal("name", "This field is required.");
                }
                // The id is Close's to choose.
                let id = format!("cf_{:012}", self.custom.len() + 1);
                self.custom.insert(id.clone(), name.clone());
                Answer::json(200, &json!({ "id": id, "name": name, "type": "text" })).wrote()
            }
            (method, ["task", rest @ ..]) => self.on_tasks(method, rest, call, conditions, now_us),
            ("POST", ["data", "search"]) => self.search(call, conditions, now_us),
            ("POST", ["contact"]) => match self.fields(&call.json(), conditions) {
                Ok(mut fields) => {
                    if !fields.contains_key("lead_id") {
                        self.leads += 1;
                        fields.insert("lead_id".to_owned(), format!("lead_{}", self.leads));
                    }
                    let id = self.contacts.insert(fields.into_iter().filter(|(_, value)| !value.is_empty()).collect(), now_us);
                    self.contacts.get(&id).map_or_else(missing, |record| Answer::json(200, &Self::shown(record)).wrote())
                }
                Err(refusal) => refusal,
            },
            ("GET", ["contact", id]) => {
                self.contacts.get(&number(id)).map_or_else(missing, |record| Answer::json(200, &Self::shown(record)))
            }
            ("PUT", ["contact", id]) => match self.fields(&call.json(), conditions) {
                Ok(fields) => {
                    let id = number(id);
                    let changed = self.contacts.change(&id, fields, now_us);
                    let record = self.contacts.get(&id).filter(|_| changed);
                    record.map_or_else(missing, |record| Answer::json(200, &Self::shown(record)).wrote())
                }
                Err(refusal) => refusal,
            },
            ("DELETE", ["contact", id]) if self.contacts.remove(&number(id)) => Answer::json(200, &json!({})).wrote(),
            _ => missing(),
        }
    }

    fn limited(&self, wait_ms: u64, _: i64) -> Answer {
        let secs = wait_ms.div_ceil(1_000);
        let body = json!({ "error": "API call count exceeded for this interval", "rate_reset": secs, "rate_limit": 1 });
        Answer::json(429, &body).with("ratelimit", format!("limit=1, remaining=0, reset={secs}"))
    }

    fn state(&self) -> Value {
        let tasks = self.tasks.records.iter().map(|record| of_kind("task", true, record));
        self.contacts.iter().map(|record| json!(record.fields)).chain(tasks).collect()
    }
}

fn refusal(field: &str, message: &str) -> Answer {
    Answer::json(400, &json!({ "errors": [], "field-errors": { field: message } }))
}

fn missing() -> Answer {
    Answer::json(404, &json!({ "error": "Not Found" }))
}
