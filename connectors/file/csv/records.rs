//! Reads records from text with a bounded buffer, and goes on after one that cannot be read.

use std::io::{ErrorKind, Read};
use std::ops::Range;

use super::scan::{QUOTE, Scan, Scanner, Span, count_line_ends};

/// The most bytes a field may have. Beyond it is a forgotten quote far more often than a text.
pub(super) const MAX_FIELD_BYTES: usize = 1024 * 1024;
/// The most bytes a record may have; the buffer grows to twice that at most.
const MAX_RECORD_BYTES: usize = 4 * 1024 * 1024;
/// How much is read at once: it fits the processor's cache.
const CHUNK_BYTES: usize = 256 * 1024;
/// How many lines after a suspicious quote are looked at to tell a forgotten quote from a long text.
const LOOK_AHEAD_RECORDS: usize = 20;

/// One step through the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A record; its fields are in `spans`.
    Row {
        /// Where its bytes stand in `buffer`.
        at: Range<usize>,
        /// The line it starts on.
        line: u64,
        /// How many lines it takes.
        lines: u64,
    },
    /// A record that cannot be read.
    Broken {
        /// The start of it.
        start: Vec<u8>,
        /// The line it starts on.
        line: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// No more records.
    End,
}

/// Why a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A quote that opens on this line is never closed, or only rows later.
    Quote {
        /// The line.
        line: u64,
    },
    /// A field or the record is larger than the bound.
    Oversized,
}

/// The records of a text.
pub(super) struct Records {
    input: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    ended: bool,
    line: u64,
    scanner: Scanner,
    /// The fields of the last row, relative to its start.
    pub(super) spans: Vec<Span>,
    /// How many fields a good record has; 0 until known.
    pub(super) width: usize,
}

impl Records {
    /// The records of `input`, parted by `,` until another scanner is set.
    pub(super) fn new(input: Box<dyn Read + Send>) -> Self {
        Self {
            input,
            buffer: vec![0; CHUNK_BYTES],
            at: 0,
            filled: 0,
            ended: false,
            line: 1,
            scanner: Scanner::new(b','),
            spans: Vec::new(),
            width: 0,
        }
    }

    /// The start of the text, and whether that is all of it. Nothing is consumed.
    pub(super) fn sample(&mut self, bytes: usize) -> std::io::Result<(&[u8], bool)> {
        while self.filled - self.at < bytes && !self.ended {
            self.fill()?;
        }
        Ok((self.rest(), self.ended))
    }

    /// Goes forward by `bytes` of the sample to the start of `line`, and parts fields by `delimiter` from there.
    pub(super) fn start(&mut self, bytes: usize, line: u64, delimiter: u8) {
        self.at = (self.at + bytes).min(self.filled);
        self.line = line;
        self.scanner = Scanner::new(delimiter);
    }

    /// The bytes of a row.
    pub(super) fn bytes(&self, at: &Range<usize>) -> &[u8] {
        self.buffer.get(at.clone()).unwrap_or_default()
    }

