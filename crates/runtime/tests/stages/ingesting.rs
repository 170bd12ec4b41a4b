//! From a source's events to rows and a cursor.

use headwater_runtime::ingest::Buckets;
use headwater_runtime::sync::{StageName, SyncOptions};
use headwater_sdk::ErrorKind;
use headwater_store::RunStatus;

use crate::rig::Rig;

const LIST: &str = "sources: { list: { connector: script, origin: list } }\n";
const COLUMNS: &[&str] = &["email", "given_name"];

fn accepted(accepted: u64) -> Buckets {
    Buckets { read: accepted, accepted, ..Buckets::default() }
}

#[tokio::test]
async fn every_row_ends_in_one_bucket() {
    let rig = Rig::new(LIST).await;
    headwater_runtime::privacy::suppress(&rig.engine, &["eve@example.com".to_owned()], "objected", "test").await.unwrap();
    let columns = ["email", "given_name", "created_at"];
    let ann: &[&str] = &["ann@example.com", "Ann", ""];
    rig.scripts.say(
        "list",
        &columns,
        &[
            ("1", ann),
            ("1", ann),
            ("2", &["EVE@example.com", "Eve", ""]),
            ("3", &["", "Nobody", ""]),
            ("4", &["bob@example.com", "Bob", "01/02/2025"]),
        ],
    );
    rig.scripts.say_unreadable("list");
    rig.scripts.say("list", &columns, &[("1", ann), ("5", &["dan@example.com", "Dan", ""])]);
    let report = rig.sync().await;
    let expected = Buckets { read: 8, accepted: 2, unchanged: 1, merged: 1, suppressed: 1, quarantined: 3 };
    assert_eq!(report.sources["list"], expected);
    assert_eq!(report.status, RunStatus::Rejected);
    let refused = rig.table("SELECT code, field, place FROM quarantine ORDER BY code").await;
    assert_eq!(refused, ["ambiguous_date | created_at | script#5", "no_identity | - | script#4", "ragged_row | - | list.csv:7"]);
    assert_eq!(rig.cell("SELECT count(*) FROM source_record").await, "2");
    assert_eq!(rig.cell("SELECT count(*) FROM lead WHERE email = 'eve@example.com'").await, "0");
}

/// Neither stream says anything before both were asked.
const TOGETHER: &str = "sources: { list: { connector: script, together: true } }\n";

#[tokio::test]
async fn streams_of_one_source_are_read_at_once() {
    let rig = Rig::new(TOGETHER).await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann"]), ("2", &["bob@example.com", "Bob"])]);
    assert_eq!(rig.sync().await.sources["list"], accepted(4));
    assert_eq!(rig.cell("SELECT count(DISTINCT lead_id) FROM lead").await, "4");
    assert_eq!(rig.sync().await.sources["list"], accepted(0));
}

#[tokio::test]
async fn a_stream_that_fails_costs_the_one_beside_it_nothing() {
    let rig = Rig::new(TOGETHER).await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann"])]);
    rig.scripts.say("list", COLUMNS, &[("2", &["bob@example.com", "Bob"])]);
    rig.scripts.fail_at("list", 2);
    let report = rig.sync_failing().await;
    assert_eq!(report.sources["list"], accepted(3));
    assert_eq!(rig.sync().await.sources["list"], accepted(1));
}

#[tokio::test]
async fn columns_that_change_stop_a_source_that_wants_it_and_no_other() {
    let project = |columns: &str, policy: &str| {
        format!("sources: {{ list: {{ connector: script, columns: [{columns}], on_schema_change: {policy} }} }}\n")
    };
    let mut rig = Rig::new(&project("email, given_name", "stop")).await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann"])]);
    rig.sync().await;
    rig.scripts.say("list", &["email", "vorname"], &[("2", &["bob@example.com", "Bob"])]);
    // `given_name` is not mapped any more where the source has no such column.
    rig.change(&project("email, vorname", "stop")).await;
    let report = rig.sync_failing().await;
    let told = format!("{:?}", report.failures);
    assert!(told.contains("new are `vorname`; gone are `given_name`, which was mapped"), "{told}");
    assert_eq!(rig.cell("SELECT count(*) FROM lead").await, "1");
    rig.change(&project("email, vorname", "accept")).await;
    assert_eq!(rig.sync().await.sources["list"], accepted(1));
    // What was accepted once is known.
    rig.change(&project("email, vorname", "stop")).await;
    assert_eq!(rig.sync().await.sources["list"], Buckets::default());
}

