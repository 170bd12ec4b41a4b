//! Against a fake HubSpot: the contract, and what the vendor is known to do to a batch.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use headwater_fakes::hubspot::{HubSpot, TOKEN};
use headwater_fakes::{Conditions, Counts, Rate, RetryAfter, Running, serve};
use headwater_sdk::testkit_sink::{
    AWKWARD_ADDRESSES, AWKWARD_TEXTS, Awkward, Poison, check_awkward_values, check_moved, check_poison, check_removal_contract,
    check_sink_contract,
};
use headwater_sdk::{
    BuildContext, Clock, Companion, ConfigDoc, Connector as _, DeliveryRow, ErrorKind, Lookup, MatchKey, Operation, Result,
    RowOutcome, Sink,
};
use serde_json::{Value, json};

async fn account(conditions: Conditions) -> Running<HubSpot> {
    let mut hubspot = HubSpot::default();
    hubspot.add_property("contacts", "headwater_id", true);
    serve(hubspot, conditions, 0, || Clock::system().now_us()).await.unwrap()
}

fn sink_with(fake: &Running<HubSpot>, token: &str, mut config: Value) -> Result<Box<dyn Sink>> {
    config["url"] = json!(fake.url());
    config["token"] = json!({ "env": "HUBSPOT_TOKEN" });
    let Value::Object(values) = config else { unreachable!() };
    let token = token.to_owned();
    let cx = BuildContext {
        clock: Clock::system(),
        base_dir: Path::new("/").to_owned(),
        env: Arc::new(move |_| Some(token.clone())),
        allow_private_hosts: true,
    };
    super::HubSpot.sink(&ConfigDoc { connection: "crm".to_owned(), values }, &cx)
}

fn companion(fake: &Running<HubSpot>, of: &Companion) -> Box<dyn Sink> {
    let config =
        json!({ "url": fake.url(), "token": { "env": "HUBSPOT_TOKEN" }, "requests_per_10s": 10_000, "create_id_property": true });
    let Value::Object(values) = config else { unreachable!() };
    let cx = BuildContext {
        clock: Clock::system(),
        base_dir: Path::new("/").to_owned(),
        env: Arc::new(|_| Some(TOKEN.to_owned())),
        allow_private_hosts: true,
    };
    super::HubSpot.companion(of, &ConfigDoc { connection: "crm".to_owned(), values }, &cx).unwrap()
}

fn sink(fake: &Running<HubSpot>) -> Box<dyn Sink> {
    sink_with(fake, TOKEN, json!({ "requests_per_10s": 10_000 })).unwrap()
}

/// The answer to the next call that writes gets lost, or none does any more.
fn losing(lose: bool, so_far: Counts) -> Conditions {
    let next = NonZeroU64::new(so_far.writes + 1).filter(|_| lose);
    Conditions { lose_answer_every: next, ..Conditions::default() }
}

fn person(number: usize, surname: &str) -> DeliveryRow {
    let fields =
        [("email", format!("ada{number}@example.com")), ("firstname", "Ada".to_owned()), ("lastname", surname.to_owned())];
    DeliveryRow {
        key: format!("p{number}:1"),
        prospect_id: format!("p{number}"),
        operation: Operation::Create,
        fields: fields.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect(),
        match_keys: Vec::new(),
        doubtful: false,
        seen: headwater_sdk::sink::Fields::new(),
    }
}

fn people(count: usize) -> Vec<DeliveryRow> {
    (0..count).map(|number| person(number, "Example")).collect()
}

async fn write(sink: &dyn Sink, rows: &[DeliveryRow]) -> Vec<RowOutcome> {
    sink.write(rows).await.unwrap().into_outcomes()
}

fn contacts(fake: &Running<HubSpot>) -> Vec<BTreeMap<String, String>> {
    fake.with(|hubspot| hubspot.records("contacts").unwrap().iter().map(|record| record.fields.clone()).collect())
}

fn add(fake: &Running<HubSpot>, fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    fake.with(|hubspot| hubspot.records("contacts").unwrap().insert(fields, 0))
}

fn key(field: &str, value: &str) -> Vec<MatchKey> {
    vec![MatchKey { field: field.to_owned(), value: value.to_owned() }]
}

