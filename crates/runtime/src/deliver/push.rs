//! From the outbox into the remote, and what it said back into the ledger and the lake.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use async_trait::async_trait;
use headwater_model::suppression::Kind;
use headwater_model::{email, ids, phone, tables};
use headwater_sdk::sink::MOVED;
use headwater_sdk::{DeliveryRow, ErrorKind, Removal, RowOutcome, Sink};
use headwater_store::{DeliveryOp, DuePush, LedgerOp, LinkUpdate, Outcome, Settlement};
use tracing::warn;

use super::SinkCounts;
use super::budget::Budget;
use super::look;
use super::payload::{self, Payload, json};
use super::plan::{Action, Plan, PlannedRow};
use super::planner::Part;
use super::receipt::{self, NewReceipt, REMOVED};
use super::taker::Taker;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::{RetrySection, SinkEntry};
use crate::resolve;

/// How often one run waits for rows without any of them getting on, before it leaves them to the next run.
const WAITS_IN_VAIN: u32 = 4;
/// The longest wait that a run sits through because the remote asked for it.
const MAX_WAIT: Duration = Duration::from_secs(90);
/// The wait before another attempt where the remote names none; doubled with each attempt.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Microseconds of an hour.
const HOUR_US: i64 = 3_600_000_000;
/// Rows queued in one commit.
const ROWS_PER_COMMIT: usize = 2_000;

/// Takes a plan into the outbox as it is made.
pub(super) struct Queue<'a> {
    engine: &'a Engine,
    entry: &'a SinkEntry,
    run_id: &'a str,
    /// Who has a push of an earlier run waiting, and what the plan says of them.
    earlier: HashMap<String, Earlier>,
}

/// What a plan says of somebody who has a push of an earlier run waiting.
enum Earlier {
    /// Nothing: they are no longer in the audience.
    NotPlanned,
    /// The push is still wanted.
    Wanted,
    /// It is not, for this reason.
    Held(String),
}

impl<'a> Queue<'a> {
    pub(super) async fn new(engine: &'a Engine, entry: &'a SinkEntry, run_id: &'a str) -> Result<Self> {
        let waiting = engine.store.outbox_waiting(&entry.name).await?;
        let earlier = waiting.into_iter().map(|id| (id, Earlier::NotPlanned)).collect();
        Ok(Self { engine, entry, run_id, earlier })
    }

    fn compare(&mut self, rows: &[PlannedRow]) {
        if self.earlier.is_empty() {
            return;
        }
        for row in rows {
            for id in row.ids() {
                if let Some(earlier) = self.earlier.get_mut(id) {
                    *earlier = match row.action {
                        Action::HeldBack => Earlier::Held(row.reason.clone().unwrap_or_default()),
                        Action::Create
                        | Action::Update
                        | Action::Leave
                        | Action::Unchanged
                        | Action::Rejected
                        | Action::Waiting => Earlier::Wanted,
                    };
                }
            }
        }
    }

    /// Settles as held back what an earlier run queued and the plan, now complete, no longer wants: the audience does not admit
    /// these people any more, or a rule holds them back.
    pub(super) async fn stop_unplanned(self, counts: &mut SinkCounts) -> Result<()> {
        let Self { engine, entry, earlier, run_id: _ } = self;
        let unwanted: Vec<&str> =
            earlier.iter().filter(|(_, earlier)| !matches!(earlier, Earlier::Wanted)).map(|(id, _)| id.as_str()).collect();
        if unwanted.is_empty() {
            return Ok(());
        }
        let mut stopped = Vec::new();
        for (id, prospect_id) in engine.store.outbox_waiting_of(&entry.name, &unwanted).await? {
            let reason = match earlier.get(&prospect_id) {
                Some(Earlier::Wanted) | None => continue,
                // The plan has counted this person.
                Some(Earlier::Held(reason)) => reason,
                Some(Earlier::NotPlanned) => {
                    counts.held_back += 1;
                    "no longer in the audience"
                }
            };
            stopped.push(held_back(id, reason));
        }
        engine.store.outbox_settle(&stopped, engine.clock().now_us()).await?;
        Ok(())
    }
}

