//! Contacts one by one, and tasks about them, against the stand-in.

use std::num::NonZeroU64;

use headwater_fakes::bottlecrm::{BottleCrm, TOKEN};
use headwater_fakes::{Conditions, Counts, Running, serve};
use headwater_sdk::testkit_sink::{Poison, check_moved, check_poison, check_removal_contract, check_sink_contract};
use headwater_sdk::{Clock, Companion, ConfigDoc, Connector as _, DeliveryRow, ErrorKind, Lookup, Result, RowOutcome, Sink};
use serde_json::{Value, json};

use super::{context, doubtful, row, sink_at, update, write};

async fn crm(conditions: Conditions) -> Running<BottleCrm> {
    serve(BottleCrm::default(), conditions, 0, || Clock::system().now_us()).await.unwrap()
}

fn sink(fake: &Running<BottleCrm>) -> Result<Box<dyn Sink>> {
    sink_at(fake.url(), TOKEN, json!({ "id_field": "cf_headwater_id", "create_id_field": true }))
}

/// The answer to the next call that writes gets lost, or none does any more.
fn losing(lose: bool, so_far: Counts) -> Conditions {
    let next = NonZeroU64::new(so_far.writes + 1).filter(|_| lose);
    Conditions { lose_answer_every: next, ..Conditions::default() }
}

fn person(number: usize) -> DeliveryRow {
    let email = format!("ada{number}@example.com");
    row(&format!("prs_{number}"), &[("first_name", Some("Ada")), ("last_name", Some("O'Brien")), ("email", Some(&email))])
}

fn people(count: usize) -> Vec<DeliveryRow> {
    (0..count).map(person).collect()
}

#[tokio::test]
async fn contacts_keep_the_contracts() {
    let fake = crm(Conditions::default()).await;
    check_removal_contract(|| sink(&fake), &people(4), |lose| fake.set(losing(lose, fake.counts()))).await;
    check_sink_contract(|| sink(&fake), &people(4)).await;
}

#[tokio::test]
async fn poison_keeps_no_other_contact_out() {
    let fake = crm(Conditions { refuse: Some("Poison".to_owned()), ..Conditions::default() }).await;
    let poison = Poison { places: &[0, 7, 8, 39], field: "title", named: Some("title"), value: "Poison" };
    check_poison(|| sink(&fake), &people(40), poison).await;
}

#[tokio::test]
async fn what_somebody_changed_since_the_plan_stays() {
    let fake = crm(Conditions::default()).await;
    check_moved(|| sink(&fake), &person(1), ("title", ["Head", "O'Head by hand", "Engineer"])).await;
}

fn tasks_with(fake: &Running<BottleCrm>, mut config: Value) -> Result<Box<dyn Sink>> {
    config["url"] = json!(fake.url());
    config["token"] = json!({ "env": "TOKEN" });
    let Value::Object(values) = config else { unreachable!() };
    super::super::BottleCrm.companion(&Companion::Tasks, &ConfigDoc { connection: "crm".to_owned(), values }, &context(TOKEN))
}

fn tasks(fake: &Running<BottleCrm>) -> Result<Box<dyn Sink>> {
    tasks_with(fake, json!({ "id_field": "cf_headwater_id", "create_id_field": true }))
}

fn task(number: usize, contact: &str) -> DeliveryRow {
    let title = format!("Call O'Brien ({number}) & Söhne");
    row(
        &format!("welcome-prs_{number}"),
        &[("title", Some(&title)), ("due_date", Some("2026-03-01")), ("contact", Some(contact))],
    )
}

/// Somebody whom tasks are about.
async fn contact(fake: &Running<BottleCrm>) -> String {
    let made = write(&*sink(fake).unwrap(), &people(1)).await;
    let [RowOutcome::Created { remote_id }] = &made[..] else { panic!("{made:?}") };
    remote_id.clone()
}

