//! The models by name.

use std::{fmt, num::NonZeroU32, str::FromStr};

use super::Error;

/// The names that [`Model::from_str`] takes, for messages and help texts.
pub const AVAILABLE: &str =
    "first, last, last_non_direct, linear, linear_unique, position, j, inverse_j, w, full_path, time_decay, shapley_sum";

/// Models that have a name already and no code yet.
const PLANNED: &[&str] = &["markov", "shapley", "counterfactual"];

/// How the credit of a conversion is shared among its touches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Model {
    /// All to the first touch.
    First,
    /// All to the last touch.
    Last,
    /// All to the last touch that is not direct; to the last one where all are.
    LastNonDirect,
    /// The same to each touch; a channel met twice is paid twice.
    Linear,
    /// The same to each channel, at its first touch.
    LinearUnique,
    /// 40 % to each end, 20 % to the middle; two touches share alike.
    Position,
    /// 20 % to the first, 60 % to the last, 20 % to the middle; two touches share one to three.
    J,
    /// 60 % to the first, 20 % to the last, 20 % to the middle; two touches share three to one.
    InverseJ,
    /// 30 % each to the first, the middle and the last touch, 10 % to the rest.
    W,
    /// 22.5 % each to the first, the last and the two touches at the thirds, 10 % to the rest.
    FullPath,
    /// A touch that is one half-life older earns half as much.
    TimeDecay {
        /// After how many days a touch counts half.
        half_life_days: HalfLife,
    },
    /// Shapley values of the game "conversions of the journeys inside the coalition". They equal [`Model::LinearUnique`] exactly.
    ShapleySum,
}

/// A positive number of days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HalfLife(f64);
