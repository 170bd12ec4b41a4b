//! What is known of a person on a day, as numbers.
//!
//! Nothing from after the day goes in: not a touch, not a field that was filled later, not a stage reached later. Opens and machines'
//! clicks do not count, since nobody meant anything by them. A customer is no case: the question is who will become one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, Cases};

const DAY_US: i64 = 86_400_000_000;
/// Sources with a feature of their own: those with most people. The others share none.
const SOURCES: usize = 12;
/// Horizons that are looked back over: a year of months. What people did before that says less about those of today.
const LOOKS_BACK: i64 = 12;

/// What somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// A touch: a form, an import, a list.
    Touch,
    /// A visit of a page.
    Visit,
    /// A visit of a page about prices, a demonstration, a trial.
    Pricing,
    /// A person's click.
    Click,
    /// A reply.
    Reply,
    /// A subscription.
    Subscribed,
    /// A mail that came back, a complaint, a withdrawal.
    Gone,
    /// A need, budget or use was stated.
    Declared,
}

const COUNTED: [(Act, &str); 8] = [
    (Act::Touch, "contacts"),
    (Act::Visit, "page visits"),
    (Act::Pricing, "visits of price pages"),
    (Act::Click, "clicks"),
    (Act::Reply, "replies"),
    (Act::Subscribed, "subscriptions"),
    (Act::Gone, "bounces and withdrawals"),
    (Act::Declared, "stated needs"),
];

/// One person with everything dated that is known. Suppressed and erased people are not given at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Person {
    /// The person's id.
    pub id: String,
    /// The source that brought them first.
    pub source: String,
    /// When that was: microseconds since 1970 in UTC, as all times here.
    pub first_at_us: i64,
    /// What they did and when, in any order.
    pub acts: Vec<(Act, i64)>,
    /// When they became a customer.
    pub converted_at_us: Option<i64>,
}

/// The shape of the features: which sources have one. Fixed when a model is trained, and the same when it scores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    sources: Vec<String>,
}

impl Shape {
    /// The shape for these people.
    #[must_use]
    pub fn of(people: &[Person]) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for person in people {
            *counts.entry(&person.source).or_default() += 1;
        }
        let mut sources: Vec<(&str, usize)> = counts.into_iter().collect();
        sources.sort_by_key(|(source, count)| (std::cmp::Reverse(*count), *source));
        sources.truncate(SOURCES);
        let mut sources: Vec<String> = sources.into_iter().map(|(source, _)| source.to_owned()).collect();
        sources.sort_unstable();
        Self { sources }
    }

    /// What each feature is called.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let counted = COUNTED.iter().flat_map(|(_, name)| [(*name).to_owned(), format!("{name} in the last 30 days")]);
        let ages = ["days since the first contact", "days since the last sign of life", "kinds of signs"].map(str::to_owned);
        counted.chain(ages).chain(self.sources.iter().map(|source| format!("source {source}"))).collect()
    }

    /// The features of a person as of an instant; nothing for someone who was not known yet or was a customer already.
    #[must_use]
    pub fn features(&self, person: &Person, as_of_us: i64) -> Option<Vec<f64>> {
        if person.first_at_us > as_of_us || person.converted_at_us.is_some_and(|at| at <= as_of_us) {
            return None;
        }
        let known = |act: Act, since: i64| {
            person.acts.iter().filter(move |(kind, at)| *kind == act && *at <= as_of_us && *at > since).count() as f64
        };
        let mut features = Vec::with_capacity(COUNTED.len() * 2 + 3 + self.sources.len());
        for (act, _) in COUNTED {
            // The tenth visit says less than the second.
            features.push(known(act, i64::MIN).ln_1p());
            features.push(known(act, as_of_us.saturating_sub(30 * DAY_US)).ln_1p());
        }
        let past = || person.acts.iter().filter(|(_, at)| *at <= as_of_us);
        let last = past().map(|(_, at)| *at).max().unwrap_or(person.first_at_us);
        let kinds: BTreeSet<Act> = past().map(|(act, _)| *act).collect();
        features.push(days(as_of_us - person.first_at_us).ln_1p());
        features.push(days(as_of_us - last).ln_1p());
        features.push(kinds.len() as f64);
        features.extend(self.sources.iter().map(|source| f64::from(u8::from(*source == person.source))));
        Some(features)
    }
}

/// Past cases: everybody as they stood one, two and more horizons ago, with what followed until the next.
#[must_use]
pub fn past_cases(people: &[Person], shape: &Shape, now_us: i64, horizon_days: u32) -> Cases {
    let horizon = i64::from(horizon_days.max(1)) * DAY_US;
    let mut rows = Vec::new();
    for back in 1..=LOOKS_BACK {
        let as_of = now_us.saturating_sub(back * horizon);
        for person in people {
            if let Some(features) = shape.features(person, as_of) {
                let until = as_of.saturating_add(horizon);
                let converted = person.converted_at_us.is_some_and(|at| at > as_of && at <= until);
                rows.push(Case { person: person.id.clone(), source: person.source.clone(), features, converted });
            }
        }
    }
    Cases { names: shape.names(), rows }
}

fn days(micros: i64) -> f64 {
    micros.max(0) as f64 / DAY_US as f64
}
