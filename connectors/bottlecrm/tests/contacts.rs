//! Contacts one by one, against the stand-in.

use headwater_fakes::bottlecrm::{BottleCrm, TOKEN};
use headwater_fakes::{Conditions, Running, serve};
use headwater_sdk::testkit_sink::{Poison, check_moved, check_poison, check_removal_contract, check_sink_contract};
use headwater_sdk::{Clock, DeliveryRow, Result, Sink};
use serde_json::json;

use super::{row, sink_at};

async fn crm(conditions: Conditions) -> Running<BottleCrm> {
    serve(BottleCrm::default(), conditions, 0, || Clock::system().now_us()).await.unwrap()
}

fn sink(fake: &Running<BottleCrm>) -> Result<Box<dyn Sink>> {
    sink_at(fake.url(), TOKEN, json!({ "id_field": "cf_headwater_id", "create_id_field": true }))
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
    check_removal_contract(|| sink(&fake), &people(3)).await;
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
