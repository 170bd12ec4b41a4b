//! One run over a roster, from values to persons.

#![expect(clippy::indexing_slicing, reason = "records are numbered by the roster that everything here is made from")]
#![expect(clippy::cast_possible_truncation, reason = "records are fewer than 2^31")]
#![expect(clippy::cast_precision_loss, reason = "counts of records as shares")]

use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::{HashMap, HashSet};

use super::super::forest::Forest;
use super::Problem;
use super::block::{Block, Blocks};
use super::compare::Comparer;
use super::group::{Judge, Pair, divide};
use super::model::Model;
use super::rates::{Counts, Rates};
use super::roster::Roster;
use super::train::{Label, Patterns, train};
use super::weights::Weights;

/// How to resolve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// How many threads may work. The result does not depend on it.
    pub threads: usize,
    /// Two groups of records join when the mean chance of their pairs reaches this.
    pub merge_at: f32,
    /// Pairs of different persons with at least this chance are for a person to look at.
    pub review_at: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: 1, merge_at: 0.5, review_at: 0.2 }
    }
}

/// What people said of pairs of records, by the records' numbers. It stands above every chance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decisions {
    /// These are one person.
    pub same: Vec<(u32, u32)>,
    /// These are two.
    pub different: Vec<(u32, u32)>,
}

impl Decisions {
    /// How many pairs they are of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.same.len() + self.different.len()
    }

    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether they speak of so many records only.
    fn are_of(&self, records: usize) -> bool {
        self.same.iter().chain(&self.different).all(|(one, two)| (*one as usize) < records && (*two as usize) < records)
    }
}

/// Two records and the chance that they are one person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Doubt {
    /// One record.
    pub one: u32,
    /// The other.
    pub two: u32,
    /// The chance.
    pub chance: f32,
}

/// Who is who in a roster.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    /// For each record the number of its person: the least of the person's records.
    pub person: Vec<u32>,
    /// Pairs that join a person, the surest first: enough to hold each person together.
    pub joins: Vec<Doubt>,
    /// Pairs of two persons that may be one, the most doubtful first; at most [`MOST_DOUBTS`].
    pub doubts: Vec<Doubt>,
    /// How many such pairs there are.
    pub doubtful: usize,
    /// How many pairs were compared.
    pub compared: u64,
    /// The largest blocks.
    pub largest_blocks: Vec<Block>,
    pub(super) pairs: Vec<Pair>,
    /// Pairs as they were before somebody decided otherwise.
    pub(super) overruled: Vec<Pair>,
}

/// The most doubtful pairs that a run lists.
pub const MOST_DOUBTS: usize = 1000;

/// Bounds that a run must keep to be taken over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gates {
    /// The most records one person may have.
    pub largest: usize,
    /// The most doubtful pairs, as a share of the records.
    pub doubtful: f64,
    /// The least share of joined pairs that the model itself believes right.
    pub precision: f64,
}

impl Default for Gates {
    fn default() -> Self {
        Self { largest: 200, doubtful: 0.25, precision: 0.9 }
    }
}

/// Why a run must not be taken over.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Wild {
    /// One person got too many records.
    #[error("one person would have {found} records, more than {most}; look for a value that many people share")]
    Largest {
        /// How many.
        found: usize,
        /// The bound.
        most: usize,
    },
    /// Too much is in doubt.
    #[error("{found:.3} doubtful pairs for each record, more than {most:.3}; the records say too little to tell people apart")]
    Doubtful {
        /// The share.
        found: f64,
        /// The bound.
        most: f64,
    },
    /// The joins are too unsure.
    #[error("only {found:.3} of the joins are expected to be right, less than {least:.3}; raise the threshold or add fields")]
    Precision {
        /// The share.
        found: f64,
        /// The bound.
        least: f64,
    },
}

