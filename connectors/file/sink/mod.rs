//! Keeps one line per prospect in a CSV or JSON-lines file.
//!
//! Purpose: a delivery that anybody can open, and the sink that needs no account anywhere.
//!
//! Invariants:
//! - The file is replaced whole, by a rename: a reader sees the old or the new state, and a full disk or a crash leaves the old.
//! - Lines and columns that a call does not name are carried over as they stand, also those that people added.
//! - A call holds its own rows and the lines they meet in memory, never the file.

mod lines;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use headwater_sdk::sink::{EXTERNAL_ID, Fields, by_external_id};
use headwater_sdk::{
    BuildContext, DeliveryRow, Error, ErrorKind, Lookup, MatchKey, Operation, RemoteRecord, Removal, Result, Retry, RowOutcome,
    Sink, SinkCapability, WriteReport,
};
use schemars::JsonSchema;
use serde::Deserialize;

use lines::{Line, Out};

/// The column that holds our id.
const KEY: &str = "headwater_id";
/// Each call rewrites the file once, so a call is made worth it; its rows are held in memory.
const MAX_ROWS: usize = 10_000;

/// Where and how to write.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SinkConfig {
    /// The file, relative to the project's folder. It and its folders are made when they are not there.
    path: PathBuf,
    /// How the file is written; `auto` goes by the name's ending.
    #[serde(default)]
    format: SinkFormat,
    /// What happens to a prospect that the file already has.
    #[serde(default)]
    #[expect(dead_code, reason = "there is one mode yet; the key says which")]
    mode: SinkMode,
    /// The columns that come first, in this order, and are there even when empty; further fields follow, sorted.
    #[serde(default)]
    columns: Vec<String>,
    /// Puts `'` before a CSV cell that a spreadsheet would run as a formula. Numbers such as `+33 1 23 45` are left alone.
    #[serde(default)]
    escape_formulas: bool,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SinkFormat {
    /// CSV for `.csv`, JSON lines for `.jsonl` and `.ndjson`.
    #[default]
    Auto,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object per line.
    Jsonl,
}

/// What happens to a prospect that the file already has.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SinkMode {
    /// Its line is changed.
    #[default]
    Upsert,
}

/// A file as a sink.
#[derive(Debug)]
pub(crate) struct FileSink(Arc<Target>);

#[derive(Debug)]
struct Target {
    path: PathBuf,
    /// The path as the user wrote it.
    shown: String,
    json: bool,
    columns: Vec<String>,
    escape: bool,
}

impl FileSink {
    /// # Errors
    /// `Config` when the format cannot be told or a column is named twice.
    pub(crate) fn new(config: SinkConfig, cx: &BuildContext) -> Result<Self> {
        let SinkConfig { path, format, mode: _, columns, escape_formulas } = config;
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let json = match (format, ending.to_ascii_lowercase().as_str()) {
            (SinkFormat::Csv, _) | (SinkFormat::Auto, "csv") => false,
            (SinkFormat::Jsonl, _) | (SinkFormat::Auto, "jsonl" | "ndjson") => true,
            (SinkFormat::Auto, _) => {
                return Err(Error::new(ErrorKind::Config, "the name does not tell the file's format")
                    .context("path", path.display().to_string())
                    .hint("end it in .csv or .jsonl, or set `format: csv` or `format: jsonl`"));
            }
        };
        let mut seen = HashSet::from([KEY]);
        if let Some(column) = columns.iter().find(|column| !seen.insert(column.as_str())) {
            return Err(Error::new(ErrorKind::Config, format!("`columns` names `{column}` twice"))
                .hint(format!("`{KEY}` is always the first column and is not named")));
        }
        let shown = path.display().to_string();
        Ok(Self(Arc::new(Target { path: cx.path(&path), shown, json, columns, escape: escape_formulas })))
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Target) -> Result<T> + Send + 'static) -> Result<T> {
        let target = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&target))
            .await
            .unwrap_or_else(|error| Err(Error::new(ErrorKind::Internal, "the file's writer stopped").source(error)))
    }
}

#[async_trait]
impl Sink for FileSink {
    fn capability(&self) -> SinkCapability {
        SinkCapability { max_rows: MAX_ROWS, lookup: true, calls_per_row: 0 }
    }

    async fn check(&self) -> Result<()> {
        self.blocking(|target| {
            drop(target.lock()?);
            target.header().map(|_| ())
        })
        .await
    }

    async fn lookup(&self, rows: &[Vec<MatchKey>]) -> Result<Vec<Lookup>> {
        let rows = rows.to_vec();
        self.blocking(move |target| target.lookup(&rows)).await
    }

