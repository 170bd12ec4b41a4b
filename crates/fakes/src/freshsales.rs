//! Freshsales' API of contacts.
//!
//! After developers.freshworks.com/crm: the key goes into `Authorization: Token token=…`; a body holds a `contact`; an address belongs
//! to one contact alone; a task is about a `targetable` and shows with its contact where that is asked for (`include=tasks`);
//! own fields stand under `custom_field` and begin with `cf_`; a lookup is by one field and lags; calls too
//! many get 429 with `Retry-After` in seconds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::call::{instant, of_kind};
use crate::tasks::{self, Tasks};
use crate::{Answer, Call, Conditions, Record, Records, Vendor};

/// The API key that every fake takes.
pub const KEY: &str = "freshsales-fake-0000";
/// What stands before the name of an own field.
const CUSTOM: &str = "custom_field.";
/// What may be said of a task, beside whom it is about.
const TASK: [&str; 5] = ["title", "description", "due_date", "owner_id", "task_type_id"];
const FIELDS: [&str; 6] = ["first_name", "last_name", "email", "mobile_number", "job_title", "city"];

/// A Freshsales account with contacts.
#[derive(Debug)]
pub struct Freshsales {
    contacts: Records,
    custom: BTreeSet<String>,
    tasks: Tasks,
}

impl Default for Freshsales {
    fn default() -> Self {
        Self { contacts: Records::starting_at(70_001, &["email"]), custom: BTreeSet::new(), tasks: Tasks::new(8_001, &TASK) }
    }
}

impl Freshsales {
    /// Makes a text field of contacts (`cf_…`), as an administrator would.
    pub fn add_field(&mut self, name: &str) {
        self.custom.insert(name.to_owned());
    }

    /// Its contacts: fields by name, own ones as `custom_field.cf_…`.
    pub fn contacts(&mut self) -> &mut Records {
        &mut self.contacts
    }

    fn shown(&self, record: &Record) -> Value {
        let field = |name: &str| json!(record.fields.get(name));
        let mut shown: Map<String, Value> = FIELDS.iter().map(|name| ((*name).to_owned(), field(name))).collect();
        let custom = |name: &String| (name.clone(), field(&format!("{CUSTOM}{name}")));
        shown.insert("custom_field".to_owned(), Value::Object(self.custom.iter().map(custom).collect()));
        let emails = record.fields.get("email").map(|email| json!({ "value": email, "is_primary": true }));
        shown.insert("emails".to_owned(), emails.into_iter().collect());
        shown.insert("id".to_owned(), json!(record.id.parse::<u64>().unwrap_or_default()));
        shown.insert("updated_at".to_owned(), json!(instant(record.updated_at)));
        shown.into()
    }

    fn fields(&self, body: &Value, conditions: &Conditions) -> Result<BTreeMap<String, String>, Answer> {
        let mut fields = BTreeMap::new();
        let Some(contact) = body.get("contact").and_then(Value::as_object) else {
            return Err(refusal(400, "contact is missing"));
        };
        let own = contact.get("custom_field").and_then(Value::as_object);
        let own = own.into_iter().flatten().map(|(name, value)| (format!("{CUSTOM}{name}"), value));
        let plain = contact.iter().filter(|(name, _)| *name != "custom_field").map(|(name, value)| (name.clone(), value));
        for (name, value) in plain.chain(own) {
            let known =
                FIELDS.contains(&name.as_str()) || name.strip_prefix(CUSTOM).is_some_and(|name| self.custom.contains(name));
            let given = match value {
                Value::String(text) if known => text.clone(),
                Value::Null if known => String::new(),
                _ => return Err(refusal(400, &format!("{name} is not a field of contacts"))),
            };
            if conditions.refuses(&given) || name == "email" && !given.is_empty() && !given.contains('@') {
                return Err(refusal(400, &format!("{name} is invalid: {given}")));
            }
            fields.insert(name, given);
        }
        Ok(fields)
    }

    fn write(&mut self, id: Option<String>, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let fields = match self.fields(&call.json(), conditions) {
            Ok(fields) => fields,
            Err(refusal) => return refusal,
        };
        if self.contacts.conflict(&fields, id.as_deref()).is_some() {
            return refusal(400, "The email already exists");
        }
        let id = match id {
            Some(id) if self.contacts.change(&id, fields.clone(), now_us) => id,
            Some(_) => return missing(),
            None => self.contacts.insert(fields.into_iter().filter(|(_, value)| !value.is_empty()).collect(), now_us),
        };
        self.contacts.get(&id).map_or_else(missing, |record| Answer::json(200, &json!({ "contact": self.shown(record) })).wrote())
    }

    fn lookup(&self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let (Some(wanted), Some(field), Some("contact")) = (call.parameter("q"), call.parameter("f"), call.parameter("entities"))
        else {
            return refusal(400, "q, f and entities are required");
        };
        let name = match field {
            own if self.custom.contains(own) => format!("{CUSTOM}{own}"),
            "email" | "mobile_number" => field.to_owned(),
            _ => return refusal(400, &format!("{field} cannot be looked up")),
        };
        let lag_us = i64::try_from(conditions.search_lag_ms * 1_000).unwrap_or(i64::MAX);
        let fits = |record: &&Record| {
            now_us - record.updated_at >= lag_us && record.fields.get(&name).is_some_and(|held| held.eq_ignore_ascii_case(wanted))
        };
        let found: Vec<Value> = self.contacts.iter().filter(fits).map(|record| self.shown(record)).collect();
        Answer::json(200, &json!({ "contacts": { "contacts": found, "meta": { "total": found.len() } } }))
    }
}

