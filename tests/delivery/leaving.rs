//! Who does not belong in a list any more is taken off it, though the program is killed at every step and answers are lost.

use std::num::NonZeroU64;

use headwater_fakes::{Conditions, hubspot::HubSpot};
use headwater_tests::project::Project;
use serde_json::json;

use super::Fact;
use super::stand::{Stand, hubspot, list, project, run};

/// The most passes of a step that are tried.
const MOST_PASSES: u32 = 60;
/// People of the list; the first half leaves it.
const PEOPLE: usize = 6;
const SINK: &str = "    audience: \"true\"
    map: { email: email, firstname: given_name }
    lists: { news: { list: '42', when: \"true\" } }
";

steps! {
    death_before_a_receipt_has_its_name_takes_the_right_people_off: "after-file-before-rename";
    death_before_the_receipts_are_committed_takes_the_right_people_off: "after-files-before-commit";
    death_inside_a_commit_takes_the_right_people_off: "inside-commit-before-commit";
    death_after_a_commit_takes_the_right_people_off: "after-commit";
    death_before_the_crm_is_called_takes_the_right_people_off: "after-sent-before-settle";
}

/// A list; those before `left` took their consent back.
fn people(left: usize, count: usize) -> String {
    let rows: Vec<[String; 8]> = (0..count)
        .map(|n| {
            let consent = if n < left { "no" } else { "" };
            ["", "@example.com", "First", "Last", "", "", "", consent].map(|text| match text {
                "" | "no" => text.to_owned(),
                "@example.com" => format!("p{n}{text}"),
                _ => format!("{text}{n}"),
            })
        })
        .enumerate()
        .map(|(n, mut row)| {
            row[0] = n.to_string();
            row
        })
        .collect();
    list(&rows.iter().map(|row| row.each_ref().map(String::as_str)).collect::<Vec<_>>())
}

/// The addresses of those who are in the list.
fn members(crm: &Stand<HubSpot>) -> Vec<String> {
    crm.with(|crm| {
        let ids = crm.members("42");
        let records = crm.records("contacts");
        let email = |id: &String| records.as_ref()?.get(id)?.fields.get("email").cloned();
        let mut members: Vec<String> = ids.iter().filter_map(email).collect();
        members.sort();
        members
    })
}

/// A CRM with a list that somebody is in whom another hand put there, and a project whose people are in it too.
fn with_members() -> Result<(Stand<HubSpot>, Project), Box<dyn std::error::Error>> {
    let crm = hubspot(Conditions::default())?;
    crm.with(|crm| crm.add_list("42"));
    let project = project(crm.url(), SINK)?;
    project.write("list.csv", &people(0, PEOPLE))?;
    run(&project, &["sync"])?.done()?;
    assert_eq!(members(&crm).len(), PEOPLE);
    Ok((crm, project))
}

fn kill_at(point: &str) -> Fact {
    for pass in 1..=MOST_PASSES {
        let (crm, project) = with_members()?;
        // Half leave, and two come.
        project.write("list.csv", &people(PEOPLE / 2, PEOPLE + 2))?;
        run(&project, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
        crm.set(Conditions { lose_answer_every: NonZeroU64::new(3), ..Conditions::default() });
        let died = run(&project, &["sync", "--stage", "deliver", "--fault", &format!("{point}:{pass}")])?;
        assert!(pass > 1 || died.code.is_none(), "a delivery never passes {point}: {died}");
        crm.set(Conditions::default());
        let healed = run(&project, &["sync", "--stage", "deliver"])?.done()?;
        let expected: Vec<String> = (PEOPLE / 2..PEOPLE + 2).map(|n| format!("p{n}@example.com")).collect();
        assert_eq!(members(&crm), expected, "{point}, pass {pass}: {died}{healed}");
        let contacts = crm.state()["contacts"].as_array().map(Vec::len);
        assert_eq!(contacts, Some(PEOPLE + 2), "no record is removed, and nobody is made twice");
        let removed = "SELECT count(*) AS n, count(DISTINCT prospect_id) AS people FROM delivery WHERE sink = 'crm.lists.news' AND outcome = 'removed'";
        assert_eq!(project.rows(removed, &[], |_| {})?, ["{\"n\":3,\"people\":3}"], "{point}, pass {pass}");
        let writes = crm.counts().writes;
        run(&project, &["sync", "--stage", "deliver"])?.done()?;
        assert_eq!(crm.counts().writes, writes, "a sync without news writes nothing");
        if died.code.is_some() {
            return Ok(());
        }
    }
    Err(format!("{point} is passed without end").into())
}

#[test]
fn an_undo_puts_back_who_was_taken_off_and_takes_off_who_was_put_in() -> Fact {
    let (crm, project) = with_members()?;
    let before = members(&crm);
    let settings = project.read("headwater.yaml")?;
    project.write("headwater.yaml", &settings.replace("when: \"true\"", "when: \"email <> 'p1@example.com'\""))?;
    let answer = run(&project, &["sync", "--format", "json"])?.done()?.json()?;
    assert_eq!(answer["sinks"]["crm.lists.news"]["removed"], json!(1), "{answer}");
    assert_eq!(members(&crm).len(), PEOPLE - 1);
    run(&project, &["undo", answer["run_id"].as_str().unwrap_or_default()])?.done()?;
    assert_eq!(members(&crm), before);
    Ok(())
}
