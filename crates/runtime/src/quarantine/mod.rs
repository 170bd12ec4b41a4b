//! Refused rows: which there are, why, and another try.
//!
//! The rows lie in the lake, where nothing changes; what became of them is noted in the ledger. The same row refused twice has one
//! id and counts once. A row is open until it is dealt with, and open again when it is refused after that.

mod export;
mod record;
mod retry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use hashbrown::HashMap;
use headwater_model::tables;
use headwater_store::Snapshot;
use jiff::Timestamp;
use serde::Serialize;

pub use export::{Exported, export};
pub use retry::{Retried, retry};

use crate::cells::{each, instant};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::rows::load;

/// The version of the answers' shapes.
const VERSION: u32 = 1;
/// The stage of rows that a source's records were refused at.
const AT_INGEST: &str = "ingest";
/// The stage of pushes that a remote refused.
const AT_DELIVER: &str = "deliver";

/// The refused rows that are open.
#[derive(Debug, Serialize)]
pub struct QuarantineReport {
    /// The version of this shape.
    pub version: u32,
    /// How many there are.
    pub open: u64,
    /// How many there are of each kind, the most frequent first.
    pub groups: Vec<QuarantineGroup>,
    /// The latest of them.
    pub rows: Vec<QuarantineRow>,
}

/// Refused rows of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuarantineGroup {
    /// The source or sink.
    pub source: String,
    /// `ingest` or `deliver`.
    pub stage: String,
    /// The code of the reason.
    pub code: String,
    /// How many.
    pub rows: u64,
    /// The reason of the latest.
    pub example: String,
}

/// One refused row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuarantineRow {
    /// Its id.
    pub quarantine_id: String,
    /// The source or sink.
    pub source: String,
    /// The stream.
    pub stream: String,
    /// `ingest` or `deliver`.
    pub stage: String,
    /// Where it stood.
    pub place: Option<String>,
    /// A stable code of the reason.
    pub code: String,
    /// The field at fault.
    pub field: Option<String>,
    /// Why, and what to do.
    pub reason: String,
    /// When it was refused last.
    pub refused_at: Option<Timestamp>,
    /// By which run.
    pub run_id: String,
    /// What became of it; `open` when nothing did.
    pub state: &'static str,
    /// The row as it arrived; lists leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    #[serde(skip)]
    refused_us: i64,
}

/// How many rows are open, by stage and source or sink.
#[derive(Debug, Default)]
pub(crate) struct OpenCounts(HashMap<(String, String), u64>);

impl OpenCounts {
    pub(crate) fn at_ingest(&self, source: &str) -> u64 {
        self.count(AT_INGEST, source)
    }

    pub(crate) fn at_deliver(&self, sink: &str) -> u64 {
        self.count(AT_DELIVER, sink)
    }

    fn count(&self, stage: &str, name: &str) -> u64 {
        self.0.get(&(stage.to_owned(), name.to_owned())).copied().unwrap_or_default()
    }
}

/// Lists the open rows: all of them by kind, and the latest `limit` one by one.
///
/// # Errors
/// When the store cannot be read.
pub async fn list(engine: &Engine, source: Option<&str>, limit: usize) -> Result<QuarantineReport> {
    let snapshot = engine.store.snapshot().await?;
    let mut rows = open(engine, &snapshot, source, Raw::Without).await?;
    let groups = groups(&rows);
    let count = rows.len() as u64;
    rows.truncate(limit);
    Ok(QuarantineReport { version: VERSION, open: count, groups, rows })
}

/// One row as it arrived, whatever became of it.
///
/// # Errors
/// [`Error::NotFound`] when there is none of that id.
pub async fn show(engine: &Engine, id: &str) -> Result<QuarantineRow> {
    let snapshot = engine.store.snapshot().await?;
    let rows = all(engine, &snapshot, Raw::With).await?;
    rows.into_iter().find(|row| row.quarantine_id == id).ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Error {
    Error::NotFound {
        what: format!("there is no refused row `{id}`"),
        hint: "`headwater quarantine list` shows those that are open".to_owned(),
    }
}

/// How many rows are open.
pub(crate) async fn open_counts(engine: &Engine, snapshot: &Snapshot) -> Result<OpenCounts> {
    let mut counts = OpenCounts::default();
    for row in open(engine, snapshot, None, Raw::Without).await? {
        *counts.0.entry((row.stage, row.source)).or_default() += 1;
    }
    Ok(counts)
}

/// Whether the rows as they arrived are read too; they are most of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Raw {
    With,
    Without,
}

