//! One pinned state of the lake: which files each table has.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use headwater_model::tables::{ColumnType, Table};
use parquet::arrow::arrow_reader::RowSelection;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use crate::lake::catalog::Entries;
use crate::lake::deletes::DeleteFile;
use crate::lake::find;
use crate::lake::place::{folder_name, partition_of};
use crate::lake::reader::TableReader;
use crate::lake::rows::{self, FileRows};
use crate::lake::stats;
use crate::{Result, SnapshotId, StoreError};

/// A file of a table that is live in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Its id in the catalog.
    pub id: i64,
    /// Where it lies.
    pub path: PathBuf,
    /// The folder of its partition, if it has one.
    pub partition: Option<String>,
    /// How many rows it has, also those that are deleted.
    pub rows: i64,
    /// How many of its rows are deleted in this snapshot.
    pub deleted: i64,
    /// How large it is.
    pub bytes: i64,
    /// The snapshot that added it.
    pub begin_snapshot: SnapshotId,
    pub(crate) deletes: Option<DeleteFile>,
}

impl DataFile {
    /// The rows that are deleted in this snapshot, by their place in the file, ascending. Whoever reads the file by another way than
    /// a [`TableReader`] must leave them out.
    ///
    /// # Errors
    ///
    /// [`StoreError::Format`] if the delete file is not what the catalog says, or names rows that there are not.
    pub fn deleted_places(&self) -> Result<Vec<u64>> {
        self.deletes.as_ref().map_or_else(|| Ok(Vec::new()), |deletes| deletes.read(self.rows))
    }

    /// The rows that are not deleted in this snapshot, in the way a Parquet reader takes them.
    ///
    /// # Errors
    ///
    /// As [`DataFile::deleted_places`].
    pub fn live_rows(&self) -> Result<RowSelection> {
        let of = usize::try_from(self.rows).unwrap_or_default();
        Ok(RowSelection::from_consecutive_ranges(rows::left(of, &self.deleted_places()?), of))
    }
}

/// The lake as one commit left it. Later commits do not change what it sees; only a sweep past its age removes its files.
#[derive(Debug, Clone)]
pub struct Snapshot {
    id: SnapshotId,
    tables: HashMap<&'static str, State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    files: Vec<DataFile>,
    version: i64,
    /// Somebody else deleted or inserted rows in a way that our files do not show.
    hidden_changes: bool,
}

impl Snapshot {
    /// The snapshot's id in the catalog.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// The table's live files, oldest rows first.
    #[must_use]
    pub fn files(&self, table: &Table) -> &[DataFile] {
        self.tables.get(table.name).map_or(&[], |state| &state.files)
    }

    /// How many rows the table has.
    #[must_use]
    pub fn rows(&self, table: &Table) -> i64 {
        self.files(table).iter().map(|file| file.rows - file.deleted).sum()
    }

    /// How many rows the table's files hold beside these, only to be left out by every reader: what writing it anew would save.
    #[must_use]
    pub fn deleted_rows(&self, table: &Table) -> i64 {
        self.files(table).iter().map(|file| file.deleted).sum()
    }

    /// The last snapshot up to this one that changed the table's rows; 0 if none did. Two snapshots with the same version of a
    /// table show the same rows.
    #[must_use]
    pub fn version(&self, table: &Table) -> i64 {
        self.tables.get(table.name).map_or(0, |state| state.version)
    }

    /// Reads a table batch by batch: the named columns in that order (none named: all), of one partition if one is named.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown column, [`StoreError::Unsupported`] as [`Snapshot::check_readable`].
    pub fn read(&self, table: &'static Table, columns: &[&str], partition: Option<&str>) -> Result<TableReader> {
        let folder = partition.map(folder_name);
        self.reader(table, columns, |file| folder.is_none() || file.partition == folder)
    }

    /// As [`Snapshot::read`], but only the files that were added after a snapshot.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::read`].
    pub fn read_since(&self, table: &'static Table, columns: &[&str], after: SnapshotId) -> Result<TableReader> {
        self.reader(table, columns, |file| file.begin_snapshot > after)
    }

    /// Whether the files of a table show all of its rows; anything that reads the files itself must ask first, and leave out
    /// [`DataFile::deleted_places`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Unsupported`] if somebody else keeps rows or deletions inside the catalog, or in a form that is not Parquet.
    pub fn check_readable(&self, table: &Table) -> Result<()> {
        if self.tables.get(table.name).is_some_and(|state| state.hidden_changes) {
            return Err(StoreError::Unsupported {
                what: format!("table `{}` with rows or deletions that another writer keeps outside of Parquet files", table.name),
            });
        }
        Ok(())
    }