impl Resolution {
    /// Every pair that was not found hopeless, with its chance, ordered by the numbers of its records.
    pub fn scored(&self) -> impl Iterator<Item = Doubt> {
        self.pairs.iter().map(|pair| Doubt { one: pair.one, two: pair.two, chance: pair.chance })
    }

    /// For each record, how sure it is: the mean chance of its pairs within its person; of a record that stands alone, the chance
    /// that it is none of its neighbours.
    #[must_use]
    pub fn confidence(&self) -> Vec<f32> {
        confidence(&self.person, &self.pairs)
    }

    /// How many records each person has, by the number of the person; 0 for a number that is no person.
    #[must_use]
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0_usize; self.person.len()];
        self.person.iter().for_each(|person| sizes[*person as usize] += 1);
        sizes
    }

    /// Holds the run against bounds.
    ///
    /// # Errors
    /// It passes one of them.
    pub fn check(&self, gates: &Gates) -> Result<(), Wild> {
        let found = self.sizes().into_iter().max().unwrap_or(0);
        if found > gates.largest {
            return Err(Wild::Largest { found, most: gates.largest });
        }
        let share = self.doubtful as f64 / self.person.len().max(1) as f64;
        if share > gates.doubtful && self.person.len() >= 100 {
            return Err(Wild::Doubtful { found: share, most: gates.doubtful });
        }
        let precision = self.expected_precision();
        if precision < gates.precision {
            return Err(Wild::Precision { found: precision, least: gates.precision });
        }
        Ok(())
    }

    /// The share of joins that are right if the chances are.
    #[must_use]
    pub fn expected_precision(&self) -> f64 {
        if self.joins.is_empty() {
            return 1.0;
        }
        self.joins.iter().map(|join| f64::from(join.chance)).sum::<f64>() / self.joins.len() as f64
    }
}

/// Pairs below this chance are dropped: they can neither join groups nor need review.
pub(super) const KEPT: f32 = 0.05;
/// Components hang together by pairs of at least this chance.
pub(super) const CONNECTED: f32 = 0.2;
/// Records in a unit of work.
const UNIT: usize = 4096;
/// About so many records train the model.
const SAMPLE: u64 = 25_000;

/// Learns a model from a roster and resolves the roster by it.
///
/// # Errors
/// The decisions contradict each other, or name records that are not there.
pub fn resolve_roster(roster: &Roster, decisions: &Decisions, options: &Options) -> Result<(Resolution, Model), Problem> {
    resolve_taught(roster, decisions, &Decisions::default(), options)
}

/// Learns a model from a roster and from what people said of pairs of it, and resolves the roster by it. `labels` teach what other
/// pairs like them are, and decide nothing by themselves.
///
/// # Errors
/// The decisions contradict each other, or they or the labels name records that are not there.
pub fn resolve_taught(
    roster: &Roster,
    decisions: &Decisions,
    labels: &Decisions,
    options: &Options,
) -> Result<(Resolution, Model), Problem> {
    if !labels.are_of(roster.len()) {
        return Err(Problem::ForeignRecord);
    }
    let counts = Counts::of(roster);
    let rates = Rates::of(&counts);
    let blocks = Blocks::of(roster, &counts, None);
    let comparer = Comparer { roster, rates: &rates, counts: &counts };
    let weights = learn(&comparer, &blocks, labels, options.threads);
    let (resolution, left_out) = apply(&comparer, blocks, &weights, decisions, options)?;
    let phone_slip = counts.phone_slip;
    let (records, taught) = (roster.len() as u64, labels.len() as u64);
    let model = Model { records, labels: taught, weights, counts: counts.frozen(roster), phone_slip, left_out };
    Ok((resolution, model))
}

/// Resolves a roster by a frozen model.
///
/// # Errors
/// The decisions contradict each other, or name records that are not there.
pub fn resolve_by(roster: &Roster, model: &Model, decisions: &Decisions, options: &Options) -> Result<Resolution, Problem> {
    let mut counts = Counts::default();
    counts.thaw(model, roster);
    let rates = Rates::of(&counts);
    let blocks = Blocks::of(roster, &counts, Some(&model.left_out));
    let comparer = Comparer { roster, rates: &rates, counts: &counts };
    Ok(apply(&comparer, blocks, &model.weights, decisions, options)?.0)
}

