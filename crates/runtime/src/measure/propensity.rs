//! Who is likely to convert: a model of the past, and a score for everybody who is no customer yet.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use headwater_analysis::propensity::features::{Person, Shape, past_cases};
use headwater_analysis::propensity::report::{Figures, Report};
use headwater_analysis::propensity::{Cases, Score, Settings, Trained, train};
use headwater_model::tables;
use headwater_store::{Snapshot, StagedFiles};
use serde_json::{Value, json};
use tracing::info;
use xxhash_rust::xxh3::xxh3_64;

use super::people::known;
use crate::engine::Engine;
use crate::error::Result;

/// A score is the probability to convert within so many days.
pub(crate) const HORIZON_DAYS: u32 = 30;
/// More cases than this change a model of some forty features less than its last digit, and cost time.
const MAX_CASES: usize = 40_000;
/// Rows of one batch.
const ROWS_AT_ONCE: usize = 16_384;

pub(super) struct Scores {
    pub(super) files: StagedFiles,
    pub(super) model: StagedFiles,
    pub(super) rows: u64,
}

pub(super) fn write(engine: &Engine, snapshot: &Snapshot, now_us: i64) -> Result<Scores> {
    let people: Vec<Person> = known(snapshot)?.into_iter().map(|known| known.person).collect();
    let shape = Shape::of(&people);
    let trained = train(&sample(past_cases(&people, &shape, now_us, HORIZON_DAYS)), Settings::default());
    let mut writer = engine.store.writer(&tables::PROPENSITY, None)?;
    let mut rows = 0;
    if let Ok(Trained { model, .. }) = &trained {
        let version = model.version();
        let scored: Vec<(&str, Score)> = people
            .iter()
            .filter_map(|person| Some((person.id.as_str(), model.score(&shape.features(person, now_us)?))))
            .collect();
        rows = scored.len() as u64;
        for part in scored.chunks(ROWS_AT_ONCE) {
            writer.write(&batch(part, &version, now_us)?)?;
        }
    }
    let mut of_model = engine.store.writer(&tables::PROPENSITY_MODEL, None)?;
    let text = |value: Option<String>| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let made = trained.as_ref().ok();
    of_model.write(&RecordBatch::try_new(
        tables::PROPENSITY_MODEL.schema(),
        vec![
            text(made.map(|trained| trained.model.version())),
            text(made.map(|trained| trained.model.method().to_owned())),
            Arc::new(Int64Array::from(vec![i64::from(HORIZON_DAYS)])),
            text(made.map(|trained| trained.model.to_json().to_string())),
            text(made.map(|trained| report_json(&trained.report).to_string())),
            text(trained.as_ref().err().map(ToString::to_string)),
            Arc::new(TimestampMicrosecondArray::from(vec![now_us]).with_timezone("UTC")),
        ],
    )?)?;
    info!(scored = rows, "propensity");
    Ok(Scores { files: writer.finish()?, model: of_model.finish()?, rows })
}

/// A part of the people, chosen by their ids, where there are more cases than are needed.
fn sample(mut cases: Cases) -> Cases {
    let every = cases.rows.len().div_ceil(MAX_CASES).max(1) as u64;
    if every > 1 {
        cases.rows.retain(|case| xxh3_64(case.person.as_bytes()).is_multiple_of(every));
    }
    cases
}

fn batch(scored: &[(&str, Score)], version: &str, now_us: i64) -> Result<RecordBatch> {
    let reasons = |score: &Score| {
        let reasons = score
            .reasons
            .iter()
            .map(|reason| json!({ "feature": reason.name, "value": round(reason.value), "weight": round(reason.weight) }));
        Value::Array(reasons.collect()).to_string()
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(scored.iter().map(|(id, _)| Some(*id)).collect::<StringArray>()),
        Arc::new(scored.iter().map(|(_, score)| Some(score.probability)).collect::<Float64Array>()),
        Arc::new(scored.iter().map(|(_, score)| Some(reasons(score))).collect::<StringArray>()),
        Arc::new(Int64Array::from(vec![i64::from(HORIZON_DAYS); scored.len()])),
        Arc::new(scored.iter().map(|_| Some(version)).collect::<StringArray>()),
        Arc::new(TimestampMicrosecondArray::from_value(now_us, scored.len()).with_timezone("UTC")),
    ];
    Ok(RecordBatch::try_new(tables::PROPENSITY.schema(), columns)?)
}

fn round(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

fn report_json(report: &Report) -> Value {
    let figures = |figures: &Figures| {
        json!({
            "cases": figures.cases, "converted": figures.converted, "expected_rate": figures.expected_rate, "auc": figures.auc,
            "log_loss": figures.log_loss, "brier": figures.brier, "lift_at_10_percent": figures.lift_at_10_percent,
        })
    };
    let by_source: serde_json::Map<String, Value> =
        report.by_source.iter().map(|(source, own)| (source.clone(), figures(own))).collect();
    json!({
        "all": figures(&report.all), "calibration_slope": report.calibration_slope,
        "calibration_error": report.calibration_error, "by_source": by_source,
    })
}
