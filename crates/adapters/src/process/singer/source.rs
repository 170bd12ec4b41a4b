//! A tap as a source: one start of the program per stream that is read.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::sync::Arc;

use async_trait::async_trait;
use headwater_model::checkpoint::Checkpoint;
use headwater_model::mapping::{Origin, Role};
use headwater_sdk::{BuildContext, Clock, Error, ErrorKind, EventStream, Result, Secret, Source, StreamSpec};
use serde_json::value::RawValue;
use tokio::sync::OnceCell;
use tracing::{debug, warn};

use super::catalog::{Catalog, Entry, Method};
use super::message::{Message, counted};
use crate::process::child::{Child, Ended, Input, Program};
use crate::process::config::{CatalogArgument, Launch, SingerConfig, at, read};
use crate::process::fields::paths;
use crate::process::pager::Pager;
use crate::process::reading::{Dialect, Pace, Position, Step, Whole, events, message};

/// The largest catalog that is taken: a database with tens of thousands of tables.
const MAX_CATALOG_BYTES: usize = 256 * 1024 * 1024;

/// A Singer tap.
#[derive(Debug)]
pub(crate) struct SingerSource {
    program: Arc<Program>,
    given: Option<Secret>,
    argument: &'static str,
    cursors: BTreeMap<String, String>,
    whole: BTreeSet<String>,
    pace: Pace,
    clock: Clock,
    /// What the tap can read. It is asked once: a start of it takes seconds.
    catalog: OnceCell<Catalog>,
}

impl SingerSource {
    pub(crate) fn new(config: SingerConfig, cx: &BuildContext, pace: Pace) -> Result<Self> {
        let SingerConfig {
            command,
            config,
            config_file,
            env,
            silence_secs,
            max_line_bytes,
            catalog_file,
            catalog_argument,
            cursors,
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
        let given = catalog_file.map(|path| read(&path, "catalog_file", cx)).transpose()?;
        let argument = match catalog_argument {
            CatalogArgument::Catalog => "--catalog",
            CatalogArgument::Properties => "--properties",
        };
        Ok(Self {
            program,
            given,
            argument,
            cursors,
            whole,
            pace: pace.where_resumable(resumable),
            clock: cx.clock.clone(),
            catalog: OnceCell::new(),
        })
    }

    async fn catalog(&self) -> Result<&Catalog> {
        self.catalog.get_or_try_init(|| self.discover()).await
    }

    async fn discover(&self) -> Result<Catalog> {
        let catalog = match &self.given {
            Some(given) => Catalog::parse(given.expose())?,
            None => {
                let (files, config) = self.program.files()?;
                let arguments: [&OsStr; 3] = ["--config".as_ref(), &config, "--discover".as_ref()];
                let mut child = self.program.start(&arguments, Some(files), Input::None)?;
                let mut text = Vec::new();
                while let Some(line) = child.line().await? {
                    text.extend(line);
                    text.push(b'\n');
                    if text.len() > MAX_CATALOG_BYTES {
                        return Err(Error::new(ErrorKind::Protocol, "the tap's catalog is larger than any catalog"));
                    }
                }
                child.finish().await?;
                Catalog::parse(&text)?
            }
        };
        if let Some(unknown) = self.cursors.keys().find(|id| catalog.find(id).is_none()) {
            return Err(at("there is no such stream", format!("cursors.{unknown}")));
        }
        for id in &self.whole {
            let Some(entry) = catalog.find(id) else { return Err(at(format!("the tap has no stream `{id}`"), "whole")) };
            if self.cursors.contains_key(id) || entry.is_incremental() {
                let message = format!("`{id}` is read incrementally, which shows only what changed");
                return Err(at(message, "whole").hint("take it out of `cursors`, or out of `whole`"));
            }
        }
        Ok(catalog)
    }

    async fn start(&self, entry: &Entry, position: &Position) -> Result<Child> {
        let method = match self.cursors.get(&entry.id) {
            Some(cursor) => Method::Incremental(cursor),
            None if self.whole.contains(&entry.id) => Method::FullTable,
            None => Method::OfCatalog,
        };
        let catalog = self.catalog().await?.choose(&entry.id, method).to_string();
        let (files, config) = self.program.files()?;
        let catalog = files.write("catalog.json", catalog.as_bytes())?;
        let mut arguments: Vec<&OsStr> = vec!["--config".as_ref(), &config, self.argument.as_ref(), &catalog];
        let state;
        if let Some((_, text)) = position.states.first() {
            state = files.write("state.json", text.as_bytes())?;
            arguments.extend([OsStr::new("--state"), &state]);
        }
        self.program.start(&arguments, Some(files), Input::None)
    }
}

#[async_trait]
impl Source for SingerSource {
    /// Reads the first stream up to its first record, state or end.
    async fn check(&self) -> Result<()> {
        let catalog = self.catalog().await?;
        let none = || Error::new(ErrorKind::NotFound, "the tap has no streams").hint("look at its `config`");
        let first = catalog.streams().first().ok_or_else(none)?;
        let mut child = self.start(first, &Position::default()).await?;
        let mut spare = Vec::new();
        while let Some(line) = child.line().await? {
            let found: Option<Message<'_>> = message(&line, &mut spare)?;
            if found.is_some_and(|found| matches!(found.kind.as_ref(), "RECORD" | "STATE")) {
                return Ok(());
            }
        }
        child.finish().await.map(drop)
    }

