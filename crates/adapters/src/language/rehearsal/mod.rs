//! `connectors test`: plays a connector's recorded exchanges to it and compares what it asks and gives.
//!
//! Each test is the recorded read, the recorded one after it, those of the contract kit, and those through every trouble that remotes
//! make. Nothing leaves the machine, and no wait is waited out.

mod conforming;
mod troubles;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_model::checkpoint::Checkpoint;
use headwater_model::mapping::{Origin, Role};
use headwater_sdk::http::Pause;
use headwater_sdk::testkit::recorded::chain;
use headwater_sdk::testkit::server::{Mode, Prepared, Server, sorted, target};
use headwater_sdk::testkit::troubles::{Manners, Misbehaving};
use headwater_sdk::testkit::{Collected, Row, check_source_contract, collect};
use headwater_sdk::{BuildContext, Clock, Source as _, StreamSpec};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::compile::Setup;
use super::source::{Declarative, DeclarativeSource};
use super::spec::{Auth, Exchange, SettingKind, Spec, Test};
use crate::engine::{Map, Value};

/// When a test is read, unless it says otherwise.
const NOW: &str = "2026-02-01T00:00:00Z";
/// How many rows that differ are shown.
const SHOWN: usize = 5;

/// What came of one test.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The test's name.
    pub test: String,
    /// The stream that it reads.
    pub stream: String,
    /// How many requests were answered.
    pub requests: usize,
    /// How many rows came.
    pub rows: usize,
    /// What went otherwise than it should; empty when all is well.
    pub problems: Vec<String>,
}

/// What is done about the files of expected rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// They are compared.
    Compare,
    /// They are written anew.
    Write,
}

/// A row, as files of expected rows hold it: one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    fields: BTreeMap<String, String>,
}

/// The folder of a connector.
struct Folder<'a>(&'a Path);

impl Folder<'_> {
    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        std::fs::read(self.0.join(name)).map_err(|error| format!("{name} cannot be read: {error}"))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.0.join(name);
        let parent = path.parent().unwrap_or(self.0);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| format!("{name} cannot be written: {error}"))
    }
}

/// Runs all tests of a connector. `folder` is the connector's. A stream that no test reads is a problem of its own.
///
/// # Errors
/// When the file cannot be used at all.
pub async fn rehearse(connector: &Declarative, folder: &Path, expected: Expected) -> Result<Vec<Outcome>, super::LanguageError> {
    let spec = connector.read_spec()?;
    let mut out = Vec::new();
    let mut deletes = false;
    let mut edited: BTreeSet<&str> = BTreeSet::new();
    for (name, test) in &spec.tests {
        let mut stage = Stage { connector, spec, folder: Folder(folder), expected, name, test, seen: Told::default() };
        if let Err(problem) = Box::pin(stage.run()).await {
            stage.seen.problems.push(problem);
        }
        let Told { problems, requests, rows, deletes: gone, edits } = stage.seen;
        deletes |= gone;
        edited.extend(edits.then_some(test.stream.as_str()));
        out.push(Outcome { test: name.clone(), stream: test.stream.clone(), requests, rows, problems });
    }
    let mut missing = |stream: &str, what: &str| {
        let (test, stream, problems) = (String::new(), stream.to_owned(), vec![what.to_owned()]);
        out.push(Outcome { test, stream, requests: 0, rows: 0, problems });
    };
    for name in connector.stream_names()? {
        let Some(stream) = spec.streams.get(&name) else { continue };
        // Events happen once, and what people send in is seldom edited; everything else is, and an edit must come through.
        let is_edited = matches!(stream.role, Role::Leads | Role::Conversions | Role::Costs) && stream.origin != Origin::Form;
        if !spec.tests.values().any(|test| test.stream == name) {
            missing(&name, "no test reads this stream");
        } else if is_edited && stream.cursor.is_some() && stream.key.is_some() && !edited.contains(name.as_str()) {
            missing(&name, "no test has a `then` with a record that was edited since the first read");
        }
    }
    let tells = spec.streams.iter().find(|(_, stream)| stream.deleted.is_some());
    if let Some((name, _)) = tells.filter(|_| !deletes) {
        missing(name, "the stream says what is `deleted`, and no test shows a record that is");
    }
    Ok(out)
}

struct Stage<'a> {
    connector: &'a Declarative,
    spec: &'a Spec,
    folder: Folder<'a>,
    expected: Expected,
    name: &'a str,
    test: &'a Test,
    seen: Told,
}

/// What a test showed.
#[derive(Default)]
struct Told {
    problems: Vec<String>,
    requests: usize,
    rows: usize,
    /// Whether a row was one that is gone.
    deletes: bool,
    /// Whether the second read gave a record that was edited since the first.
    edits: bool,
}

