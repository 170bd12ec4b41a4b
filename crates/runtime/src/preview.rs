//! `preview`: a source's first records as they arrive and as they conform.

use arrow::array::{Array, RecordBatch, StringArray};
use futures::StreamExt;
use headwater_model::conform::Keep;
use headwater_model::mapping::Role;
use headwater_model::page::{Page, Refused};
use headwater_sdk::{SourceEvent, StreamSpec};
use serde::Serialize;

use crate::deliver::cell;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::ingest;
use crate::project::SourceEntry;

/// The columns of a conformed row that say nothing about the record itself.
const PLUMBING: &[&str] =
    &["lead_id", "record_id", "source", "stream", "run_id", "conversion_id", "cost_id", "engagement_id", "op"];

/// A source's first records.
#[derive(Debug, Serialize)]
pub struct Preview {
    /// The source.
    pub source: String,
    /// The stream.
    pub stream: String,
    /// What its records are.
    pub role: Role,
    /// What the connector wants the user to know.
    pub notes: Option<String>,
    /// Records, in order.
    pub records: Vec<Previewed>,
}

/// One record, twice.
#[derive(Debug, Serialize)]
pub struct Previewed {
    /// Where it stood.
    pub place: String,
    /// As it arrived: field and text.
    pub arrived: Vec<(String, String)>,
    /// As it conforms: field and value; empty when it is refused.
    pub conformed: Vec<(String, String)>,
    /// Why it is refused.
    pub refused: Option<String>,
}

/// The streams of a source, each in the role and with the mapping that the project gives it.
///
/// # Errors
/// When the source cannot be made or asked.
pub async fn discover(engine: &Engine, entry: &SourceEntry) -> Result<Vec<StreamSpec>> {
    let source = engine.source(entry)?;
    let mut streams = engine.unless_told(source.streams()).await?.map_err(|error| Error::connection(&entry.name, None, error))?;
    for stream in &mut streams {
        (stream.role, stream.mapping) = ingest::mapping(entry, stream)?;
    }
    Ok(streams)
}

/// Reads a source's first records from its beginning. Nothing is stored.
///
/// # Errors
/// When the source cannot be read, or has no such stream.
pub async fn preview(engine: &Engine, entry: &SourceEntry, stream: Option<&str>, limit: usize) -> Result<Preview> {
    let source = engine.source(entry)?;
    let fail = |error| Error::connection(&entry.name, stream, error);
    let specs = engine.unless_told(source.streams()).await?.map_err(fail)?;
    let wanted = |spec: &&StreamSpec| stream.is_none_or(|name| spec.name == name);
    let Some(spec) = specs.iter().find(wanted) else {
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        let what = format!("{} has no stream `{}`", entry.name, stream.unwrap_or_default());
        return Err(Error::NotFound { what, hint: format!("there are: {}", names.join(", ")) });
    };
    let conformer = ingest::conformer(entry, spec, "preview")?;
    let screen = engine.screen().await?;
    let mut records = Vec::new();
    let mut events = engine.unless_told(source.read(spec, None)).await?.map_err(fail)?;
    while records.len() < limit {
        let event = engine.unless_told(events.next()).await?;
        let page = match event.transpose().map_err(fail)? {
            Some(SourceEvent::Page(page)) => page,
            Some(SourceEvent::Checkpoint(_)) => continue,
            None => break,
        };
        records.extend(page.refused.iter().map(malformed));
        let hashes = conformer.hashes(&page);
        for (row, hash) in (0_u32..).zip(hashes).take(limit.saturating_sub(records.len())) {
            let keep = Keep { rows: vec![row], hashes: vec![hash] };
            let now = engine.clock().now_us();
            let (rows, refused, suppressed) = match conformer.role() {
                Role::Leads | Role::Touches => {
                    let leads = conformer.leads(&page, &keep, &screen, now)?;
                    (leads.lead, leads.refused, leads.suppressed)
                }
                Role::Engagements | Role::Conversions | Role::Costs => {
                    let facts = conformer.facts(&page, &keep, &screen, now)?;
                    (facts.rows, facts.refused, facts.suppressed)
                }
            };
            let refused = match refused.first() {
                Some(refused) => Some(refused.reason.clone()),
                None if suppressed > 0 => Some("the person is suppressed: nothing is kept".to_owned()),
                None => None,
            };
            let place = page.places.of(row as usize);
            records.push(Previewed { place, arrived: arrived(&page, row as usize), conformed: conformed(&rows)?, refused });
        }
    }
    records.truncate(limit);
    Ok(Preview {
        source: entry.name.clone(),
        stream: spec.name.clone(),
        role: conformer.role(),
        notes: spec.notes.clone(),
        records,
    })
}

fn malformed(refused: &Refused) -> Previewed {
    Previewed {
        place: refused.place.clone(),
        arrived: vec![("raw".to_owned(), refused.raw.clone())],
        conformed: Vec::new(),
        refused: Some(refused.reason.clone()),
    }
}

fn arrived(page: &Page, row: usize) -> Vec<(String, String)> {
    let schema = page.fields.schema();
    let cells = schema.fields().iter().zip(page.fields.columns()).filter_map(|(field, column)| {
        let text: &StringArray = column.as_any().downcast_ref()?;
        text.is_valid(row).then(|| (field.name().clone(), text.value(row).to_owned()))
    });
    cells.collect()
}

fn conformed(rows: &RecordBatch) -> Result<Vec<(String, String)>> {
    if rows.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let schema = rows.schema();
    let mut cells = Vec::new();
    for field in schema.fields().iter().filter(|field| !PLUMBING.contains(&field.name().as_str())) {
        cells.extend(cell(rows, field.name(), 0)?.map(|value| (field.name().clone(), value)));
    }
    Ok(cells)
}
