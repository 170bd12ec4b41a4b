//! When customers buy again and whether they are still customers (BG/NBD; Fader, Hardie and Lee 2005).
//!
//! While active, a customer buys at a steady rate of their own, gamma-distributed over customers (`r`, `alpha`); after each purchase
//! they leave with a probability of their own, beta-distributed (`a`, `b`). The four numbers are those that make the histories
//! likeliest.

use std::collections::BTreeMap;

use super::{History, MIN_REPEATERS, Refusal};
use crate::{quality::shrink::ln_gamma, simplex::minimise};

/// Terms of the hypergeometric series; it converges for every finite time, slowly for times far beyond the age.
const TERMS: u32 = 200_000;

/// A fitted model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Buying {
    /// Shape of the rates.
    pub r: f64,
    /// Their scale, in the unit of time of the histories.
    pub alpha: f64,
    /// First parameter of leaving.
    pub a: f64,
    /// Second parameter of leaving.
    pub b: f64,
    /// The negative log likelihood.
    pub loss: f64,
}

impl Buying {
    /// Fits the model.
    ///
    /// # Errors
    ///
    /// If too few bought again, or the likelihood has no maximum inside.
    pub fn fit(histories: &[History]) -> Result<Self, Refusal> {
        let repeaters = histories.iter().filter(|history| history.repeats > 0).count();
        if repeaters < MIN_REPEATERS {
            return Err(Refusal::TooFew { repeaters });
        }
        // Time is measured in parts of the longest age, so that the search starts near its end in any unit.
        let unit = histories.iter().fold(0.0_f64, |most, history| most.max(history.age)) / 10.0;
        if !(unit > 0.0 && unit.is_finite()) {
            return Err(Refusal::Unsettled);
        }
        let mut counts: BTreeMap<(u32, u64, u64), f64> = BTreeMap::new();
        for History { repeats, last, age } in histories {
            *counts.entry((*repeats, (last / unit).to_bits(), (age / unit).to_bits())).or_default() += 1.0;
        }
        let rows: Vec<(f64, f64, f64, f64)> = counts
            .into_iter()
            .map(|((repeats, last, age), count)| (f64::from(repeats), f64::from_bits(last), f64::from_bits(age), count))
            .collect();
        let (place, loss) = minimise([0.0, 0.0, 0.0, 0.0], |place| negative_log_likelihood(&rows, place.map(f64::exp)));
        let [r, alpha, a, b] = place.map(f64::exp);
        if place.iter().any(|log| log.abs() > 12.0) {
            return Err(Refusal::Unsettled);
        }
        let repeats: f64 = histories.iter().map(|history| f64::from(history.repeats)).sum();
        // Densities of times in other units differ by the unit for each purchase.
        Ok(Self { r, alpha: alpha * unit, a, b, loss: loss + repeats * unit.ln() })
    }

    /// The probability that the customer will ever buy again; who bought once is a customer until they show otherwise.
    #[must_use]
    pub fn alive(&self, history: &History) -> f64 {
        let x = f64::from(history.repeats);
        if history.repeats == 0 {
            return 1.0;
        }
        let gone =
            (self.r + x) * ((self.alpha + history.age) / (self.alpha + history.last)).ln() + (self.a / (self.b + x - 1.0)).ln();
        1.0 / (1.0 + gone.exp())
    }

    /// The purchases expected within a time from now.
    #[must_use]
    pub fn expected(&self, history: &History, time: f64) -> f64 {
        if time <= 0.0 {
            return 0.0;
        }
        let x = f64::from(history.repeats);
        let (a, b, c) = (self.r + x, self.b + x, self.a + self.b + x - 1.0);
        let reach = self.alpha + history.age;
        let series = hypergeometric(a, b, c, time / (reach + time));
        let left = 1.0 - (a * (reach / (reach + time)).ln()).exp() * series;
        let gone = if history.repeats == 0 {
            0.0
        } else {
            self.a / (self.b + x - 1.0) * (a * (reach / (self.alpha + history.last)).ln()).exp()
        };
        c / (self.a - 1.0) * left / (1.0 + gone)
    }
}

fn negative_log_likelihood(rows: &[(f64, f64, f64, f64)], [r, alpha, a, b]: [f64; 4]) -> f64 {
    let shared = r * alpha.ln() - ln_gamma(r) + ln_gamma(a + b) - ln_gamma(b);
    let mut known: (f64, f64) = (-1.0, 0.0);
    let mut sum = 0.0;
    for (x, last, age, count) in rows {
        if known.0.total_cmp(x).is_ne() {
            known = (*x, ln_gamma(r + x) + ln_gamma(b + x) - ln_gamma(a + b + x));
        }
        let stayed = -(r + x) * (alpha + age).ln();
        let end = if *x > 0.0 {
            let left = a.ln() - (b + x - 1.0).max(f64::MIN_POSITIVE).ln() - (r + x) * (alpha + last).ln();
            let most = stayed.max(left);
            most + ((stayed - most).exp() + (left - most).exp()).ln()
        } else {
            stayed
        };
        sum += count * (shared + known.1 + end);
    }
    -sum
}

/// Gauss's series for an argument from zero to below one.
fn hypergeometric(a: f64, b: f64, c: f64, z: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for step in 0..TERMS {
        let n = f64::from(step);
        term *= (a + n) * (b + n) / ((c + n) * (n + 1.0)) * z;
        sum += term;
        if term.abs() < 1e-14 * sum.abs() {
            break;
        }
    }
    sum
}
