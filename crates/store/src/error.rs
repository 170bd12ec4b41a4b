//! What can go wrong in the store, by what a caller can do about it.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_model::decoding::{Undecoded, decode};
use parquet::errors::ParquetError;

use crate::Result;

/// Why the store could not do it. No message holds a person's data.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Something that was named does not exist.
    #[error("{what} was not found")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// Another process holds the run lock.
    #[error("another run (process {pid}, since {since}) works on this ledger; wait until it ends, or stop it")]
    Locked {
        /// The process that holds it, as it wrote it down.
        pid: String,
        /// Since when, as text in UTC.
        since: String,
    },
    /// Somebody else changed what this commit builds on; nothing was changed by it.
    #[error("{what} was changed by another run in the meantime; nothing of this batch was committed, run it again")]
    Conflict {
        /// What was changed.
        what: String,
    },
    /// A bounded queue is full, or the database stayed locked for too long.
    #[error("{what} is busy; try again in a moment")]
    Busy {
        /// What is busy.
        what: &'static str,
    },
    /// It is not built, or not possible here.
    #[error("{what} is not supported")]
    Unsupported {
        /// What is not supported.
        what: String,
    },
    /// The ledger or a file has a shape that this version does not know, or is damaged.
    #[error("{what}")]
    Format {
        /// What was found, and what to do.
        what: String,
    },
    /// A batch does not fit the table it is written to.
    #[error("the batch does not fit table `{table}`: {why}")]
    Misfit {
        /// The table.
        table: &'static str,
        /// What does not fit.
        why: String,
    },
    /// There is no room left.
    #[error("no space is left in {}; nothing of the current batch was committed, make room and run it again", folder.display())]
    DiskFull {
        /// The folder that is full.
        folder: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{} could not be read or written", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A Parquet file could not be read or written.
    #[error("{} is not a sound Parquet file", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader or writer said.
        source: Arc<ParquetError>,
    },
    /// The database refused or failed.
    #[error("the ledger failed while {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What the database said.
        source: Arc<sqlx::Error>,
    },
}

/// Where statements fail before [`StoreError::placed`] knows what was being done.
const UNPLACED: &str = "working";

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database { doing: UNPLACED, source: Arc::new(source) }
    }
}

impl StoreError {
    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    pub(crate) fn conflict(what: impl Into<String>) -> Self {
        Self::Conflict { what: what.into() }
    }

    pub(crate) fn format(what: impl Into<String>) -> Self {
        Self::Format { what: what.into() }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { folder: folder_of(&path) },
            _ => Self::Io { path, source: Arc::new(source) },
        }
    }

    pub(crate) fn parquet(path: &Path) -> impl FnOnce(ParquetError) -> Self {
        let path = path.to_owned();
        move |source| {
            if is_full(&source) {
                return Self::DiskFull { folder: folder_of(&path) };
            }
            Self::Parquet { path, source: Arc::new(source) }
        }
    }

    /// What was decoded of a Parquet file, or why it could not be.
    pub(crate) fn decoded<T, E: Into<ParquetError>>(path: &Path, decoder: impl FnOnce() -> Result<T, E>) -> Result<T> {
        let said = |undecoded: Undecoded<ParquetError>| match undecoded {
            Undecoded::Refused(error) => error,
            damaged @ Undecoded::Damaged => ParquetError::External(Box::new(damaged)),
        };
        decode(|| decoder().map_err(Into::into)).map_err(said).map_err(Self::parquet(path))
    }

    /// A file that holds other rows than it should.
    pub(crate) fn short(path: &Path, rows: i64, expected: i64) -> Self {
        let path = path.display();
        Self::format(format!("{path} has {rows} rows, not {expected} as the catalog says; restore it from a backup"))
    }

    /// Says what was being done, and tells a full disk and a locked database from other failures of the database.
    pub(crate) fn placed(self, doing: &'static str, ledger: &Path) -> Self {
        let Self::Database { doing: UNPLACED, source } = self else {
            return self;
        };
        let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let code = code.and_then(|code| code.parse::<i32>().ok()).unwrap_or_default();
        match code {
            // The write-ahead log's index has its own code for "cannot grow".
            SQLITE_IOERR_SHMSIZE => Self::DiskFull { folder: folder_of(ledger) },
            _ if code & PRIMARY == SQLITE_FULL => Self::DiskFull { folder: folder_of(ledger) },
            _ if code & PRIMARY == SQLITE_BUSY => Self::Busy { what: "the ledger" },
            _ => Self::Database { doing, source },
        }
    }
}

/// Names what was being done, wherever a piece of work fails.
pub(crate) async fn placed<T>(doing: &'static str, ledger: &Path, work: impl Future<Output = Result<T>>) -> Result<T> {
    work.await.map_err(|error| error.placed(doing, ledger))
}

/// The low byte of SQLite's extended result codes is the primary code.
const PRIMARY: i32 = 0xff;
const SQLITE_BUSY: i32 = 5;
const SQLITE_FULL: i32 = 13;
const SQLITE_IOERR_SHMSIZE: i32 = 4874;

fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_owned()
}

fn is_full(error: &ParquetError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use parquet::arrow::ArrowWriter;
    use sqlx::{Connection, SqliteConnection};

    use super::*;

    #[test]
    fn full_disk_under_a_parquet_file_is_recognised() {
        let batch = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let write = || -> std::result::Result<(), ParquetError> {
            let mut writer = ArrowWriter::try_new(full, batch.schema(), None)?;
            writer.write(&batch)?;
            writer.finish()?;
            Ok(())
        };
        let error = StoreError::parquet(Path::new("/lake/main/lead/x.parquet"))(write().unwrap_err());
        assert!(matches!(&error, StoreError::DiskFull { folder } if folder == Path::new("/lake/main/lead")), "{error:?}");
        assert!(error.to_string().contains("/lake/main/lead; nothing of the current batch was committed"));
    }

    #[tokio::test]
    async fn full_disk_under_the_ledger_is_recognised() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql("CREATE TABLE t(b BLOB); PRAGMA max_page_count = 3").execute(&mut connection).await.unwrap();
        let error = sqlx::query("INSERT INTO t VALUES (zeroblob(100000))").execute(&mut connection).await.unwrap_err();
        let error = StoreError::from(error).placed("writing", Path::new("/data/ledger.db"));
        assert!(matches!(&error, StoreError::DiskFull { folder } if folder == Path::new("/data")), "{error:?}");
    }
}
