//! `hw_intake`: pushed payloads, kept until a run has taken them over.
//!
//! A payload is durable before its sender is answered. Callers that come at the same time share one transaction, for it is the
//! sync of the disk that costs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::Value;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::error::placed;
use crate::fault::{self, FaultPoint};
use crate::ledger::json;
use crate::store::Connections;
use crate::{Result, Store, StoreError};

/// How many payloads may wait for the disk. A payload is at most a few hundred kilobytes, which the server sees to.
const QUEUE_ROWS: usize = 1024;
/// How many payloads share one transaction.
const GROUP_ROWS: usize = 256;

/// A pushed payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntakeRecord {
    /// The source it came to.
    pub source: String,
    /// When it came.
    pub received_at: i64,
    /// Its media type.
    pub content_type: Option<String>,
    /// The headers that were kept.
    pub headers: Value,
    /// Its bytes.
    pub body: Vec<u8>,
    /// The sender's own id of the delivery; a second one of the same source is a duplicate.
    pub delivery_key: Option<String>,
    /// Whether its signature was checked, and how that went.
    pub signature_status: String,
}

/// A payload as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntakeRow {
    /// Its number; later ones are larger.
    pub seq: i64,
    /// The payload.
    pub record: IntakeRecord,
}

/// Where a payload was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The number of the payload, or of the one it repeats.
    pub seq: i64,
    /// Whether it was already there.
    pub duplicate: bool,
}

impl Store {
    /// Keeps a pushed payload. When this returns, it is on the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] if too many payloads wait already; then, and after any other error, nothing is known to be kept.
    pub async fn intake_append(&self, record: IntakeRecord) -> Result<Appended> {
        let (answer, answered) = oneshot::channel();
        self.intake_queue().send(Waiting { record, answer })?;
        answered.await.unwrap_or(Err(StoreError::Busy { what: "the intake, which is closing," }))
    }

    /// A source's payloads after a number, oldest first, without those that were taken over.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be read.
    pub async fn intake_after(&self, source: &str, seq: i64, limit: u32) -> Result<Vec<IntakeRow>> {
        placed("reading the intake", self.ledger(), async {
            let rows = sqlx::query("SELECT * FROM hw_intake WHERE source = ? AND seq > ? AND taken = 0 ORDER BY seq LIMIT ?")
                .bind(source)
                .bind(seq)
                .bind(limit)
                .fetch_all(self.pool())
                .await?;
            rows.iter().map(row_of).collect()
        })
        .await
    }

    /// How many payloads of each source wait to be taken over.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be read.
    pub async fn intake_depth(&self) -> Result<BTreeMap<String, i64>> {
        placed("reading the intake", self.ledger(), async {
            let rows = sqlx::query("SELECT source, count(*) FROM hw_intake WHERE taken = 0 GROUP BY source")
                .fetch_all(self.pool())
                .await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
        })
        .await
    }
}

/// The task that writes payloads. It ends with the store.
pub(crate) struct IntakeQueue {
    sender: mpsc::Sender<Waiting>,
    // Owns the task; held, never asked.
    _task: Mutex<JoinSet<()>>,
}

struct Waiting {
    record: IntakeRecord,
    answer: oneshot::Sender<Result<Appended>>,
}

impl IntakeQueue {
    pub(crate) fn start(connections: Connections, ledger: PathBuf) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_ROWS);
        let mut task = JoinSet::new();
        task.spawn(write_groups(receiver, connections, ledger));
        Self { sender, _task: Mutex::new(task) }
    }

    fn send(&self, waiting: Waiting) -> Result<()> {
        self.sender.try_send(waiting).map_err(|_| StoreError::Busy { what: "the intake" })
    }
}

async fn write_groups(mut queue: mpsc::Receiver<Waiting>, connections: Connections, ledger: PathBuf) {
    let mut group = Vec::with_capacity(GROUP_ROWS);
    while queue.recv_many(&mut group, GROUP_ROWS).await > 0 {
        let written = placed("keeping pushed payloads", &ledger, write_group(&connections, &group)).await;
        fault::point(FaultPoint::AfterIntakeBeforeReply);
        match written {
            Ok(places) => {
                for (waiting, place) in group.drain(..).zip(places) {
                    // A sender that went away will send again, and then learn that it is a duplicate.
                    drop(waiting.answer.send(Ok(place)));
                }
            }
            Err(error) => {
                for waiting in group.drain(..) {
                    drop(waiting.answer.send(Err(error.clone())));
                }
            }
        }
    }
}

async fn write_group(connections: &Connections, group: &[Waiting]) -> Result<Vec<Appended>> {
    let mut tx = connections.begin().await?;
    let mut places = Vec::with_capacity(group.len());
    for Waiting { record, .. } in group {
        places.push(append(tx.connection(), record).await?);
    }
    fault::point(FaultPoint::InsideIntakeBeforeCommit);
    tx.commit().await?;
    Ok(places)
}

async fn append(connection: &mut SqliteConnection, record: &IntakeRecord) -> Result<Appended> {
    let IntakeRecord { source, received_at, content_type, headers, body, delivery_key, signature_status } = record;
    let added: Option<i64> = sqlx::query_scalar(
        "INSERT INTO hw_intake(source, received_at, content_type, headers, body, delivery_key, signature_status) \
         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT(source, delivery_key) DO NOTHING RETURNING seq",
    )
    .bind(source)
    .bind(received_at)
    .bind(content_type)
    .bind(headers.to_string())
    .bind(body)
    .bind(delivery_key)
    .bind(signature_status)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(seq) = added {
        return Ok(Appended { seq, duplicate: false });
    }
    let seq = sqlx::query_scalar("SELECT seq FROM hw_intake WHERE source = ? AND delivery_key = ?")
        .bind(source)
        .bind(delivery_key)
        .fetch_one(connection)
        .await?;
    Ok(Appended { seq, duplicate: true })
}

pub(crate) async fn clear_taken(connection: &mut SqliteConnection, source: &str, upto: i64) -> Result<()> {
    sqlx::query("UPDATE hw_intake SET taken = 1, headers = '{}', body = x'' WHERE source = ? AND seq <= ? AND taken = 0")
        .bind(source)
        .bind(upto)
        .execute(connection)
        .await?;
    Ok(())
}

fn row_of(row: &SqliteRow) -> Result<IntakeRow> {
    let record = IntakeRecord {
        source: row.try_get("source")?,
        received_at: row.try_get("received_at")?,
        content_type: row.try_get("content_type")?,
        headers: json(row, "headers")?,
        body: row.try_get("body")?,
        delivery_key: row.try_get("delivery_key")?,
        signature_status: row.try_get("signature_status")?,
    };
    Ok(IntakeRow { seq: row.try_get("seq")?, record })
}
