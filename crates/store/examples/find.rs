//! Says what it costs to find rows by their ids, to read them, and to take them out.
//!
//! `cargo run --release -p headwater-store --example find -- FOLDER ROWS WANTED` makes a table of that many links of a person to a lead
//! in an empty folder, whose ids are all different, and looks for as many leads. Everything runs on one thread.

#![expect(clippy::print_stdout, reason = "an example answers on the terminal")]

use std::collections::HashSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use headwater_model::tables::{self, ColumnType, IDENTITY_LINK};
use headwater_store::{Store, StoreConfig};

const NOW: i64 = 1_790_000_000_000_000;
const BATCH_ROWS: usize = 8192;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("name a folder")?;
    let rows: usize = arguments.next().ok_or("say how many rows")?.parse()?;
    let wanted: usize = arguments.next().ok_or("say how many are looked for")?.parse()?;
    let config = StoreConfig { ledger: format!("sqlite://{folder}/ledger.db"), lake: format!("{folder}/lake").into() };
    let store = Store::create_or_open(&config, tables::ALL, NOW).await?;
    let mut writer = store.writer(&IDENTITY_LINK, None)?;
    for start in (0..rows).step_by(BATCH_ROWS) {
        writer.write(&links(start..(start + BATCH_ROWS).min(rows))?)?;
    }
    let mut commit = store.commit("fill", NOW);
    commit.append(writer.finish()?);
    commit.execute().await?;

    let ids: HashSet<String> = (0..rows).step_by((rows / wanted.max(1)).max(1)).map(|row| id("led_", row)).collect();
    let base = store.snapshot().await?;
    for _ in 0..3 {
        said("nothing is found", || Ok(base.find_rows(&IDENTITY_LINK, "lead_id", |_| false)?.len()))?;
        said("ids are found", || {
            Ok(base.find_rows(&IDENTITY_LINK, "lead_id", |id| ids.contains(id))?.iter().map(|rows| rows.rows.len()).sum())
        })?;
    }
    let found = base.find_rows(&IDENTITY_LINK, "lead_id", |id| ids.contains(id))?;
    let read = |columns: &[&str]| -> Result<usize, Box<dyn Error>> {
        let mut count = 0;
        for batch in base.read_rows(&IDENTITY_LINK, columns, &found)? {
            count += batch?.num_rows();
        }
        Ok(count)
    };
    said("two columns of them are read", || read(&["prospect_id", "lead_id"]))?;
    said("all columns of them are read", || read(&[]))?;
    let started = Instant::now();
    let mut commit = store.commit("amend", NOW);
    commit.amend(&base, &IDENTITY_LINK, found.clone(), Vec::new())?;
    commit.execute().await?;
    println!("taken out in {:.2?}", started.elapsed());
    let amended = store.snapshot().await?;
    for (name, snapshot) in [("all rows were read before", &base), ("all rows are read after", &amended)] {
        said(name, || {
            let mut count = 0;
            for batch in snapshot.read(&IDENTITY_LINK, &["prospect_id", "lead_id"], None)? {
                count += batch?.num_rows();
            }
            Ok(count)
        })?;
    }
    store.close().await;
    Ok(())
}

fn said(what: &str, work: impl FnOnce() -> Result<usize, Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let count = work()?;
    println!("{what}: {count} in {:.2?}", started.elapsed());
    Ok(())
}

fn links(rows: std::ops::Range<usize>) -> Result<RecordBatch, Box<dyn Error>> {
    let count = rows.len();
    let columns = IDENTITY_LINK.columns.iter().map(|column| -> Result<ArrayRef, Box<dyn Error>> {
        Ok(match (column.name, column.kind) {
            ("lead_id", _) => Arc::new(rows.clone().map(|row| Some(id("led_", row))).collect::<StringArray>()),
            ("prospect_id", _) => Arc::new(rows.clone().map(|row| Some(id("prs_", row / 2))).collect::<StringArray>()),
            (_, ColumnType::Text) => Arc::new(StringArray::from(vec![column.name; count])),
            (_, ColumnType::Int) => Arc::new(Int64Array::from(vec![1; count])),
            (_, ColumnType::Float) => Arc::new(Float64Array::from(vec![0.5; count])),
            (_, ColumnType::Bool) => Arc::new(BooleanArray::from(vec![true; count])),
            (_, ColumnType::Instant) => Arc::new(TimestampMicrosecondArray::from(vec![NOW; count]).with_timezone("UTC")),
            (name, kind) => return Err(format!("no values are made for {name}, {kind:?}").into()),
        })
    });
    Ok(RecordBatch::try_new(IDENTITY_LINK.schema(), columns.collect::<Result<_, _>>()?)?)
}

/// An id of 36 characters, the same at every run.
fn id(prefix: &str, row: usize) -> String {
    let scatter = |row: u64| row.wrapping_mul(0x1656_67b1_9e37_79f9).rotate_left(31).wrapping_mul(0x27d4_eb2f_1656_67c5);
    let row = row as u64;
    format!("{prefix}{:016x}{:016x}", scatter(row), scatter(!row))
}
