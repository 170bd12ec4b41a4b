//! Credit for conversions from the touches of the same person.

use hashbrown::HashMap;

use super::{
    ChannelId, Error, Lookback, Milestones, Model, Totals, TouchPoint,
    channels::Channels,
    eligible,
    paths::PathTable,
    shares_at_milestones_into, shares_into,
    spread::Incidence,
    total::{Tally, checked_value},
    whole,
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
    /// Conversions with touches of which the model leaves a part to no channel, with that part. Models of one journey leave none.
    pub left_over: Vec<(usize, f64)>,
}

/// Touches by person, in the order in which they happened. Built once for any number of models.
#[derive(Debug)]
pub struct Journeys<'a> {
    channels: Channels,
    touches: Vec<TouchPoint>,
    /// For each of `touches` its place in the rows that were given.
    rows: Vec<u32>,
    people: HashMap<&'a str, std::ops::Range<usize>>,
    milestones: HashMap<&'a str, Milestones>,
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
        u32::try_from(touches.len()).map_err(|_| Error::TooMany { what: "touches" })?;
        let grouped = Grouped::of(touches)?;
        let mut journeys = Self {
            channels: Channels::default(),
            touches: Vec::with_capacity(touches.len()),
            rows: grouped.rows,
            people: HashMap::with_capacity(grouped.people.len()),
            milestones: HashMap::new(),
        };
        let mut start = 0;
        for (person, end) in grouped.people {
            let own = journeys.rows.get_mut(start..end).unwrap_or_default();
            let order = |row: &u32| touches.get(*row as usize).map(|touch| (touch.at_us, touch.seq, touch.id, touch.channel));
            own.sort_by_key(order);
            for touch in own.iter().filter_map(|row| touches.get(*row as usize)) {
                let channel = journeys.channels.intern(touch.channel)?;
                journeys.touches.push(TouchPoint { channel, at_us: touch.at_us });
            }
            journeys.people.insert(person, start..end);
            start = end;
        }
        Ok(journeys)
    }

    /// The same journeys, with the stages of those people of whom they are known.
    #[must_use]
    pub fn with_milestones(self, milestones: HashMap<&'a str, Milestones>) -> Self {
        Self { milestones, ..self }
    }

    /// The share of every touch in every conversion.
    ///
    /// # Errors
    ///
    /// If a model of all journeys has too many channels to work on, or finds no stable answer.
    pub fn credits(&self, model: Model, lookback: Lookback, conversions: &[ConversionRow<'_>]) -> Result<Credits, Error> {
        if model.needs_all() {
            return self.spread(model, lookback, conversions);
        }
        let mut credits = Credits::default();
        self.visit(model, lookback, conversions, |Credited { conversion, rows, touches: _, shares }| {
            if rows.is_empty() {
                credits.unattributed.push(conversion);
            }
            let earned = rows.iter().zip(shares).filter(|(_, share)| **share != 0.0);
            credits.shares.extend(earned.map(|(row, share)| Share { conversion, touch: *row as usize, share: *share }));
        });
        Ok(credits)
    }

    /// What every channel earned.
    ///
    /// # Errors
    ///
    /// If a value is not finite or too large to be summed, or a model of all journeys finds no answer.
    pub fn totals(&self, model: Model, lookback: Lookback, conversions: &[ConversionRow<'_>]) -> Result<Totals, Error> {
        for conversion in conversions {
            checked_value("value", conversion.value)?;
        }
        if model.needs_all() {
            return whole::totals(&self.paths(lookback, conversions), &self.channels, model);
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

    /// The journeys as paths: one for each conversion, of the touches that could earn it, and one for each person who did not
    /// convert, of all touches.
    #[must_use]
    pub fn paths(&self, lookback: Lookback, conversions: &[ConversionRow<'_>]) -> PathTable {
        let mut table = PathTable::with_channels(self.channels.clone());
        let mut converted: Vec<bool> = vec![false; self.touches.len()];
        self.visit(Model::Counterfactual, lookback, conversions, |Credited { conversion, rows: _, touches, shares: _ }| {
            let value = conversions.get(conversion).map_or(0.0, |row| row.value);
            table.push_steps(touches.iter().map(|touch| touch.channel), 1.0, value, 0.0);
        });
        for conversion in conversions {
            let first = self.people.get(conversion.person).and_then(|own| converted.get_mut(own.start));
            if let Some(first) = first {
                *first = true;
            }
        }
        let mut others: Vec<&std::ops::Range<usize>> =
            self.people.values().filter(|own| converted.get(own.start) == Some(&false)).collect();
        others.sort_unstable_by_key(|own| own.start);
        for own in others {
            let touches = self.touches.get(own.clone()).unwrap_or(&[]);
            table.push_steps(touches.iter().map(|touch| touch.channel), 0.0, 0.0, 1.0);
        }
        table
    }

    /// The totals of a model of all journeys, spread over the conversions.
    fn spread(&self, model: Model, lookback: Lookback, conversions: &[ConversionRow<'_>]) -> Result<Credits, Error> {
        let whole::Earned(earned) = whole::earned(&self.paths(lookback, conversions), &self.channels, model)?;
        let mut incidence = Incidence::default();
        let mut touched: Vec<(usize, &[u32], &[TouchPoint])> = Vec::new();
        let mut credits = Credits::default();
        for (conversion, row) in conversions.iter().enumerate() {
            let (rows, touches) = self.eligible_of(row, lookback);
            if touches.is_empty() {
                credits.unattributed.push(conversion);
            } else {
                incidence.push(touches.iter().map(|touch| touch.channel.0));
                touched.push((conversion, rows, touches));
            }
        }
        incidence.fit(&earned.iter().map(|(conversions, _)| *conversions).collect::<Vec<_>>());
        for ((conversion, rows, touches), (by_channel, left_over)) in touched.into_iter().zip(incidence.rows()) {
            for (row, touch) in rows.iter().zip(touches) {
                let of_channel =
                    by_channel.iter().find(|(channel, _)| *channel == touch.channel.0).map_or(0.0, |(_, share)| *share);
                // The touches of one channel share what it earned of this conversion.
                let share = of_channel / touches.iter().filter(|other| other.channel == touch.channel).count() as f64;
                if share > 0.0 {
                    credits.shares.push(Share { conversion, touch: *row as usize, share });
                }
            }
            if left_over > 0.0 {
                credits.left_over.push((conversion, left_over));
            }
        }
        Ok(credits)
    }

    fn eligible_of(&self, conversion: &ConversionRow<'_>, lookback: Lookback) -> (&[u32], &[TouchPoint]) {
        let range = self.people.get(conversion.person).cloned().unwrap_or(0..0);
        let touches = self.touches.get(range.clone()).unwrap_or(&[]);
        let rows = self.rows.get(range).unwrap_or(&[]);
        let kept = eligible(touches, conversion.at_us, lookback);
        (rows.get(kept.clone()).unwrap_or(&[]), touches.get(kept).unwrap_or(&[]))
    }

    fn visit(&self, model: Model, lookback: Lookback, conversions: &[ConversionRow<'_>], mut each: impl FnMut(Credited<'_>)) {
        let direct: Option<ChannelId> = self.channels.direct();
        let mut shares = Vec::new();
        for (conversion, row) in conversions.iter().enumerate() {
            let (rows, touches) = self.eligible_of(row, lookback);
            match self.milestones.get(row.person) {
                Some(met) => shares_at_milestones_into(model, touches, (row.at_us, *met), direct, &mut shares),
                None => shares_into(model, touches, row.at_us, direct, &mut shares),
            }
            each(Credited { conversion, rows, touches, shares: &shares });
        }
    }
}

/// The places of the touches, those of one person together, the people in the order of their first row.
struct Grouped<'a> {
    rows: Vec<u32>,
    /// Each person with the end of their rows.
    people: Vec<(&'a str, usize)>,
}

impl<'a> Grouped<'a> {
    /// Counts, then places: linear in the touches, whatever their order.
    fn of(touches: &[TouchRow<'a>]) -> Result<Self, Error> {
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut people: Vec<(&'a str, usize)> = Vec::new();
        let mut person_of: Vec<u32> = Vec::with_capacity(touches.len());
        let mut before: Option<(&str, u32)> = None;
        for touch in touches {
            let number = match before {
                Some((person, number)) if person == touch.person => number,
                _ => match numbers.get(touch.person) {
                    Some(number) => *number,
                    None => {
                        let number = u32::try_from(people.len()).map_err(|_| Error::TooMany { what: "people" })?;
                        numbers.insert(touch.person, number);
                        people.push((touch.person, 0));
                        number
                    }
                },
            };
            before = Some((touch.person, number));
            if let Some((_, count)) = people.get_mut(number as usize) {
                *count += 1;
            }
            person_of.push(number);
        }
        let mut next: Vec<usize> = Vec::with_capacity(people.len());
        let mut end = 0;
        for (_, count) in &mut people {
            next.push(end);
            end += *count;
            *count = end;
        }
        let mut rows = vec![0; touches.len()];
        for (row, person) in (0_u32..).zip(person_of) {
            if let Some(place) = next.get_mut(person as usize) {
                if let Some(slot) = rows.get_mut(*place) {
                    *slot = row;
                }
                *place += 1;
            }
        }
        Ok(Self { rows, people })
    }
}
