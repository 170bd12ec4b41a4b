//! A connector file as a [`Connector`], and a connection of it as a [`Source`].

use std::path::Path;
use std::sync::OnceLock;

use async_trait::async_trait;
use futures::StreamExt as _;
use headwater_model::checkpoint::Checkpoint;
use headwater_sdk::http::{Pause, base_url};
use headwater_sdk::{
    BuildContext, Companion, ConfigDoc, Connector, ConnectorSpec, Error, ErrorKind, EventStream, Result, SecretRef, Sink, Source,
    SourceEvent, StreamSpec,
};
use serde_json::{Map as JsonMap, Value as Json, json};

use super::compile::{Compiled, Made, Setup, compile, compile_companies, compile_list, compile_sink, compile_tasks};
use super::load::{Document, LanguageError, MAX_FILE_BYTES};
use super::rows;
use super::sink::{DeclarativeSink, ListSink};
use super::spec::{Auth, Setting, SettingKind, Spec};
use crate::engine::{Event, Executor, Map, Value};

/// The version of our checkpoints.
const CHECKPOINT: u16 = 1;
/// The longest part of a host name (RFC 1035).
const MAX_HOST_PART: usize = 63;

/// A connector that is a file.
#[derive(Debug)]
pub struct Declarative {
    name: &'static str,
    file: String,
    text: String,
    readme: &'static str,
    loaded: OnceLock<std::result::Result<Loaded, LanguageError>>,
}

#[derive(Debug)]
struct Loaded {
    document: Document,
    spec: Spec,
    title: &'static str,
}

impl Declarative {
    /// A connector that the program carries. Its file is read when it is asked for: a start does not read all of them.
    #[must_use]
    pub fn embedded(name: &'static str, text: &str, readme: &'static str) -> Self {
        let file = format!("connectors/{name}/connector.yaml");
        Self { name, file, text: text.to_owned(), readme, loaded: OnceLock::new() }
    }

    /// A connector of the user's own, checked at once. Its name and words stay in memory as long as the process lives, as those
    /// of built-in connectors do.
    ///
    /// # Errors
    /// When the file cannot be read, or says something that cannot be, with its line.
    pub fn open(path: &Path) -> std::result::Result<Self, LanguageError> {
        let file = path.display().to_string();
        let fail =
            |message: String, help: &str| LanguageError { file: file.clone(), line: None, message, help: Some(help.to_owned()) };
        let size = std::fs::metadata(path)
            .map_err(|error| fail(format!("the connector file cannot be read: {error}"), "check the path and its rights"))?
            .len();
        if size > MAX_FILE_BYTES as u64 {
            return Err(fail(format!("longer than {MAX_FILE_BYTES} bytes"), "is this a connector file?"));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| fail(format!("the connector file cannot be read: {error}"), "save it as UTF-8"))?;
        let readme = path.parent().map(|folder| folder.join("README.md"));
        let readme = readme.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        Self::parse(&file, &text, &readme)
    }

    /// A connector of a text, checked at once.
    ///
    /// # Errors
    /// When it says something that cannot be, with its line.
    pub fn parse(file: &str, text: &str, readme: &str) -> std::result::Result<Self, LanguageError> {
        let loaded = Loaded::of(file, text)?;
        let name = loaded.spec.name.clone().leak();
        let readme = readme.to_owned().leak();
        Ok(Self { name, file: file.to_owned(), text: text.to_owned(), readme, loaded: OnceLock::from(Ok(loaded)) })
    }

    /// What the file says.
    ///
    /// # Errors
    /// When it says something that cannot be, with its line.
    pub fn read_spec(&self) -> std::result::Result<&Spec, LanguageError> {
        self.loaded().map(|loaded| &loaded.spec)
    }

    /// The file, as the user knows it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The streams a user sees, by name.
    ///
    /// # Errors
    /// When the file says something that cannot be, with its line.
    pub fn stream_names(&self) -> std::result::Result<Vec<String>, LanguageError> {
        let spec = self.read_spec()?;
        Ok(spec.streams.iter().filter(|(_, stream)| !stream.helper).map(|(name, _)| name.clone()).collect())
    }

    fn loaded(&self) -> std::result::Result<&Loaded, LanguageError> {
        let loaded = self.loaded.get_or_init(|| {
            let loaded = Loaded::of(&self.file, &self.text)?;
            if loaded.spec.name == self.name {
                return Ok(loaded);
            }
            let message = format!("the folder is called `{}`, the connector `{}`", self.name, loaded.spec.name);
            Err(loaded.document.error("name", message).help("give both one name"))
        });
        loaded.as_ref().map_err(Clone::clone)
    }

