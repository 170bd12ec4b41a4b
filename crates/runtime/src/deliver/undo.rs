//! Takes back what one run did to the remotes, as far as nobody has touched it since.
//!
//! A field is put back where it still holds what the run wrote; a record that the run made is removed where all of its fields do.
//! The rest is reported and left. Each step compares before it writes, so that an undo that dies is simply run again.

use std::collections::{BTreeSet, HashMap, HashSet};

use headwater_model::tables;
use headwater_sdk::{Companion, DeliveryRow, Lookup, MatchKey, Operation, RemoteRecord, Removal, RowOutcome, Sink};
use headwater_store::{CrmLink, LedgerOp, LinkUpdate, NewRun, RunStatus, Snapshot};
use serde::Serialize;

use super::leave::given_back;
use super::payload::json;
use super::plan::link_fields;
use super::planner::objectors;
use super::policy::same;
use super::receipt::{self, NewReceipt, OUR_ID, REMOVE, REMOVED, Receipt, UNDO, Values};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::SinkEntry;
use crate::rows::{booleans, load, text};

/// The version of the report's shape.
const REPORT_VERSION: u32 = 1;
/// Records taken back in one step: what was done to them commits together.
const STEP: usize = 100;

/// What an undo did.
#[derive(Debug, Serialize)]
pub struct UndoReport {
    /// The version of this shape.
    pub version: u32,
    /// The run of the undo.
    pub run_id: String,
    /// The run that was undone.
    pub undone: String,
    /// Records whose fields were all put back.
    pub restored: u64,
    /// Records that the run had made and that were removed.
    pub removed: u64,
    /// Records that stood as before already.
    pub unchanged: u64,
    /// What was left as it is, and why.
    pub left: Vec<Left>,
}

/// Something that could not be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The sink.
    pub sink: String,
    /// The prospect.
    pub prospect_id: String,
    /// The remote's record.
    pub remote_id: String,
    /// The remote's field; the whole record when there is none.
    pub field: Option<String>,
    /// Why.
    pub reason: String,
}

