//! A plan that was saved is refused when the world moved, whatever of it moved; and what somebody changed while a push waited stays.

use headwater_fakes::Conditions;
use headwater_tests::project::{Project, Run};
use serde_json::json;

use super::Fact;
use super::stand::{Stand, hubspot, list, project, run};

const SINK: &str = "    audience: \"may_contact\"
    map: { email: email, firstname: given_name, jobtitle: job_title }
    policy: { default: fill_blank, jobtitle: overwrite }
";
const ANN: [&str; 8] = ["1", "ann@example.com", "Ann", "Alder", "Head", "DE", "", ""];
const BOB: [&str; 8] = ["2", "bob@example.com", "Bob", "Birch", "Head", "DE", "", ""];

#[test]
fn each_kind_of_movement_refuses_the_plan_before_anything_is_written() -> Fact {
    let change = |project: &Project, from: &str, to: &str| -> Fact {
        let settings = project.read("headwater.yaml")?;
        assert!(settings.contains(from), "{settings}");
        Ok(project.write("headwater.yaml", &settings.replace(from, to))?)
    };
    type Move<'a> = (&'a str, &'a dyn Fn(&Project, &Stand<headwater_fakes::hubspot::HubSpot>) -> Fact);
    let moves: [Move<'_>; 7] = [
        ("came into the audience", &|project, _| {
            project.write("list.csv", &list(&[ANN, BOB]))?;
            run(project, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
            Ok(())
        }),
        ("our `jobtitle` changed", &|project, _| {
            project.write("list.csv", &list(&[["1", "ann@example.com", "Ann", "Alder", "Chief", "DE", "", ""]]))?;
            run(project, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
            Ok(())
        }),
        ("was `update`, is now `held_back`", &|project, _| {
            run(project, &["suppress", "ann@example.com"])?.done()?;
            Ok(())
        }),
        ("`jobtitle` changed in the remote", &|_, crm| {
            crm.with(|crm| {
                let fields = [("jobtitle".to_owned(), "By another hand".to_owned())].into();
                crm.records("contacts").map(|records| records.change("1001", fields, 9))
            });
            Ok(())
        }),
        ("`jobtitle` would no longer change", &|project, _| change(project, "jobtitle: overwrite", "jobtitle: never")),
        ("is no longer in the audience", &|project, _| change(project, "\"may_contact\"", "\"country = 'FR'\"")),
        ("crm2", &|project, _| change(project, "  crm:", "  crm2:")),
    ];
    for (says, moved) in moves {
        let crm = hubspot(Conditions::default())?;
        crm.with(|crm| {
            let fields = [("email", "ann@example.com"), ("jobtitle", "By hand")];
            let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            crm.records("contacts").map(|records| records.insert(fields, 7))
        });
        let project = project(crm.url(), SINK)?;
        project.write("list.csv", &list(&[ANN]))?;
        run(&project, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
        run(&project, &["plan", "--out", "plan.json"])?.done()?;
        moved(&project, &crm)?;
        let refused = run(&project, &["sync", "--plan", "plan.json"])?;
        assert!(refused.code != Some(0), "{says}: {refused}");
        if says != "crm2" {
            assert_eq!(refused.code, Some(7), "{says}: {refused}");
        }
        assert!(refused.stderr.contains(says.trim_end_matches('2')), "{says}: {refused}");
        assert_eq!(crm.counts().writes, 0, "{says}");
    }
    Ok(())
}

#[test]
fn who_checks_and_plans_makes_no_field_and_a_sync_makes_those_that_the_plan_named() -> Fact {
    let crm = Stand::start(headwater_fakes::hubspot::HubSpot::default(), Conditions::default(), 0)?;
    let sink = format!("    create_id_property: true\n{SINK}");
    let project = project(crm.url(), &sink)?;
    project.write("list.csv", &list(&[ANN]))?;
    run(&project, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
    let checked = run(&project, &["check", "--format", "json"])?.done()?;
    assert!(checked.stdout.contains("a sync would first make in crm: headwater_id"), "{checked}");
    let plan = run(&project, &["plan", "--format", "json"])?.done()?.json()?;
    assert_eq!(plan["sinks"][0]["fields_to_make"], json!(["headwater_id"]), "{plan}");
    let plan = run(&project, &["plan", "--out", "plan.json"])?.done()?;
    assert!(plan.stdout.contains("fields that a sync makes in the remote first: headwater_id"), "{plan}");
    run(&project, &["sync", "--dry-run"])?;
    assert_eq!(crm.counts().writes, 0, "nothing is made so far");

    let settings = project.read("headwater.yaml")?;
    let more =
        settings.replace("    create_id_property: true", "    create_id_property: true\n    create_properties: [first_touch]");
    project.write("headwater.yaml", &more)?;
    let refused = run(&project, &["sync", "--plan", "plan.json"])?;
    assert_eq!((refused.code, crm.counts().writes), (Some(7), 0), "{refused}");
    assert!(refused.stderr.contains("the field `first_touch` would be made too"), "{refused}");
    project.write("headwater.yaml", &settings)?;
    let applied = run(&project, &["sync", "--plan", "plan.json", "--format", "json"])?.done()?.json()?;
    assert_eq!(applied["sinks"]["crm"]["created"], json!(1), "{applied}");
    let again = run(&project, &["plan", "--format", "json"])?.done()?.json()?;
    assert_eq!(again["sinks"][0]["fields_to_make"], json!([]), "{again}");
    Ok(())
}

#[test]
fn a_plan_of_another_project_is_refused() -> Fact {
    let crm = hubspot(Conditions::default())?;
    let (one, other) = (project(crm.url(), SINK)?, project(crm.url(), SINK)?);
    one.write("list.csv", &list(&[ANN]))?;
    other.write("list.csv", &list(&[["7", "gil@example.com", "Gil", "Gorse", "Head", "DE", "", ""]]))?;
    for project in [&one, &other] {
        run(project, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
    }
    run(&one, &["plan", "--out", "plan.json"])?.done()?;
    other.write("plan.json", &one.read("plan.json")?)?;
    let refused = run(&other, &["sync", "--plan", "plan.json"])?;
    assert_eq!((refused.code, crm.counts().writes), (Some(7), 0), "{refused}");
    Ok(())
}

/// Queues a change and dies before it is pushed; lets `edit` happen, and goes on.
fn pushed_after(project: &Project, run: impl Fn(&[&str]) -> std::io::Result<Run>, edit: impl FnOnce()) -> Fact {
    run(&["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
    let died = run(&["sync", "--stage", "deliver", "--fault", "after-commit"])?;
    assert_eq!(died.code, None, "{died}");
    edit();
    let next = run(&["sync", "--stage", "deliver", "--format", "json"])?.done()?.json()?;
    assert_eq!((&next["sinks"]["crm"]["updated"], &next["sinks"]["crm"]["held_back"]), (&json!(0), &json!(1)), "{next}");
    assert_eq!(project.rows("SELECT op FROM delivery", &[], |_| {})?.len(), 0);
    Ok(())
}

#[test]
fn what_somebody_wrote_while_a_push_waited_is_not_written_over() -> Fact {
    let crm = hubspot(Conditions::default())?;
    crm.with(|crm| {
        let fields = [("email".to_owned(), "ann@example.com".to_owned())].into();
        crm.records("contacts").map(|records| records.insert(fields, 7))
    });
    let project = project(crm.url(), &SINK.replace("jobtitle: overwrite", "jobtitle: fill_blank"))?;
    project.write("list.csv", &list(&[ANN]))?;
    pushed_after(
        &project,
        |args| run(&project, args),
        || {
            crm.with(|crm| {
                let fields = [("jobtitle".to_owned(), "By hand".to_owned())].into();
                crm.records("contacts").map(|records| records.change("1001", fields, 9))
            });
        },
    )?;
    let title = |crm: &Stand<headwater_fakes::hubspot::HubSpot>| crm.state()["contacts"][0]["jobtitle"].clone();
    assert_eq!(title(&crm), json!("By hand"));
    run(&project, &["sync", "--stage", "deliver"])?.done()?;
    assert_eq!(title(&crm), json!("By hand"), "a field that is filled is not filled");
    Ok(())
}

#[test]
fn a_person_made_by_hand_while_a_push_waited_is_taken_over_and_not_made_twice() -> Fact {
    let crm = hubspot(Conditions::default())?;
    let project = project(crm.url(), SINK)?;
    project.write("list.csv", &list(&[ANN]))?;
    pushed_after(
        &project,
        |args| run(&project, args),
        || {
            crm.with(|crm| {
                let fields = [("email".to_owned(), "ann@example.com".to_owned())].into();
                crm.records("contacts").map(|records| records.insert(fields, 7))
            });
        },
    )?;
    let next = run(&project, &["sync", "--stage", "deliver", "--format", "json"])?.done()?.json()?;
    assert_eq!((&next["sinks"]["crm"]["created"], &next["sinks"]["crm"]["updated"]), (&json!(0), &json!(1)), "{next}");
    assert_eq!(crm.state()["contacts"].as_array().map(Vec::len), Some(1));
    Ok(())
}
