//! What each source brought, counted, and the scorecard made of it.
//!
//! A person whom two sources name counts for both: a scorecard says what one would have had from this source alone. Credits
//! divide a conversion between sources; scorecards do not. What happened before a source first named the person is not its work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use hashbrown::HashMap;
use headwater_analysis::quality::{Metric, Scorecard, Settings, SourceCounts, scorecards, survival::FollowUp};
use headwater_model::email::EmailKind;
use headwater_model::money;
use headwater_model::tables::{self, Table};
use headwater_store::{Run, Snapshot, StagedFiles};
use rust_decimal::Decimal;
use serde_json::Value;

use super::cohort::Cohort;
use super::credits::{is_refund, signed};
use super::exchange::{Exchange, day_of};
use super::mail::MailLog;
use super::spend::Spent;
use crate::engine::Engine;
use crate::error::Result;
use crate::project::CohortPeriod;
use crate::rows::{amounts, at, at_instant, booleans, instants, latest, load, text};
use crate::sync::DRY_RUN;

/// How many past runs are read for what they counted and the lake does not keep: rows of suppressed people.
pub(crate) const RUNS_READ: u32 = 10_000;
const DAY_US: i64 = 86_400_000_000;

/// What the verdicts depend on.
pub(crate) fn settings(engine: &Engine) -> Settings {
    Settings { maturity_days: f64::from(engine.project.file.measures.maturity_days) }
}

/// What was counted beside the lake: past runs, costs as they are divided, and the rates of currencies.
pub(crate) type Beside<'a> = (&'a [Run], &'a [Spent], &'a Exchange);

/// Whose figures stand on one scorecard.
#[derive(Clone, Copy)]
enum Grouping {
    /// All people of a source.
    Source,
    /// Those whom it first named in one period.
    Cohort(CohortPeriod),
}

impl Grouping {
    fn of(self, at_us: i64) -> Option<Cohort> {
        match self {
            Self::Source => None,
            Self::Cohort(period) => Some(Cohort::of(at_us, period)),
        }
    }
}

/// The scorecards of the sources, those of their cohorts, and how many sources there are.
pub(super) fn write(
    engine: &Engine,
    snapshot: &Snapshot,
    beside: Beside<'_>,
    now_us: i64,
) -> Result<(StagedFiles, StagedFiles, u64)> {
    let facts = Facts::load(engine, snapshot, beside)?;
    let owners = facts.owners()?;
    let cards = |grouping| facts.count(&owners, grouping, now_us).map(|counts| scorecards(&counts, settings(engine)));
    let of_sources = cards(Grouping::Source)?;
    let of_cohorts = cards(Grouping::Cohort(engine.project.file.measures.cohort))?;
    let sources = store(engine, &tables::SCORECARD, &of_sources, now_us)?;
    let cohorts = store(engine, &tables::SCORECARD_COHORT, &of_cohorts, now_us)?;
    Ok((sources, cohorts, of_sources.len() as u64))
}

fn store(engine: &Engine, table: &'static Table, cards: &[Scorecard], now_us: i64) -> Result<StagedFiles> {
    let rows: Vec<_> = cards.iter().flat_map(|card| card.metrics.iter().map(move |metric| (card, metric))).collect();
    let text = |value: &dyn Fn(&Scorecard, &Metric) -> String| -> ArrayRef {
        Arc::new(rows.iter().map(|(card, metric)| Some(value(card, metric))).collect::<StringArray>())
    };
    let float = |value: &dyn Fn(&Metric) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(|(_, metric)| value(metric)).collect::<Float64Array>())
    };
    let schema = table.schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "source" => text(&|card, _| card.source.clone()),
            "channel" => text(&|card, _| card.channel.clone()),
            "cohort" => text(&|card, _| card.cohort.clone().unwrap_or_default()),
            "metric" => text(&|_, metric| metric.name.clone()),
            "value" => float(&|metric| metric.value),
            "n" => Arc::new(rows.iter().map(|(_, metric)| i64::try_from(metric.n).ok()).collect::<Int64Array>()),
            "numerator" => float(&|metric| metric.numerator),
            "low" => float(&|metric| metric.low),
            "high" => float(&|metric| metric.high),
            "state" => text(&|_, metric| metric.state.name().to_owned()),
            "unit" => text(&|_, metric| metric.unit.clone()),
            _ => Arc::new(TimestampMicrosecondArray::from_value(now_us, rows.len()).with_timezone("UTC")),
        }
    });
    let columns = columns.collect();
    let mut writer = engine.store.writer(table, None)?;
    writer.write(&RecordBatch::try_new(schema, columns)?)?;
    Ok(writer.finish()?)
}

