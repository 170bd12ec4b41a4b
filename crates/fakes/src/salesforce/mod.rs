//! Salesforce's REST API of contacts or leads, accounts and tasks, with sObject collections and the jobs of Bulk API 2.0.
//!
//! After developer.salesforce.com: collections of at most 200 with one answer a row, in the order of the rows; upsert by a field
//! marked as external id; duplicate rules refuse a row; a converted lead cannot be changed; too many requests of a day are refused
//! with 403; sessions end. A reference to a record that is not there refuses its row. A session is had for the app's secret, or for an
//! assertion that its private key signed. A job is made, filled once with CSV in which an empty cell leaves a field alone and `#N/A` clears it, and
//! worked on after it was closed; its results name every row with its columns, those of the successful with `sf__Id`.

mod bulk;
mod setup;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Map, Value, json};

use crate::call::{instant, list, of_kind, text};
use crate::tokens::Tokens;
use crate::{Answer, Call, Conditions, Record, Records, Vendor};

/// The consumer key and secret that every fake takes.
pub const SECRET: &str = "salesforce-fake-0000";
/// The user whom every fake lets sign in with a JWT.
pub const USER: &str = "sync@example.com";
/// The grant of an assertion (RFC 7523).
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How far away an assertion's end may be.
const MAX_ASSERTION_SECS: i64 = 300;
/// Rows of one collection.
const MAX_ROWS: usize = 200;
/// How long a session lasts where nothing else is said.
const SESSION_MS: u64 = 7_200_000;

/// A Salesforce org with contacts.
#[derive(Debug)]
pub struct Salesforce {
    /// The objects by name: contacts or leads, and accounts and tasks.
    objects: BTreeMap<&'static str, Object>,
    external: Option<String>,
    sessions: Tokens,
    /// The object that people are.
    object: &'static str,
    /// The public key of the certificate that the app has, in DER.
    certificate: Option<Vec<u8>>,
    jobs: Vec<bulk::Job>,
    locked: BTreeSet<String>,
    requests_left: u64,
    setup: setup::Setup,
}

/// The records of one object.
#[derive(Debug, Default)]
struct Object {
    records: Records,
    fields: BTreeSet<String>,
    /// The field without which there is no record.
    needs: &'static str,
}

impl Object {
    fn new(first_id: u64, needs: &'static str, fields: &[&str]) -> Self {
        let fields = fields.iter().chain([&needs]).map(|name| (*name).to_owned()).collect();
        Self { records: Records::starting_at(first_id, &[]), fields, needs }
    }
}

impl Default for Salesforce {
    fn default() -> Self {
        let people = ["FirstName", "Email", "Phone", "Title", "MailingCity", "HasOptedOutOfEmail", "AccountId"];
        let objects = [
            ("Contact", Object::new(3_000_000_000_001, "LastName", &people)),
            ("Account", Object::new(1_000_000_000_001, "Name", &["Website", "Phone", "AccountNumber", "BillingCity"])),
            ("Task", Object::new(7_000_000_000_001, "Subject", &["WhoId", "ActivityDate", "Status", "Description"])),
        ];
        Self {
            objects: objects.into(),
            external: None,
            sessions: Tokens::new("00D-fake-", SESSION_MS),
            object: "Contact",
            certificate: None,
            jobs: Vec::new(),
            locked: BTreeSet::new(),
            requests_left: u64::MAX,
            setup: setup::Setup::default(),
        }
    }
}

impl Salesforce {
    /// An org that is asked for leads.
    #[must_use]
    pub fn with_leads() -> Self {
        let mut org = Self { object: "Lead", ..Self::default() };
        if let Some(mut people) = org.objects.remove("Contact") {
            people.fields.extend(["Company", "IsConverted", "ConvertedContactId"].map(str::to_owned));
            org.objects.insert("Lead", people);
        }
        org
    }

    /// How many jobs of the Bulk API were worked on.
    #[must_use]
    pub fn jobs_done(&self) -> usize {
        self.jobs.iter().filter(|job| job.is_done()).count()
    }

    /// Makes a field that is marked as external id and unique.
    pub fn add_external_id(&mut self, name: &str) {
        for object in self.objects.values_mut() {
            object.fields.insert(name.to_owned());
            object.records.make_unique(name);
        }
        self.external = Some(name.to_owned());
    }

    /// Lets whoever has the private key of this public one (DER) sign in with a JWT.
    pub fn trust(&mut self, public_key: Vec<u8>) {
        self.certificate = Some(public_key);
    }