/// Queues what is to be written of the rows, and notes the links that were found.
#[async_trait]
impl Taker for Queue<'_> {
    async fn take(&mut self, rows: &[PlannedRow], _leaving: bool) -> Result<()> {
        let now = self.engine.clock().now_us();
        self.compare(rows);
        let mut work: Vec<&PlannedRow> = rows
            .iter()
            .filter(|row| matches!(row.action, Action::Create | Action::Update | Action::Leave) || row.relink)
            .collect();
        // Changes of one kind go into few statements.
        work.sort_by_key(|row| !row.relink);
        for chunk in work.chunks(ROWS_PER_COMMIT) {
            let mut commit = self.engine.store.commit(self.run_id, now);
            for row in chunk {
                commit.ledger(if row.relink {
                    LedgerOp::Link(LinkUpdate {
                        sink: self.entry.name.clone(),
                        prospect_id: row.prospect_id.clone(),
                        remote_id: row.remote_id.clone().unwrap_or_default(),
                        pushed_hash: row.hash.clone(),
                        pushed_fields: json(&row.pushed)?,
                    })
                } else {
                    LedgerOp::Enqueue(payload::entry(&self.entry.name, row)?)
                });
            }
            commit.execute().await?;
        }
        Ok(())
    }

    fn writes(&self) -> bool {
        true
    }
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

/// The keys of deliveries that the remote refused and that are offered again by now, as the settings say.
pub(super) async fn refused_and_due(engine: &Engine, entry: &SinkEntry) -> Result<HashSet<String>> {
    let RetrySection { after_hours, at_most } = entry.section.retry_refused;
    if at_most == 0 {
        return Ok(HashSet::new());
    }
    let before = engine.clock().now_us().saturating_sub(i64::from(after_hours) * HOUR_US);
    Ok(engine.store.outbox_refused_before(&entry.name, before, at_most).await?)
}

/// Queues these again, and closes them in the quarantine: what is refused once more is open there again.
pub(super) async fn offer_refused(engine: &Engine, entry: &SinkEntry, run_id: &str) -> Result<()> {
    let due = refused_and_due(engine, entry).await?;
    if !due.is_empty() {
        let refused: Vec<(String, String)> = due.into_iter().map(|key| (key.clone(), quarantine_id(&entry.name, &key))).collect();
        engine.store.outbox_retry_refused(&entry.name, &refused, run_id, engine.clock().now_us()).await?;
    }
    Ok(())
}

/// The id in the quarantine of a delivery that the remote refused.
pub(crate) fn quarantine_id(sink: &str, delivery_key: &str) -> String {
    ids::derived("qrn_", &[sink, delivery_key])
}

/// Pushes what is due until nothing is, or the remote asks for more patience than a run has.
///
/// # Errors
/// When the remote cannot be written now: what is left waits in the outbox.
pub(super) async fn drain(engine: &Engine, part: &Part, plan: &Plan, run_id: &str, counts: &mut SinkCounts) -> Result<()> {
    let name = &part.entry.name;
    let queued = engine.store.outbox_waiting_count(name).await?;
    let settled_before = settled(*counts);
    let pushed = push(engine, &part.entry, part.sink.as_ref(), run_id, counts).await;
    let left = engine.store.outbox_waiting_count(name).await?;
    let settled = settled(*counts) - settled_before;
    if pushed.is_ok() && queued != settled + left {
        return Err(Error::Internal(format!("of {queued} pushes to {name}, {settled} have an outcome and {left} wait")));
    }
    // Who waits for another record is not in the outbox yet.
    counts.pending = engine.store.outbox_waiting(name).await?.len() as u64 + plan.waiting_for_another;
    pushed
}

/// How many pushes have an outcome.
fn settled(counts: SinkCounts) -> u64 {
    let SinkCounts { created, updated, removed, unchanged, rejected, held_back, pending: _ } = counts;
    created + updated + removed + unchanged + rejected + held_back
}

