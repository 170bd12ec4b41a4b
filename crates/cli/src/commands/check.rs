//! `check`: is the configuration valid, does each connection answer, what would not work and why?

use serde::Serialize;
use serde_json::json;

use headwater_runtime::sync::check_rules;
use headwater_runtime::{Engine, Error, ingest};

use crate::args::Global;
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::{Failure, code_of};
use crate::wiring;

#[derive(Serialize)]
struct Checked {
    connection: String,
    kind: &'static str,
    ok: bool,
    message: String,
    hint: Option<String>,
}

pub(crate) async fn run(global: &Global, offline: bool, console: &Console) -> Result<Code, Failure> {
    let engine = wiring::engine(global, console).await?;
    check_rules(&engine)?;
    let mut checked = Vec::new();
    let mut code = Code::Done;
    let mut note = |connection: &str, kind: &'static str, outcome: Result<String, Error>| {
        let entry = match outcome {
            Ok(message) => Checked { connection: connection.to_owned(), kind, ok: true, message, hint: None },
            Err(error) => {
                if code == Code::Done {
                    code = code_of(&error);
                }
                let hint = Failure::of(&error).hint;
                Checked { connection: connection.to_owned(), kind, ok: false, message: error.in_one_line(), hint }
            }
        };
        checked.push(entry);
    };
    for source in &engine.project.sources {
        note(&source.name, "source", engine.unless_told(check_source(&engine, source, offline)).await?);
    }
    for sink in &engine.project.sinks {
        note(&sink.name, "sink", engine.unless_told(check_sink(&engine, sink, offline)).await?);
    }
    console.answer(&json!({ "version": 1, "offline": offline, "connections": checked }), || {
        let mut rows = Rows::new(&["connection", "kind", "", "what was found"]);
        for Checked { connection, kind, ok, message, hint } in &checked {
            let hint = hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            let verdict = if *ok { "ok" } else { "FAILS" };
            rows.row([connection.clone(), (*kind).to_owned(), verdict.to_owned(), format!("{message}{hint}")]);
        }
        let failing = checked.iter().filter(|connection| !connection.ok).count();
        let verdict = match failing {
            0 => "the configuration is valid".to_owned(),
            failing => format!("{failing} of {} connections cannot work", checked.len()),
        };
        format!("{}: {verdict}\n{}", engine.project.path.display(), rows.render())
    })?;
    Ok(code)
}

async fn check_source(engine: &Engine, entry: &headwater_runtime::project::SourceEntry, offline: bool) -> Result<String, Error> {
    let source = engine.source(entry)?;
    let fail = |error| refused(engine, &entry.name, error);
    if offline {
        return Ok("its settings are valid; not called".to_owned());
    }
    source.check().await.map_err(fail)?;
    let streams = source.streams().await.map_err(fail)?;
    ingest::check_streams(entry, &streams)?;
    for stream in &streams {
        ingest::conformer(entry, stream, "check")?;
    }
    let names: Vec<&str> = streams.iter().map(|stream| stream.name.as_str()).collect();
    Ok(format!("answers; streams: {}", names.join(", ")))
}

/// What a connection complains of; of credentials with the key that names them.
fn refused(engine: &Engine, connection: &str, source: headwater_sdk::Error) -> Error {
    engine.naming_credentials(Error::Connection { connection: connection.to_owned(), stream: None, source })
}

async fn check_sink(engine: &Engine, entry: &headwater_runtime::project::SinkEntry, offline: bool) -> Result<String, Error> {
    let sink = engine.sink(entry)?;
    for part in entry.parts() {
        engine.sink(&part)?;
    }
    if offline {
        return Ok("its settings are valid; not called".to_owned());
    }
    sink.check().await.map_err(|error| refused(engine, &entry.name, error))?;
    let to_make = headwater_runtime::deliver::check(engine, entry).await?;
    let to_make: String =
        to_make.iter().map(|(part, fields)| format!("; a sync would first make in {part}: {}", fields.join(", "))).collect();
    Ok(format!("answers; its map, audience and policy fit{to_make}"))
}
