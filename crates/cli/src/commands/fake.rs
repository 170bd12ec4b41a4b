//! `fake`: a stand-in of a CRM on loopback, and how a project writes into it.

use std::io;
use std::path::Path;

use headwater_fakes::{Conditions, Counts, Journalled, Kind, Rate, Running, Vendor, serve};
use headwater_sdk::Clock;
use serde_json::json;

use crate::args::{FakeArgs, Format};
use crate::console::Console;
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

/// A stand-in at work.
pub(crate) type Fake = Running<Box<dyn Vendor>>;

/// Reads `fake` or `fake:VENDOR`.
pub(crate) fn choice(text: &str) -> Result<Kind, String> {
    match text.split_once(':') {
        None if text == "fake" => Ok(Kind::default()),
        Some(("fake", vendor)) => vendor.parse(),
        _ => Err("write fake or fake:VENDOR; a real CRM is a sink of a project of yours".to_owned()),
    }
}

pub(crate) async fn run(args: &FakeArgs, console: &Console) -> Result<Code, Failure> {
    let FakeArgs { vendor, port, journal, calls, window_ms, .. } = args;
    let conditions = Conditions {
        rate: calls.map(|calls| Rate { calls: calls.get(), window_ms: *window_ms }),
        lose_answer_every: args.lose_answer_every,
        fail_every: args.fail_every,
        search_lag_ms: args.search_lag_ms,
        refuse: args.refuse.clone(),
        whole_batch_fails: args.whole_batch_fails,
        ..Conditions::default()
    };
    let fake = start(*vendor, journal.as_deref(), conditions, *port).await?;
    if console.format() == Format::Json {
        let sink = sink(*vendor, fake.url(), "{ env: CRM_SECRET }");
        let begun = json!({ "version": 1, "vendor": vendor.name(), "url": fake.url(), "secret": vendor.secret(), "sink": sink });
        console.line(&begun.to_string())?;
    } else {
        let sink = sink(*vendor, fake.url(), "{ env: CRM_SECRET }");
        console.line(&format!(
            "a stand-in of {vendor} answers at {} until it is stopped\nCRM_SECRET={}\n\nsinks:\n{sink}",
            fake.url(),
            vendor.secret()
        ))?;
    }
    wiring::cancelled_by_signals().cancelled().await;
    let Counts { calls, writes, limited, lost, busy_us } = fake.counts();
    let people = vendor.people(&fake.state()).len();
    let ended = json!({ "version": 1, "calls": calls, "writes": writes, "limited": limited, "lost": lost, "busy_us": busy_us,
                        "people": people });
    console.answer(&ended, || {
        format!(
            "{calls} calls, {writes} of them wrote, {limited} came too early, {lost} answers were lost; {people} people are there"
        )
    })
}

/// Starts a stand-in on a port of loopback, or on a free one when it is 0.
pub(crate) async fn start(kind: Kind, journal: Option<&Path>, conditions: Conditions, port: u16) -> Result<Fake, Failure> {
    let account = kind.account();
    let vendor: Box<dyn Vendor> = match journal {
        Some(path) => {
            let opened = Journalled::open(account, path);
            Box::new(opened.map_err(|error| wrong(&error, "name another `--journal`, or remove the file to begin anew"))?)
        }
        None => account,
    };
    let clock = Clock::system();
    let taken = |error| wrong(&error, "name another `--port`, or none for a free one");
    serve(vendor, conditions, port, move || clock.now_us()).await.map_err(taken)
}

fn wrong(error: &io::Error, hint: &str) -> Failure {
    Failure::usage(format!("the stand-in cannot be started: {error}"), hint)
}

