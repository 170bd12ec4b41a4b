//! What each source brought, counted, and the scorecard made of it.
//!
//! A person whom two sources name counts for both: a scorecard says what one would have had from this source alone. Credits
//! divide a conversion between sources; scorecards do not. What happened before a source first named the person is not its work.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use hashbrown::{HashMap, HashSet};
use headwater_analysis::quality::{Money, Settings, SourceCounts, scorecards, survival::FollowUp};
use headwater_model::email::EmailKind;
use headwater_model::{money, tables};
use headwater_store::{Run, Snapshot, StagedFiles};
use rust_decimal::Decimal;

use super::credits::signed;
use crate::engine::Engine;
use crate::error::Result;
use crate::rows::{amounts, at, at_instant, booleans, instants, latest, load, text};
use crate::sync::DRY_RUN;

/// How many past runs are read for what they counted and the lake does not keep: rows of suppressed people.
pub(super) const RUNS_READ: u32 = 10_000;
const DAY_US: i64 = 86_400_000_000;

/// What the verdicts depend on.
pub(crate) fn settings(engine: &Engine) -> Settings {
    Settings { maturity_days: f64::from(engine.project.file.measures.maturity_days) }
}

pub(super) fn write(engine: &Engine, snapshot: &Snapshot, runs: &[Run], now_us: i64) -> Result<(StagedFiles, u64)> {
    let counts = counts(engine, snapshot, runs, now_us)?;
    let cards = scorecards(&counts, settings(engine));
    let rows: Vec<_> = cards.iter().flat_map(|card| card.metrics.iter().map(move |metric| (card, metric))).collect();
    let text = |value: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new((0..rows.len()).map(|row| Some(value(row))).collect::<StringArray>())
    };
    let float =
        |value: &dyn Fn(usize) -> Option<f64>| -> ArrayRef { Arc::new((0..rows.len()).map(value).collect::<Float64Array>()) };
    let metric = |row: usize| rows.get(row).map(|(_, metric)| *metric);
    let columns: Vec<ArrayRef> = vec![
        text(&|row| rows.get(row).map(|(card, _)| card.source.clone()).unwrap_or_default()),
        text(&|row| rows.get(row).map(|(card, _)| card.channel.clone()).unwrap_or_default()),
        text(&|row| metric(row).map(|metric| metric.name.clone()).unwrap_or_default()),
        float(&|row| metric(row)?.value),
        Arc::new(rows.iter().map(|(_, metric)| i64::try_from(metric.n).ok()).collect::<Int64Array>()),
        float(&|row| metric(row)?.numerator),
        float(&|row| metric(row)?.low),
        float(&|row| metric(row)?.high),
        text(&|row| metric(row).map(|metric| metric.state.name().to_owned()).unwrap_or_default()),
        text(&|row| metric(row).map(|metric| metric.unit.clone()).unwrap_or_default()),
        Arc::new(TimestampMicrosecondArray::from_value(now_us, rows.len()).with_timezone("UTC")),
    ];
    let mut writer = engine.store.writer(&tables::SCORECARD, None)?;
    writer.write(&RecordBatch::try_new(tables::SCORECARD.schema(), columns)?)?;
    Ok((writer.finish()?, cards.len() as u64))
}

/// One person, as far as sources are measured.
#[derive(Default)]
struct Person {
    first_source: Option<String>,
    became_prospect_at: Option<i64>,
    became_customer_at: Option<i64>,
    /// When, how much in millionths, of what.
    conversions: Vec<(i64, i128, String)>,
}

/// A person as one source knows them.
#[derive(Clone, Copy)]
struct Appearance {
    first_at: i64,
    valid_email: bool,
}

/// What each source with leads brought.
pub(crate) fn counts(engine: &Engine, snapshot: &Snapshot, runs: &[Run], now_us: i64) -> Result<Vec<SourceCounts>> {
    let required = &engine.project.file.measures.required_fields;
    let people = people(snapshot)?;
    let links = load(snapshot, &tables::IDENTITY_LINK, &["lead_id", "prospect_id"])?;
    let mut prospect_of: HashMap<&str, &str> = HashMap::new();
    for batch in &links {
        let (lead, prospect) = (text(batch, "lead_id")?, text(batch, "prospect_id")?);
        prospect_of.extend((0..batch.num_rows()).map(|row| (lead.value(row), prospect.value(row))));
    }
    let leads = leads(snapshot, required)?;
    let mut of: BTreeMap<&str, (SourceCounts, HashMap<&str, Appearance>)> = BTreeMap::new();
    for batch in &leads {
        let source = text(batch, "source")?;
        for row in 0..batch.num_rows() {
            let (counts, persons) = of.entry(source.value(row)).or_default();
            let valid_email = count_lead(counts, batch, row, required)?;
            let first_at = at_instant(instants(batch, "created_at")?, row).unwrap_or(instants(batch, "observed_at")?.value(row));
            if let Some(prospect) = prospect_of.get(text(batch, "lead_id")?.value(row)) {
                let seen = persons.entry(prospect).or_insert(Appearance { first_at, valid_email });
                seen.first_at = seen.first_at.min(first_at);
                seen.valid_email |= valid_email;
            }
        }
    }
    let channels = channels(snapshot)?;
    let refused = refused(snapshot)?;
    let costs = costs(snapshot)?;
    let finished = of.into_iter().map(|(name, (mut counts, persons))| {
        name.clone_into(&mut counts.source);
        counts.channel = channels.get(name).cloned().unwrap_or_default();
        counts.quarantined = refused.get(name).copied().unwrap_or_default();
        let took = runs.iter().filter(|run| run.command != DRY_RUN);
        counts.suppressed = took.filter_map(|run| run.counts.pointer(&format!("/sources/{name}/suppressed"))?.as_u64()).sum();
        counts.received = counts.accepted + counts.quarantined + counts.suppressed;
        counts.cost = costs.get(name).cloned().unwrap_or_default();
        count_people(&mut counts, &persons, &people, now_us);
        counts
    });
    Ok(finished.collect())
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
    ];
    for field in required {
        if !columns.contains(&field.as_str()) {
            columns.push(field);
        }
    }
    latest(load(snapshot, &tables::LEAD, &columns)?, "lead_id")
}

