//! What stands in a `connector.yaml`, as it is written. What it means is decided where it is compiled.

mod auth;
mod sink;
mod streams;
mod tested;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

pub use auth::{Assertion, Auth, ClientIn, Grant};
pub use sink::{
    Answers, CompaniesSpec, Describe, Fetch, Find, First, Further, Hold, JobResult, ListsSpec, MakeField, MakeStep, Missing,
    Move, Named, SinkField, SinkSpec, SinkType, TasksSpec, TiedBy, Write, WriteJob,
};
pub use streams::{
    BoundKind, CursorKind, CursorSpec, Decode, DecodeFormat, Field, ForEach, Job, Lookup, MapRule, Method, Packed, Paging,
    Precision, Records, Request, Stream,
};
pub use tested::{Exchange, SecondRead, Test};

/// A connector that is data.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The version of this format: 1.
    pub version: u32,
    /// The connector's name: the folder's. Lower-case letters, digits and `_`.
    pub name: String,
    /// The name a person reads.
    pub title: String,
    /// One sentence on what it reads.
    pub summary: String,
    /// Whose ids `external_id` holds; default the connector's name.
    #[serde(default)]
    pub vendor: Option<String>,
    /// The vendor's documentation that this file follows: addresses.
    #[serde(default)]
    pub docs: Vec<String>,
    /// What a user has to say, by key.
    #[serde(default)]
    pub connection: BTreeMap<String, Setting>,
    /// The only hosts that are called. May hold `${connection.…}`.
    pub hosts: Vec<String>,
    /// What all requests share.
    pub api: Api,
    /// The streams that are asked for their first page to check a connection; default the first that has no partitions.
    #[serde(default)]
    pub check: Vec<String>,
    /// The streams, by name. A file may have a sink alone.
    #[serde(default)]
    pub streams: BTreeMap<String, Stream>,
    /// How records are written.
    #[serde(default)]
    pub sink: Option<SinkSpec>,
    /// Recorded exchanges and the rows that must come of them, by name.
    #[serde(default)]
    pub tests: BTreeMap<String, Test>,
}

/// One key of a connection.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// What kind of value it is.
    #[serde(rename = "type")]
    pub kind: SettingKind,
    /// What it is and where a user finds it.
    pub about: String,
    /// The value where the user gives none.
    #[serde(default)]
    pub default: Option<Json>,
    /// Whether it may be left out although it has no default.
    #[serde(default)]
    pub optional: bool,
    /// The only values it may have.
    #[serde(default)]
    pub one_of: Vec<String>,
}

/// The kinds of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingKind {
    /// Text.
    Text,
    /// A secret: the user writes a reference, `{ env: NAME }` or `{ file: PATH }`. It is never shown.
    Secret,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// A day, `2026-01-31`.
    Day,
    /// A list of text.
    List,
    /// A part of a host name: letters, digits and `-`.
    HostPart,
    /// The address of a server of the user's own; its host may be called, also where it is private.
    Url,
}

/// What all requests share.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Where every path begins.
    pub url: String,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Query parameters of every request.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// How a request shows who we are.
    #[serde(default)]
    pub auth: Auth,
    /// What the remote allows one credential, in all streams together.
    #[serde(default)]
    pub budget: Budget,
    /// What answers mean that do not mean the usual. Looked at in order.
    #[serde(default)]
    pub on_response: Vec<ResponseRule>,
    /// How long to wait before a request is sent again, where an answer says so in its own way. `Retry-After` is always obeyed.
    #[serde(default)]
    pub wait: Option<WaitRule>,
}

/// What some requests must keep to beside the budget of their credential.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnBudget {
    /// So many requests …
    pub requests: NonZeroU32,
    /// … in so long, such as `1s`, `1m`, `1h`.
    pub per: String,
}

/// What the remote allows one credential, whoever uses it: sources and sinks of all projects count together.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// So many requests …
    #[serde(default)]
    pub requests: Option<u32>,
    /// … in so long, such as `1s`, `1m`, `1h`.
    #[serde(default)]
    pub per: Option<String>,
    /// What this file's own requests must keep to beside that, where the remote limits them further, such as searches.
    #[serde(default)]
    pub own: Option<OwnBudget>,
    /// Requests in flight at once.
    #[serde(default = "four")]
    pub concurrent: usize,
    /// The header that says how many requests are left.
    #[serde(default)]
    pub remaining_header: Option<String>,
    /// The header that says when the count begins anew, in seconds of Unix time.
    #[serde(default)]
    pub reset_header: Option<String>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { requests: None, per: None, own: None, concurrent: four(), remaining_header: None, reset_header: None }
    }
}

fn four() -> usize {
    4
}

/// What an answer means. All conditions that are given must hold.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResponseRule {
    /// The statuses it is for; default all.
    #[serde(default)]
    pub status: Vec<u16>,
    /// A condition on `response`, `headers` and `headers.status`.
    #[serde(default)]
    pub when: Option<String>,
    /// What then.
    pub then: Then,
    /// What the user is told, where it fails.
    #[serde(default)]
    pub message: Option<String>,
    /// What kind of failure it is.
    #[serde(default)]
    pub kind: Option<FailureKind>,
}

/// What is done about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Its records are taken.
    Accept,
    /// It counts as a page without records.
    Ignore,
    /// It is asked again.
    Retry,
    /// It is asked again, later: the remote is overloaded.
    RateLimit,
    /// The stream fails.
    Fail,
    /// The token is made anew, and it is asked again.
    RefreshToken,
}

/// Kinds of failure, by who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The settings are wrong.
    Config,
    /// The credentials are refused.
    Auth,
    /// What is asked for is not there.
    NotFound,
    /// The remote refuses.
    Rejected,
    /// The remote does not work now.
    Unavailable,
}

/// How long to wait before a request is sent again.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitRule {
    /// The header that says it.
    pub header: String,
    /// What stands in the header before the number, where it says more: `reset=`.
    #[serde(default)]
    pub after: Option<String>,
    /// What it says.
    pub says: WaitIn,
}

/// What a header about waiting says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitIn {
    /// For how many seconds.
    Seconds,
    /// Until when, in seconds of Unix time.
    UnixTime,
}
