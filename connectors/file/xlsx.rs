//! XLSX: one sheet of a workbook, cell by cell.
//!
//! A spreadsheet stores numbers, not what the screen shows: they are written without exponent and without `.0`, dates in ISO
//! form. What is lost before us (leading zeros, `+`) cannot be brought back; the user is told. The sheet is held in memory, so
//! its size is bounded.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use calamine::{DataRef, ExcelDateTime, Reader, SheetType, SheetVisible, Xlsx};
use headwater_model::aliases;
use headwater_model::page::Page;
use headwater_sdk::{Error, ErrorKind, Result};
use zip::result::ZipError;

use super::header::{self, Candidate};
use super::input::{decoded, unreadable};
use super::rows::{Opened, PAGE_ROWS, Rows, refused};
use super::source::Depth;
use super::table::Table;

/// What a file that is none cannot be read as.
const KIND: &str = "a workbook";
/// The most bytes of a workbook: a full sheet of people has some 100 MB.
const MAX_WORKBOOK_BYTES: u64 = 256 * 1024 * 1024;
/// The most bytes that the parts of a workbook may unpack to.
const MAX_UNPACKED_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// The most bytes of text that the cells of a sheet may have.
const MAX_SHEET_BYTES: usize = 512 * 1024 * 1024;
/// How many rows are looked at for the column names.
const SAMPLE_ROWS: usize = 200;

/// A row of a sheet: its filled cells, by column.
struct SheetRow {
    line: u64,
    cells: Vec<(usize, Cell)>,
}

struct Cell {
    text: String,
    number: bool,
}

/// Finds the column names of a sheet and makes its rows readable.
pub(super) fn open(path: &Path, file: &str, sheet: Option<&str>, header_line: Option<u64>, depth: Depth) -> Result<Opened> {
    guard(path, file)?;
    let opened = File::open(path).map_err(|error| unreadable(file, error))?;
    let mut book: Xlsx<BufReader<File>> = decoded(file, KIND, || Xlsx::new(BufReader::new(opened)))?;
    let sheet = choose(&mut book, file, sheet)?;
    let most = match depth {
        Depth::Head => SAMPLE_ROWS + header_line.map_or(0, |line| usize::try_from(line).unwrap_or(usize::MAX / 2)),
        Depth::Whole => usize::MAX,
    };
    let mut rows = read(&mut book, file, &sheet, most)?;
    let candidates: Vec<Candidate> = rows.iter().take(SAMPLE_ROWS).map(candidate).collect();
    let index = match header_line {
        None => header::find(&candidates).map(|found| found.line),
        Some(line) => Some(line),
    }
    .and_then(|line| rows.iter().position(|row| row.line == line));
    let empty = || {
        Error::new(ErrorKind::Input, format!("sheet `{sheet}` of {file} has no row with column names"))
            .hint("choose another sheet with `sheet:` or name the row with `header_row:`")
    };
    let Some(row) = index.and_then(|index| rows.drain(..=index).next_back()) else {
        return Err(empty());
    };
    let head = candidate(&row);
    if header_line.is_none() && header::looks_like_data(&head.cells) {
        return Err(Error::new(ErrorKind::Input, format!("{file}:{} holds a record where the column names should be", row.line))
            .hint("add a row with column names at the top, or say where it is with `header_row:`"));
    }
    let fields = header::names(&head.cells);
    let mut notes = vec![format!("sheet `{sheet}`"), format!("column names in row {}", row.line)];
    let lossy = numeric_codes(&fields, &rows);
    if !lossy.is_empty() {
        tracing::warn!(file, columns = lossy.join(", "), "numbers stand where codes should: leading zeros and + are lost");
        notes.push(format!("stored as numbers, so leading zeros and + are already lost: {}", lossy.join(", ")));
    }
    let table = Table::new(&fields, false);
    let rows = SheetRows { file: file.to_owned(), width: fields.len(), rows: rows.into(), table };
    Ok(Opened { fields, notes, rows: Box::new(rows) })
}

