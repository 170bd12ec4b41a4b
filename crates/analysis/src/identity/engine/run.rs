//! One run over a roster, from values to persons.

#![expect(clippy::indexing_slicing, reason = "records are numbered by the roster that everything here is made from")]
#![expect(clippy::cast_possible_truncation, reason = "records are fewer than 2^31")]
#![expect(clippy::cast_precision_loss, reason = "counts of records as shares")]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::block::{Block, Blocks};
use super::compare::{Comparer, FIRST, LAST, name};
use super::group::{Forest, Pair, divide};
use super::rates::{Counts, Rates};
use super::roster::Roster;
use super::train::{Patterns, train};
use super::weights::Weights;

/// How to resolve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// How many threads may work. The result does not depend on it.
    pub threads: usize,
    /// Two groups of records join when the mean chance of their pairs reaches this.
    pub merge_at: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: 1, merge_at: 0.5 }
    }
}

/// Who is who in a roster.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    /// For each record the number of its person: the least of the person's records.
    pub person: Vec<u32>,
    /// For each record, how sure it is: the mean chance of its pairs within its person; of a record that stands alone, the chance
    /// that it is none of its neighbours.
    pub confidence: Vec<f32>,
    /// How many pairs were compared.
    pub compared: u64,
    /// The largest blocks.
    pub largest_blocks: Vec<Block>,
}

/// Pairs below this chance are dropped: they can neither join groups nor need review.
const KEPT: f32 = 0.05;
/// Components hang together by pairs of at least this chance.
const CONNECTED: f32 = 0.2;
/// Records in a unit of work.
const UNIT: usize = 4096;
/// About so many records train the model.
const SAMPLE: u64 = 25_000;

/// Resolves a roster.
#[must_use]
pub fn resolve_roster(roster: &Roster, options: &Options) -> Resolution {
    let t0 = std::time::Instant::now();
    let lap = |what: &str| if std::env::var_os("HW_DEBUG").is_some() { eprintln!("{what} {:.2}", t0.elapsed().as_secs_f32()) };
    let counts = Counts::of(roster);
    lap("counts");
    let rates = Rates::of(&counts);
    let blocks = Blocks::of(roster, &counts);
    lap("blocks");let city_of_org = 0.75;
    let comparer = Comparer { roster, rates: &rates, counts: &counts, city_of_org };
    let weights = learn(&comparer, &blocks, options.threads);
    lap("learn");if std::env::var_os("HW_DEBUG").is_some() { weights.show(); }
    let (pairs, compared) = score(&comparer, &blocks, &weights, options.threads);
    lap("score");let (person, confidence) = group(&comparer, &weights, &pairs, options);
    lap("group");Resolution { person, confidence, compared, largest_blocks: blocks.largest }
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

fn learn(comparer: &Comparer<'_>, blocks: &Blocks, threads: usize) -> Weights {
    let records = comparer.roster.len();
    let start = Weights::start(records);
    let bar = if (records as u64) <= SAMPLE { u64::MAX } else { u64::MAX / records as u64 * SAMPLE };
    let sampled: Vec<u32> =
        (0_u32..).zip(&comparer.roster.id_hashes).filter(|(_, hash)| **hash <= bar).map(|(row, _)| row).collect();
    let parts = in_units(sampled.len().div_ceil(UNIT), threads, |unit| {
        let mut patterns = Patterns::default();
        let mut around = Vec::new();
        for row in sampled.iter().skip(unit * UNIT).take(UNIT) {
            blocks.around(*row, &mut around);
            for other in around.iter().filter(|other| *other != row && !comparer.is_hopeless(*row, **other)) {
                patterns.add(&comparer.compare(*row.min(other), *row.max(other)), &start);
            }
        }
        patterns
    });
    let mut patterns = Patterns::default();
    parts.iter().for_each(|part| patterns.merge(part));
    let all_pairs = sampled.len() as f64 * records.saturating_sub(1) as f64;
    train(&patterns, start, records, all_pairs.max(1.0))
}

fn score(comparer: &Comparer<'_>, blocks: &Blocks, weights: &Weights, threads: usize) -> (Vec<Pair>, u64) {
    let records = comparer.roster.len();
    let parts = in_units(records.div_ceil(UNIT), threads, |unit| {
        let mut found = Vec::new();
        let mut after = Vec::new();
        let mut compared = 0;
        for one in (unit * UNIT..records.min((unit + 1) * UNIT)).map(|row| row as u32) {
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
    (parts.into_iter().flat_map(|(found, _)| found).collect(), compared)
}

fn group(comparer: &Comparer<'_>, weights: &Weights, pairs: &[Pair], options: &Options) -> (Vec<u32>, Vec<f32>) {
    let records = comparer.roster.len();
    let mut forest = Forest::new(records);
    for pair in pairs.iter().filter(|pair| pair.chance >= CONNECTED) {
        forest.union(pair.one, pair.two);
    }
    let roots: Vec<u32> = (0..records as u32).map(|row| forest.root(row)).collect();
    let mut by_root: Vec<(u32, u32)> = roots.iter().copied().zip(0..).collect();
    by_root.sort_unstable();
    let mut of_root: Vec<Pair> = pairs.iter().copied().filter(|pair| roots[pair.one as usize] == roots[pair.two as usize]).collect();
    of_root.sort_unstable_by_key(|pair| (roots[pair.one as usize], pair.one, pair.two));
    let mut person: Vec<u32> = (0..records as u32).collect();
    let order = |row: u32| comparer.roster.id_hashes[row as usize];
    let mut score = |one: u32, two: u32| weights.chance(&comparer.compare(one, two));
    let mut rest = of_root.as_slice();
    for component in by_root.chunk_by(|one, two| one.0 == two.0) {
        let root = component[0].0;
        let own = rest.partition_point(|pair| roots[pair.one as usize] <= root);
        let (own, after) = rest.split_at(own);
        rest = after;
        if component.len() == 1 {
            continue;
        }
        let members: Vec<u32> = component.iter().map(|(_, row)| *row).collect();
        for group in divide(&members, own, options.merge_at, &order, &mut score) {
            let least = group[0];
            group.iter().for_each(|row| person[*row as usize] = least);
        }
    }
    let confidence = confidence(&person, pairs);
    let _ = (FIRST, LAST, name::SAME);
    (person, confidence)
}

fn confidence(person: &[u32], pairs: &[Pair]) -> Vec<f32> {
    let mut within = vec![(0.0_f32, 0_u32); person.len()];
    let mut outside = vec![0.0_f32; person.len()];
    for pair in pairs {
        let (one, two) = (pair.one as usize, pair.two as usize);
        for row in [one, two] {
            if person[one] == person[two] {
                within[row].0 += pair.chance;
                within[row].1 += 1;
            } else {
                outside[row] = outside[row].max(pair.chance);
            }
        }
    }
    within
        .iter()
        .zip(outside)
        .map(|((sum, count), other)| if *count == 0 { 1.0 - other } else { sum / *count as f32 })
        .collect()
}
