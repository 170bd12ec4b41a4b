//! What the catalog says about a file's columns: counts, and for columns without a person's data the bounds.

use std::cmp::Ordering;

use headwater_model::tables::{Column, ColumnType};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

use crate::lake::text::{day_text, instant_text, money_text};

/// One column of one file, as the catalog stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnStats {
    pub(crate) size_bytes: i64,
    pub(crate) values: i64,
    pub(crate) nulls: i64,
    pub(crate) bounds: Option<(String, String)>,
    /// For floats: whether one is not a number. Such a value is outside of any bounds.
    pub(crate) has_nan: Option<bool>,
}

/// What was counted of a column while it was written; a footer without statistics does not say it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) rows: usize,
    pub(crate) nulls: usize,
    pub(crate) has_nan: bool,
}

pub(crate) fn of_column(column: &Column, leaf: usize, counted: Counted, footer: &ParquetMetaData) -> ColumnStats {
    let chunks = || footer.row_groups().iter().filter_map(|group| group.columns().get(leaf));
    let has_nan = (column.kind == ColumnType::Float).then_some(counted.has_nan);
    let known = !column.personal && has_nan != Some(true);
    ColumnStats {
        size_bytes: chunks().map(parquet::file::metadata::ColumnChunkMetaData::compressed_size).sum(),
        values: whole(counted.rows - counted.nulls),
        nulls: whole(counted.nulls),
        bounds: known.then(|| bounds(column.kind, chunks().map(|chunk| (chunk.num_values(), chunk.statistics())))).flatten(),
        has_nan,
    }
}

/// The wider of two bounds of a column; unknown as soon as one is.
pub(crate) fn widen(kind: ColumnType, one: &(String, String), other: &(String, String)) -> Option<(String, String)> {
    let pick = |a: &String, b: &String, wanted: Ordering| {
        let order = compare(kind, a, b)?;
        Some(if order == wanted { a.clone() } else { b.clone() })
    };
    Some((pick(&one.0, &other.0, Ordering::Less)?, pick(&one.1, &other.1, Ordering::Greater)?))
}

pub(crate) fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Bounds as the footer holds them.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Bound {
    Bool(bool),
    Whole(i64),
    Float(f64),
    Text(String),
}

fn bounds<'a>(kind: ColumnType, chunks: impl Iterator<Item = (i64, Option<&'a Statistics>)>) -> Option<(String, String)> {
    let mut found: Option<(Bound, Bound)> = None;
    for (values, statistics) in chunks {
        let statistics = statistics?;
        if statistics.null_count_opt().and_then(|nulls| i64::try_from(nulls).ok()) == Some(values) {
            continue;
        }
        let (low, high) = chunk_bounds(statistics)?;
        found = Some(match found {
            None => (low, high),
            Some((lowest, highest)) => (if low < lowest { low } else { lowest }, if high > highest { high } else { highest }),
        });
    }
    let (low, high) = found?;
    Some((text_of(kind, &low)?, text_of(kind, &high)?))
}

fn chunk_bounds(statistics: &Statistics) -> Option<(Bound, Bound)> {
    // Long texts are cut in the footer, and the upper cut is rounded up: such bounds are no values.
    if !statistics.min_is_exact() || !statistics.max_is_exact() {
        return None;
    }
    Some(match statistics {
        Statistics::Boolean(values) => (Bound::Bool(*values.min_opt()?), Bound::Bool(*values.max_opt()?)),
        Statistics::Int32(values) => (Bound::Whole((*values.min_opt()?).into()), Bound::Whole((*values.max_opt()?).into())),
        Statistics::Int64(values) => (Bound::Whole(*values.min_opt()?), Bound::Whole(*values.max_opt()?)),
        // DuckDB reads the constant of a filter as a decimal first, which may end a step beside the number it was.
        Statistics::Double(values) => {
            (Bound::Float(values.min_opt()?.next_down().next_down()), Bound::Float(values.max_opt()?.next_up().next_up()))
        }
        Statistics::ByteArray(values) => {
            let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(|text| Bound::Text(text.to_owned()));
            (text(values.min_opt()?.data())?, text(values.max_opt()?.data())?)
        }
        Statistics::Int96(_) | Statistics::Float(_) | Statistics::FixedLenByteArray(_) => {
            return None;
        }
    })
}

fn text_of(kind: ColumnType, bound: &Bound) -> Option<String> {
    match (kind, bound) {
        (ColumnType::Text, Bound::Text(text)) => Some(text.clone()),
        (ColumnType::Int, Bound::Whole(whole)) => Some(whole.to_string()),
        (ColumnType::Float, Bound::Float(float)) => Some(float.to_string()),
        (ColumnType::Bool, Bound::Bool(truth)) => Some(u8::from(*truth).to_string()),
        (ColumnType::Instant, Bound::Whole(microseconds)) => instant_text(*microseconds),
        (ColumnType::Day, Bound::Whole(days)) => i32::try_from(*days).ok().and_then(day_text),
        (ColumnType::Money, Bound::Whole(millionths)) => Some(money_text((*millionths).into())),
        _ => None,
    }
}

fn compare(kind: ColumnType, a: &str, b: &str) -> Option<Ordering> {
    match kind {
        // Instants and days have one fixed form, whose order as text is the order in time.
        ColumnType::Text | ColumnType::Bool | ColumnType::Instant | ColumnType::Day => Some(a.cmp(b)),
        ColumnType::Int => Some(a.parse::<i64>().ok()?.cmp(&b.parse().ok()?)),
        ColumnType::Float => a.parse::<f64>().ok()?.partial_cmp(&b.parse().ok()?),
        ColumnType::Money => {
            let millionths = |text: &str| text.replace('.', "").parse::<i128>().ok();
            Some(millionths(a)?.cmp(&millionths(b)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_widen(kind: ColumnType, one: (&str, &str), other: (&str, &str), expected: Option<(&str, &str)>) {
        let owned = |(low, high): (&str, &str)| (low.to_owned(), high.to_owned());
        assert_eq!(widen(kind, &owned(one), &owned(other)), expected.map(owned));
        assert_eq!(widen(kind, &owned(other), &owned(one)), expected.map(owned));
    }

    #[test]
    fn bounds_widen_by_value_not_by_text() {
        check_widen(ColumnType::Int, ("9", "9"), ("-10", "100"), Some(("-10", "100")));
        check_widen(ColumnType::Float, ("1.5", "9"), ("-2", "10"), Some(("-2", "10")));
        check_widen(ColumnType::Money, ("-9.000000", "9.500000"), ("-10.000000", "10.000000"), Some(("-10.000000", "10.000000")));
        check_widen(
            ColumnType::Instant,
            ("2026-01-02 03:04:05+00", "2026-01-02 03:04:05.5+00"),
            ("2026-01-02 03:04:05.1+00", "2026-01-02 03:04:05.67+00"),
            Some(("2026-01-02 03:04:05+00", "2026-01-02 03:04:05.67+00")),
        );
        check_widen(ColumnType::Int, ("1", "2"), ("x", "3"), None);
    }
}
