//! One request and its answer, without the network.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::Record;

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// The method, in capitals.
    pub method: String,
    /// The path, decoded, in its segments.
    pub path: Vec<String>,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// The headers, by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// What it carries.
    pub body: Vec<u8>,
}

impl Call {
    /// The method and the segments, to match on.
    #[must_use]
    pub fn route(&self) -> (&str, Vec<&str>) {
        (&self.method, self.path.iter().map(String::as_str).collect())
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as form fields.
    #[must_use]
    pub fn form(&self) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// A query parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers beside the content type.
    pub headers: Vec<(String, String)>,
    /// The body; empty text is no body.
    pub body: String,
    /// Whether records were written for it.
    pub wrote: bool,
}

impl Answer {
    /// An answer in JSON.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string(), wrote: false }
    }

    /// An answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new(), wrote: false }
    }

    /// This answer with a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// This answer, to a call that wrote.
    #[must_use]
    pub fn wrote(mut self) -> Self {
        self.wrote = true;
        self
    }
}

/// A member as text; empty when it is no text.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A member as a list; empty when it is none.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A member as an object, if it is one.
pub(crate) fn object<'a>(value: &'a Value, name: &str) -> Option<&'a Map<String, Value>> {
    value.get(name).and_then(Value::as_object)
}

/// A value that is no list and no object, as text; empty for null.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// A record as a state shows it; `other` are those that are no people, and say what they are.
pub(crate) fn of_kind(name: &str, other: bool, record: &Record) -> Value {
    let mut shown: Map<String, Value> =
        record.fields.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    if other {
        shown.insert(KIND.to_owned(), Value::from(name));
    }
    shown.into()
}

/// The member of a state's record that says what it is, where it is nobody.
pub(crate) const KIND: &str = "_kind";

/// An instant as APIs write it.
pub(crate) fn instant(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map(|at| at.to_string()).unwrap_or_default()
}

/// The first whole second after a wait, as an HTTP date (RFC 9110, section 5.6.7).
pub(crate) fn http_date(wait_ms: u64, now_us: i64) -> String {
    let at_us = now_us.saturating_add(i64::try_from(wait_ms * 1_000).unwrap_or(i64::MAX));
    let at = jiff::Timestamp::from_second(at_us.div_euclid(1_000_000) + 1).unwrap_or_default();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A GUID for a number, as vendors write ids.
pub(crate) fn guid(number: &str) -> String {
    format!("00000000-0000-4000-8000-{number:0>12}")
}

/// The number in a GUID of ours; empty when it is none.
pub(crate) fn number_of(guid: &str) -> String {
    guid.strip_prefix("00000000-0000-4000-8000-").unwrap_or_default().trim_start_matches('0').to_owned()
}
