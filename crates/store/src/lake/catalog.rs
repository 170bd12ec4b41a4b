//! The catalog: DuckLake 1.0 as DuckDB lays it out, and our tables in it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use headwater_model::tables::{Column, ColumnType, Table};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use sqlx::{Row, SqliteConnection};

use crate::lake::text::instant_text;
use crate::{Result, StoreError, random};

/// Exactly the tables that DuckDB 1.5.5 makes; it refuses catalogs that lack one of their columns.
const DDL: &str = include_str!("../ducklake-1.0-sqlite.sql");
const FORMAT: &str = "1.0";

/// A table of the lake as the catalog knows it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) table: &'static Table,
    pub(crate) id: i64,
    /// The catalog's id of each column, in the order of the definition.
    pub(crate) column_ids: Vec<i64>,
    /// The last snapshot that changed its columns.
    pub(crate) altered: i64,
    pub(crate) folder: PathBuf,
    /// The table's schema with the column ids as Parquet field ids.
    pub(crate) schema: SchemaRef,
}

pub(crate) type Entries = HashMap<&'static str, Arc<Entry>>;

/// What the catalog lacks of our definitions.
#[derive(Debug)]
pub(crate) struct Growth {
    table: &'static Table,
    /// `None` for a table that is missing as a whole.
    id: Option<i64>,
    columns: Vec<&'static Column>,
    next_column: i64,
}

/// The snapshot that a transaction is about to make.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) id: i64,
    schema_version: i64,
    next_catalog_id: i64,
    next_file_id: i64,
    changes: Vec<String>,
}

impl Draft {
    pub(crate) async fn on_head(connection: &mut SqliteConnection) -> Result<Self> {
        let head = sqlx::query(
            "SELECT snapshot_id, schema_version, next_catalog_id, next_file_id FROM ducklake_snapshot ORDER BY snapshot_id DESC LIMIT 1",
        )
        .fetch_one(connection)
        .await?;
        Ok(Self {
            id: head.try_get::<i64, _>(0)? + 1,
            schema_version: head.try_get(1)?,
            next_catalog_id: head.try_get(2)?,
            next_file_id: head.try_get(3)?,
            changes: Vec::new(),
        })
    }

    pub(crate) fn next_file_id(&mut self) -> i64 {
        self.next_file_id += 1;
        self.next_file_id - 1
    }

