//! Zoho CRM's API of contacts, accounts and tasks, version 8.
//!
//! After zoho.com/crm/developer/docs: batches of at most 100; every row has its own code and status; upsert goes by fields that the
//! caller names; `If-Unmodified-Since` guards a change, by whole seconds as all its times are: a record changed after the one that
//! it names is left, with 412 and `ALREADY_MODIFIED`; search lags; the tasks of a contact are the open ones, and those that are done
//! stand in a history with other activities; access tokens come of a refresh token and last an hour.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::call::{instant, list, object, of_kind};
use crate::tokens::Tokens;
use crate::{Answer, Call, Conditions, Record, Records, Vendor};

/// The refresh token that every fake takes.
pub const REFRESH_TOKEN: &str = "1000.fake.refresh";
/// The field of a task that names its contact.
const WHO: &str = "Who_Id";
/// The status of a task that is done.
const CLOSED: &str = "Completed";
/// Rows of one batch.
const MAX_BATCH: usize = 100;
/// How long an access token lasts where nothing else is said.
const TOKEN_MS: u64 = 3_600_000;

/// A Zoho CRM account.
#[derive(Debug)]
pub struct Zoho {
    modules: BTreeMap<&'static str, Module>,
    tokens: Tokens,
    touched: bool,
}

/// The records of one module.
#[derive(Debug)]
struct Module {
    records: Records,
    fields: BTreeSet<String>,
    /// The field without which there is no record.
    needs: &'static str,
}

impl Module {
    fn new(first_id: u64, needs: &'static str, unique: &[&str], fields: &[&str]) -> Self {
        let fields = fields.iter().chain([&needs]).map(|name| (*name).to_owned()).collect();
        Self { records: Records::starting_at(first_id, unique), fields, needs }
    }
}

impl Default for Zoho {
    fn default() -> Self {
        let people =
            ["First_Name", "Email", "Phone", "Mobile", "Title", "Mailing_City", "Mailing_Country", "Lead_Source", "Account_Name"];
        let modules = [
            ("Contacts", Module::new(7_000_001, "Last_Name", &["Email"], &people)),
            ("Tasks", Module::new(8_000_001, "Subject", &[], &["Due_Date", "Status", "Priority", "Description", WHO])),
            ("Accounts", Module::new(5_000_001, "Account_Name", &["Account_Name"], &["Website", "Phone", "Account_Number"])),
        ];
        Self { modules: modules.into(), tokens: Tokens::new("1000.fake.access.", TOKEN_MS), touched: false }
    }
}

impl Zoho {
    /// Makes a field of contacts and accounts, as an administrator would.
    pub fn add_field(&mut self, name: &str, unique: bool) {
        for module in self.modules.values_mut() {
            module.fields.insert(name.to_owned());
            if unique {
                module.records.make_unique(name);
            }
        }
    }

    /// Its contacts.
    pub fn contacts(&mut self) -> &mut Records {
        self.records("Contacts")
    }

    /// Its tasks.
    pub fn tasks(&mut self) -> &mut Records {
        self.records("Tasks")
    }

    /// Its accounts.
    pub fn accounts(&mut self) -> &mut Records {
        self.records("Accounts")
    }

    fn records(&mut self, module: &'static str) -> &mut Records {
        &mut self.modules.entry(module).or_insert_with(|| Module::new(1, "", &[], &[])).records
    }

    /// Lets another user change every contact just before the next change by its id.
    pub fn touch_before_next_update(&mut self) {
        self.touched = true;
    }

    fn shown(&self, name: &str, record: &Record) -> Value {
        let account = |id: &String| {
            let account = self.modules.get("Accounts")?.records.get(id)?;
            Some(json!({ "id": id, "name": account.fields.get("Account_Name") }))
        };
        let value = |field: &String| match record.fields.get(field) {
            // A contact's account is a record of its own.
            held if name == "Contacts" && field == "Account_Name" => held.and_then(account).unwrap_or_default(),
            held if name == "Tasks" && field == WHO => held.map(|id| json!({ "id": id, "name": "" })).unwrap_or_default(),
            held => json!(held),
        };
        let fields = self.modules.get(name).into_iter().flat_map(|module| &module.fields);
        let mut shown: Map<String, Value> = fields.map(|field| (field.clone(), value(field))).collect();
        shown.insert("id".to_owned(), json!(record.id));
        shown.insert("Modified_Time".to_owned(), json!(second(record.updated_at)));
        shown.into()
    }

