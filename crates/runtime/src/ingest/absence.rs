//! Records that a source does not have any more, told by their absence.
//!
//! A source that cannot say what was removed says, where it is so, that a read showed everything it has. What the lake holds of the
//! stream and no page showed is then gone, and is taken over as if the source had said so. Which records were shown is kept in a file
//! beside the ledger until the reading ends, so that a reading that is broken off goes on where it was.
//!
//! A removal is as bad as a loss when it is none. So nobody is gone while a row of the reading could not be read, while a reading whose
//! first half nobody knows goes on, or when so many are missing that the source is more likely at fault than they.

use arrow::array::{Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::Schema;
use hashbrown::{HashMap, HashSet};
use headwater_model::conform::RowHash;
use headwater_model::ids;
use headwater_model::mapping::Role;
use headwater_model::page::{Page, Places};
use headwater_model::tables::{LEAD, SOURCE_RECORD};
use headwater_sdk::StreamSpec;
use headwater_store::{Commit, SeenFile, Snapshot};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tracing::{info, warn};

use super::known::pairs::{MOST_IN_MEMORY, Pair, Pairs, last_of_each};
use super::stage::text;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::{OnAbsence, SourceEntry};

/// What the keys of the cursors begin with that say which records a reading has shown.
const CURSOR_PREFIX: &str = "seen";
/// So few are never too many, whatever share of the source they are.
const FEW: u64 = 10;
/// The most records that are remembered as missing once, where only those missing twice running are gone. Others are remembered by a
/// later reading.
const MOST_MISSING: usize = 10_000;
/// How many hashes are sorted at once.
const SORTED_AT_ONCE: usize = 1 << 17;
/// What a record is that is not gone, and one that is.
const THERE: u64 = 1;
const GONE: u64 = 0;
/// Where the records stood, for messages: nowhere.
const PLACE: &str = "missing from a whole reading";

/// What is stored of a stream's reading.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    /// How often the stream's position had moved: where it moved since, nobody followed.
    at: i64,
    /// The reading that has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<Open>,
    /// Records that were missing from the last whole reading and not yet taken to be gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    missing: Vec<u64>,
}

/// A reading that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    /// Its name: the run that began it.
    reading: String,
    /// How many hashes the file holds for it.
    records: u64,
    /// Whether a row of it could not be read: who it was is not known.
    #[serde(default)]
    unread: bool,
}

/// Who is missing from the reading of a stream.
pub(super) struct Absence<'a> {
    entry: &'a SourceEntry,
    spec: &'a StreamSpec,
    key: String,
    sequence: Option<i64>,
    stored: Option<Told>,
    file: SeenFile,
    /// The reading, if all that it has shown is known.
    open: Option<Open>,
    shown: Shown,
    /// Whether a row of this read could not be read.
    unread: bool,
    /// Hashes that the file does not have yet.
    unsaved: Vec<u64>,
    /// What was missing from the last whole reading, then what is missing from this one.
    missing: Vec<u64>,
    /// Whether the reading has ended.
    ended: bool,
}

/// The records that were shown: as many as are kept in memory, the others on disk.
struct Shown {
    fresh: HashSet<u64>,
    settled: Pairs,
    count: u64,
}

impl Shown {
    fn add(&mut self, hash: u64) -> Result<bool> {
        if self.has(hash)? {
            return Ok(false);
        }
        self.fresh.insert(hash);
        self.count += 1;
        if self.fresh.len() >= SORTED_AT_ONCE {
            let mut pairs: Vec<Pair> = self.fresh.drain().map(|hash| (hash, THERE)).collect();
            pairs.sort_unstable();
            self.settled.put(&pairs)?;
        }
        Ok(true)
    }

    fn has(&self, hash: u64) -> Result<bool> {
        Ok(self.fresh.contains(&hash) || self.settled.get(hash)?.is_some())
    }
}

