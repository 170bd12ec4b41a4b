//! What the vendors of the first sinks are known to do.

use std::num::NonZeroU64;

use headwater_fakes::odoo::Odoo;
use headwater_fakes::pipedrive::Pipedrive;
use headwater_fakes::salesforce::Salesforce;
use headwater_fakes::zoho::Zoho;
use headwater_fakes::{Conditions, Running};
use headwater_sdk::testkit_sink::check_sink_contract;
use headwater_sdk::{DeliveryRow, ErrorKind, Lookup, Result, RowOutcome, Sink};
use serde_json::json;

use crate::benches::{odoo, pipedrive, salesforce, zoho};
use crate::{added, change, companies_of, fake, key, refused, row, sink_of, write};

fn to_pipedrive(fake: &Running<Pipedrive>) -> Result<Box<dyn Sink>> {
    let config = json!({ "url": fake.url(), "token": { "env": "T" }, "id_field": "hw", "search_lag": "50ms" });
    sink_of("pipedrive", config, headwater_fakes::pipedrive::TOKEN)
}

fn to_zoho(fake: &Running<Zoho>) -> Result<Box<dyn Sink>> {
    let config = json!({ "url": fake.url(), "accounts_url": fake.url(), "client_id": "1000.fake", "client_secret": { "env": "T" },
                         "refresh_token": { "env": "T" } });
    sink_of("zoho", config, headwater_fakes::zoho::REFRESH_TOKEN)
}

fn persons(count: usize) -> Vec<DeliveryRow> {
    let person = |number| {
        row(
            number,
            &[
                ("name", format!("Ada O'Brien {number}")),
                ("email", format!("ada{number}@example.com")),
                ("owner_id", "7".to_owned()),
            ],
        )
    };
    (0..count).map(person).collect()
}

fn contacts(count: usize) -> Vec<DeliveryRow> {
    let contact =
        |number| row(number, &[("Last_Name", format!("O'Brien {number}")), ("Email", format!("ada{number}@example.com"))]);
    (0..count).map(contact).collect()
}

fn to_salesforce(fake: &Running<Salesforce>) -> Result<Box<dyn Sink>> {
    let config = json!({ "url": fake.url(), "client_id": { "env": "T" }, "client_secret": { "env": "T" } });
    sink_of("salesforce", config, headwater_fakes::salesforce::SECRET)
}

fn people(count: usize) -> Vec<DeliveryRow> {
    let person = |number| {
        let fields = [("LastName", "O'Brien".to_owned()), ("Email", format!("o'b{number}@example.com"))];
        row(number, &[&fields[..], &[("HasOptedOutOfEmail", "true".to_owned())]].concat())
    };
    (0..count).map(person).collect()
}

fn to_odoo(fake: &Running<Odoo>) -> Result<Box<dyn Sink>> {
    let config = json!({ "url": fake.url(), "database": "example", "api_key": { "env": "T" } });
    sink_of("odoo", config, headwater_fakes::odoo::KEY)
}

fn partners(count: usize) -> Vec<DeliveryRow> {
    let partner = |number| {
        let fields = [("name", "O'Brien".to_owned()), ("email", format!("Ada{number}@example.com"))];
        row(number, &[&fields[..], &[("is_company", "false".to_owned())]].concat())
    };
    (0..count).map(partner).collect()
}

/// Where there is no key against doubles and search lags, what became doubtful is looked up before it is made.
#[tokio::test]
async fn an_answer_of_pipedrive_that_gets_lost_doubles_nobody() {
    let lose_answer_every = NonZeroU64::new(3);
    let fake = pipedrive(Conditions { lose_answer_every, search_lag_ms: 40, ..Conditions::default() }).await;
    let rows = persons(9);
    let outcomes = write(&*to_pipedrive(&fake).unwrap(), &rows).await;
    assert!(outcomes.iter().any(|outcome| matches!(outcome, RowOutcome::Retry { .. })), "{outcomes:?}");
    let left: Vec<DeliveryRow> = rows
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| matches!(outcome, RowOutcome::Retry { .. }))
        .map(|(row, _)| DeliveryRow { doubtful: true, ..row.clone() })
        .collect();
    fake.set(Conditions { search_lag_ms: 40, ..Conditions::default() });
    let again = write(&*to_pipedrive(&fake).unwrap(), &left).await;
    assert!(again.iter().all(|outcome| !matches!(outcome, RowOutcome::Retry { .. } | RowOutcome::Rejected { .. })), "{again:?}");
    assert!(fake.counts().lost > 0, "the fake lost no answer");
    assert_eq!(fake.with(|vendor| vendor.persons().len()), 9);
}

