//! People who must not be held or reached.

use headwater_runtime::privacy::{is_suppressed, suppress, unsuppress};
use headwater_runtime::sync::{StageName, SyncOptions};
use headwater_sdk::ErrorKind;

use crate::rig::Rig;

const PROJECT: &str = "\
sources: { list: { connector: script, basis: { lawful_basis: legitimate_interest } } }
sinks: { crm: { connector: remote, audience: 'true', map: { name: given_name } } }
";
const COLUMNS: &[&str] = &["email", "given_name", "phone", "full_name"];
const ANN: (&str, &[&str]) = ("1", &["ann@example.com", "Ann", "+49301234567", "Ann Alder"]);
const BOB: (&str, &[&str]) = ("2", &["bob@example.com", "Bob", "", ""]);

async fn object(rig: &Rig, value: &str) {
    suppress(&rig.engine, &[value.to_owned()], "objected", "test").await.unwrap();
}

fn names(rig: &Rig) -> Vec<String> {
    rig.remote.people().into_iter().map(|person| person["name"].clone()).collect()
}

#[tokio::test]
async fn a_value_is_suppressed_however_it_is_written_and_counted_once() {
    let rig = Rig::new(PROJECT).await;
    let values = ["Ann@Example.com ", "<ann@example.com>", "+49 30 1234567"].map(str::to_owned);
    let done = suppress(&rig.engine, &values, "objected", "test").await.unwrap();
    assert_eq!((done.given, done.changed), (3, 2));
    assert!(is_suppressed(&rig.engine, "ANN@example.com").await.unwrap());
    assert!(is_suppressed(&rig.engine, "0049301234567").await.unwrap());
    assert!(!is_suppressed(&rig.engine, "bob@example.com").await.unwrap());
    let taken_back = unsuppress(&rig.engine, &values).await.unwrap();
    assert_eq!((taken_back.given, taken_back.changed), (3, 2));
    assert!(!is_suppressed(&rig.engine, "ann@example.com").await.unwrap());
}

#[tokio::test]
async fn a_list_with_one_value_that_cannot_be_read_suppresses_nobody_and_names_no_value() {
    let rig = Rig::new(PROJECT).await;
    let values = ["ann@example.com".to_owned(), "030 1234567".to_owned()];
    let error = suppress(&rig.engine, &values, "objected", "test").await.unwrap_err().to_string();
    assert!(error.starts_with("value 2 is neither") && !error.contains("1234567"), "{error}");
    assert!(!is_suppressed(&rig.engine, "ann@example.com").await.unwrap());
}

#[tokio::test]
async fn who_objected_before_a_list_arrived_never_gets_in() {
    let rig = Rig::new(PROJECT).await;
    object(&rig, "ann@example.com").await;
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    let report = rig.sync().await;
    assert_eq!((report.sources["list"].suppressed, report.sources["list"].accepted), (1, 1));
    assert_eq!(names(&rig), ["Bob"]);
    for table in ["lead", "source_record", "touch", "prospect", "prospect_field", "quarantine"] {
        let rows = rig.table(&format!("SELECT * FROM {table}")).await.join("\n").to_lowercase();
        assert!(!rows.contains("ann"), "{table}: {rows}");
    }
}

#[tokio::test]
async fn who_objects_later_is_held_back() {
    let rig = Rig::new(PROJECT).await;
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    let ingest = SyncOptions { stages: vec![StageName::Ingest, StageName::Resolve], ..SyncOptions::default() };
    rig.try_sync(&ingest).await.unwrap();
    object(&rig, "ann@example.com").await;
    let report = rig.sync().await;
    assert!(report.resolve.worked);
    assert_eq!((report.sinks["crm"].created, report.sinks["crm"].held_back), (1, 1));
    assert_eq!(names(&rig), ["Bob"]);
    let held = rig.table("SELECT may_contact, hold_reason FROM prospect WHERE email = 'ann@example.com'").await;
    assert_eq!(held, ["false | suppressed"]);
}

#[tokio::test]
async fn one_suppression_in_the_place_of_another_is_something_to_do() {
    let rig = Rig::new(PROJECT).await;
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    object(&rig, "cat@example.com").await;
    rig.sync().await;
    unsuppress(&rig.engine, &["cat@example.com".to_owned()]).await.unwrap();
    object(&rig, "ann@example.com").await;
    assert!(rig.sync().await.resolve.worked);
    assert_eq!(rig.table("SELECT email FROM prospect WHERE hold_reason = 'suppressed'").await, ["ann@example.com"]);
}

#[tokio::test]
async fn an_objection_by_any_of_a_persons_addresses_holds_the_person_back() {
    let rig = Rig::new(PROJECT).await;
    rig.scripts.say("list", COLUMNS, &[ANN, ("3", &["ann@gmail.com", "Ann", "+49301234567", "Ann Alder"])]);
    let first = SyncOptions { stages: vec![StageName::Ingest, StageName::Resolve], ..SyncOptions::default() };
    rig.try_sync(&first).await.unwrap();
    assert_eq!(rig.table("SELECT email FROM prospect").await, ["ann@example.com"], "the work address is the one shown");
    object(&rig, "ann@gmail.com").await;
    // Also without resolving anew: a plan made after the objection must know of it.
    let deliver = SyncOptions { stages: vec![StageName::Deliver], ..SyncOptions::default() };
    let report = rig.try_sync(&deliver).await.unwrap();
    assert_eq!((report.sinks["crm"].created, report.sinks["crm"].held_back), (0, 1));
    let report = rig.sync().await;
    assert_eq!((report.sinks["crm"].created, report.sinks["crm"].held_back), (0, 1));
    assert_eq!(rig.table("SELECT hold_reason FROM prospect").await, ["suppressed"]);
    assert!(names(&rig).is_empty());
}

