//! `hw_suppression`: who must not be contacted. Only keyed hashes are stored; the hashing is the model's, the key lies here.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use sqlx::{Row, SqliteConnection};

use crate::error::placed;
use crate::ledger::{meta, word};
use crate::store::beside;
use crate::words::words;
use crate::{Result, Store, StoreError, random};

/// The key's file, beside the ledger.
const KEY_FILE: &str = "suppression.key";

words! {
    /// What a suppressed address is.
    SuppressionKind {
        /// An email address.
        Email = "email",
        /// A telephone number.
        Phone = "phone",
    }
}

/// A suppressed address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// The keyed hash of the normalised address, as lower-case hex.
    pub hmac: String,
    /// What it is.
    pub kind: SuppressionKind,
    /// Which key it was hashed with.
    pub key_version: i64,
    /// Which normaliser it went through.
    pub normaliser_version: i64,
    /// What it forbids, such as `marketing`.
    pub scope: String,
    /// Why.
    pub reason: String,
    /// When it was asked for.
    pub requested_at: i64,
    /// Who or what brought it, such as a list's name.
    pub origin: String,
}

impl Store {
    /// Adds suppressed addresses, and says how many are new. The first request for an address stays.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be written.
    pub async fn add_suppressions(&self, suppressions: &[Suppression]) -> Result<u64> {
        placed("adding suppressions", self.ledger(), async {
            let mut tx = self.begin().await?;
            let mut new = 0;
            for suppression in suppressions {
                new += add(tx.connection(), suppression).await?;
            }
            tx.commit().await?;
            Ok(new)
        })
        .await
    }

    /// Removes suppressed addresses, and says how many there were.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be written.
    pub async fn remove_suppressions(&self, hmacs: &[String]) -> Result<u64> {
        placed("removing suppressions", self.ledger(), async {
            let mut tx = self.begin().await?;
            let mut removed = 0;
            for hmac in hmacs {
                let done = sqlx::query("DELETE FROM hw_suppression WHERE hmac = ?").bind(hmac).execute(tx.connection()).await?;
                removed += done.rows_affected();
            }
            tx.commit().await?;
            Ok(removed)
        })
        .await
    }

    /// The hashes of every suppressed address. The kind of an address is part of what is hashed, so one set serves all.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be read.
    pub async fn suppression_set(&self) -> Result<HashSet<String>> {
        placed("reading the suppressions", self.ledger(), async {
            let hashes: Vec<String> = sqlx::query_scalar("SELECT hmac FROM hw_suppression").fetch_all(self.pool()).await?;
            Ok(hashes.into_iter().collect())
        })
        .await
    }

    /// How many addresses are suppressed, by kind.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be read.
    pub async fn suppression_counts(&self) -> Result<BTreeMap<SuppressionKind, i64>> {
        placed("reading the suppressions", self.ledger(), async {
            let rows = sqlx::query("SELECT kind, count(*) AS addresses FROM hw_suppression GROUP BY kind")
                .fetch_all(self.pool())
                .await?;
            rows.iter().map(|row| Ok((word(row, "kind")?, row.try_get("addresses")?))).collect()
        })
        .await
    }

    /// The key that addresses are hashed with, made at its first use. It lies in `suppression.key` beside the ledger, readable
    /// by its owner alone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Format`] if the key is lost, or is not the one that this ledger's hashes were made with: a new key would
    /// silently let every suppressed person through.
    pub async fn suppression_key(&self) -> Result<[u8; 32]> {
        let path = self.ledger().with_file_name(KEY_FILE);
        placed("checking the suppression key", self.ledger(), async {
            let mut tx = self.begin().await?;
            let known = meta::get(tx.connection(), meta::SUPPRESSION_KEY).await?;
            let key = match (read_key(&path)?, &known) {
                (Some(key), _) => key,
                (None, None) => make_key(&path)?,
                (None, Some(_)) => {
                    return Err(StoreError::format(format!(
                        "the suppression key {} is lost; restore it from a backup, for without it nobody is suppressed",
                        path.display()
                    )));
                }
            };
            // The digest of a random key tells nothing of it.
            let digest = blake3::hash(&key).to_hex().to_string();
            match known {
                None => meta::set(tx.connection(), meta::SUPPRESSION_KEY, &digest).await?,
                Some(known) if known == digest => {}
                Some(_) => {
                    return Err(StoreError::format(format!(
                        "{} is not the suppression key of this ledger; restore the right one",
                        path.display()
                    )));
                }
            }
            tx.commit().await?;
            Ok(key)
        })
        .await
    }
}

pub(crate) async fn add(connection: &mut SqliteConnection, suppression: &Suppression) -> Result<u64> {
    let Suppression { hmac, kind, key_version, normaliser_version, scope, reason, requested_at, origin } = suppression;
    let added = sqlx::query("INSERT INTO hw_suppression VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(hmac, kind) DO NOTHING")
        .bind(hmac)
        .bind(kind.as_str())
        .bind(key_version)
        .bind(normaliser_version)
        .bind(scope)
        .bind(reason)
        .bind(requested_at)
        .bind(origin)
        .execute(connection)
        .await?;
    Ok(added.rows_affected())
}

fn read_key(path: &Path) -> Result<Option<[u8; 32]>> {
    match fs::read(path) {
        Ok(bytes) => match <[u8; 32]>::try_from(bytes) {
            Ok(key) => Ok(Some(key)),
            Err(_) => Err(StoreError::format(format!("the suppression key {} does not have 32 bytes", path.display()))),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io(path)(error)),
    }
}

/// Writes a new key under another name first, so that a crash leaves a whole key or none.
fn make_key(path: &Path) -> Result<[u8; 32]> {
    let key: [u8; 32] = random::bytes()?;
    let unfinished = beside(path, ".part");
    let write = || -> std::io::Result<()> {
        let mut options = File::options();
        options.create(true).truncate(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&unfinished)?;
        file.write_all(&key)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(StoreError::io(path))?;
    Ok(key)
}
