//! Resolve: the leads of every source become people, with a history.
//!
//! Reads a pinned snapshot, works purely, and writes the tables it owns in one transaction with its cursor: as a whole, or the rows
//! of those who changed. Nothing new in the lake and no change of rules is nothing to do.

mod identify;
mod leads;
mod person;
mod remote;
mod timeline;
mod touched;
mod write;

use std::collections::{BTreeMap, HashSet};

use arrow::array::RecordBatch;
use headwater_analysis::identity::{self, Change, Clusters, Directory, Edit, Leads, Prior, Stamp};
use headwater_analysis::lifecycle;
use headwater_model::tables::{self, Table};
use headwater_store::{Commit, FormerProspect, LedgerOp, Snapshot};
use serde::Serialize;
use serde_json::{Value, json};
use tracing::info;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::rows::{load, text};
use identify::{Identified, Known, Rules};
pub(crate) use person::{SUPPRESSED, WITHDRAWN};
use remote::RemoteRecords;
use timeline::Facts;
use touched::{Last, Touched};
use write::Said;

/// The cursor of this stage.
pub(crate) const CURSOR: &str = "resolve";
/// What resolve reads; a change of any makes it run again.
const INPUTS: [&Table; 4] = [&tables::LEAD, &tables::TOUCH, &tables::CONVERSION, &tables::ENGAGEMENT];

/// What resolve did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ResolveCounts {
    /// Current leads.
    pub leads: u64,
    /// Live prospects.
    pub prospects: u64,
    /// Prospects newly found to be another one.
    pub merged: u64,
    /// Questions that wait for a person: two prospects that may be one.
    pub review: u64,
    /// New prospects.
    pub minted: u64,
    /// Whether there was anything to do.
    pub worked: bool,
}

/// Makes prospects of everything the lake has.
///
/// # Errors
/// When the lake cannot be read or written, or changed under us.
pub async fn run(engine: &Engine, run_id: &str, force: bool) -> Result<ResolveCounts> {
    let snapshot = engine.store.snapshot().await?;
    let rules = Rules::read(engine, vendors(engine)).await?;
    let records = RemoteRecords::read(engine).await?;
    let edits = engine.store.edits().await?;
    let state = state_of(engine, &snapshot, &rules, (&suppressed(engine).await?, &records, &edits));
    let cursor = engine.store.cursor(CURSOR).await?;
    let before = cursor.as_ref().map(|cursor| &cursor.value);
    if !force && before.is_some_and(|before| before.get("inputs") == state.get("inputs")) {
        let counts = |key: &str| before.and_then(|before| before.get(key)).and_then(Value::as_u64).unwrap_or_default();
        let review = engine.store.reviews().await?.len() as u64;
        return Ok(ResolveCounts { leads: counts("leads"), prospects: counts("prospects"), review, ..ResolveCounts::default() });
    }
    engine.stop_if_told()?;
    engine.progress.tell("resolve", 0, None);
    let links = load(&snapshot, &tables::IDENTITY_LINK, &Prior::LINK_COLUMNS)?;
    let mut prior = Prior::read(&links, &load(&snapshot, &tables::IDENTITY_EVENT, &Prior::EVENT_COLUMNS)?).map_err(internal)?;
    let former = engine.store.former_prospects().await?;
    prior.remember(former.iter().map(|former| (former.lead_id.as_str(), former.prospect_id.as_str()))).map_err(internal)?;
    let known = rules.known(engine, before, force).await?;
    let mut facts = Facts::load(&snapshot)?;
    let last = Last::of(&snapshot, before, &state).filter(|_| !force);
    let (mut leads, mut identified, are_read_whole) =
        identify(&snapshot, &rules, (&prior, known), last.as_ref().map(|_| !facts.is_empty()))?;
    let index = identified.index.take();
    let resolved = &identified.resolved;
    let owners = records.owners(&resolved.assignment);
    if !facts.is_empty() {
        facts.find_owners(&Directory::new(&leads, &resolved.clusters, rules.vendors().clone()), &owners)?;
    }
    let touched = match last.filter(|last| last.stands(&identified)) {
        Some(last) => {
            let touched = Touched::find((&snapshot, last.snapshot), &leads, resolved, &facts)?;
            (!touched.are_many(resolved.clusters.len())).then_some(touched)
        }
        None => None,
    };
    if touched.is_none() && !are_read_whole {
        leads = leads::all(&snapshot)?;
    }
    let counts = ResolveCounts {
        leads: leads.len() as u64,
        prospects: resolved.clusters.len() as u64,
        merged: resolved.assignment.counts.merged as u64,
        minted: resolved.assignment.counts.minted as u64,
        review: identified.queue.len() as u64,
        worked: true,
    };
    let screen = engine.screen().await?;
    let now = engine.clock().now_us();
    let edits: Vec<Edit> = edits.into_iter().filter_map(said_of).collect();
    let stamp = Stamp { model_version: &identified.version, run_id, at: now };
    let said = Said { resolved, facts: &facts, screen: &screen, edits: &edits, stamp };
    let mut commit = engine.store.commit(run_id, now);
    said.write((engine, &snapshot), &leads, touched.as_ref(), &mut commit)?;
    engine.stop_if_told()?;
    let mut state = state;
    if let Some(map) = state.as_object_mut() {
        map.insert("leads".to_owned(), json!(counts.leads));
        map.insert("prospects".to_owned(), json!(counts.prospects));
        map.insert("identity".to_owned(), identified.note.clone());
        map.insert("seen".to_owned(), touched::seen(&snapshot, identified.resolved.links.generic_keys));
    }
    remember(&mut commit, identified, &links)?;
    commit.advance(CURSOR, cursor.map(|cursor| cursor.sequence), &state);
    commit.execute().await?;
    if let Some(index) = index {
        identify::keep(engine, index, &snapshot);
    }
    info!(leads = counts.leads, prospects = counts.prospects, merged = counts.merged, "resolved");
    Ok(counts)
}

