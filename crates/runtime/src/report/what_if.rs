//! What would change if budget moved from one source to another.

use headwater_analysis::quality::{SourceCounts, shrink, what_if};
use rust_decimal::prelude::ToPrimitive;
use serde::Serialize;

use super::{Measured, VERSION};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::measure::{Exchange, RUNS_READ, source_counts, spent};

/// The expected change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhatIf {
    /// The version of this shape.
    pub version: u32,
    /// The source that would get less.
    pub from: String,
    /// The source that would get more.
    pub to: String,
    /// How much would move.
    pub amount: f64,
    /// Of which currency: that in which both sources are paid.
    pub currency: String,
    /// The change of new people.
    pub people: f64,
    /// The change of customers.
    pub customers: f64,
    /// The lower end of its 95 % range.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The probability that there would be more customers.
    pub gain: f64,
}

/// Moves `amount` of the budget from one source to another, at the costs and rates so far.
///
/// # Errors
/// [`Error::Usage`] when a source is not known, has no cost, or both are not paid in one currency.
pub async fn what_if(engine: &Engine, from: &str, to: &str, amount: f64) -> Result<WhatIf> {
    let measured = Measured::load(engine).await?;
    let runs = engine.store.list_runs(RUNS_READ).await?;
    let (spent, exchange) = (spent(&measured.snapshot)?, Exchange::load(engine)?);
    let counts = source_counts(engine, &measured.snapshot, (&runs, &spent, &exchange), measured.at_us)?;
    if !(amount.is_finite() && amount > 0.0) {
        return Err(Error::Usage("the amount to move must be more than zero".to_owned()));
    }
    let ((currency, less), (other, more)) = (record(&counts, from)?, record(&counts, to)?);
    if currency != other {
        return Err(Error::Usage(format!("`{from}` is paid in {currency} and `{to}` in {other}: they cannot be compared")));
    }
    let prior = shrink::fit(&counts.iter().map(|counts| (counts.customers, counts.distinct_persons)).collect::<Vec<_>>());
    let answer = what_if::shift(amount, less, more, prior)
        .ok_or_else(|| Error::Usage("a source that costs nothing is not bought with a budget".to_owned()))?;
    Ok(WhatIf {
        version: VERSION,
        from: from.to_owned(),
        to: to.to_owned(),
        amount,
        currency,
        people: answer.leads,
        customers: answer.customers,
        low: answer.interval.low,
        high: answer.interval.high,
        gain: answer.gain,
    })
}

fn record(counts: &[SourceCounts], source: &str) -> Result<(String, what_if::Record)> {
    let known = counts.iter().find(|counts| counts.source == source);
    let counts = known.ok_or_else(|| Error::Usage(format!("there is no source `{source}` with people")))?;
    let mut costs = counts.cost.iter();
    match (costs.next(), costs.next()) {
        (Some((currency, cost)), None) if counts.net_new > 0 => {
            #[expect(clippy::cast_precision_loss, reason = "counts of people fit 53 bits")]
            let each = cost.to_f64().unwrap_or_default() / counts.net_new as f64;
            let record = what_if::Record { cost_per_lead: each, leads: counts.distinct_persons, customers: counts.customers };
            Ok((currency.clone(), record))
        }
        (None, _) => Err(Error::Usage(format!("nobody said what `{source}` cost; write it under its `cost:`"))),
        (Some(_), Some(_)) => Err(Error::Usage(format!("`{source}` is paid in several currencies"))),
        (Some(_), None) => Err(Error::Usage(format!("`{source}` has brought nobody new, so a person has no price"))),
    }
}
