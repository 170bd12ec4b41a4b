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
    pub(crate) fn new(
        table: &'static Table,
        columns: &[&str],
        files: Vec<DataFile>,
    ) -> Result<Self> {
        let whole = table.schema();
        let schema = if columns.is_empty() {
            whole
        } else {
            let field = |name: &&str| {
                whole.field_with_name(name).cloned().map_err(|_| {
                    StoreError::not_found(format!("column `{name}` of table `{}`", table.name))
                })
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
                        let batch =
                            batch.map_err(|error| StoreError::parquet(&file.path)(error.into()))?;
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
        let builder = ParquetRecordBatchReaderBuilder::try_new(handle)
            .map_err(StoreError::parquet(&file.path))?;
        let wanted = self.schema.fields().iter().map(|field| field.name().as_str());
        let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
        builder
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(StoreError::parquet(&file.path))
    }

    /// The batch under the table's schema: in the asked order, with nulls where a file is older than a column.
    fn fit(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let misfit = |why: String| StoreError::Misfit { table: self.table.name, why };
        let column = |field: &Arc<arrow::datatypes::Field>| -> Result<ArrayRef> {
            match batch.column_by_name(field.name()) {
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
                Some(values) if values.data_type() == field.data_type() => Ok(Arc::clone(values)),
                Some(values) => {
                    cast(values, field.data_type()).map_err(|error| misfit(error.to_string()))
                }
            }
        };
        let columns = self.schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema(), columns, &options)
            .map_err(|error| misfit(error.to_string()))
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
