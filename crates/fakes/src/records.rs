//! The records of one kind.

use std::collections::{BTreeMap, HashMap};

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The vendor's id.
    pub id: String,
    /// Its fields that are set.
    pub fields: BTreeMap<String, String>,
    /// When it was made, in microseconds since 1970 in UTC.
    pub created_at: i64,
    /// When it was last changed, in the same unit.
    pub updated_at: i64,
    /// How often it was changed; what an entity tag is made of.
    pub version: u64,
}

/// The records of one kind, with the fields whose values are unique.
#[derive(Debug, Clone, Default)]
pub struct Records {
    by_id: BTreeMap<u64, Record>,
    /// For each unique field, the record that holds a value; in lower case, as vendors compare.
    unique: BTreeMap<String, HashMap<String, u64>>,
    next: u64,
}

impl Records {
    /// No records yet; ids count from `first`.
    #[must_use]
    pub fn starting_at(first: u64, unique: &[&str]) -> Self {
        Self {
            by_id: BTreeMap::new(),
            unique: unique.iter().map(|field| ((*field).to_owned(), HashMap::new())).collect(),
            next: first,
        }
    }

    /// Makes a field unique from now on.
    pub fn make_unique(&mut self, field: &str) {
        let holders = self.by_id.iter().filter_map(|(id, record)| Some((fold(record.fields.get(field)?), *id))).collect();
        self.unique.insert(field.to_owned(), holders);
    }

    /// Whether no two records may have the same value in this field.
    #[must_use]
    pub fn is_unique(&self, field: &str) -> bool {
        self.unique.contains_key(field)
    }

    /// The record with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Record> {
        self.by_id.get(&id.parse().ok()?)
    }

    /// The record that holds a value in a unique field.
    #[must_use]
    pub fn holder(&self, field: &str, value: &str) -> Option<&Record> {
        self.by_id.get(self.unique.get(field)?.get(&fold(value))?)
    }

    /// All records, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.by_id.values()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The record other than `own` that holds one of the values which are unique, with the field.
    #[must_use]
    pub fn conflict<'a>(&'a self, fields: &'a BTreeMap<String, String>, own: Option<&str>) -> Option<(&'a str, &'a Record)> {
        let mut held = fields.iter().filter_map(|(field, value)| Some((field.as_str(), self.holder(field, value)?)));
        held.find(|(_, holder)| Some(holder.id.as_str()) != own)
    }

    /// Makes a record and gives its id. The caller has looked for conflicts.
    pub fn insert(&mut self, fields: BTreeMap<String, String>, now_us: i64) -> String {
        let number = self.next;
        self.next += 1;
        let record =
            Record { id: number.to_string(), fields: BTreeMap::new(), created_at: now_us, updated_at: now_us, version: 0 };
        self.by_id.insert(number, record);
        self.change(&number.to_string(), fields, now_us);
        number.to_string()
    }

    /// Sets fields of a record; an empty value clears. Says whether there is such a record.
    pub fn change(&mut self, id: &str, fields: BTreeMap<String, String>, now_us: i64) -> bool {
        let Some((number, record)) = id.parse().ok().and_then(|number| Some((number, self.by_id.get_mut(&number)?))) else {
            return false;
        };
        for (field, value) in fields {
            let before =
                if value.is_empty() { record.fields.remove(&field) } else { record.fields.insert(field.clone(), value.clone()) };
            if let Some(holders) = self.unique.get_mut(&field) {
                if let Some(before) = before {
                    holders.remove(&fold(&before));
                }
                if !value.is_empty() {
                    holders.insert(fold(&value), number);
                }
            }
        }
        record.updated_at = now_us;
        record.version += 1;
        true
    }

    /// Removes a record; says whether there was one.
    pub fn remove(&mut self, id: &str) -> bool {
        let Some(record) = id.parse().ok().and_then(|number: u64| self.by_id.remove(&number)) else { return false };
        for (field, holders) in &mut self.unique {
            if let Some(value) = record.fields.get(field) {
                holders.remove(&fold(value));
            }
        }
        true
    }
}

fn fold(value: &str) -> String {
    value.trim().to_lowercase()
}
