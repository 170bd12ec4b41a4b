//! From leads to people with a history.

use std::io::Read as _;

use headwater_runtime::review;
use headwater_runtime::sync::SyncOptions;

use crate::rig::Rig;

const PROJECT: &str = "\
sources:
  list: { connector: script, origin: list, basis: { lawful_basis: legitimate_interest } }
  forms: { connector: script, origin: form }
  clicks: { connector: script, role: engagements }
  orders: { connector: script, role: conversions, currency: EUR }
";
/// Joins by equal keys, so that the test says when.
const EXACT: &str = "identity: { engine: exact }\n";
const COLUMNS: &[&str] = &["email", "full_name", "phone", "created_at", "consent"];
const ORDER: &[&str] = &["email", "value", "kind", "occurred_at"];
const CLICK: &[&str] = &["email", "kind", "occurred_at"];

#[tokio::test]
async fn people_keep_their_ids() {
    let rig = Rig::new(PROJECT).await;
    rig.scripts.say(
        "list",
        COLUMNS,
        &[("1", &["ann@example.com", "Ann Alder", "", "", ""]), ("2", &["bob@example.com", "Bob Alder", "", "", ""])],
    );
    rig.sync().await;
    let before = rig.table("SELECT email, prospect_id FROM prospect ORDER BY email").await;
    rig.scripts.say(
        "forms",
        COLUMNS,
        &[("1", &["ANN@example.com", "Anna Alder", "", "", ""]), ("2", &["cat@example.com", "Cat Alder", "", "", ""])],
    );
    rig.sync().await;
    let after = rig.table("SELECT email, prospect_id FROM prospect ORDER BY email").await;
    assert_eq!(after[..2], before);
    assert_eq!(after.len(), 3);
    let minted = rig.table("SELECT kind, count(*) FROM identity_event GROUP BY kind").await;
    assert_eq!(minted, ["mint | 3"]);
}

#[tokio::test]
async fn of_two_people_who_are_one_the_older_id_stays() {
    let rig = Rig::new(&format!("{PROJECT}{EXACT}")).await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann Alder", "", "2025-01-01", ""])]);
    rig.sync().await;
    let older = rig.cell("SELECT prospect_id FROM prospect").await;
    rig.scripts.say("forms", COLUMNS, &[("1", &["ann.alder@example.com", "Ann Alder", "+49301234567", "2025-02-01", ""])]);
    rig.sync().await;
    let younger = rig.cell(&format!("SELECT prospect_id FROM prospect WHERE prospect_id <> '{older}'")).await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann Alder", "+49 30 1234567", "2025-01-01", ""])]);
    let report = rig.sync().await;
    assert_eq!((report.resolve.prospects, report.resolve.merged), (1, 1));
    let rows = rig.table("SELECT prospect_id, merged_into, may_contact FROM prospect ORDER BY merged_into NULLS FIRST").await;
    assert_eq!(rows, [format!("{older} | - | true"), format!("{younger} | {older} | false")]);
}

#[tokio::test]
async fn a_person_goes_from_suspect_to_customer_and_a_refund_leads_back() {
    let rig = Rig::new(PROJECT).await;
    let stage = "SELECT lifecycle, conversion_count, revenue, currency FROM prospect";
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann Alder", "", "2025-01-01", ""])]);
    rig.sync().await;
    assert_eq!(rig.table(stage).await, ["suspect | 0 | - | -"]);
    rig.scripts.say("forms", COLUMNS, &[("1", &["ann@example.com", "Ann Alder", "", "2025-02-01", ""])]);
    rig.sync().await;
    assert_eq!(rig.table(stage).await, ["prospect | 0 | - | -"]);
    rig.scripts.say("orders", ORDER, &[("1", &["Ann@example.com", "120.50", "order", "2025-03-01"])]);
    rig.sync().await;
    assert_eq!(rig.table(stage).await, ["customer | 1 | 120.500000 | EUR"]);
    rig.scripts.say("orders", ORDER, &[("2", &["ann@example.com", "120.50", "refund", "2025-03-05"])]);
    rig.sync().await;
    assert_eq!(rig.table(stage).await, ["prospect | 2 | 0.000000 | EUR"]);
    let steps = "SELECT from_stage, to_stage, CAST(CAST(at AS DATE) AS VARCHAR) AS day FROM lifecycle_transition \
                 WHERE to_stage IN ('suspect', 'prospect', 'customer') ORDER BY at";
    assert_eq!(
        rig.table(steps).await,
        [
            "- | suspect | 2025-01-01",
            "suspect | prospect | 2025-02-01",
            "prospect | customer | 2025-03-01",
            "customer | prospect | 2025-03-05"
        ]
    );
}

