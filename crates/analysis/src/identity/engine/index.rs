//! Records that come one after the other: each is matched against those that are known, and only the persons it touches are
//! divided anew.
//!
//! The model is frozen, so that every pair has the chance it would have in one run over all records, and the result is that of
//! [`resolve_by`](super::resolve_by) over them in any order. The exception is told by [`Index::is_stale`]. Records may change,
//! go, and be decided of; each touches its neighbours only. An index can be kept as bytes: it is a function of records, model and
//! decisions, so a lost one is made again.

#![expect(clippy::indexing_slicing, reason = "records are numbered by the roster that everything here is made from")]
#![expect(clippy::cast_possible_truncation, reason = "records are fewer than 2^31, pairs fewer than 2^32")]

use std::collections::BTreeSet;
use std::io::{Error, Read, Write};

use hashbrown::{HashMap, HashSet};

use super::Problem;
use super::block::{Entry, GROWN, entries, keys_of, rule_of};
use super::bytes::{In, Out};
use super::compare::Comparer;
use super::explain::Spoke;
use super::group::{Pair, divide};
use super::model::Model;
use super::rates::{Counts, Rates};
use super::roster::Roster;
use super::run::{Bench, CONNECTED, Decisions, Doubt, KEPT, Options, Resolution, Said, concluded, surest};

/// The top bits of a key lead to about so many keys, a power of two.
const KEYS_PER_TOP: usize = 8;
/// So many records are matched at once.
const MET_AT_ONCE: usize = 16_384;
/// The mark and the number of the stored form.
const MARK: u64 = u64::from_le_bytes(*b"hwindex\x04");

/// A pair that holds a person together, and the fields that spoke for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tie {
    /// The pair.
    pub pair: Doubt,
    /// The fields.
    pub spoke: Spoke,
}

/// The known records with their keys, pairs and persons.
#[derive(Debug)]
pub struct Index {
    roster: Roster,
    model: Model,
    merge_at: f32,
    counts: Counts,
    rates: Rates,
    shelf: Shelf,
    near: Near,
    said: Decisions,
    person: Vec<u32>,
    ties: Vec<Tie>,
    /// What each record said, as a number of the caller's.
    marks: Vec<u64>,
    /// Records that came or changed and are not matched yet.
    pending: BTreeSet<u32>,
    /// Records whose neighbours went.
    loose: BTreeSet<u32>,
    changes: usize,
    is_stale: bool,
    /// What it was made of, as a number of the caller's.
    pub stamp: i64,
}

impl Index {
    /// Resolves a roster by a model and keeps what later records need. Every record is marked 0.
    ///
    /// # Errors
    /// None at present beyond those of [`resolve_by`](super::resolve_by).
    pub fn new(roster: Roster, model: Model, options: Options) -> Result<Self, Problem> {
        let resolution = super::resolve_by(&roster, &model, &Decisions::default(), &options)?;
        let marks = vec![0; roster.len()];
        Ok(Self::of(roster, marks, resolution, model, Decisions::default(), &options))
    }

    /// Keeps what later records need of a run by this model under these decisions. `marks` has a number for each record, by which
    /// its owner tells whether it changed.
    #[must_use]
    pub fn of(
        roster: Roster,
        marks: Vec<u64>,
        resolution: Resolution,
        model: Model,
        decisions: Decisions,
        options: &Options,
    ) -> Self {
        let Resolution { person, joins, mut pairs, overruled, .. } = resolution;
        let mut counts = Counts::default();
        counts.thaw(&model, &roster);
        let rates = Rates::of(&counts);
        let shelf = Shelf::of(&entries(&roster, &counts), model.left_out.iter().copied().collect());
        let said = ordered(decisions);
        pairs.retain(|pair| said.same.binary_search(&(pair.one, pair.two)).is_err());
        pairs.extend(overruled);
        let comparer = Comparer { roster: &roster, rates: &rates, counts: &counts };
        let tie = |pair: Doubt| Tie { pair, spoke: Spoke::of(&model.weights.person, &comparer.compare(pair.one, pair.two)) };
        let ties = joins.into_iter().map(tie).collect();
        let near = Near::of(&pairs, roster.len());
        let (pending, loose) = (BTreeSet::new(), BTreeSet::new());
        let merge_at = options.merge_at;
        #[rustfmt::skip]
        let index = Self {
            roster, model, merge_at, counts, rates, shelf, near, said, person, ties, marks, pending, loose, changes: 0, is_stale: false, stamp: 0,
        };
        index
    }

