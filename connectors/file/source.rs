//! The source: one stream, `records`, of all the files a pattern names.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, RecordBatch, StringArray};
use async_trait::async_trait;
use futures::StreamExt;
use headwater_model::checkpoint::Checkpoint;
use headwater_model::mapping::Role;
use headwater_sdk::{BuildContext, Error, ErrorKind, EventStream, Result, Source, SourceEvent, StreamSpec};
use tempfile::NamedTempFile;
use tokio::sync::mpsc::Sender;

use super::config::FileSource;
use super::header::MAX_COLUMNS;
use super::input::{self, Input, Kind};
use super::paths::{self, Found};
use super::position::{FileState, Position, Stamp};
use super::presets;
use super::remote::{self, Remote};
use super::rows::{Opened, PAGE_ROWS, Rows};
use super::{csv, encoding, jsonl, parquet, xlsx};

/// How many events wait between the reading thread and who takes them: the next page is read while one is worked on.
const EVENTS_AHEAD: usize = 2;
/// How many files the notes tell of one by one.
const MAX_NOTED_FILES: usize = 20;
/// How many files of an object store are looked into before a read, the newest first.
const MAX_SURVEYED_FILES: usize = 50;
/// Parts the values of a key of several columns; it stands in no text a person types.
const KEY_SEPARATOR: &str = "\u{1f}";

/// The files of one connection.
#[derive(Debug, Clone)]
pub(super) struct Files {
    config: Arc<FileSource>,
    base: PathBuf,
    /// The object store they lie in, when it is not the project's disk.
    remote: Option<Arc<Remote>>,
}

impl Files {
    /// A source of the files that `config` names; settings that contradict themselves are refused here.
    pub(super) fn new(config: FileSource, cx: &BuildContext) -> Result<Self> {
        config.declared_encoding()?;
        config.wanted()?;
        let remote = remote::is_remote(&config.path).then(|| Remote::new(&config.path, &config.storage, cx)).transpose()?;
        Ok(Self { config: Arc::new(config), base: cx.base_dir.clone(), remote: remote.map(Arc::new) })
    }

    /// The files that the path names, sorted by name.
    fn find(&self) -> Result<Vec<(Found, Option<Stamp>)>> {
        let Some(remote) = &self.remote else {
            return Ok(paths::find(&self.base, &self.config.path)?.into_iter().map(|file| (file, None)).collect());
        };
        let found = wait(remote.find())?;
        if found.is_empty() {
            return Err(Error::new(ErrorKind::Config, format!("no file matches `{}`", self.config.path)).context("path", "path"));
        }
        Ok(found.into_iter().map(|(name, stamp)| (Found { name, path: PathBuf::new() }, Some(stamp))).collect())
    }

    /// The file where it can be opened. A file of an object store is copied, up to its first `most` bytes.
    fn local(&self, file: &Found, stamp: &Stamp, most: u64) -> Result<(Found, Option<NamedTempFile>)> {
        let Some(remote) = &self.remote else { return Ok((file.clone(), None)) };
        let copy = wait(remote.fetch(&file.name, stamp, most))?;
        Ok((Found { name: file.name.clone(), path: copy.path().to_owned() }, Some(copy)))
    }

    /// The column names of a file, and what to know about how it is read.
    fn head(&self, file: &Found, stamp: Option<&Stamp>) -> Result<Opened> {
        let Some(stamp) = stamp else { return open(&self.config, file, &Arc::default(), Depth::Head) };
        // Other formats keep their column names elsewhere, or cannot be unpacked in part.
        let is_plain = [".csv", ".txt", ".tsv", ".tab", ".jsonl", ".ndjson"].iter().any(|ending| file.name.ends_with(ending));
        let (local, copy) = self.local(file, stamp, if is_plain { remote::HEAD_BYTES } else { u64::MAX })?;
        let opened = open(&self.config, &local, &Arc::default(), Depth::Head);
        drop(copy);
        opened
    }