#[tokio::test]
async fn a_column_that_is_retyped_stops_a_source_that_wants_it_and_no_other() {
    let columns = ["email", "created_at"];
    let project = |policy: &str| {
        let columns = columns.join(", ");
        format!("sources: {{ list: {{ connector: script, columns: [{columns}], on_schema_change: {policy} }} }}\n")
    };
    let mut rig = Rig::new(&project("stop")).await;
    let days = ["2026-01-01", "2026-01-02", "2026-01-03"];
    let seconds = ["1768900501", "1768900502", "1768900503", "1768900504"];
    let people = ["ann@example.com", "bob@example.com", "cat@example.com", "dan@example.com"];
    let say = |rig: &Rig, from: usize, said: &[&str]| {
        let rows: Vec<(String, [&str; 2])> =
            people.iter().zip(said).enumerate().map(|(n, (who, when))| ((from + n).to_string(), [*who, *when])).collect();
        let rows: Vec<(&str, &[&str])> = rows.iter().map(|(key, cells)| (key.as_str(), cells.as_slice())).collect();
        rig.scripts.say("list", &columns, &rows);
    };
    say(&rig, 0, &days);
    rig.sync().await;
    say(&rig, 10, &seconds);
    let told = format!("{:?}", rig.sync_failing().await.failures);
    assert!(told.contains("other values are in `created_at` from days to whole numbers, which is mapped"), "{told}");
    assert_eq!(rig.cell("SELECT count(*) FROM source_record").await, "3", "nothing of the page was taken");
    rig.change(&project("accept")).await;
    assert_eq!(rig.sync().await.sources["list"].read, 4);
    rig.change(&project("stop")).await;
    say(&rig, 20, &seconds);
    assert_eq!(rig.sync().await.sources["list"].read, 4, "what was accepted once is known");
}

