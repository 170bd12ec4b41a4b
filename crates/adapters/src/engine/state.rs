//! Where a stream stands, before a front end's codec writes it down.

use super::expr::Slice;
use super::value::{Map, Value};

/// Where a stream stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamState {
    /// What was read of each partition; a stream without partitions has one with an empty name.
    pub partitions: Vec<PartitionState>,
    /// The position that all partitions share.
    pub global: Option<i64>,
    /// For a shared position: how long the last read took, in seconds; the next one looks back by as much.
    pub lookback_secs: Option<i64>,
    /// The state of each parent stream, written by its own codec.
    pub parents: Vec<(String, Value)>,
    /// Slices that were begun: resumed before anything else.
    pub open: Vec<OpenSlice>,
    /// Whether everything there was has been read.
    pub complete: bool,
    /// Whether the read that is under way began at the beginning and left nothing out.
    pub full: bool,
}

/// What was read of a partition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PartitionState {
    /// Its identity.
    pub partition: Map,
    /// Intervals that were read, in order and joined.
    pub done: Vec<(i64, i64)>,
    /// The furthest position of a record.
    pub high: Option<i64>,
    /// The furthest position as the record wrote it, or the remote's own word for where we are.
    pub mark: Option<Value>,
}

/// A slice that was begun and not finished.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenSlice {
    /// Which.
    pub slice: Slice,
    /// What its next page is asked for with.
    pub next_page_token: Option<Value>,
    /// The furthest position of a record in it.
    pub high: Option<i64>,
    /// The remote's own word for where we are; it counts when the slice is read to its end.
    pub bookmark: Option<Value>,
}

impl StreamState {
    /// What was read of a partition.
    #[must_use]
    pub fn partition(&self, partition: &Map) -> Option<&PartitionState> {
        self.partitions.iter().find(|known| known.partition == *partition)
    }
}
