//! Which records of a source the lake already has, and what they say.
//!
//! 16 bytes per known record, sorted by identity, with an index over the leading bits. Identities are uniform, so a lookup
//! searches a handful of neighbours. What this run adds is kept in a small table until it is committed, then merged in.

use arrow::array::{Array, Int64Array};
use hashbrown::{HashMap, HashSet};
use headwater_model::conform::RowHash;
use headwater_model::tables::SOURCE_RECORD;
use headwater_store::Snapshot;

use crate::error::{Error, Result};

/// Leading bits of an identity that the index tells apart.
const INDEX_BITS: u32 = 16;

/// What is known of a row's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing.
    New,
    /// Another version.
    Changed,
    /// This version, committed before this run's present batch.
    Unchanged,
    /// This version, from a row not yet committed.
    Repeated,
}

/// The records of one source, by identity.
#[derive(Debug)]
pub(super) struct Known {
    /// Identity and content, sorted by identity.
    settled: Vec<(u64, u64)>,
    /// Where each value of the leading bits begins in `settled`.
    index: Vec<usize>,
    /// What came since the last commit.
    fresh: HashMap<u64, u64>,
    /// Records that came in this run and that the lake still has no version of: what came of them was refused.
    untaken: HashSet<u64>,
}

impl Known {
    /// Reads what the lake has of a source.
    pub(super) fn load(snapshot: &Snapshot, source: &str) -> Result<Self> {
        let mut settled: Vec<(u64, u64)> = Vec::new();
        for batch in snapshot.read(&SOURCE_RECORD, &["identity_hash", "content_hash"], Some(source))? {
            let batch = batch?;
            let column = |index: usize| batch.column(index).as_any().downcast_ref::<Int64Array>();
            let (Some(identities), Some(contents)) = (column(0), column(1)) else {
                return Err(Error::Internal("source_record has hashes that are not whole numbers".to_owned()));
            };
            let pairs = identities.values().iter().zip(contents.values());
            settled.extend(pairs.map(|(identity, content)| (identity.cast_unsigned(), content.cast_unsigned())));
        }
        // A stable sort keeps the versions of a record in the order of their arrival; the last one is what it says now.
        settled.sort_by_key(|(identity, _)| *identity);
        settled.reverse();
        settled.dedup_by_key(|(identity, _)| *identity);
        settled.reverse();
        let mut known = Self { settled, index: Vec::new(), fresh: HashMap::new(), untaken: HashSet::new() };
        known.reindex();
        Ok(known)
    }

    /// What is known of a row's record; from now on, what the row says.
    pub(super) fn see(&mut self, hash: &RowHash) -> Seen {
        let identity = hash.identity_hash().cast_unsigned();
        let before = match self.fresh.get(&identity) {
            Some(content) if *content == hash.content => return Seen::Repeated,
            Some(_) => Some(()),
            None => match self.settled_content(identity) {
                Some(content) if content == hash.content => return Seen::Unchanged,
                found => found.map(drop),
            },
        };
        self.fresh.insert(identity, hash.content);
        if before.is_some() && !self.untaken.remove(&identity) { Seen::Changed } else { Seen::New }
    }

    /// Notes that of these new records, given by what the lake keeps of their identity, nothing was taken.
    pub(super) fn leave(&mut self, identities: impl Iterator<Item = i64>) {
        self.untaken.extend(identities.map(i64::cast_unsigned));
    }

    /// Merges what came since the last commit into what is known.
    pub(super) fn settle(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        let mut added: Vec<(u64, u64)> = self.fresh.drain().collect();
        added.sort_unstable_by_key(|(identity, _)| *identity);
        let old = std::mem::take(&mut self.settled);
        self.settled.reserve_exact(old.len() + added.len());
        let mut old = old.into_iter().peekable();
        for new in added {
            while let Some(earlier) = old.next_if(|earlier| earlier.0 < new.0) {
                self.settled.push(earlier);
            }
            old.next_if(|earlier| earlier.0 == new.0);
            self.settled.push(new);
        }
        self.settled.extend(old);
        self.reindex();
    }

    fn reindex(&mut self) {
        let buckets = 1_u64 << INDEX_BITS;
        let shift = u64::BITS - INDEX_BITS;
        let settled = &self.settled;
        self.index.clear();
        let mut at = 0;
        for bucket in 0..buckets {
            while settled.get(at).is_some_and(|(identity, _)| identity >> shift < bucket) {
                at += 1;
            }
            self.index.push(at);
        }
        self.index.push(settled.len());
    }

    fn settled_content(&self, identity: u64) -> Option<u64> {
        let bucket = usize::try_from(identity >> (u64::BITS - INDEX_BITS)).ok()?;
        let near = self.settled.get(*self.index.get(bucket)?..*self.index.get(bucket + 1)?)?;
        let at = near.binary_search_by_key(&identity, |(identity, _)| *identity).ok()?;
        near.get(at).map(|(_, content)| *content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(identity: u64, content: u64) -> RowHash {
        RowHash { identity: u128::from(identity) << 64, content }
    }

    fn empty() -> Known {
        let mut known = Known { settled: Vec::new(), index: Vec::new(), fresh: HashMap::new(), untaken: HashSet::new() };
        known.reindex();
        known
    }

    #[test]
    fn a_record_is_new_once_then_repeated_then_unchanged() {
        let mut known = empty();
        assert_eq!(known.see(&hash(7, 1)), Seen::New);
        assert_eq!(known.see(&hash(7, 1)), Seen::Repeated);
        known.settle();
        assert_eq!(known.see(&hash(7, 1)), Seen::Unchanged);
        assert_eq!(known.see(&hash(7, 2)), Seen::Changed);
        known.settle();
        assert_eq!(known.see(&hash(7, 1)), Seen::Changed, "going back to what it said before is a change");
    }

    #[test]
    fn a_record_whose_first_version_was_refused_is_new_until_one_is_taken() {
        let mut known = empty();
        assert_eq!(known.see(&hash(7, 1)), Seen::New);
        known.leave([7].into_iter());
        known.settle();
        assert_eq!(known.see(&hash(7, 2)), Seen::New);
        assert_eq!(known.see(&hash(7, 3)), Seen::Changed);
    }

    #[test]
    fn identities_at_both_ends_are_found_after_merging() {
        let mut known = empty();
        for round in 0..3_u64 {
            for identity in [0, 1, u64::MAX - round, u64::MAX / 2, 1 << 48] {
                known.see(&hash(identity, round));
            }
            known.settle();
        }
        for identity in [0, 1, u64::MAX - 2, u64::MAX / 2, 1 << 48] {
            assert_eq!(known.see(&hash(identity, 2)), Seen::Unchanged, "{identity}");
        }
        assert_eq!(known.see(&hash(u64::MAX - 1, 2)), Seen::Changed);
        assert_eq!(known.see(&hash(5, 2)), Seen::New);
    }
}
