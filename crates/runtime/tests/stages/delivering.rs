//! From people to records of a remote.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use headwater_runtime::deliver::{Action, Keep, Nobody, plans};
use headwater_runtime::sync::{StageName, SyncOptions};
use headwater_sdk::ErrorKind;
use headwater_store::{OutboxState, RunStatus};

use crate::rig::{HOUR, Rig};

const COLUMNS: &[&str] = &["email", "given_name", "job_title", "phone", "family_name"];
const ANN: (&str, &[&str]) = ("1", &["ann@example.com", "Ann", "Director", "", "Alder"]);
const BOB: (&str, &[&str]) = ("2", &["bob@example.com", "Bob", "", "", "Alder"]);

fn project(sink: &str) -> String {
    format!(
        "identity: {{ engine: exact }}\n\
         sources: {{ list: {{ connector: script }}, forms: {{ connector: script }} }}\n\
         sinks: {{ crm: {{ connector: remote, audience: 'true', map: {{ email: email, name: given_name, title: job_title }}{sink} }} }}\n"
    )
}

fn person(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
    fields.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect()
}

async fn outbox(rig: &Rig) -> BTreeMap<OutboxState, i64> {
    rig.engine.store.outbox_counts().await.unwrap().remove("crm").unwrap_or_default()
}

/// Created, updated, unchanged, rejected, held back, pending.
async fn push(rig: &Rig) -> [u64; 6] {
    let counts = rig.sync().await.sinks["crm"];
    [counts.created, counts.updated, counts.unchanged, counts.rejected, counts.held_back, counts.pending]
}

#[tokio::test]
async fn people_are_written_once_and_then_neither_written_nor_looked_at() {
    let rig = Rig::new(&project("")).await;
    rig.scripts.say("list", COLUMNS, &[ANN, BOB, ("3", &["cat@example.com", "Cat", "", "", "Alder"])]);
    assert_eq!(push(&rig).await, [3, 0, 0, 0, 0, 0]);
    let expected = person(&[("email", "ann@example.com"), ("name", "Ann"), ("title", "Director")]);
    assert!(rig.remote.people().contains(&expected));
    let (calls, looks) = (rig.remote.inner.calls(), rig.remote.looks());
    assert_eq!((calls, looks), (2, 3), "two rows at most in a call");
    assert_eq!(push(&rig).await, [0, 0, 3, 0, 0, 0]);
    assert_eq!((rig.remote.inner.calls(), rig.remote.looks()), (calls, looks));
    assert_eq!(rig.cell("SELECT count(*) FROM delivery WHERE outcome = 'created'").await, "3");
}

#[tokio::test]
async fn a_plan_writes_nothing() {
    let rig = Rig::new(&project("")).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    let stages = vec![StageName::Ingest, StageName::Resolve];
    rig.try_sync(&SyncOptions { stages, ..SyncOptions::default() }).await.unwrap();
    let plan = plans(&rig.engine, &[rig.engine.project.sink("crm").unwrap()], Keep::All, &mut Nobody).await.unwrap().remove(0);
    assert_eq!(plan.rows.iter().map(|row| row.action).collect::<Vec<_>>(), [Action::Create]);
    assert_eq!((plan.calls_made, plan.calls_to_write), (1, 2));
    let fields: Vec<_> =
        plan.rows[0].changes.iter().map(|change| (change.field.as_str(), change.after.as_deref().unwrap_or_default())).collect();
    assert_eq!(fields, [("email", "ann@example.com"), ("name", "Ann"), ("title", "Director")]);
    assert!(rig.remote.written().is_empty() && outbox(&rig).await.is_empty());
}

#[tokio::test]
async fn a_row_the_remote_refuses_waits_in_quarantine_until_it_says_something_else() {
    let rig = Rig::new(&project("")).await;
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    rig.remote.inner.refuse("name", "Ann");
    let report = rig.sync().await;
    assert_eq!((report.sinks["crm"].created, report.sinks["crm"].rejected), (1, 1));
    assert_eq!(report.status, RunStatus::Rejected);
    let refused = rig.table("SELECT source, stage, code, reason FROM quarantine").await;
    assert_eq!(refused, ["crm | deliver | remote_refused | name: is not acceptable"]);

    let (written, looks) = (rig.remote.written().len(), rig.remote.looks());
    assert_eq!(push(&rig).await, [0, 0, 1, 1, 0, 0], "it is told again, and not tried again");
    assert_eq!((rig.remote.written().len(), rig.remote.looks()), (written, looks));
    assert_eq!(rig.cell("SELECT count(*) FROM quarantine").await, "1");

    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Anna", "Director", "", "Alder"])]);
    assert_eq!(push(&rig).await, [1, 0, 1, 0, 0, 0]);
}

