//! Salesforce's REST API of one object, with sObject collections.
//!
//! After developer.salesforce.com: collections of at most 200 with one answer a row, in the order of the rows; upsert by a field
//! marked as external id; duplicate rules refuse a row; too many requests of a day are refused with 403; sessions end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::call::{instant, list, text};
use crate::{Answer, Call, Conditions, Record, Records, Vendor};

/// The consumer key and secret that every fake takes.
pub const SECRET: &str = "salesforce-fake-0000";
/// Rows of one collection.
const MAX_ROWS: usize = 200;
/// How long a session lasts where nothing else is said.
const SESSION_MS: u64 = 7_200_000;

/// A Salesforce org with contacts.
#[derive(Debug)]
pub struct Salesforce {
    contacts: Records,
    fields: BTreeSet<String>,
    external: Option<String>,
    sessions: u64,
    ends_us: i64,
    locked: BTreeSet<String>,
    requests_left: u64,
}

impl Default for Salesforce {
    fn default() -> Self {
        let fields = ["FirstName", "LastName", "Email", "Phone", "Title", "MailingCity", "HasOptedOutOfEmail"];
        Self {
            contacts: Records::starting_at(3_000_000_000_001, &[]),
            fields: fields.map(str::to_owned).into(),
            external: None,
            sessions: 0,
            ends_us: 0,
            locked: BTreeSet::new(),
            requests_left: u64::MAX,
        }
    }
}

impl Salesforce {
    /// Makes a field that is marked as external id and unique.
    pub fn add_external_id(&mut self, name: &str) {
        self.fields.insert(name.to_owned());
        self.contacts.make_unique(name);
        self.external = Some(name.to_owned());
    }

    /// Its contacts.
    pub fn contacts(&mut self) -> &mut Records {
        &mut self.contacts
    }

    /// Lets the next write of a record find it locked.
    pub fn lock_once(&mut self, id: &str) {
        self.locked.insert(id.to_owned());
    }

    /// How many requests the org has left today.
    pub fn leave_requests(&mut self, requests: u64) {
        self.requests_left = requests;
    }

    fn session(&self) -> String {
        format!("00D-fake-{}", self.sessions)
    }

    fn shown(&self, record: &Record) -> Value {
        let mut shown: Map<String, Value> =
            self.fields.iter().map(|name| (name.clone(), json!(record.fields.get(name)))).collect();
        shown.insert("attributes".to_owned(), json!({ "type": "Contact" }));
        shown.insert("Id".to_owned(), json!(record.id));
        shown.insert("LastModifiedDate".to_owned(), json!(instant(record.updated_at).replace('Z', "+0000")));
        shown.into()
    }

    /// `SELECT FIELDS(ALL) FROM Contact WHERE Field IN ('…','…') LIMIT 200`.
    fn query(&self, call: &Call) -> Answer {
        let parsed = call.parameter("q").and_then(|q| {
            let (field, rest) = q.strip_prefix("SELECT FIELDS(ALL) FROM Contact WHERE ")?.split_once(" IN (")?;
            Some((field, literals(rest.strip_suffix(") LIMIT 200")?)?))
        });
        let Some((field, values)) = parsed else { return failure(400, "MALFORMED_QUERY", "unexpected token") };
        let fits = |record: &&Record| {
            let held = if field == "Id" { Some(&record.id) } else { record.fields.get(field) };
            held.is_some_and(|held| values.iter().any(|value| value.eq_ignore_ascii_case(held)))
        };
        let records: Vec<Value> = self.contacts.iter().filter(fits).take(MAX_ROWS).map(|record| self.shown(record)).collect();
        Answer::json(200, &json!({ "totalSize": records.len(), "done": true, "records": records }))
    }

    fn write(&mut self, call: &Call, by: Option<&str>, conditions: &Conditions, now_us: i64) -> Answer {
        let body = call.json();
        let rows = list(&body, "records");
        if rows.is_empty() || rows.len() > MAX_ROWS {
            return failure(400, "EXCEEDED_MAX_SIZE", "records: 1 to 200");
        }
        if by.is_some() && by != self.external.as_deref() {
            return failure(400, "INVALID_FIELD", "the field is not marked as an external id");
        }
        let allow = call.header("sforce-duplicate-rule-header").is_some_and(|header| header.contains("allowSave=true"));
        let each = |row: &Value| match self.row(row, by, (conditions, allow), now_us) {
            Ok((id, created)) => json!({ "id": id, "success": true, "errors": [], "created": created }),
            Err((code, message, fields)) => {
                json!({ "success": false, "errors": [{ "statusCode": code, "message": message, "fields": fields }] })
            }
        };
        let answers: Vec<Value> = rows.iter().map(each).collect();
        let any = answers.iter().any(|answer| answer.get("success") == Some(&json!(true)));
        let answer = Answer::json(200, &answers.into());
        if any { answer.wrote() } else { answer }
    }

