//! A refused record as text, made into a page of one row again, so that it is the same record as before.
//!
//! A record is known by its key or, without one, by its content; made into a page in another way it would become a second record
//! beside the one that a later read gives. So how a source makes its pages is learned from records that the lake has of it, and a row
//! for which it cannot be learned is not offered at all.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use hashbrown::HashSet;
use headwater_model::page::{Page, Places};
use headwater_model::tables::SOURCE_RECORD;
use headwater_sdk::StreamSpec;
use headwater_store::Snapshot;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::cells::each;
use crate::error::{Error, Result};
use crate::ingest::Offer;
use crate::intake::{self, IntakeConfig, payload};
use crate::project::SourceEntry;

/// How many of a source's records are looked at to learn how its pages are made.
const SAMPLE_RECORDS: usize = 64;
/// What parts the values of a key of several columns.
const KEY_SEPARATOR: char = '\u{1f}';

/// Why a row cannot be made into a page again.
pub(super) const UNREADABLE: &str =
    "the row could not be read as a record: mend it in its source, and it comes with the next `headwater sync`";
pub(super) const NEEDS_SOURCE: &str =
    "only its source can make this row's fields: read them again with `headwater sync --full-refresh --only NAME`";

/// A record's members in order; a value that is absent is null.
type Members = Vec<(String, Option<String>)>;

/// How the pages of a stream are made.
#[derive(Debug)]
pub(super) struct Recipe {
    making: Making,
    keys: Keys,
    /// Members that records of the stream have.
    seen: HashSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Making {
    /// The built-in intake makes fields of bodies.
    Intake,
    /// The record is its columns.
    Columns,
    /// The record came as JSON, and some of it became columns.
    Json,
    /// Nothing is known; the record itself must show it.
    Unknown,
}

#[derive(Debug, PartialEq, Eq)]
enum Keys {
    /// The content is the identity.
    Content,
    /// These columns are.
    Columns(Vec<String>),
    /// There are keys, but not which.
    Unknown,
}

impl Recipe {
    /// Learns how the pages of a stream are made.
    pub(super) fn learn(snapshot: &Snapshot, entry: &SourceEntry, spec: &StreamSpec, offer: &Offer<'_>) -> Result<Self> {
        let mut recipe = Self { making: Making::Unknown, keys: Keys::Content, seen: HashSet::new() };
        if entry.section.connector == intake::NAME {
            recipe.making = Making::Intake;
            return Ok(recipe);
        }
        let samples = samples(snapshot, &entry.name, &spec.name)?;
        for sample in &samples {
            let Some(members) = members(&sample.raw) else { continue };
            if recipe.making == Making::Unknown {
                recipe.making = sample.making(&members, offer)?;
            }
            recipe.seen.extend(members.into_iter().map(|(name, _)| name));
        }
        recipe.keys = if samples.is_empty() { declared_keys(entry, spec) } else { keys_of(&samples) };
        Ok(recipe)
    }

