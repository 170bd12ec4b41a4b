//! Refused rows as a CSV, for whoever mends them.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use csv::Writer;
use serde::Serialize;

use super::{QuarantineRow, Raw, VERSION, open};
use crate::engine::Engine;
use crate::error::{Error, Result};

const COLUMNS: [&str; 10] =
    ["quarantine_id", "source", "stream", "stage", "place", "code", "field", "reason", "refused_at", "raw"];

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The version of this shape.
    pub version: u32,
    /// The file.
    pub file: PathBuf,
    /// Its rows.
    pub rows: u64,
}

/// Writes the open rows to a file: as they arrived, with their reasons. The file appears whole or not at all.
///
/// # Errors
/// When the store cannot be read, there is no such source, or the file cannot be written.
pub async fn export(engine: &Engine, file: &Path, source: Option<&str>) -> Result<Exported> {
    let snapshot = engine.store.snapshot().await?;
    let rows = open(engine, &snapshot, source, Raw::With).await?;
    write(file, &rows).map_err(|source| Error::File { path: file.display().to_string(), doing: "written", source })?;
    Ok(Exported { version: VERSION, file: file.to_owned(), rows: rows.len() as u64 })
}

fn write(file: &Path, rows: &[QuarantineRow]) -> io::Result<()> {
    let mut name = file.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?.to_owned();
    name.push(".part");
    let unfinished = file.with_file_name(name);
    let written = fill(&unfinished, rows).and_then(|()| fs::rename(&unfinished, file));
    if written.is_err() {
        // Whatever stopped us is the news; a left-over part is not.
        drop(fs::remove_file(&unfinished));
    }
    written
}

fn fill(path: &Path, rows: &[QuarantineRow]) -> io::Result<()> {
    let mut options = File::options();
    options.create(true).truncate(true).write(true);
    // It holds people's data: nobody else needs to read it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut csv = Writer::from_writer(BufWriter::new(options.open(path)?));
    csv.write_record(COLUMNS)?;
    for row in rows {
        let at = row.refused_at.map(|at| at.to_string()).unwrap_or_default();
        csv.write_record([
            &row.quarantine_id,
            &row.source,
            &row.stream,
            &row.stage,
            row.place.as_deref().unwrap_or_default(),
            &row.code,
            row.field.as_deref().unwrap_or_default(),
            &row.reason,
            &at,
            row.raw.as_deref().unwrap_or_default(),
        ])?;
    }
    let file = csv.into_inner().map_err(csv::IntoInnerError::into_error)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}
