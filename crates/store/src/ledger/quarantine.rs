//! `hw_quarantine_state`: what became of rows that ingest refused. The rows themselves are in the lake, where nothing changes.

use std::collections::HashMap;

use sqlx::{Row, SqliteConnection};

use crate::error::placed;
use crate::ledger::word;
use crate::words::words;
use crate::{Result, Store};

words! {
    /// What became of a quarantined row.
    QuarantineState {
        /// It was mended.
        Resolved = "resolved",
        /// It is not wanted.
        Discarded = "discarded",
        /// It was taken in again.
        Retried = "retried",
    }
}

/// A decision on a quarantined row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineMark {
    /// The row.
    pub quarantine_id: String,
    /// What became of it.
    pub state: QuarantineState,
}

impl Store {
    /// What became of quarantined rows, by their id; a row without a state is open.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn quarantine_states(&self) -> Result<HashMap<String, QuarantineState>> {
        placed("reading the quarantine", self.ledger(), async {
            let rows = sqlx::query("SELECT quarantine_id, state FROM hw_quarantine_state").fetch_all(self.pool()).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, word(row, "state")?))).collect()
        })
        .await
    }
}

/// A later decision replaces an earlier one.
pub(crate) async fn mark(connection: &mut SqliteConnection, mark: &QuarantineMark, run_id: &str, now: i64) -> Result<()> {
    let QuarantineMark { quarantine_id, state } = mark;
    sqlx::query(
        "INSERT INTO hw_quarantine_state VALUES (?, ?, ?, ?) \
         ON CONFLICT(quarantine_id) DO UPDATE SET state = excluded.state, run_id = excluded.run_id, at = excluded.at",
    )
    .bind(quarantine_id)
    .bind(state.as_str())
    .bind(run_id)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}
