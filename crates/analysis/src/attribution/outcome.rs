//! What would have happened without a channel: a model of the outcome, learned from all journeys, those that did not convert
//! included.
//!
//! The log odds of a conversion are a sum over channels of a weight times `log2(1 + touches)`, with a ridge penalty: the second touch
//! adds less than the first. The credit of a channel is the expected conversions less those expected with its touches taken away.
//! Effects may be negative, and they need not add up to the conversions: what is left would have come anyway, or belongs to no
//! single channel. Like every model of observed journeys it takes for granted that no hidden cause drives both touch and purchase.

use hashbrown::HashMap;

use super::{Error, paths::PathTable, total::Sum};
use crate::logistic::Design;

/// The penalty on the squared weights. Weak beside any channel with a hundred touches, enough to hold one that everybody or nobody
/// converted from.
const RIDGE: f64 = 1.0;

/// The conversions that would be missing without each channel, in the order of their names. Without a conversion, or without a
/// journey that did not convert, there is nothing to learn and no effect.
pub(super) fn effects(paths: &PathTable, ranks: &[u32]) -> Result<Vec<f64>, Error> {
    let channels = ranks.len();
    let mut patterns: HashMap<Vec<(u32, u32)>, [Sum; 2]> = HashMap::new();
    let mut pattern: Vec<(u32, u32)> = Vec::new();
    for (steps, row) in paths.rows() {
        let cases = row.conversions + row.nulls;
        if cases == 0.0 {
            continue;
        }
        count(steps.iter().map(|channel| ranks.get(channel.0 as usize).copied().unwrap_or(0)), &mut pattern);
        if !patterns.contains_key(&pattern) {
            patterns.insert(pattern.clone(), [Sum::default(); 2]);
        }
        if let Some([all, converted]) = patterns.get_mut(&pattern) {
            all.add(cases);
            converted.add(row.conversions);
        }
    }
    let mut patterns: Vec<_> = patterns.into_iter().collect();
    patterns.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));

    let mut design = Design::new(channels);
    for (pattern, [cases, converted]) in &patterns {
        design.push(pattern.iter().map(|(channel, touches)| (*channel, saturating(*touches))), cases.get(), converted.get());
    }
    let fit = match design.fit(RIDGE) {
        Ok(fit) => fit,
        Err(crate::logistic::Error::OneOutcome) => return Ok(vec![0.0; channels]),
        Err(crate::logistic::Error::TooWide { features }) => {
            return Err(Error::TooManyChannels {
                name: "counterfactual",
                channels: features,
                most: crate::logistic::MAX_FEATURES,
            });
        }
        Err(crate::logistic::Error::Unsettled) => return Err(Error::Unsettled),
    };
    let mut effects = vec![0.0; channels];
    for (row, cases, _) in design.rows() {
        let odds = fit.log_odds(row.iter().copied());
        let expected = crate::logistic::logistic(odds);
        for (channel, amount) in row {
            if let (Some(weight), Some(effect)) = (fit.weights.get(*channel as usize), effects.get_mut(*channel as usize)) {
                *effect += cases * (expected - crate::logistic::logistic(odds - weight * amount));
            }
        }
    }
    Ok(effects)
}

/// How often each channel occurs, by channel.
fn count(channels: impl Iterator<Item = u32>, pattern: &mut Vec<(u32, u32)>) {
    pattern.clear();
    for channel in channels {
        match pattern.iter_mut().find(|(known, _)| *known == channel) {
            Some((_, touches)) => *touches += 1,
            None => pattern.push((channel, 1)),
        }
    }
    pattern.sort_unstable();
}

fn saturating(touches: u32) -> f64 {
    f64::from(touches).ln_1p() / std::f64::consts::LN_2
}
