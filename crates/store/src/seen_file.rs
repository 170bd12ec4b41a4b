//! Files beside the ledger with the records that an unfinished reading of a stream has shown so far, by their hashes: eight bytes each.
//!
//! They let a reading that is broken off be ended by another process and still tell who is missing from it. They are no part of the
//! state: the cursor that commits with the rows says how many records of which reading count, and a file that holds fewer, or another
//! reading's, is as good as none. The hashes are made of what people are known by, so [`Store::vacuum`], the last step of an erasure,
//! removes the files.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use headwater_model::ids;

use crate::store::beside;
use crate::{Result, Store, StoreError};

/// What all their names have in common after the ledger's.
const ENDING: &str = ".seen-";
/// The bytes of a hash, and how many of them are read at once.
const WIDTH: usize = 8;
const AT_ONCE: usize = 8192;
/// The bytes before the first hash, which say whose they are.
const HEAD: usize = 16;

/// The records that an unfinished reading has shown.
#[derive(Debug)]
pub struct SeenFile {
    path: PathBuf,
    open: Option<File>,
}

impl Store {
    /// The file of a stream, by a name that no other has. Nothing is read or written yet.
    #[must_use]
    pub fn seen_file(&self, stream: &str) -> SeenFile {
        SeenFile { path: beside(self.ledger(), &ids::derived(ENDING, &[stream])), open: None }
    }

    /// Removes the files of all streams.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if one is there and stays.
    pub fn drop_seen_files(&self) -> Result<()> {
        let first = beside(self.ledger(), ENDING);
        let (Some(folder), Some(beginning)) = (first.parent(), first.file_name().and_then(|name| name.to_str())) else {
            return Ok(());
        };
        let folder = if folder.as_os_str().is_empty() { std::path::Path::new(".") } else { folder };
        for entry in fs::read_dir(folder).map_err(StoreError::io(folder))? {
            let path = entry.map_err(StoreError::io(folder))?.path();
            if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(beginning)) {
                fs::remove_file(&path).map_err(StoreError::io(&path))?;
            }
        }
        Ok(())
    }
}

impl SeenFile {
    /// Begins the file of a reading anew.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if it cannot be written.
    pub fn begin(&mut self, reading: &str) -> Result<()> {
        let mut file = File::create(&self.path).map_err(StoreError::io(&self.path))?;
        file.write_all(&head(reading)).map_err(StoreError::io(&self.path))?;
        self.open = Some(file);
        Ok(())
    }

    /// Hands over the first `count` hashes of a reading, in parts, and goes on behind them; false, and nothing more, where they are not
    /// there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if the file cannot be read, or what `take` says.
    pub fn resume<E: From<StoreError>>(
        &mut self,
        reading: &str,
        count: u64,
        mut take: impl FnMut(&[u64]) -> std::result::Result<(), E>,
    ) -> std::result::Result<bool, E> {
        let fail = || StoreError::io(&self.path);
        let file = match OpenOptions::new().read(true).write(true).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(fail()(error).into()),
        };
        let length = HEAD as u64 + count.saturating_mul(WIDTH as u64);
        let mut reader = BufReader::with_capacity(AT_ONCE * WIDTH, &file);
        let mut found = [0; HEAD];
        let whole = file.metadata().map_err(fail())?.len() >= length && reader.read_exact(&mut found).is_ok();
        if !whole || found != head(reading) {
            return Ok(false);
        }
        let mut hashes = Vec::with_capacity(AT_ONCE);
        for at in 1..=count {
            let mut bytes = [0; WIDTH];
            reader.read_exact(&mut bytes).map_err(fail())?;
            hashes.push(u64::from_le_bytes(bytes));
            if hashes.len() == AT_ONCE || at == count {
                take(&hashes)?;
                hashes.clear();
            }
        }
        // What no commit speaks of is cut off.
        file.set_len(length).map_err(fail())?;
        let mut file = file;
        file.seek(SeekFrom::End(0)).map_err(fail())?;
        self.open = Some(file);
        Ok(true)
    }

    /// Adds hashes, durably. Nothing is done before the file was begun or resumed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if they cannot be written; some may stand there, and no commit speaks of them.
    pub fn add(&mut self, hashes: &[u64]) -> Result<()> {
        let Some(file) = self.open.as_mut().filter(|_| !hashes.is_empty()) else { return Ok(()) };
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
        file.write_all(&bytes).and_then(|()| file.sync_data()).map_err(StoreError::io(&self.path))
    }

    /// Removes the file: its reading has ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if it is there and stays.
    pub fn remove(&mut self) -> Result<()> {
        self.open = None;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io(&self.path)(error)),
            _ => Ok(()),
        }
    }
}

fn head(reading: &str) -> [u8; HEAD] {
    ids::lead_bits("reading", reading, b"").to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &tempfile::TempDir) -> SeenFile {
        SeenFile { path: folder.path().join("ledger.seen-x"), open: None }
    }

    fn resumed(file: &mut SeenFile, reading: &str, count: u64) -> Option<Vec<u64>> {
        let mut all = Vec::new();
        let there = file.resume::<StoreError>(reading, count, |hashes| {
            all.extend_from_slice(hashes);
            Ok(())
        });
        there.unwrap().then_some(all)
    }

    #[test]
    fn what_was_committed_is_found_and_what_was_not_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = file(&folder);
        first.begin("r1").unwrap();
        first.add(&[7, u64::MAX]).unwrap();
        first.add(&[9]).unwrap();
        let mut second = file(&folder);
        assert_eq!(resumed(&mut second, "r1", 2), Some(vec![7, u64::MAX]));
        second.add(&[11]).unwrap();
        assert_eq!(resumed(&mut file(&folder), "r1", 3), Some(vec![7, u64::MAX, 11]));
    }

    #[test]
    fn a_file_that_is_short_lost_or_of_another_reading_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(resumed(&mut file(&folder), "r1", 0), None, "none was made");
        let mut first = file(&folder);
        first.begin("r1").unwrap();
        first.add(&[7]).unwrap();
        assert_eq!(resumed(&mut file(&folder), "r2", 1), None);
        assert_eq!(resumed(&mut file(&folder), "r1", 2), None);
        first.remove().unwrap();
        first.remove().unwrap();
        assert_eq!(resumed(&mut file(&folder), "r1", 1), None);
    }
}
