//! The raw record as it arrived: JSON text, one object per row.

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray};
use std::sync::Arc;

use super::columns::{self, constant};
use super::{ConformError, Context, Kept, RowHash};
use crate::ids;
use crate::tables;

/// A batch's columns, ready to be written as JSON objects.
pub(super) struct Columns<'a> {
    /// `"name":` of each column, escaped once.
    names: Vec<String>,
    values: Vec<&'a StringArray>,
}

impl<'a> Columns<'a> {
    pub(super) fn new(batch: &'a RecordBatch) -> Self {
        let schema = batch.schema_ref();
        let names = schema.fields().iter().map(|field| {
            let mut name = String::new();
            push_json(&mut name, field.name());
            name.push(':');
            name
        });
        Self { names: names.collect(), values: columns::all(batch) }
    }

    /// The row as a JSON object. Absent cells are left out, empty ones are kept.
    pub(super) fn json(&self, row: usize) -> String {
        let mut out = String::with_capacity(256);
        self.push(&mut out, row);
        out
    }

    fn push(&self, out: &mut String, row: usize) {
        let mut separator = '{';
        for (name, values) in self.names.iter().zip(&self.values) {
            if values.is_valid(row) {
                out.push(separator);
                out.push_str(name);
                push_json(out, values.value(row));
                separator = ',';
            }
        }
        out.push_str(if separator == '{' { "{}" } else { "}" });
    }
}

/// Appends a JSON string (RFC 8259, 7).
fn push_json(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (head, tail) = rest.split_at(at);
        out.push_str(head);
        let mut characters = tail.chars();
        match characters.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(control) => {
                out.push_str("\\u");
                let nibble = |shift: u32| char::from_digit(u32::from(control) >> shift & 15, 16);
                out.extend([12, 8, 4, 0].into_iter().filter_map(nibble));
            }
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Ids of the kept rows, as columns.
pub(super) struct RowIds {
    pub(super) lead: StringArray,
    pub(super) record: StringArray,
}

impl RowIds {
    pub(super) fn of(kept: &Kept<'_>, prefix: &str) -> Self {
        let capacity = kept.len() * (prefix.len() + ids::BODY_LEN);
        let mut lead = StringBuilder::with_capacity(kept.len(), capacity);
        let mut record = StringBuilder::with_capacity(kept.len(), capacity);
        let mut text = String::new();
        let mut push = |out: &mut StringBuilder, prefix: &str, bits: u128| {
            text.clear();
            ids::push_id(&mut text, prefix, bits);
            out.append_value(&text);
        };
        for hash in kept.hashes {
            push(&mut lead, prefix, hash.identity);
            push(&mut record, "rec_", ids::record_bits(hash.identity, hash.content));
        }
        Self { lead: lead.finish(), record: record.finish() }
    }
}

/// The rows as `source_record`.
pub(super) fn batch(
    kept: &Kept<'_>,
    columns: &Columns<'_>,
    ids: &RowIds,
    context: &Context,
    now_us: i64,
) -> Result<RecordBatch, ConformError> {
    let rows = kept.len();
    let mut raw = StringBuilder::with_capacity(rows, rows * 384);
    let mut key = StringBuilder::with_capacity(rows, rows * 24);
    let mut place = StringBuilder::with_capacity(rows, rows * 24);
    let mut text = String::with_capacity(512);
    for row in 0..rows {
        text.clear();
        match kept.given(row) {
            Some(json) => raw.append_value(json),
            None => {
                columns.push(&mut text, row);
                raw.append_value(&text);
            }
        }
        key.append_value(kept.key(row).unwrap_or_default());
        place.append_value(kept.place(row));
    }
    let content = kept.hashes.iter().map(|hash| hash.content.cast_signed());
    let received = (0..rows).map(|row| kept.received_at(row, now_us));
    let ops = (0..rows).map(|row| Some(if kept.deleted(row) { "delete" } else { "upsert" }));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids.record.clone()),
        Arc::new(constant(rows, Some(&context.source))),
        Arc::new(constant(rows, Some(&context.stream))),
        Arc::new(key.finish()),
        Arc::new(Int64Array::from_iter_values(kept.hashes.iter().map(RowHash::identity_hash))),
        Arc::new(Int64Array::from_iter_values(content)),
        Arc::new(ops.collect::<StringArray>()),
        Arc::new(raw.finish()),
        Arc::new(constant(rows, Some("json"))),
        Arc::new(place.finish()),
        Arc::new(TimestampMicrosecondArray::from_iter_values(received).with_timezone("UTC")),
        Arc::new(constant(rows, kept.page.signature_status)),
        Arc::new(constant(rows, Some(&context.run_id))),
    ];
    Ok(RecordBatch::try_new(tables::SOURCE_RECORD.schema(), columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn json_text_is_read_back_as_it_was(text in "\\PC{0,12}[\\x00-\\x1f\"\\\\]{0,3}\\PC{0,12}") {
            let mut json = String::new();
            push_json(&mut json, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
