//! Which sources have changed, with as few false alarms as were asked for.
//!
//! A source is compared with its own past: how many records, what part of them valid, which mix of values. Each comparison gives a
//! probability of being as different by chance. Over many sources and figures some are small by chance alone, so the list of alerts
//! is cut where the expected part of false ones is the rate asked for (Benjamini and Hochberg 1995).

use std::collections::BTreeMap;

/// The expected part of false alerts among those raised.
pub const FALSE_DISCOVERIES: f64 = 0.05;

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Records a day.
    Volume {
        /// In the base: records and days.
        base: (u64, f64),
        /// Now: records and days.
        now: (u64, f64),
    },
    /// A part of the records, such as those with a valid address.
    Share {
        /// In the base: of such records, of all.
        base: (u64, u64),
        /// Now.
        now: (u64, u64),
    },
    /// A mix, such as the domains of addresses: records by value.
    Mix {
        /// In the base.
        base: BTreeMap<String, u64>,
        /// Now.
        now: BTreeMap<String, u64>,
    },
}

/// One comparison of one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The source.
    pub source: String,
    /// The figure, as in `validity`.
    pub figure: String,
    /// What happened to it.
    pub change: Change,
}

/// A comparison that stands out.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// The source.
    pub source: String,
    /// The figure.
    pub figure: String,
    /// What it was: records a day, a share; zero for a mix.
    pub before: f64,
    /// What it is; for a mix the Jensen–Shannon distance in bits, from 0 to 1.
    pub now: f64,
    /// The probability of a difference this large by chance, were nothing changed.
    pub probability: f64,
}

/// The alerts, the least likely first. A comparison without records on one side says nothing and raises none.
#[must_use]
pub fn alerts(comparisons: &[Comparison], false_discoveries: f64) -> Vec<Alert> {
    let mut tested: Vec<Alert> = comparisons
        .iter()
        .filter_map(|Comparison { source, figure, change }| {
            let (before, now, probability) = change.test()?;
            Some(Alert { source: source.clone(), figure: figure.clone(), before, now, probability })
        })
        .collect();
    tested.sort_by(|a, b| {
        a.probability.total_cmp(&b.probability).then_with(|| (&a.source, &a.figure).cmp(&(&b.source, &b.figure)))
    });
    let probabilities: Vec<f64> = tested.iter().map(|alert| alert.probability).collect();
    tested.truncate(discoveries(&probabilities, false_discoveries));
    tested
}

/// How many of the probabilities, which must ascend, stand out.
#[must_use]
pub fn discoveries(ascending: &[f64], false_discoveries: f64) -> usize {
    let all = ascending.len() as f64;
    let passes = |(place, probability): (usize, &f64)| *probability <= false_discoveries * (place + 1) as f64 / all;
    ascending.iter().enumerate().rposition(passes).map_or(0, |last| last + 1)
}

impl Change {
    /// Before, now, and the two-sided probability of the difference.
    fn test(&self) -> Option<(f64, f64, f64)> {
        match self {
            Self::Volume { base: (base, base_days), now: (now, days) } => {
                if *base_days <= 0.0 || *days <= 0.0 || base + now == 0 {
                    return None;
                }
                // Given the sum of two Poisson counts, the second is binomial.
                let (all, part) = ((base + now) as f64, days / (base_days + days));
                let z = (*now as f64 - all * part) / (all * part * (1.0 - part)).sqrt();
                Some((*base as f64 / base_days, *now as f64 / days, two_sided(z)))
            }
            Self::Share { base: (base, base_all), now: (now, now_all) } => {
                if *base_all == 0 || *now_all == 0 {
                    return None;
                }
                let (m, n) = (*base_all as f64, *now_all as f64);
                let (before, after) = (*base as f64 / m, *now as f64 / n);
                let pooled = (*base + *now) as f64 / (m + n);
                let spread = (pooled * (1.0 - pooled) * (1.0 / m + 1.0 / n)).sqrt();
                let z = if spread > 0.0 { (after - before) / spread } else { 0.0 };
                Some((before, after, two_sided(z)))
            }
            Self::Mix { base, now } => mix(base, now),
        }
    }
}

/// The distance of two mixes, and the probability of the chi-squared statistic over the values that are common enough.
fn mix(base: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> Option<(f64, f64, f64)> {
    /// A value expected fewer times than this joins the others: the statistic would not follow its law.
    const EXPECTED: f64 = 5.0;
    let (m, n) = (base.values().sum::<u64>() as f64, now.values().sum::<u64>() as f64);
    if m == 0.0 || n == 0.0 {
        return None;
    }
    let count = |of: &BTreeMap<String, u64>, value: &String| of.get(value).copied().unwrap_or(0) as f64;
    let mut values: Vec<&String> = base.keys().chain(now.keys()).collect();
    values.sort_unstable();
    values.dedup();
    let (mut distance, mut chi, mut common, mut others) = (0.0, 0.0, 0.0_f64, (0.0, 0.0));
    let cell = |a: f64, b: f64| {
        let expected = [(a + b) * m / (m + n), (a + b) * n / (m + n)];
        (a - expected[0]).powi(2) / expected[0] + (b - expected[1]).powi(2) / expected[1]
    };
    for value in values {
        let (a, b) = (count(base, value), count(now, value));
        let (p, q) = (a / m, b / n);
        let middle = f64::midpoint(p, q);
        let towards = |part: f64| if part > 0.0 { part / 2.0 * (part / middle).log2() } else { 0.0 };
        distance += towards(p) + towards(q);
        if (a + b) * m.min(n) / (m + n) >= EXPECTED {
            chi += cell(a, b);
            common += 1.0;
        } else {
            others = (others.0 + a, others.1 + b);
        }
    }
    if (others.0 + others.1) * m.min(n) / (m + n) >= EXPECTED {
        chi += cell(others.0, others.1);
        common += 1.0;
    }
    if common < 2.0 {
        return None;
    }
    Some((0.0, distance, chi_squared_beyond(chi, common - 1.0)))
}

/// The probability that a chi-squared quantity is larger (Wilson and Hilferty 1931: its cube root is all but normal).
fn chi_squared_beyond(chi: f64, freedom: f64) -> f64 {
    let spread = 2.0 / (9.0 * freedom);
    let z = ((chi / freedom).cbrt() - (1.0 - spread)) / spread.sqrt();
    normal_beyond(z)
}

fn two_sided(z: f64) -> f64 {
    (2.0 * normal_beyond(z.abs())).min(1.0)
}

/// The probability that a standard normal quantity is larger. By the continued fraction in the tail, by the series before it.
pub(crate) fn normal_beyond(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - normal_beyond(-z);
    }
    let density = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
    if z > 3.0 {
        let fraction = (1..=60).rev().fold(z, |below, step| z + f64::from(step) / below);
        return density / fraction;
    }
    let (mut term, mut sum) = (z, z);
    for step in 1..100 {
        term *= z * z / f64::from(2 * step + 1);
        sum += term;
    }
    0.5 - density * sum
}
