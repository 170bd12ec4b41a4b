//! Saved plans, what a field is made of, and calls that are refused as a whole.

use std::sync::atomic::Ordering;

use headwater_runtime::Error;
use headwater_runtime::deliver::{Action, Keep, Nobody, Plan, PlanFile, SavedPlan, plans};
use headwater_runtime::project::SinkEntry;
use headwater_runtime::sync::{StageName, SyncOptions};
use headwater_sdk::sink::Fields;

use crate::rig::{DAY, Rig};

/// What is planned for the people of a sink.
async fn plan(rig: &Rig, sink: &SinkEntry) -> Result<Plan, Error> {
    Ok(plans(&rig.engine, &[sink], Keep::All, &mut Nobody).await?.remove(0))
}

const COLUMNS: &[&str] = &["email", "given_name", "job_title"];
const ANN: (&str, &[&str]) = ("1", &["ann@example.com", "Ann", "Director"]);
const BOB: (&str, &[&str]) = ("2", &["bob@example.com", "Bob", ""]);

fn project(sink: &str) -> String {
    format!(
        "identity: {{ engine: exact }}\n\
         sources: {{ list: {{ connector: script }} }}\n\
         sinks: {{ crm: {{ connector: remote, audience: 'true', map: {{ email: email, name: given_name, title: job_title }}{sink} }} }}\n"
    )
}

fn fields(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(field, value)| ((*field).to_owned(), Some((*value).to_owned()))).collect()
}

async fn resolved(rig: &Rig) {
    let stages = vec![StageName::Ingest, StageName::Resolve];
    rig.try_sync(&SyncOptions { stages, ..SyncOptions::default() }).await.unwrap();
}

async fn saved(rig: &Rig) -> SavedPlan {
    let path = rig.engine.project.base_dir.join("plan.json");
    let mut file = PlanFile::create(&rig.engine, &path).unwrap();
    plans(&rig.engine, &[rig.engine.project.sink("crm").unwrap()], Keep::First(0), &mut file).await.unwrap();
    file.finish().unwrap();
    SavedPlan::read(&path).unwrap()
}

