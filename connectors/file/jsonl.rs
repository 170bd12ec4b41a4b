//! JSON lines: one object a line.
//!
//! Objects inside become columns with dotted names, one level deep; what lies deeper, and lists, stay JSON text. Numbers keep
//! their digits: they are never read as floats.

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use headwater_model::page::Page;
use headwater_sdk::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::rows::{MAX_RAW_BYTES, Opened, PAGE_BYTES, PAGE_ROWS, Rows, refused};
use super::table::Table;

/// The most bytes a line may have.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;
/// How much of a file is looked at for its columns; a column that comes later is still read.
const SAMPLE_BYTES: u64 = 256 * 1024;

/// Finds the columns of a text and makes its rows readable. `text` is UTF-8; `file` names it in messages.
pub(super) fn open(mut text: Box<dyn Read + Send>, file: &str) -> Result<Opened> {
    let mut sample = Vec::new();
    text.by_ref().take(SAMPLE_BYTES).read_to_end(&mut sample).map_err(|error| unreadable(file, 1, error))?;
    let mut table = Table::new(&[], false);
    let mut objects = 0;
    for line in sample.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
        objects += usize::from(read_object(line, &mut table).is_ok());
    }
    if objects == 0 {
        return Err(Error::new(ErrorKind::Input, format!("{file} does not begin with JSON objects, one a line"))
            .hint("a list of objects is not JSON lines: write each object on a line of its own"));
    }
    let fields = table.names().to_vec();
    let input = BufReader::with_capacity(64 * 1024, Box::new(Cursor::new(sample).chain(text)) as Box<dyn Read + Send>);
    let table = Table::new(&fields, true);
    let rows = JsonRows { file: file.to_owned(), input, line: 0, text: Vec::new(), table };
    Ok(Opened { fields, notes: vec!["JSON lines".to_owned()], rows: Box::new(rows) })
}

struct JsonRows {
    file: String,
    input: BufReader<Box<dyn Read + Send>>,
    /// The number of the last line read.
    line: u64,
    text: Vec<u8>,
    table: Table,
}

impl Rows for JsonRows {
    fn next(&mut self, most: usize) -> Result<Option<Page>> {
        while self.table.records() < most.min(PAGE_ROWS) && self.table.bytes() < PAGE_BYTES {
            let fits = match self.read_line().map_err(|error| unreadable(&self.file, self.line + 1, error))? {
                None => break,
                Some(fits) => fits,
            };
            self.line += 1;
            let line = self.line;
            if !fits {
                let reason = format!("is longer than {} MiB; split it", MAX_LINE_BYTES / 1024 / 1024);
                self.table.refuse(refused(&self.file, line, "oversized_row", reason, &self.text));
                continue;
            }
            let text = std::str::from_utf8(&self.text).map_err(|_| {
                Error::new(ErrorKind::Input, format!("{}:{line} holds bytes that are not UTF-8", self.file))
                    .hint("declare how the file was saved, for example `encoding: windows-1252`")
            })?;
            if text.trim().is_empty() {
                continue;
            }
            match read_object(text, &mut self.table) {
                Ok(()) => self.table.end_row(line, text.trim()),
                Err(Fault { code, reason }) => self.table.refuse(refused(&self.file, line, code, reason, &self.text)),
            }
        }
        self.table.finish(&self.file)
    }
}

impl JsonRows {
    /// Reads a line without its end. False when it is too long: then only its start is kept. `None` at the end.
    fn read_line(&mut self) -> io::Result<Option<bool>> {
        self.text.clear();
        let mut length = 0;
        loop {
            let held = match self.input.fill_buf() {
                Ok(held) => held,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if held.is_empty() {
                return Ok((length > 0).then_some(length <= MAX_LINE_BYTES));
            }
            let end = held.iter().position(|byte| *byte == b'\n');
            let part = held.get(..end.unwrap_or(held.len())).unwrap_or_default();
            length += part.len() + usize::from(end.is_some());
            let keep =
                if length <= MAX_LINE_BYTES { part.len() } else { part.len().min(MAX_RAW_BYTES.saturating_sub(self.text.len())) };
            self.text.extend_from_slice(part.get(..keep).unwrap_or_default());
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                return Ok(Some(length <= MAX_LINE_BYTES));
            }
        }
    }
}

/// Why a line is not a row.
struct Fault {
    code: &'static str,
    reason: String,
}

/// Sets the cells of the row in progress.
fn read_object(line: &str, table: &mut Table) -> Result<(), Fault> {
    for (name, value) in parse(line)?.0 {
        if value.get().starts_with('{') {
            for (inner, value) in parse(value.get())?.0 {
                set(table, &format!("{name}.{inner}"), value)?;
            }
        } else {
            set(table, &name, value)?;
        }
    }
    Ok(())
}

fn set(table: &mut Table, name: &str, value: &RawValue) -> Result<(), Fault> {
    let Some(place) = table.column(name) else {
        let reason = "has a field beyond the most columns a file may have".to_owned();
        return Err(Fault { code: "too_many_fields", reason });
    };
    let text = match value.get().as_bytes().first() {
        Some(b'"') => Some(serde_json::from_str(value.get()).map_err(not_json)?),
        Some(b'n') => None,
        Some(_) | None => Some(value.get().to_owned()),
    };
    table.set(place, text);
    Ok(())
}

fn parse(text: &str) -> Result<Object<'_>, Fault> {
    serde_json::from_str(text).map_err(not_json)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn not_json(error: serde_json::Error) -> Fault {
    // The library's message may quote the value; where it is says enough.
    Fault { code: "not_json", reason: format!("is not a JSON object, at column {}", error.column()) }
}

/// The members of an object, in order, their values untouched.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

fn unreadable(file: &str, line: u64, error: io::Error) -> Error {
    Error::new(ErrorKind::Input, format!("{file} cannot be read beyond line {line}: {error}")).source(error)
}