#[tokio::test]
async fn a_push_that_waits_is_stopped_by_an_objection_and_goes_on_when_it_is_taken_back() {
    let rig = Rig::new(PROJECT).await;
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    rig.remote.fail(Some(ErrorKind::Unavailable));
    assert_eq!(rig.sync_failing().await.sinks["crm"].pending, 2);
    object(&rig, "ann@example.com").await;
    rig.remote.fail(None);
    let report = rig.sync().await;
    let counts = report.sinks["crm"];
    assert_eq!((counts.created, counts.held_back, counts.pending), (1, 1, 0), "the payload holds no address, yet it is Ann's");
    assert_eq!(names(&rig), ["Bob"]);
    unsuppress(&rig.engine, &["ann@example.com".to_owned()]).await.unwrap();
    let counts = rig.sync().await.sinks["crm"];
    assert_eq!((counts.created, counts.held_back, counts.pending), (1, 0, 0));
    assert_eq!(names(&rig), ["Bob", "Ann"]);
}

#[tokio::test]
async fn a_push_that_waits_is_stopped_when_the_audience_no_longer_admits_the_person() {
    let rig = Rig::new(
        "sources: { list: { connector: script }, clicks: { connector: script, role: engagements } }\n\
         sinks: { crm: { connector: remote, audience: may_contact } }\n",
    )
    .await;
    let columns = ["email", "consent", "observed_at"];
    rig.scripts.say("list", &columns, &[("1", &["ann@example.com", "yes", "2025-01-01"])]);
    rig.remote.fail(Some(ErrorKind::Unavailable));
    assert_eq!(rig.sync_failing().await.sinks["crm"].pending, 1);
    rig.scripts.say("clicks", &["email", "kind", "occurred_at"], &[("1", &["ann@example.com", "unsubscribed", "2025-02-01"])]);
    rig.remote.fail(None);
    let counts = rig.sync().await.sinks["crm"];
    assert_eq!((counts.created, counts.pending), (0, 0));
    assert!(rig.remote.written().is_empty());
}

#[tokio::test]
async fn the_last_word_on_consent_holds_a_person_back_before_people_are_resolved_again() {
    let rig = Rig::new(
        "identity: { engine: exact }\n\
         sources: { list: { connector: script, basis: { lawful_basis: consent } }, clicks: { connector: script, role: engagements } }\n\
         sinks: { crm: { connector: remote, audience: may_contact, map: { email: email, name: given_name } } }\n",
    )
    .await;
    let (columns, clicks) = (["email", "given_name", "consent", "observed_at"], ["email", "kind", "occurred_at"]);
    let names = ["Ann", "Bob", "Cat", "Dan"];
    let emails = names.map(|name| format!("{}@example.com", name.to_lowercase()));
    let rows = |when: [&'static str; 4]| -> Vec<(String, [String; 4])> {
        let row = |n: usize| [emails[n].clone(), names[n].to_owned(), "yes".to_owned(), when[n].to_owned()];
        (0..4).map(|n| (n.to_string(), row(n))).collect()
    };
    let say = |rows: &[(String, [String; 4])]| {
        let cells: Vec<[&str; 4]> = rows.iter().map(|(_, row)| row.each_ref().map(String::as_str)).collect();
        let said: Vec<(&str, &[&str])> = rows.iter().zip(&cells).map(|((key, _), row)| (key.as_str(), &row[..])).collect();
        rig.scripts.say("list", &columns, &said);
    };
    say(&rows(["2025-01-01"; 4]));
    let only = |stage| SyncOptions { stages: vec![stage], ..SyncOptions::default() };
    for stage in [StageName::Ingest, StageName::Resolve] {
        rig.try_sync(&only(stage)).await.unwrap();
    }
    // Ann went; Bob went and came back by a form; Cat came back by a click and went again; Dan said nothing more.
    say(&rows(["2025-01-01", "2025-03-01", "2025-01-01", "2025-01-01"]));
    rig.scripts.say(
        "clicks",
        &clicks,
        &[
            ("1", &[&emails[0], "unsubscribed", "2025-02-01"]),
            ("2", &[&emails[1], "unsubscribed", "2025-02-01"]),
            ("3", &[&emails[2], "unsubscribed", "2025-02-03"]),
            ("4", &[&emails[2], "resubscribed", "2025-02-02"]),
        ],
    );
    rig.try_sync(&only(StageName::Ingest)).await.unwrap();
    let counts = rig.try_sync(&only(StageName::Deliver)).await.unwrap().sinks["crm"];
    let mut there: Vec<String> = rig.remote.people().iter().map(|person| person["name"].clone()).collect();
    there.sort();
    assert_eq!((counts.held_back, there), (2, vec!["Bob".to_owned(), "Dan".to_owned()]));
}