    /// The records.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The model that decides.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// For each record the number of its person: the least of the person's records.
    #[must_use]
    pub fn person(&self) -> &[u32] {
        &self.person
    }

    /// The pairs that hold the persons together, the surest first.
    #[must_use]
    pub fn ties(&self) -> &[Tie] {
        &self.ties
    }

    /// The mark of a record.
    #[must_use]
    pub fn mark(&self, row: u32) -> Option<u64> {
        self.marks.get(row as usize).copied()
    }

    /// How many records came, changed or went since the index was made or read.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.changes
    }

    /// Whether a key outgrew the model so far that one run over all records would leave it out: learn a new model.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Takes a record in, or what it says now; cells stand in the order of the roster's columns. It counts from the next
    /// [`settle`](Self::settle) on. Gives its number.
    ///
    /// # Errors
    /// It has no id, or there are more records than can be numbered.
    pub fn put<'a>(&mut self, id: &str, mark: u64, cells: impl IntoIterator<Item = &'a str>) -> Result<u32, Problem> {
        let known = self.roster.find(id);
        let row = match known {
            Some(row) => {
                self.forget(row);
                self.roster.put(row, cells);
                self.marks[row as usize] = mark;
                row
            }
            None => {
                self.roster.push(id, cells)?;
                self.marks.push(mark);
                self.roster.len() as u32 - 1
            }
        };
        self.changes += 1;
        self.pending.insert(row);
        Ok(row)
    }

    /// Lets a record say nothing any more. It keeps its number, and gets this mark.
    pub fn drop(&mut self, row: u32, mark: u64) {
        if (row as usize) < self.roster.len() {
            self.forget(row);
            self.roster.put(row, []);
            self.marks[row as usize] = mark;
            self.changes += 1;
            self.pending.insert(row);
        }
    }

    /// Takes the keys and pairs of a record away.
    fn forget(&mut self, row: u32) {
        if self.pending.contains(&row) {
            return;
        }
        let mut keys = Vec::new();
        keys_of(&self.roster, &self.counts, row..row + 1, &mut keys);
        self.shelf.forget(row, &keys);
        self.loose.extend(self.near.forget(row));
    }

    /// Matches what came, parts from what went, and holds all to these decisions. Gives the numbers of all records whose person may
    /// have changed, the new ones among them.
    ///
    /// # Errors
    /// The decisions contradict each other, or name records that are not there; then the index is of no use any more.
    pub fn settle(&mut self, decisions: Decisions) -> Result<Vec<u32>, Problem> {
        let said = Said::of(&decisions, self.roster.len())?;
        let before = std::mem::replace(&mut self.said, ordered(decisions));
        self.counts.thaw(&self.model, &self.roster);
        self.rates.extend(&self.counts);
        self.person.extend(self.person.len() as u32..self.roster.len() as u32);
        self.near.grow(self.roster.len());
        let pending = std::mem::take(&mut self.pending);
        let rows: Vec<u32> = pending.iter().copied().collect();
        rows.chunks(MET_AT_ONCE).for_each(|rows| self.meet(rows));
        let mut seeds = pending;
        seeds.append(&mut self.loose);
        for (one, two) in [(&before.same, &self.said.same), (&before.different, &self.said.different)] {
            let other = |pair: &&(u32, u32)| one.binary_search(pair).is_err() || two.binary_search(pair).is_err();
            seeds.extend(one.iter().chain(two).filter(other).flat_map(|(one, two)| [*one, *two]));
        }
        Ok(self.regroup(seeds, said))
    }

    /// Compares records with all that share a key with one of them, in the order in which those lie.
    fn meet(&mut self, rows: &[u32]) {
        let Self { roster, model, counts, rates, shelf, near, is_stale, .. } = self;
        let (mut keys, mut met, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            keys.clear();
            met.clear();
            keys_of(roster, counts, *row..row + 1, &mut keys);
            for entry in &keys {
                let before = met.len();
                shelf.meet(*entry, &mut met);
                *is_stale |= (met.len() - before) as u64 > GROWN * rule_of(entry.0).most_pairs() / 2;
            }
            met.sort_unstable();
            met.dedup();
            pairs.extend(met.iter().filter(|other| *other != row).map(|other| (*other, *row)));
        }
        pairs.sort_unstable();
        let comparer = Comparer { roster, rates, counts };
        for (other, row) in pairs {
            if comparer.is_hopeless(row, other) {
                continue;
            }
            let (one, two) = (row.min(other), row.max(other));
            let chance = model.weights.chance(&comparer.compare(one, two));
            if chance >= KEPT {
                near.add(Pair { one, two, chance });
            }
        }
    }

    /// Divides the components of these records anew.
    fn regroup(&mut self, seeds: BTreeSet<u32>, said: Said) -> Vec<u32> {
        let comparer = Comparer { roster: &self.roster, rates: &self.rates, counts: &self.counts };
        let bench = Bench { comparer: &comparer, weights: &self.model.weights, said, merge_at: self.merge_at };
        let mut same: Vec<(u32, u32)> = bench.said.certain().flat_map(|(one, two)| [(one, two), (two, one)]).collect();
        same.sort_unstable();
        let said_of = |row: u32| {
            let begin = same.partition_point(|(one, _)| *one < row);
            same[begin..].iter().take_while(move |(one, _)| *one == row).map(|(_, two)| *two)
        };
        let mut seen: HashSet<u32> = HashSet::new();
        let mut ties: Vec<Doubt> = Vec::new();
        for row in seeds {
            if !seen.insert(row) {
                continue;
            }
            let (mut members, mut inside) = (vec![row], Vec::new());
            let mut next = 0;
            while let Some(one) = members.get(next).copied() {
                next += 1;
                let found = self.near.of_row(one).filter(|pair| !bench.said.rules(pair.one, pair.two));
                let sure = said_of(one).map(|other| Pair { one: one.min(other), two: one.max(other), chance: 1.0 });
                for pair in found.chain(sure) {
                    let other = if pair.one == one { pair.two } else { pair.one };
                    if pair.chance >= CONNECTED && seen.insert(other) {
                        members.push(other);
                    }
                    if pair.one == one {
                        inside.push(pair);
                    }
                }
            }
            members.sort_unstable();
            inside.retain(|pair| members.binary_search(&pair.two).is_ok());
            inside.sort_unstable_by_key(|pair| (pair.one, pair.two));
            for group in divide(&members, &inside, &bench) {
                group.iter().for_each(|member| self.person[*member as usize] = group[0]);
                bench.tie(&group, &inside, &mut ties);
            }
        }
        let class = &self.model.weights.person;
        let tie = |pair: Doubt| Tie { pair, spoke: Spoke::of(class, &comparer.compare(pair.one, pair.two)) };
        let order = |row: u32| self.roster.records[row as usize].order;
        ties.sort_unstable_by(surest(order));
        let mut is_seen = vec![false; self.roster.len()];
        seen.iter().for_each(|row| is_seen[*row as usize] = true);
        self.ties.retain(|tie| !is_seen[tie.pair.one as usize]);
        let mut merged = Vec::with_capacity(self.ties.len() + ties.len());
        let mut rest = self.ties.as_slice();
        for pair in ties {
            let is_before = |known: &Tie| surest(order)(&known.pair, &pair).is_lt();
            // The next place is near.
            let mut reach = 1;
            while rest.get(reach).is_some_and(is_before) {
                reach *= 2;
            }
            let (before, after) = rest.split_at(rest[..reach.min(rest.len())].partition_point(is_before));
            merged.extend_from_slice(before);
            merged.push(tie(pair));
            rest = after;
        }
        merged.extend_from_slice(rest);
        self.ties = merged;
        let mut touched: Vec<u32> = seen.into_iter().collect();
        touched.sort_unstable();
        touched
    }

    /// Who is who among these records, told by their places in the list: what one run over them would say, and its joins with what
    /// spoke for them. All other records must have been dropped. The answer has no scored pairs, and none was compared for it.
    #[must_use]
    pub fn answer(&self, rows: &[u32], review_at: f32) -> (Resolution, Vec<Tie>) {
        let mut place = vec![u32::MAX; self.roster.len()];
        let mut least = vec![u32::MAX; self.roster.len()];
        let mut person = Vec::with_capacity(rows.len());
        for (at, row) in (0_u32..).zip(rows) {
            place[*row as usize] = at;
            let least = &mut least[self.person[*row as usize] as usize];
            *least = at.min(*least);
            person.push(*least);
        }
        let moved = |one: u32, two: u32, chance: f32| {
            let (one, two) = (place[one as usize], place[two as usize]);
            (one.max(two) != u32::MAX).then_some(Doubt { one: one.min(two), two: one.max(two), chance })
        };
        let Decisions { same, different } = &self.said;
        let is_decided = |pair: &Pair| {
            let pair = (pair.one, pair.two);
            same.binary_search(&pair).is_ok() || different.binary_search(&pair).is_ok()
        };
        let order = |at: u32| self.roster.records[rows[at as usize] as usize].order;
        let tie = |tie: &Tie| Some(Tie { pair: moved(tie.pair.one, tie.pair.two, tie.pair.chance)?, ..*tie });
        let ties: Vec<Tie> = self.ties.iter().filter_map(tie).collect();
        let joins = ties.iter().map(|tie| tie.pair).collect();
        let mut doubts = Vec::new();
        self.near.each(|pair| {
            let is_one = self.person[pair.one as usize] == self.person[pair.two as usize];
            if pair.chance >= review_at && !is_one && !is_decided(&pair) {
                doubts.extend(moved(pair.one, pair.two, pair.chance));
            }
        });
        (concluded(person, joins, doubts, order), ties)
    }

    /// Writes the index, without its model.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, to: &mut dyn Write) -> Result<(), Error> {
        let mut out = Out::new(to);
        out.u64(MARK);
        out.text(&self.model.version());
        out.u64(u64::from(self.merge_at.to_bits()));
        out.u64(self.stamp.cast_unsigned());
        self.roster.write(&mut out);
        self.counts.write(&mut out);
        out.u64s(self.marks.iter().copied());
        self.shelf.write(&mut out);
        Near::of(&self.near.all(), self.roster.len()).write(&mut out);
        for said in [&self.said.same, &self.said.different] {
            out.rows(said.iter().map(|(one, two)| [*one, *two]));
        }
        out.u32s(self.person.iter().copied());
        out.rows(self.ties.iter().map(|Tie { pair, .. }| [pair.one, pair.two, pair.chance.to_bits()]));
        out.u64s(self.ties.iter().map(|tie| tie.spoke.0));
        out.finish()
    }

    /// The index of so many bytes, if they are whole, of this format, of this model, and were grouped by this threshold.
    #[must_use]
    pub fn read(from: &mut dyn Read, bytes: u64, model: Model, options: &Options) -> Option<Self> {
        let mut bytes = In::new(from, bytes)?;
        let is_ours =
            bytes.u64()? == MARK && bytes.text()? == model.version() && bytes.u64()? == u64::from(options.merge_at.to_bits());
        if !is_ours {
            return None;
        }
        let stamp = bytes.u64()?.cast_signed();
        let roster = Roster::read(&mut bytes)?;
        let counts = Counts::read(&mut bytes, &roster)?;
        let marks = bytes.u64s()?;
        let shelf = Shelf::read(&mut bytes, model.left_out.iter().copied().collect())?;
        let near = Near::read(&mut bytes)?;
        let said = Decisions { same: bytes.rows(|[one, two]| (one, two))?, different: bytes.rows(|[one, two]| (one, two))? };
        let person = bytes.u32s()?;
        let pair = |[one, two, chance]: [u32; 3]| Doubt { one, two, chance: f32::from_bits(chance) };
        let ties =
            bytes.rows(pair)?.into_iter().zip(bytes.u64s()?).map(|(pair, spoke)| Tie { pair, spoke: Spoke(spoke) }).collect();
        let is_whole = marks.len() == roster.len() && person.len() == roster.len() && near.starts.len() == roster.len() + 1;
        if !is_whole || !bytes.ends_whole() {
            return None;
        }
        let rates = Rates::of(&counts);
        let (pending, loose) = (BTreeSet::new(), BTreeSet::new());
        let merge_at = options.merge_at;
        #[rustfmt::skip]
        let index = Self {
            roster, model, merge_at, counts, rates, shelf, near, said, person, ties, marks, pending, loose, changes: 0, is_stale: false, stamp,
        };
        Some(index)
    }
}

