//! The one transaction over files and state.

use headwater_model::tables::Table;
use serde_json::Value;
use sqlx::SqliteConnection;

use crate::error::placed;
use crate::fault::{self, FaultPoint};
use crate::lake::catalog::Draft;
use crate::lake::change::{self, Change};
use crate::lake::rows::{self, FileRows};
use crate::lake::snapshot::{DataFile, Snapshot};
use crate::lake::writer::StagedFiles;
use crate::ledger::{audit, cursor, identity, intake, link, outbox, person, quarantine, run, suppression};
use crate::{
    AuditEntry, Decision, Edit, FormerProspect, LinkUpdate, OutboxEntry, PersonKeys, QuarantineMark, Result, ReviewPair,
    RunStatus, Sample, Settlement, Store, Suppression,
};

/// The number of a snapshot in the catalog; later ones are larger.
pub type SnapshotId = i64;

/// A change of the control tables that belongs to a commit.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LedgerOp {
    /// Queues a push, unless its delivery key is already known for the sink.
    Enqueue(OutboxEntry),
    /// Says what became of a push.
    Settle(Settlement),
    /// Says that a push was taken back.
    Undone {
        /// The sink.
        sink: String,
        /// The push.
        delivery_key: String,
    },
    /// Says which remote record a prospect is.
    Link(LinkUpdate),
    /// Forgets which remote record a prospect is.
    Unlink {
        /// The sink.
        sink: String,
        /// The prospect.
        prospect_id: String,
    },
    /// Adds a suppressed address.
    Suppress(Suppression),
    /// Says what became of a quarantined row.
    Quarantine(QuarantineMark),
    /// Keeps what somebody said of two leads; it answers the pair's question in the review.
    Decide(Decision),
    /// Keeps what somebody said a field is, or forgets it.
    Edit(Edit),
    /// Replaces the pairs that wait for a review.
    Review(Vec<ReviewPair>),
    /// Puts a sample of joined pairs in the place of the one before.
    Sample(Sample),
    /// Keeps the identity model in place of the one before.
    IdentityModel {
        /// Its version.
        version: String,
        /// The model.
        bytes: Vec<u8>,
    },
    /// Remembers whose a lead was until its prospect was merged into another.
    Merged(FormerProspect),
    /// Adds an entry to the audit log.
    Audit(AuditEntry),
    /// Clears the content of a source's intake rows up to a sequence number, which this commit has taken over into the lake.
    /// Their delivery keys stay, so that a repeated delivery is still known.
    IntakeTaken {
        /// The source.
        source: String,
        /// The last sequence number that was taken over.
        upto: i64,
    },
    /// Removes a person from the control tables. What was to be sent is no longer sent; which remote records they are stays.
    /// [`Store::finish_erasure`] must follow, else the next run does it.
    Erase(PersonKeys),
    /// Sets the counts and the end of the commit's own run.
    FinishRun {
        /// How it ended.
        status: RunStatus,
        /// Its counts.
        counts: Value,
    },
}

/// What is to happen together: files into tables, cursors forward, control rows. Nothing happens before
/// [`Commit::execute`], and then all of it or nothing.
#[derive(Debug)]
#[must_use = "a commit does nothing until it is executed"]
pub struct Commit {
    store: Store,
    run_id: String,
    now: i64,
    changes: Vec<Change>,
    advances: Vec<Advance>,
    ops: Vec<LedgerOp>,
}

#[derive(Debug)]
struct Advance {
    key: String,
    seen: Option<i64>,
    value: String,
}

impl Commit {
    pub(crate) fn new(store: Store, run_id: &str, now: i64) -> Self {
        Self { store, run_id: run_id.to_owned(), now, changes: Vec::new(), advances: Vec::new(), ops: Vec::new() }
    }

    /// Adds files to their table. Appends of several runs do not conflict.
    pub fn append(&mut self, files: StagedFiles) -> &mut Self {
        self.changes.push(Change::Append(files));
        self
    }

    /// Replaces every row of a table by the rows of new files (none: the table becomes empty). It is a conflict if the table
    /// was changed after `base`, the snapshot that the new rows were computed from. The old files stay for time travel until
    /// they are swept.
    pub fn replace(&mut self, base: &Snapshot, table: &'static Table, files: Vec<StagedFiles>) -> &mut Self {
        self.changes.push(Change::Replace { table, seen: base.version(table), files });
        self
    }

    /// Replaces some files of a table by new ones, for compaction and erasure; the new ones take the old ones' place in the order of
    /// the rows. It is a conflict if one of the old files is no longer live, or rows were taken out of it; appends in the meantime are
    /// none.
    pub fn rewrite(&mut self, table: &'static Table, old: &[DataFile], files: Vec<StagedFiles>) -> &mut Self {
        self.changes.push(Change::Rewrite { table, old: old.to_vec(), files });
        self
    }

    /// Takes rows out of a table, as `base` has them, and adds files to it. It is a conflict if the table was changed after `base`. The
    /// rows stay in their files, and earlier snapshots show them; a file without a row left is ended. Whoever commits often writes
    /// the table anew once [`Snapshot::deleted_rows`] are many.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::NotFound`] for a file that is none of `base`, [`crate::StoreError::Misfit`] for rows that are not ascending or
    /// that a file does not have, [`crate::StoreError::Unsupported`] as [`Snapshot::check_readable`]; [`crate::StoreError::DiskFull`] and
    /// [`crate::StoreError::Io`] from the delete files, which are written here.
    pub fn amend(
        &mut self,
        base: &Snapshot,
        table: &'static Table,
        out: Vec<FileRows>,
        files: Vec<StagedFiles>,
    ) -> Result<&mut Self> {
        base.check_readable(table)?;
        let out = rows::in_files(table, base.files(table), out)?;
        let worn = change::wear(&self.store, table, out)?;
        self.changes.push(Change::Amend { table, seen: base.version(table), worn, files });
        Ok(self)
    }

