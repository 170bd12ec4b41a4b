//! `review`: which two prospects may be one person, and what people say of it.

use headwater_runtime::review::{self, Decided, Pair, ReviewReport, SampleReport, Side, Verdict};

use super::report::csv_text;
use super::status::checked;
use crate::args::{Format, Global, ReviewCommand};
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

const APPLIED: &str = "hint: `headwater sync` applies it, and every later run keeps to it";

pub(crate) async fn run(global: &Global, command: &ReviewCommand, console: &Console) -> Result<Code, Failure> {
    let engine = wiring::quiet_engine(global).await?;
    let decided = match command {
        ReviewCommand::List { limit } => {
            let report = review::list(&engine, *limit).await?;
            return console.answer(&report, || match console.format() {
                Format::Csv => csv_text(csv(&report.pairs)),
                Format::Human | Format::Json => human(&report),
            });
        }
        ReviewCommand::Sample { size, seed, limit } => {
            if let Some(size) = size {
                review::draw(&engine, *size as usize, *seed).await?;
            }
            let report = review::sample(&engine, *limit).await?;
            return console.answer(&report, || match console.format() {
                Format::Csv => csv_text(csv(&report.pairs)),
                Format::Human | Format::Json => drawn(&report),
            });
        }
        ReviewCommand::Edit { who, fields, forget } => {
            let edited = review::edit(&engine, who, fields, forget).await?;
            let code = console.answer(&edited, || format!("kept of {}: {}", edited.prospect_id, edited.fields.join(", ")))?;
            console.note(APPLIED);
            return Ok(code);
        }
        ReviewCommand::Accept { ids } => review::decide(&engine, ids, Verdict::Same).await?,
        ReviewCommand::Reject { ids } => review::decide(&engine, ids, Verdict::Different).await?,
        ReviewCommand::Split { prospect, leads } => review::split(&engine, prospect, leads).await?,
    };
    let code = console.answer(&decided, || outcome(&decided))?;
    console.note(APPLIED);
    Ok(code)
}

fn outcome(decided: &Decided) -> String {
    let verdict = match decided.verdict {
        Verdict::Same => "one person",
        Verdict::Different => "two persons",
    };
    let pairs = if decided.pairs == 1 { "1 pair of leads".to_owned() } else { format!("{} pairs of leads", decided.pairs) };
    format!("decided of {pairs}: {verdict}; {} still wait", decided.waiting)
}

fn human(report: &ReviewReport) -> String {
    let count = |verdict: Verdict| report.decided.get(verdict.as_str()).copied().unwrap_or_default();
    let decided =
        format!("Decided so far: {} pairs are one person, {} are two.", count(Verdict::Same), count(Verdict::Different));
    if report.waiting == 0 {
        return format!("No pair waits for a review. {decided}");
    }
    let mut rows = Rows::new(&["pair", "chance", "worth", "field", "one", "two"]).right([1, 2]);
    for pair in &report.pairs {
        let number = |number: Option<f64>| number.map(|number| format!("{number:.2}")).unwrap_or_default();
        let mut head = Some([pair.review_id.clone(), number(pair.chance), number(pair.worth)]);
        for (field, one, two) in compared(pair) {
            rows.row(head.take().unwrap_or_default().into_iter().chain([field, one, two]));
        }
    }
    let waiting = if report.waiting == 1 { "1 pair waits".to_owned() } else { format!("{} pairs wait", report.waiting) };
    let hidden = report.waiting.saturating_sub(report.pairs.len() as u64);
    let more = (hidden > 0).then(|| format!("… and {hidden} more; `--limit {}` shows all", report.waiting));
    let next = "`headwater review accept PAIR…` says that they are one person, `headwater review reject PAIR…` that they are two";
    let parts = [Some(format!("{waiting} for a review. {decided}")), Some(rows.render()), more, Some(next.to_owned())];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
}

/// A sample of joined pairs, and what its answers say.
fn drawn(report: &SampleReport) -> String {
    let SampleReport { drawn_at, seed, is_outdated, joined, drawn, waiting, estimate, pairs, .. } = report;
    let when = drawn_at.map(|at| format!(" on {}", at.strftime("%Y-%m-%d"))).unwrap_or_default();
    let head = format!("{drawn} of {joined} joined pairs were drawn{when} (seed {seed}); {waiting} wait for an answer.");
    let outdated = is_outdated.then(|| {
        "`identity.auto_merge_above` was another then: this says nothing of the joins that are made now; `--size` draws anew"
            .to_owned()
    });
    let estimate = estimate.map(|estimate| checked(&estimate));
    let mut rows = Rows::new(&["pair", "field", "one", "two"]);
    for pair in pairs {
        let mut head = Some([pair.review_id.clone()]);
        for (field, one, two) in compared(pair) {
            rows.row(head.take().unwrap_or_default().into_iter().chain([field, one, two]));
        }
    }
    let hidden = waiting.saturating_sub(pairs.len() as u64);
    let more = (hidden > 0).then(|| format!("… and {hidden} more; `--limit {waiting}` shows all"));
    let next = "`headwater review accept PAIR…` says that they are one person, `headwater review reject PAIR…` that they are two";
    let asked = (!pairs.is_empty()).then(|| [Some(rows.render()), more, Some(next.to_owned())]);
    let parts = [Some(head), outdated, estimate].into_iter().chain(asked.into_iter().flatten());
    parts.flatten().collect::<Vec<_>>().join("\n\n")
}

/// Prospect, source and every field that one of them fills.
fn compared(pair: &Pair) -> Vec<(String, String, String)> {
    let Pair { one, two, .. } = pair;
    let mut lines = vec![
        ("prospect".to_owned(), one.prospect_id.clone(), two.prospect_id.clone()),
        ("source".to_owned(), one.source.clone(), two.source.clone()),
    ];
    let mut fields: Vec<&str> = one.says.keys().chain(two.says.keys()).copied().collect();
    fields.sort_unstable();
    fields.dedup();
    let text = |side: &Side, field: &str| side.says.get(field).cloned().unwrap_or_else(|| "–".to_owned());
    lines.extend(fields.into_iter().map(|field| (field.replace('_', " "), text(one, field), text(two, field))));
    lines
}

fn csv(pairs: &[Pair]) -> Vec<Vec<String>> {
    let names = ["review_id", "chance", "worth", "lead_one", "lead_two", "prospect_one", "prospect_two"];
    let mut lines = vec![names.map(str::to_owned).to_vec()];
    lines.extend(pairs.iter().map(|pair| {
        let Pair { review_id, chance, worth, one, two } = pair;
        vec![
            review_id.clone(),
            chance.map(|chance| chance.to_string()).unwrap_or_default(),
            worth.map(|worth| worth.to_string()).unwrap_or_default(),
            one.lead_id.clone(),
            two.lead_id.clone(),
            one.prospect_id.clone(),
            two.prospect_id.clone(),
        ]
    }));
    lines
}
