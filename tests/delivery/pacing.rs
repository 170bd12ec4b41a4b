//! Too many calls, a wrong token, a row that is refused again and again: what each costs, and what is said.

use headwater_fakes::{Conditions, Rate, RetryAfter};
use headwater_tests::project::{Project, Run};
use serde_json::json;

use super::Fact;
use super::stand::{Stand, TOKEN, hubspot, list, project, run};

const SINK: &str = "    audience: \"true\"
    map: { email: email, firstname: given_name, jobtitle: job_title }
    policy: { default: overwrite }
";
/// A source that reads the CRM that the sink writes to.
const SOURCE: &str = r#"version: 1
name: people
title: People
summary: reads the people of the CRM
connection:
  url: { type: url, about: Where it is. }
  token: { type: secret, about: A token. }
hosts: ["${connection.url}"]
api:
  url: "${connection.url}"
  auth: { type: bearer, token: "${connection.token}" }
  budget: { requests: 1000, per: 1m }
streams:
  people:
    role: leads
    origin: import
    request: { path: /crm/v3/objects/contacts, query: { limit: "${page.size}", after: "${page.token}" } }
    paging: { type: token, next: response.paging.next.after, size: 1 }
    records: { from: response.results }
    key: record.id
    fields: { id: , email: record.properties.email }
    map: { external_id: id, email: email }
"#;
const ANN: [&str; 8] = ["1", "ann@example.com", "Ann", "Alder", "Head", "DE", "", ""];
const BOB: [&str; 8] = ["2", "bob@example.com", "Bob", "Birch", "Head", "DE", "", ""];

#[test]
fn a_call_too_many_is_waited_for_in_every_form_and_is_no_failure() -> Fact {
    for form in [None, Some(RetryAfter::Seconds)] {
        let rate = Some(Rate { calls: 4, window_ms: 900 });
        // The stand-in's time goes on by 150 ms with each call.
        let mut vendor = headwater_fakes::hubspot::HubSpot::default();
        vendor.add_property("contacts", "headwater_id", true);
        let crm = Stand::start(vendor, Conditions { rate, retry_after: form, ..Conditions::default() }, 150_000)?;
        let project = project(crm.url(), SINK)?;
        project.write("list.csv", &list(&[ANN, BOB]))?;
        let synced = run(&project, &["sync", "--format", "json"])?.done()?.json()?;
        assert_eq!(synced["sinks"]["crm"]["created"], json!(2), "{synced}");
        assert_eq!(crm.state()["contacts"].as_array().map(Vec::len), Some(2));
    }
    Ok(())
}

#[test]
fn two_projects_of_one_credential_spend_one_days_calls() -> Fact {
    let crm = hubspot(Conditions::default())?;
    let cache = tempfile::tempdir()?;
    let of = |project: &Project, args: &[&str], shared: bool| {
        let mut command = project.command(args);
        command.env("CRM_TOKEN", TOKEN);
        if shared {
            command.env("XDG_CACHE_HOME", cache.path());
        }
        project.finish(&mut command)
    };
    let sink = SINK.replace("    policy:", "    budget: { calls_per_day: 100 }\n    policy:");
    let (one, other) = (project(crm.url(), &sink)?, project(crm.url(), &sink)?);
    let left = |run: &Run| Ok::<_, std::io::Error>(run.json()?["sinks"][0]["budget"]["calls_left_today"].as_u64());
    for (project, person) in [(&one, ANN), (&other, BOB)] {
        project.write("list.csv", &list(&[person]))?;
        of(project, &["sync", "--stage", "ingest", "--stage", "resolve"], true)?.done()?;
    }
    of(&one, &["sync", "--stage", "deliver"], true)?.done()?;
    let plan = of(&other, &["plan", "--format", "json"], true)?.done()?;
    assert_eq!(left(&plan)?, Some(100 - crm.counts().calls), "what the other project and this plan spent: {plan}");
    let before = crm.counts().calls;
    let alone = of(&other, &["plan", "--format", "json"], false)?.done()?;
    assert_eq!(left(&alone)?, Some(100 - (crm.counts().calls - before)), "without the folder each counts alone: {alone}");
    Ok(())
}

