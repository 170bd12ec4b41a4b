//! A manifest alone, as `headwater read --manifest` runs it, for measuring: `manifest MANIFEST CONFIG [CATALOG] [STATE] [OP] [NOW]`, with `-`
//! for what is not there.

use std::io::Write as _;

use headwater_adapters::compat::{Operation, Surroundings, Tool};
use headwater_sdk::http::Pause;
use headwater_sdk::{BuildContext, Clock};

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let arg = |index: usize| args.get(index).filter(|arg| *arg != "-");
    let file = |index| arg(index).map(|path| std::fs::read(path).unwrap_or_default());
    let pause = if arg(6).is_some() { Pause::virtual_time() } else { Pause::real() };
    let passed = pause.clone();
    let clock = match arg(6).and_then(|now| now.parse::<jiff::Timestamp>().ok()) {
        Some(start) => Clock::new(move || start.checked_add(passed.elapsed()).unwrap_or(start)),
        None => Clock::system(),
    };
    let cx = BuildContext { clock, base_dir: ".".into(), env: std::sync::Arc::new(|_| None), allow_private_hosts: false };
    let around = Surroundings { cx, pause, allow_hosts: vec!["127.0.0.1".to_owned()], sequential: arg(6).is_some() };
    let tool = Tool {
        manifest: file(1).unwrap_or_default(),
        config: file(2).unwrap_or_default(),
        catalog: file(3),
        state: file(4),
        around,
    };
    let operation = match arg(5).map(String::as_str) {
        Some("check") => Operation::Check,
        Some("discover") => Operation::Discover,
        Some("spec") => Operation::Spec,
        Some("capabilities") => Operation::Capabilities,
        _ => Operation::Read,
    };
    let mut out = std::io::stdout();
    let mut emit = |lines: &[u8]| out.write_all(lines).and_then(|()| out.flush());
    match tool.run(operation, &mut emit).await {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{error}"));
            std::process::ExitCode::FAILURE
        }
    }
}
