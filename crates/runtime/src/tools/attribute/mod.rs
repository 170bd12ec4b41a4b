//! `attribute`: which channel earned which share of the conversions that a file tells of.
//!
//! The input is either counted paths (`path,total_conversions,total_conversion_value,total_null`, the steps joined by ` > `), or a
//! file of touches and a file of conversions. A row that cannot be read stops the work with its file and line: a share of an
//! unknown whole would be worth nothing.

mod table;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::num::NonZeroU32;
use std::path::Path;
use std::str::FromStr;

use hashbrown::{HashMap, HashSet};
use headwater_analysis::attribution::journeys::{ConversionRow, Journeys, TouchRow};
use headwater_analysis::attribution::paths::PathTable;
pub use headwater_analysis::attribution::{AVAILABLE as MODELS, ChannelCredit};
use headwater_analysis::attribution::{Lookback, Model, Totals};
use headwater_model::instant::{self, DateStyle};

use crate::error::{Error, Result};
use table::{Row, Table};

/// The longest memory of a chain. Beyond it nearly every journey is a state of its own, and the chain repeats the data.
const MAX_ORDER: NonZeroU32 = NonZeroU32::new(8).unwrap();

/// Where the journeys stand.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A file of counted paths.
    Paths(&'a Path),
    /// A file of touches and one of conversions.
    Journeys {
        /// One row per touch: `journey_id` (or `prospect_id`), `ts`, `channel`, and `seq` where there is one.
        touches: &'a Path,
        /// One row per conversion: `journey_id` (or `prospect_id`), `conv_ts`, `value`. Rows whose `converted` is 0 are passed over, and
        /// rows whose `conversion_id` (or `order_id`) was there before.
        conversions: &'a Path,
    },
}

/// What decides the shares beside the model's name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// How many steps back a Markov chain looks.
    pub order: Option<NonZeroU32>,
    /// How old a touch may be, in days; of any age when left out. Paths tell no times.
    pub lookback_days: Option<f64>,
    /// After how many days a touch counts half, for `time_decay`.
    pub half_life_days: Option<NonZeroU32>,
}

/// What every channel earned.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// The model's name.
    pub model: &'static str,
    /// The version of its definition, with the parameters that decide the result.
    pub model_version: String,
    /// Every channel of the input, ordered by name.
    pub channels: Vec<ChannelCredit>,
    /// All conversions of the input.
    pub conversions: f64,
    /// Their value.
    pub value: f64,
    /// The conversions that no touch explains; they belong to no channel.
    pub unattributed: f64,
    /// Their value.
    pub unattributed_value: f64,
    /// Rows of conversions passed over because an earlier row has the same id.
    pub repeated: u64,
}

/// Shares the conversions of a file out among its channels.
///
/// # Errors
/// When the model is not known or does not fit the input, or a row cannot be read: with its file and line.
pub fn attribute(input: Input<'_>, model: &str, options: Options) -> Result<Attribution> {
    let model = chosen(model, options)?;
    let (totals, conversions, value, repeated) = match input {
        Input::Paths(file) => from_paths(file, model, options)?,
        Input::Journeys { touches, conversions } => from_journeys(touches, conversions, model, options)?,
    };
    let Totals { channels, unattributed, unattributed_value } = totals;
    Ok(Attribution {
        model: model.name(),
        model_version: model.version(),
        channels,
        conversions,
        value,
        unattributed,
        unattributed_value,
        repeated,
    })
}

/// Writes `channel,conversions,value`, a row per channel. What is unattributed is no channel and has no row.
///
/// # Errors
/// What the writer says.
pub fn write_csv(attribution: &Attribution, out: impl Write) -> std::io::Result<()> {
    let mut out = csv::Writer::from_writer(out);
    out.write_record(["channel", "conversions", "value"])?;
    for ChannelCredit { channel, conversions, value } in &attribution.channels {
        out.write_record([channel.as_str(), &conversions.to_string(), &value.to_string()])?;
    }
    out.flush()
}

