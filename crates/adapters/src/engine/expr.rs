//! Expressions: what a front end leaves to be computed while a source runs.

use std::fmt;
use std::sync::Arc;

use headwater_sdk::Result;
use jiff::Timestamp;

use super::value::{Map, Value};

/// An expression of some front end, checked when it was compiled.
pub type Expr = Arc<dyn Evaluate>;

/// Computes a value out of what is known at its place.
///
/// `text` and `test` exist beside `value` because dialects turn values into text and truth in different ways.
pub trait Evaluate: Send + Sync + fmt::Debug {
    /// The value.
    ///
    /// # Errors
    /// What the front end documents; never with a person's data in the message.
    fn value(&self, scope: &Scope<'_>) -> Result<Value>;

    /// The value as text for a URL, header or form.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    fn text(&self, scope: &Scope<'_>) -> Result<String> {
        Ok(self.value(scope)?.to_plain())
    }

    /// The value as a condition.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    fn test(&self, scope: &Scope<'_>) -> Result<bool> {
        Ok(self.value(scope)?.truthy())
    }

    /// Whether the value may depend on a name of the scope. What does not look at `last_record` and `last_page_size` is computed
    /// before the records are taken out of the answer, which spares a copy of them.
    fn uses(&self, name: &str) -> bool {
        let _ = name;
        true
    }

    /// The value if it depends on nothing; it is then computed once.
    fn constant(&self) -> Option<&Value> {
        None
    }
}

/// An expression that is its value.
#[derive(Debug, Clone)]
pub struct Constant(pub Value);

impl Evaluate for Constant {
    fn value(&self, _: &Scope<'_>) -> Result<Value> {
        Ok(self.0.clone())
    }

    fn constant(&self) -> Option<&Value> {
        Some(&self.0)
    }
}

/// A constant expression.
pub fn constant(value: impl Into<Value>) -> Expr {
    Arc::new(Constant(value.into()))
}

/// What an expression may name. A name that its place does not have is `None`.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The connection's settings, secrets included.
    pub config: &'a Value,
    /// The time of the run.
    pub now: Timestamp,
    /// The part of the stream that is read.
    pub slice: Option<&'a Slice>,
    /// What the page before says about the next one.
    pub next_page_token: Option<&'a Value>,
    /// The body of an answer.
    pub response: Option<&'a Value>,
    /// The headers of an answer, with `link` read into its relations.
    pub headers: Option<&'a Value>,
    /// The status of an answer.
    pub status: Option<u16>,
    /// The last record of a page.
    pub last_record: Option<&'a Value>,
    /// How many records the page had.
    pub last_page_size: Option<usize>,
    /// The record at hand.
    pub record: Option<&'a Value>,
    /// Further names, of a kind that only some places have: `token` for an authenticator, `creation_response` for a job.
    pub more: &'a [(&'a str, &'a Value)],
}

impl<'a> Scope<'a> {
    /// Only the settings and the time.
    #[must_use]
    pub fn new(config: &'a Value, now: Timestamp) -> Self {
        Self {
            config,
            now,
            slice: None,
            next_page_token: None,
            response: None,
            headers: None,
            status: None,
            last_record: None,
            last_page_size: None,
            record: None,
            more: &[],
        }
    }

    /// This scope with a record.
    #[must_use]
    pub fn with_record(self, record: &'a Value) -> Self {
        Self { record: Some(record), ..self }
    }

    /// This scope with a slice.
    #[must_use]
    pub fn with_slice(self, slice: &'a Slice) -> Self {
        Self { slice: Some(slice), ..self }
    }

    /// One of the further names.
    #[must_use]
    pub fn more(&self, name: &str) -> Option<&'a Value> {
        self.more.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// One part of a stream: a partition, an interval of its cursor, or both.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slice {
    /// What tells the partition from others; its identity in the state. Empty where there are no partitions.
    pub partition: Map,
    /// The names of the interval's ends and their text; empty where there is no interval.
    pub interval: Map,
    /// The interval's ends as positions.
    pub range: Option<(i64, i64)>,
    /// What the parent's record gives along; not part of the identity.
    pub extra: Map,
}
