//! `connectors new` and `connectors test`: the kit for making a connector.

use std::path::{Path, PathBuf};

use headwater_adapters::language::{Declarative, LanguageError, rehearsal};
use headwater_sdk::testkit::recorded;
use headwater_sdk::{Connector as _, ErrorKind};
use serde_json::json;

use crate::args::ConnectorKind;
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::Failure;

/// The file that a connector is, in its folder.
const FILE: &str = "connector.yaml";
/// The file that its sink is, where that has settings of its own.
const SINK_FILE: &str = "sink.yaml";
/// Where connectors stand in a tree of ours.
const FOLDER: &str = "connectors";
/// What stands for the name in the files that a new connector is made of.
const NAME: &str = "NAME";
/// The same as a part of a host name, where `_` may not stand.
const HOST: &str = "HOSTNAME";
/// The same, as a Rust type's name.
const TYPE: &str = "TypeName";

/// A file of a new connector: its path, and what it holds.
type Template = (&'static str, &'static str);

const HTTP: &[Template] = &[
    (FILE, include_str!("new/http/connector.yaml")),
    ("README.md", include_str!("new/http/README.md")),
    ("fixtures/people_1.json", include_str!("new/http/people_1.json")),
    ("fixtures/people_2.json", include_str!("new/http/people_2.json")),
    ("fixtures/people_edited.json", include_str!("new/http/people_edited.json")),
    ("expected/people.jsonl", include_str!("new/http/people.jsonl")),
    ("expected/people_then.jsonl", include_str!("new/http/people_then.jsonl")),
];
const NATIVE: &[Template] = &[
    ("mod.rs", include_str!("new/native/mod.rs.txt")),
    ("config.rs", include_str!("new/native/config.rs.txt")),
    ("client.rs", include_str!("new/native/client.rs.txt")),
    ("source.rs", include_str!("new/native/source.rs.txt")),
    ("tests.rs", include_str!("new/native/tests.rs.txt")),
    ("README.md", include_str!("new/native/README.md")),
];
const SUBPROCESS: &[Template] =
    &[("README.md", include_str!("new/subprocess/README.md")), ("source.yaml", include_str!("new/subprocess/source.yaml"))];

pub(crate) fn new(into: &Path, name: &str, kind: ConnectorKind, console: &Console) -> Result<Code, Failure> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) || !name.bytes().all(plain) {
        let hint = "use lower-case letters, digits and `_`, a letter first";
        return Err(Failure::usage(format!("`{name}` cannot be a connector's name"), hint));
    }
    let folder = into.join(name);
    if folder.exists() {
        return Err(Failure::usage(format!("{} exists already", folder.display()), "choose another name, or take it away"));
    }
    let (files, next) = match kind {
        ConnectorKind::Http => (HTTP, format!("headwater connectors test {}", folder.display())),
        ConnectorKind::Native => {
            (NATIVE, format!("add `mod {name};` and `Arc::new({name}::{}),` to connectors/lib.rs", type_name(name)))
        }
        ConnectorKind::Subprocess => (SUBPROCESS, format!("see {}", folder.join("README.md").display())),
    };
    for (file, text) in files {
        let path = folder.join(file);
        let text = text.replace(HOST, &name.replace('_', "-")).replace(NAME, name).replace(TYPE, &type_name(name));
        let parent = path.parent().unwrap_or(&folder);
        std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, text)).map_err(|error| {
            Failure::usage(format!("{} cannot be written: {error}", path.display()), "check the folder's rights")
        })?;
    }
    let paths: Vec<String> = files.iter().map(|(file, _)| folder.join(file).display().to_string()).collect();
    console
        .answer(&json!({ "version": 1, "connector": name, "files": paths }), || format!("{}\nnext: {next}\n", paths.join("\n")))
}

/// `my_tool` as `MyTool`.
fn type_name(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.split('_').map(capital).collect()
}

