//! One row of a batch, cell by cell: for views that read few rows and many columns.

use arrow::array::{Array, Date32Array, Float64Array, RecordBatch};
use hashbrown::HashSet;
use headwater_model::tables::Table;
use headwater_store::Snapshot;
use jiff::civil::Date;
use jiff::{Span, Timestamp};

use crate::error::{Error, Result};
use crate::rows::{amounts, at, at_instant, booleans, instants, integers, text};

/// One row of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl<'a> Row<'a> {
    /// The text of a cell, or nothing where it is null.
    pub(crate) fn text(self, column: &str) -> Result<Option<&'a str>> {
        Ok(at(text(self.batch, column)?, self.row))
    }

    /// The text of a cell of its own; empty where it is null, which a required column never is.
    pub(crate) fn word(self, column: &str) -> Result<String> {
        Ok(self.text(column)?.unwrap_or_default().to_owned())
    }

    /// The text of a cell of its own, or nothing where it is null.
    pub(crate) fn owned(self, column: &str) -> Result<Option<String>> {
        Ok(self.text(column)?.map(str::to_owned))
    }

    /// The microseconds of an instant.
    pub(crate) fn micros(self, column: &str) -> Result<Option<i64>> {
        Ok(at_instant(instants(self.batch, column)?, self.row))
    }

    /// An instant.
    pub(crate) fn instant(self, column: &str) -> Result<Option<Timestamp>> {
        Ok(self.micros(column)?.and_then(instant))
    }

    /// An amount in millionths.
    pub(crate) fn amount(self, column: &str) -> Result<Option<i128>> {
        let column = amounts(self.batch, column)?;
        Ok(column.is_valid(self.row).then(|| column.value(self.row)))
    }

    /// A whole number.
    pub(crate) fn integer(self, column: &str) -> Result<Option<i64>> {
        let column = integers(self.batch, column)?;
        Ok(column.is_valid(self.row).then(|| column.value(self.row)))
    }

    /// A float.
    pub(crate) fn float(self, column: &str) -> Result<Option<f64>> {
        let found = self.batch.column_by_name(column).and_then(|column| column.as_any().downcast_ref::<Float64Array>());
        let found = found.ok_or_else(|| Error::Internal(format!("the lake has no column `{column}` of floats")))?;
        Ok(found.is_valid(self.row).then(|| found.value(self.row)))
    }

    /// Whether a cell is true.
    pub(crate) fn flag(self, column: &str) -> Result<bool> {
        Ok(self.truth(column)?.unwrap_or_default())
    }

    /// Whether a cell is true, or nothing where it is null.
    pub(crate) fn truth(self, column: &str) -> Result<Option<bool>> {
        let column = booleans(self.batch, column)?;
        Ok(column.is_valid(self.row).then(|| column.value(self.row)))
    }

    /// A calendar day.
    pub(crate) fn day(self, column: &str) -> Result<Option<Date>> {
        let found = self.batch.column_by_name(column).and_then(|column| column.as_any().downcast_ref::<Date32Array>());
        let found = found.ok_or_else(|| Error::Internal(format!("the lake has no column `{column}` of days")))?;
        let days = |days: i32| Date::constant(1970, 1, 1).checked_add(Span::new().days(days)).ok();
        Ok(found.is_valid(self.row).then(|| found.value(self.row)).and_then(days))
    }
}

/// The rows of batches, in order.
pub(crate) fn each(batches: &[RecordBatch]) -> impl Iterator<Item = Row<'_>> {
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| Row { batch, row }))
}

/// The rows of a table whose `key` is one of those wanted. Of all others the key alone is read.
pub(crate) fn matching<S: AsRef<str>>(
    snapshot: &Snapshot,
    table: &'static Table,
    columns: &[&str],
    key: &str,
    wanted: &HashSet<S>,
) -> Result<Vec<RecordBatch>> {
    let wanted: HashSet<&str> = wanted.iter().map(AsRef::as_ref).collect();
    let rows = snapshot.find_rows(table, key, |key| wanted.contains(key))?;
    snapshot.read_rows(table, columns, &rows)?.map(|batch| Ok(batch?)).collect()
}

/// The instant of microseconds since 1970; nothing outside of the calendar.
pub(crate) fn instant(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
}
