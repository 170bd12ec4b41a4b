//! Whether the same would be planned now as when a plan was saved: row by row, while it is planned anew.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::plan::{Plan, PlannedRow};
use super::saved::{SavedPlan, SavedRows};
use super::spool::Spool;
use super::taker::Taker;
use crate::error::{Error, Result};

/// How many differences an error names; the rest are counted.
const NAMED: usize = 8;

/// Compares what is planned with what was saved, and puts aside what is to be written if all of it is the same.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    saved: &'a SavedPlan,
    spool: Spool,
    sink: String,
    leaving: bool,
    /// What was saved of the part that is planned now.
    then: Option<SavedRows>,
    /// The saved parts that nothing was planned for yet.
    missing: BTreeSet<&'a str>,
    named: Vec<String>,
    more: usize,
    now: Vec<u8>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(saved: &'a SavedPlan, spool: Spool) -> Self {
        Self {
            saved,
            spool,
            sink: String::new(),
            leaving: false,
            then: None,
            missing: saved.sinks().collect(),
            named: Vec::new(),
            more: 0,
            now: Vec::new(),
        }
    }

    /// What was put aside.
    ///
    /// # Errors
    /// `Moved`, naming what differs by prospect and field, without anybody's data.
    pub(super) fn same(mut self) -> Result<Spool> {
        for part in std::mem::take(&mut self.missing) {
            self.differs(|| format!("{part} is not in the settings any more"));
        }
        if self.named.is_empty() {
            return Ok(self.spool);
        }
        if self.more > 0 {
            self.named.push(format!("and {} more", self.more));
        }
        Err(Error::Moved { made_at: self.saved.made_at().to_owned(), what: self.named.join("; ") })
    }

    fn differs(&mut self, what: impl FnOnce() -> String) {
        if self.named.len() < NAMED {
            self.named.push(what());
        } else {
            self.more += 1;
        }
    }

    fn compare(&mut self, row: &PlannedRow) -> Result<()> {
        self.now.clear();
        serde_json::to_writer(&mut self.now, row).map_err(|error| Error::Internal(error.to_string()))?;
        while let Some(then) = &mut self.then {
            if then.row() == Some(&self.now) {
                return then.advance();
            }
            let Some(id) = then.prospect_id()? else { break };
            match id.as_ref().cmp(&row.prospect_id) {
                Ordering::Less => self.pass_over()?,
                Ordering::Equal => {
                    let said = difference(then.row().unwrap_or_default(), &self.now)?;
                    then.advance()?;
                    if let Some(said) = said {
                        let sink = self.sink.clone();
                        self.differs(|| format!("{sink}: {}: {said}", row.prospect_id));
                    }
                    return Ok(());
                }
                Ordering::Greater => break,
            }
        }
        let what = if self.leaving { "would leave the list now" } else { "came into the audience" };
        let sink = self.sink.clone();
        self.differs(|| format!("{sink}: {} {what}", row.prospect_id));
        Ok(())
    }

    /// Notes that the present saved row is not planned any more.
    fn pass_over(&mut self) -> Result<()> {
        let Some(then) = &mut self.then else { return Ok(()) };
        let Some(id) = then.prospect_id()?.map(std::borrow::Cow::into_owned) else { return Ok(()) };
        then.advance()?;
        let (sink, leaving) = (self.sink.clone(), self.leaving);
        let what = if leaving { "would no longer leave the list" } else { "is no longer in the audience" };
        self.differs(|| format!("{sink}: {id} {what}"));
        Ok(())
    }

    /// Notes what is left of the saved rows.
    fn pass_over_the_rest(&mut self) -> Result<()> {
        while self.then.as_ref().is_some_and(|then| then.row().is_some()) {
            self.pass_over()?;
        }
        Ok(())
    }
}

#[async_trait]
impl Taker for Comparison<'_> {
    fn begin(&mut self, sink: &str, fields_to_make: &[String]) -> Result<()> {
        self.missing.remove(sink);
        // One that somebody made meanwhile is as the plan said.
        for field in fields_to_make.iter().filter(|field| !self.saved.makes(sink, field)) {
            self.differs(|| format!("{sink}: the field `{field}` would be made too"));
        }
        (self.sink, self.leaving) = (sink.to_owned(), false);
        self.then = Some(self.saved.rows(sink, false)?);
        self.spool.begin(sink)
    }

    async fn take(&mut self, rows: &[PlannedRow], leaving: bool) -> Result<()> {
        if leaving && !self.leaving {
            self.pass_over_the_rest()?;
            self.leaving = true;
            self.then = Some(self.saved.rows(&self.sink, true)?);
        }
        for row in rows {
            self.compare(row)?;
        }
        // What has moved is not applied.
        if self.named.is_empty() { self.spool.put(rows) } else { Ok(()) }
    }

    fn end(&mut self, _plan: &Plan) -> Result<()> {
        self.pass_over_the_rest()?;
        if !self.leaving {
            self.leaving = true;
            self.then = Some(self.saved.rows(&self.sink, true)?);
            self.pass_over_the_rest()?;
        }
        Ok(())
    }
}

/// What about a row differs: what is done, to which record, or to which fields. Nothing where it is only written otherwise.
fn difference(then: &[u8], now: &[u8]) -> Result<Option<String>> {
    let read = |text: &[u8]| {
        serde_json::from_slice::<Value>(text).map_err(|_| Error::Usage("the saved plan changed while it was read".to_owned()))
    };
    let (then, now) = (read(then)?, read(now)?);
    if then == now {
        return Ok(None);
    }
    let word = |row: &Value, key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if word(&then, "action") != word(&now, "action") {
        let is_written = matches!(word(&then, "action").as_str(), "create" | "update");
        if is_written && word(&now, "action") == "unchanged" {
            return Ok(Some("is as the plan would have it already".to_owned()));
        }
        return Ok(Some(format!("was `{}`, is now `{}`", word(&then, "action"), word(&now, "action"))));
    }
    if word(&then, "remote_id") != word(&now, "remote_id") {
        return Ok(Some("is another record of the remote now".to_owned()));
    }
    let (then, now) = (changes(&then), changes(&now));
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
    Ok(Some(if parts.is_empty() { "the reasons differ".to_owned() } else { parts.join(", ") }))
}

fn changes(row: &Value) -> BTreeMap<String, &Map<String, Value>> {
    let changes = row.get("changes").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    changes.filter_map(|change| Some((change.get("field")?.as_str()?.to_owned(), change))).collect()
}