/// The share of the true pairs that are compared at all; `truth` gives every record the number of its person.
#[must_use]
pub fn blocking_recall(roster: &Roster, truth: &[u32]) -> f64 {
    let counts = Counts::of(roster);
    let rates = Rates::of(&counts);
    let blocks = Blocks::of(roster, &counts, None);
    let comparer = Comparer { roster, rates: &rates, counts: &counts };
    let is_one = |one: u32, two: u32| truth.get(one as usize) == truth.get(two as usize);
    let (mut met, mut after) = (0_u64, Vec::new());
    for one in 0..roster.len() as u32 {
        blocks.after(one, &mut after);
        met += after.iter().filter(|two| is_one(one, **two) && !comparer.is_hopeless(one, **two)).count() as u64;
    }
    let mut sizes: HashMap<u32, u64> = HashMap::new();
    truth.iter().for_each(|person| *sizes.entry(*person).or_insert(0) += 1);
    let due: u64 = sizes.values().map(|size| size * (size - 1) / 2).sum();
    if due == 0 { 1.0 } else { met as f64 / due as f64 }
}

fn apply(
    comparer: &Comparer<'_>,
    mut blocks: Blocks,
    weights: &Weights,
    decisions: &Decisions,
    options: &Options,
) -> Result<(Resolution, Vec<u64>), Problem> {
    let records = comparer.roster.len();
    let bench = Bench { comparer, weights, said: Said::of(decisions, records)?, merge_at: options.merge_at };
    let (mut pairs, compared) = score(comparer, &blocks, weights, options.threads);
    let (left_out, largest_blocks) = (std::mem::take(&mut blocks.left_out), std::mem::take(&mut blocks.largest));
    drop(blocks);
    let overruled = bench.said.impose(&mut pairs);
    let (person, mut joins) = bench.group(&pairs, records);
    let order = |row| bench.order(row);
    let is_doubtful = |pair: &&Pair| pair.chance >= options.review_at && person[pair.one as usize] != person[pair.two as usize];
    let doubt = |pair: &Pair| Doubt { one: pair.one, two: pair.two, chance: pair.chance };
    let doubts = pairs.iter().filter(is_doubtful).map(doubt).collect();
    joins.sort_unstable_by(surest(order));
    let found = concluded(person, joins, doubts, order);
    Ok((Resolution { compared, largest_blocks, pairs, overruled, ..found }, left_out))
}

