//! Credit for paths that somebody has already counted: `path,total_conversions,total_conversion_value,total_null`.

use super::{
    ChannelId, Error, Model, Removal, Totals, TouchPoint, chain,
    channels::Channels,
    shares_into,
    total::{Sum, Tally, checked_count, checked_value},
    whole,
};

/// What stands between the steps of a path. A `>` without blanks belongs to a channel's name.
pub const SEPARATOR: &str = " > ";

/// Counted paths.
///
/// ```
/// use headwater_analysis::attribution::{Model, paths::PathTable};
///
/// let mut table = PathTable::default();
/// table.push("webinar > email", 2.0, 500.0, 40.0)?;
/// let totals = table.credit(Model::Last)?;
/// assert_eq!((totals.channels[0].channel.as_str(), totals.channels[0].conversions), ("email", 2.0));
/// # Ok::<(), headwater_analysis::attribution::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct PathTable {
    channels: Channels,
    steps: Vec<ChannelId>,
    rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Where its steps end; they begin where those of the row before end.
    end: usize,
    pub(super) conversions: f64,
    pub(super) value: f64,
    pub(super) nulls: f64,
}

impl PathTable {
    /// Adds one row. An empty path is a journey without touches: what it converts stays unattributed.
    ///
    /// # Errors
    ///
    /// If a step has no name, or a number is not finite, too large, or a negative count. The table is then as it was.
    pub fn push(&mut self, path: &str, conversions: f64, value: f64, nulls: f64) -> Result<(), Error> {
        let conversions = checked_count("total_conversions", conversions)?;
        let value = checked_value("total_conversion_value", value)?;
        let nulls = checked_count("total_null", nulls)?;
        // Checked by itself first, so that a refused row leaves no steps and no channels behind.
        let is_empty = path.trim().is_empty();
        if !is_empty && path.split(SEPARATOR).any(|step| step.trim().is_empty()) {
            return Err(Error::EmptyStep);
        }
        if !is_empty {
            for step in path.split(SEPARATOR) {
                self.steps.push(self.channels.intern(step.trim())?);
            }
        }
        self.rows.push(Row { end: self.steps.len(), conversions, value, nulls });
        Ok(())
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The journeys that converted, and those that did not.
    #[must_use]
    pub fn journeys(&self) -> (f64, f64) {
        self.rows.iter().fold((0.0, 0.0), |(converted, lost), row| (converted + row.conversions, lost + row.nulls))
    }

    /// What every channel earned.
    ///
    /// # Errors
    ///
    /// If the model needs the time of each touch, has too many channels to work on, or finds no stable answer.
    pub fn credit(&self, model: Model) -> Result<Totals, Error> {
        if model.needs_times() {
            return Err(Error::NeedsTimes { name: model.name() });
        }
        if model.needs_all() {
            return whole::totals(self, &self.channels, model);
        }
        let direct = self.channels.direct();
        let mut tally = Tally::new(&self.channels);
        let mut touches = Vec::new();
        let mut shares = Vec::new();
        for (steps, Row { end: _, conversions, value, nulls: _ }) in self.rows() {
            if steps.is_empty() {
                tally.leave(*conversions, *value);
            } else if *conversions != 0.0 || *value != 0.0 {
                touches.clear();
                touches.extend(steps.iter().map(|channel| TouchPoint { channel: *channel, at_us: 0 }));
                shares_into(model, &touches, 0, direct, &mut shares);
                for (channel, share) in steps.iter().zip(&shares) {
                    tally.earn(*channel, conversions * share, value * share);
                }
            }
        }
        Ok(tally.finish(&self.channels))
    }

    /// The removal effects of the channels, ordered by name, of a Markov chain of this order: the quantity that
    /// [`Model::Markov`] scales to credit.
    ///
    /// # Errors
    ///
    /// If the chain has too many states and ends too slowly to be solved.
    pub fn removal(&self, order: std::num::NonZeroU32) -> Result<Removal, Error> {
        chain::removal(self, &self.channels.ranks(), order.get() as usize)
    }

    /// The same table with the journeys that did not convert left out: what a model sees where nobody recorded them.
    #[must_use]
    pub fn converting_only(&self) -> Self {
        let rows = self.rows.iter().map(|row| Row { nulls: 0.0, ..*row }).collect();
        Self { channels: self.channels.clone(), steps: self.steps.clone(), rows }
    }

    pub(super) fn with_channels(channels: Channels) -> Self {
        Self { channels, steps: Vec::new(), rows: Vec::new() }
    }

    /// Adds a row whose numbers are known to be good.
    pub(super) fn push_steps(&mut self, steps: impl Iterator<Item = ChannelId>, conversions: f64, value: f64, nulls: f64) {
        self.steps.extend(steps);
        self.rows.push(Row { end: self.steps.len(), conversions, value, nulls });
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (&[ChannelId], &Row)> {
        let starts = std::iter::once(0).chain(self.rows.iter().map(|row| row.end));
        starts.zip(&self.rows).map(|(start, row)| (self.steps.get(start..row.end).unwrap_or(&[]), row))
    }

    /// All conversions and their value.
    pub(super) fn worth(&self) -> (f64, f64) {
        sums(self.rows.iter())
    }

    /// The conversions that some touch could explain, and their value.
    pub(super) fn touched(&self) -> (f64, f64) {
        sums(self.rows().filter(|(steps, _)| !steps.is_empty()).map(|(_, row)| row))
    }
}

fn sums<'a>(rows: impl Iterator<Item = &'a Row>) -> (f64, f64) {
    let mut sums = [Sum::default(); 2];
    for row in rows {
        sums[0].add(row.conversions);
        sums[1].add(row.value);
    }
    (sums[0].get(), sums[1].get())
}

#[cfg(test)]
impl PathTable {
    /// The values of two games that the models do not use, for the comparison with the reference: conversions inside a coalition,
    /// and conversions of exactly its channels.
    pub(super) fn other_games(&self) -> Result<[Vec<f64>; 2], Error> {
        let game = super::coalition::Game::of(self, &self.channels.ranks())?;
        let [conversions, _, _] = &game.exact;
        Ok([game.values(&game.inside(conversions)), game.values(conversions)])
    }
}
