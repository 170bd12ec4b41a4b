//! What was spent, given to the days and sources it was spent on.
//!
//! A bill says an amount for a list of records, for a span of days, or for a campaign. A rule turns it into parts; the parts add up
//! to the amount to the last unit. Amounts of different currencies meet only through the rate of the day, and where that is missing
//! the amount stands apart and is named.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::Money;

/// How a bill is divided.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Among sources by the records each brought.
    PerRecord(BTreeMap<String, u64>),
    /// Among the days from the first to the last, both included, in equal parts. Days since 1970.
    PerDay {
        /// The source.
        source: String,
        /// The first day.
        first: i32,
        /// The last day.
        last: i32,
    },
    /// Among the sources of a campaign by their clicks; in equal parts where nobody clicked.
    PerCampaign(BTreeMap<String, u64>),
}

/// A part of a bill.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The source it is for; nothing where the rule names none.
    pub source: Option<String>,
    /// The day it falls on, where the rule tells one: days since 1970.
    pub day: Option<i32>,
    /// The amount in the bill's currency.
    pub amount: Decimal,
}

/// Bills longer than this many days are divided by month outside; ten years.
const MAX_DAYS: i64 = 3_660;
/// The decimals that parts are rounded to.
const DECIMALS: u32 = 6;

/// Divides a bill. What nobody can be named for is one part without a source: shown, never spread over those who had none of it.
#[must_use]
pub fn allocate(amount: Decimal, rule: &Rule) -> Vec<Part> {
    match rule {
        Rule::PerRecord(records) => by_weight(amount, records),
        Rule::PerCampaign(clicks) if clicks.values().all(|clicks| *clicks == 0) => {
            by_weight(amount, &clicks.keys().map(|source| (source.clone(), 1)).collect())
        }
        Rule::PerCampaign(clicks) => by_weight(amount, clicks),
        Rule::PerDay { source, first, last } => {
            let days = i64::from(*last) - i64::from(*first) + 1;
            if !(1..=MAX_DAYS).contains(&days) {
                return vec![Part { source: Some(source.clone()), day: Some(*first), amount }];
            }
            let shares = vec![1; usize::try_from(days).unwrap_or(1)];
            let parts = (*first..).zip(divide(amount, &shares));
            parts.map(|(day, amount)| Part { source: Some(source.clone()), day: Some(day), amount }).collect()
        }
    }
}

fn by_weight(amount: Decimal, weights: &BTreeMap<String, u64>) -> Vec<Part> {
    let used: Vec<(&String, u64)> =
        weights.iter().filter(|(_, weight)| **weight > 0).map(|(source, weight)| (source, *weight)).collect();
    if used.is_empty() {
        return vec![Part { source: None, day: None, amount }];
    }
    let parts = divide(amount, &used.iter().map(|(_, weight)| *weight).collect::<Vec<_>>());
    used.iter().zip(parts).map(|((source, _), amount)| Part { source: Some((*source).clone()), day: None, amount }).collect()
}

/// Parts in proportion to the weights: each is what is due so far less what was given, so that the last makes up the whole.
fn divide(amount: Decimal, weights: &[u64]) -> Vec<Decimal> {
    let whole: Decimal = weights.iter().map(|weight| Decimal::from(*weight)).sum();
    let (mut seen, mut given) = (Decimal::ZERO, Decimal::ZERO);
    let mut parts = Vec::with_capacity(weights.len());
    for (place, weight) in weights.iter().enumerate() {
        seen += Decimal::from(*weight);
        let due = if place + 1 == weights.len() { amount } else { (amount * (seen / whole)).round_dp(DECIMALS) };
        parts.push(due - given);
        given = due;
    }
    parts
}

/// Rates by currency and day: what one unit of it is worth in the currency of the report.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rates {
    target: String,
    by_currency: BTreeMap<String, BTreeMap<i32, Decimal>>,
}

/// A sum in one currency, and what could not be brought into it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Converted {
    /// The sum in the target currency.
    pub amount: Decimal,
    /// Amounts for whose day there is no rate, by their currency.
    pub apart: Money,
}

impl Rates {
    /// A weekend and a holiday have no rate of their own; a rate this many days old is used for them, none older.
    pub const MAX_AGE_DAYS: i32 = 7;

    /// No rates yet, into this currency.
    #[must_use]
    pub fn into(target: &str) -> Self {
        Self { target: target.to_owned(), by_currency: BTreeMap::new() }
    }

    /// Notes what one unit of a currency was worth on a day (days since 1970). A rate that is not positive is no rate.
    pub fn set(&mut self, currency: &str, day: i32, rate: Decimal) {
        if rate > Decimal::ZERO {
            self.by_currency.entry(currency.to_owned()).or_default().insert(day, rate);
        }
    }

    /// The rate noted for that very day.
    #[must_use]
    pub fn on(&self, currency: &str, day: i32) -> Option<Decimal> {
        self.by_currency.get(currency)?.get(&day).copied()
    }

    /// Brings dated amounts into the target currency, each at the rate of its own day.
    #[must_use]
    pub fn convert<'a>(&self, amounts: impl IntoIterator<Item = (i32, &'a str, Decimal)>) -> Converted {
        let mut converted = Converted::default();
        for (day, currency, amount) in amounts {
            match self.rate(currency, day) {
                Some(rate) => converted.amount += amount * rate,
                None => *converted.apart.entry(currency.to_owned()).or_default() += amount,
            }
        }
        converted
    }

    /// What one unit of a currency was worth on a day, or on the last of the seven before it that has a rate.
    #[must_use]
    pub fn rate(&self, currency: &str, day: i32) -> Option<Decimal> {
        if currency == self.target {
            return Some(Decimal::ONE);
        }
        let oldest = day.saturating_sub(Self::MAX_AGE_DAYS);
        self.by_currency.get(currency)?.range(oldest..=day).next_back().map(|(_, rate)| *rate)
    }
}