    /// What the files look like, without reading them.
    fn survey(&self) -> Result<StreamSpec> {
        let mut fields: Vec<String> = Vec::new();
        let mut notes: Vec<String> = Vec::new();
        let mut files = self.find()?;
        let all = files.len();
        if self.remote.is_some() {
            files.sort_by_key(|(_, stamp)| std::cmp::Reverse(stamp.as_ref().map(|stamp| stamp.mtime_us)));
            files.truncate(MAX_SURVEYED_FILES);
        }
        let mut unreadable = None;
        for (file, stamp) in &files {
            let opened = match self.head(file, stamp.as_ref()) {
                Ok(opened) => opened,
                Err(error) if is_of_one_file(&error) => {
                    notes.push(format!("{} cannot be read: {error}", file.name));
                    unreadable.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if notes.len() < MAX_NOTED_FILES {
                notes.push(format!("{}: {}", file.name, opened.notes.join(", ")));
            }
            for field in opened.fields {
                if !fields.contains(&field) {
                    fields.push(field);
                }
            }
            if fields.len() > MAX_COLUMNS {
                return Err(Error::new(ErrorKind::Input, format!("the files have more than {MAX_COLUMNS} columns together"))
                    .hint("read files of different kinds by connections of their own"));
            }
        }
        if let Some(error) = unreadable.filter(|_| fields.is_empty()) {
            return Err(error);
        }
        if all > notes.len() {
            notes.push(format!("and {} more files", all - notes.len()));
        }
        let presets::Reading { name, why, mapping, origin, vendor, key: _, mender: _, note } =
            presets::read(self.config.preset, &fields)?;
        notes.push(format!("preset {name} ({why}): {} of {} columns mapped", mapped(&mapping.0, &fields), fields.len()));
        notes.extend(note.map(str::to_owned));
        Ok(StreamSpec {
            name: "records".to_owned(),
            role: Role::Leads,
            origin,
            fields,
            mapping,
            vendor: vendor.map(str::to_owned),
            whole: self.config.whole,
            notes: Some(notes.join("\n")),
        })
    }
}

fn mapped(rules: &std::collections::BTreeMap<String, headwater_model::mapping::FieldRule>, fields: &[String]) -> usize {
    fields.iter().filter(|field| rules.values().any(|rule| rule.from.contains(field))).count()
}

#[async_trait]
impl Source for Files {
    async fn check(&self) -> Result<()> {
        self.streams().await.map(|_| ())
    }

    async fn streams(&self) -> Result<Vec<StreamSpec>> {
        let files = self.clone();
        let spec = tokio::task::spawn_blocking(move || files.survey()).await.map_err(|error| stopped(&error))?;
        Ok(vec![spec?])
    }

    async fn read(&self, stream: &StreamSpec, from: Option<Checkpoint>) -> Result<EventStream> {
        let _ = stream;
        let files = self.clone();
        let (give, take) = tokio::sync::mpsc::channel(EVENTS_AHEAD);
        let reader = tokio::task::spawn_blocking(move || pump(&files, from, &give));
        let events = futures::stream::unfold((take, Some(reader)), |(mut take, mut reader)| async move {
            if let Some(event) = take.recv().await {
                return Some((event, (take, reader)));
            }
            let error = reader.take()?.await.err()?;
            Some((Err(stopped(&error)), (take, reader)))
        });
        Ok(events.boxed())
    }
}

/// Reads and gives events until the end, an error, or until nobody wants more; says how many were taken.
pub(super) fn pump(files: &Files, from: Option<Checkpoint>, give: &Sender<Result<SourceEvent>>) -> usize {
    let mut reading = match Reading::start(files, from) {
        Ok(reading) => reading,
        Err(error) => return usize::from(give.blocking_send(Err(error)).is_ok()),
    };
    let mut taken = 0;
    while let Some(event) = reading.next().transpose() {
        let failed = event.is_err();
        if give.blocking_send(event).is_err() {
            break;
        }
        taken += 1;
        if failed {
            break;
        }
    }
    taken
}

/// Waits for an answer of an object store on the thread that reads files.
fn wait<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Handle::try_current()
        .map_err(|error| Error::new(ErrorKind::Internal, "an object store is read outside of a runtime").source(error))?;
    runtime.block_on(answer)
}

/// Whether what is wrong is wrong with one file, so that the others can be read.
fn is_of_one_file(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Config | ErrorKind::Input | ErrorKind::Unsupported | ErrorKind::Unavailable)
}

fn stopped(error: &tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, format!("reading files ended in a bug: {error}"))
}

/// How much of a file is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Its column names.
    Head,
    /// All of it.
    Whole,
}

fn open(config: &FileSource, file: &Found, consumed: &Arc<AtomicU64>, depth: Depth) -> Result<Opened> {
    let Found { name, path } = file;
    let input = Input::of(path, name, config.format)?;
    let text = || -> Result<(Box<dyn std::io::Read + Send>, String)> {
        encoding::decode(input.open(path, name, consumed)?, config.declared_encoding()?, name)
    };
    let noted = |mut opened: Opened, note: String| {
        opened.notes.insert(0, note);
        opened
    };
    match input.kind {
        Kind::Csv | Kind::Tsv => {
            let mut wanted = config.wanted()?;
            if input.kind == Kind::Tsv && wanted.delimiter.is_none() {
                wanted.delimiter = Some(b'\t');
            }
            let (text, note) = text()?;
            Ok(noted(csv::open(text, name, wanted)?, note))
        }
        Kind::Jsonl => {
            let (text, note) = text()?;
            Ok(noted(jsonl::open(text, name)?, note))
        }
        Kind::Xlsx => xlsx::open(path, name, config.sheet.as_deref(), config.wanted()?.header_line, depth),
        Kind::Parquet => parquet::open(path, name, consumed),
    }
}