#[tokio::test]
async fn tasks_keep_the_contracts() {
    let fake = crm(Conditions::default()).await;
    let about = contact(&fake).await;
    let rows: Vec<DeliveryRow> = (0..4).map(|number| task(number, &about)).collect();
    tasks(&fake).unwrap().check().await.unwrap();
    check_removal_contract(|| tasks(&fake), &rows, |lose| fake.set(losing(lose, fake.counts()))).await;
    assert_eq!(fake.with(|crm| crm.tasks().len()), 0);
    check_sink_contract(|| tasks(&fake), &rows).await;
    assert_eq!(fake.with(|crm| crm.tasks().len()), 4);
    check_moved(|| tasks(&fake), &task(9, &about), ("title", ["Call", "Write by hand", "Visit"])).await;
}

#[tokio::test]
async fn poison_keeps_no_other_task_out() {
    let fake = crm(Conditions { refuse: Some("Poison".to_owned()), ..Conditions::default() }).await;
    let about = contact(&fake).await;
    let rows: Vec<DeliveryRow> = (0..12).map(|number| task(number, &about)).collect();
    let poison = Poison { places: &[0, 7, 8], field: "title", named: Some("title"), value: "Poison" };
    check_poison(|| tasks(&fake), &rows, poison).await;
}

/// The answer that the task was made is lost: the next attempt looks for it by our id.
#[tokio::test]
async fn a_task_whose_answer_is_lost_is_made_once() {
    let fake = crm(Conditions::default()).await;
    let about = contact(&fake).await;
    fake.set(Conditions { lose_answer_every: NonZeroU64::new(1), ..Conditions::default() });
    let lost = tasks(&fake).unwrap().write(&[task(1, &about)]).await.unwrap().into_outcomes();
    assert!(matches!(lost[..], [RowOutcome::Retry { .. }]), "{lost:?}");
    assert_eq!(fake.with(|crm| crm.tasks().len()), 1);
    fake.set(Conditions::default());
    let again = write(&*tasks(&fake).unwrap(), &[doubtful(task(1, &about))]).await;
    assert!(matches!(again[..], [RowOutcome::Unchanged { .. }]), "{again:?}");
    assert_eq!(fake.with(|crm| crm.tasks().len()), 1);
}

/// The CRM leaves out a contact that it does not have, without a word: a task about nobody is not kept.
#[tokio::test]
async fn a_task_about_a_contact_who_is_gone_is_refused_alone() {
    let fake = crm(Conditions::default()).await;
    let about = contact(&fake).await;
    let outcomes = write(&*tasks(&fake).unwrap(), &[task(1, "gone"), task(2, &about)]).await;
    let [RowOutcome::Rejected { reason }, RowOutcome::Created { remote_id }] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!((reason.as_str(), fake.with(|crm| crm.tasks().len())), ("contact: the CRM knows no such contact", 1));
    let later = update(remote_id, row("welcome-prs_2", &[("due_date", Some("2026-03-02"))]));
    assert!(matches!(write(&*tasks(&fake).unwrap(), &[later]).await[..], [RowOutcome::Updated { .. }]));
    let kept = tasks(&fake).unwrap().lookup(&[vec![super::key("external_id", "welcome-prs_2")]]).await.unwrap();
    assert!(matches!(&kept[..], [Lookup::Found(record)] if record.fields["contact"].as_deref() == Some(&about)), "{kept:?}");
}

#[tokio::test]
async fn settings_by_which_no_task_could_be_found_are_refused() {
    let fake = crm(Conditions::default()).await;
    for config in [json!({}), json!({ "object": "leads", "id_field": "cf_headwater_id" })] {
        assert_eq!(tasks_with(&fake, config).err().unwrap().kind(), ErrorKind::Config);
    }
    let told = tasks_with(&fake, json!({ "id_field": "cf_other" })).unwrap().check().await.unwrap_err();
    assert_eq!((told.kind(), told.config_path()), (ErrorKind::Config, Some("id_field")));
    let unknown = tasks(&fake).unwrap().write(&[row("welcome-prs_1", &[("subject", Some("Call"))])]).await.unwrap_err();
    assert!(unknown.to_string().contains("tasks have no field `subject`"), "{unknown}");
}
