//! The catalog rows of a commit: files added to a table, files ended, counts and bounds kept true.

use std::sync::Arc;

use headwater_model::tables::{ColumnType, Table};
use sqlx::{Row, SqliteConnection};

use crate::lake::catalog::{self, Draft, Entry};
use crate::lake::snapshot;
use crate::lake::stats::{self, ColumnStats};
use crate::lake::writer::{StagedFile, StagedFiles};
use crate::{Result, Store, StoreError};

/// What happens to the files of one table.
#[derive(Debug)]
pub(crate) enum Change {
    Append(StagedFiles),
    /// `seen` is the version of the table that the new rows were computed from.
    Replace {
        table: &'static Table,
        seen: i64,
        files: Vec<StagedFiles>,
    },
    Rewrite {
        table: &'static Table,
        old: Vec<i64>,
        files: Vec<StagedFiles>,
    },
}

/// Writes the catalog rows of one change into the snapshot that the transaction makes.
pub(crate) async fn apply(
    connection: &mut SqliteConnection,
    store: &Store,
    draft: &mut Draft,
    change: Change,
) -> Result<()> {
    match change {
        Change::Append(files) => {
            let entry = Arc::clone(&files.entry);
            check_unaltered(connection, &entry).await?;
            add(connection, draft, &entry, &[files]).await
        }
        Change::Replace { table, seen, files } => {
            let entry = store.entry(table)?;
            check_unaltered(connection, entry).await?;
            let versions = snapshot::versions(connection, draft.id - 1).await?;
            let version =
                versions.into_iter().find_map(|(id, version)| (id == entry.id).then_some(version));
            if version.unwrap_or_default() != seen {
                return Err(StoreError::conflict(format!("table `{}`", table.name)));
            }
            end_all(connection, draft, entry).await?;
            add(connection, draft, entry, &files).await
        }
        Change::Rewrite { table, old, files } => {
            let entry = store.entry(table)?;
            check_unaltered(connection, entry).await?;
            for file in old {
                end_one(connection, draft, entry, file).await?;
            }
            add(connection, draft, entry, &files).await?;
            total(connection, entry).await
        }
    }
}

/// Staged files carry the field ids of the columns as they were when the store was opened.
async fn check_unaltered(connection: &mut SqliteConnection, entry: &Entry) -> Result<()> {
    if catalog::last_altered(connection, entry.id).await? == Some(entry.altered) {
        return Ok(());
    }
    Err(StoreError::conflict(format!("the definition of table `{}`", entry.table.name)))
}

async fn end_all(
    connection: &mut SqliteConnection,
    draft: &mut Draft,
    entry: &Entry,
) -> Result<()> {
    let ended = sqlx::query("UPDATE ducklake_data_file SET end_snapshot = ? WHERE table_id = ? AND end_snapshot IS NULL")
        .bind(draft.id)
        .bind(entry.id)
        .execute(&mut *connection)
        .await?;
    // We write no delete files, but somebody else's would outlive the rows they delete.
    sqlx::query("UPDATE ducklake_delete_file SET end_snapshot = ? WHERE table_id = ? AND end_snapshot IS NULL")
        .bind(draft.id)
        .bind(entry.id)
        .execute(&mut *connection)
        .await?;
    if ended.rows_affected() > 0 {
        touched(connection, draft, entry, "deleted_from_table").await?;
    }
    // Counts and bounds begin anew with the new files. Row ids do not: none is ever given twice.
    sqlx::query(
        "UPDATE ducklake_table_stats SET record_count = 0, file_size_bytes = 0 WHERE table_id = ?",
    )
    .bind(entry.id)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM ducklake_table_column_stats WHERE table_id = ?")
        .bind(entry.id)
        .execute(connection)
        .await?;
    Ok(())
}

async fn end_one(
    connection: &mut SqliteConnection,
    draft: &mut Draft,
    entry: &Entry,
    file: i64,
) -> Result<()> {
    let ended = sqlx::query("UPDATE ducklake_data_file SET end_snapshot = ? WHERE table_id = ? AND data_file_id = ? AND end_snapshot IS NULL")
        .bind(draft.id)
        .bind(entry.id)
        .bind(file)
        .execute(&mut *connection)
        .await?;
    if ended.rows_affected() != 1 {
        return Err(StoreError::conflict(format!("a file of table `{}`", entry.table.name)));
    }
    touched(connection, draft, entry, "deleted_from_table").await
}

/// Notes a change of a table's rows, for the catalog and for [`crate::Snapshot::version`].
async fn touched(
    connection: &mut SqliteConnection,
    draft: &mut Draft,
    entry: &Entry,
    change: &str,
) -> Result<()> {
    draft.changed(format!("{change}:{}", entry.id));
    sqlx::query("INSERT INTO hw_table VALUES (?, ?) ON CONFLICT(table_id) DO UPDATE SET version = excluded.version")
        .bind(entry.id)
        .bind(draft.id)
        .execute(connection)
        .await?;
    Ok(())
}

async fn add(
    connection: &mut SqliteConnection,
    draft: &mut Draft,
    entry: &Entry,
    staged: &[StagedFiles],
) -> Result<()> {
    for StagedFiles { entry: of, files } in staged {
        if of.id != entry.id || of.altered != entry.altered {
            return Err(StoreError::Misfit {
                table: entry.table.name,
                why: "its files are of another table".to_owned(),
            });
        }
        for file in files {
            touched(connection, draft, entry, "inserted_into_table").await?;
            add_file(connection, draft, entry, file).await?;
        }
    }
    Ok(())
}

