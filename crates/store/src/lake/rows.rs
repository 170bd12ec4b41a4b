//! Places of rows in data files: which are named, which are left, and how a reader takes them alone.

use std::collections::HashMap;
use std::ops::Range;

use headwater_model::tables::Table;
use parquet::arrow::arrow_reader::RowSelection;

use crate::lake::snapshot::DataFile;
use crate::{Result, StoreError};

/// Rows of one data file, by their place in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileRows {
    /// The file's id in the catalog, as [`DataFile::id`].
    pub file: i64,
    /// The rows, counted from zero. Strictly ascending.
    pub rows: Vec<u64>,
}

/// The files that the rows are in, in the order of the table, each with its rows.
pub(crate) fn in_files(
    table: &'static Table,
    files: &[DataFile],
    rows: impl IntoIterator<Item = FileRows>,
) -> Result<Vec<(DataFile, Vec<u64>)>> {
    let misfit = |why: String| StoreError::Misfit { table: table.name, why };
    let mut named: HashMap<i64, Vec<u64>> = HashMap::new();
    for FileRows { file, rows } in rows {
        if !rows.is_sorted_by(|one, next| one < next) {
            return Err(misfit(format!("the rows of file {file} are not ascending")));
        }
        let known = named.entry(file).or_default();
        *known = if known.is_empty() { rows } else { union(std::mem::take(known), rows) };
    }
    let mut found = Vec::with_capacity(named.len());
    for file in files {
        let Some(rows) = named.remove(&file.id) else { continue };
        if let Some(last) = rows.last().filter(|last| i64::try_from(**last).map_or(true, |last| last >= file.rows)) {
            return Err(misfit(format!("row {last} is none of the {} of file {}", file.rows, file.id)));
        }
        found.push((file.clone(), rows));
    }
    match named.keys().next() {
        Some(file) => Err(StoreError::not_found(format!("file {file} of table `{}` in this snapshot", table.name))),
        None => Ok(found),
    }
}

/// The rows that are in either list, both ascending.
pub(crate) fn union(mut one: Vec<u64>, mut other: Vec<u64>) -> Vec<u64> {
    one.append(&mut other);
    // Two ascending runs are merged, not sorted.
    one.sort();
    one.dedup();
    one
}

/// The rows of one list that are not in the other, both ascending.
pub(crate) fn minus(mut rows: Vec<u64>, other: &[u64]) -> Vec<u64> {
    let mut other = other.iter().peekable();
    rows.retain(|row| {
        while other.next_if(|out| *out < row).is_some() {}
        other.peek() != Some(&row)
    });
    rows
}

/// What is left of a file's rows without some of them.
pub(crate) fn left(of: usize, without: &[u64]) -> impl Iterator<Item = Range<usize>> {
    let ends = without.iter().map(|row| place(*row)).chain([of]);
    let starts = [0].into_iter().chain(without.iter().map(|row| place(*row) + 1));
    starts.zip(ends).filter(|(start, end)| start < end).map(|(start, end)| start..end)
}

/// Rows one by one.
pub(crate) fn each(rows: &[u64]) -> impl Iterator<Item = Range<usize>> {
    rows.iter().map(|row| place(*row)..place(*row) + 1)
}

/// The row groups that rows are in, of a file whose groups have so many rows each, and what to read of these groups.
pub(crate) fn pick(
    groups: impl IntoIterator<Item = usize>,
    rows: impl Iterator<Item = Range<usize>>,
) -> (Vec<usize>, RowSelection) {
    let (mut picked, mut wanted) = (Vec::new(), Vec::new());
    let mut rows = rows.peekable();
    // Where the group begins in the file, and where it begins among the groups that are read.
    let (mut begin, mut offset) = (0, 0);
    for (group, length) in groups.into_iter().enumerate() {
        let end = begin + length;
        let before = wanted.len();
        while let Some(range) = rows.peek().filter(|range| range.start < end).cloned() {
            wanted.push(range.start.max(begin) - begin + offset..range.end.min(end) - begin + offset);
            if range.end > end {
                break;
            }
            rows.next();
        }
        if wanted.len() > before {
            picked.push(group);
            offset += length;
        }
        begin = end;
    }
    (picked, RowSelection::from_consecutive_ranges(wanted.into_iter(), offset))
}

/// A place as the reader counts; what is past every file stays so.
fn place(row: u64) -> usize {
    usize::try_from(row).unwrap_or(usize::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_of(selection: RowSelection) -> Vec<usize> {
        let (mut at, mut rows) = (0, Vec::new());
        for part in Vec::from(selection) {
            if !part.skip {
                rows.extend(at..at + part.row_count);
            }
            at += part.row_count;
        }
        rows
    }

    #[test]
    fn groups_without_a_wanted_row_are_not_read() {
        let (groups, selection) = pick([10, 10, 10], each(&[3, 9, 21]));
        assert_eq!((groups, rows_of(selection)), (vec![0, 2], vec![3, 9, 11]));
        let (groups, selection) = pick([10, 10, 10], left(30, &[0, 15]));
        assert_eq!(groups, [0, 1, 2]);
        assert_eq!(rows_of(selection), (1..15).chain(16..30).collect::<Vec<_>>());
        let (groups, selection) = pick([2, 2], left(4, &[2, 3]));
        assert_eq!((groups, rows_of(selection)), (vec![0], vec![0, 1]));
        let (groups, selection) = pick([2], each(&[]));
        assert_eq!((groups, rows_of(selection)), (vec![], vec![]));
    }

    #[test]
    fn sets_of_rows_are_joined_and_taken_apart() {
        assert_eq!(union(vec![1, 5], vec![0, 5, 7]), [0, 1, 5, 7]);
        assert_eq!(minus(vec![0, 1, 5, 7], &[1, 6, 7]), [0, 5]);
        assert_eq!(minus(vec![1], &[]), [1]);
        assert_eq!(left(3, &[0, 1, 2]).count(), 0);
    }
}
