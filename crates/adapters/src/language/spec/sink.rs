//! Sinks: how records are found, read, made, changed and removed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use super::Request;

/// How records are written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkSpec {
    /// The remote's field that keeps our id. May hold `${connection.…}`.
    pub external_id: String,
    /// The field by which the remote tells records apart, where it cannot be searched by `external_id`: an address, say. What
    /// became doubtful is then looked for by it, and counts where it holds our id.
    #[serde(default)]
    pub identity: Option<String>,
    /// The remote's id of a `record`.
    pub id: String,
    /// The version of a `record`, for conditional writes: `${row.version}`.
    #[serde(default)]
    pub version: Option<String>,
    /// The field that says when somebody last changed the record (RFC 3339).
    #[serde(default)]
    pub changed_at: Option<String>,
    /// Whether a `.` in a field's name leads into an object of the record.
    #[serde(default = "yes")]
    pub nested_fields: bool,
    /// Where a `record` has its fields; default the record itself.
    #[serde(default)]
    pub values: Option<String>,
    /// The value of a field that says no `read`, of `field.value`: what stands under its name.
    #[serde(default)]
    pub value: Option<String>,
    /// What stands in a record where a field is empty, beside null and empty text; it is also sent to clear one.
    #[serde(default)]
    pub empty: Option<Json>,
    /// Fields that are not text, or stand in a shape of their own. Others are text under their name.
    #[serde(default)]
    pub fields: BTreeMap<String, SinkField>,
    /// The most rows of one write; default 100.
    #[serde(default = "hundred")]
    pub max_rows: usize,
    /// Whether an answer of a good status refuses nonetheless, as those of JSON-RPC do: a condition on `response`.
    #[serde(default)]
    pub refused: Option<String>,
    /// Records that are left as they are; the first that fits says why.
    #[serde(default)]
    pub hold: Vec<Hold>,
    /// The request that shows whether writing could work.
    pub check: Request,
    /// What is wrong where the remote knows nothing of what `check` or `describe` asks for (404): a setting that names nothing.
    #[serde(default)]
    pub missing: Option<Missing>,
    /// How the fields are asked for that the remote takes; without it any field may be written.
    #[serde(default)]
    pub describe: Option<Describe>,
    /// Whether fields may be written that neither `fields` nor `describe` names.
    #[serde(default = "yes")]
    pub other_fields: bool,
    /// How fields are made on request that `describe` shows to be missing: the one that keeps our id, and others.
    #[serde(default)]
    pub make_field: Option<MakeField>,
    /// How records are found by their fields; the first that is for the field counts.
    pub find: Vec<Find>,
    /// How records are read by their id.
    pub fetch: Fetch,
    /// How a record is made. Sent once: what became doubtful is looked up by our id.
    #[serde(default)]
    pub create: Option<Write>,
    /// How a record is made or changed by our id, in one request that may be repeated; it takes the place of `create`.
    #[serde(default)]
    pub upsert: Option<Write>,
    /// How a record is changed.
    pub update: Write,
    /// How a record is removed.
    #[serde(default)]
    pub remove: Option<Write>,
    /// How the companies of people are written, where the remote keeps such.
    #[serde(default)]
    pub companies: Option<CompaniesSpec>,
    /// How tasks about people are written, where the remote keeps such.
    #[serde(default)]
    pub tasks: Option<Box<TasksSpec>>,
    /// How people are put on lists and taken off, where the remote keeps such.
    #[serde(default)]
    pub lists: Option<ListsSpec>,
}

/// What is wrong where the remote knows nothing of what it is asked for.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// The setting that names it; of a list, the project's `list`.
    #[serde(default)]
    pub setting: Option<String>,
    /// What there is not; may hold `${connection.…}`.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// How tasks about people are written: by the same requests with other settings, or by requests of their own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TasksSpec {
    /// The field of a task that names the person by the remote's id.
    pub field: String,
    /// The settings that are others for tasks, such as the object; may hold `${connection.…}`. One that comes out empty is missing.
    #[serde(default)]
    pub connection: BTreeMap<String, String>,
    /// The requests, where they are others. With `identity`, which is then `field`, a task is looked for among those of its person.
    #[serde(default)]
    pub sink: Option<SinkSpec>,
}

/// How people are put on a list and taken off it again.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListsSpec {
    /// What a place in the list calls the person, by the remote's id.
    pub field: String,
    /// The setting that names the list: the id that the project gives stands in it, in all requests here.
    pub setting: String,
    /// Shows that there is such a list.
    pub check: Request,
    /// What is wrong where there is none (400 or 404).
    #[serde(default)]
    pub missing: Option<Missing>,
    /// Asks about the person `${key.value}`; the answer's body is the `record` below.
    pub member: Request,
    /// Whether the person is on the list.
    pub holds: String,
    /// Who may not be put on it; the first that fits says why.
    #[serde(default)]
    pub hold: Vec<Hold>,
    /// Puts people on it.
    pub add: Move,
    /// Takes them off.
    pub remove: Move,
}

