//! Airbyte's protocol: one JSON message a line.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_stream::stream;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use headwater_sdk::{Error, ErrorKind, Result};
use serde_json::{Value as Json, json};

use super::manifest::{Manifest, Named, Surroundings};
use crate::engine::plan::{SchemaPlan, StreamPlan};
use crate::engine::{Event, Map, Value, json as text};

/// How large a chunk of messages gets before it is handed on.
const CHUNK_BYTES: usize = 64 * 1024;

/// What is asked of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Its records.
    Read,
    /// What its settings look like.
    Spec,
    /// Whether the settings work.
    Check,
    /// Its streams.
    Discover,
    /// Which streams run, and why the others do not.
    Capabilities,
}

/// A manifest as a program that speaks Airbyte's protocol.
#[derive(Debug, Clone)]
pub struct Tool {
    /// The manifest's text.
    pub manifest: Vec<u8>,
    /// The settings' text; empty for none.
    pub config: Vec<u8>,
    /// The configured catalog's text.
    pub catalog: Option<Vec<u8>>,
    /// The state's text: messages, or one.
    pub state: Option<Vec<u8>>,
    /// Clock, hosts, waits.
    pub around: Surroundings,
}

impl Tool {
    /// Does what is asked, giving lines of messages to `emit`, several at once. `Ok(false)` says that a check failed or a stream
    /// did not end well, which the messages say too.
    ///
    /// # Errors
    /// `Config` when the manifest, settings, catalog or state cannot be used; what the first failed stream failed with; what `emit` fails
    /// with, as `Unavailable`.
    pub async fn run(&self, operation: Operation, emit: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send)) -> Result<bool> {
        let mut say = |message: Json| -> Result<()> {
            let mut line = message.to_string().into_bytes();
            line.push(b'\n');
            emit(&line).map_err(gone)
        };
        if operation == Operation::Spec {
            let spec = super::spec(&self.manifest)?;
            let spec: Json = serde_json::from_str(&spec.to_json()).map_err(|_| bug())?;
            say(json!({ "type": "SPEC", "spec": spec }))?;
            return Ok(true);
        }
        let states = self.state.as_deref().map(states).transpose()?.unwrap_or_default();
        let known: Vec<String> = states.keys().cloned().collect();
        let config = if self.config.is_empty() { b"{}".as_slice() } else { &self.config };
        match (operation, Manifest::load(&self.manifest, config, &known, &self.around).await) {
            (Operation::Check, Err(error)) => {
                say(status(Some(&error)))?;
                Ok(false)
            }
            (_, Err(error)) => Err(error),
            (Operation::Check, Ok(manifest)) => {
                let done = check(&manifest).await;
                say(status(done.as_ref().err()))?;
                Ok(done.is_ok())
            }
            (Operation::Discover, Ok(manifest)) => {
                say(catalog(&manifest).await?)?;
                Ok(true)
            }
            (Operation::Capabilities, Ok(manifest)) => {
                say(capabilities(&manifest))?;
                Ok(true)
            }
            (Operation::Read | Operation::Spec, Ok(manifest)) => self.read(&manifest, &states, emit).await,
        }
    }

    async fn read(
        &self,
        manifest: &Manifest,
        states: &BTreeMap<String, Value>,
        emit: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> Result<bool> {
        let wanted = self.catalog.as_deref().map(wanted).transpose()?;
        let streams: Vec<(&Named, bool)> = match &wanted {
            None => manifest.streams.iter().filter(|stream| stream.plan.is_ok()).map(|stream| (stream, true)).collect(),
            Some(wanted) => {
                wanted.iter().map(|(name, incremental)| Ok((find(manifest, name)?, *incremental))).collect::<Result<_>>()?
            }
        };
        let mut reads = Vec::new();
        let mut failed = None;
        for (stream, incremental) in streams {
            match &stream.plan {
                Err(problem) => {
                    let error = Error::from(problem.clone()).context("stream", stream.name.clone());
                    let mut out = Vec::new();
                    line(&mut out, &trace(&error, &stream.name, self.now_ms()));
                    line(&mut out, &stream_status(&stream.name, "INCOMPLETE", self.now_ms()));
                    emit(&out).map_err(gone)?;
                    failed.get_or_insert(error);
                }
                Ok(plan) => {
                    let state = states.get(&stream.name).filter(|_| incremental);
                    reads.push(self.messages(manifest, Arc::clone(plan), state));
                }
            }
        }
        // One after the other where the order is to be the same each time.
        let mut messages: BoxStream<'_, Said> = if self.around.sequential {
            futures::stream::iter(reads).flatten().boxed()
        } else {
            futures::stream::select_all(reads).boxed()
        };
        while let Some(said) = messages.next().await {
            emit(&said.lines).map_err(gone)?;
            if let Some(error) = said.failed {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(true), Err)
    }

    fn now_ms(&self) -> i64 {
        self.around.cx.clock.now_us() / 1_000
    }

    /// The messages of a stream.
    fn messages(&self, manifest: &Manifest, plan: Arc<StreamPlan>, state: Option<&Value>) -> BoxStream<'static, Said> {
        let events = manifest.executor.read(&plan, state);
        let clock = self.around.cx.clock.clone();
        let said = stream! {
            let mut events = events;
            let now_ms = || clock.now_us() / 1_000;
            let mut out = Vec::with_capacity(CHUNK_BYTES);
            let mut count = 0_u64;
            line(&mut out, &stream_status(&plan.name, "STARTED", now_ms()));
            let mut failed = None;
            // Written once: of a record's message only the data and the time differ.
            let mut begin = b"{\"type\":\"RECORD\",\"record\":{\"stream\":".to_vec();
            text::write(&Value::text(plan.name.as_str()), &mut begin);
            begin.extend_from_slice(b",\"data\":");
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Records(records)) => {
                        if count == 0 {
                            line(&mut out, &stream_status(&plan.name, "RUNNING", now_ms()));
                        }
                        let end = format!(",\"emitted_at\":{}}}}}\n", now_ms());
                        for record in &records {
                            out.extend_from_slice(&begin);
                            text::write(record, &mut out);
                            out.extend_from_slice(end.as_bytes());
                        }
                        count += u64::try_from(records.len()).unwrap_or_default();
                        // The first record goes out at once, the others in larger pieces.
                        yield Said { lines: std::mem::replace(&mut out, Vec::with_capacity(CHUNK_BYTES)), failed: None };
                    }
                    Ok(Event::Whole { .. }) => {}
                    Ok(Event::State(state)) => line(&mut out, &state_message(&plan.name, &state, count)),
                    Err(error) => {
                        failed = Some(error.context("stream", plan.name.clone()));
                        break;
                    }
                }
            }
            if let Some(error) = &failed {
                line(&mut out, &trace(error, &plan.name, now_ms()));
                if plan.cursor.is_none() {
                    // It says nothing, and so covers nothing that was not given.
                    let nothing = plan.codec.write(&crate::engine::StreamState::default(), &plan);
                    line(&mut out, &state_message(&plan.name, &nothing, count));
                }
            }
            let end = if failed.is_some() { "INCOMPLETE" } else { "COMPLETE" };
            line(&mut out, &stream_status(&plan.name, end, now_ms()));
            yield Said { lines: out, failed };
        };
        said.boxed()
    }
}

