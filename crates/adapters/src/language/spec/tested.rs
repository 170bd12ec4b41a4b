//! Recorded exchanges.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

/// Recorded exchanges and the rows that must come of them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// The stream that is read.
    pub stream: String,
    /// The time at which it is read; default 2026-02-01T00:00:00Z.
    #[serde(default)]
    pub now: Option<String>,
    /// The connection's settings; a secret stands here as it is. One that is not given is its default, or `test-KEY`.
    #[serde(default)]
    pub connection: BTreeMap<String, Json>,
    /// How many records a page has in this test, instead of the number in `paging`: so that two pages are short to record.
    #[serde(default)]
    pub page_size: Option<u32>,
    /// The exchanges of the first read: each must happen.
    pub exchanges: Vec<Exchange>,
    /// A file of the rows of the first read, below the connector's folder; default `expected/TEST.jsonl`.
    #[serde(default)]
    pub expect: Option<String>,
    /// A second read, from where the first one ended.
    #[serde(default)]
    pub then: Option<SecondRead>,
}

/// A read from where the first one ended.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecondRead {
    /// The exchanges: each must happen.
    pub exchanges: Vec<Exchange>,
    /// A file of its rows; default `expected/TEST_then.jsonl`.
    #[serde(default)]
    pub expect: Option<String>,
}

/// A request that must be made, and its answer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The method, path and query: `GET /v3/contacts?limit=50`. The order of parameters does not matter.
    pub request: String,
    /// Headers that it must have.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The JSON body that it must have.
    #[serde(default)]
    pub json: Option<Json>,
    /// The form body that it must have.
    #[serde(default)]
    pub form: BTreeMap<String, String>,
    /// The status of the answer.
    #[serde(default = "ok")]
    pub status: u16,
    /// Headers of the answer.
    #[serde(default)]
    pub answer_headers: BTreeMap<String, String>,
    /// The file with the body of the answer, below the connector's folder; default an empty body.
    #[serde(default)]
    pub answer: Option<String>,
}

fn ok() -> u16 {
    200
}
