//! What is to be written once a saved plan proves to hold: put aside on disk, since it may be many rows.
//!
//! The file has no name and goes with the process.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use headwater_sdk::MatchKey;
use serde::{Deserialize, Serialize};

use super::plan::{Action, FieldChange, Named, Ownership, PlannedRow};
use crate::error::{Error, Result};

/// How many rows are taken from it at once.
const ROWS: usize = 2_000;

/// Planned rows by part, in a file.
#[derive(Debug)]
pub(super) struct Spool {
    file: BufWriter<File>,
    at: u64,
    parts: Vec<Part>,
    row: Vec<u8>,
}

#[derive(Debug)]
struct Part {
    sink: String,
    at: u64,
    rows: u64,
}

/// What a push needs of a planned row.
#[derive(Serialize, Deserialize)]
struct Spooled {
    prospect_id: String,
    action: Action,
    remote_id: Option<String>,
    changes: Vec<FieldChange>,
    reason: Option<String>,
    key: String,
    desired: BTreeMap<String, String>,
    pushed: BTreeMap<String, String>,
    aliases: Vec<String>,
    hash: String,
    keys: Vec<(String, String)>,
    named: Option<(String, String)>,
    has_owners: bool,
    is_open: bool,
    is_undone: bool,
    waits_for_another: bool,
    adopted: bool,
    relink: bool,
}

impl Spool {
    /// An empty one in this folder.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(failed)?;
        Ok(Self { file: BufWriter::new(file), at: 0, parts: Vec::new(), row: Vec::new() })
    }

    pub(super) fn begin(&mut self, sink: &str) -> Result<()> {
        self.parts.push(Part { sink: sink.to_owned(), at: self.at, rows: 0 });
        Ok(())
    }

    /// Puts rows of the present part aside, those left out of which nothing would become.
    pub(super) fn put(&mut self, rows: &[PlannedRow]) -> Result<()> {
        for row in rows.iter().filter(|row| row.action != Action::Unchanged || row.relink || row.names_what_is_coming()) {
            self.row.clear();
            serde_json::to_writer(&mut self.row, &spooled(row)).map_err(|error| Error::Internal(error.to_string()))?;
            let length = u32::try_from(self.row.len()).map_err(|error| Error::Internal(error.to_string()))?;
            self.file.write_all(&length.to_le_bytes()).and_then(|()| self.file.write_all(&self.row)).map_err(failed)?;
            self.at += 4 + u64::from(length);
            self.parts.iter_mut().next_back().into_iter().for_each(|part| part.rows += 1);
        }
        Ok(())
    }

    /// The rows of a part, some at a time.
    pub(super) fn rows(&mut self, sink: &str) -> Result<SpooledRows<'_>> {
        let (at, left) = self.parts.iter().find(|part| part.sink == sink).map_or((0, 0), |part| (part.at, part.rows));
        self.file.seek(SeekFrom::Start(at)).map_err(failed)?;
        Ok(SpooledRows { file: BufReader::new(self.file.get_ref()), left })
    }
}

/// The rows of a part as they are read back.
#[derive(Debug)]
pub(super) struct SpooledRows<'a> {
    file: BufReader<&'a File>,
    left: u64,
}

impl SpooledRows<'_> {
    /// The next rows; none after the last.
    pub(super) fn next(&mut self) -> Result<Vec<PlannedRow>> {
        let count = usize::try_from(self.left).unwrap_or(ROWS).min(ROWS);
        self.left -= count as u64;
        (0..count).map(|_| self.row()).collect()
    }

    fn row(&mut self) -> Result<PlannedRow> {
        let mut length = [0; 4];
        self.file.read_exact(&mut length).map_err(failed)?;
        let mut row = vec![0; u32::from_le_bytes(length) as usize];
        self.file.read_exact(&mut row).map_err(failed)?;
        // Its words may hold a value.
        let row: Spooled =
            serde_json::from_slice(&row).map_err(|_| Error::Internal("a planned row cannot be read back".to_owned()))?;
        Ok(planned(row))
    }
}

fn failed(source: io::Error) -> Error {
    Error::File { path: "the file of planned rows beside the store".to_owned(), doing: "used", source }
}

fn spooled(row: &PlannedRow) -> Spooled {
    let row = row.clone();
    Spooled {
        prospect_id: row.prospect_id,
        action: row.action,
        remote_id: row.remote_id,
        changes: row.changes,
        reason: row.reason,
        key: row.key,
        desired: row.desired,
        pushed: row.pushed,
        aliases: row.aliases,
        hash: row.hash,
        keys: row.keys.into_iter().map(|key| (key.field, key.value)).collect(),
        named: row.named.map(|named| (named.field, named.id)),
        has_owners: row.ownership.asked,
        is_open: row.ownership.open,
        is_undone: row.is_undone,
        waits_for_another: row.waits_for_another,
        adopted: row.adopted,
        relink: row.relink,
    }
}

/// What was kept, when values were observed and whose territory it is has no part in a push.
fn planned(row: Spooled) -> PlannedRow {
    PlannedRow {
        prospect_id: row.prospect_id,
        action: row.action,
        remote_id: row.remote_id,
        changes: row.changes,
        kept: Vec::new(),
        reason: row.reason,
        key: row.key,
        desired: row.desired,
        pushed: row.pushed,
        aliases: row.aliases,
        hash: row.hash,
        keys: row.keys.into_iter().map(|(field, value)| MatchKey { field, value }).collect(),
        observed: BTreeMap::new(),
        ownership: Ownership { asked: row.has_owners, open: row.is_open, ..Ownership::default() },
        named: row.named.map(|(field, id)| Named { field, id, is_new: false }),
        is_undone: row.is_undone,
        waits_for_another: row.waits_for_another,
        adopted: row.adopted,
        relink: row.relink,
    }
}
