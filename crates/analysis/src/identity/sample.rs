//! How many joins are right, from a few that people check: a sample of the joined pairs, drawn by chance in layers, and what its
//! answers say of all.
//!
//! Doubtful joins are few and are most of the errors, so they are a layer of their own and are drawn more often than their share; the
//! estimate weighs each layer by all its pairs (Cochran, Sampling Techniques, 1977, chapter 5). The interval is Wilson's for as many
//! cases as the layers amount to, 1 / Σ(share² / answered) (Kish, Survey Sampling, 1965): it is somewhat wide where the large layers
//! have the fewer errors.

#![expect(clippy::cast_precision_loss, reason = "counts of pairs as shares")]

use std::collections::BinaryHeap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::quality::{Interval, Z_95, wilson_of};

/// Where the layers end, by how sure the less sure of the two leads was joined.
const ENDS: [f64; 2] = [0.99, 0.9999];
/// How many layers there are.
const LAYERS: usize = ENDS.len() + 1;

/// A joined pair: two leads of one person, by their ids, and how sure the less sure of them was joined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JoinedPair<'a> {
    /// One lead.
    pub one: &'a str,
    /// The other.
    pub two: &'a str,
    /// From 0 to 1.
    pub score: f64,
}

/// Pairs that were drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn<'a> {
    /// How many pairs each layer has.
    pub layers: Vec<u64>,
    /// Two leads, the lesser id first, and the layer of each drawn pair.
    pub pairs: Vec<(&'a str, &'a str, u32)>,
}

/// Draws so many of the pairs, the same for the same seed in whatever order they come: half by the sizes of the layers, half evenly.
pub fn draw<'a>(pairs: impl IntoIterator<Item = JoinedPair<'a>>, size: usize, seed: u64) -> Drawn<'a> {
    let mut layers = [0_u64; LAYERS];
    let mut drawn: [BinaryHeap<(u64, &str, &str)>; LAYERS] = Default::default();
    for JoinedPair { one, two, score } in pairs {
        let (one, two) = (one.min(two), one.max(two));
        let layer = ENDS.iter().filter(|end| score >= **end).count();
        let lot = xxh3_64_with_seed(format!("{one}\n{two}").as_bytes(), seed);
        if let (Some(pairs), Some(drawn)) = (layers.get_mut(layer), drawn.get_mut(layer)) {
            *pairs += 1;
            drawn.push((lot, one, two));
            if drawn.len() > size {
                drawn.pop();
            }
        }
    }
    let shares = shared(layers, size as u64);
    let mut out = Vec::new();
    for ((layer, drawn), share) in (0..).zip(drawn).zip(shares) {
        let lots = drawn.into_sorted_vec().into_iter().take(usize::try_from(share).unwrap_or(usize::MAX));
        out.extend(lots.map(|(_, one, two)| (one, two, layer)));
    }
    Drawn { layers: layers.to_vec(), pairs: out }
}

/// How many are drawn of each layer.
fn shared(layers: [u64; LAYERS], size: u64) -> [u64; LAYERS] {
    let all = layers.iter().sum::<u64>().max(1);
    let filled = layers.iter().filter(|pairs| **pairs > 0).count().max(1) as u64;
    let by_size = |pairs: u64| u64::try_from(u128::from(size / 2) * u128::from(pairs) / u128::from(all)).unwrap_or(u64::MAX);
    let mut shares = layers.map(|pairs| if pairs == 0 { 0 } else { (size / 2 / filled + by_size(pairs)).min(pairs) });
    // What small layers leave, and what rounding leaves, goes to the first that have more.
    let mut left = size.saturating_sub(shares.iter().sum());
    for (share, pairs) in shares.iter_mut().zip(layers) {
        let more = left.min(pairs - *share);
        *share += more;
        left -= more;
    }
    shares
}

/// One layer of a sample that people looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layer {
    /// How many pairs it has.
    pub pairs: u64,
    /// How many of those drawn were answered.
    pub answered: u64,
    /// How many of these are one person.
    pub right: u64,
}

/// The share of joined pairs that are right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The share.
    pub precision: f64,
    /// Where it lies in 95 of 100 samples.
    pub interval: Interval,
    /// From how many answers.
    pub answered: u64,
}