    /// The page of one refused row, or why there is none.
    pub(super) fn page(&self, entry: &SourceEntry, spec: &StreamSpec, row: &Refusal<'_>) -> Result<Result<Page, &'static str>> {
        let found = match self.making {
            Making::Intake => posted(entry, row),
            Making::Columns | Making::Json | Making::Unknown => members(row.raw),
        };
        let Some(members) = found else { return Ok(Err(UNREADABLE)) };
        let as_json = match self.making {
            Making::Intake | Making::Json => true,
            Making::Columns => false,
            Making::Unknown => !is_plain(row.raw, &members),
        };
        if !as_json && !is_plain(row.raw, &members)
            || self.making != Making::Intake && as_json && self.is_derived(entry, spec, &members)
        {
            return Ok(Err(NEEDS_SOURCE));
        }
        let key = match &self.keys {
            Keys::Content => None,
            Keys::Columns(columns) => key(columns, &members),
            Keys::Unknown => return Ok(Err(NEEDS_SOURCE)),
        };
        let mut page = page(&members, as_json.then_some(row.raw), row.place)?;
        page.keys = key.map(|key| StringArray::from(vec![key]));
        page.received_at = Some(Int64Array::from(vec![row.refused_us]));
        Ok(Ok(page))
    }

    /// Whether the connector makes a column that we would read out of something else: left out, a withdrawn consent would be forgotten.
    fn is_derived(&self, entry: &SourceEntry, spec: &StreamSpec, members: &Members) -> bool {
        let has = |column: &String| self.seen.contains(column) || members.iter().any(|(name, _)| name == column);
        let ours = entry.section.map.values().flat_map(|rule| &rule.0.from);
        let read = spec.mapping.0.values().flat_map(|rule| &rule.from).chain(ours);
        read.filter(|column| spec.fields.contains(column)).any(|column| !has(column))
    }
}

/// A refused row.
#[derive(Debug)]
pub(super) struct Refusal<'a> {
    pub(super) raw: &'a str,
    pub(super) place: &'a str,
    pub(super) refused_us: i64,
}

/// A record that the lake has.
struct Sample {
    raw: String,
    key: String,
    content: i64,
}

impl Sample {
    /// The way of making a page that gives this record's content.
    fn making(&self, members: &Members, offer: &Offer<'_>) -> Result<Making> {
        let gives = |raw: Option<&str>| -> Result<bool> {
            let hashes = offer.hashes(&page(members, raw, "")?);
            Ok(hashes.first().is_some_and(|hash| hash.content.cast_signed() == self.content))
        };
        Ok(if gives(None)? {
            Making::Columns
        } else if gives(Some(&self.raw))? || !is_plain(&self.raw, members) {
            Making::Json
        } else {
            Making::Unknown
        })
    }
}

fn samples(snapshot: &Snapshot, source: &str, stream: &str) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for batch in snapshot.read(&SOURCE_RECORD, &["stream", "raw", "source_pk", "content_hash"], Some(source))? {
        for row in each(&[batch?]) {
            if row.text("stream")? == Some(stream) {
                let content = row.integer("content_hash")?.unwrap_or_default();
                samples.push(Sample { raw: row.word("raw")?, key: row.word("source_pk")?, content });
            }
            if samples.len() == SAMPLE_RECORDS {
                return Ok(samples);
            }
        }
    }
    Ok(samples)
}

/// The columns whose values are the keys of all samples.
fn keys_of(samples: &[Sample]) -> Keys {
    let mut columns: Option<Vec<Vec<String>>> = None;
    for sample in samples.iter().filter(|sample| !sample.key.is_empty()) {
        let Some(members) = members(&sample.raw) else { return Keys::Unknown };
        let with = |part: &str| -> Vec<String> {
            let same = members.iter().filter(|(_, value)| value.as_deref() == Some(part));
            same.map(|(name, _)| name.clone()).collect()
        };
        let found: Vec<Vec<String>> = sample.key.split(KEY_SEPARATOR).map(with).collect();
        columns = match columns {
            None => Some(found),
            Some(before) if before.len() == found.len() => {
                let both = |(before, found): (Vec<String>, Vec<String>)| {
                    before.into_iter().filter(|name| found.contains(name)).collect()
                };
                Some(before.into_iter().zip(found).map(both).collect())
            }
            Some(_) => return Keys::Unknown,
        };
    }
    match columns {
        None => Keys::Content,
        Some(columns) => match columns.into_iter().map(|names| names.into_iter().next()).collect() {
            Some(names) => Keys::Columns(names),
            None => Keys::Unknown,
        },
    }
}

