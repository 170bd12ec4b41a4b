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

use super::credits::{is_refund, signed};
use super::exchange::{Exchange, day_of};
use super::mail::MailLog;
use super::spend::Spent;
use crate::engine::Engine;
use crate::error::Result;
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

pub(super) fn write(engine: &Engine, snapshot: &Snapshot, beside: Beside<'_>, now_us: i64) -> Result<(StagedFiles, u64)> {
    let counts = counts(engine, snapshot, beside, now_us)?;
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
pub(crate) fn counts(
    engine: &Engine,
    snapshot: &Snapshot,
    (runs, spent, exchange): Beside<'_>,
    now_us: i64,
) -> Result<Vec<SourceCounts>> {
    let required = &engine.project.file.measures.required_fields;
    let people = people(snapshot, exchange)?;
    let mail = MailLog::load(snapshot)?;
    let links = load(snapshot, &tables::IDENTITY_LINK, &["lead_id", "prospect_id"])?;
    let mut prospect_of: HashMap<&str, &str> = HashMap::new();
    for batch in &links {
        let (lead, prospect) = (text(batch, "lead_id")?, text(batch, "prospect_id")?);
        prospect_of.extend((0..batch.num_rows()).map(|row| (lead.value(row), prospect.value(row))));
    }
    let leads = leads(snapshot, required)?;
    let began: HashMap<&str, i64> = runs.iter().map(|run| (run.run_id.as_str(), run.started_at)).collect();
    let mut ages: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut of: BTreeMap<&str, (SourceCounts, HashMap<&str, Appearance>)> = BTreeMap::new();
    for batch in &leads {
        let (source, observed) = (text(batch, "source")?, instants(batch, "observed_at")?);
        for row in 0..batch.num_rows() {
            let (counts, persons) = of.entry(source.value(row)).or_default();
            let valid_email = count_lead(counts, batch, row, required)?;
            let age = began.get(text(batch, "run_id")?.value(row)).map(|began| began - observed.value(row));
            // What nobody dated was observed when it arrived, which is no age.
            ages.entry(source.value(row))
                .or_default()
                .extend(age.filter(|age| *age > 0 && is_counted(batch, row).unwrap_or(false)));
            let first_at = at_instant(instants(batch, "created_at")?, row).unwrap_or(observed.value(row));
            if let Some(prospect) = prospect_of.get(text(batch, "lead_id")?.value(row)) {
                let seen = persons.entry(prospect).or_insert(Appearance { first_at, valid_email });
                seen.first_at = seen.first_at.min(first_at);
                seen.valid_email |= valid_email;
            }
        }
    }
    let channels = channels(snapshot)?;
    let refused = refused(snapshot)?;
    let costs = costs(spent, exchange);
    let finished = of.into_iter().map(|(name, (mut counts, persons))| {
        name.clone_into(&mut counts.source);
        counts.channel = channels.get(name).cloned().unwrap_or_default();
        counts.quarantined = refused.get(name).copied().unwrap_or_default();
        let took = runs.iter().filter(|run| run.command != DRY_RUN);
        counts.suppressed = took.filter_map(|run| run.counts.pointer(&format!("/sources/{name}/suppressed"))?.as_u64()).sum();
        counts.received = counts.accepted + counts.quarantined + counts.suppressed;
        counts.cost = costs.get(name).cloned().unwrap_or_default();
        counts.data_ages_days = ages.remove(name).unwrap_or_default().into_iter().map(in_days).collect();
        count_people(&mut counts, &persons, (&people, &mail), now_us);
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

/// What was spent on each source, as it is added up.
fn costs(spent: &[Spent], exchange: &Exchange) -> HashMap<String, Money> {
    let mut costs: HashMap<String, Money> = HashMap::new();
    for part in spent {
        if let Some(source) = &part.source {
            let (currency, amount) = part.counted(exchange.target());
            *costs.entry(source.clone()).or_default().entry(currency.to_owned()).or_default() += decimal(amount);
        }
    }
    costs
}

/// Millionths as a decimal.
pub(crate) fn decimal(amount: i128) -> Decimal {
    Decimal::from_i128_with_scale(amount, money::SCALE)
}
