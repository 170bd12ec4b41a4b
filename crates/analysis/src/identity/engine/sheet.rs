//! A table of records, row by row: which of its columns say what, the roster that its rows make, and the truth where it is known.
//!
//! Whatever is not an attribute by name, or said to be one, is never evidence; neither are the id and the truth.

use hashbrown::HashMap;

use super::Problem;
use super::measure::{Quality, quality};
use super::roster::{Attribute, Roster};
use super::run::blocking_recall;

/// What the owner of a table says of its columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The column of the id; `id` when left out.
    pub id: Option<String>,
    /// The column that tells who a record truly is.
    pub truth: Option<String>,
    /// Attributes that stand in columns of other names.
    pub map: Vec<(Attribute, String)>,
}

/// Which columns of a table say what, by their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The id.
    pub id: usize,
    /// Who a record truly is.
    pub truth: Option<usize>,
    /// What speaks for or against two records being one person.
    pub evidence: Vec<(usize, Attribute)>,
    /// What is passed over.
    pub ignored: Vec<usize>,
}

/// Why columns cannot be told apart. Columns are named as they were asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// A column is not there.
    #[error("has no column `{0}`")]
    Missing(String),
    /// Two columns have one name.
    #[error("has two columns `{0}`; rename one of them")]
    Twice(String),
    /// One column would be the id and the truth.
    #[error("`{0}` cannot be both the id and the truth")]
    IdIsTruth(String),
    /// No column says anything of a person.
    #[error("has no column that tells people apart, such as `email` or `last_name`; map the columns that do")]
    Mute,
}

impl Columns {
    /// Finds out what the columns of these names say. Names are compared without case, and with `_` for blanks and hyphens.
    ///
    /// # Errors
    /// A column is missing or stands twice, or none of them is evidence.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>, wanted: &Wanted) -> Result<Self, Misfit> {
        let names: Vec<String> = names.into_iter().map(plain).collect();
        let find = |name: &str| {
            let plain = plain(name);
            let mut found = names.iter().enumerate().filter(|(_, known)| **known == plain).map(|(at, _)| at);
            match (found.next(), found.next()) {
                (None, _) => Err(Misfit::Missing(name.to_owned())),
                (Some(at), None) => Ok(at),
                (Some(_), Some(_)) => Err(Misfit::Twice(name.to_owned())),
            }
        };
        let id = find(wanted.id.as_deref().unwrap_or("id"))?;
        let truth = wanted.truth.as_deref().map(find).transpose()?;
        if let Some(name) = wanted.truth.as_ref().filter(|_| truth == Some(id)) {
            return Err(Misfit::IdIsTruth(name.clone()));
        }
        let is_free = |at: usize| at != id && Some(at) != truth;
        let mut evidence: Vec<(usize, Attribute)> = Vec::new();
        for (attribute, column) in &wanted.map {
            let at = find(column)?;
            if is_free(at) {
                evidence.push((at, *attribute));
            }
        }
        let mut ignored = Vec::new();
        for (at, name) in names.iter().enumerate().filter(|(at, _)| is_free(*at)) {
            let is_mapped = wanted.map.iter().any(|(_, column)| plain(column) == *name);
            match Attribute::named(name) {
                _ if is_mapped => {}
                Some(attribute) if !wanted.map.iter().any(|(mapped, _)| *mapped == attribute) => {
                    evidence.push((find(name)?, attribute));
                }
                _ => ignored.push(at),
            }
        }
        if evidence.is_empty() {
            return Err(Misfit::Mute);
        }
        evidence.sort_unstable_by_key(|(at, _)| *at);
        Ok(Self { id, truth, evidence, ignored })
    }
}

/// A column's name as it is compared.
fn plain(name: &str) -> String {
    name.trim().chars().map(|letter| if matches!(letter, ' ' | '-') { '_' } else { letter }).collect::<String>().to_lowercase()
}

/// Takes the rows of a table in, one at a time.
#[derive(Debug)]
pub struct Sheet {
    columns: Columns,
    roster: Roster,
    truths: HashMap<String, u32>,
    truth: Vec<Option<u32>>,
    silent: usize,
}

impl Sheet {
    /// Of a table with these columns.
    #[must_use]
    pub fn new(columns: Columns) -> Self {
        let attributes: Vec<Attribute> = columns.evidence.iter().map(|(_, attribute)| *attribute).collect();
        let roster = Roster::new(&attributes);
        Self { columns, roster, truths: HashMap::new(), truth: Vec::new(), silent: 0 }
    }

    /// Takes a row in; `cell` gives the text of the column at a place.
    ///
    /// # Errors
    /// As [`Roster::push`]. A blank id is none.
    pub fn push<'a>(&mut self, cell: impl Fn(usize) -> &'a str) -> Result<(), Problem> {
        let id = cell(self.columns.id);
        let id = if id.trim().is_empty() { "" } else { id };
        self.roster.push(id, self.columns.evidence.iter().map(|(at, _)| cell(*at)))?;
        if self.columns.evidence.iter().all(|(at, _)| cell(*at).trim().is_empty()) {
            self.silent += 1;
        }
        if let Some(at) = self.columns.truth {
            let person = self.person(cell(at));
            self.truth.push(person);
        }
        Ok(())
    }

    /// The number of a true person; nothing where it is not told.
    fn person(&mut self, name: &str) -> Option<u32> {
        if name.trim().is_empty() {
            return None;
        }
        if let Some(known) = self.truths.get(name) {
            return Some(*known);
        }
        let next = u32::try_from(self.truths.len()).ok()?;
        self.truths.insert(name.to_owned(), next);
        Some(next)
    }

    /// How many rows were taken in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.roster.len()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roster.is_empty()
    }

    /// How many rows say nothing but their id.
    #[must_use]
    pub fn silent(&self) -> usize {
        self.silent
    }

    /// The records, and the truth where there is a column of it.
    #[must_use]
    pub fn finish(self) -> (Roster, Option<Truth>) {
        let Self { columns, roster, truth, .. } = self;
        (roster, columns.truth.map(|_| Truth { person: truth }))
    }
}

/// Who the records of a roster truly are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// For each record the number of its person, where it is known.
    person: Vec<Option<u32>>,
}

impl Truth {
    /// How many records have a known person.
    #[must_use]
    pub fn known(&self) -> usize {
        self.person.iter().flatten().count()
    }

    /// The number of a record's person, where it is known.
    #[must_use]
    pub fn of(&self, row: u32) -> Option<u32> {
        self.person.get(row as usize).copied().flatten()
    }

    /// How right a partition is; records without a known person are left out.
    #[must_use]
    pub fn quality(&self, found: &[u32]) -> Quality {
        let (found, truth): (Vec<u32>, Vec<u32>) =
            found.iter().zip(&self.person).filter_map(|(found, person)| Some((*found, (*person)?))).unzip();
        quality(&found, &truth)
    }

    /// The share of the true pairs that are compared at all.
    #[must_use]
    pub fn blocking_recall(&self, roster: &Roster) -> f64 {
        // A record without a known person is a person of its own, numbered from the other end.
        let alone = (0..u32::MAX).rev();
        let truth: Vec<u32> = self.person.iter().zip(alone).map(|(person, alone)| person.unwrap_or(alone)).collect();
        blocking_recall(roster, &truth)
    }
}