#[tokio::test]
async fn a_remote_that_does_not_answer_leaves_the_rows_waiting_and_gets_them_once() {
    let rig = Rig::new(&project("")).await;
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    for kind in [ErrorKind::Unavailable, ErrorKind::RateLimited] {
        rig.remote.fail(Some(kind));
        let report = rig.sync_failing().await;
        assert_eq!((report.sinks["crm"].created, report.sinks["crm"].pending), (0, 2));
    }
    rig.remote.fail(None);
    assert_eq!(push(&rig).await, [2, 0, 0, 0, 0, 0]);
    assert_eq!(rig.remote.people().len(), 2);
    assert!(rig.remote.written().iter().all(|row| row.doubtful), "an error does not say that nothing arrived");
    assert_eq!(push(&rig).await, [0, 0, 2, 0, 0, 0]);
}

#[tokio::test]
async fn a_row_that_the_remote_wants_later_waits_that_long() {
    let rig = Rig::new(&project("")).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    rig.remote.ask_for_patience(Duration::from_secs(90 * 60));
    assert_eq!(push(&rig).await, [0, 0, 0, 0, 0, 1]);
    assert_eq!(push(&rig).await, [0, 0, 0, 0, 0, 1], "an hour later it is too early");
    assert!(rig.remote.written().is_empty());
    assert_eq!(push(&rig).await, [1, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn an_answer_that_was_lost_makes_no_second_record() {
    let rig = Rig::new(&project("")).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    rig.remote.inner.fail_after();
    assert_eq!(rig.sync_failing().await.sinks["crm"].pending, 1);
    assert_eq!(push(&rig).await, [1, 0, 0, 0, 0, 0], "it counts as what it is: made by us");
    assert_eq!(rig.remote.people().len(), 1);
}

#[tokio::test]
async fn a_remote_that_refuses_our_credentials_fails_the_run_and_loses_nothing() {
    let rig = Rig::new(&project("")).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    rig.remote.fail(Some(ErrorKind::Auth));
    let report = rig.sync_failing().await;
    assert_eq!(report.failures["crm"], "crm: the remote was told to fail");
    rig.remote.fail(None);
    assert_eq!(push(&rig).await, [1, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_row_that_was_under_way_when_a_run_died_is_looked_for_first() {
    let rig = Rig::new(&project("")).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    rig.remote.fail(Some(ErrorKind::Unavailable));
    rig.sync_failing().await;
    rig.remote.fail(None);
    rig.wait(HOUR);
    let due = rig.engine.store.outbox_due("crm", rig.now(), 10).await.unwrap();
    let row = &due[0];
    rig.engine.store.outbox_mark_sent(&[row.id], rig.now()).await.unwrap();
    // The remote took it, and the run died before it could note that.
    let id = ("external_id".to_owned(), Some(row.entry.prospect_id.clone()));
    let fields = [("email", "ann@example.com"), ("name", "Ann"), ("title", "Director")];
    let fields = fields.into_iter().map(|(field, value)| (field.to_owned(), Some(value.to_owned()))).chain([id]);
    rig.remote.inner.put("remote-1", fields.collect());
    assert_eq!(push(&rig).await, [1, 0, 0, 0, 0, 0]);
    assert!(rig.remote.written()[0].doubtful);
    assert_eq!(rig.remote.inner.records().len(), 1);
    assert_eq!(outbox(&rig).await, BTreeMap::from([(OutboxState::Written, 1)]));
}

#[tokio::test]
async fn a_record_made_by_hand_is_found_and_what_it_says_is_kept() {
    let rig = Rig::new(&project("")).await;
    let by_hand = [("email", Some("ann@example.com")), ("title", Some("Chief")), ("name", None)];
    rig.remote.inner.put("hand-1", by_hand.map(|(field, value)| (field.to_owned(), value.map(str::to_owned))).into());
    rig.scripts.say("list", COLUMNS, &[ANN]);
    assert_eq!(push(&rig).await, [0, 1, 0, 0, 0, 0]);
    assert_eq!(rig.remote.people(), [person(&[("email", "ann@example.com"), ("name", "Ann"), ("title", "Chief")])]);
    assert_eq!(
        rig.table("SELECT op, fields, before FROM delivery").await,
        [r#"update | {"name":"Ann"} | {"external_id":null,"name":null}"#]
    );
}

/// Reads and resolves, and says whose id the person with this address has.
async fn known_as(rig: &Rig, email: &str) -> String {
    let stages = vec![StageName::Ingest, StageName::Resolve];
    rig.try_sync(&SyncOptions { stages, ..SyncOptions::default() }).await.unwrap();
    rig.cell(&format!("SELECT prospect_id FROM prospect WHERE email = '{email}'")).await
}

fn record(fields: &[(&str, &str)]) -> BTreeMap<String, Option<String>> {
    fields.iter().map(|(field, value)| ((*field).to_owned(), Some((*value).to_owned()))).collect()
}

#[tokio::test]
async fn a_record_with_our_id_that_is_somebody_elses_is_left_alone() {
    let rig = Rig::new(&project("")).await;
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    let (ann, bob) = (known_as(&rig, "ann@example.com").await, known_as(&rig, "bob@example.com").await);
    rig.remote.inner.put("theirs", record(&[("external_id", &ann), ("email", "zoe@example.com")]));
    rig.remote.inner.put("ours", record(&[("external_id", &bob), ("email", "Bob@example.com")]));
    assert_eq!(push(&rig).await, [0, 1, 0, 0, 1, 0], "Bob's record is taken over, Zoe's is not");
    assert!(rig.remote.people().contains(&person(&[("email", "zoe@example.com")])));
    let plan = plans(&rig.engine, &[rig.engine.project.sink("crm").unwrap()], Keep::All, &mut Nobody).await.unwrap().remove(0);
    let held = plan.rows.iter().find(|row| row.action == Action::HeldBack).unwrap();
    assert!(held.reason.as_deref().unwrap().contains("`id_namespace`"), "{held:?}");
}

#[tokio::test]
async fn a_namespace_tells_our_ids_from_another_projects() {
    let rig = Rig::new(&project(", id_namespace: eu")).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    let ann = known_as(&rig, "ann@example.com").await;
    rig.remote.inner.put("theirs", record(&[("external_id", &ann), ("email", "zoe@example.com")]));
    assert_eq!(push(&rig).await, [1, 0, 0, 0, 0, 0]);
    let ids: Vec<_> = rig.remote.inner.records().into_values().filter_map(|mut fields| fields.remove("external_id")?).collect();
    assert_eq!(ids.into_iter().collect::<std::collections::BTreeSet<_>>(), [format!("eu-{ann}"), ann].into());
    assert_eq!(push(&rig).await, [0, 0, 1, 0, 0, 0]);
    let broken = Rig::new(&project(", id_namespace: 'E U'")).await;
    let error = plans(&broken.engine, &[broken.engine.project.sink("crm").unwrap()], Keep::All, &mut Nobody)
        .await
        .unwrap_err()
        .in_one_line();
    assert!(error.contains("`E U` cannot stand before an id"), "{error}");
}

#[tokio::test]
async fn a_person_whom_two_records_could_be_is_held_back() {
    let rig = Rig::new(&project("")).await;
    for id in ["hand-1", "hand-2"] {
        rig.remote.inner.put(id, [("email".to_owned(), Some("ann@example.com".to_owned()))].into());
    }
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    assert_eq!(push(&rig).await, [1, 0, 0, 0, 1, 0]);
    assert_eq!(rig.remote.inner.records().len(), 3);
}

#[tokio::test]
async fn a_record_deleted_in_the_remote_is_not_made_again() {
    let rig = Rig::new(&project("")).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    push(&rig).await;
    rig.remote.inner.remove("remote-1");
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann", "Chief", "", "Alder"])]);
    assert_eq!(push(&rig).await, [0, 0, 0, 0, 1, 0]);
    assert!(rig.remote.people().is_empty());
}

#[tokio::test]
async fn every_change_is_pushed_also_the_one_back() {
    let rig = Rig::new(&project(", policy: { default: overwrite }")).await;
    for (count, title) in ["Director", "Chief", "Director", "Chief"].into_iter().enumerate() {
        rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann", title, "", "Alder"])]);
        let expected = if count == 0 { [1, 0, 0, 0, 0, 0] } else { [0, 1, 0, 0, 0, 0] };
        assert_eq!(push(&rig).await, expected, "{count}");
        assert_eq!(rig.remote.people()[0]["title"], title);
    }
}

#[tokio::test]
async fn policies_hold_field_by_field() {
    let policies = ", policy: { default: overwrite, email: never, title: create_only, name: keep_in_step }";
    let rig = Rig::new(&project(policies)).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    push(&rig).await;
    assert_eq!(rig.remote.people(), [person(&[("name", "Ann"), ("title", "Director")])]);
    rig.scripts.say("list", COLUMNS, &[("1", &["ann.alder@example.com", "Anna", "Chief", "", "Alder"])]);
    assert_eq!(push(&rig).await, [0, 1, 0, 0, 0, 0]);
    assert_eq!(rig.remote.people(), [person(&[("name", "Anna"), ("title", "Director")])]);
}

#[tokio::test]
async fn what_somebody_wrote_in_the_remote_is_kept_in_step_with_nothing() {
    let rig = Rig::new(&project(", policy: { default: keep_in_step }")).await;
    let title = |title: &'static str| {
        [("email", "ann@example.com"), ("title", title)].map(|(field, value)| (field.to_owned(), Some(value.to_owned())))
    };
    rig.remote.inner.put("hand-1", title("Chief").into());
    rig.scripts.say("list", COLUMNS, &[ANN]);
    push(&rig).await;
    // By chance somebody writes by hand what we would have written: it is still theirs.
    rig.remote.inner.put("hand-1", title("Director").into());
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann", "President", "", "Alder"])]);
    push(&rig).await;
    assert_eq!(rig.remote.people()[0]["title"], "Director");
}

#[tokio::test]
async fn a_stage_moves_forward_only() {
    let rig = Rig::new(
        "sources: { list: { connector: script, origin: list }, orders: { connector: script, role: conversions, currency: EUR } }\n\
         sinks: { crm: { connector: remote, audience: 'true', map: { email: email, stage: lifecycle }, policy: { stage: forward_only } } }\n",
    )
    .await;
    let by_hand = [("email", "ann@example.com"), ("stage", "opportunity")];
    rig.remote.inner.put("hand-1", by_hand.map(|(field, value)| (field.to_owned(), Some(value.to_owned()))).into());
    rig.scripts.say("list", &["email"], &[("1", &["ann@example.com"])]);
    assert_eq!(push(&rig).await, [0, 0, 1, 0, 0, 0]);
    assert_eq!(rig.remote.people()[0]["stage"], "opportunity");
    let order = ["email", "value", "kind", "occurred_at"];
    rig.scripts.say("orders", &order, &[("1", &["ann@example.com", "10", "order", "2025-03-01"])]);
    assert_eq!(push(&rig).await, [0, 1, 0, 0, 0, 0]);
    assert_eq!(rig.remote.people()[0]["stage"], "customer");
    rig.scripts.say("orders", &order, &[("2", &["ann@example.com", "10", "refund", "2025-03-02"])]);
    assert_eq!(push(&rig).await, [0, 0, 1, 0, 0, 0]);
    assert_eq!(rig.remote.people()[0]["stage"], "customer");
}

#[tokio::test]
async fn a_record_made_under_an_id_that_was_merged_away_is_the_merged_persons() {
    let rig = Rig::new(&project(", policy: { default: overwrite }").replace("'true'", "phone IS NOT NULL")).await;
    // Ann is known first, and admitted late: the record is made for the younger of the two.
    rig.scripts.say("list", COLUMNS, &[ANN]);
    rig.sync().await;
    rig.scripts.say("forms", COLUMNS, &[("1", &["ann.alder@example.com", "Ann", "", "+49301234567", "Alder"])]);
    assert_eq!(push(&rig).await, [1, 0, 0, 0, 0, 0]);
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann", "Chief", "+49301234567", "Alder"])]);
    assert_eq!(push(&rig).await, [0, 1, 0, 0, 0, 0]);
    assert_eq!(rig.remote.people().len(), 1, "no second record");
    assert_eq!(rig.remote.people()[0]["title"], "Chief");
    let (calls, looks) = (rig.remote.inner.calls(), rig.remote.looks());
    assert_eq!(push(&rig).await, [0, 0, 1, 0, 0, 0]);
    assert_eq!((rig.remote.inner.calls(), rig.remote.looks()), (calls, looks));
}

#[tokio::test]
async fn two_people_found_to_be_one_while_their_pushes_wait_are_one_record() {
    let rig = Rig::new(&project("").replace("'true'", "phone IS NOT NULL")).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    rig.sync().await;
    rig.scripts.say("forms", COLUMNS, &[("1", &["ann.alder@example.com", "Ann", "", "+49301234567", "Alder"])]);
    rig.remote.fail(Some(ErrorKind::Unavailable));
    assert_eq!(rig.sync_failing().await.sinks["crm"].pending, 1);
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann", "Chief", "+49301234567", "Alder"])]);
    rig.remote.fail(None);
    rig.sync().await;
    rig.sync().await;
    assert_eq!(rig.remote.people().len(), 1);
}

#[tokio::test]
async fn a_remote_that_cannot_be_read_is_compared_with_what_was_pushed() {
    let rig = Rig::new(&project(", policy: { default: overwrite }")).await;
    rig.remote.blind.store(true, Ordering::Relaxed);
    rig.scripts.say("list", COLUMNS, &[ANN]);
    assert_eq!(push(&rig).await, [1, 0, 0, 0, 0, 0]);
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann", "Chief", "", "Alder"])]);
    assert_eq!(push(&rig).await, [0, 1, 0, 0, 0, 0]);
    assert_eq!(rig.remote.written()[1].fields, [("title".to_owned(), Some("Chief".to_owned()))].into());
    assert_eq!(rig.remote.looks(), 0);
}