#[tokio::test]
async fn the_contract_of_sinks_is_kept() {
    let fake = account(Conditions::default()).await;
    check_sink_contract(|| sink_with(&fake, TOKEN, json!({ "requests_per_10s": 10_000 })), &people(4)).await;
    assert_eq!(contacts(&fake).len(), 4);
}

#[tokio::test]
async fn the_contract_of_removals_is_kept() {
    let fake = account(Conditions::default()).await;
    let sink = || sink_with(&fake, TOKEN, json!({ "requests_per_10s": 10_000 }));
    check_removal_contract(sink, &people(4), |lose| fake.set(losing(lose, fake.counts()))).await;
    assert_eq!(contacts(&fake).len(), 0);
}

#[tokio::test]
async fn our_id_is_taken_out_of_the_record_that_holds_it_and_of_no_other() {
    let fake = account(Conditions::default()).await;
    let id = add(&fake, &[("email", "ada@example.com"), ("headwater_id", "p1")]);
    let sink = sink(&fake);
    sink.release(&id, "p2").await.unwrap();
    assert_eq!(contacts(&fake).pop().unwrap()["headwater_id"], "p1");
    sink.release(&id, "p1").await.unwrap();
    assert_eq!(contacts(&fake).pop().unwrap().get("headwater_id"), None);
}

#[tokio::test]
async fn what_somebody_changed_since_the_plan_stays() {
    let fake = account(Conditions::default()).await;
    let make = || sink_with(&fake, TOKEN, json!({ "requests_per_10s": 10_000 }));
    check_moved(make, &person(1, "Example"), ("lastname", ["Example", "O'Brien", "Lovelace"])).await;
}

#[tokio::test]
async fn a_record_says_when_it_was_changed_last() {
    let fake = account(Conditions::default()).await;
    let id = made(&write(&*sink(&fake), &people(1)).await).remove(0);
    let at = |fields: &headwater_sdk::sink::Fields| {
        let told = fields[sink(&fake).changed_at_field().unwrap()].clone().unwrap();
        told.parse::<jiff::Timestamp>().unwrap()
    };
    let found = sink(&fake).lookup(&[key("email", "ada0@example.com")]).await.unwrap();
    let Lookup::Found(record) = &found[0] else { panic!("{found:?}") };
    let before = at(&record.fields);
    let moved = DeliveryRow { operation: Operation::Update { remote_id: id.clone() }, ..person(0, "Lovelace") };
    write(&*sink(&fake), &[moved]).await;
    assert!(at(&sink(&fake).fetch(&id).await.unwrap().unwrap().fields) > before);
}

async fn only_poison_stays_out(whole_batch_fails: bool) {
    let refuse = Some("Poison".to_owned());
    let fake = account(Conditions { refuse, whole_batch_fails, ..Conditions::default() }).await;
    let poison = Poison { places: &[0, 57, 58, 229], field: "lastname", named: Some("lastname"), value: "Poison" };
    check_poison(|| sink_with(&fake, TOKEN, json!({ "requests_per_10s": 10_000 })), &people(230), poison).await;
    assert_eq!(contacts(&fake).len(), 226);
}

#[tokio::test]
async fn names_and_addresses_are_data() {
    let fake = account(Conditions::default()).await;
    // Addresses that HubSpot takes for such.
    let addresses: Vec<&str> = AWKWARD_ADDRESSES.into_iter().filter(|address| !address.contains(' ')).collect();
    let awkward = Awkward { text: "lastname", email: Some("email"), addresses: &addresses };
    let count = addresses.len().max(AWKWARD_TEXTS.len());
    check_awkward_values(|| sink_with(&fake, TOKEN, json!({ "requests_per_10s": 10_000 })), &people(count), awkward).await;
}

#[tokio::test]
async fn of_a_partly_refused_batch_only_the_refused_rows_stay_out() {
    only_poison_stays_out(false).await;
}

#[tokio::test]
async fn of_a_batch_refused_as_a_whole_only_the_rows_at_fault_stay_out() {
    only_poison_stays_out(true).await;
}

#[tokio::test]
async fn an_address_that_belongs_to_another_record_rejects_its_row_alone() {
    let fake = account(Conditions::default()).await;
    add(&fake, &[("email", "ada1@example.com"), ("lastname", "Other")]);
    let outcomes = write(&*sink(&fake), &people(3)).await;
    assert!(
        matches!(outcomes.as_slice(), [RowOutcome::Created { .. }, RowOutcome::Rejected { .. }, RowOutcome::Created { .. }]),
        "{outcomes:?}"
    );
    assert_eq!(contacts(&fake).len(), 3);
}

