//! Mailchimp and Brevo: people join a list, and nobody who left is put on it again.

use headwater_fakes::brevo::Brevo;
use headwater_fakes::mailchimp::{LIST, Mailchimp};
use headwater_fakes::{Conditions, Running};
use headwater_sdk::{Companion, Connector as _, DeliveryRow, ErrorKind, Lookup, Removal, Result, RowOutcome, Sink};
use serde_json::{Value, json};

use crate::benches::mailchimp;
use crate::{added, change, connector, fake, key, losing, refused, row, settings, sink_of, write};

fn to_mailchimp(fake: &Running<Mailchimp>) -> Result<Box<dyn Sink>> {
    let config = json!({ "server_url": fake.url(), "api_key": { "env": "T" }, "list_id": LIST });
    sink_of("mailchimp", config, headwater_fakes::mailchimp::KEY)
}

fn member(number: usize, email: &str) -> DeliveryRow {
    row(number, &[("email_address", email.to_owned()), ("merge_fields.FNAME", "Ada".to_owned())])
}

fn status_of(fake: &Running<Mailchimp>, email: &str) -> String {
    fake.with(|vendor| vendor.members().holder("email_address", email).unwrap().fields["status"].clone())
}

#[tokio::test]
async fn a_new_member_is_asked_first_unless_the_settings_say_otherwise() {
    let fake = mailchimp(Conditions::default()).await;
    assert_eq!(refused(&write(&*to_mailchimp(&fake).unwrap(), &[member(1, "ada@example.com")]).await), []);
    assert_eq!(status_of(&fake, "ada@example.com"), "pending");
}

/// Whatever a run knew when it planned: neither a change nor a making subscribes somebody again.
#[tokio::test]
async fn who_left_a_mailchimp_audience_is_never_subscribed_again() {
    for status in ["unsubscribed", "cleaned", "archived"] {
        let fake = mailchimp(Conditions::default()).await;
        fake.with(|vendor| vendor.members().insert(added(&[("email_address", "ada@example.com"), ("status", status)]), 0));
        let sink = to_mailchimp(&fake).unwrap();
        let rows = [member(1, "Ada@example.com")];
        let doubtful = [DeliveryRow { doubtful: true, ..rows[0].clone() }];
        write(&*sink, &rows).await;
        write(&*sink, &doubtful).await;
        if let Lookup::Found(record) = &sink.lookup(&[key("email_address", "ada@example.com")]).await.unwrap()[0] {
            write(&*sink, &[change(&record.remote_id, &[("merge_fields.FNAME", "Augusta")])]).await;
        }
        assert_eq!(status_of(&fake, "ada@example.com"), status);
    }
}

#[tokio::test]
async fn an_archived_member_refuses_its_row_and_says_what_to_do() {
    let fake = mailchimp(Conditions::default()).await;
    fake.with(|vendor| vendor.members().insert(added(&[("email_address", "ada@example.com"), ("status", "archived")]), 0));
    let outcomes = write(&*to_mailchimp(&fake).unwrap(), &[member(1, "ada@example.com")]).await;
    let refused = refused(&outcomes);
    assert!(matches!(refused.as_slice(), [(0, reason)] if reason.contains("out of the archive")), "{refused:?}");
}

#[tokio::test]
async fn a_person_without_an_address_is_refused_before_mailchimp_is_asked() {
    let fake = mailchimp(Conditions::default()).await;
    let outcomes = write(&*to_mailchimp(&fake).unwrap(), &[row(1, &[("merge_fields.FNAME", "Ada".to_owned())])]).await;
    let refused = refused(&outcomes);
    assert!(matches!(refused.as_slice(), [(0, reason)] if reason.starts_with("email_address: ")), "{refused:?}");
    assert_eq!(fake.state(), json!([]));
}

#[tokio::test]
async fn a_missing_merge_field_for_our_id_is_told_by_the_check() {
    let fake = fake(Mailchimp::default(), Conditions::default()).await;
    let told = to_mailchimp(&fake).unwrap().check().await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Config);
    assert!(told.to_string().contains("merge_fields.HWID"), "{told}");
}

fn to_brevo(fake: &Running<Brevo>) -> Result<Box<dyn Sink>> {
    let config = json!({ "url": fake.url(), "api_key": { "env": "T" }, "list_id": 7 });
    sink_of("brevo", config, headwater_fakes::brevo::KEY)
}

fn held(fake: &Running<Brevo>, id: &str, field: &str) -> Option<String> {
    fake.with(|vendor| vendor.contacts().get(id).unwrap().fields.get(field).cloned())
}

