//! Doors for the fuzz targets into parsers of foreign bytes that nothing outside of this crate calls.

use std::path::Path;

use crate::lake::deletes::DeleteFile;

/// A delete file at this path, whose first byte says how many rows the catalog tells of it and of its data file.
pub fn deletes(path: &Path, choice: u8) {
    let (rows, of) = (i64::from(choice & 15), i64::from(choice >> 2));
    for at in [None, Some(of)] {
        drop(DeleteFile { id: 1, path: path.to_owned(), rows, at }.read(of));
    }
}
