//! Airbyte's declarative manifests, run as they are.
//!
//! Purpose: a user brings a manifest of the schema of airbyte-cdk 7.39.1 and its settings; [`Manifest`] compiles it to the engine's plan,
//! and [`Tool`] speaks Airbyte's protocol about it. What is a quirk of that program (templates whose result is read as a Python
//! literal, conditions by text, the shape of states, a second added to each wait) stays in this module.
//!
//! A stream that needs custom Python code, or a part that is not supported, does not run, and
//! [`Operation::Capabilities`] says which and why; the other streams do. Not supported: query properties, record expanders, page
//! size reduction, window splitting, pagination limits, clamping, lazily read parents, union routers, token pools,
//! combined extractors.
//!
//! # Where we differ from that program, on purpose
//!
//! - Null fields of a record are given; it drops them, and a field that was cleared upstream cannot be seen.
//! - Numbers keep their digits (`10.10`, `1e400`), unless a template computes with them.
//! - Tokens, keys, users and passwords are used as they stand in the settings; it would read `0x10` as 16.
//! - A page is full when the remote gave as many records as were asked for; it counts after the filter, and stops early.
//! - An answer 4xx that no rule names fails at once; it tries some of them again, for nothing. 401 with a token that can be made anew
//!   makes one anew, once; a session token of the settings (legacy) is not asked about beforehand. `Retry-After` is obeyed where the manifest says nothing of waits.
//! - Only hosts that the manifest names in its requesters are called; a next page or a redirect elsewhere is refused. An address inside the
//!   user's network is called where the settings name it.
//! - A date that fits none of the formats is read as ISO 8601 before it is refused.
//! - `generate_uuid`, `stream_state`, regular expressions with look-around are errors: what they give cannot be repeated, or not be
//!   bounded.
//! - Of a manifest's plain words only `true` and `false` are truth values: `yes`, `on`, `n` stay text.
//! - Messages and error texts are ours. A new refresh token is used for the rest of the run; it is not written to the settings.

#[cfg(test)]
mod cases;
mod compile;
mod document;
mod dynamic;
mod exprs;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod jinja;
mod jobs;
mod manifest;
mod protocol;
mod requests;
mod settings;
#[cfg(test)]
mod tests;
mod times;
mod transforms;
#[cfg(test)]
mod unrecorded;

pub use manifest::{Manifest, Surroundings, spec};
pub use protocol::{Operation, Tool};

use headwater_sdk::{Error, ErrorKind};

/// What is wrong with a part of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{what}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct Problem {
    /// Where it stands, such as `streams[0].retriever.requester`.
    pub path: String,
    /// What it is.
    pub what: String,
}

impl Problem {
    pub(crate) fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into() }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::new(ErrorKind::Config, problem.to_string())
    }
}
