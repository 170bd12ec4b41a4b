//! Odoo's APIs of contacts: JSON-2, and the JSON-RPC of versions before it.
//!
//! After odoo.com/documentation/19.0 and 18.0: a call names a method and its arguments, and is one transaction: it does everything or
//! nothing. `false` stands where a field is empty; nothing is unique. JSON-RPC answers 200 whatever happens, with `result` or `error`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::call::{instant, list, of_kind, text};
use crate::tasks::{self, Tasks};
use crate::{Answer, Call, Conditions, Record, Records, Vendor};

/// The API key that every fake takes.
pub const KEY: &str = "odoo-fake-0000";
/// The number of the user whose key it is.
pub const USER: u64 = 2;
/// The database that every fake has.
pub const DATABASE: &str = "example";

/// The models that are there.
const MODELS: [&str; 4] = ["res.partner", "mail.activity", "ir.model", "ir.model.fields"];
/// What may be said of an activity, beside whom it is about.
const ACTIVITY: [&str; 5] = ["summary", "note", "date_deadline", "user_id", "activity_type_id"];

/// An Odoo database with contacts.
#[derive(Debug)]
pub struct Odoo {
    contacts: Records,
    fields: BTreeSet<String>,
    /// Activities, each about a contact.
    activities: Tasks,
}

impl Default for Odoo {
    fn default() -> Self {
        let fields = ["name", "email", "phone", "city", "is_company", "website", "vat", "company_registry", "parent_id"];
        let fields = fields.map(str::to_owned).into();
        Self { contacts: Records::starting_at(41, &[]), fields, activities: Tasks::new(8_001, &ACTIVITY) }
    }
}

impl Odoo {
    /// Makes a field of contacts, as an administrator would.
    pub fn add_field(&mut self, name: &str) {
        self.fields.insert(name.to_owned());
    }

    /// Makes a field of activities, as an administrator would.
    pub fn add_activity_field(&mut self, name: &str) {
        self.activities.fields.push(name.to_owned());
    }

    /// Its activities.
    pub fn activities(&mut self) -> &mut Records {
        &mut self.activities.records
    }

    /// Its contacts.
    pub fn contacts(&mut self) -> &mut Records {
        &mut self.contacts
    }

    fn shown(&self, record: &Record) -> Value {
        let value = |name: &String| match record.fields.get(name) {
            Some(held) if name == "is_company" => json!(held == "true"),
            Some(held) if name == "parent_id" => {
                let parent = self.contacts.get(held).and_then(|parent| parent.fields.get("name"));
                json!([held.parse::<u64>().unwrap_or_default(), parent])
            }
            Some(held) => json!(held),
            None => json!(false),
        };
        let mut shown: Map<String, Value> = self.fields.iter().map(|name| (name.clone(), value(name))).collect();
        shown.insert("id".to_owned(), json!(record.id.parse::<u64>().unwrap_or_default()));
        shown.insert("write_date".to_owned(), json!(instant(record.updated_at).replace('T', " ")));
        shown.into()
    }

    fn values(&self, vals: &Value, conditions: &Conditions) -> Result<BTreeMap<String, String>, Answer> {
        let mut fields = BTreeMap::new();
        for (name, value) in vals.as_object().into_iter().flatten() {
            let value = match value {
                _ if !self.fields.contains(name) => {
                    return Err(error(422, &format!("Invalid field '{name}' on model 'res.partner'")));
                }
                Value::Bool(flag) if name == "is_company" => flag.to_string(),
                Value::Number(id) if name == "parent_id" => match self.contacts.get(&id.to_string()) {
                    Some(parent) => parent.id.clone(),
                    None => return Err(error(422, "parent_id: Record does not exist or has been deleted.")),
                },
                Value::Bool(false) => String::new(),
                Value::String(text) if name != "parent_id" => text.clone(),
                _ => return Err(error(422, &format!("Wrong value for {name}"))),
            };
            // A site without a scheme gets one.
            let value = match name.as_str() {
                "website" if !value.is_empty() && !value.contains("://") => format!("http://{value}"),
                _ => value,
            };
            if conditions.refuses(&value) {
                return Err(error(422, &format!("{name}: '{value}' is not valid")));
            }
            fields.insert(name.clone(), value);
        }
        Ok(fields)
    }

