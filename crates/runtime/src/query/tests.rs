use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::array::{BooleanArray, Decimal128Array, Float64Array, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Int64Type};
use headwater_model::tables::{self, ColumnType, Table};
use headwater_sdk::{Clock, Registry};
use proptest::prelude::*;

use super::*;
use crate::project::{Project, Surroundings};

/// One made-up value per column; what a row does not name is null, or the least value where a column is required.
type Row<'a> = &'a [(&'a str, &'a str)];

fn batch(table: &Table, rows: &[Row<'_>]) -> RecordBatch {
    let columns = table.columns.iter().map(|column| -> ArrayRef {
        let cells = rows.iter().map(|row| row.iter().find(|(name, _)| *name == column.name).map(|(_, value)| *value));
        let whole = |cell: Option<&str>| cell.map(|cell| cell.parse::<i64>().unwrap()).or(column.required.then_some(0));
        match column.kind {
            ColumnType::Text => Arc::new(cells.map(|cell| cell.or(column.required.then_some(""))).collect::<StringArray>()),
            ColumnType::Int => Arc::new(cells.map(whole).collect::<Int64Array>()),
            ColumnType::Instant => Arc::new(cells.map(whole).collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
            ColumnType::Bool => Arc::new(cells.map(|cell| Some(cell == Some("true"))).collect::<BooleanArray>()),
            ColumnType::Float => {
                Arc::new(cells.map(|cell| Some(cell.map_or(0.0, |cell| cell.parse().unwrap()))).collect::<Float64Array>())
            }
            ColumnType::Money => {
                let cells = cells.map(|cell| whole(cell).map(i128::from)).collect::<Decimal128Array>();
                Arc::new(cells.with_precision_and_scale(18, 6).unwrap())
            }
            ColumnType::Day => new_null_array(&DataType::Date32, rows.len()),
        }
    });
    RecordBatch::try_new(table.schema(), columns.collect()).unwrap()
}

struct World {
    engine: Engine,
    _folder: tempfile::TempDir,
}

impl World {
    /// An empty project. Its folder's name is one that the engine could take for a pattern.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("a [b]* c#%20é");
        std::fs::create_dir(&project).unwrap();
        std::fs::write(project.join("headwater.yaml"), "version: 1\n").unwrap();
        let clock = Clock::fixed("2026-11-20T00:00:00Z".parse().unwrap());
        let surroundings = Surroundings { clock, env: Arc::new(BTreeMap::new()), flags: Vec::new() };
        let project = Project::load(&project, &Registry::default(), &surroundings).unwrap();
        let engine = Engine::open(project, Registry::default(), surroundings).await.unwrap();
        Self { engine, _folder: folder }
    }

    async fn append(&self, table: &'static Table, rows: &[Row<'_>]) {
        let mut writer = self.engine.store.writer(table, None).unwrap();
        writer.write(&batch(table, rows)).unwrap();
        let mut commit = self.engine.store.commit("run_1", 1);
        commit.append(writer.finish().unwrap());
        commit.execute().await.unwrap();
    }

    async fn ask(&self, sql: &str) -> Head {
        query(&self.engine, sql).await.unwrap().head(HUMAN_ROWS).await.unwrap()
    }

    async fn refusal(&self, sql: &str) -> String {
        query(&self.engine, sql).await.unwrap_err().to_string()
    }

    /// Whom an audience admits.
    async fn audience(&self, condition: &str) -> Result<Vec<String>> {
        let all = self.asked(condition).await?.into_iter();
        Ok(all.filter(|(_, kept_out)| kept_out == "NULL").map(|(id, _)| id).collect())
    }

    /// Whom an audience admits, and whom it would, might they be contacted; and why they may not.
    async fn asked(&self, condition: &str) -> Result<Vec<(String, String)>> {
        let snapshot = self.engine.store.snapshot().await.unwrap();
        let columns = BTreeSet::from(["prospect_id"]);
        let mut rows = audience(&self.engine, &snapshot, (condition, &columns), &[]).await?;
        let mut batches = Vec::new();
        while let Some(batch) = rows.next().await? {
            batches.push(batch);
        }
        let reasons = |batch: &RecordBatch| batch.project(&[batch.schema().index_of(KEPT_OUT).unwrap()]).unwrap();
        let reasons: Vec<RecordBatch> = batches.iter().map(reasons).collect();
        Ok(texts(&batches).into_iter().zip(texts(&reasons)).collect())
    }
}

