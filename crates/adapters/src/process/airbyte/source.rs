//! An Airbyte source as a source: one start of the program per stream that is read.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::sync::Arc;

use async_trait::async_trait;
use headwater_model::checkpoint::Checkpoint;
use headwater_model::mapping::{Origin, Role};
use headwater_sdk::{BuildContext, Clock, Error, ErrorKind, EventStream, Result, Source, StreamSpec};
use serde_json::value::RawValue;
use tokio::sync::OnceCell;
use tracing::{debug, warn};

use super::catalog::Stream;
use super::message::{Descriptor, Message, Record, State, StreamStatus};
use crate::process::child::{Child, Ended, Input, Program};
use crate::process::config::{AirbyteConfig, Launch, at};
use crate::process::mask::Mask;
use crate::process::pager::Pager;
use crate::process::reading::{Dialect, Pace, Position, Step, Whole, broken, events, message};

/// The key of a state for everything: `global` in today's form, `legacy` in the old one.
const GLOBAL: &str = "global";
const LEGACY: &str = "legacy";

/// An Airbyte source.
#[derive(Debug)]
pub(crate) struct AirbyteSource {
    program: Arc<Program>,
    cursors: BTreeMap<String, String>,
    full_refresh: BTreeSet<String>,
    whole: BTreeSet<String>,
    pace: Pace,
    clock: Clock,
    /// What it can read. It is asked once: a start of it takes seconds.
    streams: OnceCell<Vec<Stream>>,
}

impl AirbyteSource {
    pub(crate) fn new(config: AirbyteConfig, cx: &BuildContext, pace: Pace) -> Result<Self> {
        let AirbyteConfig {
            command,
            config,
            config_file,
            env,
            silence_secs,
            max_line_bytes,
            cursors,
            full_refresh,
            whole,
            resumable,
        } = config;
        let launch = Launch {
            command: &command,
            config: &config,
            config_file: config_file.as_deref(),
            env: &env,
            silence_secs,
            max_line_bytes,
        };
        let program = Arc::new(launch.program(cx)?);
        Ok(Self {
            program,
            cursors,
            full_refresh,
            whole,
            pace: pace.where_resumable(resumable),
            clock: cx.clock.clone(),
            streams: OnceCell::new(),
        })
    }

    /// Runs a command that answers and ends; its lines go to `heard`, which says whether one was the answer.
    async fn ask(&self, operation: &str, mut heard: impl FnMut(&Message<'_>)) -> Result<()> {
        let (files, config) = self.program.files()?;
        let arguments: [&OsStr; 3] = [operation.as_ref(), "--config".as_ref(), &config];
        let mut child = self.program.start(&arguments, Some(files), Input::None)?;
        let mut failure = None;
        let mut spare = Vec::new();
        while let Some(line) = child.line().await? {
            let Some(found) = message::<Message<'_>>(&line, &mut spare)? else { continue };
            if let Some(log) = &found.log {
                log.tell(&self.program.mask);
            }
            failure = found.trace.as_ref().and_then(|trace| trace.failure(&self.program.mask)).or(failure);
            heard(&found);
        }
        let ended = child.finish().await;
        match (failure, ended) {
            (Some(failure), _) => Err(failure),
            (None, ended) => ended.map(drop),
        }
    }

    async fn streams_known(&self) -> Result<&Vec<Stream>> {
        self.streams.get_or_try_init(|| self.discover()).await
    }

    async fn discover(&self) -> Result<Vec<Stream>> {
        let mut catalog = None;
        self.ask("discover", |message| {
            catalog = message.catalog.map(|catalog| catalog.get().to_owned()).or(catalog.take());
        })
        .await?;
        let catalog = catalog.ok_or_else(|| Error::new(ErrorKind::Protocol, "the source gave no catalog"))?;
        let streams = Stream::parse(&catalog, &self.cursors, &self.full_refresh)?;
        for name in &self.whole {
            let stream = streams.iter().find(|stream| stream.name == *name);
            let stream = stream.ok_or_else(|| at(format!("the source has no stream `{name}`"), "whole"))?;
            if stream.incremental {
                let message = format!("`{name}` is read incrementally, which shows only what changed");
                return Err(at(message, "whole").hint("name it under `full_refresh` as well"));
            }
        }
        Ok(streams)
    }

    fn start(&self, stream: &Stream, position: &Position) -> Result<Child> {
        let (files, config) = self.program.files()?;
        let catalog = files.write("catalog.json", stream.chosen().to_string().as_bytes())?;
        let mut arguments: Vec<&OsStr> = vec!["read".as_ref(), "--config".as_ref(), &config, "--catalog".as_ref(), &catalog];
        let path;
        if let Some(text) = state_file(position) {
            path = files.write("state.json", text.as_bytes())?;
            arguments.extend([OsStr::new("--state"), &path]);
        }
        self.program.start(&arguments, Some(files), Input::None)
    }
}

/// The states as a source wants them back: a list, or the one of the old form by itself.
fn state_file(position: &Position) -> Option<String> {
    match position.states.as_slice() {
        [] => None,
        [(key, text)] if key == LEGACY => Some(text.clone()),
        states => {
            let texts: Vec<&str> = states.iter().filter(|(key, _)| key != LEGACY).map(|(_, text)| text.as_str()).collect();
            Some(format!("[{}]", texts.join(",")))
        }
    }
}

#[async_trait]
impl Source for AirbyteSource {
    async fn check(&self) -> Result<()> {
        let mut verdict = None;
        let mask = &self.program.mask;
        let asked = self
            .ask("check", |message| {
                verdict = message.connection_status.as_ref().map(|status| status.verdict(mask)).or(verdict.take());
            })
            .await;
        match verdict {
            Some(Err(refused)) => Err(refused),
            Some(Ok(())) => asked,
            None => asked.and_then(|()| Err(Error::new(ErrorKind::Protocol, "the source did not say whether it works"))),
        }
    }

