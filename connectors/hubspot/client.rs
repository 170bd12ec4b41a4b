//! The API: its addresses, its batches, and the reasons it gives.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use headwater_sdk::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use headwater_sdk::http::{Body, HttpClient, HttpError, HttpSettings, Method, Rate, RequestSpec, base_url};
use headwater_sdk::{BuildContext, Error, ErrorKind, Fields, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::config::{SinkConfig, Tie};

/// Rows of one batch request.
pub(super) const MAX_BATCH: usize = 100;
/// Records of one page of a search, the most that the API gives.
const SEARCH_PAGE: usize = 200;
/// Pages of one search: the API shows no more than 10,000 records of one.
const MAX_SEARCH_PAGES: usize = 50;
/// The window in which requests are counted.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// Characters of a reason.
const MAX_REASON: usize = 300;
/// A shorter value is found in any message by chance, and tells nobody apart.
const MIN_HIDDEN: usize = 3;

/// A record as the API gives it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    #[serde(default)]
    pub(super) properties: Fields,
    #[serde(default, rename = "updatedAt")]
    pub(super) updated_at: Option<String>,
}

/// One row of a batch.
#[derive(Debug, Clone)]
pub(super) struct Input {
    /// The record's id, or its value in the property that the batch goes by.
    pub(super) id: String,
    pub(super) fields: Fields,
}

/// What became of a row of a batch.
#[derive(Debug, Clone)]
pub(super) enum Written {
    Done {
        remote_id: String,
        new: bool,
    },
    Refused(String),
    /// The answer says nothing of it.
    Untold,
}

/// A property of the account.
#[derive(Debug, Deserialize)]
pub(super) struct Property {
    pub(super) name: String,
    #[serde(default)]
    pub(super) label: String,
    #[serde(default, rename = "hasUniqueValue")]
    pub(super) unique: bool,
    #[serde(default, rename = "modificationMetadata")]
    modification: Modification,
}

#[derive(Debug, Default, Deserialize)]
struct Modification {
    #[serde(default, rename = "readOnlyValue")]
    read_only: bool,
}

impl Property {
    /// As one is that we make.
    pub(super) fn to_be_made(name: &str, unique: bool) -> Self {
        Self { name: name.to_owned(), label: "made when a sync begins".to_owned(), unique, modification: Modification::default() }
    }

    pub(super) fn writable(&self) -> bool {
        !self.modification.read_only
    }
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<Record>,
    #[serde(default)]
    paging: Option<Paging>,
}

/// Rows as a write sends them.
#[derive(Serialize)]
struct Batch<'a> {
    inputs: Vec<Sent<'a>>,
}

#[derive(Serialize)]
struct Sent<'a> {
    id: &'a str,
    #[serde(rename = "idProperty", skip_serializing_if = "Option::is_none")]
    property: Option<&'a str>,
    properties: BTreeMap<&'a str, &'a str>,
    #[serde(rename = "objectWriteTraceId")]
    trace: String,
}

/// What a write is answered.
#[derive(Debug, Deserialize)]
struct Told {
    #[serde(default)]
    results: Vec<Done>,
    #[serde(default)]
    errors: Vec<Failure>,
}

/// A record that was written. Its properties tell whose it is where no trace does, and are read only then.
#[derive(Debug, Deserialize)]
struct Done {
    id: String,
    #[serde(default)]
    properties: Option<Box<RawValue>>,
    #[serde(default)]
    new: bool,
    #[serde(default, rename = "objectWriteTraceId")]
    trace: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Paging {
    next: Option<Next>,
}

#[derive(Debug, Deserialize)]
struct Next {
    after: String,
}

#[derive(Debug, Deserialize)]
struct Failure {
    #[serde(default)]
    message: String,
    #[serde(default)]
    context: BTreeMap<String, Vec<String>>,
}

#[derive(Debug)]
pub(super) struct Client {
    http: HttpClient,
    object: &'static str,
    property_group: &'static str,
    id_property: String,
}

impl Client {
    /// How many requests were sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.http.sent()
    }

    /// How many were sent today with this credential, by all processes.
    pub(super) fn sent_today(&self) -> Option<u64> {
        self.http.sent_today()
    }

    pub(super) fn new(config: &SinkConfig, cx: &BuildContext) -> Result<Self> {
        let token = cx.secret(&config.token)?;
        let bearer = format!("Bearer {}", token.expose_str());
        let mut settings = HttpSettings::new(base_url(&config.url)?, cx).secret_header(AUTHORIZATION, &bearer)?;
        settings.budget.rate = Some(Rate { requests: config.requests_per_10s, per: WINDOW });
        let (object, property_group) = (config.object.name(), config.object.property_group());
        Ok(Self { http: HttpClient::new(settings)?, object, property_group, id_property: config.id_property.clone() })
    }