/// The first column.
fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let cells = batches.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter());
    cells.map(|cell| cell.unwrap_or("NULL").to_owned()).collect()
}

#[tokio::test]
async fn every_table_can_be_asked_before_it_has_a_row() {
    let world = World::new().await;
    for table in table_names() {
        let answer = query(&world.engine, &format!("SELECT * FROM {table}")).await.unwrap();
        let declared = tables::by_name(table).unwrap_or(&tables::LEAD);
        let names = |schema: &SchemaRef| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        assert_eq!(names(&answer.schema()), names(&declared.schema()), "{table}");
        assert_eq!(answer.head(1).await.unwrap().rows, 0);
    }
}

#[tokio::test]
async fn an_answer_has_the_declared_types_and_all_rows_of_all_files() {
    let world = World::new().await;
    world
        .append(
            &tables::CONVERSION,
            &[&[("conversion_id", "cnv_1"), ("kind", "order"), ("value", "1500000"), ("currency", "EUR")]],
        )
        .await;
    world
        .append(
            &tables::CONVERSION,
            &[&[("conversion_id", "cnv_2"), ("kind", "refund"), ("value", "-500000"), ("currency", "EUR")]],
        )
        .await;
    let answer = query(&world.engine, "SELECT * FROM conversion").await.unwrap();
    for (given, declared) in answer.schema().fields().iter().zip(tables::CONVERSION.schema().fields()) {
        assert_eq!(given.data_type(), declared.data_type(), "{}", given.name());
    }
    let sum = world.ask("SELECT CAST(sum(value) AS TEXT), count(*) FROM conversion WHERE currency = 'EUR'").await;
    assert_eq!(texts(&sum.batches), ["1.000000"]);
    assert_eq!(sum.batches[0].column(1).as_primitive::<Int64Type>().value(0), 2);
}

