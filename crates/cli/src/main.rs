//! The `headwater` binary: arguments in, answers out, and an exit code that scripts can rely on.

mod args;
mod commands;
mod console;
mod exit_code;
mod failure;
mod logging;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::console::Console;
use crate::failure::Failure;
use crate::logging::Told;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let console = Console::new(&cli.global);
    let told = if matches!(cli.command, Command::Serve { .. }) { Told::InTheLog } else { Told::AtTheEnd };
    logging::init(&cli.global, told);
    std::panic::set_hook(Box::new(|info| {
        // The decoder's caller says which file is damaged; what the panic says of it may be somebody's data.
        if headwater_model::decoding::is_decoding() {
            return tracing::debug!(at = ?info.location(), "a decoder gave up on damaged bytes");
        }
        tracing::error!(version = env!("CARGO_PKG_VERSION"), "this is a bug: {info}");
    }));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return console.fail(&Failure::bug(format!("cannot start: {error}"))),
    };
    let ended = runtime.block_on(commands::run(&cli, &console));
    // A task that still reads a file must not keep a finished program alive.
    runtime.shutdown_background();
    match ended {
        Ok(code) => code.into(),
        Err(failure) => console.fail(&failure),
    }
}
