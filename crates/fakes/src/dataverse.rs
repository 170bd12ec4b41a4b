//! Microsoft Dataverse's Web API of contacts, version 9.2.
//!
//! After learn.microsoft.com/power-apps/developer/data-platform: `PATCH` by an alternate key makes or changes a record (201 or 200
//! with `Prefer: return=representation`, else 204); `If-Match` guards a change by its ETag, and a wrong one gets 412 with
//! `0x80060882`; a value of an alternate key that another record has gets 412 with `0x80040237`, and what duplicate detection finds,
//! where the caller asks for it, 412 with `0x80040333`; `$batch` takes up to a thousand requests as `multipart/mixed`, each with an answer
//! of its own, and stops at the first that fails unless `Prefer: odata.continue-on-error` is said; `eq` does not heed case; calls too many get 429 with `Retry-After` in seconds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::call::{guid, instant, number_of, of_kind};
use crate::tasks::{self, Tasks};
use crate::tokens::Tokens;
use crate::{Answer, Call, Conditions, Record, Records, Vendor};

/// The client secret that every fake takes.
pub const SECRET: &str = "dataverse-fake-0000";
/// The directory that every fake is in.
pub const TENANT: &str = "example.onmicrosoft.com";
/// How long an access token lasts where nothing else is said.
const TOKEN_MS: u64 = 3_599_000;
/// The columns of a task, beside whom it is about.
const TASK: [&str; 4] = ["subject", "description", "scheduledend", "prioritycode"];
/// The navigation property by which a task names a contact.
const ABOUT: &str = "regardingobjectid_contact_task@odata.bind";
/// Requests of one batch.
const MAX_BATCH: usize = 1_000;
/// Columns that are true or false.
const FLAGS: [&str; 2] = ["donotemail", "donotbulkemail"];

/// A Dataverse environment with contacts.
#[derive(Debug)]
pub struct Dataverse {
    contacts: Records,
    columns: BTreeSet<String>,
    keys: BTreeSet<String>,
    /// Keys whose index is built still, by the column: for so many questions more.
    pending: BTreeMap<String, u32>,
    tokens: Tokens,
    touched: bool,
    tasks: Tasks,
}

impl Default for Dataverse {
    fn default() -> Self {
        let columns = ["firstname", "lastname", "emailaddress1", "telephone1", "jobtitle", "address1_city"];
        Self {
            contacts: Records::starting_at(901, &[]),
            columns: columns.iter().chain(&FLAGS).map(|name| (*name).to_owned()).collect(),
            keys: BTreeSet::new(),
            pending: BTreeMap::new(),
            tokens: Tokens::new("eyJ.fake.", TOKEN_MS),
            touched: false,
            tasks: Tasks::new(801, &TASK),
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

    /// Makes a text column of tasks, as an administrator would.
    pub fn add_task_column(&mut self, column: &str) {
        self.tasks.fields.push(column.to_owned());
    }

    /// Its tasks.
    pub fn tasks(&mut self) -> &mut Records {
        &mut self.tasks.records
    }

    fn task(&self, record: &Record) -> Value {
        let mut shown = self.tasks.shown(record, "modifiedon");
        shown.insert("@odata.etag".to_owned(), json!(etag(record)));
        shown.insert("activityid".to_owned(), json!(guid(&record.id)));
        shown.insert("_regardingobjectid_value".to_owned(), json!(guid(tasks::person(record))));
        shown.into()
    }

    fn on_tasks(&mut self, method: &str, segment: &str, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let mut body = call.json().as_object().cloned().unwrap_or_default();
        let id = segment.strip_prefix("tasks(").and_then(|id| id.strip_suffix(')')).map(number_of);
        let refused =
            |column: &str| error(400, "0x80048d19", &format!("Invalid property '{column}' was found in entity 'task'."));
        match (method, id) {
            ("GET", None) => {
                let Some(conditions) = call.parameter("$filter").and_then(filter) else {
                    return error(400, "0x80060888", "Syntax error in the query.");
                };
                let fits = |record: &&Record| {
                    conditions.iter().any(|(name, value)| match name.as_str() {
                        "activityid" => guid(&record.id) == *value,
                        name => record.fields.get(name).is_some_and(|held| held.eq_ignore_ascii_case(value)),
                    })
                };
                let found = self.tasks.records.iter().filter(fits).map(|record| self.task(record));
                Answer::json(200, &json!({ "value": found.collect::<Vec<_>>() }))
            }
            ("POST", None) => {
                let person = body.remove(ABOUT).and_then(|bind| match key(bind.as_str()?.trim_start_matches('/'))? {
                    Key::Id(id) => Some(id),
                    Key::New | Key::Alternate(..) => None,
                });
                let person = person.unwrap_or_default();
                if self.contacts.get(&person).is_none() {
                    return missing();
                }
                match self.tasks.read(&body, conditions) {
                    Ok(fields) => {
                        let made = self.tasks.make(fields, &person, now_us);
                        Answer::json(201, &self.task(&made)).wrote()
                    }
                    Err(column) => refused(&column),
                }
            }
            ("PATCH", Some(id)) => match self.tasks.read(&body, conditions) {
                Ok(fields) if self.tasks.records.change(&id, fields.clone(), now_us) => {
                    let record = self.tasks.records.get(&id).map(|record| self.task(record));
                    Answer::json(200, &record.unwrap_or_default()).wrote()
                }
                Ok(_) => missing(),
                Err(column) => refused(&column),
            },
            ("DELETE", Some(id)) if self.tasks.records.remove(&id) => Answer::empty(204).wrote(),
            _ => missing(),
        }
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
                let told = format!(
                    "A validation error occurred. The value {given} of '{name}' on record of type 'contact' is not valid."
                );
                return Err(error(400, "0x80040203", &told));
            }
            fields.insert(name.clone(), given);
        }
        Ok(fields)
    }

