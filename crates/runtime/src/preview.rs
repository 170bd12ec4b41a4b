//! `preview`: a source's first records as they arrive and as they conform, and what would become of them.
//!
//! The report covers every row of the pages that were fetched for the records shown; it costs no further request.

use arrow::array::{Array, RecordBatch, StringArray};
use futures::StreamExt;
use headwater_model::conform::{Conformer, Keep};
use headwater_model::mapping::{Mapping, Role};
use headwater_model::page::{Page, Refused};
use headwater_model::suppression::Screen;
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
    /// What would become of all rows that were fetched for it.
    pub report: Report,
}

/// What would become of a source's first rows.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// How many rows were looked at.
    pub rows: usize,
    /// How many would be accepted, one that repeats another included.
    pub accepted: usize,
    /// How many are of people who must not be held.
    pub suppressed: usize,
    /// Why rows would be refused, the most frequent reason first.
    pub refused: Vec<Refusals>,
    /// Every column, in the source's order.
    pub columns: Vec<ColumnReport>,
    #[serde(skip)]
    mapping: Mapping,
}

/// Rows refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusals {
    /// The reason's code.
    pub code: String,
    /// The field at fault, where one is.
    pub field: Option<String>,
    /// How many rows.
    pub rows: usize,
    /// Where the first of them stood.
    pub first: String,
    /// The reason of the first.
    pub reason: String,
}

/// A column of the rows that were looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnReport {
    /// Its name.
    pub column: String,
    /// The fields of ours that are read from it; none when it stays in the raw record alone.
    pub becomes: Vec<String>,
    /// In how many rows it holds something.
    pub filled: usize,
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
    let fail = |error| engine.naming_credentials(Error::connection(&entry.name, None, error));
    let mut streams = engine.unless_told(source.streams()).await?.map_err(fail)?;
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
    let fail = |error| engine.naming_credentials(Error::connection(&entry.name, stream, error));
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
    let (_, mapping) = ingest::mapping(entry, spec)?;
    let mut report = Report { columns: columns(&spec.fields, &mapping), mapping, ..Report::default() };
    let mut events = engine.unless_told(source.read(spec, None)).await?.map_err(fail)?;
    while records.len() < limit {
        let event = engine.unless_told(events.next()).await?;
        let page = match event.transpose().map_err(fail)? {
            Some(SourceEvent::Page(page)) => page,
            Some(SourceEvent::Checkpoint(_) | SourceEvent::Whole { .. }) => continue,
            None => break,
        };
        records.extend(page.refused.iter().map(malformed));
        report.add(&conformer, &page, &screen, engine.clock().now_us())?;
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
    report.refused.sort_by_key(|refusals| std::cmp::Reverse(refusals.rows));
    Ok(Preview {
        report,
        source: entry.name.clone(),
        stream: spec.name.clone(),
        role: conformer.role(),
        notes: spec.notes.clone(),
        records,
    })
}

/// The columns of a stream, nothing counted yet.
fn columns(fields: &[String], mapping: &Mapping) -> Vec<ColumnReport> {
    let column = |column: &String| {
        let becomes = mapping.0.iter().filter(|(_, rule)| rule.from.contains(column)).map(|(ours, _)| ours.clone()).collect();
        ColumnReport { column: column.clone(), becomes, filled: 0 }
    };
    fields.iter().map(column).collect()
}

