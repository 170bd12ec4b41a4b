//! Salesforce's REST API of one object, with sObject collections and the jobs of Bulk API 2.0.
//!
//! After developer.salesforce.com: collections of at most 200 with one answer a row, in the order of the rows; upsert by a field
//! marked as external id; duplicate rules refuse a row; a converted lead cannot be changed; too many requests of a day are refused
//! with 403; sessions end. A job is made, filled once with CSV in which an empty cell leaves a field alone and `#N/A` clears it, and
//! worked on after it was closed; its results name every row with its columns, those of the successful with `sf__Id`.

mod bulk;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::call::{instant, list, text};
use crate::tokens::Tokens;
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
    sessions: Tokens,
    object: &'static str,
    jobs: Vec<bulk::Job>,
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
            sessions: Tokens::new("00D-fake-", SESSION_MS),
            object: "Contact",
            jobs: Vec::new(),
            locked: BTreeSet::new(),
            requests_left: u64::MAX,
        }
    }
}

impl Salesforce {
    /// An org that is asked for leads.
    #[must_use]
    pub fn with_leads() -> Self {
        let mut org = Self { object: "Lead", ..Self::default() };
        org.fields.extend(["Company", "IsConverted", "ConvertedContactId"].map(str::to_owned));
        org
    }

    /// How many jobs of the Bulk API were worked on.
    #[must_use]
    pub fn jobs_done(&self) -> usize {
        self.jobs.iter().filter(|job| job.is_done()).count()
    }

    /// Makes a field that is marked as external id and unique.
    pub fn add_external_id(&mut self, name: &str) {
        self.fields.insert(name.to_owned());
        self.contacts.make_unique(name);
        self.external = Some(name.to_owned());
    }

    /// Its contacts, or leads.
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

    fn shown(&self, record: &Record) -> Value {
        let value = |name: &String| match name.as_str() {
            "IsConverted" => json!(record.fields.get(name).is_some_and(|held| held == "true")),
            _ => json!(record.fields.get(name)),
        };
        let mut shown: Map<String, Value> = self.fields.iter().map(|name| (name.clone(), value(name))).collect();
        shown.insert("attributes".to_owned(), json!({ "type": self.object }));
        shown.insert("Id".to_owned(), json!(record.id));
        shown.insert("LastModifiedDate".to_owned(), json!(instant(record.updated_at).replace('Z', "+0000")));
        shown.into()
    }

    /// `SELECT FIELDS(ALL) FROM Contact WHERE Field IN ('…','…') LIMIT 200`.
    fn query(&self, call: &Call) -> Answer {
        let parsed = call.parameter("q").and_then(|q| {
            let rest = q.strip_prefix("SELECT FIELDS(ALL) FROM ")?.strip_prefix(self.object)?;
            let (field, rest) = rest.strip_prefix(" WHERE ")?.split_once(" IN (")?;
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
        if row.pointer("/attributes/type") != Some(&json!(self.object)) {
            return Err(("INVALID_TYPE", "the type is missing".to_owned(), Vec::new()));
        }
        let id = by.is_none().then(|| text(row, "id"));
        self.apply(row, by.ok_or(id.unwrap_or_default()), (conditions, allow), now_us)
    }

    /// Writes the fields of a row to the record of an external id, or to the one with an id.
    fn apply(
        &mut self,
        row: &Value,
        by: Result<&str, &str>,
        (conditions, allow): (&Conditions, bool),
        now_us: i64,
    ) -> Result<(String, bool), Refusal> {
        let mut fields = BTreeMap::new();
        for (name, value) in
            row.as_object().into_iter().flatten().filter(|(name, _)| !matches!(name.as_str(), "attributes" | "id"))
        {
            let wrong = |code, message: &str| Err((code, message.to_owned(), vec![name.clone()]));
            let value = match value {
                _ if !self.fields.contains(name) || !writable(name) => return wrong("INVALID_FIELD", "no such column"),
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
            Ok(by) => fields.get(by).and_then(|value| self.contacts.holder(by, value)).map(|record| record.id.clone()),
            Err(id) => Some(id.to_owned()),
        };
        let record = found.as_ref().and_then(|id| self.contacts.get(id));
        if record.is_some_and(|record| record.fields.contains_key("IsConverted")) {
            return Err(("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead".to_owned(), Vec::new()));
        }
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
            let session = self.sessions.issue(conditions, now_us);
            // It does not say how long it lasts.
            return Answer::json(200, &json!({ "access_token": session, "token_type": "Bearer" }));
        }
        let shown = call.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
        if !self.sessions.takes(shown, now_us) {
            return failure(401, "INVALID_SESSION_ID", "Session expired or invalid");
        }
        if self.requests_left == 0 {
            return failure(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
        }
        self.requests_left -= 1;
        let ["services", "data", "v62.0", rest @ ..] = path.as_slice() else { return failure(404, "NOT_FOUND", "not found") };
        let answer = match (method, rest) {
            (_, ["jobs", "ingest", rest @ ..]) => self.bulk(rest, call, conditions, now_us),
            ("GET", ["sobjects", object, "describe"]) if *object == self.object => {
                let field = |name: &String| json!({ "name": name, "label": name, "updateable": writable(name) });
                Answer::json(200, &json!({ "fields": self.fields.iter().map(field).collect::<Vec<_>>() }))
            }
            ("GET", ["query"]) => self.query(call),
            ("PATCH", ["composite", "sobjects"]) => self.write(call, None, conditions, now_us),
            ("PATCH", ["composite", "sobjects", object, by]) if *object == self.object => {
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

fn writable(name: &str) -> bool {
    !matches!(name, "IsConverted" | "ConvertedContactId")
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
