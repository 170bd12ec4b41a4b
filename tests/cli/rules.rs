//! What becomes of known rows when the project says something else about them.

use headwater_tests::project::Project;

use super::{Fact, number};

/// Two days that can be read in two ways, and two columns that may be the name.
const LIST: &str = "id,email,when,nick,first\n1,ada@example.com,02/03/2026,Addy,Ada\n2,bram@example.com,04/03/2026,Bee,Bram\n";
const ORDERS: &str = "order_id,order_date,email,total,net\no1,2026-07-06,ada@example.com,120.00,100.00\n";

fn settings(date: &str, name: &str, value: &str, group: &str) -> String {
    format!(
        "version: 1
sources:
  list:
    connector: file
    path: list.csv
    key: id
    channel: {{ group: {group} }}
    dates: {{ format: \"{date}\" }}
    map: {{ email: email, created_at: when, given_name: {name} }}
  orders:
    connector: file
    path: orders.csv
    key: order_id
    role: conversions
    currency: EUR
    map: {{ external_id: order_id, occurred_at: order_date, email: email, value: {value} }}
"
    )
}

fn project() -> Result<Project, std::io::Error> {
    let project = Project::empty()?;
    project.write("headwater.yaml", &settings("%d/%m/%Y", "nick", "total", "list"))?;
    project.write("list.csv", LIST)?;
    project.write("orders.csv", ORDERS)?;
    project.run(&["sync"])?.done()?;
    Ok(project)
}

const LEADS: &str = "SELECT given_name, created_at FROM current_lead ORDER BY lead_id";
const PEOPLE: &str = "SELECT given_name, first_channel, conversion_count, revenue FROM prospect";
const CREDITS: &str = "SELECT channel, sum(value) AS value FROM credit WHERE model = 'linear' GROUP BY channel";

#[test]
fn changed_rules_wait_for_a_full_refresh_and_then_replace_what_they_gave() -> Fact {
    let project = project()?;
    let old = project.rows(LEADS, &[], |_| {})?;
    assert_eq!(old[0], r#"{"created_at":"2026-03-02T00:00:00Z","given_name":"Addy"}"#);

    project.write("headwater.yaml", &settings("%m/%d/%Y", "first", "net", "event"))?;
    let plain = project.run(&["sync", "--format", "json"])?.done()?;
    assert_eq!(number(&plain.json()?, "sources.*.accepted"), 0);
    assert!(plain.stderr.contains("--full-refresh"), "nobody is told what to do: {plain}");
    assert_eq!(project.rows(LEADS, &[], |_| {})?, old);

    let answer = project.run(&["sync", "--full-refresh", "--format", "json"])?.done()?.json()?;
    assert_eq!(number(&answer, "sources.*.accepted"), 3, "every row is conformed again");
    let new = project.rows(LEADS, &[], |_| {})?;
    assert_eq!(new[0], r#"{"created_at":"2026-02-03T00:00:00Z","given_name":"Ada"}"#);
    assert_eq!(new.len(), 2);

    let twin = self::project()?;
    twin.write("headwater.yaml", &settings("%m/%d/%Y", "first", "net", "event"))?;
    std::fs::remove_dir_all(twin.path(".headwater"))?;
    twin.run(&["sync"])?.done()?;
    for sql in [LEADS, PEOPLE, CREDITS, "SELECT record_id, raw FROM source_record"] {
        assert_eq!(project.rows(sql, &[], |_| {})?, twin.rows(sql, &[], |_| {})?, "as if the rules had always been so: {sql}");
    }

    let again = project.run(&["sync", "--full-refresh", "--format", "json"])?.done()?;
    assert_eq!(number(&again.json()?, "sources.*.unchanged"), 3, "under the same rules there is nothing to conform");
    assert!(!again.stderr.contains("other rules"), "{again}");
    Ok(())
}

#[test]
fn a_full_refresh_that_dies_is_done_again_as_a_whole() -> Fact {
    let project = project()?;
    project.write("headwater.yaml", &settings("%m/%d/%Y", "first", "net", "event"))?;
    let died = project.run(&["sync", "--full-refresh", "--fault", "after-commit:1"])?;
    assert_eq!(died.code, None, "{died}");
    let answer = project.run(&["sync", "--full-refresh", "--format", "json"])?.done()?.json()?;
    assert_eq!(number(&answer, "sources.*.accepted"), 3);
    let count = project.rows("SELECT count(*) AS n FROM current_lead", &[], |_| {})?;
    assert_eq!(count, [r#"{"n":2}"#]);
    Ok(())
}

#[test]
fn rows_read_under_several_rules_are_conformed_again_even_under_the_first() -> Fact {
    let project = project()?;
    project.write("headwater.yaml", &settings("%d/%m/%Y", "first", "total", "list"))?;
    project.write("list.csv", &format!("{LIST}3,cleo@example.com,05/03/2026,Cee,Cleo\n"))?;
    let answer = project.run(&["sync", "--format", "json"])?.done()?.json()?;
    assert_eq!(number(&answer, "sources.list.accepted"), 1);
    project.write("headwater.yaml", &settings("%d/%m/%Y", "nick", "total", "list"))?;
    project.run(&["sync", "--full-refresh", "--only", "list"])?.done()?;
    let names = project.rows("SELECT given_name FROM current_lead ORDER BY given_name", &[], |_| {})?;
    assert_eq!(names, [r#"{"given_name":"Addy"}"#, r#"{"given_name":"Bee"}"#, r#"{"given_name":"Cee"}"#]);
    Ok(())
}