struct Said {
    lines: Vec<u8>,
    failed: Option<Error>,
}

fn line(out: &mut Vec<u8>, message: &Json) {
    out.extend_from_slice(message.to_string().as_bytes());
    out.push(b'\n');
}

fn gone(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the messages cannot be written").source(error)
}

fn bug() -> Error {
    Error::new(ErrorKind::Internal, "a value cannot be written as JSON")
}

fn find<'m>(manifest: &'m Manifest, name: &str) -> Result<&'m Named> {
    manifest.streams.iter().find(|stream| stream.name == name).ok_or_else(|| {
        let names: Vec<&str> = manifest.streams.iter().map(|stream| stream.name.as_str()).collect();
        Error::new(ErrorKind::Config, "the catalog names a stream that the manifest does not have")
            .context("stream", name.to_owned())
            .hint(format!("the streams are {}", names.join(", ")))
    })
}

async fn check(manifest: &Manifest) -> Result<()> {
    for name in &manifest.executor.plan().check {
        if let Err(problem) = &find(manifest, name)?.plan {
            return Err(Error::from(problem.clone()).context("stream", name.clone()));
        }
    }
    manifest.executor.check().await
}

fn status(failed: Option<&Error>) -> Json {
    match failed {
        None => json!({ "type": "CONNECTION_STATUS", "connectionStatus": { "status": "SUCCEEDED" } }),
        Some(error) => {
            json!({ "type": "CONNECTION_STATUS", "connectionStatus": { "status": "FAILED", "message": error.to_string() } })
        }
    }
}