/// Runs `work` over units of records on several threads; the results stand in the order of the units.
fn in_units<T: Send>(units: usize, threads: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let unit = next.fetch_add(1, Ordering::Relaxed);
            if unit >= units {
                return done;
            }
            done.push((unit, work(unit)));
        }
    };
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        let mut all = worker();
        for other in others {
            match other.join() {
                Ok(done) => all.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_unstable_by_key(|(unit, _)| *unit);
    all.into_iter().map(|(_, result)| result).collect()
}

fn learn(comparer: &Comparer<'_>, blocks: &Blocks, labels: &Decisions, threads: usize) -> Weights {
    let records = comparer.roster.len();
    let start = Weights::start(records);
    let bar = if (records as u64) <= SAMPLE { u64::MAX } else { u64::MAX / records as u64 * SAMPLE };
    let sampled: Vec<u32> =
        (0_u32..).zip(&comparer.roster.records).filter(|(_, record)| record.order <= bar).map(|(row, _)| row).collect();
    let parts = in_units(sampled.len().div_ceil(UNIT), threads, |unit| {
        let mut patterns = Patterns::default();
        let mut around = Vec::new();
        for row in sampled.iter().skip(unit * UNIT).take(UNIT) {
            blocks.around(*row, &mut around);
            for other in around.iter().filter(|other| *other != row && !comparer.is_hopeless(*row, **other)) {
                patterns.add(&comparer.compare(*row, *other), &start);
            }
        }
        patterns
    });
    let mut patterns = Patterns::default();
    parts.iter().for_each(|part| patterns.merge(part));
    let all_pairs = sampled.len() as f64 * records.saturating_sub(1) as f64;
    let label = |is_same: bool| {
        let start = &start;
        move |(one, two): &(u32, u32)| Label::of(&comparer.compare(*one, *two), start, is_same)
    };
    let labels: Vec<Label> = labels.same.iter().map(label(true)).chain(labels.different.iter().map(label(false))).collect();
    train(&patterns, &labels, start, records, all_pairs.max(1.0))
}

fn score(comparer: &Comparer<'_>, blocks: &Blocks, weights: &Weights, threads: usize) -> (Vec<Pair>, u64) {
    // Those of one name meet the same records, which are at hand then.
    let mut rows: Vec<(u32, u32, u32)> =
        (0..).zip(&comparer.roster.records).map(|(row, record)| (record.last, record.first, row)).collect();
    rows.sort_unstable();
    let parts = in_units(rows.len().div_ceil(UNIT), threads, |unit| {
        let mut found = Vec::new();
        let mut after = Vec::new();
        let mut compared = 0;
        for (_, _, one) in rows.iter().copied().skip(unit * UNIT).take(UNIT) {
            blocks.after(one, &mut after);
            compared += after.len() as u64;
            for two in &after {
                if comparer.is_hopeless(one, *two) {
                    continue;
                }
                let chance = weights.chance(&comparer.compare(one, *two));
                if chance >= KEPT {
                    found.push(Pair { one, two: *two, chance });
                }
            }
        }
        (found, compared)
    });
    let compared = parts.iter().map(|(_, compared)| compared).sum();
    let mut pairs = Vec::with_capacity(parts.iter().map(|(found, _)| found.len()).sum());
    parts.into_iter().for_each(|(found, _)| pairs.extend(found));
    pairs.sort_unstable_by_key(|pair| u64::from(pair.one) << 32 | u64::from(pair.two));
    (pairs, compared)
}

/// Decisions, ready to be asked.
#[derive(Debug)]
pub(super) struct Said {
    tied: Vec<u32>,
    same: Vec<(u32, u32)>,
    apart: HashSet<(u32, u32)>,
}

impl Said {
    pub(super) fn of(decisions: &Decisions, records: usize) -> Result<Self, Problem> {
        if !decisions.are_of(records) {
            return Err(Problem::ForeignRecord);
        }
        let ordered = |(one, two): &(u32, u32)| (*one.min(two), *one.max(two));
        let apart: HashSet<(u32, u32)> = decisions.different.iter().map(ordered).collect();
        let mut tied = Vec::new();
        if !decisions.same.is_empty() {
            let mut forest = Forest::new(records);
            for (one, two) in &decisions.same {
                forest.union(*one, *two);
            }
            let contradicted = apart.iter().filter(|(one, two)| forest.root(*one) == forest.root(*two)).count();
            if contradicted > 0 {
                return Err(Problem::Contradiction { pairs: contradicted });
            }
            tied = (0..records as u32).map(|row| forest.root(row)).collect();
        } else if apart.iter().any(|(one, two)| one == two) {
            return Err(Problem::Contradiction { pairs: 1 });
        }
        let mut same: Vec<(u32, u32)> = decisions.same.iter().map(ordered).filter(|(one, two)| one != two).collect();
        same.sort_unstable();
        same.dedup();
        Ok(Self { tied, same, apart })
    }

    /// Makes pairs that were decided certain, or none; gives them back as they were.
    pub(super) fn impose(&self, pairs: &mut Vec<Pair>) -> Vec<Pair> {
        if self.same.is_empty() && self.apart.is_empty() {
            return Vec::new();
        }
        let overruled: Vec<Pair> = pairs.extract_if(.., |pair| self.rules(pair.one, pair.two)).collect();
        pairs.extend(self.certain().map(|(one, two)| Pair { one, two, chance: 1.0 }));
        pairs.sort_unstable_by_key(|pair| (pair.one, pair.two));
        overruled
    }

    /// Whether somebody decided of two records, the lesser first.
    pub(super) fn rules(&self, one: u32, two: u32) -> bool {
        self.apart.contains(&(one, two)) || self.same.binary_search(&(one, two)).is_ok()
    }

    /// The pairs that are one person because somebody says so.
    pub(super) fn certain(&self) -> impl Iterator<Item = (u32, u32)> {
        self.same.iter().copied()
    }
}

/// Everything that decides how components are divided.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub(super) comparer: &'a Comparer<'a>,
    pub(super) weights: &'a Weights,
    pub(super) said: Said,
    pub(super) merge_at: f32,
}