    fn create(&mut self, body: &Value, conditions: &Conditions, now_us: i64) -> Answer {
        let rows: Result<Vec<_>, Answer> = list(body, "vals_list").iter().map(|vals| self.values(vals, conditions)).collect();
        let rows = match rows {
            Ok(rows) => rows,
            Err(refusal) => return refusal,
        };
        if rows.iter().any(|row| row.get("name").is_none_or(String::is_empty)) {
            return error(422, "Contacts require a name");
        }
        let filled = |row: BTreeMap<String, String>| row.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let ids = rows.into_iter().map(|row| self.contacts.insert(filled(row), now_us));
        let ids: Vec<u64> = ids.filter_map(|id| id.parse().ok()).collect();
        Answer::json(200, &json!(ids)).wrote()
    }

    /// The contacts that all leaves of a domain let through.
    fn search(&self, body: &Value) -> Answer {
        let fits = |record: &Record, leaf: &Value| {
            let shown = self.shown(record);
            let field = leaf.get(0).and_then(Value::as_str).unwrap_or_default();
            let held = if field == "email_normalized" {
                json!(record.fields.get("email").map(|email| email.to_lowercase()))
            } else {
                shown.get(field).cloned().unwrap_or_default()
            };
            match (leaf.get(1).and_then(Value::as_str), leaf.get(2)) {
                (Some("="), Some(value)) => held == *value,
                (Some("in"), Some(Value::Array(values))) => values.contains(&held),
                _ => false,
            }
        };
        let found = self.contacts.iter().filter(|record| list(body, "domain").iter().all(|leaf| fits(record, leaf)));
        Answer::json(200, &found.map(|record| self.shown(record)).collect())
    }

    /// The contacts that a call names, if all of them exist.
    fn named(&self, body: &Value) -> Result<Vec<String>, Answer> {
        let ids: Vec<String> = list(body, "ids").iter().map(ToString::to_string).collect();
        let all = ids.iter().all(|id| self.contacts.get(id).is_some());
        if all { Ok(ids) } else { Err(error(404, "Record does not exist or has been deleted.")) }
    }
}

impl Vendor for Odoo {
    fn answer(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        if call.route() == ("POST", vec!["jsonrpc"]) {
            return self.remote_call(&call.json(), conditions, now_us);
        }
        if call.header("authorization") != Some(&format!("Bearer {KEY}")) || call.header("x-odoo-database") != Some(DATABASE) {
            return error(401, "Invalid apikey");
        }
        let body = call.json();
        let (method, path) = call.route();
        match (method, path.as_slice()) {
            ("POST", ["json", "2", model, verb]) if MODELS.contains(model) => {
                let (model, verb) = ((*model).to_owned(), (*verb).to_owned());
                self.on_model(&model, &verb, &body, conditions, now_us)
            }
            _ => error(404, "not found"),
        }
    }

    fn limited(&self, wait_ms: u64, _: i64) -> Answer {
        error(429, "Too Many Requests").with("retry-after", wait_ms.div_ceil(1_000).to_string())
    }

    fn state(&self) -> Value {
        let company = |record: &Record| record.fields.get("is_company").is_some_and(|held| held == "true");
        let activities = self.activities.records.iter().map(|record| of_kind("activity", true, record));
        self.contacts.iter().map(|record| of_kind("company", company(record), record)).chain(activities).collect()
    }
}

