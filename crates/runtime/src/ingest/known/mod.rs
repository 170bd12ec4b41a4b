//! Which records of a source the lake already has, and what they say.
//!
//! 16 bytes per known record. Identities are uniform, so a lookup searches a handful of neighbours. What this run adds is kept in a
//! small table until it is committed, then merged in. Past a bound all of it moves to unnamed files beside the lake, so that memory
//! does not grow with the source.

pub(super) mod pairs;
mod run;

use std::path::Path;

use arrow::array::{Array, Int64Array};
use hashbrown::HashMap;
use headwater_model::conform::RowHash;
use headwater_model::tables::SOURCE_RECORD;
use headwater_store::{Snapshot, Store};

use crate::error::{Error, Result};
use pairs::{MOST_IN_MEMORY, Pair, Pairs, last_of_each};

/// The most records that wait in the table of this run: more than a file has between two checkpoints.
const MOST_FRESH: usize = 400_000;
/// How many records of the lake are sorted at once when it is read.
const SORTED_AT_ONCE: usize = 1 << 19;
/// The bit of a record's content that says instead whether the lake has a version of the record. What is left tells two contents
/// apart as well.
const UNTAKEN: u64 = 1;

/// What is known of a row's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing.
    New,
    /// Another version.
    Changed,
    /// This version, committed before this run's present batch.
    Unchanged {
        /// Whether the lake has it; if not, it was refused in this run.
        taken: bool,
    },
    /// This version, from a row not yet committed.
    Repeated,
}

/// The records of one source, by identity.
#[derive(Debug)]
pub(super) struct Known {
    /// What each record says, as of the last commit.
    settled: Pairs,
    /// What came since then.
    fresh: HashMap<u64, u64>,
    /// What came since then and is too much for `fresh`, which overrules it.
    uncommitted: Pairs,
    bounds: Bounds,
}

/// How much is held in memory.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    settled: usize,
    fresh: usize,
}

impl Known {
    /// Reads what the lake has of a source.
    pub(super) fn load(store: &Store, snapshot: &Snapshot, source: &str) -> Result<Self> {
        let mut known = Self::empty(store.lake(), Bounds { settled: MOST_IN_MEMORY, fresh: MOST_FRESH });
        let mut chunk: Vec<Pair> = Vec::new();
        for batch in snapshot.read(&SOURCE_RECORD, &["identity_hash", "content_hash"], Some(source))? {
            let batch = batch?;
            let column = |index: usize| batch.column(index).as_any().downcast_ref::<Int64Array>();
            let (Some(identities), Some(contents)) = (column(0), column(1)) else {
                return Err(Error::Internal("source_record has hashes that are not whole numbers".to_owned()));
            };
            let pairs = identities.values().iter().zip(contents.values());
            chunk.extend(pairs.map(|(identity, content)| (identity.cast_unsigned(), content.cast_unsigned() & !UNTAKEN)));
            if chunk.len() >= SORTED_AT_ONCE {
                known.settle_loaded(&mut chunk)?;
            }
        }
        known.settle_loaded(&mut chunk)?;
        Ok(known)
    }

    fn empty(folder: &Path, bounds: Bounds) -> Self {
        Self {
            settled: Pairs::new(folder, bounds.settled),
            fresh: HashMap::new(),
            uncommitted: Pairs::new(folder, bounds.settled),
            bounds,
        }
    }

    /// Takes in what was read, in the order of arrival: the last version of a record is what it says now.
    fn settle_loaded(&mut self, chunk: &mut Vec<Pair>) -> Result<()> {
        last_of_each(chunk);
        self.settled.put(chunk)?;
        chunk.clear();
        Ok(())
    }

    /// What is known of a row's record; from now on, what the row says.
    pub(super) fn see(&mut self, hash: &RowHash) -> Result<Seen> {
        let identity = hash.identity_hash().cast_unsigned();
        let content = hash.content & !UNTAKEN;
        let before = match self.fresh_content(identity)? {
            Some(before) if before & !UNTAKEN == content => return Ok(Seen::Repeated),
            Some(before) => Some(before),
            None => match self.settled.get(identity)? {
                Some(before) if before & !UNTAKEN == content => return Ok(Seen::Unchanged { taken: before == content }),
                before => before,
            },
        };
        self.note(identity, content)?;
        Ok(if before.is_some_and(|before| before & UNTAKEN == 0) { Seen::Changed } else { Seen::New })
    }

