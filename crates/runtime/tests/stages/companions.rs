//! What goes with people: their companies, their owners, tasks about them, their places in lists; and all of it taken back.

use std::collections::BTreeMap;

use headwater_runtime::deliver::{Action, Keep, Nobody, Plan, PlanFile, SavedPlan, drift, plans, undo};
use headwater_runtime::sync::{StageName, SyncOptions, SyncReport};
use headwater_sdk::ErrorKind;
use headwater_sdk::sink::Fields;
use headwater_sdk::testkit::FakeSink;

use crate::rig::Rig;

const COLUMNS: &[&str] = &["email", "given_name", "company_name", "company_domain", "country", "postal_code", "need"];
const ANN: (&str, &[&str]) = ("1", &["ann@alder.example", "Ann", "Alder GmbH", "alder.example", "DE", "80331", "solar roof"]);
const BOB: (&str, &[&str]) = ("2", &["bob@alder.example", "Bob", "ALDER", "alder.example", "DE", "10115", ""]);
const CAT: (&str, &[&str]) = ("3", &["cat@elm.example", "Cat", "Elm", "elm.example", "FR", "69001", ""]);

const COMPANIES: &str =
    ", companies: { match_on: [external_id, domain, name], map: { name: company_name, domain: company_domain } }";

fn project(sink: &str) -> String {
    format!(
        "sources: {{ list: {{ connector: script }} }}\n\
         sinks: {{ crm: {{ connector: remote, audience: 'true', map: {{ email: email, name: given_name }}{sink} }} }}\n"
    )
}

fn fields(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(field, value)| ((*field).to_owned(), Some((*value).to_owned()))).collect()
}

fn state(sink: &FakeSink) -> BTreeMap<String, Fields> {
    let mut records = sink.records();
    records.values_mut().for_each(|fields| fields.retain(|_, value| value.is_some()));
    records
}

fn field(record: &Fields, name: &str) -> String {
    record.get(name).cloned().flatten().unwrap_or_default()
}

