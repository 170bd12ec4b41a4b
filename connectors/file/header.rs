//! Column names: which row they are, and how they become unique.

use std::collections::HashSet;

/// The most columns a file may have; more is not a table of people.
pub(super) const MAX_COLUMNS: usize = 4096;

/// A row that may be the one with the column names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Where it starts in a text, in bytes.
    pub(super) start: usize,
    /// The line it starts on, counted from one.
    pub(super) line: u64,
    /// Its cells, trimmed.
    pub(super) cells: Vec<String>,
}

/// The number of fields that most rows have; among equals the one that comes first, but a lone field only if there is nothing else.
pub(super) fn usual_width(widths: impl Iterator<Item = usize>) -> usize {
    let mut counts: Vec<(usize, usize)> = Vec::new();
    for width in widths {
        match counts.iter_mut().find(|(known, _)| *known == width) {
            Some((_, count)) => *count += 1,
            None => counts.push((width, 1)),
        }
    }
    let mut best = (0, 0);
    for (width, count) in counts {
        if count > best.1 || (count == best.1 && best.0 == 1) {
            best = (width, count);
        }
    }
    best.0
}

/// Which of the first rows holds the column names: the first that is as wide as most rows and has several different texts.
///
/// Only what looks like a preamble is passed over (a title, an export date): a row of nearly the usual width stays the header
/// even if the rows are wider, because a wrong header is worse than refused rows.
pub(super) fn find(rows: &[Candidate]) -> Option<&Candidate> {
    let width = usual_width(rows.iter().map(|row| row.cells.len()));
    let mut filled = rows.iter().filter(|row| row.cells.iter().any(|cell| !cell.is_empty()));
    let first = filled.clone().next();
    filled.find(|row| !is_preamble(&row.cells, width)).or(first)
}

fn is_preamble(cells: &[String], width: usize) -> bool {
    let filled: Vec<&String> = cells.iter().filter(|cell| !cell.is_empty()).collect();
    let different = filled.iter().collect::<HashSet<_>>().len();
    width > 1 && (filled.len() < 2 || cells.len() * 2 < width || different * 2 < filled.len())
}

/// Whether the cells are a record rather than column names: an address of a person is never a column's name.
pub(super) fn looks_like_data(cells: &[String]) -> bool {
    cells.iter().any(|cell| {
        cell.split_once('@').is_some_and(|(user, host)| {
            let host_ends = host.rsplit_once('.').is_some_and(|(name, top)| !name.is_empty() && top.len() >= 2);
            !user.is_empty() && host_ends && !cell.contains(char::is_whitespace)
        })
    })
}

/// The names as they are used from here on: trimmed, on one line, none empty, none twice.
pub(super) fn names(cells: &[String]) -> Vec<String> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut names = Vec::with_capacity(cells.len());
    let plain: Vec<String> = cells
        .iter()
        .enumerate()
        .map(|(index, cell)| {
            let name = cell.trim_matches('\u{feff}').split_whitespace().collect::<Vec<_>>().join(" ");
            if name.is_empty() { format!("Column {}", index + 1) } else { name }
        })
        .collect();
    let all: HashSet<&String> = plain.iter().collect();
    for name in &plain {
        let mut unique = name.clone();
        let mut number = 2;
        while taken.contains(&unique) || (number > 2 && all.contains(&unique)) {
            unique = format!("{name} ({number})");
            number += 1;
        }
        taken.insert(unique.clone());
        names.push(unique);
    }
    names
}
