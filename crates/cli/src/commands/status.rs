//! `status` and `runs`: where everything stands, and what the last runs did.

use headwater_runtime::review::EstimateView;
use headwater_runtime::status::{self, IdentityStatus, RunView, RunsReport, SinkStatus, SourceStatus, StatusReport, StoreStatus};
use serde_json::{Value, json};

use super::report::{csv_text, minute};
use crate::args::{Format, Global, RunsCommand};
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

pub(crate) async fn run(global: &Global, console: &Console) -> Result<Code, Failure> {
    let engine = wiring::quiet_engine(global).await?;
    let report = status::status(&engine).await?;
    console.answer(&report, || human(&report))
}

pub(crate) async fn runs(global: &Global, command: Option<&RunsCommand>, limit: u32, console: &Console) -> Result<Code, Failure> {
    let engine = wiring::quiet_engine(global).await?;
    match command {
        None => {
            let report = status::runs(&engine, limit).await?;
            console.answer(&report, || match console.format() {
                Format::Csv => csv_text(runs_csv(&report)),
                Format::Human | Format::Json => runs_table(&report),
            })
        }
        Some(RunsCommand::Show { id }) => {
            let run = status::run(&engine, id).await?;
            console.answer(&json!({ "version": 1, "run": run }), || one_run(&run))
        }
    }
}

fn human(report: &StatusReport) -> String {
    let mut parts = Vec::new();
    if !report.sources.is_empty() {
        parts.push(sources(&report.sources));
    }
    if !report.sinks.is_empty() {
        parts.push(sinks(&report.sinks));
    }
    let StoreStatus { ledger, lake, snapshot, files, bytes, rows } = &report.store;
    parts.push(format!(
        "store: {rows} rows in {files} files, {} (snapshot {snapshot})\n  lake   {lake}\n  ledger {ledger}",
        size(*bytes)
    ));
    parts.extend(identity(&report.identity));
    parts.push(match &report.last_run {
        None => "last run: none yet; `headwater sync` makes the first".to_owned(),
        Some(run) => {
            let reason = run.error.as_ref().map(|error| format!("\n  {error}")).unwrap_or_default();
            let began = minute(run.started_at);
            format!("last run: {} {} {} UTC, {}, {}{reason}", run.command, run.run_id, began, run.status.as_str(), took(run))
        }
    });
    parts.join("\n\n")
}

/// What people found who checked joined pairs.
pub(crate) fn checked(estimate: &EstimateView) -> String {
    let EstimateView { precision, low, high, answered } = estimate;
    let (rate, low, high) = (precision * 100.0, low * 100.0, high * 100.0);
    let pairs = if *answered == 1 { "1 checked pair" } else { &format!("{answered} checked pairs") };
    format!("{rate:.1} % of the joined pairs are right ({low:.1} to {high:.1} %, by {pairs})")
}

/// Nothing before the first resolve.
fn identity(identity: &IdentityStatus) -> Option<String> {
    let IdentityStatus { model, learned_from, drift, review, decided, precision } = identity;
    let learned = learned_from.map(|leads| format!(", learned from {leads} leads")).unwrap_or_default();
    let drift = drift.map(|drift| format!(", drift {drift:.3}")).unwrap_or_default();
    let next = if *review > 0 { "; `headwater review list` shows them" } else { "" };
    let model = model.as_ref()?;
    let right = precision.map(|estimate| format!("\n  {}", checked(&estimate))).unwrap_or_default();
    Some(format!(
        "who is who: by {model}{learned}{drift}\n  {review} pairs wait for a review, {decided} were decided{next}{right}"
    ))
}

fn sources(sources: &[SourceStatus]) -> String {
    let mut rows =
        Rows::new(&["source", "connector", "leads", "refused, open", "waiting", "last checkpoint", "ago"]).right([2, 3, 4, 6]);
    for source in sources {
        let at = if source.checkpoint_at.is_some() { minute(source.checkpoint_at) } else { "never read".to_owned() };
        rows.row([
            source.source.clone(),
            connector(source.connector.as_ref()),
            source.leads.to_string(),
            source.quarantined.to_string(),
            source.waiting.to_string(),
            at,
            source.lag_seconds.map(ago).unwrap_or_default(),
        ]);
    }
    rows.render()
}

fn sinks(sinks: &[SinkStatus]) -> String {
    let mut rows = Rows::new(&["sink", "connector", "records known", "refused, open", "outbox"]).right([2, 3]);
    for sink in sinks {
        let states: Vec<String> =
            sink.outbox.iter().map(|(state, count)| format!("{count} {}", state.replace('_', " "))).collect();
        let outbox = if states.is_empty() { "nothing pushed yet".to_owned() } else { states.join(", ") };
        rows.row([
            sink.sink.clone(),
            connector(sink.connector.as_ref()),
            sink.links.to_string(),
            sink.quarantined.to_string(),
            outbox,
        ]);
    }
    rows.render()
}

