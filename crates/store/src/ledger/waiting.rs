//! What the outbox holds, in the short answers that a delivery is planned by.

use std::collections::{BTreeSet, HashSet};

use sqlx::Row;

use crate::error::placed;
use crate::{OutboxState, Result, Store};

impl Store {
    /// The delivery keys of a sink's pushes that stand like this.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn outbox_keys(&self, sink: &str, state: OutboxState) -> Result<HashSet<String>> {
        placed("reading the outbox", self.ledger(), async {
            let rows =
                sqlx::query("SELECT delivery_key FROM hw_outbox WHERE sink = ? AND state = ?")
                    .bind(sink)
                    .bind(state.as_str())
                    .fetch_all(self.pool())
                    .await?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
        .await
    }

    /// The prospects that a sink has pushes waiting or under way for.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn outbox_waiting(&self, sink: &str) -> Result<HashSet<String>> {
        placed("reading the outbox", self.ledger(), async {
            let rows = sqlx::query("SELECT prospect_id FROM hw_outbox WHERE sink = ? AND state IN ('pending', 'retry', 'sent')")
                .bind(sink)
                .fetch_all(self.pool())
                .await?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
        .await
    }

    /// Every source that deliveries ever came in through.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn intake_sources(&self) -> Result<BTreeSet<String>> {
        placed("reading the intake", self.ledger(), async {
            let rows = sqlx::query("SELECT DISTINCT source FROM hw_intake").fetch_all(self.pool()).await?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
        .await
    }

    /// When the next of a sink's waiting pushes may be tried; nothing when none waits.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn outbox_next_attempt(&self, sink: &str) -> Result<Option<i64>> {
        placed("reading the outbox", self.ledger(), async {
            let statement = "SELECT min(coalesce(next_attempt_at, 0)) FROM hw_outbox WHERE sink = ? AND state IN ('pending', 'retry')";
            let row = sqlx::query(statement).bind(sink).fetch_one(self.pool()).await?;
            Ok(row.try_get(0)?)
        })
        .await
    }
}
