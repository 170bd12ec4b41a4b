//! What a connector is, and how its two halves are made from a user's configuration.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::SECRET;
use crate::{Clock, Error, ErrorKind, Result, Secret, SecretRef, Sink, Source};

/// What a connector is called, what it can do and what its settings look like.
#[derive(Debug, Clone)]
pub struct ConnectorSpec {
    /// The name used in `connector:`.
    pub name: &'static str,
    /// The name a person reads.
    pub title: &'static str,
    /// One sentence on what it reads and writes.
    pub summary: Cow<'static, str>,
    /// The JSON schema of its settings as a source, if it can be one.
    pub source_schema: Option<Value>,
    /// The JSON schema of its settings as a sink, if it can be one.
    pub sink_schema: Option<Value>,
    /// Its README, embedded.
    pub readme: &'static str,
}

/// A connector: code that knows one kind of remote. A connection is a connector with settings.
pub trait Connector: Send + Sync + 'static {
    /// What it is.
    fn spec(&self) -> ConnectorSpec;

    /// The name used in `connector:`; a connector whose whole description costs something to make says it at less.
    fn name(&self) -> &'static str {
        self.spec().name
    }

    /// Makes a source from its settings.
    ///
    /// # Errors
    /// `Config` when the settings are wrong, `Unsupported` when it cannot be a source.
    fn source(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Source>> {
        let (_, _) = (config, cx);
        Err(Error::new(ErrorKind::Unsupported, format!("connector `{}` cannot be a source", self.spec().name)))
    }

    /// Makes a sink from its settings.
    ///
    /// # Errors
    /// `Config` when the settings are wrong, `Unsupported` when it cannot be a sink.
    fn sink(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        let (_, _) = (config, cx);
        Err(Error::new(ErrorKind::Unsupported, format!("connector `{}` cannot be a sink", self.spec().name)))
    }

    /// Makes the sink of what goes with the people of a sink, from the settings of that sink.
    ///
    /// # Errors
    /// `Config` when the settings are wrong, `Unsupported` when the remote keeps no such records or the connector does not write them.
    fn companion(&self, companion: &Companion, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        let (_, _) = (config, cx);
        let message = format!("connector `{}` does not write {}", self.spec().name, companion.noun());
        Err(Error::new(ErrorKind::Unsupported, message))
    }
}

/// What goes with the people that a sink is given, and is written by a sink of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Companion {
    /// The companies they work for.
    Companies,
    /// Tasks about them.
    Tasks,
    /// Their places in a list.
    List {
        /// The remote's id of the list.
        id: String,
    },
}

impl Companion {
    /// What it is, for a message.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Companies => "companies",
            Self::Tasks => "tasks",
            Self::List { .. } => "lists",
        }
    }
}

/// The connector's own part of one connection's settings: what is left when the runtime took the keys every connection has.
#[derive(Debug, Clone)]
pub struct ConfigDoc {
    /// The name of the connection, for messages.
    pub connection: String,
    /// The keys and values, as parsed.
    pub values: Map<String, Value>,
}

impl ConfigDoc {
    /// Parses the settings into the connector's own type, which denies unknown fields.
    ///
    /// # Errors
    /// `Config`, with the path of the key at fault in the context key `path`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        serde_path_to_error::deserialize(Value::Object(self.values.clone())).map_err(|error| {
            let path = error.path().to_string();
            Error::new(ErrorKind::Config, error.into_inner().to_string()).context("path", path)
        })
    }

    /// The path of the key that holds this reference to a secret, as [`Error::secret_reference`] names it.
    #[must_use]
    pub fn path_of_secret(&self, reference: &str) -> Option<String> {
        self.values.iter().find_map(|(key, value)| path_of_secret(value, key, reference))
    }
}

impl ConfigDoc {
    /// Every secret that the settings refer to: the path of its key, and the reference in words.
    #[must_use]
    pub fn secrets(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (key, value) in &self.values {
            secrets_in(value, key, &mut found);
        }
        found
    }
}

