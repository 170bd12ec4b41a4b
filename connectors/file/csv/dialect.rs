//! Finds out how a text file is laid out: its delimiter and the line its column names stand on.

use super::scan::{Scan, Scanner, Span, count_line_ends, unescape};
use crate::file::header::{self, Candidate};

/// How much of a file is looked at.
pub(super) const SAMPLE_BYTES: usize = 64 * 1024;
/// How many records of the sample are looked at.
const SAMPLE_RECORDS: usize = 200;
/// The usual delimiters. A colon is taken only when nothing else fits: times and addresses are full of them.
const USUAL: [u8; 4] = [b',', b';', b'\t', b'|'];

/// What the user said.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    /// The delimiter.
    pub(crate) delimiter: Option<u8>,
    /// The line the column names stand on.
    pub(crate) header_line: Option<u64>,
}

/// How a file is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    /// Where the column names start, in bytes.
    pub(super) start: usize,
    /// The line they start on.
    pub(super) line: u64,
}

/// Why no header was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// There is no record at all.
    Empty,
    /// What stands where the column names should be is a record.
    Data {
        /// Its line.
        line: u64,
    },
    /// The sample ends before the line the user named.
    Beyond,
}

/// Looks at the start of a file; `whole` says that it is all of it.
pub(super) fn sniff(sample: &[u8], whole: bool, wanted: Wanted) -> Result<Dialect, NoHeader> {
    let (declared, mut start) = separator_line(sample);
    let mut line = 1 + count_line_ends(sample.get(..start).unwrap_or_default());
    if let Some(header_line) = wanted.header_line {
        while line < header_line {
            start = next_line(sample, start).ok_or(NoHeader::Beyond)?;
            line += 1;
        }
    }
    let body = sample.get(start..).unwrap_or_default();
    let delimiter = wanted.delimiter.or(declared).unwrap_or_else(|| delimiter(body, whole));
    let rows = sample_rows(body, whole, delimiter);
    if rows.is_empty() && whole {
        return Err(NoHeader::Empty);
    }
    if wanted.header_line.is_some() || rows.is_empty() {
        return Ok(Dialect { delimiter, start, line });
    }
    let Some(candidate) = header::find(&rows) else { return Err(NoHeader::Empty) };
    let line = line + candidate.line - 1;
    if header::looks_like_data(&candidate.cells) {
        return Err(NoHeader::Data { line });
    }
    Ok(Dialect { delimiter, start: start + candidate.start, line })
}

/// The delimiter named by Excel's `sep=;` line, and where the next line starts.
fn separator_line(sample: &[u8]) -> (Option<u8>, usize) {
    let end = sample.iter().position(|&byte| byte == b'\r' || byte == b'\n').unwrap_or(sample.len());
    let line = sample.get(..end).unwrap_or_default();
    let bare = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    match bare {
        [s, e, p, b'=', delimiter] if [*s, *e, *p].eq_ignore_ascii_case(b"sep") => {
            (Some(*delimiter), next_line(sample, 0).unwrap_or(sample.len()))
        }
        _ => (None, 0),
    }
}

fn next_line(sample: &[u8], from: usize) -> Option<usize> {
    let rest = sample.get(from..)?;
    let end = from + rest.iter().position(|&byte| byte == b'\r' || byte == b'\n')?;
    Some(if sample.get(end..end + 2) == Some(b"\r\n") { end + 2 } else { end + 1 })
}

/// The delimiter under which the most records agree on how many fields they have; among equals the one that gives more fields.
fn delimiter(body: &[u8], whole: bool) -> u8 {
    let score = |delimiter: u8| {
        let rows = sample_rows(body, whole, delimiter);
        let width = header::usual_width(rows.iter().map(|row| row.cells.len()));
        let agreeing = rows.iter().filter(|row| row.cells.len() == width).count();
        (width > 1).then(|| (agreeing * 10 / rows.len().max(1), width))
    };
    let mut best = None;
    for candidate in USUAL {
        if let Some(score) = score(candidate)
            && best.is_none_or(|(best, _)| score > best)
        {
            best = Some((score, candidate));
        }
    }
    match best {
        Some((_, delimiter)) => delimiter,
        None if score(b':').is_some_and(|(agreeing, _)| agreeing == 10) => b':',
        None => b',',
    }
}

fn sample_rows(body: &[u8], whole: bool, delimiter: u8) -> Vec<Candidate> {
    let scanner = Scanner::new(delimiter);
    let mut rows = Vec::new();
    let mut spans: Vec<Span> = Vec::new();
    let (mut at, mut line) = (0, 1);
    while rows.len() < SAMPLE_RECORDS && at < body.len() {
        let rest = body.get(at..).unwrap_or_default();
        let Scan::Record { end, lines } = scanner.scan(rest, whole, &mut spans) else { break };
        let cells: Vec<String> = spans
            .iter()
            .map(|span| {
                let mut cell = Vec::new();
                unescape(rest.get(span.start..span.end).unwrap_or_default(), &mut cell);
                String::from_utf8_lossy(&cell).trim().to_owned()
            })
            .collect();
        if !matches!(rest.first(), Some(b'\r' | b'\n')) {
            rows.push(Candidate { start: at, line, cells });
        }
        at += end;
        line += lines;
    }
    rows
}