fn connector(name: Option<&String>) -> String {
    name.cloned().unwrap_or_else(|| "(no longer in the project)".to_owned())
}

fn runs_table(report: &RunsReport) -> String {
    if report.runs.is_empty() {
        return "There was no run yet; `headwater sync` makes the first.".to_owned();
    }
    let mut rows = Rows::new(&["run", "command", "began (UTC)", "took", "status", "what came of it"]).right([3]);
    for run in &report.runs {
        let outcome = run.error.clone().unwrap_or_else(|| summary(&run.counts));
        rows.row([
            run.run_id.clone(),
            run.command.clone(),
            minute(run.started_at),
            took(run),
            run.status.as_str().to_owned(),
            outcome,
        ]);
    }
    rows.render()
}

fn runs_csv(report: &RunsReport) -> Vec<Vec<String>> {
    let mut rows =
        vec![["run_id", "command", "status", "started_at", "ended_at", "seconds", "error"].map(str::to_owned).to_vec()];
    let text = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    rows.extend(report.runs.iter().map(|run| {
        let seconds = run.seconds.map(|seconds| seconds.to_string()).unwrap_or_default();
        let error = run.error.clone().unwrap_or_default();
        vec![
            run.run_id.clone(),
            run.command.clone(),
            run.status.as_str().to_owned(),
            text(run.started_at),
            text(run.ended_at),
            seconds,
            error,
        ]
    }));
    rows
}

/// The counts of a run in a few words: what was read and taken, what was pushed.
fn summary(counts: &Value) -> String {
    let sum = |section: &str, count: &str| -> u64 {
        let entries = counts.get(section).and_then(Value::as_object).into_iter().flatten();
        entries.filter_map(|(_, entry)| entry.get(count)?.as_u64()).sum()
    };
    let mut parts: Vec<String> = [
        ("sources", "read", "read"),
        ("sources", "accepted", "accepted"),
        ("sources", "quarantined", "refused"),
        ("sinks", "created", "created"),
        ("sinks", "updated", "updated"),
        ("sinks", "rejected", "refused by a sink"),
        ("sinks", "pending", "pending"),
    ]
    .into_iter()
    .map(|(section, count, word)| (sum(section, count), word))
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    // A command other than `sync` counts at the top.
    let top = counts.as_object().into_iter().flatten().filter(|(name, _)| *name != "version");
    parts.extend(top.filter_map(|(name, value)| {
        value.as_u64().filter(|count| *count > 0).map(|count| format!("{count} {}", name.replace('_', " ")))
    }));
    if parts.is_empty() { "nothing new".to_owned() } else { parts.join(", ") }
}

fn one_run(run: &RunView) -> String {
    let head = format!(
        "run {}\ncommand  {}\nstatus   {}\nbegan    {} UTC\ntook     {}\nprogram  headwater {}",
        run.run_id,
        run.command,
        run.status.as_str(),
        minute(run.started_at),
        took(run),
        run.program
    );
    let error = run.error.as_ref().map(|error| format!("\nerror    {error}")).unwrap_or_default();
    let tables = ["sources", "sinks"].into_iter().filter_map(|section| counts(section, &run.counts));
    let lines = ["resolve", "measure"].into_iter().filter_map(|section| {
        let values = run.counts.get(section)?.as_object()?.iter().filter(|(_, value)| value.is_u64());
        let parts: Vec<String> = values.map(|(name, value)| format!("{value} {name}")).collect();
        Some(format!("{section}: {}", parts.join(", ")))
    });
    [head + &error].into_iter().chain(tables).chain(lines).collect::<Vec<_>>().join("\n\n")
}

/// A table of the counts of every source or sink.
fn counts(section: &str, counts: &Value) -> Option<String> {
    let entries = counts.get(section)?.as_object().filter(|entries| !entries.is_empty())?;
    // Every source counts the same things, and so does every sink.
    let names: Vec<&str> =
        entries.values().next().and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let headers: Vec<&str> = [section].into_iter().chain(names.iter().copied()).collect();
    let mut rows = Rows::new(&headers).right(1..headers.len());
    for (name, entry) in entries {
        let cells = names.iter().map(|count| entry.get(*count).map(ToString::to_string).unwrap_or_default());
        rows.row([name.clone()].into_iter().chain(cells));
    }
    Some(rows.render())
}

fn took(run: &RunView) -> String {
    run.seconds.map_or_else(|| "not ended".to_owned(), |seconds| format!("{seconds:.1} s"))
}

/// A span in its largest unit.
fn ago(seconds: i64) -> String {
    match seconds {
        ..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn size(bytes: i64) -> String {
    match bytes {
        ..=1_023 => format!("{bytes} B"),
        1_024..=1_048_575 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        1_048_576..=1_073_741_823 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}
