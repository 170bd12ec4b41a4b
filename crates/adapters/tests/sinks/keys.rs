//! Attio, Close, Dataverse and Freshsales: what each is known to do.

use headwater_fakes::attio::Attio;
use headwater_fakes::close::Close;
use headwater_fakes::dataverse::Dataverse;
use headwater_fakes::freshsales::Freshsales;
use headwater_fakes::mailchimp::Mailchimp;
use headwater_fakes::zoho::Zoho;
use headwater_fakes::{Conditions, Rate, Running};
use headwater_sdk::{ErrorKind, Lookup, Result, RowOutcome, Sink, Writes};
use serde_json::json;

use crate::benches::{attio, close, dataverse, freshsales, pipedrive};
use crate::{added, change, fake, key, refused, row, sink_of, write};

fn to_attio(fake: &Running<Attio>) -> Result<Box<dyn Sink>> {
    sink_of("attio", json!({ "url": fake.url(), "token": { "env": "T" } }), headwater_fakes::attio::TOKEN)
}

#[tokio::test]
async fn a_further_address_in_attio_finds_the_person_and_stays() {
    let fake = attio(Conditions::default()).await;
    let fields = added(&[("name", "Ada Lovelace"), ("email_addresses", "first@example.com;second@example.com")]);
    let id = fake.with(|vendor| vendor.people().insert(fields, 0));
    let sink = to_attio(&fake).unwrap();
    let found = sink.lookup(&[key("email_addresses", "Second@Example.com")]).await.unwrap();
    let Lookup::Found(record) = &found[0] else { panic!("{found:?}") };
    assert_eq!(record.fields["name"].as_deref(), Some("Ada Lovelace"));
    let wanted = [change(&record.remote_id, &[("email_addresses", "second@example.com"), ("name", "Ada King")])];
    assert_eq!(write(&*sink, &wanted).await, [RowOutcome::Updated { remote_id: record.remote_id.clone() }]);
    let held = fake.with(|vendor| vendor.people().get(&id).unwrap().fields.clone());
    assert_eq!((held["email_addresses"].as_str(), held["name"].as_str()), ("first@example.com;second@example.com", "Ada King"));
}

#[tokio::test]
async fn an_attribute_that_attio_lacks_is_told_before_anything_is_written() {
    let fake = fake(Attio::default(), Conditions::default()).await;
    let told = to_attio(&fake).unwrap().check().await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Config);
    assert!(told.to_string().contains("headwater_id"), "{told}");
}

#[tokio::test]
async fn attio_says_when_to_come_again_as_a_date() {
    let fake = attio(Conditions { rate: Some(Rate { calls: 1, window_ms: 300 }), ..Conditions::default() }).await;
    let sink = to_attio(&fake).unwrap();
    let outcomes = write(&*sink, &[row(1, &[("email_addresses", "ada@example.com".to_owned())])]).await;
    assert!(matches!(outcomes.as_slice(), [RowOutcome::Created { .. }]), "{outcomes:?}");
    assert_eq!(fake.counts().limited, 1);
}

fn to_close(fake: &Running<Close>) -> Result<Box<dyn Sink>> {
    let config = json!({ "url": fake.url(), "api_key": { "env": "T" }, "id_field": "cf_hw", "search_lag": "50ms" });
    sink_of("close", config, headwater_fakes::close::KEY)
}

#[tokio::test]
async fn two_contacts_of_close_with_one_address_are_ambiguous_and_one_alone_is_found() {
    let fake = close(Conditions::default()).await;
    for name in ["Ada", "Grace"] {
        fake.with(|vendor| vendor.contacts().insert(added(&[("name", name), ("emails", "both@example.com")]), 0));
    }
    fake.with(|vendor| vendor.contacts().insert(added(&[("name", "both@example.com"), ("emails", "one@example.com")]), 0));
    let found =
        to_close(&fake).unwrap().lookup(&[key("email", "both@example.com"), key("email", "One@example.com")]).await.unwrap();
    assert!(matches!(found.as_slice(), [Lookup::Ambiguous(2), Lookup::Found(_)]), "{found:?}");
}