async fn refused(rig: &Rig, saved: &SavedPlan) -> String {
    let options = SyncOptions { plan: Some(saved.clone()), ..SyncOptions::default() };
    match rig.try_sync(&options).await {
        Err(Error::Moved { what, .. }) => what,
        other => panic!("the plan was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_saved_plan_is_applied_as_it_says_and_nothing_else_happens() {
    let rig = Rig::new(&project("")).await;
    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    resolved(&rig).await;
    let saved = saved(&rig).await;
    rig.scripts.say("list", COLUMNS, &[("3", &["cat@example.com", "Cat", ""])]);
    let options = SyncOptions { plan: Some(saved.clone()), ..SyncOptions::default() };
    let report = rig.try_sync(&options).await.unwrap();
    assert_eq!(report.sinks["crm"].created, 2);
    assert!(report.sources.is_empty() && !report.resolve.worked, "a plan reads no source");
    assert_eq!(rig.remote.people().len(), 2);
    assert!(refused(&rig, &saved).await.contains("is as the plan would have it already"), "a plan is applied once");
}

#[tokio::test]
async fn a_saved_plan_is_refused_when_the_world_moved_and_says_where() {
    let rig = Rig::new(&project(", policy: { default: overwrite }")).await;
    rig.remote.inner.put("hand-1", fields(&[("email", "ann@example.com"), ("title", "Chief")]));
    rig.scripts.say("list", COLUMNS, &[ANN]);
    resolved(&rig).await;
    let first = saved(&rig).await;

    rig.remote.inner.put("hand-1", fields(&[("email", "ann@example.com"), ("title", "President")]));
    let moved = refused(&rig, &first).await;
    assert!(moved.contains("`title` changed in the remote") && !moved.contains("President"), "{moved}");

    let second = saved(&rig).await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Anna", "Director"]), BOB]);
    resolved(&rig).await;
    let moved = refused(&rig, &second).await;
    assert!(moved.contains("our `name` changed") && moved.contains("came into the audience"), "{moved}");
    assert!(rig.remote.written().is_empty());
}

#[tokio::test]
async fn a_plan_without_rows_and_one_of_several_sinks_are_applied_and_a_row_of_any_of_them_that_moved_refuses_all() {
    let two = |audience: &str| {
        let sink = |audience: &str| {
            format!("{{ connector: remote, audience: \"{audience}\", map: {{ email: email, name: given_name }} }}")
        };
        format!(
            "identity: {{ engine: exact }}\nsources: {{ list: {{ connector: script }} }}\nsinks: {{ crm: {}, also: {} }}\n",
            sink("true"),
            sink(audience)
        )
    };
    let both = async |rig: &Rig| {
        let path = rig.engine.project.base_dir.join("plan.json");
        let mut file = PlanFile::create(&rig.engine, &path).unwrap();
        let sinks: Vec<&SinkEntry> = rig.engine.project.sinks.iter().collect();
        plans(&rig.engine, &sinks, Keep::First(0), &mut file).await.unwrap();
        file.finish().unwrap();
        SavedPlan::read(&path).unwrap()
    };
    let mut rig = Rig::new(&two("city = 'Nowhere'")).await;
    rig.scripts.say("list", COLUMNS, &[]);
    resolved(&rig).await;
    let empty = both(&rig).await;
    let report = rig.try_sync(&SyncOptions { plan: Some(empty.clone()), ..SyncOptions::default() }).await.unwrap();
    assert_eq!((report.sinks["crm"], report.sinks["also"]), Default::default());

    rig.scripts.say("list", COLUMNS, &[ANN, BOB]);
    resolved(&rig).await;
    assert_eq!(refused(&rig, &empty).await.matches("crm: prs_").count(), 2, "everybody came into the audience");
    let saved = both(&rig).await;
    assert_eq!(saved.sinks().count(), 2);
    rig.change(&two("given_name = 'Ann'")).await;
    let moved = refused(&rig, &saved).await;
    assert!(moved.starts_with("also: prs_") && moved.ends_with("came into the audience"), "{moved}");
    assert!(rig.remote.written().is_empty());
    let saved = both(&rig).await;
    rig.change(&two("city = 'Nowhere'")).await;
    assert!(refused(&rig, &saved).await.contains("is no longer in the audience"));
    rig.change(&two("given_name = 'Ann'")).await;
    let report = rig.try_sync(&SyncOptions { plan: Some(saved), ..SyncOptions::default() }).await.unwrap();
    let counts = |sink: &str| (report.sinks[sink].created, report.sinks[sink].unchanged);
    assert_eq!((counts("also"), counts("crm")), ((1, 0), (1, 1)), "both write into one remote, where Ann is made once");
}

#[tokio::test]
async fn a_plan_of_more_people_than_are_planned_at_once_is_applied_and_of_many_differences_eight_are_named() {
    let rig = Rig::new(&project("")).await;
    rig.remote.most.store(1_000, Ordering::Relaxed);
    let names: Vec<(String, String)> = (0..4_100).map(|n| (n.to_string(), format!("p{n}@example.com"))).collect();
    let people = |title: &str| {
        let cells: Vec<[&str; 3]> = names.iter().map(|(_, email)| [email.as_str(), "P", title]).collect();
        let rows: Vec<(&str, &[&str])> = names.iter().zip(&cells).map(|((key, _), cells)| (key.as_str(), &cells[..])).collect();
        rig.scripts.say("list", COLUMNS, &rows);
    };
    people("Head");
    resolved(&rig).await;
    let first = saved(&rig).await;
    people("Chief");
    resolved(&rig).await;
    let moved = refused(&rig, &first).await;
    assert_eq!(moved.matches("our `title` changed").count(), 8, "{moved}");
    assert!(moved.ends_with("and 4092 more"), "{moved}");
    let second = saved(&rig).await;
    let report = rig.try_sync(&SyncOptions { plan: Some(second), ..SyncOptions::default() }).await.unwrap();
    assert_eq!(report.sinks["crm"].created, 4_100);
}

#[tokio::test]
async fn a_plan_that_breaks_off_leaves_the_file_that_was_there() {
    let rig = Rig::new(&project("")).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    resolved(&rig).await;
    let path = rig.engine.project.base_dir.join("plan.json");
    std::fs::write(&path, "before").unwrap();
    let mut file = PlanFile::create(&rig.engine, &path).unwrap();
    plans(&rig.engine, &[rig.engine.project.sink("crm").unwrap()], Keep::First(0), &mut file).await.unwrap();
    drop(file);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
    let drafts = std::fs::read_dir(&rig.engine.project.base_dir).unwrap();
    let drafts = drafts.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(".headwater-"));
    assert_eq!(drafts.count(), 0);
    saved(&rig).await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "it names people");
    }
    let folder = PlanFile::create(&rig.engine, &rig.engine.project.base_dir).unwrap_err().to_string();
    assert!(folder.contains("is no file"), "{folder}");
}

