//! Rows of the lake in memory: batches, and typed views of their columns.

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::filter_record_batch;
use hashbrown::HashMap;
use headwater_model::tables::Table;
use headwater_store::Snapshot;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};

/// The named columns of a table, batch by batch, in the order of their commits.
pub(crate) fn load(snapshot: &Snapshot, table: &'static Table, columns: &[&str]) -> Result<Vec<RecordBatch>> {
    batches(snapshot, table, columns)?.collect()
}

/// The same, one batch in memory at a time.
pub(crate) fn batches(
    snapshot: &Snapshot,
    table: &'static Table,
    columns: &[&str],
) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
    let batches = snapshot.read(table, columns, None)?.map(|batch| Ok(batch?));
    Ok(batches.filter(|batch| !matches!(batch, Ok(batch) if batch.num_rows() == 0)))
}

/// Keeps of each key's rows the last one: what it says now. The order of the rest stays.
pub(crate) fn latest(batches: Vec<RecordBatch>, key: &str) -> Result<Vec<RecordBatch>> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut last: HashMap<u128, (usize, usize)> = HashMap::with_capacity(rows);
    for (part, batch) in batches.iter().enumerate() {
        let keys = text(batch, key)?;
        for row in 0..batch.num_rows() {
            last.insert(xxh3_128(keys.value(row).as_bytes()), (part, row));
        }
    }
    if last.len() == rows {
        return Ok(batches);
    }
    let mut masks: Vec<Vec<bool>> = batches.iter().map(|batch| vec![false; batch.num_rows()]).collect();
    for (part, row) in last.into_values() {
        if let Some(slot) = masks.get_mut(part).and_then(|mask| mask.get_mut(row)) {
            *slot = true;
        }
    }
    let kept = batches.iter().zip(masks).map(|(batch, mask)| Ok(filter_record_batch(batch, &BooleanArray::from(mask))?));
    kept.filter(|batch: &Result<RecordBatch>| !matches!(batch, Ok(batch) if batch.num_rows() == 0)).collect()
}

fn column<'a, T: Array + 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a T> {
    let column: Option<&ArrayRef> = batch.column_by_name(name);
    let typed = column.and_then(|column| column.as_any().downcast_ref());
    typed.ok_or_else(|| Error::Internal(format!("the lake has no column `{name}` of the declared type")))
}

pub(crate) fn text<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    column(batch, name)
}

pub(crate) fn instants<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a TimestampMicrosecondArray> {
    column(batch, name)
}

pub(crate) fn amounts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Decimal128Array> {
    column(batch, name)
}

pub(crate) fn booleans<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a BooleanArray> {
    column(batch, name)
}

pub(crate) fn integers<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Int64Array> {
    column(batch, name)
}

pub(crate) fn days<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Date32Array> {
    column(batch, name)
}

/// The text of a cell, or nothing where it is null.
pub(crate) fn at(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

/// The instant of a cell, or nothing where it is null.
pub(crate) fn at_instant(column: &TimestampMicrosecondArray, row: usize) -> Option<i64> {
    column.is_valid(row).then(|| column.value(row))
}