    fn row(
        &mut self,
        row: &Value,
        by: Option<&str>,
        (conditions, allow): (&Conditions, bool),
        now_us: i64,
    ) -> Result<(String, bool), Refusal> {
        if row.pointer("/attributes/type") != Some(&json!("Contact")) {
            return Err(("INVALID_TYPE", "the type is missing".to_owned(), Vec::new()));
        }
        let mut fields = BTreeMap::new();
        for (name, value) in
            row.as_object().into_iter().flatten().filter(|(name, _)| !matches!(name.as_str(), "attributes" | "id"))
        {
            let wrong = |code, message: &str| Err((code, message.to_owned(), vec![name.clone()]));
            let value = match value {
                _ if !self.fields.contains(name) => return wrong("INVALID_FIELD", "no such column"),
                Value::Null => String::new(),
                Value::String(text) if name != "HasOptedOutOfEmail" => text.clone(),
                Value::Bool(flag) if name == "HasOptedOutOfEmail" => flag.to_string(),
                _ => return wrong("INVALID_TYPE_ON_FIELD_IN_RECORD", "value of a wrong type"),
            };
            if conditions.refuses(&value) {
                return wrong("INVALID_EMAIL_ADDRESS", &format!("{name}: invalid value: {value}"));
            }
            fields.insert(name.clone(), value);
        }
        let found = match by {
            Some(by) => fields.get(by).and_then(|value| self.contacts.holder(by, value)).map(|record| record.id.clone()),
            None => Some(text(row, "id").to_owned()),
        };
        if found.as_ref().is_some_and(|id| self.locked.remove(id)) {
            return Err(("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record".to_owned(), Vec::new()));
        }
        if let Some(id) = found {
            return match self.contacts.change(&id, fields, now_us) {
                true => Ok((id, false)),
                false => Err(("ENTITY_IS_DELETED", "entity is deleted".to_owned(), Vec::new())),
            };
        }
        if fields.get("LastName").is_none_or(String::is_empty) {
            return Err((
                "REQUIRED_FIELD_MISSING",
                "Required fields are missing: [LastName]".to_owned(),
                vec!["LastName".to_owned()],
            ));
        }
        let email = fields.get("Email").filter(|email| !email.is_empty());
        // The standard rule for duplicates only warns.
        if !allow && email.is_some_and(|email| self.contacts.iter().any(|record| record.fields.get("Email") == Some(email))) {
            return Err(("DUPLICATES_DETECTED", "Use one of these records?".to_owned(), Vec::new()));
        }
        Ok((self.contacts.insert(fields.into_iter().filter(|(_, value)| !value.is_empty()).collect(), now_us), true))
    }

    fn delete(&mut self, call: &Call) -> Answer {
        let ids = call.parameter("ids").unwrap_or_default();
        let gone = json!([{ "statusCode": "ENTITY_IS_DELETED", "message": "entity is deleted", "fields": [] }]);
        let each = |id: &str| match self.contacts.remove(id) {
            true => json!({ "id": id, "success": true, "errors": [] }),
            false => json!({ "id": id, "success": false, "errors": gone }),
        };
        Answer::json(200, &ids.split(',').map(each).collect()).wrote()
    }
}

type Refusal = (&'static str, String, Vec<String>);

impl Vendor for Salesforce {
    fn answer(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let (method, path) = call.route();
        if (method, path.as_slice()) == ("POST", &["services", "oauth2", "token"]) {
            let form = call.form();
            let field = |name: &str| form.get(name).map(String::as_str);
            if field("grant_type") != Some("client_credentials") || field("client_secret") != Some(SECRET) {
                return Answer::json(
                    400,
                    &json!({ "error": "invalid_client", "error_description": "invalid client credentials" }),
                );
            }
            self.sessions += 1;
            self.ends_us = now_us + i64::try_from(conditions.token_ms.unwrap_or(SESSION_MS) * 1_000).unwrap_or(i64::MAX / 2);
            // It does not say how long it lasts.
            return Answer::json(200, &json!({ "access_token": self.session(), "token_type": "Bearer" }));
        }
        let shown = call.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
        if self.sessions == 0 || shown != Some(&self.session()) || now_us >= self.ends_us {
            return failure(401, "INVALID_SESSION_ID", "Session expired or invalid");
        }
        if self.requests_left == 0 {
            return failure(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
        }
        self.requests_left -= 1;
        let ["services", "data", "v62.0", rest @ ..] = path.as_slice() else { return failure(404, "NOT_FOUND", "not found") };
        let answer = match (method, rest) {
            ("GET", ["sobjects", "Contact", "describe"]) => {
                let field = |name: &String| json!({ "name": name, "label": name, "updateable": true });
                Answer::json(200, &json!({ "fields": self.fields.iter().map(field).collect::<Vec<_>>() }))
            }
            ("GET", ["query"]) => self.query(call),
            ("PATCH", ["composite", "sobjects"]) => self.write(call, None, conditions, now_us),
            ("PATCH", ["composite", "sobjects", "Contact", by]) => {
                let by = (*by).to_owned();
                self.write(call, Some(&by), conditions, now_us)
            }
            ("DELETE", ["composite", "sobjects"]) => self.delete(call),
            _ => failure(404, "NOT_FOUND", "The requested resource does not exist"),
        };
        answer.with("sforce-limit-info", format!("api-usage={}/100000", 100_000_u64.saturating_sub(self.requests_left)))
    }

    fn limited(&self, _: u64, _: i64) -> Answer {
        failure(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit exceeded.")
    }

    fn state(&self) -> Value {
        self.contacts.iter().map(|record| json!(record.fields)).collect()
    }
}

/// Texts of SOQL with commas between: `'O\'Brien','x'`.
fn literals(text: &str) -> Option<Vec<String>> {
    let (mut out, mut characters) = (Vec::new(), text.chars());
    loop {
        if characters.next()? != '\'' {
            return None;
        }
        let mut value = String::new();
        loop {
            match characters.next()? {
                '\\' => value.push(characters.next()?),
                '\'' => break,
                other => value.push(other),
            }
        }
        out.push(value);
        match characters.next() {
            None => return Some(out),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

fn failure(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!([{ "errorCode": code, "message": message }]))
}
