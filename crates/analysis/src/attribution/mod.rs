//! Which touch earned which share of a conversion: exact, deterministic models.
//!
//! [`shares`] is the core: the share of each touch of one conversion. Models that need all journeys at once (`whole`) give every channel
//! its total instead, which is then spread over the conversions it touched. [`journeys`] applies it to touches and conversions as rows,
//! [`paths`] to paths that somebody has already counted. A conversion with no touch inside the window is *unattributed*: it is
//! counted apart and never handed to a channel.
//!
//! Invariants: the shares of a conversion add up to one; the order of the input rows changes no result, not even in the last bit.

mod chain;
mod channels;
mod coalition;
pub mod journeys;
mod model;
mod outcome;
pub mod paths;
mod spread;
#[cfg(test)]
mod tests;
mod total;
mod whole;

use std::ops::Range;

use hashbrown::HashSet;
use thiserror::Error;

pub use chain::Removal;
pub use model::{AVAILABLE, Model};
pub use total::apportion;

/// Why credit could not be given.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Error {
    /// The name belongs to no model.
    #[error("no attribution model is called `{name}`; choose one of {AVAILABLE}")]
    UnknownModel {
        /// What was asked for.
        name: String,
    },
    /// The model's work grows too fast for so many channels.
    #[error("`{name}` can divide among at most {most} channels and there are {channels}; group them, or choose another model")]
    TooManyChannels {
        /// The model's name.
        name: &'static str,
        /// How many there are.
        channels: usize,
        /// How many there may be.
        most: usize,
    },
    /// The numbers do not lead to an answer.
    #[error("the journeys do not lead to a stable answer under this model; try a lower order or fewer channels")]
    Unsettled,
    /// The model needs to know when each touch happened, and a path does not tell.
    #[error("`{name}` needs the time of each touch; give touches and conversions, not paths")]
    NeedsTimes {
        /// The model's name.
        name: &'static str,
    },
    /// A path has a step without a name.
    #[error("a step of the path has no name; write the steps as `first > second`")]
    EmptyStep,
    /// A number is not one that can be shared out.
    #[error("`{column}` must be {expected}")]
    BadNumber {
        /// The column it stands in.
        column: &'static str,
        /// What is allowed there.
        expected: &'static str,
    },
    /// There are more rows, steps or channels than a 32-bit number can count.
    #[error("too many {what} for one table; split the file")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
    },
}

/// A channel, by its number in the table that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u32);

/// One touch of a journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TouchPoint {
    /// The channel it came through.
    pub channel: ChannelId,
    /// When it happened: microseconds since 1970 in UTC.
    pub at_us: i64,
}

/// How old a touch may be when its person converts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lookback {
    limit_us: Option<u64>,
}

/// The conversions and the value that one channel earned.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelCredit {
    /// The channel's name.
    pub channel: String,
    /// Its share of the conversions.
    pub conversions: f64,
    /// Its share of their value.
    pub value: f64,
}

/// What every channel earned under one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Totals {
    /// Every channel of the input, ordered by name; one that earned nothing has zeros.
    pub channels: Vec<ChannelCredit>,
    /// The conversions that no touch explains.
    pub unattributed: f64,
    /// Their value.
    pub unattributed_value: f64,
}

impl Lookback {
    /// Touches of any age count.
    pub const UNLIMITED: Self = Self { limit_us: None };

    /// Touches count up to this age, which is included. Negative days and days that are no number leave nothing but the instant of
    /// the conversion itself.
    #[must_use]
    pub fn days(days: f64) -> Self {
        const US_PER_DAY: f64 = 86_400e6;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates, which is what a limit beyond all time means"
        )]
        let limit = (days * US_PER_DAY).round() as u64;
        Self { limit_us: Some(limit) }
    }

    fn keeps(self, age_us: u64) -> bool {
        self.limit_us.is_none_or(|limit| age_us <= limit)
    }
}

/// Which touches can earn credit: those that happened by the time of the conversion and are not older than the window.
///
/// The touches must stand in the order in which they happened.
#[must_use]
pub fn eligible(touches: &[TouchPoint], converted_at_us: i64, lookback: Lookback) -> Range<usize> {
    let end = touches.partition_point(|touch| touch.at_us <= converted_at_us);
    let is_too_old =
        |touch: &TouchPoint| touch.at_us <= converted_at_us && !lookback.keeps(converted_at_us.abs_diff(touch.at_us));
    touches.partition_point(is_too_old)..end
}

/// The share of each touch, in the order of the touches; they add up to one, and without a touch there is nothing. Under a model
/// that [needs all](Model::needs_all) journeys there is nothing either.
///
/// The touches must stand in the order in which they happened, all of them [`eligible`]. `direct` is the channel that
/// [`Model::LastNonDirect`] passes over.
///
/// ```
/// use headwater_analysis::attribution::{ChannelId, Model, TouchPoint, shares};
///
/// let touches = [1, 2, 1].map(|channel| TouchPoint { channel: ChannelId(channel), at_us: 0 });
/// assert_eq!(shares(Model::LinearUnique, &touches, 0, None), [0.5, 0.5, 0.0]);
/// ```
#[must_use]
pub fn shares(model: Model, touches: &[TouchPoint], converted_at_us: i64, direct: Option<ChannelId>) -> Vec<f64> {
    let mut out = Vec::with_capacity(touches.len());
    shares_into(model, touches, converted_at_us, direct, &mut out);
    out
}

/// When a person came to the stages that [`Model::W`] and [`Model::FullPath`] pay for beside the ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Milestones {
    /// When they became a prospect: microseconds since 1970 in UTC.
    pub lead_us: Option<i64>,
    /// When they began to compare, as an opportunity does.
    pub opportunity_us: Option<i64>,
}

