//! Deliver: prospects that the audience admits, into the sinks, once, with a reason for every field.
//!
//! Two halves with the outbox between them. [`plans`] decides, reading the remote but never writing it. The push takes what was
//! decided from the outbox: a row is marked as sent, durably, before the remote is called, so that a crash leaves it doubtful
//! rather than lost, and a doubtful row is looked up before it is made again.

mod budget;
mod companies;
mod consent;
mod drift;
mod leave;
mod look;
mod map;
mod moved;
mod owners;
mod payload;
mod plan;
mod planner;
mod policy;
mod purse;
mod push;
mod receipt;
mod reference;
mod saved;
mod spool;
mod taker;
mod undo;
mod values;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use headwater_sdk::{Companion, ErrorKind, Sink};
use serde::Serialize;

pub(crate) use companies::Voices;
pub use drift::{Drift, DriftedField, DriftedRecord, drift};
pub(crate) use map::DEFAULT_POLICY;
pub use plan::{Action, FieldChange, Keep, Kept, Plan, PlannedBudget, PlannedRow};
pub use policy::stage_rank;
pub(crate) use push::quarantine_id;
pub use saved::{PlanFile, SavedPlan};
pub use taker::{Nobody, Taker};
pub use undo::{Left, UndoReport, undo};
pub(crate) use values::cell;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::{SinkEntry, sink_of_part};
use moved::Comparison;
use planner::Part;
use push::Queue;
use reference::{References, Settling};
use spool::Spool;

/// The longest namespace of ids: with an id of ours it fits into what CRMs take for one.
const MAX_NAMESPACE: usize = 24;

/// What became of a sink's rows in one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SinkCounts {
    /// Records made.
    pub created: u64,
    /// Records changed.
    pub updated: u64,
    /// Places in lists that were taken back.
    pub removed: u64,
    /// Records that have everything already.
    pub unchanged: u64,
    /// Records the remote refused, now or before; they wait in quarantine.
    pub rejected: u64,
    /// Records a rule held back.
    pub held_back: u64,
    /// Records still to be pushed.
    pub pending: u64,
}

/// Plans deliveries to sinks: the parts of each in the order in which they would be written. The remote is read, never written. The
/// plans hold as many rows as `keep` says; all go by `taker`.
///
/// # Errors
/// When a sink's settings are wrong, before anything is planned; when one cannot be read.
pub async fn plans(engine: &Engine, entries: &[&SinkEntry], keep: Keep, taker: &mut dyn Taker) -> Result<Vec<Plan>> {
    let planned = async {
        let mut sinks = Vec::with_capacity(entries.len());
        for entry in entries {
            sinks.push(parts(engine, entry).await?);
        }
        let mut plans = Vec::new();
        for parts in &sinks {
            plans.extend(planned(engine, parts, keep, taker).await?);
        }
        Ok(plans)
    };
    planned.await.map_err(|error| engine.naming_credentials(error))
}

/// Checks a sink's map, policy and audience against both sides, without looking at anybody and without writing anything. By part, the
/// fields that a sync makes in the remote before it writes the first row.
///
/// # Errors
/// The first thing that does not fit, with file and line.
pub async fn check(engine: &Engine, entry: &SinkEntry) -> Result<Vec<(String, Vec<String>)>> {
    let parts = parts(engine, entry).await.map_err(|error| engine.naming_credentials(error))?;
    Ok(parts.into_iter().map(|part| (part.entry.name, part.to_make)).filter(|(_, to_make)| !to_make.is_empty()).collect())
}

