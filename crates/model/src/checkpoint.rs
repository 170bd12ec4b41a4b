//! A source's position, opaque to everyone but the source.

use serde::{Deserialize, Serialize};

/// Where a source stands. Positions are not comparable: vendors give opaque tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The version of `state`'s shape, set by the connector.
    pub version: u16,
    /// The position.
    pub state: serde_json::Value,
}

impl Checkpoint {
    /// A position of the given shape.
    #[must_use]
    pub fn new(version: u16, state: serde_json::Value) -> Self {
        Self { version, state }
    }
}