    /// A source of a setup for tests, which waits by `pause`. `check` is the stream that shows that it works.
    pub(super) fn rehearsal(&self, setup: Setup, check: &str, cx: &BuildContext, pause: Pause) -> Result<DeclarativeSource> {
        let loaded = self.loaded()?;
        let mut compiled = compile(&loaded.document, &loaded.spec, setup)?;
        compiled.plan.check = vec![check.to_owned()];
        DeclarativeSource::new(compiled, cx, pause)
    }
}

impl Loaded {
    fn of(file: &str, text: &str) -> std::result::Result<Self, LanguageError> {
        let (document, spec) = Document::parse(file, text)?;
        // What depends on no connection is found before there is one.
        let nobody = || Setup { config: Value::Map(Map::default()), ..Setup::default() };
        drop(compile(&document, &spec, nobody())?);
        if let Some(sink) = &spec.sink {
            drop(compile_sink(&document, &spec, sink, nobody())?);
        }
        let title = spec.title.clone().leak();
        Ok(Self { document, spec, title })
    }
}

impl Connector for Declarative {
    fn name(&self) -> &'static str {
        self.name
    }

    fn spec(&self) -> ConnectorSpec {
        let (title, summary, source_schema, sink_schema) = match self.loaded() {
            Ok(Loaded { spec, title, .. }) => {
                let schema = schema(spec);
                let source = (!spec.streams.is_empty()).then(|| schema.clone());
                (*title, spec.summary.clone().into(), source, spec.sink.is_some().then_some(schema))
            }
            Err(_) => (self.name, "its file cannot be read".into(), Some(json!({ "type": "object" })), None),
        };
        ConnectorSpec { name: self.name, title, summary, source_schema, sink_schema, readme: self.readme }
    }

    fn source(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Source>> {
        let loaded = self.loaded()?;
        if loaded.spec.streams.is_empty() {
            return Err(Error::new(ErrorKind::Unsupported, format!("connector `{}` cannot be a source", self.name)));
        }
        let setup = settings(&loaded.spec, &config.values, cx)?;
        let compiled = compile(&loaded.document, &loaded.spec, setup)?;
        Ok(Box::new(DeclarativeSource::new(compiled, cx, cx.clock.pause())?))
    }

    fn sink(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        let loaded = self.loaded()?;
        let Some(sink) = &loaded.spec.sink else {
            return Err(Error::new(ErrorKind::Unsupported, format!("connector `{}` cannot be a sink", self.name)));
        };
        let setup = settings(&loaded.spec, &config.values, cx)?;
        let (requests, plan) = compile_sink(&loaded.document, &loaded.spec, sink, setup)?;
        Ok(Box::new(DeclarativeSink::new(Executor::new(requests, cx, cx.clock.pause())?, plan)?))
    }

    fn companion(&self, companion: &Companion, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        let loaded = self.loaded()?;
        let lists = loaded.spec.sink.as_ref().and_then(|sink| sink.lists.as_ref());
        if let (Companion::List { id }, Some(lists)) = (companion, lists) {
            let mut setup = settings(&loaded.spec, &config.values, cx)?;
            if let (Value::Map(config), Some(setting)) = (&mut setup.config, loaded.spec.connection.get(&lists.setting)) {
                config.insert(lists.setting.as_str(), list_id(setting, id)?);
            }
            let (requests, plan) = compile_list(&loaded.document, &loaded.spec, lists, setup)?;
            return Ok(Box::new(ListSink::new(Executor::new(requests, cx, cx.clock.pause())?, plan)));
        }
        let lacks = || {
            let message = format!("connector `{}` does not write {}", self.name, companion.noun());
            Error::new(ErrorKind::Unsupported, message)
        };
        let sink = loaded.spec.sink.as_ref().ok_or_else(lacks)?;
        let setup = settings(&loaded.spec, &config.values, cx)?;
        let ((requests, plan), others) = match (companion, &sink.companies, &sink.tasks) {
            (Companion::Companies, Some(companies), _) => {
                (compile_companies(&loaded.document, &loaded.spec, sink, setup)?, &companies.connection)
            }
            (Companion::Tasks, _, Some(tasks)) => {
                (compile_tasks(&loaded.document, &loaded.spec, sink, tasks, setup)?, &tasks.connection)
            }
            (Companion::Companies | Companion::Tasks | Companion::List { .. }, _, _) => return Err(lacks()),
        };
        // What the user has to say only where there are companies, or tasks.
        let missing = others.keys().find(|key| match requests.config.get(key) {
            Some(value) => value.to_plain().is_empty(),
            None => true,
        });
        if missing.is_some() {
            let wanted = others.values().filter_map(|text| text.strip_prefix("${connection.")?.strip_suffix('}'));
            let lacking = wanted.into_iter().find(|key| config.values.get(*key).is_none_or(Json::is_null)).unwrap_or_default();
            return Err(Error::new(ErrorKind::Config, format!("missing field `{lacking}`"))
                .context("path", ".")
                .hint(format!("{} need the setting `{lacking}` of the sink too", companion.noun())));
        }
        Ok(Box::new(DeclarativeSink::new(Executor::new(requests, cx, cx.clock.pause())?, plan)?))
    }
}

