//! How many people are how far, and how long they took.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use headwater_analysis::lifecycle::{BuyingStage, Stage};
use headwater_model::tables;
use jiff::Timestamp;
use serde::Serialize;

use super::{Measured, VERSION};
use crate::cells::each;
use crate::engine::Engine;
use crate::error::Result;
use crate::rows::load;

const LIFECYCLE: [Stage; 3] = [Stage::Suspect, Stage::Prospect, Stage::Customer];
const BUYING: [BuyingStage; 5] = [
    BuyingStage::NeedRecognition,
    BuyingStage::InformationSearch,
    BuyingStage::EvaluationOfAlternatives,
    BuyingStage::Purchase,
    BuyingStage::PostPurchaseEvaluation,
];
/// The stages of both kinds; their names do not overlap.
const STAGES: usize = LIFECYCLE.len() + BUYING.len();
/// A stage that was never reached.
const NEVER: i64 = i64::MAX;
const DAY_US: f64 = 86_400_000_000.0;

/// How many people are how far.
#[derive(Debug, Serialize)]
pub struct FunnelReport {
    /// The version of this shape.
    pub version: u32,
    /// When it was measured.
    pub as_of: Timestamp,
    /// The people there are.
    pub people: u64,
    /// How far they are: suspect, prospect, customer.
    pub lifecycle: Vec<StageCount>,
    /// How far they are in buying.
    pub buying_stage: Vec<StageCount>,
    /// The same by the source that brought them first.
    pub sources: Vec<SourceFunnel>,
    /// How long the steps took.
    pub steps: Vec<Step>,
    /// By the month in which people were first seen.
    pub cohorts: Vec<Cohort>,
}

/// The people first seen in one month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cohort {
    /// The month in UTC, as in `2026-03`.
    pub month: String,
    /// People.
    pub people: u64,
    /// Of them, those who became prospects or more.
    pub prospects: u64,
    /// Of them, those who became customers.
    pub customers: u64,
}

/// How many people are at a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StageCount {
    /// The stage.
    pub stage: &'static str,
    /// Those who are there now.
    pub now: u64,
    /// Those who are known to have come there at some time.
    pub ever: u64,
}

/// The people that one source brought first.
#[derive(Debug, Default, Serialize)]
pub struct SourceFunnel {
    /// The source.
    pub source: String,
    /// Its people.
    pub people: u64,
    /// How many of them are at which stage now.
    pub lifecycle: BTreeMap<String, u64>,
    /// How many of them are at which buying stage now.
    pub buying_stage: BTreeMap<String, u64>,
}

/// From one stage to the next.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Step {
    /// The stage before.
    pub from: &'static str,
    /// The stage after.
    pub to: &'static str,
    /// Those who were at the stage before.
    pub entered: u64,
    /// Of them, those who came to the stage after.
    pub reached: u64,
    /// How many days half of those who came there took at most.
    pub median_days: Option<f64>,
    /// `ok`; `immature` where half of those who entered have not had the project's maturity days yet; `not_reached`.
    pub state: &'static str,
}

/// The funnel as resolve left it.
///
/// # Errors
/// [`crate::Error::NotFound`] when nothing was measured yet.
pub async fn funnel(engine: &Engine) -> Result<FunnelReport> {
    let measured = Measured::load(engine).await?;
    let (people, now, sources) = standing(&measured)?;
    let arrivals = arrivals(&measured)?;
    let maturity = f64::from(engine.project.file.measures.maturity_days);
    let names = names();
    let mut counts = names.iter().enumerate().map(|(place, stage)| StageCount {
        stage,
        now: now.get(*stage).copied().unwrap_or_default(),
        ever: arrivals.iter().filter(|reached| reached.get(place).is_some_and(|at| *at != NEVER)).count() as u64,
    });
    let lifecycle = counts.by_ref().take(LIFECYCLE.len()).collect();
    let buying_stage = counts.collect();
    let pairs = (1..LIFECYCLE.len()).chain(LIFECYCLE.len() + 1..STAGES).map(|to| (to - 1, to));
    let steps = pairs.filter_map(|(from, to)| {
        let waits = Waits::of(&arrivals, from, to, measured.at_us);
        Some(waits.step(names.get(from)?, names.get(to)?, maturity))
    });
    let steps = steps.collect();
    let cohorts = cohorts(&measured)?;
    Ok(FunnelReport { version: VERSION, as_of: measured.at, people, lifecycle, buying_stage, sources, steps, cohorts })
}

fn names() -> [&'static str; STAGES] {
    let [suspect, prospect, customer] = LIFECYCLE.map(Stage::as_str);
    let [need, search, compare, purchase, after] = BUYING.map(BuyingStage::as_str);
    [suspect, prospect, customer, need, search, compare, purchase, after]
}

type Standing = (u64, HashMap<String, u64>, Vec<SourceFunnel>);