/// The lesser record first, each pair once, in order.
fn ordered(decisions: Decisions) -> Decisions {
    let sorted = |pairs: Vec<(u32, u32)>| {
        let mut pairs: Vec<(u32, u32)> = pairs.into_iter().map(|(one, two)| (one.min(two), one.max(two))).collect();
        pairs.retain(|(one, two)| one != two);
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    };
    let Decisions { same, different } = decisions;
    Decisions { same: sorted(same), different: sorted(different) }
}

/// Which records have a key.
#[derive(Debug)]
struct Shelf {
    /// The 32 bits below a key's top, then the record, in order of the whole. Keys of one top that differ in lower bits alone are
    /// taken for one: of half a thousand million looks one meets a stranger by it, who is compared as everybody is.
    slots: Vec<u64>,
    /// Where the keys with each value of the top bits begin; one more than a power of two.
    tops: Vec<u32>,
    left_out: HashSet<u64>,
    /// Keys that came since.
    fresh: HashMap<u64, Vec<u32>>,
    /// Records whose keys in `slots` are not theirs any more.
    moved: HashSet<u32>,
}

impl Shelf {
    fn of(entries: &[Entry], left_out: HashSet<u64>) -> Self {
        let bits = (entries.len() / KEYS_PER_TOP).max(2).ilog2();
        let mut shelf = Self::empty(1 << bits, left_out);
        shelf.slots = entries.iter().map(|(key, row)| shelf.slot(*key, *row).1).collect();
        shelf.count(entries.iter().map(|(key, _)| key >> (u64::BITS - bits)));
        shelf
    }

