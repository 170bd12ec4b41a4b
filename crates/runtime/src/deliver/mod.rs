//! Deliver: prospects that the audience admits, into the sinks, once, with a reason for every field.
//!
//! Two halves with the outbox between them. [`plan`] decides, reading the remote but never writing it. The push takes what was
//! decided from the outbox: a row is marked as sent, durably, before the remote is called, so that a crash leaves it doubtful
//! rather than lost, and a doubtful row is looked up before it is made again.

mod budget;
mod drift;
mod plan;
mod policy;
mod push;
mod receipt;
mod saved;
mod undo;
mod values;

use std::collections::BTreeMap;

use headwater_sdk::Sink;
use serde::Serialize;

pub use drift::{Drift, DriftedField, DriftedRecord, drift};
pub(crate) use plan::DEFAULT_POLICY;
pub use plan::{Action, FieldChange, Kept, Plan, PlannedBudget, PlannedRow, plan};
pub use policy::stage_rank;
pub use saved::SavedPlan;
pub use undo::{Left, UndoReport, undo};
pub(crate) use values::cell;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::SinkEntry;

/// What became of a sink's rows in one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SinkCounts {
    /// Records made.
    pub created: u64,
    /// Records changed.
    pub updated: u64,
    /// Records that have everything already.
    pub unchanged: u64,
    /// Records the remote refused, now or before; they wait in quarantine.
    pub rejected: u64,
    /// Records a rule held back.
    pub held_back: u64,
    /// Records still to be pushed.
    pub pending: u64,
}

/// Checks a sink's map, policy and audience against both sides, without looking at anybody.
///
/// # Errors
/// The first thing that does not fit, with file and line.
pub async fn check(entry: &SinkEntry, sink: &dyn Sink) -> Result<()> {
    plan::field_map(entry, sink).await?;
    crate::query::check_audience(&entry.section.audience).await.map_err(|error| plan::audience_error(entry, error))
}

/// Plans one sink, queues the plan and pushes the queue, and counts in `counts` what became of the rows.
///
/// # Errors
/// When the sink, its settings or the store stop it; what was pushed is settled, what was not waits in the outbox.
pub async fn run(engine: &Engine, entry: &SinkEntry, run_id: &str, counts: &mut SinkCounts) -> Result<()> {
    let (sink, plan) = planned(engine, entry).await?;
    apply(engine, entry, (sink.as_ref(), &plan), run_id, counts).await
}

/// Applies a saved plan to all of its sinks, if the same would be planned now.
///
/// # Errors
/// `Moved` when it would not, before anything is written; else as [`run`].
pub async fn run_saved(
    engine: &Engine,
    saved: &SavedPlan,
    run_id: &str,
    counts: &mut BTreeMap<String, SinkCounts>,
) -> Result<()> {
    let (mut entries, mut plans) = (Vec::new(), Vec::new());
    for name in saved.sinks() {
        let entry = engine.project.sink(name).ok_or_else(|| Error::NotFound {
            what: format!("the plan is for a sink `{name}` that the project does not have"),
            hint: "make the plan again".to_owned(),
        })?;
        let (sink, plan) = planned(engine, entry).await?;
        entries.push((entry, sink));
        plans.push(plan);
    }
    saved.check(&plans)?;
    for ((entry, sink), plan) in entries.iter().zip(&plans) {
        engine.stop_if_told()?;
        let counts = counts.entry(entry.name.clone()).or_default();
        apply(engine, entry, (sink.as_ref(), plan), run_id, counts).await?;
    }
    Ok(())
}

async fn planned(engine: &Engine, entry: &SinkEntry) -> Result<(Box<dyn Sink>, Plan)> {
    let sink = engine.sink(entry)?;
    push::requeue_doubtful(engine, &entry.name).await?;
    let plan = engine.unless_told(plan::plan_with(engine, entry, sink.as_ref())).await??;
    Ok((sink, plan))
}

async fn apply(
    engine: &Engine,
    entry: &SinkEntry,
    (sink, plan): (&dyn Sink, &Plan),
    run_id: &str,
    counts: &mut SinkCounts,
) -> Result<()> {
    push::enqueue(engine, entry, plan, run_id).await?;
    *counts = plan.counts();
    push::drain(engine, entry, sink, plan, run_id, counts).await
}
