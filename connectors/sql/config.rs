//! The settings.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use headwater_sdk::{Error, ErrorKind, Result, SecretRef};
use schemars::JsonSchema;
use serde::Deserialize;

/// A table or query of a database server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerDatabase {
    /// Where the database is: `postgres://user:password@host:port/database` or `mysql://…`, as a reference since it holds the password.
    pub(crate) url: SecretRef,
    /// The table or view to read, such as `customers` or `crm.customers`. Either this or `query`.
    #[serde(default)]
    pub(crate) table: Option<String>,
    /// The query to read, without a semicolon at its end. It should not sort: pages are sorted around it.
    #[serde(default)]
    pub(crate) query: Option<String>,
    /// The columns to read; all when left out. The key and the cursor's column are read in any case.
    #[serde(default)]
    pub(crate) columns: Vec<String>,
    /// The column, or columns together, that identify a row: unique and never null.
    pub(crate) key: Vec<String>,
    /// The column that says when a row last changed. Without one every run reads all rows.
    #[serde(default)]
    pub(crate) cursor: Option<Cursor>,
    /// How rows that are gone are noticed.
    #[serde(default)]
    pub(crate) deletions: Deletions,
    /// A column that is true, not 0 or not empty in rows that count as deleted, such as `deleted_at`.
    #[serde(default)]
    pub(crate) deleted_column: Option<String>,
    /// How many rows a page has at most.
    #[serde(default = "page_rows")]
    pub(crate) page_rows: NonZeroU32,
    /// How long one statement may take, in seconds.
    #[serde(default = "timeout")]
    pub(crate) statement_timeout_secs: NonZeroU64,
}

/// A table or query of a SQLite file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileDatabase {
    /// The file, relative to the project.
    pub(crate) path: PathBuf,
    /// The table or view to read. Either this or `query`.
    #[serde(default)]
    pub(crate) table: Option<String>,
    /// The query to read, without a semicolon at its end. It should not sort: pages are sorted around it.
    #[serde(default)]
    pub(crate) query: Option<String>,
    /// The columns to read; all when left out. The key and the cursor's column are read in any case.
    #[serde(default)]
    pub(crate) columns: Vec<String>,
    /// The column, or columns together, that identify a row: unique and never null.
    pub(crate) key: Vec<String>,
    /// The column that says when a row last changed. Without one every run reads all rows.
    #[serde(default)]
    pub(crate) cursor: Option<Cursor>,
    /// How rows that are gone are noticed.
    #[serde(default)]
    pub(crate) deletions: Deletions,
    /// A column that is true, not 0 or not empty in rows that count as deleted, such as `deleted_at`.
    #[serde(default)]
    pub(crate) deleted_column: Option<String>,
    /// How many rows a page has at most.
    #[serde(default = "page_rows")]
    pub(crate) page_rows: NonZeroU32,
    /// How long one statement may take, in seconds.
    #[serde(default = "timeout")]
    pub(crate) statement_timeout_secs: NonZeroU64,
}

/// A table of a MySQL or MariaDB server to write into.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerTable {
    /// Where the database is: `mysql://user:password@host:port/database`, as a reference since it holds the password.
    pub(crate) url: SecretRef,
    /// The table, such as `prospects` or `crm.prospects`.
    pub(crate) table: String,
    /// Whether to make the table, and columns it lacks, as text. Without it a missing one is an error.
    #[serde(default)]
    pub(crate) create: bool,
}

/// A table of a SQLite file to write into.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileTable {
    /// The file, relative to the project.
    pub(crate) path: PathBuf,
    /// The table.
    pub(crate) table: String,
    /// Whether to make the file, the table, and columns it lacks, as text. Without it a missing one is an error.
    #[serde(default)]
    pub(crate) create: bool,
}

/// By what a read goes on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cursor {
    /// The column. An index on it, and then the key, keeps reads cheap.
    pub(crate) column: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub(crate) of_type: CursorType,
    /// How far before the newest value the next run starts: seconds of a time, steps of a number. It covers rows whose transaction
    /// ended after rows with later values were read. 60 for times, 0 for numbers when left out.
    #[serde(default)]
    pub(crate) overlap: Option<u32>,
}

/// What a cursor's column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CursorType {
    /// A date or instant; in SQLite, text that sorts as its time does, such as `2026-01-03 10:30:00`.
    Time,
    /// A whole number that grows with every change.
    Integer,
}

/// How rows that are gone are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Deletions {
    /// Not at all.
    #[default]
    None,
    /// Every run reads all rows, and a key that was there the last time and is not any more is a deletion.
    Snapshot,
}

/// What to read, whatever database it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) from: From,
    pub(super) columns: Vec<String>,
    pub(super) key: Vec<String>,
    pub(super) cursor: Option<Cursor>,
    pub(super) deletions: Deletions,
    pub(super) deleted_column: Option<String>,
    pub(super) page_rows: u32,
    pub(super) timeout_secs: u64,
}

/// Where rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    Table(String),
    Query(String),
}

impl ServerDatabase {
    pub(super) fn parts(self) -> Result<(SecretRef, Wanted)> {
        let Self { url, table, query, columns, key, cursor, deletions, deleted_column, page_rows, statement_timeout_secs } = self;
        let (page_rows, timeout_secs) = (page_rows.get(), statement_timeout_secs.get());
        let from = from(table, query)?;
        Ok((url, Wanted { from, columns, key, cursor, deletions, deleted_column, page_rows, timeout_secs }.checked()?))
    }
}

impl FileDatabase {
    pub(super) fn parts(self) -> Result<(PathBuf, Wanted)> {
        let Self { path, table, query, columns, key, cursor, deletions, deleted_column, page_rows, statement_timeout_secs } =
            self;
        let (page_rows, timeout_secs) = (page_rows.get(), statement_timeout_secs.get());
        let from = from(table, query)?;
        Ok((path, Wanted { from, columns, key, cursor, deletions, deleted_column, page_rows, timeout_secs }.checked()?))
    }
}

fn from(table: Option<String>, query: Option<String>) -> Result<From> {
    match (table, query) {
        (Some(table), None) if !table.trim().is_empty() => Ok(From::Table(table)),
        (None, Some(query)) if !query.trim().is_empty() => {
            Ok(From::Query(query.trim().trim_end_matches(';').trim_end().to_owned()))
        }
        _ => Err(wrong("table", "set either `table` or `query`", "name a table, or write the query that gives the rows")),
    }
}

impl Wanted {
    fn checked(self) -> Result<Self> {
        if self.key.is_empty() {
            return Err(wrong("key", "no key is set", "name the primary key: `key: [id]`"));
        }
        if self.cursor.is_some() && self.deletions == Deletions::Snapshot {
            let hint = "leave `cursor` out, or mark deleted rows by `deleted_column`";
            return Err(wrong("deletions", "a snapshot reads all rows, and a cursor only those that changed", hint));
        }
        Ok(self)
    }
}

fn wrong(path: &str, what: &str, hint: &str) -> Error {
    Error::new(ErrorKind::Config, what).context("path", path).hint(hint)
}

fn page_rows() -> NonZeroU32 {
    const ROWS: NonZeroU32 = NonZeroU32::new(5_000).unwrap();
    ROWS
}

fn timeout() -> NonZeroU64 {
    const SECS: NonZeroU64 = NonZeroU64::new(60).unwrap();
    SECS
}