async fn push(engine: &Engine, entry: &SinkEntry, sink: &dyn Sink, run_id: &str, counts: &mut SinkCounts) -> Result<()> {
    let most = sink.capability().max_rows.max(1);
    let mut budget = Budget::of(engine, entry, sink).await?;
    if let Some(budget) = &mut budget {
        // What looking cost.
        budget.note(run_id).await?;
    }
    let (mut waits, mut settled_then) = (0, settled(*counts));
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
            waits = if settled(*counts) > settled_then { 1 } else { waits + 1 };
            settled_then = settled(*counts);
            if wait > MAX_WAIT || waits > WAITS_IN_VAIN {
                break;
            }
            tokio::select! {
                () = engine.cancel.cancelled() => return Err(Error::Interrupted),
                () = tokio::time::sleep(wait) => {}
            }
            continue;
        }
        let due = stop_suppressed(engine, due, counts).await?;
        let mut due = look::once_more(engine, entry, sink, run_id, due, counts).await?;
        // What looking cost is gone from the day's calls.
        let fits = budget.as_ref().map_or(due.len(), |budget| budget.rows(due.len()));
        if fits == 0 && !due.is_empty() {
            continue;
        }
        due.truncate(fits);
        // Places in lists are taken back in calls of their own.
        let (leaving, staying): (Vec<_>, Vec<_>) = due.into_iter().partition(|row| row.entry.op == DeliveryOp::Remove);
        for due in [leaving, staying].iter().filter(|due| !due.is_empty()) {
            let written = write(engine, entry, sink, run_id, due, counts).await;
            if let Some(budget) = &mut budget {
                budget.note(run_id).await?;
            }
            written?;
        }
        engine.progress.tell(&entry.name, counts.created + counts.updated, None);
    }
    Ok(())
}

pub(super) fn held_back(id: i64, reason: &str) -> Settlement {
    Settlement {
        id,
        outcome: Outcome::HeldBack,
        remote_id: None,
        reason: Some(reason.to_owned()),
        next_attempt_at: None,
        link: None,
    }
}

