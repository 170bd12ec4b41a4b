//! Shallow trees, each fitted to what those before left unexplained (Friedman 2001), with second-order leaves.
//!
//! Features are cut into few bins once; a tree then only counts. No randomness: the same cases give the same trees.

use super::Case;

/// Trees.
const ROUNDS: usize = 120;
/// How much of each tree is believed.
const RATE: f64 = 0.05;
/// Questions from the root to a leaf.
const DEPTH: u32 = 3;
/// Cases that a leaf must hold.
const LEAF_CASES: usize = 40;
/// The penalty on squared leaves.
const RIDGE: f64 = 1.0;
/// Bins of a feature.
const BINS: usize = 32;

/// A sum of trees over log odds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Boosted {
    pub(super) base: f64,
    pub(super) trees: Vec<Vec<Node>>,
}

/// A node of a tree, which stands in a list with its root first. Each knows what a case that stops here would get.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Node {
    pub(super) value: f64,
    pub(super) split: Option<Split>,
}

/// A question: at most `limit` goes to `below`, more to `above`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Split {
    pub(super) feature: usize,
    pub(super) limit: f64,
    pub(super) below: usize,
    pub(super) above: usize,
}

/// The cases in bins, feature by feature.
struct Binned {
    limits: Vec<Vec<f64>>,
    bins: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    gradient: f64,
    curvature: f64,
    cases: usize,
}

impl Boosted {
    pub(super) fn train(cases: &[&Case]) -> Self {
        let binned = Binned::of(cases);
        let converted = cases.iter().filter(|case| case.converted).count() as f64;
        let all = cases.len() as f64;
        let base = (converted / (all - converted)).ln();
        let mut odds = vec![base; cases.len()];
        let mut trees = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let slopes: Vec<(f64, f64)> = odds
                .iter()
                .zip(cases)
                .map(|(odds, case)| {
                    let chance = crate::logistic::logistic(*odds);
                    (f64::from(u8::from(case.converted)) - chance, chance * (1.0 - chance))
                })
                .collect();
            let mut tree = Vec::new();
            let every: Vec<usize> = (0..cases.len()).collect();
            binned.grow(&slopes, &every, DEPTH, &mut tree);
            if tree.len() < 2 {
                break;
            }
            for (odds, case) in odds.iter_mut().zip(cases) {
                *odds += walk(&tree, &case.features).last().map_or(0.0, |node| node.value);
            }
            trees.push(tree);
        }
        Self { base, trees }
    }

    pub(super) fn log_odds(&self, features: &[f64]) -> f64 {
        self.trees.iter().fold(self.base, |sum, tree| sum + walk(tree, features).last().map_or(0.0, |node| node.value))
    }

    /// What each feature adds: how the answer changes at every question that asks for it (Saabas).
    pub(super) fn contributions(&self, features: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; features.len()];
        for tree in &self.trees {
            let path: Vec<&Node> = walk(tree, features).collect();
            for pair in path.windows(2) {
                if let [from, to] = pair
                    && let Some(out) = from.split.and_then(|split| out.get_mut(split.feature))
                {
                    *out += to.value - from.value;
                }
            }
        }
        out
    }
}

/// The nodes that a case passes from the root to its leaf.
fn walk<'a>(tree: &'a [Node], features: &'a [f64]) -> impl Iterator<Item = &'a Node> {
    std::iter::successors(tree.first(), move |node| {
        let Split { feature, limit, below, above } = node.split?;
        let value = features.get(feature).copied().unwrap_or(0.0);
        tree.get(if value <= limit { below } else { above })
    })
}

