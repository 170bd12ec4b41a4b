//! Every stand-in that `headwater fake` serves, with the sink that it prints: people, tasks about them and lists, and all of it taken back.

use headwater_tests::project::{Project, Run};
use serde_json::{Value, json};

use super::Fact;

const PEOPLE: &str = "id,email,first,last,title,city,phone
1,ada@alder.example,Ada,O'Brien,Head,Leeds,+44 113 496 0001
2,grace@alder.example,Grace,Example,Admiral,York,+44 113 496 0002
3,linus@alder.example,Linus,Example,Maker,Hull,+44 113 496 0003
";

fn run(project: &Project, secret: &str, args: &[&str]) -> std::io::Result<Run> {
    let mut command = project.command(args);
    command.env("CRM_SECRET", secret);
    project.finish(&mut command)
}

fn count(answer: &Value, part: &str, what: &str) -> Option<u64> {
    answer["sinks"][part][what].as_u64()
}

/// Twelve who are nobody else, three of them with a name that a stand-in refuses.
const POISONED: &str = "id,email,first,last,title,city,phone
1,ada@alder.example,Ada,Poisoner,Head,Leeds,+44 113 496 0001
2,grace@birch.example,Grace,O'Brien,Admiral,York,+44 113 496 0002
3,linus@cedar.example,Linus,Cedar,Maker,Hull,+44 113 496 0003
4,barbara@dogwood.example,Barbara,Dogwood,Chair,Bath,+44 113 496 0004
5,kenneth@elm.example,Kenneth,Elm,Buyer,Ely,+44 113 496 0005
6,radia@fir.example,Radia,Fir,Engineer,Wells,+44 113 496 0006
7,hedy@ginkgo.example,Hedy,Ginkgo,Actor,Ripon,+44 113 496 0007
8,donald@hazel.example,Donald,Poisonwood,Writer,Truro,+44 113 496 0008
9,frances@ivy.example,Frances,Poisson-Poison,Editor,Derby,+44 113 496 0009
10,alan@juniper.example,Alan,Juniper,Runner,Salford,+44 113 496 0010
11,mary@kapok.example,Mary,Kapok,Nurse,Durham,+44 113 496 0011
12,tim@larch.example,Tim,Larch,Clerk,Exeter,+44 113 496 0012
";

/// A project of these people with the sink that a stand-in printed.
fn settle(project: &Project, people: &str, sink: &str) -> std::io::Result<()> {
    let sink = sink.replace("lifecycle = 'customer' AND may_contact", "true").replace("became_customer_at", "first_seen_at");
    project.write("list.csv", people)?;
    project.write(
        "headwater.yaml",
        &format!(
            "version: 1
sources:
  list:
    connector: file
    path: list.csv
    key: id
    basis: {{ lawful_basis: contract }}
    map: {{ external_id: id, email: email, given_name: first, family_name: last, job_title: title, city: city, phone: phone }}
sinks:
{sink}"
        ),
    )
}