impl Stage<'_> {
    async fn run(&mut self) -> Result<(), String> {
        let pause = Pause::virtual_time();
        let server = Server::start(&pause).await.map_err(|error| format!("no server can be started: {error}"))?;
        let origin = server.origin().map_err(|error| error.to_string())?;
        let source = self.source(&origin, &pause)?;
        let stream = self.stream(&source).await?;
        let first = self.prepared(&self.test.exchanges)?;
        let all = self.read(&server, &source, &stream, (first.clone(), None)).await?;
        let expect = self.test.expect.clone().unwrap_or_else(|| format!("expected/{}.jsonl", self.name));
        self.compare(&expect, &all)?;
        self.seen.problems.extend(conforming::refusals(&stream, &all.rows, self.now()?));
        let (rest, then) = self.second(&server, &source, &stream, &all).await?;
        let exchanges: Vec<Prepared> = first.into_iter().chain(then).collect();
        self.contract(&server, &source, &all, exchanges.clone(), rest).await;
        if self.seen.problems.is_empty() {
            let (spec, now) = (self.spec, self.now()?);
            let manners = Manners {
                of_status: &|status| troubles::meanings(spec, status),
                renews_token: troubles::is_fetched(&spec.api.auth),
                reads_all: spec.streams.get(&stream.name).is_none_or(|stream| stream.cursor.is_none()),
                empty_answers: troubles::empty_answers(spec),
                pages_in_turn: true,
            };
            let remote = Misbehaving { server: &server, source: &source, stream: &stream, pause: &pause, now, manners };
            self.seen.problems.extend(remote.drive(exchanges).await);
        }
        Ok(())
    }

    /// The second read, and how many rows a read from the last checkpoint may repeat.
    async fn second(
        &mut self,
        server: &Server,
        source: &DeclarativeSource,
        stream: &StreamSpec,
        all: &Collected,
    ) -> Result<(usize, Vec<Prepared>), String> {
        let cursor = self.spec.streams.get(&self.test.stream).is_some_and(|stream| stream.cursor.is_some());
        let Some(then) = &self.test.then else {
            if cursor && all.last().is_some() {
                self.seen.problems.push("the stream has a cursor, and the test no `then`: record the next read".to_owned());
            }
            return Ok((all.rows.len(), Vec::new()));
        };
        let exchanges = self.prepared(&then.exchanges)?;
        let from = all.last().ok_or("the first read gives no checkpoint")?;
        let rest = self.read(server, source, stream, (exchanges.clone(), Some(from))).await?;
        let expect = then.expect.clone().unwrap_or_else(|| format!("expected/{}_then.jsonl", self.name));
        self.compare(&expect, &rest)?;
        let known = all.keys();
        if rest.rows.iter().any(|row| row.key.as_deref().is_some_and(|key| !known.contains(&key))) {
            let what = "`then` gives a record that the first read does not know: answer with one that was edited";
            self.seen.problems.push(what.to_owned());
        }
        let is_edited = |row: &Row| {
            let old = all.rows.iter().find(|old| old.key.is_some() && old.key == row.key);
            old.is_some_and(|old| (&old.fields, old.deleted) != (&row.fields, row.deleted))
        };
        self.seen.edits |= rest.rows.iter().any(is_edited);
        Ok((rest.rows.len(), exchanges))
    }

    /// One recorded read.
    async fn read(
        &mut self,
        server: &Server,
        source: &DeclarativeSource,
        stream: &StreamSpec,
        (exchanges, from): (Vec<Prepared>, Option<Checkpoint>),
    ) -> Result<Collected, String> {
        server.play(exchanges, Mode::Once);
        let read = server.during(collect(source, stream, from)).await;
        self.seen.problems.extend(server.problems());
        self.seen.requests += server.answered();
        let read = read.map_err(|breach| described(&breach))?;
        self.seen.rows += read.rows.len();
        self.seen.deletes |= read.rows.iter().any(|row| row.deleted);
        Ok(read)
    }

    async fn contract(
        &mut self,
        server: &Server,
        source: &DeclarativeSource,
        all: &Collected,
        exchanges: Vec<Prepared>,
        repeats: usize,
    ) {
        if !self.seen.problems.is_empty() {
            // What is wrong already would only be said again in other words.
            return;
        }
        server.play(exchanges, Mode::Always);
        let kept = server.during(check_source_contract(source, &self.test.stream, repeats)).await;
        self.seen.problems.extend(server.problems());
        match kept {
            Err(breach) => self.seen.problems.push(format!("contract: {}", described(&breach))),
            Ok(again) if again.rows.len() != all.rows.len() => {
                self.seen.problems.push("contract: a read with every answer at hand gives another number of rows".to_owned());
            }
            Ok(_) => {}
        }
    }

    fn now(&self) -> Result<Timestamp, String> {
        let text = self.test.now.as_deref().unwrap_or(NOW);
        super::expr::instant(text).ok_or_else(|| format!("`now: {text}` is no instant"))
    }

    fn source(&self, origin: &str, pause: &Pause) -> Result<DeclarativeSource, String> {
        let unknown = self.test.connection.keys().find(|key| !self.spec.connection.contains_key(*key));
        if let Some(unknown) = unknown {
            return Err(format!("the test's connection has no setting `{unknown}`"));
        }
        let needed = match &self.spec.api.auth {
            Auth::Choice { by, of } => {
                let said = self.test.connection.get(by).or_else(|| self.spec.connection.get(by)?.default.as_ref());
                said.and_then(|way| of.get(way.as_str()?)).map(Auth::settings).unwrap_or_default()
            }
            _ => BTreeSet::new(),
        };
        let mut config = Map::default();
        for (key, setting) in &self.spec.connection {
            let value = match (self.test.connection.get(key), &setting.default, setting.kind) {
                (Some(value), _, _) | (None, Some(value), _) => Value::from(value),
                (None, None, _) if setting.optional && !needed.contains(key) => continue,
                (None, None, SettingKind::Url) => origin.into(),
                (None, None, SettingKind::Text | SettingKind::Secret | SettingKind::HostPart) => format!("test-{key}").into(),
                (None, None, SettingKind::Integer | SettingKind::Boolean | SettingKind::Day | SettingKind::List) => {
                    return Err(format!("the test's connection needs `{key}`"));
                }
            };
            config.insert(key.as_str(), value);
        }
        let cx = BuildContext {
            clock: Clock::fixed(self.now()?),
            base_dir: PathBuf::from("."),
            env: Arc::new(|_| None),
            allow_private_hosts: true,
        };
        let setup = Setup {
            config: Value::Map(config),
            hosts: Vec::new(),
            allow_private: true,
            instead: Some(origin.to_owned()),
            page_size: self.test.page_size,
        };
        let made = self.connector.rehearsal(setup, &self.test.stream, &cx, pause.clone());
        made.map_err(|error| chain(&error))
    }

    async fn stream(&self, source: &DeclarativeSource) -> Result<StreamSpec, String> {
        let streams = source.streams().await.map_err(|error| chain(&error))?;
        let found = streams.into_iter().find(|stream| stream.name == self.test.stream);
        found.ok_or_else(|| format!("there is no stream `{}`", self.test.stream))
    }

    fn prepared(&self, exchanges: &[Exchange]) -> Result<Vec<Prepared>, String> {
        exchanges.iter().map(|exchange| self.prepare(exchange)).collect()
    }

    fn prepare(&self, exchange: &Exchange) -> Result<Prepared, String> {
        let Exchange { request, headers, json, form, status, answer_headers, answer } = exchange;
        let wrong = || format!("`request: {request}` is no request: write `GET /path?key=value`");
        let (method, rest) = request.split_once(' ').ok_or_else(wrong)?;
        if !rest.starts_with('/') {
            return Err(wrong());
        }
        let (path, query) = target(rest.trim());
        Ok(Prepared {
            shown: request.clone(),
            method: method.to_owned(),
            path,
            query,
            headers: headers.clone(),
            json: json.clone(),
            form: sorted(form.iter().map(|(key, value)| (key.clone(), value.clone()))),
            text: None,
            status: *status,
            answer_headers: answer_headers.clone(),
            answer: answer.as_ref().map(|name| self.folder.read(name)).transpose()?.unwrap_or_default(),
        })
    }

    /// Compares rows with a file, or writes it. Their order does not count: partitions may be read side by side.
    fn compare(&mut self, file: &str, read: &Collected) -> Result<(), String> {
        let found: Vec<ExpectedRow> = read.rows.iter().map(ExpectedRow::of).collect();
        if self.expected == Expected::Write {
            let lines: Vec<String> = found.iter().map(|row| serde_json::to_string(row).unwrap_or_default() + "\n").collect();
            return self.folder.write(file, &lines.concat());
        }
        let text = self.folder.read(file).map_err(|problem| format!("{problem}: write it with `--write`"))?;
        let text = String::from_utf8_lossy(&text);
        let mut wanted = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let row = serde_json::from_str::<ExpectedRow>(line).map_err(|error| format!("{file}:{}: {error}", index + 1))?;
            wanted.push(row);
        }
        let mut missing = Vec::new();
        let mut surplus = found;
        for row in wanted {
            match surplus.iter().position(|found| *found == row) {
                Some(index) => drop(surplus.remove(index)),
                None => missing.push(row),
            }
        }
        let mut say = |what: &str, rows: &[ExpectedRow]| {
            let shown = rows.iter().take(SHOWN).map(|row| serde_json::to_string(row).unwrap_or_default());
            self.seen.problems.extend(shown.map(|row| format!("{file}: {what} {row}")));
        };
        say("expected, but not given:", &missing);
        say("given, but not expected:", &surplus);
        Ok(())
    }
}

impl ExpectedRow {
    fn of(row: &Row) -> Self {
        Self { key: row.key.clone(), deleted: row.deleted, fields: row.fields.clone() }
    }
}

fn described(breach: &headwater_sdk::testkit::Breach) -> String {
    chain(breach)
}
