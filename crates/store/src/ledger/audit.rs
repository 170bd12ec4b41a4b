//! `hw_audit`: who did what to whose data, and why.
//!
//! Each entry carries the hash of the one before it, so a changed or removed entry breaks the chain from there on. Only the loss of
//! the last entries does not show by itself: keep the head's hash elsewhere to notice it.

use futures::TryStreamExt;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::error::placed;
use crate::lake::stats::whole;
use crate::{Result, Store};

/// What is to be noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To whom, as a keyed hash.
    pub subject_hmac: Option<String>,
    /// What else matters, without a person's data.
    pub detail: String,
}

/// An entry as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its number.
    pub seq: i64,
    /// When it was noted.
    pub at: i64,
    /// What was noted.
    pub entry: AuditEntry,
    /// The hash of the entry before it; empty for the first.
    pub prev_hash: String,
    /// Its own hash.
    pub hash: String,
}

/// Whether the chain of entries holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditCheck {
    /// It does.
    Intact {
        /// How many entries there are.
        entries: i64,
        /// The hash of the last one.
        head: Option<String>,
    },
    /// It was changed at or just before this entry.
    Broken {
        /// The entry.
        seq: i64,
    },
}

impl Store {
    /// Adds an entry. Inside a commit, use [`crate::LedgerOp::Audit`].
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be written.
    pub async fn audit(&self, entry: &AuditEntry, now: i64) -> Result<()> {
        placed("writing the audit log", self.ledger(), async {
            let mut tx = self.begin().await?;
            append(tx.connection(), entry, now).await?;
            tx.commit().await
        })
        .await
    }

    /// The latest entries, newest first.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn audit_entries(&self, limit: u32) -> Result<Vec<AuditRecord>> {
        placed("reading the audit log", self.ledger(), async {
            let rows = sqlx::query("SELECT * FROM hw_audit ORDER BY seq DESC LIMIT ?").bind(limit).fetch_all(self.pool()).await?;
            rows.iter().map(record_of).collect()
        })
        .await
    }

    /// Checks every entry against its hash and its predecessor.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn audit_verify(&self) -> Result<AuditCheck> {
        placed("checking the audit log", self.ledger(), async {
            let mut rows = sqlx::query("SELECT * FROM hw_audit ORDER BY seq").fetch(self.pool());
            let (mut entries, mut head) = (0, None);
            while let Some(row) = rows.try_next().await? {
                let record = record_of(&row)?;
                let chained = record.prev_hash == head.unwrap_or_default();
                if !chained || record.hash != hash(&record) {
                    return Ok(AuditCheck::Broken { seq: record.seq });
                }
                entries += 1;
                head = Some(record.hash);
            }
            Ok(AuditCheck::Intact { entries, head })
        })
        .await
    }
}

pub(crate) async fn append(connection: &mut SqliteConnection, entry: &AuditEntry, now: i64) -> Result<()> {
    let last = sqlx::query("SELECT seq, hash FROM hw_audit ORDER BY seq DESC LIMIT 1").fetch_optional(&mut *connection).await?;
    let (seq, prev_hash) = match last {
        Some(last) => (last.try_get::<i64, _>("seq")? + 1, last.try_get("hash")?),
        None => (1, String::new()),
    };
    let mut record = AuditRecord { seq, at: now, entry: entry.clone(), prev_hash, hash: String::new() };
    record.hash = hash(&record);
    let AuditRecord { seq, at, entry: AuditEntry { actor, action, subject_hmac, detail }, prev_hash, hash } = record;
    sqlx::query("INSERT INTO hw_audit VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(seq)
        .bind(at)
        .bind(actor)
        .bind(action)
        .bind(subject_hmac)
        .bind(detail)
        .bind(prev_hash)
        .bind(hash)
        .execute(connection)
        .await?;
    Ok(())
}

/// Every field goes in with its length before it, so that no two different entries read the same.
fn hash(record: &AuditRecord) -> String {
    let AuditRecord { seq, at, entry: AuditEntry { actor, action, subject_hmac, detail }, prev_hash, hash: _ } = record;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seq.to_le_bytes()).update(&at.to_le_bytes()).update(&[u8::from(subject_hmac.is_some())]);
    for text in [actor, action, subject_hmac.as_ref().unwrap_or(&String::new()), detail, prev_hash] {
        hasher.update(&whole(text.len()).to_le_bytes()).update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn record_of(row: &SqliteRow) -> Result<AuditRecord> {
    let entry = AuditEntry {
        actor: row.try_get("actor")?,
        action: row.try_get("action")?,
        subject_hmac: row.try_get("subject_hmac")?,
        detail: row.try_get("detail")?,
    };
    Ok(AuditRecord {
        seq: row.try_get("seq")?,
        at: row.try_get("at")?,
        entry,
        prev_hash: row.try_get("prev_hash")?,
        hash: row.try_get("hash")?,
    })
}
