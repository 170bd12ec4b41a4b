//! The sink of a connector file at work.
//!
//! Invariants: a record that the remote finds counts only if it holds what was looked for; a row counts as written only if the
//! answer says so; a record is made by a request that is sent once, and what became doubtful is looked up by our id first.

mod cost;
mod fields;
mod jobs;
mod list;
mod outcome;
mod records;
mod send;

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use headwater_sdk::sink::{EXTERNAL_ID, MOVED};
use headwater_sdk::{
    DeliveryRow, Error, ErrorKind, Lookup, MatchKey, Operation, Pace, RemoteRecord, Removal, Result, RowOutcome, Sink,
    SinkCapability, WriteReport, Writes,
};
use tokio::sync::OnceCell;

use self::fields::Described;
pub(super) use self::list::ListSink;
use self::outcome::{Told, refused};
use self::records::ByValue;
use self::send::Job;
use super::compile::{FindPlan, SinkPlan};
use crate::engine::{Evaluate as _, Executor, Map, Scope, Value};

/// A connection of a file's sink.
#[derive(Debug)]
pub(super) struct DeclarativeSink {
    executor: Executor,
    plan: SinkPlan,
    /// The remote's fields, once they were asked for.
    described: OnceCell<Described>,
    /// Whether those that it lacked were made.
    made: OnceCell<()>,
}

impl DeclarativeSink {
    pub(super) fn new(executor: Executor, plan: SinkPlan) -> Result<Self> {
        // Where the remote names the field, its name is told once there is one.
        let told = plan.make_field.as_ref().is_some_and(|make| make.named.is_some());
        if plan.external_id.is_empty() && !told {
            return Err(Error::new(ErrorKind::Config, "no field of the remote is named to keep our id"));
        }
        Ok(Self { executor, plan, described: OnceCell::new(), made: OnceCell::new() })
    }

