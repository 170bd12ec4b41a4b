//! Sweep: old snapshots and their files go, everything that is live or young stays.

use std::time::Duration;

use headwater_model::tables::{LEAD, PROSPECT};
use headwater_store::{StoreError, Swept};

use crate::{HOUR, NOW, append, files, fresh, read, rows, stage};

/// Long after every file of these tests was written, by any clock.
const LATER: i64 = 4_000_000_000_000_000;

async fn replace(store: &headwater_store::Store, from: usize, now: i64) -> i64 {
    let base = store.snapshot().await.unwrap();
    let mut commit = store.commit("run", now);
    commit.replace(&base, &PROSPECT, vec![stage(store, &PROSPECT, from, 2)]);
    commit.execute().await.unwrap()
}

#[tokio::test]
async fn replaced_files_go_with_the_last_snapshot_that_shows_them() {
    let (folder, store) = fresh().await;
    let lock = store.lock(NOW).await.unwrap();
    append(&store, &LEAD, 0, 3).await;
    let first = replace(&store, 0, NOW + HOUR).await;
    let second = replace(&store, 10, NOW + 2 * HOUR).await;
    replace(&store, 20, NOW + 3 * HOUR).await;
    assert_eq!(files(&folder.path().join("lake")).len(), 4);

    let swept = store.sweep(&lock, NOW + 3 * HOUR, Duration::from_secs(3600 + 1)).await.unwrap();
    assert_eq!((swept.files, swept.orphans), (1, 0));
    assert!(matches!(store.snapshot_at(first).await, Err(StoreError::NotFound { .. })));
    assert_eq!(read(&store.snapshot_at(second).await.unwrap(), &PROSPECT), rows(&PROSPECT, 10, 2));

    let swept = store.sweep(&lock, NOW + 3 * HOUR, Duration::ZERO).await.unwrap();
    assert_eq!(swept, Swept { snapshots: 1, files: 1, orphans: 0 });
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!((read(&snapshot, &PROSPECT), read(&snapshot, &LEAD)), (rows(&PROSPECT, 20, 2), rows(&LEAD, 0, 3)));
    assert_eq!(files(&folder.path().join("lake")).len(), 2);
    assert_eq!(store.sweep(&lock, NOW + 3 * HOUR, Duration::ZERO).await.unwrap(), Swept::default());
}

#[tokio::test]
async fn keeping_nothing_leaves_the_last_snapshot_alone_whatever_the_clock_shows() {
    let (folder, store) = fresh().await;
    let lock = store.lock(NOW).await.unwrap();
    replace(&store, 0, NOW + 9 * HOUR).await;
    replace(&store, 10, NOW).await;
    store.sweep(&lock, NOW, Duration::ZERO).await.unwrap();
    assert_eq!(files(&folder.path().join("lake")).len(), 1);
    assert_eq!(read(&store.snapshot().await.unwrap(), &PROSPECT), rows(&PROSPECT, 10, 2));
}

#[tokio::test]
async fn version_survives_the_files_that_made_it() {
    let (_folder, store) = fresh().await;
    let lock = store.lock(NOW).await.unwrap();
    append(&store, &PROSPECT, 0, 3).await;
    let base = store.snapshot().await.unwrap();
    let mut commit = store.commit("run", NOW);
    commit.replace(&base, &PROSPECT, Vec::new());
    let emptied = commit.execute().await.unwrap();
    append(&store, &LEAD, 0, 1).await;
    store.sweep(&lock, LATER, Duration::ZERO).await.unwrap();
    assert_eq!(store.snapshot().await.unwrap().version(&PROSPECT), emptied);
}

#[tokio::test]
async fn only_old_orphans_go() {
    let (folder, store) = fresh().await;
    let lock = store.lock(NOW).await.unwrap();
    let committed = append(&store, &LEAD, 0, 3).await;
    let staged = stage(&store, &LEAD, 3, 3);
    let lead = folder.path().join("lake/main/lead");
    std::fs::write(lead.join("crashed.part"), b"PAR1").unwrap();
    std::fs::write(lead.join("notes.txt"), b"not ours").unwrap();
    let written = std::fs::metadata(lead.join("notes.txt")).unwrap().modified().unwrap();
    let written = i64::try_from(written.duration_since(std::time::UNIX_EPOCH).unwrap().as_micros()).unwrap();

    assert_eq!(store.sweep(&lock, written + 23 * HOUR, Duration::MAX).await.unwrap(), Swept::default());
    assert_eq!(store.sweep(&lock, written + 25 * HOUR, Duration::MAX).await.unwrap().orphans, 2);
    assert!(lead.join("notes.txt").exists());
    drop(staged);
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!((snapshot.id(), read(&snapshot, &LEAD)), (committed, rows(&LEAD, 0, 3)));
}

#[tokio::test]
async fn vacuum_empties_the_write_ahead_log() {
    let (folder, store) = fresh().await;
    let lock = store.lock(NOW).await.unwrap();
    append(&store, &LEAD, 0, 3).await;
    store.vacuum(&lock).await.unwrap();
    assert_eq!(std::fs::metadata(folder.path().join("ledger.db-wal")).unwrap().len(), 0);
    assert_eq!(read(&store.snapshot().await.unwrap(), &LEAD), rows(&LEAD, 0, 3));
}

#[tokio::test]
async fn a_finished_erasure_leaves_no_file_but_those_of_the_last_snapshot() {
    let (folder, store) = fresh().await;
    let lock = store.lock(NOW).await.unwrap();
    replace(&store, 0, NOW).await;
    replace(&store, 10, NOW).await;
    // Young, and of a run that died: an ordinary sweep would keep it.
    drop(stage(&store, &LEAD, 3, 3));
    assert_eq!(files(&folder.path().join("lake")).len(), 3);
    store.finish_erasure(&lock, NOW).await.unwrap();
    assert_eq!(files(&folder.path().join("lake")).len(), 1);
}