#[tokio::test]
async fn members_that_come_and_go_in_the_remotes_records_stop_a_source_that_wants_it_and_no_other() {
    let project =
        |policy: &str| format!("sources: {{ list: {{ connector: script, columns: [email], on_schema_change: {policy} }} }}\n");
    let mut rig = Rig::new(&project("stop")).await;
    let say = |rig: &Rig, from: usize, raw: &str| {
        let people = crowd(from, from + 12);
        let cells: Vec<Vec<&str>> = people.iter().map(|(_, cells)| vec![cells[0].as_str()]).collect();
        let records: Vec<(&str, &[&str])> =
            people.iter().zip(&cells).map(|((key, _), cells)| (key.as_str(), cells.as_slice())).collect();
        rig.scripts.say_written("list", &["email"], &records, raw);
    };
    say(&rig, 0, r#"{"id":1,"email":"x","plan":{"name":"a"}}"#);
    rig.sync().await;
    say(&rig, 12, r#"{"id":1,"plan":{"name":"a"},"phone":null}"#);
    let told = format!("{:?}", rig.sync_failing().await.failures);
    let wanted = "new in the records is `phone`; gone from the records is `email`, which was mapped";
    assert!(told.contains(wanted), "{told}");
    assert_eq!(rig.cell("SELECT count(*) FROM lead").await, "12", "nothing of the page was taken");
    rig.change(&project("accept")).await;
    assert_eq!(rig.sync().await.sources["list"], accepted(12));
    rig.change(&project("stop")).await;
    say(&rig, 24, r#"{"id":1,"plan":{"name":"a"},"phone":null}"#);
    assert_eq!(rig.sync().await.sources["list"], accepted(12), "what was accepted once is known");
}

#[tokio::test]
async fn nothing_new_is_nothing_to_do() {
    let rig = Rig::new(LIST).await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann"])]);
    assert!(rig.sync().await.resolve.worked);
    let snapshot = rig.engine.store.snapshot().await.unwrap().id();
    let again = rig.sync().await;
    assert_eq!(again.sources["list"], Buckets::default());
    assert!(!again.resolve.worked && !again.measure.worked);
    assert_eq!((again.resolve.leads, again.resolve.prospects), (1, 1), "what there is is still told");
    assert_eq!(rig.engine.store.snapshot().await.unwrap().id(), snapshot);
}

#[tokio::test]
async fn reading_everything_again_finds_it_unchanged() {
    let rig = Rig::new(LIST).await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann"]), ("", &["bob@example.com", "Bob"])]);
    rig.sync().await;
    let refresh = SyncOptions { full_refresh: true, ..SyncOptions::default() };
    let report = rig.try_sync(&refresh).await.unwrap();
    assert_eq!(report.sources["list"], Buckets { read: 2, unchanged: 2, ..Buckets::default() });
    assert_eq!(rig.cell("SELECT count(*) FROM source_record").await, "2");
}

#[tokio::test]
async fn a_source_that_breaks_off_keeps_what_its_checkpoint_covers_and_goes_on_from_there() {
    let rig = Rig::new(&format!("{LIST}sinks: {{ crm: {{ connector: remote, audience: 'true' }} }}\n")).await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann"])]);
    rig.scripts.page("list", COLUMNS, &[("2", &["bob@example.com", "Bob"])]);
    rig.scripts.fail("list", ErrorKind::Unavailable);
    rig.scripts.checkpoint("list");
    rig.scripts.say("list", COLUMNS, &[("3", &["cat@example.com", "Cat"])]);

    let broken = rig.try_sync(&SyncOptions::default()).await.unwrap();
    assert_eq!(broken.status, RunStatus::Failed);
    assert_eq!(broken.failures["list"], "list (all): the script breaks off");
    assert_eq!(broken.sources["list"], accepted(1), "what was committed before is counted, what was not is not");
    assert_eq!(rig.table("SELECT given_name FROM lead").await, ["Ann"]);
    assert_eq!(
        rig.table("SELECT email FROM prospect").await,
        ["ann@example.com"],
        "the stages that follow work on what there is"
    );
    assert_eq!(rig.scripts.acknowledged("list"), [2]);

    let whole = rig.sync().await;
    assert_eq!(whole.sources["list"], accepted(2));
    assert_eq!(rig.table("SELECT given_name FROM lead ORDER BY given_name").await, ["Ann", "Bob", "Cat"]);
    assert_eq!(rig.cell("SELECT count(*) FROM touch").await, "3");
    assert_eq!(rig.remote.written().len(), 3, "each of the three was written once");
    assert_eq!(rig.scripts.acknowledged("list"), [2, 4, 6]);
}

#[tokio::test]
async fn what_no_checkpoint_covers_at_the_end_is_kept_and_found_again_unchanged() {
    let rig = Rig::new(LIST).await;
    rig.scripts.page("list", COLUMNS, &[("1", &["ann@example.com", "Ann"])]);
    assert_eq!(rig.sync().await.sources["list"], accepted(1));
    assert_eq!(rig.sync().await.sources["list"], Buckets { read: 1, unchanged: 1, ..Buckets::default() });
}

#[tokio::test]
async fn one_source_that_fails_does_not_stop_the_others() {
    let rig = Rig::new("sources: { a: { connector: script }, b: { connector: script } }\n").await;
    rig.scripts.fail("a", ErrorKind::Auth);
    rig.scripts.say("b", COLUMNS, &[("1", &["ann@example.com", "Ann"])]);
    let report = rig.try_sync(&SyncOptions::default()).await.unwrap();
    assert_eq!(report.sources["b"], accepted(1));
    assert_eq!(report.failures.keys().collect::<Vec<_>>(), ["a"]);
    assert!(report.resolve.worked);
}

#[tokio::test]
async fn a_changed_record_is_a_new_version_of_the_same_lead_and_no_new_touch() {
    let rig = Rig::new(LIST).await;
    for name in ["Ann", "Anna", "Ann"] {
        rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", name])]);
        assert_eq!(rig.sync().await.sources["list"], accepted(1), "{name}");
        assert_eq!(rig.table("SELECT given_name FROM prospect").await, [name]);
    }
    assert_eq!(rig.table("SELECT given_name FROM lead ORDER BY observed_at").await, ["Ann", "Anna", "Ann"]);
    assert_eq!(rig.cell("SELECT count(DISTINCT lead_id) FROM lead").await, "1");
    assert_eq!(rig.cell("SELECT count(*) FROM touch").await, "1");
    assert_eq!(rig.cell("SELECT count(*) FROM prospect").await, "1");
}

#[tokio::test]
async fn the_last_version_of_one_page_is_what_a_record_says() {
    let rig = Rig::new(LIST).await;
    let versions: [(&str, &[&str]); 3] =
        [("1", &["ann@example.com", "Ann"]), ("1", &["ann@example.com", "Anna"]), ("1", &["ann@example.com", "Ann"])];
    rig.scripts.say("list", COLUMNS, &versions);
    assert_eq!(rig.sync().await.sources["list"], accepted(3));
    assert_eq!(rig.table("SELECT given_name FROM prospect").await, ["Ann"]);
    assert_eq!(rig.cell("SELECT count(*) FROM touch").await, "1");
}

#[tokio::test]
async fn a_record_mended_in_the_same_run_has_its_touch() {
    let rig = Rig::new(LIST).await;
    let columns = ["email", "created_at"];
    let (wrong, right): ([&str; 2], [&str; 2]) = (["ann@example.com", "01/02/2025"], ["ann@example.com", "2025-02-01"]);
    rig.scripts.say("list", &columns, &[("1", &wrong), ("1", &right), ("2", &wrong)]);
    rig.scripts.say("list", &columns, &[("2", &right)]);
    let report = rig.sync().await;
    assert_eq!(report.sources["list"], Buckets { read: 4, accepted: 2, quarantined: 2, ..Buckets::default() });
    assert_eq!(rig.cell("SELECT count(*) FROM touch").await, "2");
}

#[tokio::test]
async fn a_record_that_is_gone_is_nobody_until_it_comes_back() {
    let rig = Rig::new(LIST).await;
    let ann: (&str, &[&str]) = ("1", &["ann@example.com", "Ann"]);
    rig.scripts.say("list", COLUMNS, &[ann, ("2", &["bob@example.com", "Bob"])]);
    rig.sync().await;
    rig.scripts.say_gone("list", COLUMNS, &[("1", &["", ""])]);
    assert_eq!(rig.sync().await.sources["list"], accepted(1));
    assert_eq!(rig.table("SELECT email FROM prospect WHERE merged_into IS NULL").await, ["bob@example.com"]);
    rig.scripts.say("list", COLUMNS, &[ann]);
    rig.sync().await;
    let people = rig.table("SELECT email FROM prospect WHERE merged_into IS NULL ORDER BY email").await;
    assert_eq!(people, ["ann@example.com", "bob@example.com"]);
}

#[tokio::test]
async fn a_dry_run_tells_what_would_happen_and_writes_nothing() {
    let rig = Rig::new(&format!("{LIST}sinks: {{ crm: {{ connector: remote, audience: 'true' }} }}\n")).await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann"])]);
    rig.sync().await;
    let (snapshot, cursors) = (rig.engine.store.snapshot().await.unwrap().id(), rig.engine.store.cursors().await.unwrap());
    rig.scripts.say("list", COLUMNS, &[("2", &["bob@example.com", "Bob"]), ("3", &["", ""])]);
    let dry = rig.try_sync(&SyncOptions { dry_run: true, ..SyncOptions::default() }).await.unwrap();
    assert_eq!(dry.sources["list"], Buckets { read: 2, accepted: 1, quarantined: 1, ..Buckets::default() });
    assert_eq!(rig.engine.store.snapshot().await.unwrap().id(), snapshot);
    assert_eq!(rig.engine.store.cursors().await.unwrap(), cursors);
    assert_eq!(rig.scripts.acknowledged("list"), [2]);
    assert_eq!(rig.remote.written().len(), 1);
    assert_eq!(rig.sync().await.sources["list"], dry.sources["list"]);
}

#[tokio::test]
async fn only_the_wanted_stages_and_connections_run() {
    let rig = Rig::new("sources: { a: { connector: script }, b: { connector: script } }\nsinks: { crm: { connector: remote, audience: 'true' } }\n").await;
    rig.scripts.say("a", COLUMNS, &[("1", &["ann@example.com", "Ann"])]);
    rig.scripts.say("b", COLUMNS, &[("1", &["bob@example.com", "Bob"])]);
    let ingest = SyncOptions { stages: vec![StageName::Ingest], only: vec!["a".to_owned()], ..SyncOptions::default() };
    let report = rig.try_sync(&ingest).await.unwrap();
    assert_eq!(report.sources.keys().collect::<Vec<_>>(), ["a"]);
    assert!(!report.resolve.worked && report.sinks.is_empty());
    let wrong = SyncOptions { only: vec!["cmr".to_owned()], ..SyncOptions::default() };
    let error = rig.try_sync(&wrong).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no source or sink `cmr`");
}

#[tokio::test]
async fn what_a_source_cost_as_a_whole_is_noted_once_and_again_when_it_changes() {
    let costs =
        |amount: &str| format!("sources: {{ list: {{ connector: script, cost: {{ amount: '{amount}', currency: EUR }} }} }}\n");
    let mut rig = Rig::new(&costs("100.50")).await;
    rig.sync().await;
    rig.sync().await;
    assert_eq!(rig.table("SELECT amount, currency, kind FROM cost").await, ["100.500000 | EUR | list_purchase"]);
    rig.change(&costs("90")).await;
    rig.sync().await;
    assert_eq!(rig.table("SELECT amount FROM cost ORDER BY amount DESC").await, ["100.500000", "90.000000"]);
    assert_eq!(rig.cell("SELECT count(DISTINCT cost_id) FROM cost").await, "1");
}

const WHOLE: &str = "sources: { list: { connector: script, whole: true } }\n";
const PEOPLE: &str = "SELECT email FROM prospect WHERE merged_into IS NULL ORDER BY email";

/// People `from..to`, told apart by ids.
fn crowd(from: usize, to: usize) -> Vec<(String, Vec<String>)> {
    (from..to).map(|n| (n.to_string(), vec![format!("p{n:02}@example.com"), format!("Person {n}")])).collect()
}

/// The source has these people from now on.
fn has(rig: &Rig, people: &[(String, Vec<String>)]) {
    let cells: Vec<Vec<&str>> = people.iter().map(|(_, cells)| cells.iter().map(String::as_str).collect()).collect();
    let records: Vec<(&str, &[&str])> =
        people.iter().zip(&cells).map(|((key, _), cells)| (key.as_str(), cells.as_slice())).collect();
    rig.scripts.has("list", COLUMNS, &records);
}

async fn count(rig: &Rig) -> usize {
    rig.table(PEOPLE).await.len()
}

#[tokio::test]
async fn who_is_missing_from_a_whole_reading_is_gone_until_they_come_back() {
    let rig = Rig::new(WHOLE).await;
    has(&rig, &crowd(0, 5));
    rig.sync().await;
    has(&rig, &crowd(0, 4));
    assert_eq!(rig.sync().await.sources["list"], Buckets { read: 5, accepted: 1, unchanged: 4, ..Buckets::default() });
    assert_eq!(rig.table(PEOPLE).await, ["p00@example.com", "p01@example.com", "p02@example.com", "p03@example.com"]);
    assert_eq!(rig.cell("SELECT count(*) FROM source_record WHERE op = 'delete' AND source_pk = '4'").await, "1");
    assert_eq!(rig.sync().await.sources["list"], Buckets { read: 4, unchanged: 4, ..Buckets::default() }, "once");
    has(&rig, &crowd(0, 5));
    rig.sync().await;
    assert_eq!(count(&rig).await, 5);
}

#[tokio::test]
async fn records_without_ids_are_missed_too() {
    let rig = Rig::new(WHOLE).await;
    let nameless = |mut people: Vec<(String, Vec<String>)>| {
        people.iter_mut().for_each(|(key, _)| key.clear());
        people
    };
    has(&rig, &nameless(crowd(0, 5)));
    rig.sync().await;
    has(&rig, &nameless(crowd(1, 5)));
    rig.sync().await;
    assert_eq!(count(&rig).await, 4);
    let versions = "SELECT count(DISTINCT lead_id), count(*) FROM lead";
    assert_eq!(rig.table(versions).await, ["5 | 6"], "it is the lead that was there");
}

#[tokio::test]
async fn a_reading_that_breaks_off_goes_on_and_still_tells_who_is_missing() {
    let rig = Rig::new(WHOLE).await;
    has(&rig, &crowd(0, 8));
    rig.sync().await;
    // The first half is shown, then the source fails; the next run shows the rest.
    let page = |from: usize, to: usize| {
        for (key, cells) in crowd(from, to) {
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            rig.scripts.say("list", COLUMNS, &[(&key, &cells)]);
        }
    };
    rig.scripts.begin("list");
    page(0, 4);
    rig.scripts.fail("list", ErrorKind::Unavailable);
    page(5, 8);
    rig.scripts.whole("list", false);
    rig.try_sync(&SyncOptions::default()).await.unwrap();
    assert_eq!(count(&rig).await, 8, "nobody is gone before everything was shown");
    let report = rig.sync().await;
    assert_eq!(report.sources["list"], Buckets { read: 4, accepted: 1, unchanged: 3, ..Buckets::default() });
    assert_eq!((count(&rig).await, rig.table(PEOPLE).await.contains(&"p04@example.com".to_owned())), (7, false));
}

#[tokio::test]
async fn a_reading_of_which_nobody_followed_a_part_takes_nobody() {
    let mut rig = Rig::new(WHOLE).await;
    has(&rig, &crowd(0, 6));
    rig.sync().await;
    let first = crowd(0, 6);
    let cells: Vec<Vec<&str>> = first.iter().map(|(_, cells)| cells.iter().map(String::as_str).collect()).collect();
    rig.scripts.begin("list");
    for n in 0..6 {
        rig.scripts.say("list", COLUMNS, &[(&first[n].0, &cells[n])]);
    }
    rig.scripts.whole("list", false);
    // Two records are shown, two more while nobody looks, and then the last two.
    rig.scripts.fail_at("list", 4);
    rig.try_sync(&SyncOptions::default()).await.unwrap();
    rig.change("sources: { list: { connector: script, whole: true, on_absence: keep } }\n").await;
    rig.scripts.fail_at("list", 8);
    rig.try_sync(&SyncOptions::default()).await.unwrap();
    rig.change(WHOLE).await;
    assert_eq!(rig.sync().await.sources["list"], Buckets { read: 2, unchanged: 2, ..Buckets::default() });
    assert_eq!(count(&rig).await, 6);
    assert_eq!(rig.sync().await.sources["list"].unchanged, 6, "the next reading is followed again");
}

#[tokio::test]
async fn nobody_is_gone_while_a_row_cannot_be_read() {
    let rig = Rig::new(WHOLE).await;
    has(&rig, &crowd(0, 3));
    rig.sync().await;
    rig.scripts.begin("list");
    rig.scripts.say_unreadable("list");
    rig.scripts.whole("list", false);
    rig.sync().await;
    assert_eq!(count(&rig).await, 3);
}

#[tokio::test]
async fn where_records_may_slip_past_only_who_is_missing_twice_is_gone() {
    let rig = Rig::new(WHOLE).await;
    let shifting = |people: &[usize]| {
        rig.scripts.begin("list");
        for n in people {
            let (key, cells) = crowd(*n, n + 1).remove(0);
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            rig.scripts.say("list", COLUMNS, &[(&key, &cells)]);
        }
        rig.scripts.whole("list", true);
    };
    shifting(&[0, 1, 2, 3]);
    rig.sync().await;
    shifting(&[0, 1]);
    rig.sync().await;
    assert_eq!(count(&rig).await, 4, "missing once");
    shifting(&[0, 1, 2]);
    rig.sync().await;
    assert_eq!(count(&rig).await, 3, "the third came back, the fourth is missing twice");
    shifting(&[0, 1]);
    rig.sync().await;
    assert_eq!(count(&rig).await, 3, "being there once begins anew");
}

#[tokio::test]
async fn more_missing_than_may_be_stop_the_source_until_they_are_let_go_or_kept() {
    let project = |more: &str| format!("sources: {{ list: {{ connector: script, whole: true{more} }} }}\n");
    let mut rig = Rig::new(&project("")).await;
    has(&rig, &crowd(0, 50));
    rig.sync().await;
    has(&rig, &crowd(0, 39));
    let told = format!("{:?}", rig.sync_failing().await.failures);
    assert!(told.contains("11 of the 50 records of stream `all` are missing") && told.contains("at most 20 %"), "{told}");
    assert_eq!(count(&rig).await, 50);
    rig.change(&project(", absence_limit_percent: 22")).await;
    rig.sync().await;
    assert_eq!(count(&rig).await, 39);
    has(&rig, &crowd(0, 30));
    rig.change(&project(", on_absence: keep")).await;
    rig.sync().await;
    assert_eq!(count(&rig).await, 39);
}

#[tokio::test]
async fn ten_may_always_go_but_an_empty_reading_takes_nobody() {
    let rig = Rig::new(WHOLE).await;
    has(&rig, &crowd(0, 11));
    rig.sync().await;
    has(&rig, &crowd(0, 1));
    rig.sync().await;
    assert_eq!(count(&rig).await, 1);
    has(&rig, &[]);
    let told = format!("{:?}", rig.sync_failing().await.failures);
    assert!(told.contains("1 of the 1 records"), "{told}");
    assert_eq!(count(&rig).await, 1);
}

#[tokio::test]
async fn reading_everything_again_tells_who_is_missing() {
    let rig = Rig::new(WHOLE).await;
    has(&rig, &crowd(0, 5));
    rig.sync().await;
    has(&rig, &crowd(1, 5));
    rig.try_sync(&SyncOptions { full_refresh: true, ..SyncOptions::default() }).await.unwrap();
    assert_eq!(count(&rig).await, 4);
}

#[tokio::test]
async fn orders_that_are_missing_stay() {
    let rig = Rig::new("sources: { list: { connector: script, whole: true, role: conversions } }\n").await;
    let columns = &["email", "occurred_at"];
    let order: &[&str] = &["ann@example.com", "2026-10-01"];
    rig.scripts.has("list", columns, &[("1", order), ("2", order)]);
    rig.sync().await;
    rig.scripts.has("list", columns, &[("1", order)]);
    rig.sync().await;
    assert_eq!(rig.cell("SELECT count(*) FROM conversion").await, "2");
}
