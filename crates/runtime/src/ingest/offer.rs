//! Rows that were refused once, offered again under the present rules, one by one.

use arrow::array::{Int64Array, TimestampMicrosecondArray};
use hashbrown::HashMap;
use headwater_model::conform::{Conformer, RowHash};
use headwater_model::page::Page;
use headwater_model::suppression::Screen;
use headwater_model::tables::SOURCE_RECORD;
use headwater_sdk::StreamSpec;
use headwater_store::{Commit, Snapshot};

use super::known::Known;
use super::rules::Rules;
use super::stage::{Conformed, Stage, quarantine_id};
use super::{Buckets, conformer, mapping, sort};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::SourceEntry;

/// What became of a row that was offered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It is part of the lake now.
    Accepted,
    /// The lake has it, or a version that arrived later.
    Unchanged,
    /// It is of a person who must not be held.
    Suppressed,
    /// It was refused again; the id under which it is in quarantine now.
    Refused(String),
}

/// Takes rows of one stream of a source again.
pub(crate) struct Offer<'a> {
    entry: &'a SourceEntry,
    spec: &'a StreamSpec,
    conformer: Conformer,
    screen: Screen,
    known: Known,
    /// When the last version of each record arrived.
    arrived: HashMap<i64, i64>,
    /// What became of the rows so far: one record may be in quarantine for several reasons.
    told: HashMap<(u128, u64), Offered>,
    stage: Stage<'a>,
    rules: Rules,
    /// Whether any row was taken.
    accepted: bool,
}

impl<'a> Offer<'a> {
    pub(crate) async fn new(
        engine: &'a Engine,
        snapshot: &Snapshot,
        entry: &'a SourceEntry,
        spec: &'a StreamSpec,
        run_id: &str,
    ) -> Result<Self> {
        let (role, mapping) = mapping(entry, spec)?;
        Ok(Self {
            entry,
            spec,
            conformer: conformer(entry, spec, run_id)?,
            screen: engine.screen().await?,
            known: Known::load(&engine.store, snapshot, &entry.name)?,
            arrived: arrived(snapshot, &entry.name)?,
            told: HashMap::new(),
            stage: Stage::new(engine, entry, spec, run_id),
            rules: Rules::load(&engine.store, (entry, spec), (role, &mapping), &engine.project.classifier, false).await?,
            accepted: false,
        })
    }

    /// Who the rows of a page are and what they say.
    pub(crate) fn hashes(&self, page: &Page) -> Vec<RowHash> {
        self.conformer.hashes(page)
    }

    /// Takes a page of one row, which arrived at `arrived_at` for the last time.
    pub(crate) fn row(&mut self, page: &Page, arrived_at: i64) -> Result<Offered> {
        page.validate().map_err(|error| Error::Internal(format!("source {}: {error}", self.entry.name)))?;
        let hashes = self.conformer.hashes(page);
        let [hash] = hashes.as_slice() else {
            return Err(Error::Internal("a row that is offered again is not one row".to_owned()));
        };
        let key = (hash.identity, hash.content);
        if let Some(told) = self.told.get(&key) {
            return Ok(told.clone());
        }
        // What the source said later stands: an old row must not undo it.
        let is_overtaken = self.arrived.get(&hash.identity_hash()).is_some_and(|at| *at > arrived_at);
        let offered = if is_overtaken { Offered::Unchanged } else { self.take(page, &hashes)? };
        self.told.insert(key, offered.clone());
        Ok(offered)
    }

    fn take(&mut self, page: &Page, hashes: &[RowHash]) -> Result<Offered> {
        let mut buckets = Buckets { read: 1, ..Buckets::default() };
        let sorted = sort(hashes, &mut self.known, false, &mut buckets)?;
        if sorted.keep.rows.is_empty() {
            return Ok(Offered::Unchanged);
        }
        let Conformed { refused, left: _ } = self.stage.conform(&self.conformer, page, &sorted, &self.screen, &mut buckets)?;
        buckets.check(&self.entry.name)?;
        self.accepted |= buckets.accepted > 0;
        Ok(match refused.first() {
            Some(row) => Offered::Refused(quarantine_id(&self.entry.name, &self.spec.name, row)),
            None if buckets.suppressed > 0 => Offered::Suppressed,
            None => Offered::Accepted,
        })
    }

    /// Hands what was taken to a commit.
    pub(crate) fn drain(&mut self, commit: &mut Commit) -> Result<()> {
        if self.accepted {
            self.rules.note(commit);
        }
        self.stage.drain(commit).map(drop)
    }
}

fn arrived(snapshot: &Snapshot, source: &str) -> Result<HashMap<i64, i64>> {
    let mut arrived: HashMap<i64, i64> = HashMap::new();
    for batch in snapshot.read(&SOURCE_RECORD, &["identity_hash", "received_at"], Some(source))? {
        let batch = batch?;
        let identities = batch.column(0).as_any().downcast_ref::<Int64Array>();
        let instants = batch.column(1).as_any().downcast_ref::<TimestampMicrosecondArray>();
        let (Some(identities), Some(instants)) = (identities, instants) else {
            return Err(Error::Internal("source_record has columns of other types than declared".to_owned()));
        };
        for (identity, at) in identities.values().iter().zip(instants.values()) {
            let last = arrived.entry(*identity).or_insert(*at);
            *last = (*last).max(*at);
        }
    }
    Ok(arrived)
}
