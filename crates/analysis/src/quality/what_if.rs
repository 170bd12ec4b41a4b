//! What would change if part of the budget moved from one source to another.
//!
//! Each source brings leads at its cost and customers at its rate; the rate is uncertain as its leads are few. The answer is the
//! expected change of customers with a central 95 % range, from the distributions of both rates. It takes for granted that more
//! money buys more leads of the same kind at the same price, which is truer of small moves than of large ones.

use super::{
    interval::Interval,
    shrink::{Prior, beta_quantile},
};

/// The points by which each distribution of a rate is represented, at the middle of equal parts of its probability.
const POINTS: usize = 200;

/// What is known of a source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record {
    /// The cost of one person, in the currency of the budget.
    pub cost_per_lead: f64,
    /// People.
    pub leads: u64,
    /// Of them, customers.
    pub customers: u64,
}

/// The expected change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// The change of people gained.
    pub leads: f64,
    /// The change of customers.
    pub customers: f64,
    /// The central 95 % of its distribution.
    pub interval: Interval,
    /// The probability that it is a gain.
    pub gain: f64,
}

/// Moves `amount` from one source to another. The rates are drawn to those of all sources by `prior`; without one, to nothing known
/// (Jeffreys). Nothing where a cost is not positive: what costs nothing is not bought with a budget.
#[must_use]
pub fn shift(amount: f64, from: Record, to: Record, prior: Option<Prior>) -> Option<Answer> {
    if !amount.is_finite() || from.cost_per_lead <= 0.0 || to.cost_per_lead <= 0.0 {
        return None;
    }
    let prior = prior.unwrap_or(Prior { alpha: 0.5, beta: 0.5 });
    let (fewer, more) = (amount / from.cost_per_lead, amount / to.cost_per_lead);
    let (lost, won) = (points(from, prior), points(to, prior));
    let mut changes: Vec<f64> = won.iter().flat_map(|won| lost.iter().map(move |lost| more * won - fewer * lost)).collect();
    changes.sort_unstable_by(f64::total_cmp);
    let all = changes.len() as f64;
    let quantile = |part: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of one of a length is a place in it")]
        let place = (part * all) as usize;
        changes.get(place).copied()
    };
    Some(Answer {
        leads: more - fewer,
        customers: changes.iter().sum::<f64>() / all,
        interval: Interval { low: quantile(0.025)?, high: quantile(0.975)? },
        gain: changes.iter().filter(|change| **change > 0.0).count() as f64 / all,
    })
}

fn points(record: Record, prior: Prior) -> Vec<f64> {
    let customers = record.customers.min(record.leads);
    let (a, b) = (prior.alpha + customers as f64, prior.beta + (record.leads - customers) as f64);
    (0..POINTS).map(|point| beta_quantile(a, b, (point as f64 + 0.5) / POINTS as f64)).collect()
}
