use std::path::Path;

use headwater_sdk::testkit_sink::{check_removal_contract, check_sink_contract};
use headwater_sdk::{Clock, ConfigDoc, Connector as _};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::lines::{escaped, unescape};
use super::*;

fn context(folder: &Path) -> BuildContext {
    BuildContext {
        clock: Clock::fixed(Timestamp::UNIX_EPOCH),
        base_dir: folder.to_owned(),
        env: Arc::new(|_| None),
        allow_private_hosts: false,
    }
}

fn sink_of(folder: &Path, config: Value) -> Result<Box<dyn Sink>> {
    let Value::Object(values) = config else { panic!("settings are an object") };
    let config = ConfigDoc { connection: "out".to_owned(), values };
    crate::file::File.sink(&config, &context(folder))
}

fn target(folder: &Path, config: Value) -> FileSink {
    FileSink::new(serde_json::from_value(config).unwrap(), &context(folder)).unwrap()
}

fn row(id: &str, fields: &[(&str, Option<&str>)]) -> DeliveryRow {
    DeliveryRow {
        key: format!("{id}:1"),
        prospect_id: id.to_owned(),
        operation: Operation::Create,
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect(),
        match_keys: Vec::new(),
        doubtful: false,
        seen: Fields::new(),
    }
}

fn update(id: &str, fields: &[(&str, Option<&str>)]) -> DeliveryRow {
    DeliveryRow { operation: Operation::Update { remote_id: id.to_owned() }, ..row(id, fields) }
}

async fn write(sink: &dyn Sink, rows: &[DeliveryRow]) -> Vec<RowOutcome> {
    sink.write(rows).await.unwrap().into_outcomes()
}

fn people() -> Vec<DeliveryRow> {
    vec![
        row("p1", &[("email", Some("ada@example.com")), ("phone", Some("+33 1 23 45 67 89"))]),
        row("p2", &[("email", Some("bob@example.com")), ("city", None)]),
        row("p3", &[("email", Some("cleo@example.com")), ("note", Some("two\nlines, \"quoted\""))]),
        row("p4", &[]),
    ]
}

#[tokio::test]
async fn csv_and_json_lines_keep_the_sink_contract() {
    for name in ["out/people.csv", "out/people.jsonl"] {
        let folder = tempfile::tempdir().unwrap();
        let make = || sink_of(folder.path(), json!({ "path": name }));
        make().unwrap().check().await.unwrap();
        check_removal_contract(make, &people(), |_| {}).await;
        check_sink_contract(make, &people()).await;
    }
}

#[tokio::test]
async fn a_csv_has_our_id_first_then_the_named_columns_then_the_rest_sorted() {
    let folder = tempfile::tempdir().unwrap();
    let sink = target(folder.path(), json!({ "path": "a.csv", "columns": ["phone", "title"] }));
    write(&sink, &people()).await;
    assert_eq!(
        fs::read_to_string(folder.path().join("a.csv")).unwrap(),
        "headwater_id,phone,title,city,email,note\n\
         p1,+33 1 23 45 67 89,,,ada@example.com,\n\
         p2,,,,bob@example.com,\n\
         p3,,,,cleo@example.com,\"two\nlines, \"\"quoted\"\"\"\n\
         p4,,,,,\n"
    );
}

#[tokio::test]
async fn json_lines_tell_cleared_from_empty_from_absent() {
    let folder = tempfile::tempdir().unwrap();
    let sink = target(folder.path(), json!({ "path": "a.ndjson" }));
    let fields = [("a", None), ("b", Some("")), ("c", Some("é\n"))];
    write(&sink, &[row("p1", &fields)]).await;
    let text = fs::read_to_string(folder.path().join("a.ndjson")).unwrap();
    assert_eq!(text, "{\"headwater_id\":\"p1\",\"a\":null,\"b\":\"\",\"c\":\"é\\n\"}\n");
    assert!(matches!(write(&sink, &[update("p1", &[("b", None)])]).await[..], [RowOutcome::Updated { .. }]));
}

