//! From the outbox into the remote, and what it said back into the ledger and the lake.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use headwater_model::suppression::Kind;
use headwater_model::{email, ids, phone, tables};
use headwater_sdk::{DeliveryRow, ErrorKind, MatchKey, Operation, RowOutcome, Sink};
use headwater_store::{DeliveryOp, LedgerOp, LinkUpdate, OutboxEntry, OutboxRow, Outcome, Settlement};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::SinkCounts;
use super::budget::Budget;
use super::plan::{Action, Plan, PlannedRow};
use super::receipt::{self, OUR_ID, Receipt};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::SinkEntry;
use crate::resolve;

/// How often one run offers a row to the remote before it leaves it to the next run.
const ATTEMPTS_PER_RUN: i64 = 4;
/// The longest wait that a run sits through because the remote asked for it.
const MAX_WAIT: Duration = Duration::from_secs(90);
/// The wait before another attempt where the remote names none; doubled with each attempt.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Rows queued in one commit.
const ROWS_PER_COMMIT: usize = 2_000;

/// What the outbox keeps of a row beside the fields to set.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    fields: BTreeMap<String, Option<String>>,
    desired: BTreeMap<String, Option<String>>,
    pushed: BTreeMap<String, Option<String>>,
    hash: String,
    match_keys: Vec<(String, String)>,
}

/// Queues what a plan wants written, and notes the links it found.
pub(super) async fn enqueue(engine: &Engine, entry: &SinkEntry, plan: &Plan, run_id: &str) -> Result<()> {
    let now = engine.clock().now_us();
    let mut work: Vec<&PlannedRow> =
        plan.rows.iter().filter(|row| matches!(row.action, Action::Create | Action::Update) || row.relink).collect();
    // Changes of one kind go into few statements.
    work.sort_by_key(|row| !row.relink);
    for chunk in work.chunks(ROWS_PER_COMMIT) {
        let mut commit = engine.store.commit(run_id, now);
        for row in chunk {
            let all = |fields: &BTreeMap<String, String>| -> BTreeMap<String, Option<String>> {
                fields.iter().map(|(field, value)| (field.clone(), Some(value.clone()))).collect()
            };
            let (desired, pushed) = (all(&row.desired), all(&row.pushed));
            if row.relink {
                commit.ledger(LedgerOp::Link(LinkUpdate {
                    sink: entry.name.clone(),
                    prospect_id: row.prospect_id.clone(),
                    remote_id: row.remote_id.clone().unwrap_or_default(),
                    pushed_hash: row.hash.clone(),
                    pushed_fields: json(&pushed)?,
                }));
                continue;
            }
            let fields = row.changes.iter().map(|change| (change.field.clone(), change.after.clone())).collect();
            let match_keys = row.keys.iter().map(|key| (key.field.clone(), key.value.clone())).collect();
            let mut before: BTreeMap<&str, Option<&str>> =
                row.changes.iter().map(|change| (change.field.as_str(), change.before.as_deref())).collect();
            if row.adopted {
                before.insert(OUR_ID, None);
            }
            commit.ledger(LedgerOp::Enqueue(OutboxEntry {
                sink: entry.name.clone(),
                prospect_id: row.prospect_id.clone(),
                delivery_key: row.key.clone(),
                op: if row.remote_id.is_some() { DeliveryOp::Update } else { DeliveryOp::Create },
                remote_id: row.remote_id.clone(),
                payload: json(&Payload { fields, desired, pushed, hash: row.hash.clone(), match_keys })?,
                before: Some(json(&before)?),
            }));
        }
        commit.execute().await?;
    }
    Ok(())
}

fn json(value: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(value).map_err(|error| Error::Internal(error.to_string()))
}

/// Queues again what a run that died had under way: the remote may or may not have it.
pub(super) async fn requeue_doubtful(engine: &Engine, sink: &str) -> Result<()> {
    let doubtful = engine.store.outbox_doubtful(sink).await?;
    if !doubtful.is_empty() {
        warn!(
            connection = sink,
            rows = doubtful.len(),
            "an earlier run died while pushing; looking these up before pushing them again"
        );
        let ids: Vec<i64> = doubtful.iter().map(|row| row.id).collect();
        engine.store.outbox_requeue(&ids, engine.clock().now_us()).await?;
    }
    Ok(())
}

