//! A user's project: `headwater.yaml` and what it includes, parsed once into types that cannot be half right.
//!
//! Settings of the machine (`store`, `serve`) are layered by the `config` crate: defaults, file, `HEADWATER__SECTION__KEY`,
//! flag. Sources, sinks and rules stand in files only. Every complaint names file and line.

mod error;
mod file;
mod schedule;
mod sinks;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_analysis::channel::Classifier;
use headwater_sdk::{BuildContext, Clock, Companion, ConfigDoc, Registry, document};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use error::ProjectError;
pub use file::{
    AttributionSection, BasisSection, ChannelRule, ChannelSection, ChannelsSection, CohortPeriod, CostDivision, CostRule,
    CostSection, CostUnit, DriftSection, GatesSection, IdentityEngine, IdentitySection, LawfulBasis, MapEntry, MeasuresSection,
    OnAbsence, ProjectFile, ScheduleSection, SchemaChange, ServeSection, SourceSection, StoreSection,
};
pub use schedule::Schedule;
pub use sinks::{
    BudgetSection, CompaniesSection, FieldPolicy, ListSection, OwnerRule, OwnersSection, RetrySection, SinkField, SinkSection,
    TasksSection,
};

use crate::deliver::DEFAULT_POLICY;
pub(crate) use error::complaint;
pub use headwater_sdk::document::nearest;
pub(crate) use headwater_sdk::document::plain;

/// The name of the project file.
pub const FILE_NAME: &str = "headwater.yaml";
/// The version of the project file's format.
const FORMAT_VERSION: u32 = 1;
/// The longest project file that is read: it is written by hand.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// The sections that say where the program works, which the environment may set; what it does is said in the file.
const LAYERED: [&str; 2] = ["store", "serve"];
/// What stands before the environment variables that are settings.
const ENV_PREFIX: &str = "HEADWATER";
/// The longest name of a source or sink; names become folders and metric labels.
const MAX_NAME_LEN: usize = 64;

/// A project, ready to be run.
#[derive(Debug)]
pub struct Project {
    /// The folder it stands in.
    pub base_dir: PathBuf,
    /// The project file.
    pub path: PathBuf,
    /// Machine settings after layering.
    pub settings: Settings,
    /// Where records come from.
    pub sources: Vec<SourceEntry>,
    /// Where prospects go.
    pub sinks: Vec<SinkEntry>,
    /// Everything else.
    pub file: ProjectFile,
    /// The rules that class contacts into channels, the project's own before those that come with the program.
    pub classifier: Classifier,
}

/// Machine settings: the part that environment and flags may change.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where the project keeps what it knows.
    pub store: StoreSection,
    /// How `serve` listens.
    pub serve: ServeSection,
}

/// One source of a project.
#[derive(Debug, Clone)]
pub struct SourceEntry {
    /// Its name.
    pub name: String,
    /// The keys every source has.
    pub section: SourceSection,
    /// The connector's own keys.
    pub config: ConfigDoc,
    origin: Location,
}

/// One sink of a project, or a part of one: what goes with its people.
#[derive(Debug, Clone)]
pub struct SinkEntry {
    /// Its name; a part has that of its sink, a dot and its own.
    pub name: String,
    /// The keys every sink has.
    pub section: SinkSection,
    /// The connector's own keys.
    pub config: ConfigDoc,
    /// What goes with the sink's people, where this is not the people themselves.
    pub companion: Option<Companion>,
    origin: Location,
}

#[derive(Debug, Clone)]
struct Location {
    file: PathBuf,
    text: Arc<str>,
    path: String,
}

impl Location {
    fn error(&self, key: &str, message: impl Into<String>) -> ProjectError {
        let path = if key.is_empty() { self.path.clone() } else { format!("{}.{key}", self.path) };
        ProjectError::new(&self.file, message).at(&self.text, &path)
    }
}

impl SourceEntry {
    /// A complaint about one of its keys.
    pub fn error(&self, key: &str, message: impl Into<String>) -> ProjectError {
        self.origin.error(key, message)
    }
}