#[tokio::test]
async fn what_a_person_said_of_a_field_wins_over_every_later_record_until_it_is_taken_back() {
    let rig = Rig::new(PROJECT).await;
    let name = "SELECT full_name, email, email_kind FROM prospect WHERE merged_into IS NULL";
    let says = |source: &str, rows: &[(&str, &[&str])]| rig.scripts.say(source, COLUMNS, rows);
    says("list", &[("1", &["ann@alder.example.com", "Ann Alder", "", "", ""])]);
    rig.sync().await;
    let said = ["full_name=Anna Alder-Smith".to_owned(), "email= INFO@alder.example.com".to_owned()];
    review::edit(&rig.engine, "ann@alder.example.com", &said, &[]).await.unwrap();
    rig.sync().await;
    assert_eq!(rig.table(name).await, ["Anna Alder-Smith | info@alder.example.com | generic_pro"]);
    // A record that comes later says otherwise, and loses; so it does when the person is resolved with a second record.
    says("forms", &[("1", &["ann@alder.example.com", "Ann B. Alder", "", "", ""])]);
    rig.sync().await;
    assert_eq!(rig.table(name).await, ["Anna Alder-Smith | info@alder.example.com | generic_pro"]);
    let told =
        "SELECT value, is_winner, rule, source FROM prospect_field WHERE field = 'full_name' ORDER BY is_winner DESC, value";
    assert_eq!(
        rig.table(told).await,
        [
            "Anna Alder-Smith | true | edited | review",
            "Ann Alder | false | edited | list",
            "Ann B. Alder | false | edited | forms"
        ]
    );
    // Nothing said anew is nothing to do.
    assert!(!rig.sync().await.resolve.worked);
    review::edit(&rig.engine, "ann@alder.example.com", &["email=".to_owned()], &["full_name".to_owned()]).await.unwrap();
    rig.sync().await;
    let after = rig.table(name).await;
    assert!(after.len() == 1 && after[0].ends_with("Alder | - | -") && !after[0].contains("Smith"), "{after:?}");
    for wrong in ["shoe_size=43", "email=not one", "phone=12", "country=Nowhere", "full_name"] {
        let error = review::edit(&rig.engine, "ann@alder.example.com", &[wrong.to_owned()], &[]).await.unwrap_err();
        assert!(matches!(error, headwater_runtime::Error::Usage(_)), "{wrong}: {error}");
    }
}

#[tokio::test]
async fn the_first_channel_is_that_of_the_first_touch_whenever_it_arrived() {
    let rig = Rig::new(PROJECT).await;
    rig.scripts.say("forms", COLUMNS, &[("1", &["ann@example.com", "Ann Alder", "", "2025-02-01", ""])]);
    rig.sync().await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann Alder", "", "2025-01-01", ""])]);
    rig.sync().await;
    let channels = rig.table("SELECT channel FROM touch ORDER BY occurred_at").await;
    assert_ne!(channels[0], channels[1]);
    let row = rig.cell("SELECT first_channel || ' ' || last_channel || ' ' || first_source FROM prospect").await;
    assert_eq!(row, format!("{} {} list", channels[0], channels[1]));
}

