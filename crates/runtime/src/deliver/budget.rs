//! What of a day's calls a sink has left, where the project bounds them.
//!
//! The sink knows how many calls of the day were made with its credential, by whichever process and project. Where it does not, as on
//! a machine without a folder for that, the ledger knows what the runs before this one spent. Attempts that failed count, and a call
//! as so many as the remote counts it. A day is one of UTC.

use headwater_sdk::{Sink, Writes};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::SinkEntry;

/// What stands before the sink's name in the key of the cursor.
const CURSOR_PREFIX: &str = "calls";

/// A sink's calls of one day, those for its companies, tasks and lists among them.
pub(super) struct Budget<'a> {
    engine: &'a Engine,
    sink: &'a dyn Sink,
    key: String,
    per_day: u64,
    /// Whether the rows are tied to other records.
    ties: bool,
    sequence: Option<i64>,
    spent: Spent,
    /// How many of the sink's calls are in `spent`.
    counted: u64,
}

/// As the ledger keeps it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spent {
    day: String,
    calls: u64,
}

impl<'a> Budget<'a> {
    /// The budget that the project gives a sink; nothing where it gives none.
    ///
    /// # Errors
    /// When the sink has no calls to be counted, with the line.
    pub(super) async fn of(engine: &'a Engine, entry: &SinkEntry, sink: &'a dyn Sink) -> Result<Option<Self>> {
        let Some(budget) = entry.section.budget else { return Ok(None) };
        if sink.calls_made().is_none() {
            let complaint = entry.error("budget", "this sink makes no calls that a day's budget could count");
            return Err(complaint.help("take `budget` out").into());
        }
        let key = format!("{CURSOR_PREFIX}/{}", entry.sink_name());
        let cursor = engine.store.cursor(&key).await?;
        let sequence = cursor.as_ref().map(|cursor| cursor.sequence);
        let spent = cursor.and_then(|cursor| serde_json::from_value(cursor.value).ok()).unwrap_or_default();
        let per_day = budget.calls_per_day.get();
        let ties = entry.section.companies.is_some() || sink.person_field().is_some();
        Ok(Some(Self { engine, sink, key, per_day, ties, sequence, spent, counted: 0 }))
    }

    /// How many calls a day has.
    pub(super) fn per_day(&self) -> u64 {
        self.per_day
    }

    /// How many of today's are left.
    pub(super) fn left(&self) -> u64 {
        self.per_day.saturating_sub(self.now().calls)
    }

    /// What it costs to write so much, and to make so many records more.
    pub(super) fn cost_to_write(&self, writes: Writes, more: usize) -> u64 {
        let ties = writes.ties + if self.ties { more } else { 0 };
        self.sink.cost_to_write(Writes { creates: writes.creates + more, ties, ..writes }) as u64
    }

    /// The most rows up to `most` that can be written with what is left.
    pub(super) fn rows(&self, most: usize) -> usize {
        let left = usize::try_from(self.left()).unwrap_or(usize::MAX);
        let cost = |rows| {
            let ties = if self.ties { rows } else { 0 };
            let makes = Writes { creates: rows, ties, ..Writes::default() };
            let changes = Writes { updates: rows, ties, ..Writes::default() };
            self.sink.cost_to_write(makes).max(self.sink.cost_to_write(changes))
        };
        let mut rows = most;
        while rows > 0 && cost(rows) > left {
            rows /= 2;
        }
        rows
    }

    /// Keeps what was spent.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub(super) async fn note(&mut self, run_id: &str) -> Result<()> {
        let made = self.sink.spent().unwrap_or_default();
        if made == self.counted {
            return Ok(());
        }
        let spent = self.now();
        let value = serde_json::to_value(&spent).map_err(|error| Error::Internal(error.to_string()))?;
        let mut commit = self.engine.store.commit(run_id, self.engine.clock().now_us());
        commit.advance(&self.key, self.sequence, &value);
        commit.execute().await?;
        (self.spent, self.counted) = (spent, made);
        self.sequence = Some(self.sequence.unwrap_or_default() + 1);
        Ok(())
    }

    /// What is spent of today, with the calls that are not kept yet.
    fn now(&self) -> Spent {
        let day = self.engine.clock().now().strftime("%F").to_string();
        let kept = if day == self.spent.day { self.spent.calls } else { 0 };
        let fresh = self.sink.spent().unwrap_or_default().saturating_sub(self.counted);
        let ours = kept.saturating_add(fresh);
        Spent { day, calls: self.sink.calls_today().map_or(ours, |all| all.max(ours)) }
    }
}
