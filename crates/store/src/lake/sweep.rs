//! Removes what nobody needs any more: old snapshots, the files that only they show, and files that no row names.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use crate::error::placed;
use crate::fault::{self, FaultPoint};
use crate::lake::bounds;
use crate::lake::place::UNFINISHED;
use crate::lake::text::{instant_of, instant_text};
use crate::ledger::meta;
use crate::{Result, RunLock, SnapshotId, Store, StoreError};

/// A file that no row names may belong to a commit that is yet to come; past this age it is the rest of a crash.
const ORPHAN_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How many ids one statement names; SQLite allows some thirty thousand.
const IDS_PER_STATEMENT: usize = 500;

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Snapshots that can no longer be read.
    pub snapshots: usize,
    /// Files that only they showed.
    pub files: usize,
    /// Files that no row named.
    pub orphans: usize,
}

impl Store {
    /// Ends time travel past `keep` (zero: to any earlier snapshot), and removes the files that only older snapshots showed, and orphans of crashes. The last
    /// snapshot always stays. It may be repeated, also after it was killed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if a file cannot be removed; the next sweep tries again.
    pub async fn sweep(&self, _lock: &RunLock, now: i64, keep: Duration) -> Result<Swept> {
        placed("sweeping", self.ledger(), async {
            let snapshots = self.expire(now, keep).await?;
            fault::point(FaultPoint::AfterExpireBeforeDelete);
            let files = self.delete_scheduled().await?;
            let newest = Duration::from_micros(u64::try_from(now).unwrap_or_default()).saturating_sub(ORPHAN_AGE);
            let orphans = self.delete_orphans(newest).await?;
            Ok(Swept { snapshots, files, orphans })
        })
        .await
    }

    /// Removes what is left of erased people: every snapshot but the last, the files that only those showed, every file that no row
    /// names, and free pages and log of the ledger. It may be repeated, also after it was killed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if a file cannot be removed, [`StoreError::Busy`] if somebody reads the ledger meanwhile. The erasure then
    /// stays pending.
    pub async fn finish_erasure(&self, lock: &RunLock, now: i64) -> Result<Swept> {
        let swept = placed("finishing an erasure", self.ledger(), async {
            let snapshots = self.expire(now, Duration::ZERO).await?;
            fault::point(FaultPoint::AfterExpireBeforeDelete);
            let files = self.delete_scheduled().await?;
            // Whoever holds the lock is the only one to write files.
            let orphans = self.delete_orphans(Duration::MAX).await?;
            Ok(Swept { snapshots, files, orphans })
        })
        .await?;
        fault::point(FaultPoint::AfterDeleteBeforeVacuum);
        self.vacuum(lock).await?;
        placed("finishing an erasure", self.ledger(), async {
            let mut tx = self.begin().await?;
            meta::remove(tx.connection(), meta::ERASURE).await?;
            tx.commit().await
        })
        .await?;
        Ok(swept)
    }

    /// Rewrites the ledger without its free pages, empties the write-ahead log and removes the files beside it: the last step of an
    /// erasure.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] if somebody reads the ledger meanwhile.
    pub async fn vacuum(&self, _lock: &RunLock) -> Result<()> {
        self.drop_identity_index()?;
        self.drop_seen_files()?;
        placed("vacuuming", self.ledger(), async {
            sqlx::query("VACUUM").execute(self.pool()).await?;
            let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(self.pool()).await?;
            if row.try_get::<i64, _>(0)? == 0 { Ok(()) } else { Err(StoreError::Busy { what: "the ledger" }) }
        })
        .await
    }

    /// Takes old snapshots out of the catalog, and with them the rows of files that no other snapshot shows. The files are only
    /// put on a list here, so that a crash before they are gone is made good by the next sweep.
    async fn expire(&self, now: i64, keep: Duration) -> Result<usize> {
        // An erasure keeps nothing, whatever the clock showed when the snapshots were made.
        let before = match i64::try_from(keep.as_micros()) {
            Ok(0) => i64::MAX,
            Ok(keep) => now.saturating_sub(keep),
            Err(_) => i64::MIN,
        };
        let mut tx = self.begin().await?;
        let connection = tx.connection();
        let old = old_snapshots(connection, before).await?;
        for chunk in old.chunks(IDS_PER_STATEMENT) {
            for delete in [
                "DELETE FROM ducklake_snapshot WHERE snapshot_id IN (",
                "DELETE FROM ducklake_snapshot_changes WHERE snapshot_id IN (",
            ] {
                delete_ids(connection, delete, chunk).await?;
            }
        }
        let scheduled = schedule_unseen(connection, now).await?;
        for chunk in scheduled.chunks(IDS_PER_STATEMENT) {
            for delete in [
                "DELETE FROM ducklake_data_file WHERE data_file_id IN (",
                "DELETE FROM ducklake_file_column_stats WHERE data_file_id IN (",
                "DELETE FROM ducklake_file_partition_value WHERE data_file_id IN (",
            ] {
                delete_ids(connection, delete, chunk).await?;
            }
        }
        let deletes = schedule_deletes(connection, now).await?;
        for chunk in deletes.chunks(IDS_PER_STATEMENT) {
            delete_ids(connection, "DELETE FROM ducklake_delete_file WHERE delete_file_id IN (", chunk).await?;
        }
        if !scheduled.is_empty() {
            for entry in self.entries() {
                bounds::restate(connection, entry).await?;
            }
        }
        tx.commit().await?;
        Ok(old.len())
    }

