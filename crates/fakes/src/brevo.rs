//! Brevo's API of contacts, version 3.
//!
//! After developers.brevo.com: an address and an `ext_id` belong to one contact alone; who unsubscribed is `emailBlacklisted`, or
//! stands in `listUnsubscribed` for a list; a changed address of a blocklisted contact takes the blocklisting away; adding to a list
//! that was unsubscribed from subscribes again; an attribute that the account lacks is passed over; calls too many get 429 with
//! `x-sib-ratelimit-reset` in seconds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::call::{instant, list};
use crate::{Answer, Call, Conditions, Record, Records, Vendor};

/// The API key that every fake takes.
pub const KEY: &str = "xkeysib-fake-0000";
const EMAIL: &str = "email";
const EXT_ID: &str = "ext_id";
const LISTS: &str = "listIds";
/// The lists that every fake has.
const KNOWN_LISTS: [&str; 2] = ["3", "7"];
const LEFT: &str = "listUnsubscribed";
const BLOCKED: &str = "emailBlacklisted";
/// What stands before the name of an attribute.
const ATTRIBUTE: &str = "attributes.";

/// A Brevo account with contacts.
#[derive(Debug)]
pub struct Brevo {
    contacts: Records,
    attributes: BTreeSet<String>,
}

impl Default for Brevo {
    fn default() -> Self {
        let attributes = ["FIRSTNAME", "LASTNAME", "SMS"].map(str::to_owned).into();
        Self { contacts: Records::starting_at(31, &[EMAIL, EXT_ID]), attributes }
    }
}

impl Brevo {
    /// Its contacts: `email`, `ext_id`, `attributes.NAME`, `emailBlacklisted`, and `listIds` and `listUnsubscribed` with `,` between.
    pub fn contacts(&mut self) -> &mut Records {
        &mut self.contacts
    }

    fn shown(&self, record: &Record) -> Value {
        let field = |name: &str| record.fields.get(name).map(String::as_str);
        let mut attributes: Map<String, Value> = Map::new();
        for name in &self.attributes {
            if let Some(value) = field(&format!("{ATTRIBUTE}{name}")) {
                attributes.insert(name.clone(), json!(value));
            }
        }
        if let Some(own) = field(EXT_ID) {
            attributes.insert("EXT_ID".to_owned(), json!(own));
        }
        json!({ "id": record.id.parse::<u64>().unwrap_or_default(), "email": field(EMAIL), "emailBlacklisted": field(BLOCKED) == Some("true"),
                "smsBlacklisted": false, "listIds": numbers(field(LISTS)), "listUnsubscribed": numbers(field(LEFT)),
                "attributes": attributes, "createdAt": instant(record.created_at), "modifiedAt": instant(record.updated_at) })
    }

    fn found(&self, identifier: &str, call: &Call) -> Option<&Record> {
        match call.parameter("identifierType") {
            Some(EXT_ID) => self.contacts.holder(EXT_ID, identifier),
            Some("email_id") => self.contacts.holder(EMAIL, identifier),
            Some("contact_id") => self.contacts.get(identifier),
            Some(_) => None,
            None => self.contacts.holder(EMAIL, identifier).or_else(|| self.contacts.get(identifier)),
        }
    }

    fn fields(&self, body: &Value, conditions: &Conditions) -> Result<BTreeMap<String, String>, Answer> {
        let mut fields = BTreeMap::new();
        for name in [EMAIL, EXT_ID] {
            if let Some(value) = body.get(name) {
                fields.insert(name.to_owned(), value.as_str().unwrap_or_default().to_owned());
            }
        }
        for (name, value) in body.get("attributes").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            match name.as_str() {
                "EMAIL" => drop(fields.insert(EMAIL.to_owned(), value)),
                name if self.attributes.contains(name) => drop(fields.insert(format!("{ATTRIBUTE}{name}"), value)),
                // What it does not know, Brevo passes over.
                _ => {}
            }
        }
        let bad = |(name, value): &(&String, &String)| conditions.refuses(value) || *name == EMAIL && !value.contains('@');
        match fields.iter().find(bad) {
            Some((name, value)) => Err(error(400, "invalid_parameter", &format!("Invalid {name}: {value}"))),
            None => Ok(fields),
        }
    }

    fn write(&mut self, id: Option<String>, body: &Value, conditions: &Conditions, now_us: i64) -> Answer {
        let mut fields = match self.fields(body, conditions) {
            Ok(fields) => fields,
            Err(refusal) => return refusal,
        };
        if let Some((field, _)) = self.contacts.conflict(&fields, id.as_deref()) {
            let message = format!("Unable to write the contact, {field} is already associated with another Contact");
            return error(400, "duplicate_parameter", &message);
        }
        let held = id.as_ref().and_then(|id| self.contacts.get(id)).map(|record| record.fields.clone()).unwrap_or_default();
        let set = |name: &str| -> BTreeSet<u64> { numbers(held.get(name).map(String::as_str)).into_iter().collect() };
        let (mut lists, mut left) = (set(LISTS), set(LEFT));
        for joined in list(body, "listIds").iter().filter_map(Value::as_u64) {
            lists.insert(joined);
            left.remove(&joined);
        }
        for gone in list(body, "unlinkListIds").iter().filter_map(Value::as_u64) {
            lists.remove(&gone);
        }
        let written = |set: BTreeSet<u64>| set.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        fields.insert(LISTS.to_owned(), written(lists));
        fields.insert(LEFT.to_owned(), written(left));
        if fields.get(EMAIL).is_some_and(|email| held.get(EMAIL).is_some_and(|held| held != email)) {
            fields.insert(BLOCKED.to_owned(), String::new());
        }
        match id {
            Some(id) if self.contacts.change(&id, fields.clone(), now_us) => Answer::empty(204).wrote(),
            Some(_) => missing(),
            None if !fields.contains_key(EMAIL) => error(400, "missing_parameter", "email is missing"),
            None => {
                let id = self.contacts.insert(fields.into_iter().filter(|(_, value)| !value.is_empty()).collect(), now_us);
                Answer::json(201, &json!({ "id": id.parse::<u64>().unwrap_or_default() })).wrote()
            }
        }
    }
}

