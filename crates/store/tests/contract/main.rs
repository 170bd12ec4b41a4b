//! The contract of the store, at its boundary.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests stand outside of a test function")]

mod amend;
mod catalog;
mod commit;
mod crash;
mod intake;
mod lake;
mod ledger;
mod sweep;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use headwater_model::tables::{self, Column, ColumnType, Table};
use headwater_store::{Snapshot, StagedFiles, Store, StoreConfig};
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

/// An instant in 2026.
const NOW: i64 = 1_790_000_000_000_000;
const HOUR: i64 = 3_600_000_000;

fn config(folder: &Path) -> StoreConfig {
    StoreConfig { ledger: format!("sqlite://{}", folder.join("ledger.db").display()), lake: folder.join("lake") }
}

async fn open(folder: &Path) -> Store {
    Store::create_or_open(&config(folder), tables::ALL, NOW).await.unwrap()
}

async fn fresh() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    (folder, store)
}

/// The ledger as an outsider sees it.
async fn raw(store: &Store) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", store.ledger().display())).await.unwrap()
}

/// Rows `from..from + count` of a table: every value tells its column and row, every third optional value is missing.
fn rows(table: &Table, from: usize, count: usize) -> RecordBatch {
    let columns = table.columns.iter().map(|column| values(column, from, count)).collect();
    RecordBatch::try_new(table.schema(), columns).unwrap()
}

fn values(column: &Column, from: usize, count: usize) -> ArrayRef {
    let present = |row: &usize| column.required || !row.is_multiple_of(3);
    let cells = || (from..from + count).map(|row| present(&row).then_some(row));
    let whole = |row: usize| i64::try_from(row).unwrap();
    match column.kind {
        ColumnType::Text => {
            Arc::new(cells().map(|cell| cell.map(|row| format!("{} {row}", column.name))).collect::<StringArray>())
        }
        ColumnType::Int => Arc::new(cells().map(|cell| cell.map(whole)).collect::<Int64Array>()),
        ColumnType::Float => {
            Arc::new(cells().map(|cell| cell.map(|row| f64::from(u32::try_from(row).unwrap()) / 4.0)).collect::<Float64Array>())
        }
        ColumnType::Bool => Arc::new(cells().map(|cell| cell.map(|row| row.is_multiple_of(2))).collect::<BooleanArray>()),
        ColumnType::Instant => {
            let instants: TimestampMicrosecondArray = cells().map(|cell| cell.map(|row| NOW + whole(row))).collect();
            Arc::new(instants.with_timezone("UTC"))
        }
        ColumnType::Day => Arc::new(cells().map(|cell| cell.map(|row| i32::try_from(row).unwrap())).collect::<Date32Array>()),
        ColumnType::Money => {
            let amounts: Decimal128Array =
                cells().map(|cell| cell.map(|row| i128::from(whole(row)) * 1_250_000 - 5_000_000)).collect();
            Arc::new(amounts.with_precision_and_scale(18, 6).unwrap())
        }
    }
}

fn stage(store: &Store, table: &Table, from: usize, count: usize) -> StagedFiles {
    stage_into(store, table, None, from, count)
}

fn stage_into(store: &Store, table: &Table, partition: Option<&str>, from: usize, count: usize) -> StagedFiles {
    let mut writer = store.writer(table, partition).unwrap();
    writer.write(&rows(table, from, count)).unwrap();
    writer.finish().unwrap()
}

async fn append(store: &Store, table: &'static Table, from: usize, count: usize) -> i64 {
    let mut commit = store.commit("run", NOW);
    commit.append(stage(store, table, from, count));
    commit.execute().await.unwrap()
}

fn read(snapshot: &Snapshot, table: &'static Table) -> RecordBatch {
    let batches: Vec<RecordBatch> = snapshot.read(table, &[], None).unwrap().map(Result::unwrap).collect();
    concat_batches(&table.schema(), &batches).unwrap()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = batch.column_by_name(column).unwrap().as_any().downcast_ref::<StringArray>().unwrap();
    column.iter().map(|text| text.unwrap_or_default().to_owned()).collect()
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
