//! People who want to see what is held of them, or to have it erased.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use headwater_model::tables::{self, Table};
use headwater_runtime::privacy::{EraseOptions, Fate, erase, export, is_suppressed};
use headwater_store::IntakeRecord;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;

use crate::rig::Rig;

const PROJECT: &str = "\
sources:
  list: { connector: script, basis: { lawful_basis: legitimate_interest } }
  forms: { connector: script }
  mails: { connector: script, role: engagements }
  orders: { connector: script, role: conversions }
sinks: { crm: { connector: remote, audience: 'true', map: { name: given_name, email: email } } }
";
const COLUMNS: &[&str] = &["email", "given_name", "phone", "message"];
const ANN: &[&str] = &["ann@example.com", "Annabel", "+49301234567", ""];

/// Ann in two sources, with a click, an order and a record in the CRM; Bob, whom a later version of his record follows.
async fn rig() -> Rig {
    let rig = Rig::new(PROJECT).await;
    rig.scripts.say("list", COLUMNS, &[("1", ANN), ("2", &["bob@example.com", "Bob", "", ""])]);
    rig.scripts.say("forms", COLUMNS, &[("f1", &["ANN@example.com", "Annabel", "", "hello"])]);
    rig.scripts.say("mails", &["email", "kind", "occurred_at"], &[("e1", &["ann@example.com", "click", "2026-11-01"])]);
    rig.scripts.say(
        "orders",
        &["email", "kind", "value", "currency", "occurred_at"],
        &[("o1", &["ann@example.com", "order", "80", "EUR", "2026-11-01"])],
    );
    rig.sync().await;
    rig.scripts.say("list", COLUMNS, &[("2", &["bob@example.com", "Robert", "", ""])]);
    rig.sync().await;
    rig
}

/// What the files below a folder hold, packed or not, as far as it is text.
fn texts(folder: &Path) -> String {
    let mut all = String::new();
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            all.push_str(&texts(&path));
            continue;
        }
        all.push_str(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()));
        if path.extension().is_some_and(|ending| ending == "parquet") {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap().build().unwrap();
            for batch in reader.map(Result::unwrap) {
                for column in batch.columns() {
                    let cells = ArrayFormatter::try_new(column, &FormatOptions::default()).unwrap();
                    (0..batch.num_rows()).for_each(|row| all.push_str(&format!("{}\n", cells.value(row))));
                }
            }
        }
    }
    all.to_lowercase()
}

fn holds(rig: &Rig, word: &str) -> bool {
    texts(rig.engine.store.ledger().parent().unwrap()).contains(word)
}

const KEEP_OUT: EraseOptions = EraseOptions { dry_run: false, may_return: false, in_sinks: false };

#[tokio::test]
async fn an_erased_person_is_in_no_file_of_the_store_and_the_others_are_as_before() {
    let rig = rig().await;
    for word in ["ann@example.com", "annabel", "+49301234567"] {
        assert!(holds(&rig, word), "{word} is nowhere to begin with");
    }
    let bob = "SELECT * EXCEPT (prospect_id) FROM prospect WHERE email = 'bob@example.com'";
    let before = rig.table(bob).await;
    let report = erase(&rig.engine, "Ann@Example.com", &KEEP_OUT).await.unwrap();
    assert_eq!((report.rows["lead"], report.rows["source_record"], report.rows["delivery"]), (2, 4, 1));
    assert_eq!((report.rows["engagement"], report.rows["conversion"], report.pushes), (1, 1, 1));
    assert_eq!(report.sources, ["forms", "list", "mails", "orders"]);
    assert_eq!(report.remote.len(), 1);
    assert_eq!((report.remote[0].sink.as_str(), report.remote[0].fate), ("crm", Fate::ToDelete));
    for word in ["ann@example.com", "annabel", "+49301234567", "49301234567"] {
        assert!(!holds(&rig, word), "{word} is still there");
    }
    assert!(is_suppressed(&rig.engine, "ann@example.com").await.unwrap());
    assert_eq!(rig.table(bob).await, before);
    assert_eq!(before.len(), 1);
    rig.sync().await;
    assert_eq!(rig.table("SELECT given_name FROM prospect").await, ["Robert"], "his later version is still the later one");
    assert_eq!(rig.cell("SELECT count(*) FROM current_lead").await, "1");
}

