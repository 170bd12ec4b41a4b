//! `demo`: the whole job at once, on made-up data.

use std::path::Path;

use headwater_fakes::{ByHand, Conditions, Kind, Vendor as _};
use headwater_runtime::demo::{self, Template};
use headwater_runtime::sync::{StageName, SyncOptions, SyncReport, sync};
use headwater_sdk::Clock;
use serde_json::Value;

use super::{fake, plan, report, sync as sync_command};
use crate::args::{Global, ReportLevel, ReportName};
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

/// A new project, a sync, the reports: everything at once, on made-up data.
pub(crate) async fn run(global: &Global, dir: &Path, console: &Console) -> Result<Code, Failure> {
    demo::init(dir, Template::Demo)?;
    let place = dir.display();
    let global = Global { directory: Some(dir.to_owned()), set: global.set.clone(), ..*global };
    console.line(&format!("made a project with made-up data in {place}\n"))?;
    let engine = wiring::engine(&global, console).await?;
    let synced = sync(&engine, &SyncOptions::default()).await?;
    console.line(&sync_command::human(&synced, false))?;
    let (by, changes) = (ReportLevel::Channel, false);
    let options = report::Options {
        model: "last_non_direct",
        all: false,
        cohorts: false,
        by,
        rules: false,
        changes,
        html: None,
        what_if: None,
    };
    for what in [ReportName::Sources, ReportName::Channels, ReportName::Funnel] {
        Box::pin(report::run(&global, what, options, console)).await?;
        console.line("")?;
    }
    let page = dir.join("report.html");
    Box::pin(report::run(&global, ReportName::Sources, report::Options { html: Some(&page), ..options }, console)).await?;
    console.line(&next_steps(&place.to_string()))?;
    Ok(concluded(&global, synced, console))
}

fn concluded(global: &Global, synced: SyncReport, console: &Console) -> Code {
    match sync_command::conclude(global, synced, false, console) {
        // The demo's data hold refused rows on purpose.
        Code::Refused => Code::Done,
        code => code,
    }
}

/// The port that a demo's stand-in takes where it is free, so that the project can be used again.
const PORT: u16 = 8790;
/// What the stand-in was told, in the demo's folder.
const JOURNAL: &str = "crm.jsonl";
/// What the stand-in's API takes, in the demo's folder.
const SECRET: &str = "crm.secret";
/// A customer of the demo whom somebody put into the CRM before.
const BY_HAND: ByHand<'_> =
    ByHand { given: "Hélène", family: "Chevallier", email: "hchevallier@hazel-packaging.example", phone: "+33199000001" };
/// Rows of a plan and records of the CRM that are shown.
const SHOWN: usize = 4;

/// A new project, and its way into a stand-in of a CRM: a plan, the push, what is there then, and a push without news.
pub(crate) async fn into_fake(global: &Global, dir: &Path, kind: Kind, console: &Console) -> Result<Code, Failure> {
    let place = dir.display();
    std::fs::create_dir_all(dir).map_err(|error| Failure::usage(format!("{place}: {error}"), "name another folder"))?;
    let fake = match fake::start(kind, Some(&dir.join(JOURNAL)), Conditions::default(), PORT).await {
        Ok(fake) => fake,
        Err(_) => fake::start(kind, Some(&dir.join(JOURNAL)), Conditions::default(), 0).await?,
    };
    let sink = fake::sink(kind, fake.url(), &format!("{{ file: {SECRET} }}"));
    demo::init_into(dir, &sink, (SECRET, kind.secret()))?;
    let now_us = Clock::system().now_us();
    for call in kind.by_hand(&BY_HAND) {
        fake.with(|vendor| vendor.answer(&call, &Conditions::default(), now_us));
    }
    let global = Global { directory: Some(dir.to_owned()), set: global.set.clone(), ..*global };
    console.line(&format!(
        "made a project with made-up data in {place}, and a stand-in of {kind} at {}; {} {} is there already\n",
        fake.url(),
        BY_HAND.given,
        BY_HAND.family
    ))?;

    let stages = vec![StageName::Ingest, StageName::Resolve, StageName::Measure];
    console.line(&sync_command::human(&synced(&global, stages, console).await?, false))?;
    console.line("what a push would do, before anything is sent:\n")?;
    Box::pin(plan::run(&global, None, (SHOWN, None), console)).await?;

    console.line("\nthe push:")?;
    let pushed = synced(&global, vec![StageName::Deliver], console).await?;
    console.line(&sync_command::human(&pushed, false))?;
    console.line(&in_the_crm(kind, &fake.state()))?;

    let before = fake.counts();
    let again = synced(&global, vec![StageName::Deliver], console).await?;
    let after = fake.counts();
    let (calls, writes) = (after.calls - before.calls, after.writes - before.writes);
    console.line(&format!("the same again, without news; calls: {calls}, of them writing: {writes}"))?;
    console.line(&sync_command::human(&again, false))?;
    console.line(&next_in_the_crm(kind, &place.to_string(), fake.url(), &pushed.run_id))?;
    Ok(concluded(&global, pushed, console))
}