/// Pushes what is due until nothing is, or the remote asks for more patience than a run has.
///
/// # Errors
/// When the remote cannot be written now: what is left waits in the outbox.
pub(super) async fn drain(
    engine: &Engine,
    entry: &SinkEntry,
    sink: &dyn Sink,
    plan: &Plan,
    run_id: &str,
    counts: &mut SinkCounts,
) -> Result<()> {
    stop_unplanned(engine, entry, plan, counts).await?;
    let pushed = push(engine, entry, sink, run_id, counts).await;
    let waiting = engine.store.outbox_waiting(&entry.name).await?;
    // Who waits for another record is not in the outbox yet.
    let later = plan.rows.iter().filter(|row| row.action == Action::Waiting && row.waits_for_another);
    counts.pending = (waiting.len() + later.count()) as u64;
    pushed
}

async fn push(engine: &Engine, entry: &SinkEntry, sink: &dyn Sink, run_id: &str, counts: &mut SinkCounts) -> Result<()> {
    let most = sink.capability().max_rows.max(1);
    let mut budget = Budget::of(engine, entry, sink).await?;
    if let Some(budget) = &mut budget {
        // What looking cost.
        budget.note(run_id).await?;
    }
    let mut waits = 0;
    loop {
        engine.stop_if_told()?;
        let fits = budget.as_ref().map_or(most, |budget| budget.rows(most));
        let limit = u32::try_from(fits).unwrap_or(u32::MAX);
        let now = engine.clock().now_us();
        let due = engine.store.outbox_due(&entry.name, now, limit.max(1)).await?;
        if limit == 0 && !due.is_empty() {
            warn!(connection = entry.name, "the day's calls are used up; what is left waits for the next day of UTC");
            break;
        }
        if due.is_empty() {
            let Some(wait) = next_wait(engine, &entry.name, now).await? else { break };
            waits += 1;
            if wait > MAX_WAIT || waits > ATTEMPTS_PER_RUN {
                break;
            }
            tokio::select! {
                () = engine.cancel.cancelled() => return Err(Error::Interrupted),
                () = tokio::time::sleep(wait) => {}
            }
            continue;
        }
        let due = stop_suppressed(engine, due, counts).await?;
        if !due.is_empty() {
            let written = write(engine, entry, sink, run_id, &due, counts).await;
            if let Some(budget) = &mut budget {
                budget.note(run_id).await?;
            }
            written?;
        }
        engine.progress.tell(&entry.name, counts.created + counts.updated, None);
    }
    Ok(())
}

/// Settles as held back what an earlier run queued and the plan no longer wants: the audience does not admit these people any more,
/// or a rule holds them back.
async fn stop_unplanned(engine: &Engine, entry: &SinkEntry, plan: &Plan, counts: &mut SinkCounts) -> Result<()> {
    let reasons: HashMap<&String, Option<&str>> = plan
        .rows
        .iter()
        .flat_map(|row| {
            let reason = (row.action == Action::HeldBack).then(|| row.reason.as_deref().unwrap_or_default());
            row.ids().map(move |id| (id, reason))
        })
        .collect();
    let waiting = engine.store.outbox_waiting(&entry.name).await?;
    if waiting.iter().all(|id| matches!(reasons.get(id), Some(None))) {
        return Ok(());
    }
    let mut stopped = Vec::new();
    for row in engine.store.outbox_due(&entry.name, i64::MAX, u32::MAX).await? {
        let reason = match reasons.get(&row.entry.prospect_id) {
            Some(None) => continue,
            // The plan has counted this person.
            Some(Some(reason)) => reason,
            None => {
                counts.held_back += 1;
                "no longer in the audience"
            }
        };
        stopped.push(held_back(&row, reason));
    }
    engine.store.outbox_settle(&stopped, engine.clock().now_us()).await?;
    Ok(())
}

