//! What a plan says that writing costs, beside the calls that each vendor's stand-in counts when exactly that is written.

use headwater_fakes::{Conditions, Kind, Vendor};
use headwater_tests::project::{Project, Run};
use serde_json::Value;

use super::Fact;
use super::stand::Stand;

/// So many calls a plan may be wrong by, however few there are: a sign-in, a look at the fields.
const ROUGHLY: u64 = 3;
/// People of one company.
const STAFF: usize = 4;

/// A stand-in of a vendor and a project that writes people into it, with what goes with them.
struct Rig {
    crm: Stand<Box<dyn Vendor>>,
    project: Project,
    secret: &'static str,
    people: usize,
}

impl Rig {
    /// `companies` are their settings, where the vendor has companies.
    fn new(kind: Kind, people: usize, companies: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let crm = Stand::start(kind.account(), Conditions::default(), 1_000)?;
        let project = Project::empty()?;
        // The sink that the program prints for this vendor.
        let begun: Value = serde_json::from_str(&project.start(&["fake", kind.name(), "--format", "json"])?.line()?)?;
        let (sink, url) = (begun["sink"].as_str().ok_or("no sink")?, begun["url"].as_str().ok_or("no address")?);
        let sink = sink
            .replace(url, crm.url())
            .replace("lifecycle = 'customer' AND may_contact", "true")
            .replace("became_customer_at", "first_seen_at")
            .replace("conversion_count > 0", "true")
            .replace("default: fill_blank", "default: overwrite")
            .replace("# tasks:", "tasks:")
            .replace("# lists:", "lists:");
        project.write(
            "headwater.yaml",
            &format!(
                "version: 1
identity: {{ engine: exact }}
sources:
  list:
    connector: file
    path: list.csv
    key: id
    basis: {{ lawful_basis: contract }}
    map: {{ external_id: id, email: email, given_name: first, family_name: last, company_name: company, company_domain: domain }}
sinks:
{sink}{companies}"
            ),
        )?;
        Ok(Self { crm, project, secret: kind.secret(), people })
    }

    fn run(&self, args: &[&str]) -> std::io::Result<Run> {
        self.project.finish(self.project.command(args).env("CRM_SECRET", self.secret))
    }

    /// What a command costs in calls.
    fn cost(&self, args: &[&str]) -> Result<(Run, u64), Box<dyn std::error::Error>> {
        let before = self.crm.counts().calls;
        let run = self.run(args)?.done()?;
        Ok((run, self.crm.counts().calls - before))
    }