#[tokio::test]
async fn close_says_in_its_own_header_when_to_come_again() {
    let fake = close(Conditions { rate: Some(Rate { calls: 1, window_ms: 300 }), ..Conditions::default() }).await;
    let sink = to_close(&fake).unwrap();
    for number in 0..2 {
        let outcomes = write(&*sink, &[row(number, &[("name", format!("Ada {number}"))])]).await;
        assert!(matches!(outcomes.as_slice(), [RowOutcome::Created { .. }]), "{outcomes:?}");
    }
    // Once before each contact but the first: the fields are asked for too.
    assert_eq!(fake.counts().limited, 2);
}

#[tokio::test]
async fn a_field_that_close_lacks_is_refused_with_its_name() {
    let fake = close(Conditions::default()).await;
    let rows = [row(1, &[("name", "Ada".to_owned()), ("custom.cf_no", "x".to_owned())])];
    let told = to_close(&fake).unwrap().write(&rows).await.unwrap_err();
    assert!(told.kind() == ErrorKind::Config && told.to_string().contains("custom.cf_no"), "{told}");
    assert_eq!(fake.counts().writes, 0);
}

fn to_dataverse(fake: &Running<Dataverse>) -> Result<Box<dyn Sink>> {
    let config = json!({ "url": fake.url(), "login_url": fake.url(), "tenant": headwater_fakes::dataverse::TENANT,
                         "client_id": "app", "client_secret": { "env": "T" }, "id_field": "new_headwaterid" });
    sink_of("dataverse", config, headwater_fakes::dataverse::SECRET)
}

/// Between our reading and our writing somebody else writes: the row waits, and nothing is overwritten.
#[tokio::test]
async fn a_change_by_somebody_else_is_not_overwritten_in_dataverse() {
    let fake = dataverse(Conditions::default()).await;
    let sink = to_dataverse(&fake).unwrap();
    let created = write(&*sink, &[row(1, &[("lastname", "Lovelace".to_owned()), ("donotemail", "true".to_owned())])]).await;
    let [RowOutcome::Created { remote_id }] = created.as_slice() else { panic!("{created:?}") };
    fake.with(Dataverse::touch_before_next_update);
    let rows = [change(remote_id, &[("address1_city", "Graz")])];
    let outcomes = write(&*sink, &rows).await;
    assert!(matches!(outcomes.as_slice(), [RowOutcome::Retry { .. }]), "{outcomes:?}");
    assert_eq!(write(&*sink, &rows).await, [RowOutcome::Updated { remote_id: remote_id.clone() }]);
}

/// A value of a key that another record has is answered 412 too, as a change by somebody else is, but would be refused for ever.
#[tokio::test]
async fn a_key_of_another_record_in_dataverse_is_a_refusal_and_no_conflict() {
    let fake = dataverse(Conditions::default()).await;
    fake.with(|vendor| vendor.add_key("emailaddress1"));
    let taken = added(&[("emailaddress1", "ada@example.com")]);
    fake.with(|vendor| vendor.contacts().insert(taken, 0));
    let outcomes = write(&*to_dataverse(&fake).unwrap(), &[row(1, &[("emailaddress1", "ada@example.com".to_owned())])]).await;
    let refused = refused(&outcomes);
    assert!(matches!(refused.as_slice(), [(0, reason)] if reason.contains("emailaddress1")), "{refused:?}");
}

#[tokio::test]
async fn a_record_that_is_gone_in_dataverse_is_not_made_again_by_a_change() {
    let fake = dataverse(Conditions::default()).await;
    let sink = to_dataverse(&fake).unwrap();
    let gone = [change("00000000-0000-4000-8000-000000000999", &[("lastname", "Lovelace")])];
    assert!(matches!(write(&*sink, &gone).await.as_slice(), [RowOutcome::Rejected { .. }]));
    assert_eq!(fake.state(), json!([]));
}

#[tokio::test]
async fn how_the_field_for_our_id_is_made_in_freshsales_is_told_by_the_check() {
    let fake = fake(Freshsales::default(), Conditions::default()).await;
    let config = json!({ "url": fake.url(), "api_key": { "env": "T" }, "id_field": "cf_our_id" });
    let told = sink_of("freshsales", config, headwater_fakes::freshsales::KEY).unwrap().check().await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Config);
    let hint = told.hint_text().unwrap();
    assert!(hint.contains("Admin Settings, Contacts") && hint.contains("the internal name cf_our_id"), "{hint}");
}

