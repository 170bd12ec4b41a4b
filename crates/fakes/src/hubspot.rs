//! HubSpot's CRM API, version 3 of objects and 4 of associations.
//!
//! After developers.hubspot.com: batches of at most 100; property values are text; unknown properties refuse the whole batch;
//! 207 names refused rows by `objectWriteTraceId` only; a row whose unique value belongs to another record refuses the whole batch
//! with 409; search lags, reading by a unique property does not. A list (Lists, version 3) is static (`MANUAL`), and takes and gives
//! up who is named, or active (`DYNAMIC`), and HubSpot alone decides who is in it; who does not exist is named as missing, and who is
//! in it already is passed over.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::call::{list, object, text};
use crate::{Answer, Call, Conditions, Record, Records, Vendor};

/// Rows of one batch.
const MAX_BATCH: usize = 100;
/// The private app's token that every fake takes.
pub const TOKEN: &str = "pat-fake-0000";
const EMAIL: &str = "email";
/// The property that shows a contact's company; only associations change it.
const PRIMARY_COMPANY: &str = "associatedcompanyid";
/// The property that says whether a deal was won; only its stage changes it.
const IS_WON: &str = "hs_is_closed_won";
/// The stage of the default pipeline in which deals are that were won.
const WON: &str = "closedwon";

/// A HubSpot account.
#[derive(Debug)]
pub struct HubSpot {
    objects: BTreeMap<String, Object>,
    /// Pairs of (kind, id) that are associated, from and to.
    associations: BTreeSet<[(String, String); 2]>,
    lists: BTreeMap<String, List>,
    next_list: u64,
}

/// A list of contacts.
#[derive(Debug, Default)]
struct List {
    name: String,
    /// Whether HubSpot alone decides who is in it.
    active: bool,
    members: BTreeSet<String>,
}

#[derive(Debug)]
struct Object {
    records: Records,
    properties: BTreeMap<String, bool>,
}

impl Default for HubSpot {
    fn default() -> Self {
        let contact = [
            "firstname",
            "lastname",
            "phone",
            "mobilephone",
            "jobtitle",
            "company",
            "lifecyclestage",
            "hubspot_owner_id",
            "country",
            "city",
            "website",
            "hs_lead_status",
            "original_source",
            PRIMARY_COMPANY,
        ];
        let task = ["hs_task_subject", "hs_task_body", "hs_task_status", "hs_task_priority", "hs_timestamp", "hubspot_owner_id"];
        let company = ["name", "domain", "city", "country", "hubspot_owner_id"];
        let deal = ["dealname", "amount", "dealstage", "closedate", "deal_currency_code", "hubspot_owner_id", IS_WON];
        let kind = |names: &[&str], unique: &[&str], first| Object {
            records: Records::starting_at(first, unique),
            properties: names.iter().chain(unique).map(|name| ((*name).to_owned(), unique.contains(name))).collect(),
        };
        let objects = [
            ("contacts".to_owned(), kind(&contact, &[EMAIL], 1_001)),
            ("companies".to_owned(), kind(&company, &[], 5_001)),
            ("deals".to_owned(), kind(&deal, &[], 9_001)),
            ("tasks".to_owned(), kind(&task, &[], 7_001)),
        ];
        Self { objects: objects.into(), associations: BTreeSet::new(), lists: BTreeMap::new(), next_list: 101 }
    }
}

impl HubSpot {
    /// Makes a property, as an administrator would.
    pub fn add_property(&mut self, kind: &str, name: &str, unique: bool) {
        if let Some(object) = self.objects.get_mut(kind) {
            object.properties.insert(name.to_owned(), unique);
            if unique {
                object.records.make_unique(name);
            }
        }
    }

    /// Makes a static list of contacts, as a user would.
    pub fn add_list(&mut self, id: &str) {
        self.lists.insert(id.to_owned(), List { name: format!("List {id}"), ..List::default() });
    }