/// Undoes what the run `undone` wrote to every sink of the project.
///
/// # Errors
/// When there is no such run, another one is at work, a sink cannot be read or written or the store fails. What was taken back is
/// noted.
pub async fn undo(engine: &Engine, undone: &str) -> Result<UndoReport> {
    if engine.store.run(undone).await?.is_none() {
        return Err(Error::NotFound {
            what: format!("there is no run `{undone}`"),
            hint: "`headwater runs` lists them".to_owned(),
        });
    }
    let began = engine.clock().now_us();
    let lock = engine.store.lock(began).await?;
    let run_id = engine.new_run_id();
    let run = NewRun { run_id: run_id.clone(), command: UNDO.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    engine.store.start_run(&lock, &run, began).await?;
    let mut report = UndoReport {
        version: REPORT_VERSION,
        run_id: run_id.clone(),
        undone: undone.to_owned(),
        restored: 0,
        removed: 0,
        unchanged: 0,
        left: Vec::new(),
    };
    let ended = sinks(engine, undone, &mut report).await.map_err(|error| engine.naming_credentials(error));
    let status = match &ended {
        Err(Error::Interrupted) => RunStatus::Interrupted,
        Err(_) => RunStatus::Failed,
        Ok(()) if !report.left.is_empty() => RunStatus::Rejected,
        Ok(()) => RunStatus::Done,
    };
    let counts = serde_json::to_value(&report).map_err(|error| Error::Internal(error.to_string()))?;
    let reason = ended.as_ref().err().map(Error::in_one_line);
    engine.store.finish_run(&run_id, status, &counts, reason.as_deref(), engine.clock().now_us()).await?;
    ended?;
    drop(lock);
    Ok(report)
}

async fn sinks(engine: &Engine, undone: &str, report: &mut UndoReport) -> Result<()> {
    let snapshot = engine.store.snapshot().await?;
    // What goes with people is taken back after them, and what was made before them too.
    let mut parts: Vec<SinkEntry> = engine.project.parts().collect();
    parts.reverse();
    for entry in &parts {
        let mut receipts = receipt::of_run(&snapshot, &entry.name, undone)?;
        receipts.retain(|receipt| matches!(receipt.outcome.as_str(), "created" | "updated" | "removed") || made(receipt));
        if receipts.is_empty() {
            continue;
        }
        // What was done last is taken back first.
        receipts.reverse();
        let links = engine.store.links(&entry.name).await?;
        let sink = engine.sink(entry)?;
        let tied = tied(engine, entry).await?;
        let gives_back = receipts.iter().any(took_off);
        let reachable = if gives_back { reachable(engine, &snapshot).await? } else { HashSet::new() };
        let mut undo = Undo { engine, entry, sink: sink.as_ref(), links, reachable, tied, report };
        for step in receipts.chunks(STEP) {
            engine.stop_if_told()?;
            undo.step(step).await?;
        }
    }
    Ok(())
}

/// Whether the run made the record: also where a second attempt found what the first one had made.
fn made(receipt: &Receipt) -> bool {
    match receipt.op.as_str() {
        "create" => matches!(receipt.outcome.as_str(), "created" | "updated" | "unchanged"),
        // A place in a list that an undo gave back.
        UNDO => receipt.outcome == "created",
        _ => false,
    }
}

/// Whether the run took somebody off a list.
fn took_off(receipt: &Receipt) -> bool {
    receipt.op == REMOVE && receipt.outcome == REMOVED
}

/// The companies that people whom we wrote belong to.
async fn tied(engine: &Engine, entry: &SinkEntry) -> Result<HashSet<String>> {
    let people = engine.project.sink(entry.sink_name()).filter(|_| entry.companion == Some(Companion::Companies));
    let Some(people) = people else { return Ok(HashSet::new()) };
    let sink = engine.sink(people)?;
    let Some(field) = sink.company_field() else { return Ok(HashSet::new()) };
    let links = engine.store.links(&people.name).await?;
    Ok(links.values().filter_map(|link| link_fields(link).remove(field).flatten()).collect())
}

/// Who may be contacted, also by what was said since people were last resolved.
async fn reachable(engine: &Engine, snapshot: &Snapshot) -> Result<HashSet<String>> {
    let objectors = objectors(engine, snapshot).await?.unwrap_or_default();
    let mut reachable = HashSet::new();
    for batch in load(snapshot, &tables::PROSPECT, &["prospect_id", "may_contact"])? {
        let (id, may_contact) = (text(&batch, "prospect_id")?, booleans(&batch, "may_contact")?);
        let may = (0..batch.num_rows()).filter(|row| may_contact.value(*row)).map(|row| id.value(row));
        reachable.extend(may.filter(|id| !objectors.contains(*id)).map(str::to_owned));
    }
    Ok(reachable)
}

struct Undo<'a> {
    engine: &'a Engine,
    entry: &'a SinkEntry,
    sink: &'a dyn Sink,
    links: HashMap<String, CrmLink>,
    /// Who may be put into a list.
    reachable: HashSet<String>,
    /// Records that others of ours name, and that stay therefore.
    tied: HashSet<String>,
    report: &'a mut UndoReport,
}

/// What is to be done about one receipt.
enum Back {
    /// Nothing: it stands as it stood, or is left.
    Nothing,
    /// The record is gone, and the ledger does not know it yet: an undo died, or was not told.
    Note,
    /// The record goes.
    Remove,
    /// The person is put into the list again.
    Rejoin,
    /// These fields are set; and our id goes, where it had not been there.
    Restore(Values, bool),
}