/// As [`shares_into`], where the stages of the person are known: a milestone is met by the last touch up to its instant, and by its place
/// in the middle only where nobody knows when it was. Other models are as without.
pub fn shares_at_milestones_into(
    model: Model,
    touches: &[TouchPoint],
    (converted_at_us, milestones): (i64, Milestones),
    direct: Option<ChannelId>,
    out: &mut Vec<f64>,
) {
    let met = |instant: Option<i64>, default: usize| {
        instant.map_or(default, |instant| touches.partition_point(|touch| touch.at_us <= instant).saturating_sub(1))
    };
    let Milestones { lead_us, opportunity_us } = milestones;
    let last = touches.len().saturating_sub(1);
    match model {
        Model::W if !touches.is_empty() => {
            out.clear();
            milestones_at(touches.len(), &[0, met(lead_us, last / 2), met(opportunity_us, last)], 0.30, out);
        }
        Model::FullPath if !touches.is_empty() => {
            out.clear();
            milestones_at(touches.len(), &[0, met(lead_us, last / 3), met(opportunity_us, 2 * last / 3), last], 0.225, out);
        }
        other => shares_into(other, touches, converted_at_us, direct, out),
    }
}

/// As [`shares`], into a vector that is cleared first: for loops over many conversions.
pub fn shares_into(model: Model, touches: &[TouchPoint], converted_at_us: i64, direct: Option<ChannelId>, out: &mut Vec<f64>) {
    out.clear();
    let Some(last) = touches.len().checked_sub(1) else { return };
    match model {
        Model::First => single(touches.len(), 0, out),
        Model::Last => single(touches.len(), last, out),
        Model::LastNonDirect => {
            let winner = touches.iter().rposition(|touch| Some(touch.channel) != direct).unwrap_or(last);
            single(touches.len(), winner, out);
        }
        Model::Linear => out.resize(touches.len(), 1.0 / count(touches.len())),
        Model::LinearUnique | Model::ShapleySum => once_per_channel(touches, out),
        Model::Position => ends(touches.len(), 0.4, 0.4, out),
        Model::J => ends(touches.len(), 0.2, 0.6, out),
        Model::InverseJ => ends(touches.len(), 0.6, 0.2, out),
        Model::W => milestones_at(touches.len(), &[0, last / 2, last], 0.30, out),
        Model::FullPath => milestones_at(touches.len(), &[0, last / 3, 2 * last / 3, last], 0.225, out),
        Model::PositionalDecay => {
            // A step of two thousand is worth nothing already; the exponent must not wrap.
            out.extend((0..touches.len()).map(|at| (-(count(last - at))).exp2()));
            normalise(out);
        }
        Model::ShapleyRate | Model::Markov { order: _ } | Model::Counterfactual => {}
        Model::TimeDecay { half_life_days } => decay(touches, converted_at_us, f64::from(half_life_days.get()), out),
    }
}

fn single(touches: usize, winner: usize, out: &mut Vec<f64>) {
    out.extend((0..touches).map(|at| if at == winner { 1.0 } else { 0.0 }));
}

/// Up to so many touches, looking back through them is faster than a set.
const FEW: usize = 24;

/// Each channel gets the same, at its first touch.
fn once_per_channel(touches: &[TouchPoint], out: &mut Vec<f64>) {
    if touches.len() <= FEW {
        let is_first = |at: usize, channel| !touches.iter().take(at).any(|before| before.channel == channel);
        out.extend(touches.iter().enumerate().map(|(at, touch)| if is_first(at, touch.channel) { 1.0 } else { 0.0 }));
    } else {
        let mut seen = HashSet::with_capacity(touches.len());
        out.extend(touches.iter().map(|touch| if seen.insert(touch.channel) { 1.0 } else { 0.0 }));
    }
    normalise(out);
}

/// A fixed part for each end, the rest to the middle in equal parts.
fn ends(touches: usize, first: f64, last: f64, out: &mut Vec<f64>) {
    match touches.checked_sub(2) {
        None => out.push(1.0),
        Some(0) => out.extend([first / (first + last), last / (first + last)]),
        Some(middle) => {
            out.push(first);
            out.extend(std::iter::repeat_n((1.0 - first - last) / count(middle), middle));
            out.push(last);
        }
    }
}

/// A fixed part for each milestone, the rest to the other touches in equal parts. Milestones on one touch add up.
fn milestones_at(touches: usize, at: &[usize], part: f64, out: &mut Vec<f64>) {
    let others = (0..touches).filter(|touch| !at.contains(touch)).count();
    let rest = if others == 0 { 0.0 } else { (1.0 - part * count(at.len())) / count(others) };
    out.extend((0..touches).map(|touch| match at.iter().filter(|milestone| **milestone == touch).count() {
        0 => rest,
        met => part * count(met),
    }));
    normalise(out);
}

fn decay(touches: &[TouchPoint], converted_at_us: i64, half_life_days: f64, out: &mut Vec<f64>) {
    const US_PER_DAY: f64 = 86_400e6;
    let age_days = |touch: &TouchPoint| (i128::from(converted_at_us) - i128::from(touch.at_us)) as f64 / US_PER_DAY;
    // Measured from the youngest touch, since weights of very old journeys would all round to nothing.
    let youngest = touches.iter().map(age_days).fold(f64::INFINITY, f64::min);
    out.extend(touches.iter().map(|touch| (-(age_days(touch) - youngest) / half_life_days).exp2()));
    normalise(out);
}

fn normalise(out: &mut [f64]) {
    let total: f64 = out.iter().sum();
    for share in out {
        *share /= total;
    }
}

fn count(items: usize) -> f64 {
    items as f64
}
