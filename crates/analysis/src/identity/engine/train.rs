//! Learning without labels: expectation–maximisation on patterns of agreement.
//!
//! Pairs of a sample of records are compared once and counted by pattern, so that a round of training costs microseconds however
//! many pairs there are. Only the class of persons is learned, and how common each class is. What strangers do is fixed from the
//! counts of values, and every learned chance is drawn to its start, which keeps training on small or odd files in place.
//!
//! Where people said of pairs who they are, the answer takes the place of what the model believes of the pair. Pairs that people are
//! asked about are the doubtful ones; given the pattern that makes no difference, since it is by the pattern that they were chosen.

#![expect(clippy::indexing_slicing, reason = "levels are below LEVELS and fields below FIELDS by construction")]
#![expect(clippy::cast_precision_loss, reason = "counts of labels as weights")]
#![expect(clippy::cast_possible_truncation, reason = "patterns hold rounded logarithms of chances, within a few hundred")]

use hashbrown::HashMap;

use super::compare::{Comparison, FIELDS, LEVELS};
use super::weights::{AS_STRANGERS, Class, Weights, crowd, groups};

/// Rates are rounded to this part of one.
const STEPS: f32 = 4.0;
const ROUNDS: usize = 15;
/// How many pairs the starting chances of a group are worth.
const PULL: f64 = 60.0;

/// How many records of leads in general say with those at hand how common persons, kin and namesakes are.
const PULL_OF_CLASSES: f64 = 200.0;

/// An answer stands for itself and for the unasked pairs like it: for so many in all.
const LIKE_A_LABEL: f64 = 4.0;
/// All answers together weigh no more than this share of the persons that were seen.
const MOST_TAUGHT: f64 = 0.5;

/// No level's odds among the records of one person are learned to be more than so many times what they are in leads in general.
const MOST_ABOVE_START: f64 = 12.0;

/// Levels of the fields, and for each class what strangers make of them, rounded.
type Pattern = (u64, [i16; 3]);

/// A pair of which people said whether it is one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Label {
    pattern: Pattern,
    is_same: bool,
}

impl Label {
    pub(super) fn of(comparison: &Comparison, weights: &Weights, is_same: bool) -> Self {
        Self { pattern: pattern(comparison, weights), is_same }
    }
}

fn pattern(comparison: &Comparison, weights: &Weights) -> Pattern {
    let mut levels = 0_u64;
    for level in comparison.level {
        levels = levels << 4 | u64::from(level);
    }
    let rates = [&weights.person, &weights.kin, &weights.namesake].map(|class| {
        let spoken = (0..FIELDS).filter(|field| class.table[*field][comparison.level[*field] as usize] != AS_STRANGERS);
        let sum: f32 = spoken.filter(|field| comparison.level[*field] != 0).map(|field| comparison.rate[field]).sum();
        (sum * STEPS).round() as i16
    });
    (levels, rates)
}

/// Comparisons counted by pattern.
#[derive(Debug, Default)]
pub(super) struct Patterns(HashMap<Pattern, u32>);

impl Patterns {
    pub(super) fn add(&mut self, comparison: &Comparison, weights: &Weights) {
        *self.0.entry(pattern(comparison, weights)).or_insert(0) += 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (pattern, count) in &other.0 {
            *self.0.entry(*pattern).or_insert(0) += count;
        }
    }
}