#[tokio::test]
async fn an_answer_that_gets_lost_doubles_nobody() {
    let lose_answer_every = NonZeroU64::new(2);
    let fake = account(Conditions { lose_answer_every, ..Conditions::default() }).await;
    let rows = people(350);
    let outcomes = write(&*sink(&fake), &rows).await;
    let told = |outcome: &RowOutcome| matches!(outcome, RowOutcome::Created { .. } | RowOutcome::Updated { .. });
    assert!(outcomes.iter().all(told), "{outcomes:?}");
    assert!(fake.counts().lost > 0, "the fake lost no answer");
    assert_eq!(contacts(&fake).len(), 350);
}

#[tokio::test]
async fn a_record_found_by_a_further_address_keeps_its_first() {
    let fake = account(Conditions::default()).await;
    fake.with(|hubspot| hubspot.add_property("contacts", "hs_additional_emails", false));
    let id = add(&fake, &[("email", "first@example.com"), ("hs_additional_emails", "ada0@example.com")]);
    let sink = sink(&fake);
    let found = sink.lookup(&[key("email", "Ada0@Example.com")]).await.unwrap();
    assert!(matches!(found.as_slice(), [Lookup::Found(record)] if record.remote_id == id), "{found:?}");
    let row = DeliveryRow { operation: Operation::Update { remote_id: id.clone() }, ..person(0, "Example") };
    assert_eq!(write(&*sink, &[row]).await, [RowOutcome::Updated { remote_id: id }]);
    let record = contacts(&fake).pop().unwrap();
    assert_eq!((record["email"].as_str(), record["lastname"].as_str()), ("first@example.com", "Example"));
}

#[tokio::test]
async fn a_key_without_unique_values_is_searched_and_may_be_ambiguous() {
    let fake = account(Conditions::default()).await;
    for number in ["1", "2"] {
        add(&fake, &[("email", &format!("a{number}@example.com")), ("phone", "+15550100")]);
    }
    add(&fake, &[("phone", "+15550199")]);
    let rows = [key("phone", "+15550100"), key("phone", "+15550199"), key("phone", "+15550111")];
    let found = sink(&fake).lookup(&rows).await.unwrap();
    assert!(matches!(found.as_slice(), [Lookup::Ambiguous(2), Lookup::Found(_), Lookup::Absent]), "{found:?}");
}

#[tokio::test]
async fn a_record_behind_the_first_page_of_a_search_is_found() {
    let fake = account(Conditions::default()).await;
    for _ in 0..250 {
        add(&fake, &[("phone", "+15550100")]);
    }
    add(&fake, &[("phone", "+15550199")]);
    let found = sink(&fake).lookup(&[key("phone", "+15550100"), key("phone", "+15550199")]).await.unwrap();
    assert!(matches!(found.as_slice(), [Lookup::Ambiguous(250), Lookup::Found(_)]), "{found:?}");
}

#[tokio::test]
async fn too_many_requests_are_waited_out() {
    let fake = account(Conditions { rate: Some(Rate { calls: 3, window_ms: 300 }), ..Conditions::default() }).await;
    let outcomes = write(&*sink(&fake), &people(450)).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, RowOutcome::Created { .. })), "{outcomes:?}");
    assert!(fake.counts().limited > 0, "nothing was limited");
}

#[tokio::test]
async fn both_forms_of_retry_after_are_obeyed() {
    for form in [RetryAfter::Seconds, RetryAfter::Date] {
        let rate = Some(Rate { calls: 2, window_ms: 300 });
        let fake = account(Conditions { rate, retry_after: Some(form), ..Conditions::default() }).await;
        let outcomes = write(&*sink(&fake), &people(150)).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, RowOutcome::Created { .. })), "{outcomes:?}");
        assert!((1..=8).contains(&fake.counts().limited), "{form:?}: {:?}", fake.counts());
    }
}

