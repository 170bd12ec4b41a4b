//! Measure: which touch earned which conversion, what each source is worth, and who is likely to convert.
//!
//! All answers are computed anew from one snapshot and replace what stood there, with the cursor in the same transaction. A
//! credit names its model's version; where it differs from what was given before, a row in `credit_change` says from what to what and
//! why. Nothing new in the lake is nothing to do.

mod changes;
mod cohort;
mod companies;
mod credits;
mod customers;
mod drift;
mod exchange;
mod mail;
mod people;
mod propensity;
mod sources;
mod spend;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use headwater_model::tables::{self, Table};
use headwater_store::Snapshot;
use serde::Serialize;
use serde_json::{Value, json};
use tracing::info;

pub(crate) use credits::{is_refund, models};
pub(crate) use customers::{HORIZON, activity, orders, owners};
pub(crate) use exchange::Exchange;
pub(crate) use people::{Known, known};
pub(crate) use propensity::HORIZON_DAYS;
pub(crate) use sources::{RUNS_READ, counts as source_counts, settings as source_settings};
pub(crate) use spend::{Spent, spent};

use crate::engine::Engine;
use crate::error::Result;
use crate::ingest::Buckets;

/// The cursor of this stage.
const CURSOR: &str = "measure";
/// What measure reads; a change of any makes it run again.
const INPUTS: [&Table; 8] = [
    &tables::ENGAGEMENT,
    &tables::LEAD,
    &tables::TOUCH,
    &tables::CONVERSION,
    &tables::COST,
    &tables::QUARANTINE,
    &tables::PROSPECT,
    &tables::FACT_LINK,
];

/// What measure did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MeasureCounts {
    /// Conversions looked at.
    pub conversions: u64,
    /// Conversions that no touch of a known person explains.
    pub unattributed: u64,
    /// Credits written, over all models.
    pub credits: u64,
    /// Sources with a scorecard.
    pub sources: u64,
    /// People with a score of how likely they are to convert; none where there is too little to learn from.
    pub scored: u64,
    /// Credits of earlier conversions that are others now; `credit_change` says which and why.
    pub changed: u64,
    /// Figures of sources that have drifted.
    pub alerts: u64,
    /// Whether there was anything to do.
    pub worked: bool,
}

/// Computes credits and scorecards. `taken` is what became of the rows of this run so far: of suppressed people the lake keeps nothing
/// that could be counted.
///
/// # Errors
/// When the lake cannot be read or written, or the project names a model there is not.
pub async fn run(engine: &Engine, run_id: &str, taken: &BTreeMap<String, Buckets>, force: bool) -> Result<MeasureCounts> {
    let models = models(engine)?;
    let snapshot = engine.store.snapshot().await?;
    let now = engine.clock().now_us();
    let exchange = Exchange::load(engine)?;
    let state = state_of(engine, &snapshot, &exchange, now);
    let cursor = engine.store.cursor(CURSOR).await?;
    let suppressed = taken.values().any(|buckets| buckets.suppressed > 0);
    if !force && !suppressed && cursor.as_ref().is_some_and(|cursor| cursor.value == state) {
        return Ok(MeasureCounts::default());
    }
    engine.stop_if_told()?;
    engine.progress.tell("measure", 0, None);
    let credited = credits::write(engine, &snapshot, (&models, &exchange), (cursor.as_ref(), &state), (run_id, now))?;
    let spent = spend::divide(engine, &snapshot, &exchange, now)?;
    engine.stop_if_told()?;
    let mut runs = engine.store.list_runs(RUNS_READ).await?;
    if let Some(present) = runs.iter_mut().find(|run| run.run_id == run_id) {
        // Its own counts are noted only when it ends.
        present.counts = json!({ "sources": taken });
    }
    let (cards, cohorts, count) = sources::write(engine, &snapshot, (&runs, &spent, &exchange), now)?;
    let drift = drift::compare(engine, &snapshot, now)?;
    engine.stop_if_told()?;
    let scores = propensity::write(engine, &snapshot, now)?;
    let customers = customers::write(engine, &snapshot, &exchange, now)?;
    let companies = companies::write(engine, &snapshot, now)?;
    engine.stop_if_told()?;
    let mut commit = engine.store.commit(run_id, now);
    commit.replace(&snapshot, &tables::CREDIT, vec![credited.files]);
    if let Some(changes) = credited.changes {
        commit.append(changes);
    }
    commit.replace(&snapshot, &tables::SPEND, vec![spend::write(engine, &spent)?]);
    commit.replace(&snapshot, &tables::SCORECARD, vec![cards]);
    commit.replace(&snapshot, &tables::SCORECARD_COHORT, vec![cohorts]);
    commit.replace(&snapshot, &tables::DRIFT, vec![drift::write(engine, &drift, now)?]);
    commit.replace(&snapshot, &tables::PROPENSITY, vec![scores.files]);
    commit.replace(&snapshot, &tables::CUSTOMER, vec![customers]);
    commit.replace(&snapshot, &tables::COMPANY, vec![companies]);
    commit.replace(&snapshot, &tables::PROPENSITY_MODEL, vec![scores.model]);
    commit.advance(CURSOR, cursor.map(|cursor| cursor.sequence), &state);
    commit.execute().await?;
    info!(conversions = credited.conversions, credits = credited.rows, sources = count, "measured");
    Ok(MeasureCounts {
        conversions: credited.conversions,
        unattributed: credited.unattributed,
        credits: credited.rows,
        sources: count,
        scored: scores.rows,
        changed: credited.changed,
        alerts: drift.alerts.len() as u64,
        worked: true,
    })
}

/// Everything on which the answer depends. Ages grow by the day, so a day is part of it.
fn state_of(engine: &Engine, snapshot: &Snapshot, exchange: &Exchange, now_us: i64) -> Value {
    const DAY_US: i64 = 86_400_000_000;
    let versions: BTreeMap<&str, i64> = INPUTS.iter().map(|table| (table.name, snapshot.version(table))).collect();
    let attribution = &engine.project.file.attribution;
    let measures = &engine.project.file.measures;
    json!({
        "tables": versions, "day": now_us / DAY_US,
        "models": attribution.models, "lookback_days": attribution.lookback_days,
        "required": measures.required_fields, "maturity_days": measures.maturity_days, "cohort": measures.cohort,
        "currency": exchange.target(), "rates": exchange.digest(), "cost_rules": measures.cost_rules, "drift": measures.drift,
    })
}