/// One person, as far as sources are measured.
#[derive(Default)]
struct Person {
    first_source: Option<String>,
    became_prospect_at: Option<i64>,
    became_customer_at: Option<i64>,
    paid: Vec<Paid>,
}

/// What a person paid, or got back, at one time.
struct Paid {
    at_us: i64,
    /// Millionths, as they are added up.
    amount: i128,
    currency: String,
    is_refund: bool,
}

/// A person as one source knows them.
#[derive(Clone, Copy)]
struct Appearance {
    first_at: i64,
    valid_email: bool,
}

/// What each source with leads brought.
pub(crate) fn counts(engine: &Engine, snapshot: &Snapshot, beside: Beside<'_>, now_us: i64) -> Result<Vec<SourceCounts>> {
    let facts = Facts::load(engine, snapshot, beside)?;
    facts.count(&facts.owners()?, Grouping::Source, now_us)
}

/// All that sources are measured by.
struct Facts<'a> {
    beside: Beside<'a>,
    required: &'a [String],
    people: HashMap<String, Person>,
    mail: MailLog,
    links: Vec<RecordBatch>,
    leads: Vec<RecordBatch>,
    channels: BTreeMap<String, String>,
    /// The source of each row refused, and when that was.
    refused: Vec<(String, i64)>,
}

/// The person of each lead.
type Owners<'a> = HashMap<&'a str, &'a str>;

/// What is counted, by source and cohort.
type Cells<'a> = BTreeMap<(&'a str, Option<Cohort>), Cell<'a>>;

/// What one scorecard counts, while it is counted.
#[derive(Default)]
struct Cell<'a> {
    counts: SourceCounts,
    persons: HashMap<&'a str, Appearance>,
    ages: Vec<i64>,
}

impl<'a> Facts<'a> {
    fn load(engine: &'a Engine, snapshot: &Snapshot, beside: Beside<'a>) -> Result<Self> {
        let required = &engine.project.file.measures.required_fields;
        Ok(Self {
            beside,
            required,
            people: people(snapshot, beside.2)?,
            mail: MailLog::load(snapshot)?,
            links: load(snapshot, &tables::IDENTITY_LINK, &["lead_id", "prospect_id"])?,
            leads: leads(snapshot, required)?,
            channels: channels(snapshot)?,
            refused: refused(snapshot)?,
        })
    }

