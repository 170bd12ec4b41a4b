use headwater_sdk::sink::Fields;
use headwater_sdk::testkit_sink::{Poison, check_poison, check_sink_contract};
use headwater_sdk::{Connector as _, DeliveryRow, ErrorKind, Operation, Result, RowOutcome, Sink};
use tempfile::TempDir;

use super::*;
use crate::process::singer::SingerTarget;

/// A target that keeps its records in `held` of the folder, and lines of them in `held.jsonl`.
fn target(dir: &TempDir, config: Value, settings: Value) -> Result<Box<dyn Sink>> {
    let Value::Object(settings) = settings else { panic!("not an object") };
    let mut all = json!({"command": fake("target")});
    all["config"] = config;
    all["config"]["file"] = json!(dir.path().join("held"));
    all.as_object_mut().unwrap().extend(settings);
    SingerTarget.sink(&doc(all), &cx(dir.path()))
}

fn by_lines() -> Value {
    json!({"verify": {"jsonl": "held.jsonl"}})
}

fn by_total() -> Value {
    let count = "import json; print(len(json.load(open('held'))))";
    json!({"verify": {"command": ["/usr/bin/python3", "-c", count]}})
}

fn by_keys() -> Value {
    let find =
        "import json, sys\nheld = json.load(open('held'))\nprint(*(k for k in sys.stdin.read().split() if k in held), sep='\\n')";
    json!({"verify": {"command": ["/usr/bin/python3", "-c", find], "answers": "keys"}})
}

fn row(n: usize) -> DeliveryRow {
    let mut fields = Fields::from([("email".to_owned(), Some(format!("ada.{n}@alder.example.com")))]);
    fields.insert("phone".to_owned(), n.is_multiple_of(2).then(|| "+33600000000".to_owned()));
    DeliveryRow {
        key: format!("prs_{n}:0"),
        prospect_id: format!("prs_{n}"),
        operation: Operation::Create,
        fields,
        match_keys: Vec::new(),
        doubtful: false,
        seen: Fields::new(),
    }
}

fn rows() -> Vec<DeliveryRow> {
    (1..=4).map(row).collect()
}

fn held(dir: &TempDir) -> Value {
    serde_json::from_slice(&std::fs::read(dir.path().join("held")).unwrap()).unwrap()
}

fn rejected(outcomes: &[RowOutcome]) -> Vec<bool> {
    outcomes.iter().map(|outcome| matches!(outcome, RowOutcome::Rejected { .. })).collect()
}

#[tokio::test]
async fn a_target_whose_records_can_be_seen_keeps_the_contract_of_a_sink() {
    for verify in [by_lines(), by_keys()] {
        let dir = tempfile::tempdir().unwrap();
        target(&dir, json!({}), verify.clone()).unwrap().check().await.unwrap();
        check_sink_contract(|| target(&dir, json!({}), verify.clone()), &rows()).await;
        let held = held(&dir);
        assert_eq!(held.as_object().unwrap().len(), 4);
        assert_eq!(held["prs_1"], json!({"headwater_id": "prs_1", "email": "ada.1@alder.example.com", "phone": null}));
    }
}

#[tokio::test]
async fn a_record_that_a_target_loses_is_reported_though_it_confirms_all() {
    let lost = async |verify: Value| {
        let dir = tempfile::tempdir().unwrap();
        let sink = target(&dir, json!({"fault": "loses_first"}), verify).unwrap();
        rejected(&sink.write(&rows()).await.unwrap().into_outcomes())
    };
    assert_eq!(lost(by_lines()).await, [true, false, false, false]);
    assert_eq!(lost(by_keys()).await, [true, false, false, false]);
    assert_eq!(lost(by_total()).await, [true; 4], "a total cannot tell which");
    assert_eq!(lost(json!({})).await, [false; 4], "nobody looks, so nobody knows");
}

/// A target that checks its records exits over one that does not fit, and takes nothing of the others with it.
#[tokio::test]
async fn a_record_over_which_a_target_exits_keeps_no_other_out() {
    let many: Vec<DeliveryRow> = (0..40).map(row).collect();
    for (verify, places) in [(by_keys(), &[0, 1, 2, 17, 39][..]), (by_total(), &[5]), (json!({}), &[38])] {
        let dir = tempfile::tempdir().unwrap();
        let poison = Poison { places, field: "phone", named: None, value: "Poison" };
        check_poison(|| target(&dir, json!({"fault": "validates"}), verify.clone()), &many, poison).await;
        assert_eq!(held(&dir).as_object().unwrap().len(), 40 - places.len());
    }
}