#[tokio::test]
async fn rows_that_were_deleted_are_in_no_answer() {
    let world = World::new().await;
    let ids: Vec<String> = (0..40).map(|number| format!("cnv_{number:02}")).collect();
    let values: Vec<String> = (0..40).map(|number| (number * 1_000_000).to_string()).collect();
    let made = |number: usize| [("conversion_id", &*ids[number]), ("kind", "order"), ("value", &*values[number])];
    let rows: Vec<_> = (0..40).map(made).collect();
    for part in rows.chunks(20) {
        world.append(&tables::CONVERSION, &part.iter().map(|row| &row[..]).collect::<Vec<_>>()).await;
    }
    world.append(&tables::LEAD, &[&[("lead_id", "led_1"), ("run_id", "run_1")], &[("lead_id", "led_2")]]).await;
    world.append(&tables::LEAD, &[&[("lead_id", "led_1"), ("run_id", "run_2"), ("email", "late@example.com")]]).await;
    let store = &world.engine.store;
    let base = store.snapshot().await.unwrap();
    // Of the first file all but three go, of the second the last.
    let out = |id: &str| id == "cnv_39" || id < "cnv_17";
    let mut commit = store.commit("run_2", 2);
    let out = base.find_rows(&tables::CONVERSION, "conversion_id", out).unwrap();
    commit.amend(&base, &tables::CONVERSION, out, Vec::new()).unwrap();
    let out = base.find_rows(&tables::LEAD, "lead_id", |id| id == "led_2").unwrap();
    commit.amend(&base, &tables::LEAD, out, Vec::new()).unwrap();
    commit.execute().await.unwrap();

    let left = &ids[17..39];
    for (sql, expected) in [
        ("SELECT CAST(count(*) AS TEXT) FROM conversion", vec!["22"]),
        ("SELECT CAST(count(conversion_id) AS TEXT) FROM conversion", vec!["22"]),
        ("SELECT min(conversion_id) FROM conversion", vec!["cnv_17"]),
        ("SELECT max(conversion_id) FROM conversion", vec!["cnv_38"]),
        ("SELECT CAST(max(value) AS TEXT) FROM conversion", vec!["38.000000"]),
        ("SELECT conversion_id FROM conversion WHERE conversion_id IN ('cnv_01', 'cnv_18', 'cnv_39')", vec!["cnv_18"]),
        ("SELECT conversion_id FROM conversion WHERE conversion_id >= 'cnv_38'", vec!["cnv_38"]),
        ("SELECT conversion_id FROM conversion ORDER BY conversion_id DESC LIMIT 2", vec!["cnv_38", "cnv_37"]),
        ("SELECT conversion_id FROM conversion ORDER BY value LIMIT 1", vec!["cnv_17"]),
        ("SELECT lead_id FROM lead", vec!["led_1", "led_1"]),
        ("SELECT email FROM current_lead", vec!["late@example.com"]),
    ] {
        assert_eq!(texts(&world.ask(sql).await.batches), expected, "{sql}");
    }
    for limit in [1, 3, 5, 21, 22, 40] {
        let asked = texts(&world.ask(&format!("SELECT conversion_id FROM conversion LIMIT {limit}")).await.batches);
        assert_eq!(asked.len(), limit.min(left.len()), "a limit counts rows that are left");
        assert!(asked.iter().all(|id| left.contains(id)), "{asked:?}");
    }
    let mut all = texts(&world.ask("SELECT conversion_id FROM conversion").await.batches);
    all.sort();
    assert_eq!(all, left);
}

#[tokio::test]
async fn an_answer_shows_the_lake_as_it_was_when_the_question_was_asked() {
    let world = World::new().await;
    world.append(&tables::COST, &[]).await;
    world.append(&tables::QUARANTINE, &[&[("quarantine_id", "qrn_1")]]).await;
    let answer = query(&world.engine, "SELECT quarantine_id FROM quarantine").await.unwrap();
    world.append(&tables::QUARANTINE, &[&[("quarantine_id", "qrn_2")]]).await;
    assert_eq!(answer.head(9).await.unwrap().rows, 1);
    assert_eq!(world.ask("SELECT * FROM quarantine").await.rows, 2);
}

#[tokio::test]
async fn a_current_lead_is_the_last_version_unless_that_is_a_delete() {
    let world = World::new().await;
    world
        .append(
            &tables::LEAD,
            &[
                &[("lead_id", "led_1"), ("run_id", "run_2"), ("op", "upsert"), ("city", "new"), ("observed_at", "5")],
                &[("lead_id", "led_1"), ("run_id", "run_1"), ("op", "upsert"), ("city", "old"), ("observed_at", "9")],
                &[("lead_id", "led_2"), ("run_id", "run_1"), ("op", "upsert"), ("city", "gone")],
                &[("lead_id", "led_2"), ("run_id", "run_2"), ("op", "delete")],
                &[("lead_id", "led_3"), ("run_id", "run_1"), ("op", "delete")],
                &[("lead_id", "led_3"), ("run_id", "run_2"), ("op", "upsert"), ("city", "back")],
                &[("lead_id", "led_4"), ("run_id", "run_2"), ("op", "upsert"), ("city", "earlier"), ("observed_at", "1")],
                &[("lead_id", "led_4"), ("run_id", "run_2"), ("op", "upsert"), ("city", "later"), ("observed_at", "2")],
            ],
        )
        .await;
    let head = world.ask("SELECT city FROM current_lead ORDER BY lead_id").await;
    assert_eq!(texts(&head.batches), ["new", "back", "later"]);
}