/// Whether a vendor keeps tasks, and lists.
fn keeps(vendor: &str, tasks: bool, lists: bool) -> Fact {
    let project = Project::empty()?;
    let mut fake = project.start(&["fake", vendor, "--format", "json"])?;
    let begun: Value = serde_json::from_str(&fake.line()?)?;
    let (sink, secret) = (begun["sink"].as_str().ok_or("no sink")?, begun["secret"].as_str().ok_or("no secret")?);
    assert_eq!((sink.contains("# tasks:"), sink.contains("# lists:")), (tasks, lists), "{sink}");
    let sink = sink.replace("# tasks:", "tasks:").replace("# lists:", "lists:").replace("conversion_count > 0", "true");
    settle(&project, PEOPLE, &sink)?;
    run(&project, secret, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
    let plan = run(&project, secret, &["plan"])?.done()?;
    assert!(plan.stdout.contains("crm: create 3, update 0"), "{plan}");
    let synced = run(&project, secret, &["sync", "--format", "json"])?.done()?.json()?;
    assert_eq!((count(&synced, "crm", "created"), count(&synced, "crm", "rejected")), (Some(3), Some(0)), "{synced}");
    for (part, there) in [("crm.tasks.welcome", tasks), ("crm.lists.newsletter", lists)] {
        assert_eq!(count(&synced, part, "created"), there.then_some(3), "{synced}");
    }
    let again = run(&project, secret, &["sync", "--format", "json"])?.done()?.json()?;
    for (part, there) in [("crm", true), ("crm.tasks.welcome", tasks), ("crm.lists.newsletter", lists)] {
        assert_eq!(count(&again, part, "unchanged"), there.then_some(3), "{again}");
    }
    let undone =
        run(&project, secret, &["undo", synced["run_id"].as_str().ok_or("no run")?, "--format", "json"])?.done()?.json()?;
    let taken = 3 + if tasks { 3 } else { 0 } + if lists { 3 } else { 0 };
    assert_eq!((&undone["removed"], &undone["left"]), (&json!(taken), &json!([])), "{undone}");
    fake.signal("TERM")?;
    let ended = fake.wait()?.done()?.json()?;
    // An audience archives whom it gives up.
    assert_eq!(ended["people"], if vendor == "mailchimp" { json!(3) } else { json!(0) }, "{ended}");
    Ok(())
}

/// Both refuse to remove what they have no more; what every sink does then is in the contract of removals.
#[test]
fn a_lost_answer_leaves_nobody_in_the_remote_and_nobody_unchanged_in_the_plan() -> Fact {
    for vendor in ["zoho", "salesforce"] {
        gives_back(vendor)?;
    }
    Ok(())
}

/// What a sync made is removed, though every other answer is lost.
fn gives_back(vendor: &str) -> Fact {
    let project = Project::empty()?;
    let mut fake = project.start(&["fake", vendor, "--lose-answer-every", "2", "--format", "json"])?;
    let begun: Value = serde_json::from_str(&fake.line()?)?;
    let (sink, secret) = (begun["sink"].as_str().ok_or("no sink")?, begun["secret"].as_str().ok_or("no secret")?);
    settle(&project, PEOPLE, sink)?;
    let synced = run(&project, secret, &["sync", "--format", "json"])?.done()?.json()?;
    let undone =
        run(&project, secret, &["undo", synced["run_id"].as_str().ok_or("no run")?, "--format", "json"])?.done()?.json()?;
    assert_eq!((&undone["removed"], &undone["left"]), (&json!(3), &json!([])), "{undone}");
    let plan = run(&project, secret, &["plan"])?.done()?;
    assert!(plan.stdout.contains("unchanged 0, held back 3"), "{plan}");
    fake.signal("TERM")?;
    assert_eq!(fake.wait()?.done()?.json()?["people"], json!(0));
    Ok(())
}

/// Of a batch with poison in it the others arrive, and the quarantine names the field that the vendor blames.
fn refuses(vendor: &str, field: &str) -> Fact {
    let project = Project::empty()?;
    let mut fake = project.start(&["fake", vendor, "--refuse", "Poison", "--whole-batch-fails", "--format", "json"])?;
    let begun: Value = serde_json::from_str(&fake.line()?)?;
    let (sink, secret) = (begun["sink"].as_str().ok_or("no sink")?, begun["secret"].as_str().ok_or("no secret")?);
    settle(&project, POISONED, sink)?;
    let synced = run(&project, secret, &["sync", "--format", "json"])?;
    assert_eq!(synced.code, Some(4), "{synced}");
    let told = synced.json()?;
    assert_eq!((count(&told, "crm", "created"), count(&told, "crm", "rejected")), (Some(9), Some(3)), "{told}");
    let refused = project.rows("SELECT stage, code, field, count(*) AS rows FROM quarantine GROUP BY ALL", &[], |_| {})?;
    let blamed = json!({ "stage": "deliver", "code": "remote_refused", "field": field, "rows": 3 }).to_string();
    assert_eq!(refused, [blamed]);
    fake.signal("TERM")?;
    assert_eq!(fake.wait()?.done()?.json()?["people"], json!(9));
    Ok(())
}

macro_rules! vendors {
    ($($name:ident: $vendor:expr, $tasks:expr, $lists:expr;)*) => {
        $(
            #[test]
            fn $name() -> Fact {
                keeps($vendor, $tasks, $lists)
            }
        )*
    };
}

macro_rules! poison {
    ($($name:ident: $vendor:expr, $field:expr;)*) => {
        $(
            #[test]
            fn $name() -> Fact {
                refuses($vendor, $field)
            }
        )*
    };
}

poison! {
    poison_keeps_nobody_else_out_of_hubspot: "hubspot", "lastname";
    poison_keeps_nobody_else_out_of_salesforce: "salesforce", "LastName";
    poison_keeps_nobody_else_out_of_pipedrive: "pipedrive", "name";
    poison_keeps_nobody_else_out_of_zoho: "zoho", "Last_Name";
    poison_keeps_nobody_else_out_of_odoo: "odoo", "name";
    poison_keeps_nobody_else_out_of_bottlecrm: "bottlecrm", "last_name";
    poison_keeps_nobody_else_out_of_attio: "attio", "name";
    poison_keeps_nobody_else_out_of_close: "close", "name";
    poison_keeps_nobody_else_out_of_dataverse: "dataverse", "lastname";
    poison_keeps_nobody_else_out_of_freshsales: "freshsales", "last_name";
    poison_keeps_nobody_else_out_of_brevo: "brevo", "attributes.LASTNAME";
    poison_keeps_nobody_else_out_of_mailchimp: "mailchimp", "merge_fields.LNAME";
}

vendors! {
    people_tasks_and_lists_go_into_hubspot_and_back: "hubspot", true, true;
    people_and_tasks_go_into_salesforce_and_back: "salesforce", true, false;
    people_and_tasks_go_into_pipedrive_and_back: "pipedrive", true, false;
    people_and_tasks_go_into_zoho_and_back: "zoho", true, false;
    people_and_tasks_go_into_odoo_and_back: "odoo", true, false;
    people_and_tasks_go_into_bottlecrm_and_back: "bottlecrm", true, false;
    people_and_tasks_go_into_attio_and_back: "attio", true, false;
    people_and_tasks_go_into_close_and_back: "close", true, false;
    people_and_tasks_go_into_dataverse_and_back: "dataverse", true, false;
    people_and_tasks_go_into_freshsales_and_back: "freshsales", true, false;
    people_and_lists_go_into_brevo_and_back: "brevo", false, true;
    people_and_lists_go_into_mailchimp_and_back: "mailchimp", false, true;
}

/// Looking people up leaves calls to write them, and both keep to the day.
fn keeps_to_the_day(vendor: &str) -> Fact {
    const PER_DAY: u64 = 40;
    let project = Project::empty()?;
    let mut fake = project.start(&["fake", vendor, "--format", "json"])?;
    let begun: Value = serde_json::from_str(&fake.line()?)?;
    let (sink, secret) = (begun["sink"].as_str().ok_or("no sink")?, begun["secret"].as_str().ok_or("no secret")?);
    let person = |at: u32| format!("{at},p{at}@alder{at}.example,Ada,Alder{at},Head,Leeds,\n");
    let people: String =
        std::iter::once("id,email,first,last,title,city,phone\n".to_owned()).chain((0..60).map(person)).collect();
    settle(&project, &people, &format!("{sink}    budget: {{ calls_per_day: {PER_DAY} }}\n"))?;
    run(&project, secret, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
    let first = run(&project, secret, &["sync", "--stage", "deliver", "--format", "json"])?;
    let answer = first.json()?;
    let (created, pending) = (count(&answer, "crm", "created").unwrap_or_default(), count(&answer, "crm", "pending"));
    assert!(created > 5 && pending == Some(60 - created), "some are written on the first day: {first}");
    assert_eq!(first.code, Some(if created == 60 { 0 } else { 5 }), "{first}");
    let again = run(&project, secret, &["sync", "--stage", "deliver", "--format", "json"])?;
    fake.signal("TERM")?;
    let calls = fake.wait()?.done()?.json()?["calls"].as_u64().ok_or("no calls")?;
    assert!(calls <= PER_DAY + 2, "{vendor}: {calls} calls on a day of {PER_DAY}: {first}{again}");
    Ok(())
}

#[test]
fn a_days_calls_bind_looking_where_each_costs_a_call() -> Fact {
    keeps_to_the_day("bottlecrm")
}

#[test]
fn a_days_calls_bind_looking_where_many_share_one() -> Fact {
    keeps_to_the_day("hubspot")
}