    /// Makes an active list of contacts, as a user would.
    pub fn add_active_list(&mut self, id: &str) {
        self.lists.insert(id.to_owned(), List { name: format!("List {id}"), active: true, ..List::default() });
    }

    /// The contacts of a list.
    #[must_use]
    pub fn members(&self, id: &str) -> Vec<String> {
        self.lists.get(id).into_iter().flat_map(|list| &list.members).cloned().collect()
    }

    /// Associates two records, each named by its kind and its id, as a user would.
    pub fn tie(&mut self, (from, one): (&str, &str), (to, other): (&str, &str)) {
        self.associate(from, to, &json!({ "inputs": [{ "from": { "id": one }, "to": { "id": other } }] }));
    }

    /// What a record is associated with, of one kind.
    #[must_use]
    pub fn associated(&self, from: &str, id: &str, to: &str) -> Vec<String> {
        let ends = self.associations.iter().filter(|[one, other]| one.0 == from && one.1 == id && other.0 == to);
        ends.map(|[_, other]| other.1.clone()).collect()
    }

    /// Its records of one kind, to look at or to change as other users do.
    pub fn records(&mut self, kind: &str) -> Option<&mut Records> {
        self.objects.get_mut(kind).map(|object| &mut object.records)
    }
}

impl Vendor for HubSpot {
    fn answer(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        if call.header("authorization").and_then(|header| header.strip_prefix("Bearer ")) != Some(TOKEN) {
            return failure(401, "INVALID_AUTHENTICATION", "Authentication credentials not found");
        }
        let (method, path) = call.route();
        match (method, path.as_slice()) {
            ("GET", ["account-info", "v3", "details"]) => Answer::json(200, &json!({ "portalId": 1, "accountType": "STANDARD" })),
            ("GET", ["crm", "v3", "properties", kind]) => self.list_properties(kind),
            ("POST", ["crm", "v3", "properties", kind]) => self.make_property(kind, &call.json()),
            ("POST", ["crm", "v4", "associations", from, to, "batch", "associate", "default"]) => {
                self.associate(from, to, &call.json())
            }
            ("POST", ["crm", "v4", "associations", from, to, "batch", "archive"]) => self.dissociate(from, to, &call.json()),
            ("POST", ["crm", "v4", "associations", from, to, "batch", "read"]) => self.read_associations(from, to, &call.json()),
            (method, ["crm", "v3", "lists", rest @ ..]) => self.on_lists(method, rest, &call.json()),
            (method, ["crm", "v3", "objects", kind, rest @ ..]) => match self.objects.get_mut(*kind) {
                Some(object) => {
                    let answer = object.answer(method, rest, call, &Moment { conditions, now_us });
                    if method == "DELETE" || rest == ["batch", "archive"] {
                        self.forget(kind);
                    }
                    match (method, rest, call.parameter("associations")) {
                        ("GET", [], Some(others)) => self.with_associations(kind, others, answer),
                        _ => answer,
                    }
                }
                None => failure(404, "OBJECT_NOT_FOUND", "Unable to infer object type"),
            },
            _ => Answer::empty(404),
        }
    }

    fn limited(&self, wait_ms: u64, _: i64) -> Answer {
        let body = json!({ "status": "error", "message": "You have reached your ten_secondly_rolling limit.", "errorType": "RATE_LIMIT",
                           "policyName": "TEN_SECONDLY_ROLLING" });
        // HubSpot names no `Retry-After` here; the window's length stands in a header.
        Answer::json(429, &body).with("x-hubspot-ratelimit-interval-milliseconds", wait_ms.to_string())
    }

