//! What scores were worth: how well they order people, and how true they are as probabilities.

use std::collections::BTreeMap;

use crate::logistic::Design;

/// A score and what happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The source of the person.
    pub source: String,
    /// The probability that was given.
    pub probability: f64,
    /// Whether the person converted.
    pub converted: bool,
}

/// The figures of a set of scores. What needs both outcomes is nothing where there is only one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// Cases.
    pub cases: usize,
    /// Of them, those that converted.
    pub converted: usize,
    /// The mean of the probabilities.
    pub expected_rate: f64,
    /// The probability that someone who converted scored higher than someone who did not; a half is chance.
    pub auc: Option<f64>,
    /// The mean of `-ln` of the probability given to what happened.
    pub log_loss: f64,
    /// The mean squared distance of probability and outcome.
    pub brier: f64,
    /// How many times the rate of all converts among the tenth with the highest scores.
    pub lift_at_10_percent: Option<f64>,
}

/// The whole report.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// Over all cases.
    pub all: Figures,
    /// The slope of outcomes on log odds: below one the scores are too extreme, above too timid.
    pub calibration_slope: Option<f64>,
    /// The expected distance of score and rate over ten groups of equal size.
    pub calibration_error: f64,
    /// By source, ordered by name.
    pub by_source: BTreeMap<String, Figures>,
}

/// Probabilities nearer to zero or one than this count as this far: one certain mistake would be an infinite loss.
const CERTAIN: f64 = 1e-12;

/// Judges scores.
#[must_use]
pub fn report(scored: &[Scored]) -> Report {
    let mut sources: BTreeMap<&str, Vec<&Scored>> = BTreeMap::new();
    for one in scored {
        sources.entry(&one.source).or_default().push(one);
    }
    let all: Vec<&Scored> = scored.iter().collect();
    Report {
        all: figures(&all),
        calibration_slope: slope(scored),
        calibration_error: calibration_error(&all),
        by_source: sources.into_iter().map(|(source, own)| (source.to_owned(), figures(&own))).collect(),
    }
}

fn figures(scored: &[&Scored]) -> Figures {
    let n = scored.len() as f64;
    let converted = scored.iter().filter(|one| one.converted).count();
    let mean = |of: &dyn Fn(&Scored) -> f64| if n > 0.0 { scored.iter().map(|one| of(one)).sum::<f64>() / n } else { 0.0 };
    let outcome = |one: &Scored| f64::from(u8::from(one.converted));
    Figures {
        cases: scored.len(),
        converted,
        expected_rate: mean(&|one| one.probability),
        auc: auc(scored),
        log_loss: mean(&|one| {
            let of_outcome = if one.converted { one.probability } else { 1.0 - one.probability };
            -of_outcome.clamp(CERTAIN, 1.0).ln()
        }),
        brier: mean(&|one| (one.probability - outcome(one)).powi(2)),
        lift_at_10_percent: lift(scored),
    }
}

/// By ranks, with ties at their middle (Mann and Whitney).
fn auc(scored: &[&Scored]) -> Option<f64> {
    let mut sorted: Vec<&&Scored> = scored.iter().collect();
    sorted.sort_by(|a, b| a.probability.total_cmp(&b.probability));
    let converted = scored.iter().filter(|one| one.converted).count() as f64;
    let others = scored.len() as f64 - converted;
    let (mut ranks, mut before) = (0.0, 0.0);
    for tie in sorted.chunk_by(|a, b| a.probability.total_cmp(&b.probability).is_eq()) {
        let rank = before + (tie.len() as f64 + 1.0) / 2.0;
        ranks += rank * tie.iter().filter(|one| one.converted).count() as f64;
        before += tie.len() as f64;
    }
    (converted > 0.0 && others > 0.0).then(|| (ranks - converted * (converted + 1.0) / 2.0) / (converted * others))
}

fn lift(scored: &[&Scored]) -> Option<f64> {
    let tenth = scored.len() / 10;
    let converted = scored.iter().filter(|one| one.converted).count() as f64;
    if tenth == 0 || converted == 0.0 {
        return None;
    }
    let mut sorted: Vec<&&Scored> = scored.iter().collect();
    sorted.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    // Scores that tie with the last of the tenth count in the part that is still free.
    let limit = sorted.get(tenth - 1).map_or(0.0, |one| one.probability);
    let (mut found, mut tied, mut tied_converted, mut above) = (0.0, 0.0, 0.0, 0.0);
    for one in sorted {
        let hit = f64::from(u8::from(one.converted));
        if one.probability > limit {
            found += hit;
            above += 1.0;
        } else if one.probability.total_cmp(&limit).is_eq() {
            tied += 1.0;
            tied_converted += hit;
        }
    }
    found += tied_converted * (tenth as f64 - above) / f64::max(tied, 1.0);
    Some((found / tenth as f64) / (converted / scored.len() as f64))
}

fn slope(scored: &[Scored]) -> Option<f64> {
    let mut design = Design::new(1);
    for one in scored {
        let chance = one.probability.clamp(1e-6, 1.0 - 1e-6);
        design.push([(0, (chance / (1.0 - chance)).ln())], 1.0, f64::from(u8::from(one.converted)));
    }
    design.fit(1e-9).ok().and_then(|fit| fit.weights.first().copied())
}

fn calibration_error(scored: &[&Scored]) -> f64 {
    let mut sorted: Vec<&&Scored> = scored.iter().collect();
    sorted.sort_by(|a, b| a.probability.total_cmp(&b.probability));
    let group = sorted.len().div_ceil(10).max(1);
    let off = sorted
        .chunks(group)
        .map(|group| group.iter().map(|one| f64::from(u8::from(one.converted)) - one.probability).sum::<f64>().abs());
    off.sum::<f64>() / (scored.len().max(1) as f64)
}