/// Counts one lead; whether it has a valid address.
fn count_lead(counts: &mut SourceCounts, batch: &RecordBatch, row: usize, required: &[String]) -> Result<bool> {
    if at(text(batch, "op")?, row) == Some("delete") || booleans(batch, "is_test")?.value(row) {
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

fn count_people(counts: &mut SourceCounts, persons: &HashMap<&str, Appearance>, people: &HashMap<String, Person>, now_us: i64) {
    counts.distinct_persons = persons.len() as u64;
    counts.duplicate_within = counts.accepted.saturating_sub(counts.distinct_persons);
    let mut ages: Vec<i64> = Vec::with_capacity(persons.len());
    let mut sorted: Vec<_> = persons.iter().collect();
    sorted.sort_unstable_by_key(|(prospect, _)| **prospect);
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
        for (when, amount, currency) in person.conversions.iter().filter(|(when, _, _)| *when >= seen.first_at) {
            counts.conversions += 1;
            *counts.revenue.entry(currency.clone()).or_default() += decimal(*amount);
            let age = u32::try_from((when - seen.first_at) / DAY_US).unwrap_or(u32::MAX);
            *counts.revenue_by_age.entry(currency.clone()).or_default().entry(age).or_default() += decimal(*amount);
        }
        let until = if customer { person.became_customer_at.unwrap_or(now_us) } else { now_us };
        let days = u32::try_from((until - seen.first_at).max(0) / DAY_US).unwrap_or(u32::MAX);
        counts.follow_up.push(FollowUp { days, converted: customer });
        ages.push((now_us - seen.first_at).max(0));
    }
    ages.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "an age in microseconds fits 53 bits for 285 years")]
    let median = ages.get(ages.len() / 2).map(|age| *age as f64 / DAY_US as f64);
    counts.median_age_days = median;
}

fn people(snapshot: &Snapshot) -> Result<HashMap<String, Person>> {
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
                    conversions: Vec::new(),
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
            let amount = signed(kind.value(row), value.value(row));
            person.conversions.push((when.value(row), amount, at(currency, row).unwrap_or_default().to_owned()));
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

/// The rows refused of each source, each counted once.
fn refused(snapshot: &Snapshot) -> Result<HashMap<String, u64>> {
    let mut seen: HashSet<String> = HashSet::new();
    let mut refused: HashMap<String, u64> = HashMap::new();
    for batch in load(snapshot, &tables::QUARANTINE, &["quarantine_id", "source", "stage"])? {
        let (id, source, stage) = (text(&batch, "quarantine_id")?, text(&batch, "source")?, text(&batch, "stage")?);
        for row in (0..batch.num_rows()).filter(|row| stage.value(*row) == "ingest") {
            if seen.insert(id.value(row).to_owned()) {
                *refused.entry(source.value(row).to_owned()).or_default() += 1;
            }
        }
    }
    Ok(refused)
}

/// What each source cost: the latest version of every cost that names it.
pub(crate) fn costs(snapshot: &Snapshot) -> Result<HashMap<String, Money>> {
    let mut costs: HashMap<String, Money> = HashMap::new();
    for batch in latest(load(snapshot, &tables::COST, &["cost_id", "for_source", "amount", "currency"])?, "cost_id")? {
        let (for_source, currency, amount) = (text(&batch, "for_source")?, text(&batch, "currency")?, amounts(&batch, "amount")?);
        for row in 0..batch.num_rows() {
            if let Some(source) = at(for_source, row) {
                let sum = costs.entry(source.to_owned()).or_default().entry(currency.value(row).to_owned()).or_default();
                *sum += decimal(amount.value(row));
            }
        }
    }
    Ok(costs)
}

/// Millionths as a decimal.
pub(crate) fn decimal(amount: i128) -> Decimal {
    Decimal::from_i128_with_scale(amount, money::SCALE)
}
