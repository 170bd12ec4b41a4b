//! Refused rows get another try: records by ingest under the present rules, pushes by the outbox.

use std::collections::BTreeMap;

use headwater_store::{LedgerOp, NewRun, OutboxState, QuarantineMark, QuarantineState, RunStatus, Snapshot};
use serde::Serialize;
use tracing::info;

use super::record::{NEEDS_SOURCE, Recipe, Refusal, UNREADABLE};
use super::{AT_INGEST, QuarantineRow, Raw, VERSION, open, unknown};
use crate::deliver::quarantine_id;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::ingest::{Offer, Offered};
use crate::project::SourceEntry;

/// Why a row of a connection that is no more cannot be offered.
const NO_CONNECTION: &str = "the project no longer has its source or sink";

/// What became of the rows that were offered again. Every row that was chosen is in exactly one of the other counts.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Retried {
    /// The version of this shape.
    pub version: u32,
    /// The run.
    pub run_id: String,
    /// Rows that were chosen.
    pub chosen: u64,
    /// Records that are part of the lake now.
    pub accepted: u64,
    /// Records that the lake has already, in this or a later version; and pushes that a later one has overtaken.
    pub overtaken: u64,
    /// Records of people who must not be held.
    pub suppressed: u64,
    /// Records that were refused again; they stay open.
    pub refused: u64,
    /// Pushes that wait for the next delivery.
    pub queued: u64,
    /// Rows that could not be offered; they stay open.
    pub not_offered: u64,
    /// Why not, with how many.
    pub reasons: BTreeMap<String, u64>,
}

impl Retried {
    fn not_offered(&mut self, reason: &str) {
        self.not_offered += 1;
        *self.reasons.entry(reason.to_owned()).or_default() += 1;
    }

    fn check(&self) -> Result<()> {
        let Self { version: _, run_id: _, chosen, accepted, overtaken, suppressed, refused, queued, not_offered, reasons: _ } =
            self;
        let sum = accepted + overtaken + suppressed + refused + queued + not_offered;
        if sum == *chosen {
            return Ok(());
        }
        Err(Error::Internal(format!("{chosen} refused rows were chosen, but {sum} are accounted for")))
    }
}