impl Odoo {
    /// `execute_kw` of JSON-RPC: the named arguments of JSON-2 by their places.
    fn remote_call(&mut self, body: &Value, conditions: &Conditions, now_us: i64) -> Answer {
        let failed = |name: &str, message: &str| {
            let data = json!({ "name": name, "message": message, "arguments": [message], "debug": "" });
            Answer::json(
                200,
                &json!({ "jsonrpc": "2.0", "id": body.get("id"), "error": { "code": 200, "message": "Odoo Server Error", "data": data } }),
            )
        };
        let params = body.get("params").unwrap_or(&Value::Null);
        let args = list(params, "args");
        let at = |place: usize| args.get(place).cloned().unwrap_or_default();
        let model = at(3);
        let model = model.as_str().filter(|model| MODELS.contains(model)).unwrap_or_default();
        if text(params, "method") != "execute_kw" || model.is_empty() {
            return failed("builtins.Exception", "Method not found");
        }
        if (at(0), at(1), at(2)) != (json!(DATABASE), json!(USER), json!(KEY)) {
            return failed("odoo.exceptions.AccessDenied", "Access Denied");
        }
        let (verb, given, mut named) = (at(4), at(5), at(6));
        let verb = verb.as_str().unwrap_or_default();
        let names: &[&str] = match verb {
            "search_count" | "search_read" => &["domain"],
            "fields_get" => &["allfields"],
            "create" => &["vals_list"],
            "search" => &["domain"],
            "write" => &["ids", "vals"],
            "unlink" => &["ids"],
            _ => &[],
        };
        if named.is_null() {
            named = json!({});
        }
        for (name, value) in names.iter().zip(given.as_array().into_iter().flatten()) {
            if let Some(named) = named.as_object_mut() {
                named.insert((*name).to_owned(), value.clone());
            }
        }
        let answer = self.on_model(model, verb, &named, conditions, now_us);
        let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        if answer.status != 200 {
            return failed(text(&said, "name"), text(&said, "message"));
        }
        let out = Answer::json(200, &json!({ "jsonrpc": "2.0", "id": body.get("id"), "result": said }));
        if answer.wrote { out.wrote() } else { out }
    }

    fn on_model(&mut self, model: &str, verb: &str, body: &Value, conditions: &Conditions, now_us: i64) -> Answer {
        match (model, verb) {
            ("res.partner", _) => self.run(verb, body, conditions, now_us),
            ("mail.activity", _) => self.on_activities(verb, body, conditions, now_us),
            ("ir.model", "search_read") => {
                let wanted = body.pointer("/domain/0/2").and_then(Value::as_str).unwrap_or_default();
                let place = MODELS.iter().position(|model| *model == wanted);
                Answer::json(200, &place.into_iter().map(|place| json!({ "id": 80 + place })).collect())
            }
            ("ir.model.fields", "create") => {
                let vals = list(body, "vals_list").first().cloned().unwrap_or_default();
                let name = text(&vals, "name");
                if !name.starts_with("x_") || text(&vals, "ttype") != "char" {
                    return error(422, "Custom fields must have a name that starts with 'x_' !");
                }
                match vals.get("model_id").and_then(Value::as_u64) {
                    Some(80) if !self.fields.insert(name.to_owned()) => {
                        return error(422, "Field names must be unique per model.");
                    }
                    Some(80) => {}
                    Some(81) => self.add_activity_field(name),
                    _ => return error(422, "model_id: Record does not exist or has been deleted."),
                }
                Answer::json(200, &json!([901])).wrote()
            }
            _ => error(404, "the method does not exist"),
        }
    }

    /// Activities are about the record that `res_model` and `res_id` name; the model comes of the context.
    fn on_activities(&mut self, verb: &str, body: &Value, conditions: &Conditions, now_us: i64) -> Answer {
        let ids: Vec<String> = list(body, "ids").iter().map(ToString::to_string).collect();
        match verb {
            "search_count" => Answer::json(200, &json!(self.activities.records.len())),
            "fields_get" => {
                let fields = self.activities.fields.iter().map(String::as_str).chain(["res_id"]);
                let field = |name: &str| (name.to_owned(), json!({ "string": name, "readonly": false }));
                Answer::json(200, &fields.map(field).collect::<Map<String, Value>>().into())
            }
            "search_read" => {
                let shown = self.activities.records.iter().map(|record| self.activity(record));
                let fits = |record: &Value, leaf: &Value| {
                    let held = record.get(leaf.get(0).and_then(Value::as_str).unwrap_or_default());
                    match (leaf.get(1).and_then(Value::as_str), leaf.get(2)) {
                        (Some("="), wanted) => held == wanted,
                        (Some("in"), Some(Value::Array(wanted))) => held.is_some_and(|held| wanted.contains(held)),
                        _ => false,
                    }
                };
                let found = shown.filter(|record| list(body, "domain").iter().all(|leaf| fits(record, leaf)));
                Answer::json(200, &found.collect())
            }
            "create" => self.schedule(body, conditions, now_us),
            "write" | "unlink" if !ids.iter().all(|id| self.activities.records.get(id).is_some()) => {
                error(404, "Record does not exist or has been deleted.")
            }
            "write" => {
                let vals = body.get("vals").and_then(Value::as_object).cloned().unwrap_or_default();
                match self.activities.read(&vals, conditions) {
                    Ok(fields) => {
                        for id in &ids {
                            self.activities.records.change(id, fields.clone(), now_us);
                        }
                        Answer::json(200, &json!(true)).wrote()
                    }
                    Err(field) => error(422, &format!("Invalid field '{field}' on model 'mail.activity'")),
                }
            }
            "unlink" => {
                for id in &ids {
                    self.activities.records.remove(id);
                }
                Answer::json(200, &json!(true)).wrote()
            }
            _ => error(404, "the method does not exist"),
        }
    }

