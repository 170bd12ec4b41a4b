//! `plan`: what a delivery would do.

use std::path::Path;

use headwater_runtime::deliver::{Action, Keep, Plan, PlannedBudget, PlannedRow, SavedPlan, plans};
use headwater_runtime::project::SinkEntry;
use headwater_runtime::{Engine, Error};
use serde_json::json;

use crate::args::{Format, Global};
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

pub(crate) async fn run(
    global: &Global,
    sink: Option<&str>,
    (limit, out): (usize, Option<&Path>),
    console: &Console,
) -> Result<Code, Failure> {
    let engine = wiring::engine(global, console).await?;
    // A plan that is only shown need not be held as a whole.
    let keep = if out.is_some() || console.format() == Format::Json { Keep::All } else { Keep::First(limit) };
    let mut planned = Vec::new();
    for entry in sinks(&engine, sink)? {
        planned.extend(Box::pin(engine.unless_told(plans(&engine, entry, keep))).await??);
    }
    if let Some(path) = out {
        SavedPlan::of(&engine, &planned)?.write(path)?;
        let program = wiring::invocation(global);
        console.hint(&format!(
            "`{program} sync --plan {}` does exactly this, and nothing if the world moves before",
            path.display()
        ));
    }
    if console.format() == Format::Json {
        return console.answer(&json!({ "version": 1, "sinks": planned }), String::new);
    }
    for plan in &planned {
        console.write(&human(plan, limit))?;
    }
    Ok(Code::Done)
}

/// The sink of that name, or all.
pub(crate) fn sinks<'a>(engine: &'a Engine, name: Option<&str>) -> Result<Vec<&'a SinkEntry>, Failure> {
    let all = || engine.project.sinks.iter();
    let wanted: Vec<&SinkEntry> = all().filter(|entry| name.is_none_or(|name| entry.name == name)).collect();
    match name {
        Some(name) if wanted.is_empty() => {
            let names: Vec<&str> = all().map(|sink| sink.name.as_str()).collect();
            let hint = format!("there are: {}", names.join(", "));
            Err(Error::NotFound { what: format!("there is no sink `{name}`"), hint }.into())
        }
        _ => Ok(wanted),
    }
}

fn human(plan: &Plan, limit: usize) -> String {
    let count = |action: Action| plan.count(action);
    let mut text = format!(
        "{}: create {}, update {}, {}unchanged {}, held back {}{}, refused before {}, waiting {}, together {}{}; {} API calls made to look, about {} to write{}{}\n",
        plan.sink,
        count(Action::Create),
        count(Action::Update),
        Some(count(Action::Leave)).filter(|leave| *leave > 0).map(|leave| format!("leave {leave}, ")).unwrap_or_default(),
        count(Action::Unchanged),
        count(Action::HeldBack),
        rules(plan),
        count(Action::Rejected),
        count(Action::Waiting),
        plan.people(),
        Some(plan.outside_audience)
            .filter(|outside| *outside > 0)
            .map(|outside| format!(" (outside the audience {outside})"))
            .unwrap_or_default(),
        plan.calls_made,
        plan.calls_to_write,
        plan.seconds_to_write
            .filter(|seconds| *seconds >= 1.0)
            .map(|seconds| format!(", in some {}", duration(seconds)))
            .unwrap_or_default(),
        plan.budget.map(budget).unwrap_or_default(),
    );
    if plan.people() == 0 {
        text.push_str("nobody is in its audience\n");
    }
    let mut rows = Rows::new(&["prospect", "action", "field", "now", "would be"]);
    let mut shown: Vec<&PlannedRow> = plan.rows.iter().filter(|row| row.action != Action::Unchanged).collect();
    // What changes what somebody wrote is read first.
    shown.sort_by_key(|row| (row.action != Action::Update, row.action == Action::Create));
    for row in shown.iter().take(limit) {
        let action = word(row.action).to_owned();
        let gone = if row.action == Action::Leave { "(taken off)" } else { "(emptied)" };
        let id = |first: bool| if first { row.prospect_id.clone() } else { String::new() };
        for (index, change) in row.changes.iter().enumerate() {
            let action = if index == 0 { action.clone() } else { String::new() };
            rows.row([
                id(index == 0),
                action,
                change.field.clone(),
                clip(change.before.as_deref().unwrap_or_default()),
                change.after.as_deref().map_or_else(|| gone.to_owned(), clip)
                    + &change.reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default(),
            ]);
        }
        for kept in &row.kept {
            rows.row([String::new(), "keep".to_owned(), kept.field.clone(), String::new(), kept.reason.to_owned()]);
        }
        if row.changes.is_empty() {
            rows.row([id(true), action, String::new(), String::new(), row.reason.clone().unwrap_or_default()]);
        }
    }
    if !rows.is_empty() {
        text.push_str(&rows.render());
        text.push('\n');
    }
    let total = plan.people() - count(Action::Unchanged);
    let more = total.saturating_sub(limit as u64);
    if more > 0 {
        let more = format!("… and {more} more; `--limit {total}` shows all\n");
        text.push_str(&more);
    }
    text
}

/// Which rules hold how many back.
fn rules(plan: &Plan) -> String {
    let rules: Vec<String> = plan.held_back.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
    if rules.is_empty() { String::new() } else { format!(" ({})", rules.join(", ")) }
}

/// What is left of a day's calls, and over how many days the writing goes.
fn budget(budget: PlannedBudget) -> String {
    let PlannedBudget { calls_per_day, calls_left_today, days_to_write } = budget;
    let days = if days_to_write > 1 || calls_left_today == 0 && days_to_write > 0 {
        format!("; it goes on over {days_to_write} days")
    } else {
        String::new()
    };
    format!("; {calls_left_today} of {calls_per_day} calls a day are left today{days}")
}

/// A time as people say it.
fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3_600.0),
    }
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Update => "update",
        Action::Leave => "leave",
        Action::Unchanged => "unchanged",
        Action::HeldBack => "hold back",
        Action::Rejected => "refused before",
        Action::Waiting => "waiting",
    }
}

/// A value as long as a table takes it.
pub(crate) fn clip(value: &str) -> String {
    /// Longer than any name or address that a person would check here.
    const LONGEST: usize = 60;
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or(value)),
        None => value.to_owned(),
    }
}