impl Undo<'_> {
    async fn step(&mut self, receipts: &[Receipt]) -> Result<()> {
        let mut done: Vec<(Receipt, Back)> = Vec::new();
        let (mut removals, mut places, mut restores) = (Vec::new(), Vec::new(), Vec::new());
        let records = self.records(receipts).await?;
        for (receipt, record) in receipts.iter().zip(records) {
            match self.judge(receipt, record).await? {
                Back::Nothing => {}
                Back::Note => done.push((self.removed(receipt)?, Back::Note)),
                Back::Remove => removals.push(receipt),
                Back::Rejoin => places.push(receipt),
                Back::Restore(fields, release) => restores.push((receipt, fields, release)),
            }
        }
        self.remove(&removals, &mut done).await?;
        self.give_back(&places, &mut done).await?;
        self.restore(restores, &mut done).await?;
        self.note(&done).await
    }

    fn leave(&mut self, receipt: &Receipt, field: Option<&str>, reason: impl Into<String>) {
        self.report.left.push(Left {
            sink: self.entry.name.clone(),
            prospect_id: receipt.prospect_id.clone(),
            remote_id: receipt.remote_id.clone().unwrap_or_default(),
            field: field.map(str::to_owned),
            reason: reason.into(),
        });
    }

    /// The records that the receipts are about, as the remote has them now: many in a call where it gives many. Nothing is asked for
    /// those that are left in any case.
    async fn records(&self, receipts: &[Receipt]) -> Result<Vec<Option<RemoteRecord>>> {
        let mut wanted = BTreeSet::new();
        if self.sink.capability().lookup {
            let there = receipts.iter().filter(|receipt| receipt.outcome != REMOVED || took_off(receipt));
            wanted.extend(there.map(|receipt| receipt.remote_id.clone().unwrap_or_default()));
        }
        let wanted: Vec<String> = wanted.into_iter().collect();
        let mut records: HashMap<&String, RemoteRecord> = HashMap::with_capacity(wanted.len());
        for ids in wanted.chunks(self.sink.capability().max_rows.max(1)) {
            let fetched = self.engine.unless_told(self.sink.fetch_all(ids)).await?.map_err(|error| self.failed(error))?;
            if fetched.len() != ids.len() {
                return Err(Error::Internal(format!("sink {} fetched {} rows of {}", self.entry.name, fetched.len(), ids.len())));
            }
            records.extend(ids.iter().zip(fetched).filter_map(|(id, record)| Some((id, record?))));
        }
        let of = |receipt: &Receipt| receipt.remote_id.as_ref().and_then(|id| records.get(id)).cloned();
        Ok(receipts.iter().map(of).collect())
    }

    async fn judge(&mut self, receipt: &Receipt, record: Option<RemoteRecord>) -> Result<Back> {
        if receipt.outcome == REMOVED && !took_off(receipt) {
            self.leave(receipt, None, "the record was removed; a sync makes it again when its data change");
            return Ok(Back::Nothing);
        }
        if !self.sink.capability().lookup {
            self.leave(receipt, None, "the sink cannot be read, so nobody knows whether it was changed since");
            return Ok(Back::Nothing);
        }
        if took_off(receipt) {
            return Ok(self.judge_taken_off(receipt, record.is_some()));
        }
        let Some(record) = record else {
            if made(receipt) {
                self.report.unchanged += 1;
                let is_linked = self.links.get(&receipt.prospect_id).map(|link| &link.remote_id) == receipt.remote_id.as_ref();
                return Ok(if is_linked { Back::Note } else { Back::Nothing });
            }
            self.leave(receipt, None, "the record is gone");
            return Ok(Back::Nothing);
        };
        if made(receipt) {
            return Ok(self.judge_made(receipt, &record));
        }
        let back = self.judge_changed(receipt, &record);
        if let Back::Restore(fields, true) = &back
            && fields.is_empty()
        {
            // The fields stand as before already; an undo that died may have left our id.
            if self.holds_our_id(receipt).await? {
                self.release(receipt).await?;
            }
            self.report.unchanged += 1;
            return Ok(Back::Nothing);
        }
        Ok(back)
    }

    fn judge_taken_off(&mut self, receipt: &Receipt, is_back: bool) -> Back {
        if is_back {
            self.report.unchanged += 1;
            return Back::Nothing;
        }
        if !self.reachable.contains(&receipt.prospect_id) {
            self.leave(receipt, None, "who may not be contacted is not put into a list");
            return Back::Nothing;
        }
        Back::Rejoin
    }

    async fn holds_our_id(&self, receipt: &Receipt) -> Result<bool> {
        if self.sink.identity_field().is_some() {
            // It cannot be searched by our id; a release looks at the record itself.
            return Ok(true);
        }
        let key = MatchKey { field: OUR_ID.to_owned(), value: self.entry.external_id(&receipt.prospect_id) };
        let found = self.sink.lookup(&[vec![key]]).await.map_err(|error| self.failed(error))?;
        Ok(found
            .iter()
            .any(|lookup| matches!(lookup, Lookup::Found(record) if Some(&record.remote_id) == receipt.remote_id.as_ref())))
    }

    async fn release(&self, receipt: &Receipt) -> Result<()> {
        let remote_id = receipt.remote_id.clone().unwrap_or_default();
        self.sink.release(&remote_id, &self.entry.external_id(&receipt.prospect_id)).await.map_err(|error| self.failed(error))
    }

    fn judge_made(&mut self, receipt: &Receipt, record: &RemoteRecord) -> Back {
        let theirs = |field: &String| record.fields.get(field).and_then(Option::as_deref);
        let fields = Receipt::values(receipt.fields.as_ref());
        let touched: Vec<&String> =
            fields.iter().filter(|(field, ours)| !same(ours.as_deref(), theirs(field))).map(|(field, _)| field).collect();
        if !touched.is_empty() {
            for field in touched {
                self.leave(receipt, Some(field), "it was changed in the remote since, so the record stays");
            }
            return Back::Nothing;
        }
        if self.tied.contains(&record.remote_id) {
            self.leave(receipt, None, "people whom other runs wrote belong to it");
            return Back::Nothing;
        }
        if !self.sink.removes() {
            self.leave(receipt, None, "the run made this record, and the sink does not delete: remove it in the remote");
            return Back::Nothing;
        }
        Back::Remove
    }

    fn judge_changed(&mut self, receipt: &Receipt, record: &RemoteRecord) -> Back {
        let (fields, mut before) = (Receipt::values(receipt.fields.as_ref()), Receipt::values(receipt.before.as_ref()));
        let release = before.remove(OUR_ID).is_some();
        let mut back = Values::new();
        let mut left = false;
        for (field, ours) in &fields {
            let theirs = record.fields.get(field).and_then(Option::as_deref);
            let old = before.get(field).cloned().flatten();
            if same(ours.as_deref(), theirs) {
                back.insert(field.clone(), old);
            } else if !same(old.as_deref(), theirs) {
                left = true;
                self.leave(receipt, Some(field), "it was changed in the remote since");
            }
        }
        let release = release && !left;
        if back.is_empty() && !release {
            self.report.unchanged += u64::from(!left);
            return Back::Nothing;
        }
        Back::Restore(back, release)
    }

    async fn remove(&mut self, receipts: &[&Receipt], done: &mut Vec<(Receipt, Back)>) -> Result<()> {
        let ids: Vec<String> = receipts.iter().filter_map(|receipt| receipt.remote_id.clone()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let removals = self.sink.remove(&ids).await.map_err(|error| self.failed(error))?;
        if removals.len() != receipts.len() {
            return Err(Error::Internal(format!("sink {} answered another number of removals", self.entry.name)));
        }
        for (receipt, removal) in receipts.iter().zip(removals) {
            match removal {
                Removal::Removed | Removal::Gone => {
                    self.report.removed += 1;
                    done.push((self.removed(receipt)?, Back::Remove));
                }
                Removal::Refused { reason } => self.leave(receipt, None, reason),
            }
        }
        Ok(())
    }

    /// Puts people into the list again whom the run took off.
    async fn give_back(&mut self, receipts: &[&Receipt], done: &mut Vec<(Receipt, Back)>) -> Result<()> {
        for chunk in receipts.chunks(self.sink.capability().max_rows.max(1)) {
            let place = |receipt: &&Receipt| {
                let fields = Receipt::values(receipt.before.as_ref());
                let key =
                    |(field, value): (&String, &Option<String>)| Some(MatchKey { field: field.clone(), value: value.clone()? });
                let match_keys = fields.iter().filter_map(key).collect();
                DeliveryRow { operation: Operation::Create, match_keys, doubtful: true, ..row(self.entry, receipt, &fields) }
            };
            let rows: Vec<DeliveryRow> = chunk.iter().map(place).collect();
            let outcomes = self.sink.write(&rows).await.map_err(|error| self.failed(error))?.into_outcomes();
            for ((receipt, row), outcome) in chunk.iter().zip(&rows).zip(outcomes) {
                match outcome {
                    RowOutcome::Created { remote_id }
                    | RowOutcome::Updated { remote_id }
                    | RowOutcome::Unchanged { remote_id } => {
                        self.report.restored += 1;
                        let back = self.receipt(receipt, "created", &row.fields, &Values::new())?;
                        done.push((Receipt { remote_id: Some(remote_id), ..back }, Back::Rejoin));
                    }
                    RowOutcome::Rejected { reason } | RowOutcome::Retry { reason, .. } => self.leave(receipt, None, reason),
                }
            }
        }
        Ok(())
    }

    async fn restore(&mut self, restores: Vec<(&Receipt, Values, bool)>, done: &mut Vec<(Receipt, Back)>) -> Result<()> {
        for chunk in restores.chunks(self.sink.capability().max_rows.max(1)) {
            let rows: Vec<DeliveryRow> = chunk.iter().map(|(receipt, fields, _)| row(self.entry, receipt, fields)).collect();
            let outcomes = self.sink.write(&rows).await.map_err(|error| self.failed(error))?.into_outcomes();
            for ((receipt, fields, release), outcome) in chunk.iter().zip(outcomes) {
                match outcome {
                    RowOutcome::Created { .. } | RowOutcome::Updated { .. } | RowOutcome::Unchanged { .. } => {}
                    RowOutcome::Rejected { reason } | RowOutcome::Retry { reason, .. } => {
                        self.leave(receipt, None, reason);
                        continue;
                    }
                }
                if *release {
                    self.release(receipt).await?;
                }
                self.report.restored += 1;
                let mut was = Receipt::values(receipt.fields.as_ref());
                was.retain(|field, _| fields.contains_key(field));
                let back = Back::Restore(fields.clone(), *release);
                done.push((self.receipt(receipt, "updated", fields, &was)?, back));
            }
        }
        Ok(())
    }

    fn removed(&self, of: &Receipt) -> Result<Receipt> {
        self.receipt(of, REMOVED, &Values::new(), &Receipt::values(of.fields.as_ref()))
    }

    fn receipt(&self, of: &Receipt, outcome: &str, fields: &Values, before: &Values) -> Result<Receipt> {
        Ok(Receipt {
            op: UNDO.to_owned(),
            outcome: outcome.to_owned(),
            fields: Some(json(fields)?),
            before: Some(json(before)?),
            reason: Some(format!("undo of {}", self.report.undone)),
            ..of.clone()
        })
    }

    /// Commits the receipts with what is now known of the records.
    async fn note(&mut self, done: &[(Receipt, Back)]) -> Result<()> {
        if done.is_empty() {
            return Ok(());
        }
        let now = self.engine.clock().now_us();
        let (run_id, sink) = (self.report.run_id.clone(), self.entry.name.clone());
        let receipts: Vec<NewReceipt<'_>> = done.iter().map(|(receipt, _)| receipt.borrowed()).collect();
        let mut commit = self.engine.store.commit(&run_id, now);
        commit.append(receipt::staged(self.engine, &sink, &run_id, &receipts, now)?);
        for (receipt, back) in done {
            let prospect_id = receipt.prospect_id.clone();
            commit.ledger(LedgerOp::Undone { sink: sink.clone(), delivery_key: receipt.delivery_key.clone() });
            if let (Back::Rejoin, Some(remote_id)) = (back, &receipt.remote_id) {
                commit.ledger(LedgerOp::Link(LinkUpdate {
                    sink: sink.clone(),
                    prospect_id,
                    remote_id: remote_id.clone(),
                    pushed_hash: given_back(&receipt.delivery_key),
                    pushed_fields: receipt.fields.clone().unwrap_or_default(),
                }));
                continue;
            }
            let Some(link) = self.links.get(&prospect_id) else { continue };
            match back {
                Back::Nothing | Back::Rejoin => {}
                Back::Remove | Back::Note => {
                    commit.ledger(LedgerOp::Unlink { sink: sink.clone(), prospect_id });
                }
                // What was undone is not done again until the data change.
                Back::Restore(fields, _) => {
                    let mut pushed = link_fields(link);
                    pushed.retain(|field, _| !fields.contains_key(field));
                    let pushed_fields = json(&pushed)?;
                    let (remote_id, pushed_hash) = (link.remote_id.clone(), receipt::undone(&link.pushed_hash));
                    commit.ledger(LedgerOp::Link(LinkUpdate {
                        sink: sink.clone(),
                        prospect_id,
                        remote_id,
                        pushed_hash,
                        pushed_fields,
                    }));
                }
            }
        }
        commit.execute().await?;
        Ok(())
    }

    fn failed(&self, error: headwater_sdk::Error) -> Error {
        Error::connection(&self.entry.name, None, error)
    }
}

fn row(entry: &SinkEntry, receipt: &Receipt, fields: &Values) -> DeliveryRow {
    DeliveryRow {
        key: format!("{UNDO}:{}", receipt.delivery_key),
        prospect_id: entry.external_id(&receipt.prospect_id),
        operation: Operation::Update { remote_id: receipt.remote_id.clone().unwrap_or_default() },
        fields: fields.clone(),
        match_keys: Vec::new(),
        doubtful: false,
        // What the run wrote stood there a moment ago.
        seen: Receipt::values(receipt.fields.as_ref()),
    }
}
