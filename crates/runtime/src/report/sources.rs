//! What each source is worth, and how sure that is.

use std::collections::BTreeMap;

use headwater_analysis::quality::compare;
use headwater_model::tables;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::{Measured, VERSION};
use crate::cells::each;
use crate::engine::Engine;
use crate::error::Result;
use crate::measure::{source_counts, source_settings};
use crate::rows::load;

/// How many past runs the counts of suppressed rows are taken from; as many as measure reads.
const RUNS_READ: u32 = 10_000;

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
}

/// One source.
#[derive(Debug, Serialize)]
pub struct SourceCard {
    /// Its name.
    pub source: String,
    /// The channel most of its people came through.
    pub channel: String,
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

/// The scorecards as last measured, and the verdict.
///
/// # Errors
/// [`crate::Error::NotFound`] when nothing was measured yet.
pub async fn sources(engine: &Engine) -> Result<SourcesReport> {
    let measured = Measured::load(engine).await?;
    let runs = engine.store.list_runs(RUNS_READ).await?;
    let counts = source_counts(engine, &measured.snapshot, &runs, measured.at_us)?;
    let verdict = compare(&counts, source_settings(engine)).to_string();
    Ok(SourcesReport { version: VERSION, as_of: measured.at, sources: cards(&measured)?, verdict })
}

pub(super) fn cards(measured: &Measured) -> Result<Vec<SourceCard>> {
    let mut cards: BTreeMap<String, SourceCard> = BTreeMap::new();
    for row in each(&load(&measured.snapshot, &tables::SCORECARD, &[])?) {
        let source = row.word("source")?;
        let channel = row.word("channel")?;
        let card = cards.entry(source.clone()).or_insert_with(|| SourceCard { source, channel, metrics: Vec::new() });
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