#[tokio::test]
async fn a_contact_of_brevo_joins_a_list_beside_its_others_and_leaves_it_again() {
    let fake = fake(Brevo::default(), Conditions::default()).await;
    let sink = to_brevo(&fake).unwrap();
    let id = fake.with(|vendor| vendor.contacts().insert(added(&[("email", "ada@example.com"), ("listIds", "3")]), 0));
    let found = sink.lookup(&[key("email", "ADA@example.com")]).await.unwrap();
    assert!(matches!(found.as_slice(), [Lookup::Found(record)] if record.remote_id == id), "{found:?}");
    let joins = [change(&id, &[("in_list", "true")])];
    assert_eq!(write(&*sink, &joins).await, [RowOutcome::Updated { remote_id: id.clone() }]);
    assert_eq!(held(&fake, &id, "listIds").as_deref(), Some("3,7"));
    assert_eq!(write(&*sink, &joins).await, [RowOutcome::Unchanged { remote_id: id.clone() }]);
    assert_eq!(write(&*sink, &[change(&id, &[("in_list", "false")])]).await, [RowOutcome::Updated { remote_id: id.clone() }]);
    assert_eq!(held(&fake, &id, "listIds").as_deref(), Some("3"));
    let rows = [row(9, &[("email", "new@example.com".to_owned()), ("in_list", "true".to_owned())])];
    let made = write(&*sink, &rows).await;
    let [RowOutcome::Created { remote_id }] = made.as_slice() else { panic!("{made:?}") };
    assert_eq!(held(&fake, remote_id, "listIds").as_deref(), Some("7"));
}

#[tokio::test]
async fn who_unsubscribed_in_brevo_is_never_subscribed_again() {
    let fake = fake(Brevo::default(), Conditions::default()).await;
    let sink = to_brevo(&fake).unwrap();
    let blocked = added(&[("email", "ada@example.com"), ("emailBlacklisted", "true")]);
    let blocked = fake.with(|vendor| vendor.contacts().insert(blocked, 0));
    let left = added(&[("email", "grace@example.com"), ("listUnsubscribed", "7")]);
    let left = fake.with(|vendor| vendor.contacts().insert(left, 0));
    // With another address Brevo would take the blocklisting away.
    for fields in [[("email", "other@example.com")], [("in_list", "true")]] {
        let outcomes = write(&*sink, &[change(&blocked, &fields)]).await;
        let refused = refused(&outcomes);
        assert!(matches!(refused.as_slice(), [(0, reason)] if reason.starts_with(fields[0].0)), "{refused:?}");
    }
    let outcomes = write(&*sink, &[change(&left, &[("in_list", "true")])]).await;
    assert!(matches!(outcomes.as_slice(), [RowOutcome::Rejected { .. }]), "{outcomes:?}");
    assert_eq!(
        write(&*sink, &[change(&blocked, &[("attributes.FIRSTNAME", "Ada")])]).await,
        [RowOutcome::Updated { remote_id: blocked.clone() }]
    );
    assert_eq!(held(&fake, &blocked, "emailBlacklisted").as_deref(), Some("true"));
    assert_eq!((held(&fake, &blocked, "listIds"), held(&fake, &left, "listUnsubscribed").as_deref()), (None, Some("7")));
}

#[tokio::test]
async fn an_address_is_among_the_fields_though_the_remote_does_not_list_it() {
    let fake = fake(Brevo::default(), Conditions::default()).await;
    let names: Vec<String> = to_brevo(&fake).unwrap().fields().await.unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["attributes.FIRSTNAME", "attributes.LASTNAME", "attributes.SMS", "email", "in_list"]);
}

#[tokio::test]
async fn an_attribute_that_brevo_would_pass_over_is_refused_before_anything_is_written() {
    let fake = fake(Brevo::default(), Conditions::default()).await;
    let rows = [row(1, &[("email", "ada@example.com".to_owned()), ("attributes.FRISTNAME", "Ada".to_owned())])];
    let told = to_brevo(&fake).unwrap().write(&rows).await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Config);
    assert_eq!(fake.state(), json!([]));
}

fn list_of(name: &str, config: Value, secret: &str, id: &str) -> Result<Box<dyn Sink>> {
    let (config, cx) = settings(config, secret);
    connector(name).companion(&Companion::List { id: id.to_owned() }, &config, &cx)
}

