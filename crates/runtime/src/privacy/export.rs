//! Everything that the store holds of one person, as it stands there.

use headwater_model::money;
use headwater_model::tables::{ColumnType, Table};
use headwater_store::{AuditRecord, PersonRecords};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::holdings::{Holdings, TIES};
use super::suppression::hashes;
use crate::cells::{Row, each, instant};
use crate::engine::Engine;
use crate::error::{Error, Result};

/// The version of the export's shape.
const VERSION: u32 = 1;
/// How many entries of the audit log are looked through.
const AUDIT_ENTRIES: u32 = 1_000_000;

/// Everything that is held of one person. Each row says where it came from: source, record, place, run.
#[derive(Debug, Serialize)]
pub struct PersonExport {
    /// The version of this shape.
    pub version: u32,
    /// When it was made.
    pub exported_at: Timestamp,
    /// The person, and who was merged into them.
    pub prospect_ids: Vec<String>,
    /// Addresses that are theirs alone.
    pub addresses: Vec<String>,
    /// Phone numbers that are theirs alone.
    pub numbers: Vec<String>,
    /// The sources that their data came from.
    pub sources: Vec<String>,
    /// Whether they are kept out.
    pub suppressed: bool,
    /// The rows of the lake, by table.
    pub tables: Map<String, Value>,
    /// Their records in sinks, with what was pushed there last.
    pub links: Vec<Value>,
    /// What was or is to be pushed.
    pub pushes: Vec<Value>,
    /// What people said of their leads.
    pub decisions: Vec<Value>,
    /// What people said their fields are.
    pub edits: Vec<Value>,
    /// Whose their leads were before a merge.
    pub former_prospects: Vec<Value>,
    /// Deliveries that mention them and wait to be taken in.
    pub waiting: Vec<Value>,
    /// What was noted of them in the audit log, by keyed hash.
    pub audit: Vec<Value>,
    /// Records of others that mention an address or number of theirs.
    pub mentioned_in: Vec<String>,
}

/// Everything that is held of the person with this address or prospect id.
///
/// # Errors
/// `NotFound` when nothing is held of them, `Usage` when several people have the address; when the store fails.
pub async fn export(engine: &Engine, who: &str) -> Result<PersonExport> {
    let snapshot = engine.store.snapshot().await?;
    let held = Holdings::of(engine, &snapshot, who).await?;
    let PersonRecords { pushes, links, decisions, edits, former } = engine.store.person_records(&held.keys(Vec::new())).await?;
    let values: Vec<String> = held.addresses.iter().chain(&held.numbers).cloned().collect();
    let subjects: Vec<String> = hashes(&engine.suppression_hasher().await?, &values)?.into_iter().map(|(_, hmac)| hmac).collect();
    let known = engine.store.suppression_set().await?;
    let suppressed = subjects.iter().any(|hmac| known.contains(hmac));
    if held.is_empty() && links.is_empty() && pushes.is_empty() {
        let what = if suppressed {
            "nothing is held of this person but a keyed hash, which keeps them out"
        } else {
            "nothing is held of this person"
        };
        let hint = "whoever was erased, or never taken in, is not here";
        return Err(Error::NotFound { what: what.to_owned(), hint: hint.to_owned() });
    }
    let mut tables = Map::new();
    for (table, ties) in TIES.iter().copied() {
        let mut rows = Vec::new();
        for file in snapshot.files(table) {
            if held.rows_in(&snapshot, table, ties, file)? == 0 {
                continue;
            }
            for batch in snapshot.read_file(table, &[], file)? {
                for row in each(&[batch?]) {
                    if held.is_theirs(row, ties)? {
                        rows.push(told(table, row)?);
                    }
                }
            }
        }
        if !rows.is_empty() {
            tables.insert(table.name.to_owned(), Value::Array(rows));
        }
    }
    let audit = engine.store.audit_entries(AUDIT_ENTRIES).await?;
    let of_theirs = |record: &&AuditRecord| record.entry.subject_hmac.as_ref().is_some_and(|hmac| subjects.contains(hmac));
    Ok(PersonExport {
        version: VERSION,
        exported_at: engine.clock().now(),
        prospect_ids: held.prospects.iter().cloned().collect(),
        addresses: held.addresses.iter().cloned().collect(),
        numbers: held.numbers.iter().cloned().collect(),
        sources: held.sources.iter().cloned().collect(),
        suppressed,
        tables,
        links: links
            .into_iter()
            .map(|link| {
                json!({ "sink": link.sink, "prospect_id": link.prospect_id, "remote_id": link.remote_id,
                    "pushed_at": instant(link.pushed_at), "pushed_fields": said(&link.pushed_fields) })
            })
            .collect(),
        pushes: pushes
            .into_iter()
            .map(|push| {
                json!({ "sink": push.entry.sink, "prospect_id": push.entry.prospect_id, "op": push.entry.op.as_str(),
                    "remote_id": push.entry.remote_id, "payload": said(&push.entry.payload), "before": push.entry.before.as_deref().map(said),
                    "state": push.state.as_str(), "reason": push.reason, "run_id": push.run_id,
                    "created_at": instant(push.created_at), "updated_at": instant(push.updated_at) })
            })
            .collect(),
        decisions: decisions
            .into_iter()
            .map(|decision| json!({ "one": decision.one, "two": decision.two, "verdict": decision.verdict.as_str() }))
            .collect(),
        edits: edits
            .into_iter()
            .map(|edit| {
                json!({ "lead_id": edit.lead_id, "field": edit.field, "value": edit.value, "edited_at": instant(edit.edited_at) })
            })
            .collect(),
        former_prospects: former
            .into_iter()
            .map(|former| json!({ "lead_id": former.lead_id, "prospect_id": former.prospect_id }))
            .collect(),
        waiting: held
            .waiting
            .iter()
            .map(|payload| {
                json!({ "source": payload.source, "received_at": instant(payload.received_at),
                    "body": String::from_utf8_lossy(&payload.body) })
            })
            .collect(),
        audit: audit
            .iter()
            .filter(of_theirs)
            .map(|record| {
                json!({ "at": instant(record.at), "actor": record.entry.actor, "action": record.entry.action,
                    "detail": record.entry.detail })
            })
            .collect(),
        mentioned_in: held.mentioned_in,
    })
}

/// A row as JSON, without the columns that have no value.
fn told(table: &Table, row: Row<'_>) -> Result<Value> {
    let mut cells = Map::new();
    for column in table.columns {
        let name = column.name;
        let value = match column.kind {
            ColumnType::Text => row.text(name)?.map(Value::from),
            ColumnType::Int => row.integer(name)?.map(Value::from),
            ColumnType::Float => row.float(name)?.map(Value::from),
            ColumnType::Bool => row.truth(name)?.map(Value::from),
            ColumnType::Instant => row.instant(name)?.map(|at| Value::from(at.to_string())),
            ColumnType::Day => row.day(name)?.map(|day| Value::from(day.to_string())),
            ColumnType::Money => row.amount(name)?.map(|amount| Value::from(money::format(amount))),
        };
        if let Some(value) = value {
            cells.insert(name.to_owned(), value);
        }
    }
    Ok(Value::Object(cells))
}

/// What a column of the ledger says as JSON; as text, should it be none.
fn said(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.to_owned()))
}