    fn owners(&self) -> Result<Owners<'_>> {
        let mut owners = Owners::new();
        for batch in &self.links {
            let (lead, prospect) = (text(batch, "lead_id")?, text(batch, "prospect_id")?);
            owners.extend((0..batch.num_rows()).map(|row| (lead.value(row), prospect.value(row))));
        }
        Ok(owners)
    }

    fn count(&self, owners: &Owners<'_>, grouping: Grouping, now_us: i64) -> Result<Vec<SourceCounts>> {
        let mut cells = self.records(owners, grouping)?;
        self.add_refused_and_spent(grouping, &mut cells);
        let mut counted = Vec::with_capacity(cells.len());
        for ((name, cohort), Cell { mut counts, persons, ages }) in cells {
            name.clone_into(&mut counts.source);
            counts.cohort = cohort.map(|cohort| cohort.to_string());
            counts.channel = self.channels.get(name).cloned().unwrap_or_default();
            counts.received = counts.accepted + counts.quarantined + counts.suppressed;
            counts.data_ages_days = ages.into_iter().map(in_days).collect();
            count_people(&mut counts, &persons, (&self.people, &self.mail), now_us);
            // A source of which everything was taken back is shown with its zeros; a month in which it brought nothing is not.
            if cohort.is_none() || counts.received > 0 || counts.distinct_persons > 0 || !counts.cost.is_empty() {
                counted.push(counts);
            }
        }
        Ok(counted)
    }

    /// Each record in the cell of its own time, each person in that of the first record.
    fn records<'b>(&'b self, owners: &Owners<'b>, grouping: Grouping) -> Result<Cells<'b>> {
        let began: HashMap<&str, i64> = self.beside.0.iter().map(|run| (run.run_id.as_str(), run.started_at)).collect();
        let mut cells = Cells::new();
        let mut persons: BTreeMap<&str, HashMap<&str, Appearance>> = BTreeMap::new();
        for batch in &self.leads {
            let (lead, source, run) = (text(batch, "lead_id")?, text(batch, "source")?, text(batch, "run_id")?);
            let (observed, created) = (instants(batch, "observed_at")?, instants(batch, "created_at")?);
            for row in 0..batch.num_rows() {
                let (name, observed_at) = (source.value(row), observed.value(row));
                let first_at = at_instant(created, row).unwrap_or(observed_at);
                let cell = cells.entry((name, grouping.of(first_at))).or_default();
                let valid_email = count_lead(&mut cell.counts, batch, row, self.required)?;
                // What nobody dated was observed when it arrived, which is no age.
                let age = began.get(run.value(row)).map(|began| began - observed_at).filter(|age| *age > 0);
                cell.ages.extend(age.filter(|_| is_counted(batch, row).unwrap_or(false)));
                if let Some(person) = owners.get(lead.value(row)) {
                    let known = persons.entry(name).or_default();
                    let seen = known.entry(person).or_insert(Appearance { first_at, valid_email });
                    seen.first_at = seen.first_at.min(first_at);
                    seen.valid_email |= valid_email;
                }
            }
        }
        for (source, persons) in persons {
            for (person, seen) in persons {
                cells.entry((source, grouping.of(seen.first_at))).or_default().persons.insert(person, seen);
            }
        }
        Ok(cells)
    }

    /// What was refused, suppressed and spent, of sources that have leads: in the cell of the time when that was.
    fn add_refused_and_spent<'b>(&'b self, grouping: Grouping, cells: &mut Cells<'b>) {
        let known: BTreeSet<&str> = cells.keys().map(|(source, _)| *source).collect();
        for (source, at_us) in self.refused.iter().filter(|(source, _)| known.contains(source.as_str())) {
            cells.entry((source, grouping.of(*at_us))).or_default().counts.quarantined += 1;
        }
        let (runs, spent, exchange) = self.beside;
        for run in runs.iter().filter(|run| run.command != DRY_RUN) {
            for source in &known {
                let suppressed =
                    run.counts.pointer(&format!("/sources/{source}/suppressed")).and_then(Value::as_u64).unwrap_or(0);
                if suppressed > 0 {
                    cells.entry((source, grouping.of(run.started_at))).or_default().counts.suppressed += suppressed;
                }
            }
        }
        for part in spent {
            let Some(source) = part.source.as_deref().filter(|source| known.contains(source)) else { continue };
            let (currency, amount) = part.counted(exchange.target());
            let cost = &mut cells.entry((source, grouping.of(i64::from(part.day) * DAY_US))).or_default().counts.cost;
            *cost.entry(currency.to_owned()).or_default() += decimal(amount);
        }
    }
}

fn leads(snapshot: &Snapshot, required: &[String]) -> Result<Vec<RecordBatch>> {
    let mut columns = vec![
        "lead_id",
        "source",
        "op",
        "is_test",
        "email",
        "email_kind",
        "created_at",
        "observed_at",
        "consent",
        "lawful_basis",
        "basis_obtained_at",
        "run_id",
    ];
    for field in required {
        if !columns.contains(&field.as_str()) {
            columns.push(field);
        }
    }
    latest(load(snapshot, &tables::LEAD, &columns)?, "lead_id")
}

/// Whether a row is a lead of somebody: not one taken back, and no test.
fn is_counted(batch: &RecordBatch, row: usize) -> Result<bool> {
    Ok(at(text(batch, "op")?, row) != Some("delete") && !booleans(batch, "is_test")?.value(row))
}