/// What the answers say of all pairs; nothing while a layer has no answer.
#[must_use]
pub fn precision(layers: &[Layer]) -> Option<Estimate> {
    let all = layers.iter().map(|layer| layer.pairs).sum::<u64>() as f64;
    let (mut precision, mut spread, mut answered) = (0.0, 0.0, 0);
    for Layer { pairs, answered: asked, right } in layers.iter().filter(|layer| layer.pairs > 0) {
        if *asked == 0 {
            return None;
        }
        let share = *pairs as f64 / all;
        precision += share * (*right).min(*asked) as f64 / *asked as f64;
        spread += share * share / *asked as f64;
        answered += asked;
    }
    (answered > 0).then(|| Estimate { precision, interval: wilson_of(precision, spread.recip(), Z_95), answered })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(ids: &[String]) -> Vec<JoinedPair<'_>> {
        let score = |at: usize| if at.is_multiple_of(10) { 0.95 } else { 1.0 };
        ids.windows(2).enumerate().map(|(at, two)| JoinedPair { one: &two[0], two: &two[1], score: score(at) }).collect()
    }

    fn ids() -> Vec<String> {
        (0..2001).map(|at| format!("led_{at:04}")).collect()
    }

    #[test]
    fn a_seed_draws_the_same_pairs_in_any_order() {
        let ids = ids();
        let mut pairs = pairs(&ids);
        let drawn = draw(pairs.clone(), 100, 5);
        pairs.reverse();
        assert_eq!(draw(pairs.clone(), 100, 5), drawn);
        assert_ne!(draw(pairs, 100, 6), drawn);
        assert_eq!((drawn.layers.as_slice(), drawn.pairs.len()), ([200, 0, 1800].as_slice(), 100));
        assert_eq!(drawn.pairs.iter().filter(|(.., layer)| *layer == 0).count(), 30);
    }

    #[test]
    fn a_sample_of_more_than_there_is_is_all_there_is() {
        let ids = ids();
        assert_eq!(draw(pairs(&ids), 5000, 1).pairs.len(), 2000);
        assert_eq!(draw([], 10, 1), Drawn { layers: vec![0; 3], pairs: Vec::new() });
    }

    #[test]
    fn one_layer_is_wilson_and_a_silent_layer_says_nothing() {
        let layer = |pairs, answered, right| Layer { pairs, answered, right };
        let found = precision(&[layer(500, 60, 58), layer(0, 0, 0)]).unwrap();
        let wilson = crate::quality::wilson(58, 60, Z_95).unwrap();
        assert!((found.interval.low - wilson.low).abs() < 1e-12 && (found.interval.high - wilson.high).abs() < 1e-12);
        assert_eq!(precision(&[layer(500, 60, 58), layer(3, 0, 0)]), None);
        assert_eq!(precision(&[]), None);
    }

    #[test]
    fn errors_weigh_by_the_layer_they_are_in() {
        let layer = |pairs, answered, right| Layer { pairs, answered, right };
        let found = precision(&[layer(100, 50, 25), layer(900, 50, 50)]).unwrap();
        assert!((found.precision - 0.95).abs() < 1e-12 && found.answered == 100);
        assert!(found.interval.covers(0.95) && found.interval.high < 1.0 && found.interval.low > 0.85);
    }

    #[test]
    fn the_interval_holds_the_truth_about_as_often_as_it_says() {
        // A world of 2,000 joined pairs, of which 3 % of the sure and 40 % of the doubtful are wrong.
        let ids = ids();
        let pairs = pairs(&ids);
        let is_right = |one: &str, layer: u32| xxh3_64_with_seed(one.as_bytes(), 77) % 100 >= if layer == 0 { 40 } else { 3 };
        let right = pairs.iter().filter(|pair| is_right(pair.one, if pair.score < 0.99 { 0 } else { 2 })).count();
        let truth = right as f64 / pairs.len() as f64;
        let held = (0..200).filter(|seed| {
            let drawn = draw(pairs.iter().copied(), 150, *seed);
            let mut layers: Vec<Layer> = drawn.layers.iter().map(|pairs| Layer { pairs: *pairs, ..Layer::default() }).collect();
            for (one, _, layer) in drawn.pairs {
                layers[layer as usize].answered += 1;
                layers[layer as usize].right += u64::from(is_right(one, layer));
            }
            precision(&layers).unwrap().interval.covers(truth)
        });
        let held = held.count();
        assert!(held >= 186, "{held} of 200");
    }
}
