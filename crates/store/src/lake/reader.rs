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
    open: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    file: DataFile,
    reader: ParquetRecordBatchReader,
    /// How many rows it should still give.
    left: i64,
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
            if let Some(OpenFile { file, reader, left }) = &mut self.open {
                match StoreError::decoded(&file.path, || reader.next().transpose())? {
                    Some(batch) => {
                        *left -= stats::whole(batch.num_rows());
                        return self.fit(&batch).map(Some);
                    }
                    // A torn page may end early, and that is no error of Parquet.
                    None if *left != 0 => return Err(StoreError::short(&file.path, file.rows - *left, file.rows)),
                    None => self.open = None,
                }
            }
            let Some((file, rows)) = self.files.next() else { return Ok(None) };
            self.open = Some(self.open(file, rows)?);
        }
    }

    fn open(&self, file: DataFile, rows: Option<Vec<u64>>) -> Result<OpenFile> {
        let handle = File::open(&file.path).map_err(StoreError::io(&file.path))?;
        let some = rows.is_some() || file.deletes.is_some();
        // The offset index tells where pages begin, so that those without a wanted row are not unpacked.
        let policy = if some { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
        let options = ArrowReaderOptions::new().with_offset_index_policy(policy);
        let builder = StoreError::decoded(&file.path, || ParquetRecordBatchReaderBuilder::try_new_with_options(handle, options))?;
        let wanted = self.schema.fields().iter().map(|field| field.name().as_str());
        let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
        let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
        let (builder, left) = if some { select(builder, &file, rows)? } else { (builder, file.rows) };
        let reader = StoreError::decoded(&file.path, || builder.build())?;
        Ok(OpenFile { file, reader, left })
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

/// Reads these rows, or all, but none that is deleted; with how many that are.
fn select(
    builder: ParquetRecordBatchReaderBuilder<File>,
    file: &DataFile,
    rows: Option<Vec<u64>>,
) -> Result<(ParquetRecordBatchReaderBuilder<File>, i64)> {
    let dead = file.deleted_places()?;
    let groups: Vec<usize> =
        builder.metadata().row_groups().iter().map(|group| usize::try_from(group.num_rows()).unwrap_or_default()).collect();
    let of: usize = groups.iter().sum();
    // A place past the end of a file would be left out in silence.
    if stats::whole(of) != file.rows {
        return Err(StoreError::short(&file.path, stats::whole(of), file.rows));
    }
    let (groups, selection) = match rows {
        Some(rows) => rows::pick(groups, rows::each(&rows::minus(rows, &dead))),
        None => rows::pick(groups, rows::left(of, &dead)),
    };
    let wanted = stats::whole(selection.row_count());
    Ok((builder.with_row_groups(groups).with_row_selection(selection), wanted))
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
    use std::path::Path;

    use arrow::array::{Array, Int64Array, StringArray};
    use headwater_model::tables::SCORECARD;
    use parquet::arrow::ArrowWriter;

    use super::*;

    /// A file as DuckDB or an older version may have written it: other order, other width, a column short.
    fn old(folder: &Path) -> DataFile {
        let path = folder.join("old.parquet");
        let narrow = arrow::array::Int32Array::from(vec![1, 2]);
        let batch = RecordBatch::try_from_iter([
            ("n", Arc::new(narrow) as ArrayRef),
            ("source", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
        ])
        .unwrap();
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        DataFile { id: 1, path, partition: None, rows: 2, deleted: 0, bytes: 1, begin_snapshot: 1, deletes: None }
    }

    #[test]
    fn column_that_a_file_lacks_is_null_and_a_narrower_type_is_widened() {
        let folder = tempfile::tempdir().unwrap();
        let file = old(folder.path());
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

    #[test]
    fn no_changed_byte_of_a_file_is_a_panic_or_loses_a_row() {
        let folder = tempfile::tempdir().unwrap();
        let file = old(folder.path());
        let content = std::fs::read(&file.path).unwrap();
        for (place, byte) in content.iter().enumerate() {
            for changed in [0, 0xff, byte ^ 1, byte ^ 0x80] {
                let mut content = content.clone();
                content[place] = changed;
                std::fs::write(&file.path, content).unwrap();
                for rows in [None, Some(vec![0, 1])] {
                    let reader = TableReader::new(&SCORECARD, &["source", "n"], vec![(file.clone(), rows)]).unwrap();
                    if let Ok(batches) = reader.collect::<Result<Vec<_>>>() {
                        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2, "{place} {changed}");
                    }
                }
            }
        }
    }
}
