//! Columns that came or went since the run before.
//!
//! A source's columns are remembered beside its position. A change is always told; whether it also stops the source is the project's
//! choice. Values are text until they conform, so a column whose values change their kind is not a change of columns: rows that
//! cannot be read any more are refused, each with its reason.

use std::collections::BTreeSet;

use headwater_model::mapping::Mapping;
use headwater_sdk::StreamSpec;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::{SchemaChange, SourceEntry};

/// What the keys of the cursors begin with that remember columns.
const CURSOR_PREFIX: &str = "columns";

/// The columns of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Columns {
    all: BTreeSet<String>,
    /// Those from which a field of ours is read.
    mapped: BTreeSet<String>,
}

/// The columns of this run, to be remembered when it is done.
#[derive(Debug)]
pub(super) struct Drift {
    key: String,
    sequence: Option<i64>,
    now: Columns,
}

/// Compares a stream's columns with those of the run before; nothing when they are the same, or not known beforehand.
///
/// # Errors
/// When they differ and the project wants to stop, with the line that says so.
pub(super) async fn of(engine: &Engine, entry: &SourceEntry, spec: &StreamSpec, mapping: &Mapping) -> Result<Option<Drift>> {
    if spec.fields.is_empty() {
        return Ok(None);
    }
    let all: BTreeSet<String> = spec.fields.iter().cloned().collect();
    let mapped = mapping.0.values().flat_map(|rule| &rule.from).filter(|column| all.contains(*column)).cloned().collect();
    let now = Columns { all, mapped };
    let key = format!("{CURSOR_PREFIX}/{}/{}", entry.name, spec.name);
    let cursor = engine.store.cursor(&key).await?;
    let before: Option<Columns> = cursor.as_ref().and_then(|cursor| serde_json::from_value(cursor.value.clone()).ok());
    if before.as_ref() == Some(&now) {
        return Ok(None);
    }
    if let Some(what) = before.and_then(|before| difference(&before, &now)) {
        match entry.section.on_schema_change {
            SchemaChange::Accept => warn!(connection = entry.name, stream = spec.name, "the columns changed: {what}"),
            SchemaChange::Stop => {
                let complaint = entry.error("on_schema_change", format!("the columns of the source changed: {what}"));
                let help = format!(
                    "see `headwater preview {}`, mend `map` if need be, and set `accept` for one run: the new columns are then known",
                    entry.name
                );
                return Err(complaint.help(help).into());
            }
        }
    }
    Ok(Some(Drift { key, sequence: cursor.map(|cursor| cursor.sequence), now }))
}

impl Drift {
    /// Remembers the columns.
    pub(super) async fn remember(self, engine: &Engine, run_id: &str) -> Result<()> {
        let value = serde_json::to_value(&self.now).map_err(|error| Error::Internal(error.to_string()))?;
        let mut commit = engine.store.commit(run_id, engine.clock().now_us());
        commit.advance(&self.key, self.sequence, &value);
        commit.execute().await?;
        Ok(())
    }
}

/// What came and what went, in words; nothing when only the mapping differs.
fn difference(before: &Columns, now: &Columns) -> Option<String> {
    let names = |columns: Vec<&String>, mark: &dyn Fn(&String) -> bool| {
        let quoted = columns.into_iter().map(|name| format!("`{name}`{}", if mark(name) { ", which was mapped" } else { "" }));
        quoted.collect::<Vec<_>>().join(", ")
    };
    let new: Vec<&String> = now.all.difference(&before.all).collect();
    let gone: Vec<&String> = before.all.difference(&now.all).collect();
    let mut parts = Vec::new();
    if !new.is_empty() {
        parts.push(format!("new are {}", names(new, &|_| false)));
    }
    if !gone.is_empty() {
        parts.push(format!("gone are {}", names(gone, &|name| before.mapped.contains(name))));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(all: &[&str], mapped: &[&str]) -> Columns {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Columns { all: set(all), mapped: set(mapped) }
    }

    #[test]
    fn what_came_and_went_is_named_and_what_was_mapped_is_marked() {
        let before = columns(&["Email", "Name", "Note"], &["Email", "Name"]);
        let now = columns(&["Email", "Full name"], &["Email"]);
        let told = difference(&before, &now).unwrap();
        assert_eq!(told, "new are `Full name`; gone are `Name`, which was mapped, `Note`");
        assert_eq!(difference(&now, &columns(&["Full name", "Email"], &[])), None);
    }
}