    async fn streams(&self) -> Result<Vec<StreamSpec>> {
        let spec = |stream: &Stream| StreamSpec {
            name: stream.name.clone(),
            role: Role::Leads,
            origin: Origin::Import,
            fields: stream.fields.names().to_vec(),
            mapping: stream.fields.mapping(&stream.keys),
            vendor: None,
            whole: self.whole.contains(&stream.name),
            notes: None,
        };
        Ok(self.streams_known().await?.iter().map(spec).collect())
    }

    async fn read(&self, stream: &StreamSpec, from: Option<Checkpoint>) -> Result<EventStream> {
        let position = Position::of(from)?;
        let unknown = || Error::new(ErrorKind::Config, format!("the source has no stream {}", stream.name));
        let stream = self.streams_known().await?.iter().find(|known| known.name == stream.name).ok_or_else(unknown)?;
        let child = self.start(stream, &position)?;
        let reading = Reading {
            of: stream.descriptor.clone(),
            incremental: stream.incremental,
            pager: Pager::new(&stream.name, stream.fields.clone(), &stream.keys),
            whole: position.whole(self.whole.contains(&stream.name)),
            position,
            counted: 0,
            failure: None,
            incomplete: false,
            mask: self.program.mask.clone(),
        };
        Ok(events(child, reading, self.pace, self.clock.clone()))
    }
}

/// One stream as it is read.
#[derive(Debug)]
struct Reading {
    of: Descriptor,
    incremental: bool,
    pager: Pager,
    position: Position,
    whole: Whole,
    /// The records that the last state covers.
    counted: u64,
    failure: Option<Error>,
    incomplete: bool,
    mask: Mask,
}

impl Reading {
    fn record(&mut self, record: &Record<'_>) {
        let space = record.namespace.as_deref().filter(|space| !space.is_empty());
        if record.stream == self.of.name && space == self.of.namespace.as_deref() {
            self.pager.push(record.data);
        } else {
            debug!(stream = self.of.name, "the source also sent a stream that was not asked for");
        }
    }

