//! Rates of small sources, drawn towards what all sources do (empirical Bayes with a beta-binomial).
//!
//! One conversion among nine leads is no rate of 11 %. The spread of the rates over all sources tells how far to trust one of them.
//! This shrinks noise and nothing else: a young source stays under-stated.

use super::interval::Interval;

/// The distribution of rates over the sources: a beta distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Its first parameter: conversions seen before the first lead, as it were.
    pub alpha: f64,
    /// Its second parameter: the leads without conversion.
    pub beta: f64,
}

/// A rate with what the other sources say about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shrunk {
    /// The expected rate.
    pub rate: f64,
    /// The central 95 % of its distribution.
    pub interval: Interval,
}

/// The bounds within which the prior's weight is sought, as logarithms of a number of leads. Sources that differ less than
/// chance would make them have their likeliest prior at infinity.
const LOG_WEIGHT: (f64, f64) = (-4.0, 16.0);
/// The bounds of its mean, as log odds.
const LOG_ODDS: (f64, f64) = (-16.0, 16.0);
/// Steps of a golden-section search; each leaves 62 % of the bracket, and 2e1 of bracket come to 1e-9 after 50.
const SEARCH_STEPS: u32 = 50;

/// The likeliest prior for `(conversions, leads)` of each source.
///
/// There is none with fewer than two sources that have leads, nor where nobody or everybody converted.
#[must_use]
pub fn fit(sources: &[(u64, u64)]) -> Option<Prior> {
    let sources: Vec<(f64, f64)> =
        sources.iter().filter(|(_, leads)| *leads > 0).map(|(x, n)| ((*x).min(*n) as f64, *n as f64)).collect();
    let conversions: f64 = sources.iter().map(|(x, _)| x).sum();
    let leads: f64 = sources.iter().map(|(_, n)| n).sum();
    if sources.len() < 2 || conversions == 0.0 || conversions == leads {
        return None;
    }
    let best_odds = |log_weight: f64| maximise(LOG_ODDS, |log_odds| log_likelihood(prior(log_odds, log_weight), &sources));
    let log_weight = maximise(LOG_WEIGHT, |log_weight| log_likelihood(prior(best_odds(log_weight), log_weight), &sources));
    Some(prior(best_odds(log_weight), log_weight))
}

impl Prior {
    /// The rate of one source.
    #[must_use]
    pub fn shrink(self, conversions: u64, leads: u64) -> Shrunk {
        let conversions = conversions.min(leads);
        let a = self.alpha + conversions as f64;
        let b = self.beta + (leads - conversions) as f64;
        let interval = Interval { low: beta_quantile(a, b, 0.025), high: beta_quantile(a, b, 0.975) };
        Shrunk { rate: a / (a + b), interval }
    }
}

/// The value below which a beta-distributed quantity falls with the given probability.
#[must_use]
pub fn beta_quantile(a: f64, b: f64, probability: f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    // Halving needs no start value and cannot diverge; 60 times is the precision of a float near one.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if beta_cdf(a, b, middle) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

fn prior(log_odds: f64, log_weight: f64) -> Prior {
    let mean = 1.0 / (1.0 + (-log_odds).exp());
    let weight = log_weight.exp();
    Prior { alpha: weight * mean, beta: weight / (1.0 + log_odds.exp()) }
}

pub(super) fn log_likelihood(Prior { alpha, beta }: Prior, sources: &[(f64, f64)]) -> f64 {
    let base = ln_beta(alpha, beta);
    sources.iter().map(|(x, n)| ln_beta(alpha + x, beta + n - x) - base).sum()
}

/// The place of the maximum of a function with one hill.
fn maximise((mut low, mut high): (f64, f64), f: impl Fn(f64) -> f64) -> f64 {
    let golden = f64::midpoint(5.0_f64.sqrt(), -1.0);
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_left, mut at_right) = (f(left), f(right));
    for _ in 0..SEARCH_STEPS {
        if at_left < at_right {
            low = left;
            (left, at_left) = (right, at_right);
            right = low + golden * (high - low);
            at_right = f(right);
        } else {
            high = right;
            (right, at_right) = (left, at_left);
            left = high - golden * (high - low);
            at_left = f(left);
        }
    }
    f64::midpoint(low, high)
}

/// The regularised incomplete beta function by its continued fraction (modified Lentz).
fn beta_cdf(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (a * x.ln() + b * (-x).ln_1p() - ln_beta(a, b)).exp();
    // The fraction converges fast on this side of the mean only.
    if x > (a + 1.0) / (a + b + 2.0) {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    } else {
        front * beta_fraction(a, b, x) / a
    }
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    // It needs about the square root of the larger parameter in steps; this suffices for a thousand million leads.
    const STEPS: u32 = 100_000;
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..STEPS {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            change = d * c;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// Stirling's series, with the argument first lifted to where five terms give all digits.
pub(crate) fn ln_gamma(x: f64) -> f64 {
    let mut lifted = x;
    let mut product = 1.0;
    while lifted < 10.0 {
        product *= lifted;
        lifted += 1.0;
    }
    let inverse = 1.0 / lifted;
    let square = inverse * inverse;
    let series = inverse
        * (1.0 / 12.0
            - square
                * (1.0 / 360.0
                    - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square * (1.0 / 1188.0 - square * 691.0 / 360_360.0)))));
    (lifted - 0.5) * lifted.ln() - lifted + 0.5 * std::f64::consts::TAU.ln() + series - product.ln()
}
