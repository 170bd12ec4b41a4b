//! Names that would break a query stay what they are; and no log, however detailed, says a secret or whose data went by.

use headwater_fakes::Conditions;
use serde_json::json;

use super::Fact;
use super::stand::{TOKEN, hubspot, list, project, run};

const SINK: &str = "    audience: \"true\"
    map: { email: email, firstname: given_name, lastname: family_name, jobtitle: job_title }
    policy: { default: overwrite }
";

#[test]
fn awkward_names_and_addresses_arrive_as_they_are() -> Fact {
    let crm = hubspot(Conditions::default())?;
    let project = project(crm.url(), SINK)?;
    let people = [
        ["1", "o'brien@example.com", "Ann", "O'Brien", "", "", "", ""],
        ["2", "\"\"\"quo'ted\"\"@example.com\"", "Bob", "\"a \"\"b\"\" OR 1=1; --\"", "{{ 7 * 7 }}", "", "", ""],
    ];
    project.write("list.csv", &list(&people))?;
    for _ in 0..2 {
        run(&project, &["sync"])?;
    }
    let contacts = crm.state()["contacts"].clone();
    let of = |name: &str| contacts.as_array().into_iter().flatten().find(|contact| contact["firstname"] == name).cloned();
    let ann = of("Ann").ok_or("no Ann")?;
    assert_eq!((&ann["lastname"], &ann["email"]), (&json!("O'Brien"), &json!("o'brien@example.com")));
    let bob = of("Bob").ok_or_else(|| format!("no Bob in {contacts}"))?;
    assert_eq!((&bob["lastname"], &bob["jobtitle"]), (&json!("a \"b\" OR 1=1; --"), &json!("{{ 7 * 7 }}")));
    assert_eq!(contacts.as_array().map(Vec::len), Some(2), "a second look finds them both");
    Ok(())
}

#[test]
fn a_trace_of_everything_holds_no_secret_and_nobodys_data() -> Fact {
    let conditions = Conditions { refuse: Some("Poisonedtitle".to_owned()), ..Conditions::default() };
    let crm = hubspot(conditions)?;
    let project = project(crm.url(), SINK)?;
    let people = [
        ["1", "zebedee.quill@example.com", "Zebedee", "Quill", "Lampmaker", "", "", ""],
        ["2", "ottoline.marsh@example.com", "Ottoline", "Marshwiggle", "Poisonedtitle", "", "", ""],
    ];
    project.write("list.csv", &list(&people))?;
    let mut logs = String::new();
    let mut traced = |args: &[&str]| -> Result<String, Box<dyn std::error::Error>> {
        let mut args = args.to_vec();
        args.push("-vvv");
        let run = run(&project, &args)?;
        logs.push_str(&run.stderr);
        Ok(run.stdout)
    };
    traced(&["sync", "--stage", "ingest", "--stage", "resolve"])?;
    traced(&["plan", "--out", "plan.json"])?;
    traced(&["sync", "--plan", "plan.json"])?;
    let synced = traced(&["sync", "--format", "json"])?;
    traced(&["drift"])?;
    let run_id = project.rows("SELECT DISTINCT run_id FROM delivery WHERE outcome = 'created'", &["x"], |_| {})?.join("");
    let run_id = run_id.split('"').nth(3).ok_or_else(|| format!("no run: {synced}"))?.to_owned();
    traced(&["undo", &run_id])?;
    let wrong = project.finish(project.command(&["plan", "-vvv"]).env("CRM_TOKEN", "pat-of-yesterday"))?;
    logs.push_str(&wrong.stderr);
    assert!(logs.contains(" TRACE ") && logs.contains(" DEBUG "), "the log is not as detailed as it gets");
    let said = ["zebedee", "quill", "lampmaker", "ottoline", "marshwiggle", "poisonedtitle", TOKEN, "pat-of-yesterday"];
    let lower = logs.to_lowercase();
    for word in said {
        if let Some(at) = lower.find(&word.to_lowercase()) {
            let (from, to) = (at.saturating_sub(300), (at + 200).min(lower.len()));
            return Err(format!("`{word}` stands in a log: …{}…", lower.get(from..to).unwrap_or_default()).into());
        }
    }
    Ok(())
}
