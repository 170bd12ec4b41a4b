//! `read`: a source without a project, as Airbyte protocol messages.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use headwater_adapters::compat;
use headwater_runtime::tools::read::{self, Operation, Request};
use headwater_sdk::http::Pause;
use headwater_sdk::{BuildContext, Clock, Error};

use crate::args::{Global, ReadArgs};
use crate::console::Console;
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

pub(crate) async fn run(global: &Global, args: &ReadArgs, console: &Console) -> Result<Code, Failure> {
    if let Some(manifest) = &args.manifest {
        return of_manifest(global, args, manifest, console).await;
    }
    let (Some(connector), Some(config)) = (&args.connector, &args.config) else {
        return Err(Failure::usage(
            "there is nothing to read",
            "name a connector with `--connector` and its settings with `--config`",
        ));
    };
    let operation = match args.operation.as_str() {
        "spec" => Operation::Spec,
        "check" => Operation::Check,
        "discover" => Operation::Discover,
        "read" => Operation::Read,
        other => return Err(Failure::usage(format!("there is no operation `{other}`"), "write spec, check, discover or read")),
    };
    let request = Request {
        connector: connector.clone(),
        operation,
        config: read::settings(config)?,
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

/// An Airbyte manifest in place of a connector.
async fn of_manifest(global: &Global, args: &ReadArgs, manifest: &Path, console: &Console) -> Result<Code, Failure> {
    let operation = match args.operation.as_str() {
        "spec" => compat::Operation::Spec,
        "check" => compat::Operation::Check,
        "discover" => compat::Operation::Discover,
        "read" => compat::Operation::Read,
        "capabilities" => compat::Operation::Capabilities,
        other => {
            let hint = "write spec, check, discover, read or capabilities";
            return Err(Failure::usage(format!("there is no operation `{other}`"), hint));
        }
    };
    let bytes = |path: &PathBuf| std::fs::read(path).map_err(|error| unreadable(path, error));
    let tool = compat::Tool {
        manifest: std::fs::read(manifest).map_err(|error| unreadable(manifest, error))?,
        config: args.config.as_ref().map(bytes).transpose()?.unwrap_or_default(),
        catalog: args.catalog.as_ref().map(bytes).transpose()?,
        state: args.state.as_ref().map(bytes).transpose()?,
        around: around(global, args),
    };
    let mut out = std::io::stdout();
    let mut broken = false;
    let mut emit = |lines: &[u8]| {
        let written = out.write_all(lines).and_then(|()| out.flush());
        broken |= written.as_ref().is_err_and(is_gone);
        written
    };
    let cancel = wiring::cancelled_by_signals();
    let done = tokio::select! {
        done = tool.run(operation, &mut emit) => done,
        () = cancel.cancelled() => return Ok(Code::Interrupted),
    };
    match done {
        // Who reads our output has enough: no failure, of us or of the source.
        Err(_) if broken => Ok(Code::Done),
        Ok(true) => Ok(Code::Done),
        Ok(false) => {
            console.note("the check failed; the message says why");
            Ok(Code::Config)
        }
        Err(source) => Err(of_source(manifest, source)),
    }
}

fn around(global: &Global, args: &ReadArgs) -> compat::Surroundings {
    let surroundings = wiring::surroundings(global);
    let (clock, pause) = match args.now {
        None => (surroundings.clock.clone(), Pause::real()),
        Some(start) => {
            let pause = Pause::virtual_time();
            let passed = pause.clone();
            let now = move || start.checked_add(passed.elapsed().max(Duration::ZERO)).unwrap_or(start);
            (Clock::new(now), pause)
        }
    };
    let cx = BuildContext { clock, allow_private_hosts: false, ..surroundings.build_context(&wiring::project_dir(global)) };
    compat::Surroundings { cx, pause, allow_hosts: args.allow_host.clone(), sequential: args.now.is_some() }
}

fn unreadable(path: &Path, source: std::io::Error) -> Failure {
    headwater_runtime::Error::File { path: path.display().to_string(), doing: "read", source }.into()
}

fn of_source(manifest: &Path, source: Error) -> Failure {
    headwater_runtime::Error::Connection { connection: manifest.display().to_string(), stream: None, source }.into()
}

fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}
