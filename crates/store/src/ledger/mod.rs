//! The ledger: control tables beside the lake's catalog.

pub(crate) mod audit;
pub(crate) mod cursor;
pub(crate) mod identity;
pub(crate) mod intake;
pub(crate) mod link;
pub(crate) mod meta;
pub(crate) mod outbox;
pub(crate) mod person;
pub(crate) mod quarantine;
pub(crate) mod run;
pub(crate) mod suppression;
mod waiting;

use serde::Serialize;
use serde_json::Value;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::lake::catalog::has_table;
use crate::{Result, StoreError};

const DDL: &str = include_str!("../control.sql");
/// What layout 2 has beyond the first: people's decisions on who is who, the model, and the pairs in doubt.
const DDL_2: &str = include_str!("../control-2.sql");
/// What layout 3 has beyond the second: the joined pairs that people check, and what they say.
const DDL_3: &str = include_str!("../control-3.sql");
/// The layout of the control tables; raised with every file of tables that is added.
const VERSION: i64 = 3;

/// Whether there are all control tables; an error if they are newer than this version.
pub(crate) async fn exists(connection: &mut SqliteConnection) -> Result<bool> {
    if !has_table(connection, "hw_meta").await? {
        return Ok(false);
    }
    let found = meta::get(connection, meta::SCHEMA_VERSION).await?.unwrap_or_default();
    match found.parse::<i64>() {
        Ok(VERSION) => Ok(true),
        // `bootstrap` adds what is missing.
        Ok(1 | 2) => Ok(false),
        Ok(newer) if newer > VERSION => Err(StoreError::format(format!(
            "the ledger was written by a newer version (layout {newer}, this one knows {VERSION}); use that version"
        ))),
        _ => Err(StoreError::format(format!("the ledger has the unknown layout `{found}`"))),
    }
}

pub(crate) async fn bootstrap(connection: &mut SqliteConnection) -> Result<()> {
    for (table, statements) in [("hw_meta", DDL), ("hw_decision", DDL_2), ("hw_sample", DDL_3)] {
        if !has_table(connection, table).await? {
            sqlx::raw_sql(statements).execute(&mut *connection).await?;
        }
    }
    meta::set(connection, meta::SCHEMA_VERSION, &VERSION.to_string()).await
}

/// A JSON column. Only this crate writes them, so one that does not parse means a damaged ledger.
fn json(row: &SqliteRow, column: &str) -> Result<Value> {
    let text: &str = row.try_get(column)?;
    serde_json::from_str(text).map_err(|_| StoreError::format(format!("the ledger is damaged: column `{column}` holds no JSON")))
}

/// A column that holds one word of an enum.
fn word<T: std::str::FromStr<Err = StoreError>>(row: &SqliteRow, column: &str) -> Result<T> {
    row.try_get::<&str, _>(column)?.parse()
}

/// Ids as SQLite's `json_each` takes them: a list of any length in one parameter.
fn list<T: Serialize>(ids: &[T]) -> String {
    // A list of texts or numbers is always JSON.
    serde_json::to_string(ids).unwrap_or_default()
}
