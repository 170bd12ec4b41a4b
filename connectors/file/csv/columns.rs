//! Gathers rows into text columns, cell by cell, without a string per cell.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::SchemaRef;

use super::scan::{Span, unescape};

/// The cells of one column: bytes end to end, and where each cell ends.
#[derive(Debug)]
struct Column {
    offsets: Vec<i32>,
    values: Vec<u8>,
}

/// Columns that grow row by row.
#[derive(Debug)]
pub(super) struct Columns {
    columns: Vec<Column>,
    /// The line each row starts on.
    pub(super) lines: Vec<u64>,
}

/// A cell that is not text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotUtf8 {
    /// The line its row starts on.
    pub(super) line: u64,
}

impl Columns {
    /// Room for `rows` rows of `width` cells. Pages of one file are alike, so the sizes of the last page are a good guess.
    pub(super) fn new(width: usize, rows: usize, bytes: &[usize]) -> Self {
        let columns = (0..width)
            .map(|index| {
                let mut offsets = Vec::with_capacity(rows + 1);
                offsets.push(0);
                Column { offsets, values: Vec::with_capacity(bytes.get(index).map_or(0, |bytes| bytes + bytes / 8)) }
            })
            .collect();
        Self { columns, lines: Vec::with_capacity(rows) }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.lines.len()
    }

    /// How many bytes each column has.
    pub(super) fn sizes(&self) -> Vec<usize> {
        self.columns.iter().map(|column| column.values.len()).collect()
    }

    /// Adds a row that has at least one span per column.
    pub(super) fn push(&mut self, line: u64, record: &[u8], spans: &[Span]) {
        for (column, span) in self.columns.iter_mut().zip(spans) {
            let cell = record.get(span.start..span.end).unwrap_or_default();
            if span.escaped {
                unescape(cell, &mut column.values);
            } else {
                column.values.extend_from_slice(cell);
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a page ends after 8 MiB")]
            column.offsets.push(column.values.len() as i32);
        }
        self.lines.push(line);
    }

    /// The rows as a batch, and the line of each.
    pub(super) fn finish(self, schema: &SchemaRef) -> Result<(RecordBatch, Vec<u64>), NotUtf8> {
        let Self { columns, lines } = self;
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
        for Column { offsets, values } in columns {
            let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
            // One validation per column, not per cell; it also sees to it that no cell ends inside a character.
            let values = Buffer::from_vec(values);
            let array = StringArray::try_new(offsets.clone(), values.clone(), None);
            arrays.push(Arc::new(array.map_err(|_| first_bad(&offsets, &values, &lines))?));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(lines.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options).map_err(|_| NotUtf8 { line: 0 })?;
        debug_assert!(batch.columns().iter().all(|column| column.len() == lines.len()), "every row gave every column a cell");
        Ok((batch, lines))
    }
}

fn first_bad(offsets: &OffsetBuffer<i32>, values: &[u8], lines: &[u64]) -> NotUtf8 {
    let bad = offsets.lengths().scan(0, |start, length| {
        let cell = values.get(*start..*start + length).unwrap_or_default();
        *start += length;
        Some(std::str::from_utf8(cell).is_err())
    });
    let line = bad.zip(lines).find(|(bad, _)| *bad).map_or(0, |(_, line)| *line);
    NotUtf8 { line }
}
