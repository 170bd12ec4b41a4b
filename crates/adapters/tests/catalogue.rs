//! Every connector that is data: its recorded exchanges and the contract of a source. A new folder is found by itself.

#![allow(clippy::expect_used, clippy::panic, reason = "this is test code all through")]

use std::path::{Path, PathBuf};

use headwater_adapters::language::Declarative;
use headwater_adapters::language::rehearsal::{Expected, Outcome, rehearse};

fn connectors() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../connectors");
    let entries = std::fs::read_dir(root).expect("the folder of connectors");
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.retain(|folder| folder.join("connector.yaml").is_file());
    folders.sort();
    folders
}

async fn outcomes(folder: &Path) -> Vec<Outcome> {
    let connector = Declarative::open(&folder.join("connector.yaml")).unwrap_or_else(|error| panic!("{error}: {:?}", error.help));
    rehearse(&connector, folder, Expected::Compare).await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn every_connector_asks_and_gives_what_is_recorded_and_keeps_the_contract() {
    let folders = connectors();
    assert!(folders.len() >= 2, "brevo and typeform are there");
    let mut problems = Vec::new();
    for folder in &folders {
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        for outcome in outcomes(folder).await {
            problems.extend(outcome.problems.iter().map(|problem| format!("{name}, {}: {problem}", outcome.test)));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_connector_has_its_folder_s_name() {
    for folder in connectors() {
        let connector = Declarative::open(&folder.join("connector.yaml")).expect("a connector");
        let name = connector.read_spec().expect("a spec").name.clone();
        assert_eq!(folder.file_name().and_then(|name| name.to_str()), Some(name.as_str()));
    }
}