fn chosen(name: &str, options: Options) -> Result<Model> {
    let Options { order, lookback_days, half_life_days } = options;
    let model = Model::from_str(name).map_err(|error| Error::Usage(error.to_string()))?;
    if lookback_days.is_some_and(|days| !days.is_finite() || days < 0.0) {
        return Err(Error::Usage("the lookback must be a number of days, zero or more".to_owned()));
    }
    match (model, half_life_days, order) {
        (Model::TimeDecay { half_life_days: _ }, Some(half_life_days), None) => Ok(Model::TimeDecay { half_life_days }),
        (Model::Markov { order: _ }, None, Some(order)) if order <= MAX_ORDER => Ok(Model::Markov { order }),
        (Model::Markov { order: _ }, None, Some(_)) => Err(Error::Usage(format!("the order of a chain is at most {MAX_ORDER}"))),
        (other, None, None) => Ok(other),
        (_, _, Some(_)) => Err(Error::Usage(format!("`{name}` has no order; leave `--order` out"))),
        (_, Some(_), None) => Err(Error::Usage(format!("`{name}` has no half-life; only `time_decay` has one"))),
    }
}

fn from_paths(file: &Path, model: Model, options: Options) -> Result<(Totals, f64, f64, u64)> {
    if options.lookback_days.is_some() {
        return Err(Error::Usage(
            "paths do not tell when a touch happened; give touches and conversions, or no lookback".to_owned(),
        ));
    }
    let mut input = Table::open(file)?;
    if input.has("channel") && !input.has("path") {
        let shown = file.display();
        return Err(Error::Usage(format!("{shown} holds touches; give its conversions too: `--conversions FILE`")));
    }
    let path = input.column(&["path"])?;
    let conversions = input.column(&["total_conversions"])?;
    let (value, nulls) = (input.optional(&["total_conversion_value"]), input.optional(&["total_null"]));
    let (mut table, mut all, mut worth) = (PathTable::default(), 0.0, 0.0);
    input.each(|row| {
        let converted = row.number(conversions)?.unwrap_or(0.0);
        let valued = value.map_or(Ok(None), |value| row.number(value))?.unwrap_or(0.0);
        let lost = nulls.map_or(Ok(None), |nulls| row.number(nulls))?.unwrap_or(0.0);
        table.push(row.text(path), converted, valued, lost).map_err(|error| row.wrong(error))?;
        all += converted;
        worth += valued;
        Ok(())
    })?;
    Ok((table.credit(model).map_err(|error| Error::Usage(error.to_string()))?, all, worth, 0))
}

/// Texts that occur again and again, kept once.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, usize>,
    names: Vec<String>,
}

impl Names {
    fn number(&mut self, name: &str) -> usize {
        if let Some(known) = self.numbers.get(name) {
            return *known;
        }
        self.numbers.insert(name.to_owned(), self.names.len());
        self.names.push(name.to_owned());
        self.names.len() - 1
    }

    fn name(&self, number: usize) -> &str {
        self.names.get(number).map_or("", String::as_str)
    }
}

/// One dated row of a person: a touch of a channel, or a conversion of a value.
struct Dated<T> {
    person: usize,
    at_us: i64,
    what: T,
}

/// The columns that tell who a row is about, the first that is there.
const PERSON: &[&str] = &["journey_id", "prospect_id", "person_id", "person"];

fn from_journeys(touches: &Path, conversions: &Path, model: Model, options: Options) -> Result<(Totals, f64, f64, u64)> {
    let (mut people, mut channels) = (Names::default(), Names::default());
    let touches = read_touches(touches, &mut people, &mut channels)?;
    let (conversions, repeated) = read_conversions(conversions, &mut people)?;
    let touches: Vec<TouchRow<'_>> = touches
        .iter()
        .map(|Dated { person, at_us, what: (channel, seq) }| TouchRow {
            person: people.name(*person),
            channel: channels.name(*channel),
            at_us: *at_us,
            seq: *seq,
            id: "",
        })
        .collect();
    let conversions: Vec<ConversionRow<'_>> = conversions
        .iter()
        .map(|Dated { person, at_us, what }| ConversionRow { person: people.name(*person), at_us: *at_us, value: *what })
        .collect();
    let lookback = options.lookback_days.map_or(Lookback::UNLIMITED, Lookback::days);
    let fail = |error: headwater_analysis::attribution::Error| Error::Usage(error.to_string());
    let totals = Journeys::new(&touches).map_err(fail)?.totals(model, lookback, &conversions).map_err(fail)?;
    Ok((totals, conversions.len() as f64, conversions.iter().map(|row| row.value).sum(), repeated))
}

