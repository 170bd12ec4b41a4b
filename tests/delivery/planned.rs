//! A plan that is read, saved and applied; what it did taken back; rows that the CRM refuses.

use serde_json::json;

use super::crm::{Crm, POISON};
use super::{Fact, list, project, run};

const CONFLICT: i32 = 7;
const REFUSED_ROWS: i32 = 4;

#[test]
fn the_crm_is_as_before_after_a_sync_and_its_undo() -> Fact {
    let crm = Crm::start()?;
    crm.put("hand-1", &json!({ "id": "hand-1", "email": "p1@example.com", "title": "By hand", "last_name": "O'Brien" }));
    crm.put("hand-2", &json!({ "id": "hand-2", "email": "nobody@example.com" }));
    let before = crm.contacts();
    let project = project(&crm)?;
    project.write("list.csv", &list(5, |_| "Head \"of\" O'Brien & Co".to_owned().replace('"', "")))?;
    let answer = run(&project, &["sync", "--format", "json"])?.done()?.json()?;
    assert_eq!((&answer["sinks"]["crm"]["created"], &answer["sinks"]["crm"]["updated"]), (&json!(4), &json!(1)), "{answer}");
    assert_eq!(crm.contacts()["hand-1"]["title"], "Head of O'Brien & Co", "a quote stays a quote");
    let drift = run(&project, &["drift", "--format", "json"])?.done()?.json()?;
    assert_eq!(drift["sinks"][0]["fields"], json!([]), "{drift}");

    let run_id = answer["run_id"].as_str().ok_or("no run")?;
    let undone = run(&project, &["undo", run_id, "--format", "json"])?.done()?.json()?;
    assert_eq!((&undone["removed"], &undone["restored"], &undone["left"]), (&json!(6), &json!(1), &json!([])), "{undone}");
    assert_eq!(crm.contacts(), before);
    assert!(crm.accounts().is_empty());
    Ok(())
}

#[test]
fn what_somebody_changed_since_is_left_and_the_exit_code_says_so() -> Fact {
    let crm = Crm::start()?;
    let project = project(&crm)?;
    project.write("list.csv", &list(2, |_| "Head".to_owned()))?;
    let answer = run(&project, &["sync", "--format", "json"])?.done()?.json()?;
    let (id, mut contact) = crm.contacts().into_iter().next().ok_or("no contact")?;
    contact["title"] = json!("By hand");
    crm.put(&id, &contact);
    let drift = run(&project, &["drift"])?.done()?;
    assert!(drift.stdout.contains("1 fields differ") && drift.stdout.contains("By hand"), "{drift}");
    let undone = run(&project, &["undo", answer["run_id"].as_str().ok_or("no run")?])?;
    assert_eq!(undone.code, Some(REFUSED_ROWS), "{undone}");
    assert!(undone.stdout.contains("it was changed in the remote since"), "{undone}");
    assert_eq!(crm.contacts().len(), 1);
    Ok(())
}

#[test]
fn a_saved_plan_is_applied_exactly_or_not_at_all() -> Fact {
    let crm = Crm::start()?;
    let project = project(&crm)?;
    project.write("list.csv", &list(3, |_| "Head".to_owned()))?;
    run(&project, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
    let plan = run(&project, &["plan", "--out", "plan.json"])?.done()?;
    assert!(plan.stdout.contains("create 3") && plan.stdout.contains("API calls"), "{plan}");
    assert_eq!(crm.writes(), 0);

    crm.put("hand-1", &json!({ "id": "hand-1", "email": "p1@example.com", "title": "By hand" }));
    let moved = run(&project, &["sync", "--plan", "plan.json"])?;
    assert_eq!(moved.code, Some(CONFLICT), "{moved}");
    assert!(moved.stderr.contains("was `create`, is now `update`"), "{moved}");
    assert!(!moved.stderr.contains("@example.com"), "an error names nobody's address: {moved}");
    assert_eq!(crm.writes(), 0);

    run(&project, &["plan", "--out", "plan.json"])?.done()?;
    project.write("list.csv", &list(9, |_| "Head".to_owned()))?;
    let applied = run(&project, &["sync", "--plan", "plan.json", "--format", "json"])?.done()?.json()?;
    assert_eq!((&applied["sinks"]["crm"]["created"], &applied["sinks"]["crm"]["updated"]), (&json!(2), &json!(1)), "{applied}");
    assert_eq!(crm.contacts().len(), 3, "what the plan does not name does not happen");
    Ok(())
}

#[test]
fn rows_that_the_crm_refuses_are_quarantined_with_field_and_reason_and_the_others_arrive() -> Fact {
    for poison in [&[0_u32][..], &[3, 4], &[0, 5, 11]] {
        let crm = Crm::start()?;
        let project = project(&crm)?;
        let title = |person| if poison.contains(&person) { format!("{POISON}ed") } else { "Head".to_owned() };
        project.write("list.csv", &list(12, title))?;
        let synced = run(&project, &["sync", "--format", "json"])?;
        assert_eq!(synced.code, Some(REFUSED_ROWS), "{synced}");
        let counts = &synced.json()?["sinks"]["crm"];
        let bad = poison.len() as u64;
        assert_eq!((&counts["created"], &counts["rejected"], &counts["pending"]), (&json!(12 - bad), &json!(bad), &json!(0)));
        let refused = project.rows("SELECT field, reason, count(*) AS n FROM quarantine GROUP BY field, reason", &[], |_| {})?;
        assert_eq!(refused, [format!("{{\"field\":\"title\",\"n\":{bad},\"reason\":\"title: is not a valid choice.\"}}")]);
    }
    Ok(())
}

#[test]
fn two_projects_in_one_crm_share_its_companies_and_no_people_and_an_undo_takes_back_its_own() -> Fact {
    let crm = Crm::start()?;
    let (one, other) = (project(&crm)?, project(&crm)?);
    for (project, namespace) in [(&one, "eu"), (&other, "us")] {
        let settings = project.read("headwater.yaml")?;
        project.write(
            "headwater.yaml",
            &settings.replace(
                "    match_on: [external_id, email]",
                &format!("    id_namespace: {namespace}\n    match_on: [external_id]"),
            ),
        )?;
    }
    // The same keys, and so the same ids of ours; others by address.
    let people = list(4, |_| "Head".to_owned());
    one.write("list.csv", &people)?;
    other.write("list.csv", &people.replace("@example.com", "@example.org").replace("First", "Second"))?;
    run(&one, &["sync"])?.done()?;
    let before = (crm.contacts(), crm.accounts());
    let answer = run(&other, &["sync", "--format", "json"])?.done()?.json()?;
    assert_eq!(
        (&answer["sinks"]["crm"]["created"], &answer["sinks"]["crm.companies"]["created"]),
        (&json!(4), &json!(0)),
        "{answer}"
    );
    assert_eq!((crm.contacts().len(), crm.accounts().len()), (8, 1), "two people are two, their company is one");
    run(&other, &["undo", answer["run_id"].as_str().unwrap_or_default()])?.done()?;
    assert_eq!((crm.contacts(), crm.accounts()), before);
    Ok(())
}
