//! `hw_cursor`: where each loop stands.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::error::placed;
use crate::ledger::json;
use crate::{Result, Store, StoreError};

/// Where a loop stands. The store counts the moves, since positions themselves are opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// How many times it was moved; [`crate::Commit::advance`] compares it.
    pub sequence: i64,
    /// The position.
    pub value: Value,
    /// When it was moved last.
    pub updated_at: i64,
    /// By which run.
    pub run_id: String,
}

impl Store {
    /// One cursor, if it was ever set.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be read.
    pub async fn cursor(&self, key: &str) -> Result<Option<Cursor>> {
        placed("reading a cursor", self.ledger(), async {
            let row = sqlx::query("SELECT * FROM hw_cursor WHERE key = ?").bind(key).fetch_optional(self.pool()).await?;
            row.as_ref().map(cursor_of).transpose()
        })
        .await
    }

    /// Every cursor by its key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be read.
    pub async fn cursors(&self) -> Result<BTreeMap<String, Cursor>> {
        placed("reading the cursors", self.ledger(), async {
            let rows = sqlx::query("SELECT * FROM hw_cursor").fetch_all(self.pool()).await?;
            rows.iter().map(|row| Ok((row.try_get("key")?, cursor_of(row)?))).collect()
        })
        .await
    }
}

/// Moves a cursor if nobody else has moved it since `seen`.
pub(crate) async fn advance(
    connection: &mut SqliteConnection,
    key: &str,
    seen: Option<i64>,
    value: &str,
    (run_id, now): (&str, i64),
) -> Result<()> {
    let statement = match seen {
        None => "INSERT INTO hw_cursor VALUES (?1, 1, ?2, ?3, ?4) ON CONFLICT(key) DO NOTHING",
        Some(_) => {
            "UPDATE hw_cursor SET sequence = sequence + 1, value = ?2, updated_at = ?3, run_id = ?4 WHERE key = ?1 AND sequence = ?5"
        }
    };
    let mut query = sqlx::query(statement).bind(key).bind(value).bind(now).bind(run_id);
    if let Some(seen) = seen {
        query = query.bind(seen);
    }
    if query.execute(connection).await?.rows_affected() == 1 {
        return Ok(());
    }
    Err(StoreError::conflict(format!("cursor `{key}`")))
}

fn cursor_of(row: &SqliteRow) -> Result<Cursor> {
    Ok(Cursor {
        sequence: row.try_get("sequence")?,
        value: json(row, "value")?,
        updated_at: row.try_get("updated_at")?,
        run_id: row.try_get("run_id")?,
    })
}
