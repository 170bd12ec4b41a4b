//! What was spent on whom and when: costs as their sources state them, divided by the project's rules.
//!
//! Invariant: the parts of a cost add up to it. A price (of each record, of each day) is multiplied out; what nobody can be named for
//! stays without a source and is shown as such.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray};
use hashbrown::HashSet;
use headwater_analysis::quality::cost::{Part, Rule, allocate};
use headwater_model::money;
use headwater_model::tables;
use headwater_store::{Snapshot, StagedFiles};
use rust_decimal::{Decimal, prelude::ToPrimitive};

use super::exchange::{Exchange, day_of};
use crate::cells::{Row, each};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::{CostDivision, CostRule};
use crate::rows::{at, at_instant, booleans, days, instants, latest, load, text};

/// A price of each day without an end goes on for so long; ten years.
const MAX_DAYS: i32 = 3_660;

/// A part of a cost.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spent {
    pub(crate) cost_id: String,
    pub(crate) source: Option<String>,
    pub(crate) channel: Option<String>,
    pub(crate) campaign: Option<String>,
    pub(crate) kind: String,
    /// Days since 1970.
    pub(crate) day: i32,
    /// Millionths.
    pub(crate) amount: i128,
    pub(crate) currency: String,
    /// Millionths of the project's currency, where there is a rate.
    pub(crate) converted: Option<i128>,
    /// How it came to be: `stated`, `per_record`, `per_day`, `by_records`, `by_campaign`, `by_days`.
    pub(crate) rule: String,
    pub(crate) impressions: Option<i64>,
    pub(crate) clicks: Option<i64>,
}

impl Spent {
    /// The amount as it is added up.
    pub(crate) fn counted<'a>(&'a self, target: Option<&'a str>) -> (&'a str, i128) {
        match (target, self.converted) {
            (Some(target), Some(converted)) => (target, converted),
            _ => (&self.currency, self.amount),
        }
    }
}

/// What was spent, as the last measure wrote it.
pub(crate) fn spent(snapshot: &Snapshot) -> Result<Vec<Spent>> {
    let batches = load(snapshot, &tables::SPEND, &[])?;
    let mut out = Vec::new();
    for batch in &batches {
        let day = days(batch, "day")?;
        for (place, row) in each(std::slice::from_ref(batch)).enumerate() {
            out.push(Spent {
                cost_id: row.word("cost_id")?,
                source: row.owned("source")?,
                channel: row.owned("channel")?,
                campaign: row.owned("campaign")?,
                kind: row.word("kind")?,
                day: day.value(place),
                amount: row.amount("amount")?.unwrap_or_default(),
                currency: row.word("currency")?,
                converted: row.amount("converted")?,
                rule: row.word("rule")?,
                impressions: row.integer("impressions")?,
                clicks: row.integer("clicks")?,
            });
        }
    }
    Ok(out)
}

/// Divides the costs of the lake.
pub(super) fn divide(engine: &Engine, snapshot: &Snapshot, exchange: &Exchange, now_us: i64) -> Result<Vec<Spent>> {
    let rules = &engine.project.file.measures.cost_rules;
    let columns = [
        "cost_id",
        "for_source",
        "channel",
        "campaign",
        "kind",
        "day",
        "until_day",
        "amount",
        "currency",
        "impressions",
        "clicks",
        "per",
    ];
    let batches = latest(load(snapshot, &tables::COST, &columns)?, "cost_id")?;
    let mut work = Work { snapshot, records: None, contacts: None };
    let mut out = Vec::new();
    for batch in &batches {
        let (day, until) = (days(batch, "day")?, days(batch, "until_day")?);
        for (place, row) in each(std::slice::from_ref(batch)).enumerate() {
            let last = until.is_valid(place).then(|| until.value(place));
            let bill = Bill { stated: stated(row, day.value(place))?, last, per: row.text("per")? };
            out.extend(work.parts(bill, rules, day_of(now_us))?);
        }
    }
    for part in &mut out {
        part.converted = exchange.convert(part.day, &part.currency, part.amount);
    }
    Ok(out)
}

