//! What a new measure changes of credits that were given before, and why.
//!
//! The credits of a conversion under a model of one journey are compared row by row. A model of all journeys learns anew from every
//! conversion, so that each of its versions names the journeys it learned from; of it the totals of the channels over the conversions of
//! the last measure are compared. A credit that changes gets a new revision, and nothing changes without a row that says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use hashbrown::{HashMap, HashSet};
use headwater_model::tables;
use headwater_store::{Cursor, Snapshot, StagedFiles};
use serde::Serialize;
use serde_json::Value;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::credits::{Conversion, Part};
use crate::cells::each;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// A total that moves by less is the dust of adding.
const DUST: f64 = 0.005;

/// Why a credit changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// The model is another one, or has other parameters.
    Model,
    /// The project's settings changed.
    Settings,
    /// The source says something else of the conversion: its amount, its time.
    Conversion,
    /// It belongs to somebody else now, or contacts do.
    Identity,
    /// A contact came to be known after the conversion was credited.
    LateData,
    /// The stages of the person are others, by which the model pays.
    Milestones,
    /// The model learned from other journeys.
    Journeys,
    /// The conversion is gone, or the model does not look at it any more.
    Gone,
}

impl Cause {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Settings => "settings",
            Self::Conversion => "conversion",
            Self::Identity => "identity",
            Self::LateData => "late_data",
            Self::Milestones => "milestones",
            Self::Journeys => "journeys",
            Self::Gone => "gone",
        }
    }
}

/// The credits of one conversion under one model, as the last measure left them.
#[derive(Debug, Clone, Copy)]
struct Old {
    digest: u64,
    revision: i64,
    seen: bool,
}

/// A change as it is noted down.
#[derive(Debug)]
struct Change {
    model: &'static str,
    to_version: String,
    conversion: Option<String>,
    channel: Option<String>,
    revision: Option<i64>,
    before: String,
    after: String,
    from_version: String,
    cause: Cause,
}

/// One part of a credit, as it is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Told {
    channel: String,
    touch_id: Option<String>,
    share: f64,
}

/// A changed credit before its past is read.
struct Pending<'a> {
    version: String,
    revision: i64,
    conversion: &'a Conversion<'a>,
    parts: Vec<Told>,
}

/// The past credits, and what differs from them.
pub(super) struct Changes<'a> {
    old: HashMap<u128, Old>,
    pending: HashMap<u128, Pending<'a>>,
    /// By model and channel: the totals over conversions of the last measure, now.
    totals: BTreeMap<(&'static str, String), f64>,
    versions: BTreeMap<&'static str, String>,
    other_settings: bool,
    /// The contacts that came in since the last measure.
    arrived: HashSet<u64>,
}

impl<'a> Changes<'a> {
    /// Reads what the last measure left. Without one, nothing changes.
    pub(super) fn load(snapshot: &Snapshot, last: Option<&Cursor>, state: &Value) -> Result<Self> {
        let mut changes = Self {
            old: HashMap::new(),
            pending: HashMap::new(),
            totals: BTreeMap::new(),
            versions: BTreeMap::new(),
            other_settings: false,
            arrived: HashSet::new(),
        };
        let Some(last) = last else { return Ok(changes) };
        let settings = ["lookback_days", "currency", "rates"];
        let said = |value: &Value, key: &str| value.get(key).filter(|said| !said.is_null()).cloned();
        changes.other_settings = settings.iter().any(|key| said(&last.value, key) != said(state, key));
        let since = last.value.pointer("/tables/touch").and_then(Value::as_i64).unwrap_or_default();
        for batch in snapshot.read_since(&tables::TOUCH, &["touch_id"], since)? {
            for row in each(&[batch?]) {
                changes.arrived.insert(xxh3_64(row.text("touch_id")?.unwrap_or_default().as_bytes()));
            }
        }
        let columns = ["model", "conversion_id", "touch_id", "channel", "share", "value", "revision"];
        for batch in snapshot.read(&tables::CREDIT, &columns, None)? {
            for row in each(&[batch?]) {
                let key = key(row.text("model")?.unwrap_or_default(), row.text("conversion_id")?.unwrap_or_default());
                let part = digest(
                    row.text("touch_id")?,
                    row.text("channel")?.unwrap_or_default(),
                    row.float("share")?.unwrap_or_default(),
                    row.amount("value")?,
                );
                let revision = row.integer("revision")?.unwrap_or(1);
                let old = changes.old.entry(key).or_insert(Old { digest: 0, revision, seen: false });
                old.digest = old.digest.wrapping_add(part);
            }
        }
        Ok(changes)
    }

