//! Leads through the CRM's own lead webhook, against the stand-in.

use headwater_fakes::bottlecrm::{BottleCrm, INTAKE, INTAKE_KEY};
use headwater_fakes::{Conditions, Rate, Running, serve};
use headwater_sdk::testkit_sink::{Poison, check_poison, check_sink_contract};
use headwater_sdk::{Clock, DeliveryRow, ErrorKind, Result, RowOutcome, Sink};
use serde_json::json;

use super::{doubtful, row, sink_at, update, write};

async fn crm(conditions: Conditions) -> Running<BottleCrm> {
    serve(BottleCrm::default(), conditions, 0, || Clock::system().now_us()).await.unwrap()
}

fn intake(fake: &Running<BottleCrm>, key: &str, id: &str) -> Result<Box<dyn Sink>> {
    sink_at(fake.url(), key, json!({ "object": "intake", "intake_id": id }))
}

fn person(number: usize) -> DeliveryRow {
    let email = format!("ada{number}@example.com");
    row(&format!("prs_{number}"), &[("first_name", Some("Ada")), ("last_name", Some("O'Brien")), ("email", Some(&email))])
}

#[tokio::test]
async fn the_intake_keeps_the_contract() {
    let fake = crm(Conditions::default()).await;
    intake(&fake, INTAKE_KEY, INTAKE).unwrap().check().await.unwrap();
    check_sink_contract(|| intake(&fake, INTAKE_KEY, INTAKE), &(0..4).map(person).collect::<Vec<_>>()).await;
    assert_eq!(fake.with(|crm| crm.leads().len()), 4);
}

#[tokio::test]
async fn a_lead_that_comes_twice_is_there_once_and_a_known_address_is_filled_and_never_overwritten() {
    let fake = crm(Conditions { lose_answer_every: std::num::NonZeroU64::new(2), ..Conditions::default() }).await;
    let sink = intake(&fake, INTAKE_KEY, INTAKE).unwrap();
    let rows: Vec<DeliveryRow> = (0..4).map(person).collect();
    let outcomes = write(&*sink, &rows).await;
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, RowOutcome::Created { .. } | RowOutcome::Unchanged { .. })),
        "{outcomes:?}"
    );
    assert!(fake.counts().lost > 0);
    fake.set(Conditions::default());
    let again = write(&*sink, &[doubtful(rows[0].clone())]).await;
    let [RowOutcome::Unchanged { remote_id }] = &again[..] else { panic!("{again:?}") };
    let more =
        row("prs_0", &[("first_name", Some("Augusta")), ("phone", Some("+43 1 23456")), ("email", Some("ada0@example.com"))]);
    for _ in 0..2 {
        let outcomes = write(&*sink, &[update(remote_id, more.clone())]).await;
        assert_eq!(outcomes, [RowOutcome::Updated { remote_id: remote_id.clone() }]);
    }
    let leads = fake.with(|crm| crm.leads());
    assert_eq!(leads.len(), 4);
    let held = &leads[remote_id];
    assert_eq!((held["first_name"].as_str(), held["phone"].as_str()), (Some("Ada"), Some("+43 1 23456")));
    let nameless = write(&*sink, &[update(remote_id, row("prs_0", &[("phone", Some("1"))]))]).await;
    assert!(matches!(&nameless[..], [RowOutcome::Rejected { reason }] if reason.contains("address")), "{nameless:?}");
}

#[tokio::test]
async fn poison_keeps_nobody_out_of_the_intake() {
    let fake = crm(Conditions { refuse: Some("Poison".to_owned()), ..Conditions::default() }).await;
    let rows: Vec<DeliveryRow> = (0..20).map(person).collect();
    let poison = Poison { places: &[0, 7, 8, 19], field: "last_name", named: Some("last_name"), value: "Poison" };
    check_poison(|| intake(&fake, INTAKE_KEY, INTAKE), &rows, poison).await;
    assert_eq!(fake.with(|crm| crm.leads().len()), 16);
}

#[tokio::test]
async fn a_wrong_key_and_a_webhook_that_there_is_not_are_told_apart() {
    let fake = crm(Conditions::default()).await;
    let told = intake(&fake, "wrong", INTAKE).unwrap().check().await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Auth, "{told}");
    let told = intake(&fake, INTAKE_KEY, "none").unwrap().check().await.unwrap_err();
    assert_eq!((told.kind(), told.config_path()), (ErrorKind::Config, Some("intake_id")), "{told}");
    let told = sink_at(fake.url(), INTAKE_KEY, json!({ "object": "intake" })).map(drop).unwrap_err();
    assert!(told.hint_text().unwrap().contains("intake_id"), "{told}");
}

/// The CRM takes so many posts a minute to a webhook, and says how long to wait.
#[tokio::test]
async fn a_post_too_many_waits_as_the_crm_says() {
    let fake = crm(Conditions { rate: Some(Rate { calls: 2, window_ms: 300 }), ..Conditions::default() }).await;
    let sink = intake(&fake, INTAKE_KEY, INTAKE).unwrap();
    let rows: Vec<DeliveryRow> = (0..3).map(person).collect();
    assert!(write(&*sink, &rows).await.iter().all(|outcome| matches!(outcome, RowOutcome::Created { .. })));
    assert_eq!(fake.with(|crm| crm.leads().len()), 3);
}
