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

#[cfg(test)]
mod tests {
    use headwater_model::tables::{PROSPECT, TOUCH};

    use super::*;
    use crate::world::{DAY, World};

    /// People first seen over half a year; of those of the good source one in four buys twenty days later.
    async fn world(people: usize) -> World {
        let world = World::of("").await;
        let now = world.engine.clock().now_us();
        let cells: Vec<[(&str, String); 4]> = (0..people)
            .map(|at| {
                let first = now - (5 + i64::try_from(at % 180).unwrap()) * DAY;
                let (good, buys) = (at % 2 == 0, at % 8 == 0);
                let bought = first + 20 * DAY;
                let bought = if buys && bought < now { bought.to_string() } else { String::new() };
                [
                    ("prospect_id", format!("prs_{at:04}")),
                    ("first_source", if good { "good" } else { "poor" }.to_owned()),
                    ("first_seen_at", first.to_string()),
                    ("became_customer_at", bought),
                ]
            })
            .collect();
        let rows: Vec<Vec<(&str, &str)>> = cells
            .iter()
            .map(|row| row.iter().filter(|(_, cell)| !cell.is_empty()).map(|(name, cell)| (*name, cell.as_str())).collect())
            .collect();
        let rows: Vec<&[(&str, &str)]> = rows.iter().map(Vec::as_slice).collect();
        world.put(&PROSPECT, &rows).await;
        world.put(&TOUCH, &[&[("touch_id", "t1"), ("lead_id", "nobodys")]]).await;
        world
    }

    #[tokio::test]
    async fn everybody_who_is_no_customer_has_a_score_and_the_model_stands_beside() {
        let world = world(1200).await;
        let snapshot = world.engine.store.snapshot().await.unwrap();
        let now = world.engine.clock().now_us();
        let scores = write(&world.engine, &snapshot, now).unwrap();
        let customers = (0..1200).filter(|at| at % 8 == 0 && 5 + at % 180 > 20).count();
        assert_eq!(scores.rows, 1200 - customers as u64);
        let mut commit = world.engine.store.commit("run_1", now);
        commit.replace(&snapshot, &tables::PROPENSITY, vec![scores.files]);
        commit.replace(&snapshot, &tables::PROPENSITY_MODEL, vec![scores.model]);
        commit.execute().await.unwrap();
        world.measured(&[]).await;
        let report = crate::report::propensity(&world.engine).await.unwrap();
        assert_eq!((report.refusal.as_deref(), report.scored), (None, scores.rows));
        assert!(report.model_version.as_deref().unwrap().starts_with("propensity-1-"));
        let auc = report.quality.as_ref().unwrap().pointer("/all/auc").unwrap().as_f64().unwrap();
        assert!(auc > 0.7, "{auc}");
        assert!(report.people.is_empty(), "nobody may be contacted");
    }

    #[tokio::test]
    async fn few_people_have_no_scores_and_the_report_says_why() {
        let world = world(40).await;
        let snapshot = world.engine.store.snapshot().await.unwrap();
        let scores = write(&world.engine, &snapshot, world.engine.clock().now_us()).unwrap();
        assert_eq!(scores.rows, 0);
    }
}