    async fn fetch(&self, remote_id: &str) -> Result<Option<RemoteRecord>> {
        Ok(self.fetch_all(&[remote_id.to_owned()]).await?.pop().flatten())
    }

    async fn fetch_all(&self, remote_ids: &[String]) -> Result<Vec<Option<RemoteRecord>>> {
        by_external_id(self, remote_ids).await
    }

    async fn write(&self, rows: &[DeliveryRow]) -> Result<WriteReport> {
        let owned = rows.to_vec();
        let outcomes = self.blocking(move |target| target.write(&owned)).await?;
        WriteReport::new(rows.len(), outcomes)
    }

    fn removes(&self) -> bool {
        true
    }

    async fn remove(&self, remote_ids: &[String]) -> Result<Vec<Removal>> {
        let owned = remote_ids.to_vec();
        self.blocking(move |target| target.remove(&owned)).await
    }
}

/// One person's line, as a call finds it and leaves it.
#[derive(Default)]
struct Entry {
    fields: Fields,
    /// How many lines of the file hold this id.
    lines: usize,
    dirty: bool,
}

impl Target {
    fn write(&self, rows: &[DeliveryRow]) -> Result<Vec<RowOutcome>> {
        if rows.iter().any(|row| row.fields.contains_key(KEY)) {
            return Err(Error::new(ErrorKind::Config, format!("the field `{KEY}` is the sink's own"))
                .hint("give the field in `map` another name"));
        }
        let lock = self.lock()?;
        let mut entries: HashMap<&str, Entry> = rows.iter().map(|row| (id_of(row), Entry::default())).collect();
        let header = self.scan(|line| {
            if let Some(entry) = entries.get_mut(line.id()) {
                entry.lines += 1;
                entry.fields = line.fields()?;
            }
            Ok(())
        })?;
        let outcomes = rows.iter().map(|row| self.apply(&mut entries, row)).collect();
        if entries.values().any(|entry| entry.dirty) {
            self.rewrite(header, rows, &entries)?;
        }
        drop(lock);
        Ok(outcomes)
    }

    /// Works one row into the entries, and says what becomes of it once they are written.
    fn apply(&self, entries: &mut HashMap<&str, Entry>, row: &DeliveryRow) -> RowOutcome {
        let rejected = |reason: &str| RowOutcome::Rejected { reason: reason.to_owned() };
        let remote_id = id_of(row).to_owned();
        let Some(entry) = entries.get_mut(remote_id.as_str()) else {
            return rejected("the row has no entry");
        };
        // Dirty without a line: an earlier row of this call made it.
        let present = entry.lines > 0 || entry.dirty;
        match (&row.operation, entry.lines) {
            (_, 2..) => {
                return rejected("the file has several lines with this id: remove all but one");
            }
            (Operation::Update { .. }, _) if !present => {
                return rejected("the record is gone: the file has no line with this id");
            }
            (Operation::Create | Operation::Update { .. }, _) => {}
        }
        let mut changed = false;
        for (field, value) in &row.fields {
            // CSV has one sign for empty and for nothing.
            let value = value.clone().filter(|value| self.json || !value.is_empty());
            if entry.fields.get(field).cloned().flatten() != value {
                changed = true;
            }
            entry.fields.insert(field.clone(), value);
        }
        entry.dirty |= changed || !present;
        match (present, changed) {
            (false, _) => RowOutcome::Created { remote_id },
            (true, true) => RowOutcome::Updated { remote_id },
            (true, false) => RowOutcome::Unchanged { remote_id },
        }
    }

    /// Writes the file anew without these lines.
    fn remove(&self, ids: &[String]) -> Result<Vec<Removal>> {
        let lock = self.lock()?;
        let wanted: HashSet<&str> = ids.iter().map(String::as_str).filter(|id| !id.is_empty()).collect();
        let mut there: HashSet<String> = HashSet::new();
        let header = self.scan(|line| {
            if wanted.contains(line.id()) {
                there.insert(line.id().to_owned());
            }
            Ok(())
        })?;
        if !there.is_empty() {
            let order = if header.is_empty() { self.order(BTreeSet::new()) } else { header };
            self.replace(|file| {
                let mut out = Out::new(self, file, &order).map_err(|error| self.failed(error))?;
                self.scan(
                    |line| {
                        if there.contains(line.id()) { Ok(()) } else { out.copy(&line).map_err(|error| self.failed(error)) }
                    },
                )?;
                out.flush().map_err(|error| self.failed(error))
            })?;
        }
        drop(lock);
        Ok(ids.iter().map(|id| if there.contains(id) { Removal::Removed } else { Removal::Gone }).collect())
    }