    /// As [`Snapshot::read`], but one file.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::read`].
    pub fn read_file(&self, table: &'static Table, columns: &[&str], file: &DataFile) -> Result<TableReader> {
        self.reader(table, columns, |known| known.id == file.id)
    }

    /// Where the live rows of a table stand whose text in `column` is wanted: files in the order of the table, rows in file order. Only
    /// that column is read. A text that stands in several rows in a row is asked for once.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::read`]; [`StoreError::Misfit`] for a column that holds no text.
    pub fn find_rows(&self, table: &'static Table, column: &str, mut wanted: impl FnMut(&str) -> bool) -> Result<Vec<FileRows>> {
        self.check_readable(table)?;
        match table.columns.iter().find(|known| known.name == column) {
            None => return Err(StoreError::not_found(format!("column `{column}` of table `{}`", table.name))),
            Some(known) if known.kind != ColumnType::Text => {
                return Err(StoreError::Misfit { table: table.name, why: format!("column `{column}` holds no text") });
            }
            Some(_) => {}
        }
        let mut found = Vec::new();
        for file in self.files(table) {
            let rows = find::find(file, column, &mut wanted)?;
            if !rows.rows.is_empty() {
                found.push(rows);
            }
        }
        Ok(found)
    }

    /// Reads these rows alone: the named columns in that order (none named: all), files in the order of the table, rows in file
    /// order. Rows that are deleted in this snapshot are not given.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::read`]; [`StoreError::NotFound`] for a file that is none of this snapshot, [`StoreError::Misfit`] for rows that
    /// are not ascending or that a file does not have.
    pub fn read_rows(&self, table: &'static Table, columns: &[&str], rows: &[FileRows]) -> Result<TableReader> {
        self.check_readable(table)?;
        let files = rows::in_files(table, self.files(table), rows.iter().cloned())?;
        TableReader::new(table, columns, files.into_iter().map(|(file, rows)| (file, Some(rows))).collect())
    }

    fn reader(&self, table: &'static Table, columns: &[&str], wanted: impl Fn(&DataFile) -> bool) -> Result<TableReader> {
        self.check_readable(table)?;
        let files = self.files(table).iter().filter(|file| wanted(file)).map(|file| (file.clone(), None));
        TableReader::new(table, columns, files.collect())
    }
}

/// Loads a snapshot within a transaction: the head, or a past one that is not yet swept.
pub(crate) async fn load(connection: &mut SqliteConnection, entries: &Entries, at: Option<SnapshotId>) -> Result<Snapshot> {
    let id: Option<i64> =
        sqlx::query_scalar("SELECT max(snapshot_id) FROM ducklake_snapshot WHERE snapshot_id = ?1 OR ?1 IS NULL")
            .bind(at)
            .fetch_one(&mut *connection)
            .await?;
    let id = id.ok_or_else(|| StoreError::not_found(format!("snapshot {}", at.unwrap_or_default())))?;
    let mut tables: HashMap<&'static str, State> = HashMap::with_capacity(entries.len());
    let names: HashMap<i64, &'static str> = entries.values().map(|entry| (entry.id, entry.table.name)).collect();
    load_files(connection, entries, &names, id, &mut tables).await?;
    load_deletes(connection, entries, &names, id, &mut tables).await?;
    for (table_id, version) in versions(connection, id).await? {
        if let Some(name) = names.get(&table_id) {
            tables.entry(name).or_default().version = version;
        }
    }
    for table_id in hidden(connection).await? {
        if let Some(name) = names.get(&table_id) {
            tables.entry(name).or_default().hidden_changes = true;
        }
    }
    Ok(Snapshot { id, tables })
}

async fn load_files(
    connection: &mut SqliteConnection,
    entries: &Entries,
    names: &HashMap<i64, &'static str>,
    id: SnapshotId,
    tables: &mut HashMap<&'static str, State>,
) -> Result<()> {
    let rows = sqlx::query(
        "SELECT table_id, data_file_id, path, path_is_relative, record_count, file_size_bytes, begin_snapshot, \
         mapping_id IS NOT NULL OR partial_max IS NOT NULL \
         FROM ducklake_data_file WHERE begin_snapshot <= ?1 AND (end_snapshot IS NULL OR end_snapshot > ?1) \
         ORDER BY coalesce(file_order, data_file_id), data_file_id",
    )
    .bind(id)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let Some(entry) = names.get(&row.try_get::<i64, _>(0)?).and_then(|name| entries.get(name)) else {
            continue;
        };
        let path: String = row.try_get(2)?;
        let relative: bool = row.try_get(3)?;
        let state = tables.entry(entry.table.name).or_default();
        // Files that need a name mapping, or hold rows of several snapshots, are none of ours.
        state.hidden_changes |= row.try_get::<bool, _>(7)?;
        state.files.push(DataFile {
            id: row.try_get(1)?,
            partition: relative.then(|| partition_of(&path).map(str::to_owned)).flatten(),
            path: if relative { entry.folder.join(path) } else { PathBuf::from(path) },
            rows: row.try_get(4)?,
            deleted: 0,
            bytes: row.try_get(5)?,
            begin_snapshot: row.try_get(6)?,
            deletes: None,
        });
    }
    Ok(())
}

