//! Erasure: a person's rows leave the lake and the control tables, for good.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use headwater_model::tables::Table;
use headwater_sdk::Removal;
use headwater_store::{
    AuditEntry, Commit, CrmLink, DataFile, LedgerOp, NewRun, OutboxState, PersonKeys, RunLock, RunStatus, Snapshot, StagedFiles,
};
use serde::Serialize;
use serde_json::json;
use tracing::info;

use super::holdings::{Holdings, TIES, Ties, Waiting, counted};
use super::suppression::{hashes, suppression};
use crate::cells::each;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// The version of the report's shape.
const VERSION: u32 = 1;
/// What the ledger calls such a run.
const ERASE: &str = "erase";

/// How a person is erased.
#[derive(Debug, Clone, Default)]
pub struct EraseOptions {
    /// Only say what would go.
    pub dry_run: bool,
    /// Do not keep the person out: whoever has the address may come again.
    pub may_return: bool,
    /// Delete the person's records in the sinks too, where the sink can.
    pub in_sinks: bool,
}

/// What an erasure did. It holds nothing of the person but ids.
#[derive(Debug, Serialize)]
pub struct EraseReport {
    /// The version of this shape.
    pub version: u32,
    /// The run; none when nothing was to be changed.
    pub run_id: Option<String>,
    /// Whether it only says what would go.
    pub dry_run: bool,
    /// The person, and who was merged into them.
    pub prospect_ids: Vec<String>,
    /// Rows that went, by table.
    pub rows: BTreeMap<String, u64>,
    /// Pushes that went from the outbox.
    pub pushes: u64,
    /// Addresses and numbers that are suppressed now and were not before.
    pub suppressed: u64,
    /// The sources that the rows came from: there the person still is.
    pub sources: Vec<String>,
    /// The person's records in sinks.
    pub remote: Vec<RemoteRecord>,
    /// Sinks that may hold a record nobody knows of: a process died while it was being made.
    pub doubtful: Vec<String>,
    /// What else mentions the person.
    pub elsewhere: Elsewhere,
    /// Whether the rest of an erasure that was killed was finished before.
    pub finished_earlier: bool,
}

/// Records that are not the person's and mention an address or number of theirs. They stay.
#[derive(Debug, Serialize)]
pub struct Elsewhere {
    /// How many.
    pub records: u64,
    /// The first of them.
    pub record_ids: Vec<String>,
}

/// A record in a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemoteRecord {
    /// The sink.
    pub sink: String,
    /// The record.
    pub remote_id: String,
    /// What became of it.
    pub fate: Fate,
    /// Why it is still there.
    pub reason: Option<String>,
}

/// What became of a record in a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is still there and must be deleted there.
    ToDelete,
    /// It was deleted.
    Deleted,
    /// It was gone already.
    Gone,
}

impl EraseReport {
    /// Whether somebody must delete records by hand.
    #[must_use]
    pub fn leaves_remote_records(&self) -> bool {
        self.remote.iter().any(|record| record.fate == Fate::ToDelete)
    }
}