/// A request that puts people on a list or takes them off; it may be repeated.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// The request: `${key.value}` is the person, `key.values` the people.
    pub request: Request,
    /// How many people one request names.
    #[serde(default = "one")]
    pub batch: usize,
    /// Whether an answer of a good status says that all of them were moved: a condition on `response`. Else each is tried alone.
    #[serde(default)]
    pub done: Option<String>,
    /// Why it was refused, in its `response`.
    #[serde(default)]
    pub reason: Option<String>,
}

fn yes() -> bool {
    true
}

fn hundred() -> usize {
    100
}

fn one() -> usize {
    1
}

/// Records that are left as they are.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Which: a condition on the `record` as it is and on `row.fields`, what would be sent.
    pub when: String,
    /// Why, for a user; may hold `${record.…}`.
    pub reason: String,
}

/// How the companies of people are written: by the same requests with other settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompaniesSpec {
    /// The field of a person's record that names the company by the remote's id of it.
    pub field: String,
    /// The settings that are others for companies, such as the object; may hold `${connection.…}`. One that comes out empty is missing.
    pub connection: BTreeMap<String, String>,
}

/// A field of the remote.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkField {
    /// What it is, for a user.
    #[serde(default)]
    pub about: Option<String>,
    /// As what a value is sent.
    #[serde(default, rename = "type")]
    pub kind: SinkType,
    /// Its value in a `record`; default what stands under its name.
    #[serde(default)]
    pub read: Option<String>,
    /// All values it has in a `record`, where it may have several: a list.
    #[serde(default)]
    pub all: Option<String>,
    /// What is sent for a value, with `${field.value}` in it; default the value.
    #[serde(default)]
    pub write: Option<Json>,
    /// What is sent to clear it; default null.
    #[serde(default)]
    pub clear: Option<Json>,
    /// Under which name it is sent; default its own.
    #[serde(default)]
    pub at: Option<String>,
}

/// As what a value is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SinkType {
    /// Text, as it is.
    #[default]
    Text,
    /// A number; a value that is none is refused.
    Number,
    /// True or false; a value that is neither is refused.
    Boolean,
}

/// How the remote tells its fields.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Describe {
    /// The request.
    pub request: Request,
    /// Where the fields are in its `response`.
    pub from: String,
    /// A field's name in its `record`.
    pub name: String,
    /// What a person calls it.
    #[serde(default)]
    pub label: Option<String>,
    /// Which may be written.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
    /// Where no request makes the field for our id: what the user does who lacks it. May hold `${connection.…}`.
    #[serde(default)]
    pub by_hand: Option<String>,
}

/// How fields are made on request. All conditions and requests know `field.name`, and whether it is the one for our id: `field.is_id`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeField {
    /// Whether the user wants the field for our id to be made: a condition on the `connection`, such as `connection.create_id_field`.
    pub when: String,
    /// Further fields that the user wants to be made, by name: a list, such as `connection.create_fields`.
    #[serde(default)]
    pub also: Option<String>,
    /// The requests that make one, in their order. One that is refused ends them.
    pub steps: Vec<MakeStep>,
    /// Where the remote itself names fields: the name that the field for our id has, in the `response` to `describe`. The user is
    /// told to write it into `setting`.
    #[serde(default)]
    pub named: Option<Named>,
}

/// One request of those that make a field.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeStep {
    /// Whether it is needed: a condition on `field`; default yes.
    #[serde(default)]
    pub when: Option<String>,
    /// The request.
    pub request: Request,
    /// Whether what was begun is done: a condition on `response`. Until then it is sent again, every five seconds, for five minutes.
    #[serde(default)]
    pub until: Option<String>,
    /// What its `response` gives the following ones, as `field.NAME`.
    #[serde(default)]
    pub give: BTreeMap<String, String>,
    /// Why the remote refused it, in its `response`.
    #[serde(default)]
    pub reason: Option<String>,
}

/// How a field is known that the remote named.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its name, in the `response` to `describe`.
    pub is: String,
    /// The setting that must hold it.
    pub setting: String,
}

/// How records are found by a field.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// The fields it is for, `external_id` for the one that keeps our id; default all.
    #[serde(default)]
    pub fields: Vec<String>,
    /// The request: `${key.field}`, and `${key.value}` or `key.values`.
    pub request: Request,
    /// Where the records are in its `response`.
    pub from: String,
    /// How many values one request asks for.
    #[serde(default = "one")]
    pub batch: usize,
    /// How many records an answer shows at most. A full one may lack the records of some values, so that they are asked for apart.
    #[serde(default)]
    pub at_most: Option<usize>,
    /// Whether what it finds is not whole, so that it is read by its id.
    #[serde(default)]
    pub fetch: bool,
    /// How long a new record may be missing, such as `5s`: so long is waited before a doubtful row is looked for.
    #[serde(default)]
    pub lag: Option<String>,
    /// What must be asked before: `${key.NAME}` is what it gave. Without `batch`.
    #[serde(default)]
    pub first: Option<First>,
    /// Further places where such records may be; all that is found counts.
    #[serde(default)]
    pub also: Vec<Further>,
}