async fn synced(global: &Global, stages: Vec<StageName>, console: &Console) -> Result<SyncReport, Failure> {
    let engine = wiring::engine(global, console).await?;
    Ok(sync(&engine, &SyncOptions { stages, ..SyncOptions::default() }).await?)
}

/// The first records of the CRM, as it holds them.
fn in_the_crm(kind: Kind, state: &Value) -> String {
    let people = kind.people(state);
    let mut rows = Rows::new(&["record", "field", "value"]);
    for (number, person) in people.iter().take(SHOWN).enumerate() {
        for (place, (field, value)) in person.as_object().into_iter().flatten().enumerate() {
            let number = if place == 0 { (number + 1).to_string() } else { String::new() };
            rows.row([number, field.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)]);
        }
    }
    format!("what the CRM has now, {SHOWN} of {} records:\n\n{}\n", people.len(), rows.render())
}

fn next_in_the_crm(kind: Kind, place: &str, url: &str, run: &str) -> String {
    let program = program();
    let port = url.rsplit(':').next().unwrap_or_default();
    let steps = [
        (format!("{place}/headwater.yaml"), "the project; the sink is at its end"),
        (
            format!("{program} fake {kind} --port {port} --journal {place}/{JOURNAL}"),
            "the CRM again, as it was left; keep it running for what follows",
        ),
        (format!("{program} -C {place} plan"), "what the next push would do"),
        (format!("{program} -C {place} drift"), "what people changed there since"),
        (format!("{program} -C {place} undo {run}"), "take back what was written"),
        (format!("{program} -C {place} query \"SELECT * FROM delivery LIMIT 5\""), "the receipts"),
    ];
    aligned(&steps)
}

/// Where to look after a demo. The program is named as it was called, so that a line can be typed as it stands, installed or not.
fn next_steps(place: &str) -> String {
    let program = program();
    let steps = [
        (format!("{place}/report.html"), "all reports on one page, with charts"),
        (format!("{place}/headwater.yaml"), "the project: sources, rules, sinks"),
        (format!("{place}/out/customers.csv"), "what was pushed"),
        (format!("{program} -C {place} explain EMAIL"), "where everything about a person came from; take one of customers.csv"),
        (format!("{program} -C {place} quarantine list"), "which rows were refused, and why"),
        (format!("{program} -C {place} plan"), "what the next push would do, field by field"),
        (format!("{program} -C {place} query \"SELECT * FROM prospect LIMIT 5\""), "ask anything"),
        (format!("{program} -C {place} serve"), "take web forms in, sync on schedule"),
    ];
    aligned(&steps)
}

/// This program, as it was called.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "headwater".to_owned())
}

fn aligned(steps: &[(String, &str)]) -> String {
    let width = steps.iter().map(|(what, _)| what.chars().count()).max().unwrap_or_default();
    let lines: Vec<String> = steps.iter().map(|(what, why)| format!("  {what:width$}   {why}")).collect();
    format!("where to look next:\n{}", lines.join("\n"))
}