impl Judge for Bench<'_> {
    fn threshold(&self) -> f32 {
        self.merge_at
    }

    fn order(&self, row: u32) -> u64 {
        self.comparer.roster.records[row as usize].order
    }

    fn score(&self, one: u32, two: u32) -> f32 {
        if self.are_apart(one, two) { 0.0 } else { self.weights.chance(&self.comparer.compare(one, two)) }
    }

    fn tied(&self, row: u32) -> u32 {
        self.said.tied.get(row as usize).copied().unwrap_or(row)
    }

    fn are_apart(&self, one: u32, two: u32) -> bool {
        !self.said.apart.is_empty() && self.said.apart.contains(&(one.min(two), one.max(two)))
    }

    fn has_apart(&self) -> bool {
        !self.said.apart.is_empty()
    }
}

impl Bench<'_> {
    /// Who is who, and the pairs that hold the persons together.
    fn group(&self, pairs: &[Pair], records: usize) -> (Vec<u32>, Vec<Doubt>) {
        let mut forest = Forest::new(records);
        for pair in pairs.iter().filter(|pair| pair.chance >= CONNECTED) {
            forest.union(pair.one, pair.two);
        }
        let roots: Vec<u32> = (0..records as u32).map(|row| forest.root(row)).collect();
        let mut by_root: Vec<(u32, u32)> = roots.iter().copied().zip(0..).collect();
        by_root.sort_unstable();
        let mut inside: Vec<Pair> =
            pairs.iter().copied().filter(|pair| roots[pair.one as usize] == roots[pair.two as usize]).collect();
        inside.sort_unstable_by_key(|pair| (roots[pair.one as usize], pair.one, pair.two));
        let mut person: Vec<u32> = (0..records as u32).collect();
        let mut joins = Vec::new();
        let mut rest = inside.as_slice();
        for component in by_root.chunk_by(|one, two| one.0 == two.0) {
            let root = component[0].0;
            let own = rest.iter().take_while(|pair| roots[pair.one as usize] == root).count();
            let (own, after) = rest.split_at(own);
            rest = after;
            if component.len() > 1 {
                let members: Vec<u32> = component.iter().map(|(_, row)| *row).collect();
                for group in divide(&members, own, self) {
                    group.iter().for_each(|row| person[*row as usize] = group[0]);
                    self.tie(&group, own, &mut joins);
                }
            }
        }
        (person, joins)
    }

    /// The surest pairs that hold a person together; `pairs` are all within its component.
    pub(super) fn tie(&self, group: &[u32], pairs: &[Pair], joins: &mut Vec<Doubt>) {
        if group.len() < 2 {
            return;
        }
        let number = |row: u32| Some(group.binary_search(&row).ok()? as u32);
        let is_inside = |pair: &&Pair| number(pair.one).is_some() && number(pair.two).is_some();
        let doubt = |pair: &Pair| Doubt { one: pair.one, two: pair.two, chance: pair.chance };
        let mut inside: Vec<Doubt> = pairs.iter().filter(is_inside).map(doubt).collect();
        let order = |row| self.order(row);
        inside.sort_unstable_by(surest(order));
        let mut forest = Forest::new(group.len());
        for pair in inside {
            let (one, two) = (number(pair.one).unwrap_or_default(), number(pair.two).unwrap_or_default());
            if forest.root(one) != forest.root(two) {
                forest.union(one, two);
                joins.push(pair);
            }
        }
        // Average link can join by the sum of many faint pairs; what no kept pair joins is joined by its own comparison.
        let mut by_order: Vec<u32> = (0..group.len() as u32).collect();
        by_order.sort_unstable_by_key(|at| (self.order(group[*at as usize]), group[*at as usize]));
        for at in &by_order[1..] {
            if forest.root(*at) != forest.root(by_order[0]) {
                forest.union(*at, by_order[0]);
                let (one, two) = (group[by_order[0] as usize], group[*at as usize]);
                let (one, two) = (one.min(two), one.max(two));
                joins.push(Doubt { one, two, chance: self.score(one, two) });
            }
        }
    }
}