    fn empty(tops: usize, left_out: HashSet<u64>) -> Self {
        Self { slots: Vec::new(), tops: vec![0; tops + 1], left_out, fresh: HashMap::new(), moved: HashSet::new() }
    }

    /// Counts how often each top is there.
    fn count(&mut self, tops: impl Iterator<Item = u64>) {
        for top in tops {
            self.tops[top as usize + 1] += 1;
        }
        for top in 1..self.tops.len() {
            self.tops[top] += self.tops[top - 1];
        }
    }

    /// The top of a key, and its slot there.
    fn slot(&self, key: u64, row: u32) -> (usize, u64) {
        let bits = (self.tops.len() - 1).ilog2();
        ((key >> (u64::BITS - bits)) as usize, key << bits >> u32::BITS << u32::BITS | u64::from(row))
    }

    fn read(bytes: &mut In<'_>, left_out: HashSet<u64>) -> Option<Self> {
        let (slots, tops) = (bytes.u64s()?, bytes.u32s()?);
        let is_whole = tops.len() > 2 && (tops.len() - 1).is_power_of_two();
        is_whole.then(|| Self { slots, tops, ..Self::empty(0, left_out) })
    }

    /// Writes every entry that still holds.
    fn write(&self, out: &mut Out<'_>) {
        let holds = |slot: u64| self.moved.is_empty() || !self.moved.contains(&(slot as u32 >> 1));
        let mut all: Vec<(usize, u64)> = Vec::with_capacity(self.slots.len());
        for (top, bounds) in self.tops.windows(2).enumerate() {
            let slots = &self.slots[bounds[0] as usize..bounds[1] as usize];
            all.extend(slots.iter().filter(|slot| holds(**slot)).map(|slot| (top, *slot)));
        }
        all.extend(self.fresh.iter().flat_map(|(key, rows)| rows.iter().map(|row| self.slot(*key, *row))));
        all.sort_unstable();
        let mut tops = Self::empty(self.tops.len() - 1, HashSet::new());
        tops.count(all.iter().map(|(top, _)| *top as u64));
        out.u64s(all.iter().map(|(_, slot)| *slot));
        out.u32s(tops.tops.iter().copied());
    }

