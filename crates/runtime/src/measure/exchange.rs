//! Amounts of several currencies in one: by the declared rate of their own day, or not at all.

use std::path::Path;
use std::str::FromStr;

use csv::Trim;
use headwater_analysis::quality::cost::Rates;
use headwater_model::instant::{self, DateStyle};
use headwater_model::money;
use rust_decimal::{Decimal, RoundingStrategy, prelude::ToPrimitive};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::Project;

/// The setting that names the file.
const SETTING: &str = "measures.rates_file";
/// The columns of the file.
const COLUMNS: [&str; 3] = ["day", "currency", "rate"];
/// More rates than forty currencies have in a hundred years are a mistake.
const MAX_RATES: u64 = 1_500_000;
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// The currency in which the project adds up, and the rates into it.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    target: Option<String>,
    rates: Rates,
    digest: Option<String>,
}

impl Exchange {
    /// The rates of the project.
    ///
    /// # Errors
    /// When the file cannot be read, or a row of it is no rate: the message names its line.
    pub(crate) fn load(engine: &Engine) -> Result<Self> {
        let project = &engine.project;
        let measures = &project.file.measures;
        let Some(target) = measures.currency.as_deref().and_then(money::currency) else { return Ok(Self::default()) };
        let (mut rates, mut digest) = (Rates::into(&target), None);
        if let Some(file) = &measures.rates_file {
            let path = project.base_dir.join(file);
            let bytes =
                std::fs::read(&path).map_err(|source| Error::File { path: path.display().to_string(), doing: "read", source })?;
            digest = Some(blake3::hash(&bytes).to_hex().to_string());
            read(project, file.as_ref(), &bytes, &mut rates)?;
        }
        Ok(Self { target: Some(target), rates, digest })
    }

    /// The currency in which amounts are added up, if the project names one.
    pub(crate) fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// What the rates are known by, so that others make for another answer.
    pub(crate) fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// An amount (millionths) in the project's currency, at the rate of a day since 1970; nothing where there is no rate.
    pub(crate) fn convert(&self, day: i32, currency: &str, amount: i128) -> Option<i128> {
        let target = self.target.as_deref()?;
        if currency == target {
            return Some(amount);
        }
        let converted = Decimal::try_from_i128_with_scale(amount, 0).ok()?.checked_mul(self.rates.rate(currency, day)?)?;
        converted.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero).to_i128()
    }

    /// An amount as it is added up: in the project's currency where that can be, else in its own.
    pub(crate) fn counted<'a>(&'a self, day: i32, currency: &'a str, amount: i128) -> (&'a str, i128) {
        match (&self.target, self.convert(day, currency, amount)) {
            (Some(target), Some(converted)) => (target, converted),
            _ => (currency, amount),
        }
    }
}

/// The day since 1970 of an instant, in UTC.
pub(crate) fn day_of(at_us: i64) -> i32 {
    i32::try_from(at_us.div_euclid(DAY_US)).unwrap_or(i32::MAX)
}

