//! A map of uniform 64-bit keys whose memory is bounded, whatever it holds.
//!
//! What is newest is a sorted list in memory. Past its bound the list becomes a sorted run on disk; runs are merged so that each is
//! at least twice as long as the next, and so there are few. A filter of a fixed size spares most looks for keys that are in no run.

use std::io;
use std::path::{Path, PathBuf};

use headwater_store::StoreError;

use super::run::Run;
use crate::error::Result;

/// The most pairs kept in memory: 18 MiB of them, which leaves room for what else a run holds.
pub(in crate::ingest) const MOST_IN_MEMORY: usize = 1_200_000;
/// Leading bits of a key that the index of the list in memory tells apart.
const INDEX_BITS: u32 = 16;
/// The bits of the filter: 8 MiB, one key in 15 passes it in vain when ten million are on disk.
const FILTER_BITS: u32 = 26;

/// A key and its value.
pub(in crate::ingest) type Pair = (u64, u64);

/// Sorts pairs by key and leaves the last of each.
pub(in crate::ingest) fn last_of_each(pairs: &mut Vec<Pair>) {
    // The sort is stable, so what was said of a key stays in its order.
    pairs.sort_by_key(|(key, _)| *key);
    pairs.reverse();
    pairs.dedup_by_key(|(key, _)| *key);
    pairs.reverse();
}

/// A map of uniform keys.
#[derive(Debug)]
pub(in crate::ingest) struct Pairs {
    /// Where runs are written.
    folder: PathBuf,
    /// The bound of `memory`.
    most: usize,
    memory: Sorted,
    /// Oldest first: a newer run overrules the older ones.
    runs: Vec<Run>,
    filter: Filter,
}

impl Pairs {
    pub(in crate::ingest) fn new(folder: &Path, most: usize) -> Self {
        Self { folder: folder.to_owned(), most, memory: Sorted::default(), runs: Vec::new(), filter: Filter::default() }
    }

    pub(in crate::ingest) fn folder(&self) -> &Path {
        &self.folder
    }

    #[cfg(test)]
    pub(super) fn in_memory(&self) -> usize {
        self.memory.pairs.len()
    }

    #[cfg(test)]
    pub(super) fn on_disk(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.memory.pairs.is_empty() && self.runs.is_empty()
    }

    /// The value that was put last for a key.
    pub(in crate::ingest) fn get(&self, key: u64) -> Result<Option<u64>> {
        if let Some(value) = self.memory.get(key) {
            return Ok(Some(value));
        }
        if self.runs.is_empty() || !self.filter.may_have(key) {
            return Ok(None);
        }
        for run in self.runs.iter().rev() {
            if let Some(value) = run.get(key).map_err(|error| self.failed(error))? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Takes pairs in that overrule what is there: sorted by key, each key once.
    pub(in crate::ingest) fn put(&mut self, newer: &[Pair]) -> Result<()> {
        self.memory.merge(newer);
        if self.memory.pairs.len() > self.most { self.spill() } else { Ok(()) }
    }

    /// Takes in all of another map, which overrules what is there.
    pub(super) fn take_over(&mut self, newer: Self) -> Result<()> {
        if !newer.runs.is_empty() {
            self.spill()?;
            self.filter.add_all(newer.filter);
            for run in newer.runs {
                self.push(run)?;
            }
        }
        self.put(&newer.memory.pairs)
    }

    /// Moves what is in memory to disk.
    fn spill(&mut self) -> Result<()> {
        let Sorted { pairs, index: _ } = std::mem::take(&mut self.memory);
        if pairs.is_empty() {
            return Ok(());
        }
        pairs.iter().for_each(|(key, _)| self.filter.add(*key));
        let run = Run::write(&self.folder, pairs.into_iter().map(Ok)).map_err(|error| self.failed(error))?;
        self.push(run)
    }

    fn push(&mut self, mut run: Run) -> Result<()> {
        while let Some(older) = self.runs.pop_if(|older| older.len() <= 2 * run.len()) {
            run = Run::merge(&self.folder, older, run).map_err(|error| self.failed(error))?;
        }
        self.runs.push(run);
        Ok(())
    }

    fn failed(&self, error: io::Error) -> crate::Error {
        let path = self.folder.clone();
        let error = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull { folder: path },
            _ => StoreError::Io { path, source: error.into() },
        };
        error.into()
    }
}

/// Pairs in memory, sorted by key, with an index over the leading bits.
#[derive(Debug, Default)]
struct Sorted {
    pairs: Vec<Pair>,
    /// Where each value of the leading bits begins; empty while there are no pairs.
    index: Vec<usize>,
}

impl Sorted {
    fn get(&self, key: u64) -> Option<u64> {
        let bucket = usize::try_from(key >> (u64::BITS - INDEX_BITS)).ok()?;
        let near = self.pairs.get(*self.index.get(bucket)?..*self.index.get(bucket + 1)?)?;
        let at = near.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        near.get(at).map(|(_, value)| *value)
    }

    /// Merges in place and from behind, so that there is never a second copy.
    #[expect(clippy::indexing_slicing, reason = "`write` is `old` and what is left of `newer`, so all stay below the new length")]
    fn merge(&mut self, newer: &[Pair]) {
        if newer.is_empty() {
            return;
        }
        let mut old = self.pairs.len();
        self.pairs.reserve_exact(newer.len());
        self.pairs.resize(old + newer.len(), (0, 0));
        let mut write = self.pairs.len();
        for &new in newer.iter().rev() {
            while old > 0 && self.pairs[old - 1].0 > new.0 {
                (old, write) = (old - 1, write - 1);
                self.pairs[write] = self.pairs[old];
            }
            if old > 0 && self.pairs[old - 1].0 == new.0 {
                old -= 1;
            }
            write -= 1;
            self.pairs[write] = new;
        }
        // Every key that both had leaves a gap.
        self.pairs.drain(old..write);
        self.reindex();
    }

    fn reindex(&mut self) {
        let shift = u64::BITS - INDEX_BITS;
        self.index.clear();
        let mut at = 0;
        for bucket in 0..1_u64 << INDEX_BITS {
            while self.pairs.get(at).is_some_and(|(key, _)| key >> shift < bucket) {
                at += 1;
            }
            self.index.push(at);
        }
        self.index.push(self.pairs.len());
    }
}

/// Says of a key that it was never added, or that it may have been (Bloom 1970, with two places per key).
#[derive(Debug, Default)]
struct Filter {
    /// No words while nothing was added.
    words: Vec<u64>,
}

impl Filter {
    /// The places of a key: its lowest bits, and those above them.
    fn places(key: u64) -> [(usize, u64); 2] {
        [key, key >> FILTER_BITS].map(|bits| {
            let place = bits & ((1 << FILTER_BITS) - 1);
            (usize::try_from(place >> 6).unwrap_or_default(), 1 << (place & 63))
        })
    }

    fn add(&mut self, key: u64) {
        if self.words.is_empty() {
            self.words = vec![0; 1 << (FILTER_BITS - 6)];
        }
        for (word, bit) in Self::places(key) {
            if let Some(word) = self.words.get_mut(word) {
                *word |= bit;
            }
        }
    }

    fn may_have(&self, key: u64) -> bool {
        Self::places(key).iter().all(|(word, bit)| self.words.get(*word).is_some_and(|word| word & bit != 0))
    }

    fn add_all(&mut self, other: Self) {
        if self.words.is_empty() {
            self.words = other.words;
        } else {
            self.words.iter_mut().zip(other.words).for_each(|(word, more)| *word |= more);
        }
    }
}