    /// Adds the records that have this key too, and puts the entry on the shelf.
    fn meet(&mut self, (key, me): Entry, met: &mut Vec<u32>) {
        let (top, least) = self.slot(key, 0);
        let fresh = self.fresh.entry(key).or_default();
        if !self.left_out.contains(&key) {
            let old = &self.slots[self.tops[top] as usize..self.tops[top + 1] as usize];
            let old = old.iter().skip_while(|slot| **slot < least).take_while(|slot| **slot >> u32::BITS == least >> u32::BITS);
            let old = old.map(|slot| *slot as u32).filter(|row| self.moved.is_empty() || !self.moved.contains(&(row >> 1)));
            met.extend(old.chain(fresh.iter().copied()).filter(|you| (me | you) & 1 == 1).map(|you| you >> 1));
        }
        fresh.push(me);
    }

    fn forget(&mut self, row: u32, keys: &[Entry]) {
        for (key, entry) in keys {
            if let Some(fresh) = self.fresh.get_mut(key) {
                fresh.retain(|known| known != entry);
            }
        }
        self.moved.insert(row);
    }
}

/// The scored pairs of every record, told from both sides.
#[derive(Debug)]
struct Near {
    /// Where each record's pairs begin.
    starts: Vec<u32>,
    others: Vec<u32>,
    /// A pair that is gone has none.
    chances: Vec<f32>,
    /// Pairs that came since.
    fresh: HashMap<u32, Vec<(u32, f32)>>,
}

