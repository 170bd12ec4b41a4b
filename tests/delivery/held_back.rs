//! Who is held back, and by which rule: the plan says it of everybody, before anything is sent.

use headwater_fakes::Conditions;
use headwater_tests::project::Project;
use serde_json::{Value, json};

use super::Fact;
use super::stand::{hubspot, list, project, run};

const SINK: &str = "    audience: \"country = 'DE' AND may_contact\"
    map: { email: email, firstname: given_name, lastname: family_name }
    required: [lastname]
";

fn planned(project: &Project) -> Result<Value, Box<dyn std::error::Error>> {
    let answer = run(project, &["plan", "--format", "json"])?.done()?.json()?;
    Ok(answer["sinks"][0].clone())
}

#[test]
fn a_plan_names_the_rule_for_everybody_whom_it_holds_back() -> Fact {
    let crm = hubspot(Conditions::default())?;
    let project = project(crm.url(), SINK)?;
    project.write(
        "list.csv",
        &list(&[
            ["1", "ann@example.com", "Ann", "Alder", "", "DE", "", ""],
            ["2", "bob@example.com", "Bob", "Birch", "", "DE", "", "no"],
            ["3", "cat@example.com", "Cat", "Cedar", "", "DE", "", ""],
            ["4", "dan@example.com", "Dan", "", "", "DE", "", ""],
            ["5", "eve@example.com", "Eve", "Elm", "", "FR", "", ""],
        ]),
    )?;
    run(&project, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
    run(&project, &["suppress", "cat@example.com"])?.done()?;

    let plan = planned(&project)?;
    let expected = json!({ "consent withdrawn": 1, "required field `lastname` has no value": 1, "suppressed": 1 });
    assert_eq!(plan["held_back"], expected, "{plan}");
    assert_eq!(plan["outside_audience"], json!(1), "{plan}");
    let human = run(&project, &["plan"])?.done()?;
    let told = "create 1, update 0, unchanged 0, held back 3 (consent withdrawn 1, required field `lastname` has no value 1, suppressed 1)";
    assert!(human.stdout.contains(told) && human.stdout.contains("together 4 (outside the audience 1)"), "{human}");
    assert!(human.stdout.contains("about 1 to write"), "the API calls: {human}");

    let dry = run(&project, &["sync", "--dry-run", "--format", "json"])?.json()?;
    assert_eq!((&dry["sinks"]["crm"]["pending"], &dry["sinks"]["crm"]["held_back"]), (&json!(1), &json!(3)), "{dry}");
    assert_eq!(crm.counts().writes, 0, "nothing was sent so far");
    let synced = run(&project, &["sync", "--format", "json"])?.done()?.json()?;
    let counts = &synced["sinks"]["crm"];
    assert_eq!(
        (&counts["created"], &counts["held_back"]),
        (&json!(1), &json!(3)),
        "what the plan said, and nothing else: {counts}"
    );
    assert_eq!(crm.state()["contacts"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[test]
fn consent_that_is_withdrawn_after_people_were_resolved_is_known_at_the_last_hop() -> Fact {
    let crm = hubspot(Conditions::default())?;
    let project = project(crm.url(), SINK)?;
    let people = |consent| {
        list(&[
            ["1", "ann@example.com", "Ann", "Alder", "", "DE", "", ""],
            ["2", "bob@example.com", "Bob", "Birch", "", "DE", "", consent],
        ])
    };
    project.write("list.csv", &people(""))?;
    run(&project, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
    run(&project, &["plan", "--out", "plan.json"])?.done()?;
    project.write("list.csv", &people("no"))?;
    run(&project, &["sync", "--stage", "ingest"])?.done()?;
    let refused = run(&project, &["sync", "--plan", "plan.json"])?;
    assert_eq!(refused.code, Some(7), "{refused}");
    assert!(refused.stderr.contains("was `create`, is now `held_back`"), "{refused}");
    assert_eq!(crm.counts().writes, 0);
    let synced = run(&project, &["sync", "--stage", "deliver", "--format", "json"])?.done()?.json()?;
    let counts = &synced["sinks"]["crm"];
    assert_eq!((&counts["created"], &counts["held_back"]), (&json!(1), &json!(1)), "{counts}");
    Ok(())
}

#[test]
fn nobody_is_made_a_record_of_while_a_person_must_say_who_they_are() -> Fact {
    let project = Project::demo()?;
    let settings = project.read("headwater.yaml")?;
    let everybody = settings.replace("audience: \"lifecycle = 'customer' AND may_contact\"", "audience: \"true\"");
    assert_ne!(settings, everybody);
    project.write("headwater.yaml", &everybody)?;
    project.run(&["sync", "--stage", "ingest", "--stage", "resolve"])?;
    let plan = project.run(&["plan", "--format", "json"])?.done()?.json()?;
    let held = plan["sinks"][0]["held_back"]["review pending"].as_u64().unwrap_or_default();
    assert!(held > 0, "{}", plan["sinks"][0]["held_back"]);
    project.write("headwater.yaml", &everybody.replace("    audience:", "    hold_in_review: false\n    audience:"))?;
    let plan = project.run(&["plan", "--format", "json"])?.done()?.json()?;
    assert_eq!(plan["sinks"][0]["held_back"], json!({}));
    Ok(())
}
