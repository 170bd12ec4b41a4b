//! Tasks about people, as far as vendors agree on them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::call::{instant, scalar};
use crate::{Conditions, Record, Records};

/// The field in which a task keeps the number of its person.
pub(crate) const PERSON: &str = "person";

/// The tasks of an account.
#[derive(Debug)]
pub(crate) struct Tasks {
    pub(crate) records: Records,
    /// What may be said of one, beside whom it is about.
    pub(crate) fields: Vec<String>,
}

impl Tasks {
    pub(crate) fn new(first_id: u64, fields: &[&str]) -> Self {
        Self { records: Records::starting_at(first_id, &[]), fields: fields.iter().map(|name| (*name).to_owned()).collect() }
    }

    /// What a body sets, or the name of the member that is wrong. Whom it is about is the caller's to read.
    pub(crate) fn read(&self, body: &Map<String, Value>, conditions: &Conditions) -> Result<BTreeMap<String, String>, String> {
        let mut fields = BTreeMap::new();
        for (name, value) in body {
            let text = scalar(value).filter(|text| self.fields.contains(name) && !conditions.refuses(text));
            fields.insert(name.clone(), text.ok_or_else(|| name.clone())?);
        }
        Ok(fields)
    }

    /// Makes a task about somebody.
    pub(crate) fn make(&mut self, mut fields: BTreeMap<String, String>, person: &str, now_us: i64) -> Record {
        fields.insert(PERSON.to_owned(), person.to_owned());
        let id = self.records.insert(fields.into_iter().filter(|(_, value)| !value.is_empty()).collect(), now_us);
        let made = self.records.get(&id).cloned();
        made.unwrap_or(Record { id, fields: BTreeMap::new(), created_at: now_us, updated_at: now_us, version: 0 })
    }

    /// A task as most vendors show it: what it has, null for what it has not, and when it was changed.
    pub(crate) fn shown(&self, record: &Record, changed_at: &str) -> Map<String, Value> {
        let value = |name: &String| (name.clone(), json!(record.fields.get(name)));
        let mut shown: Map<String, Value> = self.fields.iter().map(value).collect();
        shown.insert(changed_at.to_owned(), json!(instant(record.updated_at)));
        shown
    }

    /// Those about somebody.
    pub(crate) fn about<'a>(&'a self, person: &'a str) -> impl Iterator<Item = &'a Record> {
        self.records.iter().filter(move |record| record.fields.get(PERSON).map(String::as_str) == Some(person))
    }
}

/// The number of the person whom a task is about.
pub(crate) fn person(record: &Record) -> &str {
    record.fields.get(PERSON).map(String::as_str).unwrap_or_default()
}
