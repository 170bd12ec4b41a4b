//! Mailchimp's Marketing API of one audience, version 3.0.
//!
//! After mailchimp.com/developer/marketing: a member is named by the MD5 of the address in lower case; `PUT` makes a member with
//! `status_if_new`, and changes one that is there without touching its status unless `status` says so; a deletion archives, and an
//! archived member shows no more whether it was unsubscribed; merge fields that the audience lacks are passed over; members cannot
//! be searched by a merge field; calls too many get 429.

use std::collections::{BTreeMap, BTreeSet};

use md5::Digest as _;
use serde_json::{Map, Value, json};

use crate::call::{instant, list, text};
use crate::{Answer, Call, Conditions, Record, Records, Vendor};

/// The API key that every fake takes.
pub const KEY: &str = "fake0000-us1";
/// The audience that every fake has.
pub const LIST: &str = "a1b2c3d4e5";
/// `Authorization` for the key: Basic, with the user `headwater`.
pub(crate) const BASIC: &str = "Basic aGVhZHdhdGVyOmZha2UwMDAwLXVzMQ==";
const EMAIL: &str = "email_address";
const STATUS: &str = "status";
/// What stands before the tag of a merge field.
const MERGE: &str = "merge_fields.";

/// The field in which the names of a member's tags stand, with `;` between.
const TAGS: &str = "tags";