impl<'a> Absence<'a> {
    /// Follows the reading of a stream that can tell who is missing; none where it cannot, or where the project does not want to know.
    /// `from` says how often the stream's position has moved; nothing where it is read from its beginning. `dry_run`: nothing is written.
    pub(super) async fn of(
        engine: &Engine,
        (entry, spec): (&'a SourceEntry, &'a StreamSpec),
        role: Role,
        (run_id, dry_run): (&str, bool),
        from: Option<i64>,
    ) -> Result<Option<Self>> {
        let concerns_people = matches!(role, Role::Leads | Role::Touches);
        if !spec.whole || !concerns_people || entry.section.on_absence == OnAbsence::Keep {
            return Ok(None);
        }
        let store = &engine.store;
        let key = format!("{CURSOR_PREFIX}/{}/{}", entry.name, spec.name);
        let cursor = store.cursor(&key).await?;
        let stored: Option<Told> = cursor.as_ref().and_then(|cursor| serde_json::from_value(cursor.value.clone()).ok());
        let (mut file, mut unread) = (store.seen_file(&key), false);
        let settled = Pairs::new(store.lake(), MOST_IN_MEMORY);
        let mut shown = Shown { fresh: HashSet::new(), settled, count: 0 };
        let followed = stored.as_ref().is_some_and(|told| Some(told.at) == from);
        let begun = stored.as_ref().and_then(|told| told.open.clone()).filter(|_| from.is_some());
        let open = match begun {
            Some(open) if followed => {
                unread = open.unread;
                let take = |hashes: &[u64]| hashes.iter().try_for_each(|hash| shown.add(*hash).map(drop));
                file.resume::<Error>(&open.reading, open.records, take)?.then_some(open)
            }
            // A position that nobody followed may stand anywhere.
            None if from.is_none() || followed => {
                if !dry_run {
                    file.begin(run_id)?;
                }
                Some(Open { reading: run_id.to_owned(), records: 0, unread: false })
            }
            Some(_) | None => None,
        };
        let missing = stored.as_ref().map(|told| told.missing.clone()).unwrap_or_default();
        let sequence = cursor.map(|cursor| cursor.sequence);
        let unsaved = Vec::new();
        Ok(Some(Self { entry, spec, key, sequence, stored, file, open, shown, unread, unsaved, missing, ended: false }))
    }

    /// Notes the records of a page. `unread` says that some rows of it are not among them.
    pub(super) fn see(&mut self, hashes: &[RowHash], unread: bool) -> Result<()> {
        self.unread |= unread;
        for hash in hashes.iter().map(|hash| hash.identity_hash().cast_unsigned()) {
            if self.shown.add(hash)? && self.open.is_some() {
                self.unsaved.push(hash);
            }
        }
        Ok(())
    }

    /// Says with a commit what was shown up to its checkpoint, with which the stream's position moves for the time `at`.
    pub(super) fn note(&mut self, commit: &mut Commit, at: i64) -> Result<()> {
        if !self.ended {
            let Some(open) = &mut self.open else { return Ok(()) };
            let unsaved = std::mem::take(&mut self.unsaved);
            self.file.add(&unsaved)?;
            open.records += unsaved.len() as u64;
            open.unread = self.unread;
        }
        let open = self.open.clone().filter(|_| !self.ended);
        let told = Told { at, open, missing: self.missing.clone() };
        if self.stored.as_ref() == Some(&told) {
            return Ok(());
        }
        let value = serde_json::to_value(&told).map_err(|error| Error::Internal(error.to_string()))?;
        commit.advance(&self.key, self.sequence, &value);
        self.sequence = Some(self.sequence.map_or(1, |sequence| sequence + 1));
        self.stored = Some(told);
        Ok(())
    }

    /// Says that the read came to its end, so that the next begins another reading.
    pub(super) async fn end(&mut self, engine: &Engine, run_id: &str, at: i64) -> Result<()> {
        self.ended = true;
        let mut commit = engine.store.commit(run_id, engine.clock().now_us());
        let before = self.sequence;
        self.note(&mut commit, at)?;
        if self.sequence != before {
            commit.execute().await?;
        }
        Ok(self.file.remove()?)
    }

