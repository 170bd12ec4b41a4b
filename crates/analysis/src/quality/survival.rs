//! The share of leads that has converted by an age, where some leads are too young to tell (Kaplan and Meier).
//!
//! Conversions divided by leads call a lead of yesterday a failure. Here a lead counts only up to the age until which it was
//! watched.

use super::{
    Z_95,
    interval::{Interval, wilson},
};

/// How long one lead was watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowUp {
    /// The days from its arrival to its conversion, or to the day of the report.
    pub days: u32,
    /// Whether it converted on that day.
    pub converted: bool,
}

/// The estimate at one age.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The age in days.
    pub days: u32,
    /// The share converted by then.
    pub share: f64,
    /// Greenwood's 95 % interval on the log-log scale. Where nobody or everybody has converted it has none, and Wilson's interval
    /// of those still watched stands in; with nobody left to watch it is 0 to 1.
    pub interval: Interval,
    /// The leads that were watched at least that long and had not converted before. With none the share is only what was last seen.
    pub at_risk: u64,
}

/// The share converted by each of the given ages, in their order.
///
/// ```
/// use headwater_analysis::quality::survival::{FollowUp, kaplan_meier};
///
/// let leads = [(10, true), (20, false), (40, true), (90, false)].map(|(days, converted)| FollowUp { days, converted });
/// let estimate = kaplan_meier(&leads, &[60])[0];
/// assert_eq!((estimate.share, estimate.at_risk), (1.0 - 0.75 * 0.5, 1));
/// ```
#[must_use]
pub fn kaplan_meier(leads: &[FollowUp], ages: &[u32]) -> Vec<Estimate> {
    let mut sorted = leads.to_vec();
    sorted.sort_unstable_by_key(|lead| lead.days);
    ages.iter().map(|age| estimate(&sorted, *age)).collect()
}

/// The age by which half of all leads have converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Median {
    /// The age in days; nothing where the curve has not come to a half: not reached.
    pub days: Option<u32>,
    /// From when on the curve's 95 % band holds a half.
    pub low: Option<u32>,
    /// Until when it does.
    pub high: Option<u32>,
}

/// The median age of conversion among all leads, those that have not converted included (Brookmeyer and Crowley 1982). The mean age
/// of those who have is no answer: the slow ones are still to come.
#[must_use]
pub fn median(leads: &[FollowUp]) -> Median {
    let mut sorted = leads.to_vec();
    sorted.sort_unstable_by_key(|lead| lead.days);
    let (mut unconverted, mut variance, mut watched) = (1.0, 0.0, sorted.len());
    let mut median = Median { days: None, low: None, high: None };
    for day in sorted.chunk_by(|a, b| a.days == b.days) {
        let converted = day.iter().filter(|lead| lead.converted).count() as f64;
        let at_risk = watched as f64;
        watched -= day.len();
        if converted == 0.0 {
            continue;
        }
        unconverted *= 1.0 - converted / at_risk;
        variance += converted / (at_risk * (at_risk - converted));
        let band = log_log(unconverted, variance);
        let here = day.first().map(|lead| lead.days);
        // Rounding of the product must not miss a curve that stands at a half.
        let share = 1.0 - unconverted + 1e-12;
        median.low = median.low.or(here.filter(|_| band.map_or(share, |band| band.high) >= 0.5));
        median.days = median.days.or(here.filter(|_| share >= 0.5));
        median.high = median.high.or(here.filter(|_| band.map_or(share, |band| band.low) >= 0.5));
    }
    median
}

/// The ages at which a scorecard reads the curve.
pub const AGES_DAYS: [u32; 4] = [30, 60, 90, 180];

fn estimate(sorted: &[FollowUp], age: u32) -> Estimate {
    let mut unconverted = 1.0;
    let mut variance = 0.0;
    let mut watched = sorted.len();
    for day in sorted.chunk_by(|a, b| a.days == b.days).take_while(|day| day.first().is_some_and(|lead| lead.days <= age)) {
        let converted = day.iter().filter(|lead| lead.converted).count() as f64;
        let at_risk = watched as f64;
        unconverted *= 1.0 - converted / at_risk;
        variance += converted / (at_risk * (at_risk - converted));
        watched -= day.len();
    }
    let at_risk = sorted.iter().filter(|lead| lead.days >= age).count() as u64;
    let share = 1.0 - unconverted;
    Estimate { days: age, share, interval: log_log(unconverted, variance).unwrap_or_else(|| edge(share, at_risk)), at_risk }
}

/// The interval of the share where `unconverted` is neither none nor all.
fn log_log(unconverted: f64, variance: f64) -> Option<Interval> {
    let log = unconverted.ln();
    if unconverted <= 0.0 || log == 0.0 || !variance.is_finite() {
        return None;
    }
    let spread = Z_95 * variance.sqrt() / log.abs();
    let bound = |shift: f64| 1.0 - (-((-log).ln() + shift).exp()).exp();
    Some(Interval { low: bound(-spread), high: bound(spread) })
}

fn edge(share: f64, at_risk: u64) -> Interval {
    let successes = if share > 0.5 { at_risk } else { 0 };
    wilson(successes, at_risk, Z_95).unwrap_or(Interval { low: 0.0, high: 1.0 })
}
