//! `read`: a source without a project, as Airbyte protocol messages.

use std::io::Write;

use headwater_runtime::tools::read::{self, Operation, Request};

use crate::args::{Global, ReadArgs};
use crate::console::Console;
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

pub(crate) async fn run(global: &Global, args: &ReadArgs, console: &Console) -> Result<Code, Failure> {
    let operation = match args.operation.as_str() {
        "spec" => Operation::Spec,
        "check" => Operation::Check,
        "discover" => Operation::Discover,
        "read" => Operation::Read,
        other => return Err(Failure::usage(format!("there is no operation `{other}`"), "write spec, check, discover or read")),
    };
    let request = Request {
        connector: args.connector.clone(),
        operation,
        config: read::settings(&args.config)?,
        stream: args.stream.clone(),
        state: args.state.as_deref().map(read::document).transpose()?,
    };
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let mut gone = false;
    let mut emit = |line: &str| {
        let written = writeln!(out, "{line}");
        gone |= written.as_ref().is_err_and(is_gone);
        written
    };
    let cancel = wiring::cancelled_by_signals();
    let (registry, surroundings) = (wiring::registry(), wiring::surroundings(global));
    let read = read::read(&registry, &surroundings, &wiring::project_dir(global), &request, &cancel, &mut emit).await;
    let flushed = out.flush();
    // Who reads our output has enough: no failure, of us or of the source.
    if gone || flushed.as_ref().is_err_and(is_gone) {
        return Ok(Code::Done);
    }
    flushed.map_err(|error| Failure::output(&error))?;
    let summary = read?;
    for refused in &summary.refusals {
        console.note(&format!("refused {}: {}", refused.place, refused.reason));
    }
    if summary.refused > 0 {
        console.note(&format!("{} records given, {} refused", summary.records, summary.refused));
        return Ok(Code::Refused);
    }
    Ok(Code::Done)
}

fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}