    fn scope(&self) -> Scope<'_> {
        Scope::new(&self.executor.plan().config, self.executor.now())
    }

    /// Finds what each row's keys find, strongest first.
    async fn search(&self, rows: &[Vec<MatchKey>]) -> Result<Vec<Lookup>> {
        if let (Some(_), Some(person)) = (&self.plan.person, &self.plan.identity) {
            return self.search_among(rows, person).await;
        }
        let mut answers: Vec<Option<Lookup>> = vec![None; rows.len()];
        for depth in 0..rows.iter().map(Vec::len).max().unwrap_or(0) {
            let key = |index: usize| rows.get(index).and_then(|keys| keys.get(depth)).filter(|key| !key.value.is_empty());
            let mut wanted: HashMap<&str, Vec<&str>> = HashMap::new();
            for (index, _) in answers.iter().enumerate().filter(|(_, answer)| answer.is_none()) {
                if let Some(key) = key(index) {
                    wanted.entry(&key.field).or_default().push(&key.value);
                }
            }
            let mut found: HashMap<&str, ByValue> = HashMap::new();
            for (field, mut values) in wanted {
                values.sort_unstable();
                values.dedup();
                found.insert(field, self.by_value(self.having(field, &values).await?, self.field(field))?);
            }
            for (index, slot) in answers.iter_mut().enumerate().filter(|(_, answer)| answer.is_none()) {
                let Some(key) = key(index) else { continue };
                if let Some(found) = found.get(key.field.as_str()) {
                    *slot = self.chosen(found, key)?;
                }
            }
        }
        Ok(answers.into_iter().map(|answer| answer.unwrap_or(Lookup::Absent)).collect())
    }

    /// Finds by our id the tasks of people who are named: the remote cannot be searched by it.
    async fn search_among(&self, rows: &[Vec<MatchKey>], person: &str) -> Result<Vec<Lookup>> {
        let value = |keys: &[MatchKey], field: &str| keys.iter().find(|key| key.field == field).map(|key| key.value.clone());
        // Who is still to be made (`new:`) has no task.
        let person = |keys: &[MatchKey]| value(keys, person).filter(|person| !person.contains(':'));
        let mut people: Vec<String> = rows.iter().filter_map(|keys| person(keys)).collect();
        people.sort_unstable();
        people.dedup();
        let people: Vec<&str> = people.iter().map(String::as_str).collect();
        let field = self.plan.identity.as_deref().unwrap_or_default();
        let found = self.by_value(self.having(field, &people).await?, &self.plan.external_id)?;
        let chosen = |keys: &Vec<MatchKey>| match (person(keys), keys.iter().find(|key| key.field == EXTERNAL_ID)) {
            (Some(_), Some(key)) => Ok(self.chosen(&found, key)?.unwrap_or(Lookup::Absent)),
            (_, _) => Ok(Lookup::Absent),
        };
        rows.iter().map(chosen).collect()
    }

    /// Which of the records that a search gave really holds the key: a filter might have been ignored.
    fn chosen(&self, found: &ByValue, key: &MatchKey) -> Result<Option<Lookup>> {
        let mut held: Vec<(String, &Value)> = Vec::new();
        for record in found.holding(&key.value) {
            held.push((self.id(record)?, record));
        }
        held.sort_by(|one, other| one.0.cmp(&other.0));
        held.dedup_by(|one, other| one.0 == other.0);
        Ok(match held.as_slice() {
            [] => None,
            [(_, record)] => Some(Lookup::Found(self.remote(record, &key.field)?)),
            several => Some(Lookup::Ambiguous(several.len())),
        })
    }

    /// The remote's name of a key's field.
    fn field<'a>(&'a self, field: &'a str) -> &'a str {
        if field == EXTERNAL_ID { &self.plan.external_id } else { field }
    }

    /// How records are found by a field.
    fn finder(&self, field: &str) -> Option<&FindPlan> {
        let own = |name: &str| name == EXTERNAL_ID || name == self.plan.external_id;
        let fits = |known: &String| known == field || own(field) && own(known);
        self.plan.find.iter().find(|find| find.fields.is_empty() || find.fields.iter().any(fits))
    }

    /// Whether no record can have a value in a field, because the field is still to be made.
    fn is_to_be_made(&self, field: &str) -> bool {
        let to_make = self.described.get().filter(|_| !self.made.initialized()).map(|described| &described.to_make);
        to_make.is_some_and(|to_make| to_make.iter().any(|name| *name == self.field(field)))
    }

    /// The records that a search by one field gives; whole, but not verified.
    async fn having(&self, field: &str, values: &[&str]) -> Result<Vec<Value>> {
        if self.is_to_be_made(field) {
            return Ok(Vec::new());
        }
        let find = self.finder(field).ok_or_else(|| {
            Error::new(ErrorKind::Config, format!("records cannot be found by `{field}`"))
                .hint("match by a field that the connector's README names")
        })?;
        let mut records = Vec::new();
        let mut parts: Vec<&[&str]> = values.chunks(find.batch).rev().collect();
        while let Some(values) = parts.pop() {
            let mut key = key(self.field(field), values);
            if let Some(first) = &find.first {
                match self.given(first, "key", &key).await? {
                    Some(given) => key = given,
                    // Where what is looked for is filed under is gone, and it with it.
                    None => continue,
                }
            }
            let body = self.ask("search", &find.request, &[("key", &key)]).await?;
            let mut found = self.listed(body.as_ref(), &find.from)?;
            for (request, from) in &find.also {
                found.extend(self.listed(self.ask("search", request, &[("key", &key)]).await?.as_ref(), from)?);
            }
            // One value that fills an answer alone is ambiguous however many records follow.
            if values.len() > 1 && find.at_most.is_some_and(|most| found.len() >= most) {
                let (one, other) = values.split_at(values.len() / 2);
                parts.extend([other, one]);
                continue;
            }
            records.extend(found);
        }
        if !find.fetch {
            return Ok(records);
        }
        let ids = records.iter().map(|record| self.id(record)).collect::<Result<Vec<_>>>()?;
        Ok(self.read(&ids).await?.into_values().collect())
    }

    /// The records with these ids, by id; those that are gone are not among them.
    async fn read(&self, ids: &[String]) -> Result<HashMap<String, Value>> {
        let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        ids.sort_unstable();
        ids.dedup();
        let fetch = &self.plan.fetch;
        let mut records = HashMap::new();
        for ids in ids.chunks(fetch.batch) {
            let key = key("id", ids);
            let body = self.ask("read", &fetch.request, &[("key", &key)]).await?;
            for record in self.listed(body.as_ref(), &fetch.from)? {
                let id = self.id(&record)?;
                let gone = match &fetch.gone {
                    Some(gone) => gone.test(&self.scope().with_record(&record))?,
                    None => false,
                };
                if !gone && ids.contains(&id.as_str()) {
                    records.insert(id, record);
                }
            }
        }
        Ok(records)
    }

    /// What is there of the rows that may be there: the records of doubtful creates by our id, those of updates by theirs.
    async fn present(&self, rows: &[DeliveryRow]) -> Result<(HashMap<String, Found>, HashMap<String, Value>)> {
        let doubtful = rows.iter().filter(|row| row.doubtful && row.operation == Operation::Create);
        let doubtful: Vec<&DeliveryRow> = doubtful.collect();
        let mut ours = HashMap::new();
        if !doubtful.is_empty() {
            let (field, mut values): (&str, Vec<&str>) = match &self.plan.identity {
                None => (EXTERNAL_ID, doubtful.iter().map(|row| row.prospect_id.as_str()).collect()),
                Some(field) => (field, doubtful.iter().filter_map(|row| named(row, field)).collect()),
            };
            values.sort_unstable();
            values.dedup();
            if let Some(lag) = self.finder(field).and_then(|find| find.lag) {
                // What was written just before its answer got lost is not found earlier.
                self.executor.wait(lag).await;
            }
            let records = self.by_value(self.having(field, &values).await?, &self.plan.external_id)?;
            for id in doubtful.iter().map(|row| row.prospect_id.as_str()) {
                let found: Vec<&Value> = records.holding(id).collect();
                match found.as_slice() {
                    [] => {}
                    [record] => drop(ours.insert(id.to_owned(), Found::One((*record).clone()))),
                    several => drop(ours.insert(id.to_owned(), Found::Several(several.len()))),
                }
            }
        }
        let named = rows.iter().filter_map(|row| match &row.operation {
            Operation::Update { remote_id } => Some(remote_id.clone()),
            Operation::Create => None,
        });
        let known = self.read(&named.collect::<Vec<_>>()).await?;
        Ok((ours, known))
    }

    /// What is to be done for a row, or what became of it already.
    fn decide(&self, row: &DeliveryRow, place: usize, ours: &HashMap<String, Found>, known: &HashMap<String, Value>) -> Decided {
        let record = match &row.operation {
            Operation::Create => match ours.get(&row.prospect_id) {
                Some(Found::One(record)) => Some(record),
                Some(Found::Several(records)) => {
                    return Decided::Already(RowOutcome::Rejected { reason: format!("{records} records hold our id") });
                }
                None => None,
            },
            Operation::Update { remote_id } => match known.get(remote_id) {
                Some(record) => Some(record),
                None => return Decided::Already(RowOutcome::Rejected { reason: "the record is gone".to_owned() }),
            },
        };
        let made = match record {
            Some(record) => self.id(record).and_then(|id| {
                let fields = self.difference(row, record)?;
                if fields.is_empty() {
                    return Ok(Decided::Already(RowOutcome::Unchanged { remote_id: id }));
                }
                if let Some(reason) = self.hold(row, record, &fields)? {
                    return Ok(Decided::Already(RowOutcome::Rejected { reason }));
                }
                if row.operation != Operation::Create && self.moved(row, record)? {
                    return Ok(Decided::Already(RowOutcome::Rejected { reason: MOVED.to_owned() }));
                }
                let version = self.plan.version.as_ref().map(|version| version.value(&self.scope().with_record(record)));
                Ok(Decided::Change(Job { place, remote_id: Some(id), version: version.transpose()?, fields }))
            }),
            None => {
                if let Some(identity) = self.plan.identity.as_deref().filter(|identity| named(row, identity).is_none()) {
                    let reason = format!("{identity}: the remote makes no record without it");
                    return Decided::Already(RowOutcome::Rejected { reason });
                }
                // There is nothing yet that a null could clear.
                let given = row.fields.iter().filter(|(_, value)| value.is_some());
                let mut fields: headwater_sdk::Fields = given.map(|(name, value)| (name.clone(), value.clone())).collect();
                fields.insert(self.plan.external_id.clone(), Some(row.prospect_id.clone()));
                Ok(Decided::Make(Job { place, remote_id: None, version: None, fields }))
            }
        };
        made.unwrap_or_else(|error| Decided::Already(RowOutcome::Rejected { reason: error.message().to_owned() }))
    }

    /// Notes as removed what was refused, or not answered, and is there no more: an earlier attempt removed it, and its answer got lost.
    /// Each remote says in its own words that it does not know what it is to remove; that it cannot show it says the same of all.
    async fn look_for_the_gone(&self, remote_ids: &[String], removals: &mut [Option<Removal>]) {
        let is_open = |removal: &Option<Removal>| matches!(removal, None | Some(Removal::Refused { .. }));
        let open: Vec<String> =
            remote_ids.iter().zip(&*removals).filter(|(_, removal)| is_open(removal)).map(|(id, _)| id.clone()).collect();
        if open.is_empty() {
            return;
        }
        // Where nobody can look, it stays as it was told.
        let Ok(there) = self.read(&open).await else { return };
        for (id, removal) in remote_ids.iter().zip(removals) {
            if is_open(removal) && !there.contains_key(id) {
                *removal = Some(Removal::Removed);
            }
        }
    }
}