impl Brevo {
    /// Puts contacts on a list or takes them off. Brevo refuses a call in which nobody is moved.
    fn move_members(&mut self, id: u64, adds: bool, body: &Value, conditions: &Conditions, now_us: i64) -> Answer {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for contact in list(body, "ids") {
            let on = |record: &Record| numbers(record.fields.get(LISTS).map(String::as_str)).contains(&id);
            match self.contacts.get(&contact.to_string()) {
                Some(record) if on(record) != adds => good.push(contact.clone()),
                _ => bad.push(contact.clone()),
            }
        }
        let what = if adds { "listIds" } else { "unlinkListIds" };
        for contact in &good {
            self.write(Some(contact.to_string()), &json!({ what: [id] }), conditions, now_us);
        }
        if good.is_empty() {
            return error(400, "invalid_parameter", "Contact already in list and/or does not exist");
        }
        Answer::json(201, &json!({ "contacts": { "success": good, "failure": bad, "total": good.len() } })).wrote()
    }
}

impl Vendor for Brevo {
    fn answer(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        if call.header("api-key") != Some(KEY) {
            return error(401, "unauthorized", "Key not found");
        }
        let (method, path) = call.route();
        match (method, path.as_slice()) {
            ("GET", ["v3", "account"]) => Answer::json(200, &json!({ "email": "ada@example.com", "plan": [] })),
            ("GET", ["v3", "contacts", "attributes"]) => {
                let attribute = |name: &String| json!({ "name": name, "category": "normal", "type": "text" });
                Answer::json(200, &json!({ "attributes": self.attributes.iter().map(attribute).collect::<Vec<_>>() }))
            }
            ("GET", ["v3", "contacts", "lists", id]) if KNOWN_LISTS.contains(id) => {
                Answer::json(200, &json!({ "id": id, "name": "List" }))
            }
            ("POST", ["v3", "contacts", "lists", id, "contacts", verb @ ("add" | "remove")]) if KNOWN_LISTS.contains(id) => {
                let (id, adds) = (id.parse().unwrap_or_default(), *verb == "add");
                self.move_members(id, adds, &call.json(), conditions, now_us)
            }
            ("GET" | "POST", ["v3", "contacts", "lists", ..]) => missing(),
            ("POST", ["v3", "contacts"]) => self.write(None, &call.json(), conditions, now_us),
            ("GET", ["v3", "contacts", identifier]) => {
                self.found(identifier, call).map_or_else(missing, |record| Answer::json(200, &self.shown(record)))
            }
            ("PUT", ["v3", "contacts", identifier]) => match self.found(identifier, call).map(|record| record.id.clone()) {
                Some(id) => self.write(Some(id), &call.json(), conditions, now_us),
                None => missing(),
            },
            ("DELETE", ["v3", "contacts", identifier]) => match self.found(identifier, call).map(|record| record.id.clone()) {
                Some(id) if self.contacts.remove(&id) => Answer::empty(204).wrote(),
                _ => missing(),
            },
            _ => missing(),
        }
    }

    fn limited(&self, wait_ms: u64, _: i64) -> Answer {
        error(429, "too_many_requests", "Too many requests").with("x-sib-ratelimit-reset", wait_ms.div_ceil(1_000).to_string())
    }

    fn state(&self) -> Value {
        self.contacts.iter().map(|record| json!(record.fields)).collect()
    }
}

fn numbers(text: Option<&str>) -> Vec<u64> {
    text.unwrap_or_default().split(',').filter_map(|number| number.parse().ok()).collect()
}

fn missing() -> Answer {
    error(404, "document_not_found", "Contact does not exist")
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({ "code": code, "message": message }))
}
