//! Zoho CRM's API of contacts, version 8.
//!
//! After zoho.com/crm/developer/docs: batches of at most 100; every row has its own code and status; upsert goes by fields that the
//! caller names; `If-Unmodified-Since` guards a change; search lags; access tokens come of a refresh token and last an hour.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::call::{instant, list, object};
use crate::tokens::Tokens;
use crate::{Answer, Call, Conditions, Record, Records, Vendor};

/// The refresh token that every fake takes.
pub const REFRESH_TOKEN: &str = "1000.fake.refresh";
/// Rows of one batch.
const MAX_BATCH: usize = 100;
/// How long an access token lasts where nothing else is said.
const TOKEN_MS: u64 = 3_600_000;

/// A Zoho CRM account.
#[derive(Debug)]
pub struct Zoho {
    contacts: Records,
    fields: BTreeSet<String>,
    tokens: Tokens,
    touched: bool,
}

impl Default for Zoho {
    fn default() -> Self {
        let fields =
            ["First_Name", "Last_Name", "Email", "Phone", "Mobile", "Title", "Mailing_City", "Mailing_Country", "Lead_Source"];
        let fields = fields.map(str::to_owned).into();
        let tokens = Tokens::new("1000.fake.access.", TOKEN_MS);
        Self { contacts: Records::starting_at(7_000_001, &["Email"]), fields, tokens, touched: false }
    }
}

impl Zoho {
    /// Makes a field of contacts, as an administrator would.
    pub fn add_field(&mut self, name: &str, unique: bool) {
        self.fields.insert(name.to_owned());
        if unique {
            self.contacts.make_unique(name);
        }
    }

    /// Its contacts.
    pub fn contacts(&mut self) -> &mut Records {
        &mut self.contacts
    }

    /// Lets another user change every contact just before the next change by its id.
    pub fn touch_before_next_update(&mut self) {
        self.touched = true;
    }

    fn shown(&self, record: &Record) -> Value {
        let mut shown: Map<String, Value> =
            self.fields.iter().map(|name| (name.clone(), json!(record.fields.get(name)))).collect();
        shown.insert("id".to_owned(), json!(record.id));
        shown.insert("Modified_Time".to_owned(), json!(instant(record.updated_at)));
        shown.into()
    }

    /// What one row would set, or the answer to it.
    fn row(&self, input: &Value, conditions: &Conditions) -> Result<BTreeMap<String, String>, Value> {
        let mut fields = BTreeMap::new();
        for (name, value) in input.as_object().into_iter().flatten().filter(|(name, _)| *name != "id") {
            // What it does not know, Zoho passes over.
            if !self.fields.contains(name) {
                continue;
            }
            let value = match value {
                Value::Null => "",
                Value::String(text) => text,
                _ => return Err(row_error("INVALID_DATA", "invalid data", name)),
            };
            if conditions.refuses(value) || name == "Email" && !value.is_empty() && !value.contains('@') {
                return Err(row_error("INVALID_DATA", "invalid data", name));
            }
            fields.insert(name.clone(), value.to_owned());
        }
        Ok(fields)
    }

    fn upsert(&mut self, body: &Value, conditions: &Conditions, now_us: i64) -> Answer {
        let checks: Vec<String> =
            list(body, "duplicate_check_fields").iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
        self.batch(body, |zoho, input| {
            let fields = zoho.row(input, conditions)?;
            let found = checks.iter().find_map(|check| Some(zoho.contacts.holder(check, fields.get(check)?)?.id.clone()));
            zoho.apply(found, fields, now_us)
        })
    }

    fn apply(&mut self, found: Option<String>, fields: BTreeMap<String, String>, now_us: i64) -> Result<Value, Value> {
        if let Some((field, _)) = self.contacts.conflict(&fields, found.as_deref()) {
            return Err(row_error("DUPLICATE_DATA", "duplicate data", field));
        }
        let action = if found.is_some() { "update" } else { "insert" };
        let id = match found {
            Some(id) if self.contacts.change(&id, fields.clone(), now_us) => id,
            Some(_) => return Err(row_error("INVALID_DATA", "the id given seems to be invalid", "id")),
            None if fields.get("Last_Name").is_none_or(String::is_empty) => {
                return Err(row_error("MANDATORY_NOT_FOUND", "required field not found", "Last_Name"));
            }
            None => self.contacts.insert(fields.into_iter().filter(|(_, value)| !value.is_empty()).collect(), now_us),
        };
        Ok(json!({ "code": "SUCCESS", "status": "success", "message": "record updated", "action": action,
                   "details": { "id": id, "Modified_Time": instant(now_us) } }))
    }

    fn batch(&mut self, body: &Value, mut each: impl FnMut(&mut Self, &Value) -> Result<Value, Value>) -> Answer {
        let rows = list(body, "data");
        if rows.is_empty() || rows.len() > MAX_BATCH {
            return failure(400, "INVALID_DATA", "data holds 1 to 100 records");
        }
        let answers: Vec<Result<Value, Value>> = rows.iter().map(|row| each(self, row)).collect();
        let good = answers.iter().filter(|answer| answer.is_ok()).count();
        let status = if good == rows.len() {
            200
        } else if good == 0 {
            400
        } else {
            207
        };
        let data: Vec<Value> = answers.into_iter().map(|answer| answer.unwrap_or_else(|error| error)).collect();
        let answer = Answer::json(status, &json!({ "data": data }));
        if good == 0 { answer } else { answer.wrote() }
    }

