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

    // It is a success, and tells what would be.
    let dry = run(&project, &["sync", "--dry-run", "--format", "json"])?.done()?.json()?;
    assert_eq!((&dry["sinks"]["crm"]["created"], &dry["sinks"]["crm"]["held_back"]), (&json!(1), &json!(3)), "{dry}");
    assert_eq!(dry["sinks"]["crm"]["pending"], json!(0), "{dry}");
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

#[test]
fn a_template_that_fails_for_somebody_holds_them_back_and_nobody_else() -> Fact {
    let crm = hubspot(Conditions::default())?;
    let sink = "    audience: \"true\"\n    map: { email: email, firstname: \"{{ job_title | plus_days(3) }}\" }\n";
    let project = project(crm.url(), sink)?;
    let people = [
        ["1", "ann@example.com", "Ann", "Alder", "2026-03-01", "DE", "", ""],
        ["2", "bob@example.com", "Bob", "Birch", "Head", "DE", "", ""],
    ];
    project.write("list.csv", &list(&people))?;
    run(&project, &["check"])?.done()?;
    let synced = run(&project, &["sync", "--format", "json"])?.done()?.json()?;
    let counts = &synced["sinks"]["crm"];
    assert_eq!((&counts["created"], &counts["held_back"]), (&json!(1), &json!(1)), "{synced}");
    assert_eq!(crm.state()["contacts"][0]["firstname"], json!("2026-03-04"));
    let plan = planned(&project)?;
    assert_eq!(plan["held_back"], json!({ "the template of `firstname` fails": 1 }), "{plan}");
    Ok(())
}

#[test]
fn a_map_that_can_make_nothing_of_anybody_is_refused_at_its_line() -> Fact {
    let crm = hubspot(Conditions::default())?;
    let refused = |value: &str, command: &str, said: &[&str]| -> Fact {
        let sink = format!("    audience: \"true\"\n    map:\n      email: email\n      firstname: {value}\n");
        let project = project(crm.url(), &sink)?;
        project.write("list.csv", &list(&[["1", "ann@example.com", "Ann", "Alder", "", "DE", "", ""]]))?;
        run(&project, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
        let refused = run(&project, &[command])?;
        assert_eq!(refused.code, Some(3), "{refused}");
        let line = project.read("headwater.yaml")?.lines().position(|line| line.contains("firstname:")).map_or(0, |at| at + 1);
        for part in said.iter().copied().chain([format!("headwater.yaml:{line}").as_str()]) {
            assert!(format!("{}{}", refused.stdout, refused.stderr).contains(part), "`{part}` is not said: {refused}");
        }
        Ok(())
    };
    refused("\"{{ given_name | shout }}\"", "check", &["unknown filter", "upper, lower"])?;
    refused("\"{{ given_name | replace }}\"", "check", &["missing argument"])?;
    refused("\"2026-12-01\"", "check", &["`\"{{ '2026-12-01' }}\"`"])?;
    // Of this nobody knows before there are rows.
    refused("{ sql: \"cast(given_name AS int)\" }", "plan", &["try_cast"])?;
    assert_eq!(crm.counts().writes, 0);
    Ok(())
}