    /// `PATCH contacts(…)`: `by` is an alternate key and its value, or the record's id. `POST contacts` makes a record.
    fn patch(&mut self, by: &Key, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let mut fields = match self.values(&call.json(), conditions) {
            Ok(fields) => fields,
            Err(refusal) => return refusal,
        };
        let found = match by {
            Key::New => None,
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

    /// `$batch`: requests without change sets, each for itself.
    fn batch(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let goes_on = call.header("prefer").is_some_and(|prefer| prefer.contains("odata.continue-on-error"));
        let boundary = call.header("content-type").and_then(|kind| kind.split_once("boundary=")).map(|(_, boundary)| boundary);
        let body = String::from_utf8_lossy(&call.body);
        let parts = boundary.and_then(|boundary| parts(&body, boundary));
        let Some(parts) = parts.filter(|parts| !parts.is_empty() && parts.len() <= MAX_BATCH) else {
            return error(400, "0x80048d19", "The payload failed to be parsed as a batch of 1 to 1000 requests.");
        };
        if conditions.whole_batch_fails
            && let Some(refused) = parts.iter().map(|part| self.values(&part.json(), conditions)).find_map(Result::err)
        {
            return refused;
        }
        let (mut out, mut wrote) = (String::new(), false);
        for part in parts {
            let (_, path) = part.route();
            let answer = match (part.method.as_str(), path.as_slice()) {
                ("PATCH", ["api", "data", "v9.2", segment]) => match key(segment) {
                    Some(key) => self.patch(&key, &part, conditions, now_us),
                    None => error(400, "0x80060888", "Bad key in the address."),
                },
                _ => error(405, "0x80060888", "This stand-in takes only PATCH in a batch."),
            };
            wrote |= answer.wrote;
            out.push_str("--batchresponse_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n");
            out.push_str(&format!("HTTP/1.1 {} X\r\nContent-Type: application/json\r\n\r\n{}\r\n", answer.status, answer.body));
            if answer.status >= 400 && !goes_on {
                break;
            }
        }
        out.push_str("--batchresponse_1--\r\n");
        let answer = Answer { status: 200, headers: Vec::new(), body: out, wrote: false };
        let answer = answer.with("content-type", "multipart/mixed; boundary=batchresponse_1");
        if wrote { answer.wrote() } else { answer }
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

/// The requests of a batch.
fn parts(body: &str, boundary: &str) -> Option<Vec<Call>> {
    let mark = format!("--{boundary}");
    let mut out = Vec::new();
    for part in body.split(mark.as_str()).skip(1) {
        if part.starts_with("--") {
            return Some(out);
        }
        let (_, request) = part.split_once("\r\n\r\n")?;
        let (head, body) = request.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let mut first = lines.next()?.split(' ');
        let (method, target) = (first.next()?.to_owned(), first.next()?);
        let decode = |segment: &str| {
            url::form_urlencoded::parse(segment.replace('+', "%2B").replace('=', "%3D").as_bytes())
                .map(|(name, _)| name.into_owned())
                .next()
                .unwrap_or_default()
        };
        let path = target.split('/').filter(|segment| !segment.is_empty()).map(decode).collect();
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        let headers = lines.filter_map(header).collect();
        out.push(Call { method, path, headers, body: body.trim_end().as_bytes().to_vec(), ..Call::default() });
    }
    None
}

enum Key {
    New,
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
            ("POST", ["EntityDefinitions(LogicalName='contact')", "Attributes"]) => {
                let column = crate::call::text(&call.json(), "SchemaName").to_lowercase();
                match !column.is_empty() && self.columns.insert(column) {
                    true => Answer::empty(204).wrote(),
                    false => error(400, "0x80044363", "An attribute with this name already exists."),
                }
            }
            ("POST", ["EntityDefinitions(LogicalName='task')", "Attributes"]) => {
                self.tasks.fields.push(crate::call::text(&call.json(), "SchemaName").to_lowercase());
                Answer::empty(204).wrote()
            }
            ("POST", ["EntityDefinitions(LogicalName='contact')", "Keys"]) => {
                let column = call.json().pointer("/KeyAttributes/0").and_then(Value::as_str).unwrap_or_default().to_owned();
                if !self.columns.contains(&column) {
                    return error(400, "0x80041103", "The attribute does not exist.");
                }
                self.pending.insert(column, 1);
                Answer::empty(204).wrote()
            }
            ("GET", ["EntityDefinitions(LogicalName='contact')", "Keys"]) => {
                let built: Vec<String> =
                    self.pending.iter().filter(|(_, left)| **left == 0).map(|(column, _)| column.clone()).collect();
                for column in built {
                    self.pending.remove(&column);
                    self.add_key(&column);
                }
                let status = |column: &String, status: &str| json!({ "SchemaName": format!("{column}_key"), "EntityKeyIndexStatus": status });
                let keys = self.keys.iter().map(|column| status(column, "Active"));
                let keys: Vec<Value> = keys.chain(self.pending.keys().map(|column| status(column, "Pending"))).collect();
                self.pending.values_mut().for_each(|left| *left = left.saturating_sub(1));
                Answer::json(200, &json!({ "value": keys }))
            }
            ("GET", ["EntityDefinitions(LogicalName='contact')", "Attributes"]) => {
                let column = |name: &String| json!({ "LogicalName": name, "AttributeType": "String", "IsValidForUpdate": true });
                Answer::json(200, &json!({ "value": self.columns.iter().map(column).collect::<Vec<_>>() }))
            }
            ("GET", ["EntityDefinitions(LogicalName='task')", "Attributes"]) => {
                let column = |name: &String| json!({ "LogicalName": name, "AttributeType": "String", "IsValidForUpdate": true });
                Answer::json(200, &json!({ "value": self.tasks.fields.iter().map(column).collect::<Vec<_>>() }))
            }
            (method, [segment]) if segment.starts_with("tasks") => {
                let segment = (*segment).to_owned();
                self.on_tasks(method, &segment, call, conditions, now_us)
            }
            ("GET", ["contacts"]) => self.query(call),
            ("POST", ["$batch"]) => self.batch(call, conditions, now_us),
            ("POST", ["contacts"]) => self.patch(&Key::New, call, conditions, now_us),
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
        let tasks = self.tasks.records.iter().map(|record| of_kind("task", true, record));
        self.contacts.iter().map(|record| json!(record.fields)).chain(tasks).collect()
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
