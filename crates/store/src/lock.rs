//! The run lock: one process at a time changes a ledger by a run.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::lake::text::instant_text;
use crate::{Result, StoreError};

/// The exclusive right to run on a ledger. Dropping it, or the death of the process in any way, gives it back.
#[derive(Debug)]
pub struct RunLock {
    // The operating system holds the lock for as long as the file is open.
    _file: File,
}

impl RunLock {
    pub(crate) fn take(path: &Path, now: i64) -> Result<Self> {
        let io = || StoreError::io(path);
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path).map_err(io())?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(holder(&mut file)),
            Err(TryLockError::Error(error)) => return Err(io()(error)),
        }
        let since = instant_text(now).unwrap_or_default();
        file.set_len(0).map_err(io())?;
        file.write_all(format!("{}\n{since}\n", std::process::id()).as_bytes()).map_err(io())?;
        Ok(Self { _file: file })
    }
}

/// Who wrote itself into the lock file. A holder that has not written yet is unknown, which is no reason to fail.
fn holder(file: &mut File) -> StoreError {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let mut lines = if read.is_ok() { text.lines() } else { "".lines() };
    let mut next = || lines.next().filter(|line| !line.is_empty()).unwrap_or("unknown").to_owned();
    StoreError::Locked { pid: next(), since: next() }
}
