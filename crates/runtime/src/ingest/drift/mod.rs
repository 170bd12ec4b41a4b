//! Columns that came, went or hold another kind of value than in the runs before.
//!
//! A source's columns are remembered beside its position, and what kind of value each of them held. A change is always told; whether
//! it also stops the source is the project's choice. Values are text until they conform, so a kind is what the text looks like:
//! a time that becomes a number of seconds, a number that becomes a word. A column of free text may hold anything. Where the remote's own
//! records are kept beside the columns, their members are followed as well.

mod kinds;
mod members;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::StringArray;
use headwater_model::mapping::Mapping;
use headwater_model::page::Page;
use headwater_sdk::StreamSpec;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::{SchemaChange, SourceEntry};
use kinds::{Kind, Learned, Observed};
use members::{Change, Members};

/// What the keys of the cursors begin with that remember columns.
const CURSOR_PREFIX: &str = "columns";
/// How many rows of a page are looked at: a change of kind shows in any of them.
const SAMPLE: usize = 64;

/// The columns of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Columns {
    all: BTreeSet<String>,
    /// Those from which a field of ours is read.
    mapped: BTreeSet<String>,
    /// What they hold, as far as it is known.
    #[serde(default)]
    kinds: BTreeMap<String, Learned>,
    /// What the remote's own records hold, whether or not it is read.
    #[serde(default, skip_serializing_if = "Members::is_empty")]
    members: Members,
}

/// The columns of this run, to be remembered when it is done.
#[derive(Debug)]
pub(super) struct Drift {
    key: String,
    sequence: Option<i64>,
    before: Option<Columns>,
    now: Columns,
    observed: BTreeMap<String, Observed>,
}

/// Compares a stream's columns with those of the run before; nothing when they are not known beforehand.
///
/// # Errors
/// When they differ and the project wants to stop, with the line that says so.
pub(super) async fn of(engine: &Engine, entry: &SourceEntry, spec: &StreamSpec, mapping: &Mapping) -> Result<Option<Drift>> {
    if spec.fields.is_empty() {
        return Ok(None);
    }
    let all: BTreeSet<String> = spec.fields.iter().cloned().collect();
    let mapped = mapping.0.values().flat_map(|rule| &rule.from).filter(|column| all.contains(*column)).cloned().collect();
    let key = format!("{CURSOR_PREFIX}/{}/{}", entry.name, spec.name);
    let cursor = engine.store.cursor(&key).await?;
    let before: Option<Columns> = cursor.as_ref().and_then(|cursor| serde_json::from_value(cursor.value.clone()).ok());
    let mut kinds = before.as_ref().map(|before| before.kinds.clone()).unwrap_or_default();
    kinds.retain(|column, _| all.contains(column));
    let members = before.as_ref().map(|before| before.members.clone()).unwrap_or_default();
    let now = Columns { all, mapped, kinds, members };
    if let Some(what) = before.as_ref().and_then(|before| difference(before, &now)) {
        tell(entry, spec, &what)?;
    }
    Ok(Some(Drift { key, sequence: cursor.map(|cursor| cursor.sequence), before, now, observed: BTreeMap::new() }))
}

/// Says that columns changed, and stops if the project wants that.
fn tell(entry: &SourceEntry, spec: &StreamSpec, what: &str) -> Result<()> {
    match entry.section.on_schema_change {
        SchemaChange::Accept => {
            warn!(connection = entry.name, stream = spec.name, "the columns changed: {what}");
            Ok(())
        }
        SchemaChange::Stop => {
            let complaint = entry.error("on_schema_change", format!("the columns of the source changed: {what}"));
            let help = format!(
                "see `headwater preview {}`, mend `map` if need be, and set `accept` for one run: the new columns are then known",
                entry.name
            );
            Err(complaint.help(help).into())
        }
    }
}

impl Drift {
    /// Looks at what the columns of a page hold.
    ///
    /// # Errors
    /// When one holds another kind of value than before and the project wants to stop; nothing of the page was taken.
    pub(super) fn look(&mut self, entry: &SourceEntry, spec: &StreamSpec, page: &Page) -> Result<()> {
        let mut retyped = Vec::new();
        for (field, column) in page.fields.schema().fields().iter().zip(page.fields.columns()) {
            let Some(column) = column.as_any().downcast_ref::<StringArray>() else { continue };
            let values = column.iter().take(SAMPLE).flatten().map(str::trim).filter(|value| !value.is_empty());
            let name = field.name();
            let known = self.now.kinds.get(name).copied();
            let observed = self.observed.entry(name.clone()).or_default();
            if let Some((from, to)) = observed.take(known, values.map(Kind::of)) {
                let mark = if self.now.mapped.contains(name) { ", which is mapped" } else { "" };
                retyped.push(format!("`{name}` from {} to {}{mark}", from.words(), to.words()));
            }
        }
        let mut parts = Vec::new();
        if !retyped.is_empty() {
            parts.push(format!("other values are in {}", retyped.join(", ")));
        }
        let learning = self.before.as_ref().is_none_or(|before| before.members.is_empty());
        let records = page.raw.iter().flat_map(|raw| raw.iter().take(SAMPLE).flatten());
        let Change { new, gone } = self.now.members.take(records, learning);
        let mapped = |name: &String| name.rsplit('.').next().is_some_and(|name| self.now.mapped.contains(name));
        parts.extend(listed("new in the records is", new.iter(), |_| false));
        parts.extend(listed("gone from the records is", gone.iter(), mapped));
        if parts.is_empty() { Ok(()) } else { tell(entry, spec, &parts.join("; ")) }
    }

    /// Remembers the columns, where they are others than before.
    pub(super) async fn remember(mut self, engine: &Engine, run_id: &str) -> Result<()> {
        for (column, observed) in &self.observed {
            let learned = observed.learned(self.now.kinds.get(column).copied());
            if let Some(learned) = learned.filter(|_| self.now.all.contains(column)) {
                self.now.kinds.insert(column.clone(), learned);
            }
        }
        if self.before.as_ref() == Some(&self.now) {
            return Ok(());
        }
        let value = serde_json::to_value(&self.now).map_err(|error| Error::Internal(error.to_string()))?;
        let mut commit = engine.store.commit(run_id, engine.clock().now_us());
        commit.advance(&self.key, self.sequence, &value);
        commit.execute().await?;
        Ok(())
    }
}

/// What came and what went, in words; nothing when only the mapping differs.
fn difference(before: &Columns, now: &Columns) -> Option<String> {
    let new = listed("new are", now.all.difference(&before.all), |_| false);
    let gone = listed("gone are", before.all.difference(&now.all), |name| before.mapped.contains(name));
    let parts: Vec<String> = new.into_iter().chain(gone).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Names in a sentence, those that are mapped marked; nothing where there are none.
fn listed<'a>(what: &str, names: impl Iterator<Item = &'a String>, is_mapped: impl Fn(&String) -> bool) -> Option<String> {
    let quoted: Vec<String> =
        names.map(|name| format!("`{name}`{}", if is_mapped(name) { ", which was mapped" } else { "" })).collect();
    (!quoted.is_empty()).then(|| format!("{what} {}", quoted.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(all: &[&str], mapped: &[&str]) -> Columns {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Columns { all: set(all), mapped: set(mapped), ..Columns::default() }
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