fn standing(measured: &Measured) -> Result<Standing> {
    let columns = ["merged_into", "lifecycle", "buying_stage", "first_source"];
    let batches = load(&measured.snapshot, &tables::PROSPECT, &columns)?;
    let mut people = 0;
    let mut now: HashMap<String, u64> = HashMap::new();
    let mut sources: BTreeMap<&str, SourceFunnel> = BTreeMap::new();
    for row in each(&batches) {
        if row.text("merged_into")?.is_some() {
            continue;
        }
        people += 1;
        let source = sources.entry(row.text("first_source")?.unwrap_or_default()).or_default();
        source.people += 1;
        for (column, of_source) in [("lifecycle", &mut source.lifecycle), ("buying_stage", &mut source.buying_stage)] {
            let stage = row.text(column)?.unwrap_or_default();
            *of_source.entry(stage.to_owned()).or_default() += 1;
            *now.entry_ref(stage).or_default() += 1;
        }
    }
    let sources = sources.into_iter().map(|(name, funnel)| SourceFunnel { source: name.to_owned(), ..funnel });
    Ok((people, now, sources.collect()))
}

fn cohorts(measured: &Measured) -> Result<Vec<Cohort>> {
    let columns = ["merged_into", "first_seen_at", "became_prospect_at", "became_customer_at"];
    let mut cohorts: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    for row in each(&load(&measured.snapshot, &tables::PROSPECT, &columns)?) {
        if row.text("merged_into")?.is_some() {
            continue;
        }
        let month = row.instant("first_seen_at")?.map(|at| at.strftime("%Y-%m").to_string()).unwrap_or_default();
        let (people, prospects, customers) = cohorts.entry(month).or_default();
        let customer = row.micros("became_customer_at")?.is_some();
        *people += 1;
        *prospects += u64::from(customer || row.micros("became_prospect_at")?.is_some());
        *customers += u64::from(customer);
    }
    let cohorts = cohorts.into_iter();
    Ok(cohorts.map(|(month, (people, prospects, customers))| Cohort { month, people, prospects, customers }).collect())
}

/// When each person first came to each stage.
fn arrivals(measured: &Measured) -> Result<Vec<[i64; STAGES]>> {
    let batches = load(&measured.snapshot, &tables::LIFECYCLE_TRANSITION, &["prospect_id", "to_stage", "at"])?;
    let names = names();
    let mut people: HashMap<&str, [i64; STAGES]> = HashMap::new();
    for row in each(&batches) {
        let (Some(person), Some(stage), Some(at)) = (row.text("prospect_id")?, row.text("to_stage")?, row.micros("at")?) else {
            continue;
        };
        let reached = people.entry(person).or_insert([NEVER; STAGES]);
        if let Some(first) = names.iter().position(|name| *name == stage).and_then(|place| reached.get_mut(place)) {
            *first = at.min(*first);
        }
    }
    Ok(people.into_values().collect())
}

/// How long people took from one stage to another, in days.
#[derive(Debug, Default)]
struct Waits {
    /// Of those who got there.
    taken: Vec<f64>,
    /// How long ago everybody entered.
    ages: Vec<f64>,
}

impl Waits {
    fn of(arrivals: &[[i64; STAGES]], from: usize, to: usize, now_us: i64) -> Self {
        let mut waits = Self::default();
        for reached in arrivals {
            let (Some(&from), Some(&to)) = (reached.get(from), reached.get(to)) else { continue };
            if from == NEVER {
                continue;
            }
            waits.ages.push(days(now_us - from));
            // Who came to the later stage first did not take this step.
            if to != NEVER && to >= from {
                waits.taken.push(days(to - from));
            }
        }
        waits
    }

    fn step(mut self, from: &'static str, to: &'static str, maturity_days: f64) -> Step {
        let (entered, reached) = (self.ages.len() as u64, self.taken.len() as u64);
        let median_days = median(&mut self.taken);
        let is_young = median(&mut self.ages).is_some_and(|age| age < maturity_days);
        let state = match median_days {
            None => "not_reached",
            Some(_) if is_young => "immature",
            Some(_) => "ok",
        };
        Step { from, to, entered, reached, median_days, state }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a wait in microseconds fits 53 bits for 285 years")]
fn days(micros: i64) -> f64 {
    micros as f64 / DAY_US
}

/// The lower median: a value that somebody really took.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn person(suspect: i64, prospect: i64) -> [i64; STAGES] {
        let mut reached = [NEVER; STAGES];
        reached[0] = suspect;
        reached[1] = prospect;
        reached
    }

    #[test]
    fn a_step_nobody_took_has_no_duration() {
        let step = Waits::of(&[person(0, NEVER)], 0, 1, 100 * DAY).step("suspect", "prospect", 30.0);
        assert_eq!((step.entered, step.reached, step.median_days, step.state), (1, 0, None, "not_reached"));
    }

    #[test]
    fn the_median_is_of_those_who_got_there() {
        let people = [
            person(0, 2 * DAY),
            person(0, 4 * DAY),
            person(0, 9 * DAY),
            person(0, NEVER),
            person(NEVER, DAY),
            person(5 * DAY, DAY),
        ];
        let step = Waits::of(&people, 0, 1, 100 * DAY).step("suspect", "prospect", 30.0);
        assert_eq!((step.entered, step.reached, step.median_days, step.state), (5, 3, Some(4.0), "ok"));
    }

    #[test]
    fn a_young_step_is_called_immature() {
        let step = Waits::of(&[person(0, DAY)], 0, 1, 10 * DAY).step("suspect", "prospect", 30.0);
        assert_eq!((step.median_days, step.state), (Some(1.0), "immature"));
    }
}
