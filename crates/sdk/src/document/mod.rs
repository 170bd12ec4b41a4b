//! YAML that a person wrote: where each key stands, and the parsers' complaints in words for that person.

mod positions;
mod wording;

pub use positions::{Position, Positions};
pub use wording::{Said, of_key, of_yaml, plain};

/// The known word nearest to a mistyped one, if any is near.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}
