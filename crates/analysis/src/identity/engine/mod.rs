//! The probabilistic engine: which records are one person, by all they say, without labels.
//!
//! Normalise every distinct value once ([`Roster`]), find pairs that share a key (`block`), say what each pair agrees on
//! (`compare`), learn what that means (`train`), and group (`group`). Pure, and the same for any order of the records and any
//! number of threads: every choice is made by values and hashed ids, every sum in an order that they decide.

mod block;
mod bytes;
mod compare;
mod edit;
mod explain;
mod form;
mod group;
mod index;
mod lists;
mod measure;
mod model;
mod near;
mod pool;
mod rates;
mod roster;
mod run;
mod sheet;
mod shelf;
#[cfg(test)]
mod tests;
mod train;
mod weights;

pub use block::{Block, Rule as BlockRule};
pub use explain::{Explainer, Explanation, Spoke, Weight};
pub use index::Index;
pub use measure::{Quality, Score, quality};
pub use model::{Model, NotAModel};
pub use roster::{Attribute, Roster};
pub use run::{
    Decisions, Doubt, Gates, MOST_DOUBTS, Options, Resolution, Wild, blocking_recall, resolve_by, resolve_roster, resolve_taught,
};
pub use sheet::{Columns, Misfit, Sheet, Truth, Wanted};

/// Why records could not be taken in. Messages never hold a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A record has no id.
    #[error("record {record} has no id; every record needs one of its own")]
    NoId {
        /// Its number in the input, from 1.
        record: usize,
    },
    /// Two records have one id.
    #[error("record {record} repeats the id of an earlier one; give every record an id of its own")]
    RepeatedId {
        /// The number of the later one in the input, from 1.
        record: usize,
    },
    /// There are more records than one run can number.
    #[error("more records than one run can number (2147483647); resolve them in parts")]
    TooManyRecords,
    /// Decisions speak of records that are not there.
    #[error("a decision names a record that is not there; drop decisions about deleted records")]
    ForeignRecord,
    /// Records that were said to be one person were also said to be two.
    #[error("{pairs} pairs of records are decided to be one person and two persons at once; take one of the decisions back")]
    Contradiction {
        /// How many pairs.
        pairs: usize,
    },
}
