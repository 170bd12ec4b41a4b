//! A plan that was saved, and is applied only if everything still stands as it did then.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::plan::Plan;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// The version of a saved plan's shape.
const VERSION: u32 = 1;
/// The largest plan that is read: a million rows of some fields.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;
/// How many differences an error names; the rest are counted.
const NAMED: usize = 8;

/// What was planned for every row of some sinks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    /// The version of this shape.
    version: u32,
    /// When it was made.
    made_at: String,
    /// By sink and prospect: what a plan says of the row.
    sinks: BTreeMap<String, BTreeMap<String, Value>>,
}

impl SavedPlan {
    /// What these plans say.
    ///
    /// # Errors
    /// `Internal` when a plan cannot be written down.
    pub fn of(engine: &Engine, plans: &[Plan]) -> Result<Self> {
        let sinks = plans.iter().map(|plan| Ok((plan.sink.clone(), rows(plan)?))).collect::<Result<_>>()?;
        Ok(Self { version: VERSION, made_at: engine.clock().now().to_string(), sinks })
    }

    /// Writes it to a file that only this user can read: it names people and their data.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut options = File::options();
        options.create(true).truncate(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let fill = || -> io::Result<()> {
            let mut file = io::BufWriter::new(options.open(path)?);
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
        };
        fill().map_err(|source| file_error(path, "written", source))
    }

    /// Reads a plan from a file.
    ///
    /// # Errors
    /// When it cannot be read or is no plan of this version.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |source| file_error(path, "read", source);
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > MAX_BYTES {
            return Err(Error::Usage(format!("{} is too large for a plan", path.display())));
        }
        let plan: Self = serde_json::from_reader(io::BufReader::new(file)).map_err(|_| {
            Error::Usage(format!("{} is no saved plan; make one with `headwater plan --out FILE`", path.display()))
        })?;
        if plan.version == VERSION {
            return Ok(plan);
        }
        Err(Error::Usage(format!("{} is a plan of another version; make it again", path.display())))
    }

    /// The sinks it is for.
    pub fn sinks(&self) -> impl Iterator<Item = &str> {
        self.sinks.keys().map(String::as_str)
    }

    /// Checks that the same would be planned now.
    ///
    /// # Errors
    /// `Moved`, naming what differs by prospect and field, without anybody's data.
    pub(super) fn check<'a>(&self, plans: impl Iterator<Item = &'a Plan>) -> Result<()> {
        let mut moved = Vec::new();
        let mut gone: BTreeSet<&str> = self.sinks().collect();
        for plan in plans {
            gone.remove(plan.sink.as_str());
            let (then, now) = (self.sinks.get(&plan.sink), rows(plan)?);
            let none = BTreeMap::new();
            differences(&plan.sink, then.unwrap_or(&none), &now, &mut moved);
        }
        moved.extend(gone.into_iter().map(|part| format!("{part} is not in the settings any more")));
        if moved.is_empty() {
            return Ok(());
        }
        let more = moved.len().saturating_sub(NAMED);
        moved.truncate(NAMED);
        if more > 0 {
            moved.push(format!("and {more} more"));
        }
        Err(Error::Moved { made_at: self.made_at.clone(), what: moved.join("; ") })
    }
}

fn file_error(path: &Path, doing: &'static str, source: io::Error) -> Error {
    Error::File { path: path.display().to_string(), doing, source }
}

fn rows(plan: &Plan) -> Result<BTreeMap<String, Value>> {
    let row = |row| serde_json::to_value(row).map_err(|error| Error::Internal(error.to_string()));
    plan.rows.iter().map(|planned| Ok((planned.prospect_id.clone(), row(planned)?))).collect()
}

fn differences(sink: &str, then: &BTreeMap<String, Value>, now: &BTreeMap<String, Value>, moved: &mut Vec<String>) {
    for (prospect, before) in then {
        match now.get(prospect) {
            None => moved.push(format!("{sink}: {prospect} is no longer in the audience")),
            Some(after) if after != before => moved.push(format!("{sink}: {prospect}: {}", difference(before, after))),
            Some(_) => {}
        }
    }
    let new = now.keys().filter(|prospect| !then.contains_key(*prospect));
    moved.extend(new.map(|prospect| format!("{sink}: {prospect} came into the audience")));
}

/// What about a row differs: what is done, to which record, or to which fields.
fn difference(then: &Value, now: &Value) -> String {
    let word = |row: &Value, key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if word(then, "action") != word(now, "action") {
        return format!("was `{}`, is now `{}`", word(then, "action"), word(now, "action"));
    }
    if word(then, "remote_id") != word(now, "remote_id") {
        return "is another record of the remote now".to_owned();
    }
    let (then, now) = (changes(then), changes(now));
    let mut parts = Vec::new();
    for (field, before) in &then {
        match now.get(field) {
            None => parts.push(format!("`{field}` would no longer change")),
            Some(after) if after.get("before") != before.get("before") => {
                parts.push(format!("`{field}` changed in the remote"));
            }
            Some(after) if after != before => parts.push(format!("our `{field}` changed")),
            Some(_) => {}
        }
    }
    parts.extend(now.keys().filter(|field| !then.contains_key(*field)).map(|field| format!("`{field}` would change too")));
    if parts.is_empty() { "the reasons differ".to_owned() } else { parts.join(", ") }
}

fn changes(row: &Value) -> BTreeMap<String, &Map<String, Value>> {
    let changes = row.get("changes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    changes.filter_map(|change| Some((change.get("field")?.as_str()?.to_owned(), change))).collect()
}