    fn state(&self) -> Value {
        let fields = |object: &Object| -> Value { object.records.iter().map(|record| json!(record.fields)).collect() };
        let mut state: Map<String, Value> = self.objects.iter().map(|(kind, object)| (kind.clone(), fields(object))).collect();
        let members = self.lists.iter().map(|(id, list)| (id, &list.members));
        state.insert("lists".to_owned(), json!(members.collect::<BTreeMap<_, _>>()));
        state.insert("associations".to_owned(), json!(self.associations));
        state.into()
    }
}

/// When a call came and what goes wrong then.
struct Moment<'a> {
    conditions: &'a Conditions,
    now_us: i64,
}

impl HubSpot {
    fn list_properties(&self, kind: &str) -> Answer {
        let Some(object) = self.objects.get(kind) else { return Answer::empty(404) };
        let property = |(name, unique): (&String, &bool)| json!({ "name": name, "label": name, "type": "string", "hasUniqueValue": unique, "modificationMetadata": { "readOnlyValue": name == PRIMARY_COMPANY || name == IS_WON } });
        Answer::json(200, &json!({ "results": object.properties.iter().map(property).collect::<Vec<_>>() }))
    }

    fn make_property(&mut self, kind: &str, body: &Value) -> Answer {
        let (name, unique) =
            (text(body, "name").to_owned(), body.get("hasUniqueValue").and_then(Value::as_bool).unwrap_or(false));
        match self.objects.get(kind) {
            None => Answer::empty(404),
            Some(object) if object.properties.contains_key(&name) => {
                failure(409, "OBJECT_ALREADY_EXISTS", "a property of this name exists")
            }
            Some(_) if name.is_empty() || text(body, "groupName").is_empty() => {
                failure(400, "VALIDATION_ERROR", "name and groupName are required")
            }
            Some(_) => {
                self.add_property(kind, &name, unique);
                Answer::json(201, body)
            }
        }
    }

    fn associate(&mut self, from: &str, to: &str, body: &Value) -> Answer {
        let mut results = Vec::new();
        for input in list(body, "inputs") {
            let id = |end: &str| input.get(end).map(|end| text(end, "id").to_owned()).unwrap_or_default();
            let (one, other) = (id("from"), id("to"));
            let known = |kind: &str, id: &str| self.objects.get(kind).is_some_and(|object| object.records.get(id).is_some());
            if !known(from, &one) || !known(to, &other) {
                return failure(404, "OBJECT_NOT_FOUND", "one of the records does not exist");
            }
            results.push(json!({ "from": { "id": one }, "to": { "id": other } }));
            self.associations.insert([(from.to_owned(), one.clone()), (to.to_owned(), other.clone())]);
            self.associations.insert([(to.to_owned(), other), (from.to_owned(), one.clone())]);
            self.show_company(from, &one);
        }
        Answer::json(200, &json!({ "status": "COMPLETE", "results": results })).wrote()
    }

    fn dissociate(&mut self, from: &str, to: &str, body: &Value) -> Answer {
        for input in list(body, "inputs") {
            let one = input.get("from").map(|end| text(end, "id").to_owned()).unwrap_or_default();
            for other in list(input, "to").iter().map(|end| text(end, "id").to_owned()) {
                self.associations.remove(&[(from.to_owned(), one.clone()), (to.to_owned(), other.clone())]);
                self.associations.remove(&[(to.to_owned(), other), (from.to_owned(), one.clone())]);
            }
            self.show_company(from, &one);
        }
        Answer::empty(204).wrote()
    }

    /// The first company of a contact shows in a property.
    fn show_company(&mut self, kind: &str, contact: &str) {
        let companies = self.associated(kind, contact, "companies");
        let (Some(contacts), true) = (self.objects.get_mut(kind), kind == "contacts") else { return };
        let held = contacts.records.get(contact).and_then(|record| record.fields.get(PRIMARY_COMPANY)).cloned();
        if held.as_ref().is_none_or(|held| !companies.contains(held)) {
            let company = companies.first().cloned().unwrap_or_default();
            let at = contacts.records.get(contact).map_or(0, |record| record.updated_at);
            contacts.records.change(contact, BTreeMap::from([(PRIMARY_COMPANY.to_owned(), company)]), at);
        }
    }

