//! What the outbox holds, in the short answers that a delivery is planned by.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::Row;

use crate::error::placed;
use crate::ledger::{list, quarantine, word};
use crate::{OutboxState, QuarantineMark, QuarantineState, Result, Store};

impl Store {
    /// The delivery keys of a sink's pushes that stand like this.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn outbox_keys(&self, sink: &str, state: OutboxState) -> Result<HashSet<String>> {
        placed("reading the outbox", self.ledger(), async {
            let rows = sqlx::query("SELECT delivery_key FROM hw_outbox WHERE sink = ? AND state = ?")
                .bind(sink)
                .bind(state.as_str())
                .fetch_all(self.pool())
                .await?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
        .await
    }

    /// The keys of a sink's deliveries that the remote refused, last at `before` or earlier (microseconds since 1970) and after at most
    /// so many calls, and that no later push of the same prospect has overtaken.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn outbox_refused_before(&self, sink: &str, before: i64, most_attempts: u32) -> Result<HashSet<String>> {
        const REFUSED: &str = "SELECT delivery_key FROM hw_outbox WHERE sink = ?1 AND state = 'rejected' AND payload <> '{}' \
             AND updated_at <= ?2 AND attempts <= ?3 AND NOT EXISTS (SELECT 1 FROM hw_outbox later WHERE later.sink = ?1 \
             AND later.prospect_id = hw_outbox.prospect_id AND later.id > hw_outbox.id)";
        placed("reading the outbox", self.ledger(), async {
            let query = sqlx::query(REFUSED).bind(sink).bind(before).bind(most_attempts);
            let rows = query.fetch_all(self.pool()).await?;
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

    /// How many pushes of a sink wait or are under way.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn outbox_waiting_count(&self, sink: &str) -> Result<u64> {
        placed("reading the outbox", self.ledger(), async {
            let statement = "SELECT count(*) FROM hw_outbox WHERE sink = ? AND state IN ('pending', 'retry', 'sent')";
            let row = sqlx::query(statement).bind(sink).fetch_one(self.pool()).await?;
            Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
        })
        .await
    }

    /// The pushes that wait of some of a sink's prospects: the number of each, and whose it is.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn outbox_waiting_of(&self, sink: &str, prospects: &[&str]) -> Result<Vec<(i64, String)>> {
        const WAITING: &str = "SELECT id, prospect_id FROM hw_outbox WHERE prospect_id IN (SELECT value FROM json_each(?2)) \
             AND sink = ?1 AND state IN ('pending', 'retry') ORDER BY id";
        placed("reading the outbox", self.ledger(), async {
            let rows = sqlx::query(WAITING).bind(sink).bind(list(prospects)).fetch_all(self.pool()).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
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
            let statement =
                "SELECT min(coalesce(next_attempt_at, 0)) FROM hw_outbox WHERE sink = ? AND state IN ('pending', 'retry')";
            let row = sqlx::query(statement).bind(sink).fetch_one(self.pool()).await?;
            Ok(row.try_get(0)?)
        })
        .await
    }

    /// What became of quarantined rows and when that was decided, by their id. A row that was refused again later is open again.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn quarantine_marks(&self) -> Result<HashMap<String, (QuarantineState, i64)>> {
        placed("reading the quarantine", self.ledger(), async {
            let rows = sqlx::query("SELECT quarantine_id, state, at FROM hw_quarantine_state").fetch_all(self.pool()).await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, (word(row, "state")?, row.try_get("at")?)))).collect()
        })
        .await
    }

    /// Queues refused pushes of a sink again, each given by its delivery key and its id in the quarantine, and closes all of them
    /// there. One that a later push of the same prospect has overtaken, or that was erased, is not queued: it would bring back
    /// what is no longer so. How many were queued.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be written; then nothing is changed.
    pub async fn outbox_retry_refused(&self, sink: &str, refused: &[(String, String)], run_id: &str, now: i64) -> Result<u64> {
        const RETRY: &str = "UPDATE hw_outbox SET state = 'retry', next_attempt_at = NULL, reason = NULL, updated_at = ?1 \
             WHERE sink = ?2 AND delivery_key = ?3 AND state = 'rejected' AND payload <> '{}' AND NOT EXISTS \
             (SELECT 1 FROM hw_outbox later WHERE later.sink = ?2 AND later.prospect_id = hw_outbox.prospect_id AND later.id > hw_outbox.id)";
        placed("queueing refused pushes again", self.ledger(), async {
            let mut tx = self.begin().await?;
            let mut queued = 0;
            for (delivery_key, quarantine_id) in refused {
                let query = sqlx::query(RETRY).bind(now).bind(sink).bind(delivery_key);
                let moved = query.execute(tx.connection()).await?.rows_affected();
                queued += moved;
                let state = if moved > 0 { QuarantineState::Retried } else { QuarantineState::Resolved };
                let mark = QuarantineMark { quarantine_id: quarantine_id.clone(), state };
                quarantine::mark(tx.connection(), &mark, run_id, now).await?;
            }
            tx.commit().await?;
            Ok(queued)
        })
        .await
    }
}