async fn catalog(manifest: &Manifest) -> Result<Json> {
    let mut streams = Vec::new();
    for stream in &manifest.streams {
        let Ok(plan) = &stream.plan else { continue };
        let schema = manifest.executor.schema(plan).await.map_err(|error| error.context("stream", stream.name.clone()))?;
        let schema: Json = serde_json::from_str(&schema.to_json()).map_err(|_| bug())?;
        let incremental = plan.cursor.as_ref();
        let modes: &[&str] = if incremental.is_some() { &["full_refresh", "incremental"] } else { &["full_refresh"] };
        streams.push(json!({
            "name": plan.name, "json_schema": schema, "supported_sync_modes": modes, "is_resumable": incremental.is_some(),
            "source_defined_cursor": incremental.is_some(), "default_cursor_field": incremental.map(|cursor| &cursor.field),
            "source_defined_primary_key": plan.primary_key,
        }));
    }
    Ok(json!({ "type": "CATALOG", "catalog": { "streams": streams } }))
}

fn capabilities(manifest: &Manifest) -> Json {
    let one = |stream: &Named| match &stream.plan {
        Ok(plan) => json!({
            "name": stream.name, "runs": true, "incremental": plan.cursor.is_some(),
            "schema": matches!(plan.schema, SchemaPlan::Inline(_)).then_some("inline").unwrap_or("dynamic"),
        }),
        Err(problem) => json!({ "name": stream.name, "runs": false, "path": problem.path, "because": problem.what }),
    };
    let runs = manifest.streams.iter().filter(|stream| stream.plan.is_ok()).count();
    json!({ "type": "CAPABILITIES", "capabilities": {
        "version": 1, "streams": manifest.streams.iter().map(one).collect::<Vec<_>>(), "runs": runs, "total": manifest.streams.len(),
    } })
}

fn stream_status(stream: &str, status: &str, now_ms: i64) -> Json {
    json!({ "type": "TRACE", "trace": { "type": "STREAM_STATUS", "emitted_at": now_ms, "stream_status": {
        "stream_descriptor": { "name": stream }, "status": status } } })
}

fn trace(error: &Error, stream: &str, now_ms: i64) -> Json {
    let failure_type = match error.kind() {
        ErrorKind::Config | ErrorKind::Auth | ErrorKind::NotFound => "config_error",
        ErrorKind::RateLimited | ErrorKind::Unavailable => "transient_error",
        _ => "system_error",
    };
    json!({ "type": "TRACE", "trace": { "type": "ERROR", "emitted_at": now_ms, "error": {
        "message": error.to_string(), "failure_type": failure_type, "stream_descriptor": { "name": stream } } } })
}

fn state_message(stream: &str, state: &Value, records: u64) -> Json {
    let state: Json = serde_json::from_str(&state.to_json()).unwrap_or(Json::Null);
    json!({ "type": "STATE", "state": { "type": "STREAM",
        "stream": { "stream_descriptor": { "name": stream }, "stream_state": state },
        "sourceStats": { "recordCount": records } } })
}

/// The streams of a configured catalog, and whether they go on from a state.
pub(super) fn wanted(catalog: &[u8]) -> Result<Vec<(String, bool)>> {
    let wrong = || {
        Error::new(ErrorKind::Config, "the catalog is no configured catalog")
            .hint("it must hold `streams`, each with `stream.name`")
    };
    let catalog = text::parse(catalog).map_err(|_| wrong())?;
    let streams = catalog.get("streams").and_then(Value::as_list).ok_or_else(wrong)?;
    let one = |stream: &Value| {
        let name = stream.get("stream").and_then(|stream| stream.get("name")).and_then(Value::as_str).ok_or_else(wrong)?;
        Ok((name.to_owned(), stream.get("sync_mode").and_then(Value::as_str) == Some("incremental")))
    };
    streams.iter().map(one).collect()
}

/// The states by stream: a list of messages, one message, or messages by line.
pub(super) fn states(bytes: &[u8]) -> Result<BTreeMap<String, Value>> {
    let wrong = |_| Error::new(ErrorKind::Config, "the state cannot be read").hint("give a STATE message, or a list of them");
    let mut messages = Vec::new();
    let mut parser = text::Parser::new(bytes);
    while let Some(value) = parser.next() {
        match value.map_err(wrong)? {
            Value::List(items) => messages.extend(items),
            one => messages.push(one),
        }
    }
    let mut out = BTreeMap::new();
    for message in &messages {
        let message = message.get("state").filter(|_| message.get("stream").is_none()).unwrap_or(message);
        match message.get("stream") {
            Some(stream) => {
                let name = stream.get("stream_descriptor").and_then(|descriptor| descriptor.get("name")).and_then(Value::as_str);
                if let (Some(name), Some(state)) = (name, stream.get("stream_state")) {
                    out.insert(name.to_owned(), state.clone());
                }
            }
            // The form before there were messages: an object by stream.
            None => {
                out.extend(message.as_map().into_iter().flat_map(Map::iter).map(|(name, state)| (name.to_owned(), state.clone())))
            }
        }
    }
    Ok(out)
}