impl SinkEntry {
    /// Everything that a delivery to this sink writes, in order: the companies, the people, tasks about them, their lists.
    #[must_use]
    pub fn parts(&self) -> Vec<Self> {
        let SinkSection { companies, owners: _, tasks, lists, .. } = &self.section;
        let mut parts = Vec::with_capacity(2 + tasks.len() + lists.len());
        if let Some(CompaniesSection { match_on, map, clear, policy, required }) = companies {
            let (match_on, clear, policy, required) = (match_on.clone(), clear.clone(), policy.clone(), required.clone());
            let map = map.iter().map(|(theirs, ours)| (theirs.clone(), SinkField::Text(ours.clone()))).collect();
            let section = SinkSection { match_on, map, clear, policy, required, ..self.bare(&self.section.audience) };
            parts.push(self.part("companies", Companion::Companies, section));
        }
        parts.push(self.clone());
        for (name, TasksSection { when, map }) in tasks {
            // People work on a task; what they made of it stays.
            let policy = BTreeMap::from([(DEFAULT_POLICY.to_owned(), FieldPolicy::CrmOwned)]);
            let section = SinkSection { map: map.clone(), policy, ..self.bare(when) };
            parts.push(self.part(&format!("tasks.{name}"), Companion::Tasks, section));
        }
        for (name, ListSection { list, when, leave: _ }) in lists {
            let section = self.bare(&format!("({when}\n) AND may_contact"));
            parts.push(self.part(&format!("lists.{name}"), Companion::List { id: list.clone() }, section));
        }
        parts
    }

    /// The name of the sink that this is a part of.
    #[must_use]
    pub fn sink_name(&self) -> &str {
        sink_of_part(&self.name)
    }

    fn bare(&self, audience: &str) -> SinkSection {
        SinkSection {
            connector: self.section.connector.clone(),
            audience: audience.to_owned(),
            match_on: vec!["external_id".to_owned()],
            id_namespace: self.section.id_namespace.clone(),
            map: BTreeMap::new(),
            clear: Vec::new(),
            policy: BTreeMap::new(),
            required: Vec::new(),
            hold_in_review: false,
            companies: None,
            owners: None,
            tasks: BTreeMap::new(),
            lists: BTreeMap::new(),
            budget: self.section.budget,
            retry_refused: self.section.retry_refused,
        }
    }

    fn part(&self, name: &str, companion: Companion, section: SinkSection) -> Self {
        let origin = Location { path: format!("{}.{name}", self.origin.path), ..self.origin.clone() };
        let name = format!("{}.{name}", self.name);
        Self { name, section, config: self.config.clone(), companion: Some(companion), origin }
    }

    /// The id by which the remote knows somebody of ours, or a task about them: there may be several.
    pub(crate) fn external_id(&self, ours: &str) -> String {
        let task = match self.companion {
            Some(Companion::Tasks) => self.name.rsplit_once(".tasks.").map(|(_, task)| format!("{task}-")),
            Some(Companion::Companies | Companion::List { .. }) | None => None,
        };
        let task = task.unwrap_or_default();
        match self.section.id_namespace.as_str() {
            "" => format!("{task}{ours}"),
            namespace => format!("{namespace}-{task}{ours}"),
        }
    }

    /// What may be done to a field of the remote.
    pub(crate) fn policy(&self, field: &str) -> FieldPolicy {
        let policies = &self.section.policy;
        policies.get(field).or_else(|| policies.get(DEFAULT_POLICY)).copied().unwrap_or_default()
    }

    /// A complaint about one of its keys.
    pub fn error(&self, key: &str, message: impl Into<String>) -> ProjectError {
        self.origin.error(key, message)
    }
}

/// What comes in by the door while a project is loaded.
#[derive(Clone)]
pub struct Surroundings {
    /// The time.
    pub clock: Clock,
    /// The environment variables.
    pub env: Arc<BTreeMap<String, String>>,
    /// Settings given as flags: `store.ledger` and the like.
    pub flags: Vec<(String, String)>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("flags", &self.flags).finish_non_exhaustive()
    }
}

impl Surroundings {
    /// What a connector may use while it is made for this project.
    #[must_use]
    pub fn build_context(&self, base_dir: &Path) -> BuildContext {
        let env = Arc::clone(&self.env);
        BuildContext {
            clock: self.clock.clone(),
            base_dir: base_dir.to_owned(),
            env: Arc::new(move |name| env.get(name).cloned()),
            allow_private_hosts: true,
        }
    }
}