/// Refuses a workbook that would not fit in memory, before anything of it is kept.
fn guard(path: &Path, file: &str) -> Result<()> {
    let opened = File::open(path).map_err(|error| unreadable(file, error))?;
    let too_large = |what: &str| {
        Error::new(ErrorKind::Input, format!("{file} {what}")).hint("save the sheet as CSV, which is read without a bound")
    };
    let size = opened.metadata().map_err(|error| unreadable(file, error))?.len();
    if size > MAX_WORKBOOK_BYTES {
        return Err(too_large(&format!("is larger than {} MiB", MAX_WORKBOOK_BYTES >> 20)));
    }
    let mut archive = decoded(file, KIND, || zip::ZipArchive::new(BufReader::new(opened)))?;
    let mut left = MAX_UNPACKED_BYTES;
    for index in 0..archive.len() {
        // The sizes an archive declares may be wrong: only unpacking tells.
        let read = decoded(file, KIND, || {
            let entry = archive.by_index(index)?;
            io::copy(&mut io::Read::take(entry, left + 1), &mut io::sink()).map_err(ZipError::from)
        })?;
        left =
            left.checked_sub(read).ok_or_else(|| too_large(&format!("unpacks to more than {} GiB", MAX_UNPACKED_BYTES >> 30)))?;
    }
    Ok(())
}

/// The sheet to read: the one named, or the only visible one that has rows.
fn choose(book: &mut Xlsx<BufReader<File>>, file: &str, wanted: Option<&str>) -> Result<String> {
    let sheets: Vec<(String, bool)> = book
        .sheets_metadata()
        .iter()
        .filter(|sheet| sheet.typ == SheetType::WorkSheet)
        .map(|sheet| (sheet.name.clone(), sheet.visible == SheetVisible::Visible))
        .collect();
    let names = || sheets.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let config = |what: String| Error::new(ErrorKind::Config, what).context("path", "sheet");
    if let Some(wanted) = wanted {
        return match sheets.iter().find(|(name, _)| name == wanted) {
            Some((name, _)) => Ok(name.clone()),
            None => Err(config(format!("{file} has no sheet `{wanted}`")).hint(format!("its sheets are: {}", names()))),
        };
    }
    let mut filled = Vec::new();
    for (name, _) in sheets.iter().filter(|(_, visible)| *visible) {
        if read(book, file, name, 2)?.len() == 2 {
            filled.push(name.clone());
        }
    }
    match filled.as_slice() {
        [only] => Ok(only.clone()),
        [] => sheets.first().map(|(name, _)| name.clone()).ok_or_else(|| config(format!("{file} has no sheet"))),
        [_, _, ..] => Err(config(format!("{file} has {} sheets with rows", filled.len()))
            .hint(format!("say which to read with `sheet:`: {}", names()))),
    }
}

/// The first `most` rows of a sheet that have a filled cell.
fn read(book: &mut Xlsx<BufReader<File>>, file: &str, sheet: &str, most: usize) -> Result<Vec<SheetRow>> {
    let mut reader = decoded(file, KIND, || book.worksheet_cells_reader(sheet))?;
    let mut rows: Vec<SheetRow> = Vec::new();
    let mut bytes = 0;
    let mut next = || reader.next_cell().map(|cell| cell.map(|cell| (cell.get_position(), text(cell.get_value()))));
    while let Some(((row, column), value)) = decoded(file, KIND, &mut next)? {
        let Some(value) = value else { continue };
        let (line, column) = (u64::from(row) + 1, column as usize);
        bytes += value.text.len() + size_of::<(usize, Cell)>();
        if bytes > MAX_SHEET_BYTES || column >= header::MAX_COLUMNS {
            let bound = format!("{} MiB or {} columns", MAX_SHEET_BYTES >> 20, header::MAX_COLUMNS);
            return Err(Error::new(ErrorKind::Input, format!("sheet `{sheet}` of {file} is larger than {bound}"))
                .hint("save the sheet as CSV, which is read without a bound"));
        }
        let full = rows.len() == most;
        match rows.last_mut() {
            Some(last) if last.line == line => last.cells.push((column, value)),
            Some(_) | None if full => break,
            Some(_) | None => rows.push(SheetRow { line, cells: vec![(column, value)] }),
        }
    }
    Ok(rows)
}

