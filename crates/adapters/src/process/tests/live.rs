//! Programs as they come from PyPI. `./test e2e` installs them, each in a virtual environment of its own.

use std::collections::{BTreeMap, BTreeSet};

use headwater_model::checkpoint::Checkpoint;
use headwater_model::page::Page;
use headwater_sdk::sink::Fields;
use headwater_sdk::testkit::{check_source_contract, live};
use headwater_sdk::{Connector as _, DeliveryRow, ErrorKind, Operation, RowOutcome, Sink};
use url::Url;

use super::*;
use crate::process::airbyte::{Airbyte, AirbyteSource};
use crate::process::singer::{Singer, SingerSource, SingerTarget};

fn program(package: &str, name: &str) -> String {
    format!("{}/{package}/bin/{name}", live("HEADWATER_TEST_PROGRAMS"))
}

fn singer(package: &str, name: &str, config: Value, dir: &Path) -> SingerSource {
    let mut settings = json!({"command": [program(package, name)]});
    settings["config"] = config;
    SingerSource::new(doc(settings).parse().unwrap(), &cx(dir), EAGER).unwrap()
}

fn airbyte(package: &str, name: &str, config: Value) -> AirbyteSource {
    let mut settings = json!({"command": [program(package, name)]});
    settings["config"] = config;
    AirbyteSource::new(doc(settings).parse().unwrap(), &cx(Path::new("/tmp")), EAGER).unwrap()
}

#[derive(Default)]
struct Gave {
    pages: Vec<Page>,
    checkpoints: Vec<(usize, Checkpoint)>,
    /// Whether it showed everything by itself.
    whole: bool,
}

impl Gave {
    fn rows(&self) -> usize {
        self.pages.iter().map(Page::rows).sum()
    }

    fn keys(&self) -> BTreeSet<String> {
        let keys = self.pages.iter().filter_map(|page| page.keys.as_ref());
        keys.flat_map(|keys| keys.iter().flatten().map(str::to_owned)).collect()
    }

    /// A field's values, in order.
    fn field(&self, name: &str) -> Vec<Option<String>> {
        let mut values = Vec::new();
        for page in &self.pages {
            let column = page.fields.column_by_name(name).unwrap_or_else(|| panic!("there is no field {name}"));
            let column: &arrow::array::StringArray = column.as_any().downcast_ref().unwrap();
            values.extend(column.iter().map(|value| value.map(str::to_owned)));
        }
        values
    }

    fn last(&self) -> Option<Checkpoint> {
        self.checkpoints.last().map(|(_, checkpoint)| checkpoint.clone())
    }
}

async fn read(source: &dyn Source, name: &str, from: Option<Checkpoint>) -> Gave {
    let mut events = source.read(&stream(source, name).await, from).await.unwrap();
    let mut gave = Gave::default();
    while let Some(event) = events.try_next().await.unwrap() {
        match event {
            SourceEvent::Page(page) => {
                page.validate().unwrap();
                assert!(page.refused.is_empty());
                gave.pages.push(page);
            }
            SourceEvent::Whole { resumed, .. } => gave.whole = !resumed,
            SourceEvent::Checkpoint(checkpoint) => gave.checkpoints.push((gave.rows(), checkpoint)),
        }
    }
    assert_eq!(gave.checkpoints.last().unwrap().0, gave.rows());
    gave
}

fn texts(values: &[&str]) -> Vec<Option<String>> {
    values.iter().map(|value| Some((*value).to_owned())).collect()
}

#[tokio::test]
async fn faker_gives_all_its_users_once_and_then_has_nothing_new() {
    let config = json!({"count": 2000, "seed": 7, "parallelism": 1, "always_updated": false});
    let source = airbyte("airbyte-source-faker", "source-faker", config);
    source.check().await.unwrap();
    let all = read(&source, "users", None).await;
    let expected: BTreeSet<String> = (1..=2000).map(|id| id.to_string()).collect();
    assert!(all.rows() == 2000 && all.keys() == expected && all.checkpoints.len() > 10);
    assert!(all.field("email").iter().flatten().all(|email| email.contains('@')));
    assert!(all.field("address.city").iter().all(Option::is_some));
    assert_eq!(read(&source, "users", all.last()).await.rows(), 0);
    // Known and wrong, and faker's: any state of it means "done", also one in mid-read. `resumable: false` is for such programs.
    let (covered, middle) = all.checkpoints[7].clone();
    assert_eq!((covered, read(&source, "users", Some(middle)).await.rows()), (900, 0));

    let wrong = airbyte("airbyte-source-faker", "source-faker", json!({"count": "many"})).check().await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Config, "{wrong}");
}

