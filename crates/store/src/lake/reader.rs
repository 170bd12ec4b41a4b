//! Reads the files of a snapshot back as batches of the table's own schema.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use headwater_model::tables::Table;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::lake::snapshot::DataFile;
use crate::{Result, StoreError};

/// Rows per batch: a few megabytes of wide rows.
const BATCH_ROWS: usize = 8192;

/// The rows of a table, file by file and batch by batch; it holds one batch at a time.
#[derive(Debug)]
pub struct TableReader {
    table: &'static Table,
    schema: SchemaRef,
    files: std::vec::IntoIter<DataFile>,
    open: Option<(DataFile, ParquetRecordBatchReader)>,
}

impl TableReader {
    pub(crate) fn new(table: &'static Table, columns: &[&str], files: Vec<DataFile>) -> Result<Self> {
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
            let Some(file) = self.files.next() else { return Ok(None) };
            let reader = self.open(&file)?;
            self.open = Some((file, reader));
        }
    }

    fn open(&self, file: &DataFile) -> Result<ParquetRecordBatchReader> {
        let handle = File::open(&file.path).map_err(StoreError::io(&file.path))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(handle).map_err(StoreError::parquet(&file.path))?;
        let wanted = self.schema.fields().iter().map(|field| field.name().as_str());
        let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
        builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(StoreError::parquet(&file.path))
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
        let file = DataFile { id: 1, path, partition: None, rows: 2, bytes: 1, begin_snapshot: 1 };

        let mut reader = TableReader::new(&SCORECARD, &["source", "unit", "n"], vec![file.clone()]).unwrap();
        let read = reader.next().unwrap().unwrap();
        assert_eq!(read.schema(), reader.schema());
        assert_eq!(read.column(1).null_count(), 2);
        assert_eq!(read.column(2).as_any().downcast_ref::<Int64Array>().unwrap().values(), &[1, 2]);
        assert!(reader.next().is_none());

        let mut reader = TableReader::new(&SCORECARD, &["state"], vec![file]).unwrap();
        assert!(matches!(reader.next(), Some(Err(StoreError::Misfit { .. }))), "a required value is missing");
        assert!(reader.next().is_none(), "a reader that failed is at its end");
    }
}