#[tokio::test]
async fn null_clears_and_absent_keeps() {
    for name in ["a.csv", "a.jsonl"] {
        let folder = tempfile::tempdir().unwrap();
        let sink = target(folder.path(), json!({ "path": name }));
        write(&sink, &[row("p1", &[("city", Some("Lyon")), ("phone", Some("0012"))])]).await;
        write(&sink, &[update("p1", &[("city", None), ("title", Some("CEO"))])]).await;
        let record = sink.fetch("p1").await.unwrap().unwrap();
        let expected: [(&str, Option<&str>); 3] = [("city", None), ("phone", Some("0012")), ("title", Some("CEO"))];
        assert_eq!(record.fields, row("", &expected).fields, "{name}");
    }
}

#[tokio::test]
async fn what_people_added_to_the_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let before = "\u{feff}mine,headwater_id,email\nx,p1,ada@example.com\ny,,by-hand@example.com\n";
    fs::write(&path, before).unwrap();
    let sink = target(folder.path(), json!({ "path": "a.csv" }));
    write(&sink, &[update("p1", &[("city", Some("Oslo"))])]).await;
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "headwater_id,city,email,mine\np1,Oslo,ada@example.com,x\n,,by-hand@example.com,y\n"
    );
}

#[tokio::test]
async fn a_write_that_changes_nothing_does_not_touch_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let sink = target(folder.path(), json!({ "path": "a.csv" }));
    write(&sink, &people()).await;
    let odd = fs::read_to_string(&path).unwrap().replace('\n', "\r\n");
    fs::write(&path, &odd).unwrap();
    write(&sink, &people()[..2]).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), odd);
}

#[tokio::test]
async fn two_rows_for_one_person_in_a_call_make_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let sink = target(folder.path(), json!({ "path": "a.csv" }));
    let rows =
        [row("p1", &[("a", Some("1"))]), row("p1", &[("a", Some("2")), ("b", Some("3"))]), update("p1", &[("a", Some("2"))])];
    let id = || "p1".to_owned();
    assert_eq!(
        write(&sink, &rows).await,
        [
            RowOutcome::Created { remote_id: id() },
            RowOutcome::Updated { remote_id: id() },
            RowOutcome::Unchanged { remote_id: id() }
        ]
    );
    assert_eq!(fs::read_to_string(folder.path().join("a.csv")).unwrap(), "headwater_id,a,b\np1,2,3\n");
}

#[tokio::test]
async fn a_row_whose_line_is_gone_or_doubled_is_rejected_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = "headwater_id,a\np1,1\np1,2\np2,3\n";
    fs::write(folder.path().join("a.csv"), text).unwrap();
    let sink = target(folder.path(), json!({ "path": "a.csv" }));
    let a = [("a", Some("9"))];
    let outcomes = write(&sink, &[row("p1", &a), update("p9", &a), update("p2", &a)]).await;
    assert!(matches!(outcomes[..], [RowOutcome::Rejected { .. }, RowOutcome::Rejected { .. }, RowOutcome::Updated { .. }]));
}

