//! Resolve: the leads of every source become people, with a history.
//!
//! Reads a pinned snapshot, works purely, and replaces the tables it owns in one transaction with its cursor. Nothing new in
//! the lake and no change of rules is nothing to do.

mod identify;
mod person;
mod remote;
mod timeline;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, StringBuilder};
use arrow::compute::filter_record_batch;
use headwater_analysis::identity::{
    self, Change, Clusters, Directory, Edit, Golden, Leads, Policy, Prior, ProspectId, Resolved, Stamp, Survivorship,
};
use headwater_analysis::lifecycle;
use headwater_model::suppression::Screen;
use headwater_model::tables::{self, Table};
use headwater_store::{Commit, FormerProspect, LedgerOp, Snapshot, StagedFiles, TableWriter};
use serde::Serialize;
use serde_json::{Value, json};
use tracing::info;

use crate::cells::each;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::rows::{at, booleans, latest, load, text};
use identify::{Identified, Rules};
use person::People;
pub(crate) use person::{SUPPRESSED, WITHDRAWN};
use remote::RemoteRecords;
use timeline::Timeline;

/// The cursor of this stage.
pub(crate) const CURSOR: &str = "resolve";
/// How many prospects are worked on at once; bounds the memory of the batches written.
const PROSPECTS_AT_ONCE: usize = 10_000;
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
    let leads = Leads::new(&current_leads(&snapshot)?).map_err(internal)?;
    let links = load(&snapshot, &tables::IDENTITY_LINK, &["lead_id", "prospect_id"])?;
    let mut prior = Prior::read(&links, &load(&snapshot, &tables::IDENTITY_EVENT, &[])?).map_err(internal)?;
    let former = engine.store.former_prospects().await?;
    prior.remember(former.iter().map(|former| (former.lead_id.as_str(), former.prospect_id.as_str()))).map_err(internal)?;
    let known = rules.known(engine, before, force).await?;
    let vendors = rules.vendors().clone();
    let mut identified = rules.identify(&leads, &prior, known)?;
    let index = identified.index.take();
    let resolved = &identified.resolved;
    let directory = Directory::new(&leads, &resolved.clusters, vendors);
    let owners = records.owners(&resolved.assignment);
    let timeline = Timeline::load(&snapshot, &leads, &resolved.clusters, (&directory, &owners))?;
    let screen = engine.screen().await?;
    let now = engine.clock().now_us();
    let edits: Vec<Edit> = edits.into_iter().filter_map(said_of).collect();
    let work = Work { engine, leads: &leads, resolved, timeline: &timeline, screen: &screen, edits: &edits };
    let files = work.write(Stamp { model_version: &identified.version, run_id, at: now })?;
    engine.stop_if_told()?;
    let counts = ResolveCounts {
        leads: leads.len() as u64,
        prospects: resolved.clusters.len() as u64,
        merged: resolved.assignment.counts.merged as u64,
        minted: resolved.assignment.counts.minted as u64,
        review: identified.queue.len() as u64,
        worked: true,
    };
    let mut commit = engine.store.commit(run_id, now);
    for (table, staged) in files {
        if table.name == tables::IDENTITY_EVENT.name {
            commit.append(staged);
        } else {
            commit.replace(&snapshot, table, vec![staged]);
        }
    }
    let mut state = state;
    if let Some(map) = state.as_object_mut() {
        map.insert("leads".to_owned(), json!(counts.leads));
        map.insert("prospects".to_owned(), json!(counts.prospects));
        map.insert("identity".to_owned(), identified.note.clone());
    }
    remember(&mut commit, identified, &links)?;
    commit.advance(CURSOR, cursor.map(|cursor| cursor.sequence), &state);
    commit.execute().await?;
    if let Some(index) = index {
        identify::keep(engine, &index);
    }
    info!(leads = counts.leads, prospects = counts.prospects, merged = counts.merged, "resolved");
    Ok(counts)
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
        for row in each(links) {
            let former = FormerProspect { lead_id: row.word("lead_id")?, prospect_id: row.word("prospect_id")? };
            if gone.contains(&former.prospect_id) {
                commit.ledger(LedgerOp::Merged(former));
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

/// Each lead as it is now: its last version, unless that says it is gone or it was only a test.
pub(crate) fn current_leads(snapshot: &Snapshot) -> Result<Vec<RecordBatch>> {
    let mut columns: Vec<&str> = Leads::columns().collect();
    columns.extend(["op", "is_test"].into_iter().filter(|extra| !columns.contains(extra)).collect::<Vec<_>>());
    let batches = latest(load(snapshot, &tables::LEAD, &columns)?, "lead_id")?;
    let live = batches.iter().map(|batch| {
        let (op, test) = (text(batch, "op")?, booleans(batch, "is_test")?);
        let mask: BooleanArray =
            (0..batch.num_rows()).map(|row| Some(at(op, row) != Some("delete") && !test.value(row))).collect();
        if mask.true_count() == batch.num_rows() { Ok(batch.clone()) } else { Ok(filter_record_batch(batch, &mask)?) }
    });
    live.collect()
}

struct Work<'a> {
    engine: &'a Engine,
    leads: &'a Leads,
    resolved: &'a Resolved,
    timeline: &'a Timeline,
    screen: &'a Screen,
    edits: &'a [Edit],
}

/// An edit as survivorship takes it; nothing of a field that there is not any more.
fn said_of(edit: headwater_store::Edit) -> Option<Edit> {
    let headwater_store::Edit { lead_id, field, value, edited_at } = edit;
    let field = identity::SURVIVING.into_iter().find(|known| known.name() == field)?;
    Some(Edit { lead_id, field, value: value?, at: edited_at })
}

impl Work<'_> {
    fn write(&self, stamp: Stamp<'_>) -> Result<Vec<(&'static Table, StagedFiles)>> {
        let Resolved { links, clusters, assignment } = self.resolved;
        let policy = Policy { trust: self.trust() };
        let survivorship = Survivorship::new(self.leads, clusters, assignment, &policy).edited(self.edits);
        let writer = |table: &'static Table| -> Result<TableWriter> { Ok(self.engine.store.writer(table, None)?) };
        let (mut prospects, mut fields) = (writer(&tables::PROSPECT)?, writer(&tables::PROSPECT_FIELD)?);
        let (mut identity, mut transitions) = (writer(&tables::IDENTITY_LINK)?, writer(&tables::LIFECYCLE_TRANSITION)?);
        let mut start = 0;
        while start < clusters.len() {
            let range = start..(start + PROSPECTS_AT_ONCE).min(clusters.len());
            let survived = survivorship.survive(range.clone()).map_err(internal)?;
            let mut people = People::default();
            for cluster in range.clone() {
                people.push(self.person(cluster));
            }
            transitions.write(&people.transitions(&survived.golden.prospects)?)?;
            prospects.write(&people.batch(&survived.golden)?)?;
            fields.write(&survived.fields)?;
            identity.write(
                &identity::identity_links(self.leads, links, clusters, assignment, stamp, range.clone()).map_err(internal)?,
            )?;
            self.engine.progress.tell("resolve", range.end as u64, Some(clusters.len() as u64));
            self.engine.stop_if_told()?;
            start = range.end;
        }
        let merged = Golden::merged(self.leads, clusters, assignment);
        if !merged.is_empty() {
            prospects.write(&People::gone(merged.len()).batch(&merged)?)?;
        }
        let mut events = writer(&tables::IDENTITY_EVENT)?;
        events.write(&identity::identity_events(assignment, stamp).map_err(internal)?)?;
        let mut facts = writer(&tables::FACT_LINK)?;
        facts.write(&self.fact_links(&assignment.prospects)?)?;
        Ok(vec![
            (&tables::PROSPECT, prospects.finish()?),
            (&tables::PROSPECT_FIELD, fields.finish()?),
            (&tables::IDENTITY_LINK, identity.finish()?),
            (&tables::IDENTITY_EVENT, events.finish()?),
            (&tables::LIFECYCLE_TRANSITION, transitions.finish()?),
            (&tables::FACT_LINK, facts.finish()?),
        ])
    }

    fn trust(&self) -> BTreeMap<String, i64> {
        self.engine.project.sources.iter().map(|source| (source.name.clone(), i64::from(source.section.trust))).collect()
    }

    fn person(&self, cluster: usize) -> person::Person<'_> {
        person::derive(self.leads, self.resolved.clusters.members(cluster), self.timeline.of(cluster), self.screen)
    }

    fn fact_links(&self, prospects: &[ProspectId]) -> Result<RecordBatch> {
        let mut columns: [StringBuilder; 4] = Default::default();
        let [id, kind, prospect, matched] = &mut columns;
        for link in self.timeline.links() {
            let Some(owner) = prospects.get(link.cluster) else { continue };
            id.append_value(link.fact_id);
            kind.append_value(link.kind);
            prospect.append_value(owner.to_string());
            matched.append_value(link.matched_on);
        }
        let columns = columns.map(|mut column| Arc::new(column.finish()) as _).to_vec();
        Ok(RecordBatch::try_new(tables::FACT_LINK.schema(), columns)?)
    }
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
