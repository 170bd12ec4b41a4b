//! The models by name.

use std::{fmt, num::NonZeroU32, str::FromStr};

use super::Error;

/// The names that a [`Model`] is parsed from, for messages and help texts.
pub const AVAILABLE: &str = "first, last, last_non_direct, linear, linear_unique, position, positional_decay, j, inverse_j, w, full_path, time_decay, \
     markov, markov2, markov3, shapley_sum, shapley_rate, counterfactual";

const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();
const DEFAULT_HALF_LIFE_DAYS: NonZeroU32 = NonZeroU32::new(7).unwrap();

/// How the credit of a conversion is shared among its touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// A touch that is one step older earns half as much.
    PositionalDecay,
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
        /// After how many days a touch counts half; 7 unless told otherwise.
        half_life_days: NonZeroU32,
    },
    /// Shapley values where a coalition is worth the conversions of the journeys inside it. They equal [`Model::LinearUnique`].
    ShapleySum,
    /// Shapley values where a coalition is worth the conversion rate of the journeys inside it, scaled to the conversions.
    ShapleyRate,
    /// Removal effects of the journeys as a Markov chain, scaled to the conversions.
    Markov {
        /// How many touches make a state.
        order: NonZeroU32,
    },
    /// What a regression on all journeys expects to be missing without the channel.
    Counterfactual,
}

impl Model {
    /// The name, as the command line and the settings spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::LastNonDirect => "last_non_direct",
            Self::Linear => "linear",
            Self::LinearUnique => "linear_unique",
            Self::Position => "position",
            Self::PositionalDecay => "positional_decay",
            Self::J => "j",
            Self::InverseJ => "inverse_j",
            Self::W => "w",
            Self::FullPath => "full_path",
            Self::TimeDecay { half_life_days: _ } => "time_decay",
            Self::ShapleySum => "shapley_sum",
            Self::ShapleyRate => "shapley_rate",
            Self::Markov { order } => match order.get() {
                2 => "markov2",
                3 => "markov3",
                _ => "markov",
            },
            Self::Counterfactual => "counterfactual",
        }
    }

    /// The version of the definition, with the parameters that decide the result. Store it beside every credit.
    #[must_use]
    pub fn version(self) -> String {
        match self {
            Self::TimeDecay { half_life_days } => format!("1 half_life_days={half_life_days}"),
            Self::Markov { order } => format!("1 order={order}"),
            Self::First
            | Self::Last
            | Self::LastNonDirect
            | Self::Linear
            | Self::LinearUnique
            | Self::Position
            | Self::J
            | Self::InverseJ
            | Self::W
            | Self::FullPath
            | Self::PositionalDecay
            | Self::ShapleySum
            | Self::ShapleyRate
            | Self::Counterfactual => "1".to_owned(),
        }
    }

    /// Whether it must know when each touch happened, and not only in which order.
    #[must_use]
    pub fn needs_times(self) -> bool {
        matches!(self, Self::TimeDecay { half_life_days: _ })
    }

    /// Whether it must see all journeys at once, those that did not convert included: one journey alone has no shares under it.
    #[must_use]
    pub fn needs_all(self) -> bool {
        matches!(self, Self::ShapleyRate | Self::Markov { order: _ } | Self::Counterfactual)
    }
}

impl FromStr for Model {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "first" => Self::First,
            "last" => Self::Last,
            "last_non_direct" => Self::LastNonDirect,
            "linear" => Self::Linear,
            "linear_unique" => Self::LinearUnique,
            "position" => Self::Position,
            "positional_decay" => Self::PositionalDecay,
            "j" => Self::J,
            "inverse_j" => Self::InverseJ,
            "w" => Self::W,
            "full_path" => Self::FullPath,
            "time_decay" => Self::TimeDecay { half_life_days: DEFAULT_HALF_LIFE_DAYS },
            "shapley_sum" => Self::ShapleySum,
            // Two games go by the bare name; the one that differs from linear shares is meant.
            "shapley_rate" | "shapley" => Self::ShapleyRate,
            "markov" => Self::Markov { order: NonZeroU32::MIN },
            "markov2" => Self::Markov { order: TWO },
            "markov3" => Self::Markov { order: TWO.saturating_add(1) },
            "counterfactual" => Self::Counterfactual,
            other => return Err(Error::UnknownModel { name: other.to_owned() }),
        })
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
