//! Channel names as numbers.

use hashbrown::HashMap;

use super::{ChannelId, Error};

/// The channel that stands for "nobody knows where from".
pub(super) const DIRECT: &str = "direct";

/// Every channel met so far, in the order of the first meeting.
#[derive(Debug, Default)]
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

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}