/// Erases the person with this address or prospect id.
///
/// # Errors
/// `NotFound` when nothing is held of them; `Usage` when several people have the address, or pushed payloads that mention them wait to
/// be taken in; when another run holds the project; when the store fails. Then nothing was erased.
pub async fn erase(engine: &Engine, who: &str, options: &EraseOptions) -> Result<EraseReport> {
    if options.dry_run {
        let snapshot = engine.store.snapshot().await?;
        let held = Holdings::of(engine, &snapshot, who).await?;
        let mut report = foreseen(engine, &snapshot, &held).await?;
        report.dry_run = true;
        if held.is_empty() && report.remote.is_empty() {
            return Err(nobody());
        }
        return Ok(report);
    }
    let lock = engine.store.lock(engine.clock().now_us()).await?;
    let finished_earlier = finish_pending(engine, &lock).await?;
    let snapshot = engine.store.snapshot().await?;
    let held = Holdings::of(engine, &snapshot, who).await?;
    let mut report = foreseen(engine, &snapshot, &held).await?;
    report.finished_earlier = finished_earlier;
    if held.is_empty() && report.remote.is_empty() {
        return if finished_earlier { Ok(report) } else { Err(nobody()) };
    }
    let intake = unclaimed(engine, &held.waiting)?;
    let run_id = engine.new_run_id();
    let now = engine.clock().now_us();
    let run = NewRun { run_id: run_id.clone(), command: ERASE.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    engine.store.start_run(&lock, &run, now).await?;
    report.run_id = Some(run_id.clone());
    let keys = held.keys(intake);
    let ended = remove(engine, &lock, (&snapshot, &held, keys), options, &mut report).await;
    let status = match &ended {
        Err(Error::Interrupted) => RunStatus::Interrupted,
        Err(_) => RunStatus::Failed,
        Ok(()) => RunStatus::Done,
    };
    // The runs are kept: what they tell must not lead back to the person.
    let counts = json!({ "rows": report.rows.values().sum::<u64>(), "remote": report.remote.len() });
    let reason = ended.as_ref().err().map(Error::in_one_line);
    engine.store.finish_run(&run_id, status, &counts, reason.as_deref(), engine.clock().now_us()).await?;
    ended?;
    drop(lock);
    info!(run = run_id, rows = report.rows.values().sum::<u64>(), "person erased");
    Ok(report)
}

/// Finishes an erasure that was killed after its commit; whether there was one.
///
/// # Errors
/// When a file cannot be removed or somebody reads the ledger meanwhile.
pub async fn finish_pending(engine: &Engine, lock: &RunLock) -> Result<bool> {
    if !engine.store.erasure_pending().await? {
        return Ok(false);
    }
    engine.store.finish_erasure(lock, engine.clock().now_us()).await?;
    info!("an erasure that was interrupted is finished");
    Ok(true)
}

fn nobody() -> Error {
    Error::NotFound {
        what: "nothing is held of this person".to_owned(),
        hint: "to keep somebody out who was never here, `headwater suppress ADDRESS`".to_owned(),
    }
}

/// What an erasure would do.
async fn foreseen(engine: &Engine, snapshot: &Snapshot, held: &Holdings) -> Result<EraseReport> {
    let records = engine.store.person_records(&held.keys(Vec::new())).await?;
    let doubtful: BTreeSet<String> =
        records.pushes.iter().filter(|push| push.state == OutboxState::Sent).map(|push| push.entry.sink.clone()).collect();
    Ok(EraseReport {
        version: VERSION,
        run_id: None,
        dry_run: false,
        prospect_ids: held.prospects.iter().cloned().collect(),
        rows: counted(held, snapshot)?,
        pushes: records.pushes.len() as u64,
        suppressed: 0,
        sources: held.sources.iter().cloned().collect(),
        remote: remote_records(&records.links),
        doubtful: doubtful.into_iter().collect(),
        elsewhere: Elsewhere { records: held.mentions, record_ids: held.mentioned_in.clone() },
        finished_earlier: false,
    })
}

/// Two prospects of one person may be one record.
fn remote_records(links: &[CrmLink]) -> Vec<RemoteRecord> {
    let unique: BTreeSet<(&str, &str)> = links.iter().map(|link| (link.sink.as_str(), link.remote_id.as_str())).collect();
    let record = |(sink, remote_id): (&str, &str)| RemoteRecord {
        sink: sink.to_owned(),
        remote_id: remote_id.to_owned(),
        fate: Fate::ToDelete,
        reason: None,
    };
    unique.into_iter().map(record).collect()
}

/// Payloads of sources that the project no longer has, which no run would ever take in. One of a source that it has may hold
/// other people as well, so it is taken in first.
fn unclaimed(engine: &Engine, waiting: &[Waiting]) -> Result<Vec<i64>> {
    let claimed = waiting.iter().filter(|payload| engine.project.source(&payload.source).is_some()).count();
    if claimed > 0 {
        return Err(Error::NotFound {
            what: format!("{claimed} deliveries that mention this person wait to be taken in; nothing was erased"),
            hint: "run `headwater sync --stage ingest --stage resolve`, and erase again".to_owned(),
        });
    }
    Ok(waiting.iter().map(|payload| payload.seq).collect())
}

async fn remove(
    engine: &Engine,
    lock: &RunLock,
    (snapshot, held, keys): (&Snapshot, &Holdings, PersonKeys),
    options: &EraseOptions,
    report: &mut EraseReport,
) -> Result<()> {
    let now = engine.clock().now_us();
    let run_id = report.run_id.clone().unwrap_or_default();
    let mut commit = engine.store.commit(&run_id, now);
    for (table, ties) in TIES.iter().copied() {
        for file in snapshot.files(table) {
            engine.stop_if_told()?;
            // Whose a deleted row was can no longer be told: what tied it to the person may be deleted too. So none stays.
            if file.deleted > 0 || held.rows_in(snapshot, table, ties, file)? > 0 {
                let staged = without(engine, held, (snapshot, table, ties), file)?;
                commit.rewrite(table, std::slice::from_ref(file), vec![staged]);
            }
        }
    }
    report.suppressed = note(engine, held, options, &mut commit, (&run_id, now), report).await?;
    commit.ledger(LedgerOp::Erase(keys.clone()));
    commit.execute().await?;
    engine.store.finish_erasure(lock, engine.clock().now_us()).await?;
    if options.in_sinks {
        let links = engine.store.person_records(&keys).await?.links;
        remove_remote(engine, &links, &run_id, report).await?;
    }
    Ok(())
}

/// The rows of a file that are somebody else's, and not deleted.
fn without(
    engine: &Engine,
    held: &Holdings,
    (snapshot, table, ties): (&Snapshot, &'static Table, Ties),
    file: &DataFile,
) -> Result<StagedFiles> {
    let mut writer = engine.store.rewriter(table, file)?;
    for batch in snapshot.read_file(table, &[], file)? {
        let batch = [batch?];
        let keep: BooleanArray = each(&batch).map(|row| Ok(Some(!held.is_theirs(row, ties)?))).collect::<Result<_>>()?;
        for batch in &batch {
            writer.write(&filter_record_batch(batch, &keep)?)?;
        }
    }
    Ok(writer.finish()?)
}

/// Notes the erasure for the audit, and keeps the person out unless they may return; how many are newly kept out.
async fn note(
    engine: &Engine,
    held: &Holdings,
    options: &EraseOptions,
    commit: &mut Commit,
    (run_id, now): (&str, i64),
    report: &EraseReport,
) -> Result<u64> {
    let values: Vec<String> = held.addresses.iter().chain(&held.numbers).cloned().collect();
    let known = engine.store.suppression_set().await?;
    let detail = json!({ "run_id": run_id, "rows": report.rows, "remote": report.remote.len(), "kept_out": !options.may_return });
    let entry = |subject_hmac| {
        let (actor, action, detail) = (ERASE.to_owned(), ERASE.to_owned(), detail.to_string());
        LedgerOp::Audit(AuditEntry { actor, action, subject_hmac, detail })
    };
    let mut new = 0;
    if values.is_empty() {
        commit.ledger(entry(None));
    }
    for (kind, hmac) in hashes(&engine.suppression_hasher().await?, &values)? {
        commit.ledger(entry(Some(hmac.clone())));
        if !options.may_return {
            new += u64::from(!known.contains(&hmac));
            commit.ledger(suppression(kind, hmac, "erasure", (ERASE, now)));
        }
    }
    Ok(new)
}

/// Deletes the person's records in the sinks that can. One that cannot, or does not answer, keeps its record, and it is said so.
async fn remove_remote(engine: &Engine, links: &[CrmLink], run_id: &str, report: &mut EraseReport) -> Result<()> {
    for record in &mut report.remote {
        engine.stop_if_told()?;
        let (fate, reason) = match removed(engine, &record.sink, &record.remote_id).await? {
            Ok(fate) => (fate, None),
            Err(reason) => (Fate::ToDelete, Some(reason)),
        };
        (record.fate, record.reason) = (fate, reason);
        if fate == Fate::ToDelete {
            continue;
        }
        let mut commit = engine.store.commit(run_id, engine.clock().now_us());
        for link in links.iter().filter(|link| link.sink == record.sink && link.remote_id == record.remote_id) {
            commit.ledger(LedgerOp::Unlink { sink: link.sink.clone(), prospect_id: link.prospect_id.clone() });
        }
        commit.execute().await?;
    }
    Ok(())
}

/// What became of a record, or why it is still there.
async fn removed(engine: &Engine, sink: &str, remote_id: &str) -> Result<Result<Fate, String>> {
    let Some(entry) = engine.project.sink(sink) else { return Ok(Err("the project no longer has this sink".to_owned())) };
    let sink = match engine.sink(entry) {
        Ok(sink) => sink,
        Err(error) => return Ok(Err(error.in_one_line())),
    };
    if !sink.removes() {
        if sink.capability().lookup {
            let found = engine.unless_told(sink.fetch(remote_id)).await?;
            if matches!(found, Ok(None)) {
                return Ok(Ok(Fate::Gone));
            }
        }
        return Ok(Err("the sink does not delete".to_owned()));
    }
    Ok(match engine.unless_told(sink.remove(&[remote_id.to_owned()])).await? {
        Ok(removals) => match removals.into_iter().next() {
            Some(Removal::Removed) => Ok(Fate::Deleted),
            Some(Removal::Gone) => Ok(Fate::Gone),
            Some(Removal::Refused { reason }) => Err(reason),
            None => Err("the sink did not say what became of it".to_owned()),
        },
        Err(error) => Err(error.to_string()),
    })
}
