//! Writes a store with rows in every table, says how long it took, and prints the count of each table as JSON.
//!
//! `cargo run -p headwater-store --example fill -- FOLDER ROWS` gives the large tables that many rows. `tests/duckdb_attach.py`
//! reads the result with DuckDB.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example answers on the terminal")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use headwater_model::tables::{self, Column, ColumnType, LEAD, PROSPECT, SOURCE_RECORD, TOUCH, Table};
use headwater_store::{StagedFiles, Store, StoreConfig};

const NOW: i64 = 1_790_000_000_000_000;
const BATCH_ROWS: usize = 8192;
const SMALL_ROWS: usize = 30;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("name a folder")?;
    let rows: usize = arguments.next().ok_or("say how many rows")?.parse()?;
    let config = StoreConfig { ledger: format!("sqlite://{folder}/ledger.db"), lake: format!("{folder}/lake").into() };
    let store = Store::create_or_open(&config, tables::ALL, NOW).await?;

    let mut counts = BTreeMap::new();
    let mut first = store.commit("fill", NOW);
    for table in tables::ALL {
        let large = [SOURCE_RECORD.name, LEAD.name, TOUCH.name].contains(&table.name);
        let count = if large { rows } else { SMALL_ROWS };
        let started = Instant::now();
        let staged = stage(&store, table, large.then_some("web"), 0, count)?;
        if large {
            eprintln!("{} rows of {} staged in {:.2?}", staged.rows(), table.name, started.elapsed());
        }
        counts.insert(table.name, staged.rows());
        first.append(staged);
    }
    let started = Instant::now();
    first.execute().await?;
    eprintln!("committed in {:.2?}", started.elapsed());

    // A second append and a replacement, so that there is something to travel back to.
    let base = store.snapshot().await?;
    let mut second = store.commit("fill", NOW + 1_000_000);
    second.append(stage(&store, &TOUCH, Some("list"), rows, 5)?);
    second.replace(&base, &PROSPECT, vec![stage(&store, &PROSPECT, None, 1000, 7)?]);
    second.execute().await?;
    counts.entry(TOUCH.name).and_modify(|count| *count += 5);
    counts.insert(PROSPECT.name, 7);

    let started = Instant::now();
    let mut read = 0;
    for batch in store.snapshot().await?.read(&LEAD, &[], None)? {
        read += batch?.num_rows();
    }
    eprintln!("{read} rows of {} read in {:.2?}", LEAD.name, started.elapsed());
    store.close().await;
    println!("{}", serde_json::to_string(&counts)?);
    Ok(())
}

fn stage(
    store: &Store,
    table: &Table,
    partition: Option<&str>,
    from: usize,
    count: usize,
) -> Result<StagedFiles, Box<dyn Error>> {
    let mut writer = store.writer(table, partition)?;
    for start in (from..from + count).step_by(BATCH_ROWS) {
        let rows = start..(start + BATCH_ROWS).min(from + count);
        let columns = table.columns.iter().map(|column| values(column, rows.clone())).collect::<Result<Vec<_>, _>>()?;
        writer.write(&RecordBatch::try_new(table.schema(), columns)?)?;
    }
    Ok(writer.finish()?)
}

fn values(column: &Column, rows: std::ops::Range<usize>) -> Result<ArrayRef, Box<dyn Error>> {
    let cells =
        || rows.clone().map(|row| (column.required || !row.is_multiple_of(3)).then_some(i64::try_from(row).unwrap_or_default()));
    Ok(match column.kind {
        ColumnType::Text => Arc::new(cells().map(|cell| cell.map(|row| text(column.name, row))).collect::<StringArray>()),
        ColumnType::Int => Arc::new(cells().map(|cell| cell.map(scatter)).collect::<Int64Array>()),
        ColumnType::Float => Arc::new(
            cells().map(|cell| cell.map(|row| f64::from(i32::try_from(row).unwrap_or_default()) / 4.0)).collect::<Float64Array>(),
        ),
        ColumnType::Bool => Arc::new(cells().map(|cell| cell.map(|row| row % 2 == 0)).collect::<BooleanArray>()),
        ColumnType::Instant => {
            let instants: TimestampMicrosecondArray = cells().map(|cell| cell.map(|row| NOW + row * 1000)).collect();
            Arc::new(instants.with_timezone("UTC"))
        }
        ColumnType::Day => {
            Arc::new(cells().map(|cell| cell.map(|row| i32::try_from(row % 20_000).unwrap_or_default())).collect::<Date32Array>())
        }
        ColumnType::Money => {
            let amounts: Decimal128Array = cells().map(|cell| cell.map(|row| i128::from(row) * 1_250_000 - 5_000_000)).collect();
            Arc::new(amounts.with_precision_and_scale(18, 6)?)
        }
    })
}

/// Ids like ours are, addresses all different, and words that repeat.
fn text(column: &str, row: i64) -> String {
    match column {
        "raw" => format!(
            "{{\"email\":\"person{row}@example.com\",\"name\":\"Person {row}\",\"city\":\"Lyon\",\"id\":{}}}",
            scatter(row)
        ),
        "email" => format!("person{row}@example.com"),
        _ if column.ends_with("_id") && column != "run_id" => {
            format!("{:016x}{:016x}", scatter(row), scatter(!row))
        }
        _ if column == "source_pk" || column.contains("phone") || column.contains("url") => {
            format!("{column} {row}")
        }
        _ => format!("{column} {}", row % 40),
    }
}

/// Spreads numbers over the whole range, the same at every run.
fn scatter(row: i64) -> i64 {
    row.wrapping_mul(0x1656_67b1_9e37_79f9).rotate_left(31).wrapping_mul(0x27d4_eb2f_1656_67c5)
}