    fn read_associations(&self, from: &str, to: &str, body: &Value) -> Answer {
        let ids = list(body, "inputs").iter().map(|input| text(input, "id"));
        let found = ids.filter_map(|id| {
            let others = self.associated(from, id, to);
            let ends: Vec<Value> =
                others.iter().filter_map(|other| Some(json!({ "toObjectId": other.parse::<u64>().ok()? }))).collect();
            (!ends.is_empty()).then(|| json!({ "from": { "id": id }, "to": ends }))
        });
        Answer::json(200, &json!({ "status": "COMPLETE", "results": found.collect::<Vec<_>>() }))
    }

    /// A page of records with what each is associated with, of these kinds.
    fn with_associations(&self, kind: &str, others: &str, mut answer: Answer) -> Answer {
        let Ok(mut body) = serde_json::from_str::<Value>(&answer.body) else { return answer };
        for record in body.get_mut("results").and_then(Value::as_array_mut).into_iter().flatten() {
            let id = text(record, "id").to_owned();
            let ends =
                |other: &str| self.associated(kind, &id, other).into_iter().map(|id| json!({ "id": id })).collect::<Vec<_>>();
            let tied = others.split(',').map(|other| (other, ends(other))).filter(|(_, ends)| !ends.is_empty());
            let tied: Map<String, Value> = tied.map(|(other, ends)| (other.to_owned(), json!({ "results": ends }))).collect();
            if let (false, Some(record)) = (tied.is_empty(), record.as_object_mut()) {
                record.insert("associations".to_owned(), tied.into());
            }
        }
        answer.body = body.to_string();
        answer
    }

    fn on_lists(&mut self, method: &str, rest: &[&str], body: &Value) -> Answer {
        match (method, rest) {
            ("POST", []) => self.make_list(body),
            ("GET", ["records", "0-1", contact, "memberships"]) => {
                let of = self.lists.iter().filter(|(_, list)| list.members.contains(*contact));
                Answer::json(200, &json!({ "results": of.map(|(list, _)| json!({ "listId": list })).collect::<Vec<_>>() }))
            }
            ("GET", ["object-type-id", "0-1", "name", name]) => {
                let found = self.lists.iter().find(|(_, list)| list.name.eq_ignore_ascii_case(name));
                found.map_or_else(no_list, |(id, list)| shown_list(200, id, list))
            }
            ("GET", [id]) => self.lists.get(*id).map_or_else(no_list, |list| shown_list(200, id, list)),
            ("DELETE", [id]) => self.lists.remove(*id).map_or_else(no_list, |_| Answer::empty(204).wrote()),
            ("GET", [id, "memberships"]) => self.lists.get(*id).map_or_else(no_list, |list| {
                let members = list.members.iter().map(|contact| json!({ "recordId": contact }));
                Answer::json(200, &json!({ "results": members.collect::<Vec<_>>() }))
            }),
            ("PUT", [id, "memberships", verb @ ("add" | "remove")]) => self.move_members(id, verb, body),
            _ => Answer::empty(404),
        }
    }

    fn make_list(&mut self, body: &Value) -> Answer {
        let active = match text(body, "processingType") {
            "MANUAL" | "SNAPSHOT" => false,
            "DYNAMIC" => true,
            _ => return failure(400, "VALIDATION_ERROR", "processingType must be MANUAL, SNAPSHOT or DYNAMIC"),
        };
        let name = text(body, "name").to_owned();
        if name.is_empty() || text(body, "objectTypeId") != "0-1" {
            return failure(400, "VALIDATION_ERROR", "name and the objectTypeId of contacts are required");
        }
        if self.lists.values().any(|list| list.name.eq_ignore_ascii_case(&name)) {
            return failure(400, "VALIDATION_ERROR", "A list with this name exists already");
        }
        let id = self.next_list.to_string();
        self.next_list += 1;
        let list = List { name, active, ..List::default() };
        let answer = shown_list(200, &id, &list).wrote();
        self.lists.insert(id, list);
        answer
    }

