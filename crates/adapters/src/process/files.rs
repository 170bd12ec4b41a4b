//! Files for a child: its configuration, catalog and state. Only we may read them, and they go when the child does.

use std::ffi::OsString;
use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

use headwater_sdk::{Error, ErrorKind, Result};
use tempfile::TempDir;

/// A folder of such files; it is removed when dropped.
#[derive(Debug)]
pub(super) struct Files(TempDir);

impl Files {
    /// A new, empty folder.
    pub(super) fn new() -> Result<Self> {
        let made = tempfile::Builder::new().prefix("headwater-").permissions(Permissions::from_mode(0o700)).tempdir();
        made.map(Self).map_err(unwritable)
    }

    /// Writes a file and gives its path as an argument.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<OsString> {
        let path = self.0.path().join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(unwritable)?;
        file.write_all(content).map_err(unwritable)?;
        Ok(path.into_os_string())
    }
}

fn unwritable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the files for the program cannot be written")
        .hint("there must be room in the folder for temporary files; TMPDIR names another")
        .source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_may_read_them_and_they_go() {
        let files = Files::new().unwrap();
        let path = std::path::PathBuf::from(files.write("config.json", b"{}").unwrap());
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        drop(files);
        assert!(!path.exists());
    }
}
