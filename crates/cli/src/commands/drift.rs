//! `drift`: what the remotes have otherwise than we wrote it.

use headwater_runtime::deliver::{Drift, drift};
use serde_json::json;

use super::plan::{clip, sinks};
use crate::args::{Format, Global};
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

pub(crate) async fn run(global: &Global, sink: Option<&str>, limit: usize, console: &Console) -> Result<Code, Failure> {
    let engine = wiring::engine(global, console).await?;
    let mut found = Vec::new();
    for entry in sinks(&engine, sink)? {
        for part in entry.parts() {
            found.push(drift(&engine, &part).await?);
        }
    }
    if console.format() == Format::Json {
        return console.answer(&json!({ "version": 1, "sinks": found }), String::new);
    }
    for drift in &found {
        console.write(&human(drift, limit))?;
    }
    Ok(Code::Done)
}

fn human(drift: &Drift, limit: usize) -> String {
    let Drift { sink, records, readable, gone, fields } = drift;
    if !readable {
        return format!("{sink}: it cannot be read back\n");
    }
    let mut text = format!("{sink}: {records} records, {} gone, {} fields differ from what we wrote\n", gone.len(), fields.len());
    let mut rows = Rows::new(&["prospect", "record", "field", "we wrote", "it has"]);
    for record in gone.iter().take(limit) {
        let nothing = String::new;
        rows.row([record.prospect_id.clone(), record.remote_id.clone(), nothing(), nothing(), "the record is gone".to_owned()]);
    }
    for field in fields.iter().take(limit) {
        let value = |value: &Option<String>| clip(value.as_deref().unwrap_or_default());
        let (ours, theirs) = (value(&field.ours), value(&field.theirs));
        rows.row([field.prospect_id.clone(), field.remote_id.clone(), field.field.clone(), ours, theirs]);
    }
    if !rows.is_empty() {
        text.push_str(&rows.render());
        text.push('\n');
    }
    let longest = gone.len().max(fields.len());
    if longest > limit {
        let more = format!("… and more; `--limit {longest}` shows all\n");
        text.push_str(&more);
    }
    text
}
