//! `erase` and `export-person`: what a person may ask for.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use headwater_runtime::Error;
use headwater_runtime::privacy::{self, EraseOptions, EraseReport, Fate};

use super::sync::arm;
use crate::args::{EraseArgs, Global};
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

pub(crate) async fn run(global: &Global, args: &EraseArgs, console: &Console) -> Result<Code, Failure> {
    if let Some(point) = &args.fault {
        arm(point)?;
    }
    let engine = wiring::engine(global, console).await?;
    let options = EraseOptions { dry_run: args.dry_run, may_return: args.may_return, in_sinks: args.in_sinks };
    let report = privacy::erase(&engine, &args.who, &options).await?;
    console.answer(&report, || human(&report))?;
    let program = wiring::invocation(global);
    if !report.dry_run && report.run_id.is_some() {
        console.hint(&format!("`{program} sync` brings the reports up to date"));
    }
    Ok(if args.in_sinks && !args.dry_run && report.leaves_remote_records() { Code::Refused } else { Code::Done })
}

pub(crate) async fn export(global: &Global, who: &str, out: Option<&Path>, console: &Console) -> Result<Code, Failure> {
    let engine = wiring::quiet_engine(global).await?;
    let export = privacy::export(&engine, who).await?;
    let text = serde_json::to_string_pretty(&export).map_err(|error| Failure::bug(error.to_string()))?;
    let Some(path) = out else { return console.line(&text).map(|()| Code::Done) };
    write_private(path, &text).map_err(|source| Error::File { path: path.display().to_string(), doing: "written", source })?;
    console.note(&format!("{} holds everything that is held of this person", path.display()));
    Ok(Code::Done)
}

/// A file that nobody but its owner may read.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn human(report: &EraseReport) -> String {
    let EraseReport {
        version: _,
        run_id,
        dry_run,
        prospect_ids,
        rows,
        pushes,
        suppressed,
        sources,
        remote,
        doubtful,
        elsewhere,
        finished_earlier,
    } = report;
    let mut lines: Vec<String> = Vec::new();
    if *finished_earlier {
        lines.push("An erasure that was interrupted is finished.".to_owned());
    }
    let all: u64 = rows.values().sum();
    let tables: Vec<String> = rows.iter().map(|(table, rows)| format!("{rows} of {table}")).collect();
    let who = if prospect_ids.is_empty() { "nobody whom resolve knows".to_owned() } else { prospect_ids.join(", ") };
    match run_id {
        Some(run) => lines.push(format!("{who}: {all} rows and {pushes} pushes are erased; run {run}")),
        None if *dry_run => lines.push(format!("{who}: {all} rows and {pushes} pushes would be erased")),
        None => {}
    }
    if !tables.is_empty() {
        lines.push(format!("rows: {}", tables.join(", ")));
    }
    if *suppressed > 0 {
        lines.push(format!("{suppressed} addresses and numbers are kept out from now on, by keyed hash"));
    }
    if !sources.is_empty() {
        lines.push(format!("the person came from {}: there they still are", sources.join(", ")));
    }
    if !remote.is_empty() {
        let mut table = Rows::new(&["sink", "record there", "", "why"]);
        for record in remote {
            let fate = match record.fate {
                Fate::ToDelete => "must be deleted there",
                Fate::Deleted => "deleted",
                Fate::Gone => "was gone already",
            };
            let reason = record.reason.clone().unwrap_or_default();
            table.row([record.sink.clone(), record.remote_id.clone(), fate.to_owned(), reason]);
        }
        lines.push(table.render());
    }
    for sink in doubtful {
        lines.push(format!("{sink} may hold a record that nobody knows of: a push broke off there; look for the person"));
    }
    if elsewhere.records > 0 {
        let (count, ids) = (elsewhere.records, elsewhere.record_ids.join(", "));
        lines.push(format!("{count} records of others mention the person and stay: {ids}"));
    }
    lines.join("\n")
}