    /// Moves a cursor. `seen` is the sequence that was read (`None`: there was no cursor); if it is no longer the current one,
    /// the commit is a conflict.
    pub fn advance(&mut self, key: &str, seen: Option<i64>, value: &Value) -> &mut Self {
        self.advances.push(Advance { key: key.to_owned(), seen, value: value.to_string() });
        self
    }

    /// Adds a change of the control tables.
    pub fn ledger(&mut self, op: LedgerOp) -> &mut Self {
        self.ops.push(op);
        self
    }

    /// Does it all in one transaction. The result is the snapshot it made; without a change of files there is no new one, and
    /// the result is the last one.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Conflict`] if somebody else changed what this builds on; after this and any other error nothing is changed.
    pub async fn execute(self) -> Result<SnapshotId> {
        let store = self.store.clone();
        fault::point(FaultPoint::AfterFilesBeforeCommit);
        let id = placed("committing", store.ledger(), self.transact()).await?;
        fault::point(FaultPoint::AfterCommit);
        Ok(id)
    }

    async fn transact(self) -> Result<SnapshotId> {
        let Self { store, run_id, now, changes, advances, ops } = self;
        let mut tx = store.begin().await?;
        let connection = tx.connection();
        let mut draft = Draft::on_head(connection).await?;
        for change in changes {
            change::apply(connection, &store, &mut draft, change).await?;
        }
        let mut id = draft.id - 1;
        if !draft.is_empty() {
            let note = serde_json::json!({ "run_id": run_id }).to_string();
            draft.write(connection, now, Some(&note)).await?;
            id = draft.id;
        }
        for Advance { key, seen, value } in advances {
            cursor::advance(connection, &key, seen, &value, (&run_id, now)).await?;
        }
        let mut gathered = Gathered::default();
        for op in ops {
            if let Some(op) = gathered.take(op) {
                gathered.flush(connection, &run_id, now).await?;
                apply_op(connection, op, &run_id, now).await?;
            }
        }
        gathered.flush(connection, &run_id, now).await?;
        fault::point(FaultPoint::InsideCommitBeforeCommit);
        tx.commit().await?;
        Ok(id)
    }
}

/// Changes of the kinds that come by the thousand, to be made with a few statements. One kind is gathered at a time, so that what comes
/// first is done first.
#[derive(Default)]
struct Gathered {
    entries: Vec<OutboxEntry>,
    settlements: Vec<Settlement>,
    links: Vec<LinkUpdate>,
}

impl Gathered {
    /// Takes a change of the kind that is gathered now; gives back any other.
    fn take(&mut self, op: LedgerOp) -> Option<LedgerOp> {
        let Self { entries, settlements, links } = self;
        match op {
            LedgerOp::Enqueue(entry) if settlements.is_empty() && links.is_empty() => entries.push(entry),
            LedgerOp::Settle(settlement) if entries.is_empty() && links.is_empty() => settlements.push(settlement),
            LedgerOp::Link(update) if entries.is_empty() && settlements.is_empty() => links.push(update),
            other => return Some(other),
        }
        None
    }

    async fn flush(&mut self, connection: &mut SqliteConnection, run_id: &str, now: i64) -> Result<()> {
        let Self { entries, settlements, links } = std::mem::take(self);
        outbox::enqueue(connection, &entries, run_id, now).await?;
        outbox::settle(connection, &settlements, now).await?;
        link::upsert(connection, &links.iter().collect::<Vec<_>>(), now).await
    }
}

async fn apply_op(connection: &mut SqliteConnection, op: LedgerOp, run_id: &str, now: i64) -> Result<()> {
    match op {
        LedgerOp::Enqueue(entry) => outbox::enqueue(connection, &[entry], run_id, now).await,
        LedgerOp::Settle(settlement) => outbox::settle(connection, &[settlement], now).await,
        LedgerOp::Undone { sink, delivery_key } => outbox::undo(connection, &sink, &delivery_key, now).await,
        LedgerOp::Link(update) => link::upsert(connection, &[&update], now).await,
        LedgerOp::Unlink { sink, prospect_id } => link::remove(connection, &sink, &prospect_id).await,
        LedgerOp::Suppress(suppression) => suppression::add(connection, &suppression).await.map(|_| ()),
        LedgerOp::Quarantine(mark) => quarantine::mark(connection, &mark, run_id, now).await,
        LedgerOp::Decide(decision) => identity::decide(connection, &decision, run_id, now).await,
        LedgerOp::Edit(edit) => identity::edit(connection, &edit).await,
        LedgerOp::Review(pairs) => identity::review(connection, &pairs).await,
        LedgerOp::Sample(sample) => identity::draw(connection, &sample).await,
        LedgerOp::IdentityModel { version, bytes } => identity::keep_model(connection, (&version, &bytes), run_id, now).await,
        LedgerOp::Merged(former) => identity::merged(connection, &former, run_id, now).await,
        LedgerOp::Audit(entry) => audit::append(connection, &entry, now).await,
        LedgerOp::IntakeTaken { source, upto } => intake::clear_taken(connection, &source, upto).await,
        LedgerOp::Erase(keys) => person::erase(connection, &keys).await,
        LedgerOp::FinishRun { status, counts } => run::finish(connection, run_id, status, &counts, (None, now)).await,
    }
}