    /// The revision of a conversion's credit under a model of one journey, which is one more where it is another credit.
    pub(super) fn revision(&mut self, model: (&'static str, &str), conversion: &'a Conversion<'a>, parts: &[Part<'_>]) -> i64 {
        let key = key(model.0, conversion.id);
        let Some(old) = self.old.get_mut(&key) else { return 1 };
        old.seen = true;
        if digest_of(parts) == old.digest {
            return old.revision;
        }
        let revision = old.revision + 1;
        let parts = parts.iter().map(|part| Told::of(part.channel(), part.touch_id(), part.share)).collect();
        self.pending.insert(key, Pending { version: model.1.to_owned(), revision, conversion, parts });
        revision
    }

    /// Notes what a conversion's credit adds to the totals of a model of all journeys, whose version stands for its revision.
    pub(super) fn total(&mut self, model: (&'static str, &str), conversion: &Conversion<'_>, parts: &[Part<'_>]) {
        self.versions.entry(model.0).or_insert_with(|| model.1.to_owned());
        let Some(old) = self.old.get_mut(&key(model.0, conversion.id)) else { return };
        old.seen = true;
        for part in parts.iter().filter(|_| !conversion.reverses()) {
            *self.totals.entry((model.0, part.channel().to_owned())).or_default() += part.share;
        }
    }

    /// Reads the past of what changed; how many changes there are. `models` are those computed now, with whether each is one of all
    /// journeys: what another left is not changed but not asked for any more.
    pub(super) fn write(
        self,
        engine: &Engine,
        snapshot: &Snapshot,
        models: &[(&'static str, bool)],
        (run_id, now_us): (&str, i64),
    ) -> Result<(Option<StagedFiles>, u64)> {
        let changes = self.gather(snapshot, models)?;
        if changes.is_empty() {
            return Ok((None, 0));
        }
        let text = |of: fn(&Change) -> Option<&str>| -> ArrayRef { Arc::new(changes.iter().map(of).collect::<StringArray>()) };
        let columns: Vec<ArrayRef> = vec![
            text(|change| Some(change.model)),
            text(|change| Some(&change.from_version)),
            text(|change| Some(&change.to_version)),
            text(|change| change.conversion.as_deref()),
            text(|change| change.channel.as_deref()),
            Arc::new(changes.iter().map(|change| change.revision).collect::<Int64Array>()),
            text(|change| Some(&change.before)),
            text(|change| Some(&change.after)),
            text(|change| Some(change.cause.as_str())),
            Arc::new(TimestampMicrosecondArray::from_value(now_us, changes.len()).with_timezone("UTC")),
            Arc::new(StringArray::from_iter_values(changes.iter().map(|_| run_id))),
        ];
        let mut writer = engine.store.writer(&tables::CREDIT_CHANGE, None)?;
        writer.write(&RecordBatch::try_new(tables::CREDIT_CHANGE.schema(), columns)?)?;
        Ok((Some(writer.finish()?), changes.len() as u64))
    }

    fn gather(self, snapshot: &Snapshot, models: &[(&'static str, bool)]) -> Result<Vec<Change>> {
        let gone = self.old.values().any(|old| !old.seen);
        if self.pending.is_empty() && self.totals.is_empty() && !gone {
            return Ok(Vec::new());
        }
        let mut past: BTreeMap<(&'static str, String), Past> = BTreeMap::new();
        let mut totals: BTreeMap<(&'static str, String), f64> = BTreeMap::new();
        let mut versions: BTreeMap<&'static str, String> = BTreeMap::new();
        let columns = [
            "model",
            "model_version",
            "conversion_id",
            "prospect_id",
            "touch_id",
            "channel",
            "share",
            "value",
            "currency",
            "occurred_at",
            "kind",
        ];
        for batch in snapshot.read(&tables::CREDIT, &columns, None)? {
            for row in each(&[batch?]) {
                let name = row.text("model")?;
                let Some(&(model, whole)) = models.iter().find(|(model, _)| Some(*model) == name) else { continue };
                let id = row.text("conversion_id")?.unwrap_or_default();
                let key = key(model, id);
                let (channel, share) = (row.word("channel")?, row.float("share")?.unwrap_or_default());
                let seen = self.old.get(&key).is_some_and(|old| old.seen);
                if whole {
                    versions.entry(model).or_insert(row.word("model_version")?);
                    if seen && !super::credits::is_refund(row.text("kind")?.unwrap_or_default()) {
                        *totals.entry((model, channel)).or_default() += share;
                    }
                } else if !seen || self.pending.contains_key(&key) {
                    let past = past.entry((model, id.to_owned())).or_default();
                    past.version = row.word("model_version")?;
                    past.prospect = row.owned("prospect_id")?;
                    past.currency = row.owned("currency")?;
                    past.at_us = row.micros("occurred_at")?.unwrap_or_default();
                    past.amount = match (past.amount, row.amount("value")?) {
                        (Some(sum), Some(part)) => Some(sum + part),
                        (sum, part) => sum.or(part),
                    };
                    past.parts.push(Told { channel, touch_id: row.owned("touch_id")?, share });
                }
            }
        }
        let mut changes = Vec::new();
        for ((model, id), past) in past {
            let pending = self.pending.get(&key(model, &id));
            changes.push(Change {
                model,
                from_version: past.version.clone(),
                to_version: pending.map_or_else(|| past.version.clone(), |pending| pending.version.clone()),
                conversion: Some(id),
                channel: None,
                revision: pending.map(|pending| pending.revision),
                before: told(&past.parts)?,
                after: told(pending.map_or(&[], |pending| &pending.parts))?,
                cause: pending.map_or(Cause::Gone, |pending| self.cause(&past, pending)),
            });
        }
        let channels: BTreeSet<&(&'static str, String)> = totals.keys().chain(self.totals.keys()).collect();
        for key in channels {
            let (before, after) = (totals.get(key).copied().unwrap_or(0.0), self.totals.get(key).copied().unwrap_or(0.0));
            if (before - after).abs() < DUST {
                continue;
            }
            let version = |of: &BTreeMap<&'static str, String>| of.get(key.0).cloned().unwrap_or_default();
            let (from_version, to_version) = (version(&versions), version(&self.versions));
            let same_model = model_of(&from_version) == model_of(&to_version);
            changes.push(Change {
                model: key.0,
                conversion: None,
                channel: Some(key.1.clone()),
                revision: None,
                before: format!("{before:.4}"),
                after: format!("{after:.4}"),
                cause: if !same_model {
                    Cause::Model
                } else if self.other_settings {
                    Cause::Settings
                } else {
                    Cause::Journeys
                },
                from_version,
                to_version,
            });
        }
        Ok(changes)
    }

    /// The first of the causes that applies.
    fn cause(&self, past: &Past, pending: &Pending<'_>) -> Cause {
        let conversion = pending.conversion;
        let before: HashSet<&str> = past.parts.iter().filter_map(|part| part.touch_id.as_deref()).collect();
        let after: HashSet<&str> = pending.parts.iter().filter_map(|part| part.touch_id.as_deref()).collect();
        if past.version != pending.version {
            Cause::Model
        } else if self.other_settings {
            Cause::Settings
        } else if (past.amount, past.currency.as_deref(), past.at_us)
            != (conversion.amount, conversion.currency, conversion.at_us)
        {
            Cause::Conversion
        } else if past.prospect.as_deref() != conversion.prospect {
            Cause::Identity
        } else if after.difference(&before).any(|touch| self.arrived.contains(&xxh3_64(touch.as_bytes()))) {
            Cause::LateData
        } else if before != after {
            Cause::Identity
        } else {
            Cause::Milestones
        }
    }
}

/// A conversion's credit of the past.
#[derive(Debug, Default)]
struct Past {
    version: String,
    prospect: Option<String>,
    amount: Option<i128>,
    currency: Option<String>,
    at_us: i64,
    parts: Vec<Told>,
}

impl Told {
    fn of(channel: &str, touch_id: Option<&str>, share: f64) -> Self {
        Self { channel: channel.to_owned(), touch_id: touch_id.map(str::to_owned), share }
    }
}

/// What of a version names the model and its parameters, and not the journeys that it learned from.
pub(super) const LEARNED_FROM: &str = " journeys=";

fn model_of(version: &str) -> &str {
    version.split_once(LEARNED_FROM).map_or(version, |(model, _)| model)
}

fn told(parts: &[Told]) -> Result<String> {
    serde_json::to_string(parts).map_err(|error| Error::Internal(error.to_string()))
}

fn key(model: &str, conversion: &str) -> u128 {
    xxh3_128(format!("{model}\0{conversion}").as_bytes())
}

/// One row of a credit; the rows of a credit are summed, so that their order does not count.
fn digest(touch: Option<&str>, channel: &str, share: f64, value: Option<i128>) -> u64 {
    // A share is compared to the ninth decimal: beyond, another order of adding shows.
    xxh3_64(format!("{}\0{channel}\0{share:.9}\0{value:?}", touch.unwrap_or_default()).as_bytes())
}

fn digest_of(parts: &[Part<'_>]) -> u64 {
    parts.iter().map(|part| digest(part.touch_id(), part.channel(), part.share, part.value)).fold(0, u64::wrapping_add)
}
