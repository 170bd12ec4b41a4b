//! From scored pairs to persons: average link inside every connected component.
//!
//! Two groups join when the mean chance over *all* pairs between them reaches the threshold, so one weak edge cannot join two
//! people who otherwise have nothing in common. Pairs that shared no block are scored when a component needs them.

#![expect(clippy::indexing_slicing, reason = "members are numbered within their component")]
#![expect(clippy::cast_precision_loss, reason = "sizes of groups as weights of means")]

use hashbrown::HashMap;

use super::super::forest::Forest;

/// A scored pair; `one` is below `two`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    pub(super) one: u32,
    pub(super) two: u32,
    pub(super) chance: f32,
}

/// Components up to this size are judged by all their pairs; larger ones are first taken apart at a higher chance.
const WHOLE: usize = 48;
/// The largest rest of a component that is divided by its scored pairs alone; a larger one is left in pieces, for nothing in it
/// tells one person from another.
const MOST_LINKED: usize = 400;
/// The chances at which a component that is too large falls apart.
const CUTS: [f32; 6] = [0.5, 0.8, 0.95, 0.99, 0.999, 0.9999];

/// What decides how a component is divided.
pub(super) trait Judge {
    /// Groups join at this mean chance.
    fn threshold(&self) -> f32;
    /// An order of records that no input order can change.
    fn order(&self, row: u32) -> u64;
    /// The chance that two records are one person; `one` is below `two`.
    fn score(&self, one: u32, two: u32) -> f32;
    /// Records that someone said are one person have one number.
    fn tied(&self, row: u32) -> u32;
    /// Whether someone said that two records are two persons.
    fn are_apart(&self, one: u32, two: u32) -> bool;
    /// Whether anybody said such a thing of any two.
    fn has_apart(&self) -> bool;
}

/// The groups of one component, each sorted.
pub(super) fn divide(members: &[u32], pairs: &[Pair], judge: &impl Judge) -> Vec<Vec<u32>> {
    let mut out = Vec::new();
    part(members, pairs, 0, judge, &mut out);
    out.iter_mut().for_each(|group| group.sort_unstable());
    out
}

fn part(members: &[u32], pairs: &[Pair], cut: usize, judge: &impl Judge, out: &mut Vec<Vec<u32>>) {
    if members.len() <= WHOLE || (cut == CUTS.len() && members.len() <= MOST_LINKED) {
        let mut sorted = members.to_vec();
        sorted.sort_unstable_by_key(|row| (judge.order(*row), *row));
        out.extend(linked(&sorted, pairs, judge));
        return;
    }
    if cut == CUTS.len() {
        out.extend(tied_only(members, judge));
        return;
    }
    let number: HashMap<u32, u32> = members.iter().copied().zip(0..).collect();
    let mut forest = Forest::new(members.len());
    let strong: Vec<Pair> = pairs.iter().copied().filter(|pair| pair.chance >= CUTS[cut]).collect();
    for pair in &strong {
        forest.union(number[&pair.one], number[&pair.two]);
    }
    let mut parts: HashMap<u32, (Vec<u32>, Vec<Pair>)> = HashMap::new();
    for (at, row) in (0..).zip(members) {
        parts.entry(forest.root(at)).or_default().0.push(*row);
    }
    for pair in strong {
        parts.entry(forest.root(number[&pair.one])).or_default().1.push(pair);
    }
    let mut parts: Vec<(Vec<u32>, Vec<Pair>)> = parts.into_values().collect();
    parts.sort_unstable_by(|one, two| one.0.cmp(&two.0));
    for (members, pairs) in parts {
        part(&members, &pairs, cut + 1, judge, out);
    }
}

/// What someone said is together; nothing else of a component that even the surest pairs do not take apart.
fn tied_only(members: &[u32], judge: &impl Judge) -> Vec<Vec<u32>> {
    let mut sorted: Vec<(u32, u32)> = members.iter().map(|row| (judge.tied(*row), *row)).collect();
    sorted.sort_unstable();
    sorted.chunk_by(|one, two| one.0 == two.0).map(|group| group.iter().map(|(_, row)| *row).collect()).collect()
}

