//! Records that come one after the other: each is matched against those that are known, and only the persons it touches are
//! divided anew.
//!
//! The model is frozen, so that every pair has the chance it would have in one run over all records, and the result is that of
//! [`resolve_by`](super::resolve_by) over them in any order. The exception is told by [`Index::is_stale`].

#![expect(clippy::indexing_slicing, reason = "records are numbered by the roster that everything here is made from")]
#![expect(clippy::cast_possible_truncation, reason = "records are fewer than 2^31")]

use hashbrown::{HashMap, HashSet};

use super::Problem;
use super::block::{Entry, GROWN, entries, keys_of, rule_of};
use super::compare::Comparer;
use super::group::{Pair, divide};
use super::model::Model;
use super::rates::{Counts, Rates};
use super::roster::Roster;
use super::run::{Bench, CONNECTED, Decisions, KEPT, Options, Said};

/// The top 20 bits of a key lead to a dozen keys at a million records.
const TOP_BITS: u32 = 20;
const TOP_SHIFT: u32 = 64 - TOP_BITS;

fn tops(entries: &[Entry]) -> Vec<u32> {
    let mut tops = vec![0_u32; (1 << TOP_BITS) + 1];
    for (key, _) in entries {
        tops[(key >> TOP_SHIFT) as usize + 1] += 1;
    }
    for top in 1..tops.len() {
        tops[top] += tops[top - 1];
    }
    tops
}

/// The known records with their keys, pairs and persons.
#[derive(Debug)]
pub struct Index {
    roster: Roster,
    model: Model,
    options: Options,
    counts: Counts,
    rates: Rates,
    entries: Vec<Entry>,
    /// Where the keys with each value of the top bits begin in `entries`.
    tops: Vec<u32>,
    left_out: HashSet<u64>,
    fresh: HashMap<u64, Vec<u32>>,
    pairs: HashMap<u32, Vec<Pair>>,
    person: Vec<u32>,
    is_stale: bool,
}

impl Index {
    /// Resolves a roster by a model and keeps what later records need.
    ///
    /// # Errors
    /// None at present beyond those of [`resolve_by`](super::resolve_by).
    pub fn new(roster: Roster, model: Model, options: Options) -> Result<Self, Problem> {
        let resolution = super::resolve_by(&roster, &model, &Decisions::default(), &options)?;
        let mut counts = Counts::default();
        counts.thaw(&model.counts, &roster);
        let rates = Rates::of(&counts);
        let entries = entries(&roster, &counts);
        let left_out = model.left_out.iter().copied().collect();
        let mut pairs: HashMap<u32, Vec<Pair>> = HashMap::new();
        for pair in &resolution.pairs {
            pairs.entry(pair.one).or_default().push(*pair);
            pairs.entry(pair.two).or_default().push(*pair);
        }
        Ok(Self {
            roster,
            model,
            options,
            counts,
            rates,
            tops: tops(&entries),
            entries,
            left_out,
            fresh: HashMap::new(),
            pairs,
            person: resolution.person,
            is_stale: false,
        })
    }

    /// The records.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// For each record the number of its person: the least of the person's records.
    #[must_use]
    pub fn person(&self) -> &[u32] {
        &self.person
    }

    /// Whether a key outgrew the model so far that one run over all records would leave it out: learn a new model.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Adds records, cells in the order of the roster's columns, and gives the numbers of all records whose person may have
    /// changed, the new ones among them.
    ///
    /// # Errors
    /// A record has no id or a known one; those before it are in the index.
    pub fn add<'a, C>(&mut self, records: impl IntoIterator<Item = (&'a str, C)>) -> Result<Vec<u32>, Problem>
    where
        C: IntoIterator<Item = &'a str>,
    {
        let begin = self.roster.len() as u32;
        let mut problem = Ok(());
        for (id, cells) in records {
            problem = self.roster.push(id, cells);
            if problem.is_err() {
                break;
            }
        }
        let touched = self.settle(begin);
        problem.map(|()| touched)
    }

    fn settle(&mut self, begin: u32) -> Vec<u32> {
        let end = self.roster.len() as u32;
        self.counts.thaw(&self.model.counts, &self.roster);
        self.rates.extend(&self.counts);
        self.person.extend(begin..end);
        let mut keys = Vec::new();
        keys_of(&self.roster, &self.counts, begin..end, &mut keys);
        let comparer = Comparer { roster: &self.roster, rates: &self.rates, counts: &self.counts };
        let mut met: Vec<u32> = Vec::new();
        for own in keys.chunk_by(|one, two| one.1 >> 1 == two.1 >> 1) {
            let row = own[0].1 >> 1;
            met.clear();
            for (key, me) in own {
                if self.left_out.contains(key) {
                    continue;
                }
                let top = (key >> TOP_SHIFT) as usize;
                let near = &self.entries[self.tops[top] as usize..self.tops[top + 1] as usize];
                let from = near.partition_point(|(known, _)| known < key);
                let old = near[from..].iter().take_while(|(known, _)| known == key).map(|(_, row)| *row);
                let fresh = self.fresh.entry(*key).or_default();
                let before = met.len();
                met.extend(old.chain(fresh.iter().copied()).filter(|you| (me | you) & 1 == 1).map(|you| you >> 1));
                self.is_stale |= (met.len() - before) as u64 > GROWN * rule_of(*key).most_pairs() / 2;
                fresh.push(*me);
            }
            met.sort_unstable();
            met.dedup();
            for other in met.iter().filter(|other| **other != row && !comparer.is_hopeless(row, **other)) {
                let chance = self.model.weights.chance(&comparer.compare(*other, row));
                if chance >= KEPT {
                    let pair = Pair { one: *other, two: row, chance };
                    self.pairs.entry(*other).or_default().push(pair);
                    self.pairs.entry(row).or_default().push(pair);
                }
            }
        }
        self.regroup(begin..end)
    }

    /// Divides the components of these records anew.
    fn regroup(&mut self, rows: std::ops::Range<u32>) -> Vec<u32> {
        let comparer = Comparer { roster: &self.roster, rates: &self.rates, counts: &self.counts };
        let bench =
            Bench { comparer: &comparer, weights: &self.model.weights, said: Said::none(), merge_at: self.options.merge_at };
        let mut seen: HashSet<u32> = HashSet::new();
        for row in rows {
            if !seen.insert(row) {
                continue;
            }
            let (mut members, mut inside) = (vec![row], Vec::new());
            let mut next = 0;
            while let Some(one) = members.get(next).copied() {
                next += 1;
                for pair in self.pairs.get(&one).into_iter().flatten() {
                    let other = if pair.one == one { pair.two } else { pair.one };
                    if pair.chance >= CONNECTED && seen.insert(other) {
                        members.push(other);
                    }
                    if pair.one == one {
                        inside.push(*pair);
                    }
                }
            }
            members.sort_unstable();
            inside.retain(|pair| members.binary_search(&pair.two).is_ok());
            inside.sort_unstable_by_key(|pair| (pair.one, pair.two));
            for group in divide(&members, &inside, &bench) {
                group.iter().for_each(|member| self.person[*member as usize] = group[0]);
            }
        }
        let mut touched: Vec<u32> = seen.into_iter().collect();
        touched.sort_unstable();
        touched
    }
}