/// The open rows, newest first.
async fn open(engine: &Engine, snapshot: &Snapshot, source: Option<&str>, raw: Raw) -> Result<Vec<QuarantineRow>> {
    let mut rows = all(engine, snapshot, raw).await?;
    rows.retain(|row| row.state == "open" && source.is_none_or(|source| row.source == source));
    if rows.is_empty()
        && let Some(name) = source
    {
        known(engine, name)?;
    }
    Ok(rows)
}

/// Checks that a source or sink of that name is in the project: a misspelt one has no rows either.
fn known(engine: &Engine, name: &str) -> Result<()> {
    let project = &engine.project;
    if project.source(name).is_some() || project.parts().any(|part| part.name == name) {
        return Ok(());
    }
    let names: Vec<&str> = project
        .sources
        .iter()
        .map(|source| source.name.as_str())
        .chain(project.sinks.iter().map(|sink| sink.name.as_str()))
        .collect();
    Err(Error::NotFound {
        what: format!("there is no source or sink `{name}`"),
        hint: format!("there are: {}", names.join(", ")),
    })
}

/// Every row once, as it was refused last, newest first.
async fn all(engine: &Engine, snapshot: &Snapshot, raw: Raw) -> Result<Vec<QuarantineRow>> {
    let marks = engine.store.quarantine_marks().await?;
    let mut columns =
        vec!["quarantine_id", "source", "stream", "place", "stage", "code", "field", "reason", "refused_at", "run_id"];
    if raw == Raw::With {
        columns.push("raw");
    }
    let mut last: HashMap<String, QuarantineRow> = HashMap::new();
    for row in each(&load(snapshot, &tables::QUARANTINE, &columns)?) {
        let quarantine_id = row.word("quarantine_id")?;
        let refused_us = row.micros("refused_at")?.unwrap_or_default();
        if last.get(&quarantine_id).is_some_and(|later| later.refused_us > refused_us) {
            continue;
        }
        let state = marks.get(&quarantine_id).filter(|(_, at)| *at >= refused_us).map_or("open", |(state, _)| state.as_str());
        let refused = QuarantineRow {
            source: row.word("source")?,
            stream: row.word("stream")?,
            stage: row.word("stage")?,
            place: row.owned("place")?,
            code: row.word("code")?,
            field: row.owned("field")?,
            reason: row.word("reason")?,
            refused_at: instant(refused_us),
            run_id: row.word("run_id")?,
            state,
            raw: if raw == Raw::With { row.owned("raw")? } else { None },
            refused_us,
            quarantine_id: quarantine_id.clone(),
        };
        last.insert(quarantine_id, refused);
    }
    let mut rows: Vec<QuarantineRow> = last.into_values().collect();
    rows.sort_by(|one, two| {
        (two.refused_us, &one.source, &one.place, &one.quarantine_id).cmp(&(
            one.refused_us,
            &two.source,
            &two.place,
            &two.quarantine_id,
        ))
    });
    Ok(rows)
}

fn groups(rows: &[QuarantineRow]) -> Vec<QuarantineGroup> {
    let mut groups: BTreeMap<(&str, &str, &str), QuarantineGroup> = BTreeMap::new();
    for row in rows {
        let group = groups.entry((&row.source, &row.stage, &row.code)).or_insert_with(|| QuarantineGroup {
            source: row.source.clone(),
            stage: row.stage.clone(),
            code: row.code.clone(),
            rows: 0,
            // Newest first: the first met is the latest.
            example: row.reason.clone(),
        });
        group.rows += 1;
    }
    let mut groups: Vec<QuarantineGroup> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.rows));
    groups
}
