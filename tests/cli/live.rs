//! The main job against real servers, which `./test e2e` starts: Ghost as the source, BottleCRM and PostgreSQL as sinks.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::Command;

use headwater_tests::project::{Project, Run, TABLES, server};
use headwater_tests::tree;
use serde_json::Value;

use super::{Fact, number};

#[test]
fn duckdb_reads_every_table_that_a_sync_wrote() -> Fact {
    let project = Project::demo()?;
    project.run(&["sync"])?;
    let mut counts = BTreeMap::new();
    for table in TABLES {
        counts.insert(table, project.rows(&format!("SELECT * FROM {table}"), &[], |_| {})?.len());
    }
    let check = Command::new(server("HEADWATER_TEST_DUCKDB_PYTHON"))
        .arg(tree::root().join("tests/duckdb_attach.py"))
        .arg(project.path(".headwater/ledger.db"))
        .arg(serde_json::to_string(&counts)?)
        .output()?;
    assert!(check.status.success(), "{}{}", String::from_utf8_lossy(&check.stdout), String::from_utf8_lossy(&check.stderr));
    assert!(counts.values().filter(|&&count| count > 0).count() > TABLES.len() / 2, "{counts:?}");
    Ok(())
}

#[test]
fn those_who_bought_arrive_in_the_crm_once_and_everybody_in_postgres() -> Fact {
    let project = main_job()?;
    let first = sync(&project)?.done()?.json()?;
    assert_eq!(number(&first, "sources.news.accepted"), MEMBERS);
    // Ada and Bram are members too; Cleo is only on the list.
    assert_eq!(number(&first, "resolve.leads"), MEMBERS + 3);
    assert_eq!(number(&first, "resolve.prospects"), MEMBERS + 1);
    assert_eq!(number(&first, "sinks.crm.created"), 2);
    assert_eq!(number(&first, "sinks.warehouse.created"), MEMBERS + 1);
    for (email, name) in [(ADA, "Ada Ashgrove"), (BRAM, "Bram Hollin")] {
        assert_eq!(contacts(email)?, [name]);
    }
    assert!(contacts(CLEO)?.is_empty(), "Cleo bought nothing and is in the CRM");

    let second = sync(&project)?.done()?.json()?;
    for nothing in ["sources.*.accepted", "sinks.*.created", "sinks.*.updated", "sinks.*.rejected"] {
        assert_eq!(number(&second, nothing), 0, "{nothing}");
    }
    Ok(())
}

#[test]
fn members_of_a_real_mailman_come_and_whoever_leaves_is_gone() -> Fact {
    let url = server("HEADWATER_TEST_MAILMAN_URL");
    let user = format!("restadmin:{}", server("HEADWATER_TEST_MAILMAN_PASSWORD").trim());
    let ask = |args: &[&str], path: &str| -> Result<Value, Box<dyn Error>> {
        let base = ["-sS", "--fail", "-u", &user];
        let answer = Command::new("curl").args(base).args(args).arg(format!("{url}/3.1{path}")).output()?;
        assert!(answer.status.success(), "{path}: {}", String::from_utf8_lossy(&answer.stderr));
        Ok(serde_json::from_slice(&answer.stdout).unwrap_or_default())
    };
    ask(&["-d", "fqdn_listname=e2e@example.com"], "/lists")?;
    for person in 0..12 {
        let subscriber = format!("subscriber=person.{person}@example.com");
        let done = ["pre_verified=true", "pre_confirmed=true", "pre_approved=true", "send_welcome_message=false"];
        let form = done.iter().flat_map(|field| ["-d", field]);
        let args: Vec<&str> = ["-d", "list_id=e2e.example.com", "-d", &subscriber].into_iter().chain(form).collect();
        ask(&args, "/members")?;
    }
    let project = Project::of(&format!(
        "sources: {{ list: {{ connector: mailman, url: '{url}', password: {{ env: MAILMAN }}, list_ids: [e2e.example.com] }} }}\n"
    ))?;
    let sync = || -> Result<Value, Box<dyn Error>> {
        let mut command = project.command(&["sync", "--format", "json"]);
        command.env("MAILMAN", server("HEADWATER_TEST_MAILMAN_PASSWORD").trim());
        Ok(project.finish(&mut command)?.done()?.json()?)
    };
    let first = sync()?;
    assert_eq!((number(&first, "sources.list.accepted"), number(&first, "resolve.prospects")), (12, 12));
    let roster = ask(&[], "/lists/e2e.example.com/roster/member?count=12&page=1")?;
    let leaver = roster["entries"][4]["member_id"].as_str().ok_or("no id")?.to_owned();
    ask(&["-X", "DELETE"], &format!("/members/{leaver}"))?;
    assert_eq!(number(&sync()?, "sources.list.accepted"), 0, "missing once: a member may slip past while another leaves");
    let third = sync()?;
    assert_eq!((number(&third, "sources.list.accepted"), number(&third, "resolve.prospects")), (1, 11));
    Ok(())
}

