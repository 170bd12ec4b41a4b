//! Reads the files of a snapshot back as batches of the table's own schema.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use headwater_model::tables::Table;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::PageIndexPolicy;

use crate::lake::rows;
use crate::lake::snapshot::DataFile;
use crate::lake::stats;
use crate::{Result, StoreError};

/// Rows per batch: a few megabytes of wide rows.
const BATCH_ROWS: usize = 8192;

/// The rows of a table, file by file and batch by batch; it holds one batch at a time. Deleted rows are left out.
#[derive(Debug)]
pub struct TableReader {
    table: &'static Table,
    schema: SchemaRef,
    files: std::vec::IntoIter<(DataFile, Option<Vec<u64>>)>,
    open: Option<(DataFile, ParquetRecordBatchReader)>,
}

impl TableReader {
    /// Reads files, or only some of their rows.
    pub(crate) fn new(table: &'static Table, columns: &[&str], files: Vec<(DataFile, Option<Vec<u64>>)>) -> Result<Self> {
        let whole = table.schema();
        let schema = if columns.is_empty() {
            whole
        } else {
            let field = |name: &&str| {
                whole
                    .field_with_name(name)
                    .cloned()
                    .map_err(|_| StoreError::not_found(format!("column `{name}` of table `{}`", table.name)))
            };
            Arc::new(Schema::new(columns.iter().map(field).collect::<Result<Vec<_>>>()?))
        };
        Ok(Self { table, schema, files: files.into_iter(), open: None })
    }

    /// The schema of every batch.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((file, reader)) = &mut self.open {
                match reader.next() {
                    Some(batch) => {
                        let batch = batch.map_err(|error| StoreError::parquet(&file.path)(error.into()))?;
                        return self.fit(&batch).map(Some);
                    }
                    None => self.open = None,
                }
            }
            let Some((file, rows)) = self.files.next() else { return Ok(None) };
            let reader = self.open(&file, rows)?;
            self.open = Some((file, reader));
        }
    }

    fn open(&self, file: &DataFile, rows: Option<Vec<u64>>) -> Result<ParquetRecordBatchReader> {
        let handle = File::open(&file.path).map_err(StoreError::io(&file.path))?;
        let some = rows.is_some() || file.deletes.is_some();
        // The offset index tells where pages begin, so that those without a wanted row are not unpacked.
        let policy = if some { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
        let options = ArrowReaderOptions::new().with_offset_index_policy(policy);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(handle, options);
        let builder = builder.map_err(StoreError::parquet(&file.path))?;
        let wanted = self.schema.fields().iter().map(|field| field.name().as_str());
        let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
        let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
        let builder = if some { select(builder, file, rows)? } else { builder };
        builder.build().map_err(StoreError::parquet(&file.path))
    }

    /// The batch under the table's schema: in the asked order, with nulls where a file is older than a column.
    fn fit(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let misfit = |why: String| StoreError::Misfit { table: self.table.name, why };
        let column = |field: &Arc<arrow::datatypes::Field>| -> Result<ArrayRef> {
            match batch.column_by_name(field.name()) {
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
                Some(values) if values.data_type() == field.data_type() => Ok(Arc::clone(values)),
                Some(values) => cast(values, field.data_type()).map_err(|error| misfit(error.to_string())),
            }
        };
        let columns = self.schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema(), columns, &options).map_err(|error| misfit(error.to_string()))
    }
}

/// Reads these rows, or all, but none that is deleted.
fn select(
    builder: ParquetRecordBatchReaderBuilder<File>,
    file: &DataFile,
    rows: Option<Vec<u64>>,
) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let dead = file.deleted_places()?;
    let groups: Vec<usize> =
        builder.metadata().row_groups().iter().map(|group| usize::try_from(group.num_rows()).unwrap_or_default()).collect();
    let of: usize = groups.iter().sum();
    // A place past the end of a file would be left out in silence.
    if stats::whole(of) != file.rows {
        let path = file.path.display();
        return Err(StoreError::format(format!(
            "{path} has {of} rows, not {} as the catalog says; restore it from a backup",
            file.rows
        )));
    }
    let (groups, selection) = match rows {
        Some(rows) => rows::pick(groups, rows::each(&rows::minus(rows, &dead))),
        None => rows::pick(groups, rows::left(of, &dead)),
    };
    Ok(builder.with_row_groups(groups).with_row_selection(selection))
}

impl Iterator for TableReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            // A reader that failed has no rows left to give.
            self.open = None;
            self.files = Vec::new().into_iter();
        }
        next.transpose()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Int64Array, StringArray};
    use headwater_model::tables::SCORECARD;
    use parquet::arrow::ArrowWriter;

    use super::*;

    /// A file as DuckDB or an older version may have written it: other order, other width, a column short.
    #[test]
    fn column_that_a_file_lacks_is_null_and_a_narrower_type_is_widened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.parquet");
        let narrow = arrow::array::Int32Array::from(vec![1, 2]);
        let batch = RecordBatch::try_from_iter([
            ("n", Arc::new(narrow) as ArrayRef),
            ("source", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
        ])
        .unwrap();
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let file = DataFile { id: 1, path, partition: None, rows: 2, deleted: 0, bytes: 1, begin_snapshot: 1, deletes: None };

        let mut reader = TableReader::new(&SCORECARD, &["source", "unit", "n"], vec![(file.clone(), None)]).unwrap();
        let read = reader.next().unwrap().unwrap();
        assert_eq!(read.schema(), reader.schema());
        assert_eq!(read.column(1).null_count(), 2);
        assert_eq!(read.column(2).as_any().downcast_ref::<Int64Array>().unwrap().values(), &[1, 2]);
        assert!(reader.next().is_none());

        let mut reader = TableReader::new(&SCORECARD, &["state"], vec![(file, None)]).unwrap();
        assert!(matches!(reader.next(), Some(Err(StoreError::Misfit { .. }))), "a required value is missing");
        assert!(reader.next().is_none(), "a reader that failed is at its end");
    }
}