    fn state(&mut self, raw: &RawValue) -> Result<Step> {
        let state: State<'_> = serde_json::from_str(raw.get()).map_err(|error| broken(&error))?;
        let key = match (state.kind.as_deref(), &state.stream, state.data) {
            (Some("STREAM"), Some(stream), _) => {
                let Descriptor { name, namespace } = &stream.stream_descriptor;
                if *name == self.of.name {
                    self.count(state.source_stats.as_ref().and_then(|stats| stats.record_count))?;
                }
                format!("{}/{name}", namespace.as_deref().unwrap_or_default())
            }
            (Some("GLOBAL"), _, _) => GLOBAL.to_owned(),
            (_, _, Some(data)) => {
                self.position.set(LEGACY, data.get());
                return Ok(Step::State);
            }
            _ => return Err(Error::new(ErrorKind::Protocol, "the source sent a state of an unknown form")),
        };
        self.position.states.retain(|(key, _)| key != LEGACY);
        self.position.set(&key, raw.get());
        Ok(Step::State)
    }

    /// Holds the source's count of the records since its last state against ours.
    fn count(&mut self, said: Option<f64>) -> Result<()> {
        let seen = self.pager.seen();
        let arrived = seen - std::mem::replace(&mut self.counted, seen);
        #[expect(clippy::cast_precision_loss, reason = "no state covers 2^53 records")]
        let lost = said.is_some_and(|said| said > arrived as f64);
        if !lost {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Protocol, "the source counts more records than it sent")
            .context("said", said.unwrap_or_default().to_string())
            .context("arrived", arrived.to_string()))
    }
}

impl Dialect for Reading {
    fn line(&mut self, line: &[u8]) -> Result<Step> {
        let mut spare = Vec::new();
        let Some(found) = message::<Message<'_>>(line, &mut spare)? else {
            debug!(stream = self.of.name, "a line that is no message");
            return Ok(Step::Other);
        };
        let lacking = || Error::new(ErrorKind::Protocol, "the source sent a message without content");
        match found.kind.as_ref() {
            "RECORD" => self.record(&found.record.ok_or_else(lacking)?),
            "STATE" => return self.state(found.state.ok_or_else(lacking)?),
            "LOG" => found.log.iter().for_each(|log| log.tell(&self.mask)),
            "TRACE" => {
                let trace = found.trace.ok_or_else(lacking)?;
                self.failure = trace.failure(&self.mask).or(self.failure.take());
                if let Some(StreamStatus { stream_descriptor, status }) = trace.stream_status {
                    self.incomplete |= status == "INCOMPLETE" && stream_descriptor.name == self.of.name;
                }
            }
            "CONTROL" => warn!(
                stream = self.of.name,
                "the source wants its configuration changed, which it must not: a new refresh token would be lost with it"
            ),
            // The protocol grows by types that a reader may leave alone.
            other => debug!(stream = self.of.name, of_type = other, "a message that is not for us"),
        }
        Ok(Step::Other)
    }

    fn pager(&mut self) -> &mut Pager {
        &mut self.pager
    }

    /// A stream that is read as a whole starts again next time, whatever its states say of this read.
    fn position(&self, ended: bool) -> Position {
        if ended && !self.incremental { Position::default() } else { self.position.clone() }
    }

    fn blame(&mut self) -> Option<Error> {
        self.failure.take()
    }

    fn verdict(&mut self, _: &Ended) -> Result<()> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None if self.incomplete => Err(Error::new(
                ErrorKind::Unavailable,
                "the source ended without an error, and says that the stream is incomplete",
            )),
            None => Ok(()),
        }
    }

    fn whole(&self) -> Whole {
        self.whole
    }
}

/// Reads what a source might print: its catalog on the first line, messages on the others.
#[cfg(feature = "fuzz")]
pub(crate) fn feed(printed: &[u8]) {
    let mut lines = printed.split(|byte| *byte == b'\n');
    let catalog = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let streams = catalog.and_then(|text| Stream::parse(text, &BTreeMap::new(), &BTreeSet::new()).ok());
    let Some(stream) = streams.as_ref().and_then(|streams| streams.first()) else { return };
    let mut reading = Reading {
        of: stream.descriptor.clone(),
        incremental: stream.incremental,
        pager: Pager::new(&stream.name, stream.fields.clone(), &stream.keys),
        position: Position::default(),
        whole: Whole::No,
        counted: 0,
        failure: None,
        incomplete: false,
        mask: Mask::new(&[]),
    };
    for line in lines {
        if reading.line(line).is_err() {
            break;
        }
    }
    drop(reading.pager.take());
    drop(state_file(&reading.position));
}
