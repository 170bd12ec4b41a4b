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

/// How many tests share the catalogue, so that each is short.
const PARTS: usize = 16;

async fn part(part: usize) {
    let folders = connectors();
    assert!(folders.len() >= PARTS, "the catalogue is there");
    let mut problems = Vec::new();
    for folder in folders.iter().skip(part).step_by(PARTS) {
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        for outcome in outcomes(folder).await {
            problems.extend(outcome.problems.iter().map(|problem| format!("{name}, {}: {problem}", outcome.test)));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Every connector asks and gives what is recorded, keeps the contract, and bears a remote that misbehaves.
macro_rules! parts {
    ($($name:ident: $part:literal)*) => {$(
        #[tokio::test]
        async fn $name() {
            part($part).await;
        }
    )*};
}

parts! {
    every_connector_passes_its_rehearsal_a: 0
    every_connector_passes_its_rehearsal_b: 1
    every_connector_passes_its_rehearsal_c: 2
    every_connector_passes_its_rehearsal_d: 3
    every_connector_passes_its_rehearsal_e: 4
    every_connector_passes_its_rehearsal_f: 5
    every_connector_passes_its_rehearsal_g: 6
    every_connector_passes_its_rehearsal_h: 7
    every_connector_passes_its_rehearsal_i: 8
    every_connector_passes_its_rehearsal_j: 9
    every_connector_passes_its_rehearsal_k: 10
    every_connector_passes_its_rehearsal_l: 11
    every_connector_passes_its_rehearsal_m: 12
    every_connector_passes_its_rehearsal_n: 13
    every_connector_passes_its_rehearsal_o: 14
    every_connector_passes_its_rehearsal_p: 15
}

#[test]
fn every_connector_has_its_folder_s_name() {
    for folder in connectors() {
        let connector = Declarative::open(&folder.join("connector.yaml")).expect("a connector");
        let name = connector.read_spec().expect("a spec").name.clone();
        assert_eq!(folder.file_name().and_then(|name| name.to_str()), Some(name.as_str()));
    }
}