impl Near {
    fn of(pairs: &[Pair], records: usize) -> Self {
        let mut starts = vec![0_u32; records + 2];
        for pair in pairs {
            starts[pair.one as usize + 2] += 1;
            starts[pair.two as usize + 2] += 1;
        }
        for row in 2..starts.len() {
            starts[row] += starts[row - 1];
        }
        let mut others = vec![0_u32; 2 * pairs.len()];
        let mut chances = vec![0_f32; 2 * pairs.len()];
        for pair in pairs {
            for (row, other) in [(pair.one, pair.two), (pair.two, pair.one)] {
                let next = &mut starts[row as usize + 1];
                others[*next as usize] = other;
                chances[*next as usize] = pair.chance;
                *next += 1;
            }
        }
        starts.truncate(records + 1);
        Self { starts, others, chances, fresh: HashMap::new() }
    }

    fn write(&self, out: &mut Out<'_>) {
        out.u32s(self.starts.iter().copied());
        out.u32s(self.others.iter().copied());
        out.u32s(self.chances.iter().map(|chance| chance.to_bits()));
    }

    fn read(bytes: &mut In<'_>) -> Option<Self> {
        let (starts, others) = (bytes.u32s()?, bytes.u32s()?);
        let chances = bytes.rows(|[chance]| f32::from_bits(chance))?;
        (others.len() == chances.len()).then(|| Self { starts, others, chances, fresh: HashMap::new() })
    }

    /// Makes room for records.
    fn grow(&mut self, records: usize) {
        let end = self.starts.last().copied().unwrap_or_default();
        self.starts.resize(records + 1, end);
    }

    fn add(&mut self, Pair { one, two, chance }: Pair) {
        self.fresh.entry(one).or_default().push((two, chance));
        self.fresh.entry(two).or_default().push((one, chance));
    }

    /// Every pair, once.
    fn each(&self, mut take: impl FnMut(Pair)) {
        let mut side = |one: u32, two: u32, chance: f32| {
            if one < two && chance >= KEPT {
                take(Pair { one, two, chance });
            }
        };
        for (row, bounds) in (0_u32..).zip(self.starts.windows(2)) {
            for at in bounds[0] as usize..bounds[1] as usize {
                side(row, self.others[at], self.chances[at]);
            }
        }
        for (row, pairs) in &self.fresh {
            pairs.iter().for_each(|(other, chance)| side(*row, *other, *chance));
        }
    }

    fn all(&self) -> Vec<Pair> {
        let mut all = Vec::new();
        self.each(|pair| all.push(pair));
        all.sort_unstable_by_key(|pair| (pair.one, pair.two));
        all
    }

    /// The pairs of a record.
    fn of_row(&self, row: u32) -> impl Iterator<Item = Pair> {
        let old = self.starts[row as usize] as usize..self.starts[row as usize + 1] as usize;
        let old = self.others[old.clone()].iter().copied().zip(self.chances[old].iter().copied());
        let found = old.chain(self.fresh.get(&row).into_iter().flatten().copied());
        let pair = move |(other, chance): (u32, f32)| Pair { one: row.min(other), two: row.max(other), chance };
        found.filter(|(_, chance)| *chance >= KEPT).map(pair)
    }

    /// Takes the pairs of a record away and gives those whom it was connected with.
    fn forget(&mut self, row: u32) -> Vec<u32> {
        let mut others = Vec::new();
        let pairs: Vec<Pair> = self.of_row(row).collect();
        for pair in pairs {
            let other = if pair.one == row { pair.two } else { pair.one };
            if pair.chance >= CONNECTED {
                others.push(other);
            }
            self.drop(row, other);
            self.drop(other, row);
        }
        others
    }

    /// Takes a pair away as told from one side.
    fn drop(&mut self, row: u32, other: u32) {
        let old = self.starts[row as usize] as usize..self.starts[row as usize + 1] as usize;
        for at in old.filter(|at| self.others[*at] == other) {
            self.chances[at] = 0.0;
        }
        if let Some(fresh) = self.fresh.get_mut(&row) {
            fresh.retain(|(known, _)| *known != other);
        }
    }
}