fn tags(record: &Record) -> BTreeSet<String> {
    let held = record.fields.get(TAGS).map(String::as_str).unwrap_or_default();
    held.split(';').filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

/// An audience.
#[derive(Debug)]
pub struct Mailchimp {
    members: Records,
    merge_fields: BTreeSet<String>,
}

impl Default for Mailchimp {
    fn default() -> Self {
        let merge_fields = ["FNAME", "LNAME", "PHONE"].map(str::to_owned).into();
        Self { members: Records::starting_at(1, &[EMAIL]), merge_fields }
    }
}

impl Mailchimp {
    /// Makes a text merge field, as an administrator would.
    pub fn add_merge_field(&mut self, tag: &str) {
        self.merge_fields.insert(tag.to_owned());
    }

    /// Its members: `email_address`, `status`, `language` and `merge_fields.TAG`.
    pub fn members(&mut self) -> &mut Records {
        &mut self.members
    }

    fn by_hash(&self, hash: &str) -> Option<&Record> {
        self.members.iter().find(|record| record.fields.get(EMAIL).is_some_and(|email| hash_of(email) == hash))
    }

    fn shown(&self, record: &Record) -> Value {
        let field = |name: &str| record.fields.get(name).map(String::as_str).unwrap_or_default();
        let merge = |tag: &String| (tag.clone(), json!(field(&format!("{MERGE}{tag}"))));
        json!({ "id": hash_of(field(EMAIL)), "email_address": field(EMAIL), "status": field(STATUS), "language": field("language"),
                "merge_fields": self.merge_fields.iter().map(merge).collect::<Map<String, Value>>(),
                "tags": tags(record).iter().map(|name| json!({ "id": 1, "name": name })).collect::<Vec<_>>(),
                "last_changed": instant(record.updated_at), "list_id": LIST })
    }

    fn fields(&self, body: &Value, conditions: &Conditions) -> Result<BTreeMap<String, String>, Answer> {
        let mut fields = BTreeMap::new();
        for name in [EMAIL, "language", STATUS] {
            if let Some(value) = body.get(name).and_then(Value::as_str) {
                fields.insert(name.to_owned(), value.to_owned());
            }
        }
        for (tag, value) in body.get("merge_fields").and_then(Value::as_object).into_iter().flatten() {
            // What it does not know, Mailchimp passes over.
            if self.merge_fields.contains(tag) {
                let Some(value) = value.as_str() else { return Err(invalid(tag, "This value should be a string.")) };
                fields.insert(format!("{MERGE}{tag}"), value.to_owned());
            }
        }
        let bad = |(name, value): &(&String, &String)| conditions.refuses(value) || *name == EMAIL && !value.contains('@');
        match fields.iter().find(bad) {
            Some((name, value)) => Err(invalid(name, &format!("{value} is not valid."))),
            None => Ok(fields),
        }
    }

    fn write(&mut self, hash: &str, makes: bool, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        let body = call.json();
        let mut fields = match self.fields(&body, conditions) {
            Ok(fields) => fields,
            Err(refusal) => return refusal,
        };
        let found = self.by_hash(hash).map(|record| record.id.clone());
        if self.members.conflict(&fields, found.as_deref()).is_some() {
            return problem(400, "Member Exists", "The new address is a list member already.");
        }
        let id = match found {
            Some(id) => {
                self.members.change(&id, fields, now_us);
                id
            }
            None if !makes => return problem(404, "Resource Not Found", "The requested resource could not be found."),
            None => {
                let status = text(&body, "status_if_new");
                if !["subscribed", "pending", "unsubscribed", "transactional"].contains(&status) {
                    return invalid("status_if_new", "This value should not be blank.");
                }
                if fields.get(EMAIL).map(|email| hash_of(email)).as_deref() != Some(hash) {
                    return invalid(EMAIL, "The address does not belong to this hash.");
                }
                fields.entry(STATUS.to_owned()).or_insert_with(|| status.to_owned());
                self.members.insert(fields.into_iter().filter(|(_, value)| !value.is_empty()).collect(), now_us)
            }
        };
        let record = self.members.get(&id);
        record.map_or_else(|| Answer::empty(500), |record| Answer::json(200, &self.shown(record)).wrote())
    }
}

impl Vendor for Mailchimp {
    fn answer(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        if call.header("authorization") != Some(BASIC) {
            return problem(401, "API Key Invalid", "Your API key may be invalid.");
        }
        let (method, path) = call.route();
        let missing = || problem(404, "Resource Not Found", "The requested resource could not be found.");
        let ["3.0", "lists", LIST, rest @ ..] = path.as_slice() else { return missing() };
        match (method, rest) {
            ("GET", []) => Answer::json(200, &json!({ "id": LIST, "name": "Example" })),
            ("GET", ["merge-fields"]) => {
                let field = |tag: &String| json!({ "tag": tag, "name": tag, "type": "text" });
                Answer::json(200, &json!({ "merge_fields": self.merge_fields.iter().map(field).collect::<Vec<_>>() }))
            }
            ("POST", ["merge-fields"]) => {
                let tag = text(&call.json(), "tag").to_owned();
                // At most ten characters, in capitals.
                if tag.is_empty() || tag.len() > 10 || self.merge_fields.contains(&tag) {
                    return problem(400, "Invalid Resource", "Merge Field cannot be made with this tag");
                }
                self.merge_fields.insert(tag.clone());
                Answer::json(200, &json!({ "merge_id": self.merge_fields.len(), "tag": tag, "type": "text" })).wrote()
            }
            ("GET", ["members", hash]) => {
                self.by_hash(hash).map_or_else(missing, |record| Answer::json(200, &self.shown(record)))
            }
            ("POST", ["members", hash, "tags"]) => match self.by_hash(hash).map(|record| (record.id.clone(), tags(record))) {
                Some((id, mut held)) => {
                    for tag in list(&call.json(), "tags") {
                        let name = text(tag, "name").to_owned();
                        match text(tag, "status") {
                            "active" => drop(held.insert(name)),
                            _ => drop(held.remove(&name)),
                        }
                    }
                    let held = held.into_iter().collect::<Vec<_>>().join(";");
                    self.members.change(&id, BTreeMap::from([(TAGS.to_owned(), held)]), now_us);
                    Answer::empty(204).wrote()
                }
                None => missing(),
            },
            ("PUT" | "PATCH", ["members", hash]) => {
                let hash = (*hash).to_owned();
                self.write(&hash, method == "PUT", call, conditions, now_us)
            }
            ("DELETE", ["members", hash]) => match self.by_hash(hash).map(|record| record.id.clone()) {
                Some(id) => {
                    self.members.change(&id, BTreeMap::from([(STATUS.to_owned(), "archived".to_owned())]), now_us);
                    Answer::empty(204).wrote()
                }
                None => missing(),
            },
            _ => missing(),
        }
    }

    fn limited(&self, _: u64, _: i64) -> Answer {
        problem(429, "Too Many Requests", "You have exceeded the limit of 10 simultaneous connections.")
    }

    fn state(&self) -> Value {
        self.members.iter().map(|record| json!(record.fields)).collect()
    }
}

/// How the path names a member.
pub(crate) fn hash_of(email: &str) -> String {
    let digest = md5::Md5::digest(email.trim().to_lowercase().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn invalid(field: &str, message: &str) -> Answer {
    let errors = json!([{ "field": field, "message": message }]);
    let detail = "The resource submitted could not be validated. For field-specific details, see the 'errors' array.";
    Answer::json(400, &json!({ "title": "Invalid Resource", "status": 400, "detail": detail, "errors": errors }))
}

fn problem(status: u16, title: &str, detail: &str) -> Answer {
    let errors = list(&Value::Null, "");
    Answer::json(status, &json!({ "title": title, "status": status, "detail": detail, "errors": errors }))
}
