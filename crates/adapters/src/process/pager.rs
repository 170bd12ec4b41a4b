//! Records on their way into pages.

use std::collections::BTreeSet;

use headwater_model::page::{Page, Refused};
use headwater_sdk::{Result, TextRows};
use serde_json::value::RawValue;
use tracing::warn;

use super::fields::{Fields, key};

/// What is kept of a record that cannot be read.
const KEPT_RAW_BYTES: usize = 4 * 1024;
/// Records of a page, and their bytes: what is held in memory at once.
const PAGE_ROWS: usize = 5_000;
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// How programs mark a record that is gone.
const GONE: [&str; 2] = ["_sdc_deleted_at", "_ab_cdc_deleted_at"];

/// Collects the records of one stream.
#[derive(Debug)]
pub(super) struct Pager {
    stream: String,
    fields: Fields,
    keys: Vec<usize>,
    gone: Vec<usize>,
    keyed: Part,
    /// Records without a key: their content is their identity.
    keyless: Part,
    refused: Vec<Refused>,
    bytes: usize,
    seen: u64,
    new: BTreeSet<String>,
}

#[derive(Debug)]
struct Part {
    rows: TextRows,
    deleted: Vec<bool>,
}

impl Part {
    fn of(fields: &Fields) -> Self {
        Self { rows: TextRows::new(fields.names()), deleted: Vec::new() }
    }
}

impl Pager {
    /// Records of a stream with these fields and this key.
    pub(super) fn new(stream: &str, fields: Fields, keys: &[Vec<String>]) -> Self {
        let gone = GONE.into_iter().filter_map(|name| fields.index(&[name.to_owned()])).collect();
        let mut pager = Self {
            stream: stream.to_owned(),
            keys: Vec::new(),
            gone,
            keyed: Part::of(&fields),
            keyless: Part::of(&fields),
            fields,
            refused: Vec::new(),
            bytes: 0,
            seen: 0,
            new: BTreeSet::new(),
        };
        pager.set_keys(keys);
        pager
    }

    /// Takes these for the key from here on. One that is no field makes all records keyless.
    pub(super) fn set_keys(&mut self, keys: &[Vec<String>]) {
        let places: Option<Vec<usize>> = keys.iter().map(|path| self.fields.index(path)).collect();
        self.keys = places.unwrap_or_default();
    }

    /// How many records came.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Adds a record; one that cannot be read is refused with its place.
    pub(super) fn push(&mut self, record: &RawValue) {
        self.seen += 1;
        let raw = record.get();
        self.bytes += raw.len();
        let values = match self.fields.read(record, &mut self.new) {
            Ok(values) => values,
            Err(_) => return self.refuse(raw),
        };
        let deleted = self.gone.iter().any(|place| values.get(*place).is_some_and(Option::is_some));
        let key = key(&values, &self.keys);
        let part = if key.is_some() { &mut self.keyed } else { &mut self.keyless };
        part.rows.push(key.as_deref().unwrap_or_default(), raw, values);
        part.deleted.push(deleted);
    }

    fn refuse(&mut self, raw: &str) {
        self.refused.push(Refused {
            place: format!("{}#{}", self.stream, self.seen),
            code: "not_json",
            field: None,
            reason: "the record is no object of readable text; the program that made it must be mended".to_owned(),
            raw: raw.chars().take(KEPT_RAW_BYTES).collect(),
        });
    }

    /// Whether it is time to hand over.
    pub(super) fn full(&self) -> bool {
        self.keyed.rows.len() + self.keyless.rows.len() >= PAGE_ROWS || self.bytes >= PAGE_BYTES
    }

    /// The pages of what came since the last time.
    pub(super) fn take(&mut self) -> Result<Vec<Page>> {
        self.bytes = 0;
        let mut pages = Vec::new();
        let place = format!("{} up to {}", self.stream, self.seen);
        for (part, keyed) in [(&mut self.keyed, true), (&mut self.keyless, false)] {
            let Part { rows, deleted } = std::mem::replace(part, Part::of(&self.fields));
            if rows.is_empty() && (!keyed || self.refused.is_empty()) {
                continue;
            }
            let mut page = rows.finish(place.clone())?;
            if !keyed {
                page.keys = None;
            } else {
                page.refused = std::mem::take(&mut self.refused);
            }
            page.deleted = deleted.contains(&true).then_some(deleted);
            pages.push(page);
        }
        Ok(pages)
    }

    /// Says which fields came that nobody had announced.
    pub(super) fn report(&self) {
        if !self.new.is_empty() {
            let fields: Vec<&str> = self.new.iter().map(String::as_str).collect();
            warn!(stream = self.stream, ?fields, "fields that the catalog does not have stay in the raw record");
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array as _;
    use serde_json::json;

    use super::*;
    use crate::process::fields::paths;

    fn pager(records: &[&str]) -> Pager {
        let keys = paths(&["id".to_owned()]);
        let fields = Fields::of(&json!({"properties": {"id": {}, "_sdc_deleted_at": {}}}), &keys);
        let mut pager = Pager::new("people", fields, &keys);
        for record in records {
            pager.push(&serde_json::from_str::<Box<RawValue>>(record).unwrap());
        }
        pager
    }

    #[test]
    fn a_record_without_its_key_is_kept_and_known_by_its_content() {
        let pages = pager(&[r#"{"id": 1}"#, r#"{"id": null, "x": 1}"#, r#"{"id": 2}"#]).take().unwrap();
        let [keyed, keyless] = pages.as_slice() else { panic!("{pages:?}") };
        assert_eq!(keyed.keys.as_ref().unwrap().iter().flatten().collect::<Vec<_>>(), ["1", "2"]);
        assert!(keyless.keys.is_none() && keyless.raw.as_ref().unwrap().is_valid(0));
    }

    #[test]
    fn a_record_that_is_gone_is_marked() {
        let pages = pager(&[r#"{"id": 1}"#, r#"{"id": 2, "_sdc_deleted_at": "2026-01-01"}"#]).take().unwrap();
        assert_eq!(pages[0].deleted, Some(vec![false, true]));
        assert_eq!(pager(&[r#"{"id": 1}"#]).take().unwrap()[0].deleted, None);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_refused_alone() {
        let mut pager = pager(&[r#"{"id": "\ud800"}"#, r#"{"id": 2}"#, "[]"]);
        let pages = pager.take().unwrap();
        assert_eq!((pages.len(), pages[0].rows(), pages[0].refused.len()), (1, 1, 2));
        assert_eq!(pages[0].refused[1].place, "people#3");
        assert!(pager.take().unwrap().is_empty());
    }
}
