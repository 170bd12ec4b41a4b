//! Recordings of sinks: what a sink must ask of its vendor for given rows, and what it makes of the vendor's answers.
//!
//! A recording stands in a connector's folder as `fixtures/sink.yaml` ([`FILE`]). Requests are compared with the method, path,
//! parameters and body that were recorded, one after the other; answers have the shapes of the vendor's documentation, which the file
//! names. Nothing leaves the machine, and no wait is waited out. It is *not* the contract of sinks: that is held against a remote
//! that remembers ([`testkit_sink`](crate::testkit_sink)).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::server::{Mode, Prepared, Server, sorted, target};
use crate::{
    BuildContext, Clock, Companion, ConfigDoc, Connector, DeliveryRow, Error, Fields, Lookup, MatchKey, Operation, Removal,
    RowOutcome, Sink,
};

/// Where a connector's folder has its recording.
pub const FILE: &str = "fixtures/sink.yaml";
/// When everything happens.
const NOW: &str = "2026-02-01T00:00:00Z";
/// What stands in settings and answers for the address of the server that answers.
const SERVER: &str = "${server}";
/// The format that this reads.
const VERSION: u32 = 1;

/// What a case shows. The first five must be in every recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shows {
    /// A record is made.
    Create,
    /// A record is changed.
    Update,
    /// One row is refused, with its field and the reason; the others arrive.
    PartialFailure,
    /// A call too many is waited out, or the rows are offered again later.
    RateLimit,
    /// The remote has the record already, or somebody else has its address.
    Duplicate,
    /// A record is found by our id, or by a field.
    Lookup,
    /// Companies and who belongs to them.
    Companies,
    /// Tasks about people.
    Tasks,
    /// Who joins a list, and who leaves it.
    Lists,
    /// A field is made that the remote lacks.
    Fields,
    /// A record is removed.
    Remove,
    /// How it signs in.
    SignIn,
}

/// What no recording may lack.
const NEEDED: [Shows; 5] = [Shows::Create, Shows::Update, Shows::PartialFailure, Shows::RateLimit, Shows::Duplicate];

/// A recording.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recording {
    version: u32,
    /// The pages of the vendor that show these requests and answers.
    docs: Vec<String>,
    /// The sink's settings; `${server}` stands for where the vendor is.
    connection: Map<String, Json>,
    /// What the references `{ env: NAME }` of the settings give; default `test-NAME`.
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    /// What is answered in every case as often as it is asked: a token, the account's fields.
    #[serde(default)]
    always: Vec<Exchange>,
    cases: BTreeMap<String, Case>,
}

/// One use of the sink.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    shows: Vec<Shows>,
    /// Settings that are others in this case; null takes one away.
    #[serde(default)]
    connection: Map<String, Json>,
    /// What the rows are, where they are no people.
    #[serde(default)]
    of: Option<Part>,
    /// Whether the sink is checked first, as `headwater check` does.
    #[serde(default)]
    check: bool,
    /// Whether it is told to make the fields that it lacks, as a sync does before the first row.
    #[serde(default)]
    prepare: bool,
    /// Who is looked for, and what is found.
    #[serde(default)]
    lookup: Vec<Search>,
    /// What is written, and what becomes of it.
    #[serde(default)]
    rows: Vec<Given>,
    /// What is removed, by the remote's ids, and what becomes of it.
    #[serde(default)]
    remove: BTreeMap<String, Fate>,
    /// How all of it fails, where it does.
    #[serde(default)]
    fails: Option<Failing>,
    /// How long must have been waited in all, in seconds.
    #[serde(default)]
    waits_secs: Option<u64>,
    /// Whether requests may come in any order, since several are under way at once.
    #[serde(default)]
    any_order: bool,
    exchanges: Vec<Exchange>,
}

