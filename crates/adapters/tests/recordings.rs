//! The recording of every sink that is data: what it asks of its vendor, and what it makes of the answers. A new folder is found by itself.

#![allow(clippy::expect_used, clippy::panic, reason = "this is test code all through")]

use std::path::{Path, PathBuf};

use headwater_adapters::language::Declarative;
use headwater_sdk::testkit::recorded::{FILE, play};

/// The files of sinks, each with the folder it stands in.
fn sinks() -> Vec<(PathBuf, Declarative)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../connectors");
    let entries = std::fs::read_dir(root).expect("the folder of connectors");
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.sort();
    let open = |path: PathBuf| Declarative::open(&path).unwrap_or_else(|error| panic!("{error}: {:?}", error.help));
    let sink = |folder: PathBuf| {
        let files = ["sink.yaml", "connector.yaml"].map(|name| folder.join(name));
        let connector = open(files.into_iter().find(|path| path.is_file())?);
        let writes = connector.read_spec().expect("a spec").sink.is_some();
        writes.then_some((folder, connector))
    };
    folders.into_iter().filter_map(sink).collect()
}

#[tokio::test]
async fn every_sink_asks_what_is_recorded_and_takes_the_answers_for_what_they_are() {
    let sinks = sinks();
    assert!(sinks.len() >= 11, "the sinks are there");
    let mut problems = Vec::new();
    for (folder, connector) in sinks {
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let Ok(text) = std::fs::read_to_string(folder.join(FILE)) else {
            problems.push(format!("{name}: there is no {FILE}"));
            continue;
        };
        match play(&connector, &text).await {
            Ok(outcomes) => problems.extend(
                outcomes.iter().flat_map(|told| told.problems.iter().map(|problem| format!("{name}, {}: {problem}", told.case))),
            ),
            Err(problem) => problems.push(format!("{name}: {problem}")),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