impl Report {
    /// Counts the rows of a page.
    fn add(&mut self, conformer: &Conformer, page: &Page, screen: &Screen, now_us: i64) -> Result<()> {
        let hashes = conformer.hashes(page);
        let keep = Keep { rows: (0..).take(hashes.len()).collect(), hashes };
        let (accepted, refused, suppressed) = match conformer.role() {
            Role::Leads | Role::Touches => {
                let leads = conformer.leads(page, &keep, screen, now_us)?;
                (leads.lead.num_rows(), leads.refused, leads.suppressed)
            }
            Role::Engagements | Role::Conversions | Role::Costs => {
                let facts = conformer.facts(page, &keep, screen, now_us)?;
                (facts.rows.num_rows(), facts.refused, facts.suppressed)
            }
        };
        self.rows += page.rows() + page.refused.len();
        self.accepted += accepted;
        self.suppressed += usize::try_from(suppressed).unwrap_or(usize::MAX);
        page.refused.iter().chain(&refused).for_each(|row| self.refuse(row));
        let schema = page.fields.schema();
        for (field, column) in schema.fields().iter().zip(page.fields.columns()) {
            let Some(text) = column.as_any().downcast_ref::<StringArray>() else { continue };
            let filled = text.iter().flatten().filter(|cell| !cell.trim().is_empty()).count();
            match self.columns.iter_mut().find(|known| known.column == *field.name()) {
                Some(known) => known.filled += filled,
                None => self.columns.push(ColumnReport { column: field.name().clone(), becomes: Vec::new(), filled }),
            }
        }
        Ok(())
    }

    fn refuse(&mut self, row: &Refused) {
        let same = |known: &&mut Refusals| known.code == row.code && known.field == row.field;
        match self.refused.iter_mut().find(same) {
            Some(known) => known.rows += 1,
            None => self.refused.push(Refusals {
                code: row.code.to_owned(),
                field: row.field.clone(),
                rows: 1,
                first: row.place.clone(),
                reason: row.reason.clone(),
            }),
        }
    }

    /// The mapping as a `map:` of the project file, with a remark for each column that is not mapped.
    #[must_use]
    pub fn map(&self) -> String {
        // JSON is YAML, and quotes whatever a column may be called.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut lines = vec!["map:".to_owned()];
        lines.extend(self.mapping.0.iter().map(|(ours, rule)| {
            let columns: Vec<String> = rule.from.iter().map(|column| quoted(column)).collect();
            match (columns.as_slice(), &rule.format, &rule.otherwise) {
                ([one], None, None) => format!("  {ours}: {one}"),
                (several, None, None) => format!("  {ours}: [{}]", several.join(", ")),
                (several, format, otherwise) => {
                    let more = [("format", format), ("otherwise", otherwise)];
                    let more = more.iter().filter_map(|(key, value)| Some(format!(", {key}: {}", quoted(value.as_deref()?))));
                    format!("  {ours}: {{ from: [{}]{} }}", several.join(", "), more.collect::<String>())
                }
            }
        }));
        let unmapped = self.columns.iter().filter(|column| column.becomes.is_empty());
        lines.extend(unmapped.map(|column| {
            format!("  # not mapped, filled in {} of {} rows: {}", column.filled, self.rows, quoted(&column.column))
        }));
        lines.join("\n") + "\n"
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_model::mapping::FieldRule;

    #[test]
    fn the_mapping_is_a_map_of_the_project_whatever_columns_are_called() {
        let mut mapping = Mapping::of([("email", "E-mail: \"work\""), ("phone", "Tel 1"), ("phone", "Tel 2")]);
        let dated = FieldRule { from: vec!["Added".to_owned()], format: Some("%d.%m.%Y".to_owned()), otherwise: None };
        mapping.0.insert("created_at".to_owned(), dated);
        let fields = ["E-mail: \"work\"", "Tel 1", "Tel 2", "Added", "# Employees"].map(str::to_owned);
        let report = Report { rows: 9, columns: columns(&fields, &mapping), mapping: mapping.clone(), ..Report::default() };
        let text = report.map();
        let parsed: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let entries: std::collections::BTreeMap<String, crate::project::MapEntry> =
            serde_json::from_value(parsed["map"].clone()).unwrap();
        assert!(entries.iter().all(|(ours, entry)| mapping.0[ours] == entry.0) && entries.len() == 3, "{text}");
        assert!(text.ends_with("  # not mapped, filled in 0 of 9 rows: \"# Employees\"\n"), "{text}");
    }
}