/// Writes what was spent.
pub(super) fn write(engine: &Engine, spent: &[Spent]) -> Result<StagedFiles> {
    let text = |of: &dyn Fn(&Spent) -> Option<&str>| -> ArrayRef { Arc::new(spent.iter().map(of).collect::<StringArray>()) };
    let money = |of: &dyn Fn(&Spent) -> Option<i128>| -> Result<ArrayRef> {
        Ok(Arc::new(spent.iter().map(of).collect::<Decimal128Array>().with_precision_and_scale(18, 6)?))
    };
    let columns: Vec<ArrayRef> = vec![
        text(&|part| Some(&part.cost_id)),
        text(&|part| part.source.as_deref()),
        text(&|part| part.channel.as_deref()),
        text(&|part| part.campaign.as_deref()),
        text(&|part| Some(&part.kind)),
        Arc::new(Date32Array::from_iter_values(spent.iter().map(|part| part.day))),
        money(&|part| Some(part.amount))?,
        text(&|part| Some(&part.currency)),
        money(&|part| part.converted)?,
        text(&|part| Some(&part.rule)),
        Arc::new(spent.iter().map(|part| part.impressions).collect::<Int64Array>()),
        Arc::new(spent.iter().map(|part| part.clicks).collect::<Int64Array>()),
    ];
    let mut writer = engine.store.writer(&tables::SPEND, None)?;
    writer.write(&RecordBatch::try_new(tables::SPEND.schema(), columns)?)?;
    Ok(writer.finish()?)
}

fn stated(row: Row<'_>, day: i32) -> Result<Spent> {
    Ok(Spent {
        cost_id: row.word("cost_id")?,
        source: row.owned("for_source")?,
        channel: row.owned("channel")?,
        campaign: row.owned("campaign")?,
        kind: row.word("kind")?,
        day,
        amount: row.amount("amount")?.unwrap_or_default(),
        currency: row.word("currency")?,
        converted: None,
        rule: "stated".to_owned(),
        impressions: row.integer("impressions")?,
        clicks: row.integer("clicks")?,
    })
}

/// A cost as it is stated.
struct Bill<'a> {
    stated: Spent,
    /// The last day it pays for.
    last: Option<i32>,
    /// What the amount is the price of.
    per: Option<&'a str>,
}

/// Cases of a source by day.
type ByDay = BTreeMap<i32, u64>;

/// What costs are divided by, counted when it is first asked for.
struct Work<'a> {
    snapshot: &'a Snapshot,
    records: Option<BTreeMap<String, ByDay>>,
    contacts: Option<BTreeMap<String, BTreeMap<String, ByDay>>>,
}

impl Work<'_> {
    fn parts(&mut self, bill: Bill<'_>, rules: &[CostRule], today: i32) -> Result<Vec<Spent>> {
        let Bill { mut stated, last, per } = bill;
        match (per, &stated.source) {
            (Some("record"), Some(source)) => {
                let brought = self.records()?.get(source).map_or(0, |by_day| within(by_day, stated.day, last));
                stated.amount = stated.amount.saturating_mul(i128::from(brought));
                "per_record".clone_into(&mut stated.rule);
                return Ok(vec![stated]);
            }
            (Some("day"), _) => {
                let last = last.unwrap_or(today).min(stated.day.saturating_add(MAX_DAYS));
                "per_day".clone_into(&mut stated.rule);
                return Ok((stated.day..=last).map(|day| Spent { day, ..stated.clone() }).collect());
            }
            _ => {}
        }
        let fits = |rule: &&CostRule| {
            rule.kind.as_ref().is_none_or(|kind| *kind == stated.kind)
                && rule.channel.as_ref().is_none_or(|channel| stated.channel.as_ref() == Some(channel))
                && rule.campaign.as_ref().is_none_or(|campaign| stated.campaign.as_ref() == Some(campaign))
        };
        let Some(rule) = rules.iter().find(fits) else { return Ok(vec![stated]) };
        let among = |counted: &BTreeMap<String, ByDay>, stated: &Spent| -> BTreeMap<String, u64> {
            let wanted = |name: &String| rule.among.is_empty() || rule.among.contains(name);
            let mut weights: BTreeMap<String, u64> = rule.among.iter().map(|name| (name.clone(), 0)).collect();
            // A cost of one day pays for what came of it later too.
            let span = |by_day: &ByDay| last.map_or_else(|| by_day.values().sum(), |last| within(by_day, stated.day, Some(last)));
            weights.extend(counted.iter().filter(|(name, _)| wanted(name)).map(|(name, by_day)| (name.clone(), span(by_day))));
            weights
        };
        let (division, name) = match rule.divide_by {
            CostDivision::Days => {
                let source = stated.source.clone().unwrap_or_default();
                (Rule::PerDay { source, first: stated.day, last: last.unwrap_or(stated.day) }, "by_days")
            }
            CostDivision::Records if stated.source.is_none() => (Rule::PerRecord(among(self.records()?, &stated)), "by_records"),
            CostDivision::Campaign if stated.source.is_none() => {
                let none = BTreeMap::new();
                let contacts = self.contacts()?;
                let of_campaign = stated.campaign.as_ref().and_then(|campaign| contacts.get(campaign)).unwrap_or(&none);
                (Rule::PerCampaign(among(of_campaign, &stated)), "by_campaign")
            }
            CostDivision::Records | CostDivision::Campaign => return Ok(vec![stated]),
        };
        let whole = Decimal::try_from_i128_with_scale(stated.amount, money::SCALE)
            .map_err(|error| Error::Internal(format!("a cost beyond all bounds: {error}")))?;
        let divided = allocate(whole, &division);
        let parts = divided.into_iter().enumerate().map(|(place, Part { source, day, amount })| Spent {
            source: source.filter(|source| !source.is_empty()),
            day: day.unwrap_or(stated.day),
            amount: units(amount),
            rule: name.to_owned(),
            // What was shown and clicked is no amount: it stands with the first part, so that its sum stays right.
            impressions: stated.impressions.filter(|_| place == 0),
            clicks: stated.clicks.filter(|_| place == 0),
            ..stated.clone()
        });
        Ok(parts.collect())
    }

    fn records(&mut self) -> Result<&BTreeMap<String, ByDay>> {
        if self.records.is_none() {
            self.records = Some(records(self.snapshot)?);
        }
        Ok(self.records.get_or_insert_default())
    }

    fn contacts(&mut self) -> Result<&BTreeMap<String, BTreeMap<String, ByDay>>> {
        if self.contacts.is_none() {
            self.contacts = Some(contacts(self.snapshot)?);
        }
        Ok(self.contacts.get_or_insert_default())
    }
}