impl Freshsales {
    /// Its tasks.
    pub fn tasks(&mut self) -> &mut Records {
        &mut self.tasks.records
    }

    fn task(&self, record: &Record) -> Value {
        let mut shown = self.tasks.shown(record, "updated_at");
        let number = |text: &str| json!(text.parse::<u64>().ok());
        shown.insert("id".to_owned(), number(&record.id));
        shown.insert("targetable_id".to_owned(), number(tasks::person(record)));
        shown.insert("targetable_type".to_owned(), json!("Contact"));
        shown.into()
    }

    fn on_tasks(&mut self, method: &str, rest: &[&str], call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let body = call.json();
        let mut task = body.get("task").and_then(Value::as_object).cloned().unwrap_or_default();
        match (method, rest) {
            ("GET", [id]) => match self.tasks.records.get(id) {
                Some(record) => Answer::json(200, &json!({ "task": self.task(record) })),
                None => missing(),
            },
            ("POST", []) => {
                let person = task.remove("targetable_id").and_then(|id| crate::call::scalar(&id)).unwrap_or_default();
                let is_contact = task.remove("targetable_type") == Some(json!("Contact"));
                if !is_contact || self.contacts.get(&person).is_none() {
                    return refusal(400, "targetable_id is invalid");
                }
                let filled = |name: &str| task.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
                if !filled("title") || !filled("due_date") {
                    return refusal(400, "title and due_date are required");
                }
                match self.tasks.read(&task, conditions) {
                    Ok(fields) => {
                        let made = self.tasks.make(fields, &person, now_us);
                        Answer::json(201, &json!({ "task": self.task(&made) })).wrote()
                    }
                    Err(field) => refusal(400, &format!("{field} is invalid")),
                }
            }
            ("PUT", [id]) => match self.tasks.read(&task, conditions) {
                Ok(fields) if self.tasks.records.change(id, fields.clone(), now_us) => {
                    let record = self.tasks.records.get(id).map(|record| self.task(record));
                    Answer::json(200, &json!({ "task": record })).wrote()
                }
                Ok(_) => missing(),
                Err(field) => refusal(400, &format!("{field} is invalid")),
            },
            ("DELETE", [id]) if self.tasks.records.remove(id) => Answer::json(200, &json!(true)).wrote(),
            _ => missing(),
        }
    }
}

impl Vendor for Freshsales {
    fn answer(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        if call.header("authorization") != Some(&format!("Token token={KEY}")) {
            return Answer::json(401, &json!({ "login": "failed", "message": "You must be logged in to perform this action." }));
        }
        let (method, path) = call.route();
        let ["crm", "sales", "api", rest @ ..] = path.as_slice() else { return missing() };
        match (method, rest) {
            ("GET", ["settings", "contacts", "fields"]) => {
                let own = self.custom.iter().map(String::as_str);
                let field = |name: &str| json!({ "name": name, "label": name, "read_only": false });
                Answer::json(200, &json!({ "fields": FIELDS.into_iter().chain(own).map(field).collect::<Vec<_>>() }))
            }
            (method, ["tasks", rest @ ..]) => self.on_tasks(method, rest, call, conditions, now_us),
            ("GET", ["contacts", id]) if call.parameter("include") == Some("tasks") => match self.contacts.get(id) {
                Some(record) => {
                    let tasks: Vec<Value> = self.tasks.about(id).map(|task| self.task(task)).collect();
                    Answer::json(200, &json!({ "contact": self.shown(record), "tasks": tasks }))
                }
                None => missing(),
            },
            ("GET", ["lookup"]) => self.lookup(call, conditions, now_us),
            ("GET", ["contacts", id]) => {
                self.contacts.get(id).map_or_else(missing, |record| Answer::json(200, &json!({ "contact": self.shown(record) })))
            }
            ("POST", ["contacts"]) => self.write(None, call, conditions, now_us),
            ("PUT", ["contacts", id]) => {
                let id = (*id).to_owned();
                self.write(Some(id), call, conditions, now_us)
            }
            ("DELETE", ["contacts", id]) if self.contacts.remove(id) => Answer::json(200, &json!(true)).wrote(),
            _ => missing(),
        }
    }

    fn limited(&self, wait_ms: u64, _: i64) -> Answer {
        refusal(429, "You have exceeded the limit of requests per hour").with("retry-after", wait_ms.div_ceil(1_000).to_string())
    }

    fn state(&self) -> Value {
        let tasks = self.tasks.records.iter().map(|record| of_kind("task", true, record));
        self.contacts.iter().map(|record| json!(record.fields)).chain(tasks).collect()
    }
}

fn refusal(code: u16, message: &str) -> Answer {
    Answer::json(code, &json!({ "errors": { "code": code, "message": [message] } }))
}

fn missing() -> Answer {
    refusal(404, "not found")
}