    /// Its contacts, or leads.
    pub fn contacts(&mut self) -> &mut Records {
        &mut self.objects.entry(self.object).or_default().records
    }

    /// Its accounts.
    pub fn accounts(&mut self) -> &mut Records {
        &mut self.objects.entry("Account").or_default().records
    }

    /// Its tasks.
    pub fn tasks(&mut self) -> &mut Records {
        &mut self.objects.entry("Task").or_default().records
    }

    fn named(&self, object: &str) -> Option<(&'static str, &Object)> {
        self.objects.get_key_value(object).map(|(name, object)| (*name, object))
    }

    /// Lets the next write of a record find it locked.
    pub fn lock_once(&mut self, id: &str) {
        self.locked.insert(id.to_owned());
    }

    /// How many requests the org has left today.
    pub fn leave_requests(&mut self, requests: u64) {
        self.requests_left = requests;
    }

    fn shown(name: &str, object: &Object, record: &Record) -> Value {
        let value = |name: &String| match name.as_str() {
            "IsConverted" => json!(record.fields.get(name).is_some_and(|held| held == "true")),
            _ => json!(record.fields.get(name)),
        };
        let mut shown: Map<String, Value> = object.fields.iter().map(|name| (name.clone(), value(name))).collect();
        shown.insert("attributes".to_owned(), json!({ "type": name }));
        shown.insert("Id".to_owned(), json!(record.id));
        shown.insert("LastModifiedDate".to_owned(), json!(instant(record.updated_at).replace('Z', "+0000")));
        shown.into()
    }

    /// `SELECT FIELDS(ALL) FROM Contact WHERE Field IN ('…','…') LIMIT 200`.
    fn query(&self, call: &Call) -> Answer {
        let parsed = call.parameter("q").and_then(|q| {
            let (object, rest) = q.strip_prefix("SELECT FIELDS(ALL) FROM ")?.split_once(" WHERE ")?;
            let (field, rest) = rest.split_once(" IN (")?;
            Some((self.named(object)?, field, literals(rest.strip_suffix(") LIMIT 200")?)?))
        });
        let Some(((name, object), field, values)) = parsed else { return failure(400, "MALFORMED_QUERY", "unexpected token") };
        let fits = |record: &&Record| {
            let held = if field == "Id" { Some(&record.id) } else { record.fields.get(field) };
            held.is_some_and(|held| values.iter().any(|value| value.eq_ignore_ascii_case(held)))
        };
        let records: Vec<Value> =
            object.records.iter().filter(fits).take(MAX_ROWS).map(|record| Self::shown(name, object, record)).collect();
        Answer::json(200, &json!({ "totalSize": records.len(), "done": true, "records": records }))
    }

    fn write(&mut self, call: &Call, by: Option<(&str, &str)>, conditions: &Conditions, now_us: i64) -> Answer {
        let body = call.json();
        let rows = list(&body, "records");
        if rows.is_empty() || rows.len() > MAX_ROWS {
            return failure(400, "EXCEEDED_MAX_SIZE", "records: 1 to 200");
        }
        if by.is_some_and(|(_, by)| Some(by) != self.external.as_deref()) {
            return failure(400, "INVALID_FIELD", "the field is not marked as an external id");
        }
        let allow = call.header("sforce-duplicate-rule-header").is_some_and(|header| header.contains("allowSave=true"));
        let each = |row: &Value| match self.row(row, by, (conditions, allow), now_us) {
            Ok((id, created)) => json!({ "id": id, "success": true, "errors": [], "created": created }),
            Err((code, message, fields)) => {
                json!({ "success": false, "errors": [{ "statusCode": code, "message": message, "fields": fields }] })
            }
        };
        each_answered(rows.iter().map(each).collect())
    }

    fn create(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let body = call.json();
        let rows = list(&body, "records");
        if rows.is_empty() || rows.len() > MAX_ROWS {
            return failure(400, "EXCEEDED_MAX_SIZE", "records: 1 to 200");
        }
        let each = |row: &Value| {
            let named = row.pointer("/attributes/type").and_then(Value::as_str).unwrap_or_default();
            let object = self.named(named).map(|(object, _)| object).unwrap_or_default();
            // No record has this field, so that a new one is made.
            match self.apply(object, (row, Ok("")), (conditions, false), now_us) {
                Ok((id, _)) => json!({ "id": id, "success": true, "errors": [] }),
                Err((code, message, fields)) => {
                    json!({ "success": false, "errors": [{ "statusCode": code, "message": message, "fields": fields }] })
                }
            }
        };
        each_answered(rows.iter().map(each).collect())
    }

