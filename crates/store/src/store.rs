//! Opens a ledger and its lake, and hands out what works on them.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headwater_model::tables::Table;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::error::placed;
use crate::lake::catalog::{self, Entries, Entry};
use crate::lake::place::folder_name;
use crate::lake::snapshot::{self, DataFile, Snapshot};
use crate::lake::writer::TableWriter;
use crate::ledger::intake::IntakeQueue;
use crate::ledger::{self, run};
use crate::{Commit, Result, RunLock, SnapshotId, StoreError};

/// How long a statement waits for another process to finish its transaction; ours take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often to try when other processes make the ledger at the same moment; each of them is done within a few pauses.
const CONNECT_ATTEMPTS: u32 = 100;
const CONNECT_PAUSE: Duration = Duration::from_millis(20);
/// One connection writes at a time; the others read beside it.
const CONNECTIONS: u32 = 4;

/// Where the ledger and the lake are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// The ledger: `sqlite://<path>`.
    pub ledger: String,
    /// The folder of the lake's files.
    pub lake: PathBuf,
}

/// An open ledger and its lake. Cloning it is cheap and shares everything.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    connections: Connections,
    ledger: PathBuf,
    lake: PathBuf,
    entries: Entries,
    intake: OnceLock<IntakeQueue>,
}

/// The connections to a ledger.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pub(crate) pool: SqlitePool,
    /// Writers of this process queue here, in order, instead of polling SQLite's lock.
    gate: Arc<Mutex<()>>,
}

impl Connections {
    /// Begins a transaction that writes.
    pub(crate) async fn begin(&self) -> Result<WriteTx> {
        let turn = Arc::clone(&self.gate).lock_owned().await;
        Ok(WriteTx { transaction: self.pool.begin_with("BEGIN IMMEDIATE").await?, _turn: turn })
    }
}

/// A transaction that holds the right to write. Dropped without a commit, it changes nothing.
pub(crate) struct WriteTx {
    // Declared first, so that it is rolled back before the next writer passes the gate.
    transaction: Transaction<'static, Sqlite>,
    _turn: OwnedMutexGuard<()>,
}

impl WriteTx {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    pub(crate) async fn commit(self) -> Result<()> {
        Ok(self.transaction.commit().await?)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").field("ledger", &self.0.ledger).field("lake", &self.0.lake).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a ledger, and makes it and the lake if they do not exist. Tables and columns that the catalog lacks are added.
    ///
    /// # Errors
    ///
    /// [`StoreError::Format`] for a catalog that is not DuckLake 1.0, a ledger written by a newer version, or a table whose
    /// columns differ in more than missing ones; [`StoreError::Unsupported`] for a ledger that is not SQLite.
    pub async fn create_or_open(config: &StoreConfig, tables: &'static [&'static Table], now: i64) -> Result<Self> {
        let ledger = ledger_path(&config.ledger)?;
        for folder in ledger.parent().into_iter().filter(|folder| !folder.as_os_str().is_empty()).chain([config.lake.as_path()]) {
            std::fs::create_dir_all(folder).map_err(StoreError::io(folder))?;
        }
        placed("opening it", &ledger, Self::connect(&ledger, &config.lake, tables, now)).await
    }

    /// Opens a ledger as [`Store::create_or_open`] does, but makes none: `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// As [`Store::create_or_open`].
    pub async fn open(config: &StoreConfig, tables: &'static [&'static Table], now: i64) -> Result<Option<Self>> {
        let ledger = ledger_path(&config.ledger)?;
        // A process that was killed between making the file and filling it leaves an empty one.
        match std::fs::metadata(&ledger) {
            Ok(found) if found.len() > 0 => Self::create_or_open(config, tables, now).await.map(Some),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&ledger)(error)),
        }
    }

    /// Closes the connections, so that the write-ahead log is folded into the ledger's file.
    pub async fn close(&self) {
        self.0.connections.pool.close().await;
    }

    /// Takes the exclusive right to run on this ledger, and marks runs of dead processes as interrupted.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] if another process holds it.
    pub async fn lock(&self, now: i64) -> Result<RunLock> {
        let lock = RunLock::take(&beside(&self.0.ledger, ".lock"), now)?;
        placed("marking interrupted runs", self.ledger(), async {
            let mut tx = self.begin().await?;
            run::mark_interrupted(tx.connection(), now).await?;
            tx.commit().await
        })
        .await?;
        Ok(lock)
    }

    /// The lake as the last commit left it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the ledger cannot be read.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        self.load_snapshot(None).await
    }

    /// The lake as it was at a snapshot.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] if there is no such snapshot, or it is already swept.
    pub async fn snapshot_at(&self, id: SnapshotId) -> Result<Snapshot> {
        self.load_snapshot(Some(id)).await
    }

    async fn load_snapshot(&self, id: Option<SnapshotId>) -> Result<Snapshot> {
        placed("reading the catalog", self.ledger(), async {
            let mut tx = self.0.connections.pool.begin().await?;
            let snapshot = snapshot::load(&mut tx, &self.0.entries, id).await?;
            tx.commit().await?;
            Ok(snapshot)
        })
        .await
    }

    /// A writer of new files for a table, or for one partition of it (a folder of its own, such as the source's name).
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] if the store was not opened with this table.
    pub fn writer(&self, table: &Table, partition: Option<&str>) -> Result<TableWriter> {
        Ok(TableWriter::new(Arc::clone(self.entry(table)?), &self.0.lake, partition.map(folder_name)))
    }

    /// A writer of the file that takes the place of another one in its folder; see [`Commit::rewrite`].
    ///
    /// # Errors
    ///
    /// As [`Store::writer`].
    pub fn rewriter(&self, table: &Table, file: &DataFile) -> Result<TableWriter> {
        Ok(TableWriter::new(Arc::clone(self.entry(table)?), &self.0.lake, file.partition.clone()))
    }

    /// Begins to collect what is to happen in one transaction.
    pub fn commit(&self, run_id: &str, now: i64) -> Commit {
        Commit::new(self.clone(), run_id, now)
    }

    /// The lake's folder.
    #[must_use]
    pub fn lake(&self) -> &Path {
        &self.0.lake
    }

    /// The ledger's file.
    #[must_use]
    pub fn ledger(&self) -> &Path {
        &self.0.ledger
    }

    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.0.connections.pool
    }

    pub(crate) fn entry(&self, table: &Table) -> Result<&Arc<Entry>> {
        self.0.entries.get(table.name).ok_or_else(|| StoreError::not_found(format!("table `{}` in this store", table.name)))
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.0.entries.values()
    }

    pub(crate) fn intake_queue(&self) -> &IntakeQueue {
        self.0.intake.get_or_init(|| IntakeQueue::start(self.0.connections.clone(), self.0.ledger.clone()))
    }

    pub(crate) async fn begin(&self) -> Result<WriteTx> {
        self.0.connections.begin().await
    }

    async fn connect(ledger: &Path, lake: &Path, tables: &'static [&'static Table], now: i64) -> Result<Self> {
        let lake = std::fs::canonicalize(lake).map_err(StoreError::io(lake))?;
        let options = SqliteConnectOptions::new()
            .filename(ledger)
            .create_if_missing(true)
            .busy_timeout(BUSY_TIMEOUT)
            // What is deleted is overwritten: erasure must not leave a person's data in free pages.
            .pragma("secure_delete", "ON")
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        let pool = connect_when_free(ledger, options).await?;
        let entries = prepare(&pool, &lake, tables, now).await?;
        Ok(Self(Arc::new(Inner {
            connections: Connections { pool, gate: Arc::default() },
            ledger: ledger.to_owned(),
            lake,
            entries,
            intake: OnceLock::new(),
        })))
    }
}