impl Project {
    /// Loads the project in `dir`.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and what to do.
    pub fn load(dir: &Path, registry: &Registry, surroundings: &Surroundings) -> Result<Self, ProjectError> {
        let path = dir.join(FILE_NAME);
        let main = Document::read(&path)?;
        let file: ProjectFile = main.parse()?;
        if file.version != FORMAT_VERSION {
            let message = if main.value.get("version").is_none() {
                "the file has no `version`".to_owned()
            } else {
                format!("version {} of the project file is not one this program reads", file.version)
            };
            let help = if file.version > FORMAT_VERSION {
                "a newer headwater may read it"
            } else {
                "write `version: 1` as the first line"
            };
            return Err(main.error("version", message).help(help));
        }
        let mut documents = vec![main];
        for pattern in &file.include {
            documents.extend(included(dir, pattern, documents.first())?);
        }
        let settings = layered(&documents, surroundings)?;
        let mut sources = Vec::new();
        let mut sinks = Vec::new();
        for document in &documents {
            document.sources(registry, dir, &mut sources)?;
            document.sinks(registry, dir, &mut sinks)?;
        }
        let classifier = values::classifier(&file.channels);
        Ok(Self { base_dir: dir.to_owned(), path, settings, sources, sinks, file, classifier })
    }

    /// The source of that name.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&SourceEntry> {
        self.sources.iter().find(|source| source.name == name)
    }

    /// The sink of that name.
    #[must_use]
    pub fn sink(&self, name: &str) -> Option<&SinkEntry> {
        self.sinks.iter().find(|sink| sink.name == name)
    }

    /// Checks values that have the right type and may still mean nothing, such as a currency or a date format.
    ///
    /// # Errors
    /// The first that means nothing, with file, line and what to do.
    pub fn check_values(&self) -> Result<(), ProjectError> {
        values::check(self)
    }

    /// Every part of every sink, in the order of delivery.
    pub fn parts(&self) -> impl Iterator<Item = SinkEntry> {
        self.sinks.iter().flat_map(SinkEntry::parts)
    }

    /// A complaint about a key of the main file.
    pub fn error(&self, path: &str, message: impl Into<String>) -> ProjectError {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        ProjectError::new(&self.path, message).at(&text, path)
    }
}

/// One parsed file.
struct Document {
    path: PathBuf,
    text: Arc<str>,
    value: Value,
}

impl Document {
    fn read(path: &Path) -> Result<Self, ProjectError> {
        let fail = |message: String| ProjectError::new(path, message);
        let size = std::fs::metadata(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => fail(format!("there is no project here: {} does not exist", path.display()))
                .help("run `headwater init DIR` to make one, or name its folder with `-C DIR`"),
            _ => fail(format!("{} cannot be read: {error}", path.display())),
        })?;
        if size.len() > MAX_FILE_BYTES {
            return Err(fail(format!("{} is larger than {MAX_FILE_BYTES} bytes", path.display())));
        }
        let bytes = std::fs::read(path).map_err(|error| fail(format!("{} cannot be read: {error}", path.display())))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = 1 + error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|byte| **byte == b'\n').count();
            let readable = String::from_utf8_lossy(error.as_bytes());
            fail("the file is not UTF-8 text".to_owned()).help("save it as UTF-8").at_line(&readable, line, 1)
        })?;
        let value: Value = serde_saphyr::from_str(&text).map_err(|error| {
            let (line, column) = error
                .location()
                .map_or((1, 1), |at| (usize::try_from(at.line()).unwrap_or(1), usize::try_from(at.column()).unwrap_or(1)));
            let message = error.to_string();
            // Its first line repeats the place, which we show with the line itself.
            let message = message.lines().next().unwrap_or("cannot be read");
            let message = message.rsplit_once(&format!("line {line} column {column}: ")).map_or(message, |(_, rest)| rest);
            let ((message, hint), at) = document::of_yaml(message, &text, line);
            let complaint = fail(message).at_line(&text, at, if at == line { column } else { 1 });
            match hint {
                Some(hint) => complaint.help(hint),
                None => complaint,
            }
        })?;
        // A section of which everything is commented out is an empty one.
        let value = match value {
            Value::Null => Value::Object(Map::new()),
            Value::Object(mut sections) => {
                sections.retain(|_, section| !section.is_null());
                Value::Object(sections)
            }
            _ => {
                let complaint = fail("a project file is a section of keys and values".to_owned());
                return Err(complaint.help("begin with `version: 1`").at_line(&text, 1, 1));
            }
        };
        Ok(Self { path: path.to_owned(), text: text.into(), value })
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, ProjectError> {
        serde_path_to_error::deserialize(self.value.clone()).map_err(|error| {
            let path = error.path().to_string();
            complaint(&error.into_inner().to_string(), &path, &[], |path, message| self.error(path, message))
        })
    }

    fn error(&self, path: &str, message: impl Into<String>) -> ProjectError {
        ProjectError::new(&self.path, message).at(&self.text, path)
    }

    fn location(&self, path: String) -> Location {
        Location { file: self.path.clone(), text: Arc::clone(&self.text), path }
    }

    fn entries(&self, section: &str) -> impl Iterator<Item = (&String, &Map<String, Value>)> {
        let entries = self.value.get(section).and_then(Value::as_object).into_iter().flatten();
        entries.filter_map(|(name, value)| Some((name, value.as_object()?)))
    }

    fn sources(&self, registry: &Registry, dir: &Path, out: &mut Vec<SourceEntry>) -> Result<(), ProjectError> {
        for (name, values) in self.entries("sources") {
            let origin = self.location(format!("sources.{name}"));
            check_name(name, &origin)?;
            if out.iter().any(|other| other.name == *name) {
                return Err(origin
                    .error("", format!("there are two sources named `{name}`"))
                    .help("give one of them another name"));
            }
            let (section, config) = split::<SourceSection>(name, values, file::SOURCE_KEYS, &origin)?;
            check_connector(registry, dir, &section.connector, &origin)?;
            out.push(SourceEntry { name: name.clone(), section, config, origin });
        }
        Ok(())
    }

    fn sinks(&self, registry: &Registry, dir: &Path, out: &mut Vec<SinkEntry>) -> Result<(), ProjectError> {
        for (name, values) in self.entries("sinks") {
            let origin = self.location(format!("sinks.{name}"));
            check_name(name, &origin)?;
            if out.iter().any(|other| other.name == *name) {
                return Err(origin
                    .error("", format!("there are two sinks named `{name}`"))
                    .help("give one of them another name"));
            }
            let (section, config) = split::<SinkSection>(name, values, sinks::SINK_KEYS, &origin)?;
            check_connector(registry, dir, &section.connector, &origin)?;
            out.push(SinkEntry { name: name.clone(), section, config, companion: None, origin });
        }
        Ok(())
    }
}

