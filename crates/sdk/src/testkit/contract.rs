//! The contract of a [`Source`], checked from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow::array::{Array, StringArray};
use futures::{StreamExt as _, TryStreamExt as _};
use headwater_model::checkpoint::Checkpoint;
use headwater_model::page::Page;

use crate::{Error, Source, SourceEvent, StreamSpec};

/// How long one step of a read may take in a test.
const STEP: Duration = Duration::from_secs(5);

/// Why a source does not keep its contract: the rule (S1 to S8, as [`crate::source`] has them) and what was seen.
#[derive(Debug, thiserror::Error)]
pub enum Breach {
    /// A rule is broken.
    #[error("{rule}: {what}")]
    Rule {
        /// The rule.
        rule: &'static str,
        /// What was seen.
        what: String,
    },
    /// The source failed where it should not.
    #[error(transparent)]
    Source(#[from] Error),
}

/// One record, as it was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The source's own id.
    pub key: Option<String>,
    /// The fields; absent ones are left out.
    pub fields: BTreeMap<String, String>,
    /// The whole record.
    pub raw: Option<String>,
    /// Whether the source says that it is gone.
    pub deleted: bool,
}

impl Row {
    /// A field's value, or the empty text.
    #[must_use]
    pub fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }

    /// What tells the record from others: its key, or all it says.
    #[must_use]
    pub fn identity(&self) -> String {
        self.key.clone().unwrap_or_else(|| format!("{:?}", self.fields))
    }
}

/// Everything one read gave.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// The checkpoints, each with the number of rows that it covers.
    pub checkpoints: Vec<(usize, Checkpoint)>,
    /// Rows that the source could not make into fields, by code.
    pub refused: Vec<&'static str>,
    /// Whether the read said that it showed everything, and then whether the read before it that broke off counts as well.
    pub whole: Option<Resumed>,
}

/// Whether a read that showed everything went on from the middle of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// It did: what that one gave counts as well.
    Yes,
    /// It showed everything itself.
    No,
}

impl Collected {
    /// The last checkpoint.
    #[must_use]
    pub fn last(&self) -> Option<Checkpoint> {
        self.checkpoints.last().map(|(_, checkpoint)| checkpoint.clone())
    }

    /// The keys of the rows, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        self.rows.iter().filter_map(|row| row.key.as_deref()).collect()
    }

    /// What tells the rows' records apart.
    #[must_use]
    pub fn identities(&self) -> BTreeSet<String> {
        self.rows.iter().map(Row::identity).collect()
    }
}

/// Reads a stream to its end, checking every page.
///
/// # Errors
/// What the source says, or the rule it breaks.
pub async fn collect(source: &dyn Source, stream: &StreamSpec, from: Option<Checkpoint>) -> Result<Collected, Breach> {
    let mut out = Collected::default();
    collect_into(&mut out, source, stream, from).await?;
    Ok(out)
}

/// Reads a stream as far as it goes: what came before it broke off stands in `out`.
///
/// # Errors
/// As [`collect`].
pub async fn collect_into(
    out: &mut Collected,
    source: &dyn Source,
    stream: &StreamSpec,
    from: Option<Checkpoint>,
) -> Result<(), Breach> {
    let mut events = source.read(stream, from).await?;
    let mut uncovered = false;
    loop {
        let event = tokio::time::timeout(STEP, events.try_next()).await;
        match event.map_err(|_| broken("S5", "a step of the read takes too long"))?? {
            None => return require("S8", !uncovered, "no checkpoint covers that everything was shown"),
            Some(SourceEvent::Checkpoint(checkpoint)) => {
                out.checkpoints.push((out.rows.len(), checkpoint));
                uncovered = false;
            }
            Some(SourceEvent::Page(page)) => {
                require("S8", out.whole.is_none(), "rows come after it was said that everything was shown")?;
                take(&page, stream, out)?;
            }
            Some(SourceEvent::Whole { resumed, shifting: _ }) => {
                require("S8", stream.whole, "the stream says that everything was shown, and is not declared so")?;
                out.whole = Some(if resumed { Resumed::Yes } else { Resumed::No });
                uncovered = true;
            }
        }
    }
}

/// Checks that a record which was removed from the remote since `before` is missed: the next read says that it is gone, or shows
/// everything else.
///
/// # Errors
/// That it does not, or what the source says.
pub async fn check_deletion_arrives(
    source: &dyn Source,
    stream: &str,
    before: &Collected,
    key: &str,
) -> Result<Collected, Breach> {
    let stream = &declared(source, stream).await?;
    let after = collect(source, stream, before.last()).await?;
    let shown = after.rows.iter().find(|row| row.key.as_deref() == Some(key));
    let arrives = match shown {
        Some(row) => row.deleted,
        None => after.whole == Some(Resumed::No),
    };
    require("S8", arrives, "a record that was removed is not missed")?;
    let others = before.rows.iter().filter(|row| row.key.as_deref() != Some(key));
    let all_others = shown.is_some() || others.map(Row::identity).all(|other| after.identities().contains(&other));
    require("S8", all_others, "a read says that it showed everything, and misses records that are there")?;
    Ok(after)
}

