//! A plan that was saved, and is applied only if everything still stands as it did then.
//!
//! It is a file of lines, written while the plan is made and read while it is made again, so that neither holds it as a whole: a header,
//! then for each part of each sink a line that names it and a line for each row, in the order of ids, and at the end how many rows there
//! are. A line that names a list with `leaving` begins those who leave it.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::plan::PlannedRow;
use super::taker::Taker;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// The version of a saved plan's shape. The first was one JSON document.
const VERSION: u32 = 2;
/// The longest line that is written or read: far more than the fields of one record have.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;
/// The most parts of sinks that a plan has; a project has a handful.
const MAX_PARTS: usize = 4_096;

/// What is read of any line. Which of these it has says what it is.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    version: Option<u32>,
    #[serde(borrow)]
    made_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sink: Option<Cow<'a, str>>,
    leaving: Option<bool>,
    #[serde(borrow)]
    prospect_id: Option<Cow<'a, str>>,
    rows: Option<u64>,
    fields_to_make: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Header {
    version: u32,
    made_at: String,
}

#[derive(Serialize)]
struct PartLine<'a> {
    sink: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    leaving: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    fields_to_make: &'a [String],
}

#[derive(Serialize)]
struct End {
    rows: u64,
}

/// A plan that is being saved. It comes to stand in its file when it is whole, or not at all.
#[derive(Debug)]
pub struct PlanFile {
    path: PathBuf,
    draft: BufWriter<tempfile::NamedTempFile>,
    line: Vec<u8>,
    sink: String,
    leaving: bool,
    rows: u64,
}

impl PlanFile {
    /// Begins a plan that only this user can read: it names people and their data.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(engine: &Engine, path: &Path) -> Result<Self> {
        if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(Error::Usage(format!("{} is no file; name one for the plan", path.display())));
        }
        // Through a link to where it leads.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".headwater-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600));
        let draft = builder.tempfile_in(folder).map_err(|source| file_error(&path, "written", source))?;
        let mut file =
            Self { path, draft: BufWriter::new(draft), line: Vec::new(), sink: String::new(), leaving: false, rows: 0 };
        file.put(&Header { version: VERSION, made_at: engine.clock().now().to_string() })?;
        Ok(file)
    }

    /// Puts the whole plan where it belongs, durably.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.put(&End { rows: self.rows })?;
        let Self { path, draft, .. } = self;
        let keep = || -> io::Result<()> {
            let draft = draft.into_inner().map_err(io::IntoInnerError::into_error)?;
            draft.as_file().sync_all()?;
            draft.persist(&path).map_err(|error| error.error)?;
            #[cfg(unix)]
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                File::open(folder)?.sync_all()?;
            }
            Ok(())
        };
        keep().map_err(|source| file_error(&path, "written", source))
    }

    fn put(&mut self, line: &impl Serialize) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line).map_err(|error| Error::Internal(error.to_string()))?;
        if self.line.len() >= MAX_LINE_BYTES {
            let what =
                format!("a row of `{}` is longer than the {MAX_LINE_BYTES} bytes that a saved plan holds of one", self.sink);
            return Err(Error::Usage(what));
        }
        self.line.push(b'\n');
        self.draft.write_all(&self.line).map_err(|source| file_error(&self.path, "written", source))
    }

    fn put_part(&mut self, fields_to_make: &[String]) -> Result<()> {
        let sink = std::mem::take(&mut self.sink);
        self.put(&PartLine { sink: &sink, leaving: self.leaving, fields_to_make })?;
        self.sink = sink;
        Ok(())
    }
}

#[async_trait]
impl Taker for PlanFile {
    fn begin(&mut self, sink: &str, fields_to_make: &[String]) -> Result<()> {
        (self.sink, self.leaving) = (sink.to_owned(), false);
        self.put_part(fields_to_make)
    }

    async fn take(&mut self, rows: &[PlannedRow], leaving: bool) -> Result<()> {
        if leaving && !self.leaving {
            self.leaving = true;
            self.put_part(&[])?;
        }
        for row in rows {
            self.put(row)?;
            self.rows += 1;
        }
        Ok(())
    }
}

/// A plan that was saved: where its parts stand in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedPlan {
    path: PathBuf,
    /// When it was made.
    made_at: String,
    parts: Vec<SavedPart>,
}

/// Some rows of a part, one after the other in the order of ids.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SavedPart {
    sink: String,
    leaving: bool,
    fields_to_make: Vec<String>,
    /// Where its first row begins.
    at: u64,
    rows: u64,
}

