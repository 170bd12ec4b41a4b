//! Logistic regression with a ridge penalty, fitted by Newton's method.
//!
//! The penalised likelihood has one maximum, so that the answer depends on the data alone: no seed, no learning rate. The
//! intercept is not penalised, so the expected successes equal those observed.

use thiserror::Error;

/// Newton's method doubles its digits with every step; a fit that needs more steps than this has none.
const MAX_STEPS: u32 = 60;
/// The change of a weight, as a part of the largest, below which the fit stands.
const TOLERANCE: f64 = 1e-10;
/// How often a step that went too far is halved.
const MAX_HALVINGS: u32 = 30;
/// Features of one fit: their square is held in memory and its cube is worked through.
pub const MAX_FEATURES: usize = 1_000;

/// Why a fit was not made.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// More features than can be solved for in reasonable time.
    #[error("{features} features are too many for one fit; at most {MAX_FEATURES} can be solved for")]
    TooWide {
        /// How many there were.
        features: usize,
    },
    /// All cases have one outcome, or there are none.
    #[error("every case has the same outcome, so that nothing can be learned from them")]
    OneOutcome,
    /// The numbers do not allow it: not finite, or without a maximum.
    #[error("the fit did not settle; look for features of enormous size")]
    Unsettled,
}

/// Cases in rows, features in columns; only what is not zero is kept.
#[derive(Debug, Clone, Default)]
pub struct Design {
    features: usize,
    /// Where each row ends in `cells`.
    ends: Vec<usize>,
    cells: Vec<(u32, f64)>,
    /// Of each row: the cases it stands for, and those of them that succeeded.
    outcomes: Vec<(f64, f64)>,
}

/// What was learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The log odds of a case whose features are all zero.
    pub intercept: f64,
    /// What one unit of each feature adds to the log odds.
    pub weights: Vec<f64>,
}

impl Design {
    /// An empty table of this many features.
    #[must_use]
    pub fn new(features: usize) -> Self {
        Self { features, ..Self::default() }
    }

    /// Adds a row that stands for `cases` equal cases, of which `successes` succeeded. Features beyond the table's width are passed
    /// over.
    pub fn push(&mut self, row: impl IntoIterator<Item = (u32, f64)>, cases: f64, successes: f64) {
        let width = self.features;
        self.cells.extend(row.into_iter().filter(|(feature, value)| (*feature as usize) < width && *value != 0.0));
        self.ends.push(self.cells.len());
        self.outcomes.push((cases, successes));
    }

    /// The number of features.
    #[must_use]
    pub fn features(&self) -> usize {
        self.features
    }