#[tokio::test]
async fn the_edge_cases_of_smoke_test_arrive_as_they_were_sent() {
    let config = json!({"all_fast_streams": true, "large_batch_record_count": 10});
    let source = airbyte("airbyte-source-smoke-test", "source-smoke-test", config);
    assert_eq!(source.streams().await.unwrap().len(), 21);
    let numbers = read(&source, "large_decimals_and_numbers", None).await;
    assert_eq!(numbers.field("big_integer")[0].as_deref(), Some("9999999999999999"));
    let unicode = read(&source, "unicode_and_special_strings", None).await;
    assert!(unicode.field("unicode_text").iter().flatten().any(|text| !text.is_ascii()));
    let unions = read(&source, "union_types", None).await.field("string_or_integer");
    assert!(unions.iter().flatten().any(|value| value.parse::<i64>().is_ok()), "{unions:?}");
    let keyless = read(&source, "schema_with_no_primary_key", None).await;
    assert!(keyless.rows() > 0 && keyless.keys().is_empty());
    let names = read(&source, "column_naming_edge_cases", None).await;
    assert!(names.field("column.with.dots").iter().any(Option::is_some));
    assert_eq!(read(&source, "empty_stream", None).await.rows(), 0);
}

#[tokio::test]
async fn a_source_of_the_old_dialect_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("leads.csv");
    std::fs::write(&path, "id,email,city\n1,ada@example.com,Łódź\n2,bram@example.com,\n").unwrap();
    let config = json!({"dataset_name": "leads", "format": "csv", "url": path, "provider": {"storage": "local"}});
    let source = airbyte("airbyte-source-file", "source-file", config);
    source.check().await.unwrap();
    let gave = read(&source, "leads", None).await;
    assert_eq!(gave.field("email"), texts(&["ada@example.com", "bram@example.com"]));
    assert_eq!(gave.field("city"), [Some("Łódź".to_owned()), None]);
    assert_eq!(read(&source, "leads", gave.last()).await.rows(), 2);
}

/// A row that is taken out of a file is missed, by a source that reads it as a whole.
#[tokio::test]
async fn a_row_that_was_deleted_is_missed_where_a_full_read_shows_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("leads.csv");
    let write = |rows: &str| std::fs::write(&path, format!("id,email\n{rows}")).unwrap();
    let config = json!({"dataset_name": "leads", "format": "csv", "url": path, "provider": {"storage": "local"}});
    let settings = json!({"command": [program("airbyte-source-file", "source-file")], "config": config, "whole": ["leads"]});
    let source = AirbyteSource::new(doc(settings).parse().unwrap(), &cx(dir.path()), EAGER).unwrap();
    write("1,ada@example.com\n2,bram@example.com\n3,clara@example.com\n");
    let before = read(&source, "leads", None).await;
    write("1,ada@example.com\n3,clara@example.com\n");
    let after = read(&source, "leads", before.last()).await;
    assert_eq!((before.rows(), before.whole), (3, true));
    assert_eq!((after.whole, after.field("email")), (true, texts(&["ada@example.com", "clara@example.com"])));
}

#[tokio::test]
async fn cells_of_a_spreadsheet_keep_their_text() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "id,phone,zip,last_name\n1,+14155550100,01067,NA\n2,0049301234567,00501,None\n";
    std::fs::write(dir.path().join("leads.csv"), rows).unwrap();
    let file = json!({"path": dir.path().join("leads.csv"), "format": "csv", "primary_keys": ["id"], "table_name": "leads"});
    let source = singer("tap-spreadsheets", "tap-spreadsheets", json!({"files": [file]}), dir.path());
    source.check().await.unwrap();
    let gave = read(&source, "leads", None).await;
    assert_eq!(gave.keys(), BTreeSet::from(["1".to_owned(), "2".to_owned()]));
    assert_eq!(gave.field("phone"), texts(&["+14155550100", "0049301234567"]));
    assert_eq!(gave.field("zip"), texts(&["01067", "00501"]));
    assert_eq!(gave.field("last_name"), texts(&["NA", "None"]));
    assert!(gave.last().unwrap().state.to_string().contains("bookmarks"));

    // It reads only files that changed, and says so in its catalog: absence proves nothing.
    let file = json!({"path": dir.path().join("leads.csv"), "format": "csv", "primary_keys": ["id"], "table_name": "leads"});
    let settings = json!({
        "command": [program("tap-spreadsheets", "tap-spreadsheets")], "config": {"files": [file]}, "whole": ["leads"],
    });
    let source = SingerSource::new(doc(settings).parse().unwrap(), &cx(dir.path()), EAGER).unwrap();
    assert_eq!(source.streams().await.unwrap_err().config_path(), Some("whole"));
}