fn held_back(row: &OutboxRow, reason: &str) -> Settlement {
    Settlement {
        id: row.id,
        outcome: Outcome::HeldBack,
        remote_id: None,
        reason: Some(reason.to_owned()),
        next_attempt_at: None,
        link: None,
    }
}

/// Takes out the rows of people who objected while others were pushed, and settles them as held back.
async fn stop_suppressed(engine: &Engine, due: Vec<OutboxRow>, counts: &mut SinkCounts) -> Result<Vec<OutboxRow>> {
    let screen = engine.screen().await?;
    if screen.is_empty() {
        return Ok(due);
    }
    let stopped = |row: &OutboxRow| {
        let values = row.entry.payload.get("desired").and_then(serde_json::Value::as_object).into_iter().flatten();
        values.filter_map(|(_, value)| value.as_str()).any(|value| {
            email::normalise(value).is_some_and(|email| screen.stops(Kind::Email, &email))
                || phone::normalise(value, None).is_some_and(|phone| screen.stops(Kind::Phone, &phone))
        })
    };
    let (held, free): (Vec<OutboxRow>, Vec<OutboxRow>) = due.into_iter().partition(stopped);
    let settlements: Vec<Settlement> = held.iter().map(|row| held_back(row, resolve::SUPPRESSED)).collect();
    if !settlements.is_empty() {
        engine.store.outbox_settle(&settlements, engine.clock().now_us()).await?;
        counts.held_back += settlements.len() as u64;
    }
    Ok(free)
}

/// How long until the next row may be tried, if one waits.
async fn next_wait(engine: &Engine, sink: &str, now_us: i64) -> Result<Option<Duration>> {
    let at = engine.store.outbox_next_attempt(sink).await?;
    Ok(at.map(|at| Duration::from_micros(u64::try_from(at - now_us).unwrap_or(0))))
}

/// Offers rows to the remote and settles what it said.
async fn write(
    engine: &Engine,
    entry: &SinkEntry,
    sink: &dyn Sink,
    run_id: &str,
    due: &[OutboxRow],
    counts: &mut SinkCounts,
) -> Result<()> {
    let ids: Vec<i64> = due.iter().map(|row| row.id).collect();
    let payloads: Vec<Payload> = due
        .iter()
        .map(|row| {
            Payload::deserialize(&row.entry.payload)
                .map_err(|error| Error::Internal(format!("an outbox row cannot be read: {error}")))
        })
        .collect::<Result<_>>()?;
    let rows: Vec<DeliveryRow> =
        due.iter().zip(&payloads).map(|(row, payload)| delivery(row, payload, sink.whole_rows())).collect();
    engine.store.outbox_mark_sent(&ids, engine.clock().now_us()).await?;
    let (outcomes, failure) = offer(sink, rows).await;
    settle(engine, entry, run_id, (due, &payloads, &outcomes), counts).await?;
    failure.map_or(Ok(()), |error| Err(Error::connection(&entry.name, None, error)))
}