    /// The line of the next record.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The next record.
    pub(super) fn step(&mut self) -> std::io::Result<Step> {
        loop {
            self.skip_blank_lines()?;
            if self.at == self.filled && self.ended {
                return Ok(Step::End);
            }
            let rest = self.buffer.get(self.at..self.filled).unwrap_or_default();
            match self.scanner.scan(rest, self.ended, &mut self.spans) {
                Scan::Record { end, lines } => {
                    let row = Step::Row { at: self.at..self.at + end, line: self.line, lines };
                    self.at += end;
                    self.line += lines;
                    return Ok(row);
                }
                Scan::Partial { field, quoted } => {
                    let held = rest.len();
                    let bounded = held <= MAX_RECORD_BYTES && held - field <= MAX_FIELD_BYTES;
                    if bounded && !self.ended {
                        self.fill()?;
                    } else {
                        return self.recover(field, quoted);
                    }
                }
            }
        }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..self.filled).unwrap_or_default()
    }

    /// Reads more, making room first.
    fn fill(&mut self) -> std::io::Result<()> {
        if self.at > 0 {
            self.buffer.copy_within(self.at..self.filled, 0);
            self.filled -= self.at;
            self.at = 0;
        }
        if self.buffer.len() - self.filled < CHUNK_BYTES / 2 {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let free = self.buffer.get_mut(self.filled..).unwrap_or_default();
        loop {
            match self.input.read(free) {
                Ok(0) => self.ended = true,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }

    fn skip_blank_lines(&mut self) -> std::io::Result<()> {
        loop {
            let ahead = self.filled - self.at;
            let first = self.buffer.get(self.at).filter(|_| ahead > 0).copied();
            match first {
                None if self.ended => return Ok(()),
                None => self.fill()?,
                Some(b'\n') => {
                    self.at += 1;
                    self.line += 1;
                }
                Some(b'\r') if ahead == 1 && !self.ended => self.fill()?,
                Some(b'\r') => {
                    let feed = ahead > 1 && self.buffer.get(self.at + 1) == Some(&b'\n');
                    self.at += if feed { 2 } else { 1 };
                    self.line += 1;
                }
                Some(_) => return Ok(()),
            }
        }
    }

    /// Gets past a record that does not end. If what the open quote swallowed looks like rows, only the line with the quote is
    /// given up; otherwise everything up to the record's end is.
    fn recover(&mut self, field: usize, quoted: bool) -> std::io::Result<Step> {
        let line = self.line;
        let rest = self.rest();
        let start = rest.get(..rest.len().min(super::MAX_RAW_BYTES)).unwrap_or_default().to_vec();
        let quote_line = line + count_line_ends(rest.get(..field).unwrap_or_default());
        if quoted && let Some(next) = self.rows_after(field) {
            let lost = self.rest().get(..next).unwrap_or_default();
            let (start, lines) =
                (lost.get(..lost.len().min(super::MAX_RAW_BYTES)).unwrap_or_default().to_vec(), count_line_ends(lost));
            self.at += next;
            self.line += lines;
            return Ok(Step::Broken { start, line, fault: Fault::Quote { line: quote_line } });
        }
        self.line += count_line_ends(self.rest().get(..field).unwrap_or_default());
        self.at += field;
        let closed = self.skip_record()?;
        let fault = if closed { Fault::Oversized } else { Fault::Quote { line: quote_line } };
        Ok(Step::Broken { start, line, fault })
    }

    /// Where the line after the quote at `field` starts, if most records from there on have as many fields as the header.
    fn rows_after(&self, field: usize) -> Option<usize> {
        let rest = self.rest();
        let line = rest.get(field..)?;
        let end = line.iter().position(|&byte| byte == b'\n' || byte == b'\r')?;
        let feed = usize::from(line.get(end..end + 2) == Some(b"\r\n"));
        let next = field + end + 1 + feed;
        let (mut at, mut seen, mut good) = (next, 0, 0);
        let mut spans = Vec::new();
        while seen < LOOK_AHEAD_RECORDS && at < rest.len() {
            let Scan::Record { end, lines: _ } = self.scanner.scan(rest.get(at..)?, self.ended, &mut spans) else {
                break;
            };
            at += end;
            seen += 1;
            good += usize::from(spans.len() == self.width);
        }
        (self.width > 1 && good * 2 > seen).then_some(next)
    }

    /// Reads on to the end of the record without keeping it. False when the input ends inside quotes.
    fn skip_record(&mut self) -> std::io::Result<bool> {
        #[derive(Clone, Copy, PartialEq)]
        enum At {
            FieldStart,
            Plain,
            Quoted,
            QuoteInQuoted,
        }
        let delimiter = self.scanner.delimiter();
        let mut at = At::FieldStart;
        let mut after_return = false;
        loop {
            let Some(&byte) = self.buffer.get(self.at).filter(|_| self.at < self.filled) else {
                if self.ended {
                    return Ok(at != At::Quoted);
                }
                self.fill()?;
                continue;
            };
            let line_end = byte == b'\r' || byte == b'\n';
            if line_end && at != At::Quoted {
                // The line end itself is left: it is skipped, and counted, as the rest of a blank line.
                return Ok(true);
            }
            self.line += u64::from(byte == b'\r' || (byte == b'\n' && !after_return));
            after_return = byte == b'\r';
            at = match (at, byte) {
                (At::FieldStart | At::QuoteInQuoted, QUOTE) => At::Quoted,
                (At::Quoted, QUOTE) => At::QuoteInQuoted,
                (At::Quoted, _) => At::Quoted,
                (At::FieldStart | At::Plain | At::QuoteInQuoted, byte) if byte == delimiter => At::FieldStart,
                (At::FieldStart | At::Plain | At::QuoteInQuoted, _) => At::Plain,
            };
            self.at += 1;
        }
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("line", &self.line).field("width", &self.width).finish_non_exhaustive()
    }
}
