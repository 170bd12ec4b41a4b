//! Where the source stands: which files are read, and how far the one in progress is.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::UNIX_EPOCH;

use headwater_model::checkpoint::Checkpoint;
use headwater_sdk::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// The version of the shape below.
const VERSION: u16 = 1;
/// How many files that are no longer there are remembered, so that one that comes back, or under another name, is known.
const MAX_GONE: usize = 10_000;

/// The content of a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    /// The settings that the files were read with; with others, cells may differ and everything is read anew.
    pub(super) reading: String,
    /// By path relative to the project.
    pub(super) files: BTreeMap<String, FileState>,
    /// Whether the files are read as a whole and some of them are still to come; `files` are then those of this reading.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) open: bool,
}

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileState {
    /// Its size in bytes.
    pub(super) size: u64,
    /// When it was last written, in microseconds since 1970.
    pub(super) mtime_us: i64,
    /// What an object store calls this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    /// The hash of its content, in hex.
    pub(super) blake3: String,
    /// How many of its records were read, refused ones included.
    pub(super) rows_done: u64,
    /// Whether that is all of them.
    pub(super) complete: bool,
}

/// By what a file that changed is told from one that did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Its size in bytes.
    pub(super) size: u64,
    /// When it was last written, in microseconds since 1970.
    pub(super) mtime_us: i64,
    /// What an object store calls this version.
    pub(super) etag: Option<String>,
}

impl Stamp {
    /// The stamp of the file at `path`.
    pub(super) fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        let since = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self { size: metadata.len(), mtime_us: i64::try_from(since.as_micros()).unwrap_or(i64::MAX), etag: None })
    }
}

impl Position {
    /// The position in a checkpoint, or the beginning when it was made with other settings.
    pub(super) fn from(checkpoint: Option<Checkpoint>, reading: String) -> Result<Self> {
        let fresh = Self { reading, ..Self::default() };
        let Some(Checkpoint { version, state }) = checkpoint else { return Ok(fresh) };
        if version != VERSION {
            return Err(Error::new(
                ErrorKind::Config,
                format!("the position is of version {version}, this is version {VERSION}"),
            )
            .hint("use the version that made it, or reset the source's position"));
        }
        let known: Self = serde_json::from_value(state)
            .map_err(|error| Error::new(ErrorKind::Internal, "the position cannot be read").source(error))?;
        Ok(if known.reading == fresh.reading { known } else { fresh })
    }

    /// This position as a checkpoint.
    pub(super) fn checkpoint(&self) -> Result<Checkpoint> {
        let state = serde_json::to_value(self)
            .map_err(|error| Error::new(ErrorKind::Internal, "the position cannot be written").source(error))?;
        Ok(Checkpoint::new(VERSION, state))
    }

    /// Whether a file of this name and stamp was read completely.
    pub(super) fn is_done(&self, name: &str, stamp: &Stamp) -> bool {
        let same = |known: &FileState| (known.size, known.mtime_us, &known.etag) == (stamp.size, stamp.mtime_us, &stamp.etag);
        self.files.get(name).is_some_and(|known| known.complete && same(known))
    }

    /// Begins to read all files as a whole, or goes on where that broke off: whether it goes on; none when nothing came, went or changed.
    pub(super) fn begin_whole<'a>(
        &mut self,
        mut found: impl Iterator<Item = (&'a str, Option<&'a Stamp>)> + Clone,
    ) -> Option<bool> {
        if self.open {
            return Some(true);
        }
        let none_went = found.clone().count() == self.files.len();
        if none_went && found.all(|(name, stamp)| stamp.is_some_and(|stamp| self.is_done(name, stamp))) {
            return None;
        }
        self.files.clear();
        self.open = true;
        Some(false)
    }

    /// The name under which this content was read completely.
    pub(super) fn done_as(&self, blake3: &str) -> Option<&str> {
        self.files.iter().find(|(_, known)| known.complete && known.blake3 == blake3).map(|(name, _)| name.as_str())
    }

    /// How many records of this content were read under this name.
    pub(super) fn rows_done(&self, name: &str, blake3: &str) -> u64 {
        self.files.get(name).filter(|known| known.blake3 == blake3).map_or(0, |known| known.rows_done)
    }

    /// Forgets the longest unwritten of the files that `is_there` does not know, beyond the bound.
    pub(super) fn forget(&mut self, is_there: impl Fn(&str) -> bool) {
        let mut gone: Vec<(i64, String)> =
            self.files.iter().filter(|(name, _)| !is_there(name)).map(|(name, known)| (known.mtime_us, name.clone())).collect();
        gone.sort_unstable_by(|a, b| b.cmp(a));
        for (_, name) in gone.iter().skip(MAX_GONE) {
            self.files.remove(name);
        }
    }
}
