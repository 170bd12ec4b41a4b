//! Where logs go: standard error, quiet unless asked.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::args::{ColorChoice, Global};
use crate::console::no_color;

/// Where a connection that failed in a sync is told of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told {
    /// Only there: the program goes on.
    InTheLog,
    /// By the command, with the hint: the log need not say it too.
    AtTheEnd,
}

/// Sets up logging for the whole process.
pub(crate) fn init(global: &Global, told: Told) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => match told {
            Told::InTheLog => "error",
            Told::AtTheEnd => "error,headwater_runtime::sync=off",
        },
        (false, 0) => match told {
            Told::InTheLog => "warn",
            Told::AtTheEnd => "warn,headwater_runtime::sync=off",
        },
        (false, 1) => "info,sqlx=warn",
        (false, 2) => "debug,sqlx=warn,hyper=info,reqwest=info,datafusion=info",
        (false, _) => "trace",
    };
    let filter = EnvFilter::try_from_env("HEADWATER_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let color = match global.color {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => std::io::stderr().is_terminal() && !no_color(),
    };
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(color).with_target(false);
    // Machines read JSON lines; people read the rest.
    if global.log_json { builder.json().init() } else { builder.compact().init() }
}