/// Takes out the rows of people who objected while others were pushed, and settles them as held back.
async fn stop_suppressed(engine: &Engine, due: Vec<DuePush>, counts: &mut SinkCounts) -> Result<Vec<DuePush>> {
    let screen = engine.screen().await?;
    if screen.is_empty() {
        return Ok(due);
    }
    let (mut settlements, mut free) = (Vec::new(), Vec::with_capacity(due.len()));
    for row in due {
        let desired = Payload::read(&row.entry.payload)?.desired()?;
        let is_stopped = desired.values().flatten().any(|value| {
            email::normalise(value).is_some_and(|email| screen.stops(Kind::Email, &email))
                || phone::normalise(value, None).is_some_and(|phone| screen.stops(Kind::Phone, &phone))
        });
        if is_stopped {
            settlements.push(held_back(row.id, resolve::SUPPRESSED));
        } else {
            free.push(row);
        }
    }
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
    due: &[DuePush],
    counts: &mut SinkCounts,
) -> Result<()> {
    let ids: Vec<i64> = due.iter().map(|row| row.id).collect();
    let payloads: Vec<Payload<'_>> = due.iter().map(|row| Payload::read(&row.entry.payload)).collect::<Result<_>>()?;
    let delivery = |(row, payload): (&DuePush, &Payload<'_>)| payload.delivery(entry, row, sink.whole_rows());
    let rows: Vec<DeliveryRow> = due.iter().zip(&payloads).map(delivery).collect::<Result<_>>()?;
    engine.store.outbox_mark_sent(&ids, engine.clock().now_us()).await?;
    let removes = due.iter().all(|row| row.entry.op == DeliveryOp::Remove);
    let (outcomes, failure) = if removes { take_back(sink, due).await } else { offer(sink, rows).await };
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

/// Takes places in lists back: who is not in the list any more is done. Where the sink refuses a call as a whole, each is asked for alone.
async fn take_back(sink: &dyn Sink, due: &[DuePush]) -> (Vec<RowOutcome>, Option<headwater_sdk::Error>) {
    let ids: Vec<String> = due.iter().map(|row| row.entry.remote_id.clone().unwrap_or_default()).collect();
    let outcome = |id: &String, removal| match removal {
        Removal::Removed | Removal::Gone => RowOutcome::Updated { remote_id: id.clone() },
        Removal::Refused { reason } => RowOutcome::Rejected { reason },
    };
    let mut outcomes = Vec::with_capacity(ids.len());
    let mut failure = None;
    match sink.remove(&ids).await {
        Ok(removals) => outcomes.extend(ids.iter().zip(removals).map(|(id, removal)| outcome(id, removal))),
        Err(error) if is_about_rows(&error) => {
            for id in &ids {
                match sink.remove(std::slice::from_ref(id)).await {
                    Ok(removals) => outcomes.extend(removals.into_iter().take(1).map(|removal| outcome(id, removal))),
                    Err(error) if is_about_rows(&error) => {
                        outcomes.push(RowOutcome::Rejected { reason: error.message().to_owned() });
                    }
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                }
            }
        }
        Err(error) => failure = Some(error),
    }
    let reason = failure.as_ref().map_or("the sink gave no answer", headwater_sdk::Error::message).to_owned();
    outcomes.resize(ids.len(), RowOutcome::Retry { reason, after: None });
    (outcomes, failure)
}

/// Whether an error says that something about the rows is wrong, and not about the remote or our settings.
pub(super) fn is_about_rows(error: &headwater_sdk::Error) -> bool {
    matches!(error.kind(), ErrorKind::Rejected | ErrorKind::Conflict | ErrorKind::Input)
}

async fn settle(
    engine: &Engine,
    entry: &SinkEntry,
    run_id: &str,
    (due, payloads, outcomes): (&[DuePush], &[Payload<'_>], &[RowOutcome]),
    counts: &mut SinkCounts,
) -> Result<()> {
    let now = engine.clock().now_us();
    let mut commit = engine.store.commit(run_id, now);
    let mut receipts = Vec::with_capacity(due.len());
    let mut unlinked = Vec::new();
    for ((row, payload), outcome) in due.iter().zip(payloads).zip(outcomes) {
        // What a first attempt may have made whose answer was lost, a further one finds.
        let made = match outcome {
            RowOutcome::Updated { remote_id } | RowOutcome::Unchanged { remote_id }
                if row.entry.op == DeliveryOp::Create && row.attempts > 0 =>
            {
                Some(RowOutcome::Created { remote_id: remote_id.clone() })
            }
            _ => None,
        };
        let outcome = made.as_ref().unwrap_or(outcome);
        let mut verdict = verdict(outcome, row, now);
        let is_removed = row.entry.op == DeliveryOp::Remove && verdict.outcome == Outcome::Written;
        match outcome {
            _ if is_removed => counts.removed += 1,
            RowOutcome::Created { .. } => counts.created += 1,
            RowOutcome::Updated { .. } => counts.updated += 1,
            RowOutcome::Unchanged { .. } => counts.unchanged += 1,
            RowOutcome::Rejected { reason } if reason == MOVED => counts.held_back += 1,
            RowOutcome::Rejected { .. } => counts.rejected += 1,
            RowOutcome::Retry { .. } => {}
        }
        if is_removed {
            verdict.word = REMOVED;
            unlinked.push(LedgerOp::Unlink { sink: entry.name.clone(), prospect_id: row.entry.prospect_id.clone() });
        }
        let link = verdict.remote_id.as_ref().filter(|_| !is_removed).map(|remote_id| LinkUpdate {
            sink: entry.name.clone(),
            prospect_id: row.entry.prospect_id.clone(),
            remote_id: remote_id.clone(),
            pushed_hash: payload.hash.clone().into_owned(),
            pushed_fields: payload.pushed().to_owned(),
        });
        commit.ledger(LedgerOp::Settle(Settlement {
            id: row.id,
            outcome: verdict.outcome,
            remote_id: verdict.remote_id.clone(),
            reason: verdict.reason.clone(),
            next_attempt_at: verdict.next_attempt_at,
            link,
        }));
        receipts.push((row, payload, verdict));
    }
    for op in unlinked {
        commit.ledger(op);
    }
    let written: Vec<NewReceipt<'_>> = receipts.iter().map(|(row, payload, said)| receipt_of(row, payload, said)).collect();
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

fn verdict(outcome: &RowOutcome, row: &DuePush, now_us: i64) -> Said {
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
        RowOutcome::Rejected { reason } if reason == MOVED => Said {
            outcome: Outcome::HeldBack,
            word: "held_back",
            remote_id: None,
            reason: Some(reason.clone()),
            next_attempt_at: None,
        },
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

type Settled<'a> = (&'a DuePush, &'a Payload<'a>, Said);

/// What was pushed and what the remote said.
fn receipt_of<'a>(row: &'a DuePush, payload: &'a Payload<'_>, said: &'a Said) -> NewReceipt<'a> {
    NewReceipt {
        prospect_id: &row.entry.prospect_id,
        delivery_key: &row.entry.delivery_key,
        op: row.entry.op.as_str(),
        outcome: said.word,
        remote_id: said.remote_id.as_deref().or(row.entry.remote_id.as_deref()),
        fields: Some(payload.fields()),
        before: row.entry.before.as_deref(),
        reason: said.reason.as_deref(),
    }
}

/// The field that a remote's reason blames, where it names one of those that were pushed: `email: …`, `… (field email)`; or the only one
/// that it quotes, or ends with.
fn blamed(reason: &str, payload: &Payload<'_>) -> Option<String> {
    let pushed = payload.set().ok()?;
    let names = |field: &&String| {
        reason.split("; ").any(|part| part.strip_prefix(field.as_str()).is_some_and(|rest| rest.starts_with(':')))
            || reason.contains(&format!("(field {field}"))
    };
    if let Some(field) = pushed.keys().find(names) {
        return Some(field.clone());
    }
    // What a colon follows is a member's name in JSON, such as `"name"`, and no word for a field of that name.
    let is_word =
        |(at, quoted): (usize, &str)| !reason.get(at + quoted.len()..).unwrap_or_default().trim_start().starts_with(':');
    let quotes = |field: &&String| {
        let quoted = ['"', '\'', '`'].map(|quote| format!("{quote}{field}{quote}"));
        quoted.iter().any(|quoted| reason.match_indices(quoted.as_str()).any(is_word))
            || reason.trim_end_matches('.').ends_with(&format!(": {field}"))
    };
    let mut quoted = pushed.keys().filter(quotes);
    quoted.next().filter(|_| quoted.next().is_none()).cloned()
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
        column(&|(row, _, _)| Some(quarantine_id(&entry.name, &row.entry.delivery_key))),
        same(&entry.name),
        same("delivery"),
        column(&|(row, _, _)| Some(row.entry.prospect_id.clone())),
        same("deliver"),
        same("remote_refused"),
        column(&|(_, payload, said)| blamed(said.reason.as_deref()?, payload)),
        column(&|(_, _, said)| said.reason.clone()),
        column(&|(_, payload, _)| Some(payload.fields().to_owned())),
        Arc::new(TimestampMicrosecondArray::from_value(now_us, rows).with_timezone("UTC")),
        same(run_id),
    ];
    let mut writer = engine.store.writer(&tables::QUARANTINE, Some(&entry.name))?;
    writer.write(&RecordBatch::try_new(tables::QUARANTINE.schema(), columns)?)?;
    Ok(Some(writer.finish()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_blamed_that_a_reason_names_however_a_vendor_says_it() {
        let pushed = r#"{"fields":{"email":"a@example.com","jobtitle":"x","name":"y"},"hash":"h","match_keys":[]}"#;
        let payload = Payload::read(pushed).unwrap();
        for (reason, field) in [
            ("email: is not valid", Some("email")),
            ("is not a choice (field jobtitle)", Some("jobtitle")),
            ("Property values were not valid: jobtitle", Some("jobtitle")),
            (r#"Property values were not valid: [{"isValid":false,"name":"jobtitle"}]"#, Some("jobtitle")),
            (r#""email" and "jobtitle" do not fit"#, None),
            ("the remote is full", None),
            ("the name is too long", None),
        ] {
            assert_eq!(blamed(reason, &payload).as_deref(), field, "{reason}");
        }
    }
}
