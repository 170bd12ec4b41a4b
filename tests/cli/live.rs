//! The main job against real servers, which `./test e2e` starts: Ghost as the source, BottleCRM and PostgreSQL as sinks.

use std::collections::BTreeMap;
use std::process::Command;

use headwater_tests::project::{Project, Run, TABLES, server};
use headwater_tests::tree;

use crate::{Fact, number};

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
fn members_of_ghost_arrive_in_bottlecrm_and_postgres_once() -> Fact {
    let (ghost, crm) = (server("HEADWATER_TEST_GHOST_URL"), server("HEADWATER_TEST_BOTTLECRM_URL"));
    let project = Project::of(&format!(
        "sources:
  news:
    connector: ghost
    url: {ghost}
    admin_key: {{ env: GHOST_KEY }}
sinks:
  crm:
    connector: bottlecrm
    url: {crm}
    token: {{ env: CRM_TOKEN }}
    audience: email IS NOT NULL
    map: {{ email: email, first_name: given_name, last_name: family_name }}
  warehouse:
    connector: postgres
    url: {{ env: POSTGRES_URL }}
    table: e2e_prospect
    create: true
    audience: email IS NOT NULL
    map: {{ email: email, given_name: given_name }}
"
    ))?;
    let first = sync(&project)?.done()?.json()?;
    let members = number(&first, "sources.news.accepted");
    assert_eq!(members, 25);
    assert_eq!(number(&first, "sinks.crm.created"), members);
    assert_eq!(number(&first, "sinks.warehouse.created"), members);
    let second = sync(&project)?.done()?.json()?;
    for nothing in ["sources.news.accepted", "sinks.*.created", "sinks.*.updated", "sinks.*.rejected"] {
        assert_eq!(number(&second, nothing), 0, "{nothing}");
    }
    Ok(())
}

fn sync(project: &Project) -> std::io::Result<Run> {
    let mut command = project.command(&["sync", "--format", "json"]);
    command.env("GHOST_KEY", server("HEADWATER_TEST_GHOST_KEY").trim());
    command.env("CRM_TOKEN", server("HEADWATER_TEST_BOTTLECRM_TOKEN").trim());
    command.env("POSTGRES_URL", server("HEADWATER_TEST_POSTGRES_URL").trim());
    project.finish(&mut command)
}
