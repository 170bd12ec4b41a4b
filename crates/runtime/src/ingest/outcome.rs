//! What became of the rows of a run.

use serde::Serialize;

use crate::error::{Error, Result};

/// How many rows ended where. Every row that was read is in exactly one of the other five.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Buckets {
    /// Rows that the source yielded, readable or not.
    pub read: u64,
    /// Rows that became part of the lake: new records and new versions of known ones.
    pub accepted: u64,
    /// Rows that say what the lake already has.
    pub unchanged: u64,
    /// Rows that repeat a row of the same run.
    pub merged: u64,
    /// Rows of people who must not be held.
    pub suppressed: u64,
    /// Rows refused, with a reason.
    pub quarantined: u64,
}

impl Buckets {
    /// Checks that every row is accounted for.
    ///
    /// # Errors
    /// When the sum is not what was read, which is a bug.
    pub fn check(&self, source: &str) -> Result<()> {
        let Self { read, accepted, unchanged, merged, suppressed, quarantined } = *self;
        let sum = accepted + unchanged + merged + suppressed + quarantined;
        if sum == read {
            return Ok(());
        }
        Err(Error::Internal(format!("{source}: {read} rows were read, but {sum} are accounted for")))
    }
}

impl std::ops::AddAssign for Buckets {
    fn add_assign(&mut self, other: Self) {
        let Self { read, accepted, unchanged, merged, suppressed, quarantined } = other;
        self.read += read;
        self.accepted += accepted;
        self.unchanged += unchanged;
        self.merged += merged;
        self.suppressed += suppressed;
        self.quarantined += quarantined;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_vanishes_is_noticed() {
        let whole = Buckets { read: 5, accepted: 1, unchanged: 1, merged: 1, suppressed: 1, quarantined: 1 };
        assert!(whole.check("s").is_ok());
        assert!(Buckets { read: 6, ..whole }.check("s").is_err());
    }
}