/// A sink of a project that writes into a stand-in; `secret` is the reference to what its API takes.
pub(crate) fn sink(kind: Kind, url: &str, secret: &str) -> String {
    let Settings { connection, match_on, map, policy } = settings(kind, url, secret);
    let task = task(kind).map(|map| {
        format!("    # tasks: {{ welcome: {{ when: \"conversion_count > 0\", map: {{ {map} }} }} }}    # one each, made once\n")
    });
    let list = list(kind)
        .map(|(list, about)| format!("    # lists: {{ newsletter: {{ list: \"{list}\", when: may_contact }} }}    # {about}\n"));
    let more = [task, list].into_iter().flatten().collect::<String>();
    format!(
        "  crm:
    connector: {kind}
    {connection}
    audience: \"lifecycle = 'customer' AND may_contact\"    # SQL over the table `prospect`
    match_on: [{match_on}]
    map: {{ {map} }}                                        # theirs: ours
    policy: {{ {policy} }}                                  # what may be done to a field that has a value already
{more}"
    )
}

/// The fields of a task there, if it keeps tasks.
fn task(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::HubSpot => {
            "hs_task_subject: \"Call {{ given_name }}\", hs_timestamp: \"{{ became_customer_at | plus_days(3) }}T09:00:00Z\""
        }
        Kind::Salesforce => "Subject: \"Call {{ given_name }}\", ActivityDate: \"{{ became_customer_at | plus_days(3) }}\"",
        Kind::Pipedrive => {
            "subject: \"Call {{ given_name }}\", type: \"{{ 'call' }}\", due_date: \"{{ became_customer_at | plus_days(3) }}\""
        }
        Kind::Zoho => "Subject: \"Call {{ given_name }}\", Due_Date: \"{{ became_customer_at | plus_days(3) }}\"",
        Kind::Odoo => "summary: \"Call {{ given_name }}\", date_deadline: \"{{ became_customer_at | plus_days(3) }}\"",
        Kind::Attio => "content: \"Call {{ given_name }}\", deadline_at: \"{{ became_customer_at | plus_days(3) }}T09:00:00Z\"",
        Kind::Dataverse => {
            "subject: \"Call {{ given_name }}\", scheduledend: \"{{ became_customer_at | plus_days(3) }}T09:00:00Z\""
        }
        Kind::Freshsales => "title: \"Call {{ given_name }}\", due_date: \"{{ became_customer_at | plus_days(3) }}T09:00:00Z\"",
        Kind::Close => "text: \"Call {{ given_name }}\", date: \"{{ became_customer_at | plus_days(3) }}\"",
        Kind::BottleCrm => "title: \"Call {{ given_name }}\", due_date: \"{{ became_customer_at | plus_days(3) }}\"",
        Kind::Brevo | Kind::Mailchimp => return None,
    })
}

/// A list that is there, and a word on it.
fn list(kind: Kind) -> Option<(&'static str, &'static str)> {
    match kind {
        Kind::HubSpot => Some(("42", "a static list that the stand-in has; 43 is an active one")),
        Kind::Brevo => Some(("7", "a list that the stand-in has; 3 is another")),
        Kind::Mailchimp => Some(("customers 2026", "a tag")),
        Kind::Salesforce
        | Kind::Pipedrive
        | Kind::Zoho
        | Kind::Odoo
        | Kind::BottleCrm
        | Kind::Attio
        | Kind::Close
        | Kind::Dataverse
        | Kind::Freshsales => None,
    }
}

/// What is each vendor's own in the sink of a project.
struct Settings {
    /// Where it is, and how to sign in.
    connection: String,
    /// By what a record is found.
    match_on: &'static str,
    map: &'static str,
    policy: &'static str,
}

