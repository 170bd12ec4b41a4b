//! `init` and `demo`: a project that runs at once.

use std::path::Path;

use headwater_runtime::demo::{self, Template};
use headwater_runtime::sync::{SyncOptions, sync};
use serde_json::json;

use super::{report, sync as sync_command};
use crate::args::{Global, ReportLevel, ReportName, TemplateName};
use crate::console::Console;
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

pub(crate) fn init(dir: &Path, template: TemplateName, console: &Console) -> Result<Code, Failure> {
    let template = match template {
        TemplateName::Demo => Template::Demo,
        TemplateName::Blank => Template::Blank,
    };
    let created = demo::init(dir, template)?;
    let next = if dir == Path::new(".") { String::new() } else { format!(" -C {}", dir.display()) };
    let answer = json!({ "version": 1, "dir": created.dir, "files": created.files });
    console.answer(&answer, || {
        let files: Vec<String> = created.files.iter().map(|file| format!("  {}", file.display())).collect();
        format!("made {}\n{}\n\nnext: headwater{next} check, headwater{next} sync", created.dir.display(), files.join("\n"))
    })
}

/// A new project, a sync, the reports: everything at once, on made-up data.
pub(crate) async fn demo(global: &Global, dir: &Path, console: &Console) -> Result<Code, Failure> {
    demo::init(dir, Template::Demo)?;
    let place = dir.display();
    let global = Global { directory: Some(dir.to_owned()), set: global.set.clone(), ..*global };
    console.line(&format!("made a project with made-up data in {place}\n"))?;
    let engine = wiring::engine(&global, console).await?;
    let synced = sync(&engine, &SyncOptions::default()).await?;
    console.line(&sync_command::human(&synced, false))?;
    let (by, changes) = (ReportLevel::Channel, false);
    let options = report::Options { model: "last_non_direct", all: false, by, changes, html: None, what_if: None };
    for what in [ReportName::Sources, ReportName::Channels, ReportName::Funnel] {
        Box::pin(report::run(&global, what, options, console)).await?;
        console.line("")?;
    }
    let page = dir.join("report.html");
    Box::pin(report::run(&global, ReportName::Sources, report::Options { html: Some(&page), ..options }, console)).await?;
    console.line(&next_steps(&place.to_string()))?;
    match sync_command::conclude(&global, synced, console) {
        // The demo's data hold refused rows on purpose.
        Code::Refused => Ok(Code::Done),
        code => Ok(code),
    }
}

/// Where to look after a demo. The program is named as it was called, so that a line can be typed as it stands, installed or not.
fn next_steps(place: &str) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "headwater".to_owned());
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
    let width = steps.iter().map(|(what, _)| what.chars().count()).max().unwrap_or_default();
    let lines = steps.map(|(what, why)| format!("  {what:width$}   {why}"));
    format!("where to look next:\n{}", lines.join("\n"))
}