/// Average link. In a small component pairs without a score are worth one; in a large one they count as strangers.
fn linked(members: &[u32], pairs: &[Pair], judge: &impl Judge) -> Vec<Vec<u32>> {
    let size = members.len();
    if size == 1 {
        return vec![members.to_vec()];
    }
    let number: HashMap<u32, usize> = members.iter().copied().zip(0..).collect();
    let mut sums = vec![f32::NAN; size * size];
    for pair in pairs {
        let (one, two) = (number[&pair.one], number[&pair.two]);
        sums[one * size + two] = pair.chance;
        sums[two * size + one] = pair.chance;
    }
    for one in 0..size {
        for two in one + 1..size {
            if sums[one * size + two].is_nan() {
                let (least, most) = (members[one].min(members[two]), members[one].max(members[two]));
                let chance = if size <= WHOLE { judge.score(least, most) } else { 0.0 };
                sums[one * size + two] = chance;
                sums[two * size + one] = chance;
            }
        }
    }
    agglomerate(members, sums, judge)
}

fn agglomerate(members: &[u32], sums: Vec<f32>, judge: &impl Judge) -> Vec<Vec<u32>> {
    let groups: Vec<Vec<u32>> = members.iter().map(|row| vec![*row]).collect();
    let mut bundle = Bundle { weights: vec![1; members.len()], groups, sums };
    // Records that were said to be one person speak with one voice: the best that any of them says.
    for two in 1..members.len() {
        let tie = judge.tied(members[two]);
        if let Some(one) = (0..two).find(|one| judge.tied(members[*one]) == tie && !bundle.groups[*one].is_empty()) {
            bundle.join(one, two, f32::max);
        }
    }
    while let Some((one, two)) = bundle.closest(judge) {
        bundle.weights[one] += bundle.weights[two];
        bundle.join(one, two, |x, y| x + y);
    }
    bundle.groups.retain(|group| !group.is_empty());
    bundle.groups
}

/// Groups of one component and the sums of the chances between them.
struct Bundle {
    groups: Vec<Vec<u32>>,
    weights: Vec<u32>,
    sums: Vec<f32>,
}

impl Bundle {
    /// Moves the second group into the first.
    fn join(&mut self, one: usize, two: usize, both: impl Fn(f32, f32) -> f32) {
        let size = self.groups.len();
        let moved = std::mem::take(&mut self.groups[two]);
        self.groups[one].extend(moved);
        for other in 0..size {
            if other != one && !self.groups[other].is_empty() {
                let sum = both(self.sums[one * size + other], self.sums[two * size + other]);
                self.sums[one * size + other] = sum;
                self.sums[other * size + one] = sum;
            }
        }
    }

    /// The two groups that are closest, if they are close enough and nobody said they are two persons.
    fn closest(&self, judge: &impl Judge) -> Option<(usize, usize)> {
        let Self { groups, weights, sums } = self;
        let size = groups.len();
        let mut best: Option<(f32, usize, usize)> = None;
        for one in 0..size {
            for two in one + 1..size {
                if groups[one].is_empty() || groups[two].is_empty() {
                    continue;
                }
                let mean = sums[one * size + two] / (weights[one] * weights[two]) as f32;
                let is_better = mean >= judge.threshold() && best.is_none_or(|(most, ..)| mean > most);
                if is_better && !are_apart(&groups[one], &groups[two], judge) {
                    best = Some((mean, one, two));
                }
            }
        }
        best.map(|(_, one, two)| (one, two))
    }
}

fn are_apart(one: &[u32], two: &[u32], judge: &impl Judge) -> bool {
    judge.has_apart() && one.iter().any(|a| two.iter().any(|b| judge.are_apart(*a, *b)))
}
