mod airbyte;
mod live;
mod singer;
mod target;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use headwater_sdk::{BuildContext, Clock, ConfigDoc, Error, Source, SourceEvent, StreamSpec};
use serde_json::{Value, json};

use super::reading::Pace;

/// Every state becomes a checkpoint.
const EAGER: Pace = Pace { rows: 1, every: Duration::ZERO };

const TOKEN: &str = "hush-hush-42";

fn fake(kind: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/process/tests/fake.py");
    json!(["/usr/bin/python3", path, kind])
}

fn cx(dir: &Path) -> BuildContext {
    let env = |name: &str| match name {
        "PATH" => Some("/usr/local/bin:/usr/bin:/bin".to_owned()),
        "TOKEN" => Some(TOKEN.to_owned()),
        "PRIVATE" => Some("not for children".to_owned()),
        _ => None,
    };
    BuildContext { clock: Clock::system(), base_dir: PathBuf::from(dir), env: Arc::new(env), allow_private_hosts: true }
}

fn doc(values: Value) -> ConfigDoc {
    let Value::Object(values) = values else { panic!("not an object") };
    ConfigDoc { connection: "tested".to_owned(), values }
}

async fn stream(source: &dyn Source, name: &str) -> StreamSpec {
    source.streams().await.unwrap().into_iter().find(|stream| stream.name == name).unwrap()
}

/// What a read gave before it failed: how many rows the last checkpoint covers, and how many there were.
async fn broken_off(source: &dyn Source, name: &str) -> (usize, usize, Error) {
    let mut events = source.read(&stream(source, name).await, None).await.unwrap();
    let (mut rows, mut covered) = (0, 0);
    loop {
        match events.try_next().await {
            Ok(Some(SourceEvent::Page(page))) => rows += page.rows(),
            Ok(Some(SourceEvent::Checkpoint(_))) => covered = rows,
            Ok(Some(SourceEvent::Whole { .. })) => {}
            Ok(None) => panic!("the read came to its end"),
            Err(error) => return (covered, rows, error),
        }
    }
}

/// Whether a process of that id is there and runs.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}