/// Splits one connection's keys into those every connection has and the connector's own.
fn split<T: DeserializeOwned>(
    name: &str,
    values: &Map<String, Value>,
    common: &[&str],
    origin: &Location,
) -> Result<(T, ConfigDoc), ProjectError> {
    let (ours, theirs): (Map<_, _>, Map<_, _>) = values.clone().into_iter().partition(|(key, _)| common.contains(&key.as_str()));
    let section = serde_path_to_error::deserialize(Value::Object(ours)).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        // A mistyped key of ours looks like one of the connector's.
        let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
        let near = missing.and_then(|field| Some((field, nearest(field, theirs.keys().map(String::as_str))?)));
        let place = near.map_or(path.as_str(), |(_, near)| near);
        let complaint = complaint(&message, place, &[], |path, message| origin.error(path, message));
        match near {
            Some((field, near)) => complaint.help(format!("`{near}` stands there; did you mean `{field}`?")),
            None => complaint,
        }
    })?;
    Ok((section, ConfigDoc { connection: name.to_owned(), values: theirs }))
}

/// The name of the sink that a part belongs to. A name holds no dot.
#[must_use]
pub fn sink_of_part(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// Turns a connector's complaint about its settings into one that names file and line.
fn config_error(
    error: &headwater_sdk::Error,
    config: &ConfigDoc,
    common: &[&str],
    place: impl Fn(&str, String) -> ProjectError,
) -> ProjectError {
    let secret = || error.secret_reference().and_then(|reference| config.path_of_secret(reference));
    let path = error.config_path().map(str::to_owned).or_else(secret).unwrap_or_default();
    let complaint = complaint(error.message(), &path, common, place);
    match error.hint_text() {
        Some(hint) if complaint.help.is_none() => complaint.help(hint),
        _ => complaint,
    }
}

impl SourceEntry {
    /// Places a connector's complaint at this source's keys.
    #[must_use]
    pub fn config_error(&self, error: &headwater_sdk::Error) -> ProjectError {
        config_error(error, &self.config, file::SOURCE_KEYS, |path, message| self.error(path, message))
    }
}

impl SinkEntry {
    /// Places a connector's complaint at this sink's keys.
    #[must_use]
    pub fn config_error(&self, error: &headwater_sdk::Error) -> ProjectError {
        config_error(error, &self.config, sinks::SINK_KEYS, |path, message| self.error(path, message))
    }
}

fn check_name(name: &str, origin: &Location) -> Result<(), ProjectError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > MAX_NAME_LEN || !name.bytes().all(plain) {
        let message = format!("`{name}` cannot be a name");
        return Err(origin.error("", message).help("use lower-case letters, digits, `_` and `-`, at most 64 of them"));
    }
    Ok(())
}