fn settings(kind: Kind, url: &str, secret: &str) -> Settings {
    const FILL: &str = "default: fill_blank";
    let with = |more: &str| format!("url: {url}\n    {more}");
    match kind {
        Kind::HubSpot => Settings {
            connection: with(&format!("token: {secret}")),
            match_on: "external_id, email",
            map: "email: email, firstname: given_name, lastname: family_name, company: company_name, phone: phone, country: country, original_source: first_source",
            policy: "default: fill_blank, original_source: create_only",
        },
        Kind::Salesforce => Settings {
            connection: with(&format!("client_id: {secret}\n    client_secret: {secret}")),
            match_on: "external_id, Email",
            map: "Email: email, FirstName: given_name, LastName: family_name, Title: job_title, Phone: phone, MailingCity: city",
            policy: "default: fill_blank, Title: overwrite",
        },
        Kind::Pipedrive => Settings {
            connection: with(&format!("token: {secret}\n    id_field: headwater_id")),
            match_on: "external_id, email",
            map: "email: email, name: \"{{ full_name | default(email) }}\", phone: phone",
            policy: FILL,
        },
        Kind::Zoho => Settings {
            connection: with(&format!(
                "accounts_url: {url}\n    client_id: 1000.fake\n    client_secret: {secret}\n    refresh_token: {secret}"
            )),
            match_on: "external_id, Email",
            map: "Email: email, First_Name: given_name, Last_Name: family_name, Title: job_title, Phone: phone, Mailing_City: city, Lead_Source: first_source",
            policy: "default: fill_blank, Lead_Source: create_only",
        },
        Kind::Odoo => Settings {
            connection: with(&format!("database: example\n    api_key: {secret}")),
            match_on: "external_id, email",
            map: "email: email, name: \"{{ full_name | default(email) }}\", phone: phone, city: city",
            policy: FILL,
        },
        Kind::BottleCrm => Settings {
            connection: with(&format!("token: {secret}\n    id_field: cf_headwater_id")),
            match_on: "external_id, email",
            map: "email: email, first_name: given_name, last_name: family_name, title: job_title, phone: phone",
            policy: "default: fill_blank, title: overwrite",
        },
        Kind::Attio => Settings {
            connection: with(&format!("token: {secret}")),
            match_on: "external_id, email_addresses",
            map: "email_addresses: email, name: \"{{ full_name | default(email) }}\", job_title: job_title, phone_numbers: phone",
            policy: "default: fill_blank, job_title: overwrite",
        },
        Kind::Close => Settings {
            connection: with(&format!("api_key: {secret}\n    id_field: cf_headwater_id")),
            match_on: "external_id, email",
            map: "email: email, name: \"{{ full_name | default(email) }}\", title: job_title, phone: phone",
            policy: "default: fill_blank, title: overwrite",
        },
        Kind::Dataverse => Settings {
            connection: with(&format!(
                "login_url: {url}\n    tenant: {}\n    client_id: fake\n    client_secret: {secret}\n    id_field: new_headwaterid",
                headwater_fakes::dataverse::TENANT
            )),
            match_on: "external_id, emailaddress1",
            map: "emailaddress1: email, firstname: given_name, lastname: family_name, jobtitle: job_title, telephone1: phone, address1_city: city",
            policy: "default: fill_blank, jobtitle: overwrite",
        },
        Kind::Freshsales => Settings {
            connection: with(&format!("api_key: {secret}")),
            match_on: "external_id, email",
            map: "email: email, first_name: given_name, last_name: family_name, job_title: job_title, mobile_number: phone, city: city",
            policy: "default: fill_blank, job_title: overwrite",
        },
        Kind::Brevo => Settings {
            connection: with(&format!("api_key: {secret}")),
            match_on: "external_id, email",
            map: "email: email, attributes.FIRSTNAME: given_name, attributes.LASTNAME: family_name, attributes.SMS: phone",
            policy: FILL,
        },
        Kind::Mailchimp => Settings {
            connection: format!("server_url: {url}\n    api_key: {secret}\n    list_id: {}", headwater_fakes::mailchimp::LIST),
            match_on: "email_address",
            map: "email_address: email, merge_fields.FNAME: given_name, merge_fields.LNAME: family_name, merge_fields.PHONE: phone",
            policy: FILL,
        },
    }
}