/// A row's value of a field, if it has one.
fn named<'a>(row: &'a DeliveryRow, field: &str) -> Option<&'a str> {
    row.fields.get(field)?.as_deref().filter(|value| !value.trim().is_empty())
}

/// The records that hold our id.
#[derive(Debug)]
enum Found {
    One(Value),
    Several(usize),
}

enum Decided {
    Already(RowOutcome),
    Make(Job),
    Change(Job),
}

/// What is looked for, as expressions see it.
fn key(field: &str, values: &[&str]) -> Value {
    let list = Value::List(values.iter().map(|value| Value::text(*value)).collect());
    let one = Value::text(values.first().copied().unwrap_or_default());
    Value::Map([("field", Value::text(field)), ("value", one), ("values", list)].into_iter().collect::<Map>())
}

#[async_trait]
impl Sink for DeclarativeSink {
    fn capability(&self) -> SinkCapability {
        SinkCapability { max_rows: self.plan.max_rows, lookup: true, calls_per_row: 2 }
    }

    async fn check(&self) -> Result<()> {
        self.ask("check", &self.plan.check, &[]).await?;
        self.described().await.map(drop)
    }

    async fn fields(&self) -> Result<Vec<(String, String)>> {
        let mut fields = self.described().await?.fields.clone();
        if !fields.is_empty() {
            // What the file tells of, the remote need not list: an address that is no field of its own there.
            let told = self.declared();
            fields
                .extend(told.into_iter().filter(|(name, _)| !fields.iter().any(|(known, _)| known == name)).collect::<Vec<_>>());
        }
        Ok(fields)
    }