/// Learns the weights from the compared pairs among `all_pairs` possible ones, and from what people said of some.
pub(super) fn train(patterns: &Patterns, labels: &[Label], mut weights: Weights, records: usize, all_pairs: f64) -> Weights {
    let mut counted: Vec<(Pattern, u32)> = patterns.0.iter().map(|(pattern, count)| (*pattern, *count)).collect();
    counted.sort_unstable();
    let mut labels = labels.to_vec();
    labels.sort_unstable();
    let start = weights.clone();
    for _ in 0..ROUNDS {
        let mut sums = [[0.0_f64; LEVELS]; FIELDS];
        let mut classes = [0.0_f64; 3];
        for ((levels, rates), count) in &counted {
            let (level, parts) = classed(*levels, rates, &weights);
            for (class, part) in classes.iter_mut().zip(parts) {
                *class += part * f64::from(*count);
            }
            for (field, level) in level.into_iter().enumerate() {
                sums[field][level as usize] += parts[0] * f64::from(*count);
            }
        }
        let weight = (MOST_TAUGHT * classes[0] / labels.len().max(1) as f64).min(LIKE_A_LABEL);
        for Label { pattern: (levels, rates), is_same } in &labels {
            let (level, parts) = classed(*levels, rates, &weights);
            let said = if *is_same {
                [1.0, 0.0, 0.0]
            } else {
                let others = (1.0 - parts[0]).max(f64::MIN_POSITIVE);
                [0.0, parts[1] / others, parts[2] / others]
            };
            let learned: [f64; 3] = std::array::from_fn(|class| weight * (said[class] - parts[class]));
            classes.iter_mut().zip(learned).for_each(|(class, learned)| *class = (*class + learned).max(0.0));
            for (field, level) in level.into_iter().enumerate() {
                let sum = &mut sums[field][level as usize];
                *sum = (*sum + learned[0]).max(0.0);
            }
        }
        for (field, levels) in groups() {
            let seen: f64 = levels.iter().map(|level| sums[field][*level as usize]).sum();
            let begun: Vec<f64> =
                levels.iter().map(|level| f64::from(start.person.table[field][*level as usize].exp())).collect();
            let learned =
                levels.iter().zip(&begun).map(|(level, begun)| (sums[field][*level as usize] + PULL * begun) / (seen + PULL));
            for (level, chance) in levels.iter().zip(bounded(&begun, learned.collect())) {
                weights.person.table[field][*level as usize] = chance.max(1e-4).ln() as f32;
            }
        }
        let sampled = all_pairs / (records as f64 - 1.0).max(1.0);
        let prior = |seen: f64, start: &Class, (low, high): (f64, f64)| {
            let begun = f64::from(start.prior.exp()) * crowd(records);
            let partners = (seen + PULL_OF_CLASSES * begun) / (sampled + PULL_OF_CLASSES);
            (partners.clamp(low, high) / crowd(records)).ln() as f32
        };
        weights.person.prior = prior(classes[0], &start.person, (0.05, 5.0));
        weights.kin.prior = prior(classes[1], &start.kin, (0.01, 1.0));
        weights.namesake.prior = prior(classes[2], &start.namesake, (0.02, 0.5));
        weights.derive();
    }
    weights
}

/// Chances of a group of levels, none of which is believed further above its start than [`MOST_ABOVE_START`] lets it. Else a file in
/// which nobody is twice teaches that one person's records differ in everything. What is too much goes to the other levels, as they
/// began.
fn bounded(begun: &[f64], mut chances: Vec<f64>) -> Vec<f64> {
    let bound = |begun: f64| {
        let odds = MOST_ABOVE_START * begun / (1.0 - begun).max(f64::MIN_POSITIVE);
        odds / (1.0 + odds)
    };
    let too_much: f64 = begun.iter().zip(&chances).map(|(begun, chance)| (chance - bound(*begun)).max(0.0)).sum();
    let is_over = |begun: f64, chance: f64| chance > bound(begun);
    let open: f64 =
        begun.iter().zip(&chances).filter(|(begun, chance)| !is_over(**begun, **chance)).map(|(begun, _)| begun).sum();
    for (chance, begun) in chances.iter_mut().zip(begun) {
        *chance = if is_over(*begun, *chance) { bound(*begun) } else { *chance + too_much * begun / open.max(f64::MIN_POSITIVE) };
    }
    chances
}

/// The levels of a pattern, and the shares that the three classes have in it.
fn classed(levels: u64, rates: &[i16; 3], weights: &Weights) -> ([u8; FIELDS], [f64; 3]) {
    let level = unpacked(levels);
    let classes = [(&weights.person, 0), (&weights.kin, 1), (&weights.namesake, 2)];
    let odds = classes.map(|(class, at)| odds(class, &level, rates[at]));
    let most = odds.into_iter().fold(0.0_f32, f32::max);
    let parts = odds.map(|odds| f64::from((odds - most).exp()));
    let all = parts.iter().sum::<f64>() + f64::from((-most).exp());
    (level, parts.map(|part| part / all))
}

fn unpacked(mut levels: u64) -> [u8; FIELDS] {
    let mut out = [0; FIELDS];
    for level in out.iter_mut().rev() {
        *level = (levels & 15) as u8;
        levels >>= 4;
    }
    out
}

fn odds(class: &Class, level: &[u8; FIELDS], rate: i16) -> f32 {
    let mut sum = class.prior - f32::from(rate) / STEPS;
    for (field, level) in level.iter().enumerate() {
        let chance = class.table[field][*level as usize];
        if *level != 0 && chance != AS_STRANGERS {
            sum += chance;
        }
    }
    sum
}
