//! Delimited text: CSV, TSV and what spreadsheets call so.
//!
//! Bytes go straight from the read buffer into one text column per field. Nothing is guessed into a number or a date; a row
//! with another number of fields than the header is refused, never shifted.

mod columns;
mod dialect;
mod records;
mod scan;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use headwater_model::page::{Page, Places, Refused};
use headwater_sdk::{Error, ErrorKind, Result};

use self::columns::{Columns, NotUtf8};
use self::dialect::NoHeader;
pub(super) use self::dialect::Wanted;
use self::records::{Fault, MAX_FIELD_BYTES, Records, Step};
use self::scan::{Span, unescape};
use super::header;
use super::rows::{MAX_RAW_BYTES, Opened, PAGE_BYTES, PAGE_ROWS, Rows, refused};

/// The rows of one delimited file.
#[derive(Debug)]
struct CsvRows {
    file: String,
    records: Records,
    schema: SchemaRef,
    /// The bytes per column of the last page.
    sizes: Vec<usize>,
}

/// Finds the layout of a text and makes its rows readable. `text` is UTF-8; `file` names it in messages.
pub(super) fn open(text: Box<dyn Read + Send>, file: &str, wanted: Wanted) -> Result<Opened> {
    let mut records = Records::new(text);
    let (sample, whole) = records.sample(dialect::SAMPLE_BYTES).map_err(|error| unreadable(file, 1, error))?;
    let dialect = dialect::sniff(sample, whole, wanted).map_err(|fault| no_header(file, fault))?;
    records.start(dialect.start, dialect.line, dialect.delimiter);
    let step = records.step().map_err(|error| unreadable(file, dialect.line, error))?;
    let Step::Row { at, line, lines: _ } = step else {
        return Err(no_header(file, NoHeader::Empty));
    };
    let cells: Result<Vec<String>> = records
        .spans
        .iter()
        .map(|span| {
            let mut cell = Vec::new();
            unescape(records.bytes(&at).get(span.start..span.end).unwrap_or_default(), &mut cell);
            String::from_utf8(cell).map_err(|_| not_utf8(file, NotUtf8 { line }))
        })
        .collect();
    let fields = header::names(&cells?);
    if fields.len() > header::MAX_COLUMNS {
        return Err(Error::new(ErrorKind::Input, format!("{file}:{line} has more than {} columns", header::MAX_COLUMNS))
            .hint("check `delimiter:` and `header_row:`"));
    }
    records.width = fields.len();
    let delimiter = match dialect.delimiter {
        b'\t' => "tab".to_owned(),
        byte => format!("`{}`", char::from(byte)),
    };
    let mut notes = vec![format!("delimiter {delimiter}"), format!("column names on line {line}")];
    if line > 1 {
        tracing::info!(file, header_line = line, "lines before the column names are passed over");
        notes.push(format!("lines 1 to {} passed over", line - 1));
    }
    let schema = Arc::new(Schema::new(fields.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>()));
    let rows = CsvRows { file: file.to_owned(), records, schema, sizes: Vec::new() };
    Ok(Opened { fields, notes, rows: Box::new(rows) })
}

impl Rows for CsvRows {
    fn next(&mut self, most: usize) -> Result<Option<Page>> {
        let most = most.min(PAGE_ROWS);
        let width = self.records.width;
        let mut columns = Columns::new(width, most, &self.sizes);
        let mut bad: Vec<Refused> = Vec::new();
        let mut bytes = 0;
        while columns.rows() + bad.len() < most && bytes < PAGE_BYTES {
            match self.records.step().map_err(|error| unreadable(&self.file, self.records.line(), error))? {
                Step::End => break,
                Step::Row { at, line, lines } => {
                    let record = self.records.bytes(&at);
                    bytes += record.len();
                    match fault(record, &self.records.spans, width, lines) {
                        None => columns.push(line, record, &self.records.spans),
                        Some((code, reason)) => bad.push(refused(&self.file, line, code, reason, record)),
                    }
                }
                Step::Broken { start, line, fault } => {
                    bytes += start.len();
                    bad.push(broken(&self.file, line, fault, &start));
                }
            }
        }
        if columns.rows() == 0 && bad.is_empty() {
            return Ok(None);
        }
        self.sizes = columns.sizes();
        let (batch, lines) = columns.finish(&self.schema).map_err(|fault| not_utf8(&self.file, fault))?;
        let mut page = Page::new(batch, Places::Lines { file: self.file.clone(), lines })
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        page.refused = bad;
        Ok(Some(page))
    }
}

/// What is wrong with a record, if anything. Extra fields that are all empty are what a spreadsheet leaves behind: no fault.
fn fault(record: &[u8], spans: &[Span], width: usize, lines: u64) -> Option<(&'static str, String)> {
    if record.len() > MAX_FIELD_BYTES && spans.iter().any(|span| span.end - span.start > MAX_FIELD_BYTES) {
        return Some(oversized());
    }
    if spans.len() == width || (spans.len() > width && spans.iter().skip(width).all(|span| span.start == span.end)) {
        return None;
    }
    let fields = |count: usize| if count == 1 { "1 field".to_owned() } else { format!("{count} fields") };
    let runs_on =
        if lines > 1 { format!("; it runs over {lines} lines, so a quote in it may not be closed") } else { String::new() };
    Some(("ragged_row", format!("has {}, the header has {width}{runs_on}", fields(spans.len()))))
}

fn oversized() -> (&'static str, String) {
    let reason =
        format!("has a field of more than {} KiB; shorten it or look for a quote that is not closed", MAX_FIELD_BYTES / 1024);
    ("oversized_field", reason)
}

fn broken(file: &str, line: u64, fault: Fault, start: &[u8]) -> Refused {
    let (code, reason) = match fault {
        Fault::Quote { line } => ("unterminated_quote", format!("a quote opens on line {line} and is not closed")),
        Fault::Oversized => oversized(),
    };
    refused(file, line, code, reason, start)
}

fn unreadable(file: &str, line: u64, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Input, format!("{file} cannot be read beyond line {line}: {error}")).source(error)
}

fn not_utf8(file: &str, NotUtf8 { line }: NotUtf8) -> Error {
    Error::new(ErrorKind::Input, format!("{file}:{line} holds bytes that are not UTF-8, as everything before it was"))
        .hint("declare how the file was saved, for example `encoding: windows-1252`")
}

fn no_header(file: &str, fault: NoHeader) -> Error {
    match fault {
        NoHeader::Empty => Error::new(ErrorKind::Input, format!("{file} is empty: it has no line with column names"))
            .hint("export it again with its column names, or narrow `path:`"),
        NoHeader::Data { line } => {
            Error::new(ErrorKind::Input, format!("{file}:{line} holds a record where the column names should be"))
                .hint("add a line with column names at the top, or say where it is with `header_row:`")
        }
        NoHeader::Beyond => {
            Error::new(ErrorKind::Config, format!("{file} has no such line as `header_row:` names near its start"))
                .hint("give the number of the line that holds the column names, counted from 1")
        }
    }
}
