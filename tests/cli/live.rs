//! The main job against real servers, which `./test e2e` starts: Ghost as the source, BottleCRM and PostgreSQL as sinks.

use headwater_tests::project::{Project, Run, server};

use crate::{Fact, number};

#[test]
fn members_of_ghost_arrive_in_bottlecrm_and_postgres_once() -> Fact {
    let (ghost, crm) = (server("HEADWATER_TEST_GHOST_URL"), server("HEADWATER_TEST_BOTTLECRM_URL"));
    let source = format!(
        "sources:\n  news:\n    connector: ghost\n    url: {ghost}\n    admin_key: {{ env: GHOST_KEY }}\n"
    );
    let crm = format!(
        "  crm:\n    connector: bottlecrm\n    url: {crm}\n    token: {{ env: CRM_TOKEN }}\n    map: {{ email: email, first_name: given_name, last_name: family_name }}\n"
    );
    let warehouse = "  warehouse:\n    connector: postgres\n    url: { env: POSTGRES_URL }\n    table: e2e_prospect\n    map: { email: email, given_name: given_name }\n";
    let project = Project::of(&format!("{source}sinks:\n{crm}{warehouse}"))?;
    let first = sync(&project)?.done()?.json()?;
    let members = number(&first, "sources.news.accepted");
    assert_eq!(members, 25);
    assert_eq!(number(&first, "sinks.crm.created"), members);
    assert_eq!(number(&first, "sinks.warehouse.created"), members);
    let second = sync(&project)?.done()?.json()?;
    for nothing in
        ["sources.news.accepted", "sinks.*.created", "sinks.*.updated", "sinks.*.rejected"]
    {
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
