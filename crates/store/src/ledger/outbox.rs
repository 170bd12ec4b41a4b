//! `hw_outbox`: what is to be pushed, and what became of it.
//!
//! A row goes from `pending` (or `retry`) to `sent`, which is durable *before* the remote is called, and from there to an outcome.
//! So a row that a crash left as `sent` is doubtful: the remote may have it. Such rows are looked up first, never just sent again.

use std::collections::BTreeMap;

use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, sqlite::SqliteRow};

use crate::error::placed;
use crate::fault::{self, FaultPoint};
use crate::ledger::{link, word};
use crate::words::words;
use crate::{LinkUpdate, Result, Store, StoreError};

/// How many ids one statement names; SQLite allows some thirty thousand.
const IDS_PER_STATEMENT: usize = 500;

/// How many rows one statement writes: far below SQLite's bound of some thirty thousand values.
pub(super) const ROWS_PER_STATEMENT: usize = 500;

words! {
    /// What is to be done with the remote record.
    DeliveryOp {
        /// Make one.
        Create = "create",
        /// Change one.
        Update = "update",
        /// Take one out again that we made.
        Remove = "remove",
    }
}

words! {
    /// How a push stands.
    OutboxState {
        /// It waits for its first attempt.
        Pending = "pending",
        /// It waits for another attempt.
        Retry = "retry",
        /// The remote is being called, or was when the process died.
        Sent = "sent",
        /// The remote has it.
        Written = "written",
        /// The remote had it already.
        Unchanged = "unchanged",
        /// The remote refused it.
        Rejected = "rejected",
        /// A policy holds it back.
        HeldBack = "held_back",
        /// The remote had it, and it was taken back.
        Undone = "undone",
    }
}

words! {
    /// What became of a push.
    Outcome {
        /// The remote has it.
        Written = "written",
        /// The remote had it already.
        Unchanged = "unchanged",
        /// The remote refused it.
        Rejected = "rejected",
        /// A policy holds it back.
        HeldBack = "held_back",
        /// It is to be tried again.
        Retry = "retry",
    }
}

/// A push to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// The sink.
    pub sink: String,
    /// The prospect.
    pub prospect_id: String,
    /// Made of the prospect and the content; the same key is queued once per sink.
    pub delivery_key: String,
    /// What is to be done.
    pub op: DeliveryOp,
    /// The remote record, if it is known.
    pub remote_id: Option<String>,
    /// What is to be pushed, as JSON. Kept as text: a delivery reads each once, and most of it only to write it elsewhere.
    pub payload: String,
    /// What the remote had before, as JSON, for an undo.
    pub before: Option<String>,
}

/// A push as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its id.
    pub id: i64,
    /// What is to be pushed.
    pub entry: OutboxEntry,
    /// How it stands.
    pub state: OutboxState,
    /// How often the remote was called.
    pub attempts: i64,
    /// When it may be tried again.
    pub next_attempt_at: Option<i64>,
    /// Why it stands so.
    pub reason: Option<String>,
    /// The run that queued it.
    pub run_id: String,
    /// When it was queued.
    pub created_at: i64,
    /// When it changed last.
    pub updated_at: i64,
}

/// A push that may be tried now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuePush {
    /// Its id.
    pub id: i64,
    /// What is to be pushed.
    pub entry: OutboxEntry,
    /// How often the remote was called.
    pub attempts: i64,
    /// The run that queued it.
    pub run_id: String,
    /// When it was queued, in microseconds since 1970.
    pub queued_at: i64,
}

/// What became of one push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The push.
    pub id: i64,
    /// What became of it.
    pub outcome: Outcome,
    /// The remote record, if it is now known.
    pub remote_id: Option<String>,
    /// Why, in words without a person's data.
    pub reason: Option<String>,
    /// For a retry: when at the earliest.
    pub next_attempt_at: Option<i64>,
    /// What is now known of the remote record.
    pub link: Option<LinkUpdate>,
}