    /// What one row would set, or the answer to it.
    fn row(&self, module: &str, input: &Value, conditions: &Conditions) -> Result<BTreeMap<String, String>, Value> {
        let mut fields = BTreeMap::new();
        for (name, value) in input.as_object().into_iter().flatten().filter(|(name, _)| *name != "id") {
            // What it does not know, Zoho passes over.
            if self.modules.get(module).is_none_or(|module| !module.fields.contains(name)) {
                continue;
            }
            let value = match value {
                Value::Object(other)
                    if (module, name.as_str()) == ("Contacts", "Account_Name") || (module, name.as_str()) == ("Tasks", WHO) =>
                {
                    let id = other.get("id").and_then(Value::as_str).unwrap_or_default();
                    let others = if module == "Tasks" { "Contacts" } else { "Accounts" };
                    if self.modules.get(others).is_none_or(|others| others.records.get(id).is_none()) {
                        return Err(row_error("INVALID_DATA", "the id given seems to be invalid", name));
                    }
                    id
                }
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

    fn upsert(&mut self, module: &'static str, body: &Value, conditions: &Conditions, now_us: i64) -> Answer {
        let checks: Vec<String> =
            list(body, "duplicate_check_fields").iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
        self.batch(body, |zoho, input| {
            let fields = zoho.row(module, input, conditions)?;
            let records = zoho.records(module);
            let found = checks.iter().find_map(|check| Some(records.holder(check, fields.get(check)?)?.id.clone()));
            zoho.apply(module, found, fields, now_us)
        })
    }

    fn insert(&mut self, module: &'static str, body: &Value, conditions: &Conditions, now_us: i64) -> Answer {
        self.batch(body, |zoho, input| {
            let fields = zoho.row(module, input, conditions)?;
            zoho.apply(module, None, fields, now_us)
        })
    }

    /// The open tasks of a contact, or the closed ones, which stand among other activities.
    fn tasks_of(&self, contact: &str, closed: bool, call: &Call) -> Answer {
        let Some(asked) = call.parameter("fields").filter(|fields| !fields.is_empty()) else {
            return failure(400, "REQUIRED_PARAM_MISSING", "One of the expected parameter is missing");
        };
        let tasks = self.modules.get("Tasks").into_iter().flat_map(|module| module.records.iter());
        let is_closed = |task: &Record| task.fields.get("Status").map(String::as_str) == Some(CLOSED);
        let of = tasks.filter(|task| task.fields.get(WHO).map(String::as_str) == Some(contact) && is_closed(task) == closed);
        let brief = |task: &Record| {
            let whole = self.shown("Tasks", task);
            let mut shown: Map<String, Value> =
                asked.split(',').map(|name| (name.to_owned(), whole.get(name).cloned().unwrap_or_default())).collect();
            shown.insert("id".to_owned(), json!(task.id));
            if closed {
                shown.insert("$module".to_owned(), json!("Tasks"));
            }
            Value::Object(shown)
        };
        let mut data: Vec<Value> = of.map(brief).collect();
        if closed {
            data.push(json!({ "id": "6000001", "$module": "Calls" }));
        }
        match data.is_empty() {
            true => Answer::empty(204),
            false => Answer::json(200, &json!({ "data": data, "info": { "more_records": false } })),
        }
    }

    fn apply(
        &mut self,
        name: &'static str,
        found: Option<String>,
        fields: BTreeMap<String, String>,
        now_us: i64,
    ) -> Result<Value, Value> {
        let Some(module) = self.modules.get_mut(name) else { return Err(row_error("INVALID_MODULE", "the module is wrong", "")) };
        let needs = module.needs;
        if let Some((field, _)) = module.records.conflict(&fields, found.as_deref()) {
            return Err(row_error("DUPLICATE_DATA", "duplicate data", field));
        }
        let action = if found.is_some() { "update" } else { "insert" };
        let id = match found {
            Some(id) if module.records.change(&id, fields.clone(), now_us) => id,
            Some(_) => return Err(row_error("INVALID_DATA", "the id given seems to be invalid", "id")),
            None if fields.get(needs).is_none_or(String::is_empty) => {
                return Err(row_error("MANDATORY_NOT_FOUND", "required field not found", needs));
            }
            None => module.records.insert(fields.into_iter().filter(|(_, value)| !value.is_empty()).collect(), now_us),
        };
        Ok(json!({ "code": "SUCCESS", "status": "success", "message": "record updated", "action": action,
                   "details": { "id": id, "Modified_Time": second(now_us) } }))
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

    fn update(&mut self, module: &'static str, id: &str, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        if std::mem::take(&mut self.touched) {
            self.records(module).change(id, BTreeMap::from([("Title".to_owned(), "Engineer".to_owned())]), now_us);
        }
        if let Some(since) = call.header("if-unmodified-since") {
            let Ok(since) = since.parse::<jiff::Timestamp>() else {
                return failure(400, "INVALID_DATA", "the header If-Unmodified-Since is no instant");
            };
            let changed = self.records(module).get(id).map(|record| record.updated_at.div_euclid(SECOND_US));
            if changed.is_some_and(|changed| changed > since.as_second()) {
                return failure(412, "ALREADY_MODIFIED", "Record updated time has already passed if-unmodified-since time");
            }
        }
        self.batch(&call.json(), |zoho, input| {
            let fields = zoho.row(module, input, conditions)?;
            zoho.apply(module, Some(id.to_owned()), fields, now_us)
        })
    }

    fn search(&self, module: &'static str, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let Some(wanted) = call.parameter("criteria").and_then(criteria) else {
            return failure(400, "INVALID_QUERY", "invalid query formed");
        };
        let lag_us = i64::try_from(conditions.search_lag_ms * 1_000).unwrap_or(i64::MAX);
        let fits = |record: &&Record| {
            now_us - record.updated_at >= lag_us
                && wanted
                    .iter()
                    .any(|(field, value)| record.fields.get(field).is_some_and(|held| held.eq_ignore_ascii_case(value)))
        };
        let records = self.modules.get(module).into_iter().flat_map(|module| module.records.iter());
        let data: Vec<Value> = records.filter(fits).map(|record| self.shown(module, record)).collect();
        if data.is_empty() {
            Answer::empty(204)
        } else {
            Answer::json(200, &json!({ "data": data, "info": { "more_records": false } }))
        }
    }

    fn delete(&mut self, module: &'static str, call: &Call) -> Answer {
        let ids: Vec<Value> = call.parameter("ids").unwrap_or_default().split(',').map(|id| json!({ "id": id })).collect();
        self.batch(&json!({ "data": ids }), |zoho, row| {
            let id = crate::call::text(row, "id");
            if !zoho.records(module).remove(id) {
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
        let known = |name: &str| self.modules.get_key_value(name).map(|(name, _)| *name);
        let none = || failure(404, "INVALID_URL_PATTERN", "Please check if the URL trying to access is a correct one");
        if let ("GET", ["crm", "v8", "settings", "fields"]) = (method, path.as_slice()) {
            let Some(module) = call.parameter("module").and_then(|name| self.modules.get(name)) else { return none() };
            let field =
                |name: &String| json!({ "api_name": name, "field_label": name.replace('_', " "), "field_read_only": false });
            return Answer::json(200, &json!({ "fields": module.fields.iter().map(field).collect::<Vec<_>>() }));
        }
        if let ("POST", ["crm", "v8", "settings", "fields"]) = (method, path.as_slice()) {
            let Some(module) = call.parameter("module").and_then(|name| self.modules.get_mut(name)) else { return none() };
            let body = call.json();
            let field = list(&body, "fields").first().cloned().unwrap_or_default();
            let name = crate::call::text(&field, "field_label").replace(' ', "_");
            if !module.fields.insert(name.clone()) {
                return Answer::json(400, &json!({ "fields": [row_error("DUPLICATE_DATA", "duplicate data", "field_label")] }));
            }
            if field.get("unique").is_some() {
                module.records.make_unique(&name);
            }
            return Answer::json(
                200,
                &json!({ "fields": [{ "code": "SUCCESS", "status": "success", "message": "field created" }] }),
            )
            .wrote();
        }
        let ["crm", "v8", module, rest @ ..] = path.as_slice() else { return none() };
        let Some(module) = known(module) else { return none() };
        match (method, rest) {
            ("GET", ["search"]) => self.search(module, call, conditions, now_us),
            ("GET", [id]) => match self.modules.get(module).and_then(|module| module.records.get(id)) {
                Some(record) => Answer::json(200, &json!({ "data": [self.shown(module, record)] })),
                None => Answer::empty(204),
            },
            ("GET", [contact, "Tasks"]) if module == "Contacts" => self.tasks_of(contact, false, call),
            ("GET", [contact, "Activities_Chronological_View_History"]) if module == "Contacts" => {
                self.tasks_of(contact, true, call)
            }
            ("POST", []) => self.insert(module, &call.json(), conditions, now_us),
            ("POST", ["upsert"]) => self.upsert(module, &call.json(), conditions, now_us),
            ("PUT", [id]) => self.update(module, id, call, conditions, now_us),
            ("DELETE", []) => self.delete(module, call),
            _ => none(),
        }
    }

    fn limited(&self, wait_ms: u64, _: i64) -> Answer {
        failure(429, "TOO_MANY_REQUESTS", "too many requests fired").with("retry-after", wait_ms.div_ceil(1_000).to_string())
    }

    fn state(&self) -> Value {
        let people = |name: &str| name == "Contacts";
        let mut state = Vec::new();
        for (name, module) in self.modules.iter().rev() {
            state.extend(module.records.iter().map(|record| of_kind(name, !people(name), record)));
        }
        state.into()
    }
}

/// A second, in microseconds.
const SECOND_US: i64 = 1_000_000;

/// An instant as Zoho writes it.
fn second(us: i64) -> String {
    instant(us.div_euclid(SECOND_US) * SECOND_US).replace('Z', "+00:00")
}

/// The most criteria of one search.
const MAX_CRITERIA: usize = 10;

/// `(Field:equals:value)`, or several of them as `((…)or(…))`. In a value `\\` stands before brackets, commas and itself.
fn criteria(text: &str) -> Option<Vec<(String, String)>> {
    let several = text.strip_prefix("((").and_then(|text| text.strip_suffix("))"));
    let parts: Vec<&str> = match several {
        Some(inner) => inner.split(")or(").collect(),
        None => vec![text.strip_prefix('(')?.strip_suffix(')')?],
    };
    if parts.len() > MAX_CRITERIA {
        return None;
    }
    parts.into_iter().map(criterion).collect()
}

fn criterion(inner: &str) -> Option<(String, String)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "Zoho-oauthtoken 1000.fake.access.1";

    fn changed(zoho: &mut Zoho, id: &str, since: &str) -> Answer {
        let call = Call {
            method: "PUT".to_owned(),
            path: ["crm", "v8", "Contacts", id].map(str::to_owned).to_vec(),
            headers: [("authorization", TOKEN), ("if-unmodified-since", since)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            body: json!({ "data": [{ "Title": "Engineer" }] }).to_string().into_bytes(),
            ..Call::default()
        };
        zoho.answer(&call, &Conditions::default(), 9_000_000)
    }

    /// All times are whole seconds, so that of two changes within one the condition cannot tell the second.
    #[test]
    fn a_record_changed_in_a_later_second_is_left_and_one_changed_again_within_the_second_is_not() {
        let mut zoho = Zoho::default();
        zoho.tokens.issue(&Conditions::default(), 0);
        let id = zoho.contacts().insert(BTreeMap::from([("Last_Name".to_owned(), "Example".to_owned())]), 2_100_000);
        assert_eq!(
            zoho.shown("Contacts", zoho.modules["Contacts"].records.get(&id).unwrap())["Modified_Time"],
            "1970-01-01T00:00:02+00:00"
        );
        let late = changed(&mut zoho, &id, "1970-01-01T01:00:01+01:00");
        assert_eq!((late.status, late.body.contains("ALREADY_MODIFIED"), late.wrote), (412, true, false));
        assert!(zoho.contacts().change(&id, BTreeMap::new(), 2_900_000));
        assert_eq!(changed(&mut zoho, &id, "1970-01-01T00:00:02+00:00").status, 200);
        assert_eq!(changed(&mut zoho, &id, "yesterday").status, 400);
    }
}