/// Takes the rows out of a table that have such a word in a column, and adds others made of them.
async fn amend(
    rig: &Rig,
    table: &'static Table,
    (column, word): (&str, &str),
    anew: impl Fn(&RecordBatch) -> Option<RecordBatch>,
) {
    let store = &rig.engine.store;
    let base = store.snapshot().await.unwrap();
    let out = base.find_rows(table, column, |text| text == word).unwrap();
    assert_eq!(out.iter().map(|rows| rows.rows.len()).sum::<usize>(), 1, "{word}");
    let row = base.read_rows(table, &[], &out).unwrap().next().unwrap().unwrap();
    let mut writer = store.writer(table, None).unwrap();
    if let Some(rows) = anew(&row) {
        writer.write(&rows).unwrap();
    }
    let mut commit = store.commit("run", rig.now());
    commit.amend(&base, table, out, vec![writer.finish().unwrap()]).unwrap();
    commit.execute().await.unwrap();
}

#[tokio::test]
async fn deleted_rows_go_with_an_erased_person_and_none_comes_back() {
    let rig = rig().await;
    let ann = "SELECT prospect_id FROM prospect WHERE email = 'ann@example.com'";
    let ann = rig.cell(ann).await;
    let base = rig.engine.store.snapshot().await.unwrap();
    let hers = base.find_rows(&tables::PROSPECT, "prospect_id", |id| id == ann).unwrap();
    let hers = base.read_rows(&tables::PROSPECT, &[], &hers).unwrap().next().unwrap().unwrap();
    // What was said of her under an id that nothing knows any more, in one file with the row that says now who Bob is.
    let former = |bob: &RecordBatch| {
        let mut columns = hers.columns().to_vec();
        columns[0] = Arc::new(StringArray::from(vec!["prs_former"]));
        let former = RecordBatch::try_new(hers.schema(), columns).unwrap();
        Some(concat_batches(&hers.schema(), [&former, bob]).unwrap())
    };
    amend(&rig, &tables::PROSPECT, ("email", "bob@example.com"), former).await;
    amend(&rig, &tables::PROSPECT, ("prospect_id", "prs_former"), |_| None).await;
    amend(&rig, &tables::LEAD, ("given_name", "Bob"), |_| None).await;
    let names = "SELECT given_name FROM prospect ORDER BY 1";
    assert_eq!(rig.table(names).await, ["Annabel", "Robert"]);
    assert_eq!(rig.cell("SELECT count(*) FROM lead").await, "3");
    let base = rig.engine.store.snapshot().await.unwrap();
    assert_eq!((base.deleted_rows(&tables::PROSPECT), base.deleted_rows(&tables::LEAD)), (2, 1));

    erase(&rig.engine, "ann@example.com", &KEEP_OUT).await.unwrap();
    for word in ["ann@example.com", "annabel", "+49301234567", "49301234567", "prs_former"] {
        assert!(!holds(&rig, word), "{word} is still there");
    }
    assert_eq!(rig.table(names).await, ["Robert"]);
    assert_eq!(rig.table("SELECT given_name FROM lead").await, ["Robert"]);
    let left = rig.engine.store.snapshot().await.unwrap();
    assert!(tables::ALL.iter().all(|table| left.deleted_rows(table) == 0));
    rig.sync().await;
    assert_eq!(rig.table(names).await, ["Robert"]);
}

#[tokio::test]
async fn an_erasure_is_audited_without_the_person() {
    let rig = rig().await;
    erase(&rig.engine, "ann@example.com", &KEEP_OUT).await.unwrap();
    let entries = rig.engine.store.audit_entries(10).await.unwrap();
    assert_eq!(entries.len(), 2, "one for the address, one for the number");
    assert!(entries.iter().all(|record| record.entry.action == "erase" && record.entry.subject_hmac.is_some()));
    assert!(!format!("{entries:?}").contains("ann"));
    let runs = rig.engine.store.list_runs(1).await.unwrap();
    assert_eq!(runs[0].command, "erase");
}

#[tokio::test]
async fn who_may_return_comes_again_as_somebody_new() {
    let rig = rig().await;
    let options = EraseOptions { may_return: true, in_sinks: true, ..KEEP_OUT };
    let report = erase(&rig.engine, "ann@example.com", &options).await.unwrap();
    assert_eq!((report.suppressed, report.remote[0].fate), (0, Fate::Deleted));
    assert_eq!(rig.remote.people().len(), 1);
    rig.scripts.say("list", COLUMNS, &[("1", ANN)]);
    let report = rig.sync().await;
    assert_eq!((report.sources["list"].accepted, report.sinks["crm"].created), (1, 1));
}