#[tokio::test]
async fn who_withdrew_may_not_be_contacted_until_they_come_back() {
    let rig = Rig::new(PROJECT).await;
    let may = "SELECT may_contact, consent, lawful_basis, hold_reason FROM prospect";
    rig.scripts.say("forms", COLUMNS, &[("1", &["ann@example.com", "Ann Alder", "", "2025-02-01", "yes"])]);
    rig.sync().await;
    assert_eq!(rig.table(may).await, ["true | granted | consent | -"]);
    let later = |hours: i64| jiff::Timestamp::from_microsecond(rig.now() + hours * crate::rig::DAY / 24).unwrap().to_string();
    rig.scripts.say("clicks", CLICK, &[("1", &["ann@example.com", "unsubscribed", &later(1)])]);
    rig.sync().await;
    assert_eq!(rig.table(may).await, ["false | withdrawn | - | consent withdrawn"]);
    rig.scripts.say("clicks", CLICK, &[("2", &["ann@example.com", "subscribed", &later(2)])]);
    rig.sync().await;
    assert_eq!(rig.table(may).await, ["true | granted | consent | -"]);
    rig.scripts.say("clicks", CLICK, &[("3", &["ann@example.com", "complained", &later(3)])]);
    rig.sync().await;
    assert_eq!(rig.table(may).await, ["false | withdrawn | - | consent withdrawn"]);
}

#[tokio::test]
async fn an_order_says_nothing_about_consent() {
    let rig = Rig::new(PROJECT).await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann Alder", "", "2025-02-01", ""])]);
    rig.scripts.say("orders", ORDER, &[("1", &["ann@example.com", "1", "subscribed", "2025-03-01"])]);
    rig.sync().await;
    assert_eq!(rig.table("SELECT consent FROM prospect").await, ["-"]);
}

#[tokio::test]
async fn who_was_never_asked_may_not_be_contacted() {
    let rig = Rig::new("sources: { list: { connector: script, origin: list } }\n").await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann Alder", "", "", ""])]);
    rig.sync().await;
    assert_eq!(rig.table("SELECT may_contact, hold_reason FROM prospect").await, ["false | no lawful basis recorded"]);
}

#[tokio::test]
async fn an_address_that_complained_gives_way_to_one_that_works() {
    let rig = Rig::new(PROJECT).await;
    let columns = ["email", "email_status", "phone", "full_name"];
    for bad in ["complained", "hard_bounced", "Undeliverable", "Hard bounce", "cleaned"] {
        rig.scripts.say("list", &columns, &[("1", &["ann@alder.example.com", bad, "+49301234567", "Ann Alder"])]);
        rig.scripts.say("forms", &columns, &[("1", &["ann@gmail.com", "", "+49301234567", "Ann Alder"])]);
        rig.sync().await;
        assert_eq!(rig.table("SELECT email FROM prospect").await, ["ann@gmail.com"], "{bad}");
    }
}

#[tokio::test]
async fn a_change_of_trust_is_something_to_do() {
    let trust = |list: i32, forms: i32| {
        format!("sources: {{ list: {{ connector: script, trust: {list} }}, forms: {{ connector: script, trust: {forms} }} }}\n")
    };
    let mut rig = Rig::new(&trust(1, 0)).await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann Alder", "", "", ""])]);
    rig.scripts.say("forms", COLUMNS, &[("1", &["ann@example.com", "Anna Alder", "", "", ""])]);
    rig.sync().await;
    assert_eq!(rig.table("SELECT full_name FROM prospect").await, ["Ann Alder"]);
    rig.change(&trust(0, 1)).await;
    assert!(rig.sync().await.resolve.worked);
    assert_eq!(rig.table("SELECT full_name FROM prospect").await, ["Anna Alder"]);
}

