//! Delete files: which rows of a data file are out, by their place in it.
//!
//! The layout is DuckDB's: a Parquet file with the columns `file_path` and `pos`, one live file for each data file. DuckDB folds the
//! deletions of several snapshots into one file, with a column that says since when each row is out; we write one per snapshot.
//! Which data file is meant is said by the catalog: the path in the file is absolute, and wrong once a project was moved.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{PARQUET_FIELD_ID_META_KEY, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use crate::lake::catalog::Entry;
use crate::lake::new_file::{Finished, NewFile};
use crate::lake::place::Place;
use crate::lake::snapshot::DataFile;
use crate::lake::stats::whole;
use crate::{Result, SnapshotId, StoreError};

const FILE_PATH: &str = "file_path";
const POS: &str = "pos";
/// The snapshot since which a row is out, where a file holds the deletions of several.
const SINCE: &str = "_ducklake_internal_snapshot_id";
/// The field ids that are reserved for the two columns.
const FIELD_IDS: [(&str, i32); 2] = [(FILE_PATH, 2_147_483_646), (POS, 2_147_483_645)];
/// The largest delete file that is read: far more than the rows of a data file need.
const MOST_BYTES: u64 = 1 << 30;
const BATCH_ROWS: usize = 8192;

/// A delete file that is live in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeleteFile {
    pub(crate) id: i64,
    pub(crate) path: PathBuf,
    /// How many rows it names.
    pub(crate) rows: i64,
    /// The snapshot that it is read at, where it also names rows that only later ones take out.
    pub(crate) at: Option<SnapshotId>,
}

/// A complete delete file that no commit has named yet.
#[derive(Debug)]
pub(crate) struct StagedDeletes {
    pub(crate) relative: String,
    pub(crate) rows: i64,
    pub(crate) bytes: i64,
    pub(crate) footer_bytes: i64,
}

impl DeleteFile {
    /// The rows that are out of a data file of so many rows, ascending.
    pub(crate) fn read(&self, of: i64) -> Result<Vec<u64>> {
        let Self { path, rows: expected, at, .. } = self;
        let broken = |why: String| {
            let path = path.display();
            StoreError::format(format!(
                "delete file {path} {why}; restore it from a backup, or undo the deletion where it was made"
            ))
        };
        let file = File::open(path).map_err(StoreError::io(path))?;
        let bytes = file.metadata().map_err(StoreError::io(path))?.len();
        if bytes > MOST_BYTES {
            return Err(broken(format!("is larger than {} MiB", MOST_BYTES >> 20)));
        }
        // What Arrow says of the types beside Parquet is not needed.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = StoreError::decoded(path, || ParquetRecordBatchReaderBuilder::try_new_with_options(file, options))?;
        let held = builder.metadata().file_metadata().num_rows();
        if held != *expected {
            return Err(broken(format!("has {held} rows, not {expected} as the catalog says")));
        }
        if held < 0 || held > of {
            return Err(broken(format!("takes {held} rows out of a data file that has {of}")));
        }
        let wanted = [Some(POS), at.map(|_| SINCE)];
        for name in wanted.iter().flatten() {
            if builder.schema().field_with_name(name).map(Field::data_type).ok() != Some(&DataType::Int64) {
                return Err(broken(format!("has no column `{name}` of 64-bit numbers")));
            }
        }
        let mask = ProjectionMask::columns(builder.parquet_schema(), wanted.into_iter().flatten());
        let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
        let mut reader = StoreError::decoded(path, || builder.build())?;
        let mut read = 0;
        let mut rows = Vec::with_capacity(usize::try_from(held).unwrap_or_default());
        while let Some(batch) = StoreError::decoded(path, || reader.next().transpose())? {
            read += batch.num_rows();
            let places = numbers(&batch, POS).ok_or_else(|| broken(format!("lacks values in `{POS}`")))?;
            let since = match at {
                Some(_) => Some(numbers(&batch, SINCE).ok_or_else(|| broken(format!("lacks values in `{SINCE}`")))?),
                None => None,
            };
            for (index, place) in places.iter().enumerate() {
                let row = u64::try_from(*place).ok().filter(|_| *place < of);
                let row = row.ok_or_else(|| broken(format!("takes out row {place} of a data file that has {of}")))?;
                let later = since.zip(*at).is_some_and(|(since, at)| since.get(index).is_some_and(|since| *since > at));
                if !later {
                    rows.push(row);
                }
            }
        }
        if whole(read) != held {
            return Err(broken(format!("has {read} rows, not {held} as it says itself")));
        }
        rows.sort();
        match rows.windows(2).find(|pair| pair.first() == pair.last()) {
            Some(twice) => Err(broken(format!("takes out row {} twice", twice.first().copied().unwrap_or_default()))),
            None => Ok(rows),
        }
    }
}

