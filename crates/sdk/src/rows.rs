//! Makes a page of text columns out of records, one by one.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use headwater_model::page::{Page, Places};
use serde_json::Value;

use crate::{Error, ErrorKind, Result};

/// Records on their way into a [`Page`].
#[derive(Debug)]
pub struct TextRows {
    names: Vec<String>,
    columns: Vec<StringBuilder>,
    keys: StringBuilder,
    raw: StringBuilder,
    rows: usize,
}

impl TextRows {
    /// Rows of these fields.
    pub fn new(fields: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names: Vec<String> = fields.into_iter().map(Into::into).collect();
        let columns = names.iter().map(|_| StringBuilder::new()).collect();
        Self { names, columns, keys: StringBuilder::new(), raw: StringBuilder::new(), rows: 0 }
    }

    /// Adds a record: its key, the whole of it as JSON, and its fields in the order of the names.
    pub fn push(&mut self, key: &str, raw: &str, values: impl IntoIterator<Item = Option<String>>) {
        self.rows += 1;
        self.keys.append_value(key);
        self.raw.append_value(raw);
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.append_option(value);
        }
    }

    /// How many records were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether none was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The page; `request` says where the rows stood.
    ///
    /// # Errors
    /// `Internal` when a record had another number of fields than there are names.
    pub fn finish(mut self, request: impl Into<String>) -> Result<Page> {
        let wrong = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Internal, "a record has another number of fields than declared").source(error)
        };
        let fields: Vec<Field> = self.names.into_iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        let columns: Vec<ArrayRef> = self.columns.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| wrong(error.into()))?;
        let mut page = Page::new(batch, Places::Request(request.into())).map_err(|error| wrong(error.into()))?;
        let (keys, raw) = (self.keys.finish(), self.raw.finish());
        debug_assert_eq!(keys.len(), raw.len());
        page.keys = Some(keys);
        page.raw = Some(raw);
        page.validate().map_err(|error| wrong(error.into()))?;
        Ok(page)
    }
}

/// A JSON value as text: null is absent, text stays as it is, everything else is written as JSON.
#[must_use]
pub fn json_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_empty_stay_apart() {
        let mut rows = TextRows::new(["a", "b"]);
        rows.push("1", "{}", [None, Some(String::new())]);
        let page = rows.finish("list").unwrap();
        assert!(page.fields.column(0).is_null(0));
        assert!(page.fields.column(1).is_valid(0));
        assert_eq!((page.rows(), page.places.of(0)), (1, "list#1".to_owned()));
    }

    #[test]
    fn a_record_with_too_few_fields_is_our_bug() {
        let mut rows = TextRows::new(["a", "b"]);
        rows.push("1", "{}", [None]);
        assert_eq!(rows.finish("list").unwrap_err().kind(), ErrorKind::Internal);
    }
}
