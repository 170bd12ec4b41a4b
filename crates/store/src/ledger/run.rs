//! `hw_run`: what was run, when, and how it ended.

use serde_json::Value;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::error::placed;
use crate::ledger::{json, word};
use crate::words::words;
use crate::{Result, RunLock, Store, StoreError};

words! {
    /// How a run stands.
    RunStatus {
        /// It is working, or its process died and nobody has taken the lock since.
        Running = "running",
        /// It did everything.
        Done = "done",
        /// It did everything it could; some rows were rejected.
        Rejected = "rejected",
        /// It stopped at an error.
        Failed = "failed",
        /// It was stopped, or its process died.
        Interrupted = "interrupted",
    }
}

/// A run that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// Its id.
    pub run_id: String,
    /// The command, without anything a person typed as a value.
    pub command: String,
    /// The program's version.
    pub version: String,
}

/// A run as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Run {
    /// Its id.
    pub run_id: String,
    /// The command.
    pub command: String,
    /// When it began.
    pub started_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// How it stands.
    pub status: RunStatus,
    /// What it counted.
    pub counts: Value,
    /// Why it failed.
    pub error: Option<String>,
    /// The program's version.
    pub version: String,
    /// Its process.
    pub pid: i64,
}

impl Store {
    /// Notes that a run begins. Only the holder of the lock runs.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be written.
    pub async fn start_run(&self, _lock: &RunLock, run: &NewRun, now: i64) -> Result<()> {
        let NewRun { run_id, command, version } = run;
        placed("starting a run", self.ledger(), async {
            let mut tx = self.begin().await?;
            sqlx::query("INSERT INTO hw_run VALUES (?, ?, ?, NULL, ?, '{}', NULL, ?, ?)")
                .bind(run_id)
                .bind(command)
                .bind(now)
                .bind(RunStatus::Running.as_str())
                .bind(version)
                .bind(std::process::id())
                .execute(tx.connection())
                .await?;
            tx.commit().await
        })
        .await
    }

    /// Notes how a run ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] if there is no such run.
    pub async fn finish_run(&self, run_id: &str, status: RunStatus, counts: &Value, error: Option<&str>, now: i64) -> Result<()> {
        placed("finishing a run", self.ledger(), async {
            let mut tx = self.begin().await?;
            finish(tx.connection(), run_id, status, counts, (error, now)).await?;
            tx.commit().await
        })
        .await
    }

    /// The latest runs, newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be read.
    pub async fn list_runs(&self, limit: u32) -> Result<Vec<Run>> {
        placed("reading the runs", self.ledger(), async {
            let rows = sqlx::query("SELECT * FROM hw_run ORDER BY started_at DESC, rowid DESC LIMIT ?")
                .bind(limit)
                .fetch_all(self.pool())
                .await?;
            rows.iter().map(run_of).collect()
        })
        .await
    }

    /// One run.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be read.
    pub async fn run(&self, run_id: &str) -> Result<Option<Run>> {
        placed("reading a run", self.ledger(), async {
            let row = sqlx::query("SELECT * FROM hw_run WHERE run_id = ?").bind(run_id).fetch_optional(self.pool()).await?;
            row.as_ref().map(run_of).transpose()
        })
        .await
    }
}

pub(crate) async fn finish(
    connection: &mut SqliteConnection,
    run_id: &str,
    status: RunStatus,
    counts: &Value,
    (error, now): (Option<&str>, i64),
) -> Result<()> {
    let done = sqlx::query("UPDATE hw_run SET ended_at = ?, status = ?, counts = ?, error = ? WHERE run_id = ?")
        .bind(now)
        .bind(status.as_str())
        .bind(counts.to_string())
        .bind(error)
        .bind(run_id)
        .execute(connection)
        .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::not_found(format!("run `{run_id}`"))) }
}

/// Whoever holds the lock knows that no other run is alive.
pub(crate) async fn mark_interrupted(connection: &mut SqliteConnection, now: i64) -> Result<()> {
    sqlx::query("UPDATE hw_run SET status = ?, ended_at = ? WHERE status = ?")
        .bind(RunStatus::Interrupted.as_str())
        .bind(now)
        .bind(RunStatus::Running.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

fn run_of(row: &SqliteRow) -> Result<Run> {
    Ok(Run {
        run_id: row.try_get("run_id")?,
        command: row.try_get("command")?,
        started_at: row.try_get("started_at")?,
        ended_at: row.try_get("ended_at")?,
        status: word(row, "status")?,
        counts: json(row, "counts")?,
        error: row.try_get("error")?,
        version: row.try_get("version")?,
        pid: row.try_get("pid")?,
    })
}