/// Plans one sink into the outbox, pushes what is there, and counts in `counts` what became of each part's rows. Parts follow one
/// another, so that people are planned when their companies are made.
///
/// # Errors
/// When the sink, its settings or the store stop it; what was pushed is settled, what was not waits in the outbox.
pub async fn run(engine: &Engine, entry: &SinkEntry, run_id: &str, counts: &mut BTreeMap<String, SinkCounts>) -> Result<()> {
    // What is wrong with the settings of any part is said before the first is written to.
    let parts = parts(engine, entry).await?;
    prepare(&parts).await?;
    for part in &parts {
        push::requeue_doubtful(engine, &part.entry.name).await?;
        push::offer_refused(engine, &part.entry, run_id).await?;
    }
    let mut before: Vec<(&Part, Plan)> = Vec::new();
    for part in &parts {
        engine.stop_if_told()?;
        let counts = counts.entry(part.entry.name.clone()).or_default();
        let references = references(engine, part, &before).await?;
        let mut queue = Queue::new(engine, &part.entry, run_id).await?;
        let plan = Box::pin(planner::plan_with(engine, part, references.as_ref(), Keep::First(0), &mut queue));
        let plan = engine.unless_told(plan).await.flatten();
        let mut plan = match plan {
            Ok(plan) => plan,
            Err(error) => {
                // What was queued before it broke off goes out with the next run.
                counts.pending = engine.store.outbox_waiting(&part.entry.name).await?.len() as u64;
                return Err(error);
            }
        };
        *counts = plan.counts();
        queue.stop_unplanned(counts).await?;
        push::drain(engine, part, &plan, run_id, counts).await?;
        reference::made(engine, &mut plan).await?;
        before.push((part, plan));
    }
    Ok(())
}

/// Applies a saved plan to all of its sinks, if the same would be planned now. What it would write is put aside on disk meanwhile.
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
    let folder = engine.store.ledger().parent().unwrap_or(Path::new("."));
    let mut comparison = Comparison::new(saved, Spool::new(folder)?);
    for name in names {
        let entry = engine.project.sink(name).ok_or_else(|| Error::NotFound {
            what: format!("the plan is for a sink `{name}` that the project does not have"),
            hint: "make the plan again".to_owned(),
        })?;
        let parts = parts(engine, entry).await?;
        for part in &parts {
            push::requeue_doubtful(engine, &part.entry.name).await?;
        }
        let plans = planned(engine, &parts, Keep::First(0), &mut comparison).await?;
        sinks.push((parts, plans));
    }
    let mut spool = comparison.same()?;
    for (parts, _) in &sinks {
        prepare(parts).await?;
    }
    for (parts, plans) in sinks {
        apply(engine, &parts, plans, &mut spool, (run_id, &mut *counts)).await?;
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

/// The parts of a sink, each checked against both sides.
async fn parts(engine: &Engine, entry: &SinkEntry) -> Result<Vec<Part>> {
    let namespace = &entry.section.id_namespace;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if namespace.len() > MAX_NAMESPACE || !namespace.bytes().all(plain) {
        let complaint = entry.error("id_namespace", format!("`{namespace}` cannot stand before an id"));
        return Err(complaint.help("use lower-case letters, digits, `_` and `-`, at most 24 of them").into());
    }
    let entries = entry.parts();
    let goes_with_people = |entry: &SinkEntry| matches!(entry.companion, Some(Companion::Tasks | Companion::List { .. }));
    let people_are_named = entries.iter().any(goes_with_people);
    let mut parts = Vec::with_capacity(entries.len());
    for entry in entries {
        let sink = engine.sink(&entry)?;
        if let Some(Companion::List { .. }) = entry.companion {
            there_is_a_list(&entry, sink.as_ref()).await?;
        }
        let map = map::field_map(&entry, sink.as_ref()).await?;
        ties(&entry, sink.as_ref())?;
        let audience = crate::query::check_audience(&entry.section.audience).await;
        audience.map_err(|error| map::audience_error(&entry, error))?;
        let is_named = match entry.companion {
            Some(Companion::Companies) => true,
            None => people_are_named,
            Some(Companion::Tasks | Companion::List { .. }) => false,
        };
        let to_make = sink.fields_to_make().await.map_err(|error| of_settings(&entry, error))?;
        parts.push(Part { entry, sink, map, is_named, to_make });
    }
    Ok(parts)
}

/// Makes in the remotes what the settings ask for and they lack, before anything is queued.
async fn prepare(parts: &[Part]) -> Result<()> {
    for part in parts.iter().filter(|part| !part.to_make.is_empty()) {
        part.sink.prepare().await.map_err(|error| of_settings(&part.entry, error))?;
    }
    Ok(())
}

/// What a sink complains of in the settings stands with its line.
fn of_settings(entry: &SinkEntry, error: headwater_sdk::Error) -> Error {
    match error.config_path() {
        Some(_) => entry.config_error(&error).into(),
        None => Error::connection(&entry.name, None, error),
    }
}

async fn planned(engine: &Engine, parts: &[Part], keep: Keep, taker: &mut dyn Taker) -> Result<Vec<Plan>> {
    let mut before: Vec<(&Part, Plan)> = Vec::new();
    for part in parts {
        let references = references(engine, part, &before).await?;
        let plan = Box::pin(planner::plan_with(engine, part, references.as_ref(), keep, &mut *taker));
        let plan = engine.unless_told(plan).await??;
        before.push((part, plan));
    }
    Ok(before.into_iter().map(|(_, plan)| plan.without_names()).collect())
}

/// What a part's records name, of the parts before it.
async fn references<'a>(engine: &Engine, part: &Part, before: &'a [(&Part, Plan)]) -> Result<Option<References<'a>>> {
    let plan_of = |companion: Option<&Companion>| {
        before.iter().find(|(part, _)| part.entry.companion.as_ref() == companion).map(|(_, plan)| plan)
    };
    match (&part.entry.companion, plan_of(Some(&Companion::Companies)), plan_of(None)) {
        (None, Some(companies), _) => Ok(References::to_companies(part.sink.as_ref(), companies)),
        (Some(Companion::Tasks | Companion::List { .. }), _, Some(people)) => {
            References::to_people(engine, part.sink.as_ref(), people).await
        }
        (None, None, _) | (Some(_), _, _) => Ok(None),
    }
}

