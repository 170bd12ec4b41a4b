//! Totals of channels, spread over the conversions that the channels touched.
//!
//! A model of all journeys says what a channel earned of the whole, and a credit is a row of one conversion. The rows are chosen so
//! that those of a conversion add up to one and those of a channel to its total: iterative proportional fitting (Deming and Stephan
//! 1940), which changes the even split as little as the totals allow. What no channel earned is a part of every conversion. A
//! negative total is spread as zero, since a conversion cannot be earned less than not at all.

/// Rounds of fitting. They converge geometrically; totals that no spread can meet stop here.
const MAX_ROUNDS: usize = 500;
/// The distance from a total, as a part of all conversions, from which a spread is good.
const GOOD: f64 = 1e-10;

/// Of each conversion its channels with how often each occurs; what they earn is written beside.
#[derive(Debug, Default)]
pub(super) struct Incidence {
    ends: Vec<usize>,
    /// Channel and its share of the conversion.
    cells: Vec<(u32, f64)>,
    /// What of each conversion no channel earned.
    rest: Vec<f64>,
}

impl Incidence {
    /// Adds a conversion with its touches' channels. One without touches has no place here.
    pub(super) fn push(&mut self, channels: impl Iterator<Item = u32>) {
        let start = self.cells.len();
        for channel in channels {
            match self.cells.get_mut(start..).and_then(|own| own.iter_mut().find(|(known, _)| *known == channel)) {
                Some((_, touches)) => *touches += 1.0,
                None => self.cells.push((channel, 1.0)),
            }
        }
        self.ends.push(self.cells.len());
        self.rest.push(1.0);
    }

    /// Fits the shares to the totals of the channels.
    pub(super) fn fit(&mut self, totals: &[f64]) {
        let all = self.ends.len() as f64;
        let targets: Vec<f64> = totals.iter().map(|total| total.max(0.0)).collect();
        let earned: f64 = targets.iter().sum();
        let shrink = if earned > all { all / earned } else { 1.0 };
        let rest_target = (all - earned * shrink).max(0.0);
        for _ in 0..MAX_ROUNDS {
            self.close_rows();
            let mut sums = vec![0.0; targets.len()];
            for (channel, share) in &self.cells {
                if let Some(sum) = sums.get_mut(*channel as usize) {
                    *sum += share;
                }
            }
            let rest: f64 = self.rest.iter().sum();
            let off = sums.iter().zip(&targets).map(|(sum, target)| (sum - target * shrink).abs()).fold(0.0_f64, f64::max);
            if off <= GOOD * all {
                return;
            }
            let factor = |sum: f64, target: f64| if sum > 0.0 { target / sum } else { 0.0 };
            for (channel, share) in &mut self.cells {
                let at = *channel as usize;
                *share *= factor(sums.get(at).copied().unwrap_or(0.0), targets.get(at).copied().unwrap_or(0.0) * shrink);
            }
            let of_rest = if rest_target <= GOOD * all { 0.0 } else { factor(rest, rest_target) };
            self.rest.iter_mut().for_each(|rest| *rest *= of_rest);
        }
        self.close_rows();
    }

    /// Makes the shares of each conversion add up to one; where nothing of it is earned, all of it is left over.
    fn close_rows(&mut self) {
        let mut start = 0;
        for (end, rest) in self.ends.iter().zip(&mut self.rest) {
            let own = self.cells.get_mut(start..*end).unwrap_or_default();
            start = *end;
            let sum = own.iter().map(|(_, share)| share).sum::<f64>() + *rest;
            if sum > 0.0 {
                own.iter_mut().for_each(|(_, share)| *share /= sum);
                *rest /= sum;
            } else {
                *rest = 1.0;
            }
        }
    }

    /// Of each conversion the shares of its channels and what is left over.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&[(u32, f64)], f64)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).zip(&self.rest).map(|((start, end), rest)| (self.cells.get(start..*end).unwrap_or(&[]), *rest))
    }
}