    fn move_members(&mut self, list: &str, verb: &str, body: &Value) -> Answer {
        let Some(contacts) = self.objects.get("contacts") else { return Answer::empty(404) };
        let Some(List { active, members, .. }) = self.lists.get_mut(list) else { return no_list() };
        if *active {
            return failure(400, "VALIDATION_ERROR", "Memberships of a DYNAMIC list cannot be changed by hand");
        }
        let (mut moved, mut missing) = (Vec::new(), Vec::new());
        for id in body.as_array().into_iter().flatten().filter_map(Value::as_str) {
            match verb {
                _ if contacts.records.get(id).is_none() => missing.push(id),
                "add" => moved.extend(members.insert(id.to_owned()).then_some(id)),
                _ => moved.extend(members.remove(id).then_some(id)),
            }
        }
        let none: [&str; 0] = [];
        let (added, removed) = if verb == "add" { (&moved[..], &none[..]) } else { (&none[..], &moved[..]) };
        Answer::json(200, &json!({ "recordsIdsAdded": added, "recordIdsRemoved": removed, "recordIdsMissing": missing })).wrote()
    }

    /// What belonged to a record that is gone is gone with it.
    fn forget(&mut self, kind: &str) {
        let gone = |end: &(String, String)| {
            end.0 == kind && self.objects.get(kind).is_some_and(|object| object.records.get(&end.1).is_none())
        };
        let (out, kept): (BTreeSet<_>, BTreeSet<_>) =
            std::mem::take(&mut self.associations).into_iter().partition(|pair| pair.iter().any(gone));
        self.associations = kept;
        for [one, _] in out {
            self.show_company(&one.0, &one.1);
        }
        if let (Some(contacts), true) = (self.objects.get("contacts"), kind == "contacts") {
            self.lists.values_mut().for_each(|list| list.members.retain(|id| contacts.records.get(id).is_some()));
        }
    }
}

impl Object {
    fn answer(&mut self, method: &str, rest: &[&str], call: &Call, moment: &Moment<'_>) -> Answer {
        match (method, rest) {
            ("POST", ["batch", "read"]) => self.read(&call.json()),
            ("POST", ["batch", verb @ ("create" | "update" | "upsert")]) => self.write(verb, &call.json(), moment),
            ("POST", ["batch", "archive"]) => {
                for input in list(&call.json(), "inputs") {
                    self.records.remove(text(input, "id"));
                }
                Answer::empty(204).wrote()
            }
            ("POST", ["search"]) => self.search(&call.json(), moment),
            ("GET", []) => self.page(call),
            ("GET", [id]) => match self.by(call.parameter("idProperty"), id) {
                Some(record) => Answer::json(200, &self.shown(record, &wanted(call))),
                None => Answer::empty(404),
            },
            ("PATCH", [id]) => {
                let row = json!({ "inputs": [{ "id": id, "properties": call.json().get("properties") }] });
                let Answer { status, body, headers, wrote } = self.write("update", &row, moment);
                let first = serde_json::from_str::<Value>(&body).ok().and_then(|body| body.get("results")?.get(0).cloned());
                Answer { status, headers, wrote, body: first.map_or(body, |first| first.to_string()) }
            }
            ("DELETE", [id]) => {
                self.records.remove(id);
                Answer::empty(204).wrote()
            }
            _ => Answer::empty(404),
        }
    }