fn confidence(person: &[u32], pairs: &[Pair]) -> Vec<f32> {
    // Sums of whole numbers do not depend on the order of the pairs.
    let mut within = vec![(0_u64, 0_u32); person.len()];
    let mut outside = vec![0.0_f32; person.len()];
    for pair in pairs {
        let (one, two) = (pair.one as usize, pair.two as usize);
        for row in [one, two] {
            if person[one] == person[two] {
                #[expect(clippy::cast_sign_loss, reason = "a chance is not negative")]
                let parts = (pair.chance * PARTS).round() as u64;
                within[row].0 += parts;
                within[row].1 += 1;
            } else {
                outside[row] = outside[row].max(pair.chance);
            }
        }
    }
    let sure =
        |((sum, count), other): (&(u64, u32), f32)| if *count == 0 { 1.0 - other } else { *sum as f32 / PARTS / *count as f32 };
    within.iter().zip(outside).map(sure).collect()
}

/// Chances are summed in these parts of one.
const PARTS: f32 = 1_000_000.0;

/// What follows of persons, their joins and all doubts, in the numbers of one list of records; `order` as in [`Judge::order`].
pub(super) fn concluded(
    person: Vec<u32>,
    joins: Vec<Doubt>,
    mut doubts: Vec<Doubt>,
    order: impl Fn(u32) -> u64 + Copy,
) -> Resolution {
    let doubtful = doubts.len();
    let doubt = |pair: &Doubt| (pair.chance - 0.5).abs();
    let most_doubtful =
        |x: &Doubt, y: &Doubt| doubt(x).total_cmp(&doubt(y)).then_with(|| orders(order, x).cmp(&orders(order, y)));
    if doubtful > MOST_DOUBTS {
        doubts.select_nth_unstable_by(MOST_DOUBTS, most_doubtful);
        doubts.truncate(MOST_DOUBTS);
    }
    doubts.sort_unstable_by(most_doubtful);
    let (compared, largest_blocks, pairs, overruled) = (0, Vec::new(), Vec::new(), Vec::new());
    Resolution { person, joins, doubts, doubtful, compared, largest_blocks, pairs, overruled }
}

/// Pairs by falling chance, then by the orders of their records.
pub(super) fn surest(order: impl Fn(u32) -> u64 + Copy) -> impl Fn(&Doubt, &Doubt) -> std::cmp::Ordering {
    move |x, y| y.chance.total_cmp(&x.chance).then_with(|| orders(order, x).cmp(&orders(order, y)))
}

fn orders(order: impl Fn(u32) -> u64, pair: &Doubt) -> (u64, u64) {
    let (one, two) = (order(pair.one), order(pair.two));
    (one.min(two), one.max(two))
}