/// What goes with people.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Companies,
    Tasks,
    List(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    /// By what, strongest first.
    keys: Vec<Key>,
    /// The remote's id of the one that is found; nobody otherwise.
    #[serde(default)]
    found: Option<String>,
    /// How many are found, where they are several.
    #[serde(default)]
    several: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    field: String,
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    /// Our id.
    id: String,
    /// The remote's id of the record that is to be changed; one is made otherwise.
    #[serde(default)]
    update: Option<String>,
    /// Whether an earlier attempt may have got through.
    #[serde(default)]
    doubtful: bool,
    fields: Fields,
    /// Nothing where all of it `fails`.
    #[serde(default)]
    becomes: Option<Becomes>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Becomes {
    Created(String),
    Updated(String),
    Unchanged(String),
    Rejected(String),
    Retry(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fate {
    Removed,
    Gone,
    Refused(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failing {
    /// The kind of the error, in snake case.
    kind: String,
    /// What its text holds.
    #[serde(default)]
    says: String,
}

/// A request that must be made, and its answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    /// The method, path and query: `POST /v3/contacts?updateEnabled=false`.
    request: String,
    /// Headers that it must have.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The JSON body that it must have.
    #[serde(default)]
    json: Option<Json>,
    /// The form body that it must have.
    #[serde(default)]
    form: BTreeMap<String, String>,
    /// The text that it must carry.
    #[serde(default)]
    text: Option<String>,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    answer_headers: BTreeMap<String, String>,
    /// The JSON body of the answer.
    #[serde(default)]
    answer: Option<Json>,
    /// Its body where that is no JSON.
    #[serde(default)]
    answer_text: Option<String>,
}

fn ok() -> u16 {
    200
}

/// What came of one case.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The case's name.
    pub case: String,
    /// What it shows.
    pub shows: Vec<Shows>,
    /// How many requests were answered, without those that are answered always.
    pub requests: usize,
    /// How many rows were written.
    pub rows: usize,
    /// What went otherwise than it should; empty when all is well.
    pub problems: Vec<String>,
}

/// Plays a recording to the sink of a connector. A recording that lacks a case which every sink needs has that as a problem.
///
/// # Errors
/// When the text is no recording.
pub async fn play(connector: &dyn Connector, text: &str) -> Result<Vec<Outcome>, String> {
    let recording: Recording = serde_saphyr::from_str(text).map_err(|error| {
        let told = error.to_string();
        format!("{FILE}: {}", told.lines().next().unwrap_or("cannot be read"))
    })?;
    if recording.version != VERSION {
        return Err(format!("{FILE}: version {} is not known; there is {VERSION}", recording.version));
    }
    if recording.docs.is_empty() {
        return Err(format!("{FILE}: `docs` names no page of the vendor that shows these answers"));
    }
    let mut outcomes = Vec::new();
    for (name, case) in &recording.cases {
        let mut outcome =
            Outcome { case: name.clone(), shows: case.shows.clone(), requests: 0, rows: case.rows.len(), problems: Vec::new() };
        if let Err(problem) = Box::pin(played(connector, &recording, case, &mut outcome)).await {
            outcome.problems.push(problem);
        }
        outcomes.push(outcome);
    }
    let shown: BTreeSet<Shows> = recording.cases.values().flat_map(|case| &case.shows).copied().collect();
    let missing: Vec<String> = NEEDED.iter().filter(|needed| !shown.contains(needed)).map(word).collect();
    if !missing.is_empty() {
        let problems = vec![format!("{FILE}: no case shows {}", missing.join(", "))];
        outcomes.push(Outcome { case: String::new(), shows: Vec::new(), requests: 0, rows: 0, problems });
    }
    Ok(outcomes)
}

fn word<T: Serialize>(of: &T) -> String {
    serde_json::to_value(of).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

async fn played(connector: &dyn Connector, recording: &Recording, case: &Case, outcome: &mut Outcome) -> Result<(), String> {
    let now: Timestamp = NOW.parse().map_err(|error: jiff::Error| error.to_string())?;
    let clock = Clock::virtual_from(now);
    let server = Server::start(&clock.pause()).await.map_err(|error| format!("no server can be started: {error}"))?;
    let origin = server.origin().map_err(|error| error.to_string())?;
    let sink = sink(connector, recording, case, &origin, &clock)?;
    let prepared = |exchanges: &[Exchange]| exchanges.iter().map(|exchange| prepared(exchange, &origin)).collect();
    let (exchanges, always): (Result<Vec<_>, _>, Result<Vec<_>, _>) = (prepared(&case.exchanges), prepared(&recording.always));
    server.play(exchanges?, if case.any_order { Mode::Once } else { Mode::InOrder });
    server.stand_by(always?);
    let done = server.during(used(&*sink, case, &mut outcome.problems)).await;
    outcome.requests = server.answered();
    outcome.problems.extend(server.problems());
    match (done, &case.fails) {
        (Err(error), Some(wanted)) => {
            let (kind, told) = (word_of_kind(&error), chain(&error));
            if kind != wanted.kind || !told.contains(&wanted.says) {
                outcome.problems.push(format!("it fails otherwise than recorded: {kind}: {told}"));
            }
        }
        (Err(error), None) => outcome.problems.push(format!("it fails: {}: {}", word_of_kind(&error), chain(&error))),
        (Ok(()), Some(_)) => outcome.problems.push("it does not fail as recorded".to_owned()),
        (Ok(()), None) => {}
    }
    let waited = Duration::try_from(clock.now().duration_since(now)).unwrap_or_default();
    if let Some(least) = case.waits_secs.map(Duration::from_secs).filter(|least| waited < *least) {
        outcome.problems.push(format!("it waits {} s, and was told to wait {} s", waited.as_secs(), least.as_secs()));
    }
    Ok(())
}

fn sink(
    connector: &dyn Connector,
    recording: &Recording,
    case: &Case,
    origin: &str,
    clock: &Clock,
) -> Result<Box<dyn Sink>, String> {
    let mut values = recording.connection.clone();
    values.extend(case.connection.clone());
    values.retain(|_, value| !value.is_null());
    let mut settings = Json::Object(values);
    placed(&mut settings, origin);
    let Json::Object(values) = settings else { return Err("the settings are no map".to_owned()) };
    let secrets = recording.secrets.clone();
    let cx = BuildContext {
        clock: clock.clone(),
        base_dir: PathBuf::from("."),
        env: Arc::new(move |name| Some(secrets.get(name).cloned().unwrap_or_else(|| format!("test-{name}")))),
        allow_private_hosts: true,
    };
    let config = ConfigDoc { connection: "recorded".to_owned(), values };
    let made = match &case.of {
        None => connector.sink(&config, &cx),
        Some(part) => connector.companion(&part.companion(), &config, &cx),
    };
    made.map_err(|error| format!("the sink cannot be made: {}", chain(&error)))
}

impl Part {
    fn companion(&self) -> Companion {
        match self {
            Self::Companies => Companion::Companies,
            Self::Tasks => Companion::Tasks,
            Self::List(id) => Companion::List { id: id.clone() },
        }
    }
}

/// Puts the server's address in its place, wherever that is.
fn placed(value: &mut Json, origin: &str) {
    match value {
        Json::String(text) if text.contains(SERVER) => *text = text.replace(SERVER, origin),
        Json::Array(items) => items.iter_mut().for_each(|item| placed(item, origin)),
        Json::Object(members) => members.values_mut().for_each(|member| placed(member, origin)),
        Json::String(_) | Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

fn prepared(exchange: &Exchange, origin: &str) -> Result<Prepared, String> {
    let Exchange { request, headers, json, form, text, status, answer_headers, answer, answer_text } = exchange;
    let wrong = || format!("`request: {request}` is no request: write `POST /path?key=value`");
    let (method, rest) = request.split_once(' ').filter(|(_, rest)| rest.starts_with('/')).ok_or_else(wrong)?;
    let (path, query) = target(rest.trim());
    let mut answer = answer.clone();
    if let Some(answer) = &mut answer {
        placed(answer, origin);
    }
    Ok(Prepared {
        shown: request.clone(),
        method: method.to_owned(),
        path,
        query,
        headers: headers.clone(),
        json: json.clone(),
        form: sorted(form.iter().map(|(key, value)| (key.clone(), value.clone()))),
        text: text.clone(),
        status: *status,
        answer_headers: answer_headers.clone(),
        answer: match (answer, answer_text) {
            (Some(answer), _) => answer.to_string().into_bytes(),
            (None, text) => text.clone().unwrap_or_default().into_bytes(),
        },
    })
}

/// Uses the sink as the case says.
async fn used(sink: &dyn Sink, case: &Case, problems: &mut Vec<String>) -> crate::Result<()> {
    if case.check {
        sink.check().await?;
    }
    if case.prepare {
        sink.prepare().await?;
    }
    if !case.lookup.is_empty() {
        let key = |key: &Key| MatchKey { field: key.field.clone(), value: key.value.clone() };
        let wanted: Vec<Vec<MatchKey>> = case.lookup.iter().map(|search| search.keys.iter().map(key).collect()).collect();
        let found = sink.lookup(&wanted).await?;
        for (index, (search, found)) in case.lookup.iter().zip(&found).enumerate() {
            let as_recorded = match found {
                Lookup::Absent => search.found.is_none() && search.several.is_none(),
                Lookup::Found(record) => search.found.as_ref() == Some(&record.remote_id),
                Lookup::Ambiguous(several) => search.several == Some(*several),
            };
            if !as_recorded {
                problems.push(format!("lookup {index} finds {found:?}"));
            }
        }
    }
    if !case.rows.is_empty() {
        let rows: Vec<DeliveryRow> = case.rows.iter().map(Given::row).collect();
        let outcomes = sink.write(&rows).await?.into_outcomes();
        for (index, (given, outcome)) in case.rows.iter().zip(&outcomes).enumerate() {
            if !given.becomes.as_ref().is_some_and(|becomes| becomes.is(outcome)) {
                problems.push(format!("row {index} ({}) is {outcome:?}", given.id));
            }
        }
    }
    if !case.remove.is_empty() {
        let ids: Vec<String> = case.remove.keys().cloned().collect();
        for (id, removal) in ids.iter().zip(sink.remove(&ids).await?) {
            let as_recorded = match (case.remove.get(id), &removal) {
                (Some(Fate::Removed), Removal::Removed) | (Some(Fate::Gone), Removal::Gone) => true,
                (Some(Fate::Refused(why)), Removal::Refused { reason }) => why == reason,
                _ => false,
            };
            if !as_recorded {
                problems.push(format!("the removal of {id} is {removal:?}"));
            }
        }
    }
    Ok(())
}

impl Given {
    fn row(&self) -> DeliveryRow {
        DeliveryRow {
            key: format!("{}:1", self.id),
            prospect_id: self.id.clone(),
            operation: match &self.update {
                Some(remote_id) => Operation::Update { remote_id: remote_id.clone() },
                None => Operation::Create,
            },
            fields: self.fields.clone(),
            match_keys: Vec::new(),
            doubtful: self.doubtful,
            seen: Fields::new(),
        }
    }
}

impl Becomes {
    fn is(&self, outcome: &RowOutcome) -> bool {
        match (self, outcome) {
            (Self::Created(id), RowOutcome::Created { remote_id })
            | (Self::Updated(id), RowOutcome::Updated { remote_id })
            | (Self::Unchanged(id), RowOutcome::Unchanged { remote_id }) => id == remote_id,
            (Self::Rejected(why), RowOutcome::Rejected { reason }) | (Self::Retry(why), RowOutcome::Retry { reason, .. }) => {
                why == reason
            }
            _ => false,
        }
    }
}

fn word_of_kind(error: &Error) -> String {
    let mut out = String::new();
    for (index, letter) in format!("{:?}", error.kind()).chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !out.ends_with(&text) {
            out.push_str(": ");
            out.push_str(&text);
        }
        cause = inner.source();
    }
    out
}