    async fn fields_to_make(&self) -> Result<Vec<String>> {
        Ok(self.described().await?.to_make.iter().map(|name| self.called(name)).collect())
    }

    async fn prepare(&self) -> Result<()> {
        let to_make = &self.described().await?.to_make;
        self.made.get_or_try_init(|| self.make_all(to_make)).await.copied()
    }

    async fn lookup(&self, rows: &[Vec<MatchKey>]) -> Result<Vec<Lookup>> {
        self.search(rows).await
    }

    async fn fetch(&self, remote_id: &str) -> Result<Option<RemoteRecord>> {
        let mut records = self.read(&[remote_id.to_owned()]).await?;
        records.remove(remote_id).map(|record| self.remote(&record, "id")).transpose()
    }

    async fn fetch_all(&self, remote_ids: &[String]) -> Result<Vec<Option<RemoteRecord>>> {
        let records = self.read(remote_ids).await?;
        let record = |id: &String| records.get(id).map(|record| self.remote(record, "id")).transpose();
        remote_ids.iter().map(record).collect()
    }

    async fn write(&self, rows: &[DeliveryRow]) -> Result<WriteReport> {
        if rows.is_empty() {
            return WriteReport::new(0, Vec::new());
        }
        self.prepare().await?;
        self.check_fields(rows).await?;
        let (ours, known) = self.present(rows).await?;
        let mut outcomes: Vec<Option<RowOutcome>> = vec![None; rows.len()];
        let (mut make, mut change) = (Vec::new(), Vec::new());
        for (place, (row, slot)) in rows.iter().zip(&mut outcomes).enumerate() {
            match self.decide(row, place, &ours, &known) {
                Decided::Already(outcome) => *slot = Some(outcome),
                Decided::Make(job) => make.push(job),
                Decided::Change(job) => change.push(job),
            }
        }
        for (plan, jobs, makes) in [(&self.plan.create, make, true), (&self.plan.update, change, false)] {
            let mut failure = None;
            for (job, told) in self.send(plan, jobs, rows, &mut failure).await {
                if let Some(slot) = outcomes.get_mut(job.place) {
                    *slot = told.map(|told| told.outcome(makes, job.remote_id));
                }
            }
            if let Some(error) = failure
                && outcomes.iter().all(Option::is_none)
            {
                return Err(error);
            }
        }
        // Silence is failure: the row is offered again, by our id.
        WriteReport::new(rows.len(), outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(outcome::untold)).collect())
    }

    fn pace(&self) -> Option<Pace> {
        self.plan.pace
    }

    fn calls_made(&self) -> Option<u64> {
        Some(self.executor.sent())
    }

    fn spent(&self) -> Option<u64> {
        Some(self.executor.spent())
    }

    fn calls_today(&self) -> Option<u64> {
        self.executor.sent_today()
    }

    fn calls_to_write(&self, writes: Writes) -> usize {
        self.requests(writes, |_| 1)
    }

    fn cost_to_write(&self, writes: Writes) -> usize {
        self.requests(writes, |request| request.cost as usize)
    }

    fn removes(&self) -> bool {
        self.plan.remove.is_some()
    }

    async fn remove(&self, remote_ids: &[String]) -> Result<Vec<Removal>> {
        let Some(plan) = &self.plan.remove else {
            let refused = || Removal::Refused { reason: "this sink does not delete".to_owned() };
            return Ok(remote_ids.iter().map(|_| refused()).collect());
        };
        // A remote may take a second removal for a success.
        let there = self.read(remote_ids).await?;
        let held = remote_ids.iter().enumerate().filter(|(_, id)| there.contains_key(*id));
        let jobs: Vec<Job> =
            held.map(|(place, id)| Job { place, remote_id: Some(id.clone()), version: None, fields: BTreeMap::new() }).collect();
        let mut removals: Vec<Option<Removal>> =
            remote_ids.iter().map(|id| (!there.contains_key(id)).then_some(Removal::Gone)).collect();
        let mut failure = None;
        for (job, told) in self.send(plan, jobs, &[], &mut failure).await {
            if let Some(slot) = removals.get_mut(job.place) {
                *slot = told.map(|told| match told {
                    Told::Done { .. } => Removal::Removed,
                    Told::Gone => Removal::Gone,
                    Told::Refused(reason) => Removal::Refused { reason },
                    Told::Conflict | Told::Later(_) => Removal::Refused { reason: "the remote did not remove it now".to_owned() },
                });
            }
        }
        self.look_for_the_gone(remote_ids, &mut removals).await;
        if let (Some(error), true) = (failure, removals.iter().all(Option::is_none)) {
            return Err(error);
        }
        let silent = || Removal::Refused { reason: "the remote's answer says nothing of this record".to_owned() };
        Ok(removals.into_iter().map(|removal| removal.unwrap_or_else(silent)).collect())
    }

    async fn release(&self, remote_id: &str, prospect_id: &str) -> Result<()> {
        let Some(record) = self.read(&[remote_id.to_owned()]).await?.remove(remote_id) else { return Ok(()) };
        if self.text(&record, &self.plan.external_id)?.as_deref() != Some(prospect_id) {
            return Ok(());
        }
        let version = self.plan.version.as_ref().map(|version| version.value(&self.scope().with_record(&record)));
        let fields = BTreeMap::from([(self.plan.external_id.clone(), None)]);
        let job = Job { place: 0, remote_id: Some(remote_id.to_owned()), version: version.transpose()?, fields };
        let mut failure = None;
        let told = self.send(&self.plan.update, vec![job], &[], &mut failure).await;
        match (failure, told.into_iter().next().and_then(|(_, told)| told)) {
            (Some(error), _) => Err(error),
            (None, Some(Told::Done { .. } | Told::Gone)) => Ok(()),
            (None, _) => Err(refused("our id was not taken out of the record")),
        }
    }

    fn identity_field(&self) -> Option<&str> {
        self.plan.identity.as_deref()
    }

    fn company_field(&self) -> Option<&str> {
        self.plan.company.as_deref()
    }

    fn person_field(&self) -> Option<&str> {
        self.plan.person.as_deref()
    }

    fn changed_at_field(&self) -> Option<&str> {
        self.plan.changed_at.as_deref()
    }
}
