//! Products that are bought by the same customers.

use std::collections::{BTreeMap, BTreeSet};

use crate::quality::{Z_95, drift, interval::Interval, wilson};

/// Products of one customer beyond this many are left out: pairs grow with the square, and a reseller tells nothing about people.
const MAX_PRODUCTS: usize = 200;
/// Customers that a rule must rest on.
const MIN_BOTH: u64 = 5;

/// Who buys the one buys the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What they have.
    pub has: String,
    /// What they buy as well.
    pub buys: String,
    /// Customers with both.
    pub both: u64,
    /// The part of all customers that has both.
    pub support: f64,
    /// The part of those with the one that has the other.
    pub confidence: f64,
    /// Wilson's interval of it.
    pub interval: Interval,
    /// How many times as often as among all customers.
    pub lift: f64,
}

/// The rules that are no chance find, the greatest lift first: among them at most `false_discoveries` are expected to be false
/// (Benjamini and Hochberg).
#[must_use]
pub fn rules(baskets: &[BTreeSet<&str>], false_discoveries: f64) -> Vec<Rule> {
    let baskets: Vec<&BTreeSet<&str>> = baskets.iter().filter(|basket| !basket.is_empty()).collect();
    let all = baskets.len() as u64;
    let mut single: BTreeMap<&str, u64> = BTreeMap::new();
    let mut pairs: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for basket in baskets {
        let products: Vec<&str> = basket.iter().copied().take(MAX_PRODUCTS).collect();
        for (at, product) in products.iter().enumerate() {
            *single.entry(product).or_default() += 1;
            for other in products.iter().skip(at + 1) {
                *pairs.entry((product, other)).or_default() += 1;
            }
        }
    }
    let count = |product: &str| single.get(product).copied().unwrap_or(0);
    let mut tested: Vec<(f64, (&str, &str), u64)> =
        pairs.into_iter().map(|((a, b), both)| (chance(both, count(a), count(b), all), (a, b), both)).collect();
    tested.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    let probabilities: Vec<f64> = tested.iter().map(|(probability, _, _)| *probability).collect();
    tested.truncate(drift::discoveries(&probabilities, false_discoveries));
    let mut rules: Vec<Rule> = tested
        .into_iter()
        .filter(|(_, _, both)| *both >= MIN_BOTH)
        .flat_map(|(_, (a, b), both)| [(a, b, both), (b, a, both)])
        .filter_map(|(has, buys, both)| {
            let confidence = both as f64 / count(has) as f64;
            Some(Rule {
                has: has.to_owned(),
                buys: buys.to_owned(),
                both,
                support: both as f64 / all as f64,
                confidence,
                interval: wilson(both, count(has), Z_95)?,
                lift: confidence / (count(buys) as f64 / all as f64),
            })
        })
        .collect();
    rules.sort_by(|a, b| b.lift.total_cmp(&a.lift).then_with(|| (&a.has, &a.buys).cmp(&(&b.has, &b.buys))));
    rules
}

/// The probability of so many with both by chance, as the score test of two shares has it; one where there are fewer than expected.
fn chance(both: u64, a: u64, b: u64, all: u64) -> f64 {
    let (both, a, b, n) = (both as f64, a as f64, b as f64, all as f64);
    let expected = a * b / n;
    let spread = (expected * (1.0 - a / n) * (1.0 - b / n)).sqrt();
    if spread > 0.0 { drift::normal_beyond((both - 0.5 - expected) / spread) } else { 1.0 }
}
