//! Shapley values: what a channel adds to every coalition of the others, on average over the orders in which they could join.
//!
//! Here a coalition is worth the conversion *rate* of the journeys that stay inside it, and nothing where there are none. Where a
//! coalition is worth the *number* of conversions inside it, the values equal the linear shares of distinct channels; that is
//! [`super::Model::ShapleySum`], and needs no coalitions. A value can be negative: a channel whose company lowers the rate.

use super::{Error, paths::PathTable, total::Sum};

/// Coalitions double with every channel: twenty are a million.
pub(super) const MAX_CHANNELS: usize = 20;

/// The game over all coalitions; a coalition is the bits of its channels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Game {
    channels: usize,
    /// Conversions, value and journeys of those that touched exactly these channels.
    pub(super) exact: [Vec<f64>; 3],
}

impl Game {
    /// Counts the journeys by the set of their channels. `ranks` gives each channel its place among the names.
    pub(super) fn of(paths: &PathTable, ranks: &[u32]) -> Result<Self, Error> {
        let channels = ranks.len();
        if channels > MAX_CHANNELS {
            return Err(Error::TooManyChannels { name: "shapley_rate", channels, most: MAX_CHANNELS });
        }
        let mut sums = vec![[Sum::default(); 3]; 1 << channels];
        for (steps, row) in paths.rows() {
            let set = steps.iter().fold(0_usize, |set, channel| set | 1 << ranks.get(channel.0 as usize).copied().unwrap_or(0));
            if let Some([conversions, value, journeys]) = sums.get_mut(set).filter(|_| set > 0) {
                conversions.add(row.conversions);
                value.add(row.value);
                journeys.add(row.conversions + row.nulls);
            }
        }
        let column = |of: fn(&[Sum; 3]) -> Sum| sums.iter().map(|sums| of(sums).get()).collect();
        Ok(Self { channels, exact: [column(|sums| sums[0]), column(|sums| sums[1]), column(|sums| sums[2])] })
    }

    /// The value of each channel for conversions and for value, where a coalition is worth its rate.
    pub(super) fn rates(&self) -> [Vec<f64>; 2] {
        let [conversions, value, journeys] = self.exact.each_ref().map(|exact| self.inside(exact));
        let rate = |of: &[f64]| -> Vec<f64> {
            of.iter().zip(&journeys).map(|(part, all)| if *all > 0.0 { part / all } else { 0.0 }).collect()
        };
        [self.values(&rate(&conversions)), self.values(&rate(&value))]
    }

    /// For each coalition the sum over all coalitions inside it.
    pub(super) fn inside(&self, exact: &[f64]) -> Vec<f64> {
        let mut sums = exact.to_vec();
        for channel in 0..self.channels {
            for pair in sums.chunks_mut(2 << channel) {
                let (without, with) = pair.split_at_mut(1 << channel);
                with.iter_mut().zip(without).for_each(|(with, without)| *with += *without);
            }
        }
        sums
    }

    /// The Shapley value of each channel in any game over these channels.
    pub(super) fn values(&self, worth: &[f64]) -> Vec<f64> {
        // The weight of a coalition of `size` others: size! (channels - size - 1)! / channels!.
        let mut weights = vec![1.0 / self.channels.max(1) as f64];
        for size in 1..self.channels {
            let before = weights.last().copied().unwrap_or(0.0);
            weights.push(before * size as f64 / (self.channels - size) as f64);
        }
        (0..self.channels)
            .map(|channel| {
                let others = (0..worth.len()).filter(|set| set & (1 << channel) == 0);
                let at = |set: usize| worth.get(set).copied().unwrap_or(0.0);
                let weight = |set: usize| weights.get(set.count_ones() as usize).copied().unwrap_or(0.0);
                others.map(|set| weight(set) * (at(set | 1 << channel) - at(set))).sum()
            })
            .collect()
    }
}
