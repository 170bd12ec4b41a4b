//! The verbs, one module each.

mod attribute;
mod catalogue;
mod check;
mod connector_kit;
mod demo;
mod drift;
mod erase;
mod explain;
pub(crate) mod fake;
mod init;
mod plan;
mod preview;
mod quarantine;
mod query;
mod read;
mod report;
mod report_channels;
mod report_people;
mod resolve;
mod review;
mod serve;
mod status;
mod suppress;
mod sync;
mod undo;

use clap::CommandFactory;

use crate::args::{Cli, Command};
use crate::console::Console;
use crate::exit_code::Code;
use crate::failure::Failure;

/// Runs the command that was asked for.
pub(crate) async fn run(cli: &Cli, console: &Console) -> Result<Code, Failure> {
    let global = &cli.global;
    match &cli.command {
        Command::Demo { dir, crm: None } => Box::pin(demo::run(global, dir, console)).await,
        Command::Demo { dir, crm: Some(kind) } => Box::pin(demo::into_fake(global, dir, *kind, console)).await,
        Command::Init { dir, template } => init::init(dir, *template, console),
        Command::Check { offline } => Box::pin(check::run(global, *offline, console)).await,
        Command::Discover { source } => Box::pin(preview::discover(global, source, console)).await,
        Command::Preview { source, stream, limit, map } => {
            let wanted = preview::Wanted { stream: stream.as_deref(), limit: *limit, is_map: *map };
            Box::pin(preview::run(global, source, &wanted, console)).await
        }
        Command::Sync(args) => Box::pin(sync::run(global, args, console)).await,
        Command::Plan { sink, limit, out } => {
            Box::pin(plan::run(global, sink.as_deref(), (*limit, out.as_deref()), console)).await
        }
        Command::Undo { run } => Box::pin(undo::run(global, run, console)).await,
        Command::Drift { sink, limit } => Box::pin(drift::run(global, sink.as_deref(), *limit, console)).await,
        Command::Serve { listen } => Box::pin(serve::run(global, listen.as_deref(), console)).await,
        Command::Status => Box::pin(status::run(global, console)).await,
        Command::Runs { command, limit } => Box::pin(status::runs(global, command.as_ref(), *limit, console)).await,
        Command::Report { what, model, all, cohorts, by, rules, changes, html, what_if } => {
            let (html, what_if) = (html.as_deref(), what_if.as_deref());
            let options =
                report::Options { model, all: *all, cohorts: *cohorts, by: *by, rules: *rules, changes: *changes, html, what_if };
            Box::pin(report::run(global, *what, options, console)).await
        }
        Command::Explain { who } => Box::pin(explain::run(global, who, console)).await,
        Command::Review { command } => Box::pin(review::run(global, command, console)).await,
        Command::Quarantine { command } => Box::pin(quarantine::run(global, command, console)).await,
        Command::Suppress(args) => Box::pin(suppress::run(global, args, console)).await,
        Command::Erase(args) => Box::pin(erase::run(global, args, console)).await,
        Command::ExportPerson { who, out } => Box::pin(erase::export(global, who, out.as_deref(), console)).await,
        Command::Query { sql, limit } => Box::pin(query::run(global, sql, *limit, console)).await,
        Command::Connectors { command } => Box::pin(catalogue::run(global, command, console)).await,
        Command::Schema => catalogue::schema(console),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "headwater", &mut script);
            console.write(&String::from_utf8_lossy(&script))?;
            Ok(Code::Done)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(|error| Failure::output(&error))?;
            console.write(&String::from_utf8_lossy(&page))?;
            Ok(Code::Done)
        }
        Command::Read(args) => Box::pin(read::run(global, args, console)).await,
        Command::Attribute(args) => attribute::run(args, console),
        Command::Resolve(args) => resolve::run(args, console),
        Command::Fake(args) => Box::pin(fake::run(args, console)).await,
    }
}