    /// The records that these are associated with, by their id; the first where there are several.
    pub(super) async fn associated(&self, tie: Tie, ids: &[String]) -> Result<HashMap<String, String>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            results: Vec<Found>,
        }
        #[derive(Deserialize)]
        struct Found {
            from: End,
            #[serde(default)]
            to: Vec<Target>,
        }
        #[derive(Deserialize)]
        struct End {
            id: String,
        }
        #[derive(Deserialize)]
        struct Target {
            #[serde(rename = "toObjectId")]
            id: Value,
        }
        let mut found = HashMap::new();
        for ids in ids.chunks(MAX_BATCH) {
            let inputs: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
            let path = "/crm/v4/associations/{from}/{to}/batch/read";
            let request = RequestSpec::post(path, json!({ "inputs": inputs })).param("from", tie.from).param("to", tie.to);
            let page: Page = self.http.send(&request.idempotent(true)).await?.json()?;
            for Found { from, to } in page.results {
                if let Some(Target { id }) = to.into_iter().next() {
                    found.insert(from.id, id.as_str().map_or_else(|| id.to_string(), str::to_owned));
                }
            }
        }
        Ok(found)
    }

    /// Associates records, or takes associations away; both may be done again. Why HubSpot refuses it, where it does.
    pub(super) async fn associate(&self, tie: Tie, pairs: &[(String, String)], away: bool) -> Result<Option<String>> {
        for pairs in pairs.chunks(MAX_BATCH) {
            let (path, inputs): (_, Vec<Value>) = if away {
                let input = |(from, to): &(String, String)| json!({ "from": { "id": from }, "to": [{ "id": to }] });
                ("/crm/v4/associations/{from}/{to}/batch/archive", pairs.iter().map(input).collect())
            } else {
                let input = |(from, to): &(String, String)| json!({ "from": { "id": from }, "to": { "id": to } });
                ("/crm/v4/associations/{from}/{to}/batch/associate/default", pairs.iter().map(input).collect())
            };
            let request = RequestSpec::post(path, json!({ "inputs": inputs })).param("from", tie.from).param("to", tie.to);
            match self.http.send(&request.idempotent(true)).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Ok(Some(format!("one of the {} does not exist", tie.to)));
                }
                Err(error) => return refusal(&error).map(Some).ok_or(error),
            }
        }
        Ok(None)
    }

    /// The lists that a contact is in.
    pub(super) async fn lists_of(&self, contact: &str) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            results: Vec<Membership>,
        }
        #[derive(Deserialize)]
        struct Membership {
            #[serde(rename = "listId")]
            list: Value,
        }
        // `0-1` is HubSpot's name for contacts here.
        let request = RequestSpec::get("/crm/v3/lists/records/0-1/{id}/memberships").param("id", contact);
        let page: Page = match self.http.send(&request).await {
            Ok(answer) => answer.json()?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let text = |list: Value| list.as_str().map_or_else(|| list.to_string(), str::to_owned);
        Ok(page.results.into_iter().map(|membership| text(membership.list)).collect())
    }

    /// What the list holds and who decides on its members.
    pub(super) async fn list(&self, list: &str) -> Result<List> {
        #[derive(Deserialize)]
        struct Answer {
            list: List,
        }
        let answer: Answer = self.http.send(&RequestSpec::get("/crm/v3/lists/{id}").param("id", list)).await?.json()?;
        Ok(answer.list)
    }

    /// Puts contacts into a list or takes them out; both may be done again.
    pub(super) async fn move_members(&self, list: &str, contacts: &[String], out: bool) -> Result<Moved> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default, rename = "recordIdsMissing")]
            missing: Vec<Value>,
            #[serde(default, rename = "recordIdsRemoved")]
            removed: Vec<Value>,
        }
        let text = |id: &Value| id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        let path = if out { "/crm/v3/lists/{id}/memberships/remove" } else { "/crm/v3/lists/{id}/memberships/add" };
        let mut moved = Moved::default();
        for contacts in contacts.chunks(MAX_BATCH) {
            let request = RequestSpec::put(path, json!(contacts)).param("id", list).idempotent(true);
            let answer: Answer = self.http.send(&request).await?.json()?;
            moved.missing.extend(answer.missing.iter().map(text));
            moved.removed.extend(answer.removed.iter().map(text));
        }
        Ok(moved)
    }

    /// The properties of the object.
    pub(super) async fn properties(&self) -> Result<Vec<Property>> {
        #[derive(Deserialize)]
        struct Page {
            results: Vec<Property>,
        }
        let request = RequestSpec::get("/crm/v3/properties/{object}").param("object", self.object);
        let page: Page = self.http.send(&request).await?.json()?;
        Ok(page.results)
    }

    /// Makes a property of text; the one that keeps our id has unique values.
    pub(super) async fn make_property(&self, name: &str) -> Result<()> {
        let is_id = name == self.id_property;
        let label = if is_id { "Headwater id" } else { name };
        let body = json!({ "name": name, "label": label, "type": "string", "fieldType": "text",
                           "groupName": self.property_group, "hasUniqueValue": is_id });
        let request = RequestSpec::post("/crm/v3/properties/{object}", body).param("object", self.object);
        match self.http.send(&request).await {
            Ok(_) => Ok(()),
            // Another run was faster.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The records with these values in a property with unique values, or with these ids where there is none.
    pub(super) async fn read(&self, property: Option<&str>, values: &[String], fields: &[String]) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for values in values.chunks(MAX_BATCH) {
            let inputs: Vec<Value> = values.iter().map(|value| json!({ "id": value })).collect();
            let mut body = json!({ "inputs": inputs, "properties": fields });
            if let (Some(property), Some(body)) = (property, body.as_object_mut()) {
                body.insert("idProperty".to_owned(), json!(property));
            }
            let path = "/crm/v3/objects/{object}/batch/read";
            let request = RequestSpec::post(path, body).param("object", self.object).idempotent(true);
            let answer: Answer = self.http.send(&request).await?.json()?;
            records.extend(answer.results);
        }
        Ok(records)
    }

    /// The records that hold one of these values in a property whose values need not be unique. What was written in the last
    /// seconds may be missing.
    pub(super) async fn search(&self, property: &str, values: &[String], fields: &[String]) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for values in values.chunks(MAX_BATCH) {
            // The API compares in lower case what it was sent, whatever the case of the value.
            let values: Vec<String> = values.iter().map(|value| value.to_lowercase()).collect();
            let filter = json!({ "propertyName": property, "operator": "IN", "values": values });
            let mut after = "0".to_owned();
            for page in 0.. {
                if page == MAX_SEARCH_PAGES {
                    return Err(Error::new(ErrorKind::Unsupported, format!("too many records share a value of `{property}`"))
                        .hint("match on a property whose values tell people apart, such as email"));
                }
                let body = json!({ "filterGroups": [{ "filters": [filter] }], "properties": fields,
                                   "limit": SEARCH_PAGE, "after": after });
                let path = "/crm/v3/objects/{object}/search";
                let request = RequestSpec::post(path, body).param("object", self.object).idempotent(true);
                let answer: Answer = self.http.send(&request).await?.json()?;
                records.extend(answer.results);
                match answer.paging {
                    Some(Paging { next: Some(next) }) => after = next.after,
                    Some(Paging { next: None }) | None => break,
                }
            }
        }
        Ok(records)
    }

    /// Makes or changes records by our id.
    pub(super) async fn upsert(&self, rows: &[Input]) -> Result<Vec<Written>> {
        self.write("/crm/v3/objects/{object}/batch/upsert", Some(&self.id_property), rows).await
    }

    /// Changes records by the remote's id.
    pub(super) async fn update(&self, rows: &[Input]) -> Result<Vec<Written>> {
        self.write("/crm/v3/objects/{object}/batch/update", None, rows).await
    }

    /// Archives records; HubSpot answers the same whether they were there or not. After an error nobody knows which of them are.
    pub(super) async fn archive(&self, ids: &[&str]) -> Result<()> {
        for ids in ids.chunks(MAX_BATCH) {
            let body = json!({ "inputs": ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>() });
            let request = RequestSpec::post("/crm/v3/objects/{object}/batch/archive", body).param("object", self.object);
            self.http.send(&request.idempotent(true)).await?;
        }
        Ok(())
    }

    /// Sends rows in batches. One that is refused as a whole is halved, so that only the rows at fault stay out; at most
    /// `2 n` requests, and in the usual case of few such rows about `2 k log n`.
    async fn write(&self, path: &'static str, property: Option<&str>, rows: &[Input]) -> Result<Vec<Written>> {
        let mut written = vec![Written::Untold; rows.len()];
        let mut todo: Vec<(usize, usize)> =
            (0..rows.len()).step_by(MAX_BATCH).map(|from| (from, rows.len().min(from + MAX_BATCH))).rev().collect();
        let mut reported = false;
        while let Some((from, to)) = todo.pop() {
            let Some(batch) = rows.get(from..to) else { continue };
            match self.batch(path, property, batch).await {
                Ok(outcomes) => {
                    reported = true;
                    written.splice(from..to, outcomes);
                }
                Err(error) => match (refusal(&error), batch) {
                    (None, _) if reported => break,
                    (None, _) => return Err(error),
                    (Some(message), [row]) => {
                        reported = true;
                        written.splice(from..to, [Written::Refused(reason(&message, row))]);
                    }
                    (Some(_), _) => {
                        let middle = from + (to - from) / 2;
                        todo.extend([(middle, to), (from, middle)]);
                    }
                },
            }
        }
        Ok(written)
    }

    async fn batch<'a>(&self, path: &'static str, property: Option<&'a str>, rows: &'a [Input]) -> Result<Vec<Written>> {
        let input = |(index, row): (usize, &'a Input)| Sent {
            id: &row.id,
            property,
            // An empty value clears; the API takes text only.
            properties: row.fields.iter().map(|(name, value)| (name.as_str(), value.as_deref().unwrap_or_default())).collect(),
            trace: index.to_string(),
        };
        let body = Batch { inputs: rows.iter().enumerate().map(input).collect() };
        let body = serde_json::to_vec(&body).map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        // Both writes go by an id, so that sending one twice leaves what sending it once does.
        let request = RequestSpec::new(Method::POST, path).param("object", self.object).idempotent(true);
        let request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(Body::Raw(body));
        let answer: Told = self.http.send(&request).await?.json()?;
        Ok(self.outcomes(answer, property, rows))
    }

    /// Which row each part of an answer is about: by the trace that we sent along, else by the record's id.
    fn outcomes(&self, answer: Told, property: Option<&str>, rows: &[Input]) -> Vec<Written> {
        let mut written = vec![Written::Untold; rows.len()];
        let position = |trace: &str| trace.parse::<usize>().ok().filter(|index| *index < rows.len());
        for record in answer.results {
            let named = || {
                let id = match property {
                    Some(property) => {
                        let mut properties: Fields = serde_json::from_str(record.properties.as_deref()?.get()).ok()?;
                        properties.remove(property)??
                    }
                    None => record.id.clone(),
                };
                rows.iter().position(|row| row.id == id)
            };
            let index = record.trace.as_deref().and_then(position).or_else(named);
            if let Some(slot) = index.and_then(|index| written.get_mut(index)) {
                *slot = Written::Done { remote_id: record.id, new: record.new };
            }
        }
        for failure in answer.errors {
            let traces = failure.context.get("objectWriteTraceId").into_iter().flatten().filter_map(|trace| position(trace));
            for index in traces {
                if let (Some(slot), Some(row)) = (written.get_mut(index), rows.get(index)) {
                    *slot = Written::Refused(reason(&failure.message, row));
                }
            }
        }
        written
    }
}