    async fn streams(&self) -> Result<Vec<StreamSpec>> {
        let spec = |entry: &Entry| StreamSpec {
            name: entry.id.clone(),
            role: Role::Leads,
            origin: Origin::Import,
            fields: entry.fields.names().to_vec(),
            mapping: entry.fields.mapping(&entry.keys),
            vendor: None,
            whole: self.whole.contains(&entry.id),
            notes: None,
        };
        Ok(self.catalog().await?.streams().iter().map(spec).collect())
    }

    async fn read(&self, stream: &StreamSpec, from: Option<Checkpoint>) -> Result<EventStream> {
        let position = Position::of(from)?;
        let catalog = self.catalog().await?;
        let unknown = || Error::new(ErrorKind::Config, format!("the tap has no stream {}", stream.name));
        let entry = catalog.find(&stream.name).ok_or_else(unknown)?;
        let child = self.start(entry, &position).await?;
        let reading = Reading {
            id: entry.id.clone(),
            stream: entry.stream.clone(),
            pager: Pager::new(&entry.id, entry.fields.clone(), &entry.keys),
            from_start: self.whole.contains(&entry.id),
            whole: position.whole(self.whole.contains(&entry.id)),
            position,
            announced: false,
            other: 0,
        };
        Ok(events(child, reading, self.pace, self.clock.clone()))
    }
}

/// One stream as it is read.
#[derive(Debug)]
struct Reading {
    id: String,
    stream: String,
    pager: Pager,
    position: Position,
    /// Whether it is read from its beginning each time.
    from_start: bool,
    /// Whether the user says that a read shows everything, and nothing speaks against it.
    whole: Whole,
    /// Whether its schema came.
    announced: bool,
    /// Records of streams that nobody asked for.
    other: u64,
}

impl Reading {
    fn is_ours(&self, message: &Message<'_>) -> bool {
        message.stream.as_deref().is_some_and(|stream| stream == self.stream || stream == self.id)
    }

    fn record(&mut self, record: Option<&RawValue>) -> Result<()> {
        if !self.announced {
            return Err(Error::new(ErrorKind::Protocol, "the tap sent a record before its schema"));
        }
        let record = record.ok_or_else(|| Error::new(ErrorKind::Protocol, "the tap sent a record without content"))?;
        self.pager.push(record);
        Ok(())
    }
}

impl Dialect for Reading {
    fn line(&mut self, line: &[u8]) -> Result<Step> {
        let mut spare = Vec::new();
        let Some(found) = message::<Message<'_>>(line, &mut spare)? else {
            debug!(stream = self.id, "a line that is no message");
            return Ok(Step::Other);
        };
        match found.kind.as_ref() {
            "RECORD" if self.is_ours(&found) => self.record(found.record)?,
            "RECORD" => self.other += 1,
            "SCHEMA" if self.is_ours(&found) => {
                self.announced = true;
                if let Some(keys) = found.key_properties.filter(|keys| !keys.is_empty()) {
                    self.pager.set_keys(&paths(&keys));
                }
            }
            "STATE" => {
                self.position.set("", found.value.map_or("{}", RawValue::get));
                return Ok(Step::State);
            }
            // A version says that records which do not come again are gone. Many taps say so before they read: `whole` is what counts.
            "SCHEMA" | "ACTIVATE_VERSION" => {}
            "BATCH" => {
                return Err(Error::new(ErrorKind::Unsupported, "the tap sends its records as files (BATCH)")
                    .hint("take `batch_config` out of its `config`"));
            }
            _ => {
                return Err(Error::new(ErrorKind::Protocol, "the tap sent a message of an unknown type, which may hold records"));
            }
        }
        Ok(Step::Other)
    }

    fn pager(&mut self) -> &mut Pager {
        &mut self.pager
    }

    /// A stream that is read as a whole starts again next time, whatever its states say of this read.
    fn position(&self, ended: bool) -> Position {
        if ended && self.from_start { Position::default() } else { self.position.clone() }
    }

    fn blame(&mut self) -> Option<Error> {
        None
    }

    fn verdict(&mut self, ended: &Ended) -> Result<()> {
        let (arrived, said) = (self.pager.seen(), counted(ended.metrics(), &self.stream));
        if let Some(said) = said.filter(|said| *said > arrived) {
            // Some taps count what they fetched, also what they then leave out.
            warn!(stream = self.id, said, arrived, "the tap counts more records than it sent");
            self.whole = Whole::No;
        }
        if self.other > 0 {
            debug!(stream = self.id, records = self.other, "the tap also sent streams that were not chosen");
        }
        Ok(())
    }

    fn whole(&self) -> Whole {
        self.whole
    }
}

/// Reads what a tap might print: its catalog on the first line, messages on the others.
#[cfg(feature = "fuzz")]
pub(crate) fn feed(printed: &[u8]) {
    let mut lines = printed.split(|byte| *byte == b'\n');
    let catalog = lines.next().and_then(|line| Catalog::parse(line).ok());
    let Some(entry) = catalog.as_ref().and_then(|catalog| catalog.streams().first()) else { return };
    let mut reading = Reading {
        id: entry.id.clone(),
        stream: entry.stream.clone(),
        pager: Pager::new(&entry.id, entry.fields.clone(), &entry.keys),
        position: Position::default(),
        from_start: false,
        whole: Whole::No,
        announced: false,
        other: 0,
    };
    for line in lines {
        if reading.line(line).is_err() {
            break;
        }
    }
    drop(reading.pager.take());
}