impl SavedPlan {
    /// Reads through a saved plan, to its end, and keeps where its parts stand.
    ///
    /// # Errors
    /// When it cannot be read, is no plan of this version, or is not whole.
    pub fn read(path: &Path) -> Result<Self> {
        let mut lines = Lines::open(path)?;
        let made_at = lines.header()?;
        let mut plan = Self { path: path.to_owned(), made_at, parts: Vec::new() };
        let (mut rows, mut last) = (0_u64, String::new());
        loop {
            if !lines.advance()? {
                return Err(lines.torn());
            }
            let line = lines.line().ok_or_else(|| lines.foreign())?;
            match line {
                Line { prospect_id: Some(id), .. } => {
                    let part = plan.parts.last_mut().filter(|part| part.rows == 0 || *last < *id);
                    let Some(part) = part else { return Err(lines.foreign()) };
                    part.rows += 1;
                    rows += 1;
                    last.clear();
                    last.push_str(&id);
                }
                Line { sink: Some(sink), leaving, fields_to_make, .. } => {
                    let (sink, leaving) = (sink.into_owned(), leaving == Some(true));
                    let is_there = plan.parts.iter().any(|part| part.sink == sink && part.leaving == leaving);
                    if is_there || plan.parts.len() >= MAX_PARTS {
                        return Err(lines.foreign());
                    }
                    let fields_to_make = fields_to_make.unwrap_or_default();
                    plan.parts.push(SavedPart { sink, leaving, fields_to_make, at: lines.at, rows: 0 });
                }
                Line { rows: Some(told), .. } => {
                    if told != rows || lines.advance()? {
                        return Err(lines.foreign());
                    }
                    return Ok(plan);
                }
                Line { .. } => return Err(lines.foreign()),
            }
        }
    }

    /// The parts of sinks that it is for.
    pub fn sinks(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter(|part| !part.leaving).map(|part| part.sink.as_str())
    }

    /// Whether it says that this field is made.
    pub(super) fn makes(&self, sink: &str, field: &str) -> bool {
        self.parts.iter().any(|part| part.sink == sink && part.fields_to_make.iter().any(|made| made == field))
    }

    /// When it was made.
    pub(super) fn made_at(&self) -> &str {
        &self.made_at
    }

    /// The rows of a part, in the order of ids; none where it does not have that part.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn rows(&self, sink: &str, leaving: bool) -> Result<SavedRows> {
        let mut lines = Lines::open(&self.path)?;
        let mut left = 0;
        if let Some(part) = self.parts.iter().find(|part| part.sink == sink && part.leaving == leaving) {
            lines.seek(part.at)?;
            left = part.rows;
        }
        let mut rows = SavedRows { lines, left };
        rows.advance_to_line()?;
        Ok(rows)
    }
}

/// The rows of a part as they are read.
#[derive(Debug)]
pub(super) struct SavedRows {
    lines: Lines,
    /// How many there are, the present one among them.
    left: u64,
}

impl SavedRows {
    /// The present row, as it was written; nothing after the last.
    pub(super) fn row(&self) -> Option<&[u8]> {
        (self.left > 0).then_some(self.lines.buffer.as_slice())
    }

    /// The prospect of the present row.
    pub(super) fn prospect_id(&self) -> Result<Option<Cow<'_, str>>> {
        if self.left == 0 {
            return Ok(None);
        }
        let id = self.lines.line().and_then(|line| line.prospect_id);
        id.map(Some).ok_or_else(|| self.lines.foreign())
    }

    /// Goes on to the next row.
    pub(super) fn advance(&mut self) -> Result<()> {
        self.left = self.left.saturating_sub(1);
        self.advance_to_line()
    }

    fn advance_to_line(&mut self) -> Result<()> {
        if self.left > 0 && !self.lines.advance()? {
            return Err(self.lines.torn());
        }
        Ok(())
    }
}

/// The lines of a plan's file, one in memory.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    buffer: Vec<u8>,
    /// Where the next line begins.
    at: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| file_error(path, "read", source))?;
        Ok(Self { path: path.to_owned(), file: BufReader::new(file), buffer: Vec::new(), at: 0 })
    }

    fn seek(&mut self, at: u64) -> Result<()> {
        self.file.seek(SeekFrom::Start(at)).map_err(|source| file_error(&self.path, "read", source))?;
        self.at = at;
        Ok(())
    }

    /// Reads the next line; false at the end.
    fn advance(&mut self) -> Result<bool> {
        self.buffer.clear();
        let mut bounded = (&mut self.file).take(MAX_LINE_BYTES as u64);
        let read = bounded.read_until(b'\n', &mut self.buffer).map_err(|source| file_error(&self.path, "read", source))?;
        self.at += read as u64;
        match self.buffer.pop() {
            None => Ok(false),
            Some(b'\n') => Ok(true),
            Some(_) if read == MAX_LINE_BYTES => Err(self.foreign()),
            Some(_) => Err(self.torn()),
        }
    }

    fn line(&self) -> Option<Line<'_>> {
        serde_json::from_slice(&self.buffer).ok()
    }

    /// Reads the first line; when the plan was made.
    fn header(&mut self) -> Result<String> {
        let _ = self.advance().map_err(|error| if self.at == 0 { error } else { self.foreign() })?;
        if self.buffer.trim_ascii() == b"{" {
            // The first version was one document, over many lines.
            let second = self.advance().is_ok_and(|there| there);
            let is_older = second && self.buffer.trim_ascii().starts_with(b"\"version\":");
            return Err(if is_older { self.of_another_version() } else { self.foreign() });
        }
        match self.line() {
            Some(Line { version: Some(VERSION), made_at: Some(made_at), .. }) => Ok(made_at.into_owned()),
            Some(Line { version: Some(_), .. }) => Err(self.of_another_version()),
            _ => Err(self.foreign()),
        }
    }

    fn foreign(&self) -> Error {
        self.refused("is no saved plan")
    }

    fn torn(&self) -> Error {
        self.refused("is a plan that ends before its end")
    }

    fn of_another_version(&self) -> Error {
        self.refused("is a plan that another version of headwater saved")
    }

    fn refused(&self, what: &str) -> Error {
        let path = self.path.display();
        Error::Usage(format!("{path} {what}; plan again with `headwater plan --out {path}`"))
    }
}