/// A read in progress: a plain iterator over blocking files.
pub(super) struct Reading {
    config: Arc<FileSource>,
    source: Files,
    files: VecDeque<(Found, Stamp)>,
    position: Position,
    current: Option<Current>,
    /// The file that is read or opened, for messages.
    name: String,
    /// Where the files are read as a whole: whether this read goes on from one that was broken off.
    whole: Option<bool>,
    /// What was wrong with the first file that could not be read; it is told when the others are read.
    failed: Option<Error>,
    /// Bytes of the files behind us, and of all that are not skipped.
    behind: u64,
    total: u64,
    consumed: Arc<AtomicU64>,
}

struct Current {
    file: Found,
    stamp: Stamp,
    /// The copy of a file of an object store: it goes with its last reader.
    copy: Option<NamedTempFile>,
    blake3: String,
    rows: Box<dyn Rows>,
    key: Vec<String>,
    mender: presets::Mender,
    done: u64,
    /// Records that a former read has given already.
    skip: u64,
    since_checkpoint: u64,
}

impl Reading {
    /// Begins after `from`.
    pub(super) fn start(files: &Files, from: Option<Checkpoint>) -> Result<Self> {
        let mut position = Position::from(from, files.config.reading())?;
        let found = files.find()?;
        let found: Vec<_> = found
            .into_iter()
            .map(|(file, stamp)| {
                let stamp = stamp.map_or_else(|| Stamp::of(&file.path), Ok);
                let stamp = stamp.map_err(|error| input::unreadable(&file.name, error));
                (file, stamp)
            })
            .collect();
        let stamps = found.iter().map(|(file, stamp)| (file.name.as_str(), stamp.as_ref().ok()));
        let whole = if files.config.whole { position.begin_whole(stamps) } else { None };
        position.forget(|name| found.binary_search_by(|(file, _)| file.name.as_str().cmp(name)).is_ok());
        let mut queue = VecDeque::new();
        let mut total = 0;
        let mut failed = None;
        for (file, stamp) in found {
            match stamp {
                Ok(stamp) if position.is_done(&file.name, &stamp) => {}
                Ok(stamp) => {
                    total += stamp.size;
                    queue.push_back((file, stamp));
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let (config, source, name) = (Arc::clone(&files.config), files.clone(), String::new());
        let consumed = Arc::default();
        Ok(Self { config, source, files: queue, position, current: None, name, whole, failed, behind: 0, total, consumed })
    }

    /// The next page or checkpoint. A file that cannot be read is named and passed over, and is an error once the others are read.
    pub(super) fn next(&mut self) -> Result<Option<SourceEvent>> {
        loop {
            match self.step() {
                Err(error) if is_of_one_file(&error) => {
                    tracing::warn!(file = self.name, error = %error, "file cannot be read and is passed over");
                    self.current = None;
                    self.failed.get_or_insert(error);
                }
                Ok(None) if self.failed.is_none() => return self.end(),
                Ok(None) => return self.failed.take().map_or(Ok(None), Err),
                other => return other,
            }
        }
    }

    /// What follows the last file: that there are no others, where they are read as a whole.
    fn end(&mut self) -> Result<Option<SourceEvent>> {
        if let Some(resumed) = self.whole.take() {
            return Ok(Some(SourceEvent::Whole { resumed, shifting: false }));
        }
        if !std::mem::take(&mut self.position.open) {
            return Ok(None);
        }
        self.position.checkpoint().map(|checkpoint| Some(SourceEvent::Checkpoint(checkpoint)))
    }

    fn step(&mut self) -> Result<Option<SourceEvent>> {
        loop {
            let Some(current) = &mut self.current else {
                let Some((file, stamp)) = self.files.pop_front() else { return Ok(None) };
                self.name.clone_from(&file.name);
                self.current = self.begin(&file, stamp)?;
                continue;
            };
            if current.since_checkpoint >= self.config.checkpoint_rows.get() {
                current.since_checkpoint = 0;
                let (name, state) = current.state(false);
                self.position.files.insert(name, state);
                return self.position.checkpoint().map(|checkpoint| Some(SourceEvent::Checkpoint(checkpoint)));
            }
            let most = if current.skip > 0 { current.skip } else { self.config.checkpoint_rows.get() - current.since_checkpoint };
            let most = usize::try_from(most).unwrap_or(PAGE_ROWS).min(PAGE_ROWS);
            let Some(page) = current.rows.next(most)? else {
                return self.finish().map(Some);
            };
            let records = (page.rows() + page.refused.len()) as u64;
            if current.skip > 0 {
                current.skip = current.skip.saturating_sub(records);
                continue;
            }
            current.done += records;
            current.since_checkpoint += records;
            let mut page = current.mender.mend(page)?;
            page.keys = keys(&page.fields, &current.key);
            page.progress = Some((self.behind + self.consumed.load(Ordering::Relaxed).min(current.stamp.size), self.total));
            return Ok(Some(SourceEvent::Page(page)));
        }
    }

    /// Opens a file, unless its content is known.
    fn begin(&mut self, file: &Found, stamp: Stamp) -> Result<Option<Current>> {
        let (file, copy) = self.source.local(file, &stamp, u64::MAX)?;
        let blake3 = input::hash(&file.path, &file.name)?;
        if let Some(known) = self.position.done_as(&blake3).map(str::to_owned) {
            if known != file.name {
                tracing::info!(file = file.name, known, "file has the content of one already read and is passed over");
            }
            let done = self.position.files.get(&known).map_or(0, |state| state.rows_done);
            self.behind += stamp.size;
            let Stamp { size, mtime_us, etag } = stamp;
            let state = FileState { size, mtime_us, etag, blake3, rows_done: done, complete: true };
            self.position.files.insert(file.name, state);
            return Ok(None);
        }
        let done = self.position.rows_done(&file.name, &blake3);
        self.consumed.store(0, Ordering::Relaxed);
        let Opened { fields, notes, rows } = open(&self.config, &file, &self.consumed, Depth::Whole)?;
        tracing::info!(file = file.name, notes = notes.join(", "), skipped = done, "reading file");
        let presets::Reading { key, mender, .. } = presets::read(self.config.preset, &fields)?;
        let key = self.key(&file.name, &fields, key)?;
        Ok(Some(Current { file, stamp, copy, blake3, rows, key, mender, done, skip: done, since_checkpoint: 0 }))
    }

    fn key(&self, file: &str, fields: &[String], vendors: Option<String>) -> Result<Vec<String>> {
        if self.config.key.is_empty() {
            return Ok(vendors.into_iter().collect());
        }
        match self.config.key.iter().find(|column| !fields.contains(column)) {
            None => Ok(self.config.key.clone()),
            Some(missing) => Err(Error::new(ErrorKind::Config, format!("{file} has no column `{missing}`"))
                .context("path", "key")
                .hint(format!("its columns are: {}", fields.join(", ")))),
        }
    }

    fn finish(&mut self) -> Result<SourceEvent> {
        let Some(current) = self.current.take() else {
            return Err(Error::new(ErrorKind::Internal, "a file ended that was not begun"));
        };
        let now = Stamp::of(&current.file.path).map_err(|error| input::unreadable(&current.file.name, error))?;
        // A copy does not change: the store gives no part of another version.
        if current.copy.is_none() && now != current.stamp {
            return Err(Error::new(ErrorKind::Unavailable, format!("{} changed while it was read", current.file.name))
                .hint("run again when it is written completely; write elsewhere and move the file in when it is done"));
        }
        self.behind += current.stamp.size;
        let (name, state) = current.state(true);
        self.position.files.insert(name, state);
        self.position.checkpoint().map(SourceEvent::Checkpoint)
    }
}

impl Current {
    fn state(&self, complete: bool) -> (String, FileState) {
        let Stamp { size, mtime_us, etag } = self.stamp.clone();
        (self.file.name.clone(), FileState { size, mtime_us, etag, blake3: self.blake3.clone(), rows_done: self.done, complete })
    }
}

/// The keys of a page; none for a record in which any part of the key is empty.
fn keys(fields: &RecordBatch, columns: &[String]) -> Option<StringArray> {
    let columns: Option<Vec<&StringArray>> =
        columns.iter().map(|name| fields.column_by_name(name)?.as_any().downcast_ref::<StringArray>()).collect();
    let columns = columns.filter(|columns| !columns.is_empty())?;
    fn part(value: Option<&str>) -> Option<&str> {
        value.map(str::trim).filter(|value| !value.is_empty())
    }
    if let [column] = columns.as_slice() {
        return Some(column.iter().map(part).collect());
    }
    let key = |row: usize| -> Option<String> {
        let value = |column: &&StringArray| (!column.is_null(row)).then(|| column.value(row).to_owned());
        let parts: Option<Vec<String>> = columns.iter().map(|column| part(value(column).as_deref()).map(str::to_owned)).collect();
        Some(parts?.join(KEY_SEPARATOR))
    };
    Some((0..fields.num_rows()).map(key).collect())
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("waiting", &self.files.len()).field("total", &self.total).finish_non_exhaustive()
    }
}
