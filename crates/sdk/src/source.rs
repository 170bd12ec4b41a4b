//! The half of a connector that reads.
//!
//! - S1 `read` gives pages and checkpoints; a checkpoint covers every page before it.
//! - S2 Resuming at any checkpoint loses nothing; it may repeat.
//! - S3 All position is in the checkpoint; the source remembers nothing between reads.
//! - S4 Fields are text exactly as they arrived; what has no field of its own stays in the page's raw record.
//! - S5 Dropping the stream stops the work; no task outlives it.
//! - S6 `check` makes the smallest real request that `read` needs and asks for no further right.
//! - S7 `acknowledge` may be repeated, and may never come.
//! - S8 A read of a stream that is `whole` says [`SourceEvent::Whole`] before its last checkpoint when nothing was left out, and in
//!   no other case: what was in no page of it is taken to be gone.

use async_trait::async_trait;
use futures::stream::BoxStream;
use headwater_model::checkpoint::Checkpoint;
use headwater_model::mapping::{Mapping, Origin, Role};
use headwater_model::page::Page;

use crate::Result;

/// Reads records. Holds no position.
#[async_trait]
pub trait Source: Send + Sync {
    /// Makes the least real request that `read` would make.
    async fn check(&self) -> Result<()>;

    /// The streams this connection has, with their fields and how they map to our model by default.
    async fn streams(&self) -> Result<Vec<StreamSpec>>;

    /// The events after `from`, or from the beginning. Dropping the stream stops the read.
    async fn read(&self, stream: &StreamSpec, from: Option<Checkpoint>) -> Result<EventStream>;

    /// How many of its streams may be read at once: what they share of the remote, such as a budget, holds over all of them.
    fn streams_at_once(&self) -> usize {
        1
    }

    /// Says that everything up to `upto` is durable with us.
    async fn acknowledge(&self, stream: &StreamSpec, upto: &Checkpoint) -> Result<()> {
        let (_, _) = (stream, upto);
        Ok(())
    }
}

/// What a read gives.
pub type EventStream = BoxStream<'static, Result<SourceEvent>>;

/// One step of a read.
#[expect(clippy::large_enum_variant, reason = "a page stands for thousands of rows, so its size is nothing beside what it holds")]
#[derive(Debug)]
pub enum SourceEvent {
    /// Records; pending until a checkpoint follows.
    Page(Page),
    /// Covers every page before it. The runtime may skip some.
    Checkpoint(Checkpoint),
    /// Every record that the remote has was in the pages before: who was there and is not any more is gone. The checkpoint that
    /// follows covers it.
    Whole {
        /// Whether the read went on from the middle of one that was broken off, so that the pages of that one count as well.
        resumed: bool,
        /// Whether a record may slip past when another is removed meanwhile, as it does where pages are counted: then only who is
        /// missing twice running is gone.
        shifting: bool,
    },
}

/// One stream of a source.
#[derive(Debug, Clone)]
pub struct StreamSpec {
    /// Its name, unique within the source.
    pub name: String,
    /// What its records are.
    pub role: Role,
    /// By which way a person came to be in it; decides the channel where a record says nothing better.
    pub origin: Origin,
    /// Its fields, as the remote names them.
    pub fields: Vec<String>,
    /// How its fields map to ours, unless the user says otherwise.
    pub mapping: Mapping,
    /// The vendor whose ids `external_id` holds: two sources of one vendor share ids.
    pub vendor: Option<String>,
    /// Whether a read from its beginning shows everything that there is, and says so: see [`SourceEvent::Whole`].
    pub whole: bool,
    /// What a user should know: limits, what it does not show.
    pub notes: Option<String>,
}