    /// Notes that a row that says nothing new goes on all the same, so that the next like it repeats it.
    pub(super) fn say_again(&mut self, hash: &RowHash) -> Result<()> {
        self.note(hash.identity_hash().cast_unsigned(), hash.content & !UNTAKEN)
    }

    /// Notes that of these new records, given by what the lake keeps of their identity, nothing was taken.
    pub(super) fn leave(&mut self, identities: impl Iterator<Item = i64>) -> Result<()> {
        for identity in identities.map(i64::cast_unsigned) {
            let content = self.fresh_content(identity)?.unwrap_or_default();
            self.note(identity, content | UNTAKEN)?;
        }
        Ok(())
    }

    /// Merges what came since the last commit into what is known.
    pub(super) fn settle(&mut self) -> Result<()> {
        let uncommitted = std::mem::replace(&mut self.uncommitted, Pairs::new(self.settled.folder(), self.bounds.settled));
        self.settled.take_over(uncommitted)?;
        let added = drained(&mut self.fresh);
        self.settled.put(&added)
    }

    fn fresh_content(&self, identity: u64) -> Result<Option<u64>> {
        match self.fresh.get(&identity) {
            Some(content) => Ok(Some(*content)),
            None if self.uncommitted.is_empty() => Ok(None),
            None => self.uncommitted.get(identity),
        }
    }

    fn note(&mut self, identity: u64, content: u64) -> Result<()> {
        self.fresh.insert(identity, content);
        if self.fresh.len() > self.bounds.fresh {
            let added = drained(&mut self.fresh);
            self.uncommitted.put(&added)?;
        }
        Ok(())
    }
}