/// The cases from the first day to the last; all from the first on where there is none. A record may be dated before it was paid for
/// where nobody says until when it was.
fn within(by_day: &ByDay, first: i32, last: Option<i32>) -> u64 {
    match last {
        None => by_day.values().sum(),
        Some(last) if last < first => 0,
        Some(last) => by_day.range(first..=last).map(|(_, cases)| cases).sum(),
    }
}

/// Records by source and day of their making.
fn records(snapshot: &Snapshot) -> Result<BTreeMap<String, ByDay>> {
    let columns = ["lead_id", "source", "op", "is_test", "created_at", "observed_at"];
    let mut counted: BTreeMap<String, ByDay> = BTreeMap::new();
    for batch in latest(load(snapshot, &tables::LEAD, &columns)?, "lead_id")? {
        let (source, op, test) = (text(&batch, "source")?, text(&batch, "op")?, booleans(&batch, "is_test")?);
        let (created, observed) = (instants(&batch, "created_at")?, instants(&batch, "observed_at")?);
        let mut here: hashbrown::HashMap<(&str, i32), u64> = hashbrown::HashMap::new();
        for row in (0..batch.num_rows()).filter(|row| at(op, *row) != Some("delete") && !test.value(*row)) {
            let made = at_instant(created, row).unwrap_or(observed.value(row));
            *here.entry((source.value(row), day_of(made))).or_default() += 1;
        }
        for ((source, day), cases) in here {
            *counted.entry(source.to_owned()).or_default().entry(day).or_default() += cases;
        }
    }
    Ok(counted)
}

/// Contacts by campaign, source and day.
fn contacts(snapshot: &Snapshot) -> Result<BTreeMap<String, BTreeMap<String, ByDay>>> {
    let mut counted: BTreeMap<String, BTreeMap<String, ByDay>> = BTreeMap::new();
    let columns = ["touch_id", "source", "campaign", "utm_campaign", "occurred_at"];
    for row in each(&latest(load(snapshot, &tables::TOUCH, &columns)?, "touch_id")?) {
        let (source, day) = (row.word("source")?, day_of(row.micros("occurred_at")?.unwrap_or_default()));
        let names: HashSet<&str> = [row.text("campaign")?, row.text("utm_campaign")?].into_iter().flatten().collect();
        for name in names {
            *counted.entry(name.to_owned()).or_default().entry(source.clone()).or_default().entry(day).or_default() += 1;
        }
    }
    Ok(counted)
}

