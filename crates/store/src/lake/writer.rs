//! Writes rows into Parquet files that a commit can then add to a table.
//!
//! Memory is bounded by one row group of encoded pages. A file gets its name only when it is complete and on the disk.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use headwater_model::tables::{ColumnType, Table};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::lake::catalog::Entry;
use crate::lake::new_file::{Finished, NewFile};
use crate::lake::place::Place;
use crate::lake::stats::{self, ColumnStats, Counted};
use crate::{Result, StoreError};

/// DuckDB's own row group; small enough to skip by, large enough to compress well.
const ROW_GROUP_ROWS: usize = 122_880;
/// Ends a row group of very wide rows early, so that memory stays bounded.
const ROW_GROUP_BYTES: usize = 64 * 1024 * 1024;
/// Past this size a table goes on in a new file: erasure rewrites whole files.
const FILE_BYTES: usize = 512 * 1024 * 1024;
/// How many leading values decide whether a column gets a dictionary.
const SAMPLE_ROWS: usize = 1024;

/// Writes the rows of one table, or of one partition of it. Dropping it unfinished leaves nothing behind.
#[derive(Debug)]
pub struct TableWriter {
    entry: Arc<Entry>,
    lake: PathBuf,
    folder: Option<String>,
    file_bytes: usize,
    open: Option<OpenFile>,
    done: Vec<StagedFile>,
}

/// Complete files of one table that no commit has named yet. If none ever does, a later sweep removes them.
#[derive(Debug)]
pub struct StagedFiles {
    pub(crate) entry: Arc<Entry>,
    pub(crate) files: Vec<StagedFile>,
}

#[derive(Debug)]
pub(crate) struct StagedFile {
    pub(crate) relative: String,
    pub(crate) rows: i64,
    pub(crate) bytes: i64,
    pub(crate) footer_bytes: i64,
    pub(crate) columns: Vec<ColumnStats>,
}

impl StagedFiles {
    /// The table that the files belong to.
    #[must_use]
    pub fn table(&self) -> &'static Table {
        self.entry.table
    }

    /// How many rows the files hold.
    #[must_use]
    pub fn rows(&self) -> i64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Whether there is no file, because there was no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

impl TableWriter {
    /// Writes into the folder of that name, or into the table's own.
    pub(crate) fn new(entry: Arc<Entry>, lake: &Path, folder: Option<String>) -> Self {
        Self { entry, lake: lake.to_owned(), folder, file_bytes: FILE_BYTES, open: None, done: Vec::new() }
    }

    /// Writes the rows of a batch, whose columns must be those of the table, in its order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Misfit`] if they are not, or a required value is missing; [`StoreError::DiskFull`] and
    /// [`StoreError::Io`] from the files. After an error the writer can only be dropped.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = self.fit(batch)?;
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(OpenFile::create(&self.entry, self.folder.as_deref(), &batch)?),
        };
        open.write(&batch)?;
        if open.file.bytes_written() >= self.file_bytes {
            self.close()?;
        }
        Ok(())
    }

    /// Completes the files: they are on the disk under their own names when this returns.
    ///
    /// # Errors
    ///
    /// As [`TableWriter::write`].
    pub fn finish(mut self) -> Result<StagedFiles> {
        self.close()?;
        let files = std::mem::take(&mut self.done);
        Ok(StagedFiles { entry: Arc::clone(&self.entry), files })
    }

    fn close(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        self.done.push(open.finish(&self.entry, &self.lake)?);
        Ok(())
    }

    /// The same columns under the table's own schema, which carries the field ids.
    fn fit(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let Entry { table, schema, .. } = self.entry.as_ref();
        let misfit = |why: String| StoreError::Misfit { table: table.name, why };
        let (given, wanted) = (batch.schema(), schema.fields());
        if !given.fields().iter().map(|field| field.name()).eq(wanted.iter().map(|field| field.name())) {
            return Err(misfit("its columns have other names or another order".to_owned()));
        }
        RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec()).map_err(|error| misfit(error.to_string()))
    }
}

/// A file that is being written, and what was counted of its columns.
#[derive(Debug)]
struct OpenFile {
    file: NewFile,
    counted: Vec<Counted>,
}