impl Binned {
    fn of(cases: &[&Case]) -> Self {
        let width = cases.iter().map(|case| case.features.len()).min().unwrap_or(0);
        let value = |case: &Case, feature: usize| case.features.get(feature).copied().unwrap_or(0.0);
        let (mut limits, mut bins) = (Vec::new(), Vec::new());
        for feature in 0..width {
            let mut values: Vec<f64> = cases.iter().map(|case| value(case, feature)).collect();
            values.sort_unstable_by(f64::total_cmp);
            let at_part = |part: usize| values.get(part * values.len() / BINS).copied();
            let mut cuts: Vec<f64> = (1..BINS).filter_map(at_part).collect();
            let mut distinct = values.clone();
            distinct.dedup();
            if distinct.len() <= BINS {
                cuts = distinct;
            }
            cuts.dedup();
            // Above the last value there is nothing.
            let top = values.last().copied();
            cuts.retain(|cut| Some(*cut) != top);
            let bin = |value: f64| u8::try_from(cuts.partition_point(|cut| *cut < value)).unwrap_or(u8::MAX);
            bins.push(cases.iter().map(|case| bin(value(case, feature))).collect());
            limits.push(cuts);
        }
        Self { limits, bins }
    }

    /// Adds the best tree for these cases to the list and says where it begins.
    fn grow(&self, slopes: &[(f64, f64)], cases: &[usize], depth: u32, tree: &mut Vec<Node>) -> usize {
        let whole = sum(slopes, cases.iter());
        let here = tree.len();
        tree.push(Node { value: RATE * whole.gradient / (whole.curvature + RIDGE), split: None });
        let best = if depth == 0 { None } else { self.best_split(slopes, cases, whole) };
        if let Some((feature, bin)) = best {
            let bins = self.bins.get(feature).map_or(&[] as &[u8], Vec::as_slice);
            let limit = self.limits.get(feature).and_then(|limits| limits.get(bin)).copied().unwrap_or(0.0);
            let (low, high): (Vec<usize>, Vec<usize>) =
                cases.iter().partition(|case| bins.get(**case).is_some_and(|own| usize::from(*own) <= bin));
            let below = self.grow(slopes, &low, depth - 1, tree);
            let above = self.grow(slopes, &high, depth - 1, tree);
            if let Some(node) = tree.get_mut(here) {
                node.split = Some(Split { feature, limit, below, above });
            }
        }
        here
    }

    fn best_split(&self, slopes: &[(f64, f64)], cases: &[usize], whole: Sums) -> Option<(usize, usize)> {
        let worth = |sums: Sums| sums.gradient * sums.gradient / (sums.curvature + RIDGE);
        let mut best: Option<(f64, (usize, usize))> = None;
        for (feature, (bins, limits)) in self.bins.iter().zip(&self.limits).enumerate() {
            let mut of_bin = [Sums::default(); BINS];
            for case in cases {
                let (Some(bin), Some(slope)) = (bins.get(*case), slopes.get(*case)) else { continue };
                if let Some(sums) = of_bin.get_mut(usize::from(*bin)) {
                    sums.add(*slope);
                }
            }
            let mut low = Sums::default();
            for (bin, sums) in of_bin.iter().enumerate().take(limits.len()) {
                low = low.plus(*sums);
                let high = whole.minus(low);
                if low.cases < LEAF_CASES || high.cases < LEAF_CASES {
                    continue;
                }
                let gain = worth(low) + worth(high) - worth(whole);
                if gain > best.map_or(1e-9, |(gain, _)| gain) {
                    best = Some((gain, (feature, bin)));
                }
            }
        }
        best.map(|(_, split)| split)
    }
}

fn sum<'a>(slopes: &[(f64, f64)], cases: impl Iterator<Item = &'a usize>) -> Sums {
    let mut sums = Sums::default();
    cases.filter_map(|case| slopes.get(*case)).for_each(|slope| sums.add(*slope));
    sums
}

impl Sums {
    fn add(&mut self, (gradient, curvature): (f64, f64)) {
        self.gradient += gradient;
        self.curvature += curvature;
        self.cases += 1;
    }

    fn plus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient + other.gradient,
            curvature: self.curvature + other.curvature,
            cases: self.cases + other.cases,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            gradient: self.gradient - other.gradient,
            curvature: self.curvature - other.curvature,
            cases: self.cases - other.cases,
        }
    }
}
