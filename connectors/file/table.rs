//! Gathers rows whose columns may differ into one page.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use headwater_model::page::{Page, Places, Refused};
use headwater_sdk::{Error, ErrorKind, Result};

use super::header::MAX_COLUMNS;

/// Rows of named cells. The columns stay from page to page, so that pages of one file look alike.
#[derive(Debug, Default)]
pub(super) struct Table {
    names: Vec<String>,
    places: HashMap<String, usize>,
    columns: Vec<StringBuilder>,
    /// The cells of the row in progress.
    row: Vec<Option<String>>,
    lines: Vec<u64>,
    raw: Option<Vec<String>>,
    refused: Vec<Refused>,
    bytes: usize,
}

impl Table {
    /// A table that begins with these columns; with `raw`, each row also keeps its whole text.
    pub(super) fn new(names: &[String], raw: bool) -> Self {
        let mut table = Self { raw: raw.then(Vec::new), ..Self::default() };
        for name in names {
            table.column(name);
        }
        table
    }

    /// The place of a column, which is made if need be; none when there are too many.
    pub(super) fn column(&mut self, name: &str) -> Option<usize> {
        if let Some(&place) = self.places.get(name) {
            return Some(place);
        }
        if self.names.len() == MAX_COLUMNS {
            return None;
        }
        let mut column = StringBuilder::new();
        for _ in &self.lines {
            column.append_null();
        }
        self.columns.push(column);
        self.row.push(None);
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), self.names.len() - 1);
        Some(self.names.len() - 1)
    }

    /// Sets a cell of the row in progress; the last value for a column counts.
    pub(super) fn set(&mut self, place: usize, value: Option<String>) {
        if let Some(cell) = self.row.get_mut(place) {
            *cell = value;
        }
    }

    /// Gives up the row in progress.
    pub(super) fn refuse(&mut self, refused: Refused) {
        self.row.fill(None);
        self.bytes += refused.raw.len();
        self.refused.push(refused);
    }

    /// Ends the row in progress.
    pub(super) fn end_row(&mut self, line: u64, raw: &str) {
        for (column, cell) in self.columns.iter_mut().zip(&mut self.row) {
            let cell = cell.take();
            self.bytes += cell.as_ref().map_or(0, String::len);
            column.append_option(cell);
        }
        if let Some(rows) = &mut self.raw {
            self.bytes += raw.len();
            rows.push(raw.to_owned());
        }
        self.lines.push(line);
    }

    /// How many records there are, refused ones included.
    pub(super) fn records(&self) -> usize {
        self.lines.len() + self.refused.len()
    }

    /// How many bytes the records have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The columns known so far.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The rows gathered, if any; the table is empty afterwards.
    pub(super) fn finish(&mut self, file: &str) -> Result<Option<Page>> {
        if self.records() == 0 {
            return Ok(None);
        }
        let bug = |error: String| Error::new(ErrorKind::Internal, error);
        let fields: Vec<Field> = self.names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        let arrays = self.columns.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect();
        let lines = std::mem::take(&mut self.lines);
        let options = RecordBatchOptions::new().with_row_count(Some(lines.len()));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .map_err(|error| bug(error.to_string()))?;
        let mut page =
            Page::new(batch, Places::Lines { file: file.to_owned(), lines }).map_err(|error| bug(error.to_string()))?;
        page.raw = self.raw.as_mut().map(|rows| StringArray::from(std::mem::take(rows)));
        page.refused = std::mem::take(&mut self.refused);
        self.bytes = 0;
        Ok(Some(page))
    }
}