    /// Finds who is gone, now that everything was shown: none where that cannot be said.
    ///
    /// # Errors
    /// When so many are missing that somebody has to look first, with the line of the project that says how many may be.
    pub(super) fn find(&mut self, snapshot: &Snapshot, (resumed, shifting): (bool, bool)) -> Result<Option<Gone>> {
        self.ended = true;
        let (connection, stream) = (&self.entry.name, &self.spec.name);
        if resumed && self.open.is_none() {
            info!(
                connection,
                stream, "who is missing is told by the next whole reading: the first part of this one is not known"
            );
            return Ok(None);
        }
        if self.unread {
            warn!(connection, stream, "rows could not be read, so nobody is taken to be gone");
            return Ok(None);
        }
        let mut gone =
            Gone { absent: Pairs::new(self.shown.settled.folder(), MOST_IN_MEMORY), missing: HashSet::new(), count: 0 };
        let mut chunk: Vec<Pair> = Vec::new();
        for batch in snapshot.read(&SOURCE_RECORD, &["identity_hash", "stream", "op"], Some(&self.entry.name))? {
            let batch = batch?;
            let (streams, ops) = (text(&batch, "stream")?, text(&batch, "op")?);
            for (row, hash) in hashes(&batch)?.values().iter().enumerate() {
                let hash = hash.cast_unsigned();
                if streams.value(row) == self.spec.name && !self.shown.has(hash)? {
                    chunk.push((hash, if ops.value(row) == "delete" { GONE } else { THERE }));
                }
            }
            if chunk.len() >= SORTED_AT_ONCE {
                gone.take(&mut chunk)?;
            }
        }
        gone.take(&mut chunk)?;
        self.check(gone.count)?;
        let before: HashSet<u64> = std::mem::take(&mut self.missing).into_iter().collect();
        if gone.count == 0 {
            return Ok(None);
        }
        if shifting {
            self.missing = gone.narrow(snapshot, self.entry, &before)?;
        }
        info!(connection, stream, records = gone.count, "records are gone from the source");
        Ok(Some(gone))
    }

    /// Stops where more are missing than may be.
    fn check(&self, absent: u64) -> Result<()> {
        let all = absent + self.shown.count;
        let most = u64::from(self.entry.section.absence_limit_percent);
        let too_many = absent.saturating_mul(100) > most.saturating_mul(all);
        if !too_many || (absent <= FEW && self.shown.count > 0) {
            return Ok(());
        }
        let message = format!(
            "{absent} of the {all} records of stream `{}` are missing from the source, and at most {most} % may vanish at once",
            self.spec.name
        );
        let help = "see whether the source still shows everything: a right, a filter, an empty export. `absence_limit_percent: 100` for one \
                    run lets them go, `on_absence: keep` keeps them";
        Err(self.entry.error("absence_limit_percent", message).help(help).into())
    }
}

/// Records that are gone.
pub(super) struct Gone {
    /// What was not shown: whether it was there until now.
    absent: Pairs,
    /// Of them, those that are missing for the first time and stay, where one absence proves nothing.
    missing: HashSet<u64>,
    count: u64,
}

impl Gone {
    /// Takes in what was not shown, in the order of arrival: the last version of a record is what it is.
    fn take(&mut self, chunk: &mut Vec<Pair>) -> Result<()> {
        last_of_each(chunk);
        for (hash, state) in chunk.iter() {
            let before = self.absent.get(*hash)?.unwrap_or(GONE);
            self.count = (self.count + state).saturating_sub(before);
        }
        self.absent.put(chunk)?;
        chunk.clear();
        Ok(())
    }

