//! `discover` and `preview`: what a source has, and what we make of it.

use headwater_runtime::project::{SourceEntry, nearest};
use headwater_runtime::{Engine, Error, preview};
use serde_json::json;

use crate::args::Global;
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

pub(crate) async fn discover(global: &Global, source: &str, console: &Console) -> Result<Code, Failure> {
    let engine = wiring::engine(global, console).await?;
    let streams = preview::discover(&engine, entry(&engine, source)?).await?;
    let answer = json!({ "version": 1, "source": source, "streams": streams.iter().map(|stream| json!({
        "name": stream.name, "role": stream.role, "origin": stream.origin, "fields": stream.fields,
        "mapping": stream.mapping, "vendor": stream.vendor, "notes": stream.notes,
    })).collect::<Vec<_>>() });
    console.answer(&answer, || {
        let mut parts: Vec<String> = Vec::new();
        for stream in &streams {
            parts.push(format!("{} ({})\n", stream.name, json!(stream.role).as_str().unwrap_or_default()));
            if let Some(notes) = &stream.notes {
                parts.push(format!("  {notes}\n"));
            }
            let mut rows = Rows::new(&["field", "becomes"]);
            for field in &stream.fields {
                let ours = stream.mapping.0.iter().filter(|(_, rule)| rule.from.contains(field)).map(|(ours, _)| ours.as_str());
                rows.row([field.clone(), ours.collect::<Vec<_>>().join(", ")]);
            }
            parts.push(rows.render());
            parts.push("\n".to_owned());
        }
        parts.concat()
    })
}

/// What of a source is shown.
pub(crate) struct Wanted<'a> {
    pub(crate) stream: Option<&'a str>,
    pub(crate) limit: usize,
    /// Whether only the mapping is.
    pub(crate) is_map: bool,
}

pub(crate) async fn run(global: &Global, source: &str, wanted: &Wanted<'_>, console: &Console) -> Result<Code, Failure> {
    let engine = wiring::engine(global, console).await?;
    let shown = preview::preview(&engine, entry(&engine, source)?, wanted.stream, wanted.limit).await?;
    if wanted.is_map {
        return console.answer(&json!({ "version": 1, "map": shown.report.map() }), || shown.report.map());
    }
    console.answer(&json!({ "version": 1, "preview": shown }), || {
        let mut parts: Vec<String> = Vec::new();
        if let Some(notes) = &shown.notes {
            parts.push(format!("{notes}\n"));
        }
        parts.push(report(&shown.report));
        for record in &shown.records {
            parts.push(format!("\n{}\n", record.place));
            if let Some(reason) = &record.refused {
                parts.push(format!("refused: {reason}\n"));
            }
            let mut rows = Rows::new(&["as it arrived", "", "as it conforms", ""]);
            for index in 0..record.arrived.len().max(record.conformed.len()) {
                let side = |cells: &[(String, String)]| cells.get(index).cloned().unwrap_or_default();
                let ((field, value), (ours, ours_value)) = (side(&record.arrived), side(&record.conformed));
                rows.row([field, value, ours, ours_value]);
            }
            parts.push(rows.render());
            parts.push("\n".to_owned());
        }
        parts.concat()
    })
}

/// What would become of the rows that were looked at.
fn report(report: &preview::Report) -> String {
    let refused: usize = report.refused.iter().map(|refusals| refusals.rows).sum();
    let mut parts = vec![format!("\nfirst {} rows: {} accepted, {refused} refused", report.rows, report.accepted)];
    if report.suppressed > 0 {
        parts.push(format!(", {} suppressed", report.suppressed));
    }
    parts.push("\n\n".to_owned());
    let mut columns = Rows::new(&["column", "filled", "becomes"]).right([1]);
    for column in &report.columns {
        columns.row([column.column.clone(), percent(column.filled, report.rows), column.becomes.join(", ")]);
    }
    parts.push(columns.render());
    parts.push("\n".to_owned());
    if !report.refused.is_empty() {
        let mut refusals = Rows::new(&["refused", "rows", "first", "because"]).right([1]);
        for refused in &report.refused {
            refusals.row([refused.code.clone(), refused.rows.to_string(), refused.first.clone(), refused.reason.clone()]);
        }
        parts.push(format!("\n{}\n", refusals.render()));
    }
    parts.concat()
}

/// A part in percent; never all or nothing when it is not.
fn percent(part: usize, whole: usize) -> String {
    match (part, part.saturating_mul(100) / whole.max(1)) {
        (0, _) => "0%".to_owned(),
        (_, 0) => "<1%".to_owned(),
        (_, percent) => format!("{percent}%"),
    }
}

fn entry<'a>(engine: &'a Engine, name: &str) -> Result<&'a SourceEntry, Failure> {
    let names = || engine.project.sources.iter().map(|source| source.name.as_str());
    engine.project.source(name).ok_or_else(|| {
        let hint = match nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
        };
        Error::NotFound { what: format!("there is no source `{name}`"), hint }.into()
    })
}