    /// The record with an id, or with a value in a unique property.
    fn by(&self, property: Option<&str>, value: &str) -> Option<&Record> {
        match property {
            None | Some("" | "hs_object_id") => self.records.get(value),
            Some(property) => self.records.holder(property, value).or_else(|| {
                let additional = |record: &&Record| {
                    let addresses = record.fields.get("hs_additional_emails").map_or("", String::as_str);
                    addresses.split(';').any(|address| address.eq_ignore_ascii_case(value))
                };
                // Only an address may be a further one; nobody searches all records for another property.
                if property == EMAIL { self.records.iter().find(additional) } else { None }
            }),
        }
    }

    fn shown(&self, record: &Record, wanted: &[String]) -> Value {
        let mut properties = Map::new();
        properties.insert("hs_object_id".to_owned(), json!(record.id));
        for name in wanted.iter().filter(|name| self.properties.contains_key(*name)) {
            let is_won = || (record.fields.get("dealstage").map(String::as_str) == Some(WON)).to_string();
            properties.insert(name.clone(), if name == IS_WON { is_won().into() } else { json!(record.fields.get(name)) });
        }
        json!({ "id": record.id, "properties": properties, "createdAt": instant(record.created_at), "updatedAt": instant(record.updated_at), "archived": false })
    }