    /// The rows with their outcomes: features, cases, successes.
    pub fn rows(&self) -> impl Iterator<Item = (&[(u32, f64)], f64, f64)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .zip(&self.outcomes)
            .map(|((start, end), (cases, successes))| (self.cells.get(start..*end).unwrap_or(&[]), *cases, *successes))
    }

    /// The weights that make these outcomes likeliest, less half of `ridge` times the sum of their squares.
    ///
    /// # Errors
    ///
    /// If there are too many features, all outcomes are alike, or numbers are not finite.
    pub fn fit(&self, ridge: f64) -> Result<Fit, Error> {
        self.fit_to(ridge, TOLERANCE)
    }

    /// As [`Design::fit`], to a tolerance of one's own: for comparisons that need no more than a few digits.
    ///
    /// # Errors
    ///
    /// As for [`Design::fit`].
    pub(crate) fn fit_to(&self, ridge: f64, tolerance: f64) -> Result<Fit, Error> {
        if self.features > MAX_FEATURES {
            return Err(Error::TooWide { features: self.features });
        }
        let cases: f64 = self.outcomes.iter().map(|(cases, _)| cases).sum();
        let successes: f64 = self.outcomes.iter().map(|(_, successes)| successes).sum();
        if successes <= 0.0 || successes >= cases {
            return Err(Error::OneOutcome);
        }
        let mut fit = Fit { intercept: (successes / (cases - successes)).ln(), weights: vec![0.0; self.features] };
        let mut loss = self.loss(&fit, ridge);
        for _ in 0..MAX_STEPS {
            let step = self.newton_step(&fit, ridge).ok_or(Error::Unsettled)?;
            let size = step.iter().fold(0.0_f64, |size, change| size.max(change.abs()));
            if !size.is_finite() {
                return Err(Error::Unsettled);
            }
            let mut scale = 1.0;
            let mut tried = fit.moved(&step, scale);
            let mut tried_loss = self.loss(&tried, ridge);
            // Near the minimum the loss changes less than it is rounded by, and a good step may seem to make it worse.
            let rounding = 1e-12 * (1.0 + loss.abs());
            for _ in 0..MAX_HALVINGS {
                if tried_loss <= loss + rounding {
                    break;
                }
                scale /= 2.0;
                tried = fit.moved(&step, scale);
                tried_loss = self.loss(&tried, ridge);
            }
            (fit, loss) = (tried, tried_loss);
            let largest = fit.weights.iter().fold(1.0 + fit.intercept.abs(), |most, weight| most.max(weight.abs()));
            if size < tolerance * largest {
                return Ok(fit);
            }
        }
        Err(Error::Unsettled)
    }

    /// The penalised negative log likelihood.
    fn loss(&self, fit: &Fit, ridge: f64) -> f64 {
        let likelihood: f64 = self
            .rows()
            .map(|(row, cases, successes)| {
                let odds = fit.log_odds(row.iter().copied());
                // ln(1 + e^odds) without overflow.
                cases * (odds.max(0.0) + (-odds.abs()).exp().ln_1p()) - successes * odds
            })
            .sum();
        likelihood + ridge / 2.0 * fit.weights.iter().map(|weight| weight * weight).sum::<f64>()
    }

    /// The step to the minimum of the parabola that touches the loss here; the intercept comes last.
    fn newton_step(&self, fit: &Fit, ridge: f64) -> Option<Vec<f64>> {
        let size = self.features + 1;
        let intercept = u32::try_from(self.features).ok()?;
        let mut gradient: Vec<f64> = fit.weights.iter().map(|weight| -ridge * weight).collect();
        gradient.push(0.0);
        let mut hessian = Square::zero(size);
        let mut extended = Vec::new();
        for (row, cases, successes) in self.rows() {
            let chance = logistic(fit.log_odds(row.iter().copied()));
            extended.clear();
            extended.extend_from_slice(row);
            extended.push((intercept, 1.0));
            let (error, curvature) = (successes - cases * chance, cases * chance * (1.0 - chance));
            for (feature, value) in &extended {
                *gradient.get_mut(*feature as usize)? += error * value;
                let line = hessian.row_mut(*feature as usize)?;
                let scaled = curvature * value;
                // The matrix is symmetric, and only its lower half is read.
                for (other, value) in extended.iter().filter(|(other, _)| other <= feature) {
                    *line.get_mut(*other as usize)? += scaled * value;
                }
            }
        }
        for feature in 0..self.features {
            *hessian.row_mut(feature)?.get_mut(feature)? += ridge;
        }
        hessian.solve(&gradient)
    }
}

impl Fit {
    /// The log odds of a case.
    #[must_use]
    pub fn log_odds(&self, row: impl IntoIterator<Item = (u32, f64)>) -> f64 {
        let weight = |feature: u32| self.weights.get(feature as usize).copied().unwrap_or(0.0);
        row.into_iter().fold(self.intercept, |sum, (feature, value)| sum + weight(feature) * value)
    }

    /// The probability of success of a case.
    #[must_use]
    pub fn probability(&self, row: impl IntoIterator<Item = (u32, f64)>) -> f64 {
        logistic(self.log_odds(row))
    }

    fn moved(&self, step: &[f64], scale: f64) -> Self {
        let weights = self.weights.iter().zip(step).map(|(weight, change)| weight + scale * change).collect();
        Self { intercept: self.intercept + scale * step.last().copied().unwrap_or(0.0), weights }
    }
}