/// What the settings say of the key, where no record is there to learn it from.
fn declared_keys(entry: &SourceEntry, spec: &StreamSpec) -> Keys {
    match entry.config.values.get("key") {
        Some(Value::String(column)) => Keys::Columns(vec![column.clone()]),
        Some(Value::Array(columns)) => Keys::Columns(columns.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        // A vendor's records have the vendor's ids.
        _ if spec.vendor.is_some() => Keys::Unknown,
        _ => Keys::Content,
    }
}

fn key(columns: &[String], members: &Members) -> Option<String> {
    let value = |column: &String| {
        members.iter().find(|(name, _)| name == column).and_then(|(_, value)| value.as_deref()).unwrap_or_default()
    };
    let parts: Vec<&str> = columns.iter().map(value).collect();
    parts.iter().any(|part| !part.is_empty()).then(|| parts.join(&KEY_SEPARATOR.to_string()))
}

/// What the intake makes of a record. It was taken, so it was let in; how it was signed is no longer known, so it may not say that
/// somebody is gone.
fn posted(entry: &SourceEntry, row: &Refusal<'_>) -> Option<Members> {
    let config: IntakeConfig = entry.config.parse().ok()?;
    let submission = payload::reread(row.raw, config.provider, config.honeypot.as_deref())?;
    (!submission.deleted).then_some(submission.fields)
}

fn page(members: &Members, raw: Option<&str>, place: &str) -> Result<Page> {
    let fields: Vec<Field> = members.iter().map(|(name, _)| Field::new(name, DataType::Utf8, true)).collect();
    let columns = members.iter().map(|(_, value)| Arc::new(StringArray::from(vec![value.as_deref()])) as ArrayRef).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    // A file without lines: the place is told as it was.
    let places = Places::Lines { file: place.to_owned(), lines: Vec::new() };
    let mut page = Page::new(batch, places).map_err(|error| Error::Internal(error.to_string()))?;
    page.raw = raw.map(|raw| StringArray::from(vec![raw]));
    Ok(page)
}

/// Whether a record is nothing but columns of text, written as ingest writes them.
fn is_plain(raw: &str, members: &Members) -> bool {
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let member = |(name, value): &(String, Option<String>)| Some(format!("{}:{}", quoted(name), quoted(value.as_deref()?)));
    let parts: Option<Vec<String>> = members.iter().map(member).collect();
    parts.is_some_and(|parts| format!("{{{}}}", parts.join(",")) == raw)
}

/// The members of a JSON object as text, in order; those of an object inside stand under dotted names. `None` for anything else.
fn members(raw: &str) -> Option<Members> {
    let Object(outer) = serde_json::from_str(raw).ok()?;
    let mut all = Members::new();
    for (name, value) in outer {
        match serde_json::from_str::<Object>(value.get()) {
            Ok(Object(inner)) => all.extend(inner.iter().map(|(below, value)| (format!("{name}.{below}"), plain(value)))),
            Err(_) => all.push((name, plain(&value))),
        }
    }
    Some(all)
}

/// A value as text: numbers keep their digits.
fn plain(value: &RawValue) -> Option<String> {
    match value.get() {
        "null" => None,
        text => Some(serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned())),
    }
}

/// The members of an object in their order, values as they stand.
struct Object(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(raw: &str, key: &str) -> Sample {
        Sample { raw: raw.to_owned(), key: key.to_owned(), content: 0 }
    }

    #[test]
    fn members_keep_their_order_their_digits_and_their_absence() {
        let found = members(r#"{"z":"1","a":007.50,"n":null,"o":{"b":true,"l":[1]}}"#);
        assert_eq!(found, None, "007.50 is no JSON number");
        let found = members(r#"{"z":"1","a":7.50,"n":null,"o":{"b":true,"l":[1]}}"#).unwrap();
        let text = |text: &str| Some(text.to_owned());
        let expected = [("z", text("1")), ("a", text("7.50")), ("n", None), ("o.b", text("true")), ("o.l", text("[1]"))];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(members("a,b,c"), None);
        assert_eq!(members("[1]"), None);
    }

    #[test]
    fn only_columns_of_text_as_ingest_writes_them_are_plain() {
        for (raw, expected) in [
            (r#"{"a":"1","b":""}"#, true),
            (r#"{"a": "1"}"#, false),
            (r#"{"a":1}"#, false),
            (r#"{"a":null}"#, false),
            ("{}", true),
        ] {
            assert_eq!(is_plain(raw, &members(raw).unwrap()), expected, "{raw}");
        }
    }

    #[test]
    fn keys_are_the_columns_that_hold_them_in_every_record() {
        let both = [sample(r#"{"id":"7","n":"7","m":"x"}"#, "7"), sample(r#"{"id":"8","n":"9","m":"x"}"#, "8")];
        assert_eq!(keys_of(&both), Keys::Columns(vec!["id".to_owned()]));
        assert_eq!(keys_of(&[sample(r#"{"a":"1","b":"2"}"#, "2\u{1f}1")]), Keys::Columns(vec!["b".to_owned(), "a".to_owned()]));
        assert_eq!(keys_of(&[sample(r#"{"a":"1"}"#, "")]), Keys::Content);
        assert_eq!(
            keys_of(&[sample(r#"{"a":"1"}"#, "header-9")]),
            Keys::Unknown,
            "a key that is not in the record cannot be made again"
        );
    }
}
