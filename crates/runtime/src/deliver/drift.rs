//! What the remote has otherwise than we wrote it last.

use serde::Serialize;

use super::plan::link_fields;
use super::policy::same;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::{FieldPolicy, SinkEntry};

/// How a sink's records differ from what we wrote.
#[derive(Debug, Serialize)]
pub struct Drift {
    /// The sink.
    pub sink: String,
    /// Records that we wrote and looked at.
    pub records: u64,
    /// Whether the sink can be read back; if not, nothing else is known.
    pub readable: bool,
    /// Records that are gone.
    pub gone: Vec<DriftedRecord>,
    /// Fields that differ.
    pub fields: Vec<DriftedField>,
}

/// A record of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriftedRecord {
    /// The prospect.
    pub prospect_id: String,
    /// The remote's record.
    pub remote_id: String,
}

/// A field that somebody else wrote over ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriftedField {
    /// The prospect.
    pub prospect_id: String,
    /// The remote's record.
    pub remote_id: String,
    /// The remote's field.
    pub field: String,
    /// What we wrote last.
    pub ours: Option<String>,
    /// What stands there.
    pub theirs: Option<String>,
}

/// Compares every record that we wrote with what is there now. Reads only.
///
/// # Errors
/// When the sink's settings are wrong or it cannot be read.
pub async fn drift(engine: &Engine, entry: &SinkEntry) -> Result<Drift> {
    read_back(engine, entry).await.map_err(|error| engine.naming_credentials(error))
}

async fn read_back(engine: &Engine, entry: &SinkEntry) -> Result<Drift> {
    let sink = engine.sink(entry)?;
    let mut links: Vec<_> = engine.store.links(&entry.name).await?.into_values().collect();
    links.sort_by(|one, two| one.prospect_id.cmp(&two.prospect_id));
    let readable = sink.capability().lookup;
    let mut found = Drift { sink: entry.name.clone(), records: 0, readable, gone: Vec::new(), fields: Vec::new() };
    if !readable {
        return Ok(found);
    }
    for links in links.chunks(sink.capability().max_rows.max(1)) {
        engine.stop_if_told()?;
        let ids: Vec<String> = links.iter().map(|link| link.remote_id.clone()).collect();
        let records = engine.unless_told(sink.fetch_all(&ids)).await?;
        for (link, record) in links.iter().zip(records.map_err(|error| Error::connection(&entry.name, None, error))?) {
            found.records += 1;
            let (prospect_id, remote_id) = (link.prospect_id.clone(), link.remote_id.clone());
            let Some(record) = record else {
                found.gone.push(DriftedRecord { prospect_id, remote_id });
                continue;
            };
            for (field, ours) in link_fields(link) {
                let theirs = record.fields.get(&field).cloned().flatten();
                // What belongs to the remote once the record is made is not ours to compare.
                if entry.policy(&field) != FieldPolicy::CrmOwned && !same(ours.as_deref(), theirs.as_deref()) {
                    let (prospect_id, remote_id) = (prospect_id.clone(), remote_id.clone());
                    found.fields.push(DriftedField { prospect_id, remote_id, field, ours, theirs });
                }
            }
        }
        engine.progress.tell(&entry.name, found.records, None);
    }
    Ok(found)
}
