//! The share that will ever convert, where part of the leads never will (mixture cure model; Boag 1949).
//!
//! A share `ultimate` converts after a time that follows Weibull's law, the others never. The likelihood of a lead that converted on
//! day `t` is `ultimate · w(t)`, that of one watched until `t` without conversion `1 - ultimate + ultimate · S(t)`. Time and share can
//! be told apart only where enough leads converted and were watched until hardly any conversion is still to come.

use super::{Z_95, interval::Interval, survival::FollowUp};
use crate::simplex::minimise;

/// Conversions below which nothing is fitted: the three parameters would follow noise.
pub const MIN_CONVERSIONS: u64 = 20;
/// The part of the conversions to come that must lie within the longest watch.
const SEEN: f64 = 0.9;

/// What was fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cure {
    /// The share that will ever convert.
    pub ultimate: f64,
    /// Its 95 % interval, from the curvature of the likelihood on the scale of log odds.
    pub interval: Interval,
    /// Weibull's shape: above one, conversions come ever faster at first.
    pub shape: f64,
    /// Weibull's scale in days: 63 % of those who convert do so by then.
    pub scale_days: f64,
    /// The negative log likelihood.
    pub loss: f64,
}

/// Leads of one age with one end, counted together.
struct Group {
    days: f64,
    converted: f64,
    watched: f64,
}

/// Fits the model; nothing with fewer than [`MIN_CONVERSIONS`], or where the watch was too short to tell slow from never.
#[must_use]
pub fn fit(leads: &[FollowUp]) -> Option<Cure> {
    if (leads.iter().filter(|lead| lead.converted).count() as u64) < MIN_CONVERSIONS {
        return None;
    }
    let groups = grouped(leads);
    let ([log_odds, shape, scale], loss) = minimise([-2.0, 0.0, 50.0_f64.ln()], |at| negative_log_likelihood(&groups, at));
    let ultimate = crate::logistic::logistic(log_odds);
    let (shape, scale_days) = (shape.exp(), scale.exp());
    let longest = groups.last().map_or(0.0, |group| group.days);
    let seen = 1.0 - (-(longest / scale_days).powf(shape)).exp();
    if seen < SEEN || !loss.is_finite() {
        return None;
    }
    let deviation = deviation(&groups, [log_odds, shape.ln(), scale])?;
    let bound = |side: f64| crate::logistic::logistic(log_odds + side * Z_95 * deviation);
    Some(Cure { ultimate, interval: Interval { low: bound(-1.0), high: bound(1.0) }, shape, scale_days, loss })
}

fn grouped(leads: &[FollowUp]) -> Vec<Group> {
    let mut sorted = leads.to_vec();
    sorted.sort_unstable_by_key(|lead| lead.days);
    let days = sorted.chunk_by(|a, b| a.days == b.days);
    days.filter_map(|day| {
        let converted = day.iter().filter(|lead| lead.converted).count();
        let first = day.first()?;
        // On the day of arrival half a day has passed on average, and a time of zero would have no density.
        Some(Group { days: f64::from(first.days).max(0.5), converted: converted as f64, watched: (day.len() - converted) as f64 })
    })
    .collect()
}

fn negative_log_likelihood(groups: &[Group], [log_odds, log_shape, log_scale]: &[f64; 3]) -> f64 {
    const LEAST: f64 = 1e-300;
    let ultimate = crate::logistic::logistic(*log_odds);
    let shape = log_shape.exp();
    let log_front = ultimate.max(LEAST).ln() + log_shape - log_scale;
    groups
        .iter()
        .map(|Group { days, converted, watched }| {
            let log_time = days.ln() - log_scale;
            let hazard = (shape * log_time).exp();
            let density = log_front + (shape - 1.0) * log_time - hazard;
            let left = (1.0 - ultimate + ultimate * (-hazard).exp()).max(LEAST);
            -converted * density.max(LEAST.ln()) - watched * left.ln()
        })
        .sum()
}

/// The standard deviation of the log odds, from the inverse of the matrix of second derivatives.
fn deviation(groups: &[Group], at: [f64; 3]) -> Option<f64> {
    const STEP: f64 = 1e-4;
    let moved = |a: usize, by_a: f64, b: usize, by_b: f64| {
        let place: [f64; 3] = std::array::from_fn(|axis| {
            let shift = if axis == a { by_a } else { 0.0 } + if axis == b { by_b } else { 0.0 };
            at.get(axis).copied().unwrap_or(0.0) + shift
        });
        negative_log_likelihood(groups, &place)
    };
    let second = |a: usize, b: usize| {
        let corners = moved(a, STEP, b, STEP) - moved(a, STEP, b, -STEP) - moved(a, -STEP, b, STEP) + moved(a, -STEP, b, -STEP);
        corners / (4.0 * STEP * STEP)
    };
    let (own, a, b) = (second(0, 0), second(0, 1), second(0, 2));
    let (aa, ab, bb) = (second(1, 1), second(1, 2), second(2, 2));
    let others = aa * bb - ab * ab;
    let whole = own * others - a * (a * bb - ab * b) + b * (a * ab - aa * b);
    let variance = others / whole;
    (variance.is_finite() && variance > 0.0).then(|| variance.sqrt())
}