/// Somebody joins once, whoever is gone or may not be written to stays out, and who leaves is taken off and stays in the account.
async fn keeps_a_list(
    list: &dyn Fn() -> Result<Box<dyn Sink>>,
    lose: &dyn Fn(bool),
    [ada, grace, unsubscribed, nobody]: [&str; 4],
) {
    list().unwrap().check().await.unwrap();
    let field = list().unwrap().person_field().unwrap().to_owned();
    let joins = |number, person: &str| row(number, &[(field.as_str(), person.to_owned())]);
    let rows = [joins(1, ada), joins(2, unsubscribed), joins(3, grace), joins(4, nobody)];
    let outcomes = write(&*list().unwrap(), &rows).await;
    let [
        RowOutcome::Created { remote_id },
        RowOutcome::Rejected { reason },
        RowOutcome::Created { .. },
        RowOutcome::Rejected { reason: gone },
    ] = &outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert_eq!((remote_id.as_str(), gone.as_str()), (ada, "the record is gone"));
    assert!(reason.contains("unsubscribed"), "{reason}");
    assert_eq!(write(&*list().unwrap(), &rows[..1]).await, [RowOutcome::Unchanged { remote_id: ada.to_owned() }]);
    let found =
        list().unwrap().lookup(&[key(&field, ada), key(&field, unsubscribed), key(&field, "new:prs_1"), vec![]]).await.unwrap();
    assert!(
        matches!(&found[..], [Lookup::Found(place), Lookup::Absent, Lookup::Absent, Lookup::Absent] if place.remote_id == ada)
    );
    let ids = [ada, nobody, unsubscribed].map(str::to_owned);
    assert_eq!(list().unwrap().remove(&ids).await.unwrap(), [Removal::Removed, Removal::Gone, Removal::Gone]);
    assert_eq!(list().unwrap().remove(&ids[..1]).await.unwrap(), [Removal::Gone]);
    assert_eq!(list().unwrap().fetch(ada).await.unwrap(), None);
    assert!(list().unwrap().fetch(grace).await.unwrap().is_some(), "nobody else is taken off");
    // A remote refuses to move somebody who was moved by an attempt whose answer got lost.
    lose(true);
    assert_eq!(list().unwrap().remove(&[grace.to_owned()]).await.unwrap(), [Removal::Removed]);
    assert_eq!(list().unwrap().fetch(grace).await.unwrap(), None);
    lose(true);
    assert_eq!(write(&*list().unwrap(), &rows[2..3]).await, [RowOutcome::Created { remote_id: grace.to_owned() }]);
    lose(false);
    assert!(list().unwrap().fetch(grace).await.unwrap().is_some());
}

#[tokio::test]
async fn people_join_a_list_of_brevo_and_leave_it() {
    let fake = fake(Brevo::default(), Conditions::default()).await;
    let contact = |fields: &[(&str, &str)]| fake.with(|vendor| vendor.contacts().insert(added(fields), 0));
    let (ada, grace) = (contact(&[("email", "ada@example.com"), ("listIds", "3")]), contact(&[("email", "grace@example.com")]));
    let unsubscribed = contact(&[("email", "linus@example.com"), ("emailBlacklisted", "true")]);
    let list = |id: &str| {
        let config = json!({ "url": fake.url(), "api_key": { "env": "T" } });
        list_of("brevo", config, headwater_fakes::brevo::KEY, id)
    };
    let lose = |lose| fake.set(losing(lose, fake.counts()));
    keeps_a_list(&|| list("7"), &lose, [&ada, &grace, &unsubscribed, "9999"]).await;
    assert_eq!(held(&fake, &ada, "listIds").as_deref(), Some("3"), "the other list is left alone");
    let told = list("8").unwrap().check().await.unwrap_err();
    assert_eq!((told.kind(), told.config_path()), (ErrorKind::Config, Some("list")));
    assert!(told.to_string().contains("the account has no list `8`"), "{told}");
    assert_eq!(list("customers").map(drop).unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_tag_of_mailchimp_is_a_list_that_members_join_and_leave() {
    let fake = mailchimp(Conditions::default()).await;
    let hashes = [("ada", "subscribed"), ("grace", "pending"), ("linus", "unsubscribed")].map(|(name, status)| {
        let address = format!("{name}@example.com");
        fake.with(|vendor| {
            vendor.members().insert(added(&[("email_address", &address), ("status", status), ("tags", "2025")]), 0)
        });
        md5::Digest::finalize(<md5::Md5 as md5::Digest>::new_with_prefix(&address))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    });
    let [ada, grace, linus]: [String; 3] = hashes;
    let list = || {
        let config = json!({ "server_url": fake.url(), "api_key": { "env": "T" }, "list_id": LIST });
        list_of("mailchimp", config, headwater_fakes::mailchimp::KEY, "2026")
    };
    keeps_a_list(
        &list,
        &|lose| fake.set(losing(lose, fake.counts())),
        [&ada, &grace, &linus, "0123456789abcdef0123456789abcdef"],
    )
    .await;
    assert_eq!(status_of(&fake, "ada@example.com"), "subscribed");
    let tags = fake.with(|vendor| vendor.members().holder("email_address", "ada@example.com").unwrap().fields["tags"].clone());
    assert_eq!(tags, "2025", "other tags are left alone");
}
