//! What somebody changed between the plan and the write is not written over: the sink compares what the plan saw, and the API guards
//! the version that was compared.

use headwater_fakes::dataverse::Dataverse;
use headwater_fakes::{Conditions, Running};
use headwater_sdk::sink::MOVED;
use headwater_sdk::{DeliveryRow, RowOutcome, Sink};
use serde_json::json;

use crate::benches::dataverse;
use crate::{added, change, row, sink_of, write};

const CITY: &str = "address1_city";

fn sink(fake: &Running<Dataverse>) -> Box<dyn Sink> {
    let config = json!({ "url": fake.url(), "login_url": fake.url(), "tenant": headwater_fakes::dataverse::TENANT,
                         "client_id": "app", "client_secret": { "env": "T" }, "id_field": "new_headwaterid" });
    sink_of("dataverse", config, headwater_fakes::dataverse::SECRET).unwrap()
}

fn city(fake: &Running<Dataverse>) -> String {
    fake.with(|vendor| vendor.contacts().iter().next().unwrap().fields.get(CITY).cloned().unwrap_or_default())
}

fn by_hand(fake: &Running<Dataverse>, city: &str) {
    fake.with(|vendor| {
        let id = vendor.contacts().iter().next().unwrap().id.clone();
        assert!(vendor.contacts().change(&id, added(&[(CITY, city)]), 9));
    });
}

#[tokio::test]
async fn a_record_that_is_not_as_it_was_planned_is_left_and_said_to_have_moved() {
    let fake = dataverse(Conditions::default()).await;
    let sink = sink(&fake);
    let made = write(&*sink, &[row(1, &[("lastname", "Lovelace".to_owned()), (CITY, "Wien".to_owned())])]).await;
    let [RowOutcome::Created { remote_id }] = made.as_slice() else { panic!("{made:?}") };
    let planned = |seen: &str| DeliveryRow {
        seen: [(CITY.to_owned(), Some(seen.to_owned()))].into(),
        ..change(remote_id, &[(CITY, "Graz")])
    };
    by_hand(&fake, "Linz");
    let moved = [RowOutcome::Rejected { reason: MOVED.to_owned() }];
    assert_eq!((write(&*sink, &[planned("Wien")]).await.as_slice(), city(&fake).as_str()), (&moved[..], "Linz"));
    // Somebody writes after the sink has looked: the version guards it, and the next attempt sees it.
    fake.with(Dataverse::touch_before_next_update);
    let outcomes = write(&*sink, &[planned("Linz")]).await;
    assert!(matches!(outcomes.as_slice(), [RowOutcome::Retry { .. }]), "{outcomes:?}");
    assert_eq!(city(&fake), "Linz");
    let updated = [RowOutcome::Updated { remote_id: remote_id.clone() }];
    assert_eq!((write(&*sink, &[planned("Linz")]).await.as_slice(), city(&fake).as_str()), (&updated[..], "Graz"));
    // An attempt whose answer was lost has done it already.
    let unchanged = [RowOutcome::Unchanged { remote_id: remote_id.clone() }];
    assert_eq!(write(&*sink, &[planned("Linz")]).await, unchanged);
}
