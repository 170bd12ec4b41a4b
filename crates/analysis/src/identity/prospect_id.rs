//! The id of a prospect: 128 bits, written so that a person can read it aloud.

use std::fmt;
use std::str::FromStr;

use headwater_model::ids;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::Error;

const PREFIX: &str = "prs_";

/// The id of a prospect, `prs_` and 26 characters. Ids order as their texts do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProspectId(u128);

impl ProspectId {
    /// The id that a new prospect gets from its smallest lead id. A later `attempt` gives another one, for the rare lead that
    /// founded a prospect before and was parted from it.
    #[must_use]
    pub fn mint(lead_id: &str, attempt: u64) -> Self {
        Self(xxh3_128_with_seed(lead_id.as_bytes(), attempt))
    }
}

impl fmt::Display for ProspectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        f.write_str(std::str::from_utf8(&ids::encode(self.0)).unwrap_or_default())
    }
}

impl fmt::Debug for ProspectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ProspectId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        ids::bits(PREFIX, text).map(Self).ok_or(Error::ForeignProspectId)
    }
}
