//! Learning: which penalty, which kind, and how its scores are calibrated, all judged on people that a fit has not seen.

use super::{
    Case, Cases, MIN_OF_EACH, Model, Refusal,
    boost::Boosted,
    draw,
    linear::Linear,
    model::Kind,
    report::{Report, Scored, report},
};
use crate::logistic::{Design, logistic};

/// The penalties that are tried. They are those of standardised features, so that one unit means the same everywhere.
const RIDGES: [f64; 4] = [3.0, 30.0, 100.0, 400.0];
/// Conversions below which trees are not tried: a leaf would rest on a handful of them.
const MIN_FOR_TREES: usize = 200;
/// Digits enough to compare penalties by.
const ROUGH: f64 = 1e-4;
const FINE: f64 = 1e-9;

/// How to learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Decides into which part each person falls.
    pub seed: u64,
    /// Parts; each is left out once.
    pub folds: u64,
    /// Whether trees may be used where they are clearly better.
    pub boosting: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { seed: 42, folds: 5, boosting: true }
    }
}

/// A model with what it is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The model, fitted to all cases.
    pub model: Model,
    /// What its scores were worth for people left out of the fit.
    pub report: Report,
    /// The penalty that was chosen.
    pub ridge: f64,
}

/// The log odds of each case by fits that have not seen its person.
struct Unseen(Vec<f64>);

/// Learns from the cases. Their order does not matter.
///
/// # Errors
///
/// If there are too few of one outcome, or nothing tells the cases apart.
pub fn train(cases: &Cases, settings: Settings) -> Result<Trained, Refusal> {
    let mut rows: Vec<&Case> = cases.rows.iter().collect();
    rows.sort_by(|a, b| {
        a.person.cmp(&b.person).then_with(|| order(&a.features, &b.features)).then(a.converted.cmp(&b.converted))
    });
    let converted = rows.iter().filter(|case| case.converted).count();
    let others = rows.len() - converted;
    if converted < MIN_OF_EACH || others < MIN_OF_EACH {
        return Err(Refusal::TooFew { converted, others });
    }
    let differs = |feature: usize| {
        let first = rows.first().and_then(|case| case.features.get(feature));
        rows.iter().any(|case| case.features.get(feature) != first)
    };
    if !(0..cases.names.len()).any(differs) {
        return Err(Refusal::NoFeatures);
    }
    let fold = |case: &Case| draw(&case.person, settings.seed) % settings.folds.max(2);
    let folds: Vec<u64> = rows.iter().map(|case| fold(case)).collect();

    let mut best: Option<(f64, f64, Unseen)> = None;
    for ridge in RIDGES {
        let unseen = unseen(&rows, &folds, |seen| Ok(Kind::Linear(Linear::train(seen, ridge, ROUGH)?)))?;
        let loss: f64 = losses(&rows, &unseen).iter().sum();
        if best.as_ref().is_none_or(|(least, _, _)| loss < *least) {
            best = Some((loss, ridge, unseen));
        }
    }
    let Some((_, ridge, linear)) = best else { return Err(Refusal::NoFeatures) };
    let mut chosen = (Kind::Linear(Linear::train(&rows, ridge, FINE)?), linear);
    if settings.boosting && converted >= MIN_FOR_TREES {
        let boosted = unseen(&rows, &folds, |seen| Ok(Kind::Boosted(Boosted::train(seen))))?;
        if is_clearly_better(&losses(&rows, &boosted), &losses(&rows, &chosen.1)) {
            chosen = (Kind::Boosted(Boosted::train(&rows)), boosted);
        }
    }
    let (kind, unseen) = chosen;
    let calibration = calibrate(&rows, &unseen, |_| true)?;
    let report = report(&honest(&rows, &folds, &unseen)?);
    Ok(Trained { model: Model { names: cases.names.clone(), kind, calibration }, report, ridge })
}

fn order(a: &[f64], b: &[f64]) -> std::cmp::Ordering {
    a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
}

fn unseen(rows: &[&Case], folds: &[u64], fit: impl Fn(&[&Case]) -> Result<Kind, Refusal>) -> Result<Unseen, Refusal> {
    let mut odds = vec![0.0; rows.len()];
    let mut parts: Vec<u64> = folds.to_vec();
    parts.sort_unstable();
    parts.dedup();
    for part in parts {
        let seen: Vec<&Case> = rows.iter().zip(folds).filter(|(_, fold)| **fold != part).map(|(case, _)| *case).collect();
        let kind = fit(&seen)?;
        for ((odds, case), _) in odds.iter_mut().zip(rows).zip(folds).filter(|(_, fold)| **fold == part) {
            *odds = kind.log_odds(&case.features);
        }
    }
    Ok(Unseen(odds))
}

fn losses(rows: &[&Case], Unseen(odds): &Unseen) -> Vec<f64> {
    let loss = |odds: f64, converted: bool| odds.max(0.0) + (-odds.abs()).exp().ln_1p() - if converted { odds } else { 0.0 };
    odds.iter().zip(rows).map(|(odds, case)| loss(*odds, case.converted)).collect()
}

/// Whether the gain is more than twice what chance makes of it.
fn is_clearly_better(new: &[f64], old: &[f64]) -> bool {
    let gains: Vec<f64> = old.iter().zip(new).map(|(old, new)| old - new).collect();
    let n = gains.len() as f64;
    let mean = gains.iter().sum::<f64>() / n;
    let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / n;
    mean > 2.0 * (variance / n).sqrt()
}

/// Slope and shift that make the scores of unseen cases as large as what happened (Platt 1999).
fn calibrate(rows: &[&Case], Unseen(odds): &Unseen, takes: impl Fn(usize) -> bool) -> Result<(f64, f64), Refusal> {
    let mut design = Design::new(1);
    for (_, (odds, case)) in odds.iter().zip(rows).enumerate().filter(|(at, _)| takes(*at)) {
        design.push([(0, *odds)], 1.0, f64::from(u8::from(case.converted)));
    }
    let fit = design.fit(1e-6)?;
    // A slope below nothing would turn the order round: then the scores say nothing, and all get the base rate.
    Ok((fit.weights.first().copied().unwrap_or(0.0).max(0.0), fit.intercept))
}

/// The scores of cases by fits and calibrations that have not seen them.
fn honest(rows: &[&Case], folds: &[u64], unseen: &Unseen) -> Result<Vec<Scored>, Refusal> {
    let mut scored = Vec::with_capacity(rows.len());
    let mut parts: Vec<u64> = folds.to_vec();
    parts.sort_unstable();
    parts.dedup();
    for part in parts {
        let (slope, shift) = calibrate(rows, unseen, |at| folds.get(at) != Some(&part))?;
        let own = rows.iter().zip(&unseen.0).zip(folds).filter(|(_, fold)| **fold == part);
        scored.extend(own.map(|((case, odds), _)| Scored {
            source: case.source.clone(),
            probability: logistic(slope * odds + shift),
            converted: case.converted,
        }));
    }
    Ok(scored)
}
