//! A source that breaks off, for tests of whoever drives one.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt as _;
use headwater_model::checkpoint::Checkpoint;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::source::EventStream;
use crate::{Error, ErrorKind, Result, Source, StreamSpec};

/// A source whose reads break off with `Unavailable` at places that its seed decides; each read breaks off elsewhere, and some
/// run to their end.
#[derive(Debug)]
pub struct ChaosSource<S> {
    inner: S,
    seed: u64,
    longest: u64,
    reads: AtomicU64,
}

impl<S: Source> ChaosSource<S> {
    /// Lets at most `longest` events through before a read breaks off.
    pub fn new(inner: S, seed: u64, longest: u64) -> Self {
        Self { inner, seed, longest, reads: AtomicU64::new(0) }
    }
}

#[async_trait]
impl<S: Source> Source for ChaosSource<S> {
    async fn check(&self) -> Result<()> {
        self.inner.check().await
    }

    async fn streams(&self) -> Result<Vec<StreamSpec>> {
        self.inner.streams().await
    }

    async fn read(&self, stream: &StreamSpec, from: Option<Checkpoint>) -> Result<EventStream> {
        let read = self.reads.fetch_add(1, Ordering::Relaxed);
        let chance = xxh3_64_with_seed(&read.to_le_bytes(), self.seed);
        let events = self.inner.read(stream, from).await?;
        let seed = self.seed;
        let cut = usize::try_from(chance % (self.longest + 1)).unwrap_or(usize::MAX);
        Ok(events
            .enumerate()
            .map(move |(index, event)| {
                let broken = || Error::new(ErrorKind::Unavailable, "chaos").context("seed", seed.to_string());
                if index < cut { event } else { Err(broken()) }
            })
            .boxed())
    }

    async fn acknowledge(&self, stream: &StreamSpec, upto: &Checkpoint) -> Result<()> {
        self.inner.acknowledge(stream, upto).await
    }
}