    fn rewrite(&self, header: Vec<String>, rows: &[DeliveryRow], entries: &HashMap<&str, Entry>) -> Result<()> {
        let dirty = entries.values().filter(|entry| entry.dirty);
        let fields = dirty.flat_map(|entry| entry.fields.keys().cloned()).chain(header);
        let order = self.order(fields.collect());
        self.replace(|file| {
            let mut out = Out::new(self, file, &order).map_err(|error| self.failed(error))?;
            self.scan(|line| {
                match entries.get(line.id()).filter(|entry| entry.dirty) {
                    Some(entry) => out.put(line.id(), &entry.fields),
                    None => out.copy(&line),
                }
                .map_err(|error| self.failed(error))
            })?;
            let mut made = HashSet::new();
            for id in rows.iter().map(id_of) {
                if let Some(entry) = entries.get(id).filter(|entry| entry.dirty && entry.lines == 0)
                    && made.insert(id)
                {
                    out.put(id, &entry.fields).map_err(|error| self.failed(error))?;
                }
            }
            out.flush().map_err(|error| self.failed(error))
        })
    }

    /// Our id, the columns in the user's order, the rest sorted.
    fn order(&self, mut fields: BTreeSet<String>) -> Vec<String> {
        let first = std::iter::once(KEY).chain(self.columns.iter().map(String::as_str));
        let mut order: Vec<String> = first.map(str::to_owned).collect();
        for column in &order {
            fields.remove(column);
        }
        order.extend(fields);
        order
    }

    /// Writes a new file beside the old one and puts it in its place.
    fn replace(&self, body: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        // A link is followed, so that its target is replaced and not the link.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let temporary = beside(&path, "tmp");
        let written = (|| {
            let file = fs::File::create(&temporary).map_err(|error| self.failed(error))?;
            let mut buffer = BufWriter::new(&file);
            body(&mut buffer)?;
            buffer.flush().map_err(|error| self.failed(error))?;
            drop(buffer);
            self.settle(&file, &temporary, &path).map_err(|error| self.failed(error))
        })();
        if written.is_err() {
            // It failed already; a temporary file that stays is overwritten by the next call.
            drop(fs::remove_file(&temporary));
        }
        written
    }

    fn settle(&self, file: &fs::File, temporary: &Path, path: &Path) -> io::Result<()> {
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()?;
        fs::rename(temporary, path)?;
        match path.parent().map(fs::File::open) {
            Some(Ok(folder)) => folder.sync_all(),
            // Some systems do not open folders; there the rename is as durable as it gets.
            Some(Err(_)) | None => Ok(()),
        }
    }

    /// Keeps every other writer away until the handle is dropped. Makes the folder.
    fn lock(&self) -> Result<fs::File> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(|error| self.failed(error))?;
        }
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(beside(&path, "lock"))
            .map_err(|error| self.failed(error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::Error(error)) => Err(self.failed(error)),
            Err(TryLockError::WouldBlock) => {
                Err(self.error(ErrorKind::Conflict, "another run writes this file").retry(Retry::Backoff))
            }
        }
    }

    fn lookup(&self, rows: &[Vec<MatchKey>]) -> Result<Vec<Lookup>> {
        let mut found: HashMap<(&str, String), (usize, Option<RemoteRecord>)> =
            rows.iter().flatten().filter(|key| !key.value.is_empty()).map(|key| (folded(key), (0, None))).collect();
        let fields: BTreeSet<&str> = found.keys().map(|(field, _)| *field).collect();
        self.scan(|line| {
            // A line that a person added has no id by which it could be changed.
            if line.id().is_empty() {
                return Ok(());
            }
            let cells = line.fields()?;
            for field in &fields {
                let value = match *field {
                    EXTERNAL_ID => Some(line.id()),
                    field => cells.get(field).and_then(Option::as_deref),
                };
                let Some(value) = value else { continue };
                if let Some((count, record)) = found.get_mut(&(*field, fold(field, value))) {
                    *count += 1;
                    record.get_or_insert_with(|| RemoteRecord {
                        remote_id: line.id().to_owned(),
                        fields: cells.clone(),
                        matched_on: (*field).to_owned(),
                    });
                }
            }
            Ok(())
        })?;
        let answer = |keys: &Vec<MatchKey>| {
            let mut hits = keys.iter().filter_map(|key| found.get(&folded(key)));
            match hits.find(|(count, _)| *count > 0) {
                Some((1, Some(record))) => Lookup::Found(record.clone()),
                Some((count, _)) => Lookup::Ambiguous(*count),
                None => Lookup::Absent,
            }
        };
        Ok(rows.iter().map(answer).collect())
    }

    fn failed(&self, error: io::Error) -> Error {
        use io::ErrorKind as Io;
        let (kind, what, hint) = match error.kind() {
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => {
                (ErrorKind::Unavailable, "the disk is full", "free some space; the file still holds what it held before")
            }
            Io::PermissionDenied | Io::ReadOnlyFilesystem => (
                ErrorKind::Config,
                "the file or its folder may not be written",
                "give this user the right to write there, or choose another `path`",
            ),
            _ => (ErrorKind::Unavailable, "the file cannot be written or read", "the file still holds what it held before"),
        };
        self.error(kind, what).hint(hint).source(error)
    }

    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, message).context("file", self.shown.clone())
    }
}