#[tokio::test]
async fn a_reason_of_pipedrive_names_the_field_and_hides_the_value() {
    let fake = pipedrive(Conditions { refuse: Some("ada1@".to_owned()), ..Conditions::default() }).await;
    let outcomes = write(&*to_pipedrive(&fake).unwrap(), &persons(3)).await;
    let refused = refused(&outcomes);
    assert!(
        matches!(refused.as_slice(), [(1, reason)] if reason.starts_with("email: ") && !reason.contains("ada1")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_value_that_is_no_number_refuses_its_row_alone() {
    let fake = pipedrive(Conditions::default()).await;
    let mut rows = persons(3);
    rows[1].fields.insert("owner_id".to_owned(), Some("nobody".to_owned()));
    let outcomes = write(&*to_pipedrive(&fake).unwrap(), &rows).await;
    assert_eq!(refused(&outcomes), [(1, "owner_id: the value is not a number")]);
}

#[tokio::test]
async fn a_further_address_in_pipedrive_finds_the_person_and_stays_behind_the_first() {
    let fake = pipedrive(Conditions::default()).await;
    let fields = added(&[("name", "Ada"), ("emails", "first@example.com;o'second@example.com"), ("custom_fields.hw", "prs_0")]);
    let id = fake.with(|vendor| vendor.persons().insert(fields, 0));
    fake.with(|vendor| vendor.persons().insert(added(&[("name", "o'second@example.com")]), 0));
    let sink = to_pipedrive(&fake).unwrap();
    let found = sink.lookup(&[key("email", "O'Second@Example.com")]).await.unwrap();
    assert!(matches!(found.as_slice(), [Lookup::Found(record)] if record.remote_id == id), "{found:?}");
    let outcomes = write(&*sink, &[change(&id, &[("email", "o'second@example.com")])]).await;
    assert_eq!(outcomes, [RowOutcome::Unchanged { remote_id: id }]);
}

#[tokio::test]
async fn two_persons_with_one_address_are_ambiguous() {
    let fake = pipedrive(Conditions::default()).await;
    for name in ["Ada", "Grace"] {
        fake.with(|vendor| vendor.persons().insert(added(&[("name", name), ("emails", "both@example.com")]), 0));
    }
    let found = to_pipedrive(&fake).unwrap().lookup(&[key("email", "both@example.com")]).await.unwrap();
    assert_eq!(found, [Lookup::Ambiguous(2)]);
}

#[tokio::test]
async fn of_a_batch_of_zoho_only_the_poison_stays_out() {
    let fake = zoho(Conditions { refuse: Some("Poison".to_owned()), ..Conditions::default() }).await;
    let poison = [0, 57, 58, 229];
    let mut rows = contacts(230);
    for number in poison {
        rows[number].fields.insert("Last_Name".to_owned(), Some("Poison".to_owned()));
    }
    let outcomes = write(&*to_zoho(&fake).unwrap(), &rows).await;
    assert_eq!(refused(&outcomes), poison.map(|number| (number, "Last_Name: invalid data")));
    assert_eq!(fake.with(|vendor| vendor.contacts().len()), 226);
    assert_eq!(fake.counts().writes, 3, "a batch holds 100");
}

#[tokio::test]
async fn an_answer_of_zoho_that_gets_lost_doubles_nobody() {
    let lose_answer_every = NonZeroU64::new(2);
    let fake = zoho(Conditions { lose_answer_every, search_lag_ms: 60_000, ..Conditions::default() }).await;
    let rows = contacts(250);
    write(&*to_zoho(&fake).unwrap(), &rows).await;
    let again: Vec<DeliveryRow> = rows.into_iter().take(3).map(|row| DeliveryRow { doubtful: true, ..row }).collect();
    let outcomes = write(&*to_zoho(&fake).unwrap(), &again).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, RowOutcome::Updated { .. })), "{outcomes:?}");
    assert_eq!(fake.with(|vendor| vendor.contacts().len()), 250);
}

#[tokio::test]
async fn a_field_that_zoho_would_pass_over_is_refused_before_anything_is_written() {
    let fake = zoho(Conditions::default()).await;
    let mut rows = contacts(1);
    rows[0].fields.insert("Emial".to_owned(), Some("x".to_owned()));
    let told = to_zoho(&fake).unwrap().write(&rows).await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Config);
    assert!(told.to_string().contains("Emial"));
    assert_eq!(fake.counts().writes, 0);
}