    fn activity(&self, record: &Record) -> Value {
        let mut shown = self.activities.shown(record, "write_date");
        for value in shown.values_mut().filter(|value| value.is_null()) {
            *value = json!(false);
        }
        let person = tasks::person(record).parse::<u64>().unwrap_or_default();
        shown.insert("id".to_owned(), json!(record.id.parse::<u64>().unwrap_or_default()));
        shown.insert("res_id".to_owned(), json!(person));
        shown.insert("res_model".to_owned(), json!("res.partner"));
        shown.into()
    }

    /// One call is one transaction.
    fn schedule(&mut self, body: &Value, conditions: &Conditions, now_us: i64) -> Answer {
        if body.pointer("/context/default_res_model") != Some(&json!("res.partner")) {
            return error(422, "Activities have to be linked to records with a not null res_id.");
        }
        let mut rows = Vec::new();
        for vals in list(body, "vals_list") {
            let mut vals = vals.as_object().cloned().unwrap_or_default();
            let person = vals.remove("res_id").filter(Value::is_number).map(|id| id.to_string()).unwrap_or_default();
            if self.contacts.get(&person).is_none() {
                return error(422, "res_id: Record does not exist or has been deleted.");
            }
            match self.activities.read(&vals, conditions) {
                Ok(fields) => rows.push((fields, person)),
                Err(field) => return error(422, &format!("Invalid field '{field}' on model 'mail.activity'")),
            }
        }
        let made = rows.into_iter().map(|(fields, person)| self.activities.make(fields, &person, now_us).id);
        Answer::json(200, &made.filter_map(|id| id.parse::<u64>().ok()).collect()).wrote()
    }

    fn run(&mut self, verb: &str, body: &Value, conditions: &Conditions, now_us: i64) -> Answer {
        match verb {
            "search_count" => Answer::json(200, &json!(self.contacts.len())),
            "fields_get" => {
                let field = |name: &String| (name.clone(), json!({ "string": name, "readonly": false }));
                Answer::json(200, &self.fields.iter().map(field).collect::<Map<String, Value>>().into())
            }
            "search_read" => self.search(body),
            "create" => self.create(body, conditions, now_us),
            "write" => match (self.named(body), self.values(body.get("vals").unwrap_or(&Value::Null), conditions)) {
                (Ok(ids), Ok(fields)) => {
                    for id in ids {
                        self.contacts.change(&id, fields.clone(), now_us);
                    }
                    Answer::json(200, &json!(true)).wrote()
                }
                (Err(refusal), _) | (_, Err(refusal)) => refusal,
            },
            "unlink" => match self.named(body) {
                Ok(ids) => {
                    for id in ids {
                        self.contacts.remove(&id);
                    }
                    Answer::json(200, &json!(true)).wrote()
                }
                Err(refusal) => refusal,
            },
            _ => error(404, "the method does not exist"),
        }
    }
}

fn error(status: u16, message: &str) -> Answer {
    let name = if status == 422 { "odoo.exceptions.ValidationError" } else { "werkzeug.exceptions" };
    Answer::json(status, &json!({ "name": name, "message": message, "arguments": [message], "context": {} }))
}
