//! BottleCRM's API of contacts, accounts, tasks and opportunities.
//!
//! After its OpenAPI file, and as measured with version 1.35: a list by page and by offset, which passes over filters that it does
//! not know, and takes a part of an account's name for the whole; a second contact of an address or account of a name is refused,
//! a contact without an address is made as often as one asks; a lead webhook takes a lead once under an id, and to a known address
//! adds what is empty; a custom field can keep our id; making answers 200 and not 201. A task that was made is answered without its
//! id, listed without its custom fields and contacts, and loses a contact that is not there without a word.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::call::KIND;
use crate::{Answer, Call, Conditions, Vendor};

/// The personal access token that every fake takes.
pub const TOKEN: &str = "bcrm_pat_fake0000";
/// The id of its lead webhook, and the key of that.
pub const INTAKE: &str = "5e2d7a10-0000-4000-8000-00000000000a";
/// What stands in `Authorization` there.
pub const INTAKE_KEY: &str = "intake-fake-0000";
/// The custom field that keeps our id.
const OUR_ID: &str = "headwater_id";
/// Records of a page that names no limit.
const PAGE: usize = 10;

/// A record, as its fields.
type Record = Map<String, Value>;
/// Records by id.
type Records = BTreeMap<String, Record>;

/// An organisation of a BottleCRM.
#[derive(Debug, Default)]
pub struct BottleCrm {
    contacts: Records,
    accounts: Records,
    tasks: Records,
    leads: Records,
    /// The leads by the ids under which they came.
    taken: BTreeMap<String, String>,
    opportunities: Records,
    made: u64,
}

/// The kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Contacts,
    Accounts,
    Tasks,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        match name {
            "contacts" => Some(Self::Contacts),
            "accounts" => Some(Self::Accounts),
            "tasks" => Some(Self::Tasks),
            _ => None,
        }
    }

    /// The field of which no two records have the same value, whatever its case.
    const fn unique(self) -> &'static str {
        match self {
            Self::Contacts => "email",
            Self::Accounts => "name",
            // Nothing of a task is.
            Self::Tasks => "",
        }
    }

    /// Whether a record whose unique field holds this is listed for a value that is asked for.
    fn lists(self, held: &str, asked: &str) -> bool {
        let (held, asked) = (held.to_lowercase(), asked.to_lowercase());
        match self {
            Self::Contacts => held == asked,
            Self::Accounts | Self::Tasks => held.contains(&asked),
        }
    }

    /// The answer to a read of one record.
    fn one(self, record: &Record) -> Value {
        match self {
            Self::Contacts => json!({ "contact_obj": record }),
            Self::Accounts => json!({ "account_obj": record }),
            Self::Tasks => json!({ "task_obj": record }),
        }
    }

    /// The answer to a list.
    fn several(self, page: &[&Record], count: usize) -> Value {
        match self {
            Self::Contacts => json!({ "results": page, "count": count }),
            Self::Accounts => json!({
                "active_accounts": { "open_accounts": page, "open_accounts_count": count },
                "closed_accounts": { "close_accounts": [], "close_accounts_count": 0 },
            }),
            Self::Tasks => {
                let unseen = ["custom_fields", "contacts", "description"];
                let brief = |record: &&Record| {
                    let shown = record.iter().filter(|(name, _)| !unseen.contains(&name.as_str()));
                    Value::Object(shown.map(|(name, value)| (name.clone(), value.clone())).collect())
                };
                json!({ "tasks": page.iter().map(brief).collect::<Vec<_>>(), "tasks_count": count })
            }
        }
    }
}

impl BottleCrm {
    /// Puts a contact there, as somebody does by hand.
    pub fn put(&mut self, id: &str, contact: &Value) {
        self.contacts.insert(id.to_owned(), contact.as_object().cloned().unwrap_or_default());
    }

    /// Puts a deal there, as somebody does by hand; `contacts` names its contacts by their ids.
    pub fn put_opportunity(&mut self, id: &str, opportunity: &Value) {
        self.opportunities.insert(id.to_owned(), opportunity.as_object().cloned().unwrap_or_default());
    }

    /// Every contact by id, without what is empty.
    #[must_use]
    pub fn contacts(&self) -> BTreeMap<String, Value> {
        full(&self.contacts)
    }

    /// Every task by id, without what is empty.
    #[must_use]
    pub fn tasks(&self) -> BTreeMap<String, Value> {
        full(&self.tasks)
    }

    /// Every account by id, without what is empty.
    #[must_use]
    pub fn accounts(&self) -> BTreeMap<String, Value> {
        full(&self.accounts)
    }

    /// Every lead by id, without what is empty.
    #[must_use]
    pub fn leads(&self) -> BTreeMap<String, Value> {
        full(&self.leads)
    }