    fn row(
        &mut self,
        row: &Value,
        by: Option<(&str, &str)>,
        (conditions, allow): (&Conditions, bool),
        now_us: i64,
    ) -> Result<(String, bool), Refusal> {
        let named = row.pointer("/attributes/type").and_then(Value::as_str).unwrap_or_default();
        let Some((object, _)) = self.named(named).filter(|(object, _)| by.is_none_or(|(asked, _)| asked == *object)) else {
            return Err(("INVALID_TYPE", "the type is missing".to_owned(), Vec::new()));
        };
        let id = by.is_none().then(|| text(row, "id"));
        let by = by.map(|(_, by)| by).ok_or(id.unwrap_or_default());
        self.apply(object, (row, by), (conditions, allow), now_us)
    }

    /// Writes the fields of a row to the record of an external id, or to the one with an id.
    fn apply(
        &mut self,
        name: &'static str,
        (row, by): (&Value, Result<&str, &str>),
        (conditions, allow): (&Conditions, bool),
        now_us: i64,
    ) -> Result<(String, bool), Refusal> {
        let of_people = name == self.object;
        let others: [(&str, Option<&Records>); 2] = [
            ("AccountId", self.objects.get("Account").map(|accounts| &accounts.records)),
            ("WhoId", self.objects.get(self.object).map(|people| &people.records)),
        ];
        let known = self.objects.get(name).map(|object| &object.fields);
        let mut fields = BTreeMap::new();
        for (name, value) in
            row.as_object().into_iter().flatten().filter(|(name, _)| !matches!(name.as_str(), "attributes" | "id"))
        {
            let wrong = |code, message: &str| Err((code, message.to_owned(), vec![name.clone()]));
            let value = match value {
                _ if known.is_none_or(|known| !known.contains(name)) || !writable(name) => {
                    return wrong("INVALID_FIELD", "no such column");
                }
                Value::Null => String::new(),
                Value::String(text) if name != "HasOptedOutOfEmail" => text.clone(),
                Value::Bool(flag) if name == "HasOptedOutOfEmail" => flag.to_string(),
                _ => return wrong("INVALID_TYPE_ON_FIELD_IN_RECORD", "value of a wrong type"),
            };
            if conditions.refuses(&value) {
                return wrong("INVALID_EMAIL_ADDRESS", &format!("{name}: invalid value: {value}"));
            }
            let (_, other) = others.iter().find(|(field, _)| field == name).copied().unwrap_or_default();
            if other.is_some_and(|other| !value.is_empty() && other.get(&value).is_none()) {
                return wrong("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id");
            }
            fields.insert(name.clone(), value);
        }
        let Some(object) = self.objects.get_mut(name) else {
            return Err(("INVALID_TYPE", "sObject type is not supported".to_owned(), Vec::new()));
        };
        let found = match by {
            Ok(by) => fields.get(by).and_then(|value| object.records.holder(by, value)).map(|record| record.id.clone()),
            Err(id) => Some(id.to_owned()),
        };
        let record = found.as_ref().and_then(|id| object.records.get(id));
        if record.is_some_and(|record| record.fields.contains_key("IsConverted")) {
            return Err(("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead".to_owned(), Vec::new()));
        }
        if found.as_ref().is_some_and(|id| self.locked.remove(id)) {
            return Err(("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record".to_owned(), Vec::new()));
        }
        if let Some((field, holder)) = object.records.conflict(&fields, found.as_deref()) {
            let told = format!("duplicate value found: {field} duplicates value on record with id: {}", holder.id);
            return Err(("DUPLICATE_VALUE", told, vec![field.to_owned()]));
        }
        if let Some(id) = found {
            return match object.records.change(&id, fields, now_us) {
                true => Ok((id, false)),
                false => Err(("ENTITY_IS_DELETED", "entity is deleted".to_owned(), Vec::new())),
            };
        }
        if fields.get(object.needs).is_none_or(String::is_empty) {
            let needs = object.needs.to_owned();
            return Err(("REQUIRED_FIELD_MISSING", format!("Required fields are missing: [{needs}]"), vec![needs]));
        }
        let email = fields.get("Email").filter(|email| of_people && !email.is_empty());
        // The standard rule for duplicates only warns.
        if !allow && email.is_some_and(|email| object.records.iter().any(|record| record.fields.get("Email") == Some(email))) {
            return Err(("DUPLICATES_DETECTED", "Use one of these records?".to_owned(), Vec::new()));
        }
        Ok((object.records.insert(fields.into_iter().filter(|(_, value)| !value.is_empty()).collect(), now_us), true))
    }