#[tokio::test]
async fn an_address_is_found_whatever_its_case_and_twice_is_ambiguous() {
    let folder = tempfile::tempdir().unwrap();
    let text = "headwater_id,email,city\np1,Ada@Example.com,Oslo\np2,bob@example.com,Oslo\n";
    fs::write(folder.path().join("a.csv"), text).unwrap();
    let sink = target(folder.path(), json!({ "path": "a.csv" }));
    let key = |field: &str, value: &str| MatchKey { field: field.to_owned(), value: value.to_owned() };
    let wanted = [
        vec![key("external_id", "p7"), key("email", " ada@example.COM")],
        vec![key("city", "Oslo")],
        vec![key("city", "oslo")],
        vec![key("phone", ""), key("external_id", "p2")],
    ];
    let found = sink.lookup(&wanted).await.unwrap();
    assert!(matches!(&found[0], Lookup::Found(record) if record.remote_id == "p1" && record.matched_on == "email"));
    assert_eq!(found[1], Lookup::Ambiguous(2));
    assert_eq!(found[2], Lookup::Absent);
    assert!(matches!(&found[3], Lookup::Found(record) if record.remote_id == "p2"));
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_left_alone() {
    let cases = [
        ("a.csv", "email,city\nada@example.com,Oslo\n", ErrorKind::Config),
        ("a.csv", "headwater_id,email\np1\n", ErrorKind::Input),
        ("a.csv", "headwater_id,email,email\n", ErrorKind::Input),
        ("a.jsonl", "{\"headwater_id\":\"p1\"}\nno json\n", ErrorKind::Input),
    ];
    for (name, text, kind) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let sink = target(folder.path(), json!({ "path": name }));
        for error in [sink.write(&people()).await.unwrap_err(), sink.check().await.unwrap_err()] {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(name) && error.hint_text().is_some(), "{error}");
            assert!(!error.to_string().contains("ada@"), "{error}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[tokio::test]
async fn a_full_disk_names_the_file_and_leaves_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let sink = target(folder.path(), json!({ "path": "a.csv" }));
    write(&sink, &people()).await;
    let before = fs::read(folder.path().join("a.csv")).unwrap();
    let error = sink
        .0
        .replace(|file| {
            file.write_all(b"half").unwrap();
            Err(sink.0.failed(io::ErrorKind::StorageFull.into()))
        })
        .unwrap_err();
    assert_eq!(error.to_string(), "the disk is full (file=a.csv)");
    assert_eq!(fs::read(folder.path().join("a.csv")).unwrap(), before);
    assert!(!folder.path().join(".a.csv.tmp").exists());
}

#[tokio::test]
async fn a_second_writer_is_refused_until_the_first_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let sink = target(folder.path(), json!({ "path": "a.csv" }));
    let lock = sink.0.lock().unwrap();
    assert_eq!(sink.write(&people()).await.unwrap_err().kind(), ErrorKind::Conflict);
    drop(lock);
    sink.write(&people()).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_and_the_rights_of_the_file_survive() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real.csv");
    fs::write(&real, "headwater_id\n").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&real, folder.path().join("a.csv")).unwrap();
    write(&target(folder.path(), json!({ "path": "a.csv" })), &people()).await;
    assert!(fs::symlink_metadata(folder.path().join("a.csv")).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::read_to_string(&real).unwrap().contains("p3"));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for config in [
        json!({ "path": "a.txt" }),
        json!({ "path": "a.csv", "columns": ["a", "a"] }),
        json!({ "path": "a.csv", "columns": [KEY] }),
        json!({ "path": "a.csv", "mode": "append" }),
        json!({ "path": "a.csv", "colums": [] }),
    ] {
        let error = sink_of(folder.path(), config).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
}

#[tokio::test]
async fn a_field_with_the_name_of_our_column_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sink = target(folder.path(), json!({ "path": "a.csv" }));
    let error = sink.write(&[row("p1", &[(KEY, Some("x"))])]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn formulas_are_quoted_and_phones_are_not() {
    for formula in ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+HYPERLINK(1)", "\t=1", "'=1"] {
        assert_eq!(escaped(formula), format!("'{formula}"));
    }
    for plain in ["+33 1 23 45 67 89", "+1 (202) 555-0100", "-5", "O'Brien", "'quoted'", "a=b", ""] {
        assert_eq!(escaped(plain), plain);
    }
}

#[tokio::test]
async fn quoted_formulas_read_back_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let make = || sink_of(folder.path(), json!({ "path": "a.csv", "escape_formulas": true }));
    let values = ["=1", "'=1", "+33 1"].map(|value| row(value, &[("a", Some(value))]));
    check_sink_contract(make, &values).await;
    let record = make().unwrap().fetch("'=1").await.unwrap();
    assert_eq!(record.unwrap().fields["a"].as_deref(), Some("'=1"));
}

proptest! {
    #[test]
    fn escaping_is_undone_by_reading(cell in "'{0,3}[=+@a1 -]{0,4}.{0,6}") {
        let written = escaped(&cell).into_owned();
        prop_assert_eq!(unescape(&written), cell);
    }

    #[test]
    fn any_text_comes_back_from_the_file(
        values in proptest::collection::vec(proptest::option::of("\\PC{0,9}|[\"',\n\r;]{1,5}"), 3),
        json in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let name = if json { "a.jsonl" } else { "a.csv" };
            let sink = target(folder.path(), json!({ "path": name }));
            let rows: Vec<DeliveryRow> = values
                .iter()
                .enumerate()
                .map(|(index, value)| row(&format!("p{index}"), &[("a", value.as_deref())]))
                .collect();
            write(&sink, &rows).await;
            for (index, value) in values.iter().enumerate() {
                let record = sink.fetch(&format!("p{index}")).await.unwrap().unwrap();
                let expected = value.clone().filter(|value| json || !value.is_empty());
                assert_eq!(record.fields["a"], expected);
            }
        });
    }
}