/// The text of a cell; none when it is empty.
fn text(value: &DataRef<'_>) -> Option<Cell> {
    let plain = |text: &str| Cell { text: text.to_owned(), number: false };
    let cell = match value {
        DataRef::Empty => return None,
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => plain(text),
        DataRef::SharedString(text) => plain(text),
        DataRef::Bool(value) => plain(if *value { "true" } else { "false" }),
        DataRef::Error(error) => plain(&error.to_string()),
        DataRef::DateTime(value) => plain(&date_text(*value)),
        DataRef::Int(value) => Cell { text: value.to_string(), number: true },
        // Rust writes the shortest digits that give the same float, never an exponent, and no `.0`.
        DataRef::Float(value) => Cell { text: value.to_string(), number: true },
    };
    (!cell.text.is_empty()).then_some(cell)
}

fn date_text(value: ExcelDateTime) -> String {
    let (year, month, day, hour, minute, second, milli) = value.to_ymd_hms_milli();
    let fraction = if milli > 0 { format!(".{milli:03}") } else { String::new() };
    let time = format!("{hour:02}:{minute:02}:{second:02}{fraction}");
    let number = value.as_f64();
    if value.is_duration() {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a duration in a sheet is far below 2^63 milliseconds; a wild one saturates"
        )]
        let millis = (number * 86_400_000.0).round() as i64;
        let (seconds, sign) = (millis.abs() / 1000, if millis < 0 { "-" } else { "" });
        return format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    if (0.0..1.0).contains(&number) {
        return time;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    if number.fract() == 0.0 { date } else { format!("{date}T{time}") }
}

fn candidate(row: &SheetRow) -> Candidate {
    let width = row.cells.iter().map(|(column, _)| column + 1).max().unwrap_or_default();
    let mut cells = vec![String::new(); width];
    for (column, cell) in &row.cells {
        if let Some(slot) = cells.get_mut(*column) {
            cell.text.trim().clone_into(slot);
        }
    }
    Candidate { start: 0, line: row.line, cells }
}

/// The columns of phones and codes in which numbers stand.
fn numeric_codes(fields: &[String], rows: &[SheetRow]) -> Vec<String> {
    let mut lossy = Vec::new();
    for (index, field) in fields.iter().enumerate().filter(|(_, field)| aliases::is_code(field)) {
        let number = |row: &SheetRow| row.cells.iter().any(|(column, cell)| *column == index && cell.number);
        if rows.iter().any(number) {
            lossy.push(format!("`{field}`"));
        }
    }
    lossy
}

struct SheetRows {
    file: String,
    width: usize,
    rows: VecDeque<SheetRow>,
    table: Table,
}

impl Rows for SheetRows {
    fn next(&mut self, most: usize) -> Result<Option<Page>> {
        while self.table.records() < most.min(PAGE_ROWS) {
            let Some(SheetRow { line, cells }) = self.rows.pop_front() else { break };
            if let Some((beyond, _)) = cells.iter().find(|(column, _)| *column >= self.width) {
                let raw = cells.iter().map(|(_, cell)| cell.text.as_str()).collect::<Vec<_>>().join("\t");
                let reason = format!("has a value in column {}, the header has {}", beyond + 1, self.width);
                self.table.refuse(refused(&self.file, line, "ragged_row", reason, raw.as_bytes()));
                continue;
            }
            // A sheet has no absent cells: one that is not stored is an empty one.
            for place in 0..self.width {
                self.table.set(place, Some(String::new()));
            }
            for (column, cell) in cells {
                self.table.set(column, Some(cell.text));
            }
            self.table.end_row(line, "");
        }
        self.table.finish(&self.file)
    }
}
