//! What the catalog says about columns: of each file, and of a table as a whole.
//!
//! DuckDB holds the bounds of the whole table against queries of *any* snapshot. So they cover every file that a snapshot still
//! shows, also those that were replaced: they only widen, until a sweep has removed old files and states them anew.

use std::collections::HashMap;

use headwater_model::tables::ColumnType;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::Result;
use crate::lake::catalog::Entry;
use crate::lake::stats::{self, ColumnStats};

/// What is known of a column in one file or in several.
#[derive(Debug, Clone)]
struct Note {
    has_values: bool,
    has_nulls: bool,
    has_nan: Option<bool>,
    bounds: Option<(String, String)>,
}

/// Notes the columns of a new file, and widens what is known of the table.
pub(crate) async fn add_file(connection: &mut SqliteConnection, entry: &Entry, file: i64, columns: &[ColumnStats]) -> Result<()> {
    let first: bool =
        sqlx::query_scalar("SELECT NOT EXISTS (SELECT 1 FROM ducklake_data_file WHERE table_id = ? AND data_file_id <> ?)")
            .bind(entry.id)
            .bind(file)
            .fetch_one(&mut *connection)
            .await?;
    for ((column_id, column), found) in entry.column_ids.iter().zip(entry.table.columns).zip(columns) {
        let ColumnStats { size_bytes, values, nulls, bounds, has_nan } = found;
        let (low, high) = bounds.as_ref().map(|(low, high)| (low, high)).unzip();
        sqlx::query("INSERT INTO ducklake_file_column_stats VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)")
            .bind(file)
            .bind(entry.id)
            .bind(column_id)
            .bind(size_bytes)
            .bind(values)
            .bind(nulls)
            .bind(low)
            .bind(high)
            .bind(has_nan)
            .execute(&mut *connection)
            .await?;
        let note = Note { has_values: *values > 0, has_nulls: *nulls > 0, has_nan: *has_nan, bounds: bounds.clone() };
        match known(connection, entry.id, *column_id).await? {
            Some(known) => put(connection, entry.id, *column_id, &widen(column.kind, known, &note)).await?,
            None if first => put(connection, entry.id, *column_id, &note).await?,
            // A column that is younger than some files: nothing can be said of all of them.
            None => {}
        }
    }
    Ok(())
}

/// States the bounds of a table anew from the files that are left of it.
pub(crate) async fn restate(connection: &mut SqliteConnection, entry: &Entry) -> Result<()> {
    sqlx::query("DELETE FROM ducklake_table_column_stats WHERE table_id = ?").bind(entry.id).execute(&mut *connection).await?;
    let files: i64 = sqlx::query_scalar("SELECT count(*) FROM ducklake_data_file WHERE table_id = ?")
        .bind(entry.id)
        .fetch_one(&mut *connection)
        .await?;
    let rows = sqlx::query(
        "SELECT coalesce(value_count, 1) > 0, coalesce(null_count, 1) > 0, contains_nan, min_value, max_value, column_id \
         FROM ducklake_file_column_stats WHERE table_id = ?",
    )
    .bind(entry.id)
    .fetch_all(&mut *connection)
    .await?;
    let mut notes: HashMap<i64, Vec<Note>> = HashMap::new();
    for row in &rows {
        notes.entry(row.try_get(5)?).or_default().push(note_of(row)?);
    }
    for (column_id, column) in entry.column_ids.iter().zip(entry.table.columns) {
        let notes = notes.remove(column_id).unwrap_or_default();
        // A file without a note is older than the column.
        if stats::whole(notes.len()) != files {
            continue;
        }
        if let Some(note) = notes.into_iter().reduce(|known, note| widen(column.kind, known, &note)) {
            put(connection, entry.id, *column_id, &note).await?;
        }
    }
    Ok(())
}

fn widen(kind: ColumnType, known: Note, other: &Note) -> Note {
    let bounds = match (known.bounds, &other.bounds) {
        (bounds, _) if !other.has_values => bounds,
        (_, bounds) if !known.has_values => bounds.clone(),
        (Some(known), Some(other)) => stats::widen(kind, &known, other),
        (None, _) | (_, None) => None,
    };
    Note {
        has_values: known.has_values || other.has_values,
        has_nulls: known.has_nulls || other.has_nulls,
        has_nan: known.has_nan.zip(other.has_nan).map(|(one, other)| one || other),
        bounds,
    }
}

async fn known(connection: &mut SqliteConnection, table_id: i64, column_id: i64) -> Result<Option<Note>> {
    let row = sqlx::query(
        // Whether there are values at all, only the files tell; to say there are is safe.
        "SELECT 1, coalesce(contains_null, 1), contains_nan, min_value, max_value \
         FROM ducklake_table_column_stats WHERE table_id = ? AND column_id = ?",
    )
    .bind(table_id)
    .bind(column_id)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(note_of).transpose()
}

async fn put(connection: &mut SqliteConnection, table_id: i64, column_id: i64, note: &Note) -> Result<()> {
    let Note { has_values: _, has_nulls, has_nan, bounds } = note;
    let (low, high) = bounds.as_ref().map(|(low, high)| (low, high)).unzip();
    sqlx::query("DELETE FROM ducklake_table_column_stats WHERE table_id = ? AND column_id = ?")
        .bind(table_id)
        .bind(column_id)
        .execute(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO ducklake_table_column_stats VALUES (?, ?, ?, ?, ?, ?, NULL)")
        .bind(table_id)
        .bind(column_id)
        .bind(has_nulls)
        .bind(has_nan)
        .bind(low)
        .bind(high)
        .execute(connection)
        .await?;
    Ok(())
}

fn note_of(row: &SqliteRow) -> Result<Note> {
    Ok(Note {
        has_values: row.try_get(0)?,
        has_nulls: row.try_get(1)?,
        has_nan: row.try_get(2)?,
        bounds: row.try_get::<Option<String>, _>(3)?.zip(row.try_get(4)?),
    })
}