impl OpenFile {
    fn create(entry: &Entry, folder: Option<&str>, first: &RecordBatch) -> Result<Self> {
        let place = Place::new(&entry.folder, folder)?;
        let file = NewFile::create(place, Arc::clone(&entry.schema), properties(entry.table, first))?;
        Ok(Self { file, counted: vec![Counted::default(); entry.table.columns.len()] })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        for (counted, column) in self.counted.iter_mut().zip(batch.columns()) {
            counted.rows += column.len();
            counted.nulls += column.null_count();
            if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
                counted.has_nan |= floats.iter().flatten().any(f64::is_nan);
            }
        }
        self.file.write(batch)
    }

    fn finish(self, entry: &Entry, lake: &Path) -> Result<StagedFile> {
        let Finished { relative, bytes, footer_bytes, footer } = self.file.finish(lake)?;
        let columns = entry
            .table
            .columns
            .iter()
            .zip(&self.counted)
            .enumerate()
            .map(|(leaf, (column, counted))| stats::of_column(column, leaf, *counted, &footer))
            .collect();
        Ok(StagedFile { relative, rows: footer.file_metadata().num_rows(), bytes, footer_bytes, columns })
    }
}

/// How each column is encoded. The first rows decide where a dictionary pays: it does not for ids, addresses and raw text, and
/// building one only to give it up costs as much as everything else.
fn properties(table: &Table, first: &RecordBatch) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for (column, values) in table.columns.iter().zip(first.columns()) {
        let path = || ColumnPath::from(column.name);
        if column.personal {
            properties = properties.set_column_statistics_enabled(path(), EnabledStatistics::None);
        }
        properties = match column.kind {
            ColumnType::Text if repeats(values) => properties.set_column_dictionary_enabled(path(), true),
            ColumnType::Instant | ColumnType::Int | ColumnType::Day => {
                properties.set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED)
            }
            ColumnType::Text | ColumnType::Float | ColumnType::Bool | ColumnType::Money => properties,
        };
    }
    properties.build()
}

/// Whether at least half of the leading values are repetitions.
fn repeats(values: &dyn Array) -> bool {
    debug_assert_eq!(values.data_type(), &DataType::Utf8, "text columns are Utf8");
    let Some(texts) = values.as_string_opt::<i32>() else { return false };
    let sample: Vec<&str> = texts.iter().flatten().take(SAMPLE_ROWS).collect();
    sample.iter().collect::<HashSet<_>>().len() * 2 <= sample.len()
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};
    use headwater_model::tables::IDENTITY_EVENT;

    use super::*;

    fn texts(texts: &[&str]) -> StringArray {
        StringArray::from(texts.to_vec())
    }

    #[test]
    fn dictionary_is_only_made_for_values_that_repeat() {
        assert!(repeats(&texts(&["a", "b", "a", "b"])));
        assert!(!repeats(&texts(&["a", "b", "c", "b"])));
        assert!(repeats(&StringArray::new_null(4)), "a column without values costs nothing");
    }

    #[test]
    fn large_table_goes_on_in_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let table = &IDENTITY_EVENT;
        let entry = Entry {
            table,
            id: 1,
            column_ids: (1..).take(table.columns.len()).collect(),
            altered: 1,
            folder: folder.path().join("main/identity_event"),
            schema: table.schema(),
        };
        let column = |kind| -> ArrayRef {
            match kind {
                ColumnType::Instant => Arc::new(TimestampMicrosecondArray::from(vec![0; ROW_GROUP_ROWS]).with_timezone("UTC")),
                _ => Arc::new(StringArray::from(vec!["x"; ROW_GROUP_ROWS])),
            }
        };
        let columns = table.columns.iter().map(|column_of| column(column_of.kind)).collect();
        let batch = RecordBatch::try_new(table.schema(), columns).unwrap();
        let mut writer = TableWriter::new(Arc::new(entry), folder.path(), None);
        writer.file_bytes = 1;
        writer.write(&batch).unwrap();
        writer.write(&batch.slice(0, 10)).unwrap();
        let staged = writer.finish().unwrap();
        let rows: Vec<i64> = staged.files.iter().map(|file| file.rows).collect();
        assert_eq!(rows, [stats::whole(ROW_GROUP_ROWS), 10]);
        assert_eq!(staged.rows(), rows.iter().sum::<i64>());
    }
}
