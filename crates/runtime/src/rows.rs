//! Rows of the lake in memory: batches, and typed views of their columns.

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::filter_record_batch;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use headwater_model::tables::Table;
use headwater_store::Snapshot;
use xxhash_rust::xxh3::xxh3_64;

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
    let keys = batches.iter().map(|batch| text(batch, key)).collect::<Result<Vec<_>>>()?;
    let key_at = |(part, row): (u32, u32)| keys.get(part as usize).map_or("", |keys| keys.value(row as usize));
    let hash_at = |at: &(u32, u32)| xxh3_64(key_at(*at).as_bytes());
    let mut last: HashTable<(u32, u32)> = HashTable::with_capacity(rows);
    for (part, batch) in (0_u32..).zip(&batches) {
        for at in (0_u32..).zip(0..batch.num_rows()).map(|(row, _)| (part, row)) {
            match last.entry(hash_at(&at), |known| key_at(*known) == key_at(at), hash_at) {
                Entry::Occupied(mut known) => *known.get_mut() = at,
                Entry::Vacant(room) => {
                    room.insert(at);
                }
            }
        }
    }
    if last.len() == rows {
        return Ok(batches);
    }
    let mut masks: Vec<Vec<bool>> = batches.iter().map(|batch| vec![false; batch.num_rows()]).collect();
    for (part, row) in last {
        if let Some(slot) = masks.get_mut(part as usize).and_then(|mask| mask.get_mut(row as usize)) {
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
