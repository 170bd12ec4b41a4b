//! What a run did is taken back, and what the remote has otherwise is told.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use headwater_runtime::deliver::{UndoReport, drift, undo};
use headwater_sdk::ErrorKind;
use headwater_sdk::sink::Fields;

use crate::rig::Rig;

const COLUMNS: &[&str] = &["email", "given_name", "job_title"];
const ANN: (&str, &[&str]) = ("1", &["ann@example.com", "Ann", "Director"]);
const BOB: (&str, &[&str]) = ("2", &["bob@example.com", "Bob", ""]);

fn project(sink: &str) -> String {
    format!(
        "sources: {{ list: {{ connector: script }} }}\n\
         sinks: {{ crm: {{ connector: remote, audience: 'true', map: {{ email: email, name: given_name, title: job_title }}{sink} }} }}\n"
    )
}

fn fields(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(field, value)| ((*field).to_owned(), Some((*value).to_owned()))).collect()
}

fn set(rig: &Rig, remote_id: &str, field: &str, value: &str) {
    let mut record = rig.remote.inner.records()[remote_id].clone();
    record.insert(field.to_owned(), Some(value.to_owned()));
    rig.remote.inner.put(remote_id, record);
}

/// A field, or the whole record, and why it was left.
type Left<'a> = (Option<&'a str>, &'a str);

/// Restored, removed, unchanged, and what was left.
fn told(report: &UndoReport) -> (u64, u64, u64, Vec<Left<'_>>) {
    let mut left: Vec<_> = report.left.iter().map(|left| (left.field.as_deref(), left.reason.as_str())).collect();
    left.sort_unstable();
    (report.restored, report.removed, report.unchanged, left)
}

/// What the remote holds; a field that is empty is as good as none.
fn state(rig: &Rig) -> BTreeMap<String, Fields> {
    let mut records = rig.remote.inner.records();
    records.values_mut().for_each(|fields| fields.retain(|_, value| value.is_some()));
    records
}

#[tokio::test]
async fn the_remote_is_as_before_after_a_sync_and_its_undo() {
    let rig = Rig::new(&project(", policy: { default: overwrite }")).await;
    rig.remote.inner.put("hand-1", fields(&[("email", "ann@example.com"), ("title", "Chief"), ("note", "kept")]));
    rig.remote.inner.put("hand-2", fields(&[("email", "cat@example.com")]));
    let before = state(&rig);
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    let run = rig.sync().await.run_id;
    assert_ne!(state(&rig), before);
    rig.remote.fetches.store(0, Ordering::Relaxed);
    let report = undo(&rig.engine, &run).await.unwrap();
    assert_eq!(told(&report), (1, 1, 0, vec![]));
    assert_eq!(rig.remote.fetches.load(Ordering::Relaxed), 1, "both records in one call");
    assert_eq!(state(&rig), before, "with our id taken out of the record that we did not make");
    let receipts = rig.table("SELECT op, outcome FROM delivery WHERE op = 'undo' ORDER BY outcome").await;
    assert_eq!(receipts, ["undo | removed", "undo | updated"]);

    let again = undo(&rig.engine, &run).await.unwrap();
    assert_eq!(told(&again), (0, 0, 2, vec![]), "a second undo finds nothing to do");
    assert_eq!(state(&rig), before);
}

#[tokio::test]
async fn what_was_undone_is_not_done_again_until_it_changes() {
    let rig = Rig::new(&project(", policy: { default: overwrite }")).await;
    rig.remote.inner.put("hand-1", fields(&[("email", "ann@example.com"), ("title", "Chief")]));
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    let run = rig.sync().await.run_id;
    undo(&rig.engine, &run).await.unwrap();
    let undone = state(&rig);
    let counts = rig.sync().await.sinks["crm"];
    assert_eq!((counts.created, counts.updated, counts.unchanged, counts.held_back), (0, 0, 0, 2));
    assert_eq!(state(&rig), undone);
    let ann: &[&str] = &["ann@example.com", "Ann", "President"];
    rig.scripts.say("list", COLUMNS, &[("1", ann), ("2", &["bob@example.com", "Bobby", ""])]);
    let counts = rig.sync().await.sinks["crm"];
    assert_eq!((counts.created, counts.updated), (1, 1));
}

#[tokio::test]
async fn what_several_runs_did_and_is_undone_from_the_last_to_the_first_is_not_done_again() {
    let rig = Rig::new(&project(", policy: { default: overwrite }")).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    let made = rig.sync().await.run_id;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann", "President"])]);
    let changed = rig.sync().await.run_id;
    for run in [&changed, &made] {
        undo(&rig.engine, run).await.unwrap();
    }
    assert_eq!(state(&rig), BTreeMap::new());
    for _ in 0..2 {
        let counts = rig.sync().await.sinks["crm"];
        assert_eq!((counts.created, counts.held_back), (0, 1), "the source says what it said");
    }
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann", "Chair"])]);
    assert_eq!(rig.sync().await.sinks["crm"].created, 1);
}

#[tokio::test]
async fn what_somebody_changed_since_is_left_and_told() {
    let rig = Rig::new(&project(", policy: { default: overwrite }")).await;
    rig.remote.inner.put("hand-1", fields(&[("email", "ann@example.com"), ("title", "Chief"), ("name", "A.")]));
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    let run = rig.sync().await.run_id;
    set(&rig, "hand-1", "title", "President");
    set(&rig, "remote-1", "name", "Robert");
    let report = undo(&rig.engine, &run).await.unwrap();
    let made = (Some("name"), "it was changed in the remote since, so the record stays");
    let changed = (Some("title"), "it was changed in the remote since");
    assert_eq!(told(&report), (1, 0, 0, vec![made, changed]));
    let ann = &state(&rig)["hand-1"];
    assert_eq!((ann["title"].as_deref(), ann["name"].as_deref()), (Some("President"), Some("A.")));
    assert_eq!(state(&rig)["remote-1"]["name"].as_deref(), Some("Robert"));
}

