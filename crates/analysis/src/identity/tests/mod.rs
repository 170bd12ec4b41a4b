//! Made-up people with few distinct values, so that random leads share keys often.

mod assigning;
mod joining;
mod matching;
mod surviving;
mod weighing;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use proptest::prelude::*;

use super::{Exact, Field, Leads, Prior, Resolved, resolve};

/// A lead as a test writes it: an id, a source and the cells that matter.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) cells: Vec<(Field, String)>,
    pub(super) observed_at: i64,
    pub(super) created_at: Option<i64>,
}

pub(super) fn row(id: &str, cells: &[(Field, &str)]) -> Row {
    let cells = cells.iter().map(|(field, value)| (*field, (*value).to_owned())).collect();
    Row { id: id.to_owned(), cells, observed_at: 1_000, created_at: None }
}

impl Row {
    pub(super) fn observed(mut self, at: i64) -> Self {
        self.observed_at = at;
        self
    }

    fn cell(&self, field: Field) -> Option<String> {
        let given = self.cells.iter().find(|(known, _)| *known == field).map(|(_, value)| value.clone());
        given.or_else(|| match field {
            Field::LeadId => Some(self.id.clone()),
            Field::RecordId => Some(format!("rec_{}", self.id)),
            Field::Source => Some("form".to_owned()),
            _ => None,
        })
    }
}

pub(super) fn batch(rows: &[Row]) -> RecordBatch {
    let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
    for field in Field::ALL {
        let values: StringArray = rows.iter().map(|row| row.cell(*field)).collect();
        columns.push((field.name(), Arc::new(values)));
    }
    let observed: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.observed_at)).collect();
    let created: TimestampMicrosecondArray = rows.iter().map(|row| row.created_at).collect();
    columns.push(("observed_at", Arc::new(observed.with_timezone("UTC"))));
    columns.push(("created_at", Arc::new(created.with_timezone("UTC"))));
    RecordBatch::try_from_iter(columns).unwrap()
}

pub(super) fn leads(rows: &[Row]) -> Leads {
    Leads::new(&[batch(rows)]).unwrap()
}

pub(super) fn resolved(rows: &[Row], prior: &Prior) -> (Leads, Resolved) {
    let leads = leads(rows);
    let resolved = resolve(&leads, &Exact::default(), prior).unwrap();
    (leads, resolved)
}

/// The lead ids of each cluster.
pub(super) fn groups(rows: &[Row]) -> Vec<Vec<String>> {
    let (leads, resolved) = resolved(rows, &Prior::default());
    resolved.clusters.iter().map(|members| members.iter().map(|row| leads.id(*row).to_owned()).collect()).collect()
}

/// Random leads of a small world.
pub(super) fn world(size: usize) -> impl Strategy<Value = Vec<Row>> {
    let maybe = |values: &'static [&'static str]| proptest::option::of(proptest::sample::select(values));
    let lead = (
        maybe(&["ada@example.com", "Ada+x@example.com", "bob@example.com", "cy@example.org", "info@example.com"]),
        maybe(&["Ada", "ADA", "Bob", "Zoë"]),
        maybe(&["Stone", "Reed"]),
        maybe(&["+33100000001", "+33100000002"]),
        maybe(&["7", "8"]),
        proptest::sample::select(&["form", "list", "tool"][..]),
        maybe(&["upsert", "clear"]),
        (0_i64..4, proptest::option::of(0_i64..4), maybe(&["", "Lead", "Boss"]), maybe(&["valid", "invalid"])),
    );
    let lead =
        lead.prop_map(|(email, given, family, phone, external_id, source, op, (observed_at, created_at, title, status))| {
            let cells = [
                (Field::Email, email),
                (Field::GivenName, given),
                (Field::FamilyName, family),
                (Field::Phone, phone),
                (Field::ExternalId, external_id),
                (Field::Source, Some(source)),
                (Field::Op, op),
                (Field::JobTitle, title),
                (Field::EmailStatus, status),
            ];
            let cells = cells.into_iter().filter_map(|(field, value)| Some((field, value?.to_owned()))).collect();
            Row { id: String::new(), cells, observed_at, created_at }
        });
    proptest::collection::vec(lead, 0..size).prop_map(|mut rows| {
        for (number, row) in rows.iter_mut().enumerate() {
            row.id = format!("lead_{number:03}");
        }
        rows
    })
}

/// Random leads, and the same leads in another order.
pub(super) fn shuffled_world(size: usize) -> impl Strategy<Value = (Vec<Row>, Vec<Row>)> {
    world(size).prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle()))
}