#[tokio::test]
async fn a_field_that_freshsales_lacks_is_refused_before_anything_is_written() {
    let fake = freshsales(Conditions::default()).await;
    let sink = sink_of("freshsales", json!({ "url": fake.url(), "api_key": { "env": "T" } }), headwater_fakes::freshsales::KEY);
    let told = sink.unwrap().write(&[row(1, &[("emial", "x".to_owned())])]).await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Config);
    assert!(told.to_string().contains("emial"), "{told}");
    assert_eq!(fake.counts().writes, 0);
}

/// Where the vendor has a request for it, the field for our id is made if the user says so, and once.
#[tokio::test]
async fn the_field_for_our_id_is_made_where_that_is_asked_for() {
    let (attio, mailchimp) =
        (fake(Attio::default(), Conditions::default()).await, fake(Mailchimp::default(), Conditions::default()).await);
    let zoho = fake(Zoho::default(), Conditions::default()).await;
    let secret = json!({ "env": "T" });
    let sinks = [
        ("attio", json!({ "url": attio.url(), "token": secret }), headwater_fakes::attio::TOKEN, "name"),
        (
            "mailchimp",
            json!({ "server_url": mailchimp.url(), "list_id": headwater_fakes::mailchimp::LIST, "api_key": secret }),
            headwater_fakes::mailchimp::KEY,
            "email_address",
        ),
        (
            "zoho",
            json!({ "url": zoho.url(), "accounts_url": zoho.url(), "client_id": "1000.fake", "client_secret": secret, "refresh_token": secret }),
            headwater_fakes::zoho::REFRESH_TOKEN,
            "Last_Name",
        ),
    ];
    for (name, mut config, secret, field) in sinks {
        let told = sink_of(name, config.clone(), secret).unwrap().check().await.unwrap_err();
        assert_eq!(told.kind(), ErrorKind::Config, "{name}: {told}");
        assert!(told.hint_text().is_some_and(|hint| hint.contains("create_id_field: true")), "{name}: {told:?}");
        config["create_id_field"] = json!(true);
        for number in 0..2 {
            let sink = sink_of(name, config.clone(), secret).unwrap();
            let rows = [row(number, &[(field, format!("ada{number}@example.com"))])];
            assert_eq!(refused(&write(&*sink, &rows).await), [], "{name}");
        }
    }
}

/// A search is forty of Pipedrive's tokens, a listing twenty, a write ten. What a plan would take of a day is counted so too.
#[tokio::test]
async fn calls_count_against_the_day_as_the_remote_counts_them() {
    let fake = pipedrive(Conditions::default()).await;
    let config = json!({ "url": fake.url(), "token": { "env": "T" }, "id_field": "hw", "search_lag": "50ms" });
    let sink = sink_of("pipedrive", config, headwater_fakes::pipedrive::TOKEN).unwrap();
    let spent = || (sink.calls_made().unwrap(), sink.spent().unwrap());
    assert_eq!(spent(), (0, 0));
    sink.lookup(&[key("email", "ada@example.com")]).await.unwrap();
    let searched = spent();
    assert_eq!(searched, (1, 40));
    let outcomes = write(&*sink, &[row(1, &[("name", "Ada".to_owned())])]).await;
    assert!(matches!(outcomes.as_slice(), [RowOutcome::Created { .. }]), "{outcomes:?}");
    let (calls, tokens) = spent();
    let looked = calls - searched.0 - 1;
    assert!((40 + 10..=40 + 10 + 40 * looked).contains(&tokens), "{calls} calls, {tokens} tokens");
    let (makes, changes) = (Writes { creates: 3, ..Writes::default() }, Writes { updates: 2, ..Writes::default() });
    assert_eq!((sink.calls_to_write(makes), sink.cost_to_write(makes)), (3, 30));
    assert_eq!((sink.calls_to_write(changes), sink.cost_to_write(changes)), (3, 20 + 2 * 10));
}
