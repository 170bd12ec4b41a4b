//! The ridge regression on standardised features.

use crate::logistic::{Design, Fit};

use super::{Case, Refusal};

/// What a feature is on average and how far it spreads; one that does not is left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub(super) mean: f64,
    pub(super) deviation: f64,
}

/// A fitted regression.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Linear {
    pub(super) scales: Vec<Scale>,
    pub(super) fit: Fit,
}

impl Linear {
    pub(super) fn train(cases: &[&Case], ridge: f64, tolerance: f64) -> Result<Self, Refusal> {
        let scales = scales(cases);
        let mut design = Design::new(scales.len());
        for case in cases {
            design.push(standardised(&scales, &case.features), 1.0, f64::from(u8::from(case.converted)));
        }
        let fit = design.fit_to(ridge, tolerance)?;
        Ok(Self { scales, fit })
    }

    pub(super) fn log_odds(&self, features: &[f64]) -> f64 {
        self.fit.log_odds(standardised(&self.scales, features))
    }

    /// What each feature adds to the log odds of a person of whom nothing stands out.
    pub(super) fn contributions(&self, features: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.scales.len()];
        for (feature, value) in standardised(&self.scales, features) {
            if let (Some(out), Some(weight)) = (out.get_mut(feature as usize), self.fit.weights.get(feature as usize)) {
                *out = weight * value;
            }
        }
        out
    }
}

fn scales(cases: &[&Case]) -> Vec<Scale> {
    let width = cases.iter().map(|case| case.features.len()).max().unwrap_or(0);
    let n = cases.len() as f64;
    let mut scales = vec![Scale { mean: 0.0, deviation: 0.0 }; width];
    for case in cases {
        scales.iter_mut().zip(&case.features).for_each(|(scale, value)| scale.mean += value / n);
    }
    for case in cases {
        scales.iter_mut().zip(&case.features).for_each(|(scale, value)| scale.deviation += (value - scale.mean).powi(2) / n);
    }
    scales.iter_mut().for_each(|scale| scale.deviation = scale.deviation.sqrt());
    scales
}

fn standardised<'a>(scales: &'a [Scale], features: &'a [f64]) -> impl Iterator<Item = (u32, f64)> {
    let spread = (0_u32..).zip(scales.iter().zip(features)).filter(|(_, (scale, _))| scale.deviation > 1e-12);
    spread.map(|(feature, (scale, value))| (feature, (value - scale.mean) / scale.deviation))
}