/// How many members `./test` seeds Ghost with.
const MEMBERS: u64 = 25;
const ADA: &str = "ada.ashgrove.1@alder.example.com";
const BRAM: &str = "bram.hollin.2@bracken.example.com";
const CLEO: &str = "cleo.e2e@example.com";

fn main_job() -> std::io::Result<Project> {
    let (ghost, crm) = (server("HEADWATER_TEST_GHOST_URL"), server("HEADWATER_TEST_BOTTLECRM_URL"));
    let project = Project::of(&format!(
        "
sources:
  news:
    connector: ghost
    url: {ghost}
    admin_key: {{ env: GHOST_KEY }}
  list:
    connector: file
    path: list.csv
    basis: {{ lawful_basis: consent }}
  orders: {{ connector: file, path: orders.csv, role: conversions, key: order_id }}
sinks:
  crm:
    connector: bottlecrm
    url: {crm}
    token: {{ env: CRM_TOKEN }}
    map: {{ email: email, first_name: given_name, last_name: family_name }}
  warehouse:
    connector: postgres
    url: {{ env: POSTGRES_URL }}
    table: e2e_prospect
    create: true
    audience: email IS NOT NULL
    map: {{ email: email, lifecycle: lifecycle }}
"
    ))?;
    let list = format!(
        "id,first_name,last_name,email,consent\n1,Ada,Ashgrove,{ADA},true\n2,Bram,Hollin,{BRAM},true\n3,Cleo,Ivers,{CLEO},true\n"
    );
    project.write("list.csv", &list)?;
    let orders = format!(
        "order_id,order_date,type,email,total,currency\no1,2026-07-06T10:00:00Z,order,{ADA},960.00,EUR\n\
         o2,2026-07-07T10:00:00Z,order,{BRAM},50.00,EUR\n"
    );
    project.write("orders.csv", &orders)?;
    Ok(project)
}

/// The names of those who have that address, as BottleCRM itself answers.
fn contacts(email: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let url = format!("{}/api/contacts/?search={email}", server("HEADWATER_TEST_BOTTLECRM_URL"));
    let bearer = format!("Authorization: Bearer {}", server("HEADWATER_TEST_BOTTLECRM_TOKEN").trim());
    let answer = Command::new("curl").args(["-sS", "--fail", "-H", &bearer, &url]).output()?;
    let answer: Value = serde_json::from_slice(&answer.stdout)?;
    let contacts = answer["results"].as_array().ok_or("no results")?;
    let text = |contact: &Value, key: &str| contact[key].as_str().unwrap_or_default().to_owned();
    let those = contacts.iter().filter(|contact| text(contact, "email") == email);
    Ok(those.map(|contact| format!("{} {}", text(contact, "first_name"), text(contact, "last_name"))).collect())
}

fn sync(project: &Project) -> std::io::Result<Run> {
    let mut command = project.command(&["sync", "--format", "json"]);
    command.env("GHOST_KEY", server("HEADWATER_TEST_GHOST_KEY").trim());
    command.env("CRM_TOKEN", server("HEADWATER_TEST_BOTTLECRM_TOKEN").trim());
    command.env("POSTGRES_URL", server("HEADWATER_TEST_POSTGRES_URL").trim());
    project.finish(&mut command)
}

/// target-duckdb drops a record, confirms all and exits with 0; we say that it is missing.
#[test]
fn a_record_that_a_target_loses_makes_the_sync_say_so() -> Fact {
    let programs = server("HEADWATER_TEST_PROGRAMS");
    let project = Project::of(&format!(
        "
sources:
  list:
    connector: singer
    command: [{programs}/tap-spreadsheets/bin/tap-spreadsheets]
    config: {{ files: [{{ path: list.csv, format: csv, primary_keys: [id], table_name: list }}] }}
    basis: {{ lawful_basis: consent }}
sinks:
  lossy:
    connector: singer_target
    command: [{programs}/target-duckdb/bin/target-duckdb]
    config: {{ path: held.duckdb, default_target_schema: main, add_metadata_columns: false }}
    audience: email IS NOT NULL
    map: {{ email: email }}
    verify: {{ command: [{programs}/target-duckdb/bin/python, ids.py], answers: keys }}
"
    ))?;
    project.write("list.csv", "id,email\n1,ada@example.com\n2,bram@example.com\n3,cleo@example.com\n")?;
    let ids = "import duckdb\nheld = duckdb.connect('held.duckdb', read_only=True)\n\
               for (id,) in held.execute('select headwater_id from main.prospects').fetchall(): print(id)\n";
    project.write("ids.py", ids)?;
    let run = project.run(&["sync", "--format", "json"])?;
    assert_eq!(run.code, Some(4), "{run}");
    let said = run.json()?;
    assert_eq!(number(&said, "sources.list.accepted"), 3, "{run}");
    assert_eq!((number(&said, "sinks.lossy.created"), number(&said, "sinks.lossy.rejected")), (2, 1), "{run}");
    assert!(!run.stderr.contains("@example.com"), "{run}");
    Ok(())
}
