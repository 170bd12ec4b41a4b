//! Credit for paths that somebody has already counted: `path,total_conversions,total_conversion_value,total_null`.

use super::{
    ChannelId, Error, Model, Totals, TouchPoint,
    channels::Channels,
    shares_into,
    total::{Tally, checked_count, checked_value},
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

#[derive(Debug)]
struct Row {
    /// Where its steps end; they begin where those of the row before end.
    end: usize,
    conversions: f64,
    value: f64,
    nulls: f64,
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
        // Checked by itself first, so that a refused row leaves no steps behind.
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
    /// If the model needs the time of each touch.
    pub fn credit(&self, model: Model) -> Result<Totals, Error> {
        if model.needs_times() {
            return Err(Error::NeedsTimes { name: model.name() });
        }
        let direct = self.channels.direct();
        let mut tally = Tally::new(&self.channels);
        let mut touches = Vec::new();
        let mut shares = Vec::new();
        let mut start = 0;
        for Row { end, conversions, value, nulls: _ } in &self.rows {
            let steps = self.steps.get(start..*end).unwrap_or(&[]);
            start = *end;
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
}
