//! What is put right in the rows of a vendor's file, as its preset says.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{filter, filter_record_batch};
use headwater_model::page::{Page, Places, Refused};
use headwater_sdk::{Error, ErrorKind, Result};

use super::super::rows::refused;
use super::vendors::Mend;

/// What to put right, by the file's own column names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Mender(Vec<(String, Mend)>);

impl Mender {
    /// What of `mends` concerns a file in which `column` finds columns.
    pub(super) fn new(mends: &[Mend], column: impl Fn(&str) -> Option<String>) -> Self {
        let named = mends.iter().filter_map(|mend| {
            let (Mend::Pad(name, _) | Mend::Only(name, _, _)) = mend;
            Some((column(name)?, *mend))
        });
        Self(named.collect())
    }

    /// The page put right. Rows that it refuses leave the fields and stand among the refused ones.
    pub(in super::super) fn mend(&self, mut page: Page) -> Result<Page> {
        for (column, mend) in &self.0 {
            page = match mend {
                Mend::Pad(_, width) => pad(page, column, *width)?,
                Mend::Only(_, wanted, why) => only(page, column, wanted, why)?,
            };
        }
        Ok(page)
    }
}

fn text<'a>(page: &'a Page, column: &str) -> Option<&'a StringArray> {
    page.fields.column_by_name(column)?.as_any().downcast_ref()
}

fn bug(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, error.to_string())
}

fn pad(mut page: Page, column: &str, width: usize) -> Result<Page> {
    let (Some(cells), Ok(place)) = (text(&page, column), page.fields.schema().index_of(column)) else { return Ok(page) };
    let digits = |cell: &str| !cell.is_empty() && cell.len() < width && cell.bytes().all(|byte| byte.is_ascii_digit());
    if !cells.iter().flatten().any(digits) {
        return Ok(page);
    }
    let padded: StringArray = cells
        .iter()
        .map(|cell| cell.map(|cell| if digits(cell) { format!("{cell:0>width$}") } else { cell.to_owned() }))
        .collect();
    let mut columns = page.fields.columns().to_vec();
    if let Some(slot) = columns.get_mut(place) {
        *slot = Arc::new(padded) as ArrayRef;
    }
    page.fields = RecordBatch::try_new(page.fields.schema(), columns).map_err(bug)?;
    Ok(page)
}

fn only(mut page: Page, column: &str, wanted: &str, why: &str) -> Result<Page> {
    let Some(cells) = text(&page, column) else { return Ok(page) };
    let fits = |cell: Option<&str>| cell.is_none_or(|cell| matches!(cell.trim(), "") || cell.trim() == wanted);
    let keep: BooleanArray = cells.iter().map(|cell| Some(fits(cell))).collect();
    if keep.true_count() == keep.len() {
        return Ok(page);
    }
    let gone: Vec<Refused> = (0..keep.len())
        .filter(|row| !keep.value(*row))
        .map(|row| {
            let place = page.places.of(row);
            // What the row says of a person who objects is not kept, not even in quarantine.
            Refused { field: Some(column.to_owned()), place, ..refused("", 0, "not_for_prospecting", why.to_owned(), b"") }
        })
        .collect();
    page.fields = filter_record_batch(&page.fields, &keep).map_err(bug)?;
    if let Some(raw) = &page.raw {
        let kept = filter(raw, &keep).map_err(bug)?;
        page.raw = kept.as_any().downcast_ref().cloned();
    }
    if let Places::Lines { lines, .. } = &mut page.places {
        let mut row = 0;
        lines.retain(|_| {
            row += 1;
            keep.value(row - 1)
        });
    }
    page.refused.extend(gone);
    Ok(page)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use proptest::prelude::*;

    use super::*;

    fn page(column: &str, cells: Vec<Option<String>>) -> Page {
        let lines = (2..).take(cells.len()).collect();
        let schema = Arc::new(Schema::new(vec![Field::new(column, DataType::Utf8, true)]));
        let fields = RecordBatch::try_new(schema, vec![Arc::new(StringArray::from(cells))]).unwrap();
        Page::new(fields, Places::Lines { file: "a.csv".to_owned(), lines }).unwrap()
    }

    fn mender(mend: Mend) -> Mender {
        Mender(vec![("c".to_owned(), mend)])
    }

    #[test]
    fn leading_zeros_come_back_and_letters_stay() {
        let cells = ["6", "00000006", "SC123", "", "123456789"].map(|cell| Some(cell.to_owned()));
        let mended = mender(Mend::Pad("c", 8)).mend(page("c", cells.into_iter().chain([None]).collect())).unwrap();
        let cells: Vec<_> = text(&mended, "c").unwrap().iter().collect();
        assert_eq!(cells, [Some("00000006"), Some("00000006"), Some("SC123"), Some(""), Some("123456789"), None]);
    }

    proptest! {
        #[test]
        fn every_row_is_kept_or_refused_at_its_place(cells in prop::collection::vec(prop::option::of("[OP]?"), 0..30)) {
            let wanted: Vec<u64> = (2..).zip(&cells).filter(|(_, cell)| cell.as_deref() != Some("P")).map(|(line, _)| line).collect();
            let mended = mender(Mend::Only("c", "O", "why")).mend(page("c", cells.clone())).unwrap();
            mended.validate().unwrap();
            let Places::Lines { lines, .. } = &mended.places else { unreachable!() };
            prop_assert_eq!(lines, &wanted);
            prop_assert_eq!(mended.rows() + mended.refused.len(), cells.len());
            prop_assert!(mended.refused.iter().all(|row| row.raw.is_empty() && row.place.starts_with("a.csv:")));
        }
    }
}