/// The pairs of a table, sorted; the table is empty then.
fn drained(table: &mut HashMap<u64, u64>) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = table.drain().collect();
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use hashbrown::HashSet;
    use proptest::prelude::*;

    use super::*;

    const UNCHANGED: Seen = Seen::Unchanged { taken: true };

    fn hash(identity: u64, content: u64) -> RowHash {
        RowHash { identity: u128::from(identity) << 64, content: content << 1 }
    }

    fn roomy() -> Known {
        Known::empty(&std::env::temp_dir(), Bounds { settled: MOST_IN_MEMORY, fresh: MOST_FRESH })
    }

    #[test]
    fn a_record_is_new_once_then_repeated_then_unchanged() {
        let mut known = roomy();
        assert_eq!(known.see(&hash(7, 1)).unwrap(), Seen::New);
        assert_eq!(known.see(&hash(7, 1)).unwrap(), Seen::Repeated);
        known.settle().unwrap();
        assert_eq!(known.see(&hash(7, 1)).unwrap(), UNCHANGED);
        assert_eq!(known.see(&hash(7, 2)).unwrap(), Seen::Changed);
        known.settle().unwrap();
        assert_eq!(known.see(&hash(7, 1)).unwrap(), Seen::Changed, "going back to what it said before is a change");
    }

    #[test]
    fn a_record_whose_first_version_was_refused_is_new_until_one_is_taken() {
        let mut known = roomy();
        assert_eq!(known.see(&hash(7, 1)).unwrap(), Seen::New);
        known.leave([7].into_iter()).unwrap();
        known.settle().unwrap();
        assert_eq!(
            known.see(&hash(7, 1)).unwrap(),
            Seen::Unchanged { taken: false },
            "what was refused once is not offered again"
        );
        assert_eq!(known.see(&hash(7, 2)).unwrap(), Seen::New);
        assert_eq!(known.see(&hash(7, 3)).unwrap(), Seen::Changed);
    }

    #[test]
    fn identities_at_both_ends_are_found_after_merging() {
        let mut known = roomy();
        for round in 0..3_u64 {
            for identity in [0, 1, u64::MAX - round, u64::MAX / 2, 1 << 48] {
                known.see(&hash(identity, round)).unwrap();
            }
            known.settle().unwrap();
        }
        for identity in [0, 1, u64::MAX - 2, u64::MAX / 2, 1 << 48] {
            assert_eq!(known.see(&hash(identity, 2)).unwrap(), UNCHANGED, "{identity}");
        }
        assert_eq!(known.see(&hash(u64::MAX - 1, 2)).unwrap(), Seen::Changed);
        assert_eq!(known.see(&hash(5, 2)).unwrap(), Seen::New);
    }

    #[test]
    fn memory_stays_within_its_bound_and_every_record_is_found_on_disk() {
        const RECORDS: u64 = 20_000;
        let identity = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut known = Known::empty(&std::env::temp_dir(), Bounds { settled: 1000, fresh: 100 });
        for number in 0..RECORDS {
            assert_eq!(known.see(&hash(identity(number), number)).unwrap(), Seen::New);
            if number % 512 == 0 {
                known.settle().unwrap();
            }
            assert!(known.fresh.len() <= 100 && known.settled.in_memory() <= 1000 && known.uncommitted.in_memory() <= 1000);
        }
        known.settle().unwrap();
        assert!((1..6).contains(&known.settled.on_disk()), "{} runs", known.settled.on_disk());
        for number in 0..RECORDS {
            assert_eq!(known.see(&hash(identity(number), number)).unwrap(), UNCHANGED, "{number}");
        }
    }

    /// What [`Known`] is, without any care for memory.
    #[derive(Default)]
    struct Plain {
        settled: HashMap<u64, u64>,
        fresh: HashMap<u64, u64>,
        untaken: HashSet<u64>,
    }

    impl Plain {
        fn see(&mut self, identity: u64, content: u64) -> Seen {
            let before = match (self.fresh.get(&identity), self.settled.get(&identity)) {
                (Some(before), _) if *before == content => return Seen::Repeated,
                (None, Some(before)) if *before == content => {
                    return Seen::Unchanged { taken: !self.untaken.contains(&identity) };
                }
                (fresh, settled) => fresh.or(settled).is_some(),
            };
            self.fresh.insert(identity, content);
            if before && !self.untaken.remove(&identity) { Seen::Changed } else { Seen::New }
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        See(u64, u64),
        Leave,
        Settle,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Neighbours, both ends, and keys that an even spread would not have.
        let identity = prop_oneof![0..8_u64, (0..8_u64).prop_map(|low| u64::MAX - low), (0..64_u64).prop_map(|high| high << 58)];
        let see = (identity, 0..3_u64).prop_map(|(identity, content)| Step::See(identity, content));
        prop::collection::vec(prop_oneof![12 => see, 2 => Just(Step::Leave), 1 => Just(Step::Settle)], 0..80)
    }

    proptest! {
        // Each step that spills writes files and makes indexes anew.
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn bounded_memory_gives_the_same_answers(steps in steps(), settled in 0_usize..6, fresh in 0_usize..4) {
            let mut plain = Plain::default();
            let mut known = Known::empty(&std::env::temp_dir(), Bounds { settled, fresh });
            let mut new = None;
            for step in steps {
                match step {
                    Step::See(identity, content) => {
                        let seen = known.see(&hash(identity, content)).unwrap();
                        prop_assert_eq!(seen, plain.see(identity, content));
                        if seen == Seen::New {
                            new = Some(identity);
                        }
                    }
                    // As ingest does it: a record is left in the page in which it was new.
                    Step::Leave => if let Some(identity) = new.take().filter(|new| plain.fresh.contains_key(new)) {
                        known.leave([identity.cast_signed()].into_iter()).unwrap();
                        plain.untaken.insert(identity);
                    }
                    Step::Settle => {
                        known.settle().unwrap();
                        let fresh = std::mem::take(&mut plain.fresh);
                        plain.settled.extend(fresh);
                    }
                }
            }
        }
    }
}
