//! `quarantine`: refused rows, with reasons, and another try.

use headwater_runtime::quarantine::{self, QuarantineReport, QuarantineRow, Retried};
use serde_json::json;

use super::report::{csv_text, minute};
use crate::args::{Format, Global, QuarantineCommand};
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

pub(crate) async fn run(global: &Global, command: &QuarantineCommand, console: &Console) -> Result<Code, Failure> {
    let engine = wiring::engine(global, console).await?;
    match command {
        QuarantineCommand::List { source, limit } => {
            let report = quarantine::list(&engine, source.as_deref(), *limit).await?;
            console.answer(&report, || match console.format() {
                Format::Csv => csv_text(csv(&report)),
                Format::Human | Format::Json => human(&report),
            })
        }
        QuarantineCommand::Show { id } => {
            let row = quarantine::show(&engine, id).await?;
            console.answer(&json!({ "version": 1, "row": row }), || one(&row))
        }
        QuarantineCommand::Export { file, source } => {
            let exported = quarantine::export(&engine, file, source.as_deref()).await?;
            console.answer(&exported, || format!("refused rows written to {}: {}", exported.file.display(), exported.rows))
        }
        QuarantineCommand::Retry { ids, source } => {
            let retried = quarantine::retry(&engine, ids, source.as_deref()).await?;
            console.answer(&retried, || outcome(&retried))?;
            if retried.accepted + retried.queued > 0 {
                console.note("hint: run `headwater sync` to resolve, measure and push what was taken");
            }
            Ok(if retried.refused + retried.not_offered > 0 { Code::Refused } else { Code::Done })
        }
    }
}

fn human(report: &QuarantineReport) -> String {
    if report.open == 0 {
        return "No refused rows are open.".to_owned();
    }
    let mut groups = Rows::new(&["source", "stage", "code", "rows", "the reason of the latest"]).right([3]);
    for group in &report.groups {
        groups.row([
            group.source.clone(),
            group.stage.clone(),
            group.code.clone(),
            group.rows.to_string(),
            group.example.clone(),
        ]);
    }
    let mut rows = Rows::new(&["id", "source", "where it stood", "field", "code", "refused (UTC)"]);
    for row in &report.rows {
        let QuarantineRow { quarantine_id, source, place, field, code, refused_at, .. } = row;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        rows.row([quarantine_id.clone(), source.clone(), text(place), text(field), code.clone(), minute(*refused_at)]);
    }
    let open =
        if report.open == 1 { "1 refused row is open".to_owned() } else { format!("{} refused rows are open", report.open) };
    let hidden = report.open.saturating_sub(report.rows.len() as u64);
    let more = (hidden > 0).then(|| format!("… and {hidden} more; `--limit {}` shows all", report.open));
    let next = "`headwater quarantine show ID` shows one as it arrived; `quarantine retry` offers them again after the rules were mended";
    let parts = [Some(open), Some(groups.render()), (!rows.is_empty()).then(|| rows.render()), more, Some(next.to_owned())];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
}

fn csv(report: &QuarantineReport) -> Vec<Vec<String>> {
    let names = ["quarantine_id", "source", "stream", "stage", "place", "code", "field", "reason", "refused_at", "run_id"];
    let mut lines = vec![names.map(str::to_owned).to_vec()];
    lines.extend(report.rows.iter().map(|row| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        vec![
            row.quarantine_id.clone(),
            row.source.clone(),
            row.stream.clone(),
            row.stage.clone(),
            text(&row.place),
            row.code.clone(),
            text(&row.field),
            row.reason.clone(),
            row.refused_at.map(|at| at.to_string()).unwrap_or_default(),
            row.run_id.clone(),
        ]
    }));
    lines
}

fn one(row: &QuarantineRow) -> String {
    let field = row.field.as_ref().map(|field| format!("\nfield     {field}")).unwrap_or_default();
    format!(
        "{}\nsource    {} ({})\nstage     {}\nstood at  {}\nrefused   {} UTC by {}\nstate     {}\ncode      {}{field}\nreason    {}\n\n{}",
        row.quarantine_id,
        row.source,
        row.stream,
        row.stage,
        row.place.as_deref().unwrap_or("unknown"),
        minute(row.refused_at),
        row.run_id,
        row.state,
        row.code,
        row.reason,
        row.raw.as_deref().unwrap_or("(the row itself was not kept)")
    )
}

fn outcome(retried: &Retried) -> String {
    let parts = [
        (retried.accepted, "accepted"),
        (retried.queued, "queued for the next delivery"),
        (retried.overtaken, "overtaken by what came later"),
        (retried.suppressed, "of suppressed people"),
        (retried.refused, "refused again"),
        (retried.not_offered, "not offered"),
    ];
    let told: Vec<String> = parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let sum = match told.as_slice() {
        [] => "no refused rows are open there: nothing to do".to_owned(),
        told => format!("of {} refused: {}", retried.chosen, told.join(", ")),
    };
    let reasons = retried.reasons.iter().map(|(reason, count)| format!("  {count} not offered: {reason}"));
    [sum].into_iter().chain(reasons).collect::<Vec<_>>().join("\n")
}
