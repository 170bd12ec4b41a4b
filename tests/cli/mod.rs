//! The command line as its user meets it: exit codes, answers, errors, and what is in the folder afterwards.
//!
//! Names, flags, exit codes and JSON keys are a public contract; a test here that must change is a line in the changelog.

#![allow(clippy::indexing_slicing, reason = "this is test code all through, and indexing a JSON value does not panic")]

mod config;
mod connectors;
mod demo;
mod failures;
mod interrupts;
mod live;
mod page;
mod privacy;
mod resolve;
mod review;
mod rules;
mod sync;

use std::error::Error;

use headwater_tests::project::Run;
use serde_json::Value;

/// What a test gives back: a failure to set it up is no panic.
type Fact = Result<(), Box<dyn Error>>;

/// The exit codes of the public table that these tests meet.
mod code {
    pub(crate) const USAGE: i32 = 2;
    pub(crate) const CONFIG: i32 = 3;
    pub(crate) const REFUSED_ROWS: i32 = 4;
    pub(crate) const UNAVAILABLE: i32 = 5;
    pub(crate) const AUTH: i32 = 6;
    pub(crate) const CONFLICT: i32 = 7;
    pub(crate) const INTERRUPTED: i32 = 130;
}

/// The run ended with that code, and its error says each of these things.
#[track_caller]
fn expect_error(run: &Run, code: i32, says: &[&str]) {
    assert_eq!(run.code, Some(code), "{run}");
    for part in says {
        assert!(run.stderr.contains(part), "the error does not say `{part}`:\n{run}");
    }
}

/// A number at a path of a JSON answer; `*` takes the sum over all keys.
#[track_caller]
fn number(answer: &Value, path: &str) -> u64 {
    fn sum(value: &Value, path: &[&str]) -> Option<u64> {
        match path {
            [] => value.as_u64(),
            ["*", rest @ ..] => value.as_object()?.values().map(|value| sum(value, rest)).sum(),
            [key, rest @ ..] => sum(value.get(key)?, rest),
        }
    }
    let keys: Vec<_> = path.split('.').collect();
    let number = sum(answer, &keys);
    assert!(number.is_some(), "no number at {path} in {answer}");
    number.unwrap_or_default()
}
