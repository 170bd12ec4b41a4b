//! Reading our fields from a source's columns.

use arrow::array::{Array, RecordBatch, StringArray, StringBuilder};
use arrow::buffer::NullBuffer;

use crate::mapping::FieldRule;

/// The columns of a batch; every one is text.
pub(super) fn all(batch: &RecordBatch) -> Vec<&StringArray> {
    batch.columns().iter().filter_map(|column| column.as_any().downcast_ref()).collect()
}

/// One of our fields, as far as the source has it.
pub(super) struct Reader<'a> {
    from: Vec<&'a StringArray>,
    otherwise: Option<&'a str>,
    pub(super) format: Option<&'a str>,
    rows: usize,
}

impl<'a> Reader<'a> {
    /// The field made by `rule`. Without a rule, or with columns this batch does not have, it is always empty.
    pub(super) fn new(batch: &'a RecordBatch, rule: Option<&'a FieldRule>) -> Self {
        let from = rule
            .map(|rule| {
                rule.from
                    .iter()
                    .filter_map(|name| batch.column_by_name(name))
                    .filter_map(|column| column.as_any().downcast_ref())
                    .collect()
            })
            .unwrap_or_default();
        Self {
            from,
            otherwise: rule.and_then(|rule| rule.otherwise.as_deref()).map(str::trim).filter(|text| !text.is_empty()),
            format: rule.and_then(|rule| rule.format.as_deref()),
            rows: batch.num_rows(),
        }
    }

    /// Whether no row can have a value.
    pub(super) fn is_absent(&self) -> bool {
        self.from.is_empty() && self.otherwise.is_none()
    }

    /// The value of a row: trimmed, never empty.
    pub(super) fn get(&self, row: usize) -> Option<&'a str> {
        self.from
            .iter()
            .filter(|column| column.is_valid(row))
            .map(|column| column.value(row).trim())
            .find(|text| !text.is_empty())
            .or(self.otherwise)
    }

    /// The field as a column: trimmed, with null for empty. Shares the source's memory where nothing needs a change.
    pub(super) fn text(&self) -> StringArray {
        if let ([only], None) = (self.from.as_slice(), self.otherwise)
            && is_clean(only)
        {
            return (*only).clone();
        }
        if self.is_absent() {
            return nulls(self.rows);
        }
        let mut out = StringBuilder::with_capacity(self.rows, self.rows * 12);
        (0..self.rows).for_each(|row| out.append_option(self.get(row)));
        out.finish()
    }

    /// The field as a column of what `map` makes of each value; what it cannot make is null.
    pub(super) fn mapped<'b>(&self, map: impl Fn(&'a str) -> Option<&'b str>) -> StringArray {
        if self.is_absent() {
            return nulls(self.rows);
        }
        (0..self.rows).map(|row| self.get(row).and_then(&map)).collect()
    }
}

/// A column of nulls.
pub(super) fn nulls(rows: usize) -> StringArray {
    StringArray::new_null(rows)
}

/// A column that says the same in every row.
pub(super) fn constant(rows: usize, value: Option<&str>) -> StringArray {
    match value {
        Some(value) => StringArray::new_repeated(value, rows),
        None => nulls(rows),
    }
}

/// Whether no cell is empty or has space around it.
fn is_clean(column: &StringArray) -> bool {
    let nulls: Option<&NullBuffer> = column.nulls();
    let offsets = column.value_offsets();
    let bytes = column.value_data();
    offsets.windows(2).enumerate().all(|(row, span)| {
        let &[start, end] = span else { return false };
        let cell = usize::try_from(start).ok().zip(usize::try_from(end).ok()).and_then(|(start, end)| bytes.get(start..end));
        match cell {
            Some([]) => nulls.is_some_and(|nulls| nulls.is_null(row)),
            Some([only]) => visible(*only),
            Some([first, .., last]) => visible(*first) && visible(*last),
            None => false,
        }
    })
}

/// Whether a byte is certain not to belong to white space. Bytes of other scripts are doubtful: some spaces are among them.
fn visible(byte: u8) -> bool {
    byte.is_ascii_graphic()
}
