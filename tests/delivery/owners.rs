//! Owners by territory, in turns, up to what each can take: over all runs together.

use std::collections::BTreeMap;

use headwater_fakes::{Conditions, hubspot::HubSpot};

use super::Fact;
use super::stand::{Stand, hubspot, list, project, run};

const SINK: &str = "    audience: \"true\"
    map: { email: email, firstname: '{{ given_name | upper }}', lastname: { sql: \"coalesce(family_name, 'unknown')\" } }
    owners:
      field: hubspot_owner_id
      capacity: { '1': 3, '2': 1 }
      rules:
        - { countries: [DE], postal_codes: ['80'], to: ['9'] }
        - { to: ['1', '2'] }
";

/// How many each owner has; nobody's under the empty name.
fn owners(crm: &Stand<HubSpot>) -> BTreeMap<String, usize> {
    let mut owners = BTreeMap::new();
    for contact in crm.state()["contacts"].as_array().into_iter().flatten() {
        *owners.entry(contact["hubspot_owner_id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    owners
}

#[test]
fn capacity_counts_over_runs_and_whoever_finds_no_room_is_asked_for_again() -> Fact {
    let crm = hubspot(Conditions::default())?;
    let project = project(crm.url(), SINK)?;
    let people = [
        ["0", "p0@example.com", "Ann", "", "", "DE", "80331", ""],
        ["1", "p1@example.com", "Bob", "Birch", "", "FR", "", ""],
        ["2", "p2@example.com", "Cat", "Cedar", "", "FR", "", ""],
        ["3", "p3@example.com", "Dan", "Dogwood", "", "FR", "", ""],
        ["4", "p4@example.com", "Eve", "Elm", "", "FR", "", ""],
        ["5", "p5@example.com", "Fay", "Fir", "", "FR", "", ""],
        ["6", "p6@example.com", "Gil", "Gorse", "", "FR", "", ""],
    ];
    let expect = |counts: &[(&str, usize)]| {
        let counts = counts.iter().map(|(owner, count)| ((*owner).to_owned(), *count)).collect();
        assert_eq!(owners(&crm), counts);
    };
    project.write("list.csv", &list(people.get(..3).ok_or("people")?))?;
    let plan =
        run(&project, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done().and_then(|_| run(&project, &["plan"]))?;
    assert!(plan.stdout.contains("rule 1 of `owners` (country DE, postal code 80)"), "{plan}");
    run(&project, &["sync"])?.done()?;
    expect(&[("9", 1), ("1", 1), ("2", 1)]);
    assert!(crm.state()["contacts"].to_string().contains("\"ANN\""), "a template");
    assert!(crm.state()["contacts"].to_string().contains("\"unknown\""), "an SQL expression");
    project.write("list.csv", &list(&people))?;
    run(&project, &["sync"])?.done()?;
    expect(&[("9", 1), ("1", 3), ("2", 1), ("", 2)]);
    let settings = project.read("headwater.yaml")?;
    project.write("headwater.yaml", &settings.replace("'2': 1", "'2': 2"))?;
    run(&project, &["sync"])?.done()?;
    expect(&[("9", 1), ("1", 3), ("2", 2), ("", 1)]);
    Ok(())
}

#[test]
fn what_was_undone_of_somebody_whom_nobody_has_room_for_is_not_done_again() -> Fact {
    let crm = hubspot(Conditions::default())?;
    let sink = "    audience: \"true\"
    map: { email: email, jobtitle: job_title }
    policy: { jobtitle: overwrite }
    owners: { field: hubspot_owner_id, capacity: { '1': 0 }, rules: [{ to: ['1'] }] }
";
    let project = project(crm.url(), sink)?;
    let title = |title: &'static str| list(&[["0", "p0@example.com", "Ann", "Ash", title, "DE", "", ""]]);
    let shown = || crm.state()["contacts"][0]["jobtitle"].as_str().map(str::to_owned);
    project.write("list.csv", &title("Head"))?;
    run(&project, &["sync"])?.done()?;
    project.write("list.csv", &title("Chair"))?;
    let changed = run(&project, &["sync", "--format", "json"])?.done()?.json()?;
    assert_eq!(shown().as_deref(), Some("Chair"));
    run(&project, &["undo", changed["run_id"].as_str().ok_or("no run")?])?.done()?;
    for _ in 0..2 {
        run(&project, &["sync"])?.done()?;
        assert_eq!(shown().as_deref(), Some("Head"), "it was undone");
    }
    project.write("list.csv", &title("Founder"))?;
    run(&project, &["sync"])?.done()?;
    assert_eq!(shown().as_deref(), Some("Founder"));
    Ok(())
}
