//! A Parquet file on its way to its place: it gets its name only when it is complete and on the disk.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;

use crate::fault::{self, FaultPoint};
use crate::lake::place::Place;
use crate::{Result, StoreError};

/// A file that is being written. Until it is finished, dropping it removes it.
#[derive(Debug)]
pub(crate) struct NewFile {
    place: Place,
    writer: ArrowWriter<File>,
    complete: bool,
}

/// A file that is complete and on the disk under its own name.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Its path relative to the table's folder.
    pub(crate) relative: String,
    pub(crate) bytes: i64,
    pub(crate) footer_bytes: i64,
    pub(crate) footer: ParquetMetaData,
}

impl NewFile {
    pub(crate) fn create(place: Place, schema: SchemaRef, properties: WriterProperties) -> Result<Self> {
        if let Some(folder) = place.path.parent() {
            fs::create_dir_all(folder).map_err(StoreError::io(folder))?;
        }
        let file = File::options().create_new(true).read(true).write(true).open(&place.temporary);
        let file = file.map_err(StoreError::io(&place.temporary))?;
        let writer = ArrowWriter::try_new(file, schema, Some(properties)).map_err(|error| {
            discard(&place.temporary);
            StoreError::parquet(&place.temporary)(error)
        })?;
        Ok(Self { place, writer, complete: false })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(StoreError::parquet(&self.place.temporary))
    }

    pub(crate) fn bytes_written(&self) -> usize {
        self.writer.bytes_written()
    }

    /// Completes the file. `lake` is the highest folder that may be new.
    pub(crate) fn finish(mut self, lake: &Path) -> Result<Finished> {
        let path = &self.place.temporary;
        let footer = self.writer.finish().map_err(StoreError::parquet(path))?;
        self.writer.inner().sync_all().map_err(StoreError::io(path))?;
        let (bytes, footer_bytes) = sizes(self.writer.inner()).map_err(StoreError::io(path))?;
        fault::point(FaultPoint::AfterFileBeforeRename);
        fs::rename(path, &self.place.path).map_err(StoreError::io(&self.place.path))?;
        self.complete = true;
        // A new name is only safe once its folder is on the disk, and so for every new folder above it.
        for folder in self.place.path.ancestors().skip(1).take_while(|folder| folder.starts_with(lake)) {
            sync_folder(folder)?;
        }
        Ok(Finished { relative: std::mem::take(&mut self.place.relative), bytes, footer_bytes, footer })
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.complete {
            discard(&self.place.temporary);
        }
    }
}

fn discard(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "unfinished file could not be removed; a later sweep will do it");
    }
}

/// A file's size, and that of its footer, which DuckDB wants to know so that it can read it at once.
fn sizes(mut file: &File) -> std::io::Result<(i64, i64)> {
    let bytes = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::End(-8))?;
    let mut footer = [0; 4];
    file.read_exact(&mut footer)?;
    Ok((i64::try_from(bytes).unwrap_or(i64::MAX), u32::from_le_bytes(footer).into()))
}

fn sync_folder(folder: &Path) -> Result<()> {
    // Folders cannot be opened as files everywhere; where they cannot, the system syncs names by itself.
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io(folder))?;
    }
    Ok(())
}
