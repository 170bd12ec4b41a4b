//! `sync`: the container job.

use headwater_runtime::deliver::{SavedPlan, SinkCounts};
use headwater_runtime::resolve::ResolveCounts;
use headwater_runtime::sync::{SyncOptions, SyncReport, sync};
use headwater_store::RunStatus;
use headwater_store::fault::{self, FaultPoint};

use crate::args::{Global, SyncArgs};
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::{Failure, code_of};
use crate::wiring;

/// Where the table of sinks says what was taken back.
const REMOVED_COLUMN: usize = 3;

pub(crate) async fn run(global: &Global, args: &SyncArgs, console: &Console) -> Result<Code, Failure> {
    if let Some(point) = &args.fault {
        arm(point)?;
    }
    let engine = wiring::engine(global, console).await?;
    let options = SyncOptions {
        only: args.only.clone(),
        stages: args.stage.clone(),
        dry_run: args.dry_run,
        full_refresh: args.full_refresh,
        plan: args.plan.as_deref().map(SavedPlan::read).transpose()?,
        push_again: args.push_again.clone(),
    };
    let report = sync(&engine, &options).await?;
    console.answer(&report, || human(&report, args.dry_run))?;
    if args.dry_run
        && report.errors.is_empty()
        && report.sinks.values().any(|counts| counts.created + counts.updated + counts.removed > 0)
    {
        console.hint(&format!("this is what a sync would do; `{} plan` shows each record and field", wiring::invocation(global)));
    }
    Ok(conclude(global, report, args.dry_run, console))
}

/// Says what failed and what a person should do next; how the run ended.
pub(crate) fn conclude(global: &Global, report: SyncReport, dry_run: bool, console: &Console) -> Code {
    let program = wiring::invocation(global);
    let (refused, waiting) = (report.refused(), !dry_run && report.sinks.values().any(|counts| counts.pending > 0));
    let failed = report.errors.first().map(code_of);
    for error in report.errors {
        console.tell(&Failure::from(error));
    }
    if waiting {
        console.hint(&format!(
            "some records wait; `{program} sync` goes on with them, where a day's calls are used up after midnight UTC"
        ));
    }
    if refused {
        console.hint(&format!("some rows were refused; `{program} quarantine list` shows which, and why"));
    }
    match failed {
        Some(code) => code,
        None if waiting => Code::Unavailable,
        None if refused => Code::Refused,
        None => Code::Done,
    }
}

/// Arms a fault point given as `POINT` or `POINT:N`.
pub(crate) fn arm(text: &str) -> Result<(), Failure> {
    let (name, nth) = text.split_once(':').unwrap_or((text, "1"));
    match (name.parse::<FaultPoint>(), nth.parse()) {
        (Ok(point), Ok(nth)) => {
            fault::arm(point, nth);
            Ok(())
        }
        _ => Err(Failure::usage(format!("there is no fault point `{text}`"), "write POINT or POINT:N")),
    }
}

/// What happened, for people.
pub(crate) fn human(report: &SyncReport, dry_run: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    if !report.sources.is_empty() {
        let mut rows =
            Rows::new(&["source", "read", "accepted", "unchanged", "merged", "suppressed", "quarantined"]).right(1..=6);
        for (name, buckets) in &report.sources {
            let counts =
                [buckets.read, buckets.accepted, buckets.unchanged, buckets.merged, buckets.suppressed, buckets.quarantined];
            rows.row([name.clone()].into_iter().chain(counts.iter().map(ToString::to_string)));
        }
        parts.push(rows.render());
        parts.push("\n".to_owned());
    }
    let resolve = &report.resolve;
    if resolve.worked {
        parts.push(format!("\n{} ({} new, {} merged into another)\n", who(resolve), resolve.minted, resolve.merged));
    } else if !dry_run && resolve.leads > 0 {
        parts.push(format!("\n{}; nothing new to resolve\n", who(resolve)));
    }
    let measure = &report.measure;
    if measure.worked {
        parts.push(format!(
            "{} credited to touches, {} unattributed; {} scored\n",
            count(measure.conversions - measure.unattributed.min(measure.conversions), "conversion", "conversions"),
            measure.unattributed,
            count(measure.sources, "source", "sources")
        ));
        if measure.changed > 0 {
            let credits = count(measure.changed, "earlier credit was", "earlier credits were");
            parts.push(format!("{credits} changed; `report channels --changes` says from what to what, and why\n"));
        }
        if measure.alerts > 0 {
            let figures =
                count(measure.alerts, "figure of a source is not what it was", "figures of sources are not what they were");
            parts.push(format!("{figures}; see `report sources`\n"));
        }
    }
    if !report.sinks.is_empty() {
        // Few sinks take anything back.
        let removes = report.sinks.values().any(|counts| counts.removed > 0);
        let shown = |column: &usize| removes || *column != REMOVED_COLUMN;
        let columns = ["sink", "created", "updated", "removed", "unchanged", "rejected", "held back", "pending"];
        let columns: Vec<&str> = columns.into_iter().enumerate().filter(|(at, _)| shown(at)).map(|(_, name)| name).collect();
        let mut rows = Rows::new(&columns).right(1..=columns.len() - 1);
        for (name, counts) in &report.sinks {
            let SinkCounts { created, updated, removed, unchanged, rejected, held_back, pending } = *counts;
            let counts = [created, updated, removed, unchanged, rejected, held_back, pending].map(|count| count.to_string());
            let cells = [name.clone()].into_iter().chain(counts).enumerate();
            rows.row(cells.filter(|(at, _)| shown(at)).map(|(_, cell)| cell));
        }
        parts.push("\n".to_owned());
        parts.push(rows.render());
        parts.push("\n".to_owned());
    }
    let how = if dry_run { "tried, nothing written" } else { ending(report.status) };
    parts.push(format!("\nrun {}: {how}, in {:.1} s\n", report.run_id, report.seconds));
    parts.concat()
}

/// How many leads are how many people.
fn who(resolve: &ResolveCounts) -> String {
    let be = if resolve.leads == 1 { "is" } else { "are" };
    format!("{} {be} {}", count(resolve.leads, "lead", "leads"), count(resolve.prospects, "person", "people"))
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// How a run ended, where its word alone would say that the run itself was refused.
fn ending(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Rejected => "done, but rows were refused",
        RunStatus::Failed => "went as far as it could; something failed",
        RunStatus::Running | RunStatus::Done | RunStatus::Interrupted => status.as_str(),
    }
}
