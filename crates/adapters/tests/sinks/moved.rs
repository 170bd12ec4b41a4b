//! What somebody changed since the plan is not written over: the sink compares what the plan saw, and where the API takes a version it
//! guards the one that was compared.

use headwater_fakes::dataverse::Dataverse;
use headwater_fakes::zoho::Zoho;
use headwater_fakes::{Conditions, Record, Running, Vendor};
use headwater_sdk::sink::MOVED;
use headwater_sdk::{DeliveryRow, RowOutcome, Sink};
use serde_json::json;

use crate::benches::{dataverse, zoho};
use crate::{added, change, row, sink_of, write};

/// A vendor whose API takes the version of what is to be changed.
struct Guarded<'a, V: Vendor> {
    fake: &'a Running<V>,
    sink: Box<dyn Sink>,
    last_name: &'static str,
    city: &'static str,
    /// The one contact.
    contact: fn(&mut V) -> Record,
    /// Another user writes into it, once so long after 1970.
    by_hand: fn(&mut V, &str, (&str, &str), i64),
    /// Another user writes into it just before the next change.
    touch: fn(&mut V),
}

impl<V: Vendor> Guarded<'_, V> {
    fn city(&self) -> String {
        self.fake.with(|vendor| (self.contact)(vendor)).fields.get(self.city).cloned().unwrap_or_default()
    }

    async fn keeps_what_others_write(&self) {
        let made = [(self.last_name, "Lovelace".to_owned()), (self.city, "Wien".to_owned())];
        let made = write(&*self.sink, &[row(1, &made)]).await;
        let [RowOutcome::Created { remote_id }] = made.as_slice() else { panic!("{made:?}") };
        let planned = |seen: &str| DeliveryRow {
            seen: [(self.city.to_owned(), Some(seen.to_owned()))].into(),
            ..change(remote_id, &[(self.city, "Graz")])
        };
        self.fake.with(|vendor| {
            let id = (self.contact)(vendor).id;
            (self.by_hand)(vendor, &id, (self.city, "Linz"), 9);
        });
        let moved = [RowOutcome::Rejected { reason: MOVED.to_owned() }];
        assert_eq!((write(&*self.sink, &[planned("Wien")]).await.as_slice(), self.city().as_str()), (&moved[..], "Linz"));
        // Somebody writes after the sink has looked: the version guards it, and the next attempt sees it.
        self.fake.with(self.touch);
        let outcomes = write(&*self.sink, &[planned("Linz")]).await;
        assert!(matches!(outcomes.as_slice(), [RowOutcome::Retry { .. }]), "{outcomes:?}");
        assert_eq!(self.city(), "Linz");
        let updated = [RowOutcome::Updated { remote_id: remote_id.clone() }];
        assert_eq!((write(&*self.sink, &[planned("Linz")]).await.as_slice(), self.city().as_str()), (&updated[..], "Graz"));
        // An attempt whose answer was lost has done it already.
        let unchanged = [RowOutcome::Unchanged { remote_id: remote_id.clone() }];
        assert_eq!(write(&*self.sink, &[planned("Linz")]).await, unchanged);
    }
}

fn to_zoho(fake: &Running<Zoho>) -> Box<dyn Sink> {
    let config = json!({ "url": fake.url(), "accounts_url": fake.url(), "client_id": "1000.fake",
                         "client_secret": { "env": "T" }, "refresh_token": { "env": "T" } });
    sink_of("zoho", config, headwater_fakes::zoho::REFRESH_TOKEN).unwrap()
}

#[tokio::test]
async fn dataverse_keeps_what_others_write_between_our_reading_and_our_writing() {
    let fake = dataverse(Conditions::default()).await;
    let config = json!({ "url": fake.url(), "login_url": fake.url(), "tenant": headwater_fakes::dataverse::TENANT,
                         "client_id": "app", "client_secret": { "env": "T" }, "id_field": "new_headwaterid" });
    let guarded = Guarded {
        fake: &fake,
        sink: sink_of("dataverse", config, headwater_fakes::dataverse::SECRET).unwrap(),
        last_name: "lastname",
        city: "address1_city",
        contact: |vendor| vendor.contacts().iter().next().unwrap().clone(),
        by_hand: |vendor, id, field, at_us| assert!(vendor.contacts().change(id, added(&[field]), at_us)),
        touch: Dataverse::touch_before_next_update,
    };
    guarded.keeps_what_others_write().await;
}

#[tokio::test]
async fn zoho_keeps_what_others_write_between_our_reading_and_our_writing() {
    let fake = zoho(Conditions::default()).await;
    let guarded = Guarded {
        fake: &fake,
        sink: to_zoho(&fake),
        last_name: "Last_Name",
        city: "Mailing_City",
        contact: |vendor| vendor.contacts().iter().next().unwrap().clone(),
        by_hand: |vendor, id, field, at_us| assert!(vendor.contacts().change(id, added(&[field]), at_us)),
        touch: Zoho::touch_before_next_update,
    };
    guarded.keeps_what_others_write().await;
}