#[tokio::test]
async fn brackets_and_quotes_in_a_value_do_not_break_a_search_of_zoho() {
    let fake = zoho(Conditions::default()).await;
    let nasty = r"O'Brien (\), Ada";
    let id = fake.with(|vendor| vendor.contacts().insert(added(&[("Last_Name", nasty)]), 0));
    let found = to_zoho(&fake).unwrap().lookup(&[key("Last_Name", nasty)]).await.unwrap();
    assert!(matches!(found.as_slice(), [Lookup::Found(record)] if record.remote_id == id), "{found:?}");
}

#[tokio::test]
async fn a_token_of_zoho_that_ends_early_is_made_anew() {
    let fake = zoho(Conditions { token_ms: Some(60), ..Conditions::default() }).await;
    let sink = to_zoho(&fake).unwrap();
    sink.check().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(70)).await;
    assert!(matches!(write(&*sink, &contacts(1)).await.as_slice(), [RowOutcome::Created { .. }]));
}

#[tokio::test]
async fn a_missing_field_for_our_id_and_a_wrong_token_are_told_by_the_check() {
    let fake = fake(Zoho::default(), Conditions::default()).await;
    let told = to_zoho(&fake).unwrap().check().await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Config);
    assert!(told.to_string().contains("Headwater_Id"));
    let fake = pipedrive(Conditions::default()).await;
    let config = json!({ "url": fake.url(), "token": { "env": "T" }, "id_field": "hw" });
    assert_eq!(sink_of("pipedrive", config, "wrong").unwrap().check().await.unwrap_err().kind(), ErrorKind::Auth);
}

#[tokio::test]
async fn of_a_collection_of_salesforce_only_the_poison_stays_out() {
    let fake = salesforce(Conditions { refuse: Some("b299@".to_owned()), ..Conditions::default() }).await;
    let outcomes = write(&*to_salesforce(&fake).unwrap(), &people(450)).await;
    assert_eq!(refused(&outcomes), [(299, "Email: Email: invalid value: …")]);
    assert_eq!((fake.with(|vendor| vendor.contacts().len()), fake.counts().writes), (449, 3));
}

#[tokio::test]
async fn a_quote_and_a_backslash_do_not_break_a_query_of_salesforce() {
    let fake = salesforce(Conditions::default()).await;
    let nasty = [r"O'Brien\", "') OR (Id != '"];
    let ids = nasty.map(|name| fake.with(|vendor| vendor.contacts().insert(added(&[("LastName", name)]), 0)));
    fake.with(|vendor| vendor.contacts().insert(added(&[("LastName", "Example")]), 0));
    let found = to_salesforce(&fake).unwrap().lookup(&nasty.map(|name| key("LastName", name))).await.unwrap();
    for (found, id) in found.iter().zip(&ids) {
        assert!(matches!(found, Lookup::Found(record) if record.remote_id == *id), "{found:?}");
    }
}

#[tokio::test]
async fn a_record_beyond_what_one_answer_of_salesforce_shows_is_found() {
    let fake = salesforce(Conditions::default()).await;
    for name in ["Many"; 250].into_iter().chain(["One"]) {
        fake.with(|vendor| vendor.contacts().insert(added(&[("LastName", name)]), 0));
    }
    let found = to_salesforce(&fake).unwrap().lookup(&[key("LastName", "Many"), key("LastName", "One")]).await.unwrap();
    assert!(matches!(found.as_slice(), [Lookup::Ambiguous(200), Lookup::Found(_)]), "{found:?}");
}

#[tokio::test]
async fn a_locked_row_of_salesforce_waits_and_a_duplicate_is_refused() {
    let fake = salesforce(Conditions::default()).await;
    let sink = to_salesforce(&fake).unwrap();
    let id = fake.with(|vendor| vendor.contacts().insert(added(&[("LastName", "Other"), ("Email", "o'b0@example.com")]), 0));
    let outcomes = write(&*sink, &people(2)).await;
    assert_eq!(refused(&outcomes), [(0, "Use one of these records?")]);
    fake.with(|vendor| vendor.lock_once(&id));
    let rows = [change(&id, &[("Title", "Engineer")])];
    assert!(matches!(write(&*sink, &rows).await.as_slice(), [RowOutcome::Retry { .. }]));
    assert_eq!(write(&*sink, &rows).await, [RowOutcome::Updated { remote_id: id }]);
}

#[tokio::test]
async fn a_day_of_salesforce_that_is_used_up_is_no_fault_of_a_row() {
    let fake = salesforce(Conditions::default()).await;
    fake.with(|vendor| vendor.leave_requests(1));
    let told = to_salesforce(&fake).unwrap().write(&people(2)).await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Unavailable, "{told}");
    assert_eq!(fake.state(), json!([]));
}