/// By name, the name of the company that each person belongs to.
fn employers(rig: &Rig) -> BTreeMap<String, String> {
    let companies = rig.remote.companies.records();
    let company = |person: &Fields| companies.get(&field(person, "company")).map(|company| field(company, "name"));
    rig.remote.inner.records().values().map(|person| (field(person, "name"), company(person).unwrap_or_default())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> BTreeMap<String, String> {
    expected.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

/// Created, updated, unchanged, rejected, held back, pending.
fn told(report: &SyncReport, part: &str) -> [u64; 6] {
    let counts = report.sinks.get(part).copied().unwrap_or_default();
    [counts.created, counts.updated, counts.unchanged, counts.rejected, counts.held_back, counts.pending]
}

async fn planned(rig: &Rig) -> Vec<Plan> {
    let stages = vec![StageName::Ingest, StageName::Resolve];
    rig.try_sync(&SyncOptions { stages, ..SyncOptions::default() }).await.unwrap();
    plans(&rig.engine, &[rig.engine.project.sink("crm").unwrap()], Keep::All, &mut Nobody).await.unwrap()
}

async fn saved(rig: &Rig) -> SavedPlan {
    let path = rig.engine.project.base_dir.join("plan.json");
    let mut file = PlanFile::create(&rig.engine, &path).unwrap();
    plans(&rig.engine, &[rig.engine.project.sink("crm").unwrap()], Keep::First(0), &mut file).await.unwrap();
    file.finish().unwrap();
    SavedPlan::read(&path).unwrap()
}

#[tokio::test]
async fn companies_are_made_once_before_their_people_who_are_tied_to_them() {
    let rig = Rig::new(&project(COMPANIES)).await;
    rig.scripts.say("list", COLUMNS, &[ANN, BOB, CAT]);
    let report = rig.sync().await;
    assert_eq!(told(&report, "crm.companies"), [2, 0, 0, 0, 0, 0]);
    assert_eq!(told(&report, "crm"), [3, 0, 0, 0, 0, 0]);
    let expected = pairs(&[("Ann", "ALDER"), ("Bob", "ALDER"), ("Cat", "Elm")]);
    assert_eq!(employers(&rig), expected);
    let calls = (rig.remote.inner.calls(), rig.remote.companies.calls(), rig.remote.looks());
    let again = rig.sync().await;
    assert_eq!((told(&again, "crm.companies"), told(&again, "crm")), ([0, 0, 2, 0, 0, 0], [0, 0, 3, 0, 0, 0]));
    assert_eq!((rig.remote.inner.calls(), rig.remote.companies.calls(), rig.remote.looks()), calls, "no news costs no call");
}

#[tokio::test]
async fn a_company_that_is_there_is_taken_over_and_not_made_again() {
    let rig = Rig::new(&project(COMPANIES)).await;
    rig.remote.companies.put("hand", fields(&[("domain", "alder.example"), ("name", "Alder AG")]));
    rig.scripts.say("list", COLUMNS, &[ANN]);
    rig.sync().await;
    assert_eq!(rig.remote.companies.records().len(), 1);
    assert_eq!(employers(&rig), pairs(&[("Ann", "Alder AG")]), "and its name is left as it was");
}

#[tokio::test]
async fn a_company_is_found_and_its_people_are_joined_by_its_registration_number() {
    let companies = ", companies: { match_on: [external_id, register], map: { name: company_name, register: company_number } }";
    let rig = Rig::new(&project(companies)).await;
    rig.remote.companies.put("hand", fields(&[("register", "FN12345A"), ("name", "Alder AG")]));
    let columns = ["email", "given_name", "company_name", "company_number", "country"];
    rig.scripts.say(
        "list",
        &columns,
        &[
            ("1", &["ann@alder.example", "Ann", "Alder GmbH", "FN 12345a", "AT"]),
            ("2", &["bob@elder.example", "Bob", "Elder", "fn-12345a", ""]),
            ("3", &["cat@gmail.com", "Cat", "Alder GmbH", "FN 777b", "AT"]),
        ],
    );
    rig.sync().await;
    assert_eq!(employers(&rig), pairs(&[("Ann", "Alder AG"), ("Bob", "Alder AG"), ("Cat", "Alder GmbH")]));
    assert_eq!(rig.remote.companies.records().len(), 2);
}

#[tokio::test]
async fn somebody_who_has_a_company_in_the_remote_keeps_it() {
    let rig = Rig::new(&project(COMPANIES)).await;
    rig.remote.inner.put("ann", fields(&[("email", "ann@alder.example"), ("company", "theirs")]));
    rig.scripts.say("list", COLUMNS, &[ANN]);
    rig.sync().await;
    assert_eq!(field(&rig.remote.inner.records()["ann"], "company"), "theirs");
}

#[tokio::test]
async fn a_plan_shows_the_company_that_is_to_be_made_and_is_applied_as_it_says() {
    let rig = Rig::new(&project(COMPANIES)).await;
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    let plans = planned(&rig).await;
    assert_eq!(plans.iter().map(|plan| plan.sink.as_str()).collect::<Vec<_>>(), ["crm.companies", "crm"]);
    let company = &plans[0].rows[0];
    assert_eq!(company.action, Action::Create);
    for row in &plans[1].rows {
        let change = row.changes.iter().find(|change| change.field == "company").unwrap();
        assert_eq!(change.after.as_ref(), Some(&format!("new:{}", company.prospect_id)));
    }
    let saved = saved(&rig).await;
    let options = || SyncOptions { plan: Some(saved.clone()), ..SyncOptions::default() };
    let report = rig.try_sync(&options()).await.unwrap();
    assert_eq!((told(&report, "crm.companies")[0], told(&report, "crm")[0]), (1, 2));
    assert_eq!(employers(&rig), pairs(&[("Ann", "ALDER"), ("Bob", "ALDER")]));
    assert!(rig.try_sync(&options()).await.is_err(), "a plan is applied once");
}

#[tokio::test]
async fn an_answer_that_was_lost_makes_no_second_company() {
    let rig = Rig::new(&project(COMPANIES)).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    rig.remote.companies.fail_after();
    let report = rig.sync_failing().await;
    assert_eq!(told(&report, "crm.companies"), [0, 0, 0, 0, 0, 1]);
    assert!(rig.remote.inner.records().is_empty(), "people come after their companies");
    rig.sync().await;
    assert_eq!(rig.remote.companies.records().len(), 1);
    assert_eq!(employers(&rig), pairs(&[("Ann", "Alder GmbH")]));
}

#[tokio::test]
async fn people_whose_company_is_refused_go_without_and_get_it_once_it_is_there() {
    let rig = Rig::new(&project(COMPANIES)).await;
    rig.scripts.say("list", COLUMNS, &[CAT]);
    rig.remote.companies.refuse("name", "Elm");
    let report = rig.sync().await;
    assert_eq!((told(&report, "crm.companies"), told(&report, "crm")), ([0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0]));
    rig.remote.companies.refuse("name", "nobody");
    rig.scripts.say("list", COLUMNS, &[("3", &["cat@elm.example", "Cat", "Elm Tree", "elm.example", "FR", "69001", ""])]);
    let report = rig.sync().await;
    assert_eq!((told(&report, "crm.companies")[0], told(&report, "crm")[1]), (1, 1));
    assert_eq!(employers(&rig), pairs(&[("Cat", "Elm Tree")]));
}

#[tokio::test]
async fn a_company_without_a_required_field_is_held_back_and_its_people_go_without_until_it_is_known() {
    let companies =
        ", companies: { match_on: [external_id, name], map: { name: company_name, domain: company_domain }, required: [domain] }";
    let rig = Rig::new(&project(companies)).await;
    let at_home = |domain| ["cat@gmail.com", "Cat", "Elm", domain, "FR", "69001", ""];
    rig.scripts.say("list", COLUMNS, &[ANN, ("3", &at_home("")[..])]);
    let held = planned(&rig).await.remove(0).held_back;
    assert_eq!(held, BTreeMap::from([("required field `domain` has no value".to_owned(), 1)]));
    let report = rig.sync().await;
    assert_eq!((told(&report, "crm.companies"), told(&report, "crm")), ([1, 0, 0, 0, 1, 0], [2, 0, 0, 0, 0, 0]));
    assert_eq!(employers(&rig), pairs(&[("Ann", "Alder GmbH"), ("Cat", "")]));
    rig.scripts.say("list", COLUMNS, &[ANN, ("3", &at_home("elm.example")[..])]);
    let report = rig.sync().await;
    assert_eq!((told(&report, "crm.companies")[0], told(&report, "crm")[1]), (1, 1));
    assert_eq!(employers(&rig), pairs(&[("Ann", "Alder GmbH"), ("Cat", "Elm")]));
}

#[tokio::test]
async fn people_wait_for_a_company_that_waits() {
    let rig = Rig::new(&project(COMPANIES)).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    rig.remote.ask_for_patience(std::time::Duration::from_secs(90 * 60));
    let report = rig.sync().await;
    assert_eq!((told(&report, "crm.companies"), told(&report, "crm")), ([0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1]));
    assert!(rig.remote.inner.records().is_empty());
    rig.sync().await;
    let report = rig.sync().await;
    assert_eq!((told(&report, "crm.companies")[5], told(&report, "crm")), (0, [1, 0, 0, 0, 0, 0]));
    assert_eq!(employers(&rig), pairs(&[("Ann", "Alder GmbH")]));
}

#[tokio::test]
async fn a_company_is_taken_back_after_its_people_and_stays_while_others_belong_to_it() {
    let rig = Rig::new(&project(COMPANIES)).await;
    rig.scripts.say("list", COLUMNS, &[ANN, CAT]);
    let first = rig.sync().await.run_id;
    rig.scripts.say("list", COLUMNS, &[BOB]);
    let second = rig.sync().await.run_id;
    let report = undo(&rig.engine, &first).await.unwrap();
    assert_eq!(report.removed, 3, "Ann, Cat and Elm");
    let left: Vec<_> = report.left.iter().map(|left| (left.sink.as_str(), left.reason.as_str())).collect();
    assert_eq!(left, [("crm.companies", "people whom other runs wrote belong to it")]);
    assert_eq!(employers(&rig).len(), 1);
    undo(&rig.engine, &second).await.unwrap();
    let report = undo(&rig.engine, &first).await.unwrap();
    assert_eq!((report.removed, report.left.len()), (1, 0));
    assert!(rig.remote.companies.records().is_empty() && rig.remote.inner.records().is_empty());
}

#[tokio::test]
async fn an_association_with_somebody_made_by_hand_is_taken_back() {
    let rig = Rig::new(&project(COMPANIES)).await;
    rig.remote.inner.put("ann", fields(&[("email", "ann@alder.example")]));
    let before = state(&rig.remote.inner);
    rig.scripts.say("list", COLUMNS, &[ANN]);
    let run = rig.sync().await.run_id;
    assert_eq!(employers(&rig), pairs(&[("Ann", "Alder GmbH")]));
    undo(&rig.engine, &run).await.unwrap();
    assert_eq!(state(&rig.remote.inner), before);
    assert!(rig.remote.companies.records().is_empty());
}

#[tokio::test]
async fn a_company_that_somebody_changed_is_drift() {
    let rig = Rig::new(&project(COMPANIES)).await;
    rig.scripts.say("list", COLUMNS, &[CAT]);
    rig.sync().await;
    let (id, mut company) = rig.remote.companies.records().into_iter().next().unwrap();
    company.insert("name".to_owned(), Some("Elm & Sons".to_owned()));
    rig.remote.companies.put(&id, company);
    let parts = rig.engine.project.sink("crm").unwrap().parts();
    let found = drift(&rig.engine, &parts[0]).await.unwrap();
    assert_eq!(found.fields.iter().map(|field| field.field.as_str()).collect::<Vec<_>>(), ["name"]);
}

const OWNERS: &str = ", owners: { field: owner, capacity: { south: 1 }, rules: [\
    { countries: [DE], postal_codes: ['80'], to: [south, north] }, { countries: [DE], to: [north, east] }, { countries: [FR], to: [west] }] }";

fn owners(rig: &Rig) -> BTreeMap<String, String> {
    rig.remote.inner.records().values().map(|person| (field(person, "name"), field(person, "owner"))).collect()
}

#[tokio::test]
async fn people_are_given_to_owners_by_territory_and_stay_there() {
    let rig = Rig::new(&project(OWNERS)).await;
    rig.scripts.say("list", COLUMNS, &[ANN, CAT]);
    let reasons: Vec<String> = planned(&rig).await[0]
        .rows
        .iter()
        .flat_map(|row| row.changes.iter().filter_map(|change| change.reason.clone()))
        .collect();
    assert!(reasons.iter().any(|reason| reason.starts_with("rule 1 of `owners` (country DE, postal code 80)")), "{reasons:?}");
    rig.sync().await;
    assert_eq!(owners(&rig), pairs(&[("Ann", "south"), ("Cat", "west")]));
    // South is full, also for somebody who comes in a later run.
    let eve: (&str, &[&str]) = ("5", &["eve@example.com", "Eve", "", "", "DE", "80999", ""]);
    rig.scripts.say(
        "list",
        COLUMNS,
        &[eve, ("1", &["ann@alder.example", "Anna", "Alder GmbH", "alder.example", "FR", "69001", ""])],
    );
    let report = rig.sync().await;
    assert_eq!(told(&report, "crm"), [1, 0, 2, 0, 0, 0]);
    assert_eq!(
        owners(&rig),
        pairs(&[("Ann", "south"), ("Cat", "west"), ("Eve", "north")]),
        "whom we gave stays, wherever they move"
    );
}

#[tokio::test]
async fn an_owner_in_the_remote_stays_and_settings_that_come_later_count_for_everybody() {
    let mut rig = Rig::new(&project("")).await;
    rig.remote.inner.put("ann", fields(&[("email", "ann@alder.example"), ("owner", "theirs")]));
    rig.scripts.say("list", COLUMNS, &[ANN, CAT]);
    rig.sync().await;
    rig.change(&project(OWNERS)).await;
    let report = rig.sync().await;
    assert_eq!(told(&report, "crm"), [0, 1, 1, 0, 0, 0]);
    assert_eq!(owners(&rig).get("Cat").map(String::as_str), Some("west"));
    assert_eq!(field(&rig.remote.inner.records()["ann"], "owner"), "theirs");
    let looks = rig.remote.looks();
    rig.sync().await;
    assert_eq!(rig.remote.looks(), looks, "it is decided");
}

#[tokio::test]
async fn whoever_found_no_owner_with_room_is_given_to_the_next_one_who_has() {
    let one = ", owners: { field: owner, capacity: { a: 1 }, rules: [{ to: [a] }] }";
    let two = ", owners: { field: owner, capacity: { a: 2 }, rules: [{ to: [a] }] }";
    let mut rig = Rig::new(&project(one)).await;
    rig.scripts.say("list", COLUMNS, &[ANN, CAT]);
    rig.sync().await;
    assert_eq!(owners(&rig).values().filter(|owner| *owner == "a").count(), 1);
    rig.change(&project(two)).await;
    rig.sync().await;
    assert_eq!(owners(&rig).values().filter(|owner| *owner == "a").count(), 2);
}

const FOLLOW_UP: &str = ", tasks: { welcome: { when: \"given_name <> 'Cat'\", map: { subject: 'Call {{ given_name }}' } } }\
    , lists: { news: { list: '7', when: 'true' } }";

#[tokio::test]
async fn tasks_are_made_once_and_lists_take_only_who_may_be_contacted() {
    let settings = |basis: &str| {
        format!(
            "sources: {{ list: {{ connector: script{basis} }} }}\n\
             sinks: {{ crm: {{ connector: remote, audience: 'true', map: {{ email: email, name: given_name }}{FOLLOW_UP} }} }}\n"
        )
    };
    let mut rig = Rig::new(&settings("")).await;
    rig.scripts.say("list", COLUMNS, &[ANN, CAT]);
    let report = rig.sync().await;
    assert_eq!((told(&report, "crm.tasks.welcome"), told(&report, "crm.lists.news")), ([1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 2, 0]));
    let ann = rig.remote.inner.records().into_iter().find(|(_, person)| field(person, "name") == "Ann").unwrap().0;
    let tasks: Vec<Fields> = rig.remote.tasks.records().into_values().collect();
    assert_eq!((field(&tasks[0], "subject"), field(&tasks[0], "contact")), ("Call Ann".to_owned(), ann));
    rig.change(&settings(", basis: { lawful_basis: contract }")).await;
    let report = rig.try_sync(&SyncOptions { full_refresh: true, ..SyncOptions::default() }).await.unwrap();
    assert_eq!(told(&report, "crm.tasks.welcome"), [0, 0, 1, 0, 0, 0], "a task is made once");
    assert_eq!(told(&report, "crm.lists.news")[0], 2, "{:?}", rig.table("SELECT may_contact, hold_reason FROM prospect").await);
    undo(&rig.engine, &report.run_id).await.unwrap();
    assert!(rig.remote.list.records().is_empty());
    assert_eq!((rig.remote.tasks.records().len(), rig.remote.inner.records().len()), (1, 2));
}

#[tokio::test]
async fn each_kind_of_task_is_made_for_the_same_person() {
    let tasks = "{ welcome: { when: 'true', map: { subject: 'Welcome {{ given_name }}' } }, \
                 thank: { when: 'true', map: { subject: 'Thank {{ given_name }}' } } }";
    let settings = format!(
        "sources: {{ list: {{ connector: script }} }}\n\
         sinks: {{ crm: {{ connector: remote, audience: 'true', map: {{ email: email, name: given_name }}, tasks: {tasks} }} }}\n"
    );
    let rig = Rig::new(&settings).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    let report = rig.sync().await;
    assert_eq!((told(&report, "crm.tasks.thank")[0], told(&report, "crm.tasks.welcome")[0]), (1, 1));
    let mut subjects: Vec<String> = rig.remote.tasks.records().values().map(|task| field(task, "subject")).collect();
    subjects.sort();
    assert_eq!(subjects, ["Thank Ann", "Welcome Ann"]);
    undo(&rig.engine, &report.run_id).await.unwrap();
    assert!(rig.remote.tasks.records().is_empty(), "both are taken back");
}

fn german_list(leave: bool) -> String {
    format!(
        "sources: {{ list: {{ connector: script, basis: {{ lawful_basis: contract }} }} }}\n\
         sinks: {{ crm: {{ connector: remote, audience: 'true', map: {{ email: email, name: given_name }}, \
         lists: {{ news: {{ list: '7', when: \"country = 'DE'\", leave: {leave} }} }} }} }}\n"
    )
}

const MOVED: (&str, &[&str]) = ("1", &["ann@alder.example", "Ann", "Alder GmbH", "alder.example", "FR", "69001", "solar roof"]);

/// Who is in the list, by name.
fn members(rig: &Rig) -> Vec<String> {
    let people = rig.remote.inner.records();
    let mut names: Vec<String> =
        rig.remote.list.records().values().map(|place| field(&people[&field(place, "contact")], "name")).collect();
    names.sort();
    names
}

fn removed(report: &SyncReport) -> u64 {
    report.sinks["crm.lists.news"].removed
}

/// A project in which Ann and Bob are in the list, and Ann moved away.
async fn moved(leave: bool) -> Rig {
    let rig = Rig::new(&german_list(leave)).await;
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    rig.sync().await;
    assert_eq!(members(&rig), ["Ann", "Bob"]);
    rig.scripts.say("list", COLUMNS, &[MOVED, BOB]);
    rig
}

#[tokio::test]
async fn who_no_longer_fits_leaves_the_list_and_stays_a_contact() {
    let rig = moved(true).await;
    let plan = planned(&rig).await.pop().unwrap();
    assert_eq!((plan.count(Action::Leave), plan.count(Action::Unchanged), plan.people()), (1, 1, 2));
    let report = rig.sync().await;
    assert_eq!((removed(&report), told(&report, "crm.lists.news")), (1, [0, 0, 1, 0, 0, 0]));
    assert_eq!((members(&rig), rig.remote.inner.records().len()), (vec!["Bob".to_owned()], 2));
    assert_eq!(rig.table("SELECT outcome FROM delivery WHERE op = 'remove'").await, ["removed"]);
    let report = rig.sync().await;
    assert_eq!((removed(&report), told(&report, "crm.lists.news")), (0, [0, 0, 1, 0, 0, 0]));
    for _ in 0..2 {
        rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
        assert_eq!(told(&rig.sync().await, "crm.lists.news")[0], 1, "who fits again is put in again");
        rig.scripts.say("list", COLUMNS, &[MOVED, BOB]);
        assert_eq!(removed(&rig.sync().await), 1);
    }
    assert_eq!(members(&rig), ["Bob"]);
}

#[tokio::test]
async fn a_saved_plan_says_who_leaves_a_list_and_is_refused_when_others_leave() {
    let rig = moved(true).await;
    planned(&rig).await;
    let options = |plan: &SavedPlan| SyncOptions { plan: Some(plan.clone()), ..SyncOptions::default() };
    let first = saved(&rig).await;
    rig.scripts.say("list", COLUMNS, &[ANN, ("2", &["bob@alder.example", "Bob", "ALDER", "alder.example", "FR", "10115", ""])]);
    planned(&rig).await;
    let refused = rig.try_sync(&options(&first)).await.unwrap_err().to_string();
    for says in ["would leave the list now", "would no longer leave the list", "is no longer in the audience"] {
        assert!(refused.contains(says), "{says}: {refused}");
    }
    let second = saved(&rig).await;
    let report = rig.try_sync(&options(&second)).await.unwrap();
    assert_eq!((removed(&report), members(&rig)), (1, vec!["Ann".to_owned()]));
}

#[tokio::test]
async fn nobody_leaves_a_list_whose_settings_say_so() {
    let rig = moved(false).await;
    let report = rig.sync().await;
    assert_eq!((removed(&report), members(&rig).len()), (0, 2));
}

#[tokio::test]
async fn who_objects_leaves_the_list_before_people_are_resolved_again() {
    let rig = moved(true).await;
    rig.sync().await;
    headwater_runtime::privacy::suppress(&rig.engine, &["bob@alder.example".to_owned()], "objected", "test").await.unwrap();
    let options = SyncOptions { stages: vec![StageName::Deliver], ..SyncOptions::default() };
    let report = rig.try_sync(&options).await.unwrap();
    assert_eq!((removed(&report), told(&report, "crm.lists.news")), (1, [0; 6]));
    assert!(members(&rig).is_empty());
}

#[tokio::test]
async fn who_was_in_the_list_before_us_stays_in_it() {
    let rig = Rig::new(&german_list(true)).await;
    rig.remote.inner.put("ann", fields(&[("email", "ann@alder.example"), ("name", "Ann")]));
    rig.remote.list.put("hand", fields(&[("contact", "ann")]));
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    rig.sync().await;
    rig.scripts.say("list", COLUMNS, &[MOVED, BOB]);
    let report = rig.sync().await;
    assert_eq!((removed(&report), members(&rig)), (0, vec!["Ann".to_owned(), "Bob".to_owned()]));
}

#[tokio::test]
async fn a_removal_whose_answer_was_lost_is_done_once() {
    let rig = moved(true).await;
    rig.remote.loses_removals.store(true, std::sync::atomic::Ordering::Relaxed);
    let report = rig.sync_failing().await;
    assert_eq!((removed(&report), told(&report, "crm.lists.news")), (0, [0, 0, 1, 0, 0, 1]));
    assert_eq!(members(&rig), ["Bob"]);
    rig.remote.loses_removals.store(false, std::sync::atomic::Ordering::Relaxed);
    rig.wait(crate::rig::HOUR);
    let report = rig.sync().await;
    assert_eq!((removed(&report), told(&report, "crm.lists.news")[5]), (1, 0));
    assert_eq!(removed(&rig.sync().await), 0);
    assert_eq!(members(&rig), ["Bob"]);
}

#[tokio::test]
async fn an_undo_puts_back_whom_the_run_took_off() {
    let rig = moved(true).await;
    let run = rig.sync().await.run_id;
    let report = undo(&rig.engine, &run).await.unwrap();
    assert_eq!((report.restored, report.left.len()), (1, 0), "{report:?}");
    assert_eq!(members(&rig), ["Ann", "Bob"]);
    let held = rig.sync().await;
    assert_eq!((removed(&held), told(&held, "crm.lists.news")), (0, [0, 0, 1, 0, 1, 0]));
    let again = SyncOptions { push_again: vec![run], ..SyncOptions::default() };
    assert_eq!(removed(&rig.try_sync(&again).await.unwrap()), 1);
    assert_eq!(members(&rig), ["Bob"]);
}

#[tokio::test]
async fn an_undo_puts_nobody_back_who_may_not_be_contacted() {
    let rig = moved(true).await;
    let run = rig.sync().await.run_id;
    headwater_runtime::privacy::suppress(&rig.engine, &["ann@alder.example".to_owned()], "objected", "test").await.unwrap();
    let report = undo(&rig.engine, &run).await.unwrap();
    assert_eq!(report.restored, 0);
    assert_eq!(report.left.iter().filter(|left| left.sink == "crm.lists.news").count(), 1);
    assert_eq!(members(&rig), ["Bob"]);
}

#[tokio::test]
async fn what_was_undone_is_pushed_again_when_somebody_says_so() {
    let rig = Rig::new(&project(COMPANIES)).await;
    rig.remote.inner.put("cat", fields(&[("email", "cat@elm.example")]));
    rig.scripts.say("list", COLUMNS, &[ANN, CAT]);
    let run = rig.sync().await.run_id;
    let (people, companies) = (rig.remote.people(), employers(&rig));
    undo(&rig.engine, &run).await.unwrap();
    let held = rig.sync().await;
    assert_eq!(told(&held, "crm.companies")[0] + told(&held, "crm")[0] + told(&held, "crm")[1], 0);
    let again = SyncOptions { push_again: vec![run.clone()], ..SyncOptions::default() };
    let report = rig.try_sync(&again).await.unwrap();
    assert_eq!((told(&report, "crm.companies")[0], told(&report, "crm")[0], told(&report, "crm")[1]), (2, 1, 1));
    assert_eq!(employers(&rig), companies);
    assert_eq!(rig.remote.people().len(), people.len());
    assert!(rig.try_sync(&again).await.is_err(), "it is pushed again once");
    let report = rig.sync().await;
    assert_eq!((told(&report, "crm.companies"), told(&report, "crm")), ([0, 0, 2, 0, 0, 0], [0, 0, 2, 0, 0, 0]));
}

#[tokio::test]
async fn a_remote_that_is_down_for_companies_leaves_everybody_waiting() {
    let rig = Rig::new(&project(COMPANIES)).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    rig.remote.fail(Some(ErrorKind::Unavailable));
    rig.sync_failing().await;
    rig.remote.fail(None);
    let report = rig.sync().await;
    assert_eq!((told(&report, "crm.companies")[0], told(&report, "crm")[0]), (1, 1));
}

#[tokio::test]
async fn a_deal_of_a_contact_whom_we_pushed_is_credited_to_that_person_whatever_address_it_names() {
    let rig = Rig::new(
        "sources:\n  ads: { connector: script, channel: { group: paid_search } }\n  fair: { connector: script, channel: { group: event } }\n  \
         deals: { connector: script, role: conversions, currency: EUR, same_as_sink: crm }\n\
         sinks: { crm: { connector: remote, audience: 'true', map: { email: email, name: given_name } } }\n",
    )
    .await;
    let columns = &["email", "given_name", "created_at"];
    rig.scripts.say("ads", columns, &[("1", &["ann@alder.example", "Ann", "2026-01-01"])]);
    rig.scripts.say("fair", columns, &[("2", &["cat@elm.example", "Cat", "2026-01-01"])]);
    rig.sync().await;
    let records = rig.remote.inner.records();
    let ann = records.iter().find(|(_, person)| field(person, "name") == "Ann").unwrap().0;
    // In the CRM she has another address by now; it is even Cat's.
    let deal = ["external_id", "email", "value", "kind", "occurred_at"];
    rig.scripts.say("deals", &deal, &[("d1", &[ann.as_str(), "cat@elm.example", "500.00", "order", "2026-01-20"])]);
    let report = rig.sync().await;
    assert_eq!((report.measure.conversions, report.measure.unattributed), (1, 0));
    let whose = "SELECT p.given_name, f.matched_on FROM fact_link f JOIN prospect p ON p.prospect_id = f.prospect_id";
    assert_eq!(rig.table(whose).await, ["Ann | remote_id"]);
    let credit = "SELECT channel, value FROM credit WHERE model = 'last'";
    assert_eq!(rig.table(credit).await, ["paid_search | 500.000000"]);
}

#[tokio::test]
async fn a_deal_that_is_read_before_its_contact_is_pushed_finds_the_person_in_the_next_run() {
    let rig = Rig::new(
        "sources:\n  ads: { connector: script }\n  deals: { connector: script, role: conversions, currency: EUR, same_as_sink: crm }\n\
         sinks: { crm: { connector: remote, audience: 'true', map: { email: email, name: given_name } } }\n",
    )
    .await;
    rig.remote.inner.put("c-1", fields(&[("email", "ann@alder.example")]));
    rig.scripts.say("ads", &["email", "given_name"], &[("1", &["ann@alder.example", "Ann"])]);
    rig.scripts.say(
        "deals",
        &["external_id", "value", "kind", "occurred_at"],
        &[("d1", &["c-1", "500.00", "order", "2026-01-20"])],
    );
    rig.sync().await;
    assert_eq!(rig.cell("SELECT count(*) FROM fact_link").await, "0");
    assert!(rig.sync().await.resolve.worked);
    assert_eq!(rig.cell("SELECT matched_on FROM fact_link").await, "remote_id");
    assert!(!rig.sync().await.resolve.worked, "nothing new costs nothing");
}
