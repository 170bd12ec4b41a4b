//! What every stage works with: the project, the store, the time, and the wish to stop.

use std::sync::Arc;

use headwater_model::ids;
use headwater_model::suppression::{Hasher, Screen};
use headwater_model::tables;
use headwater_sdk::{Clock, Connector, ErrorKind, Registry, Sink, Source};
use headwater_store::{Store, StoreConfig};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::intake::IntakeConnector;
use crate::project::{Project, ProjectError, SinkEntry, SourceEntry, Surroundings, sink_of_part};

/// A project at work.
#[derive(Clone, Debug)]
pub struct Engine {
    /// The project.
    pub project: Arc<Project>,
    /// Its store.
    pub store: Store,
    /// The connectors there are.
    pub registry: Registry,
    /// The time, the environment, the flags.
    pub surroundings: Surroundings,
    /// Set when the run shall stop at the next safe point.
    pub cancel: CancellationToken,
    /// Told how far a long step is.
    pub progress: Progress,
}

/// Told how far a long step is: what it works on, how much is done, and of how much.
#[derive(Clone)]
pub struct Progress(Arc<Teller>);

type Teller = dyn Fn(&str, u64, Option<u64>) + Send + Sync;

impl Progress {
    /// Progress that is told to `tell`.
    pub fn new(tell: impl Fn(&str, u64, Option<u64>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Progress that nobody watches.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(|_, _, _| {})
    }

    pub(crate) fn tell(&self, what: &str, done: u64, of: Option<u64>) {
        (self.0)(what, done, of);
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}

impl Engine {
    /// Opens the project's store, making it if there is none yet.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub async fn open(project: Project, registry: Registry, surroundings: Surroundings) -> Result<Self> {
        let config = store_config(&project)?;
        let now = surroundings.clock.now_us();
        let store = Store::create_or_open(&config, tables::ALL, now).await?;
        // Web forms are read from the store itself, which exists only now.
        let registry = registry.with(Arc::new(IntakeConnector::over(Arc::new(store.clone()))));
        let (cancel, progress) = (CancellationToken::new(), Progress::silent());
        Ok(Self { project: Arc::new(project), store, registry, surroundings, cancel, progress })
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.surroundings.clock
    }

    /// Stops here if the run was told to stop.
    pub(crate) fn stop_if_told(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Waits for `work`, but not once the run is told to stop: a remote that does not answer must not hold it up.
    ///
    /// # Errors
    /// `Interrupted` when the run is told to stop.
    pub async fn unless_told<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::Interrupted),
            done = work => Ok(done),
        }
    }

    /// The source of that connection, made from its settings.
    ///
    /// # Errors
    /// When its settings are wrong or a secret is missing, with file and line.
    pub fn source(&self, entry: &SourceEntry) -> Result<Box<dyn Source>> {
        let connector = self.connector(&entry.section.connector).map_err(|error| Error::from(entry.config_error(&error)))?;
        let connector = connector.ok_or_else(|| unknown(&entry.section.connector))?;
        let cx = self.surroundings.build_context(&self.project.base_dir);
        connector.source(&entry.config, &cx).map_err(|error| entry.config_error(&error).into())
    }

    /// The sink of that connection, made from its settings.
    ///
    /// # Errors
    /// When its settings are wrong or a secret is missing, with file and line.
    pub fn sink(&self, entry: &SinkEntry) -> Result<Box<dyn Sink>> {
        let connector = self.connector(&entry.section.connector).map_err(|error| Error::from(entry.config_error(&error)))?;
        let connector = connector.ok_or_else(|| unknown(&entry.section.connector))?;
        let cx = self.surroundings.build_context(&self.project.base_dir);
        let made = match &entry.companion {
            None => connector.sink(&entry.config, &cx),
            Some(companion) => connector.companion(companion, &entry.config, &cx),
        };
        made.map_err(|error| entry.config_error(&error).into())
    }

    /// Says of a connection whose credentials were refused which keys of the project name them.
    #[must_use]
    pub fn naming_credentials(&self, error: Error) -> Error {
        let Error::Connection { connection, stream, source } = error else { return error };
        if source.kind() != ErrorKind::Auth {
            return Error::Connection { connection, stream, source };
        }
        let project = &self.project;
        let name = sink_of_part(&connection);
        let place = |path: &str, error: ProjectError| {
            let file = error.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let line = error.line.map(|line| format!(":{line}")).unwrap_or_default();
            format!("`{path}` ({file}{line}")
        };
        let mut keys = Vec::new();
        if let Some(sink) = project.sink(name) {
            keys.extend(sink.config.secrets().into_iter().map(|(path, what)| (place(&path, sink.error(&path, "")), what)));
        } else if let Some(source) = project.source(name) {
            keys.extend(source.config.secrets().into_iter().map(|(path, what)| (place(&path, source.error(&path, "")), what)));
        }
        if keys.is_empty() {
            return Error::Connection { connection, stream, source };
        }
        let keys: Vec<String> = keys.into_iter().map(|(key, what)| format!("{key}, {what})")).collect();
        let renew = format!("renew what stands behind {}", keys.join(" and "));
        let hint = source.hint_text().map_or_else(|| renew.clone(), |hint| format!("{hint}; or {renew}"));
        Error::Connection { connection, stream, source: source.hint(hint) }
    }

    fn connector(&self, name: &str) -> headwater_sdk::Result<Option<Arc<dyn Connector>>> {
        self.registry.find(name, &self.project.base_dir)
    }

    /// Who must not be held.
    pub(crate) async fn screen(&self) -> Result<Screen> {
        let hashes = self.store.suppression_set().await?;
        let hashes = hashes.iter().filter_map(|hex| unhex(hex)).collect();
        Ok(Screen::new(self.suppression_hasher().await?, hashes))
    }

    /// Makes the hashes by which suppressed people are known.
    pub(crate) async fn suppression_hasher(&self) -> Result<Hasher> {
        Ok(Hasher::new(&self.store.suppression_key().await?))
    }

    /// The id of a run that begins now. Runs sort by it.
    #[must_use]
    pub fn new_run_id(&self) -> String {
        let micros = self.clock().now_us();
        let salt = u128::from(std::process::id());
        ids::id("run_", (u128::from(micros.unsigned_abs()) << 64) | salt)
    }
}

