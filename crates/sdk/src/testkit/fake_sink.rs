//! A remote in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::sink::Fields;
use crate::{
    DeliveryRow, Error, ErrorKind, Lookup, MatchKey, Operation, RemoteRecord, Removal, Result, RowOutcome, Sink, SinkCapability,
    WriteReport,
};

/// A sink that keeps records in memory and can be told to fail.
#[derive(Debug, Default)]
pub struct FakeSink {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<String, Fields>,
    calls: usize,
    refuse: Option<(String, String)>,
    break_off: Option<BreakOff>,
    made: usize,
    whole: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BreakOff {
    Before,
    After,
}

impl FakeSink {
    /// Its records by remote id.
    #[must_use]
    pub fn records(&self) -> BTreeMap<String, Fields> {
        self.state().records.clone()
    }

    /// How many writes it got.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// Puts a record there, as if somebody had made it by hand.
    pub fn put(&self, remote_id: &str, fields: Fields) {
        self.state().records.insert(remote_id.to_owned(), fields);
    }

    /// Takes a record away, as if somebody had deleted it by hand.
    pub fn remove(&self, remote_id: &str) {
        self.state().records.remove(remote_id);
    }

    /// Rejects every row in which `field` has this value.
    pub fn refuse(&self, field: &str, value: &str) {
        self.state().refuse = Some((field.to_owned(), value.to_owned()));
    }

    /// Takes a call as a whole or not at all: one row that it would reject fails the call.
    pub fn all_or_nothing(&self) {
        self.state().whole = true;
    }

    /// Fails the next write before anything of it is done.
    pub fn fail_before(&self) {
        self.state().break_off = Some(BreakOff::Before);
    }

    /// Fails the next write after all of it is done: the answer was lost.
    pub fn fail_after(&self) {
        self.state().break_off = Some(BreakOff::After);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Sink for FakeSink {
    fn capability(&self) -> SinkCapability {
        SinkCapability { max_rows: 100, lookup: true, calls_per_row: 2 }
    }

    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn lookup(&self, rows: &[Vec<MatchKey>]) -> Result<Vec<Lookup>> {
        let state = self.state();
        Ok(rows.iter().map(|keys| state.lookup(keys)).collect())
    }

    async fn fetch(&self, remote_id: &str) -> Result<Option<RemoteRecord>> {
        let found = self.state().records.get(remote_id).cloned();
        Ok(found.map(|fields| RemoteRecord { remote_id: remote_id.to_owned(), fields, matched_on: "id".to_owned() }))
    }

    async fn write(&self, rows: &[DeliveryRow]) -> Result<WriteReport> {
        let mut state = self.state();
        state.calls += 1;
        let broken = || Error::new(ErrorKind::Unavailable, "the fake remote was told to fail");
        let break_off = state.break_off.take();
        if break_off == Some(BreakOff::Before) {
            return Err(broken());
        }
        if state.whole && rows.iter().any(|row| state.refuses(row).is_some()) {
            let refused = rows.iter().find_map(|row| state.refuses(row)).unwrap_or_default();
            return Err(Error::new(ErrorKind::Rejected, refused));
        }
        let outcomes: Vec<RowOutcome> = rows.iter().map(|row| state.write(row)).collect();
        if break_off == Some(BreakOff::After) { Err(broken()) } else { WriteReport::new(rows.len(), outcomes) }
    }

    fn removes(&self) -> bool {
        true
    }

    async fn remove(&self, remote_ids: &[String]) -> Result<Vec<Removal>> {
        let mut state = self.state();
        let mut remove = |id: &String| state.records.remove(id).map_or(Removal::Gone, |_| Removal::Removed);
        Ok(remote_ids.iter().map(&mut remove).collect())
    }

    async fn release(&self, remote_id: &str, prospect_id: &str) -> Result<()> {
        if let Some(record) = self.state().records.get_mut(remote_id)
            && record.get("external_id").and_then(Option::as_deref) == Some(prospect_id)
        {
            record.remove("external_id");
        }
        Ok(())
    }

    fn changed_at_field(&self) -> Option<&str> {
        Some("changed_at")
    }
}

impl State {
    fn lookup(&self, keys: &[MatchKey]) -> Lookup {
        for key in keys {
            let has = |fields: &Fields| fields.get(&key.field).and_then(Option::as_deref) == Some(key.value.as_str());
            let mut found = self.records.iter().filter(|(_, fields)| has(fields));
            match (found.next(), found.count()) {
                (None, _) => {}
                (Some((id, fields)), 0) => {
                    let (remote_id, fields, matched_on) = (id.clone(), fields.clone(), key.field.clone());
                    return Lookup::Found(RemoteRecord { remote_id, fields, matched_on });
                }
                (Some(_), more) => return Lookup::Ambiguous(more + 1),
            }
        }
        Lookup::Absent
    }

    fn refuses(&self, row: &DeliveryRow) -> Option<String> {
        let (field, value) = self.refuse.as_ref()?;
        let bad = row.fields.get(field).and_then(Option::as_ref) == Some(value);
        bad.then(|| format!("{field}: is not acceptable"))
    }

    fn write(&mut self, row: &DeliveryRow) -> RowOutcome {
        if let Some(reason) = self.refuses(row) {
            return RowOutcome::Rejected { reason };
        }
        // A create whose first answer was lost finds the record it made.
        let made = self
            .records
            .iter()
            .find(|(_, fields)| fields.get("external_id").and_then(Option::as_deref) == Some(row.prospect_id.as_str()));
        let made = made.map(|(remote_id, _)| remote_id.clone());
        let (remote_id, made) = match (&row.operation, made) {
            (Operation::Update { remote_id }, _) => (remote_id.clone(), false),
            (Operation::Create, Some(remote_id)) => (remote_id, false),
            (Operation::Create, None) => {
                self.made += 1;
                (format!("remote-{}", self.made), true)
            }
        };
        let record = self.records.entry(remote_id.clone()).or_default();
        let before = record.clone();
        if made {
            record.insert("external_id".to_owned(), Some(row.prospect_id.clone()));
        }
        record.extend(row.fields.iter().map(|(field, value)| (field.clone(), value.clone())));
        match (made, *record == before) {
            (true, _) => RowOutcome::Created { remote_id },
            (false, true) => RowOutcome::Unchanged { remote_id },
            (false, false) => RowOutcome::Updated { remote_id },
        }
    }
}
