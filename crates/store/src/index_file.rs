//! A file beside the ledger for what resolve can make again: the identity index. It is no part of the state: a run that finds none, or
//! one that is torn or of another model, does the whole work and leaves a new one. So it needs no transaction, and no fsync.
//!
//! It holds what leads say, and so it goes with them: [`Store::vacuum`], the last step of an erasure, removes it.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::store::beside;
use crate::{Result, Store, StoreError};

impl Store {
    /// The bytes that the last run left, if any are there. Their owner must tell whether they are whole.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if they cannot be read.
    pub fn identity_index(&self) -> Result<Option<Vec<u8>>> {
        let path = self.index_path();
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path)(error)),
        }
    }

    /// Leaves bytes for the next run, in the place of those before.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] if they cannot be written; those before are there still, or none.
    pub fn keep_identity_index(&self, bytes: &[u8]) -> Result<()> {
        let (path, new) = (self.index_path(), beside(self.ledger(), ".identity.new"));
        fs::write(&new, bytes).map_err(StoreError::io(&new))?;
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
