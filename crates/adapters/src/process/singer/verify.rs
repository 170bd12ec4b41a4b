//! What a target really holds.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use headwater_sdk::{BuildContext, DeliveryRow, Error, ErrorKind, Operation, Result};
use serde::Deserialize;
use tracing::debug;

use super::target::KEY;
use crate::process::child::{Input, Program};
use crate::process::config::{Answers, VerifyConfig, argv, at};

/// A way to find out.
#[derive(Debug)]
pub(super) struct Verify {
    way: Way,
    appends: bool,
}

#[derive(Debug)]
enum Way {
    Total(Vec<String>),
    Keys(Vec<String>),
    JsonLines(PathBuf),
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// How many records there are.
    Total(u64),
    /// Which of the ids asked for are there.
    Keys(HashSet<String>),
}

impl Verify {
    pub(super) fn new(config: VerifyConfig, cx: &BuildContext) -> Result<Self> {
        let VerifyConfig { command, answers, jsonl, appends } = config;
        let way = match (command, jsonl) {
            (Some(command), None) => {
                let argv = argv(&command, "verify.command", cx)?;
                match answers {
                    Answers::Total => Way::Total(argv),
                    Answers::Keys => Way::Keys(argv),
                }
            }
            (None, Some(path)) => Way::JsonLines(cx.path(&path)),
            (None, None) | (Some(_), Some(_)) => return Err(at("give either `command` or `jsonl`", "verify")),
        };
        Ok(Self { way, appends })
    }

    /// Whether a record that comes twice stands there twice.
    pub(super) fn appends(&self) -> bool {
        self.appends
    }

    /// What is there before a batch. A table or file that is not there yet cannot be counted, so a failure is no answer: nothing
    /// is taken to be there, and if that is wrong the count afterwards does not fit.
    pub(super) async fn before(&self, program: &Program, ids: &[&str]) -> Option<Held> {
        match self.held(program, ids).await {
            Ok(held) => Some(held),
            Err(error) => {
                debug!(%error, "what the target holds cannot be counted before the batch");
                None
            }
        }
    }

    /// What is there.
    pub(super) async fn held(&self, program: &Program, ids: &[&str]) -> Result<Held> {
        match &self.way {
            Way::Total(argv) => {
                let lines = printed(program, argv, &[]).await?;
                let last = lines.iter().rev().map(|line| line.trim()).find(|line| !line.is_empty());
                let count = last.and_then(|line| line.parse().ok());
                count.map(Held::Total).ok_or_else(|| failed("the verifying command printed no number"))
            }
            Way::Keys(argv) => {
                let wanted: HashSet<&str> = ids.iter().copied().collect();
                let lines = printed(program, argv, ids).await?;
                let found = lines.iter().map(|line| line.trim()).filter(|line| wanted.contains(line));
                Ok(Held::Keys(found.map(str::to_owned).collect()))
            }
            Way::JsonLines(path) => keys_in(path, &ids.iter().copied().collect()).map(Held::Keys),
        }
    }

    /// The least number of records that these rows must have added, and the number that were, where it does not fit. A repeated
    /// row adds none to a target that replaces, and one to a target that appends.
    pub(super) fn lost(&self, rows: &[&DeliveryRow], before: u64, after: u64) -> Option<(u64, i128)> {
        let count = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
        let all = count(rows.len());
        let fresh = rows.iter().filter(|row| row.operation == Operation::Create && !row.doubtful).count();
        let least = if self.appends { all } else { count(fresh) };
        let grown = i128::from(after) - i128::from(before);
        let fits = (i128::from(least)..=i128::from(all)).contains(&grown);
        (!fits).then_some((least, grown))
    }
}

/// What a command prints when it is given these lines.
async fn printed(program: &Program, argv: &[String], given: &[&str]) -> Result<Vec<String>> {
    let mut child = program.start_other(argv, Input::Pipe)?;
    let mut lines = Vec::new();
    let mut heard = |line: Vec<u8>| lines.push(String::from_utf8_lossy(&line).into_owned());
    let mut text = given.join("\n");
    text.push('\n');
    // A command that only counts does not read them.
    let _read = child.feed(if given.is_empty() { b"" } else { text.as_bytes() }, &mut heard).await?;
    child.close_input();
    while let Some(line) = child.line().await? {
        heard(line);
    }
    child.finish().await?;
    Ok(lines)
}

/// Those of the ids that stand in a file of JSON lines, or in such files of a folder.
fn keys_in(path: &Path, wanted: &HashSet<&str>) -> Result<HashSet<String>> {
    let unreadable = |error: std::io::Error| failed("the target's files cannot be read").source(error);
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        files.clear();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|end| end == "jsonl") {
                files.push(path);
            }
        }
    }
    let mut found = HashSet::new();
    for file in files {
        let file = std::fs::File::open(&file).map_err(unreadable)?;
        for line in BufReader::new(file).lines() {
            let row: Option<Row> = serde_json::from_str(&line.map_err(unreadable)?).ok();
            found.extend(row.map(|row| row.headwater_id).filter(|id| wanted.contains(id.as_str())));
        }
    }
    debug_assert_eq!(KEY, "headwater_id");
    Ok(found)
}

/// What is looked for in a line of a target's file.
#[derive(Deserialize)]
struct Row {
    headwater_id: String,
}

fn failed(what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, what)
}