#[tokio::test]
async fn ids_of_one_vendor_join_and_a_change_of_the_vendor_is_something_to_do() {
    let vendors = |vendor: &str| {
        let channel = format!("channel: {{ group: list{vendor} }}");
        format!("sources: {{ a: {{ connector: script, {channel} }}, b: {{ connector: script, {channel} }} }}\n")
    };
    let mut rig = Rig::new(&vendors("")).await;
    let columns = ["external_id", "email"];
    rig.scripts.say("a", &columns, &[("1", &["77", "ann@example.com"])]);
    rig.scripts.say("b", &columns, &[("1", &["77", "cat@kestrel.example"])]);
    assert_eq!(rig.sync().await.resolve.prospects, 2);
    rig.change(&vendors(", vendor: acme")).await;
    assert_eq!(rig.sync().await.resolve.prospects, 1);
}

#[tokio::test]
async fn records_marked_as_tests_are_nobody() {
    let rig = Rig::new(PROJECT).await;
    rig.scripts.say("forms", &["email", "is_test"], &[("1", &["ann@example.com", "true"]), ("2", &["bob@example.com", ""])]);
    rig.sync().await;
    assert_eq!(rig.table("SELECT email FROM prospect").await, ["bob@example.com"]);
}

const PERSON: &[&str] = &["email", "given_name", "family_name", "phone", "company_name", "city"];

/// A number of people, some of whom say the same as others or nearly so; `later` changes what a few of them say.
fn crowd(numbers: std::ops::Range<usize>, later: usize) -> Vec<(String, [String; 6])> {
    const GIVEN: [&str; 7] = ["Ada", "Bruno", "Mira", "Tariq", "Greta", "Robert", "Bob"];
    const FAMILY: [&str; 9] = ["Lovett", "Ferrand", "Ferand", "Osei", "Lindqvist", "Quillon", "Oster", "Aldous", "Brandt"];
    const FIRMS: [&str; 5] = ["Northmill", "Kestrel Foods", "Harbour Optics", "Alder Freight", "Vetch Paper"];
    let one = |n: usize| {
        let who = (n * 7 + later) % 23;
        let (given, family) = (GIVEN[who % 7], FAMILY[who % 9]);
        let firm = FIRMS[who % 5];
        let domain = firm.to_lowercase().replace(' ', "-");
        let email = format!("{given}.{family}@{domain}.example").to_lowercase();
        let phone = if n.is_multiple_of(3) { format!("+4930123{who:04}") } else { String::new() };
        let cells =
            [if n % 4 == 1 { String::new() } else { email }, given.into(), family.into(), phone, firm.into(), "Leeds".into()];
        (n.to_string(), cells)
    };
    numbers.map(one).collect()
}

fn say(rig: &Rig, people: &[(String, [String; 6])]) {
    let cells: Vec<Vec<&str>> = people.iter().map(|(_, cells)| cells.iter().map(String::as_str).collect()).collect();
    let rows: Vec<(&str, &[&str])> = people.iter().zip(&cells).map(|((key, _), cells)| (key.as_str(), &cells[..])).collect();
    rig.scripts.say("list", PERSON, &rows);
}

/// How many leads the last run compared with others.
async fn matched(rig: &Rig) -> u64 {
    let cursor = rig.engine.store.cursor("resolve").await.unwrap().unwrap();
    cursor.value["identity"]["matched"].as_u64().unwrap()
}