/// Counts one lead; whether it has a valid address.
fn count_lead(counts: &mut SourceCounts, batch: &RecordBatch, row: usize, required: &[String]) -> Result<bool> {
    if !is_counted(batch, row)? {
        return Ok(false);
    }
    counts.accepted += 1;
    let kind = at(text(batch, "email_kind")?, row);
    let is = |wanted: EmailKind| kind == Some(wanted.as_str());
    let valid = kind.is_some() && !is(EmailKind::Invalid);
    counts.with_email += u64::from(kind.is_some());
    counts.valid_email += u64::from(valid);
    *counts.disposable_email.get_or_insert(0) += u64::from(is(EmailKind::Disposable));
    *counts.role_email.get_or_insert(0) += u64::from(is(EmailKind::GenericPro));
    *counts.freemail.get_or_insert(0) += u64::from(is(EmailKind::Personal));
    let mut complete = true;
    for field in required {
        let column = batch.column_by_name(field);
        let filled = column.is_some_and(|column| column.is_valid(row));
        *counts.fields_filled.entry(field.clone()).or_default() += u64::from(filled);
        complete &= filled;
    }
    if !required.is_empty() {
        *counts.complete.get_or_insert(0) += u64::from(complete);
    }
    let consented = at(text(batch, "consent")?, row) == Some("granted");
    let dated = at(text(batch, "lawful_basis")?, row).is_some() && instants(batch, "basis_obtained_at")?.is_valid(row);
    counts.with_basis += u64::from(dated || consented);
    counts.with_consent += u64::from(consented);
    Ok(valid)
}

fn count_people(
    counts: &mut SourceCounts,
    persons: &HashMap<&str, Appearance>,
    (people, mail): (&HashMap<String, Person>, &MailLog),
    now_us: i64,
) {
    counts.distinct_persons = persons.len() as u64;
    counts.duplicate_within = counts.accepted.saturating_sub(counts.distinct_persons);
    let mut ages: Vec<i64> = Vec::with_capacity(persons.len());
    let mut sorted: Vec<_> = persons.iter().collect();
    sorted.sort_unstable_by_key(|(prospect, _)| **prospect);
    (counts.mail, counts.decay) = mail.judge(sorted.iter().map(|(person, seen)| (**person, seen.first_at)), now_us);
    for (prospect, seen) in sorted {
        let Some(person) = people.get(*prospect) else { continue };
        let net_new = person.first_source.as_deref() == Some(counts.source.as_str());
        let after = |at: Option<i64>| at.is_some_and(|at| at >= seen.first_at);
        let customer = after(person.became_customer_at);
        counts.net_new += u64::from(net_new);
        counts.known_before += u64::from(!net_new);
        counts.prospects += u64::from(person.became_prospect_at.is_some());
        counts.customers += u64::from(customer);
        counts.net_new_valid_customers += u64::from(customer && net_new && seen.valid_email);
        let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
        for Paid { at_us, amount, currency, is_refund } in person.paid.iter().filter(|paid| paid.at_us >= seen.first_at) {
            counts.conversions += u64::from(!is_refund);
            *sums.entry(currency).or_default() += amount;
            *counts.revenue.entry(currency.clone()).or_default() += decimal(*amount);
            let age = u32::try_from((at_us - seen.first_at) / DAY_US).unwrap_or(u32::MAX);
            *counts.revenue_by_age.entry(currency.clone()).or_default().entry(age).or_default() += decimal(*amount);
        }
        for (currency, sum) in sums {
            #[expect(clippy::cast_precision_loss, reason = "millionths of what a person pays fit 53 bits")]
            counts.revenue_by_person.entry(currency.to_owned()).or_default().push(sum as f64 / 1e6);
        }
        let until = if customer { person.became_customer_at.unwrap_or(now_us) } else { now_us };
        let days = u32::try_from((until - seen.first_at).max(0) / DAY_US).unwrap_or(u32::MAX);
        counts.follow_up.push(FollowUp { days, converted: customer });
        ages.push((now_us - seen.first_at).max(0));
    }
    counts.median_age_days = median_days(ages);
}

fn median_days(mut ages_us: Vec<i64>) -> Option<f64> {
    ages_us.sort_unstable();
    ages_us.get(ages_us.len() / 2).copied().map(in_days)
}

#[expect(clippy::cast_precision_loss, reason = "an age in microseconds fits 53 bits for 285 years")]
fn in_days(age_us: i64) -> f64 {
    age_us as f64 / DAY_US as f64
}

