//! Deliver: prospects that the audience admits, into the sinks, once, with a reason for every field.
//!
//! Two halves with the outbox between them. [`plans`] decides, reading the remote but never writing it. The push takes what was
//! decided from the outbox: a row is marked as sent, durably, before the remote is called, so that a crash leaves it doubtful
//! rather than lost, and a doubtful row is looked up before it is made again.

mod budget;
mod companies;
mod drift;
mod owners;
mod plan;
mod policy;
mod push;
mod receipt;
mod reference;
mod saved;
mod undo;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use headwater_sdk::{Companion, Sink};
use serde::Serialize;

pub use drift::{Drift, DriftedField, DriftedRecord, drift};
pub(crate) use plan::DEFAULT_POLICY;
pub use plan::{Action, FieldChange, Kept, Plan, PlannedBudget, PlannedRow};
pub use policy::stage_rank;
pub use saved::SavedPlan;
pub use undo::{Left, UndoReport, undo};
pub(crate) use values::cell;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::{SinkEntry, sink_of_part};
use reference::References;

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

/// One part of a delivery: companies, people, tasks, places in a list.
struct Part {
    entry: SinkEntry,
    sink: Box<dyn Sink>,
    references: Option<References>,
    plan: Plan,
}

/// Plans a delivery to one sink: its parts in the order in which they would be written. The remote is read, never written.
///
/// # Errors
/// When the sink's settings are wrong or it cannot be read.
pub async fn plans(engine: &Engine, entry: &SinkEntry) -> Result<Vec<Plan>> {
    Ok(planned(engine, entry).await?.into_iter().map(|part| part.plan).collect())
}

/// Checks a sink's map, policy and audience against both sides, without looking at anybody.
///
/// # Errors
/// The first thing that does not fit, with file and line.
pub async fn check(engine: &Engine, entry: &SinkEntry) -> Result<()> {
    for part in entry.parts() {
        let sink = engine.sink(&part)?;
        plan::field_map(&part, sink.as_ref()).await?;
        ties(&part, sink.as_ref())?;
        let audience = crate::query::check_audience(&part.section.audience).await;
        audience.map_err(|error| plan::audience_error(&part, error))?;
    }
    Ok(())
}

/// Plans one sink, queues the plan and pushes the queue, and counts in `counts` what became of each part's rows.
///
/// # Errors
/// When the sink, its settings or the store stop it; what was pushed is settled, what was not waits in the outbox.
pub async fn run(engine: &Engine, entry: &SinkEntry, run_id: &str, counts: &mut BTreeMap<String, SinkCounts>) -> Result<()> {
    for part in entry.parts() {
        push::requeue_doubtful(engine, &part.name).await?;
    }
    let parts = planned(engine, entry).await?;
    apply(engine, parts, run_id, counts).await
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
    let names: BTreeSet<&str> = saved.sinks().map(sink_of_part).collect();
    let mut sinks = Vec::with_capacity(names.len());
    for name in names {
        let entry = engine.project.sink(name).ok_or_else(|| Error::NotFound {
            what: format!("the plan is for a sink `{name}` that the project does not have"),
            hint: "make the plan again".to_owned(),
        })?;
        for part in entry.parts() {
            push::requeue_doubtful(engine, &part.name).await?;
        }
        sinks.push(planned(engine, entry).await?);
    }
    saved.check(sinks.iter().flatten().map(|part| &part.plan))?;
    for parts in sinks {
        apply(engine, parts, run_id, counts).await?;
    }
    Ok(())
}

/// Lets what a run pushed and an undo took back be planned again.
///
/// # Errors
/// When there is nothing of that run that was taken back, or the store fails.
pub(crate) async fn push_again(engine: &Engine, run_id: &str) -> Result<()> {
    if engine.store.outbox_offer_again(run_id, engine.clock().now_us()).await? > 0 {
        return Ok(());
    }
    Err(Error::NotFound {
        what: format!("nothing that run `{run_id}` pushed was taken back, or it was offered again already"),
        hint: "name the run that was undone, not the undo; `headwater runs` lists them".to_owned(),
    })
}

async fn planned(engine: &Engine, entry: &SinkEntry) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    for entry in entry.parts() {
        let sink = engine.sink(&entry)?;
        ties(&entry, sink.as_ref())?;
        let before = |companion: Option<&Companion>| parts.iter().find(|part| part.entry.companion.as_ref() == companion);
        let references = match (&entry.companion, before(Some(&Companion::Companies)), before(None)) {
            (None, Some(companies), _) => References::to_companies(sink.as_ref(), &companies.plan),
            (Some(Companion::Tasks | Companion::List { .. }), _, Some(people)) => {
                References::to_people(engine, sink.as_ref(), &people.plan).await?
            }
            (None, None, _) | (Some(_), _, _) => None,
        };
        let plan = plan::plan_with(engine, &entry, sink.as_ref(), references.as_ref());
        let plan = engine.unless_told(plan).await??;
        parts.push(Part { entry, sink, references, plan });
    }
    Ok(parts)
}

/// Checks that the records of a part can name those that they belong to.
fn ties(entry: &SinkEntry, sink: &dyn Sink) -> Result<()> {
    let can = match &entry.companion {
        None => entry.section.companies.is_none() || sink.company_field().is_some(),
        Some(Companion::Companies) => true,
        Some(Companion::Tasks | Companion::List { .. }) => sink.person_field().is_some(),
    };
    if can {
        return Ok(());
    }
    let message = format!("the connector `{}` does not tie people to them", entry.section.connector);
    let key = if entry.companion.is_none() { "companies" } else { "" };
    Err(entry.error(key, message).help("take this section out").into())
}

async fn apply(engine: &Engine, parts: Vec<Part>, run_id: &str, counts: &mut BTreeMap<String, SinkCounts>) -> Result<()> {
    for Part { entry, sink, references, mut plan } in parts {
        engine.stop_if_told()?;
        if let Some(references) = &references {
            reference::settle(engine, &entry, references, &mut plan).await?;
        }
        push::enqueue(engine, &entry, &plan, run_id).await?;
        let counts = counts.entry(entry.name.clone()).or_default();
        *counts = plan.counts();
        push::drain(engine, &entry, sink.as_ref(), &plan, run_id, counts).await?;
    }
    Ok(())
}