    async fn delete_scheduled(&self) -> Result<usize> {
        let rows = sqlx::query("SELECT data_file_id, path, path_is_relative FROM ducklake_files_scheduled_for_deletion")
            .fetch_all(self.pool())
            .await?;
        let mut gone = Vec::with_capacity(rows.len());
        for row in &rows {
            let path: String = row.try_get(1)?;
            remove(&self.lake().join(path))?;
            gone.push(row.try_get(0)?);
        }
        let mut tx = self.begin().await?;
        for chunk in gone.chunks(IDS_PER_STATEMENT) {
            delete_ids(tx.connection(), "DELETE FROM ducklake_files_scheduled_for_deletion WHERE data_file_id IN (", chunk)
                .await?;
        }
        tx.commit().await?;
        Ok(gone.len())
    }

    async fn delete_orphans(&self, newest: Duration) -> Result<usize> {
        let found = old_files(&self.lake().join("main"), newest)?;
        // Read after the folders: a file that a commit named in between is named here.
        let named = self.named_files().await?;
        let mut orphans = 0;
        for path in found.into_iter().filter(|path| !named.contains(path)) {
            remove(&path)?;
            orphans += 1;
        }
        Ok(orphans)
    }

    /// Every file that the catalog names, of whichever table and age.
    async fn named_files(&self) -> Result<HashSet<PathBuf>> {
        let rows = sqlx::query(
            "SELECT CASE WHEN f.path_is_relative THEN s.path || t.path || f.path ELSE f.path END FROM ( \
               SELECT table_id, path, path_is_relative FROM ducklake_data_file \
               UNION ALL SELECT table_id, path, path_is_relative FROM ducklake_delete_file) f \
             JOIN ducklake_table t ON t.table_id = f.table_id JOIN ducklake_schema s ON s.schema_id = t.schema_id \
             UNION ALL SELECT path FROM ducklake_files_scheduled_for_deletion",
        )
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(|row| Ok(self.lake().join(row.try_get::<String, _>(0)?))).collect()
    }
}

async fn old_snapshots(connection: &mut SqliteConnection, before: i64) -> Result<Vec<SnapshotId>> {
    let rows = sqlx::query(
        "SELECT snapshot_id, snapshot_time FROM ducklake_snapshot WHERE snapshot_id < (SELECT max(snapshot_id) FROM ducklake_snapshot)",
    )
    .fetch_all(connection)
    .await?;
    let mut old = Vec::new();
    for row in &rows {
        // A time that nobody can read counts as the youngest.
        if instant_of(row.try_get(1)?).map_or(before == i64::MAX, |time| time < before) {
            old.push(row.try_get(0)?);
        }
    }
    Ok(old)
}

/// Lists files that ended before every snapshot that is left, or lie between two of them.
async fn schedule_unseen(connection: &mut SqliteConnection, now: i64) -> Result<Vec<i64>> {
    let ids = sqlx::query_scalar(
        "INSERT INTO ducklake_files_scheduled_for_deletion \
         SELECT f.data_file_id, CASE WHEN f.path_is_relative THEN s.path || t.path || f.path ELSE f.path END, f.path_is_relative, ? \
         FROM ducklake_data_file f JOIN ducklake_table t ON t.table_id = f.table_id JOIN ducklake_schema s ON s.schema_id = t.schema_id \
         WHERE f.end_snapshot IS NOT NULL AND NOT EXISTS (SELECT 1 FROM ducklake_snapshot p \
           WHERE p.snapshot_id >= f.begin_snapshot AND p.snapshot_id < f.end_snapshot) RETURNING data_file_id",
    )
    .bind(instant_text(now))
    .fetch_all(connection)
    .await?;
    Ok(ids)
}

/// Lists delete files that no snapshot shows, or whose data file is gone: DuckDB does not end those of a data file that it ends.
async fn schedule_deletes(connection: &mut SqliteConnection, now: i64) -> Result<Vec<i64>> {
    let ids = sqlx::query_scalar(
        "INSERT INTO ducklake_files_scheduled_for_deletion \
         SELECT f.delete_file_id, CASE WHEN f.path_is_relative THEN s.path || t.path || f.path ELSE f.path END, f.path_is_relative, ? \
         FROM ducklake_delete_file f JOIN ducklake_table t ON t.table_id = f.table_id JOIN ducklake_schema s ON s.schema_id = t.schema_id \
         WHERE (f.end_snapshot IS NOT NULL AND NOT EXISTS (SELECT 1 FROM ducklake_snapshot p \
           WHERE p.snapshot_id >= f.begin_snapshot AND p.snapshot_id < f.end_snapshot)) \
         OR NOT EXISTS (SELECT 1 FROM ducklake_data_file d WHERE d.data_file_id = f.data_file_id) RETURNING data_file_id",
    )
    .bind(instant_text(now))
    .fetch_all(connection)
    .await?;
    Ok(ids)
}

async fn delete_ids(connection: &mut SqliteConnection, delete: &'static str, ids: &[i64]) -> Result<()> {
    let mut query = QueryBuilder::<Sqlite>::new(delete);
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind(*id);
    }
    query.push(")").build().execute(connection).await?;
    Ok(())
}

/// Removes a file; one that is gone already is as good.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Our kinds of files below a folder, last changed before an instant since 1970.
fn old_files(folder: &Path, newest: Duration) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let io = || StoreError::io(&folder);
        if !folder.exists() {
            continue;
        }
        for item in fs::read_dir(&folder).map_err(io())? {
            let item = item.map_err(io())?;
            let path = item.path();
            let about = item.metadata().map_err(StoreError::io(&path))?;
            let changed = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            if about.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "parquet" || ending == UNFINISHED)
                && changed.is_some_and(|changed| changed < newest)
            {
                found.push(path);
            }
        }
    }
    Ok(found)
}
