//! People's places in a list of the remote, as a sink of their own.
//!
//! A record is a person's place in the list and has the remote's id of the person. Invariants: nobody is put on a list before the remote
//! was asked about them, so that who is on it already or may not be on it is told apart; a place counts as taken only if the answer
//! takes the request.

use async_trait::async_trait;
use headwater_sdk::{
    DeliveryRow, Error, ErrorKind, Fields, Lookup, MatchKey, Operation, Pace, RemoteRecord, Removal, Result, RowOutcome, Sink,
    SinkCapability, WriteReport, Writes,
};

use super::key;
use crate::engine::{Evaluate as _, Executor, Scope};
use crate::language::compile::{ListPlan, MovePlan};

/// People of one call: each is asked about before.
const MAX_ROWS: usize = 100;

/// One list.
#[derive(Debug)]
pub(in crate::language) struct ListSink {
    executor: Executor,
    pub(super) plan: ListPlan,
}

/// What the remote says of a person and the list.
enum Place {
    /// There is no such person.
    Nobody,
    On,
    Off,
    /// May not be put on it.
    Held(String),
}

impl ListSink {
    pub(in crate::language) fn new(executor: Executor, plan: ListPlan) -> Self {
        Self { executor, plan }
    }

    fn scope(&self) -> Scope<'_> {
        Scope::new(&self.executor.plan().config, self.executor.now())
    }

    async fn place(&self, person: &str) -> Result<Place> {
        let named = key(&self.plan.field, &[person]);
        let asked = self.executor.ask(&self.plan.member, &[("key", &named)], false).await?;
        match asked.status {
            200..=299 => {}
            404 | 410 => return Ok(Place::Nobody),
            status => {
                return Err(Error::new(ErrorKind::Rejected, "the remote refused a question about a list")
                    .context("request", self.plan.member.name.clone())
                    .context("status", status.to_string()));
            }
        }
        let scope = Scope { record: Some(&asked.body), ..self.scope() };
        if self.plan.holds.test(&scope)? {
            return Ok(Place::On);
        }
        for hold in &self.plan.hold {
            if hold.when.test(&scope)? {
                return hold.reason.text(&scope).map(Place::Held);
            }
        }
        Ok(Place::Off)
    }

    /// Puts people on the list or takes them off; why it was refused, where it was.
    async fn moved(&self, plan: &MovePlan, people: &[&str]) -> Result<Option<String>> {
        let named = key(&self.plan.field, people);
        let asked = self.executor.ask(&plan.request, &[("key", &named)], false).await?;
        let scope = Scope { response: Some(&asked.body), status: Some(asked.status), ..self.scope() };
        let good = (200..300).contains(&asked.status);
        if good && plan.done.as_ref().map_or(Ok(true), |done| done.test(&scope))? {
            return Ok(None);
        }
        if matches!(asked.status, 404 | 410) {
            // The list may be gone meanwhile: then nobody's row is at fault.
            self.check().await?;
        }
        let reason = plan.reason.as_ref().map(|reason| reason.text(&scope)).transpose()?.filter(|reason| !reason.is_empty());
        Ok(Some(reason.unwrap_or_else(|| format!("the remote refused it with status {} and no reason", asked.status))))
    }

    /// The same for many, each answered for: who is refused together is tried alone.
    async fn all_moved(&self, joins: bool, people: &[&str]) -> Vec<Result<Option<String>>> {
        let plan = if joins { &self.plan.add } else { &self.plan.remove };
        let mut told = Vec::with_capacity(people.len());
        for chunk in people.chunks(plan.batch) {
            match self.moved(plan, chunk).await {
                Ok(Some(_)) if chunk.len() > 1 => {
                    for person in chunk {
                        told.push(match self.moved(plan, &[person]).await {
                            Ok(Some(reason)) => Ok(self.unless_moved(joins, person, reason).await),
                            told => told,
                        });
                    }
                }
                Ok(Some(reason)) => {
                    for person in chunk {
                        told.push(Ok(self.unless_moved(joins, person, reason.clone()).await));
                    }
                }
                Ok(one) => told.extend(chunk.iter().map(|_| Ok(one.clone()))),
                Err(error) => {
                    let again = || Error::new(error.kind(), error.message().to_owned());
                    told.extend(chunk.iter().map(|_| Err(again())));
                }
            }
        }
        told
    }

    /// Why somebody was not moved. Who stands where they were to be was moved by an attempt whose answer got lost: remotes refuse to
    /// move them again.
    async fn unless_moved(&self, joins: bool, person: &str, reason: String) -> Option<String> {
        // Where nobody can look, it stays as it was told.
        let is_moved = self.place(person).await.is_ok_and(|place| matches!(place, Place::On) == joins);
        Some(reason).filter(|_| !is_moved)
    }

    fn record(&self, person: &str) -> RemoteRecord {
        let fields = Fields::from([(self.plan.field.clone(), Some(person.to_owned()))]);
        RemoteRecord { remote_id: person.to_owned(), fields, matched_on: self.plan.field.clone() }
    }

    fn person<'a>(&self, row: &'a DeliveryRow) -> Option<&'a str> {
        row.fields.get(&self.plan.field).and_then(Option::as_deref).filter(|person| !person.is_empty())
    }
}