fn file_error(path: &Path, doing: &'static str, source: io::Error) -> Error {
    Error::File { path: path.display().to_string(), doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = concat!(
        "{\"version\":2,\"made_at\":\"2026-11-02T09:00:00Z\"}\n",
        "{\"sink\":\"crm.companies\"}\n",
        "{\"sink\":\"crm\"}\n",
        "{\"prospect_id\":\"a\",\"action\":\"create\"}\n",
        "{\"prospect_id\":\"b\",\"action\":\"create\"}\n",
        "{\"sink\":\"crm\",\"leaving\":true}\n",
        "{\"prospect_id\":\"a\",\"action\":\"leave\"}\n",
        "{\"rows\":3}\n",
    );

    fn read(text: &[u8]) -> Result<SavedPlan> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        std::fs::write(&path, text).unwrap();
        SavedPlan::read(&path)
    }

    #[test]
    fn a_plan_is_found_part_by_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        std::fs::write(&path, WHOLE).unwrap();
        let plan = SavedPlan::read(&path).unwrap();
        assert_eq!(plan.sinks().collect::<Vec<_>>(), ["crm.companies", "crm"]);
        let ids = |sink: &str, leaving| {
            let mut rows = plan.rows(sink, leaving).unwrap();
            let mut ids = Vec::new();
            while let Some(id) = rows.prospect_id().unwrap().map(Cow::into_owned) {
                ids.push(id);
                rows.advance().unwrap();
            }
            ids
        };
        assert_eq!((ids("crm", false), ids("crm", true)), (vec!["a".to_owned(), "b".to_owned()], vec!["a".to_owned()]));
        assert!(ids("crm.companies", false).is_empty() && ids("other", false).is_empty());
    }

    #[test]
    fn a_plan_that_is_cut_off_anywhere_is_refused_and_so_is_one_with_lines_of_others() {
        for end in 0..WHOLE.len() {
            let told = read(&WHOLE.as_bytes()[..end]).unwrap_err().to_string();
            assert!(told.contains("plan again with `headwater plan --out"), "{end}: {told}");
        }
        let with = |from: &str, to: &str| {
            assert!(WHOLE.contains(from));
            read(WHOLE.replace(from, to).as_bytes()).unwrap_err().to_string()
        };
        for (from, to) in [
            ("{\"rows\":3}", "{\"rows\":4}"),
            ("{\"rows\":3}\n", "{\"rows\":3}\n{}\n"),
            ("{\"sink\":\"crm\"}", "{\"sink\":\"crm.companies\"}"),
            ("\"b\"", "\"a\""),
            ("{\"sink\":\"crm.companies\"}", "{\"prospect_id\":\"a\"}"),
            ("{\"sink\":\"crm.companies\"}", "nonsense"),
        ] {
            assert!(with(from, to).contains("is no saved plan"), "{from} → {to}");
        }
        assert!(with("\"version\":2", "\"version\":3").contains("another version"));
        assert!(with("{\"rows\":3}\n", "").contains("ends before its end"));
    }

    #[test]
    fn a_plan_of_the_first_version_and_what_is_none_are_told_apart() {
        let first = "{\n  \"version\": 1,\n  \"made_at\": \"2026-11-02T09:00:00Z\",\n  \"sinks\": {}\n}\n";
        assert!(read(first.as_bytes()).unwrap_err().to_string().contains("another version of headwater saved"));
        for none in ["", "{}", "{}\n", "{\n}\n", "[]\n", "\u{0}\n"] {
            assert!(read(none.as_bytes()).unwrap_err().to_string().contains("is no saved plan"), "{none:?}");
        }
        assert!(read(&vec![b'x'; MAX_LINE_BYTES + 1]).unwrap_err().to_string().contains("is no saved plan"));
    }
}
