//! Finds the fields of one record in a buffer, without copying.
//!
//! The rules are those of RFC 4180 read leniently: a quote counts only at the start of a field, a doubled quote inside is one
//! quote, text after a closing quote belongs to the field, and a line ends with CR, LF or both.

/// The mark that quotes a field.
pub(super) const QUOTE: u8 = b'"';

/// Where a field stands in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Its first byte.
    pub start: usize,
    /// Just past its last byte.
    pub end: usize,
    /// Whether quotes inside still have to be undone.
    pub escaped: bool,
}

/// What a scan found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// A whole record.
    Record {
        /// Just past its line end.
        end: usize,
        /// How many lines it took.
        lines: u64,
    },
    /// The input ends before the record does.
    Partial {
        /// Where the field begins that is not finished.
        field: usize,
        /// Whether that field is inside quotes.
        quoted: bool,
    },
}

/// Knows the delimiter.
#[derive(Debug, Clone)]
pub(super) struct Scanner {
    delimiter: u8,
    /// True for the bytes that end an unquoted field.
    ends_field: [bool; 256],
}

/// What `Scanner::quoted` found.
enum Quoted {
    Field { span: Span, end: usize },
    Open,
}

impl Scanner {
    /// A scanner for fields parted by `delimiter`.
    pub(super) fn new(delimiter: u8) -> Self {
        let mut ends_field = [false; 256];
        for byte in [delimiter, b'\r', b'\n'] {
            if let Some(slot) = ends_field.get_mut(usize::from(byte)) {
                *slot = true;
            }
        }
        Self { delimiter, ends_field }
    }

    /// The delimiter.
    pub(super) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// Finds the record at the start of `input`; `last` says that nothing follows it. `spans` are replaced by its fields.
    pub(super) fn scan(&self, input: &[u8], last: bool, spans: &mut Vec<Span>) -> Scan {
        spans.clear();
        let mut start = 0;
        let mut lines = 0;
        loop {
            let (span, end) = if input.get(start) == Some(&QUOTE) {
                match self.quoted(input, start, last) {
                    Quoted::Field { span, end } => {
                        lines += count_line_ends(input.get(start..end).unwrap_or_default());
                        (span, end)
                    }
                    Quoted::Open => return Scan::Partial { field: start, quoted: true },
                }
            } else {
                let end = self.field_end(input, start);
                (Span { start, end, escaped: false }, end)
            };
            let next = input.get(end).copied();
            if next == Some(self.delimiter) {
                spans.push(span);
                start = end + 1;
                continue;
            }
            let end = match (next, input.get(end + 1)) {
                (None, _) if !last => return Scan::Partial { field: start, quoted: false },
                // Whether a line feed follows decides where the next record starts.
                (Some(b'\r'), None) if !last => {
                    return Scan::Partial { field: start, quoted: false };
                }
                (None, _) => end,
                (Some(b'\r'), Some(b'\n')) => end + 2,
                (Some(_), _) => end + 1,
            };
            spans.push(span);
            return Scan::Record { end, lines: lines + 1 };
        }
    }

    /// Where the unquoted text from `from` ends: at a delimiter, a line end or the end of the input.
    #[expect(clippy::indexing_slicing, reason = "a byte always finds its place in a table of 256, and this is the hottest loop")]
    fn field_end(&self, input: &[u8], from: usize) -> usize {
        let rest = input.get(from..).unwrap_or_default();
        rest.iter().position(|&byte| self.ends_field[usize::from(byte)]).map_or(input.len(), |at| from + at)
    }

    /// Reads the field whose opening quote stands at `open`.
    fn quoted(&self, input: &[u8], open: usize, last: bool) -> Quoted {
        let start = open + 1;
        let mut escaped = false;
        let mut from = start;
        loop {
            let rest = input.get(from..).unwrap_or_default();
            let Some(close) = rest.iter().position(|&byte| byte == QUOTE).map(|at| from + at) else {
                return Quoted::Open;
            };
            match input.get(close + 1) {
                None if !last => return Quoted::Open,
                Some(&QUOTE) => {
                    escaped = true;
                    from = close + 2;
                }
                Some(&byte) if byte != self.delimiter && byte != b'\r' && byte != b'\n' => {
                    let end = self.field_end(input, close + 1);
                    return Quoted::Field { span: Span { start, end, escaped: true }, end };
                }
                None | Some(_) => {
                    return Quoted::Field { span: Span { start, end: close, escaped }, end: close + 1 };
                }
            }
        }
    }
}

/// Appends the text of an escaped field to `to`: doubled quotes become one, the closing quote goes, what follows it stays.
pub(super) fn unescape(field: &[u8], to: &mut Vec<u8>) {
    let mut rest = field;
    while let Some(at) = rest.iter().position(|&byte| byte == QUOTE) {
        to.extend_from_slice(rest.get(..at).unwrap_or_default());
        if rest.get(at + 1) != Some(&QUOTE) {
            to.extend_from_slice(rest.get(at + 1..).unwrap_or_default());
            return;
        }
        to.push(QUOTE);
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    to.extend_from_slice(rest);
}

/// How many lines end in `bytes`; CR LF is one end.
pub(super) fn count_line_ends(bytes: &[u8]) -> u64 {
    let mut after_return = false;
    let mut ends = 0;
    for &byte in bytes {
        if byte == b'\r' || (byte == b'\n' && !after_return) {
            ends += 1;
        }
        after_return = byte == b'\r';
    }
    ends
}