/// Finds who is who: where the last run is one to go on from, by what came since its index was made. `keys` says so, and whether facts
/// need what they find their people by. The leads are known by that much of them alone then; by all of it where true comes with them.
fn identify(
    snapshot: &Snapshot,
    rules: &Rules,
    (prior, mut known): (&Prior, Known),
    keys: Option<bool>,
) -> Result<(Leads, Identified, bool)> {
    if let (Some(keys), Some(indexed)) = (keys, known.indexed()) {
        let (leads, came) = (leads::known(snapshot, rules.exact(), keys)?, leads::since(snapshot, indexed)?);
        if let Some(identified) = rules.identify_since(&leads, &came, prior, &mut known)? {
            return Ok((leads, identified, false));
        }
    }
    let leads = leads::all(snapshot)?;
    let identified = rules.identify(&leads, prior, known)?;
    Ok((leads, identified, true))
}

/// Keeps in the ledger what the next run and the reviews need: the questions, a new model, whose the merged leads were.
fn remember(commit: &mut Commit, identified: Identified, links: &[RecordBatch]) -> Result<()> {
    let Identified { resolved, version, queue, learned, index: _, note: _ } = identified;
    commit.ledger(LedgerOp::Review(queue));
    if let Some(model) = learned {
        commit.ledger(LedgerOp::IdentityModel { version, bytes: model.to_bytes() });
    }
    let events = resolved.assignment.events.iter().filter(|event| event.change == Change::Merge);
    let gone: HashSet<String> = events.filter_map(|event| event.other.map(|other| other.to_string())).collect();
    if !gone.is_empty() {
        for batch in links {
            let leads = text(batch, "lead_id")?.iter().zip(text(batch, "prospect_id")?);
            for (lead_id, prospect_id) in leads.filter_map(|(lead, prospect)| Some((lead?, prospect?))) {
                if gone.contains(prospect_id) {
                    let former = FormerProspect { lead_id: lead_id.to_owned(), prospect_id: prospect_id.to_owned() };
                    commit.ledger(LedgerOp::Merged(former));
                }
            }
        }
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where `map_err` wants a function of the error")]
fn internal(error: identity::Error) -> Error {
    Error::Internal(error.to_string())
}

/// Everything on which the answer depends.
fn state_of(
    engine: &Engine,
    snapshot: &Snapshot,
    rules: &Rules,
    (suppressed, records, edits): (&str, &RemoteRecords, &[headwater_store::Edit]),
) -> Value {
    let versions: BTreeMap<&str, i64> = INPUTS.iter().map(|table| (table.name, snapshot.version(table))).collect();
    let trust: BTreeMap<&str, i32> =
        engine.project.sources.iter().map(|source| (source.name.as_str(), source.section.trust)).collect();
    json!({ "inputs": {
        "tables": versions, "identity": rules.state(), "lifecycle": lifecycle::RULE_VERSION,
        "trust": trust, "suppressed": suppressed, "records": records.state(), "edits": digest_of(edits),
    }})
}

/// A digest of what people said of fields; nothing where nobody did.
fn digest_of(edits: &[headwater_store::Edit]) -> Option<String> {
    let said = |edit: &headwater_store::Edit| {
        format!("{}\u{1f}{}\u{1f}{:?}\u{1f}{}\n", edit.lead_id, edit.field, edit.value, edit.edited_at)
    };
    (!edits.is_empty()).then(|| blake3::hash(edits.iter().map(said).collect::<String>().as_bytes()).to_hex().to_string())
}

/// A digest of who must not be held. Their number would not do: one may have come in the place of another.
async fn suppressed(engine: &Engine) -> Result<String> {
    let mut hashes: Vec<String> = engine.store.suppression_set().await?.into_iter().collect();
    hashes.sort_unstable();
    Ok(blake3::hash(hashes.concat().as_bytes()).to_hex().to_string())
}

/// Whether the prospects of the lake were made knowing everybody who is suppressed now.
pub(crate) async fn knows_suppressed(engine: &Engine) -> Result<bool> {
    let cursor = engine.store.cursor(CURSOR).await?;
    let known = cursor.as_ref().and_then(|cursor| cursor.value.pointer("/inputs/suppressed")).and_then(Value::as_str);
    Ok(known == Some(suppressed(engine).await?.as_str()))
}

/// Whether the prospects of the lake were made of all leads and all that people did with our messages.
pub(crate) async fn has_heard(engine: &Engine, snapshot: &Snapshot) -> Result<bool> {
    let cursor = engine.store.cursor(CURSOR).await?;
    let known = cursor.as_ref().and_then(|cursor| cursor.value.pointer("/inputs/tables"));
    let is_known =
        |table: &Table| known.and_then(|known| known.get(table.name)).and_then(Value::as_i64) == Some(snapshot.version(table));
    Ok(is_known(&tables::LEAD) && is_known(&tables::ENGAGEMENT))
}

/// Which vendor's ids a source's `external_id` holds: two sources of one vendor share them.
fn vendors(engine: &Engine) -> BTreeMap<String, String> {
    let vendor = |source: &crate::project::SourceEntry| {
        let said = source.section.channel.as_ref().and_then(|channel| channel.vendor.clone());
        let preset =
            source.config.values.get("preset").and_then(Value::as_str).filter(|preset| !matches!(*preset, "auto" | "none"));
        said.or_else(|| preset.map(str::to_owned))
    };
    engine.project.sources.iter().filter_map(|source| Some((source.name.clone(), vendor(source)?))).collect()
}

/// An edit as survivorship takes it; nothing of a field that there is not any more.
fn said_of(edit: headwater_store::Edit) -> Option<Edit> {
    let headwater_store::Edit { lead_id, field, value, edited_at } = edit;
    let field = identity::SURVIVING.into_iter().find(|known| known.name() == field)?;
    Some(Edit { lead_id, field, value: value?, at: edited_at })
}

/// The members of each cluster, and for each lead its cluster.
pub(crate) fn cluster_of(clusters: &Clusters, leads: usize) -> Vec<u32> {
    let mut of = vec![u32::MAX; leads];
    for (cluster, members) in (0_u32..).zip(clusters.iter()) {
        for row in members {
            if let Some(slot) = of.get_mut(*row as usize) {
                *slot = cluster;
            }
        }
    }
    of
}
