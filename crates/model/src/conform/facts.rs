//! Engagements, conversions and costs: few rows beside the leads, read row by row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::filter_record_batch;

use super::columns::{Reader, constant};
use super::leads::style;
use super::record::{self, RowIds};
use super::{ConformError, Conformer, Kept, Refusal};
use crate::mapping::Role;
use crate::money::{self, NumberStyle};
use crate::page::Refused;
use crate::suppression::{Kind, Screen};
use crate::{country, email, engagement, instant, phone, tables};

pub(super) const ENGAGEMENT_FIELDS: &[&str] =
    &["email", "external_id", "kind", "raw_kind", "machine", "campaign", "url", "message_id", "occurred_at"];
pub(super) const CONVERSION_FIELDS: &[&str] =
    &["external_id", "email", "phone", "country", "kind", "value", "currency", "occurred_at", "product", "category", "rep"];
pub(super) const COST_FIELDS: &[&str] =
    &["for_source", "channel", "campaign", "kind", "day", "until_day", "amount", "currency", "impressions", "clicks"];

/// What became of a page of facts.
#[derive(Debug)]
pub struct Facts {
    /// Accepted rows, in the shape of their role's table.
    pub rows: RecordBatch,
    /// The same rows as they arrived, as `source_record`.
    pub record: RecordBatch,
    /// Rows refused, with reasons.
    pub refused: Vec<Refused>,
    /// Rows of people who must not be held.
    pub suppressed: u64,
}

pub(super) fn conform(conformer: &Conformer, kept: &Kept<'_>, screen: &Screen, now_us: i64) -> Result<Facts, ConformError> {
    let raw = record::Columns::new(&kept.fields);
    let mut table = Builder::new(conformer, kept, screen, (&raw, now_us));
    let (ids, rows) = match conformer.role {
        Role::Engagements => table.engagements()?,
        Role::Conversions => table.conversions()?,
        Role::Costs | Role::Leads | Role::Touches => table.costs()?,
    };
    let record = record::batch(kept, &raw, &ids, &conformer.context, now_us)?;
    let mask = BooleanArray::from(table.accepted);
    Ok(Facts {
        rows: filter_record_batch(&rows, &mask)?,
        record: filter_record_batch(&record, &mask)?,
        refused: table.refused,
        suppressed: table.suppressed,
    })
}

struct Builder<'a> {
    conformer: &'a Conformer,
    kept: &'a Kept<'a>,
    screen: &'a Screen,
    raw: &'a record::Columns<'a>,
    now_us: i64,
    accepted: Vec<bool>,
    refused: Vec<Refused>,
    suppressed: u64,
}

impl<'a> Builder<'a> {
    fn new(
        conformer: &'a Conformer,
        kept: &'a Kept<'a>,
        screen: &'a Screen,
        (raw, now_us): (&'a record::Columns<'a>, i64),
    ) -> Self {
        let accepted = vec![true; kept.len()];
        Self { conformer, kept, screen, raw, now_us, accepted, refused: Vec::new(), suppressed: 0 }
    }