    /// A list of the people under this name, in the lake.
    fn say(&self, last: &str) -> Fact {
        let mut list = "id,email,first,last,company,domain\n".to_owned();
        for person in 0..self.people {
            let company = person / STAFF;
            list.push_str(&format!(
                "{person},p{person}@c{company}.example,First{person},{last}{person},Company {company},c{company}.example\n"
            ));
        }
        self.project.write("list.csv", &list)?;
        self.run(&["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
        Ok(())
    }

    /// Writes the people under this name, and asks that the plan told what that took.
    fn tells(&self, last: &str) -> Fact {
        self.say(last)?;
        let (plan, looking) = self.cost(&["plan", "--out", "plan", "--format", "json"])?;
        let plan = plan.json()?;
        let parts = plan["sinks"].as_array().ok_or("no plan")?;
        let told: u64 = parts.iter().filter_map(|part| part["calls_to_write"].as_u64()).sum();
        // What is applied is planned anew before.
        let (_, applying) = self.cost(&["sync", "--plan", "plan"])?;
        let took = applying.saturating_sub(looking);
        let by_part: Vec<String> = parts.iter().map(|part| format!("{} {}", part["sink"], part["calls_to_write"])).collect();
        assert!(
            told.abs_diff(took) <= ROUGHLY.max(took / 5),
            "writing takes {took} calls, and the plan told {told}: {}",
            by_part.join(", ")
        );
        Ok(())
    }
}

/// People made, and then changed.
fn tells(kind: Kind, people: usize, companies: &str) -> Fact {
    let rig = Rig::new(kind, people, companies)?;
    rig.tells("Alder")?;
    rig.tells("Birch")
}

/// Whom a run has just made is on no list, and no task is about them: nobody need ask.
#[test]
fn a_sync_asks_no_more_than_a_plan_and_its_writing() -> Fact {
    for (kind, people) in [(Kind::HubSpot, 250), (Kind::Mailchimp, 40), (Kind::Odoo, 40), (Kind::BottleCrm, 40)] {
        let (planned, plain) = (Rig::new(kind, people, "")?, Rig::new(kind, people, "")?);
        planned.say("Alder")?;
        planned.run(&["plan", "--out", "plan"])?.done()?;
        let (_, applying) = planned.cost(&["sync", "--plan", "plan"])?;
        plain.say("Alder")?;
        let (_, syncing) = plain.cost(&["sync", "--stage", "deliver"])?;
        assert!(syncing <= applying + ROUGHLY, "{kind}: a saved plan takes {applying} calls, and a sync {syncing}");
        assert_eq!(plain.crm.state().as_array().map(Vec::len), planned.crm.state().as_array().map(Vec::len), "{kind}");
    }
    Ok(())
}

/// Where the remote removes many records by one request, an undo asks for no more.
#[test]
fn an_undo_takes_many_back_by_one_request() -> Fact {
    const PEOPLE: usize = 60;
    // HubSpot tells of one contact at a time on which lists it is. Zoho shows one record at a time: contacts and tasks, to see who changed
    // them and whether they are there.
    for (kind, looks) in [(Kind::HubSpot, 1), (Kind::Salesforce, 0), (Kind::Zoho, 4)] {
        let rig = Rig::new(kind, PEOPLE, "")?;
        let empty = rig.crm.state();
        rig.say("Alder")?;
        let run = rig.cost(&["sync", "--stage", "deliver", "--format", "json"])?.0.json()?;
        let (_, calls) = rig.cost(&["undo", run["run_id"].as_str().ok_or("no run")?])?;
        assert_eq!(rig.crm.state(), empty, "{kind}");
        assert!(calls < (4 * looks + 1) * PEOPLE as u64 / 4, "{kind}: {calls} calls take {PEOPLE} people back");
    }
    Ok(())
}

macro_rules! vendors {
    ($($name:ident: $kind:ident, $people:expr, $companies:expr;)*) => {
        $(
            #[test]
            fn $name() -> Fact {
                tells(Kind::$kind, $people, $companies)
            }
        )*
    };
}

vendors! {
    a_plan_tells_the_calls_of_hubspot: HubSpot, 250, "    companies: { match_on: [external_id, domain], map: { name: company_name, domain: company_domain } }\n";
    a_plan_tells_the_calls_of_salesforce: Salesforce, 250, "    companies: { match_on: [external_id, Website], map: { Name: company_name, Website: company_domain } }\n";
    a_plan_tells_the_calls_of_zoho: Zoho, 40, "    companies: { match_on: [external_id, Website], map: { Account_Name: company_name, Website: company_domain } }\n";
    a_plan_tells_the_calls_of_pipedrive: Pipedrive, 8, "    company_id_field: headwater_id\n    companies: { match_on: [external_id, name], map: { name: company_name } }\n";
    a_plan_tells_the_calls_of_odoo: Odoo, 40, "    companies: { match_on: [external_id, website], map: { name: company_name, website: company_domain } }\n";
    a_plan_tells_the_calls_of_bottlecrm: BottleCrm, 40, "    create_id_field: true\n    companies: { match_on: [external_id, name], map: { name: company_name } }\n";
    a_plan_tells_the_calls_of_attio: Attio, 16, "";
    a_plan_tells_the_calls_of_close: Close, 40, "";
    a_plan_tells_the_calls_of_dataverse: Dataverse, 120, "";
    a_plan_tells_the_calls_of_freshsales: Freshsales, 6, "";
    a_plan_tells_the_calls_of_brevo: Brevo, 6, "";
    a_plan_tells_the_calls_of_mailchimp: Mailchimp, 40, "";
}