/// Offers rows to a sink. Where it refuses a call as a whole because of what is in it, its halves are offered apart, until the rows
/// at fault stand alone. Any other error leaves what has no outcome yet to another attempt.
async fn offer(sink: &dyn Sink, mut rows: Vec<DeliveryRow>) -> (Vec<RowOutcome>, Option<headwater_sdk::Error>) {
    let mut outcomes: Vec<Option<RowOutcome>> = vec![None; rows.len()];
    let mut parts = Vec::new();
    parts.push(0..rows.len());
    let mut failure = None;
    while let Some(part) = parts.pop() {
        let (Some(offered), Some(slots)) = (rows.get_mut(part.clone()), outcomes.get_mut(part.clone())) else { break };
        match sink.write(offered).await {
            Ok(report) => slots.iter_mut().zip(report.into_outcomes()).for_each(|(slot, outcome)| *slot = Some(outcome)),
            Err(error) if is_about_rows(&error) && offered.len() > 1 => {
                // Nothing is known to be written, which is not to say that nothing is.
                offered.iter_mut().for_each(|row| row.doubtful = true);
                let middle = part.start.midpoint(part.end);
                parts.extend([middle..part.end, part.start..middle]);
            }
            Err(error) if is_about_rows(&error) => {
                let outcome = RowOutcome::Rejected { reason: error.message().to_owned() };
                slots.iter_mut().for_each(|slot| *slot = Some(outcome.clone()));
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    // The rest may or may not have arrived; it stays doubtful and waits.
    let reason = failure.as_ref().map_or("it was not offered", headwater_sdk::Error::message).to_owned();
    let wait = || RowOutcome::Retry { reason: reason.clone(), after: None };
    (outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(wait)).collect(), failure)
}

/// Whether an error says that something about the rows is wrong, and not about the remote or our settings.
fn is_about_rows(error: &headwater_sdk::Error) -> bool {
    matches!(error.kind(), ErrorKind::Rejected | ErrorKind::Conflict | ErrorKind::Input)
}

fn delivery(row: &OutboxRow, payload: &Payload, whole: bool) -> DeliveryRow {
    let operation = match &row.entry.remote_id {
        Some(remote_id) => Operation::Update { remote_id: remote_id.clone() },
        None => Operation::Create,
    };
    DeliveryRow {
        key: row.entry.delivery_key.clone(),
        prospect_id: row.entry.prospect_id.clone(),
        operation,
        fields: if whole { &payload.pushed } else { &payload.fields }.clone(),
        match_keys: payload
            .match_keys
            .iter()
            .map(|(field, value)| MatchKey { field: field.clone(), value: value.clone() })
            .collect(),
        doubtful: row.attempts > 0,
    }
}

async fn settle(
    engine: &Engine,
    entry: &SinkEntry,
    run_id: &str,
    (due, payloads, outcomes): (&[OutboxRow], &[Payload], &[RowOutcome]),
    counts: &mut SinkCounts,
) -> Result<()> {
    let now = engine.clock().now_us();
    let mut commit = engine.store.commit(run_id, now);
    let mut receipts = Vec::with_capacity(due.len());
    for ((row, payload), outcome) in due.iter().zip(payloads).zip(outcomes) {
        let verdict = verdict(outcome, row, now);
        match outcome {
            RowOutcome::Created { .. } => counts.created += 1,
            RowOutcome::Updated { .. } => counts.updated += 1,
            RowOutcome::Unchanged { .. } => counts.unchanged += 1,
            RowOutcome::Rejected { .. } => counts.rejected += 1,
            RowOutcome::Retry { .. } => {}
        }
        let link = verdict.remote_id.as_ref().map(|remote_id| {
            Ok::<_, Error>(LinkUpdate {
                sink: entry.name.clone(),
                prospect_id: row.entry.prospect_id.clone(),
                remote_id: remote_id.clone(),
                pushed_hash: payload.hash.clone(),
                pushed_fields: json(&payload.pushed)?,
            })
        });
        commit.ledger(LedgerOp::Settle(Settlement {
            id: row.id,
            outcome: verdict.outcome,
            remote_id: verdict.remote_id.clone(),
            reason: verdict.reason.clone(),
            next_attempt_at: verdict.next_attempt_at,
            link: link.transpose()?,
        }));
        receipts.push((row, payload, verdict));
    }
    let written: Vec<Receipt> = receipts.iter().map(|(row, payload, said)| receipt_of(row, payload, said)).collect();
    commit.append(receipt::staged(engine, &entry.name, run_id, &written, now)?);
    if let Some(refused) = quarantined(engine, entry, run_id, &receipts, now)? {
        commit.append(refused);
    }
    commit.execute().await?;
    Ok(())
}

struct Said {
    outcome: Outcome,
    word: &'static str,
    remote_id: Option<String>,
    reason: Option<String>,
    next_attempt_at: Option<i64>,
}

fn verdict(outcome: &RowOutcome, row: &OutboxRow, now_us: i64) -> Said {
    let written = |outcome, word, remote_id: &String| Said {
        outcome,
        word,
        remote_id: Some(remote_id.clone()),
        reason: None,
        next_attempt_at: None,
    };
    match outcome {
        RowOutcome::Created { remote_id } => written(Outcome::Written, "created", remote_id),
        RowOutcome::Updated { remote_id } => written(Outcome::Written, "updated", remote_id),
        RowOutcome::Unchanged { remote_id } => written(Outcome::Unchanged, "unchanged", remote_id),
        RowOutcome::Rejected { reason } => Said {
            outcome: Outcome::Rejected,
            word: "rejected",
            remote_id: None,
            reason: Some(reason.clone()),
            next_attempt_at: None,
        },
        RowOutcome::Retry { reason, after } => {
            let doublings = u32::try_from(row.attempts).unwrap_or(0).min(10);
            let wait = after.unwrap_or(FIRST_WAIT * 2_u32.pow(doublings));
            let at = now_us.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX));
            Said {
                outcome: Outcome::Retry,
                word: "retry",
                remote_id: None,
                reason: Some(reason.clone()),
                next_attempt_at: Some(at),
            }
        }
    }
}

