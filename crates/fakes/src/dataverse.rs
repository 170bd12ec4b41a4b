//! Microsoft Dataverse's Web API of contacts, version 9.2.
//!
//! After learn.microsoft.com/power-apps/developer/data-platform: `PATCH` by an alternate key makes or changes a record (201 or 200
//! with `Prefer: return=representation`, else 204); `If-Match` guards a change by its ETag, and a wrong one gets 412 with
//! `0x80060882`; a value of an alternate key that another record has gets 412 with `0x80040237`, and what duplicate detection finds,
//! where the caller asks for it, 412 with `0x80040333`; `eq` does not heed case; calls too many get 429 with `Retry-After` in seconds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::call::{guid, instant, number_of};
use crate::tokens::Tokens;
use crate::{Answer, Call, Conditions, Record, Records, Vendor};

/// The client secret that every fake takes.
pub const SECRET: &str = "dataverse-fake-0000";
/// The directory that every fake is in.
pub const TENANT: &str = "example.onmicrosoft.com";
/// How long an access token lasts where nothing else is said.
const TOKEN_MS: u64 = 3_599_000;
/// Columns that are true or false.
const FLAGS: [&str; 2] = ["donotemail", "donotbulkemail"];

/// A Dataverse environment with contacts.
#[derive(Debug)]
pub struct Dataverse {
    contacts: Records,
    columns: BTreeSet<String>,
    keys: BTreeSet<String>,
    tokens: Tokens,
    touched: bool,
}

impl Default for Dataverse {
    fn default() -> Self {
        let columns = ["firstname", "lastname", "emailaddress1", "telephone1", "jobtitle", "address1_city"];
        Self {
            contacts: Records::starting_at(901, &[]),
            columns: columns.iter().chain(&FLAGS).map(|name| (*name).to_owned()).collect(),
            keys: BTreeSet::new(),
            tokens: Tokens::new("eyJ.fake.", TOKEN_MS),
            touched: false,
        }
    }
}

impl Dataverse {
    /// Makes a text column with an alternate key, as an administrator would.
    pub fn add_key(&mut self, column: &str) {
        self.columns.insert(column.to_owned());
        self.keys.insert(column.to_owned());
        self.contacts.make_unique(column);
    }

    /// Its contacts.
    pub fn contacts(&mut self) -> &mut Records {
        &mut self.contacts
    }

    /// Lets another user change a contact just before the next change of it by its id.
    pub fn touch_before_next_update(&mut self) {
        self.touched = true;
    }

    fn shown(&self, record: &Record) -> Value {
        let value = |name: &String| match record.fields.get(name) {
            held if FLAGS.contains(&name.as_str()) => json!(held.is_some_and(|held| held == "true")),
            held => json!(held),
        };
        let mut shown: Map<String, Value> = self.columns.iter().map(|name| (name.clone(), value(name))).collect();
        shown.insert("@odata.etag".to_owned(), json!(etag(record)));
        shown.insert("contactid".to_owned(), json!(guid(&record.id)));
        shown.insert("modifiedon".to_owned(), json!(instant(record.updated_at)));
        shown.into()
    }

    fn values(&self, body: &Value, conditions: &Conditions) -> Result<BTreeMap<String, String>, Answer> {
        let mut fields = BTreeMap::new();
        for (name, value) in body.as_object().into_iter().flatten() {
            let flag = FLAGS.contains(&name.as_str());
            let given = match value {
                _ if !self.columns.contains(name) => {
                    return Err(error(400, "0x80048d19", &format!("Invalid property '{name}' was found in entity 'contact'.")));
                }
                Value::Bool(value) if flag => value.to_string(),
                Value::String(value) if !flag => value.clone(),
                Value::Null => String::new(),
                _ => return Err(error(400, "0x80048d19", &format!("Cannot convert the value of '{name}' to its type."))),
            };
            if conditions.refuses(&given) {
                return Err(error(400, "0x80040203", &format!("The value '{given}' of attribute {name} is not valid.")));
            }
            fields.insert(name.clone(), given);
        }
        Ok(fields)
    }

