//! A file beside the ledger for what resolve can make again: the identity index. It is no part of the state: a run that finds none, or
//! one that is torn or of another model, does the whole work and leaves a new one. So it needs no transaction, and no fsync.
//!
//! It holds what leads say, and so it goes with them: [`Store::vacuum`], the last step of an erasure, removes it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use crate::store::beside;
use crate::{Result, Store, StoreError};

impl Store {
    /// What the last run left, if anything is there, and how many bytes that are. Its owner must tell whether it is whole.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if it cannot be opened.
    pub fn identity_index(&self) -> Result<Option<(File, u64)>> {
        let path = self.index_path();
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((bytes, file)) => Ok(Some((file, bytes))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path)(error)),
        }
    }

    /// Leaves for the next run what `write` writes, in the place of what was there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if it cannot be written; what was there is there still, or nothing.
    pub fn keep_identity_index(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        let (path, new) = (self.index_path(), beside(self.ledger(), ".identity.new"));
        File::create(&new).and_then(|mut file| write(&mut file)).map_err(StoreError::io(&new))?;
        fs::rename(&new, &path).map_err(StoreError::io(&path))
    }

    /// Removes the bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if they are there and stay.
    pub fn drop_identity_index(&self) -> Result<()> {
        let path = self.index_path();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io(&path)(error)),
            _ => Ok(()),
        }
    }

    fn index_path(&self) -> PathBuf {
        beside(self.ledger(), ".identity")
    }
}
