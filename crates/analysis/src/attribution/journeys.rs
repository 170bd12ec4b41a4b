//! Credit for conversions from the touches of the same person.

use hashbrown::HashMap;

use super::{
    ChannelId, Error, Lookback, Model, Totals, TouchPoint,
    channels::Channels,
    eligible, shares_into,
    total::{Tally, checked_value},
};

/// One touch, as a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TouchRow<'a> {
    /// Whose touch it is: the prospect or the journey.
    pub person: &'a str,
    /// The channel it came through.
    pub channel: &'a str,
    /// When it happened: microseconds since 1970 in UTC.
    pub at_us: i64,
    /// The order among touches of one instant; 0 where nobody counted.
    pub seq: i64,
    /// What decides after that, so that the order of the rows never does: the touch's id, or nothing.
    pub id: &'a str,
}

/// One conversion, as a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConversionRow<'a> {
    /// Who converted.
    pub person: &'a str,
    /// When: microseconds since 1970 in UTC.
    pub at_us: i64,
    /// What it was worth; a refund is negative.
    pub value: f64,
}

/// The share that one touch earned of one conversion. Touches that earned nothing have none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// The conversion's place in the rows that were given.
    pub conversion: usize,
    /// The touch's place in the rows that were given.
    pub touch: usize,
    /// Its share; those of one conversion add up to one.
    pub share: f64,
}

/// Every share of every conversion.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Credits {
    /// By conversion, then in the order of the touches.
    pub shares: Vec<Share>,
    /// The conversions that no touch explains, by their place in the rows that were given.
    pub unattributed: Vec<usize>,
}

/// Touches by person, in the order in which they happened. Built once for any number of models.
#[derive(Debug)]
pub struct Journeys<'a> {
    channels: Channels,
    touches: Vec<TouchPoint>,
    /// For each of `touches` its place in the rows that were given.
    rows: Vec<u32>,
    people: HashMap<&'a str, std::ops::Range<usize>>,
}

/// One conversion with what its touches earned.
struct Credited<'a> {
    conversion: usize,
    rows: &'a [u32],
    touches: &'a [TouchPoint],
    shares: &'a [f64],
}

impl<'a> Journeys<'a> {
    /// Sorts the touches.
    ///
    /// # Errors
    ///
    /// If there are more touches than a 32-bit number can count.
    pub fn new(touches: &[TouchRow<'a>]) -> Result<Self, Error> {
        let count = u32::try_from(touches.len()).map_err(|_| Error::TooMany { what: "touches" })?;
        let mut sorted: Vec<(u32, &TouchRow<'a>)> = (0..count).zip(touches).collect();
        sorted.sort_by_key(|(_, touch)| (touch.person, touch.at_us, touch.seq, touch.id, touch.channel));

        let mut journeys = Self {
            channels: Channels::default(),
            touches: Vec::with_capacity(touches.len()),
            rows: Vec::with_capacity(touches.len()),
            people: HashMap::new(),
        };
        for touches_of_one in sorted.chunk_by(|(_, a), (_, b)| a.person == b.person) {
            let start = journeys.touches.len();
            for (row, touch) in touches_of_one {
                journeys.touches.push(TouchPoint { channel: journeys.channels.intern(touch.channel)?, at_us: touch.at_us });
                journeys.rows.push(*row);
            }
            if let Some((_, first)) = touches_of_one.first() {
                journeys.people.insert(first.person, start..journeys.touches.len());
            }
        }
        Ok(journeys)
    }

    /// The share of every touch in every conversion.
    #[must_use]
    pub fn credits(&self, model: Model, lookback: Lookback, conversions: &[ConversionRow<'_>]) -> Credits {
        let mut credits = Credits::default();
        self.visit(model, lookback, conversions, |Credited { conversion, rows, touches: _, shares }| {
            if rows.is_empty() {
                credits.unattributed.push(conversion);
            }
            let earned = rows.iter().zip(shares).filter(|(_, share)| **share != 0.0);
            credits.shares.extend(earned.map(|(row, share)| Share { conversion, touch: *row as usize, share: *share }));
        });
        credits
    }

    /// What every channel earned.
    ///
    /// # Errors
    ///
    /// If a value is not finite or too large to be summed.
    pub fn totals(&self, model: Model, lookback: Lookback, conversions: &[ConversionRow<'_>]) -> Result<Totals, Error> {
        for conversion in conversions {
            checked_value("value", conversion.value)?;
        }
        let mut tally = Tally::new(&self.channels);
        self.visit(model, lookback, conversions, |Credited { conversion, rows: _, touches, shares }| {
            let value = conversions.get(conversion).map_or(0.0, |row| row.value);
            if touches.is_empty() {
                tally.leave(1.0, value);
            }
            for (TouchPoint { channel, at_us: _ }, share) in touches.iter().zip(shares) {
                tally.earn(*channel, *share, value * share);
            }
        });
        Ok(tally.finish(&self.channels))
    }

    fn visit(&self, model: Model, lookback: Lookback, conversions: &[ConversionRow<'_>], mut each: impl FnMut(Credited<'_>)) {
        let direct: Option<ChannelId> = self.channels.direct();
        let mut shares = Vec::new();
        for (conversion, row) in conversions.iter().enumerate() {
            let range = self.people.get(row.person).cloned().unwrap_or(0..0);
            let touches = self.touches.get(range.clone()).unwrap_or(&[]);
            let rows = self.rows.get(range).unwrap_or(&[]);
            let kept = eligible(touches, row.at_us, lookback);
            let touches = touches.get(kept.clone()).unwrap_or(&[]);
            let rows = rows.get(kept).unwrap_or(&[]);
            shares_into(model, touches, row.at_us, direct, &mut shares);
            each(Credited { conversion, rows, touches, shares: &shares });
        }
    }
}