/// Checks a source's stream against its contract, on a remote that does not change meanwhile, and gives what a full read gave.
/// `repeats` is how many rows a read from the last checkpoint may give again.
///
/// # Errors
/// The first rule that is broken.
pub async fn check_source_contract(source: &dyn Source, stream: &str, repeats: usize) -> Result<Collected, Breach> {
    source.check().await?;
    let stream = &declared(source, stream).await?;
    drop_early(source, stream).await?;
    let all = collect(source, stream, None).await?;
    let again = collect(source, stream, None).await?;
    require("S3", all.rows == again.rows, "a second read from the beginning gives other rows")?;
    let covered = all.checkpoints.last().map_or(0, |(rows, _)| *rows);
    require("S1", covered == all.rows.len(), "the last rows of a read are covered by no checkpoint")?;
    let tells = !stream.whole || !all.refused.is_empty() || all.whole == Some(Resumed::No);
    require("S8", tells, "a read from the beginning does not say that it showed everything")?;
    let known = all.identities();
    for (rows, checkpoint) in &all.checkpoints {
        let resumed = collect(source, stream, Some(stored(checkpoint)?)).await?;
        let whole = resumed.whole;
        let resumed = resumed.identities();
        let what = format!("a read from row {rows} of {} says that it showed everything, and did not", all.rows.len());
        require("S8", whole != Some(Resumed::No) || known.is_subset(&resumed), &what)?;
        let before: BTreeSet<String> = all.rows.iter().take(*rows).map(Row::identity).collect();
        let lost = known.iter().filter(|id| !before.contains(*id) && !resumed.contains(*id)).count();
        require("S2", lost == 0, &format!("resuming after row {rows} of {} loses {lost} rows", all.rows.len()))?;
    }
    if let Some(last) = all.last() {
        let rest = collect(source, stream, Some(last.clone())).await?;
        require("S2", rest.identities().is_subset(&known), "a read from the last checkpoint gives rows that did not exist")?;
        let what = format!("a read from the last checkpoint repeats {} rows, more than {repeats}", rest.rows.len());
        require("S2", rest.rows.len() <= repeats, &what)?;
        source.acknowledge(stream, &last).await?;
        source.acknowledge(stream, &last).await?;
    }
    Ok(all)
}

async fn declared(source: &dyn Source, name: &str) -> Result<StreamSpec, Breach> {
    let streams = source.streams().await?;
    let names: BTreeSet<&str> = streams.iter().map(|stream| stream.name.as_str()).collect();
    require("streams", names.len() == streams.len(), "two streams have one name")?;
    let Some(stream) = streams.into_iter().find(|stream| stream.name == name) else {
        return Err(broken("streams", &format!("there is no stream {name}")));
    };
    let fields: BTreeSet<&String> = stream.fields.iter().collect();
    for (ours, rule) in &stream.mapping.0 {
        for theirs in &rule.from {
            require("streams", fields.contains(theirs), &format!("{ours} is read from {theirs}, which is no field"))?;
        }
    }
    Ok(stream)
}

async fn drop_early(source: &dyn Source, stream: &StreamSpec) -> Result<(), Breach> {
    let mut events = source.read(stream, None).await?;
    let first = tokio::time::timeout(STEP, events.next()).await;
    first.map_err(|_| broken("S5", "the first step of a read takes too long"))?.transpose()?;
    drop(events);
    Ok(())
}

fn take(page: &Page, stream: &StreamSpec, out: &mut Collected) -> Result<(), Breach> {
    page.validate().map_err(|error| broken("S4", &error.to_string()))?;
    let schema = page.fields.schema();
    let mut columns: Vec<(&str, &StringArray)> = Vec::new();
    for (field, column) in schema.fields().iter().zip(page.fields.columns()) {
        let text = column.as_any().downcast_ref().ok_or_else(|| broken("S4", "a column is not text"))?;
        require("S4", stream.fields.contains(field.name()), &format!("column {} is not declared", field.name()))?;
        columns.push((field.name(), text));
    }
    if let Some(keys) = &page.keys {
        require("S4", keys.iter().all(|key| key.is_some_and(|key| !key.is_empty())), "a key is empty")?;
    }
    let cell = |column: &StringArray, row: usize| column.is_valid(row).then(|| column.value(row).to_owned());
    for row in 0..page.rows() {
        out.rows.push(Row {
            key: page.keys.as_ref().and_then(|keys| cell(keys, row)),
            fields: columns.iter().filter_map(|(name, column)| Some(((*name).to_owned(), cell(column, row)?))).collect(),
            raw: page.raw.as_ref().and_then(|raw| cell(raw, row)),
            deleted: page.deleted.as_ref().and_then(|deleted| deleted.get(row)).copied().unwrap_or_default(),
        });
    }
    out.refused.extend(page.refused.iter().map(|refused| refused.code));
    Ok(())
}

/// The checkpoint as it comes back from where it was stored.
fn stored(checkpoint: &Checkpoint) -> Result<Checkpoint, Breach> {
    let text = serde_json::to_string(checkpoint).map_err(|error| broken("S3", &error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| broken("S3", &error.to_string()))
}

fn require(rule: &'static str, holds: bool, what: &str) -> Result<(), Breach> {
    if holds { Ok(()) } else { Err(broken(rule, what)) }
}

fn broken(rule: &'static str, what: &str) -> Breach {
    Breach::Rule { rule, what: what.to_owned() }
}
