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
use super::block::{entries, keys_of};
use super::bytes::{In, Out};
use super::compare::Comparer;
use super::explain::Spoke;
use super::group::{Pair, divide};
use super::model::Model;
use super::near::Near;
use super::rates::{Counts, Rates};
use super::roster::Roster;
use super::run::{Bench, CONNECTED, Decisions, Doubt, KEPT, Options, Resolution, Said, concluded, surest};
use super::shelf::Shelf;

/// So many records are matched at once.
const MET_AT_ONCE: usize = 16_384;
/// So many pairs are looked at before they are compared: what the processor can wait for at once, and more than once.
const AT_ONCE: usize = 64;
/// The mark and the number of the stored form.
const MARK: u64 = u64::from_le_bytes(*b"hwindex\x06");

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
    /// The pairs that hold the persons together, the surest first.
    joins: Vec<Doubt>,
    /// The fields that spoke for each.
    spoke: Vec<Spoke>,
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
        let shelf = Shelf::of(&entries(&roster, &counts), roster.len(), model.left_out.iter().copied().collect());
        let said = ordered(decisions);
        pairs.retain(|pair| said.same.binary_search(&(pair.one, pair.two)).is_err());
        pairs.extend(overruled);
        let comparer = Comparer { roster: &roster, rates: &rates, counts: &counts };
        let spoke_for = |pair: &Doubt| Spoke::of(&model.weights.person, &comparer.compare(pair.one, pair.two));
        let spoke = joins.iter().map(spoke_for).collect();
        let near = Near::of(&pairs, roster.len());
        let (pending, loose) = (BTreeSet::new(), BTreeSet::new());
        let merge_at = options.merge_at;
        #[rustfmt::skip]
        let index = Self {
            roster, model, merge_at, counts, rates, shelf, near, said, person, joins, spoke, marks, pending, loose, changes: 0, is_stale: false, stamp: 0,
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
    pub fn joins(&self) -> &[Doubt] {
        &self.joins
    }

    /// The fields that spoke for each of them.
    #[must_use]
    pub fn spoke(&self) -> &[Spoke] {
        &self.spoke
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
        self.is_stale |= self.shelf.forget(row, &keys).is_none();
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
        Ok(self.regroup(seeds, &rows, said))
    }

    /// Compares records with all that share a key with one of them, in the order in which those lie.
    fn meet(&mut self, rows: &[u32]) {
        let Self { roster, model, counts, rates, shelf, near, is_stale, .. } = self;
        let mut keys = Vec::new();
        rows.iter().for_each(|row| keys_of(roster, counts, *row..row + 1, &mut keys));
        keys.sort_unstable();
        // The other first: those are all over the place, and lie in the order of their numbers.
        let mut pairs: Vec<u64> = Vec::new();
        if shelf.meet(&keys, |other, row| pairs.push(u64::from(other) << u32::BITS | u64::from(row))).is_none() {
            *is_stale = true;
            return;
        }
        pairs.sort_unstable();
        pairs.dedup();
        let comparer = Comparer { roster, rates, counts };
        for some in pairs.chunks(AT_ONCE) {
            let some = some.iter().map(|pair| ((pair >> u32::BITS) as u32, *pair as u32));
            comparer.look_ahead(some.clone().map(|(other, _)| other));
            for (other, row) in some.filter(|(other, row)| !comparer.is_hopeless(*row, *other)) {
                let (one, two) = (row.min(other), row.max(other));
                let chance = model.weights.chance(&comparer.compare(one, two));
                if chance >= KEPT {
                    near.add(Pair { one, two, chance });
                }
            }
        }
    }

    /// Divides the components of these records anew; `came` has those, in order, that say something else than before.
    fn regroup(&mut self, seeds: BTreeSet<u32>, came: &[u32], said: Said) -> Vec<u32> {
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
        let order = |row: u32| self.roster.records[row as usize].order;
        ties.sort_unstable_by(surest(order));
        let mut is_seen = vec![false; self.roster.len()];
        seen.iter().for_each(|row| is_seen[*row as usize] = true);
        // Most joins that stood stand again, and what spoke for one is known if both records say what they said.
        let mut known: HashMap<(u32, u32), Spoke> = HashMap::new();
        let mut kept = 0;
        for at in 0..self.joins.len() {
            let (pair, spoke) = (self.joins[at], self.spoke[at]);
            if is_seen[pair.one as usize] {
                known.insert((pair.one, pair.two), spoke);
            } else {
                (self.joins[kept], self.spoke[kept]) = (pair, spoke);
                kept += 1;
            }
        }
        self.joins.truncate(kept);
        self.spoke.truncate(kept);
        let says_else = |row: u32| came.binary_search(&row).is_ok();
        let spoke_for = |pair: &Doubt| match known.get(&(pair.one, pair.two)) {
            Some(spoke) if !says_else(pair.one) && !says_else(pair.two) => *spoke,
            _ => Spoke::of(class, &comparer.compare(pair.one, pair.two)),
        };
        let spoke: Vec<Spoke> = ties.iter().map(spoke_for).collect();
        self.tie(&ties, &spoke);
        let mut touched: Vec<u32> = seen.into_iter().collect();
        touched.sort_unstable();
        touched
    }

    /// Adds joins, in order, to those that stand: from the back, so that each moves once and nothing is copied beside.
    fn tie(&mut self, ties: &[Doubt], spoke: &[Spoke]) {
        let order = |row: u32| self.roster.records[row as usize].order;
        let (mut standing, mut end) = (self.joins.len(), self.joins.len() + ties.len());
        self.joins.extend_from_slice(ties);
        self.spoke.extend_from_slice(spoke);
        for (tie, spoke) in ties.iter().zip(spoke).rev() {
            let is_after = |known: &Doubt| surest(order)(known, tie).is_gt();
            // The next place is near.
            let mut reach = 1;
            while reach < standing && is_after(&self.joins[standing - reach]) {
                reach *= 2;
            }
            let begin = standing.saturating_sub(reach);
            let place = begin + self.joins[begin..standing].partition_point(|known| !is_after(known));
            end -= standing - place;
            self.joins.copy_within(place..standing, end);
            self.spoke.copy_within(place..standing, end);
            end -= 1;
            (self.joins[end], self.spoke[end]) = (*tie, *spoke);
            standing = place;
        }
    }

    /// Who is who among these records, told by their places in the list: what one run over them would say, and what spoke for each of
    /// its joins. All other records must have been dropped. The answer has no scored pairs, and none was compared for it.
    #[must_use]
    pub fn answer(&self, rows: &[u32], review_at: f32) -> (Resolution, Vec<Spoke>) {
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
        let (mut joins, mut spoke) = (Vec::with_capacity(self.joins.len()), Vec::with_capacity(self.joins.len()));
        for (pair, why) in self.joins.iter().zip(&self.spoke) {
            if let Some(pair) = moved(pair.one, pair.two, pair.chance) {
                joins.push(pair);
                spoke.push(*why);
            }
        }
        let mut doubts = Vec::new();
        self.near.each(|pair| {
            let is_one = self.person[pair.one as usize] == self.person[pair.two as usize];
            if pair.chance >= review_at && !is_one && !is_decided(&pair) {
                doubts.extend(moved(pair.one, pair.two, pair.chance));
            }
        });
        (concluded(person, joins, doubts, order), spoke)
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
        self.counts.write(&self.roster, &mut out);
        out.u64s(self.marks.iter().copied());
        self.shelf.write(&mut out, self.roster.len());
        Near::of(&self.near.all(), self.roster.len()).write(&mut out);
        for said in [&self.said.same, &self.said.different] {
            out.rows(said.iter().map(|(one, two)| [*one, *two]));
        }
        out.u32s(self.person.iter().copied());
        out.rows(self.joins.iter().map(|pair| [pair.one, pair.two, pair.chance.to_bits()]));
        out.u64s(self.spoke.iter().map(|spoke| spoke.0));
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
        let (joins, spoke) = (bytes.rows(pair)?, bytes.longs(Spoke)?);
        let is_whole = joins.len() == spoke.len()
            && marks.len() == roster.len()
            && person.len() == roster.len()
            && near.records() == roster.len();
        if !is_whole || !bytes.ends_whole() {
            return None;
        }
        let rates = Rates::of(&counts);
        let (pending, loose) = (BTreeSet::new(), BTreeSet::new());
        let merge_at = options.merge_at;
        #[rustfmt::skip]
        let index = Self {
            roster, model, merge_at, counts, rates, shelf, near, said, person, joins, spoke, marks, pending, loose, changes: 0, is_stale: false, stamp,
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
