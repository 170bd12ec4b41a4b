//! The scanner, against the csv crate.

use std::io::Read;

use proptest::prelude::*;

use super::Wanted;
use super::records::{Records, Step};
use super::scan::{count_line_ends, unescape};

/// Gives its bytes in pieces of a few bytes, as a pipe may.
struct Dribble {
    bytes: Vec<u8>,
    at: usize,
    piece: usize,
}

impl Read for Dribble {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let end = (self.at + self.piece.min(to.len())).min(self.bytes.len());
        let piece = &self.bytes[self.at..end];
        to[..piece.len()].copy_from_slice(piece);
        self.at = end;
        Ok(piece.len())
    }
}

/// Records: the line each starts on, and its cells.
type Found = Vec<(u64, Vec<Vec<u8>>)>;

/// Our records, and whether the text ends inside quotes.
fn ours(text: &[u8], delimiter: u8, piece: usize) -> (Found, bool) {
    let mut records = Records::new(Box::new(Dribble { bytes: text.to_vec(), at: 0, piece }));
    records.start(0, 1, delimiter);
    let mut found = Vec::new();
    loop {
        match records.step().unwrap() {
            Step::End => return (found, false),
            Step::Broken { .. } => return (found, true),
            Step::Row { at, line, lines: _ } => {
                let cells = records.spans.iter().map(|span| {
                    let bytes = &records.bytes(&at)[span.start..span.end];
                    let mut cell = Vec::new();
                    if span.escaped {
                        unescape(bytes, &mut cell)
                    } else {
                        cell.extend_from_slice(bytes)
                    }
                    cell
                });
                found.push((line, cells.collect()));
            }
        }
    }
}

fn theirs(text: &[u8], delimiter: u8) -> Found {
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(text);
    let record =
        |record: ::csv::ByteRecord| (record.position().unwrap().line(), record.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
    reader.byte_records().map(|found| record(found.unwrap())).collect()
}

fn only_cells(records: Found) -> Vec<Vec<Vec<u8>>> {
    records.into_iter().map(|(_, cells)| cells).collect()
}

proptest! {
    #[test]
    fn written_tables_are_read_back_cell_by_cell(
        table in (1usize..6).prop_flat_map(|width| {
            prop::collection::vec(prop::collection::vec("[ab\",;\t|é\n ]{0,6}", width), 1..20)
        }),
        delimiter in prop::sample::select(b",;\t|".to_vec()),
        always in any::<bool>(),
        piece in 1usize..40,
    ) {
        let style = if always { ::csv::QuoteStyle::Always } else { ::csv::QuoteStyle::Necessary };
        let mut writer = ::csv::WriterBuilder::new().delimiter(delimiter).quote_style(style).from_writer(Vec::new());
        for row in &table {
            writer.write_record(row).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let (found, open) = ours(&text, delimiter, piece);
        prop_assert!(!open);
        prop_assert_eq!(&found, &theirs(&text, delimiter));
        let wanted: Vec<Vec<Vec<u8>>> = table.iter().map(|row| row.iter().map(|cell| cell.clone().into_bytes()).collect()).collect();
        prop_assert_eq!(only_cells(found), wanted);
    }

    #[test]
    fn any_text_is_cut_as_the_csv_crate_cuts_it(text in "[ab\",;\r\n é]{0,60}", piece in 1usize..20) {
        let (found, open) = ours(text.as_bytes(), b',', piece);
        let oracle = theirs(text.as_bytes(), b',');
        // A quote that is never closed is a record to the crate, and refused here.
        let oracle = if open { oracle[..oracle.len().min(found.len())].to_vec() } else { oracle };
        prop_assert_eq!(only_cells(found), only_cells(oracle));
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_lose_count(bytes in prop::collection::vec(any::<u8>(), 0..300), whole in any::<bool>()) {
        let sample = bytes.clone();
        if let Ok(dialect) = super::dialect::sniff(&sample, whole, Wanted::default()) {
            prop_assert!(dialect.start <= sample.len());
        }
        if let Ok(mut opened) = super::open(Box::new(std::io::Cursor::new(bytes)), "x.csv", Wanted::default()) {
            while let Ok(Some(page)) = opened.rows.next(3) {
                prop_assert!(page.rows() + page.refused.len() <= 3);
                prop_assert!(page.validate().is_ok());
            }
        }
    }
}

#[test]
fn a_line_end_is_counted_once_whatever_its_form() {
    assert_eq!(count_line_ends(b"a\r\nb\nc\rd\r\r\n\n"), 6);
    let (found, _) = ours(b"a\r\nb\n\n\rc\r\"x\r\ny\nz\"\rd", b',', 1);
    assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2, 5, 6, 9]);
}

#[test]
fn records_larger_than_the_buffer_are_read_whole() {
    let cell = "x".repeat(700_000);
    let text = format!("{cell},{cell},\"{cell}\"\n1,2,3\n");
    let (found, open) = ours(text.as_bytes(), b',', 60_000);
    assert!(!open);
    assert_eq!(found.len(), 2);
    assert!(found[0].1.iter().all(|found| found.len() == cell.len()));
}