#[async_trait]
impl Sink for ListSink {
    fn capability(&self) -> SinkCapability {
        SinkCapability { max_rows: MAX_ROWS, lookup: true, calls_per_row: 2 }
    }

    async fn check(&self) -> Result<()> {
        let asked = self.executor.ask(&self.plan.check, &[], false).await?;
        if (200..300).contains(&asked.status) {
            return Ok(());
        }
        let (message, hint) = match &self.plan.missing {
            Some(missing) => (missing.message.text(&self.scope())?, missing.hint.as_str()),
            None => {
                (format!("the account has no list `{}`", self.plan.list), "write the list's id as the connector's README says")
            }
        };
        let error = Error::new(ErrorKind::Config, message).context("path", "list").hint(hint);
        Err(if matches!(asked.status, 400 | 404 | 410) { error } else { error.context("status", asked.status.to_string()) })
    }

    fn person_field(&self) -> Option<&str> {
        Some(&self.plan.field)
    }

    async fn lookup(&self, rows: &[Vec<MatchKey>]) -> Result<Vec<Lookup>> {
        let mut found = Vec::with_capacity(rows.len());
        for keys in rows {
            // Who is still to be made (`new:`) is on no list.
            let person = keys.iter().find(|key| key.field == self.plan.field && !key.value.contains(':'));
            let place = match person {
                Some(key) => self.place(&key.value).await?,
                None => Place::Nobody,
            };
            found.push(match (place, person) {
                (Place::On, Some(key)) => Lookup::Found(self.record(&key.value)),
                (Place::On | Place::Off | Place::Nobody | Place::Held(_), _) => Lookup::Absent,
            });
        }
        Ok(found)
    }

    async fn fetch(&self, remote_id: &str) -> Result<Option<RemoteRecord>> {
        Ok(matches!(self.place(remote_id).await?, Place::On).then(|| self.record(remote_id)))
    }

    async fn write(&self, rows: &[DeliveryRow]) -> Result<WriteReport> {
        let mut outcomes: Vec<Option<RowOutcome>> = Vec::with_capacity(rows.len());
        for row in rows {
            let refused = |reason: &str| Some(RowOutcome::Rejected { reason: reason.to_owned() });
            let Some(person) = self.person(row) else {
                outcomes.push(refused("the row names nobody"));
                continue;
            };
            outcomes.push(match self.place(person).await? {
                Place::On => Some(RowOutcome::Unchanged { remote_id: person.to_owned() }),
                Place::Off => None,
                Place::Nobody => refused("the record is gone"),
                Place::Held(reason) => refused(&reason),
            });
        }
        let joining: Vec<(usize, &str)> = rows
            .iter()
            .enumerate()
            .filter(|(place, _)| matches!(outcomes.get(*place), Some(None)))
            .filter_map(|(place, row)| Some((place, self.person(row)?)))
            .collect();
        let people: Vec<&str> = joining.iter().map(|(_, person)| *person).collect();
        let mut failure = None;
        for ((place, person), told) in joining.iter().zip(self.all_moved(true, &people).await) {
            let remote_id = (*person).to_owned();
            let outcome = match (told, rows.get(*place).map(|row| &row.operation)) {
                (Ok(None), Some(Operation::Update { .. })) => RowOutcome::Updated { remote_id },
                (Ok(None), _) => RowOutcome::Created { remote_id },
                (Ok(Some(reason)), _) => RowOutcome::Rejected { reason },
                (Err(error), _) => {
                    let outcome = RowOutcome::Retry { reason: error.message().to_owned(), after: None };
                    failure = Some(error);
                    outcome
                }
            };
            if let Some(slot) = outcomes.get_mut(*place) {
                *slot = Some(outcome);
            }
        }
        let outcomes: Vec<RowOutcome> = outcomes.into_iter().flatten().collect();
        match failure {
            Some(error) if outcomes.iter().all(|outcome| matches!(outcome, RowOutcome::Retry { .. })) => Err(error),
            _ => WriteReport::new(rows.len(), outcomes),
        }
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
        true
    }

    async fn remove(&self, remote_ids: &[String]) -> Result<Vec<Removal>> {
        let mut removals = Vec::with_capacity(remote_ids.len());
        for id in remote_ids {
            removals.push(match self.place(id).await? {
                Place::On => None,
                Place::Off | Place::Nobody | Place::Held(_) => Some(Removal::Gone),
            });
        }
        let leaving: Vec<(usize, &str)> = remote_ids
            .iter()
            .enumerate()
            .filter(|(place, _)| matches!(removals.get(*place), Some(None)))
            .map(|(place, id)| (place, id.as_str()))
            .collect();
        let people: Vec<&str> = leaving.iter().map(|(_, person)| *person).collect();
        let mut failure = None;
        for ((place, _), told) in leaving.iter().zip(self.all_moved(false, &people).await) {
            let removal = match told {
                Ok(None) => Removal::Removed,
                Ok(Some(reason)) => Removal::Refused { reason },
                Err(error) => {
                    let reason = error.message().to_owned();
                    failure = Some(error);
                    Removal::Refused { reason }
                }
            };
            if let Some(slot) = removals.get_mut(*place) {
                *slot = Some(removal);
            }
        }
        let removals: Vec<Removal> = removals.into_iter().flatten().collect();
        match failure {
            Some(error) if !removals.contains(&Removal::Removed) => Err(error),
            _ => Ok(removals),
        }
    }
}
