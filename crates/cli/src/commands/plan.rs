//! `plan`: what a delivery would do.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use headwater_runtime::deliver::{Action, Keep, Plan, PlanFile, PlannedBudget, PlannedRow, Taker, plans};
use headwater_runtime::project::SinkEntry;
use headwater_runtime::{Engine, Error};
use serde::Serialize;

use crate::args::{Format, Global};
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

/// How a plan in JSON begins.
const OPENING: &str = "{\"version\":1,\"sinks\":[";

pub(crate) async fn run(
    global: &Global,
    sink: Option<&str>,
    (limit, out): (usize, Option<&Path>),
    console: &Console,
) -> Result<Code, Failure> {
    let engine = wiring::engine(global, console).await?;
    let entries = sinks(&engine, sink)?;
    let json = console.format() == Format::Json;
    let mut takers = Takers {
        saved: out.map(|path| PlanFile::create(&engine, path)).transpose()?,
        shown: json.then(|| Shown { console, text: String::new(), parts: 0, rows: 0 }),
    };
    // Whoever is shown some rows is shown them after the counts; everything else goes by.
    let keep = Keep::First(if json { 0 } else { limit });
    let planned = Box::pin(engine.unless_told(plans(&engine, &entries, keep, &mut takers))).await??;
    let Takers { saved, shown } = takers;
    if let Some((path, saved)) = out.zip(saved) {
        saved.finish()?;
        let program = wiring::invocation(global);
        console.hint(&format!(
            "`{program} sync --plan {}` does exactly this, and nothing if the world moves before",
            path.display()
        ));
    }
    if let Some(shown) = shown {
        shown.finish()?;
        return Ok(Code::Done);
    }
    for plan in &planned {
        console.write(&human(plan, limit))?;
    }
    Ok(Code::Done)
}

/// Who takes a plan while it is made.
struct Takers<'a> {
    saved: Option<PlanFile>,
    shown: Option<Shown<'a>>,
}

#[async_trait]
impl Taker for Takers<'_> {
    fn begin(&mut self, sink: &str, fields_to_make: &[String]) -> Result<(), Error> {
        self.saved.iter_mut().try_for_each(|saved| saved.begin(sink, fields_to_make))?;
        self.shown.iter_mut().try_for_each(|shown| shown.begin(sink))
    }

    async fn take(&mut self, rows: &[PlannedRow], leaving: bool) -> Result<(), Error> {
        if let Some(saved) = &mut self.saved {
            saved.take(rows, leaving).await?;
        }
        self.shown.iter_mut().try_for_each(|shown| shown.rows(rows))
    }

    fn end(&mut self, plan: &Plan) -> Result<(), Error> {
        self.saved.iter_mut().try_for_each(|saved| saved.end(plan))?;
        self.shown.iter_mut().try_for_each(|shown| shown.end(plan))
    }
}

/// Shows a plan as one JSON document, row by row as it is made.
struct Shown<'a> {
    console: &'a Console,
    text: String,
    parts: usize,
    rows: usize,
}

/// What stands of a part after its rows.
#[derive(Serialize)]
struct Rest<'a> {
    fields_to_make: &'a [String],
    held_back: &'a BTreeMap<String, u64>,
    outside_audience: u64,
    calls_made: usize,
    calls_to_write: usize,
    seconds_to_write: Option<f64>,
    budget: Option<PlannedBudget>,
}

impl Shown<'_> {
    fn begin(&mut self, sink: &str) -> Result<(), Error> {
        self.text.push_str(if self.parts == 0 { OPENING } else { "," });
        (self.parts, self.rows) = (self.parts + 1, 0);
        self.text.push_str("{\"sink\":");
        self.put(&sink)?;
        self.text.push_str(",\"rows\":[");
        Ok(())
    }

    fn rows(&mut self, rows: &[PlannedRow]) -> Result<(), Error> {
        for row in rows {
            if self.rows > 0 {
                self.text.push(',');
            }
            self.rows += 1;
            self.put(row)?;
        }
        self.write()
    }

    fn end(&mut self, plan: &Plan) -> Result<(), Error> {
        let Plan { fields_to_make, held_back, outside_audience, calls_made, calls_to_write, seconds_to_write, budget, .. } = plan;
        let rest = Rest {
            fields_to_make,
            held_back,
            outside_audience: *outside_audience,
            calls_made: *calls_made,
            calls_to_write: *calls_to_write,
            seconds_to_write: *seconds_to_write,
            budget: *budget,
        };
        self.text.push_str("],");
        let at = self.text.len();
        self.put(&rest)?;
        // Its members belong to the object that is open.
        self.text.remove(at);
        Ok(())
    }

    fn finish(mut self) -> Result<(), Error> {
        if self.parts == 0 {
            self.text.push_str(OPENING);
        }
        self.text.push_str("]}\n");
        self.write()
    }

    fn put(&mut self, value: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string(value).map_err(|error| Error::Internal(error.to_string()))?;
        self.text.push_str(&text);
        Ok(())
    }

    fn write(&mut self) -> Result<(), Error> {
        let poured = self.console.pour(&self.text);
        self.text.clear();
        poured.map_err(|source| Error::File { path: "the answer".to_owned(), doing: "written", source })
    }
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
    if !plan.fields_to_make.is_empty() {
        text.push_str(&format!("fields that a sync makes in the remote first: {}\n", plan.fields_to_make.join(", ")));
    }
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