fn people(snapshot: &Snapshot, exchange: &Exchange) -> Result<HashMap<String, Person>> {
    let mut people: HashMap<String, Person> = HashMap::new();
    for batch in load(
        snapshot,
        &tables::PROSPECT,
        &["prospect_id", "merged_into", "first_source", "became_prospect_at", "became_customer_at"],
    )? {
        let (id, merged, first) = (text(&batch, "prospect_id")?, text(&batch, "merged_into")?, text(&batch, "first_source")?);
        let (prospect, customer) = (instants(&batch, "became_prospect_at")?, instants(&batch, "became_customer_at")?);
        for row in (0..batch.num_rows()).filter(|row| merged.is_null(*row)) {
            people.insert(
                id.value(row).to_owned(),
                Person {
                    first_source: at(first, row).map(str::to_owned),
                    became_prospect_at: at_instant(prospect, row),
                    became_customer_at: at_instant(customer, row),
                    paid: Vec::new(),
                },
            );
        }
    }
    let mut owner: HashMap<String, String> = HashMap::new();
    for batch in load(snapshot, &tables::FACT_LINK, &["fact_id", "kind", "prospect_id"])? {
        let (fact, kind, prospect) = (text(&batch, "fact_id")?, text(&batch, "kind")?, text(&batch, "prospect_id")?);
        let rows = (0..batch.num_rows()).filter(|row| kind.value(*row) == "conversion");
        owner.extend(rows.map(|row| (fact.value(row).to_owned(), prospect.value(row).to_owned())));
    }
    let columns = ["conversion_id", "kind", "value", "currency", "occurred_at"];
    for batch in latest(load(snapshot, &tables::CONVERSION, &columns)?, "conversion_id")? {
        let (id, kind, currency) = (text(&batch, "conversion_id")?, text(&batch, "kind")?, text(&batch, "currency")?);
        let (value, when) = (amounts(&batch, "value")?, instants(&batch, "occurred_at")?);
        for row in (0..batch.num_rows()).filter(|row| value.is_valid(*row)) {
            let Some(person) = owner.get(id.value(row)).and_then(|prospect| people.get_mut(prospect)) else { continue };
            let (kind, at_us) = (kind.value(row), when.value(row));
            let stated = (at(currency, row).unwrap_or_default(), signed(kind, value.value(row)));
            let (currency, amount) = exchange.counted(day_of(at_us), stated.0, stated.1);
            person.paid.push(Paid { at_us, amount, currency: currency.to_owned(), is_refund: is_refund(kind) });
        }
    }
    Ok(people)
}

/// The channel that most of a source's contacts came through.
fn channels(snapshot: &Snapshot) -> Result<BTreeMap<String, String>> {
    let mut counted: BTreeMap<(String, String), u64> = BTreeMap::new();
    for batch in latest(load(snapshot, &tables::TOUCH, &["touch_id", "source", "channel"])?, "touch_id")? {
        let (source, channel) = (text(&batch, "source")?, text(&batch, "channel")?);
        let mut here: HashMap<(&str, &str), u64> = HashMap::new();
        for row in 0..batch.num_rows() {
            *here.entry((source.value(row), channel.value(row))).or_default() += 1;
        }
        for ((source, channel), count) in here {
            *counted.entry((source.to_owned(), channel.to_owned())).or_default() += count;
        }
    }
    let mut most: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for ((source, channel), count) in counted {
        let best = most.entry(source).or_default();
        if count > best.0 {
            *best = (count, channel);
        }
    }
    Ok(most.into_iter().map(|(source, (_, channel))| (source, channel)).collect())
}

/// The rows refused, each counted once: of which source, and when first.
fn refused(snapshot: &Snapshot) -> Result<Vec<(String, i64)>> {
    let mut first: HashMap<String, (String, i64)> = HashMap::new();
    for batch in load(snapshot, &tables::QUARANTINE, &["quarantine_id", "source", "stage", "refused_at"])? {
        let (id, source, stage) = (text(&batch, "quarantine_id")?, text(&batch, "source")?, text(&batch, "stage")?);
        let refused_at = instants(&batch, "refused_at")?;
        for row in (0..batch.num_rows()).filter(|row| stage.value(*row) == "ingest") {
            let at_us = refused_at.value(row);
            let known = first.entry(id.value(row).to_owned()).or_insert_with(|| (source.value(row).to_owned(), at_us));
            known.1 = known.1.min(at_us);
        }
    }
    Ok(first.into_values().collect())
}

/// Millionths as a decimal.
pub(crate) fn decimal(amount: i128) -> Decimal {
    Decimal::from_i128_with_scale(amount, money::SCALE)
}