/// New, changed and gone leads, and an answer of the review: whoever looks only at them ends where one run over all of them does.
#[tokio::test]
async fn a_run_that_looks_at_new_leads_alone_ends_where_one_over_all_does() {
    let project = "sources: { list: { connector: script } }\nidentity: { engine: probabilistic, review_above: 0.05 }\n";
    let (steps, whole) = (Rig::new(project).await, Rig::new(project).await);
    let people = "SELECT l.lead_id, l.prospect_id, l.method, l.evidence, l.score FROM identity_link l ORDER BY l.lead_id";
    let mut looked = Vec::new();
    for step in 0..5 {
        for rig in [&steps, &whole] {
            match step {
                0 => say(rig, &crowd(0..60, 0)),
                1 => say(rig, &crowd(60..70, 0)),
                2 => say(rig, &crowd(8..12, 1)),
                3 => rig.scripts.say_gone("list", PERSON, &[("4", &["", "", "", "", "", ""]), ("9", &["", "", "", "", "", ""])]),
                _ => {
                    let twice =
                        "SELECT prospect_id, min(lead_id) FROM identity_link GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT 1";
                    let [prospect, lead] = &rig.rows(twice).await[0][..] else { panic!("two columns") };
                    review::split(&rig.engine, prospect, std::slice::from_ref(lead)).await.unwrap();
                }
            }
        }
        whole.engine.store.drop_identity_index().unwrap();
        let (one, two) = (steps.sync().await.resolve, whole.sync().await.resolve);
        assert_eq!(one, two, "step {step}");
        assert_eq!(steps.table(people).await, whole.table(people).await, "step {step}");
        looked.push((matched(&steps).await, matched(&whole).await));
    }
    assert_eq!(looked, [(60, 60), (10, 70), (4, 70), (2, 68), (0, 68)]);
}

#[tokio::test]
async fn an_index_that_is_damaged_costs_time_and_nothing_else() {
    let project = "sources: { list: { connector: script } }\nidentity: { engine: probabilistic }\n";
    let rig = Rig::new(project).await;
    say(&rig, &crowd(0..60, 0));
    rig.sync().await;
    let mut bytes = Vec::new();
    let (mut file, length) = rig.engine.store.identity_index().unwrap().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, length);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    rig.engine.store.keep_identity_index(|to| to.write_all(&bytes)).unwrap();
    say(&rig, &crowd(60..61, 0));
    rig.sync().await;
    assert_eq!(matched(&rig).await, 61);
    say(&rig, &crowd(61..62, 0));
    rig.sync().await;
    assert_eq!(matched(&rig).await, 1);
    let refreshed = rig.try_sync(&SyncOptions { full_refresh: true, ..SyncOptions::default() }).await.unwrap();
    assert!(refreshed.resolve.worked);
    assert_eq!(matched(&rig).await, 62);
}

#[tokio::test]
async fn checked_joins_say_how_many_are_right_and_stop_a_run_that_joins_wildly() {
    let gate = "identity: { engine: probabilistic, gates: { sampled_precision: 0.5 } }\n";
    let rig = Rig::new(&format!("sources: {{ list: {{ connector: script }} }}\n{gate}")).await;
    say(&rig, &crowd(0..60, 0));
    rig.sync().await;
    assert!(review::sample(&rig.engine, 1).await.is_err(), "none was drawn");
    review::draw(&rig.engine, 12, 1).await.unwrap();
    let drawn = review::sample(&rig.engine, 100).await.unwrap();
    assert_eq!((drawn.drawn, drawn.waiting, drawn.pairs.len(), drawn.estimate.is_some()), (12, 12, 12, false));
    assert!(drawn.joined > 12 && drawn.pairs.iter().all(|pair| pair.one.prospect_id == pair.two.prospect_id));
    let ids: Vec<String> = drawn.pairs.iter().map(|pair| pair.review_id.clone()).collect();

    // Some are answered: too few to stop anything.
    review::decide(&rig.engine, &ids[..2], review::Verdict::Different).await.unwrap();
    say(&rig, &crowd(60..61, 0));
    rig.sync().await;
    let before = rig.table("SELECT lead_id, prospect_id FROM identity_link ORDER BY lead_id").await;

    review::decide(&rig.engine, &ids[2..], review::Verdict::Different).await.unwrap();
    let checked = review::sample(&rig.engine, 100).await.unwrap();
    let estimate = checked.estimate.unwrap();
    assert_eq!((checked.waiting, estimate.answered, estimate.precision, estimate.low), (0, 12, 0.0, 0.0));
    say(&rig, &crowd(61..62, 0));
    let error = rig.try_sync(&SyncOptions::default()).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("12 joined pairs that were checked"), "{error}");
    assert_eq!(rig.table("SELECT lead_id, prospect_id FROM identity_link ORDER BY lead_id").await, before);
}