#[test]
fn a_source_and_a_sink_of_one_credential_spend_one_days_calls() -> Fact {
    let crm = hubspot(Conditions::default())?;
    for (id, email) in [(1, "ann@example.com"), (2, "bob@example.com"), (3, "cid@example.com")] {
        crm.with(|crm| {
            crm.records("contacts").map(|records| records.insert([("email".to_owned(), email.to_owned())].into(), id))
        });
    }
    let cache = tempfile::tempdir()?;
    let writer = project(crm.url(), &SINK.replace("    policy:", "    budget: { calls_per_day: 100 }\n    policy:"))?;
    let reader = Project::of(&format!(
        "sources:\n  crm: {{ connector: ./people/connector.yaml, url: {}, token: {{ env: CRM_TOKEN }}, basis: {{ lawful_basis: contract }} }}\n",
        crm.url()
    ))?;
    reader.write("people/connector.yaml", SOURCE)?;
    writer.write("list.csv", &list(&[ANN]))?;
    let of = |project: &Project, args: &[&str]| {
        project.finish(project.command(args).env("CRM_TOKEN", TOKEN).env("XDG_CACHE_HOME", cache.path()))
    };
    of(&writer, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
    let read = of(&reader, &["sync", "--stage", "ingest", "--format", "json"])?.done()?;
    let asked = crm.counts().calls;
    assert!(asked >= 3, "a page each: {read}");
    let plan = of(&writer, &["plan", "--format", "json"])?.done()?;
    assert!(crm.counts().calls > asked);
    assert_eq!(plan.json()?["sinks"][0]["budget"]["calls_left_today"], json!(100 - crm.counts().calls), "{plan}");
    Ok(())
}

#[test]
fn a_wrong_token_is_named_by_the_key_that_refers_to_it() -> Fact {
    let crm = hubspot(Conditions::default())?;
    let project = project(crm.url(), SINK)?;
    project.write("list.csv", &list(&[ANN]))?;
    for args in [&["check", "--format", "json"][..], &["sync"], &["plan"], &["drift"]] {
        let refused = project.finish(project.command(args).env("CRM_TOKEN", "pat-of-yesterday"))?;
        if args == ["drift"] && refused.code == Some(0) {
            // Nothing was written that could be read back.
            continue;
        }
        assert_eq!(refused.code, Some(6), "{refused}");
        for part in ["crm", "`token` (headwater.yaml:", "environment variable CRM_TOKEN"] {
            let said = if args[0] == "check" { &refused.stdout } else { &refused.stderr };
            assert!(said.contains(part), "`{part}` is not said: {refused}");
        }
        assert!(!refused.to_string().contains("pat-of-yesterday"), "{refused}");
    }
    Ok(())
}

#[test]
fn a_wrong_token_of_a_source_is_named_by_what_looks_into_it() -> Fact {
    let crm = hubspot(Conditions::default())?;
    let project = Project::of(&format!(
        "sources:\n  deals: {{ connector: hubspot, url: {}, token: {{ env: CRM_TOKEN }}, streams: [deals] }}\n",
        crm.url()
    ))?;
    for args in [&["check", "--format", "json"][..], &["preview", "deals", "--stream", "deals"]] {
        let refused = project.finish(project.command(args).env("CRM_TOKEN", "pat-of-yesterday"))?;
        assert_eq!(refused.code, Some(6), "{refused}");
        for part in ["`token` (headwater.yaml:", "environment variable CRM_TOKEN"] {
            assert!(refused.to_string().contains(part), "`{part}` is not said: {refused}");
        }
    }
    Ok(())
}

#[test]
fn a_refused_row_is_not_tried_again_by_itself_and_is_by_hand() -> Fact {
    let crm = hubspot(Conditions { refuse: Some("poison".to_owned()), ..Conditions::default() })?;
    let project = project(crm.url(), SINK)?;
    let bad = ["2", "bob@example.com", "Bob", "Birch", "poison", "DE", "", ""];
    project.write("list.csv", &list(&[ANN, bad]))?;
    let first = run(&project, &["sync", "--format", "json"])?;
    assert_eq!((first.code, &first.json()?["sinks"]["crm"]["rejected"]), (Some(4), &json!(1)), "{first}");
    let writes = crm.counts().writes;
    for _ in 0..3 {
        let again = run(&project, &["sync", "--format", "json"])?;
        assert_eq!((again.code, &again.json()?["sinks"]["crm"]["rejected"]), (Some(4), &json!(1)), "{again}");
    }
    assert_eq!(crm.counts().writes, writes, "a poisoned row is not tried for ever");
    let refused = project.rows("SELECT field, stage, code FROM quarantine", &[], |_| {})?;
    assert_eq!(refused, [r#"{"code":"remote_refused","field":"jobtitle","stage":"deliver"}"#]);

    // Somebody mends the CRM: the same row is offered again by hand, without a change of the data.
    crm.set(Conditions::default());
    let retried = run(&project, &["quarantine", "retry", "--source", "crm"])?.done()?;
    let synced = run(&project, &["sync", "--format", "json"])?.done()?.json()?;
    assert_eq!(
        (&synced["sinks"]["crm"]["created"], &synced["sinks"]["crm"]["rejected"]),
        (&json!(1), &json!(0)),
        "{retried}{synced}"
    );
    assert_eq!(crm.state()["contacts"].as_array().map(Vec::len), Some(2));
    Ok(())
}

#[test]
fn a_refused_row_is_offered_again_after_a_while_and_not_for_ever() -> Fact {
    let crm = hubspot(Conditions { refuse: Some("poison".to_owned()), ..Conditions::default() })?;
    let project =
        project(crm.url(), &SINK.replace("    policy:", "    retry_refused: { after_hours: 0, at_most: 2 }\n    policy:"))?;
    project.write("list.csv", &list(&[["2", "bob@example.com", "Bob", "Birch", "poison", "DE", "", ""]]))?;
    let rejected = |run: &Run| Ok::<_, std::io::Error>(run.json()?["sinks"]["crm"]["rejected"].clone());
    let synced = |times: usize| -> Fact {
        for _ in 0..times {
            let again = run(&project, &["sync", "--format", "json"])?;
            assert_eq!((again.code, rejected(&again)?), (Some(4), json!(1)), "{again}");
        }
        Ok(())
    };
    synced(1)?;
    let writes = crm.counts().writes;
    let plan = run(&project, &["plan", "--format", "json"])?.done()?.json()?;
    assert_eq!(plan["sinks"][0]["rows"][0]["action"], json!("waiting"), "{plan}");
    synced(4)?;
    assert_eq!(crm.counts().writes, writes, "a refusal writes nothing");
    let attempts = project.rows("SELECT outcome FROM delivery WHERE outcome = 'rejected'", &[], |_| {})?.len();
    assert_eq!(attempts, 3, "the first and two more");

    // Mended in the remote while it still may be offered.
    let other =
        super::stand::project(crm.url(), &SINK.replace("    policy:", "    retry_refused: { after_hours: 0 }\n    policy:"))?;
    other.write("list.csv", &list(&[["3", "cat@example.com", "Cat", "Cedar", "poison", "DE", "", ""]]))?;
    assert_eq!(run(&other, &["sync"])?.code, Some(4));
    crm.set(Conditions::default());
    let mended = run(&other, &["sync", "--format", "json"])?.done()?.json()?;
    assert_eq!(mended["sinks"]["crm"]["created"], json!(1), "{mended}");
    let open = run(&other, &["quarantine", "list", "--format", "json"])?.done()?;
    assert!(!open.stdout.contains("jobtitle"), "it is dealt with: {open}");
    Ok(())
}

#[test]
fn a_remote_that_fails_leaves_rows_that_the_next_run_pushes_without_a_change() -> Fact {
    let crm = hubspot(Conditions::default())?;
    let project = project(crm.url(), SINK)?;
    project.write("list.csv", &list(&[ANN, BOB]))?;
    run(&project, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
    let settings = project.read("headwater.yaml")?;
    project.write("headwater.yaml", &settings.replace("    policy:", "    budget: { calls_per_day: 1 }\n    policy:"))?;
    let waits = run(&project, &["sync", "--format", "json"])?;
    assert_eq!(waits.json()?["sinks"]["crm"]["pending"], json!(2), "{waits}");
    project.write("headwater.yaml", &settings)?;
    let next = run(&project, &["sync", "--format", "json"])?.done()?.json()?;
    assert_eq!((&next["sinks"]["crm"]["created"], &next["sinks"]["crm"]["pending"]), (&json!(2), &json!(0)), "{next}");
    Ok(())
}