/// Checks that the remote has the list, before anybody is planned into it.
async fn there_is_a_list(entry: &SinkEntry, list: &dyn Sink) -> Result<()> {
    list.check().await.map_err(|error| match error.kind() {
        ErrorKind::Config => entry.config_error(&error).into(),
        _ => Error::connection(&entry.name, None, error),
    })
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

/// Queues what was put aside of plans that were made together, and pushes it, one part after the other.
async fn apply(
    engine: &Engine,
    parts: &[Part],
    plans: Vec<Plan>,
    spool: &mut Spool,
    (run_id, counts): (&str, &mut BTreeMap<String, SinkCounts>),
) -> Result<()> {
    for (part, mut plan) in parts.iter().zip(plans) {
        engine.stop_if_told()?;
        let settling = settling(engine, part, parts).await?;
        let mut queue = Queue::new(engine, &part.entry, run_id).await?;
        let mut spooled = spool.rows(&part.entry.name)?;
        loop {
            let mut rows = spooled.next()?;
            if rows.is_empty() {
                break;
            }
            if let Some(settling) = &settling {
                settling.settle(engine, &mut rows, &mut plan).await?;
            }
            queue.take(&rows, false).await?;
        }
        let counts = counts.entry(part.entry.name.clone()).or_default();
        *counts = plan.counts();
        queue.stop_unplanned(counts).await?;
        push::drain(engine, part, &plan, run_id, counts).await?;
    }
    Ok(())
}

/// How the rows of a part come to name records of the parts before it.
async fn settling(engine: &Engine, part: &Part, parts: &[Part]) -> Result<Option<Settling>> {
    let before = |companion: Option<&Companion>| parts.iter().find(|part| part.entry.companion.as_ref() == companion);
    let (field, named, is_needed) = match &part.entry.companion {
        None => (part.sink.company_field(), before(Some(&Companion::Companies)), false),
        Some(Companion::Tasks | Companion::List { .. }) => (part.sink.person_field(), before(None), true),
        Some(Companion::Companies) => (None, None, false),
    };
    let Some((field, named)) = field.zip(named) else { return Ok(None) };
    Settling::new(engine, &part.entry, (field, &named.entry.name), is_needed).await.map(Some)
}