    fn read(&self, body: &Value) -> Answer {
        let inputs = list(body, "inputs");
        if inputs.len() > MAX_BATCH {
            return failure(400, "VALIDATION_ERROR", "a batch holds at most 100 inputs");
        }
        let property = body.get("idProperty").and_then(Value::as_str);
        if property.is_some_and(|name| name != "hs_object_id" && !self.records.is_unique(name)) {
            return failure(400, "VALIDATION_ERROR", "idProperty has no unique values");
        }
        let wanted: Vec<String> = list(body, "properties").iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
        let (mut results, mut missing, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        for id in inputs.iter().map(|input| text(input, "id")) {
            match self.by(property, id) {
                Some(record) if seen.insert(record.id.clone()) => results.push(self.shown(record, &wanted)),
                Some(_) => {}
                None => missing.push(id),
            }
        }
        if missing.is_empty() {
            return Answer::json(200, &json!({ "status": "COMPLETE", "results": results }));
        }
        let error = json!({ "status": "error", "category": "OBJECT_NOT_FOUND", "message": "Could not get some objects", "context": { "ids": missing } });
        Answer::json(207, &json!({ "status": "COMPLETE", "results": results, "numErrors": 1, "errors": [error] }))
    }

    fn write(&mut self, verb: &str, body: &Value, moment: &Moment<'_>) -> Answer {
        let inputs = list(body, "inputs");
        if inputs.is_empty() || inputs.len() > MAX_BATCH {
            return failure(400, "VALIDATION_ERROR", "a batch holds 1 to 100 inputs");
        }
        if let Some(refusal) = inputs.iter().find_map(|input| self.malformed(input)) {
            return refusal;
        }
        let mut rows = Vec::new();
        let mut errors = Vec::new();
        for input in inputs {
            match self.row(verb, input, moment) {
                Ok(row) => rows.push(row),
                Err(Refusal::Batch(answer)) => return *answer,
                Err(Refusal::Row(error)) => errors.push(error),
            }
        }
        if let Some(first) = errors.first().filter(|_| moment.conditions.whole_batch_fails) {
            return failure(400, "VALIDATION_ERROR", text(first, "message"));
        }
        let results: Vec<Value> = rows.into_iter().map(|row| self.apply(row, moment.now_us)).collect();
        let status = if errors.is_empty() { if verb == "create" { 201 } else { 200 } } else { 207 };
        let mut answer = json!({ "status": "COMPLETE", "results": results });
        if let (false, Some(answer)) = (errors.is_empty(), answer.as_object_mut()) {
            answer.insert("numErrors".to_owned(), json!(errors.len()));
            answer.insert("errors".to_owned(), json!(errors));
        }
        let answer = Answer::json(status, &answer);
        if results.is_empty() { answer } else { answer.wrote() }
    }

    /// What refuses the whole batch for its form.
    fn malformed(&self, input: &Value) -> Option<Answer> {
        let Some(properties) = object(input, "properties") else {
            return Some(failure(400, "VALIDATION_ERROR", "an input has no properties"));
        };
        let unknown = properties.keys().find(|name| !self.properties.contains_key(*name));
        if let Some(name) = unknown {
            return Some(failure(400, "VALIDATION_ERROR", &format!("Property \"{name}\" does not exist")));
        }
        if properties.contains_key(PRIMARY_COMPANY) {
            return Some(failure(400, "VALIDATION_ERROR", "associatedcompanyid is a read only property"));
        }
        properties
            .values()
            .any(|value| !value.is_string())
            .then(|| failure(400, "VALIDATION_ERROR", "property values must be strings"))
    }

    /// What one input would do.
    fn row(&self, verb: &str, input: &Value, moment: &Moment<'_>) -> Result<Row, Refusal> {
        let properties = object(input, "properties").into_iter().flatten();
        let mut fields: BTreeMap<String, String> =
            properties.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
        let trace = text(input, "objectWriteTraceId").to_owned();
        let wrong = |name: &str| {
            Refusal::Row(
                json!({ "status": "error", "category": "VALIDATION_ERROR", "message": format!("Property values were not valid: {name}"),
                                 "context": { "objectWriteTraceId": [trace] } }),
            )
        };
        if let Some(name) = fields.iter().find(|(_, value)| moment.conditions.refuses(value)).map(|(name, _)| name) {
            return Err(wrong(name));
        }
        if fields.get(EMAIL).is_some_and(|email| !email.is_empty() && (!email.contains('@') || email.contains(' '))) {
            return Err(wrong(EMAIL));
        }
        let (property, id) = (input.get("idProperty").and_then(Value::as_str), text(input, "id"));
        let found = if verb == "create" { None } else { self.by(property, id).map(|record| record.id.clone()) };
        match (verb, &found, property) {
            ("update", None, _) => {
                return Err(Refusal::Row(
                    json!({ "status": "error", "category": "OBJECT_NOT_FOUND", "message": "no such record",
                                                "context": { "ids": [id], "objectWriteTraceId": [trace] } }),
                ));
            }
            ("upsert", None, Some(property)) => drop(fields.insert(property.to_owned(), id.to_owned())),
            _ => {}
        }
        if let Some((_, holder)) = self.records.conflict(&fields, found.as_deref()) {
            let message = format!("Contact already exists. Existing ID: {}", holder.id);
            return Err(Refusal::Batch(Box::new(failure(409, "CONFLICT", &message))));
        }
        Ok(Row { found, fields, trace })
    }

    fn apply(&mut self, row: Row, now_us: i64) -> Value {
        let Row { found, fields, trace } = row;
        let new = found.is_none();
        // Two inputs of one batch may mean the same new record.
        let conflicting = self.records.conflict(&fields, found.as_deref()).map(|(_, holder)| holder.id.clone());
        let id = match found.or(conflicting) {
            Some(id) => {
                self.records.change(&id, fields, now_us);
                id
            }
            None => self.records.insert(fields.into_iter().filter(|(_, value)| !value.is_empty()).collect(), now_us),
        };
        let names: Vec<String> = self.properties.keys().cloned().collect();
        let mut shown = self.records.get(&id).map(|record| self.shown(record, &names)).unwrap_or_default();
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("new".to_owned(), json!(new));
            if !trace.is_empty() {
                shown.insert("objectWriteTraceId".to_owned(), json!(trace));
            }
        }
        shown
    }

