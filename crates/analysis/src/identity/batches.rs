//! Identity's rows of the lake: `prospect_field`, `identity_link`, `identity_event`.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array as _, BooleanBuilder, Float64Builder, Int64Array, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
    TimestampMicrosecondBuilder,
};
use headwater_model::tables::{IDENTITY_EVENT, IDENTITY_LINK, PROSPECT_FIELD};

use super::assign::Assignment;
use super::cluster::Clusters;
use super::leads::{Field, Leads};
use super::link::Links;
use super::standing::Rule;
use super::{Error, ProspectId};

/// When and by what the decisions were made.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// The version of the resolver.
    pub model_version: &'a str,
    /// The run.
    pub run_id: &'a str,
    /// The instant, in microseconds.
    pub at: i64,
}

/// Rows of `identity_link` for the clusters in `range`: one per lead, with the edge that placed it. The first lead of a
/// cluster was placed by none; its method is `first`.
///
/// # Errors
/// The batch cannot be built.
pub fn identity_links(
    leads: &Leads,
    links: &Links,
    clusters: &Clusters,
    assignment: &Assignment,
    stamp: Stamp<'_>,
    range: Range<usize>,
) -> Result<RecordBatch, Error> {
    let (mut lead_id, mut prospect_id, mut joined_to) = (StringBuilder::new(), StringBuilder::new(), StringBuilder::new());
    let (mut method, mut evidence, mut score) = (StringBuilder::new(), StringBuilder::new(), Float64Builder::new());
    for cluster in range {
        let Some(prospect) = assignment.prospects.get(cluster).map(ProspectId::to_string) else {
            break;
        };
        for row in clusters.members(cluster) {
            lead_id.append_value(leads.id(*row));
            prospect_id.append_value(&prospect);
            let join = clusters.join(*row);
            let edge = join.and_then(|join| links.edges.get(join.edge as usize));
            joined_to.append_option(join.map(|join| leads.id(join.to)));
            method.append_value(edge.map_or("first", |edge| edge.method.as_str()));
            evidence.append_option(edge.and_then(|edge| links.evidence.get(edge.evidence as usize)));
            score.append_value(edge.map_or(1.0, |edge| edge.score));
        }
    }
    let lead_id = lead_id.finish();
    let rows = lead_id.len();
    let columns = vec![
        Arc::new(lead_id) as _,
        Arc::new(prospect_id.finish()) as _,
        Arc::new(joined_to.finish()) as _,
        Arc::new(method.finish()) as _,
        Arc::new(evidence.finish()) as _,
        Arc::new(score.finish()) as _,
        Arc::new(repeated(stamp.model_version, rows)) as _,
        Arc::new(instant(stamp.at, rows)) as _,
    ];
    Ok(RecordBatch::try_new(IDENTITY_LINK.schema(), columns)?)
}

/// The rows of `identity_event` that a run adds; none where nothing changed.
///
/// # Errors
/// The batch cannot be built.
pub fn identity_events(assignment: &Assignment, stamp: Stamp<'_>) -> Result<RecordBatch, Error> {
    let events = &assignment.events;
    let text = |id: ProspectId| id.to_string();
    let columns = vec![
        Arc::new(events.iter().map(|event| Some(text(event.prospect))).collect::<StringArray>()) as _,
        Arc::new(events.iter().map(|event| Some(event.change.as_str())).collect::<StringArray>()) as _,
        Arc::new(events.iter().map(|event| event.other.map(text)).collect::<StringArray>()) as _,
        Arc::new(events.iter().map(|event| event.evidence.as_deref()).collect::<StringArray>()) as _,
        Arc::new(repeated(stamp.model_version, events.len())) as _,
        Arc::new(instant(stamp.at, events.len())) as _,
        Arc::new(repeated(stamp.run_id, events.len())) as _,
    ];
    Ok(RecordBatch::try_new(IDENTITY_EVENT.schema(), columns)?)
}

fn repeated(text: &str, rows: usize) -> StringArray {
    std::iter::repeat_n(Some(text), rows).collect()
}

fn instant(at: i64, rows: usize) -> TimestampMicrosecondArray {
    Int64Array::from_value(at, rows).reinterpret_cast::<arrow::datatypes::TimestampMicrosecondType>().with_timezone("UTC")
}

/// One candidate value of one field.
#[derive(Debug)]
pub(super) struct FieldRow<'a> {
    pub(super) field: Field,
    pub(super) value: &'a str,
    pub(super) is_winner: bool,
    pub(super) rule: Rule,
    pub(super) row: u32,
    /// When a person said it, where no source did.
    pub(super) edited_at: Option<i64>,
}

/// The source of what a person said.
const EDITED: &str = "review";

/// An Arrow text column ends at 2 GiB. No column of a range gets there if all of them together stay below this.
const MAX_RANGE_BYTES: usize = 1 << 30;

#[derive(Debug, Default)]
pub(super) struct FieldsBuilder {
    current: String,
    bytes: usize,
    prospect_id: StringBuilder,
    field: StringBuilder,
    value: StringBuilder,
    is_winner: BooleanBuilder,
    rule: StringBuilder,
    lead_id: StringBuilder,
    record_id: StringBuilder,
    source: StringBuilder,
    observed_at: TimestampMicrosecondBuilder,
}

impl FieldsBuilder {
    pub(super) fn begin(&mut self, prospect: ProspectId) {
        self.current = prospect.to_string();
    }

    pub(super) fn push(&mut self, leads: &Leads, candidate: &FieldRow<'_>) -> Result<(), Error> {
        let FieldRow { field, value, is_winner, rule, row, edited_at } = *candidate;
        let (lead_id, record_id) = (leads.id(row), leads.text(Field::RecordId, row).unwrap_or_default());
        let source = if edited_at.is_some() { EDITED } else { leads.text(Field::Source, row).unwrap_or_default() };
        self.bytes += self.current.len() + value.len() + lead_id.len() + record_id.len() + source.len();
        if self.bytes > MAX_RANGE_BYTES {
            return Err(Error::RangeTooLarge);
        }
        self.prospect_id.append_value(&self.current);
        self.field.append_value(field.name());
        self.value.append_value(value);
        self.is_winner.append_value(is_winner);
        self.rule.append_value(rule.as_str());
        self.lead_id.append_value(lead_id);
        self.record_id.append_value(record_id);
        self.source.append_value(source);
        self.observed_at.append_value(edited_at.unwrap_or_else(|| leads.observed_at(row)));
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<RecordBatch, Error> {
        let columns = vec![
            Arc::new(self.prospect_id.finish()) as _,
            Arc::new(self.field.finish()) as _,
            Arc::new(self.value.finish()) as _,
            Arc::new(self.is_winner.finish()) as _,
            Arc::new(self.rule.finish()) as _,
            Arc::new(self.lead_id.finish()) as _,
            Arc::new(self.record_id.finish()) as _,
            Arc::new(self.source.finish()) as _,
            Arc::new(self.observed_at.finish().with_timezone("UTC")) as _,
        ];
        Ok(RecordBatch::try_new(PROSPECT_FIELD.schema(), columns)?)
    }
}
