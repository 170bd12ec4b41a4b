//! Where a file lies: `<lake>/main/<table>/[<partition>/]<name>.parquet`.
//!
//! The catalog stores paths relative to a table's folder. A partition is a folder of its own, so that a reader can skip by path.

use std::path::{Path, PathBuf};

use crate::{Result, random};

/// Where a new file goes.
#[derive(Debug)]
pub(crate) struct Place {
    /// Relative to the table's folder, as the catalog stores it.
    pub(crate) relative: String,
    /// Its last name.
    pub(crate) path: PathBuf,
    /// Its name until it is complete.
    pub(crate) temporary: PathBuf,
}

/// Ends the name of a file that is still being written.
pub(crate) const UNFINISHED: &str = "part";

impl Place {
    /// A new place in the table's folder, or in the folder of a partition below it.
    pub(crate) fn new(table_folder: &Path, folder: Option<&str>) -> Result<Self> {
        Self::named(table_folder, folder, &format!("{}.parquet", random::uuid()?))
    }

    /// A new place for a delete file, named as DuckDB names them.
    pub(crate) fn of_deletes(table_folder: &Path, folder: Option<&str>) -> Result<Self> {
        Self::named(table_folder, folder, &format!("{}-delete.parquet", random::uuid()?))
    }

    fn named(table_folder: &Path, folder: Option<&str>, name: &str) -> Result<Self> {
        let relative = match folder {
            Some(folder) => format!("{folder}/{name}"),
            None => name.to_owned(),
        };
        let path = table_folder.join(&relative);
        Ok(Self { relative, temporary: path.with_extension(UNFINISHED), path })
    }
}

/// A partition as a folder's name: whatever is not plain is written as `+` and two hex digits. (`%` would be decoded again by
/// whoever takes the path for a URL; a dot could climb out of the folder.)
pub(crate) fn folder_name(partition: &str) -> String {
    let mut name = String::with_capacity(partition.len());
    for byte in partition.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            name.push(char::from(byte));
        } else {
            name.push('+');
            name.extend([byte >> 4, byte & 0xf].iter().filter_map(|digit| char::from_digit((*digit).into(), 16)));
        }
    }
    if name.is_empty() { "+".to_owned() } else { name }
}

/// The partition folder of a file, from its path relative to the table's folder.
pub(crate) fn partition_of(relative: &str) -> Option<&str> {
    relative.rsplit_once('/').map(|(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_cannot_leave_its_folder() {
        assert_eq!(folder_name("web_form-2"), "web_form-2");
        assert_eq!(folder_name("../a b"), "+2e+2e+2fa+20b");
        assert_eq!(folder_name("é"), "+c3+a9");
        assert_eq!(folder_name(""), "+");
    }
}
