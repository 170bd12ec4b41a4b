//! Which sources are not what they were: the last days of each beside the days before them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use headwater_analysis::quality::drift::{Alert, Change, Comparison, alerts};
use headwater_model::email::EmailKind;
use headwater_model::mapping::Origin;
use headwater_model::tables;
use headwater_store::{Snapshot, StagedFiles};

use super::exchange::day_of;
use crate::engine::Engine;
use crate::error::Result;
use crate::rows::{at, at_instant, booleans, instants, latest, load, text};

/// What the alerts are about: from which day on the base, and from which on what is compared with it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drift {
    pub(super) alerts: Vec<Alert>,
    base_from: i32,
    now_from: i32,
}

/// One source on the days of one side.
#[derive(Debug, Default)]
struct Side {
    records: u64,
    with_email: u64,
    valid: u64,
    freemail: u64,
    complete: u64,
    countries: BTreeMap<String, u64>,
    domains: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Watched {
    base: Side,
    now: Side,
    /// The day of its first record.
    since: Option<i32>,
    /// Whether people come to be in it one by one; a list is delivered at once, so that a day without records says nothing.
    flows: bool,
}

/// Compares every source with its own past. The days are those on which records were made, up to yesterday: today is not over.
pub(super) fn compare(engine: &Engine, snapshot: &Snapshot, now_us: i64) -> Result<Drift> {
    let settings = &engine.project.file.measures.drift;
    let required = &engine.project.file.measures.required_fields;
    let today = day_of(now_us);
    let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
    let now_from = today.saturating_sub(days(settings.window_days));
    let base_from = now_from.saturating_sub(days(settings.base_days));
    let mut watched: BTreeMap<String, Watched> = BTreeMap::new();
    for batch in leads(snapshot, required)? {
        let (source, created, observed) =
            (text(&batch, "source")?, instants(&batch, "created_at")?, instants(&batch, "observed_at")?);
        let (op, test, origin) = (text(&batch, "op")?, booleans(&batch, "is_test")?, text(&batch, "origin")?);
        for row in (0..batch.num_rows()).filter(|row| at(op, *row) != Some("delete") && !test.value(*row)) {
            let day = day_of(at_instant(created, row).unwrap_or(observed.value(row)));
            let own = watched.entry(source.value(row).to_owned()).or_default();
            own.since = Some(own.since.map_or(day, |since| since.min(day)));
            own.flows |= [Origin::Form, Origin::EmailTool, Origin::Web].iter().any(|flow| flow.as_str() == origin.value(row));
            if (now_from..today).contains(&day) {
                own.now.count(&batch, row, required)?;
            } else if (base_from..now_from).contains(&day) {
                own.base.count(&batch, row, required)?;
            }
        }
    }
    let comparisons: Vec<Comparison> =
        watched.iter().flat_map(|(source, watched)| watched.comparisons(source, base_from, now_from, today)).collect();
    Ok(Drift { alerts: alerts(&comparisons, settings.false_alerts), base_from, now_from })
}

/// Writes the alerts.
pub(super) fn write(engine: &Engine, drift: &Drift, now_us: i64) -> Result<StagedFiles> {
    let Drift { alerts, base_from, now_from } = drift;
    let float =
        |of: fn(&Alert) -> f64| -> ArrayRef { Arc::new(alerts.iter().map(|alert| Some(of(alert))).collect::<Float64Array>()) };
    let day = |day: i32| -> ArrayRef { Arc::new(Date32Array::from_value(day, alerts.len())) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(alerts.iter().map(|alert| Some(alert.source.as_str())).collect::<StringArray>()),
        Arc::new(alerts.iter().map(|alert| Some(alert.figure.as_str())).collect::<StringArray>()),
        float(|alert| alert.before),
        float(|alert| alert.now),
        float(|alert| alert.probability),
        day(*base_from),
        day(*now_from),
        Arc::new(TimestampMicrosecondArray::from_value(now_us, alerts.len()).with_timezone("UTC")),
    ];
    let mut writer = engine.store.writer(&tables::DRIFT, None)?;
    writer.write(&RecordBatch::try_new(tables::DRIFT.schema(), columns)?)?;
    Ok(writer.finish()?)
}

fn leads(snapshot: &Snapshot, required: &[String]) -> Result<Vec<RecordBatch>> {
    let mut columns =
        vec!["lead_id", "source", "op", "is_test", "origin", "created_at", "observed_at", "email", "email_kind", "country"];
    for field in required {
        if !columns.contains(&field.as_str()) {
            columns.push(field);
        }
    }
    latest(load(snapshot, &tables::LEAD, &columns)?, "lead_id")
}

impl Side {
    fn count(&mut self, batch: &RecordBatch, row: usize, required: &[String]) -> Result<()> {
        self.records += 1;
        if let Some(kind) = at(text(batch, "email_kind")?, row) {
            self.with_email += 1;
            self.valid += u64::from(kind != EmailKind::Invalid.as_str());
            self.freemail += u64::from(kind == EmailKind::Personal.as_str());
        }
        let filled = |field: &String| batch.column_by_name(field).is_some_and(|column| column.is_valid(row));
        self.complete += u64::from(required.iter().all(filled));
        if let Some(country) = at(text(batch, "country")?, row) {
            *self.countries.entry(country.to_owned()).or_default() += 1;
        }
        if let Some((_, domain)) = at(text(batch, "email")?, row).and_then(|email| email.rsplit_once('@')) {
            *self.domains.entry(domain.to_owned()).or_default() += 1;
        }
        Ok(())
    }
}

impl Watched {
    fn comparisons(&self, source: &str, base_from: i32, now_from: i32, today: i32) -> Vec<Comparison> {
        let Self { base, now, since, flows } = self;
        let mut changes: Vec<(&str, Change)> = vec![
            ("validity", Change::Share { base: (base.valid, base.with_email), now: (now.valid, now.with_email) }),
            ("freemail", Change::Share { base: (base.freemail, base.valid), now: (now.freemail, now.valid) }),
            ("completeness", Change::Share { base: (base.complete, base.records), now: (now.complete, now.records) }),
            ("countries", Change::Mix { base: base.countries.clone(), now: now.countries.clone() }),
            ("email_domains", Change::Mix { base: base.domains.clone(), now: now.domains.clone() }),
        ];
        // A source that began within the base was there for a part of it only.
        let base_days = now_from - since.unwrap_or(now_from).max(base_from);
        let window = today - now_from;
        if *flows && base_days >= window && base.records > 0 {
            changes.push((
                "records_a_day",
                Change::Volume { base: (base.records, f64::from(base_days)), now: (now.records, f64::from(window)) },
            ));
        }
        let named =
            |(figure, change): (&str, Change)| Comparison { source: source.to_owned(), figure: figure.to_owned(), change };
        changes.into_iter().map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{DAY, World};

    /// Leads of a source on the days before now: day, how many, of them with a bad address.
    async fn drift(settings: &str, origin: &str, days: impl Iterator<Item = (i64, usize, usize)>) -> Drift {
        let world = World::of(settings).await;
        let now = world.engine.clock().now_us();
        let cells: Vec<(String, String, bool)> = days
            .flat_map(|(day, leads, bad)| {
                (0..leads).map(move |at| (format!("led_{day}_{at}"), (now - day * DAY).to_string(), at < bad))
            })
            .collect();
        let rows: Vec<[(&str, &str); 5]> = cells
            .iter()
            .map(|(id, made, bad)| {
                let kind = if *bad { "invalid" } else { "nominative_pro" };
                [
                    ("lead_id", id.as_str()),
                    ("source", "web"),
                    ("origin", origin),
                    ("observed_at", made.as_str()),
                    ("email_kind", kind),
                ]
            })
            .collect();
        world.put(&tables::LEAD, &rows.iter().map(<[_; 5]>::as_slice).collect::<Vec<_>>()).await;
        compare(&world.engine, &world.engine.store.snapshot().await.unwrap(), now).unwrap()
    }

    fn figures(drift: &Drift) -> Vec<&str> {
        drift.alerts.iter().map(|alert| alert.figure.as_str()).collect()
    }

    #[tokio::test]
    async fn steady_source_raises_nothing() {
        assert!(drift("", "form", (0..60).map(|day| (day, 10, 1))).await.alerts.is_empty());
    }

    #[tokio::test]
    async fn fewer_records_and_worse_addresses_are_told() {
        let drift = drift("", "form", (1..36).map(|day| if day <= 7 { (day, 5, 3) } else { (day, 12, 1) })).await;
        assert_eq!(figures(&drift), ["validity", "records_a_day"]);
        let volume = &drift.alerts[1];
        assert_eq!((volume.before, volume.now), (12.0, 5.0));
        assert!(volume.probability < 1e-4);
    }

    #[tokio::test]
    async fn list_that_was_delivered_at_once_has_no_volume_to_lose() {
        assert!(drift("", "list", std::iter::once((20, 400, 10))).await.alerts.is_empty());
    }

    #[tokio::test]
    async fn source_that_has_only_begun_is_not_compared_by_volume() {
        assert!(drift("", "form", (1..12).map(|day| (day, if day < 8 { 40 } else { 3 }, 0))).await.alerts.is_empty());
    }

    #[tokio::test]
    async fn no_false_alerts_wanted_are_no_alerts() {
        let settings = "measures: { drift: { false_alerts: 0 } }";
        let drift = drift(settings, "form", (1..36).map(|day| if day <= 7 { (day, 5, 3) } else { (day, 12, 1) })).await;
        assert!(drift.alerts.is_empty());
    }
}
