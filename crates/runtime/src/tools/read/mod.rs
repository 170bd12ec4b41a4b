//! `read`: one connector by itself, speaking the Airbyte protocol (version 0): a JSON message a line.
//!
//! | operation | messages |
//! |---|---|
//! | `spec` | one `SPEC` with the JSON schema of the settings |
//! | `check` | one `CONNECTION_STATUS`; a remote that says no is an answer, not an error |
//! | `discover` | one `CATALOG` |
//! | `read` | per stream a `TRACE` that it started, its `RECORD`s with a `STATE` after each checkpoint, a `TRACE` of how it ended |
//!
//! Invariants: a `STATE` covers all records before it; a record that the connector could read but not make into fields is no
//! message but is counted and handed back, so that none is lost silently.

mod messages;
#[cfg(test)]
mod tests;

use std::path::Path;

use futures::StreamExt;
use headwater_model::checkpoint::Checkpoint;
use headwater_model::page::Refused;
use headwater_sdk::{ConfigDoc, Registry, Source, SourceEvent, StreamSpec};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::project::{Surroundings, nearest, plain};
use messages::{Message, Rows, StreamStatus};

/// The longest file of settings or of state that is read.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// How many refused records are handed back as they are; the rest is counted.
const MAX_REFUSED: usize = 100;

/// What to ask of the connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Operation {
    /// What its settings look like.
    Spec,
    /// Whether the remote answers.
    Check,
    /// Which streams there are.
    Discover,
    /// The records.
    #[default]
    Read,
}

/// What to read, and from where on.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The connector's name.
    pub connector: String,
    /// What to do.
    pub operation: Operation,
    /// The connector's own settings.
    pub config: Map<String, Value>,
    /// The stream; all of them when left out.
    pub stream: Option<String>,
    /// The position: `STATE` messages as a former read gave them, one or a list.
    pub state: Option<Value>,
}

/// What a read came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records given.
    pub records: u64,
    /// Records that could not be made into fields.
    pub refused: u64,
    /// The first of those.
    pub refusals: Vec<Refused>,
}

/// Takes one message: a line of JSON without its end.
pub type Emit<'a> = dyn FnMut(&str) -> std::io::Result<()> + Send + 'a;