    /// Leaves only those that were missing `before`; the others, as many as are remembered.
    fn narrow(&mut self, snapshot: &Snapshot, entry: &SourceEntry, before: &HashSet<u64>) -> Result<Vec<u64>> {
        for batch in snapshot.read(&SOURCE_RECORD, &["identity_hash"], Some(&entry.name))? {
            for hash in hashes(&batch?)?.values().iter().map(|hash| hash.cast_unsigned()) {
                if !before.contains(&hash) && self.absent.get(hash)? == Some(THERE) && self.missing.insert(hash) {
                    self.count = self.count.saturating_sub(1);
                }
            }
        }
        let mut kept: Vec<u64> = self.missing.iter().copied().collect();
        kept.sort_unstable();
        kept.truncate(MOST_MISSING);
        Ok(kept)
    }

    /// The identities of the records without a key of their own, by what the lake keeps of them: their content is gone, and only their
    /// leads tell who they are.
    pub(super) fn keyless(&self, snapshot: &Snapshot, entry: &SourceEntry) -> Result<HashMap<u64, u128>> {
        let mut wanted: HashSet<u64> = HashSet::new();
        for batch in snapshot.read(&SOURCE_RECORD, &["identity_hash", "source_pk"], Some(&entry.name))? {
            let batch = batch?;
            let keys = text(&batch, "source_pk")?;
            for (row, hash) in hashes(&batch)?.values().iter().map(|hash| hash.cast_unsigned()).enumerate() {
                if keys.value(row).is_empty() && self.is_gone(hash)? {
                    wanted.insert(hash);
                }
            }
        }
        let mut found = HashMap::with_capacity(wanted.len());
        if wanted.is_empty() {
            return Ok(found);
        }
        for batch in snapshot.read(&LEAD, &["lead_id"], Some(&entry.name))? {
            for id in text(&batch?, "lead_id")?.iter().flatten() {
                let Some(bits) = ids::bits("led_", id) else { continue };
                let hash = (bits >> 64) as u64;
                if wanted.contains(&hash) {
                    found.insert(hash, bits);
                }
            }
        }
        Ok(found)
    }

    /// A page of the gone records of a batch of `source_record`, and who they are.
    pub(super) fn page(
        &mut self,
        batch: &RecordBatch,
        spec: &StreamSpec,
        source: &str,
        keyless: &HashMap<u64, u128>,
    ) -> Result<Option<(Page, Vec<u128>)>> {
        let (streams, keys) = (text(batch, "stream")?, text(batch, "source_pk")?);
        let (mut told, mut given, mut identities) = (Vec::new(), Vec::new(), Vec::new());
        let mut once = HashSet::new();
        for (row, hash) in hashes(batch)?.values().iter().map(|hash| hash.cast_unsigned()).enumerate() {
            if streams.value(row) != spec.name || !self.is_gone(hash)? || !once.insert(hash) {
                continue;
            }
            let key = Some(keys.value(row)).filter(|key| !key.is_empty());
            let identity = match key {
                Some(key) => Some(ids::lead_bits(source, &spec.name, key.as_bytes())),
                None => keyless.get(&hash).copied(),
            };
            let Some(identity) = identity else { continue };
            told.push((hash, GONE));
            given.push(key.map(str::to_owned));
            identities.push(identity);
        }
        if told.is_empty() {
            return Ok(None);
        }
        told.sort_unstable();
        self.absent.put(&told)?;
        let options = RecordBatchOptions::new().with_row_count(Some(given.len()));
        let fields = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
        let mut page =
            Page::new(fields, Places::Request(PLACE.to_owned())).map_err(|error| Error::Internal(error.to_string()))?;
        page.deleted = Some(vec![true; given.len()]);
        page.keys = Some(given.into_iter().collect::<StringArray>());
        Ok(Some((page, identities)))
    }

    fn is_gone(&self, hash: u64) -> Result<bool> {
        Ok(self.absent.get(hash)? == Some(THERE) && !self.missing.contains(&hash))
    }
}

fn hashes(batch: &RecordBatch) -> Result<&Int64Array> {
    let column = batch.column_by_name("identity_hash").and_then(|column| column.as_any().downcast_ref());
    column.ok_or_else(|| Error::Internal("source_record has hashes that are not whole numbers".to_owned()))
}