/// A connection at work.
#[derive(Debug)]
pub(super) struct DeclarativeSource {
    executor: Executor,
    streams: Vec<Made>,
}

impl DeclarativeSource {
    pub(super) fn new(compiled: Compiled, cx: &BuildContext, pause: Pause) -> Result<Self> {
        let Compiled { plan, streams } = compiled;
        Ok(Self { executor: Executor::new(plan, cx, pause)?, streams })
    }
}

#[async_trait]
impl Source for DeclarativeSource {
    async fn check(&self) -> Result<()> {
        self.executor.check().await
    }

    async fn streams(&self) -> Result<Vec<StreamSpec>> {
        Ok(self.streams.iter().map(|made| made.spec.clone()).collect())
    }

    async fn read(&self, stream: &StreamSpec, from: Option<Checkpoint>) -> Result<EventStream> {
        let unknown = || Error::new(ErrorKind::Config, format!("there is no stream {}", stream.name));
        let made = self.streams.iter().find(|made| made.spec.name == stream.name).cloned().ok_or_else(unknown)?;
        let plan = self.executor.stream(&stream.name).ok_or_else(unknown)?;
        let state = match from {
            None => None,
            Some(Checkpoint { version: CHECKPOINT, state }) => Some(Value::from(&state)),
            Some(Checkpoint { version, .. }) => {
                return Err(Error::new(ErrorKind::Config, "the stored position is not one of this connector")
                    .context("version", version.to_string())
                    .hint("run `headwater sync --full-refresh` to read everything again"));
            }
        };
        let events = self.executor.read(plan, state.as_ref());
        Ok(events.map(move |event| step(&made, event?)).boxed())
    }

    /// As many as there may be requests: the budget is one for all.
    fn streams_at_once(&self) -> usize {
        self.executor.plan().concurrency
    }
}

fn step(made: &Made, event: Event) -> Result<SourceEvent> {
    Ok(match event {
        Event::Records(records) => SourceEvent::Page(rows::page(&made.spec.name, &made.spec.fields, made.keyed, &records)?),
        Event::Whole { resumed, shifting } => SourceEvent::Whole { resumed, shifting },
        Event::State(state) => {
            let state = serde_json::from_str(&state.to_json())
                .map_err(|error| Error::new(ErrorKind::Internal, "a position cannot be written").source(error))?;
            SourceEvent::Checkpoint(Checkpoint::new(CHECKPOINT, state))
        }
    })
}

/// A list's id as the setting holds it that names the list.
fn list_id(setting: &Setting, id: &str) -> Result<Value> {
    if setting.kind != SettingKind::Integer {
        return Ok(Value::text(id));
    }
    let wrong = || Error::new(ErrorKind::Config, format!("`{id}` is no list: its id is a number")).context("path", "list");
    id.trim().parse().map(Value::Int).map_err(|_| wrong())
}