    /// A post to the lead webhook.
    fn take_in(&mut self, id: &str, call: &Call, conditions: &Conditions) -> Answer {
        if id != INTAKE {
            return missing();
        }
        if call.header("authorization").and_then(|header| header.strip_prefix("Bearer ")) != Some(INTAKE_KEY) {
            return Answer::json(401, &json!({ "detail": "The key does not match." }));
        }
        let mut body = call.json().as_object().cloned().unwrap_or_default();
        let came = body.remove("external_id").and_then(|id| id.as_str().map(str::to_owned)).unwrap_or_default();
        if body.values().all(is_empty) {
            return Answer::json(400, &json!({ "detail": "Nothing in the post could be saved." }));
        }
        if let Some(field) = refusal(&body, conditions) {
            let detail = "Some values in the post could not be saved.";
            let errors = Map::from_iter([(field, json!(["is not valid."]))]);
            return Answer::json(400, &json!({ "result": "rejected", "detail": detail, "errors": errors }));
        }
        let answer =
            |status: u16, result: &str, lead: &str| Answer::json(status, &json!({ "result": result, "lead": lead })).wrote();
        if let Some(lead) = self.taken.get(&came).filter(|_| !came.is_empty()) {
            return Answer { wrote: false, ..answer(200, "duplicate", lead) };
        }
        let email = body.get("email").and_then(Value::as_str).unwrap_or_default().to_owned();
        let same = |record: &Record| {
            record.get("email").and_then(Value::as_str).is_some_and(|held| !email.is_empty() && held.eq_ignore_ascii_case(&email))
        };
        if let Some((lead, record)) = self.leads.iter_mut().find(|(_, record)| same(record)) {
            for (field, value) in body {
                if record.get(&field).is_none_or(is_empty) {
                    record.insert(field, value);
                }
            }
            self.taken.insert(came, lead.clone());
            return answer(200, "merged", lead);
        }
        self.made += 1;
        let lead = format!("00000000-0000-0000-0001-{:012}", self.made);
        self.leads.insert(lead.clone(), body);
        self.taken.insert(came, lead.clone());
        answer(201, "created", &lead)
    }

    /// A deal as the API shows it: with the addresses of its contacts, and whether its stage is one of those that are won.
    fn opportunity(&self, record: &Record) -> Value {
        let contact = |id: &Value| {
            let email = self.contacts.get(id.as_str().unwrap_or_default()).and_then(|contact| contact.get("email"));
            json!({ "id": id, "email": email })
        };
        let contacts: Vec<Value> = record.get("contacts").and_then(Value::as_array).into_iter().flatten().map(contact).collect();
        let is_won = record.get("stage").and_then(Value::as_str) == Some("CLOSED_WON");
        let mut shown = record.clone();
        shown.insert("contacts".to_owned(), contacts.into());
        shown.insert("stage_kind".to_owned(), if is_won { "won" } else { "open" }.into());
        shown.into()
    }

    fn answer_opportunities(&mut self, method: &str, call: &Call) -> Answer {
        let number = |name, otherwise| call.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
        match method {
            "GET" => {
                let stage = |record: &&Record| {
                    let stage = record.get("stage").and_then(Value::as_str).unwrap_or_default();
                    call.parameter("stage").is_none_or(|asked| stage.contains(asked))
                };
                let page = self.opportunities.values().filter(stage).skip(number("offset", 0)).take(number("limit", PAGE));
                let page: Vec<Value> = page.map(|record| self.opportunity(record)).collect();
                Answer::json(200, &json!({ "opportunities": page, "opportunities_count": self.opportunities.len() }))
            }
            "POST" => {
                self.made += 1;
                let id = format!("00000000-0000-0000-0000-{:012}", self.made);
                let mut record = call.json().as_object().cloned().unwrap_or_default();
                record.insert("id".to_owned(), id.clone().into());
                self.opportunities.insert(id.clone(), record);
                Answer::json(200, &json!({ "error": false, "id": id })).wrote()
            }
            _ => missing(),
        }
    }

    const fn records(&mut self, kind: Kind) -> &mut Records {
        match kind {
            Kind::Contacts => &mut self.contacts,
            Kind::Accounts => &mut self.accounts,
            Kind::Tasks => &mut self.tasks,
        }
    }

    fn list(&mut self, kind: Kind, call: &Call) -> Answer {
        let number = |name, otherwise| call.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let ours = |record: &Record| text(record.get("custom_fields").and_then(|custom| custom.get(OUR_ID)));
        let wanted = |record: &&Record| {
            let unique = text(record.get(kind.unique()));
            call.parameter(kind.unique()).is_none_or(|asked| kind.lists(&unique, asked))
                && call.parameter(&format!("cf_{OUR_ID}")).is_none_or(|id| ours(record) == id)
        };
        let found: Vec<&Record> = self.records(kind).values().filter(wanted).collect();
        let page: Vec<&Record> = found.iter().skip(number("offset", 0)).take(number("limit", PAGE)).copied().collect();
        Answer::json(200, &kind.several(&page, found.len()))
    }

    /// What a request sets of a task: the contacts that are there, each as the CRM shows it.
    fn of_task(&self, body: &Record) -> Record {
        let mut body = body.clone();
        if let Some(Value::Array(ids)) = body.get("contacts") {
            let there = ids.iter().filter(|id| id.as_str().is_some_and(|id| self.contacts.contains_key(id)));
            let contacts: Vec<Value> = there.map(|id| json!({ "id": id })).collect();
            body.insert("contacts".to_owned(), contacts.into());
        }
        body
    }

