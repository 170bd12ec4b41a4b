//! A CSV file with a header, read row by row; what is wrong is said with file and line.

use std::fs::File;
use std::path::{Path, PathBuf};

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord, Trim};

use crate::error::{Error, Result};

/// An open file.
pub(super) struct Table {
    file: PathBuf,
    names: Vec<String>,
    rows: Reader<File>,
}

/// One row of it.
pub(super) struct Row<'a> {
    file: &'a Path,
    names: &'a [String],
    cells: &'a StringRecord,
}

impl Table {
    pub(super) fn open(file: &Path) -> Result<Self> {
        let unreadable = |source| Error::File { path: file.display().to_string(), doing: "read", source };
        let mut rows = ReaderBuilder::new().trim(Trim::All).from_reader(File::open(file).map_err(unreadable)?);
        let names = rows.headers().map_err(|error| explain(file, error))?.iter().map(str::to_owned).collect();
        Ok(Self { file: file.to_owned(), names, rows })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// The first of these columns that the file has.
    pub(super) fn optional(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.names.iter().position(|known| known == name))
    }

    /// As [`Table::optional`], for a column that the file must have.
    pub(super) fn column(&self, names: &[&str]) -> Result<usize> {
        self.optional(names).ok_or_else(|| {
            let (file, wanted) = (self.file.display(), names.join("` or `"));
            if self.names.is_empty() {
                return Error::Usage(format!("{file} is empty: it has no line with column names"));
            }
            Error::Usage(format!("{file}:1: has no column `{wanted}`; its columns are: {}", self.names.join(", ")))
        })
    }

    /// Hands every row to `take`, and stops at the first that it refuses.
    pub(super) fn each(&mut self, mut take: impl FnMut(&Row<'_>) -> Result<()>) -> Result<()> {
        let mut cells = StringRecord::new();
        while self.rows.read_record(&mut cells).map_err(|error| explain(&self.file, error))? {
            take(&Row { file: &self.file, names: &self.names, cells: &cells })?;
        }
        Ok(())
    }
}

impl Row<'_> {
    /// A cell's text, without space around it.
    pub(super) fn text(&self, column: usize) -> &str {
        self.cells.get(column).unwrap_or_default()
    }

    /// A column's name.
    pub(super) fn name(&self, column: usize) -> &str {
        self.names.get(column).map_or("", String::as_str)
    }

    /// A cell's number; nothing where it is empty.
    pub(super) fn number(&self, column: usize) -> Result<Option<f64>> {
        match self.text(column) {
            "" => Ok(None),
            text => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Some(number)),
                Ok(_) | Err(_) => Err(self.wrong(format!("`{}` is not a number", self.name(column)))),
            },
        }
    }

    /// What is wrong with this row, with where it stands.
    pub(super) fn wrong(&self, what: impl std::fmt::Display) -> Error {
        let line = self.cells.position().map_or(0, csv::Position::line);
        Error::Usage(format!("{}:{line}: {what}", self.file.display()))
    }
}

fn explain(file: &Path, error: csv::Error) -> Error {
    let line = error.position().map_or(1, csv::Position::line);
    let shown = file.display();
    match error.into_kind() {
        ErrorKind::Io(source) => Error::File { path: shown.to_string(), doing: "read", source },
        ErrorKind::UnequalLengths { expected_len, len, pos: _ } => {
            Error::Usage(format!("{shown}:{line}: has {len} fields where the header has {expected_len}"))
        }
        ErrorKind::Utf8 { .. } => Error::Usage(format!("{shown}:{line}: is not UTF-8 text")),
        _ => Error::Usage(format!("{shown}:{line}: is not CSV")),
    }
}
