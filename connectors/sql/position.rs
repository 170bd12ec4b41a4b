//! Where a read stands.

use headwater_model::checkpoint::Checkpoint;
use headwater_sdk::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::cells::Cell;

/// The version of the shape below.
const VERSION: u16 = 1;

/// The content of a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    /// What was read; of something else everything is read anew.
    pub(super) reading: String,
    /// The newest value of the cursor's column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) newest: Option<String>,
    /// Without a cursor: the key of the last row given, when the read stopped before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Vec<Cell>>,
    /// What former versions kept with deletions by snapshot: the keys that the last whole read gave.
    #[serde(default, rename = "keys", skip_serializing)]
    pub(super) _keys: Vec<String>,
}

impl Position {
    /// The position in a checkpoint, or the beginning when it is of something else.
    pub(super) fn from(checkpoint: Option<Checkpoint>, reading: &str) -> Result<Self> {
        let fresh = Self { reading: reading.to_owned(), ..Self::default() };
        let Some(Checkpoint { version, state }) = checkpoint else { return Ok(fresh) };
        if version != VERSION {
            let what = format!("the position is of version {version}, this is version {VERSION}");
            return Err(Error::new(ErrorKind::Config, what).hint("use the version that made it, or reset the source's position"));
        }
        let known: Self = serde_json::from_value(state)
            .map_err(|error| Error::new(ErrorKind::Internal, "the position cannot be read").source(error))?;
        Ok(if known.reading == reading { known } else { fresh })
    }

    /// This position as a checkpoint.
    pub(super) fn checkpoint(&self) -> Result<Checkpoint> {
        let state = serde_json::to_value(self)
            .map_err(|error| Error::new(ErrorKind::Internal, "the position cannot be written").source(error))?;
        Ok(Checkpoint::new(VERSION, state))
    }
}