#[tokio::test]
async fn a_call_that_odoo_refuses_as_a_whole_is_halved_until_the_poison_stands_alone() {
    let fake = odoo(Conditions { refuse: Some("Ada7@".to_owned()), ..Conditions::default() }).await;
    let outcomes = write(&*to_odoo(&fake).unwrap(), &partners(60)).await;
    let refused = refused(&outcomes);
    assert!(matches!(refused.as_slice(), [(7, reason)] if reason.contains("email") && !reason.contains("Ada7")), "{refused:?}");
    assert_eq!(fake.with(|vendor| vendor.contacts().len()), 59);
}

#[tokio::test]
async fn an_answer_of_odoo_that_gets_lost_doubles_nobody() {
    let fake = odoo(Conditions { lose_answer_every: NonZeroU64::new(1), ..Conditions::default() }).await;
    let rows = partners(5);
    assert_eq!(to_odoo(&fake).unwrap().write(&rows).await.unwrap_err().kind(), ErrorKind::Unavailable);
    fake.set(Conditions::default());
    let again: Vec<DeliveryRow> = rows.into_iter().map(|row| DeliveryRow { doubtful: true, ..row }).collect();
    let outcomes = write(&*to_odoo(&fake).unwrap(), &again).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, RowOutcome::Unchanged { .. })), "{outcomes:?}");
    assert_eq!(fake.with(|vendor| vendor.contacts().len()), 5);
}

#[tokio::test]
async fn an_address_is_found_in_odoo_whatever_its_case_and_a_cleared_field_is_empty() {
    let fake = odoo(Conditions::default()).await;
    let fields = added(&[("name", "Ada"), ("email", "Ada@Example.com"), ("city", "Graz"), ("x_headwater_id", "prs_0")]);
    let id = fake.with(|vendor| vendor.contacts().insert(fields, 0));
    let sink = to_odoo(&fake).unwrap();
    let found = sink.lookup(&[key("email", "ada@example.com")]).await.unwrap();
    assert!(matches!(found.as_slice(), [Lookup::Found(record)] if record.remote_id == id), "{found:?}");
    let mut row = change(&id, &[]);
    row.fields.insert("city".to_owned(), None);
    assert_eq!(write(&*sink, &[row.clone()]).await, [RowOutcome::Updated { remote_id: id.clone() }]);
    assert_eq!(write(&*sink, &[row]).await, [RowOutcome::Unchanged { remote_id: id }]);
}

#[tokio::test]
async fn organizations_of_pipedrive_are_written_by_the_same_file_and_people_name_them() {
    let fake = pipedrive(Conditions::default()).await;
    let config = |company_field: bool| {
        let mut config = json!({ "url": fake.url(), "token": { "env": "T" }, "id_field": "hw", "search_lag": "50ms" });
        if company_field {
            config["company_id_field"] = json!("hw");
        }
        config
    };
    let token = headwater_fakes::pipedrive::TOKEN;
    let organizations = || companies_of("pipedrive", config(true), token);
    let rows = [
        row(1, &[("name", "Alder & Söhne".to_owned())]),
        row(2, &[("name", "Elm".to_owned())]),
        row(3, &[("name", "Oak".to_owned())]),
    ];
    check_sink_contract(organizations, &rows).await;
    assert_eq!(fake.with(|pipedrive| (pipedrive.organizations().len(), pipedrive.persons().len())), (3, 0));
    let organizations = organizations().unwrap();
    let found = organizations.lookup(&[key("name", "elm")]).await.unwrap();
    let [Lookup::Found(elm)] = &found[..] else { panic!("{found:?}") };

    let people = to_pipedrive(&fake).unwrap();
    assert_eq!((people.company_field(), organizations.company_field()), (Some("org_id"), None));
    let ada = row(7, &[("name", "Ada".to_owned()), ("org_id", elm.remote_id.clone())]);
    let outcomes = write(&*people, &[ada]).await;
    let [RowOutcome::Created { remote_id }] = &outcomes[..] else { panic!("{outcomes:?}") };
    let held = people.fetch(remote_id).await.unwrap().unwrap();
    assert_eq!(held.fields["org_id"].as_ref(), Some(&elm.remote_id));

    let missing = companies_of("pipedrive", config(false), token).map(drop).unwrap_err();
    assert_eq!((missing.kind(), missing.message()), (ErrorKind::Config, "missing field `company_id_field`"));
}