/// The JSON schema of a connection's settings.
fn schema(spec: &Spec) -> Json {
    let mut properties = JsonMap::new();
    let mut required = Vec::new();
    for (key, setting) in &spec.connection {
        let mut schema = match setting.kind {
            SettingKind::Text | SettingKind::Url | SettingKind::HostPart => json!({ "type": "string" }),
            SettingKind::Day => json!({ "type": "string", "format": "date" }),
            SettingKind::Integer => json!({ "type": "integer" }),
            SettingKind::Boolean => json!({ "type": "boolean" }),
            SettingKind::List => json!({ "type": "array", "items": { "type": "string" } }),
            SettingKind::Secret => schemars::schema_for!(SecretRef).to_value(),
        };
        if let Some(map) = schema.as_object_mut() {
            map.remove("$schema");
            map.insert("description".to_owned(), Json::String(setting.about.clone()));
            if !setting.one_of.is_empty() {
                map.insert("enum".to_owned(), json!(setting.one_of));
            }
            if let Some(default) = &setting.default {
                map.insert("default".to_owned(), default.clone());
            }
        }
        if setting.default.is_none() && !setting.optional {
            required.push(key.clone());
        }
        properties.insert(key.clone(), schema);
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// A connection's settings as expressions see them.
fn settings(spec: &Spec, values: &JsonMap<String, Json>, cx: &BuildContext) -> Result<Setup> {
    // Worded as the parser of other connectors' settings says it: the runtime makes a complaint with the line of it.
    let wrong = |path: &str, message: String| Error::new(ErrorKind::Config, message).context("path", path);
    if let Some(unknown) = values.keys().find(|key| !spec.connection.contains_key(*key)) {
        let known: Vec<String> = spec.connection.keys().map(|key| format!("`{key}`")).collect();
        let known =
            if known.is_empty() { "there are no fields".to_owned() } else { format!("expected one of {}", known.join(", ")) };
        return Err(wrong(unknown, format!("unknown field `{unknown}`, {known}")));
    }
    let mut config = Map::default();
    let mut hosts = Vec::new();
    for (key, setting) in &spec.connection {
        let given = values.get(key).filter(|value| !value.is_null());
        let Some(value) = given.or(setting.default.as_ref()) else {
            if setting.optional {
                continue;
            }
            return Err(wrong(".", format!("missing field `{key}`")));
        };
        let (value, host) = typed(key, setting, value, cx)?;
        hosts.extend(host);
        config.insert(key.as_str(), value);
    }
    if let Auth::Choice { by, of } = &spec.api.auth {
        let way = config.get(by).and_then(Value::as_str).unwrap_or_default();
        let needed = of.get(way).map(Auth::settings).unwrap_or_default();
        if let Some(missing) = needed.into_iter().find(|key| config.get(key).is_none()) {
            return Err(wrong(".", format!("missing field `{missing}`")).hint(format!("`{by}: {way}` needs it")));
        }
    }
    Ok(Setup { config: Value::Map(config), hosts, allow_private: cx.allow_private_hosts, ..Setup::default() })
}

/// One setting's value, and the host that it names.
fn typed(key: &str, setting: &Setting, value: &Json, cx: &BuildContext) -> Result<(Value, Option<String>)> {
    let wrong = |message: String| Error::new(ErrorKind::Config, message).context("path", key);
    let kind = |expected: &str| {
        let found = match value {
            Json::Null => "null".to_owned(),
            Json::Bool(value) => format!("boolean `{value}`"),
            Json::Number(number) => format!("integer `{number}`"),
            Json::String(_) => "string \"\"".to_owned(),
            Json::Array(_) => "sequence".to_owned(),
            Json::Object(_) => "map".to_owned(),
        };
        wrong(format!("invalid type: {found}, expected {expected}"))
    };
    let text = || value.as_str().ok_or_else(|| kind("a string"));
    if !setting.one_of.is_empty() && !setting.one_of.iter().any(|one| value.as_str() == Some(one)) {
        return Err(
            wrong("not one of the values it may have".to_owned()).hint(format!("write one of: {}", setting.one_of.join(", ")))
        );
    }
    let plain = match setting.kind {
        SettingKind::Secret => {
            let reference: SecretRef = serde_json::from_value(value.clone()).map_err(|error| wrong(error.to_string()))?;
            cx.secret(&reference)?.expose_str().trim().into()
        }
        SettingKind::Text => text()?.into(),
        SettingKind::Integer => Value::Int(value.as_i64().ok_or_else(|| kind("i64"))?),
        SettingKind::Boolean => Value::Bool(value.as_bool().ok_or_else(|| kind("a boolean"))?),
        SettingKind::List => {
            let items = value.as_array().ok_or_else(|| kind("a sequence"))?;
            let item = |item: &Json| item.as_str().map(Value::from).ok_or_else(|| kind("a sequence of text"));
            Value::List(items.iter().map(item).collect::<Result<_>>()?)
        }
        SettingKind::Day => {
            let day: jiff::civil::Date =
                text()?.parse().map_err(|_| wrong("not a day".to_owned()).hint("write it as 2026-01-31"))?;
            day.to_string().into()
        }
        SettingKind::HostPart => {
            let part = text()?;
            let plain = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if part.is_empty() || part.len() > MAX_HOST_PART || !plain {
                return Err(wrong("not a part of a host name".to_owned()).hint("letters, digits and `-` may stand here"));
            }
            part.into()
        }
        SettingKind::Url => {
            let url = base_url(text()?).map_err(|error| wrong(error.message().to_owned()))?;
            let host = url.host_str().unwrap_or_default();
            let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            return Ok((url.as_str().trim_end_matches('/').into(), Some(host)));
        }
    };
    Ok((plain, None))
}
