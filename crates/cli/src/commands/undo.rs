//! `undo`: what a run wrote is taken back.

use headwater_runtime::deliver::{UndoReport, undo};

use crate::args::Global;
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

pub(crate) async fn run(global: &Global, run: &str, console: &Console) -> Result<Code, Failure> {
    let engine = wiring::engine(global, console).await?;
    let report = undo(&engine, run).await?;
    console.answer(&report, || human(&report))?;
    Ok(if report.left.is_empty() { Code::Done } else { Code::Refused })
}

fn human(report: &UndoReport) -> String {
    let UndoReport { version: _, run_id, undone, restored, removed, unchanged, left } = report;
    let mut text = format!(
        "{undone}: {restored} put back, {removed} removed, {unchanged} were as before already, {} left as they are; run {run_id}\n",
        left.len()
    );
    if !left.is_empty() {
        let mut rows = Rows::new(&["sink", "prospect", "record", "field", "why it is left"]);
        for left in left {
            let field = left.field.clone().unwrap_or_default();
            rows.row([left.sink.clone(), left.prospect_id.clone(), left.remote_id.clone(), field, left.reason.clone()]);
        }
        text.push_str(&rows.render());
        text.push('\n');
    }
    text
}
