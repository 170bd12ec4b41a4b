//! `hw_crm_link`: which remote record a prospect is, and what was pushed there last.

use std::collections::HashMap;

use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, sqlite::SqliteRow};

use crate::error::placed;
use crate::ledger::list;
use crate::ledger::outbox::ROWS_PER_STATEMENT;
use crate::{Result, Store};

/// A prospect's record in a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrmLink {
    /// The sink.
    pub sink: String,
    /// The prospect.
    pub prospect_id: String,
    /// The remote record.
    pub remote_id: String,
    /// The hash of what was pushed last.
    pub pushed_hash: String,
    /// What was pushed last, as JSON.
    pub pushed_fields: String,
    /// When it was pushed.
    pub pushed_at: i64,
}

/// What is now known of a prospect's record in a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkUpdate {
    /// The sink.
    pub sink: String,
    /// The prospect.
    pub prospect_id: String,
    /// The remote record.
    pub remote_id: String,
    /// The hash of what was pushed.
    pub pushed_hash: String,
    /// What was pushed, as JSON.
    pub pushed_fields: String,
}

impl Store {
    /// A sink's records by prospect.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn links(&self, sink: &str) -> Result<HashMap<String, CrmLink>> {
        placed("reading the links", self.ledger(), async {
            let rows = sqlx::query("SELECT * FROM hw_crm_link WHERE sink = ?").bind(sink).fetch_all(self.pool()).await?;
            rows.iter().map(|row| link_of(row).map(|link| (link.prospect_id.clone(), link))).collect()
        })
        .await
    }

    /// The records in a sink of some prospects, by prospect.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn links_of(&self, sink: &str, prospects: &[&str]) -> Result<HashMap<String, CrmLink>> {
        placed("reading the links", self.ledger(), async {
            let rows =
                sqlx::query("SELECT * FROM hw_crm_link WHERE sink = ? AND prospect_id IN (SELECT value FROM json_each(?))")
                    .bind(sink)
                    .bind(list(prospects))
                    .fetch_all(self.pool())
                    .await?;
            rows.iter().map(|row| link_of(row).map(|link| (link.prospect_id.clone(), link))).collect()
        })
        .await
    }

    /// The prospects that are one record of a sink; more than one after a merge that the sink has not seen yet.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn links_by_remote(&self, sink: &str, remote_id: &str) -> Result<Vec<CrmLink>> {
        placed("reading the links", self.ledger(), async {
            let rows = sqlx::query("SELECT * FROM hw_crm_link WHERE sink = ? AND remote_id = ? ORDER BY prospect_id")
                .bind(sink)
                .bind(remote_id)
                .fetch_all(self.pool())
                .await?;
            rows.iter().map(link_of).collect()
        })
        .await
    }
}

pub(crate) async fn upsert(connection: &mut SqliteConnection, updates: &[&LinkUpdate], now: i64) -> Result<()> {
    for chunk in updates.chunks(ROWS_PER_STATEMENT) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO hw_crm_link(sink, prospect_id, remote_id, pushed_hash, pushed_fields, pushed_at) ",
        );
        query.push_values(chunk, |mut row, update| {
            let LinkUpdate { sink, prospect_id, remote_id, pushed_hash, pushed_fields } = update;
            row.push_bind(sink.as_str()).push_bind(prospect_id.as_str()).push_bind(remote_id.as_str());
            row.push_bind(pushed_hash.as_str()).push_bind(pushed_fields.as_str()).push_bind(now);
        });
        query.push(
            " ON CONFLICT(sink, prospect_id) DO UPDATE SET remote_id = excluded.remote_id, pushed_hash = excluded.pushed_hash, \
             pushed_fields = excluded.pushed_fields, pushed_at = excluded.pushed_at",
        );
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

pub(crate) async fn remove(connection: &mut SqliteConnection, sink: &str, prospect_id: &str) -> Result<()> {
    sqlx::query("DELETE FROM hw_crm_link WHERE sink = ? AND prospect_id = ?")
        .bind(sink)
        .bind(prospect_id)
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) fn link_of(row: &SqliteRow) -> Result<CrmLink> {
    Ok(CrmLink {
        sink: row.try_get("sink")?,
        prospect_id: row.try_get("prospect_id")?,
        remote_id: row.try_get("remote_id")?,
        pushed_hash: row.try_get("pushed_hash")?,
        pushed_fields: row.try_get("pushed_fields")?,
        pushed_at: row.try_get("pushed_at")?,
    })
}