    fn read(&self, field: &str) -> Reader<'a> {
        Reader::new(&self.kept.fields, self.conformer.rules.get(field))
    }

    fn same(&self, value: Option<&str>) -> ArrayRef {
        Arc::new(constant(self.kept.len(), value))
    }

    fn text(&self, field: &str) -> ArrayRef {
        Arc::new(self.read(field).text())
    }

    /// Refuses a row once, for the first reason found.
    fn refuse(&mut self, row: usize, why: Refusal) {
        if let Some(slot) = self.accepted.get_mut(row)
            && *slot
        {
            *slot = false;
            self.refused.push(self.kept.refuse(row, self.raw, why));
        }
    }

    /// A column made row by row; a row whose value cannot be made is refused.
    fn column<T>(
        &mut self,
        field: &'static str,
        make: impl Fn(&Reader<'a>, usize) -> Result<Option<T>, Refusal>,
    ) -> Vec<Option<T>> {
        let reader = self.read(field);
        let mut out = Vec::with_capacity(self.kept.len());
        for row in 0..self.kept.len() {
            out.push(make(&reader, row).unwrap_or_else(|why| {
                self.refuse(row, why);
                None
            }));
        }
        out
    }

    fn instants(&mut self, field: &'static str) -> Vec<Option<i64>> {
        let (dates, now_us) = (self.conformer.context.dates.clone(), self.now_us);
        self.column(field, |reader, row| {
            let Some(text) = reader.get(row) else { return Ok(None) };
            instant::parse_past(text, &style(&dates, reader), now_us).map(Some).map_err(|error| date_refusal(field, error))
        })
    }

    fn days(&mut self, field: &'static str) -> Vec<Option<i32>> {
        let dates = self.conformer.context.dates.clone();
        self.column(field, |reader, row| {
            let Some(text) = reader.get(row) else { return Ok(None) };
            instant::parse_day(text, &style(&dates, reader)).map(Some).map_err(|error| date_refusal(field, error))
        })
    }

    fn amounts(&mut self, field: &'static str) -> Vec<Option<i128>> {
        self.column(field, |reader, row| {
            let Some(text) = reader.get(row) else { return Ok(None) };
            let style = reader.format.and_then(NumberStyle::parse).unwrap_or_default();
            money::parse(text, style).map(Some).map_err(|error| Refusal::new("unreadable_amount", Some(field), error.to_string()))
        })
    }

    fn whole_numbers(&mut self, field: &'static str) -> Vec<Option<i64>> {
        self.column(field, |reader, row| {
            let Some(text) = reader.get(row) else { return Ok(None) };
            text.parse().map(Some).map_err(|_| Refusal::new("unreadable_number", Some(field), "not a whole number"))
        })
    }

    fn currencies(&mut self) -> Vec<Option<String>> {
        let default = self.conformer.context.currency.clone();
        self.column("currency", |reader, row| match reader.get(row) {
            None => Ok(default.clone()),
            Some(text) => money::currency(text).map(Some).ok_or_else(|| {
                Refusal::new("unknown_currency", Some("currency"), "not a currency: write its ISO 4217 code such as EUR")
            }),
        })
    }

    fn emails(&mut self) -> StringArray {
        let reader = self.read("email");
        (0..self.kept.len()).map(|row| reader.get(row).and_then(email::normalise)).collect()
    }

    fn phones(&self) -> StringArray {
        let (phone, country) = (self.read("phone"), self.read("country"));
        let hint = self.conformer.context.country.as_deref();
        let at = |row| country.get(row).and_then(country::code).or(hint);
        (0..self.kept.len()).map(|row| phone.get(row).and_then(|raw| phone::normalise(raw, at(row)))).collect()
    }

    /// Refuses what the source says is gone: the tables of facts cannot say so, and a fact that is gone must not count as a new one.
    fn refuse_deleted(&mut self) {
        for row in (0..self.kept.len()).filter(|row| self.kept.deleted(*row)) {
            let reason =
                "the source says this is gone, which only people can be here; let it send the opposite, such as a refund";
            self.refuse(row, Refusal::new("deleted_fact", None, reason));
        }
    }

    /// Takes out the rows of people who must not be held. Before anything is refused: a refused row is kept as it arrived.
    fn suppress(&mut self, columns: &[(Kind, &StringArray)]) {
        if self.screen.is_empty() {
            return;
        }
        for (row, slot) in self.accepted.iter_mut().enumerate().filter(|(_, slot)| **slot) {
            if columns.iter().any(|(kind, column)| column.is_valid(row) && self.screen.stops(*kind, column.value(row))) {
                *slot = false;
                self.suppressed += 1;
            }
        }
    }

    fn require<T>(&mut self, field: &'static str, values: &[Option<T>]) {
        for (row, _) in values.iter().enumerate().filter(|(_, value)| value.is_none()) {
            let reason = format!("has no `{field}`: map the column that holds it under `map:`");
            self.refuse(row, Refusal::new("missing_field", Some(field), reason));
        }
    }

    fn engagements(&mut self) -> Result<(RowIds, RecordBatch), ConformError> {
        let ids = RowIds::of(self.kept, "eng_");
        let emails = self.emails();
        self.suppress(&[(Kind::Email, &emails)]);
        self.refuse_deleted();
        let occurred = self.instants("occurred_at");
        self.require("occurred_at", &occurred);
        let (kind, raw_kind, machine) = (self.read("kind"), self.read("raw_kind"), self.read("machine"));
        let rows = self.kept.len();
        let kinds: StringArray = (0..rows).map(|row| Some(engagement::kind(kind.get(row).unwrap_or_default()))).collect();
        // A source that gives our kind gives its own word beside it.
        let raw_kinds: StringArray = (0..rows).map(|row| raw_kind.get(row).or_else(|| kind.get(row))).collect();
        let machines: StringArray = (0..rows).map(|row| Some(engagement::machine(machine.get(row)))).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ids.lead.clone()),
            Arc::new(ids.record.clone()),
            self.same(Some(&self.conformer.context.source)),
            Arc::new(emails),
            self.text("external_id"),
            Arc::new(kinds),
            Arc::new(raw_kinds),
            Arc::new(machines),
            self.text("campaign"),
            self.text("url"),
            self.text("message_id"),
            moments(occurred),
            self.same(Some(&self.conformer.context.run_id)),
        ];
        Ok((ids, RecordBatch::try_new(tables::ENGAGEMENT.schema(), columns)?))
    }

    fn conversions(&mut self) -> Result<(RowIds, RecordBatch), ConformError> {
        let ids = RowIds::of(self.kept, "cnv_");
        let (emails, phones) = (self.emails(), self.phones());
        self.suppress(&[(Kind::Email, &emails), (Kind::Phone, &phones)]);
        self.refuse_deleted();
        let (occurred, values, currencies) = (self.instants("occurred_at"), self.amounts("value"), self.currencies());
        self.require("occurred_at", &occurred);
        for row in 0..self.kept.len() {
            if matches!((values.get(row), currencies.get(row)), (Some(Some(_)), Some(None))) {
                let reason = "an amount without a currency: map a `currency` column or set `currency:` for the source";
                self.refuse(row, Refusal::new("missing_currency", Some("currency"), reason));
            }
        }
        let external = self.read("external_id");
        for row in 0..self.kept.len() {
            if emails.is_null(row) && phones.is_null(row) && external.get(row).is_none() {
                let reason = "names nobody: no address, number or id; map the column that holds it under `map:`";
                self.refuse(row, Refusal::new("no_identity", None, reason));
            }
        }
        let kind = self.read("kind");
        let kind_of = |row: usize| match values.get(row) {
            // Shops write a return as an order of less than nothing.
            Some(Some(..0)) => "refund".to_owned(),
            _ => kind.get(row).map_or_else(|| "order".to_owned(), str::to_lowercase),
        };
        let kinds: StringArray = (0..self.kept.len()).map(|row| Some(kind_of(row))).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ids.lead.clone()),
            Arc::new(ids.record.clone()),
            self.same(Some(&self.conformer.context.source)),
            self.text("external_id"),
            Arc::new(emails),
            Arc::new(phones),
            Arc::new(kinds),
            amounts_column(values)?,
            Arc::new(currencies.into_iter().collect::<StringArray>()),
            moments(occurred),
            self.same(Some(&self.conformer.context.run_id)),
            self.text("product"),
            self.text("category"),
            self.text("rep"),
        ];
        Ok((ids, RecordBatch::try_new(tables::CONVERSION.schema(), columns)?))
    }

    fn costs(&mut self) -> Result<(RowIds, RecordBatch), ConformError> {
        let ids = RowIds::of(self.kept, "cst_");
        self.refuse_deleted();
        let (days, until, amounts, currencies) =
            (self.days("day"), self.days("until_day"), self.amounts("amount"), self.currencies());
        self.require("day", &days);
        self.require("amount", &amounts);
        self.require("currency", &currencies);
        let (impressions, clicks) = (self.whole_numbers("impressions"), self.whole_numbers("clicks"));
        let kind = self.read("kind");
        let kinds: StringArray = (0..self.kept.len()).map(|row| Some(kind.get(row).unwrap_or("media"))).collect();
        // A refused row has no day, amount or currency; the columns are never null, and the row is left out below.
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ids.lead.clone()),
            Arc::new(ids.record.clone()),
            self.same(Some(&self.conformer.context.source)),
            self.text("for_source"),
            self.text("channel"),
            self.text("campaign"),
            Arc::new(kinds),
            Arc::new(Date32Array::from_iter_values(days.into_iter().map(Option::unwrap_or_default))),
            Arc::new(Date32Array::from(until)),
            amounts_column(amounts.into_iter().map(|amount| Some(amount.unwrap_or_default())).collect())?,
            Arc::new(currencies.into_iter().map(|code| Some(code.unwrap_or_default())).collect::<StringArray>()),
            Arc::new(Int64Array::from(impressions)),
            Arc::new(Int64Array::from(clicks)),
            self.same(Some(&self.conformer.context.run_id)),
            // A bill states what was paid; only a project's `cost:` states a price.
            self.same(None),
        ];
        Ok((ids, RecordBatch::try_new(tables::COST.schema(), columns)?))
    }
}

fn date_refusal(field: &'static str, error: instant::NotAnInstant) -> Refusal {
    Refusal::new(error.code(), Some(field), error.to_string())
}

/// A required instant column; refused rows, left out later, hold the epoch until then.
fn moments(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values.into_iter().map(Option::unwrap_or_default)).with_timezone("UTC"))
}

fn amounts_column(values: Vec<Option<i128>>) -> Result<ArrayRef, ConformError> {
    Ok(Arc::new(Decimal128Array::from(values).with_precision_and_scale(18, 6)?))
}
