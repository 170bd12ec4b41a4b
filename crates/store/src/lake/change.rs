//! The catalog rows of a commit: files added to a table, files ended, counts kept true.

use std::sync::Arc;

use headwater_model::tables::Table;
use sqlx::SqliteConnection;

use crate::lake::bounds;
use crate::lake::catalog::{self, Draft, Entry};
use crate::lake::deletes::{self, StagedDeletes};
use crate::lake::rows;
use crate::lake::snapshot::{self, DataFile};
use crate::lake::stats::whole;
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
        old: Vec<DataFile>,
        files: Vec<StagedFiles>,
    },
    /// `seen` is the version of the table that the rows were found in.
    Amend {
        table: &'static Table,
        seen: i64,
        worn: Vec<Worn>,
        files: Vec<StagedFiles>,
    },
}

/// A data file of which rows are taken out.
#[derive(Debug)]
pub(crate) struct Worn {
    file: DataFile,
    /// With those that were out before; `None` when no row is left.
    deletes: Option<StagedDeletes>,
}

/// Writes the delete files that take rows out, each with the rows that are out already. They are on the disk when this returns.
pub(crate) fn wear(store: &Store, table: &'static Table, out: Vec<(DataFile, Vec<u64>)>) -> Result<Vec<Worn>> {
    let entry = store.entry(table)?;
    let mut worn = Vec::with_capacity(out.len());
    for (file, rows) in out {
        let rows = rows::union(file.deleted_places()?, rows);
        let count = whole(rows.len());
        if count == file.deleted {
            continue;
        }
        let deletes = if count == file.rows { None } else { Some(deletes::write(entry, store.lake(), &file, &rows)?) };
        worn.push(Worn { file, deletes });
    }
    Ok(worn)
}

/// Writes the catalog rows of one change into the snapshot that the transaction makes.
pub(crate) async fn apply(connection: &mut SqliteConnection, store: &Store, draft: &mut Draft, change: Change) -> Result<()> {
    match change {
        Change::Append(files) => {
            let entry = Arc::clone(&files.entry);
            check_unaltered(connection, &entry).await?;
            add(connection, draft, &entry, (&[files], None)).await
        }
        Change::Replace { table, seen, files } => {
            let entry = store.entry(table)?;
            check_unaltered(connection, entry).await?;
            check_unchanged(connection, draft, entry, seen).await?;
            end_all(connection, draft, entry).await?;
            add(connection, draft, entry, (&files, None)).await
        }
        Change::Rewrite { table, old, files } => {
            let entry = store.entry(table)?;
            check_unaltered(connection, entry).await?;
            // What the old rows say now depends on the order of the files, so the new ones take their place in it.
            let mut place = None;
            for file in old {
                let order = end_one(connection, draft, entry, &file).await?;
                place = Some(place.map_or(order, |place: i64| place.min(order)));
            }
            add(connection, draft, entry, (&files, place)).await?;
            total(connection, entry).await
        }
        Change::Amend { table, seen, worn, files } => {
            let entry = store.entry(table)?;
            check_unaltered(connection, entry).await?;
            check_unchanged(connection, draft, entry, seen).await?;
            for Worn { file, deletes } in &worn {
                match deletes {
                    Some(deletes) => take_out(connection, draft, entry, (file, deletes)).await?,
                    None => drop(end_one(connection, draft, entry, file).await?),
                }
            }
            add(connection, draft, entry, (&files, None)).await?;
            total(connection, entry).await
        }
    }
}

/// What a change was computed from must be what it is made to.
async fn check_unchanged(connection: &mut SqliteConnection, draft: &Draft, entry: &Entry, seen: i64) -> Result<()> {
    let versions = snapshot::versions(connection, draft.id - 1).await?;
    let version = versions.into_iter().find_map(|(id, version)| (id == entry.id).then_some(version));
    if version.unwrap_or_default() == seen {
        return Ok(());
    }
    Err(StoreError::conflict(format!("table `{}`", entry.table.name)))
}

/// Staged files carry the field ids of the columns as they were when the store was opened.
async fn check_unaltered(connection: &mut SqliteConnection, entry: &Entry) -> Result<()> {
    if catalog::last_altered(connection, entry.id).await? == Some(entry.altered) {
        return Ok(());
    }
    Err(StoreError::conflict(format!("the definition of table `{}`", entry.table.name)))
}