/// Reads a file of YAML or JSON.
///
/// # Errors
/// When it cannot be read, or is not valid.
pub fn document(path: &Path) -> Result<Value> {
    let shown = path.display();
    let unreadable = |source| Error::File { path: shown.to_string(), doing: "read", source };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_FILE_BYTES {
        return Err(Error::Usage(format!("{shown} is larger than {MAX_FILE_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    serde_saphyr::from_str(&text).map_err(|error| {
        let line = error.location().map_or(1, |at| at.line());
        let message = error.to_string();
        Error::Usage(format!("{shown}:{line}: not valid YAML or JSON: {}", message.lines().next().unwrap_or("cannot be read")))
    })
}

/// Reads a connector's settings from a file.
///
/// # Errors
/// As [`document`], and when the file holds no settings by name.
pub fn settings(path: &Path) -> Result<Map<String, Value>> {
    match document(path)? {
        Value::Object(settings) => Ok(settings),
        Value::Null => Ok(Map::new()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Error::Usage(format!("{} does not hold settings such as `key: value`", path.display())))
        }
    }
}

/// Runs one operation and hands its messages to `emit`. Relative paths in the settings start from `base_dir`.
///
/// # Errors
/// When there is no such connector or stream, the settings are wrong, the connector fails, or `emit` does; a read that fails says
/// so in a last `TRACE` too.
pub async fn read(
    registry: &Registry,
    surroundings: &Surroundings,
    base_dir: &Path,
    request: &Request,
    cancel: &CancellationToken,
    emit: &mut Emit<'_>,
) -> Result<Summary> {
    let found =
        registry.find(&request.connector, base_dir).map_err(|error| Error::connection(&request.connector, None, error))?;
    let connector = found.ok_or_else(|| unknown_connector(registry, &request.connector))?;
    let mut out = Out { emit, surroundings };
    if request.operation == Operation::Spec {
        let spec = connector.spec();
        let schema = spec.source_schema.ok_or_else(|| Error::Usage(format!("connector `{}` cannot be read from", spec.name)))?;
        out.send(&Message::spec(&schema))?;
        return Ok(Summary::default());
    }
    let fail = |error| Error::connection(&request.connector, None, error);
    let config = ConfigDoc { connection: request.connector.clone(), values: request.config.clone() };
    let source =
        connector.source(&config, &surroundings.build_context(base_dir)).map_err(|error| misread(&request.connector, error))?;
    match request.operation {
        Operation::Spec => Ok(Summary::default()),
        Operation::Check => {
            out.send(&Message::status(source.check().await.err().as_ref()))?;
            Ok(Summary::default())
        }
        Operation::Discover => {
            out.send(&Message::catalog(&source.streams().await.map_err(fail)?))?;
            Ok(Summary::default())
        }
        Operation::Read => read_streams(source.as_ref(), request, cancel, &mut out).await,
    }
}

/// A complaint about the settings in the words of a project file's.
fn misread(connector: &str, error: headwater_sdk::Error) -> Error {
    let path = error.config_path().filter(|path| *path != ".").map(|path| format!("`{path}`: ")).unwrap_or_default();
    match plain(error.message()) {
        Some((said, hint)) => {
            let plainly = headwater_sdk::Error::new(error.kind(), format!("{path}{said}"));
            Error::connection(connector, None, if let Some(hint) = hint { plainly.hint(hint) } else { plainly })
        }
        None => Error::connection(connector, None, error),
    }
}

struct Out<'a, 'b> {
    emit: &'a mut Emit<'b>,
    surroundings: &'a Surroundings,
}

impl Out<'_, '_> {
    fn send(&mut self, message: &Message<'_>) -> Result<()> {
        let line = serde_json::to_string(message).map_err(|error| Error::Internal(error.to_string()))?;
        (self.emit)(&line).map_err(|source| Error::File { path: "the output".to_owned(), doing: "written", source })
    }

    fn trace(&mut self, stream: &str, status: StreamStatus) -> Result<()> {
        let now = self.now_ms();
        self.send(&Message::stream_status(stream, status, now))
    }

    fn now_ms(&self) -> i64 {
        self.surroundings.clock.now().as_millisecond()
    }
}

async fn read_streams(
    source: &dyn Source,
    request: &Request,
    cancel: &CancellationToken,
    out: &mut Out<'_, '_>,
) -> Result<Summary> {
    let streams = source.streams().await.map_err(|error| Error::connection(&request.connector, None, error))?;
    let wanted: Vec<&StreamSpec> =
        streams.iter().filter(|spec| request.stream.as_ref().is_none_or(|stream| *stream == spec.name)).collect();
    if let (true, Some(stream)) = (wanted.is_empty(), &request.stream) {
        return Err(unknown_stream(&streams, stream));
    }
    // All positions are read before the first record, so that a bad state costs nothing.
    let positions: Vec<_> = wanted.iter().map(|spec| position(request.state.as_ref(), &spec.name)).collect::<Result<_>>()?;
    let mut summary = Summary::default();
    for (spec, from) in wanted.into_iter().zip(positions) {
        out.trace(&spec.name, StreamStatus::Started)?;
        let ended = read_stream(source, request, spec, from, cancel, out, &mut summary).await;
        if let Err(error) = &ended {
            // The reason to stop is the read's own error, whatever becomes of the messages about it.
            let told =
                out.trace(&spec.name, StreamStatus::Incomplete).and_then(|()| out.send(&Message::error(error, out.now_ms())));
            drop(told);
            return ended.map(|()| summary);
        }
        out.trace(&spec.name, StreamStatus::Complete)?;
    }
    Ok(summary)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one read, which have no life of their own")]
async fn read_stream(
    source: &dyn Source,
    request: &Request,
    spec: &StreamSpec,
    from: Option<Checkpoint>,
    cancel: &CancellationToken,
    out: &mut Out<'_, '_>,
    summary: &mut Summary,
) -> Result<()> {
    let fail = |error| Error::connection(&request.connector, Some(&spec.name), error);
    let mut events = source.read(spec, from).await.map_err(fail)?;
    let mut since_state = 0;
    loop {
        let event = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Interrupted),
            event = events.next() => event,
        };
        match event.transpose().map_err(fail)? {
            Some(SourceEvent::Page(page)) => {
                page.validate().map_err(|error| Error::Internal(format!("connector {}: {error}", request.connector)))?;
                let rows = Rows::of(&page);
                for row in 0..page.rows() {
                    let data = rows.data(row)?;
                    out.send(&Message::record(&spec.name, &data, out.now_ms()))?;
                }
                since_state += page.rows() as u64;
                summary.records += page.rows() as u64;
                summary.refused += page.refused.len() as u64;
                let room = MAX_REFUSED.saturating_sub(summary.refusals.len());
                summary.refusals.extend(page.refused.into_iter().take(room));
            }
            Some(SourceEvent::Checkpoint(checkpoint)) => {
                out.send(&Message::state(&spec.name, &checkpoint, since_state))?;
                since_state = 0;
            }
            // The protocol has no word for it.
            Some(SourceEvent::Whole { .. }) => {}
            None => return Ok(()),
        }
    }
}

/// Where a stream's read begins: the last `STATE` of it, in any of the shapes that hold one.
fn position(state: Option<&Value>, stream: &str) -> Result<Option<Checkpoint>> {
    let Some(state) = state else { return Ok(None) };
    let messages = match state {
        Value::Array(messages) => messages.as_slice(),
        one => std::slice::from_ref(one),
    };
    let found = messages.iter().rev().find_map(|message| {
        let message = message.get("state").unwrap_or(message);
        let of = message.get("stream")?;
        (of.get("stream_descriptor")?.get("name")?.as_str()? == stream).then(|| of.get("stream_state"))?
    });
    found.filter(|state| !state.is_null()).map(|state| serde_json::from_value(state.clone())).transpose().map_err(|_| {
        Error::Usage(format!("the state of stream `{stream}` is not one that `headwater read` gave; start without `--state`"))
    })
}

fn unknown_connector(registry: &Registry, name: &str) -> Error {
    let hint = match nearest(name, registry.names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", registry.names().collect::<Vec<_>>().join(", ")),
    };
    Error::NotFound { what: format!("there is no connector `{name}`"), hint }
}

fn unknown_stream(streams: &[StreamSpec], name: &str) -> Error {
    let names: Vec<&str> = streams.iter().map(|spec| spec.name.as_str()).collect();
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", names.join(", ")),
    };
    Error::NotFound { what: format!("there is no stream `{name}`"), hint }
}