/// Ties the live delete files to their data files.
async fn load_deletes(
    connection: &mut SqliteConnection,
    entries: &Entries,
    names: &HashMap<i64, &'static str>,
    id: SnapshotId,
    tables: &mut HashMap<&'static str, State>,
) -> Result<()> {
    let rows = sqlx::query(
        "SELECT table_id, data_file_id, delete_file_id, path, path_is_relative, delete_count, coalesce(partial_max > ?1, 0), \
         format = 'parquet' AND encryption_key IS NULL AND path IS NOT NULL AND delete_count IS NOT NULL \
         FROM ducklake_delete_file WHERE begin_snapshot <= ?1 AND (end_snapshot IS NULL OR end_snapshot > ?1)",
    )
    .bind(id)
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<i64, DeleteFile> = HashMap::with_capacity(rows.len());
    for row in rows {
        let Some(entry) = names.get(&row.try_get::<i64, _>(0)?).and_then(|name| entries.get(name)) else {
            continue;
        };
        let state = tables.entry(entry.table.name).or_default();
        if !row.try_get::<Option<bool>, _>(7)?.unwrap_or_default() {
            state.hidden_changes = true;
            continue;
        }
        let path: String = row.try_get(3)?;
        let deletes = DeleteFile {
            id: row.try_get(2)?,
            path: if row.try_get(4)? { entry.folder.join(path) } else { PathBuf::from(path) },
            rows: row.try_get(5)?,
            at: row.try_get::<bool, _>(6)?.then_some(id),
        };
        // A data file has one delete file at a time.
        state.hidden_changes |= found.insert(row.try_get(1)?, deletes).is_some();
    }
    // DuckDB does not end the delete file of a data file that it ends; such a one finds no data file here.
    for file in tables.values_mut().flat_map(|state| &mut state.files) {
        file.deletes = found.remove(&file.id);
        file.deleted = match &file.deletes {
            Some(deletes) if deletes.at.is_some() => stats::whole(file.deleted_places()?.len()),
            Some(deletes) => deletes.rows,
            None => 0,
        };
    }
    Ok(())
}

/// The last snapshot that touched each table's rows. Swept files no longer tell, so our own record counts too.
pub(crate) async fn versions(connection: &mut SqliteConnection, upto: SnapshotId) -> Result<Vec<(i64, i64)>> {
    let rows = sqlx::query(
        "SELECT table_id, max(version) FROM ( \
           SELECT table_id, begin_snapshot AS version FROM ducklake_data_file \
           UNION ALL SELECT table_id, end_snapshot FROM ducklake_data_file \
           UNION ALL SELECT table_id, begin_snapshot FROM ducklake_delete_file \
           UNION ALL SELECT table_id, end_snapshot FROM ducklake_delete_file \
           UNION ALL SELECT table_id, partial_max FROM ducklake_delete_file \
           UNION ALL SELECT d.table_id, c.snapshot_id FROM ducklake_delete_file d JOIN ducklake_snapshot_changes c \
             ON ',' || c.changes_made || ',' LIKE '%,deleted_from_table:' || d.table_id || ',%' WHERE d.partial_max IS NOT NULL \
           UNION ALL SELECT table_id, version FROM hw_table \
         ) WHERE version <= ? GROUP BY table_id",
    )
    .bind(upto)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Tables with rows or deletions that DuckDB keeps inside the catalog.
async fn hidden(connection: &mut SqliteConnection) -> Result<HashSet<i64>> {
    let mut hidden = HashSet::new();
    let inlined: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND (name GLOB 'ducklake_inlined_data_[0-9]*' OR name GLOB 'ducklake_inlined_delete_[0-9]*')",
    )
    .fetch_all(&mut *connection)
    .await?;
    for name in inlined {
        let digits = name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
        let table_id = digits.split('_').next().and_then(|digits| digits.parse::<i64>().ok());
        // The name comes from the catalog itself; the pattern above leaves letters, digits and underscores at its start.
        let some = AssertSqlSafe(format!("SELECT 1 FROM \"{}\" LIMIT 1", name.replace('"', "\"\"")));
        if sqlx::query(some).fetch_optional(&mut *connection).await?.is_some() {
            hidden.extend(table_id);
        }
    }
    Ok(hidden)
}