#[tokio::test]
async fn a_server_error_leaves_nobody_out_and_makes_nobody_twice() {
    let fake = account(Conditions { fail_every: NonZeroU64::new(3), ..Conditions::default() }).await;
    let mut left = people(150);
    for _ in 0..8 {
        let Ok(report) = sink(&fake).write(&left).await else { continue };
        let outcomes = report.into_outcomes();
        let retried = left.iter().zip(&outcomes).filter(|(_, outcome)| matches!(outcome, RowOutcome::Retry { .. }));
        left = retried.map(|(row, _)| DeliveryRow { doubtful: true, ..row.clone() }).collect();
        if left.is_empty() {
            break;
        }
    }
    assert_eq!((left.len(), contacts(&fake).len()), (0, 150));
}

/// What stands in an address is data: it finds its record and no other, and breaks no query.
#[tokio::test]
async fn an_address_cannot_break_a_search() {
    let fake = account(Conditions::default()).await;
    let nasty = [r#"o'brien"@example.com"#, r"back\slash'@example.com", "(a),b)@example.com", "%27+or+1=1&a=b#c@example.com"];
    for address in nasty {
        add(&fake, &[("email", address), ("lastname", "O'Brien")]);
    }
    let found = sink(&fake).lookup(&nasty.map(|address| key("email", address))).await.unwrap();
    for (found, address) in found.iter().zip(nasty) {
        let right = matches!(found, Lookup::Found(record) if record.fields["email"].as_deref() == Some(address));
        assert!(right, "{address} finds {found:?}");
    }
}

#[tokio::test]
async fn the_property_for_our_id_is_made_only_on_request() {
    let fake = serve(HubSpot::default(), Conditions::default(), 0, || 0).await.unwrap();
    let refused = sink(&fake).check().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    let sink = sink_with(&fake, TOKEN, json!({ "create_id_property": true, "requests_per_10s": 10_000 })).unwrap();
    sink.check().await.unwrap();
    assert!(matches!(write(&*sink, &people(1)).await.as_slice(), [RowOutcome::Created { .. }]));
}

#[tokio::test]
async fn a_wrong_token_and_an_unknown_property_are_told_before_anything_is_written() {
    let fake = account(Conditions::default()).await;
    let stranger = sink_with(&fake, "pat-wrong", json!({})).unwrap();
    assert_eq!(stranger.check().await.unwrap_err().kind(), ErrorKind::Auth);
    let mut row = person(0, "Example");
    row.fields.insert("no_such_property".to_owned(), Some("x".to_owned()));
    let refused = sink(&fake).write(&[row]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert!(refused.to_string().contains("no_such_property"));
    assert_eq!(fake.counts().writes, 0);
}

#[tokio::test]
async fn a_cleared_value_clears_and_an_absent_one_stays() {
    let fake = account(Conditions::default()).await;
    let sink = sink(&fake);
    let created = write(&*sink, &people(1)).await;
    let [RowOutcome::Created { remote_id }] = created.as_slice() else { panic!("{created:?}") };
    let mut row = DeliveryRow { operation: Operation::Update { remote_id: remote_id.clone() }, ..person(0, "Example") };
    row.fields = BTreeMap::from([("firstname".to_owned(), None)]);
    write(&*sink, &[row]).await;
    let record = contacts(&fake).pop().unwrap();
    assert_eq!((record.get("firstname"), record.get("lastname").map(String::as_str)), (None, Some("Example")));
}

fn named(id: &str, fields: &[(&str, &str)]) -> DeliveryRow {
    DeliveryRow {
        key: format!("{id}:1"),
        prospect_id: id.to_owned(),
        operation: Operation::Create,
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect(),
        match_keys: Vec::new(),
        doubtful: false,
        seen: headwater_sdk::sink::Fields::new(),
    }
}

fn made(outcomes: &[RowOutcome]) -> Vec<String> {
    let id = |outcome: &RowOutcome| match outcome {
        RowOutcome::Created { remote_id } => remote_id.clone(),
        other => panic!("{other:?}"),
    };
    outcomes.iter().map(id).collect()
}

#[tokio::test]
async fn companies_keep_the_contract_and_contacts_are_tied_to_them_and_untied_again() {
    let fake = account(Conditions::default()).await;
    let companies = companion(&fake, &Companion::Companies);
    let rows =
        ["Alder", "Elm", "Oak"].into_iter().zip(["cmp_1", "cmp_2", "cmp_3"]).map(|(name, id)| named(id, &[("name", name)]));
    let rows: Vec<DeliveryRow> = rows.collect();
    check_sink_contract(|| Ok(companion(&fake, &Companion::Companies)), &rows).await;
    let found = companies.lookup(&[key("external_id", "cmp_1"), key("external_id", "cmp_2")]).await.unwrap();
    let [Lookup::Found(alder), Lookup::Found(elm)] = &found[..] else { panic!("{found:?}") };

    let contacts = sink(&fake);
    let field = contacts.company_field().unwrap();
    let mut ada = person(1, "Alder");
    ada.fields.insert(field.to_owned(), Some(alder.remote_id.clone()));
    let id = made(&write(&*contacts, std::slice::from_ref(&ada)).await).remove(0);
    let company = |sink: Box<dyn Sink>, id: String| async move {
        sink.fetch(&id).await.unwrap().unwrap().fields.get("associatedcompanyid").cloned().flatten()
    };
    assert_eq!(company(sink(&fake), id.clone()).await.as_ref(), Some(&alder.remote_id));
    let again = DeliveryRow { doubtful: true, ..ada.clone() };
    assert_eq!(write(&*contacts, &[again]).await, [RowOutcome::Unchanged { remote_id: id.clone() }]);

    for (after, left) in [(Some(elm.remote_id.clone()), Some(elm.remote_id.clone())), (None, None)] {
        let mut change = named("p1", &[]);
        change.operation = Operation::Update { remote_id: id.clone() };
        change.fields.insert(field.to_owned(), after);
        assert_eq!(write(&*contacts, &[change]).await, [RowOutcome::Updated { remote_id: id.clone() }]);
        assert_eq!(company(sink(&fake), id.clone()).await, left);
    }
    let mut lost = person(2, "Birch");
    lost.fields.insert(field.to_owned(), Some("999999".to_owned()));
    assert!(
        matches!(&write(&*contacts, &[lost]).await[..], [RowOutcome::Rejected { reason }] if reason.contains("does not exist"))
    );
}

#[tokio::test]
async fn a_company_that_does_not_exist_keeps_no_other_contact_from_its_own() {
    let fake = account(Conditions::default()).await;
    let company =
        made(&write(&*companion(&fake, &Companion::Companies), &[named("cmp_1", &[("name", "Alder")])]).await).remove(0);
    let contacts = sink(&fake);
    let mut rows = people(5);
    for (place, row) in rows.iter_mut().enumerate() {
        let of = if place == 3 { "999999".to_owned() } else { company.clone() };
        row.fields.insert("associatedcompanyid".to_owned(), Some(of));
    }
    let outcomes = write(&*contacts, &rows).await;
    let refused: Vec<usize> = outcomes
        .iter()
        .enumerate()
        .filter(|(_, outcome)| !matches!(outcome, RowOutcome::Created { .. }))
        .map(|(place, _)| place)
        .collect();
    assert_eq!(refused, [3], "{outcomes:?}");
    assert_eq!(fake.with(|hubspot| hubspot.associated("companies", &company, "contacts").len()), 4);
}

#[tokio::test]
async fn properties_that_the_account_lacks_are_made_on_request_and_once() {
    let fake = serve(HubSpot::default(), Conditions::default(), 0, || Clock::system().now_us()).await.unwrap();
    let config = json!({ "requests_per_10s": 10_000, "create_id_property": true, "create_properties": ["first_touch", "city"] });
    let sink = || sink_with(&fake, TOKEN, config.clone()).unwrap();
    let looked = sink();
    looked.check().await.unwrap();
    assert_eq!(looked.fields_to_make().await.unwrap(), ["headwater_id", "first_touch"], "the account has a city");
    let keys = [("external_id", "p1"), ("email", "ada@example.com")];
    let keys = keys.map(|(field, value)| MatchKey { field: field.to_owned(), value: value.to_owned() });
    assert_eq!(looked.lookup(&[keys.to_vec()]).await.unwrap(), [Lookup::Absent]);
    assert_eq!(fake.counts().writes, 0, "who checks and plans makes nothing");
    for _ in 0..2 {
        sink().prepare().await.unwrap();
    }
    assert!(sink().fields_to_make().await.unwrap().is_empty());
    let names: Vec<String> = sink().fields().await.unwrap().into_iter().map(|(name, _)| name).collect();
    assert!(["headwater_id", "first_touch", "city"].iter().all(|name| names.iter().filter(|known| known == name).count() == 1));
    let row = named("p1", &[("email", "ada@example.com"), ("first_touch", "page")]);
    assert!(matches!(&write(&*sink(), &[row]).await[..], [RowOutcome::Created { .. }]));
    let written =
        fake.with(|hubspot| hubspot.records("contacts").unwrap().holder("email", "ada@example.com").unwrap().fields.clone());
    assert_eq!((written["first_touch"].as_str(), written["headwater_id"].as_str()), ("page", "p1"));
}

#[tokio::test]
async fn a_list_that_leaves_nobody_says_so_and_an_active_one_is_refused() {
    let fake = account(Conditions::default()).await;
    fake.with(|hubspot| hubspot.add_list("7"));
    fake.with(|hubspot| hubspot.add_active_list("8"));
    let list = |id: &str| companion(&fake, &Companion::List { id: id.to_owned() });
    let outcomes = write(&*sink(&fake), &[person(1, "Lovelace")]).await;
    let [RowOutcome::Created { remote_id }] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(list("7").remove(std::slice::from_ref(remote_id)).await.unwrap(), [headwater_sdk::Removal::Gone]);
    for (id, said) in [("8", "HubSpot alone decides"), ("9", "the account has no list `9`")] {
        let told = list(id).check().await.unwrap_err();
        assert_eq!((told.kind(), told.config_path()), (ErrorKind::Config, Some("list")), "{told}");
        let place = [named("p1", &[("contact", remote_id)])];
        let gone = list(id).write(&place).await.unwrap_err();
        assert!(told.to_string().contains(said) && gone.to_string().contains(said), "{told} {gone}");
    }
}

#[tokio::test]
async fn poison_keeps_no_other_task_out() {
    let fake = account(Conditions { refuse: Some("Poison".to_owned()), ..Conditions::default() }).await;
    let contact = made(&write(&*sink(&fake), &people(1)).await).remove(0);
    let task = |number: usize| named(&format!("welcome-p{number}"), &[("hs_task_subject", "Call Ada"), ("contact", &contact)]);
    let rows: Vec<DeliveryRow> = (0..120).map(task).collect();
    let poison = Poison { places: &[0, 7, 8, 119], field: "hs_task_subject", named: Some("hs_task_subject"), value: "Poison" };
    check_poison(|| Ok(companion(&fake, &Companion::Tasks)), &rows, poison).await;
}

#[tokio::test]
async fn a_task_is_made_once_about_its_contact_and_a_list_is_entered_and_left() {
    let fake = account(Conditions::default()).await;
    fake.with(|hubspot| hubspot.add_list("7"));
    let contact = made(&write(&*sink(&fake), &people(1)).await).remove(0);
    let tasks = companion(&fake, &Companion::Tasks);
    let task = named("p0", &[("hs_task_subject", "Call Ada"), (tasks.person_field().unwrap(), &contact)]);
    let id = made(&write(&*tasks, std::slice::from_ref(&task)).await).remove(0);
    assert_eq!(fake.with(|hubspot| hubspot.associated("tasks", &id, "contacts")), std::slice::from_ref(&contact));
    let again = DeliveryRow { doubtful: true, ..task };
    assert_eq!(write(&*tasks, &[again]).await, [RowOutcome::Unchanged { remote_id: id.clone() }]);
    assert_eq!(tasks.fetch(&id).await.unwrap().unwrap().fields["contact"].as_ref(), Some(&contact));

    let list = companion(&fake, &Companion::List { id: "7".to_owned() });
    list.check().await.unwrap();
    assert_eq!(list.lookup(&[key("contact", &contact)]).await.unwrap(), [Lookup::Absent]);
    let place = named("p0", &[("contact", &contact)]);
    for _ in 0..2 {
        assert_eq!(write(&*list, std::slice::from_ref(&place)).await, [RowOutcome::Created { remote_id: contact.clone() }]);
    }
    assert_eq!(fake.with(|hubspot| hubspot.members("7")), std::slice::from_ref(&contact));
    assert!(list.fetch(&contact).await.unwrap().is_some());
    assert!(matches!(&write(&*list, &[named("p9", &[("contact", "999")])]).await[..], [RowOutcome::Rejected { .. }]));
    list.remove(std::slice::from_ref(&contact)).await.unwrap();
    assert!(fake.with(|hubspot| hubspot.members("7")).is_empty() && list.fetch(&contact).await.unwrap().is_none());
    let missing = companion(&fake, &Companion::List { id: "8".to_owned() }).check().await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Config);
}