impl Store {
    /// A sink's pushes that may be tried now, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be read.
    pub async fn outbox_due(&self, sink: &str, now: i64, limit: u32) -> Result<Vec<DuePush>> {
        placed("reading the outbox", self.ledger(), async {
            // One state a part: over both at once SQLite would sort all that waits to give the first few. Every parameter has its
            // number: beside a numbered one, sqlx counts those without a number otherwise than SQLite does.
            let rows = sqlx::query(
                "SELECT id, prospect_id, delivery_key, op, remote_id, payload, before, attempts, run_id, created_at FROM (SELECT * FROM hw_outbox \
                 WHERE sink = ?1 AND state = 'pending' AND coalesce(next_attempt_at, ?2) <= ?2 ORDER BY id LIMIT ?3) UNION ALL \
                 SELECT id, prospect_id, delivery_key, op, remote_id, payload, before, attempts, run_id, created_at FROM (SELECT * FROM hw_outbox \
                 WHERE sink = ?1 AND state = 'retry' AND coalesce(next_attempt_at, ?2) <= ?2 ORDER BY id LIMIT ?3) ORDER BY id LIMIT ?3",
            )
            .bind(sink)
            .bind(now)
            .bind(limit)
            .fetch_all(self.pool())
            .await?;
            rows.iter().map(|row| due_of(sink, row)).collect()
        })
        .await
    }

    /// A sink's pushes that were being sent when a process died: the remote may or may not have them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be read.
    pub async fn outbox_doubtful(&self, sink: &str) -> Result<Vec<OutboxRow>> {
        placed("reading the outbox", self.ledger(), async {
            let rows = sqlx::query("SELECT * FROM hw_outbox WHERE sink = ? AND state = 'sent' ORDER BY id")
                .bind(sink)
                .fetch_all(self.pool())
                .await?;
            rows.iter().map(row_of).collect()
        })
        .await
    }

