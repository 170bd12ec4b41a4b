//! What each source is worth, and how sure that is.

use std::collections::BTreeMap;

use headwater_analysis::quality::compare;
use headwater_model::tables::{self, Table};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Serialize, Serializer};

use super::{Measured, VERSION};
use crate::cells::each;
use crate::engine::Engine;
use crate::error::Result;
use crate::measure::{Exchange, RUNS_READ, source_counts, source_settings, spent};
use crate::rows::{days, load};

/// The scorecards.
#[derive(Debug, Serialize)]
pub struct SourcesReport {
    /// The version of this shape.
    pub version: u32,
    /// When it was measured.
    pub as_of: Timestamp,
    /// Every source, by name.
    pub sources: Vec<SourceCard>,
    /// Which is best and how sure that is, in one sentence.
    pub verdict: String,
    /// The source that the verdict names, if there is one.
    pub best: Option<String>,
    /// Sources that are not what they were, the least likely to be chance first.
    pub alerts: Vec<DriftAlert>,
}

/// The scorecards of each source by the period in which it first named its people.
#[derive(Debug, Serialize)]
pub struct CohortsReport {
    /// The version of this shape.
    pub version: u32,
    /// When it was measured.
    pub as_of: Timestamp,
    /// Every cohort, by source and period.
    pub cohorts: Vec<SourceCard>,
}

/// A figure of a source that stands out from its own past.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DriftAlert {
    /// The source.
    pub source: String,
    /// The figure: `records_a_day`, `validity`, `freemail`, `completeness`, or the mix of `countries` or `email_domains`.
    pub figure: String,
    /// What it was before: records a day, or a share; zero for a mix.
    pub before: f64,
    /// What it is; for a mix its distance from before, from 0 to 1.
    pub now: f64,
    /// The probability of such a difference by chance.
    pub probability: f64,
    /// The first day of what it is compared with.
    pub base_from: Date,
    /// The first day of what is compared.
    pub now_from: Date,
}

/// One source, or one of its cohorts.
#[derive(Debug, Serialize)]
pub struct SourceCard {
    /// Its name.
    pub source: String,
    /// The channel most of its people came through.
    pub channel: String,
    /// The period in which it first named these people, such as `2026-10`; nothing where all of its people are meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cohort: Option<String>,
    /// Its figures, in the order they are measured; in JSON an object by name.
    #[serde(serialize_with = "by_name")]
    pub metrics: Vec<Metric>,
}

impl SourceCard {
    /// The figure of that name.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// Its name; in JSON the key it stands under.
    #[serde(skip)]
    pub name: String,
    /// The figure; nothing where it was not measured.
    pub value: Option<f64>,
    /// The cases it rests on.
    pub n: i64,
    /// What stands above the fraction line.
    pub numerator: Option<f64>,
    /// The lower end of its 95 % interval.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// `ok`, `immature`, `not_rankable` or `unchecked`.
    pub state: String,
    /// `records`, `persons`, `share`, `ratio`, or a currency.
    pub unit: Option<String>,
}

fn by_name<S: Serializer>(metrics: &[Metric], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(metrics.iter().map(|metric| (&metric.name, metric)))
}

/// The scorecards of the cohorts as last measured. Each is judged against all of them.
///
/// # Errors
/// [`crate::Error::NotFound`] when nothing was measured yet.
pub async fn cohorts(engine: &Engine) -> Result<CohortsReport> {
    let measured = Measured::load(engine).await?;
    Ok(CohortsReport { version: VERSION, as_of: measured.at, cohorts: cards_in(&measured, &tables::SCORECARD_COHORT)? })
}

/// The scorecards as last measured, and the verdict.
///
/// # Errors
/// [`crate::Error::NotFound`] when nothing was measured yet.
pub async fn sources(engine: &Engine) -> Result<SourcesReport> {
    let measured = Measured::load(engine).await?;
    let runs = engine.store.list_runs(RUNS_READ).await?;
    let (spent, exchange) = (spent(&measured.snapshot)?, Exchange::load(engine)?);
    let counts = source_counts(engine, &measured.snapshot, (&runs, &spent, &exchange), measured.at_us)?;
    let compared = compare(&counts, source_settings(engine));
    let verdict = compared.to_string();
    let best = compared.best.map(|best| best.source);
    let (sources, alerts) = (cards(&measured)?, alerts(&measured)?);
    Ok(SourcesReport { version: VERSION, as_of: measured.at, sources, verdict, best, alerts })
}

fn alerts(measured: &Measured) -> Result<Vec<DriftAlert>> {
    let mut alerts = Vec::new();
    for batch in load(&measured.snapshot, &tables::DRIFT, &[])? {
        let (base, now) = (days(&batch, "base_from")?, days(&batch, "now_from")?);
        for (place, row) in each(std::slice::from_ref(&batch)).enumerate() {
            alerts.push(DriftAlert {
                source: row.word("source")?,
                figure: row.word("figure")?,
                before: row.float("before")?.unwrap_or_default(),
                now: row.float("now")?.unwrap_or_default(),
                probability: row.float("probability")?.unwrap_or_default(),
                base_from: date(base.value(place)),
                now_from: date(now.value(place)),
            });
        }
    }
    Ok(alerts)
}

/// The date of a day since 1970.
fn date(day: i32) -> Date {
    Date::new(1970, 1, 1).ok().and_then(|first| first.checked_add(jiff::Span::new().days(day)).ok()).unwrap_or_default()
}

pub(super) fn cards(measured: &Measured) -> Result<Vec<SourceCard>> {
    cards_in(measured, &tables::SCORECARD)
}

fn cards_in(measured: &Measured, table: &'static Table) -> Result<Vec<SourceCard>> {
    let has_cohorts = table.name == tables::SCORECARD_COHORT.name;
    let mut cards: BTreeMap<(String, Option<String>), SourceCard> = BTreeMap::new();
    for row in each(&load(&measured.snapshot, table, &[])?) {
        let (source, channel) = (row.word("source")?, row.word("channel")?);
        let cohort = if has_cohorts { Some(row.word("cohort")?) } else { None };
        let card = cards.entry((source.clone(), cohort.clone())).or_insert_with(|| SourceCard {
            source,
            channel,
            cohort,
            metrics: Vec::new(),
        });
        let name = row.word("metric")?;
        // A money figure stands once per currency; under one name in an object only one could be seen.
        let unit = row.owned("unit")?.filter(|unit| !unit.is_empty());
        let taken = card.metrics.iter().any(|metric| metric.name == name);
        let name = match &unit {
            Some(unit) if taken => format!("{name}.{unit}"),
            _ => name,
        };
        card.metrics.push(Metric {
            name,
            value: row.float("value")?,
            n: row.integer("n")?.unwrap_or_default(),
            numerator: row.float("numerator")?,
            low: row.float("low")?,
            high: row.float("high")?,
            state: row.word("state")?,
            unit,
        });
    }
    Ok(cards.into_values().collect())
}
