//! `suppress`: whom we must not hold.

use headwater_runtime::{Error, privacy};
use serde_json::json;

use crate::args::{Global, SuppressArgs};
use crate::console::Console;
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

/// Where a suppression given on the command line came from, for the ledger.
const ORIGIN: &str = "command line";

pub(crate) async fn run(global: &Global, args: &SuppressArgs, console: &Console) -> Result<Code, Failure> {
    let engine = wiring::quiet_engine(global).await?;
    if args.list {
        let counts = engine.store.suppression_counts().await?;
        return console.answer(&json!({ "version": 1, "suppressed": counts }), || {
            let lines: Vec<String> =
                counts.iter().map(|(kind, count)| format!("{count} suppressed by {}", kind.as_str())).collect();
            if lines.is_empty() { "nobody is suppressed".to_owned() } else { lines.join("\n") }
        });
    }
    let mut values = args.values.clone();
    if let Some(file) = &args.file {
        let text = std::fs::read_to_string(file).map_err(|source| Error::File {
            path: file.display().to_string(),
            doing: "read",
            source,
        })?;
        values.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
    }
    if values.is_empty() {
        return Err(Failure::usage("nobody was named", "give addresses or numbers, or `--file FILE`"));
    }
    let done = if args.remove {
        privacy::unsuppress(&engine, &values).await?
    } else {
        privacy::suppress(&engine, &values, &args.reason, ORIGIN).await?
    };
    console.answer(&json!({ "version": 1, "given": done.given, "changed": done.changed }), || {
        let what = if args.remove { "suppressions taken back" } else { "newly suppressed" };
        let later = if args.remove { "" } else { "; nothing new of them is taken in, and they are held back from every push" };
        format!("{} given, {} {what}{later}", done.given, done.changed)
    })
}
