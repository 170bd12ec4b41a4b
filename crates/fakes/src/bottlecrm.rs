//! BottleCRM's API of contacts.
//!
//! After its OpenAPI file, and as measured with version 1.35: a list by page and by offset, which passes over filters that it does
//! not know; a second contact of an address is refused, one without an address is made as often as one asks; a custom field can
//! keep our id; making answers 200 and not 201.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{Answer, Call, Conditions, Vendor};

/// The personal access token that every fake takes.
pub const TOKEN: &str = "bcrm_pat_fake0000";
/// The custom field that keeps our id.
const OUR_ID: &str = "headwater_id";
/// Contacts of a page that names no limit.
const PAGE: usize = 10;

/// A contact, as its fields.
type Contact = Map<String, Value>;

/// An organisation of a BottleCRM.
#[derive(Debug, Default)]
pub struct BottleCrm {
    contacts: BTreeMap<String, Contact>,
    made: u64,
}

impl BottleCrm {
    /// Puts a contact there, as somebody does by hand.
    pub fn put(&mut self, id: &str, contact: &Value) {
        self.contacts.insert(id.to_owned(), contact.as_object().cloned().unwrap_or_default());
    }

    /// Every contact by id, without what is empty.
    #[must_use]
    pub fn contacts(&self) -> BTreeMap<String, Value> {
        let full = |contact: &Contact| Value::Object(contact.clone().into_iter().filter(|(_, value)| !is_empty(value)).collect());
        self.contacts.iter().map(|(id, contact)| (id.clone(), full(contact))).collect()
    }

    fn list(&self, call: &Call) -> Answer {
        let number = |name, otherwise| call.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let ours = |contact: &Contact| text(contact.get("custom_fields").and_then(|custom| custom.get(OUR_ID)));
        let wanted = |contact: &&Contact| {
            let by_email = call.parameter("email").is_none_or(|email| text(contact.get("email")).eq_ignore_ascii_case(email));
            by_email && call.parameter(&format!("cf_{OUR_ID}")).is_none_or(|id| ours(contact) == id)
        };
        let found: Vec<&Contact> = self.contacts.values().filter(wanted).collect();
        let page: Vec<&Contact> = found.iter().skip(number("offset", 0)).take(number("limit", PAGE)).copied().collect();
        Answer::json(200, &json!({ "results": page, "count": found.len() }))
    }

    fn make(&mut self, body: &Contact, conditions: &Conditions) -> Answer {
        let email = body.get("email").and_then(Value::as_str).unwrap_or_default();
        let has =
            |contact: &Contact| contact.get("email").and_then(Value::as_str).is_some_and(|held| held.eq_ignore_ascii_case(email));
        if !email.is_empty() && self.contacts.values().any(has) {
            return refused("email", "contact with this email already exists.");
        }
        if let Some(field) = refusal(body, conditions) {
            return refused(&field, "is not a valid choice.");
        }
        self.made += 1;
        let id = format!("00000000-0000-0000-0000-{:012}", self.made);
        let mut contact = body.clone();
        contact.insert("id".to_owned(), id.clone().into());
        self.contacts.insert(id.clone(), contact);
        Answer::json(200, &json!({ "error": false, "id": id })).wrote()
    }

    fn change(&mut self, id: &str, body: &Contact, conditions: &Conditions) -> Answer {
        let Some(contact) = self.contacts.get_mut(id) else { return missing() };
        if let Some(field) = refusal(body, conditions) {
            return refused(&field, "is not a valid choice.");
        }
        for (field, value) in body {
            match (field.as_str(), contact.get_mut("custom_fields"), value) {
                ("custom_fields", Some(Value::Object(held)), Value::Object(new)) => held.extend(new.clone()),
                _ => drop(contact.insert(field.clone(), value.clone())),
            }
        }
        Answer::json(200, &json!({ "error": false })).wrote()
    }
}

impl Vendor for BottleCrm {
    fn answer(&mut self, call: &Call, conditions: &Conditions, _: i64) -> Answer {
        if call.header("authorization").and_then(|header| header.strip_prefix("Bearer ")) != Some(TOKEN) {
            return Answer::json(403, &json!({ "detail": "Organization context is required." }));
        }
        let body = || call.json().as_object().cloned().unwrap_or_default();
        let (method, path) = call.route();
        match (method, path.as_slice()) {
            ("GET", ["api", "custom-fields", ..]) => {
                let field = json!({ "target_model": "Contact", "is_active": true, "key": OUR_ID, "label": "Headwater", "field_type": "text" });
                Answer::json(200, &json!({ "definitions": [field] }))
            }
            ("GET", ["api", "contacts"]) => self.list(call),
            ("POST", ["api", "contacts"]) => self.make(&body(), conditions),
            ("GET", ["api", "contacts", id]) => match self.contacts.get(*id) {
                Some(contact) => Answer::json(200, &json!({ "contact_obj": contact })),
                None => missing(),
            },
            ("PATCH", ["api", "contacts", id]) => self.change(id, &body(), conditions),
            ("DELETE", ["api", "contacts", id]) => match self.contacts.remove(*id) {
                Some(_) => Answer::json(200, &json!({ "error": false })).wrote(),
                None => missing(),
            },
            _ => missing(),
        }
    }

    fn limited(&self, wait_ms: u64, _: i64) -> Answer {
        let body = json!({ "detail": "Request was throttled." });
        Answer::json(429, &body).with("retry-after", wait_ms.div_ceil(1_000).to_string())
    }

    fn state(&self) -> Value {
        self.contacts().into_values().collect()
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(object) => object.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    }
}

fn refusal(body: &Contact, conditions: &Conditions) -> Option<String> {
    let bad = |value: &Value| value.as_str().is_some_and(|text| conditions.refuses(text));
    body.iter().find(|(_, value)| bad(value)).map(|(field, _)| field.clone())
}

fn missing() -> Answer {
    Answer::json(404, &json!({ "detail": "Not found." }))
}

fn refused(field: &str, message: &str) -> Answer {
    let errors = Map::from_iter([(field.to_owned(), json!([message]))]);
    Answer::json(400, &json!({ "error": true, "errors": errors }))
}