/// Offers refused rows again: those of these ids, or all open ones of a source or sink.
///
/// # Errors
/// When neither is named, an id is not open, another run holds the project, or the source or the store fails. What was taken of other
/// sources before stays.
pub async fn retry(engine: &Engine, ids: &[String], source: Option<&str>) -> Result<Retried> {
    if ids.is_empty() && source.is_none() {
        return Err(Error::Usage("say which rows: their ids, or `--source NAME` for all of one source or sink".to_owned()));
    }
    let began = engine.clock().now_us();
    let lock = engine.store.lock(began).await?;
    let snapshot = engine.store.snapshot().await?;
    let rows = chosen(engine, &snapshot, ids, source).await?;
    let run_id = engine.new_run_id();
    let run =
        NewRun { run_id: run_id.clone(), command: "quarantine retry".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    engine.store.start_run(&lock, &run, began).await?;
    let mut retried = Retried { version: VERSION, run_id: run_id.clone(), chosen: rows.len() as u64, ..Retried::default() };
    let ended = all(engine, &snapshot, rows, &mut retried).await;
    let status = match &ended {
        Err(Error::Interrupted) => RunStatus::Interrupted,
        Err(_) => RunStatus::Failed,
        Ok(()) if retried.refused + retried.not_offered > 0 => RunStatus::Rejected,
        Ok(()) => RunStatus::Done,
    };
    let counts = serde_json::to_value(&retried).map_err(|error| Error::Internal(error.to_string()))?;
    let reason = ended.as_ref().err().map(ToString::to_string);
    let noted = engine.store.finish_run(&run_id, status, &counts, reason.as_deref(), engine.clock().now_us()).await;
    ended?;
    noted?;
    info!(
        run = run_id,
        chosen = retried.chosen,
        accepted = retried.accepted,
        queued = retried.queued,
        "refused rows offered again"
    );
    Ok(retried)
}

async fn chosen(engine: &Engine, snapshot: &Snapshot, ids: &[String], source: Option<&str>) -> Result<Vec<QuarantineRow>> {
    let mut rows = open(engine, snapshot, source, Raw::With).await?;
    if ids.is_empty() {
        return Ok(rows);
    }
    if let Some(id) = ids.iter().find(|id| !rows.iter().any(|row| row.quarantine_id == **id)) {
        let Error::NotFound { what: _, hint } = unknown(id) else { return Err(unknown(id)) };
        return Err(Error::NotFound { what: format!("no refused row `{id}` is open"), hint });
    }
    rows.retain(|row| ids.contains(&row.quarantine_id));
    Ok(rows)
}

async fn all(engine: &Engine, snapshot: &Snapshot, rows: Vec<QuarantineRow>, retried: &mut Retried) -> Result<()> {
    let mut records: BTreeMap<(String, String), Vec<QuarantineRow>> = BTreeMap::new();
    let mut pushes: BTreeMap<String, Vec<QuarantineRow>> = BTreeMap::new();
    // Oldest first: of two versions of a record the later one is to stand.
    for row in rows.into_iter().rev() {
        if row.stage == AT_INGEST {
            records.entry((row.source.clone(), row.stream.clone())).or_default().push(row);
        } else {
            pushes.entry(row.source.clone()).or_default().push(row);
        }
    }
    for ((source, stream), rows) in records {
        engine.stop_if_told()?;
        match engine.project.source(&source) {
            Some(entry) => of_stream(engine, snapshot, entry, &stream, &rows, retried).await?,
            None => rows.iter().for_each(|_| retried.not_offered(NO_CONNECTION)),
        }
    }
    for (sink, rows) in pushes {
        engine.stop_if_told()?;
        of_sink(engine, &sink, &rows, retried).await?;
    }
    retried.check()
}

/// Offers the records of one stream; what is taken and what is noted of it commit together.
async fn of_stream(
    engine: &Engine,
    snapshot: &Snapshot,
    entry: &SourceEntry,
    stream: &str,
    rows: &[QuarantineRow],
    retried: &mut Retried,
) -> Result<()> {
    let source = engine.source(entry)?;
    let specs = source.streams().await.map_err(|error| Error::connection(&entry.name, Some(stream), error))?;
    let Some(spec) = specs.iter().find(|spec| spec.name == stream) else {
        rows.iter().for_each(|_| retried.not_offered(NO_CONNECTION));
        return Ok(());
    };
    let run_id = retried.run_id.clone();
    let mut offer = Offer::new(engine, snapshot, entry, spec, &run_id).await?;
    let recipe = Recipe::learn(snapshot, entry, spec, &offer)?;
    let mut commit = engine.store.commit(&run_id, engine.clock().now_us());
    for row in rows {
        let refusal = Refusal {
            raw: row.raw.as_deref().unwrap_or_default(),
            place: row.place.as_deref().unwrap_or_default(),
            refused_us: row.refused_us,
        };
        let page = match recipe.page(entry, spec, &refusal)? {
            Ok(page) => page,
            Err(reason) => {
                debug_assert!(reason == UNREADABLE || reason == NEEDS_SOURCE);
                retried.not_offered(&reason.replace("NAME", &entry.name));
                continue;
            }
        };
        let state = match offer.row(&page, row.refused_us)? {
            Offered::Accepted => {
                retried.accepted += 1;
                QuarantineState::Retried
            }
            Offered::Unchanged => {
                retried.overtaken += 1;
                QuarantineState::Resolved
            }
            Offered::Suppressed => {
                retried.suppressed += 1;
                QuarantineState::Discarded
            }
            Offered::Refused(id) => {
                retried.refused += 1;
                if id == row.quarantine_id {
                    continue;
                }
                // It is open under its new reason; under the old one it is dealt with.
                QuarantineState::Retried
            }
        };
        commit.ledger(LedgerOp::Quarantine(QuarantineMark { quarantine_id: row.quarantine_id.clone(), state }));
    }
    offer.drain(&mut commit)?;
    commit.execute().await?;
    Ok(())
}

/// Queues the refused pushes of one sink again.
async fn of_sink(engine: &Engine, sink: &str, rows: &[QuarantineRow], retried: &mut Retried) -> Result<()> {
    if engine.project.sink(sink).is_none() {
        rows.iter().for_each(|_| retried.not_offered(NO_CONNECTION));
        return Ok(());
    }
    let rejected = engine.store.outbox_keys(sink, OutboxState::Rejected).await?;
    let keys: BTreeMap<String, String> = rejected.into_iter().map(|key| (quarantine_id(sink, &key), key)).collect();
    let pairs: Vec<(String, String)> =
        rows.iter().map(|row| (keys.get(&row.quarantine_id).cloned().unwrap_or_default(), row.quarantine_id.clone())).collect();
    let queued = engine.store.outbox_retry_refused(sink, &pairs, &retried.run_id, engine.clock().now_us()).await?;
    retried.queued += queued;
    retried.overtaken += (rows.len() as u64).saturating_sub(queued);
    Ok(())
}