/// Where no record gets through it is the target that does not work: the rows wait.
#[tokio::test]
async fn a_target_that_takes_nothing_refuses_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let poisoned = |n| DeliveryRow { fields: Fields::from([("email".to_owned(), Some("Poison".to_owned()))]), ..row(n) };
    let rows: Vec<DeliveryRow> = (0..40).map(poisoned).collect();
    let sink = target(&dir, json!({"fault": "validates"}), json!({})).unwrap();
    assert_eq!(sink.write(&rows).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let mut appending = by_total();
    appending["verify"]["appends"] = json!(true);
    let sink = target(&dir, json!({"fault": "validates"}), appending).unwrap();
    let told = sink.write(&[row(1), poisoned(2)]).await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Unavailable, "what was loaded before would stand there twice");
}

#[tokio::test]
async fn totals_that_fit_are_believed() {
    let dir = tempfile::tempdir().unwrap();
    let sink = target(&dir, json!({}), by_total()).unwrap();
    let write = async |rows: &[DeliveryRow]| sink.write(rows).await.unwrap().into_outcomes();
    assert_eq!(rejected(&write(&rows()).await), [false; 4]);
    let update = DeliveryRow { operation: Operation::Update { remote_id: "prs_1".to_owned() }, ..row(1) };
    let again = DeliveryRow { doubtful: true, ..row(2) };
    let outcomes = write(&[update, again, row(9)]).await;
    assert_eq!(rejected(&outcomes), [false; 3]);
    assert_eq!(outcomes[0], RowOutcome::Updated { remote_id: "prs_1".to_owned() });
    // What is there already adds nothing: a create that is not doubtful must.
    assert_eq!(rejected(&write(&[row(9)]).await), [true]);
}

#[tokio::test]
async fn a_target_that_appends_must_grow_by_every_row() {
    let dir = tempfile::tempdir().unwrap();
    let mut verify = by_total();
    verify["verify"]["appends"] = json!(true);
    let sink = target(&dir, json!({}), verify).unwrap();
    assert_eq!(rejected(&sink.write(&rows()).await.unwrap().into_outcomes()), [false; 4]);
    let update = DeliveryRow { operation: Operation::Update { remote_id: "prs_1".to_owned() }, ..row(1) };
    assert_eq!(rejected(&sink.write(&[update]).await.unwrap().into_outcomes()), [true]);
}

#[tokio::test]
async fn what_a_target_does_not_confirm_is_not_written() {
    for (fault, kind, says) in [
        ("silent", ErrorKind::Protocol, "the target ended without confirming the batch (rows=4)"),
        ("stale_state", ErrorKind::Protocol, "the target ended without confirming the batch (rows=4)"),
        ("exits", ErrorKind::Unavailable, "python3 failed (exit_code=1)"),
        ("crash", ErrorKind::Unavailable, "python3 failed (exit_code=1)"),
        ("hang", ErrorKind::Unavailable, "python3 said nothing for too long and was stopped (silence_secs=1)"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let sink = target(&dir, json!({"fault": fault}), json!({"silence_secs": 1})).unwrap();
        let error = sink.write(&rows()).await.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, says), "{fault}");
    }
}

#[tokio::test]
async fn more_than_a_pipe_holds_gets_through_while_the_target_talks() {
    let dir = tempfile::tempdir().unwrap();
    let sink = target(&dir, json!({}), by_lines()).unwrap();
    let many: Vec<DeliveryRow> = (0..4_000).map(row).collect();
    assert!(!rejected(&sink.write(&many).await.unwrap().into_outcomes()).contains(&true));
    assert_eq!(held(&dir).as_object().unwrap().len(), 4_000);
}

#[tokio::test]
async fn our_own_field_cannot_be_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = row(1);
    wrong.fields.insert("headwater_id".to_owned(), Some("x".to_owned()));
    let error = target(&dir, json!({}), json!({})).unwrap().write(&[wrong]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}
