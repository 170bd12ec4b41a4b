//! The columns of `prospect` that identity owns.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use hashbrown::HashMap;

use super::ProspectId;
use super::assign::Assignment;
use super::cluster::Clusters;
use super::leads::{Field, Leads};
use super::survive::SURVIVING;

/// The columns of `prospect` that identity owns, all of one length. The runtime adds lifecycle, channels and consent.
#[derive(Debug, Clone)]
pub struct Golden {
    /// Whose rows they are.
    pub prospects: Vec<ProspectId>,
    columns: Vec<(&'static str, ArrayRef)>,
}

impl Golden {
    /// Rows for the ids that were merged away: no values, no leads, only where they went and the dates of that prospect.
    #[must_use]
    pub fn merged(leads: &Leads, clusters: &Clusters, assignment: &Assignment) -> Self {
        let mut builder = GoldenBuilder::default();
        let mut numbers: HashMap<ProspectId, usize> = HashMap::new();
        if !assignment.aliases.is_empty() {
            numbers.extend(assignment.prospects.iter().copied().zip(0..));
        }
        for (alias, target) in &assignment.aliases {
            let Some(cluster) = numbers.get(target) else { continue };
            builder.begin(*alias, Some(*target));
            builder.dates(leads, clusters.members(*cluster));
            builder.counts(0, 0, None);
            SURVIVING.iter().for_each(|_| builder.value(None));
            builder.email_kind(None);
        }
        builder.finish()
    }

    /// The columns by name, in no particular order: `prospect_id`, `merged_into`, `lead_count`, `source_count`, every field of
    /// [`SURVIVING`], `email_kind`, `first_source`, `first_seen_at`, `last_seen_at`.
    #[must_use]
    pub fn columns(&self) -> &[(&'static str, ArrayRef)] {
        &self.columns
    }

    /// One column by name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ArrayRef> {
        self.columns.iter().find(|(known, _)| *known == name).map(|(_, column)| column)
    }

    /// How many prospects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.prospects.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prospects.is_empty()
    }
}

/// Builds the rows one prospect after another. Every row needs `begin`, the dates and counts, one `value` for each field of
/// [`SURVIVING`] in order, and `email_kind`.
#[derive(Debug)]
pub(super) struct GoldenBuilder {
    prospects: Vec<ProspectId>,
    prospect_id: StringBuilder,
    merged_into: StringBuilder,
    lead_count: Int64Builder,
    source_count: Int64Builder,
    values: Vec<StringBuilder>,
    next: usize,
    email_kind: StringBuilder,
    first_source: StringBuilder,
    first_seen_at: TimestampMicrosecondBuilder,
    last_seen_at: TimestampMicrosecondBuilder,
    sources: Vec<usize>,
}

impl Default for GoldenBuilder {
    fn default() -> Self {
        Self {
            prospects: Vec::new(),
            prospect_id: StringBuilder::new(),
            merged_into: StringBuilder::new(),
            lead_count: Int64Builder::new(),
            source_count: Int64Builder::new(),
            values: SURVIVING.iter().map(|_| StringBuilder::new()).collect(),
            next: 0,
            email_kind: StringBuilder::new(),
            first_source: StringBuilder::new(),
            first_seen_at: TimestampMicrosecondBuilder::new(),
            last_seen_at: TimestampMicrosecondBuilder::new(),
            sources: Vec::new(),
        }
    }
}

impl GoldenBuilder {
    pub(super) fn begin(&mut self, prospect: ProspectId, merged_into: Option<ProspectId>) {
        self.prospects.push(prospect);
        self.prospect_id.append_value(prospect.to_string());
        self.merged_into.append_option(merged_into.map(|into| into.to_string()));
        self.next = 0;
    }

    /// What the leads of a live prospect say of when and from where it came.
    pub(super) fn seen(&mut self, leads: &Leads, members: &[u32]) {
        self.sources.clear();
        self.sources.extend(members.iter().map(|row| leads.source(*row)));
        self.sources.sort_unstable();
        self.sources.dedup();
        let first = members.iter().min_by_key(|row| (leads.first_seen_at(**row), **row));
        let first_source = first.and_then(|row| leads.text(Field::Source, *row));
        self.counts(members.len(), self.sources.len(), first_source);
        self.dates(leads, members);
    }

    fn counts(&mut self, leads: usize, sources: usize, first_source: Option<&str>) {
        self.lead_count.append_value(i64::try_from(leads).unwrap_or(i64::MAX));
        self.source_count.append_value(i64::try_from(sources).unwrap_or(i64::MAX));
        self.first_source.append_option(first_source);
    }

    fn dates(&mut self, leads: &Leads, members: &[u32]) {
        self.first_seen_at.append_option(members.iter().map(|row| leads.first_seen_at(*row)).min());
        self.last_seen_at.append_option(members.iter().map(|row| leads.observed_at(*row)).max());
    }

    /// The value of the next field of [`SURVIVING`].
    pub(super) fn value(&mut self, value: Option<&str>) {
        if let Some(column) = self.values.get_mut(self.next) {
            column.append_option(value);
        }
        self.next += 1;
    }

    pub(super) fn email_kind(&mut self, kind: Option<&str>) {
        self.email_kind.append_option(kind);
    }

    pub(super) fn finish(mut self) -> Golden {
        let mut columns: Vec<(&'static str, ArrayRef)> = vec![
            ("prospect_id", Arc::new(self.prospect_id.finish())),
            ("merged_into", Arc::new(self.merged_into.finish())),
            ("lead_count", Arc::new(self.lead_count.finish())),
            ("source_count", Arc::new(self.source_count.finish())),
            ("email_kind", Arc::new(self.email_kind.finish())),
            ("first_source", Arc::new(self.first_source.finish())),
            ("first_seen_at", Arc::new(self.first_seen_at.finish().with_timezone("UTC"))),
            ("last_seen_at", Arc::new(self.last_seen_at.finish().with_timezone("UTC"))),
        ];
        for (field, mut values) in SURVIVING.iter().zip(self.values) {
            columns.push((field.name(), Arc::new(values.finish())));
        }
        Golden { prospects: self.prospects, columns }
    }
}