/// Where the project keeps its store.
pub(crate) fn store_config(project: &Project) -> Result<StoreConfig> {
    let section = &project.settings.store;
    let ledger = match section.ledger.split_once("://") {
        Some(("sqlite", path)) => format!("sqlite://{}", project.base_dir.join(path).display()),
        Some(("postgres" | "postgresql", _)) => {
            let message = "a ledger in PostgreSQL is not supported in this version";
            return Err(project.error("store.ledger", message).help("write `sqlite://PATH`, relative to the project").into());
        }
        Some(_) => section.ledger.clone(),
        None => {
            let message = format!("`{}` is not the address of a ledger", section.ledger);
            return Err(project.error("store.ledger", message).help("write `sqlite://PATH`").into());
        }
    };
    if section.lake.contains("://") {
        let message = format!("the lake `{}` is not a folder; only local folders are supported in this version", section.lake);
        return Err(project.error("store.lake", message).help("write a path, relative to the project").into());
    }
    Ok(StoreConfig { ledger, lake: project.base_dir.join(&section.lake) })
}

fn unknown(connector: &str) -> Error {
    Error::Internal(format!("connector `{connector}` vanished after the project was loaded"))
}

/// The 32 bytes of 64 hex digits.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (slot, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        *slot = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

/// Bytes as hex digits, two each.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.filter_map(|nibble| char::from_digit(u32::from(nibble), 16)).collect()
}