    /// Pushes by their ids, in the order of the ids.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be read.
    pub async fn outbox_rows(&self, ids: &[i64]) -> Result<Vec<OutboxRow>> {
        placed("reading the outbox", self.ledger(), async {
            let mut found = Vec::with_capacity(ids.len());
            for chunk in ids.chunks(IDS_PER_STATEMENT) {
                let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM hw_outbox WHERE id IN (");
                push_ids(&mut query, chunk);
                let rows = query.push(" ORDER BY id").build().fetch_all(self.pool()).await?;
                for row in &rows {
                    found.push(row_of(row)?);
                }
            }
            found.sort_by_key(|row: &OutboxRow| row.id);
            Ok(found)
        })
        .await
    }

    /// How many pushes stand how, by sink.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be read.
    pub async fn outbox_counts(&self) -> Result<BTreeMap<String, BTreeMap<OutboxState, i64>>> {
        placed("reading the outbox", self.ledger(), async {
            let rows = sqlx::query("SELECT sink, state, count(*) AS pushes FROM hw_outbox GROUP BY sink, state")
                .fetch_all(self.pool())
                .await?;
            let mut counts: BTreeMap<String, BTreeMap<OutboxState, i64>> = BTreeMap::new();
            for row in &rows {
                counts.entry(row.try_get("sink")?).or_default().insert(word(row, "state")?, row.try_get("pushes")?);
            }
            Ok(counts)
        })
        .await
    }

    /// Notes that the remote is about to be called with these pushes. It is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if one of them no longer waits; then none is marked.
    pub async fn outbox_mark_sent(&self, ids: &[i64], now: i64) -> Result<()> {
        let mark = "UPDATE hw_outbox SET state = 'sent', attempts = attempts + 1, next_attempt_at = NULL, updated_at = ";
        placed("marking pushes as sent", self.ledger(), self.move_all(ids, mark, " AND state IN ('pending', 'retry')", now))
            .await?;
        fault::point(FaultPoint::AfterSentBeforeSettle);
        Ok(())
    }

    /// Lets doubtful pushes wait for another attempt, once it is known that the remote does not have them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if one of them is not doubtful; then none is changed.
    pub async fn outbox_requeue(&self, ids: &[i64], now: i64) -> Result<()> {
        let mark = "UPDATE hw_outbox SET state = 'retry', next_attempt_at = NULL, updated_at = ";
        placed("queueing pushes again", self.ledger(), self.move_all(ids, mark, " AND state = 'sent'", now)).await
    }

    /// Notes what became of pushes, and what is now known of the remote records, in one transaction. Inside a commit, use
    /// [`crate::LedgerOp::Settle`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if one of them has an outcome already; then nothing is changed.
    pub async fn outbox_settle(&self, settlements: &[Settlement], now: i64) -> Result<()> {
        placed("settling pushes", self.ledger(), async {
            let mut tx = self.begin().await?;
            settle(tx.connection(), settlements, now).await?;
            fault::point(FaultPoint::InsideSettleBeforeCommit);
            tx.commit().await
        })
        .await
    }

    /// Lets what a run had pushed and was then taken back be offered again, as if nobody had pushed it. Says how many pushes that are.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be written; then nothing is changed.
    pub async fn outbox_offer_again(&self, run_id: &str, now: i64) -> Result<u64> {
        placed("offering pushes again", self.ledger(), async {
            let mut tx = self.begin().await?;
            sqlx::query(
                "UPDATE hw_crm_link SET pushed_hash = '' WHERE EXISTS (SELECT 1 FROM hw_outbox WHERE hw_outbox.sink = hw_crm_link.sink \
                 AND hw_outbox.prospect_id = hw_crm_link.prospect_id AND run_id = ? AND state = 'undone')",
            )
            .bind(run_id)
            .execute(tx.connection())
            .await?;
            // A key that was held back is not offered again; a new one is, and what is pushed under it is looked up first.
            let again = sqlx::query(
                "UPDATE hw_outbox SET state = 'held_back', reason = 'to be pushed again', updated_at = ? WHERE run_id = ? AND state = 'undone'",
            )
            .bind(now)
            .bind(run_id)
            .execute(tx.connection())
            .await?;
            tx.commit().await?;
            Ok(again.rows_affected())
        })
        .await
    }

    async fn move_all(&self, ids: &[i64], update: &'static str, only: &'static str, now: i64) -> Result<()> {
        let mut tx = self.begin().await?;
        for chunk in ids.chunks(IDS_PER_STATEMENT) {
            let mut query = QueryBuilder::<Sqlite>::new(update);
            query.push_bind(now).push(" WHERE id IN (");
            push_ids(&mut query, chunk);
            let moved = query.push(only).build().execute(tx.connection()).await?;
            if usize::try_from(moved.rows_affected()) != Ok(chunk.len()) {
                return Err(StoreError::conflict("a push of the outbox"));
            }
        }
        tx.commit().await
    }
}

/// Queues pushes, many in a statement: a delivery of a hundred thousand must not cost as many trips to the database.
pub(crate) async fn enqueue(connection: &mut SqliteConnection, entries: &[OutboxEntry], run_id: &str, now: i64) -> Result<()> {
    for chunk in entries.chunks(ROWS_PER_STATEMENT) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO hw_outbox(sink, prospect_id, delivery_key, op, remote_id, payload, before, state, attempts, run_id, created_at, updated_at) ",
        );
        query.push_values(chunk, |mut row, entry| {
            let OutboxEntry { sink, prospect_id, delivery_key, op, remote_id, payload, before } = entry;
            row.push_bind(sink.as_str()).push_bind(prospect_id.as_str()).push_bind(delivery_key.as_str()).push_bind(op.as_str());
            row.push_bind(remote_id.as_deref()).push_bind(payload.as_str()).push_bind(before.as_deref());
            row.push("'pending'").push("0").push_bind(run_id).push_bind(now).push_bind(now);
        });
        query.push(
            " ON CONFLICT(sink, delivery_key) DO UPDATE SET state = 'pending', attempts = 0, reason = NULL, updated_at = excluded.updated_at \
             WHERE state = 'held_back'",
        );
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// Notes what became of pushes, many in a statement, and what is now known of their records.
pub(crate) async fn settle(connection: &mut SqliteConnection, settlements: &[Settlement], now: i64) -> Result<()> {
    for chunk in settlements.chunks(ROWS_PER_STATEMENT) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "UPDATE hw_outbox AS o SET state = said.column2, remote_id = coalesce(said.column3, o.remote_id), reason = said.column4, \
             next_attempt_at = said.column5, updated_at = ",
        );
        query.push_bind(now).push(" FROM (");
        query.push_values(chunk, |mut row, settlement| {
            let Settlement { id, outcome, remote_id, reason, next_attempt_at, link: _ } = settlement;
            row.push_bind(*id).push_bind(outcome.as_str()).push_bind(remote_id.as_deref()).push_bind(reason.as_deref());
            row.push_bind(*next_attempt_at);
        });
        query.push(") AS said WHERE o.id = said.column1 AND o.state IN ('pending', 'retry', 'sent')");
        let settled = query.build().execute(&mut *connection).await?;
        if usize::try_from(settled.rows_affected()) != Ok(chunk.len()) {
            return Err(StoreError::conflict("a push of the outbox"));
        }
    }
    let links: Vec<&LinkUpdate> = settlements.iter().filter_map(|settlement| settlement.link.as_ref()).collect();
    link::upsert(connection, &links, now).await
}