/// Reading.
impl Target {
    /// Shows every line to `visit` and gives the header; a file that is not there has neither.
    fn scan(&self, mut visit: impl FnMut(Line<'_>) -> Result<()>) -> Result<Vec<String>> {
        let file = match fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(error)),
        };
        if self.json { self.scan_json(file, &mut visit) } else { self.scan_csv(file, &mut visit) }
    }

    fn scan_csv(&self, file: fs::File, visit: &mut dyn FnMut(Line<'_>) -> Result<()>) -> Result<Vec<String>> {
        let mut reader = ::csv::Reader::from_reader(file);
        let header: Vec<String> = reader.headers().map_err(|error| self.unreadable(&error))?.iter().map(str::to_owned).collect();
        if header.is_empty() {
            return Ok(header);
        }
        let Some(key) = header.iter().position(|name| name == KEY) else {
            return Err(self.foreign());
        };
        let mut seen = HashSet::new();
        if let Some(name) = header.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(self
                .error(ErrorKind::Input, format!("the file has the column `{name}` twice"))
                .hint("remove one of them, or choose another `path`"));
        }
        let mut record = ::csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| self.unreadable(&error))? {
            visit(Line::Csv { header: &header, key, record: &record, escaped: self.escape })?;
        }
        Ok(header)
    }

    fn scan_json(&self, file: fs::File, visit: &mut dyn FnMut(Line<'_>) -> Result<()>) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Keyed<'a> {
            #[serde(borrow, default)]
            headwater_id: Option<Cow<'a, str>>,
        }
        for (index, text) in BufReader::new(file).lines().enumerate() {
            let text = text.map_err(|error| self.failed(error))?;
            if text.trim().is_empty() {
                continue;
            }
            let line: Keyed<'_> = serde_json::from_str(&text).map_err(|_| self.broken(u64::try_from(index).unwrap_or(0) + 1))?;
            visit(Line::Json { id: line.headwater_id.unwrap_or_default(), text: &text })?;
        }
        Ok(Vec::new())
    }

    /// Says whether the file that stands there is one of ours.
    fn header(&self) -> Result<Vec<String>> {
        self.scan(|_| Ok(()))
    }

    fn unreadable(&self, error: &::csv::Error) -> Error {
        match (error.kind(), error.position()) {
            (::csv::ErrorKind::Io(io), _) => self.failed(io::Error::from(io.kind())),
            (_, Some(position)) => self.broken(position.line()),
            (_, None) => self.broken(1),
        }
    }

    fn broken(&self, line: u64) -> Error {
        self.error(ErrorKind::Input, "the file that stands there cannot be read as what we wrote")
            .context("line", line.to_string())
            .hint("mend or remove that line, or move the file away: the next run writes a new one")
    }

    fn foreign(&self) -> Error {
        self.error(ErrorKind::Config, format!("the file that stands there has no column `{KEY}`: it is not ours"))
            .hint("choose another `path`, or move the file away")
    }
}

/// The id of the line that a row means.
fn id_of(row: &DeliveryRow) -> &str {
    match &row.operation {
        Operation::Create => &row.prospect_id,
        Operation::Update { remote_id } => remote_id,
    }
}

/// A hidden file beside `path`, on the same disk.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{ending}"))
}

fn folded(key: &MatchKey) -> (&str, String) {
    (&key.field, fold(&key.field, &key.value))
}

/// The form in which two values are compared: addresses differ by case in spelling only.
fn fold(field: &str, value: &str) -> String {
    if field == "email" { value.trim().to_lowercase() } else { value.to_owned() }
}