#[tokio::test]
async fn a_file_that_is_no_plan_is_told() {
    let rig = Rig::new(&project("")).await;
    let path = rig.engine.project.base_dir.join("plan.json");
    std::fs::write(&path, "{}").unwrap();
    assert!(SavedPlan::read(&path).unwrap_err().to_string().contains("is no saved plan"));
}

#[tokio::test]
async fn a_call_that_is_refused_as_a_whole_is_parted_until_the_rows_at_fault_stand_alone() {
    for poison in [&[0][..], &[6], &[2, 3], &[0, 3, 6], &[0, 1, 2, 3, 4, 5, 6]] {
        let rig = Rig::new(&project("")).await;
        rig.remote.most.store(100, Ordering::Relaxed);
        rig.remote.inner.all_or_nothing();
        rig.remote.inner.refuse("title", "bad");
        let people: Vec<(String, [String; 3])> = (0..7)
            .map(|n| {
                let title = if poison.contains(&n) { "bad" } else { "good" };
                (n.to_string(), [format!("p{n}@example.com"), format!("P{n}"), title.to_owned()])
            })
            .collect();
        let cells: Vec<Vec<&str>> = people.iter().map(|(_, cells)| cells.iter().map(String::as_str).collect()).collect();
        let rows: Vec<(&str, &[&str])> = people.iter().zip(&cells).map(|((key, _), cells)| (key.as_str(), &cells[..])).collect();
        rig.scripts.say("list", COLUMNS, &rows);
        let counts = rig.sync().await.sinks["crm"];
        let bad = poison.len() as u64;
        assert_eq!((counts.created, counts.rejected, counts.pending), (7 - bad, bad, 0), "{poison:?}");
        assert_eq!(rig.remote.people().len() as u64, 7 - bad);
        let quarantined = rig.table("SELECT field, reason, count(*) FROM quarantine GROUP BY field, reason").await;
        assert_eq!(quarantined, [format!("title | title: is not acceptable | {bad}")]);
    }
}

#[tokio::test]
async fn a_template_makes_a_field_of_several() {
    let sink = r#", policy: { default: overwrite }"#;
    let text = project(sink).replace("name: given_name", r#"name: "{{ given_name | upper }} <{{ email }}>""#);
    let rig = Rig::new(&text).await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "O'Brien", "Director"])]);
    rig.sync().await;
    assert_eq!(rig.remote.people()[0]["name"], "O'BRIEN <ann@example.com>");
    let mut rig = rig;
    for (template, says) in [("{{ given_nam }}", "no field `given_nam`"), ("{{ given_name", "the template is wrong")] {
        rig.change(&project(sink).replace("name: given_name", &format!("name: \"{template}\""))).await;
        let entry = rig.engine.project.sink("crm").unwrap();
        let error = plans(&rig.engine, &[entry], Keep::All, &mut Nobody).await.unwrap_err().in_one_line();
        assert!(error.contains(says) && error.contains("headwater.yaml:"), "{error}");
    }
}

#[tokio::test]
async fn sql_makes_a_field_of_the_row() {
    let sink = r#", policy: { default: overwrite }"#;
    let with = |sql: &str| project(sink).replace("name: given_name", &format!("name: {{ sql: \"{sql}\" }}"));
    let sql = "upper(given_name) || CASE WHEN may_contact THEN '' ELSE ' (' || hold_reason || ')' END -- a comment";
    let mut rig = Rig::new(&with(sql)).await;
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "O'Brien", "Director"]), ("2", &["bob@example.com", "", ""])]);
    rig.sync().await;
    let mut names: Vec<Option<String>> = rig.remote.people().iter().map(|person| person.get("name").cloned()).collect();
    names.sort();
    assert_eq!(names, [None, Some("O'BRIEN (no lawful basis recorded)".to_owned())], "null is no value");
    for (sql, says) in [
        ("given_nam", "did you mean `given_name`?"),
        ("upper(", "the SQL cannot be read"),
        ("1) AS a, (2", "the SQL cannot be read"),
        ("make_array(email)", "which has no text"),
        ("", "the SQL cannot be read"),
    ] {
        rig.change(&with(sql)).await;
        let error = plan(&rig, rig.engine.project.sink("crm").unwrap()).await.unwrap_err().in_one_line();
        assert!(error.contains(says) && error.contains("headwater.yaml:"), "{sql}: {error}");
    }
    rig.change(&with("CAST(email AS int)")).await;
    let error = plan(&rig, rig.engine.project.sink("crm").unwrap()).await.unwrap_err().in_one_line();
    assert!(error.contains("try_cast") && !error.contains("ann@"), "{error}");
}