/// Writes the delete file that takes these rows out of a data file; it is on the disk under its own name when this returns.
pub(crate) fn write(entry: &Entry, lake: &Path, of: &DataFile, rows: &[u64]) -> Result<StagedDeletes> {
    let place = Place::of_deletes(&entry.folder, of.partition.as_deref())?;
    let field = |(name, id): (&str, i32), kind| {
        Field::new(name, kind, true).with_metadata(HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]))
    };
    let [file_path, pos] = FIELD_IDS;
    let schema = Arc::new(Schema::new(vec![field(file_path, DataType::Utf8), field(pos, DataType::Int64)]));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_column_dictionary_enabled(ColumnPath::from(POS), false)
        .set_column_encoding(ColumnPath::from(POS), Encoding::DELTA_BINARY_PACKED)
        .build();
    let mut file = NewFile::create(place, Arc::clone(&schema), properties)?;
    let path = of.path.to_string_lossy();
    for rows in rows.chunks(BATCH_ROWS) {
        let paths: StringArray = rows.iter().map(|_| Some(&*path)).collect();
        let places: Int64Array = rows.iter().map(|row| i64::try_from(*row).unwrap_or(i64::MAX)).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(paths), Arc::new(places)];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)
            .map_err(|error| StoreError::Misfit { table: entry.table.name, why: error.to_string() })?;
        file.write(&batch)?;
    }
    let Finished { relative, bytes, footer_bytes, footer: _ } = file.finish(lake)?;
    Ok(StagedDeletes { relative, rows: whole(rows.len()), bytes, footer_bytes })
}

/// A column without missing values.
fn numbers<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a [i64]> {
    let column = batch.column_by_name(name).filter(|column| column.null_count() == 0)?;
    Some(column.as_primitive_opt::<Int64Type>()?.values())
}

#[cfg(test)]
mod tests {
    use headwater_model::tables::LEAD;
    use proptest::prelude::*;

    use super::*;

    /// A delete file of ours that takes rows 1, 3 and 200 out, and how the catalog tells of it.
    fn written(folder: &Path) -> (DeleteFile, Vec<u8>) {
        let entry = Entry {
            table: &LEAD,
            id: 1,
            column_ids: Vec::new(),
            altered: 1,
            folder: folder.join("main/lead"),
            schema: LEAD.schema(),
        };
        let path = entry.folder.join("x.parquet");
        let of = DataFile { id: 1, path, partition: None, rows: 300, deleted: 0, bytes: 1, begin_snapshot: 1, deletes: None };
        let StagedDeletes { relative, rows, bytes, footer_bytes } = write(&entry, folder, &of, &[1, 3, 200]).unwrap();
        let path = entry.folder.join(relative);
        let content = std::fs::read(&path).unwrap();
        assert_eq!((rows, whole(content.len())), (3, bytes));
        assert!(footer_bytes > 0 && footer_bytes < bytes);
        (DeleteFile { id: 2, path, rows, at: None }, content)
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (deletes, _) = written(folder.path());
        assert_eq!(deletes.read(300).unwrap(), [1, 3, 200]);
        for (of, expected) in [(200, "row 200"), (2, "3 rows out of a data file that has 2")] {
            assert!(deletes.read(of).unwrap_err().to_string().contains(expected));
        }
        let error = DeleteFile { at: Some(1), ..deletes }.read(300).unwrap_err().to_string();
        assert!(error.contains("no column `_ducklake_internal_snapshot_id`"), "{error}");
    }

    #[test]
    fn no_changed_byte_makes_the_reader_panic_or_take_out_fewer_rows() {
        let folder = tempfile::tempdir().unwrap();
        let (deletes, content) = written(folder.path());
        for (place, byte) in content.iter().enumerate() {
            for changed in [0, 0xff, byte ^ 1, byte ^ 0x80] {
                let mut content = content.clone();
                content[place] = changed;
                std::fs::write(&deletes.path, content).unwrap();
                if let Ok(rows) = deletes.read(300) {
                    assert!(rows.len() == 3 && rows.iter().all(|row| *row < 300), "{place} {changed}: {rows:?}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_bytes_make_the_reader_panic_or_take_out_rows_that_there_are_not(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (deletes, mut content) = written(folder.path());
            for (place, byte) in changes {
                let place = place.index(content.len());
                content[place] = byte;
            }
            if let Some(cut) = cut {
                content.truncate(cut.index(content.len()));
            }
            std::fs::write(&deletes.path, content).unwrap();
            if let Ok(rows) = deletes.read(300) {
                prop_assert!(rows.len() == 3 && rows.iter().all(|row| *row < 300), "{rows:?}");
            }
        }
    }
}
