//! An audience in windows, as a plan takes it.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use crate::error::Result;

/// Rows of the audience in windows of one size, so that a plan holds no more of a large audience than of a small one, and no call
/// to the remote is filled less than it could be.
pub(super) struct Windows {
    rows: usize,
    held: Vec<RecordBatch>,
    count: usize,
}

impl Windows {
    /// So many rows at once.
    pub(super) fn of(rows: usize) -> Self {
        Self { rows, held: Vec::new(), count: 0 }
    }

    /// Takes the next rows.
    pub(super) fn push(&mut self, batch: RecordBatch) {
        self.count += batch.num_rows();
        self.held.push(batch);
    }

    /// The next full window; of the last rows one that is not full.
    pub(super) fn next(&mut self, is_last: bool) -> Result<Option<RecordBatch>> {
        let rows = self.count.min(self.rows);
        if rows == 0 || rows < self.rows && !is_last {
            return Ok(None);
        }
        let Some(first) = self.held.first() else { return Ok(None) };
        let all = if self.held.len() == 1 { first.clone() } else { concat_batches(&first.schema(), &self.held)? };
        self.count -= rows;
        self.held = if self.count > 0 { vec![all.slice(rows, self.count)] } else { Vec::new() };
        Ok(Some(all.slice(0, rows)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};
    use proptest::prelude::*;

    use super::*;
    use crate::rows::text;

    fn batch(from: usize, rows: usize) -> RecordBatch {
        let ids: StringArray = (from..from + rows).map(|id| Some(id.to_string())).collect();
        RecordBatch::try_from_iter([("prospect_id", Arc::new(ids) as ArrayRef)]).unwrap()
    }

    proptest! {
        #[test]
        fn windows_are_full_but_the_last_and_hold_every_row_in_order(rows in 1_usize..9, sizes in prop::collection::vec(1_usize..20, 0..8)) {
            let mut windows = Windows::of(rows);
            let (mut from, mut seen, mut counts) = (0, Vec::new(), Vec::new());
            for last in 0..=sizes.len() {
                if let Some(size) = sizes.get(last) {
                    windows.push(batch(from, *size));
                    from += size;
                }
                while let Some(window) = windows.next(last == sizes.len()).unwrap() {
                    counts.push(window.num_rows());
                    seen.extend(text(&window, "prospect_id").unwrap().iter().flatten().map(str::to_owned));
                }
            }
            prop_assert_eq!(seen, (0..from).map(|id| id.to_string()).collect::<Vec<_>>());
            prop_assert!(counts.iter().rev().skip(1).all(|count| *count == rows), "{:?}", counts);
        }
    }
}