fn read(project: &Project, file: &Path, bytes: &[u8], rates: &mut Rates) -> Result<()> {
    let fail = |line: u64, why: String, help: &str| -> Error {
        project.error(SETTING, format!("{}:{line}: {why}", file.display())).help(help).into()
    };
    const HEADER: &str = "write the header `day,currency,rate`, and below it rows such as `2026-07-06,USD,0.8512`";
    let mut reader = csv::ReaderBuilder::new().trim(Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|error| fail(1, error.to_string(), HEADER))?.clone();
    let mut places = [0; 3];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        let found = header.iter().position(|column| column.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name));
        *place = found.ok_or_else(|| fail(1, format!("there is no column `{name}`"), HEADER))?;
    }
    for (number, record) in (1_u64..).zip(reader.records()) {
        let line = |position: Option<&csv::Position>| position.map_or(number + 1, csv::Position::line);
        let record = record.map_err(|error| fail(line(error.position()), error.to_string(), HEADER))?;
        let line = line(record.position());
        if number > MAX_RATES {
            return Err(fail(line, format!("there are more than {MAX_RATES} rates"), "keep the days that are needed"));
        }
        let [day, currency, rate] = places.map(|place| record.get(place).unwrap_or_default());
        let day = instant::parse_day(day, &DateStyle::default())
            .map_err(|_| fail(line, format!("`{day}` is not a day"), "write it as 2026-10-03"))?;
        let code = money::currency(currency)
            .ok_or_else(|| fail(line, format!("`{currency}` is not a currency"), "write its ISO 4217 code such as USD"))?;
        let rate = Decimal::from_str(rate).ok().filter(|rate| *rate > Decimal::ZERO).ok_or_else(|| {
            fail(line, format!("`{rate}` is not a rate"), "write what one unit is worth as a number above zero, such as 0.8512")
        })?;
        if rates.on(&code, day).is_some_and(|before| before != rate) {
            return Err(fail(line, format!("{code} has another rate on that day above"), "keep one of the two"));
        }
        rates.set(&code, day, rate);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    const EUR: &str = "measures: { currency: EUR, rates_file: rates.csv }";

    async fn exchange(rates: &str) -> Result<Exchange> {
        let world = World::of(EUR).await;
        std::fs::write(world.folder().join("rates.csv"), rates).unwrap();
        Exchange::load(&world.engine)
    }

    fn day(text: &str) -> i32 {
        instant::parse_day(text, &DateStyle::default()).unwrap()
    }

    #[tokio::test]
    async fn an_amount_takes_the_rate_of_its_day_or_of_the_week_before() {
        let exchange = exchange("day,currency,rate\n2026-07-03,USD,0.85\n2026-07-06,usd,0.5\n").await.unwrap();
        for (on, expected) in [
            ("2026-07-02", None),
            ("2026-07-03", Some(85)),
            ("2026-07-05", Some(85)),
            ("2026-07-13", Some(50)),
            ("2026-07-14", None),
        ] {
            assert_eq!(exchange.convert(day(on), "USD", 100), expected, "{on}");
        }
        assert_eq!(exchange.convert(day("1999-01-01"), "EUR", 7), Some(7));
        assert_eq!(exchange.counted(day("2026-07-03"), "CHF", 100), ("CHF", 100), "no rate: it stands apart");
    }

    #[tokio::test]
    async fn halves_are_rounded_away_from_zero() {
        let exchange = exchange("day,currency,rate\n2026-07-03,USD,0.5\n").await.unwrap();
        assert_eq!(exchange.convert(day("2026-07-03"), "USD", 3), Some(2));
        assert_eq!(exchange.convert(day("2026-07-03"), "USD", -3), Some(-2));
    }

    #[tokio::test]
    async fn what_is_no_rate_is_named_with_its_line() {
        for (rates, expected) in [
            ("day,currency\n", "rates.csv:1: there is no column `rate`"),
            ("day,currency,rate\n\n2026-07-03,USD,0.85\nsoon,USD,1\n", "rates.csv:4: `soon` is not a day"),
            ("day,currency,rate\n2026-07-03,dollar,1\n", "rates.csv:2: `dollar` is not a currency"),
            ("day,currency,rate\n2026-07-03,USD,0\n", "rates.csv:2: `0` is not a rate"),
            ("day,currency,rate\n2026-07-03,USD,NaN\n", "rates.csv:2: `NaN` is not a rate"),
            ("day,currency,rate\n2026-07-03,USD,1\n2026-07-03,USD,2\n", "rates.csv:3: USD has another rate"),
            ("day,currency,rate\n2026-07-03,USD\n", "rates.csv:2"),
        ] {
            let error = exchange(rates).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[tokio::test]
    async fn a_rates_file_that_is_not_there_is_named() {
        let world = World::of(EUR).await;
        assert!(Exchange::load(&world.engine).unwrap_err().to_string().contains("rates.csv"));
    }
}
