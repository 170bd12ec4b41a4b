//! What the CRM says afterwards: a deal that was won there is the conversion of the person who was pushed, and channels see its revenue.

use headwater_fakes::Conditions;
use headwater_fakes::bottlecrm::{BottleCrm, TOKEN};
use headwater_tests::project::Project;
use serde_json::json;

use super::Fact;
use super::stand::{Stand, hubspot};

/// Reading back is tried against the stand-in that the sink writes to.
#[test]
fn a_deal_that_was_won_in_hubspot_is_that_of_the_person_who_was_pushed() -> Fact {
    let crm = hubspot(Conditions::default())?;
    let url = crm.url();
    let project = Project::of(&format!(
        "
sources:
  list:
    connector: file
    path: list.csv
    key: id
    channel: {{ group: event, vendor: fair }}
    map: {{ external_id: id, email: email, given_name: first, created_at: at }}
  deals:
    connector: hubspot
    url: {url}
    token: {{ env: CRM_TOKEN }}
    streams: [deals]
    same_as_sink: crm
sinks:
  crm:
    connector: hubspot
    url: {url}
    token: {{ env: CRM_TOKEN }}
    audience: \"true\"
    map: {{ firstname: given_name, email: email }}
"
    ))?;
    project.write("list.csv", "id,email,first,at\n1,ann@example.com,Ann,2026-10-01\n2,bob@example.com,Bob,2026-10-01\n")?;
    let run = |args: &[&str]| project.finish(project.command(args).env("CRM_TOKEN", super::stand::TOKEN));
    run(&["sync"])?.done()?;
    let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    crm.with(|crm| -> Option<()> {
        let ann = crm.records("contacts")?.iter().find(|contact| contact.fields["firstname"] == "Ann")?.id.clone();
        let won = [text("amount", "1200.00"), text("deal_currency_code", "EUR"), text("closedate", "2026-10-20T09:00:00Z")];
        let deals = crm.records("deals")?;
        let deal = deals.insert(won.into_iter().chain([text("dealstage", "closedwon")]).collect(), 0);
        deals.insert([text("amount", "70.00"), text("dealstage", "appointmentscheduled")].into(), 0);
        crm.tie(("deals", &deal), ("contacts", &ann));
        Some(())
    })
    .ok_or("no Ann, or no deals")?;
    run(&["sync"])?.done()?;
    let matched =
        project.rows("SELECT matched_on, count(*) AS n FROM fact_link WHERE kind = 'conversion' GROUP BY ALL", &[], |_| {})?;
    assert_eq!(matched, [r#"{"matched_on":"remote_id","n":1}"#]);
    Ok(())
}

#[test]
fn a_deal_that_was_won_in_the_crm_is_revenue_of_the_channel_that_brought_the_person() -> Fact {
    let crm = Stand::start(BottleCrm::default(), Conditions::default(), 1_000)?;
    let url = crm.url();
    let project = Project::of(&format!(
        "
sources:
  list:
    connector: file
    path: list.csv
    key: id
    channel: {{ group: event, vendor: fair }}
    map: {{ external_id: id, email: email, given_name: first, created_at: at }}
  deals:
    connector: bottlecrm
    url: {url}
    token: {{ env: CRM_TOKEN }}
    streams: [opportunities]
    same_as_sink: crm
sinks:
  crm:
    connector: bottlecrm
    url: {url}
    token: {{ env: CRM_TOKEN }}
    id_field: cf_headwater_id
    audience: \"true\"
    map: {{ first_name: given_name, email: email }}
"
    ))?;
    project.write("list.csv", "id,email,first,at\n1,ann@example.com,Ann,2026-10-01\n2,bob@example.com,Bob,2026-10-01\n")?;
    let run = |args: &[&str]| project.finish(project.command(args).env("CRM_TOKEN", TOKEN));
    run(&["sync"])?.done()?;
    let contacts = crm.with(|crm| crm.contacts());
    let (ann, mut record) = contacts.into_iter().find(|(_, contact)| contact["first_name"] == "Ann").ok_or("no Ann")?;
    // Sales closes a deal with Ann, whose address is another one by now.
    record["email"] = json!("ann.alder@example.org");
    crm.with(|crm| crm.put(&ann, &record));
    crm.with(|crm| {
        crm.put_opportunity(
            "d1",
            &json!({ "id": "d1", "name": "Roof", "contacts": [ann], "stage": "CLOSED_WON", "amount": "1200.00", "currency": "EUR",
                     "closed_on": "2026-10-20", "updated_at": "2026-10-20T09:00:00Z" }),
        );
    });
    run(&["sync"])?.done()?;
    let matched =
        project.rows("SELECT matched_on, count(*) AS n FROM fact_link WHERE kind = 'conversion' GROUP BY ALL", &[], |_| {})?;
    assert_eq!(matched, [r#"{"matched_on":"remote_id","n":1}"#]);
    let report = run(&["report", "channels", "--model", "last", "--format", "json"])?.done()?.json()?;
    assert_eq!(report["channels"][0]["value"], json!({ "EUR": "1200.00" }), "{report}");
    assert!(report["channels"][0]["channel"].as_str().unwrap_or_default().contains("event"), "{report}");
    let explained = run(&["explain", &ann])?.done()?;
    assert!(explained.stdout.contains("1200"), "{explained}");
    Ok(())
}
