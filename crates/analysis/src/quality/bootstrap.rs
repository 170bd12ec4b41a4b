//! Intervals of mean amounts by resampling: nobody knows how money is distributed, and most people pay nothing.

use super::{Z_95, drift::normal_beyond, interval::Interval};

/// Payers below which resampling only repeats the same few: no interval is given.
pub const MIN_PAYERS: usize = 5;
/// Payers from which nothing is resampled: the expansion of what resampling would give is as near as its noise.
const MANY_PAYERS: usize = 300;
/// Payments that are drawn in all, and what that leaves of resamples: the ends of few payers are the noisiest.
const DRAWS: usize = 400_000;
const RESAMPLES: std::ops::RangeInclusive<usize> = 1_000..=10_000;
/// Resamples differ by nothing but this, so that the same people give the same interval.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The 95 % interval of the mean amount of `people`, of whom those in `amounts` paid and the others paid nothing: bootstrap over people,
/// bias-corrected and accelerated (Efron 1987); from 300 payers on by the expansion of Cornish and Fisher (Hall 1992) in its place.
///
/// The order of the amounts changes nothing but noise; give them in a fixed order. Nothing below [`MIN_PAYERS`].
///
/// ```
/// use headwater_analysis::quality::bootstrap;
///
/// let interval = bootstrap::mean(&[10.0, 12.0, 9.0, 30.0, 11.0, 8.0], 60).unwrap();
/// assert!((interval.low - 0.5).abs() < 0.1 && interval.covers(80.0 / 60.0) && (interval.high - 3.2).abs() < 0.2);
/// assert!(bootstrap::mean(&[10.0], 60).is_none());
/// ```
#[must_use]
pub fn mean(amounts: &[f64], people: u64) -> Option<Interval> {
    let payers = amounts.len();
    if payers < MIN_PAYERS || people < payers as u64 || amounts.iter().any(|amount| !amount.is_finite()) {
        return None;
    }
    let n = people as f64;
    let mean = amounts.iter().sum::<f64>() / n;
    // The people who paid nothing differ from the mean by the mean.
    let others = n - payers as f64;
    let power = |exponent: i32| {
        amounts.iter().map(|amount| (amount - mean).powi(exponent)).sum::<f64>() + others * (-mean).powi(exponent)
    };
    let squares = power(2);
    if squares <= 0.0 {
        return None;
    }
    let acceleration = power(3) / (6.0 * squares.powf(1.5));
    let interval = if payers >= MANY_PAYERS {
        expanded(mean, squares.sqrt() / n, acceleration)
    } else {
        accelerated(&resampled(amounts, people), mean, acceleration)
    };
    Some(Interval { low: interval.low.min(mean), high: interval.high.max(mean) })
}

/// What [`accelerated`] tends to: the bias of a mean is its acceleration, and a quantile of resampled means is that of a normal quantity
/// moved by the skewness.
fn expanded(mean: f64, deviation: f64, acceleration: f64) -> Interval {
    let end = |z: f64| {
        let moved = moved(z, acceleration, acceleration);
        mean + deviation * (moved + acceleration * (moved * moved - 1.0))
    };
    Interval { low: end(-Z_95), high: end(Z_95) }
}

/// The normal quantile at which an end is read, for a bias and an acceleration.
fn moved(z: f64, bias: f64, acceleration: f64) -> f64 {
    bias + (bias + z) / (1.0 - acceleration * (bias + z))
}

/// Means of resamples, ascending.
fn resampled(amounts: &[f64], people: u64) -> Vec<f64> {
    let n = people as f64;
    let paid = amounts.len() as f64 / n;
    let none = (1.0 - paid).ln();
    let mut random = Random(SEED);
    let resamples = (DRAWS / amounts.len().max(1)).clamp(*RESAMPLES.start(), *RESAMPLES.end());
    let mut means: Vec<f64> = (0..resamples)
        .map(|_| {
            let mut sum = 0.0;
            // From one drawn payer to the next the gap is geometric; those between are people who paid nothing.
            let mut drawn = 0.0;
            loop {
                drawn += if paid < 1.0 { (random.unit().ln() / none).floor() + 1.0 } else { 1.0 };
                if drawn > n {
                    break;
                }
                sum += random.one_of(amounts);
            }
            sum / n
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    means
}

/// The ends of the interval among the means, moved for their bias and for a spread that grows with the mean.
fn accelerated(means: &[f64], mean: f64, acceleration: f64) -> Interval {
    let all = means.len() as f64;
    let below = means.partition_point(|resampled| *resampled < mean) as f64;
    let up_to = means.partition_point(|resampled| *resampled <= mean) as f64;
    let bias = normal_quantile((f64::midpoint(below, up_to) / all).clamp(0.5 / all, 1.0 - 0.5 / all));
    let end = |z: f64| {
        let place = (1.0 - normal_beyond(moved(z, bias, acceleration))) * (all - 1.0);
        let at = |place: f64| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among the means")]
            let place = place.clamp(0.0, all - 1.0) as usize;
            means.get(place).copied().unwrap_or(mean)
        };
        let (low, part) = (place.floor(), place.fract());
        at(low) * (1.0 - part) + at(low + 1.0) * part
    };
    Interval { low: end(-Z_95), high: end(Z_95) }
}

/// The standard normal quantile, by halving: it is asked for once an interval.
fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if 1.0 - normal_beyond(middle) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// More than zero, less than one.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    fn one_of(&mut self, amounts: &[f64]) -> f64 {
        let place = (u128::from(self.next()) * amounts.len() as u128) >> 64;
        usize::try_from(place).ok().and_then(|place| amounts.get(place)).copied().unwrap_or_default()
    }
}