pub(crate) async fn test(base: &Path, which: &[String], write: bool, console: &Console) -> Result<Code, Failure> {
    let mut rows = Rows::new(&["connector", "test", "stream", "requests", "rows", ""]).right([3, 4]);
    let mut answers = Vec::new();
    let mut problems = Vec::new();
    let expected = if write { rehearsal::Expected::Write } else { rehearsal::Expected::Compare };
    for path in chosen(base, which)? {
        let connector = Declarative::open(&path).map_err(failure)?;
        let folder = path.parent().unwrap_or(base);
        let outcomes = match path.ends_with(SINK_FILE) {
            true => Vec::new(),
            false => rehearsal::rehearse(&connector, folder, expected).await.map_err(failure)?,
        };
        let written = recorded(&connector, folder).await;
        let name = connector.read_spec().map_err(failure)?.name.clone();
        if folder.file_name().is_some_and(|folder| folder != name.as_str()) {
            problems.push(format!("{name}: the folder has another name: {}", folder.display()));
        }
        if !folder.join("README.md").is_file() {
            problems.push(format!("{name}: there is no README.md"));
        }
        for outcome in &outcomes {
            let verdict = if outcome.problems.is_empty() { "ok" } else { "FAILS" };
            rows.row([
                name.clone(),
                outcome.test.clone(),
                outcome.stream.clone(),
                outcome.requests.to_string(),
                outcome.rows.to_string(),
                verdict.to_owned(),
            ]);
            problems.extend(outcome.problems.iter().map(|problem| format!("{name}, {}: {problem}", outcome.test)));
        }
        let written = written.unwrap_or_else(|problem| {
            problems.push(format!("{name}: {problem}"));
            Vec::new()
        });
        for outcome in &written {
            let verdict = if outcome.problems.is_empty() { "ok" } else { "FAILS" };
            let (requests, count) = (outcome.requests.to_string(), outcome.rows.to_string());
            rows.row([name.clone(), outcome.case.clone(), "(sink)".to_owned(), requests, count, verdict.to_owned()]);
            problems.extend(outcome.problems.iter().map(|problem| format!("{name}, {}: {problem}", outcome.case)));
        }
        answers.push(json!({ "connector": name, "tests": outcomes, "sink_cases": written }));
    }
    let code = if problems.is_empty() { Code::Done } else { Code::Refused };
    console.answer(&json!({ "version": 1, "ok": problems.is_empty(), "connectors": answers, "problems": problems }), || {
        let problems: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
        format!("{}\n{problems}", rows.render())
    })?;
    Ok(code)
}

/// What came of the recording of the connector's sink, where it has one: by its own file, or by the sink of this program that has
/// its name.
async fn recorded(connector: &Declarative, folder: &Path) -> Result<Vec<recorded::Outcome>, String> {
    let writes = connector.read_spec().is_ok_and(|spec| spec.sink.is_some());
    let text = match std::fs::read_to_string(folder.join(recorded::FILE)) {
        Ok(text) => text,
        Err(error) if writes => return Err(format!("{} of its sink cannot be read: {error}", recorded::FILE)),
        Err(_) => return Ok(Vec::new()),
    };
    if writes {
        return recorded::play(connector, &text).await;
    }
    if folder.join(SINK_FILE).is_file() {
        // That file is tested by itself.
        return Ok(Vec::new());
    }
    match crate::wiring::registry().get(connector.name()) {
        Some(native) => recorded::play(native.as_ref(), &text).await,
        None => Err(format!("{} is there, and no sink", recorded::FILE)),
    }
}

/// The connector files that are meant.
fn chosen(base: &Path, which: &[String]) -> Result<Vec<PathBuf>, Failure> {
    if which.is_empty() {
        let entries = std::fs::read_dir(base.join(FOLDER)).ok().into_iter().flatten().flatten();
        let files = entries.flat_map(|entry| [FILE, SINK_FILE].map(|file| entry.path().join(file)));
        let mut paths: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
        paths.sort();
        if paths.is_empty() {
            let message = format!("there is no connector file below {}", base.join(FOLDER).display());
            return Err(Failure::usage(message, "name the folder of one: `headwater connectors test PATH`"));
        }
        return Ok(paths);
    }
    let mut paths = Vec::new();
    for name in which {
        let folders = [base.join(name), base.join(FOLDER).join(name)];
        let files = |folder: &PathBuf| [FILE, SINK_FILE].map(|file| folder.join(file)).into_iter().filter(|path| path.is_file());
        let found: Vec<PathBuf> = match folders.iter().find(|folder| files(folder).next().is_some()) {
            _ if base.join(name).is_file() => vec![base.join(name)],
            Some(folder) => files(folder).collect(),
            None => {
                let message = format!("there is no connector file at {}", base.join(FOLDER).join(name).display());
                let hint = "recorded exchanges stand beside the file, not in the program: run this where the folder is";
                return Err(Failure::usage(message, hint));
            }
        };
        paths.extend(found);
    }
    Ok(paths)
}

fn failure(error: LanguageError) -> Failure {
    let source = headwater_sdk::Error::from(error);
    debug_assert_eq!(source.kind(), ErrorKind::Config);
    headwater_runtime::Error::Connection { connection: FILE.to_owned(), stream: None, source }.into()
}