    fn make_task(&mut self, body: &Record, conditions: &Conditions) -> Answer {
        let filled = |name: &str| body.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        if let Some(field) = ["title", "status", "priority"].into_iter().find(|name| !filled(name)) {
            return refused(field, "This field is required.");
        }
        if let Some(field) = refusal(body, conditions) {
            return refused(&field, "is not a valid choice.");
        }
        self.made += 1;
        let id = format!("00000000-0000-0000-0002-{:012}", self.made);
        let mut record = self.of_task(body);
        record.insert("id".to_owned(), id.clone().into());
        self.tasks.insert(id, record);
        Answer::json(200, &json!({ "error": false, "message": "Task Created Successfully" })).wrote()
    }

    fn make(&mut self, kind: Kind, body: &Record, conditions: &Conditions) -> Answer {
        let field = kind.unique();
        let unique = body.get(field).and_then(Value::as_str).unwrap_or_default();
        let has =
            |record: &Record| record.get(field).and_then(Value::as_str).is_some_and(|held| held.eq_ignore_ascii_case(unique));
        if !unique.is_empty() && self.records(kind).values().any(has) {
            return refused(field, "a record with this value already exists.");
        }
        if let Some(field) = refusal(body, conditions) {
            return refused(&field, "is not a valid choice.");
        }
        self.made += 1;
        let id = format!("00000000-0000-0000-0000-{:012}", self.made);
        let mut record = body.clone();
        record.insert("id".to_owned(), id.clone().into());
        self.records(kind).insert(id.clone(), record);
        Answer::json(200, &json!({ "error": false, "id": id })).wrote()
    }

    fn change(&mut self, kind: Kind, id: &str, body: &Record, conditions: &Conditions) -> Answer {
        let Some(record) = self.records(kind).get_mut(id) else { return missing() };
        if let Some(field) = refusal(body, conditions) {
            return refused(&field, "is not a valid choice.");
        }
        for (field, value) in body {
            match (field.as_str(), record.get_mut("custom_fields"), value) {
                ("custom_fields", Some(Value::Object(held)), Value::Object(new)) => held.extend(new.clone()),
                _ => drop(record.insert(field.clone(), value.clone())),
            }
        }
        Answer::json(200, &json!({ "error": false })).wrote()
    }

    fn custom_fields(call: &Call) -> Answer {
        let model = call.parameter("target_model").unwrap_or_default();
        let field =
            json!({ "target_model": model, "is_active": true, "key": OUR_ID, "label": "Headwater", "field_type": "text" });
        Answer::json(200, &json!({ "definitions": [field] }))
    }
}

impl Vendor for BottleCrm {
    fn answer(&mut self, call: &Call, conditions: &Conditions, _: i64) -> Answer {
        if let ("POST", ["api", "public", "leads", id]) = (call.method.as_str(), call.route().1.as_slice()) {
            return self.take_in(id, call, conditions);
        }
        if call.header("authorization").and_then(|header| header.strip_prefix("Bearer ")) != Some(TOKEN) {
            return Answer::json(403, &json!({ "detail": "Organization context is required." }));
        }
        let body = || call.json().as_object().cloned().unwrap_or_default();
        let (method, path) = call.route();
        let (kind, rest) = match path.as_slice() {
            ["api", "custom-fields", ..] if method == "GET" => return Self::custom_fields(call),
            ["api", "opportunities"] => return self.answer_opportunities(method, call),
            ["api", kind, rest @ ..] => match Kind::of(kind) {
                Some(kind) => (kind, rest),
                None => return missing(),
            },
            _ => return missing(),
        };
        match (method, rest) {
            ("GET", []) => self.list(kind, call),
            ("POST", []) if kind == Kind::Tasks => self.make_task(&body(), conditions),
            ("POST", []) => self.make(kind, &body(), conditions),
            ("GET", [id]) => match self.records(kind).get(*id) {
                Some(record) => Answer::json(200, &kind.one(record)),
                None => missing(),
            },
            ("PATCH", [id]) if kind == Kind::Tasks => {
                let body = self.of_task(&body());
                self.change(kind, id, &body, conditions)
            }
            ("PATCH", [id]) => self.change(kind, id, &body(), conditions),
            ("DELETE", [id]) => match self.records(kind).remove(*id) {
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
        let tasks = full(&self.tasks).into_values().map(|mut task| {
            if let Value::Object(task) = &mut task {
                task.insert(KIND.to_owned(), "task".into());
            }
            task
        });
        self.contacts().into_values().chain(tasks).collect()
    }
}

/// Records without what is empty.
fn full(records: &Records) -> BTreeMap<String, Value> {
    let full = |record: &Record| Value::Object(record.clone().into_iter().filter(|(_, value)| !is_empty(value)).collect());
    records.iter().map(|(id, record)| (id.clone(), full(record))).collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(object) => object.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    }
}

fn refusal(body: &Record, conditions: &Conditions) -> Option<String> {
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