    fn search(&self, body: &Value, moment: &Moment<'_>) -> Answer {
        let lag_us = i64::try_from(moment.conditions.search_lag_ms * 1_000).unwrap_or(i64::MAX);
        let wanted: Vec<String> = list(body, "properties").iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
        let holds = |record: &Record, filter: &Value| {
            let held = record.fields.get(text(filter, "propertyName")).map(|value| value.to_lowercase()).unwrap_or_default();
            match text(filter, "operator") {
                "EQ" => Some(held == text(filter, "value").to_lowercase()),
                "IN" => Some(list(filter, "values").iter().filter_map(Value::as_str).any(|value| value.to_lowercase() == held)),
                "HAS_PROPERTY" => Some(!held.is_empty()),
                _ => None,
            }
        };
        let mut results = Vec::new();
        for record in self.records.iter().filter(|record| moment.now_us - record.updated_at >= lag_us) {
            let mut any = list(body, "filterGroups").is_empty();
            for group in list(body, "filterGroups") {
                let mut all = true;
                for filter in list(group, "filters") {
                    let Some(holds) = holds(record, filter) else {
                        return failure(400, "VALIDATION_ERROR", "unknown operator");
                    };
                    all &= holds;
                }
                any |= all;
            }
            if any {
                results.push(self.shown(record, &wanted));
            }
        }
        let limit =
            body.get("limit").and_then(Value::as_u64).map_or(10, |limit| usize::try_from(limit).unwrap_or(MAX_BATCH)).min(200);
        let (total, from) = (results.len(), text(body, "after").parse().unwrap_or(0));
        let shown: Vec<Value> = results.into_iter().skip(from).take(limit).collect();
        let mut answer = json!({ "total": total, "results": shown });
        if let (true, Some(answer)) = (from + limit < total, answer.as_object_mut()) {
            answer.insert("paging".to_owned(), json!({ "next": { "after": (from + limit).to_string() } }));
        }
        Answer::json(200, &answer)
    }

    fn page(&self, call: &Call) -> Answer {
        if call.parameter("archived") == Some("true") {
            return Answer::json(200, &json!({ "results": [] }));
        }
        let limit = call.parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(10).min(MAX_BATCH);
        let after: u64 = call.parameter("after").and_then(|after| after.parse().ok()).unwrap_or(0);
        let mut rest = self.records.iter().filter(|record| record.id.parse::<u64>().is_ok_and(|id| id > after));
        let page: Vec<&Record> = rest.by_ref().take(limit).collect();
        let mut body = json!({ "results": page.iter().map(|record| self.shown(record, &wanted(call))).collect::<Vec<_>>() });
        if let (Some(last), true, Some(body)) = (page.last(), rest.next().is_some(), body.as_object_mut()) {
            body.insert("paging".to_owned(), json!({ "next": { "after": last.id } }));
        }
        Answer::json(200, &body)
    }
}

/// What one input of a batch would do.
struct Row {
    found: Option<String>,
    fields: BTreeMap<String, String>,
    trace: String,
}

enum Refusal {
    Batch(Box<Answer>),
    Row(Value),
}

fn wanted(call: &Call) -> Vec<String> {
    call.parameter("properties").unwrap_or_default().split(',').map(str::to_owned).collect()
}

fn instant(us: i64) -> String {
    Timestamp::from_microsecond(us).map(|at| at.to_string()).unwrap_or_default()
}

fn failure(status: u16, category: &str, message: &str) -> Answer {
    Answer::json(
        status,
        &json!({ "status": "error", "message": message, "category": category, "correlationId": "00000000-0000-0000-0000-000000000000" }),
    )
}

fn shown_list(status: u16, id: &str, list: &List) -> Answer {
    let kind = if list.active { "DYNAMIC" } else { "MANUAL" };
    let shown = json!({ "listId": id, "name": list.name, "objectTypeId": "0-1", "processingType": kind,
                        "processingStatus": "COMPLETE", "additionalProperties": { "hs_list_size": list.members.len().to_string() } });
    Answer::json(status, &json!({ "list": shown }))
}

fn no_list() -> Answer {
    failure(404, "OBJECT_NOT_FOUND", "List does not exist")
}