fn secrets_in(value: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(keys) => match SecretRef::deserialize(value) {
            Ok(reference) => found.push((path.to_owned(), reference.to_string())),
            Err(_) => keys.iter().for_each(|(key, value)| secrets_in(value, &format!("{path}.{key}"), found)),
        },
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| secrets_in(value, &format!("{path}[{index}]"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn path_of_secret(value: &Value, path: &str, reference: &str) -> Option<String> {
    match value {
        Value::Object(_) if SecretRef::deserialize(value).is_ok_and(|found| found.to_string() == reference) => {
            Some(path.to_owned())
        }
        Value::Object(keys) => keys.iter().find_map(|(key, value)| path_of_secret(value, &format!("{path}.{key}"), reference)),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, value)| path_of_secret(value, &format!("{path}[{index}]"), reference))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Reads a variable by its name.
pub type ReadVariable = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What a connector may use while it is made.
#[derive(Clone)]
pub struct BuildContext {
    /// The time.
    pub clock: Clock,
    /// The folder that relative paths start from: the project's.
    pub base_dir: PathBuf,
    /// Reads an environment variable.
    pub env: ReadVariable,
    /// Whether loopback and private addresses may be called. True where the user's own configuration names the address.
    pub allow_private_hosts: bool,
}

impl BuildContext {
    /// The absolute form of a path in the settings.
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        self.base_dir.join(path)
    }

    /// The value behind a reference.
    ///
    /// # Errors
    /// `Config`, naming the variable or file that is missing or empty; never its value. The context key `secret` holds the
    /// reference, by which the key is found that names it.
    pub fn secret(&self, reference: &SecretRef) -> Result<Secret> {
        let missing =
            |what: String, hint: String| Error::new(ErrorKind::Config, what).hint(hint).context(SECRET, reference.to_string());
        let value = match reference {
            SecretRef::Env(name) => (self.env)(name).map(String::into_bytes).ok_or_else(|| {
                missing(format!("environment variable {name} is not set"), format!("export {name}=… before the run"))
            })?,
            SecretRef::File(path) => {
                let path = self.path(path);
                let mut bytes = std::fs::read(&path).map_err(|error| {
                    missing(
                        format!("secret file {} cannot be read", path.display()),
                        "check that the file exists and that this user may read it".to_owned(),
                    )
                    .source(error)
                })?;
                while matches!(bytes.last(), Some(b'\n' | b'\r')) {
                    bytes.pop();
                }
                bytes
            }
        };
        if value.is_empty() {
            return Err(missing(format!("{reference} is empty"), "an empty secret protects nothing: set a value".to_owned()));
        }
        Ok(Secret::new(value))
    }
}

impl std::fmt::Debug for BuildContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuildContext").field("base_dir", &self.base_dir).finish_non_exhaustive()
    }
}

/// Makes a connector of a user's own file.
pub type OpenFile = Arc<dyn Fn(&Path) -> Result<Arc<dyn Connector>> + Send + Sync>;

/// The connectors that exist, by name. The runtime is handed one and knows none by name.
#[derive(Default, Clone)]
pub struct Registry {
    known: BTreeMap<&'static str, Arc<dyn Connector>>,
    open: Option<OpenFile>,
    opened: Arc<Mutex<BTreeMap<PathBuf, Arc<dyn Connector>>>>,
}

impl Registry {
    /// A registry of these connectors.
    pub fn new(connectors: impl IntoIterator<Item = Arc<dyn Connector>>) -> Self {
        let known = connectors.into_iter().map(|connector| (connector.name(), connector)).collect();
        Self { known, ..Self::default() }
    }

    /// This registry with one more connector, in the place of one of the same name.
    #[must_use]
    pub fn with(mut self, connector: Arc<dyn Connector>) -> Self {
        self.known.insert(connector.name(), connector);
        self
    }

    /// This registry, which also makes connectors of files.
    #[must_use]
    pub fn opening(self, open: OpenFile) -> Self {
        Self { open: Some(open), ..self }
    }

    /// The connector of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Connector>> {
        self.known.get(name)
    }

    /// The connector that a project's key `connector` names: one of ours, or a file, by a path with a `/` in it from `base`.
    /// A file is read once.
    ///
    /// # Errors
    /// `Config` when the file is no connector.
    pub fn find(&self, name: &str, base: &Path) -> Result<Option<Arc<dyn Connector>>> {
        let (Some(open), true) = (&self.open, name.contains('/')) else { return Ok(self.get(name).cloned()) };
        let path = base.join(name);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connector) = opened.get(&path) {
            return Ok(Some(Arc::clone(connector)));
        }
        let connector = open(&path)?;
        opened.insert(path, Arc::clone(&connector));
        Ok(Some(connector))
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.known.keys().copied()
    }

    /// All connectors, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Connector>> {
        self.known.values()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.known.keys()).finish()
    }
}