/// Connects, and waits while other processes make the ledger. A file is turned to write-ahead logging under an exclusive lock, for
/// which SQLite waits by itself only in part.
async fn connect_when_free(ledger: &Path, options: SqliteConnectOptions) -> Result<SqlitePool> {
    let mut attempt = 1;
    loop {
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options.clone()).await;
        match pool.map_err(|error| StoreError::from(error).placed("connecting", ledger)) {
            Err(StoreError::Busy { .. }) if attempt < CONNECT_ATTEMPTS => {
                tokio::time::sleep(CONNECT_PAUSE).await;
                attempt += 1;
            }
            connected => return connected,
        }
    }
}

/// Makes or checks catalog and control tables. Nothing is written when nothing is missing.
async fn prepare(pool: &SqlitePool, lake: &Path, tables: &'static [&'static Table], now: i64) -> Result<Entries> {
    let names: HashSet<&str> = tables.iter().map(|table| table.name).collect();
    debug_assert_eq!(names.len(), tables.len(), "two tables have one name");
    let data_path = lake.to_str().map(|lake| format!("{lake}/"));
    let data_path =
        data_path.ok_or_else(|| StoreError::Unsupported { what: "a lake folder whose name is not UTF-8".to_owned() })?;

    let mut tx = pool.begin().await?;
    if catalog::exists(&mut tx).await? && ledger::exists(&mut tx).await? {
        let (entries, growth) = catalog::load(&mut tx, tables, lake).await?;
        if growth.is_empty() && catalog::metadata(&mut tx, "data_path").await?.as_ref() == Some(&data_path) {
            return Ok(entries);
        }
    }
    tx.rollback().await?;

    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    if !catalog::exists(&mut tx).await? {
        catalog::bootstrap(&mut tx, &data_path, now).await?;
    }
    if !ledger::exists(&mut tx).await? {
        ledger::bootstrap(&mut tx).await?;
    }
    let (_, growth) = catalog::load(&mut tx, tables, lake).await?;
    catalog::grow(&mut tx, &growth, now).await?;
    let (entries, _) = catalog::load(&mut tx, tables, lake).await?;
    move_lake(&mut tx, &entries, &data_path).await?;
    tx.commit().await?;
    Ok(entries)
}

/// A project folder may be moved as a whole; a wrong setting must not make the catalog point at files that are not there.
async fn move_lake(connection: &mut SqliteConnection, entries: &Entries, data_path: &str) -> Result<()> {
    let known = catalog::metadata(connection, "data_path").await?;
    if known.as_deref() == Some(data_path) {
        return Ok(());
    }
    let snapshot = snapshot::load(connection, entries, None).await?;
    let missing = entries.values().filter_map(|entry| snapshot.files(entry.table).first()).find(|file| !file.path.exists());
    if missing.is_some() {
        let known = known.unwrap_or_default();
        return Err(StoreError::format(format!(
            "the files of this ledger lie in {known}, not in {data_path}; set the lake's folder right"
        )));
    }
    sqlx::query("UPDATE ducklake_metadata SET \"value\" = ? WHERE \"key\" = 'data_path' AND \"scope\" IS NULL")
        .bind(data_path)
        .execute(connection)
        .await?;
    Ok(())
}

fn ledger_path(url: &str) -> Result<PathBuf> {
    match url.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() => Ok(PathBuf::from(path)),
        Some(("postgres" | "postgresql", _)) => {
            Err(StoreError::Unsupported { what: "a PostgreSQL ledger in this version (use `sqlite://<path>`)".to_owned() })
        }
        // Another URL may hold a password, so it is not repeated.
        _ => Err(StoreError::Unsupported { what: "a ledger that is not of the form `sqlite://<path>`".to_owned() }),
    }
}

/// A file beside another, named after it.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