async fn add_file(
    connection: &mut SqliteConnection,
    draft: &mut Draft,
    entry: &Entry,
    file: &StagedFile,
) -> Result<()> {
    let StagedFile { relative, rows, bytes, footer_bytes, columns } = file;
    let id = draft.next_file_id();
    let totals = sqlx::query(
        "SELECT next_row_id, record_count FROM ducklake_table_stats WHERE table_id = ?",
    )
    .bind(entry.id)
    .fetch_optional(&mut *connection)
    .await?;
    let (next_row, rows_before): (i64, i64) = match &totals {
        Some(totals) => (totals.try_get(0)?, totals.try_get(1)?),
        None => (0, 0),
    };
    sqlx::query(
        "INSERT INTO ducklake_data_file(data_file_id, table_id, begin_snapshot, path, path_is_relative, file_format, record_count, \
         file_size_bytes, footer_size, row_id_start) VALUES (?, ?, ?, ?, 1, 'parquet', ?, ?, ?, ?)",
    )
    .bind(id)
    .bind(entry.id)
    .bind(draft.id)
    .bind(relative)
    .bind(rows)
    .bind(bytes)
    .bind(footer_bytes)
    .bind(next_row)
    .execute(&mut *connection)
    .await?;
    let add_up = if totals.is_some() {
        "UPDATE ducklake_table_stats SET record_count = record_count + ?2, next_row_id = next_row_id + ?2, \
         file_size_bytes = file_size_bytes + ?3 WHERE table_id = ?1"
    } else {
        "INSERT INTO ducklake_table_stats VALUES (?1, ?2, ?2, ?3)"
    };
    sqlx::query(add_up).bind(entry.id).bind(rows).bind(bytes).execute(&mut *connection).await?;
    let described = entry.column_ids.iter().zip(entry.table.columns).zip(columns);
    for ((column_id, column), found) in described {
        let (low, high) = found.bounds.as_ref().map(|(low, high)| (low, high)).unzip();
        sqlx::query(
            "INSERT INTO ducklake_file_column_stats VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
        )
        .bind(id)
        .bind(entry.id)
        .bind(column_id)
        .bind(found.size_bytes)
        .bind(found.values)
        .bind(found.nulls)
        .bind(low)
        .bind(high)
        .bind(found.has_nan)
        .execute(&mut *connection)
        .await?;
        if !widen_column(connection, entry.id, (*column_id, column.kind), found).await?
            && rows_before == 0
        {
            begin_column(connection, entry.id, *column_id, found).await?;
        }
    }
    Ok(())
}

/// Notes a column of the table's first file. A column that was added later has no note, for the files before it hold none of it.
async fn begin_column(
    connection: &mut SqliteConnection,
    table_id: i64,
    column_id: i64,
    found: &ColumnStats,
) -> Result<()> {
    let (low, high) = found.bounds.as_ref().map(|(low, high)| (low, high)).unzip();
    sqlx::query("INSERT INTO ducklake_table_column_stats VALUES (?, ?, ?, ?, ?, ?, NULL)")
        .bind(table_id)
        .bind(column_id)
        .bind(found.nulls > 0)
        .bind(found.has_nan)
        .bind(low)
        .bind(high)
        .execute(connection)
        .await?;
    Ok(())
}

/// Widens the note on a column by another file; false if there is no note.
async fn widen_column(
    connection: &mut SqliteConnection,
    table_id: i64,
    (column_id, kind): (i64, ColumnType),
    found: &ColumnStats,
) -> Result<bool> {
    let known = sqlx::query(
        "SELECT contains_null, contains_nan, min_value, max_value FROM ducklake_table_column_stats WHERE table_id = ? AND column_id = ?",
    )
    .bind(table_id)
    .bind(column_id)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(known) = known else { return Ok(false) };
    let has_nulls = found.nulls > 0 || known.try_get::<Option<bool>, _>(0)?.unwrap_or(true);
    let has_nan = found.has_nan.map(|has_nan| {
        has_nan || known.try_get::<Option<bool>, _>(1).ok().flatten().unwrap_or(true)
    });
    let bounds = known.try_get::<Option<String>, _>(2)?.zip(known.try_get::<Option<String>, _>(3)?);
    let bounds = match (bounds, &found.bounds) {
        (known, _) if found.values == 0 => known,
        (Some(known), Some(found)) => stats::widen(kind, &known, found),
        (None, _) | (_, None) => None,
    };
    let (low, high) = bounds.unzip();
    sqlx::query(
        "UPDATE ducklake_table_column_stats SET contains_null = ?, contains_nan = ?, min_value = ?, max_value = ? \
         WHERE table_id = ? AND column_id = ?",
    )
    .bind(has_nulls)
    .bind(has_nan)
    .bind(low)
    .bind(high)
    .bind(table_id)
    .bind(column_id)
    .execute(connection)
    .await?;
    Ok(true)
}

/// Counts the table's rows and bytes anew after files were taken out. Row ids are never given twice.
async fn total(connection: &mut SqliteConnection, entry: &Entry) -> Result<()> {
    sqlx::query(
        "UPDATE ducklake_table_stats SET (record_count, file_size_bytes) = \
         (SELECT coalesce(sum(record_count), 0), coalesce(sum(file_size_bytes), 0) FROM ducklake_data_file \
          WHERE table_id = ?1 AND end_snapshot IS NULL) WHERE table_id = ?1",
    )
    .bind(entry.id)
    .execute(connection)
    .await?;
    Ok(())
}