#[tokio::test]
async fn a_record_that_the_sink_does_not_delete_is_told() {
    let rig = Rig::new(&project("")).await;
    rig.remote.keeps.store(true, Ordering::Relaxed);
    rig.scripts.say("list", COLUMNS, &[ANN]);
    let run = rig.sync().await.run_id;
    let report = undo(&rig.engine, &run).await.unwrap();
    assert_eq!(report.left.len(), 1);
    assert!(report.left[0].reason.contains("does not delete"), "{:?}", report.left);
    assert_eq!(rig.remote.people().len(), 1);
}

#[tokio::test]
async fn a_record_of_which_the_answer_was_lost_is_taken_back_with_the_run_that_found_it() {
    let rig = Rig::new(&project("")).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    rig.remote.inner.fail_after();
    rig.sync_failing().await;
    let run = rig.sync().await.run_id;
    assert_eq!(told(&undo(&rig.engine, &run).await.unwrap()), (0, 1, 0, vec![]));
    assert!(rig.remote.people().is_empty());
}

#[tokio::test]
async fn an_undo_that_breaks_off_goes_on_where_it_stood() {
    let rig = Rig::new(&project(", policy: { default: overwrite }")).await;
    rig.remote.inner.put("hand-1", fields(&[("email", "ann@example.com"), ("title", "Chief")]));
    let before = state(&rig);
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    let run = rig.sync().await.run_id;
    rig.remote.fail(Some(ErrorKind::Unavailable));
    undo(&rig.engine, &run).await.unwrap_err();
    rig.remote.fail(None);
    undo(&rig.engine, &run).await.unwrap();
    assert_eq!(state(&rig), before);
    let receipts = rig.table("SELECT op, outcome FROM delivery WHERE op = 'undo' ORDER BY outcome").await;
    assert_eq!(receipts, ["undo | removed", "undo | updated"], "each is noted once, also the removal that came before the break");
}

/// The program died between the removal and its note: what the remote has no more is as before, and the ledger must know it too.
#[tokio::test]
async fn a_record_that_an_undo_removed_and_did_not_note_is_noted_by_the_next() {
    let rig = Rig::new(&project("")).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    let run = rig.sync().await.run_id;
    rig.remote.inner.remove("remote-1");
    assert_eq!(told(&undo(&rig.engine, &run).await.unwrap()), (0, 0, 1, vec![]));
    let counts = rig.sync().await.sinks["crm"];
    assert_eq!((counts.unchanged, counts.held_back), (0, 1), "held back as undone");
    assert_eq!(told(&undo(&rig.engine, &run).await.unwrap()), (0, 0, 1, vec![]));
    assert_eq!(rig.cell("SELECT count(*) FROM delivery WHERE op = 'undo'").await, "1", "noted once");
}

#[tokio::test]
async fn an_undo_of_an_undo_writes_the_fields_again() {
    let rig = Rig::new(&project(", policy: { default: overwrite }")).await;
    rig.remote.inner.put("hand-1", fields(&[("email", "ann@example.com"), ("title", "Chief")]));
    rig.scripts.say("list", COLUMNS, &[ANN]);
    let run = rig.sync().await.run_id;
    let undone = undo(&rig.engine, &run).await.unwrap().run_id;
    assert_eq!(told(&undo(&rig.engine, &undone).await.unwrap()), (1, 0, 0, vec![]));
    assert_eq!(rig.remote.people()[0]["title"], "Director");
}

#[tokio::test]
async fn a_run_that_there_is_not_is_not_undone() {
    let rig = Rig::new(&project("")).await;
    let error = undo(&rig.engine, "run_x").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no run `run_x`");
}

#[tokio::test]
async fn drift_is_what_others_wrote_over_ours() {
    let rig = Rig::new(&project(", policy: { email: crm_owned }")).await;
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    rig.sync().await;
    let entry = rig.engine.project.sink("crm").unwrap();
    let clean = drift(&rig.engine, entry).await.unwrap();
    assert_eq!((clean.records, clean.gone.len(), clean.fields.len()), (2, 0, 0));
    for record in rig.remote.inner.records().keys() {
        set(&rig, record, "note", "not ours to compare");
        set(&rig, record, "email", "not.ours.either@example.com");
    }
    let ann = rig.remote.inner.records().into_iter().find(|(_, fields)| fields["name"].as_deref() == Some("Ann")).unwrap().0;
    let bob = rig.remote.inner.records().into_keys().find(|id| *id != ann).unwrap();
    set(&rig, &ann, "title", "President");
    rig.remote.inner.remove(&bob);
    let found = drift(&rig.engine, entry).await.unwrap();
    assert_eq!(found.gone.iter().map(|gone| &gone.remote_id).collect::<Vec<_>>(), [&bob]);
    let field = &found.fields[0];
    assert_eq!(found.fields.len(), 1);
    assert_eq!(
        (field.field.as_str(), field.ours.as_deref(), field.theirs.as_deref()),
        ("title", Some("Director"), Some("President"))
    );
    rig.remote.blind.store(true, Ordering::Relaxed);
    assert!(!drift(&rig.engine, entry).await.unwrap().readable);
}
