//! Channel names as numbers.

use hashbrown::HashMap;

use super::{ChannelId, Error};

/// The channel that stands for "nobody knows where from".
pub(super) const DIRECT: &str = "direct";

/// Every channel met so far, in the order of the first meeting.
#[derive(Debug, Clone, Default)]
pub(super) struct Channels {
    ids: HashMap<String, ChannelId>,
    names: Vec<String>,
}

impl Channels {
    pub(super) fn intern(&mut self, name: &str) -> Result<ChannelId, Error> {
        if let Some(id) = self.ids.get(name) {
            return Ok(*id);
        }
        let id = ChannelId(u32::try_from(self.names.len()).map_err(|_| Error::TooMany { what: "channels" })?);
        self.ids.insert(name.to_owned(), id);
        self.names.push(name.to_owned());
        Ok(id)
    }

    pub(super) fn direct(&self) -> Option<ChannelId> {
        self.ids.get(DIRECT).copied()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// For each channel its place among the names in order: what does not depend on who was met first.
    pub(super) fn ranks(&self) -> Vec<u32> {
        let mut sorted: Vec<(u32, &str)> = (0..).zip(self.names()).collect();
        sorted.sort_unstable_by_key(|(_, name)| *name);
        let mut ranks = vec![0; self.names.len()];
        for (rank, (id, _)) in (0..).zip(sorted) {
            if let Some(place) = ranks.get_mut(id as usize) {
                *place = rank;
            }
        }
        ranks
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}