    /// `PATCH contacts(…)`: `by` is an alternate key and its value, or none for the record's id.
    fn patch(&mut self, by: &Key, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let mut fields = match self.values(&call.json(), conditions) {
            Ok(fields) => fields,
            Err(refusal) => return refusal,
        };
        let found = match by {
            Key::Id(id) => self.contacts.get(id).map(|record| record.id.clone()),
            Key::Alternate(column, value) if self.keys.contains(column) => {
                self.contacts.holder(column, value).map(|record| record.id.clone())
            }
            Key::Alternate(..) => return error(400, "0x80060888", "The specified key attributes are not a defined key."),
        };
        if let (true, Some(id)) = (std::mem::take(&mut self.touched), &found) {
            self.contacts.change(id, BTreeMap::from([("jobtitle".to_owned(), "Engineer".to_owned())]), now_us);
        }
        match (call.header("if-match"), found.as_ref().and_then(|id| self.contacts.get(id))) {
            (Some(_), None) => return missing(),
            (Some(tag), Some(record)) if tag != "*" && tag != etag(record) => {
                return error(
                    412,
                    "0x80060882",
                    "The version of the existing record doesn't match the RowVersion property provided.",
                );
            }
            _ => {}
        }
        if let Some((column, _)) = self.contacts.conflict(&fields, found.as_deref()) {
            let message = format!("A record with matching key values already exists. Entity Key: {column}");
            return error(412, "0x80040237", &message);
        }
        let email = fields.get("emailaddress1").filter(|email| !email.is_empty());
        let detects = call.header("mscrm.suppressduplicatedetection") == Some("false");
        let same = |record: &Record| Some(&record.id) != found.as_ref() && record.fields.get("emailaddress1") == email;
        if detects && email.is_some() && self.contacts.iter().any(same) {
            return error(
                412,
                "0x80040333",
                "A record was not created or updated because a duplicate of the current record already exists.",
            );
        }
        let (id, made) = match found {
            Some(id) => {
                self.contacts.change(&id, fields, now_us);
                (id, false)
            }
            None => {
                if let Key::Alternate(column, value) = by {
                    fields.insert(column.clone(), value.clone());
                }
                (self.contacts.insert(fields.into_iter().filter(|(_, value)| !value.is_empty()).collect(), now_us), true)
            }
        };
        match self.contacts.get(&id) {
            Some(record) if call.header("prefer").is_some_and(|prefer| prefer.contains("return=representation")) => {
                Answer::json(if made { 201 } else { 200 }, &self.shown(record)).wrote()
            }
            _ => Answer::empty(204).wrote(),
        }
    }

    fn query(&self, call: &Call) -> Answer {
        let Some(conditions) = call.parameter("$filter").and_then(filter) else {
            return error(400, "0x80060888", "Syntax error in the query.");
        };
        let known = |name: &str| name == "contactid" || self.columns.contains(name);
        if let Some((name, _)) = conditions.iter().find(|(name, _)| !known(name)) {
            return error(400, "0x80060888", &format!("Could not find a property named '{name}' on type 'contact'."));
        }
        let fits = |record: &&Record| {
            conditions.iter().any(|(name, value)| match name.as_str() {
                "contactid" => guid(&record.id) == *value,
                name => record.fields.get(name).is_some_and(|held| held.to_lowercase() == value.to_lowercase()),
            })
        };
        Answer::json(
            200,
            &json!({ "value": self.contacts.iter().filter(fits).map(|record| self.shown(record)).collect::<Vec<_>>() }),
        )
    }
}

enum Key {
    Id(String),
    Alternate(String, String),
}

