//! How right a partition is, given the truth.

use hashbrown::HashMap;

/// Precision, recall and their harmonic mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The share of what was joined that belongs together.
    pub precision: f64,
    /// The share of what belongs together that was joined.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

impl Score {
    fn of(precision: f64, recall: f64) -> Self {
        let sum = precision + recall;
        Self { precision, recall, f1: if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 } }
    }
}

/// A partition beside the true one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Over pairs of records.
    pub pairs: Score,
    /// B-cubed: over records, each judged by its own group.
    pub records: Score,
    /// The largest group found.
    pub largest: usize,
    /// The largest true group.
    pub largest_true: usize,
}

/// Measures the groups `found` against `truth`; both give every record the number of its group.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of pairs as shares")]
pub fn quality(found: &[u32], truth: &[u32]) -> Quality {
    let count = |numbers: &[u32]| {
        let mut sizes: HashMap<u32, u64> = HashMap::new();
        numbers.iter().for_each(|number| *sizes.entry(*number).or_insert(0) += 1);
        sizes
    };
    let (found_sizes, true_sizes) = (count(found), count(truth));
    let mut both: HashMap<(u32, u32), u64> = HashMap::new();
    found.iter().zip(truth).for_each(|(one, two)| *both.entry((*one, *two)).or_insert(0) += 1);
    let pairs = |size: &u64| size * (size - 1) / 2;
    let joined: u64 = found_sizes.values().map(pairs).sum();
    let due: u64 = true_sizes.values().map(pairs).sum();
    let right: u64 = both.values().map(pairs).sum();
    let share = |part: u64, whole: u64| if whole == 0 { 1.0 } else { part as f64 / whole as f64 };
    let (mut precision, mut recall) = (0.0, 0.0);
    for ((one, two), size) in &both {
        let size = *size as f64;
        precision += size * size / found_sizes.get(one).copied().unwrap_or(1) as f64;
        recall += size * size / true_sizes.get(two).copied().unwrap_or(1) as f64;
    }
    let records = found.len().max(1) as f64;
    Quality {
        pairs: Score::of(share(right, joined), share(right, due)),
        records: Score::of(precision / records, recall / records),
        largest: size(found_sizes.values().copied().max()),
        largest_true: size(true_sizes.values().copied().max()),
    }
}

fn size(most: Option<u64>) -> usize {
    most.and_then(|most| usize::try_from(most).ok()).unwrap_or(0)
}
