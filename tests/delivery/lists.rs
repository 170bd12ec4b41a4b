//! Lists of HubSpot, Brevo and Mailchimp through the program: who joins, who may not, who leaves, and a list that there is not.

use std::collections::BTreeMap;

use headwater_fakes::brevo::Brevo;
use headwater_fakes::hubspot::HubSpot;
use headwater_fakes::mailchimp::{LIST, Mailchimp};
use headwater_fakes::{Conditions, Running, Vendor, serve};
use headwater_tests::project::{Project, Run};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::Fact;

const REFUSED_ROWS: i32 = 4;
const SETTINGS: i32 = 3;

/// A stand-in that runs until it is dropped.
fn start<V: Vendor>(vendor: V) -> std::io::Result<(Running<V>, Runtime)> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let fake = runtime.block_on(serve(vendor, Conditions::default(), 0, || 0))?;
    Ok((fake, runtime))
}

fn project(sink: &str, list: &str) -> std::io::Result<Project> {
    Project::of(&format!(
        "
sources:
  list:
    connector: file
    path: list.csv
    key: id
    basis: {{ lawful_basis: contract }}
    map: {{ external_id: id, email: email, given_name: first, country: country }}
sinks:
  crm:
{sink}
    audience: \"true\"
    lists:
      newsletter: {{ list: \"{list}\", when: \"country = 'DE'\" }}
"
    ))
}

fn people(moved: bool) -> String {
    let country = if moved { "FR" } else { "DE" };
    format!(
        "id,email,first,country\n1,ada@example.com,Ada,{country}\n2,grace@example.com,Grace,DE\n3,linus@example.com,Linus,DE\n4,mary@example.com,Mary,FR\n"
    )
}

fn run(project: &Project, args: &[&str], secret: &str) -> std::io::Result<Run> {
    let mut command = project.command(args);
    command.env("CRM_TOKEN", secret);
    project.finish(&mut command)
}

/// Two join and the one who unsubscribed stays out (nobody in HubSpot, which keeps that elsewhere); who moves away leaves, once.
fn joins_and_leaves(sink: &str, list: &str, secret: &str, refused: u64, members: &dyn Fn() -> usize) -> Fact {
    let project = project(sink, list)?;
    project.write("list.csv", &people(false))?;
    let synced = run(&project, &["sync", "--format", "json"], secret)?;
    assert_eq!(synced.code, Some(if refused > 0 { REFUSED_ROWS } else { 0 }), "{synced}");
    let told = |run: &Run| -> std::io::Result<BTreeMap<String, u64>> {
        let counts = run.json()?["sinks"]["crm.lists.newsletter"].clone();
        Ok(serde_json::from_value(counts)?)
    };
    let counts = told(&synced)?;
    assert_eq!((counts["created"], counts["rejected"]), (3 - refused, refused), "{synced}");
    assert_eq!(members() as u64, 3 - refused);
    project.write("list.csv", &people(true))?;
    let plan = run(&project, &["plan"], secret)?;
    let moved = run(&project, &["sync", "--format", "json"], secret)?;
    let counts = told(&moved)?;
    assert_eq!((counts["removed"], counts["created"]), (1, 0), "{moved}\n{plan}");
    assert_eq!(members() as u64, 2 - refused);
    let again = told(&run(&project, &["sync", "--format", "json"], secret)?)?;
    assert_eq!((again["removed"], again["created"]), (0, 0));
    Ok(())
}

/// A list that there is not stops plan and check with its name, its line and what to do, and the sync before it writes anything.
fn is_missed(sink: &str, list: &str, secret: &str, said: &[&str], state: &dyn Fn() -> Value) -> Fact {
    let project = project(sink, list)?;
    project.write("list.csv", &people(false))?;
    run(&project, &["sync", "--stage", "ingest", "--stage", "resolve"], secret)?.done()?;
    let before = state();
    for args in [&["plan"][..], &["sync"], &["check"]] {
        let told = run(&project, args, secret)?;
        assert_eq!(told.code, Some(SETTINGS), "{args:?}: {told}");
        let text = format!("{}{}", told.stdout, told.stderr);
        for said in said {
            assert!(text.contains(said), "{args:?}: `{said}` is not in {told}");
        }
    }
    assert_eq!(state(), before, "nothing is written");
    Ok(())
}

fn hubspot(url: &str) -> String {
    format!(
        "    connector: hubspot\n    url: {url}\n    token: {{ env: CRM_TOKEN }}\n    create_id_property: true\n    map: {{ email: email, firstname: given_name }}"
    )
}

fn brevo(url: &str) -> String {
    format!(
        "    connector: brevo\n    url: {url}\n    api_key: {{ env: CRM_TOKEN }}\n    map: {{ email: email, attributes.FIRSTNAME: given_name }}"
    )
}

fn mailchimp(url: &str, audience: &str) -> String {
    format!(
        "    connector: mailchimp\n    server_url: {url}\n    api_key: {{ env: CRM_TOKEN }}\n    list_id: {audience}\n    create_id_field: true\n    match_on: [email_address]\n    status_if_new: subscribed\n    map: {{ email_address: email, merge_fields.FNAME: given_name }}"
    )
}

#[test]
fn people_join_a_list_of_hubspot_and_leave_it() -> Fact {
    let (fake, _runtime) = start(HubSpot::default())?;
    fake.with(|hubspot| hubspot.add_list("42"));
    let members = || fake.with(|hubspot| hubspot.members("42").len());
    joins_and_leaves(&hubspot(fake.url()), "42", headwater_fakes::hubspot::TOKEN, 0, &members)
}

#[test]
fn people_join_a_list_of_brevo_and_leave_it_and_who_unsubscribed_stays_out() -> Fact {
    let (fake, _runtime) = start(Brevo::default())?;
    let blocked =
        [("email", "linus@example.com"), ("emailBlacklisted", "true")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    fake.with(|brevo| brevo.contacts().insert(blocked.into(), 0));
    let members = || {
        fake.with(|brevo| {
            brevo.contacts().iter().filter(|contact| contact.fields.get("listIds").is_some_and(|lists| lists == "7")).count()
        })
    };
    joins_and_leaves(&brevo(fake.url()), "7", headwater_fakes::brevo::KEY, 1, &members)
}

#[test]
fn people_get_a_tag_of_mailchimp_and_lose_it_and_who_unsubscribed_stays_out() -> Fact {
    let (fake, _runtime) = start(Mailchimp::default())?;
    let left = [("email_address", "linus@example.com"), ("status", "unsubscribed")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    fake.with(|mailchimp| mailchimp.members().insert(left.into(), 0));
    let members = || {
        fake.with(|mailchimp| {
            mailchimp.members().iter().filter(|member| member.fields.get("tags").is_some_and(|tags| tags == "customers")).count()
        })
    };
    joins_and_leaves(&mailchimp(fake.url(), LIST), "customers", headwater_fakes::mailchimp::KEY, 1, &members)
}

#[test]
fn a_list_that_there_is_not_is_told_before_anything_is_written() -> Fact {
    let (fake, _runtime) = start(HubSpot::default())?;
    fake.with(|hubspot| hubspot.add_active_list("43"));
    fake.with(|hubspot| hubspot.add_property("contacts", "headwater_id", true));
    let token = headwater_fakes::hubspot::TOKEN;
    let where_from = "it stands in the list's address in HubSpot";
    let line = "headwater.yaml:";
    is_missed(&hubspot(fake.url()), "99", token, &["the account has no list `99`", where_from, line], &|| fake.state())?;
    is_missed(&hubspot(fake.url()), "43", token, &["the list `43` is active", where_from, line], &|| fake.state())?;

    let (fake, _runtime) = start(Brevo::default())?;
    let said = ["the account has no list `8`", "it stands beside its name in Brevo under Contacts, Lists", line];
    is_missed(&brevo(fake.url()), "8", headwater_fakes::brevo::KEY, &said, &|| fake.state())?;

    let (fake, _runtime) = start(Mailchimp::default())?;
    let said = ["the account has no audience `ffffffffff`", "Audience, Settings", line];
    is_missed(&mailchimp(fake.url(), "ffffffffff"), "customers", headwater_fakes::mailchimp::KEY, &said, &|| fake.state())
}
