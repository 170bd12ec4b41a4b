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
        let begun = json!({ "version": 1, "vendor": vendor.name(), "url": fake.url(), "secret": vendor.secret() });
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
    let (settings, map, policy) = match kind {
        Kind::HubSpot => (
            format!("token: {secret}"),
            "email: email, firstname: given_name, lastname: family_name, company: company_name, phone: phone, country: country, original_source: first_source",
            "default: fill_blank, original_source: create_only",
        ),
        Kind::Salesforce => (
            format!("client_id: {secret}\n    client_secret: {secret}"),
            "Email: email, FirstName: given_name, LastName: family_name, Title: job_title, Phone: phone, MailingCity: city",
            "default: fill_blank, Title: overwrite",
        ),
        Kind::Pipedrive => (
            format!("token: {secret}\n    id_field: headwater_id"),
            "email: email, name: \"{{ full_name | default(email) }}\", phone: phone",
            "default: fill_blank",
        ),
        Kind::Zoho => (
            format!("accounts_url: {url}\n    client_id: 1000.fake\n    client_secret: {secret}\n    refresh_token: {secret}"),
            "Email: email, First_Name: given_name, Last_Name: family_name, Title: job_title, Phone: phone, Mailing_City: city, Lead_Source: first_source",
            "default: fill_blank, Lead_Source: create_only",
        ),
        Kind::Odoo => (
            format!("database: example\n    api_key: {secret}"),
            "email: email, name: \"{{ full_name | default(email) }}\", phone: phone, city: city",
            "default: fill_blank",
        ),
        Kind::BottleCrm => (
            format!("token: {secret}\n    id_field: cf_headwater_id"),
            "email: email, first_name: given_name, last_name: family_name, title: job_title, phone: phone",
            "default: fill_blank, title: overwrite",
        ),
    };
    let email = if matches!(kind, Kind::Salesforce | Kind::Zoho) { "Email" } else { "email" };
    format!(
        "  crm:
    connector: {kind}
    url: {url}
    {settings}
    audience: \"lifecycle = 'customer' AND may_contact\"    # SQL over the table `prospect`
    match_on: [external_id, {email}]
    map: {{ {map} }}                                        # theirs: ours
    policy: {{ {policy} }}                                  # what may be done to a field that has a value already
"
    )
}
