//! A trained model: a probability for each person, with what speaks for and against.

use serde_json::{Value, json};

use super::{METHOD, boost::Boosted, draw, linear::Linear};
use crate::logistic::logistic;

/// Reasons given for one score.
const REASONS: usize = 3;
/// A contribution to the log odds below this is not worth a person's reading.
const WORTH_SAYING: f64 = 0.02;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Linear(Linear),
    Boosted(Boosted),
}

/// What was learned, with the calibration of its scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub(super) names: Vec<String>,
    pub(super) kind: Kind,
    /// The log odds of the kind are multiplied by the one and increased by the other.
    pub(super) calibration: (f64, f64),
}

/// Why a score is what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// The feature's name.
    pub name: String,
    /// The person's value of it.
    pub value: f64,
    /// What it adds to the log odds; negative where it speaks against.
    pub weight: f64,
}

/// A score of one person.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// The probability to convert within the horizon.
    pub probability: f64,
    /// What moved it most, the strongest first.
    pub reasons: Vec<Reason>,
}

impl Model {
    /// The probability alone.
    #[must_use]
    pub fn probability(&self, features: &[f64]) -> f64 {
        let (slope, shift) = self.calibration;
        logistic(slope * self.kind.log_odds(features) + shift)
    }

    /// The probability with its reasons.
    #[must_use]
    pub fn score(&self, features: &[f64]) -> Score {
        let added = match &self.kind {
            Kind::Linear(linear) => linear.contributions(features),
            Kind::Boosted(boosted) => boosted.contributions(features),
        };
        let reasons = self.names.iter().zip(features).zip(added);
        let mut reasons: Vec<Reason> = reasons
            .map(|((name, value), weight)| Reason { name: name.clone(), value: *value, weight: weight * self.calibration.0 })
            .filter(|reason| reason.weight.abs() >= WORTH_SAYING)
            .collect();
        reasons.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()).then_with(|| a.name.cmp(&b.name)));
        reasons.truncate(REASONS);
        Score { probability: self.probability(features), reasons }
    }

    /// `logistic` or `boosted trees`.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self.kind {
            Kind::Linear(_) => "logistic",
            Kind::Boosted(_) => "boosted trees",
        }
    }

    /// What the model is, by its content: two models of one version score everybody alike.
    #[must_use]
    pub fn version(&self) -> String {
        format!("{METHOD}-{:016x}", draw(&self.to_json().to_string(), 0))
    }

    /// Everything that decides a score, to be kept beside the scores.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let kind = match &self.kind {
            Kind::Linear(Linear { scales, fit }) => json!({
                "intercept": fit.intercept, "weights": fit.weights,
                "means": scales.iter().map(|scale| scale.mean).collect::<Vec<_>>(),
                "deviations": scales.iter().map(|scale| scale.deviation).collect::<Vec<_>>(),
            }),
            Kind::Boosted(Boosted { base, trees }) => {
                let node = |node: &super::boost::Node| {
                    let split = node.split.map(|split| json!([split.feature, split.limit, split.below, split.above]));
                    json!([node.value, split])
                };
                let trees: Vec<Vec<Value>> = trees.iter().map(|tree| tree.iter().map(node).collect()).collect();
                json!({ "base": base, "trees": trees })
            }
        };
        json!({
            "method": METHOD, "kind": self.method(), "features": self.names,
            "calibration": [self.calibration.0, self.calibration.1], "parameters": kind,
        })
    }
}

impl Kind {
    pub(super) fn log_odds(&self, features: &[f64]) -> f64 {
        match self {
            Self::Linear(linear) => linear.log_odds(features),
            Self::Boosted(boosted) => boosted.log_odds(features),
        }
    }
}