fn check_connector(registry: &Registry, dir: &Path, connector: &str, origin: &Location) -> Result<(), ProjectError> {
    match registry.find(connector, dir) {
        Ok(Some(_)) => return Ok(()),
        Ok(None) => {}
        Err(error) => {
            let complaint = origin.error("connector", error.message());
            return Err(match error.hint_text() {
                Some(hint) => complaint.help(hint),
                None => complaint,
            });
        }
    }
    let complaint = origin.error("connector", format!("there is no connector `{connector}`"));
    Err(match nearest(connector, registry.names()) {
        Some(near) => complaint.help(format!("did you mean `{near}`?")),
        None => complaint.help(format!("there are: {}", registry.names().collect::<Vec<_>>().join(", "))),
    })
}

fn included(dir: &Path, pattern: &str, main: Option<&Document>) -> Result<Vec<Document>, ProjectError> {
    let (folder, name) = pattern.rsplit_once('/').unwrap_or((".", pattern));
    let (head, tail) = name.split_once('*').unwrap_or((name, ""));
    let entries = std::fs::read_dir(dir.join(folder)).ok().into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.contains('*') { file.starts_with(head) && file.ends_with(tail) } else { file == name }
        })
        .collect();
    paths.sort();
    if paths.is_empty()
        && let Some(main) = main
    {
        return Err(main.error("include", format!("no file matches `{pattern}`")));
    }
    let documents = paths.iter().map(|path| Document::read(path)).collect::<Result<Vec<_>, _>>()?;
    for document in &documents {
        let known = ["version", "sources", "sinks"];
        let unknown = document.value.as_object().and_then(|map| map.keys().find(|key| !known.contains(&key.as_str())));
        if let Some(key) = unknown {
            let complaint = document.error(key, format!("unknown key `{key}`"));
            return Err(complaint.help("an included file holds `sources` and `sinks` only"));
        }
    }
    Ok(documents)
}

/// Defaults, file, environment, flags.
fn layered(documents: &[Document], surroundings: &Surroundings) -> Result<Settings, ProjectError> {
    let Some(main) = documents.first() else { return Ok(Settings::default()) };
    let in_file: Map<String, Value> =
        LAYERED.into_iter().filter_map(|key| Some((key.to_owned(), main.value.get(key)?.clone()))).collect();
    let fail = |error: config::ConfigError| {
        main.error("store", format!("a setting cannot be read: {error}"))
            .help("settings come from the file, from HEADWATER__SECTION__KEY and from flags, in this order")
    };
    for key in surroundings.env.keys() {
        let Some(setting) = key.strip_prefix(ENV_PREFIX).and_then(|rest| rest.strip_prefix("__")) else { continue };
        let section = setting.split("__").next().unwrap_or_default().to_lowercase();
        if !LAYERED.contains(&section.as_str()) {
            return Err(main.error(&section, format!("the environment variable {key} sets nothing")).help(
                "only `store` and `serve` are set from the environment; write the rest into this file, or unset the variable",
            ));
        }
    }
    let env = config::Environment::with_prefix(ENV_PREFIX)
        .prefix_separator("__")
        .separator("__")
        .source(Some(surroundings.env.iter().map(|(key, value)| (key.clone(), value.clone())).collect()));
    let mut builder = config::Config::builder()
        .add_source(config::Config::try_from(&Settings::default()).map_err(fail)?)
        .add_source(config::Config::try_from(&Value::Object(in_file)).map_err(fail)?)
        .add_source(env);
    for (key, value) in &surroundings.flags {
        builder = builder.set_override(key, value.as_str()).map_err(fail)?;
    }
    builder.build().and_then(config::Config::try_deserialize).map_err(fail)
}

/// The JSON schema of the project file.
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(ProjectFile).to_value()
}

/// The keys every source and every sink has, as JSON schemas.
#[must_use]
pub fn section_schemas() -> (Value, Value) {
    (schemars::schema_for!(SourceSection).to_value(), schemars::schema_for!(SinkSection).to_value())
}