    fn delete(&mut self, call: &Call) -> Answer {
        let ids = call.parameter("ids").unwrap_or_default();
        let gone = json!([{ "statusCode": "ENTITY_IS_DELETED", "message": "entity is deleted", "fields": [] }]);
        let each = |id: &str| match self.objects.values_mut().any(|object| object.records.remove(id)) {
            true => json!({ "id": id, "success": true, "errors": [] }),
            false => json!({ "id": id, "success": false, "errors": gone }),
        };
        Answer::json(200, &ids.split(',').map(each).collect()).wrote()
    }
}

impl Salesforce {
    /// Whether an assertion (RFC 7523) is signed by whom the app trusts, for a user, for this server, and not for long.
    fn signed_in(&self, assertion: &str, now_us: i64) -> Result<(), &'static str> {
        let key = self.certificate.as_ref().ok_or("app must enable certificate")?;
        let (signed, signature) = assertion.rsplit_once('.').ok_or("invalid assertion")?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "invalid assertion");
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
            .verify(signed.as_bytes(), &decode(signature)?)
            .map_err(|_| "invalid assertion")?;
        let (header, claims) = signed.split_once('.').ok_or("invalid assertion")?;
        let read = |part: &str| serde_json::from_slice::<Value>(&decode(part)?).map_err(|_| "invalid assertion");
        let (header, claims) = (read(header)?, read(claims)?);
        if text(&header, "alg") != "RS256" {
            return Err("unsupported algorithm");
        }
        let audience = ["https://login.salesforce.com", "https://test.salesforce.com"].contains(&text(&claims, "aud"));
        if !audience {
            return Err("audience is invalid");
        }
        if text(&claims, "iss") != SECRET {
            return Err("client identifier invalid");
        }
        if text(&claims, "sub") != USER {
            return Err("user hasn't approved this consumer");
        }
        let left = claims.get("exp").and_then(Value::as_i64).unwrap_or_default() - now_us / 1_000_000;
        if (1..=MAX_ASSERTION_SECS).contains(&left) { Ok(()) } else { Err("expired authorization code") }
    }
}

type Refusal = (&'static str, String, Vec<String>);

impl Vendor for Salesforce {
    fn answer(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let (method, path) = call.route();
        if (method, path.as_slice()) == ("POST", &["services", "oauth2", "token"]) {
            let form = call.form();
            let field = |name: &str| form.get(name).map(String::as_str);
            if field("grant_type") == Some(JWT_BEARER) {
                if let Err(wrong) = self.signed_in(field("assertion").unwrap_or_default(), now_us) {
                    return Answer::json(400, &json!({ "error": "invalid_grant", "error_description": wrong }));
                }
            } else if field("grant_type") != Some("client_credentials") || field("client_secret") != Some(SECRET) {
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
            ("GET", ["sobjects", object, "describe"]) => match self.objects.get(*object) {
                Some(object) => {
                    let field = |name: &String| json!({ "name": name, "label": name, "updateable": writable(name) });
                    Answer::json(200, &json!({ "fields": object.fields.iter().map(field).collect::<Vec<_>>() }))
                }
                None => failure(404, "NOT_FOUND", "The requested resource does not exist"),
            },
            (method, [] | ["tooling" | "sobjects", ..]) => self.set_up(method, rest, &call.json()),
            ("GET", ["query"]) if self.asks_of_setup(call) => self.query_setup(call),
            ("GET", ["query"]) => self.query(call),
            ("POST", ["composite", "sobjects"]) => self.create(call, conditions, now_us),
            ("PATCH", ["composite", "sobjects"]) => self.write(call, None, conditions, now_us),
            ("PATCH", ["composite", "sobjects", object, by]) => {
                let (object, by) = ((*object).to_owned(), (*by).to_owned());
                self.write(call, Some((&object, &by)), conditions, now_us)
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
        let mut state = Vec::new();
        let others = self.objects.iter().filter(|(name, _)| **name != self.object);
        for (name, object) in self.objects.get_key_value(self.object).into_iter().chain(others) {
            state.extend(object.records.iter().map(|record| of_kind(name, *name != self.object, record)));
        }
        state.into()
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

/// The answer for many rows, of which each has one of its own.
fn each_answered(answers: Vec<Value>) -> Answer {
    let any = answers.iter().any(|answer| answer.get("success") == Some(&json!(true)));
    let answer = Answer::json(200, &answers.into());
    if any { answer.wrote() } else { answer }
}
