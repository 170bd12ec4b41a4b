//! Looks for rows by the text in one column, and reads nothing else.

use std::fs::File;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use crate::lake::rows::FileRows;
use crate::lake::snapshot::DataFile;
use crate::{Result, StoreError};

/// Rows per batch: their texts stay in the processor's cache.
const BATCH_ROWS: usize = 8192;

/// The live rows of a file whose text in `column` is wanted. A text that stands in several rows in a row is asked for once.
pub(crate) fn find(file: &DataFile, column: &str, wanted: &mut dyn FnMut(&str) -> bool) -> Result<FileRows> {
    let path = &file.path;
    let mut found = FileRows { file: file.id, rows: Vec::new() };
    let handle = File::open(path).map_err(StoreError::io(path))?;
    let options = ArrowReaderOptions::new();
    let known = StoreError::decoded(path, || ArrowReaderMetadata::load(&handle, options.clone()))?;
    if known.schema().field_with_name(column).is_err() {
        // The file is older than the column.
        return Ok(found);
    }
    // As views the texts stay where the page was unpacked.
    let as_view = |field: &Arc<Field>| match field.name() == column {
        true => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        false => Arc::clone(field),
    };
    let schema = Schema::new(known.schema().fields().iter().map(as_view).collect::<Vec<_>>());
    let options = options.with_schema(Arc::new(schema));
    let known = StoreError::decoded(path, || ArrowReaderMetadata::try_new(Arc::clone(known.metadata()), options))?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(handle, known);
    let mask = ProjectionMask::columns(builder.parquet_schema(), [column]);
    let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    let mut reader = StoreError::decoded(path, || builder.build())?;
    let dead = file.deleted_places()?;
    let mut dead = dead.iter().copied().peekable();
    let mut row = 0_u64..;
    while let Some(batch) = StoreError::decoded(path, || reader.next().transpose())? {
        let texts = batch.columns().first().and_then(|texts| texts.as_string_view_opt());
        let texts = texts.ok_or_else(|| StoreError::format(format!("{} holds no text in `{column}`", path.display())))?;
        let mut last = None;
        for (text, row) in texts.iter().zip(&mut row) {
            if dead.next_if_eq(&row).is_some() {
                continue;
            }
            let Some(text) = text else { continue };
            let is_wanted = match last {
                Some((known, verdict)) if known == text => verdict,
                _ => wanted(text),
            };
            last = Some((text, is_wanted));
            if is_wanted {
                found.rows.push(row);
            }
        }
    }
    let read = i64::try_from(row.start).unwrap_or(i64::MAX);
    if read == file.rows { Ok(found) } else { Err(StoreError::short(path, read, file.rows)) }
}