/// A request whose answer another one needs: what the remote files records under, which is not what names them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct First {
    /// The request; it knows what the other one knows.
    pub request: Request,
    /// What its `response` gives the other one: `name: expression`.
    pub give: BTreeMap<String, String>,
}

/// A further place where records may be.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Further {
    /// The request.
    pub request: Request,
    /// Where the records are in its `response`.
    pub from: String,
}

/// How records are read by their id.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// The request: `${key.value}` is the id, `key.values` the ids.
    pub request: Request,
    /// Where the records are in its `response`: a list, or one.
    pub from: String,
    /// How many ids one request asks for.
    #[serde(default = "one")]
    pub batch: usize,
    /// Whether a `record` is one that was removed.
    #[serde(default)]
    pub gone: Option<String>,
}

/// How rows are written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// The request: `${row.fields}`, `${row.id}` (ours), `${row.remote_id}`, `${row.version}`; in a batch `${rows}`.
    pub request: Request,
    /// How many rows one request carries; without it one, as `row`.
    #[serde(default)]
    pub batch: Option<usize>,
    /// What must be asked before: `${row.NAME}` is what it gave. Without `batch`.
    #[serde(default)]
    pub first: Option<First>,
    /// Further members of `row.fields`.
    #[serde(default, rename = "with")]
    pub add: BTreeMap<String, Json>,
    /// What stands in `rows` for a row; default `${row.fields}`.
    #[serde(default)]
    pub item: Option<Json>,
    /// What an answer says of the rows, looked at in order; default one row, whose record is the body.
    #[serde(default)]
    pub answers: Vec<Answers>,
    /// A job of the remote that takes the place of `request` where there are many rows.
    #[serde(default)]
    pub job: Option<WriteJob>,
}

/// A job of the remote: it is opened, given the rows, started, asked for its state until it ended, and asked what became of each
/// row. All requests but the first have `${job.id}`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteJob {
    /// From how many rows of one write on. May be `${connection.…}`.
    pub from_rows: String,
    /// What stands in `rows` for a row; default `${row.fields}`.
    #[serde(default)]
    pub item: Option<Json>,
    /// Makes the job.
    pub open: Request,
    /// Its id in the `response` to that.
    pub id: String,
    /// Gives it the `${rows}`.
    pub fill: Request,
    /// Starts it.
    pub start: Request,
    /// Asks for its state.
    pub state: Request,
    /// How long to wait between two such questions, such as `5s`. May be `${connection.…}`.
    pub every: String,
    /// How long the waits may be in all; default `30m`. After that its rows are doubtful, and looked up by our id later.
    #[serde(default = "half_an_hour")]
    pub at_most: String,
    /// Whether the `response` says that it ended.
    pub done: String,
    /// Whether the `response` says that it will not end: its rows are offered again later.
    pub failed: String,
    /// What became of the rows.
    pub results: Vec<JobResult>,
}

fn half_an_hour() -> String {
    "30m".to_owned()
}

/// An answer about some rows of a job.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobResult {
    /// The request; a further page of it has `${job.next}`.
    pub request: Request,
    /// Where the answer says what to ask for next.
    #[serde(default)]
    pub next: Option<String>,
    /// What it says of the rows.
    pub answers: Answers,
}

/// What an answer says of rows.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// Where the rows' answers are in the `response`; each is a `record` below. Default the body itself.
    #[serde(default)]
    pub from: Option<String>,
    /// How an answer is tied to its row.
    #[serde(default)]
    pub by: TiedBy,
    /// The row's place from 0, or its id, by `by`.
    #[serde(default)]
    pub tie: Option<String>,
    /// Whether the row was written; default by the status.
    #[serde(default)]
    pub done: Option<String>,
    /// The remote's id.
    #[serde(default)]
    pub id: Option<String>,
    /// Whether an upsert made the record.
    #[serde(default)]
    pub created: Option<String>,
    /// Why the row was refused.
    #[serde(default)]
    pub reason: Option<String>,
    /// The field at fault.
    #[serde(default)]
    pub field: Option<String>,
    /// Whether the row may be written later.
    #[serde(default)]
    pub retry: Option<String>,
    /// Whether somebody changed the record meanwhile; default by the status, 412.
    #[serde(default)]
    pub conflict: Option<String>,
}

/// How an answer is tied to its row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TiedBy {
    /// By its place: as many answers as rows.
    #[default]
    Position,
    /// By `tie`, which is the row's place from 0 as it was sent in `${row.index}`.
    Index,
    /// By `tie`, which is our id or the remote's.
    Id,
}
