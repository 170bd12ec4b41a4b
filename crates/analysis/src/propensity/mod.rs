//! How likely each prospect is to convert within a horizon, with reasons, and how far to trust that.
//!
//! [`features`] turns what happened to people into cases, each as it stood on a past day, with what followed as its outcome.
//! [`train`] learns from them: a ridge regression by default, shallow trees where they are clearly better on people they have not
//! seen, both calibrated on such people. [`Model::score`] gives a probability and its [`Reason`]s; [`report`] says what the
//! scores of people left out were worth.
//!
//! Invariants: a case holds nothing that was known only after its day; a person is never on both sides of a split; the same cases,
//! in whatever order, and the same seed give the same model; too few cases give none, and say why.

mod boost;
pub mod features;
mod linear;
mod model;
pub mod report;
#[cfg(test)]
mod tests;
mod train;

use thiserror::Error;

pub use model::{Model, Reason, Score};
pub use train::{Settings, Trained, train};

/// The version of the method. It stands in the version of every model.
pub const METHOD: &str = "propensity-1";

/// Fewer cases that converted, or that did not, than this teach nothing that holds for others.
pub const MIN_OF_EACH: usize = 30;

/// Why no model was made.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Too few of one outcome.
    #[error(
        "too few to learn from: {converted} converted and {others} did not within the horizon; {MIN_OF_EACH} of each are needed"
    )]
    TooFew {
        /// Cases that converted.
        converted: usize,
        /// Cases that did not.
        others: usize,
    },
    /// Nothing is known of the cases that could tell them apart.
    #[error("no feature differs between cases, so that nothing tells them apart")]
    NoFeatures,
    /// The fit failed.
    #[error("the model could not be fitted: {0}")]
    Fit(#[from] crate::logistic::Error),
}

/// One person as known on one day.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Whose case: one person may have several, on different days.
    pub person: String,
    /// The source that brought the person.
    pub source: String,
    /// The features, in the order of [`Cases::names`].
    pub features: Vec<f64>,
    /// Whether the person converted within the horizon.
    pub converted: bool,
}

/// Cases to learn from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cases {
    /// What each feature is called, as a person reads it in a reason.
    pub names: Vec<String>,
    /// The cases.
    pub rows: Vec<Case>,
}

/// A number that looks random and depends on its text and seed alone.
fn draw(text: &str, seed: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(text.as_bytes(), seed)
}