/// What target-postgres wrote is counted, and what tap-postgres reads of it is what was written.
#[tokio::test]
async fn rows_go_through_target_postgres_and_come_back_by_tap_postgres() {
    let url = Url::parse(&live("HEADWATER_TEST_POSTGRES_URL")).unwrap();
    let table = format!("singer_{}", Clock::system().now_us());
    let part = |part: Option<&str>| part.unwrap_or_default().to_owned();
    let database = url.path().trim_start_matches('/');
    let config = json!({
        "host": part(url.host_str()), "port": url.port().unwrap_or(5432), "user": url.username(),
        "password": url.password().unwrap_or("none"), "database": database,
    });
    let ids = "import sys, psycopg
with psycopg.connect(sys.argv[1]) as db:
    for (id,) in db.execute('select headwater_id from public.' + sys.argv[2]): print(id)";
    let python = program("meltanolabs-target-postgres", "python");
    let settings = json!({
        "command": [program("meltanolabs-target-postgres", "target-postgres")],
        "config": with(&config, json!({"default_target_schema": "public", "add_record_metadata": false, "activate_version": false})),
        "stream": table,
        "verify": {"command": [python, "-c", ids, url.as_str(), table], "answers": "keys"},
    });
    let dir = tempfile::tempdir().unwrap();
    let sink = SingerTarget.sink(&doc(settings), &cx(dir.path())).unwrap();
    sink.check().await.unwrap();
    assert_eq!(written(&*sink, &rows(500)).await, 500);
    let update = DeliveryRow { operation: Operation::Update { remote_id: "prs_7".to_owned() }, ..row(7, "Łukasz \"Ł\"") };
    assert_eq!(written(&*sink, &[update]).await, 1);

    let source =
        singer("meltanolabs-tap-postgres", "tap-postgres", with(&config, json!({"filter_schemas": ["public"]})), dir.path());
    let gave = read(&source, &format!("public-{table}"), None).await;
    assert_eq!(gave.rows(), 500);
    let ids = gave.field("headwater_id");
    let names: BTreeMap<_, _> = ids.into_iter().zip(gave.field("name")).collect();
    assert_eq!(names[&Some("prs_7".to_owned())].as_deref(), Some("Łukasz \"Ł\""));
    assert_eq!(names[&Some("prs_8".to_owned())].as_deref(), Some("Ada 8"));

    let stream = format!("public-{table}");
    let settings = json!({
        "command": [program("meltanolabs-tap-postgres", "tap-postgres")],
        "config": with(&config, json!({"filter_schemas": ["public"]})), "whole": [stream],
    });
    let source = SingerSource::new(doc(settings).parse().unwrap(), &cx(dir.path()), EAGER).unwrap();
    let before = read(&source, &stream, None).await;
    let delete = "import sys, psycopg
with psycopg.connect(sys.argv[1]) as db: db.execute('delete from public.' + sys.argv[2] + \" where headwater_id = 'prs_9'\")";
    assert!(std::process::Command::new(&python).args(["-c", delete, url.as_str(), &table]).status().unwrap().success());
    let after = read(&source, &stream, before.last()).await;
    assert_eq!((before.rows(), before.whole, after.rows(), after.whole), (500, true, 499, true));
}

#[tokio::test]
async fn target_jsonl_is_held_against_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let settings = json!({
        "command": [program("target-jsonl", "target-jsonl")],
        "config": {"destination_path": dir.path(), "do_timestamp_file": false},
        "verify": {"jsonl": dir.path()},
    });
    let sink = SingerTarget.sink(&doc(settings.clone()), &cx(dir.path())).unwrap();
    sink.check().await.unwrap();
    assert_eq!(written(&*sink, &rows(1_000)).await, 1_000);
    let doubtful = DeliveryRow { doubtful: true, ..row(3, "Ada 3") };
    let outcomes = sink.write(&[doubtful]).await.unwrap().into_outcomes();
    assert_eq!(outcomes, [RowOutcome::Unchanged { remote_id: "prs_3".to_owned() }]);
    let file = std::fs::read_to_string(dir.path().join("prospects.jsonl")).unwrap();
    assert_eq!(file.lines().count(), 1_000);

    let mut elsewhere = settings;
    elsewhere["verify"]["jsonl"] = json!(dir.path().join("elsewhere"));
    std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
    let sink = SingerTarget.sink(&doc(elsewhere), &cx(dir.path())).unwrap();
    assert_eq!(written(&*sink, &rows(10)).await, 0);
}