fn read_touches(file: &Path, people: &mut Names, channels: &mut Names) -> Result<Vec<Dated<(usize, i64)>>> {
    let mut input = Table::open(file)?;
    let person = input.column(PERSON)?;
    let at = input.column(&["ts", "occurred_at", "timestamp"])?;
    let channel = input.column(&["channel"])?;
    let seq = input.optional(&["seq"]);
    let mut rows = Vec::new();
    input.each(|row| {
        let seq = seq.map(|seq| row.text(seq)).filter(|text| !text.is_empty());
        let seq = seq.map_or(Ok(0), |text| text.parse().map_err(|_| row.wrong("`seq` is not a whole number")))?;
        let name = row.text(channel);
        if name.is_empty() {
            return Err(row.wrong("`channel` is empty"));
        }
        rows.push(Dated { person: who(row, person, people)?, at_us: moment(row, at)?, what: (channels.number(name), seq) });
        Ok(())
    })?;
    Ok(rows)
}

fn read_conversions(file: &Path, people: &mut Names) -> Result<(Vec<Dated<f64>>, u64)> {
    let mut input = Table::open(file)?;
    let person = input.column(PERSON)?;
    let at = input.column(&["conv_ts", "converted_at", "ts", "occurred_at", "timestamp"])?;
    let value = input.optional(&["value", "conversion_value"]);
    let converted = input.optional(&["converted"]);
    let id = input.optional(&["conversion_id", "order_id"]);
    let (mut seen, mut repeated): (HashSet<String>, u64) = (HashSet::new(), 0);
    let mut rows = Vec::new();
    input.each(|row| {
        if converted.is_some_and(|converted| matches!(row.text(converted), "" | "0" | "false")) {
            return Ok(());
        }
        // An order that was exported twice is one order.
        if id.map(|id| row.text(id)).is_some_and(|id| !id.is_empty() && !seen.insert(id.to_owned())) {
            repeated += 1;
            return Ok(());
        }
        let value = value.map_or(Ok(None), |value| row.number(value))?.unwrap_or(0.0);
        rows.push(Dated { person: who(row, person, people)?, at_us: moment(row, at)?, what: value });
        Ok(())
    })?;
    Ok((rows, repeated))
}

fn who(row: &Row<'_>, column: usize, people: &mut Names) -> Result<usize> {
    match row.text(column) {
        "" => Err(row.wrong(format!("`{}` is empty", row.name(column)))),
        name => Ok(people.number(name)),
    }
}

/// The instant a cell names: ISO 8601, or a number of seconds, milliseconds or microseconds since 1970, told by its size.
fn moment(row: &Row<'_>, column: usize) -> Result<i64> {
    /// Seconds end in the year 5138, milliseconds of the same number in 1973.
    const SECONDS_BELOW: f64 = 1e11;
    const MILLIS_BELOW: f64 = 1e14;
    let text = row.text(column);
    let Ok(number) = text.parse::<f64>() else {
        return instant::parse(text, &DateStyle::default())
            .map_err(|error| row.wrong(format!("`{}`: {error}", row.name(column))));
    };
    let micros = match number.abs() {
        size if size < SECONDS_BELOW => number * 1e6,
        size if size < MILLIS_BELOW => number * 1e3,
        size if size < i64::MAX as f64 => number,
        _ => return Err(row.wrong(format!("`{}` is not an instant", row.name(column)))),
    };
    #[expect(clippy::cast_possible_truncation, reason = "its size was bounded above")]
    let micros = micros.round() as i64;
    Ok(micros)
}