    pub(crate) fn changed(&mut self, change: String) {
        if !self.changes.contains(&change) {
            self.changes.push(change);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) async fn write(&self, connection: &mut SqliteConnection, now: i64, note: Option<&str>) -> Result<()> {
        let time = instant_text(now).ok_or_else(|| StoreError::format("the clock shows no year between 1 and 9999"))?;
        sqlx::query("INSERT INTO ducklake_snapshot VALUES (?, ?, ?, ?, ?)")
            .bind(self.id)
            .bind(time)
            .bind(self.schema_version)
            .bind(self.next_catalog_id)
            .bind(self.next_file_id)
            .execute(&mut *connection)
            .await?;
        sqlx::query("INSERT INTO ducklake_snapshot_changes VALUES (?, ?, 'headwater', NULL, ?)")
            .bind(self.id)
            .bind(self.changes.join(","))
            .bind(note)
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// Makes the catalog if there is none, and refuses one that we do not understand.
pub(crate) async fn bootstrap(connection: &mut SqliteConnection, lake: &str, now: i64) -> Result<()> {
    sqlx::raw_sql(DDL).execute(&mut *connection).await?;
    // Rows written into the catalog by an analyst's DuckDB would be invisible in our files.
    for (key, value) in [
        ("version", FORMAT),
        ("created_by", "headwater"),
        ("data_path", lake),
        ("encrypted", "false"),
        ("data_inlining_row_limit", "0"),
    ] {
        sqlx::query("INSERT INTO ducklake_metadata(\"key\", \"value\") VALUES (?, ?)")
            .bind(key)
            .bind(value)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("INSERT INTO ducklake_schema VALUES (0, ?, 0, NULL, 'main', 'main/', 1)")
        .bind(random::uuid()?)
        .execute(&mut *connection)
        .await?;
    let mut first = Draft { id: 0, schema_version: 0, next_catalog_id: 1, next_file_id: 0, changes: Vec::new() };
    first.changed("created_schema:\"main\"".to_owned());
    first.write(connection, now, None).await
}

/// Whether there is a catalog; an error if it is one that we must not touch.
pub(crate) async fn exists(connection: &mut SqliteConnection) -> Result<bool> {
    if !has_table(connection, "ducklake_snapshot").await? {
        return Ok(false);
    }
    let found = metadata(connection, "version").await?.unwrap_or_default();
    if found != FORMAT {
        return Err(StoreError::format(format!(
            "the catalog has DuckLake format `{found}`, this version reads and writes {FORMAT} alone"
        )));
    }
    if metadata(connection, "encrypted").await?.as_deref() == Some("true") {
        return Err(StoreError::Unsupported { what: "an encrypted DuckLake catalog".to_owned() });
    }
    Ok(true)
}

pub(crate) async fn has_table(connection: &mut SqliteConnection, name: &str) -> Result<bool> {
    let found = sqlx::query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?")
        .bind(name)
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

pub(crate) async fn metadata(connection: &mut SqliteConnection, key: &str) -> Result<Option<String>> {
    let value = sqlx::query_scalar("SELECT \"value\" FROM ducklake_metadata WHERE \"key\" = ? AND \"scope\" IS NULL")
        .bind(key)
        .fetch_optional(connection)
        .await?;
    Ok(value)
}

/// The tables as the catalog has them, and what it lacks.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    tables: &'static [&'static Table],
    lake: &Path,
) -> Result<(Entries, Vec<Growth>)> {
    let (mut entries, mut growth) = (Entries::new(), Vec::new());
    for table in tables.iter().copied() {
        let Some((id, folder)) = find(connection, table.name).await? else {
            growth.push(Growth { table, id: None, columns: table.columns.iter().collect(), next_column: 1 });
            continue;
        };
        let known = live_columns(connection, id).await?;
        let missing = missing_columns(table, &known)?;
        if !missing.is_empty() {
            let next_column =
                sqlx::query_scalar("SELECT coalesce(max(column_id), 0) + 1 FROM ducklake_column WHERE table_id = ?")
                    .bind(id)
                    .fetch_one(&mut *connection)
                    .await?;
            growth.push(Growth { table, id: Some(id), columns: missing, next_column });
            continue;
        }
        let altered = last_altered(connection, id).await?.unwrap_or_default();
        let column_ids: Vec<i64> = table
            .columns
            .iter()
            .filter_map(|column| known.iter().find(|known| known.name == column.name).map(|known| known.id))
            .collect();
        let schema = field_ids(&table.schema(), &column_ids);
        entries.insert(table.name, Arc::new(Entry { table, id, column_ids, altered, folder: lake.join(folder), schema }));
    }
    Ok((entries, growth))
}

/// Adds missing tables and columns in one new snapshot.
pub(crate) async fn grow(connection: &mut SqliteConnection, growth: &[Growth], now: i64) -> Result<()> {
    if growth.is_empty() {
        return Ok(());
    }
    let mut draft = Draft::on_head(connection).await?;
    draft.schema_version += 1;
    for Growth { table, id, columns, next_column } in growth {
        let table_id = if let Some(id) = id {
            draft.changed(format!("altered_table:{id}"));
            *id
        } else {
            let new = draft.next_catalog_id;
            draft.next_catalog_id += 1;
            draft.changed(format!("created_table:\"main\".\"{}\"", table.name));
            sqlx::query("INSERT INTO ducklake_table VALUES (?, ?, ?, NULL, 0, ?, ?, 1)")
                .bind(new)
                .bind(random::uuid()?)
                .bind(draft.id)
                .bind(table.name)
                .bind(format!("{}/", table.name))
                .execute(&mut *connection)
                .await?;
            new
        };
        for (column, column_id) in columns.iter().zip(*next_column..) {
            sqlx::query(
                "INSERT INTO ducklake_column VALUES (?, ?, NULL, ?, ?, ?, ?, NULL, 'NULL', ?, NULL, 'literal', 'duckdb')",
            )
            .bind(column_id)
            .bind(draft.id)
            .bind(table_id)
            .bind(column_id)
            .bind(column.name)
            .bind(type_text(column.kind))
            .bind(!column.required)
            .execute(&mut *connection)
            .await?;
        }
        sqlx::query("INSERT INTO ducklake_schema_versions VALUES (?, ?, ?)")
            .bind(draft.id)
            .bind(draft.schema_version)
            .bind(table_id)
            .execute(&mut *connection)
            .await?;
    }
    draft.write(connection, now, None).await
}

/// The last snapshot that changed a table's columns; `None` once the table is dropped.
pub(crate) async fn last_altered(connection: &mut SqliteConnection, table_id: i64) -> Result<Option<i64>> {
    let altered = sqlx::query_scalar(
        "SELECT max(max(c.begin_snapshot, coalesce(c.end_snapshot, 0))) FROM ducklake_column c \
         JOIN ducklake_table t ON t.table_id = c.table_id AND t.end_snapshot IS NULL WHERE c.table_id = ?",
    )
    .bind(table_id)
    .fetch_one(connection)
    .await?;
    Ok(altered)
}

async fn find(connection: &mut SqliteConnection, name: &str) -> Result<Option<(i64, String)>> {
    let row = sqlx::query(
        "SELECT t.table_id, s.path || t.path, s.path_is_relative AND t.path_is_relative FROM ducklake_table t \
         JOIN ducklake_schema s ON s.schema_id = t.schema_id AND s.schema_name = 'main' AND s.end_snapshot IS NULL \
         WHERE t.table_name = ? AND t.end_snapshot IS NULL",
    )
    .bind(name)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if !row.try_get::<bool, _>(2)? {
        return Err(StoreError::Unsupported { what: format!("table `{name}` outside of the lake's folder") });
    }
    Ok(Some((row.try_get(0)?, row.try_get(1)?)))
}

struct KnownColumn {
    id: i64,
    name: String,
    kind: String,
    nullable: bool,
}

async fn live_columns(connection: &mut SqliteConnection, table_id: i64) -> Result<Vec<KnownColumn>> {
    let rows = sqlx::query(
        "SELECT column_id, column_name, column_type, nulls_allowed FROM ducklake_column \
         WHERE table_id = ? AND end_snapshot IS NULL AND parent_column IS NULL ORDER BY column_order",
    )
    .bind(table_id)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(KnownColumn { id: row.try_get(0)?, name: row.try_get(1)?, kind: row.try_get(2)?, nullable: row.try_get(3)? })
        })
        .collect()
}

/// The columns of the definition that the catalog lacks. Whatever else differs cannot be mended by adding a column.
fn missing_columns(table: &'static Table, known: &[KnownColumn]) -> Result<Vec<&'static Column>> {
    let refuse = |why: String| Err(StoreError::format(format!("table `{}` {why}; use the version that wrote it", table.name)));
    if let Some(unknown) = known.iter().find(|known| table.columns.iter().all(|column| column.name != known.name)) {
        return refuse(format!("has a column `{}` that this version does not know", unknown.name));
    }
    let mut missing = Vec::new();
    for column in table.columns {
        match known.iter().find(|known| known.name == column.name) {
            Some(known) if known.kind != type_text(column.kind) => {
                return refuse(format!("has column `{}` as {}, not as {}", column.name, known.kind, type_text(column.kind)));
            }
            Some(known) if known.nullable && column.required => {
                return refuse(format!("may lack values in column `{}`", column.name));
            }
            Some(_) => {}
            None if column.required => {
                return refuse(format!("lacks the required column `{}`", column.name));
            }
            None => missing.push(column),
        }
    }
    Ok(missing)
}

fn type_text(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text => "varchar",
        ColumnType::Int => "int64",
        ColumnType::Float => "float64",
        ColumnType::Bool => "boolean",
        ColumnType::Instant => "timestamptz",
        ColumnType::Day => "date",
        ColumnType::Money => "decimal(18,6)",
    }
}

fn field_ids(schema: &Schema, column_ids: &[i64]) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .zip(column_ids)
        .map(|(field, id)| {
            field.as_ref().clone().with_metadata(HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]))
        })
        .collect();
    Arc::new(Schema::new(fields))
}