type Settled<'a> = (&'a OutboxRow, &'a Payload, Said);

/// What was pushed and what the remote said.
fn receipt_of(row: &OutboxRow, payload: &Payload, said: &Said) -> Receipt {
    Receipt {
        prospect_id: row.entry.prospect_id.clone(),
        delivery_key: row.entry.delivery_key.clone(),
        op: row.entry.op.as_str().to_owned(),
        outcome: said.word.to_owned(),
        remote_id: said.remote_id.clone().or_else(|| row.entry.remote_id.clone()),
        fields: serde_json::to_string(&payload.fields).ok(),
        before: row.entry.before.as_ref().map(ToString::to_string),
        reason: said.reason.clone(),
    }
}

/// The field that a remote's reason blames, where it names one of those that were pushed: `email: …`, `… (field email)`.
fn blamed(reason: &str, payload: &Payload) -> Option<String> {
    let names = |field: &&String| {
        reason.split("; ").any(|part| part.strip_prefix(field.as_str()).is_some_and(|rest| rest.starts_with(':')))
            || reason.contains(&format!("(field {field}"))
    };
    payload.fields.keys().find(names).cloned()
}

/// Rows of `quarantine` for what the remote refused; nothing when it refused nothing.
fn quarantined(
    engine: &Engine,
    entry: &SinkEntry,
    run_id: &str,
    receipts: &[Settled<'_>],
    now_us: i64,
) -> Result<Option<headwater_store::StagedFiles>> {
    let refused: Vec<&Settled<'_>> = receipts.iter().filter(|(_, _, said)| matches!(said.outcome, Outcome::Rejected)).collect();
    if refused.is_empty() {
        return Ok(None);
    }
    let rows = refused.len();
    let same = |value: &str| -> ArrayRef { Arc::new(StringArray::new_repeated(value, rows)) };
    let column = |value: &dyn Fn(&Settled<'_>) -> Option<String>| -> ArrayRef {
        Arc::new(refused.iter().map(|receipt| value(receipt)).collect::<StringArray>())
    };
    let columns: Vec<ArrayRef> = vec![
        column(&|(row, _, _)| Some(ids::derived("qrn_", &[&entry.name, &row.entry.delivery_key]))),
        same(&entry.name),
        same("delivery"),
        column(&|(row, _, _)| Some(row.entry.prospect_id.clone())),
        same("deliver"),
        same("remote_refused"),
        column(&|(_, payload, said)| blamed(said.reason.as_deref()?, payload)),
        column(&|(_, _, said)| said.reason.clone()),
        column(&|(_, payload, _)| serde_json::to_string(&payload.fields).ok()),
        Arc::new(TimestampMicrosecondArray::from_value(now_us, rows).with_timezone("UTC")),
        same(run_id),
    ];
    let mut writer = engine.store.writer(&tables::QUARANTINE, Some(&entry.name))?;
    writer.write(&RecordBatch::try_new(tables::QUARANTINE.schema(), columns)?)?;
    Ok(Some(writer.finish()?))
}