async fn end_all(connection: &mut SqliteConnection, draft: &mut Draft, entry: &Entry) -> Result<()> {
    let ended = sqlx::query("UPDATE ducklake_data_file SET end_snapshot = ? WHERE table_id = ? AND end_snapshot IS NULL")
        .bind(draft.id)
        .bind(entry.id)
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE ducklake_delete_file SET end_snapshot = ? WHERE table_id = ? AND end_snapshot IS NULL")
        .bind(draft.id)
        .bind(entry.id)
        .execute(&mut *connection)
        .await?;
    if ended.rows_affected() > 0 {
        touched(connection, draft, entry, "deleted_from_table").await?;
    }
    // Row ids go on: none is ever given twice.
    sqlx::query("UPDATE ducklake_table_stats SET record_count = 0, file_size_bytes = 0 WHERE table_id = ?")
        .bind(entry.id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends a file and what takes rows out of it; its place in the order of the table's files.
async fn end_one(connection: &mut SqliteConnection, draft: &mut Draft, entry: &Entry, file: &DataFile) -> Result<i64> {
    let place: Option<i64> = sqlx::query_scalar(
        "UPDATE ducklake_data_file SET end_snapshot = ? WHERE table_id = ? AND data_file_id = ? AND end_snapshot IS NULL \
         RETURNING coalesce(file_order, data_file_id)",
    )
    .bind(draft.id)
    .bind(entry.id)
    .bind(file.id)
    .fetch_optional(&mut *connection)
    .await?;
    let place = place.ok_or_else(|| StoreError::conflict(format!("a file of table `{}`", entry.table.name)))?;
    end_deletes(connection, draft, entry, file).await?;
    touched(connection, draft, entry, "deleted_from_table").await?;
    Ok(place)
}

/// Ends the delete file of a data file. It must be the one that was read, else rows that somebody took out would come back.
async fn end_deletes(connection: &mut SqliteConnection, draft: &Draft, entry: &Entry, file: &DataFile) -> Result<()> {
    let ended: Vec<i64> = sqlx::query_scalar(
        "UPDATE ducklake_delete_file SET end_snapshot = ? WHERE table_id = ? AND data_file_id = ? AND end_snapshot IS NULL \
         RETURNING delete_file_id",
    )
    .bind(draft.id)
    .bind(entry.id)
    .bind(file.id)
    .fetch_all(connection)
    .await?;
    if ended.iter().eq(file.deletes.iter().map(|deletes| &deletes.id)) {
        return Ok(());
    }
    Err(StoreError::conflict(format!("a file of table `{}`", entry.table.name)))
}

/// Puts a delete file in the place of the one before.
async fn take_out(
    connection: &mut SqliteConnection,
    draft: &mut Draft,
    entry: &Entry,
    (file, deletes): (&DataFile, &StagedDeletes),
) -> Result<()> {
    let live: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM ducklake_data_file WHERE table_id = ? AND data_file_id = ? AND end_snapshot IS NULL")
            .bind(entry.id)
            .bind(file.id)
            .fetch_optional(&mut *connection)
            .await?;
    if live.is_none() {
        return Err(StoreError::conflict(format!("a file of table `{}`", entry.table.name)));
    }
    end_deletes(connection, draft, entry, file).await?;
    let StagedDeletes { relative, rows, bytes, footer_bytes } = deletes;
    sqlx::query(
        "INSERT INTO ducklake_delete_file(delete_file_id, table_id, begin_snapshot, data_file_id, path, path_is_relative, format, \
         delete_count, file_size_bytes, footer_size) VALUES (?, ?, ?, ?, ?, 1, 'parquet', ?, ?, ?)",
    )
    .bind(draft.next_file_id())
    .bind(entry.id)
    .bind(draft.id)
    .bind(file.id)
    .bind(relative)
    .bind(rows)
    .bind(bytes)
    .bind(footer_bytes)
    .execute(&mut *connection)
    .await?;
    touched(connection, draft, entry, "deleted_from_table").await
}

/// Notes a change of a table's rows, for the catalog and for [`crate::Snapshot::version`].
async fn touched(connection: &mut SqliteConnection, draft: &mut Draft, entry: &Entry, change: &str) -> Result<()> {
    draft.changed(format!("{change}:{}", entry.id));
    sqlx::query("INSERT INTO hw_table VALUES (?, ?) ON CONFLICT(table_id) DO UPDATE SET version = excluded.version")
        .bind(entry.id)
        .bind(draft.id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Adds files, at a place in the order of the table's files or behind all others.
async fn add(
    connection: &mut SqliteConnection,
    draft: &mut Draft,
    entry: &Entry,
    (staged, place): (&[StagedFiles], Option<i64>),
) -> Result<()> {
    for StagedFiles { entry: of, files } in staged {
        if of.id != entry.id || of.altered != entry.altered {
            return Err(StoreError::Misfit { table: entry.table.name, why: "its files are of another table".to_owned() });
        }
        for file in files {
            touched(connection, draft, entry, "inserted_into_table").await?;
            add_file(connection, draft, entry, (file, place)).await?;
        }
    }
    Ok(())
}

async fn add_file(
    connection: &mut SqliteConnection,
    draft: &mut Draft,
    entry: &Entry,
    (file, place): (&StagedFile, Option<i64>),
) -> Result<()> {
    let StagedFile { relative, rows, bytes, footer_bytes, columns } = file;
    let id = draft.next_file_id();
    let next_row: Option<i64> = sqlx::query_scalar("SELECT next_row_id FROM ducklake_table_stats WHERE table_id = ?")
        .bind(entry.id)
        .fetch_optional(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO ducklake_data_file(data_file_id, table_id, begin_snapshot, path, path_is_relative, file_format, record_count, \
         file_size_bytes, footer_size, row_id_start, file_order) VALUES (?, ?, ?, ?, 1, 'parquet', ?, ?, ?, ?, ?)",
    )
    .bind(id)
    .bind(entry.id)
    .bind(draft.id)
    .bind(relative)
    .bind(rows)
    .bind(bytes)
    .bind(footer_bytes)
    .bind(next_row.unwrap_or_default())
    .bind(place)
    .execute(&mut *connection)
    .await?;
    let add_up = if next_row.is_some() {
        "UPDATE ducklake_table_stats SET record_count = record_count + ?2, next_row_id = next_row_id + ?2, \
         file_size_bytes = file_size_bytes + ?3 WHERE table_id = ?1"
    } else {
        "INSERT INTO ducklake_table_stats VALUES (?1, ?2, ?2, ?3)"
    };
    sqlx::query(add_up).bind(entry.id).bind(rows).bind(bytes).execute(&mut *connection).await?;
    bounds::add_file(connection, entry, id, columns).await
}

/// Counts the table's rows and bytes anew after files were taken out. As DuckDB does it, rows that a delete file takes out count, and
/// its bytes do not. Row ids are never given twice.
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
