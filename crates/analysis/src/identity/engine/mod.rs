//! The probabilistic engine: which records are one person, by all they say, without labels.
//!
//! Normalise every distinct value once ([`Roster`]), find pairs that share a key (`block`), say what each pair agrees on
//! (`compare`), learn what that means (`train`), and group (`group`). Pure, and the same for any order of the records and any
//! number of threads: every choice is made by values and hashed ids, every sum in an order that they decide.

mod block;
mod compare;
mod edit;
mod form;
mod group;
mod lists;
mod measure;
mod pool;
mod rates;
mod roster;
mod run;
mod train;
mod weights;

pub use block::{Block, Rule as BlockRule};
pub use measure::{Quality, Score, quality};
pub use roster::{Attribute, Roster};
pub use run::{Options, Resolution, resolve_roster};

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
}
