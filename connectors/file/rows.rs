//! What every format gives: the column names, and pages of rows.

use headwater_model::page::{Page, Refused};
use headwater_sdk::Result;

/// The most rows of a page: its columns stay in the processor's cache.
pub(super) const PAGE_ROWS: usize = 8192;
/// The most bytes of rows in a page; it ends after the row that reaches it.
pub(super) const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// How much of a refused row is kept.
pub(super) const MAX_RAW_BYTES: usize = 4 * 1024;

/// The rows of one file.
pub(super) trait Rows: Send {
    /// The next at most `most` records, refused ones included; `None` at the end.
    fn next(&mut self, most: usize) -> Result<Option<Page>>;
}

/// A file whose column names are known.
pub(super) struct Opened {
    /// The column names, in order.
    pub(super) fields: Vec<String>,
    /// What a user should know about how it is read.
    pub(super) notes: Vec<String>,
    /// Its rows.
    pub(super) rows: Box<dyn Rows>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("fields", &self.fields).field("notes", &self.notes).finish_non_exhaustive()
    }
}

/// A row refused at `file:line`, with its start as it arrived.
pub(super) fn refused(file: &str, line: u64, code: &'static str, reason: String, raw: &[u8]) -> Refused {
    let raw = String::from_utf8_lossy(raw.get(..raw.len().min(MAX_RAW_BYTES)).unwrap_or_default());
    let raw = raw.trim_end_matches(['\r', '\n', char::REPLACEMENT_CHARACTER]).to_owned();
    Refused { place: format!("{file}:{line}"), code, field: None, reason, raw }
}