/// What stands between the brackets of `contacts(…)`.
fn key(segment: &str) -> Option<Key> {
    let inner = segment.strip_prefix("contacts(")?.strip_suffix(')')?;
    match inner.split_once('=') {
        None => Some(Key::Id(number_of(inner))),
        Some((column, value)) => {
            let (value, rest) = literal(value)?;
            rest.is_empty().then(|| Key::Alternate(column.to_owned(), value))
        }
    }
}

/// A text of OData, in which two quotes are one, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('\'')?;
    let mut value = String::new();
    loop {
        let (part, after) = rest.split_once('\'')?;
        value.push_str(part);
        match after.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}

/// `a eq 'x' or a eq 'y'`; an id stands without quotes.
fn filter(text: &str) -> Option<Vec<(String, String)>> {
    let (mut out, mut rest) = (Vec::new(), text);
    loop {
        let (name, after) = rest.split_once(" eq ")?;
        let plain = |name: &str| name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if !plain(name) {
            return None;
        }
        let (value, after) = if after.starts_with('\'') {
            literal(after)?
        } else {
            let end = after.find(' ').unwrap_or(after.len());
            let (value, after) = after.split_at_checked(end)?;
            (value.to_owned(), after)
        };
        out.push((name.to_owned(), value));
        if after.is_empty() {
            return Some(out);
        }
        rest = after.strip_prefix(" or ")?;
    }
}

impl Vendor for Dataverse {
    fn answer(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let (method, path) = call.route();
        if (method, path.as_slice()) == ("POST", &[TENANT, "oauth2", "v2.0", "token"]) {
            let form = call.form();
            let field = |name: &str| form.get(name).map(String::as_str);
            let scope = field("scope").is_some_and(|scope| scope.ends_with("/.default"));
            if field("grant_type") != Some("client_credentials") || field("client_secret") != Some(SECRET) || !scope {
                let message = "AADSTS7000215: Invalid client secret provided.";
                return Answer::json(401, &json!({ "error": "invalid_client", "error_description": message }));
            }
            let token = self.tokens.issue(conditions, now_us);
            return Answer::json(200, &json!({ "token_type": "Bearer", "expires_in": 3_599, "access_token": token }));
        }
        let shown = call.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
        if !self.tokens.takes(shown, now_us) {
            return Answer::empty(401).with("www-authenticate", "Bearer");
        }
        let ["api", "data", "v9.2", rest @ ..] = path.as_slice() else { return missing() };
        match (method, rest) {
            ("GET", ["WhoAmI"]) => Answer::json(200, &json!({ "UserId": guid("1"), "OrganizationId": guid("2") })),
            ("GET", ["EntityDefinitions(LogicalName='contact')", "Attributes"]) => {
                let column = |name: &String| json!({ "LogicalName": name, "AttributeType": "String", "IsValidForUpdate": true });
                Answer::json(200, &json!({ "value": self.columns.iter().map(column).collect::<Vec<_>>() }))
            }
            ("GET", ["contacts"]) => self.query(call),
            ("PATCH", [segment]) => match key(segment) {
                Some(key) => self.patch(&key, call, conditions, now_us),
                None => error(400, "0x80060888", "Bad key in the address."),
            },
            ("DELETE", [segment]) => match key(segment) {
                Some(Key::Id(id)) if self.contacts.remove(&id) => Answer::empty(204).wrote(),
                _ => missing(),
            },
            _ => missing(),
        }
    }

    fn limited(&self, wait_ms: u64, _: i64) -> Answer {
        let message = "Number of requests exceeded the limit of 6000 over time window of 300 seconds.";
        error(429, "0x80072322", message).with("retry-after", wait_ms.div_ceil(1_000).to_string())
    }

    fn state(&self) -> Value {
        self.contacts.iter().map(|record| json!(record.fields)).collect()
    }
}

fn etag(record: &Record) -> String {
    format!("W/\"{}\"", 1_000 + record.version)
}

fn missing() -> Answer {
    error(404, "0x80040217", "Entity 'contact' With Id Does Not Exist")
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({ "error": { "code": code, "message": message } }))
}