#[tokio::test]
async fn who_is_kept_out_does_not_come_again() {
    let rig = rig().await;
    erase(&rig.engine, "ann@example.com", &KEEP_OUT).await.unwrap();
    rig.scripts.say("list", COLUMNS, &[("1", ANN)]);
    assert_eq!(rig.sync().await.sources["list"].suppressed, 1);
    assert!(!holds(&rig, "annabel"));
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_an_unknown_person_is_said_to_be_unknown() {
    let rig = rig().await;
    let report = erase(&rig.engine, "ann@example.com", &EraseOptions { dry_run: true, ..KEEP_OUT }).await.unwrap();
    assert_eq!((report.rows["lead"], report.run_id), (2, None));
    assert_eq!(rig.cell("SELECT count(*) FROM lead").await, "4");
    for who in ["cleo@example.com", "prs_nobody"] {
        let error = erase(&rig.engine, who, &KEEP_OUT).await.unwrap_err().to_string();
        assert!(error.contains("nothing is held") && !error.contains("cleo"), "{error}");
    }
    assert!(erase(&rig.engine, "Annabel", &KEEP_OUT).await.unwrap_err().to_string().contains("prospect id"));
}

#[tokio::test]
async fn a_person_whom_nobody_resolved_is_erased_too() {
    let rig = Rig::new(PROJECT).await;
    rig.scripts.say("mails", &["email", "kind", "occurred_at"], &[("e1", &["dan@example.com", "open", "2026-11-01"])]);
    rig.sync().await;
    assert!(holds(&rig, "dan@example.com"));
    let report = erase(&rig.engine, "dan@example.com", &KEEP_OUT).await.unwrap();
    assert_eq!((report.rows["engagement"], report.rows["source_record"]), (1, 1));
    assert!(!holds(&rig, "dan@example.com"));
}

#[tokio::test]
async fn deliveries_that_wait_are_taken_in_before_their_person_is_erased() {
    let rig = rig().await;
    let post = |source: &str| IntakeRecord {
        source: source.to_owned(),
        received_at: rig.now(),
        content_type: None,
        headers: json!({}),
        body: b"email=ann%40example.com&name=Ann".to_vec(),
        delivery_key: None,
        signature_status: "unsigned".to_owned(),
    };
    rig.engine.store.intake_append(post("list")).await.unwrap();
    let error = erase(&rig.engine, "ann@example.com", &KEEP_OUT).await.unwrap_err().to_string();
    assert!(error.contains("1 deliveries") && error.contains("nothing was erased"), "{error}");
    assert!(holds(&rig, "annabel"));
    assert_eq!(export(&rig.engine, "ann@example.com").await.unwrap().waiting.len(), 1);
}

#[tokio::test]
async fn payloads_of_a_source_that_is_gone_are_erased() {
    let rig = rig().await;
    let post = IntakeRecord {
        source: "old_form".to_owned(),
        received_at: rig.now(),
        content_type: None,
        headers: json!({}),
        body: b"email=ann%40example.com".to_vec(),
        delivery_key: None,
        signature_status: "unsigned".to_owned(),
    };
    rig.engine.store.intake_append(post).await.unwrap();
    erase(&rig.engine, "ann@example.com", &KEEP_OUT).await.unwrap();
    assert!(!holds(&rig, "ann%40example.com"));
}

#[tokio::test]
async fn records_of_others_that_mention_the_person_stay_and_are_named() {
    let rig = rig().await;
    rig.scripts.say("forms", COLUMNS, &[("f2", &["eve@example.com", "Eve", "", "ann@example.com sent me"])]);
    rig.sync().await;
    let report = erase(&rig.engine, "ann@example.com", &KEEP_OUT).await.unwrap();
    assert_eq!((report.elsewhere.records, report.elsewhere.record_ids.len()), (1, 1));
    assert_eq!(rig.cell("SELECT count(*) FROM lead WHERE email = 'eve@example.com'").await, "1");
}

#[tokio::test]
async fn everything_that_is_held_is_exported_with_where_it_came_from() {
    let rig = rig().await;
    let export = serde_json::to_value(export(&rig.engine, "ann@example.com").await.unwrap()).unwrap();
    let rows = |table: &str| export["tables"][table].as_array().unwrap();
    assert_eq!((rows("lead").len(), rows("source_record").len(), rows("touch").len()), (2, 4, 2));
    assert_eq!((rows("engagement").len(), rows("conversion").len(), rows("delivery").len()), (1, 1, 1));
    assert_eq!(rows("conversion")[0]["value"], "80.00");
    let lead = rows("lead").iter().find(|lead| lead["source"] == "list").unwrap();
    assert_eq!((&lead["email"], &lead["phone"]), (&json!("ann@example.com"), &json!("+49301234567")));
    let record = rows("source_record").iter().find(|record| record["record_id"] == lead["record_id"]).unwrap();
    assert!(record["raw"].as_str().unwrap().contains("Annabel") && record["place"].is_string());
    assert_eq!(export["links"][0]["pushed_fields"]["name"], "Annabel");
    assert_eq!((&export["suppressed"], export["pushes"].as_array().unwrap().len()), (&json!(false), 1));
    assert!(!export.to_string().to_lowercase().contains("bob@example.com"), "nothing of anybody else");
}
