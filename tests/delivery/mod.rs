//! Into a CRM once, whatever happens on the way: killed at every step and at any moment, answers lost, rows refused; and back again.

#![allow(clippy::indexing_slicing, reason = "this is test code all through, and indexing a JSON value does not panic")]

/// A test for each step at which the program is killed, by the name of its fault point.
macro_rules! steps {
    ($($name:ident: $point:expr;)*) => {
        $(
            #[test]
            fn $name() -> Fact {
                kill_at($point)
            }
        )*
    };
}

mod calls;
mod crm;
mod held_back;
mod killed;
mod leaving;
mod lists;
mod live;
mod moved;
mod owners;
mod pacing;
mod planned;
mod quiet;
mod read_back;
mod stand;
mod vendors;

use std::collections::BTreeMap;
use std::error::Error;
use std::process::Command;

use headwater_tests::project::{Project, Run};
use serde_json::Value;

use self::crm::{Crm, TOKEN};

type Fact = Result<(), Box<dyn Error>>;

/// A project with a list and the CRM, and the companies of its people.
fn project(crm: &Crm) -> std::io::Result<Project> {
    project_at(crm.url())
}

fn project_at(url: &str) -> std::io::Result<Project> {
    Project::of(&format!(
        "
sources:
  list:
    connector: file
    path: list.csv
    key: id
    map: {{ external_id: id, email: email, given_name: first, family_name: last, job_title: title, company_name: company, company_domain: domain }}
sinks:
  crm:
    connector: bottlecrm
    url: {url}
    token: {{ env: CRM_TOKEN }}
    id_field: cf_headwater_id
    create_id_field: true
    audience: \"true\"
    match_on: [external_id, email]
    map: {{ first_name: given_name, last_name: family_name, email: email, title: job_title }}
    policy: {{ default: overwrite }}
    companies:
      match_on: [external_id, name]
      map: {{ name: company_name }}
"
    ))
}

/// People of one company.
const STAFF: u32 = 4;

/// A list of people; every third has no address, so that only our id can tell whether the CRM has them.
fn list(people: u32, title: impl Fn(u32) -> String) -> String {
    list_of("", people, title)
}

/// The same, where keys, names and addresses begin with a tag of their own: ids are made of keys, and equal ones would meet in one CRM.
fn list_of(tag: &str, people: u32, title: impl Fn(u32) -> String) -> String {
    let mut list = "id,email,first,last,title,company,domain\n".to_owned();
    for person in 0..people {
        let email = if person % 3 == 0 { String::new() } else { format!("{tag}p{person}@example.com") };
        let company = person / STAFF;
        list.push_str(&format!(
            "{tag}{person},{email},First{person},{tag}Last{person},{},{tag}Company{company},{tag}c{company}.example\n",
            title(person)
        ));
    }
    list
}

fn command(project: &Project, args: &[&str]) -> Command {
    let mut command = project.command(args);
    command.env("CRM_TOKEN", TOKEN);
    command
}

fn run(project: &Project, args: &[&str]) -> std::io::Result<Run> {
    project.finish(&mut command(project, args))
}

/// How many contacts hold each of our ids; those without one under the empty text.
fn by_our_id(contacts: &BTreeMap<String, Value>) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for contact in contacts.values() {
        let id = contact["custom_fields"]["headwater_id"].as_str().unwrap_or_default().to_owned();
        *counts.entry(id).or_default() += 1;
    }
    counts
}

/// Each person is there once, and nobody else; the lake tells the same.
#[track_caller]
fn expect_each_once(project: &Project, crm: &Crm, people: u32) -> Fact {
    let counts = by_our_id(&crm.contacts());
    assert!(counts.values().all(|count| *count == 1), "somebody is there twice: {counts:?}");
    assert_eq!(counts.len(), people as usize, "somebody is missing, or nobody's");
    let accounts = crm.accounts();
    let companies = by_our_id(&accounts);
    assert!(companies.values().all(|count| *count == 1), "a company is there twice: {companies:?}");
    assert_eq!(companies.len(), people.div_ceil(STAFF) as usize, "a company is missing, or nobody's");
    let homeless =
        crm.contacts().values().filter(|contact| !accounts.contains_key(contact["account"].as_str().unwrap_or_default())).count();
    assert_eq!(homeless, 0, "somebody is tied to no company");
    expect_receipts(project, people)
}

/// The receipts say of each person and each company once that it is there.
#[track_caller]
fn expect_receipts(project: &Project, people: u32) -> Fact {
    for (sink, made) in [("crm", people), ("crm.companies", people.div_ceil(STAFF))] {
        let settled = format!(
            "SELECT count(*) AS n, count(DISTINCT prospect_id) AS people FROM delivery \
             WHERE outcome IN ('created', 'unchanged') AND op = 'create' AND sink = '{sink}'"
        );
        let told = project.rows(&settled, &[], |_| {})?;
        assert_eq!(told, [format!("{{\"n\":{made},\"people\":{made}}}")], "the receipts of {sink} tell another story");
    }
    Ok(())
}