/// The probability that log odds stand for.
#[must_use]
pub fn logistic(log_odds: f64) -> f64 {
    if log_odds >= 0.0 {
        1.0 / (1.0 + (-log_odds).exp())
    } else {
        let odds = log_odds.exp();
        odds / (1.0 + odds)
    }
}

/// A symmetric matrix, row by row.
struct Square {
    size: usize,
    cells: Vec<f64>,
}

impl Square {
    fn zero(size: usize) -> Self {
        Self { size, cells: vec![0.0; size * size] }
    }

    fn row_mut(&mut self, row: usize) -> Option<&mut [f64]> {
        self.cells.get_mut(row * self.size..(row + 1) * self.size)
    }

    /// The solution of `self · x = right` by Cholesky's method; nothing where the matrix is not positive definite.
    #[expect(clippy::indexing_slicing, reason = "row and column stay below the size with which the matrix was made")]
    fn solve(mut self, right: &[f64]) -> Option<Vec<f64>> {
        let n = self.size;
        for row in 0..n {
            for column in 0..=row {
                let (above, below) = self.cells.split_at(row * n);
                let line = &below[..=row];
                let other = if column == row { line } else { &above[column * n..=column * n + column] };
                let dot: f64 = line[..column].iter().zip(&other[..column]).map(|(a, b)| a * b).sum();
                let left = line[column] - dot;
                self.cells[row * n + column] = if column < row {
                    left / self.cells[column * n + column]
                } else if left > 0.0 && left.is_finite() {
                    left.sqrt()
                } else {
                    return None;
                };
            }
        }
        let mut x = right.to_vec();
        for row in 0..n {
            let dot: f64 = (0..row).map(|column| self.cells[row * n + column] * x[column]).sum();
            x[row] = (x[row] - dot) / self.cells[row * n + row];
        }
        for row in (0..n).rev() {
            let dot: f64 = (row + 1..n).map(|below| self.cells[below * n + row] * x[below]).sum();
            x[row] = (x[row] - dot) / self.cells[row * n + row];
        }
        Some(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_of_two_groups_are_found_exactly() {
        let mut design = Design::new(1);
        design.push([], 100.0, 20.0);
        design.push([(0, 1.0)], 100.0, 50.0);
        let fit = design.fit(0.0).unwrap();
        assert!((fit.intercept - (20.0_f64 / 80.0).ln()).abs() < 1e-9);
        assert!((fit.weights[0] - (80.0_f64 / 20.0).ln()).abs() < 1e-9);
    }

    #[test]
    fn penalty_draws_weights_in_and_leaves_the_mean() {
        let mut design = Design::new(2);
        design.push([(0, 1.0)], 40.0, 10.0);
        design.push([(1, 2.0)], 60.0, 50.0);
        let (free, held) = (design.fit(0.1).unwrap(), design.fit(50.0).unwrap());
        assert!(held.weights.iter().zip(&free.weights).all(|(held, free)| held.abs() < free.abs()));
        let expected: f64 = design.rows().map(|(row, cases, _)| cases * held.probability(row.iter().copied())).sum();
        assert!((expected - 60.0).abs() < 1e-7);
    }

    #[test]
    fn separable_outcomes_settle_under_a_penalty() {
        let mut design = Design::new(1);
        design.push([(0, 1000.0)], 5.0, 5.0);
        design.push([(0, -1000.0)], 5.0, 0.0);
        assert!(design.fit(1.0).unwrap().weights[0].is_finite());
    }

    #[test]
    fn outcomes_that_teach_nothing_are_refused() {
        assert_eq!(Design::new(1).fit(1.0), Err(Error::OneOutcome));
        let mut design = Design::new(1);
        design.push([(0, 1.0)], 5.0, 5.0);
        assert_eq!(design.fit(1.0), Err(Error::OneOutcome));
        let mut design = Design::new(1);
        design.push([(0, f64::NAN)], 5.0, 2.0);
        assert_eq!(design.fit(1.0), Err(Error::Unsettled));
        assert_eq!(Design::new(MAX_FEATURES + 1).fit(1.0), Err(Error::TooWide { features: MAX_FEATURES + 1 }));
    }
}