/// target-duckdb 0.8.0 drops the first record of a batch, echoes our state and exits with 0.
#[tokio::test]
async fn the_record_that_target_duckdb_loses_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let python = program("target-duckdb", "python");
    let script = |what: &str| {
        format!(
            "import duckdb\nfor (x,) in duckdb.connect('held.duckdb', read_only=True).execute('select {what} from main.prospects').fetchall(): print(x)"
        )
    };
    let verify = |what: &str, answers: &str| json!({"command": [python, "-c", script(what)], "answers": answers});
    let write = async |verify: Value| {
        let settings = json!({
            "command": [program("target-duckdb", "target-duckdb")],
            "config": {"path": dir.path().join("held.duckdb"), "default_target_schema": "main", "add_metadata_columns": false},
            "verify": verify,
        });
        let sink = SingerTarget.sink(&doc(settings), &cx(dir.path())).unwrap();
        let outcomes = sink.write(&rows(1_000)).await.unwrap().into_outcomes();
        let _gone = std::fs::remove_file(dir.path().join("held.duckdb"));
        outcomes.iter().map(|outcome| matches!(outcome, RowOutcome::Rejected { .. })).collect::<Vec<bool>>()
    };
    let by_keys = write(verify("headwater_id", "keys")).await;
    assert_eq!(by_keys.iter().filter(|lost| **lost).count(), 1);
    assert!(by_keys[0]);
    assert!(write(verify("count(*)", "total")).await.iter().all(|lost| *lost), "a total cannot tell which");
}

/// The streams by which singer-sdk tests targets, replayed by a tap.
#[tokio::test]
async fn the_conformance_streams_of_singer_sdk_are_read() {
    let python = format!("{}/meltanolabs-target-postgres/lib", live("HEADWATER_TEST_PROGRAMS"));
    let version = std::fs::read_dir(&python).unwrap().next().unwrap().unwrap().path();
    let folder = version.join("site-packages/singer_sdk/testing/target_test_streams");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/process/tests/replay.py");
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "singer") {
            continue;
        }
        files += 1;
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut sent: BTreeMap<String, usize> = BTreeMap::new();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let message: Value = serde_json::from_str(line).unwrap();
            if message["type"] == "RECORD" {
                *sent.entry(message["stream"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        let settings = json!({"command": ["/usr/bin/python3", script, "--"], "config": {"file": path}});
        let source = Singer.source(&doc(settings), &cx(Path::new("/tmp"))).unwrap();
        for stream in source.streams().await.unwrap() {
            let expected = sent.remove(&stream.name).unwrap_or_default();
            if name == "record_before_schema" {
                let (covered, _, error) = broken_off(&*source, &stream.name).await;
                assert_eq!((covered, error.kind()), (0, ErrorKind::Protocol));
                continue;
            }
            let all = check_source_contract(&*source, &stream.name, expected).await.unwrap();
            assert_eq!((all.rows.len(), all.refused.len()), (expected, 0), "{name}, {}", stream.name);
        }
        assert!(sent.is_empty(), "{name}: nobody read {sent:?}");
    }
    assert_eq!(files, 20);
}

#[tokio::test]
async fn a_program_of_another_protocol_is_no_source() {
    let settings = json!({"command": [program("target-jsonl", "target-jsonl")]});
    for source in
        [Airbyte.source(&doc(settings.clone()), &cx(Path::new("/tmp"))), Singer.source(&doc(settings), &cx(Path::new("/tmp")))]
    {
        let error = source.unwrap().streams().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Protocol), "{error}");
    }
}

fn with(config: &Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("not an object") };
    let mut all = config.as_object().unwrap().clone();
    all.extend(more);
    Value::Object(all)
}

fn row(n: usize, name: &str) -> DeliveryRow {
    let fields =
        [("email", format!("ada.{n}@alder.example.com")), ("name", name.to_owned()), ("phone", "+14155550100".to_owned())];
    DeliveryRow {
        key: format!("prs_{n}:0"),
        prospect_id: format!("prs_{n}"),
        operation: Operation::Create,
        fields: fields.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect::<Fields>(),
        match_keys: Vec::new(),
        doubtful: false,
        seen: Fields::new(),
    }
}

fn rows(count: usize) -> Vec<DeliveryRow> {
    (0..count).map(|n| row(n, &format!("Ada {n}"))).collect()
}

/// How many of the rows the sink says it wrote.
async fn written(sink: &dyn Sink, rows: &[DeliveryRow]) -> usize {
    let outcomes = sink.write(rows).await.unwrap().into_outcomes();
    outcomes.iter().filter(|outcome| matches!(outcome, RowOutcome::Created { .. } | RowOutcome::Updated { .. })).count()
}