#[tokio::test]
async fn nothing_can_be_changed_and_no_other_file_read() {
    let world = World::new().await;
    world.append(&tables::QUARANTINE, &[&[("quarantine_id", "qrn_1")]]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret.csv");
    std::fs::write(&file, "a\n1\n").unwrap();
    let shown = file.display();
    for sql in [
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "DROP TABLE lead",
        "INSERT INTO quarantine SELECT * FROM quarantine",
        "DELETE FROM quarantine",
        "UPDATE quarantine SET source = 'x'",
        "SET datafusion.execution.target_partitions = 64",
        "PREPARE p AS SELECT 1",
        "BEGIN",
        &format!("COPY lead TO '{shown}.out'"),
        &format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{shown}'"),
        &format!("EXPLAIN ANALYZE COPY lead TO '{shown}.out'"),
        &format!("SELECT * FROM '{shown}'"),
        &format!("SELECT * FROM read_csv('{shown}')"),
        "SELECT 1; SELECT 2",
    ] {
        assert!(matches!(query(&world.engine, sql).await, Err(Error::Query(_))), "{sql}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(world.ask("SELECT * FROM quarantine").await.rows, 1);
    for sql in ["DROP TABLE lead", "CREATE TABLE t AS SELECT 1", "CREATE VIEW v AS SELECT 1", &format!("COPY lead TO '{shown}'")]
    {
        let message = world.refusal(sql).await;
        assert!(message.contains("only reads") && message.contains("headwater sync"), "{sql}: {message}");
    }
    for (sql, expected) in [(" ", "empty"), ("SELECT 1; SELECT 2", "one statement at a time")] {
        let message = world.refusal(sql).await;
        assert!(message.contains(expected), "{sql}: {message}");
    }
}

#[tokio::test]
async fn reading_statements_other_than_select_are_answered() {
    let world = World::new().await;
    for sql in [
        "SHOW TABLES",
        "DESCRIBE lead",
        "EXPLAIN SELECT * FROM lead",
        "WITH a AS (SELECT 1 AS one) SELECT one FROM a",
        "VALUES (1)",
    ] {
        assert!(world.ask(sql).await.rows > 0, "{sql}");
    }
}

#[tokio::test]
async fn a_mistyped_name_is_answered_with_the_nearest_and_with_all() {
    let world = World::new().await;
    let message = world.refusal("SELECT * FROM prospects").await;
    assert!(message.contains("there is no table `prospects`; did you mean `prospect`?"), "{message}");
    assert!(table_names().all(|table| message.contains(table)), "{message}");
    let message = world.refusal("SELECT emial FROM prospect").await;
    assert!(message.contains("there is no column `emial`; did you mean `email`?"), "{message}");
    assert!(message.contains("lifecycle, buying_stage"), "{message}");
    let message = world.refusal("SELEC 1").await;
    assert!(message.contains("the SQL cannot be read"), "{message}");
}

#[tokio::test]
async fn a_head_is_cut_exactly_and_says_so() {
    let world = World::new().await;
    let head = |limit: usize| {
        let engine = world.engine.clone();
        async move { query(&engine, "SELECT * FROM generate_series(1, 20000)").await.unwrap().head(limit).await.unwrap() }
    };
    for (limit, rows, more) in
        [(0, 0, true), (1, 1, true), (19_999, 19_999, true), (20_000, 20_000, false), (30_000, 20_000, false)]
    {
        let head = head(limit).await;
        let counted: usize = head.batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!((head.rows, counted, head.more), (rows, rows, more), "{limit}");
    }
}

#[tokio::test]
async fn an_answer_stops_when_the_run_is_told_to() {
    let world = World::new().await;
    let mut answer = query(&world.engine, "SELECT * FROM generate_series(1, 1000000000)").await.unwrap();
    assert!(answer.next().await.unwrap().is_some());
    world.engine.cancel.cancel();
    assert!(matches!(answer.next().await, Err(Error::Interrupted)));
}

async fn prospects() -> World {
    let world = World::new().await;
    world
        .append(
            &tables::PROSPECT,
            &[
                &[("prospect_id", "pro_3"), ("lifecycle", "customer"), ("may_contact", "true"), ("country", "FR")],
                &[("prospect_id", "pro_1"), ("lifecycle", "customer"), ("may_contact", "true")],
                &[("prospect_id", "pro_2"), ("lifecycle", "customer"), ("may_contact", "true"), ("merged_into", "pro_1")],
                &[("prospect_id", "pro_4"), ("lifecycle", "suspect"), ("may_contact", "true")],
                &[("prospect_id", "pro_5"), ("lifecycle", "customer"), ("hold_reason", "suppressed")],
            ],
        )
        .await;
    world
}

#[tokio::test]
async fn who_would_be_in_an_audience_might_they_be_contacted_is_told_with_the_reason() {
    let world = prospects().await;
    let kept_out = async |condition: &str| {
        let all = world.asked(condition).await.unwrap().into_iter();
        all.filter(|(_, reason)| reason != "NULL").collect::<Vec<_>>()
    };
    let reason = |id: &str| vec![(id.to_owned(), "suppressed".to_owned())];
    assert_eq!(kept_out("lifecycle = 'customer' AND may_contact").await, reason("pro_5"));
    assert_eq!(kept_out("lifecycle = 'customer' AND hold_reason IS NULL").await, reason("pro_5"));
    assert_eq!(kept_out("lifecycle = 'suspect' AND may_contact").await, []);
    assert_eq!(kept_out("lifecycle = 'customer'").await, [], "an audience that does not ask keeps nobody out");
    assert_eq!(kept_out("NOT may_contact").await, []);
    let with_table = "may_contact AND EXISTS (SELECT 1 FROM prospect p WHERE p.prospect_id = prospect.prospect_id)";
    assert_eq!(kept_out(with_table).await, reason("pro_5"));
}

#[tokio::test]
async fn an_audience_is_living_prospects_in_order() {
    let world = prospects().await;
    let check =
        async |condition: &str, expected: &[&str]| assert_eq!(world.audience(condition).await.unwrap(), expected, "{condition}");
    check("lifecycle = 'customer' AND may_contact", &["pro_1", "pro_3"]).await;
    check("true", &["pro_1", "pro_3", "pro_4", "pro_5"]).await;
    check("false OR true -- a comment", &["pro_1", "pro_3", "pro_4", "pro_5"]).await;
    check("country = 'FR'", &["pro_3"]).await;
    check("prospect_id IN (SELECT prospect_id FROM prospect WHERE lifecycle = 'suspect')", &["pro_4"]).await;
    check("false", &[]).await;
}

#[tokio::test]
async fn a_wrong_audience_is_named_with_the_columns_there_are() {
    let world = prospects().await;
    for wrong in [
        "",
        "lifecycle =",
        "true) OR (true",
        "true; DROP TABLE lead",
        "country",
        "livecycle = 'customer'",
        "prospect_id IN (SELECT a FROM b)",
    ] {
        let message = world.audience(wrong).await.unwrap_err().to_string();
        assert!(message.contains(&format!("the audience `{wrong}`")), "{message}");
        assert_eq!(message, check_audience(wrong).await.unwrap_err().to_string());
    }
    let message = check_audience("livecycle = 'customer'").await.unwrap_err().to_string();
    assert!(message.contains("did you mean `lifecycle`?") && message.contains("may_contact"), "{message}");
    check_audience("lifecycle = 'customer' AND may_contact").await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_condition_lets_a_merged_prospect_in(noise in "[()'\";a-z =-]{0,24}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let condition = format!("true {noise}");
        if let Ok(frame) = runtime.block_on(admitted(&session::empty().unwrap(), (&condition, &BTreeSet::from(["prospect_id"])), &[])) {
            let plan = frame.logical_plan().display_indent().to_string();
            prop_assert!(plan.contains("prospect.merged_into IS NULL AND"), "{plan}");
        }
    }
}