/// A decimal as millionths.
fn units(amount: Decimal) -> i128 {
    let mut amount = amount;
    amount.rescale(money::SCALE);
    amount.mantissa().to_i128().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{DAY, World};

    const UNIT: i128 = 1_000_000;

    async fn divided(world: &World) -> Vec<Spent> {
        let snapshot = world.engine.store.snapshot().await.unwrap();
        divide(&world.engine, &snapshot, &Exchange::load(&world.engine).unwrap(), world.engine.clock().now_us()).unwrap()
    }

    async fn with_leads(settings: &str) -> World {
        let world = World::of(settings).await;
        let day = |day: i64| (day * DAY).to_string();
        let (ten, twenty) = (day(10), day(20));
        let lead = |id, source, at| [("lead_id", id), ("source", source), ("observed_at", at)];
        world
            .put(
                &tables::LEAD,
                &[
                    &lead("led_1", "a", ten.as_str()),
                    &lead("led_2", "a", ten.as_str()),
                    &lead("led_3", "a", twenty.as_str()),
                    &lead("led_4", "b", twenty.as_str()),
                    &[("lead_id", "led_5"), ("source", "b"), ("is_test", "true"), ("observed_at", ten.as_str())],
                ],
            )
            .await;
        world
    }

    fn amounts(spent: &[Spent]) -> Vec<(Option<&str>, i32, i128, &str)> {
        spent.iter().map(|part| (part.source.as_deref(), part.day, part.amount, part.rule.as_str())).collect()
    }

    #[tokio::test]
    async fn a_price_of_each_record_is_multiplied_by_those_of_its_days() {
        let world = with_leads("").await;
        let cost = |id, until| {
            [("cost_id", id), ("for_source", "a"), ("day", "5"), ("until_day", until), ("amount", "2"), ("per", "record")]
        };
        let endless = [("cost_id", "c3"), ("for_source", "a"), ("day", "5"), ("amount", "2"), ("per", "record")];
        world.put(&tables::COST, &[&cost("c1", "10"), &cost("c1", "15"), &cost("c2", "4"), &endless]).await;
        let spent = divided(&world).await;
        // The last version of a cost counts; a span that ends before it begins has no records; without an end all count.
        assert_eq!(
            amounts(&spent),
            [(Some("a"), 5, 4 * UNIT, "per_record"), (Some("a"), 5, 0, "per_record"), (Some("a"), 5, 6 * UNIT, "per_record")]
        );
    }

    #[tokio::test]
    async fn a_price_of_each_day_counts_each_day() {
        let world = World::of("").await;
        let cost = [("cost_id", "c1"), ("day", "5"), ("until_day", "7"), ("amount", "2"), ("per", "day"), ("kind", "tool")];
        world.put(&tables::COST, &[&cost]).await;
        let spent = divided(&world).await;
        assert_eq!(amounts(&spent), [5, 6, 7].map(|day| (None, day, 2 * UNIT, "per_day")));
    }

    #[tokio::test]
    async fn a_rule_divides_by_records_by_campaign_or_by_days_and_the_rest_stays() {
        let rules = "
measures:
  cost_rules:
    - { kind: tool, divide_by: records }
    - { channel: paid_search, divide_by: campaign }
    - { kind: fee, divide_by: days }
sources:
  a: { connector: paper }
";
        let world = with_leads(rules).await;
        let touch = |id, source, campaign| [("touch_id", id), ("source", source), ("campaign", campaign)];
        world.put(&tables::TOUCH, &[&touch("t1", "a", "spring"), &touch("t2", "b", "spring"), &touch("t3", "b", "autumn")]).await;
        let bill = |id, kind, amount| [("cost_id", id), ("kind", kind), ("amount", amount), ("day", "1"), ("currency", "EUR")];
        let campaign = [
            ("cost_id", "c2"),
            ("kind", "media"),
            ("channel", "paid_search"),
            ("campaign", "spring"),
            ("amount", "9"),
            ("day", "1"),
            ("clicks", "7"),
        ];
        let fee = [("cost_id", "c3"), ("kind", "fee"), ("amount", "10"), ("day", "1"), ("until_day", "3"), ("for_source", "a")];
        let of_a = [("cost_id", "c4"), ("kind", "tool"), ("amount", "5"), ("day", "1"), ("for_source", "a")];
        world.put(&tables::COST, &[&bill("c1", "tool", "4"), &campaign, &fee, &of_a, &bill("c5", "event", "8")]).await;
        let spent = divided(&world).await;
        assert_eq!(
            amounts(&spent),
            [
                (Some("a"), 1, 3 * UNIT, "by_records"),
                (Some("b"), 1, UNIT, "by_records"),
                (Some("a"), 1, 4_500_000, "by_campaign"),
                (Some("b"), 1, 4_500_000, "by_campaign"),
                (Some("a"), 1, 3_333_333, "by_days"),
                (Some("a"), 2, 3_333_334, "by_days"),
                (Some("a"), 3, 3_333_333, "by_days"),
                (Some("a"), 1, 5 * UNIT, "stated"),
                (None, 1, 8 * UNIT, "stated"),
            ]
        );
        assert_eq!(spent.iter().filter_map(|part| part.clicks).sum::<i64>(), 7, "clicks are not counted once a part");
        let whole: i128 = spent.iter().map(|part| part.amount).sum();
        assert_eq!(whole, (4 + 9 + 10 + 5 + 8) * UNIT);
    }

    #[tokio::test]
    async fn what_nobody_can_be_named_for_stays_without_a_source() {
        let world = World::of("measures: { cost_rules: [{ divide_by: records }] }").await;
        world.put(&tables::COST, &[&[("cost_id", "c1"), ("amount", "4"), ("day", "1")]]).await;
        assert_eq!(amounts(&divided(&world).await), [(None, 1, 4 * UNIT, "by_records")]);
    }
}
