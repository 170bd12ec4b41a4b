//! How much a customer spends on a purchase, and what they will be worth (gamma-gamma; Fader and Hardie 2013).
//!
//! The amounts of a customer vary about a mean of their own, and the means vary over customers. A mean of two purchases is drawn
//! towards that of all more than a mean of twenty. It takes for granted that amount and frequency have nothing to do with each other.

use super::{History, MIN_REPEATERS, Refusal, buying::Buying};
use crate::{quality::shrink::ln_gamma, simplex::minimise};

/// A fitted model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spending {
    /// Shape of a customer's amounts.
    pub p: f64,
    /// Shape of the rates of their scale.
    pub q: f64,
    /// Scale of these, in the currency.
    pub v: f64,
    /// The negative log likelihood.
    pub loss: f64,
}

/// Over which time value is added up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Horizon {
    /// How many periods.
    pub periods: u32,
    /// How long each is, in the unit of the histories.
    pub length: f64,
    /// What is taken off for each period of waiting: 0.01 is one per cent.
    pub discount: f64,
}

impl Spending {
    /// Fits the model to the number of repeat purchases and their mean amount, of customers who bought again for more than nothing.
    ///
    /// # Errors
    ///
    /// If there are too few of them, or the likelihood has no maximum inside.
    pub fn fit(customers: &[(u32, f64)]) -> Result<Self, Refusal> {
        let rows: Vec<(f64, f64)> = customers
            .iter()
            .filter(|(repeats, mean)| *repeats > 0 && *mean > 0.0 && mean.is_finite())
            .map(|(repeats, mean)| (f64::from(*repeats), *mean))
            .collect();
        if rows.len() < MIN_REPEATERS {
            return Err(Refusal::TooFew { repeaters: rows.len() });
        }
        let typical = rows.iter().map(|(_, mean)| mean).sum::<f64>() / rows.len() as f64;
        let (place, loss) =
            minimise([1.0, 1.0, 0.0], |[p, q, v]| negative_log_likelihood(&rows, [p.exp(), q.exp(), v.exp() * typical]));
        if place.iter().any(|log| log.abs() > 14.0) {
            return Err(Refusal::Unsettled);
        }
        let [p, q, v] = place.map(f64::exp);
        Ok(Self { p, q, v: v * typical, loss })
    }

    /// The mean amount to expect of a customer; nothing where the model has no mean (`q` of one or less).
    #[must_use]
    pub fn mean(&self, repeats: u32, mean: f64) -> Option<f64> {
        if self.q <= 1.0 {
            return None;
        }
        let seen = self.p * f64::from(repeats);
        let own = seen / (seen + self.q - 1.0);
        Some((1.0 - own) * self.p * self.v / (self.q - 1.0) + own * mean)
    }

    /// The discounted value of the purchases to expect, each paid at the end of its period.
    #[must_use]
    pub fn lifetime_value(&self, buying: &Buying, history: &History, mean: f64, horizon: Horizon) -> Option<f64> {
        let each = self.mean(history.repeats, mean)?;
        let mut before = 0.0;
        let mut value = 0.0;
        for period in 1..=horizon.periods {
            let until = buying.expected(history, f64::from(period) * horizon.length);
            value += each * (until - before) / (1.0 + horizon.discount).powf(f64::from(period));
            before = until;
        }
        Some(value)
    }
}

fn negative_log_likelihood(rows: &[(f64, f64)], [p, q, v]: [f64; 3]) -> f64 {
    let shared = q * v.ln() - ln_gamma(q);
    let one = |(x, mean): &(f64, f64)| {
        let px = p * x;
        shared + ln_gamma(px + q) - ln_gamma(px) + (px - 1.0) * mean.ln() + px * x.ln() - (px + q) * (x * mean + v).ln()
    };
    -rows.iter().map(one).sum::<f64>()
}