/// A list.
#[derive(Debug, Deserialize)]
pub(super) struct List {
    /// `MANUAL` or `SNAPSHOT` where people decide who is in it, `DYNAMIC` where HubSpot does.
    #[serde(default, rename = "processingType")]
    pub(super) processing: String,
    /// What it holds; `0-1` are contacts.
    #[serde(default, rename = "objectTypeId")]
    pub(super) of: String,
}

/// What became of contacts that were put into a list or taken out.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Those of which HubSpot knows no contact.
    pub(super) missing: BTreeSet<String>,
    /// Those who were in the list before.
    pub(super) removed: BTreeSet<String>,
}

/// What the API says, if it refused the request for what stands in it.
fn refusal(error: &Error) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::Rejected | ErrorKind::Conflict) {
        return None;
    }
    let body: Value = serde_json::from_str(HttpError::of(error)?.excerpt()).unwrap_or_default();
    let message = body.get("message").and_then(Value::as_str).unwrap_or("the batch was refused without a reason");
    Some(message.to_owned())
}

/// The API's words without the row's values, which it likes to repeat.
fn reason(message: &str, row: &Input) -> String {
    let mut told = message.to_owned();
    let mut values: Vec<&str> = row.fields.values().flatten().map(String::as_str).collect();
    values.push(&row.id);
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    for value in values.into_iter().filter(|value| value.len() >= MIN_HIDDEN) {
        told = told.replace(value, "…");
    }
    if told.chars().count() > MAX_REASON { told.chars().take(MAX_REASON).chain(['…']).collect() } else { told }
}