/// Notes that a push was taken back. Its key stays, so that the same content is not pushed again by itself.
pub(crate) async fn undo(connection: &mut SqliteConnection, sink: &str, delivery_key: &str, now: i64) -> Result<()> {
    sqlx::query(
        "UPDATE hw_outbox SET state = 'undone', updated_at = ? WHERE sink = ? AND delivery_key = ? AND state IN ('written', 'unchanged')",
    )
    .bind(now)
    .bind(sink)
    .bind(delivery_key)
    .execute(connection)
    .await?;
    Ok(())
}

fn push_ids(query: &mut QueryBuilder<Sqlite>, ids: &[i64]) {
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind(*id);
    }
    query.push(")");
}

/// By position: a name would be looked for once a value.
fn due_of(sink: &str, row: &SqliteRow) -> Result<DuePush> {
    let entry = OutboxEntry {
        sink: sink.to_owned(),
        prospect_id: row.try_get(1)?,
        delivery_key: row.try_get(2)?,
        op: row.try_get::<&str, _>(3)?.parse()?,
        remote_id: row.try_get(4)?,
        payload: row.try_get(5)?,
        before: row.try_get(6)?,
    };
    Ok(DuePush { id: row.try_get(0)?, entry, attempts: row.try_get(7)?, run_id: row.try_get(8)?, queued_at: row.try_get(9)? })
}

pub(crate) fn row_of(row: &SqliteRow) -> Result<OutboxRow> {
    let entry = OutboxEntry {
        sink: row.try_get("sink")?,
        prospect_id: row.try_get("prospect_id")?,
        delivery_key: row.try_get("delivery_key")?,
        op: word(row, "op")?,
        remote_id: row.try_get("remote_id")?,
        payload: row.try_get("payload")?,
        before: row.try_get("before")?,
    };
    Ok(OutboxRow {
        id: row.try_get("id")?,
        entry,
        state: word(row, "state")?,
        attempts: row.try_get("attempts")?,
        next_attempt_at: row.try_get("next_attempt_at")?,
        reason: row.try_get("reason")?,
        run_id: row.try_get("run_id")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