    fn update(&mut self, id: &str, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        if std::mem::take(&mut self.touched) {
            self.contacts.change(id, BTreeMap::from([("Title".to_owned(), "Engineer".to_owned())]), now_us);
        }
        let changed = self.contacts.get(id).map(|record| instant(record.updated_at));
        if let (Some(since), Some(changed)) = (call.header("if-unmodified-since"), changed)
            && since != changed
        {
            return failure(412, "PRECONDITION_FAILED", "the record was modified meanwhile");
        }
        self.batch(&call.json(), |zoho, input| {
            let fields = zoho.row(input, conditions)?;
            zoho.apply(Some(id.to_owned()), fields, now_us)
        })
    }

    fn search(&self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let Some((field, value)) = call.parameter("criteria").and_then(criterion) else {
            return failure(400, "INVALID_QUERY", "invalid query formed");
        };
        let lag_us = i64::try_from(conditions.search_lag_ms * 1_000).unwrap_or(i64::MAX);
        let fits = |record: &&Record| {
            now_us - record.updated_at >= lag_us
                && record.fields.get(&field).is_some_and(|held| held.eq_ignore_ascii_case(&value))
        };
        let data: Vec<Value> = self.contacts.iter().filter(fits).map(|record| self.shown(record)).collect();
        if data.is_empty() {
            Answer::empty(204)
        } else {
            Answer::json(200, &json!({ "data": data, "info": { "more_records": false } }))
        }
    }

    fn delete(&mut self, call: &Call) -> Answer {
        let ids: Vec<Value> = call.parameter("ids").unwrap_or_default().split(',').map(|id| json!({ "id": id })).collect();
        self.batch(&json!({ "data": ids }), |zoho, row| {
            let id = crate::call::text(row, "id");
            if !zoho.contacts.remove(id) {
                return Err(row_error("INVALID_DATA", "record not deleted", "id"));
            }
            Ok(json!({ "code": "SUCCESS", "status": "success", "message": "record deleted", "details": { "id": id } }))
        })
    }
}

impl Vendor for Zoho {
    fn answer(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let (method, path) = call.route();
        if (method, path.as_slice()) == ("POST", &["oauth", "v2", "token"]) {
            if call.form().get("refresh_token").map(String::as_str) != Some(REFRESH_TOKEN) {
                return Answer::json(200, &json!({ "error": "invalid_code" }));
            }
            let token = self.tokens.issue(conditions, now_us);
            // What it says is the documented hour, whatever a test makes of it.
            return Answer::json(200, &json!({ "access_token": token, "expires_in": 3_600, "token_type": "Bearer" }));
        }
        let shown = call.header("authorization").and_then(|header| header.strip_prefix("Zoho-oauthtoken "));
        if !self.tokens.takes(shown, now_us) {
            return failure(401, "INVALID_TOKEN", "invalid oauth token");
        }
        match (method, path.as_slice()) {
            ("GET", ["crm", "v8", "settings", "fields"]) => {
                let field =
                    |name: &String| json!({ "api_name": name, "field_label": name.replace('_', " "), "field_read_only": false });
                Answer::json(200, &json!({ "fields": self.fields.iter().map(field).collect::<Vec<_>>() }))
            }
            ("GET", ["crm", "v8", "Contacts", "search"]) => self.search(call, conditions, now_us),
            ("GET", ["crm", "v8", "Contacts", id]) => match self.contacts.get(id) {
                Some(record) => Answer::json(200, &json!({ "data": [self.shown(record)] })),
                None => Answer::empty(204),
            },
            ("POST", ["crm", "v8", "Contacts", "upsert"]) => self.upsert(&call.json(), conditions, now_us),
            ("PUT", ["crm", "v8", "Contacts", id]) => self.update(id, call, conditions, now_us),
            ("DELETE", ["crm", "v8", "Contacts"]) => self.delete(call),
            _ => failure(404, "INVALID_URL_PATTERN", "Please check if the URL trying to access is a correct one"),
        }
    }

    fn limited(&self, wait_ms: u64, _: i64) -> Answer {
        failure(429, "TOO_MANY_REQUESTS", "too many requests fired").with("retry-after", wait_ms.div_ceil(1_000).to_string())
    }

    fn state(&self) -> Value {
        self.contacts.iter().map(|record| json!(record.fields)).collect()
    }
}

/// `(Field:equals:value)`, in which `\` stands before brackets, commas and itself.
fn criterion(text: &str) -> Option<(String, String)> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    let (field, escaped) = inner.split_once(":equals:")?;
    let (mut value, mut characters) = (String::new(), escaped.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => value.push(characters.next()?),
            '(' | ')' | ',' => return None,
            other => value.push(other),
        }
    }
    Some((field.to_owned(), value))
}

fn row_error(code: &str, message: &str, field: &str) -> Value {
    json!({ "code": code, "status": "error", "message": message, "details": { "api_name": field } })
}

fn failure(status: u16, code: &str, message: &str) -> Answer {
    let details = object(&Value::Null, "").cloned().unwrap_or_default();
    Answer::json(status, &json!({ "code": code, "status": "error", "message": message, "details": details }))
}
