//! Orders into histories.

use std::collections::BTreeMap;

use super::History;

const DAY_US: i64 = 86_400_000_000;

/// One order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Order<'a> {
    /// Whose it is.
    pub customer: &'a str,
    /// When: microseconds since 1970 in UTC.
    pub at_us: i64,
    /// How much, in the one currency of the call. A refund is negative.
    pub amount: f64,
}

/// What somebody bought. Times are in days.
#[derive(Debug, Clone, PartialEq)]
pub struct Purchases {
    /// The customer.
    pub customer: String,
    /// The history by days with a purchase: two orders of one day are one.
    pub history: History,
    /// The mean amount of a day with a purchase, the first left out; zero where there was one.
    pub repeat_mean: f64,
    /// The sum of all amounts, refunds taken off.
    pub spent: f64,
}

/// The purchases of each customer, by customer. Orders of nothing and refunds are no purchases; orders after `now_us` have not
/// happened.
#[must_use]
pub fn purchases(orders: &[Order<'_>], now_us: i64) -> Vec<Purchases> {
    let mut customers: BTreeMap<&str, (BTreeMap<i64, f64>, f64)> = BTreeMap::new();
    for Order { customer, at_us, amount } in orders.iter().filter(|order| order.at_us <= now_us && order.amount.is_finite()) {
        let (days, spent) = customers.entry(customer).or_default();
        *spent += amount;
        if *amount > 0.0 {
            *days.entry(at_us.div_euclid(DAY_US)).or_default() += amount;
        }
    }
    let today = now_us.div_euclid(DAY_US);
    customers
        .into_iter()
        .filter_map(|(customer, (days, spent))| {
            let (first, last) = (*days.keys().next()?, *days.keys().next_back()?);
            let repeats = u32::try_from(days.len() - 1).unwrap_or(u32::MAX);
            let later: f64 = days.values().skip(1).sum();
            Some(Purchases {
                customer: customer.to_owned(),
                history: History { repeats, last: (last - first) as f64, age: (today - first) as f64 },
                repeat_mean: if repeats == 0 { 0.0 } else { later / f64::from(repeats) },
                spent,
            })
        })
        .collect()
}