#[tokio::test]
async fn a_value_that_is_gone_is_cleared_only_where_the_project_says_so() {
    for (clear, expected) in [("", Some("Director")), (", clear: [title]", None)] {
        let rig = Rig::new(&project(&format!(", policy: {{ default: keep_in_step }}{clear}"))).await;
        rig.scripts.say("list", COLUMNS, &[ANN]);
        rig.sync().await;
        rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann", ""])]);
        rig.sync().await;
        assert_eq!(rig.remote.people()[0].get("title").map(String::as_str), expected, "{clear}");
        let calls = rig.remote.inner.calls();
        rig.sync().await;
        assert_eq!(rig.remote.inner.calls(), calls, "once is enough");
    }
}

#[tokio::test]
async fn the_newer_side_wins() {
    for (changed_at, expected) in [("2030-01-01T00:00:00Z", "Chief"), ("2001-01-01T00:00:00Z", "Director")] {
        let rig = Rig::new(&project(", policy: { default: newest_wins }")).await;
        let by_hand = [("email", "ann@example.com"), ("title", "Chief"), ("changed_at", changed_at)];
        rig.remote.inner.put("hand-1", fields(&by_hand));
        rig.scripts.say("list", COLUMNS, &[ANN]);
        rig.sync().await;
        assert_eq!(rig.remote.people()[0]["title"], expected, "{changed_at}");
    }
}

#[tokio::test]
async fn what_the_remote_owns_is_set_once() {
    let rig = Rig::new(&project(", policy: { default: overwrite, title: crm_owned }")).await;
    rig.scripts.say("list", COLUMNS, &[ANN]);
    rig.sync().await;
    assert_eq!(rig.remote.people()[0]["title"], "Director");
    rig.scripts.say("list", COLUMNS, &[("1", &["ann@example.com", "Ann", "Chief"])]);
    resolved(&rig).await;
    let plan = plan(&rig, rig.engine.project.sink("crm").unwrap()).await.unwrap();
    assert_eq!(plan.rows[0].action, Action::Unchanged);
    assert_eq!(plan.rows[0].kept[0].reason, "it belongs to the remote once the record is made");
}

#[tokio::test]
async fn a_days_calls_are_kept_and_the_rest_waits_for_the_next_day() {
    let mut rig = Rig::new(&project(", budget: { calls_per_day: 9 }")).await;
    let names: Vec<(String, String)> = (0..7).map(|n| (n.to_string(), format!("p{n}@example.com"))).collect();
    let cells: Vec<[&str; 3]> = names.iter().map(|(_, email)| [email.as_str(), "P", ""]).collect();
    let rows: Vec<(&str, &[&str])> = names.iter().zip(&cells).map(|((key, _), cells)| (key.as_str(), &cells[..])).collect();
    rig.scripts.say("list", COLUMNS, &rows);
    let stages = vec![StageName::Ingest, StageName::Resolve];
    rig.try_sync(&SyncOptions { stages, ..SyncOptions::default() }).await.unwrap();
    let sink_of = |rig: &Rig| rig.engine.project.sink("crm").unwrap().clone();
    let planned = plan(&rig, &sink_of(&rig)).await.unwrap();
    assert_eq!(
        (planned.calls_made, planned.calls_to_write, planned.count(Action::Waiting)),
        (3, 6, 4),
        "those whom it can write"
    );
    let budget = planned.budget.unwrap();
    assert_eq!((budget.calls_per_day, budget.calls_left_today, budget.days_to_write), (9, 6, 3));

    let counts = rig.sync().await.sinks["crm"];
    assert_eq!((counts.created, counts.pending), (3, 4), "a call to look and two to write");
    let counts = rig.sync().await.sinks["crm"];
    assert_eq!((counts.created, counts.pending), (1, 3), "the same day: writing cost less than it may");
    let counts = rig.sync().await.sinks["crm"];
    assert_eq!((counts.created, counts.pending), (0, 3));
    rig.wait(DAY);
    let counts = rig.sync().await.sinks["crm"];
    assert_eq!((counts.created, counts.pending), (3, 0));
    assert_eq!(rig.remote.people().len(), 7);
    rig.change(&project("")).await;
    assert_eq!(plan(&rig, &sink_of(&rig)).await.unwrap().budget, None);
}
