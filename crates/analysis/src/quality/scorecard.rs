//! Counts into metrics.
//!
//! Figures of records (validity, completeness, duplicates) stand at once. Figures of outcome (conversion, revenue, cost of a
//! customer) need time and enough leads: their [`State`] says when they have not had it.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::{Decimal, prelude::ToPrimitive};

use super::{
    Z_95, bootstrap, cure,
    interval::{Interval, wilson},
    shrink::{self, Prior},
    survival::{AGES_DAYS, FollowUp, Median, kaplan_meier, median},
};

/// Exact amounts by currency code.
pub type Money = BTreeMap<String, Decimal>;

/// What was counted for one source. Records are counted once, however many versions of them arrived.
///
/// `None` means that nobody looked, which is not zero.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceCounts {
    /// The source.
    pub source: String,
    /// Its channel.
    pub channel: String,
    /// The period in which the source first named these people, such as `2026-10`; nothing where all of its people are meant.
    pub cohort: Option<String>,
    /// Records that arrived; those refused and suppressed are among them.
    pub received: u64,
    /// Records that became leads.
    pub accepted: u64,
    /// Records that were refused.
    pub quarantined: u64,
    /// Records of people who must not be held.
    pub suppressed: u64,
    /// Records with something in the email field, refused ones included.
    pub with_email: u64,
    /// Of them, those that are an address.
    pub valid_email: u64,
    /// Of the addresses, those of throw-away providers.
    pub disposable_email: Option<u64>,
    /// Of the addresses, those of a function such as `info@`.
    pub role_email: Option<u64>,
    /// Of the addresses, those of free providers.
    pub freemail: Option<u64>,
    /// Of the addresses, those whose domain takes mail.
    pub deliverable_email: Option<u64>,
    /// Accepted records with every required field; nothing where no field is required.
    pub complete: Option<u64>,
    /// Accepted records that have the field, by field.
    pub fields_filled: BTreeMap<String, u64>,
    /// The people behind the accepted records.
    pub distinct_persons: u64,
    /// Accepted records beyond the first of their person in this source.
    pub duplicate_within: u64,
    /// People who were known before: in the base already, or from an earlier source.
    pub known_before: u64,
    /// People who were not.
    pub net_new: u64,
    /// Accepted records with a dated lawful basis that covers their use.
    pub with_basis: u64,
    /// Of them, those whose basis is consent.
    pub with_consent: u64,
    /// People who became a prospect, whatever they are now.
    pub prospects: u64,
    /// People who became a customer.
    pub customers: u64,
    /// Of the customers, those who were net new and came with a valid address.
    pub net_new_valid_customers: u64,
    /// Conversions; one customer may have several.
    pub conversions: u64,
    /// What the conversions were worth.
    pub revenue: Money,
    /// What the source cost; empty where nobody said.
    pub cost: Money,
    /// The median age of the people's first records, in days.
    pub median_age_days: Option<f64>,
    /// How long each person was watched; empty where that was not worked out.
    pub follow_up: Vec<FollowUp>,
    /// What the conversions were worth, by currency and the days from the person's arrival.
    pub revenue_by_age: BTreeMap<String, BTreeMap<u32, Decimal>>,
    /// What each of the people who paid something paid in all, by currency: the ground of the intervals of money.
    pub revenue_by_person: BTreeMap<String, Vec<f64>>,
    /// How old each record was on arrival, in days; empty where the source does not date its records.
    pub data_ages_days: Vec<f64>,
    /// How long each address was watched, and whether it then went bad; empty where nobody wrote to them.
    pub decay: Vec<FollowUp>,
    /// What became of mail; nothing where nobody wrote.
    pub mail: Option<Mail>,
}

/// What became of the first mail to each person of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mail {
    /// People who were written to.
    pub sent: u64,
    /// Of them, those whose mail came back for good.
    pub bounced: u64,
    /// Of those it reached, those who called it spam.
    pub complained: u64,
    /// Of those it reached, those who wanted no more.
    pub unsubscribed: u64,
    /// Of those it reached, those who answered or clicked within 14 days; machines do not count.
    pub engaged: u64,
    /// Of those written to, those whose 30 days are not over: what counts within them may still come.
    pub young: u64,
}

/// What the verdicts depend on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The median age in days from which a source's outcomes are judged.
    pub maturity_days: f64,
}

/// Whether a figure can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It can.
    Ok,
    /// The leads are too young: it will still change.
    Immature,
    /// It cannot be told from the rate of all sources together.
    NotRankable,
    /// What it waits for has not happened, to nobody's fault: a median that half of the people have not come to.
    NotReached,
    /// It was not measured.
    Unchecked,
}

/// One figure of one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name, as in `conversion_rate` or `completeness.phone`.
    pub name: String,
    /// The figure; nothing where it was not measured or is not defined.
    pub value: Option<f64>,
    /// The cases it rests on.
    pub n: u64,
    /// What stands above the fraction line: the cases that count, or an amount.
    pub numerator: Option<f64>,
    /// The lower end of its 95 % interval.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// Whether it can be relied on.
    pub state: State,
    /// `records`, `persons`, `share`, `ratio`, `days`, or a currency code.
    pub unit: String,
}

/// Every figure of one source, or of one of its cohorts.
#[derive(Debug, Clone, PartialEq)]
pub struct Scorecard {
    /// The source.
    pub source: String,
    /// Its channel.
    pub channel: String,
    /// The period in which the source first named these people; nothing where all of its people are meant.
    pub cohort: Option<String>,
    /// Its figures, always in the same order.
    pub metrics: Vec<Metric>,
}

/// The scorecards of all sources, in the order given. They belong together, since a source is judged against all of them.
///
/// ```
/// use headwater_analysis::quality::{Settings, SourceCounts, State, scorecards};
///
/// let counts = |source: &str, customers| SourceCounts {
///     source: source.to_owned(),
///     distinct_persons: 500,
///     customers,
///     median_age_days: Some(90.0),
///     ..SourceCounts::default()
/// };
/// let cards = scorecards(&[counts("webinar", 80), counts("vendor", 5)], Settings::default());
/// let rate = cards[0].metrics.iter().find(|metric| metric.name == "conversion_rate").unwrap();
/// assert_eq!((rate.value, rate.n, rate.state), (Some(0.16), 500, State::Ok));
/// ```
#[must_use]
pub fn scorecards(sources: &[SourceCounts], settings: Settings) -> Vec<Scorecard> {
    let rate_of = |of: fn(&SourceCounts) -> u64| {
        let people: u64 = sources.iter().map(|counts| counts.distinct_persons).sum();
        (people > 0).then(|| sources.iter().map(of).sum::<u64>() as f64 / people as f64)
    };
    let all = All {
        prospect_rate: rate_of(|counts| counts.prospects),
        conversion_rate: rate_of(|counts| counts.customers),
        mail: MAIL.map(|(_, bad, of)| {
            let cases: Vec<_> = sources.iter().filter_map(|counts| counts.mail).map(|mail| (bad(&mail), of(&mail))).collect();
            shrink::fit(&cases)
        }),
        prior: shrink::fit(&sources.iter().map(|counts| (counts.customers, counts.distinct_persons)).collect::<Vec<_>>()),
        currencies: sources.iter().flat_map(|counts| counts.revenue.keys().map(String::as_str)).collect(),
        settings,
    };
    sources.iter().map(|counts| all.scorecard(counts)).collect()
}

impl Default for Settings {
    fn default() -> Self {
        Self { maturity_days: 30.0 }
    }
}

impl State {
    /// The name in JSON and in the lake.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Immature => "immature",
            Self::NotRankable => "not_rankable",
            Self::NotReached => "not_reached",
            Self::Unchecked => "unchecked",
        }
    }
}

impl SourceCounts {
    /// The interval of the mean amount of a person, where enough of them paid.
    fn revenue_interval(&self, currency: &str) -> Option<Interval> {
        bootstrap::mean(self.revenue_by_person.get(currency)?, self.distinct_persons)
    }

    pub(super) fn is_immature(&self, settings: Settings) -> bool {
        self.median_age_days.is_none_or(|age| age < settings.maturity_days)
    }
}

/// What a source is judged against.
struct All<'a> {
    prospect_rate: Option<f64>,
    conversion_rate: Option<f64>,
    prior: Option<Prior>,
    /// The distributions of bounces, complaints and withdrawals over the sources.
    mail: [Option<Prior>; 3],
    /// Every currency in which anything was earned: a source without sales earned zero of it.
    currencies: BTreeSet<&'a str>,
    settings: Settings,
}

impl All<'_> {
    fn scorecard(&self, counts: &SourceCounts) -> Scorecard {
        let mut metrics = volume(counts);
        metrics.extend(records(counts));
        metrics.extend(self.mail(counts));
        metrics.extend(self.outcomes(counts));
        metrics.extend(self.money(counts));
        Scorecard { source: counts.source.clone(), channel: counts.channel.clone(), cohort: counts.cohort.clone(), metrics }
    }

    fn outcomes(&self, counts: &SourceCounts) -> Vec<Metric> {
        let people = counts.distinct_persons;
        let outcome = |name: &str, reached: u64, of_all: Option<f64>| {
            let metric = proportion(name, Some(reached), people);
            Metric { state: self.outcome_state(counts, reached, of_all), ..metric }
        };
        let mut metrics = vec![
            outcome("prospect_rate", counts.prospects, self.prospect_rate),
            outcome("conversion_rate", counts.customers, self.conversion_rate),
        ];
        if let Some(prior) = self.prior {
            let shrunk = prior.shrink(counts.customers, people);
            metrics.push(Metric {
                numerator: Some(counts.customers as f64),
                state: self.conversion_state(counts),
                ..estimate("conversion_rate_shrunk", shrunk.rate, shrunk.interval, people)
            });
        }
        if !counts.follow_up.is_empty() {
            metrics.extend(kaplan_meier(&counts.follow_up, &AGES_DAYS).into_iter().map(|by| Metric {
                state: if by.at_risk == 0 { State::Immature } else { State::Ok },
                ..estimate(&format!("conversion_by_{}d", by.days), by.share, by.interval, counts.follow_up.len() as u64)
            }));
            metrics.push(ultimate(counts));
            metrics.push(velocity(counts));
        }
        metrics
    }

    /// Rates of rare events: drawn towards all sources, since one complaint among thirty is no rate of three per cent.
    fn mail(&self, counts: &SourceCounts) -> Vec<Metric> {
        let Some(mail) = counts.mail else {
            return MAIL.iter().map(|(name, _, _)| *name).chain(["engagement"]).map(|name| unmeasured(name, "share")).collect();
        };
        let mut metrics: Vec<Metric> = MAIL
            .iter()
            .zip(self.mail)
            .map(|((name, bad, of), prior)| {
                let (bad, of) = (bad(&mail), of(&mail));
                match prior.filter(|_| of > 0) {
                    Some(prior) => {
                        let shrunk = prior.shrink(bad, of);
                        Metric { numerator: Some(bad as f64), ..estimate(name, shrunk.rate, shrunk.interval, of) }
                    }
                    None => proportion(name, Some(bad), of),
                }
            })
            .collect();
        metrics.push(proportion("engagement", Some(mail.engaged), reached(&mail)));
        if mail.young * 2 > mail.sent {
            for metric in metrics.iter_mut().filter(|metric| metric.state == State::Ok) {
                metric.state = State::Immature;
            }
        }
        if !counts.decay.is_empty() {
            let watched = counts.decay.len() as u64;
            metrics.extend(kaplan_meier(&counts.decay, &DECAY_DAYS).into_iter().map(|by| Metric {
                state: if by.at_risk == 0 { State::Immature } else { State::Ok },
                ..estimate(&format!("decay_by_{}d", by.days), by.share, by.interval, watched)
            }));
        }
        metrics
    }

    fn money(&self, counts: &SourceCounts) -> Vec<Metric> {
        let mut metrics = Vec::new();
        let state = self.conversion_state(counts);
        for currency in &self.currencies {
            let earned = counts.revenue.get(*currency).copied().unwrap_or_default();
            let metric = per_case("revenue_per_lead", earned, counts.distinct_persons, currency);
            let interval = counts.revenue_interval(currency);
            let (low, high) = (interval.map(|interval| interval.low), interval.map(|interval| interval.high));
            metrics.push(Metric { state, low, high, ..metric });
        }
        if self.currencies.is_empty() {
            metrics.push(unmeasured("revenue_per_lead", ""));
        }
        for (currency, cost) in &counts.cost {
            metrics.push(per_case("cost_per_lead", *cost, counts.net_new, currency));
            metrics.push(Metric { state, ..cost_per_customer(*cost, counts, currency) });
            metrics.push(match self.return_on(*cost, currency, counts) {
                Some(roas) => Metric { state, ..roas },
                None => unmeasured("roas", "ratio"),
            });
        }
        if counts.cost.is_empty() {
            metrics.extend([unmeasured("cost_per_lead", ""), unmeasured("cac", ""), unmeasured("roas", "ratio")]);
        }
        metrics.push(payback(counts));
        metrics
    }

    /// Revenue by cost. Nothing where a part of either is in another currency, since the quotient would pass it over in silence.
    fn return_on(&self, cost: Decimal, currency: &str, counts: &SourceCounts) -> Option<Metric> {
        let is_one_currency = counts.cost.len() == 1 && counts.revenue.keys().all(|earned_in| earned_in == currency);
        if self.currencies.is_empty() || !is_one_currency || cost <= Decimal::ZERO {
            return None;
        }
        let earned = counts.revenue.get(currency).copied().unwrap_or_default();
        let paid = cost.to_f64()?;
        let value = earned.to_f64()? / paid;
        // What it cost is known; what its people pay is a sample of what such people pay.
        let interval = counts.revenue_interval(currency);
        let end = |of: fn(Interval) -> f64| interval.map(|interval| of(interval) * counts.distinct_persons as f64 / paid);
        Some(Metric {
            value: Some(value),
            n: counts.conversions,
            numerator: earned.to_f64(),
            low: end(|interval| interval.low),
            high: end(|interval| interval.high),
            ..unmeasured("roas", "ratio")
        })
    }

    fn conversion_state(&self, counts: &SourceCounts) -> State {
        self.outcome_state(counts, counts.customers, self.conversion_rate)
    }

    /// Youth comes first: a young source may be rankable later, so that nothing else about it is worth saying.
    fn outcome_state(&self, counts: &SourceCounts, reached: u64, of_all: Option<f64>) -> State {
        let Some(interval) = wilson(reached, counts.distinct_persons, Z_95) else {
            return State::Unchecked;
        };
        if counts.is_immature(self.settings) {
            State::Immature
        } else if of_all.is_some_and(|rate| interval.covers(rate)) {
            State::NotRankable
        } else {
            State::Ok
        }
    }
}

/// The names of mail's rates, what counts and of whom.
type MailRate = (&'static str, fn(&Mail) -> u64, fn(&Mail) -> u64);
const MAIL: [MailRate; 3] = [
    ("bounce", |mail| mail.bounced, |mail| mail.sent),
    ("complaint", |mail| mail.complained, reached),
    ("unsubscribe", |mail| mail.unsubscribed, reached),
];

/// The ages at which the decay of addresses is read.
const DECAY_DAYS: [u32; 2] = [90, 365];

fn reached(mail: &Mail) -> u64 {
    mail.sent.saturating_sub(mail.bounced)
}

/// The share that will ever convert, where that can be told.
fn ultimate(counts: &SourceCounts) -> Metric {
    let n = counts.follow_up.len() as u64;
    match cure::fit(&counts.follow_up) {
        Some(cure) => estimate("conversion_ultimate", cure.ultimate, cure.interval, n),
        None => Metric { n, state: State::Immature, ..unmeasured("conversion_ultimate", "share") },
    }
}

fn velocity(counts: &SourceCounts) -> Metric {
    let Median { days, low, high } = median(&counts.follow_up);
    Metric {
        value: days.map(f64::from),
        n: counts.follow_up.len() as u64,
        low: low.map(f64::from),
        high: high.map(f64::from),
        state: if days.is_some() { State::Ok } else { State::NotReached },
        ..unmeasured("velocity_median_days", "days")
    }
}

/// The days until what its people paid had made up for what the source cost. It compares turnover with cost; who knows a margin
/// multiplies.
fn payback(counts: &SourceCounts) -> Metric {
    let unknown = unmeasured("payback_days", "days");
    let mut costs = counts.cost.iter().filter(|(_, cost)| **cost > Decimal::ZERO);
    let (Some((currency, cost)), None) = (costs.next(), costs.next()) else { return unknown };
    if counts.revenue_by_age.is_empty() && !counts.revenue.is_empty()
        || counts.revenue_by_age.keys().any(|earned_in| earned_in != currency)
    {
        return unknown;
    }
    let mut earned = Decimal::ZERO;
    let ages = counts.revenue_by_age.get(currency).into_iter().flatten();
    let reached = ages.into_iter().find_map(|(age, amount)| {
        earned += *amount;
        (earned >= *cost).then_some(*age)
    });
    let state = if reached.is_some() { State::Ok } else { State::NotReached };
    Metric { value: reached.map(f64::from), n: counts.conversions, state, ..unknown }
}

fn volume(counts: &SourceCounts) -> Vec<Metric> {
    let count = |name: &str, value: u64, n: u64, unit: &str| Metric {
        value: Some(value as f64),
        n,
        numerator: Some(value as f64),
        state: State::Ok,
        ..unmeasured(name, unit)
    };
    vec![
        count("volume", counts.received, counts.received, "records"),
        count("accepted", counts.accepted, counts.received, "records"),
        proportion("quarantined", Some(counts.quarantined), counts.received),
        proportion("suppressed", Some(counts.suppressed), counts.received),
        count("distinct_persons", counts.distinct_persons, counts.accepted, "persons"),
        freshness(&counts.data_ages_days),
    ]
}

/// The median age on arrival, with the interval that the order of the ages gives (binomial, whatever their distribution).
fn freshness(ages_days: &[f64]) -> Metric {
    let mut ages = ages_days.to_vec();
    ages.sort_unstable_by(f64::total_cmp);
    let n = ages.len() as f64;
    let half = Z_95 * n.sqrt() / 2.0;
    let at = |place: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among the ages")]
        let place = place.clamp(0.0, (n - 1.0).max(0.0)) as usize;
        ages.get(place).copied()
    };
    Metric {
        value: ages.get(ages.len() / 2).copied(),
        n: ages.len() as u64,
        low: at((n / 2.0 - half).floor()),
        high: at((n / 2.0 + half).floor()),
        state: if ages.is_empty() { State::Unchecked } else { State::Ok },
        ..unmeasured("freshness_days", "days")
    }
}

fn records(counts: &SourceCounts) -> Vec<Metric> {
    let addresses = counts.valid_email;
    let accepted = counts.accepted;
    let mut metrics = vec![
        proportion("validity", Some(addresses), counts.with_email),
        proportion("deliverable", counts.deliverable_email, addresses),
        proportion("disposable", counts.disposable_email, addresses),
        proportion("role", counts.role_email, addresses),
        proportion("freemail", counts.freemail, addresses),
        proportion("completeness", counts.complete, accepted),
    ];
    let fields = counts.fields_filled.iter();
    metrics.extend(fields.map(|(field, filled)| proportion(&format!("completeness.{field}"), Some(*filled), accepted)));
    // Duplicates and new people share out the accepted records, so that the three add up to one.
    metrics.extend([
        proportion("duplicate_in", Some(counts.duplicate_within), accepted),
        proportion("duplicate_base", Some(counts.known_before), accepted),
        proportion("net_new", Some(counts.net_new), accepted),
        proportion("basis_coverage", Some(counts.with_basis), accepted),
        proportion("consent_coverage", Some(counts.with_consent), accepted),
    ]);
    metrics
}

/// The cost of a customer. Without customers it is not defined, yet it is at least the cost by as many as there could well be.
fn cost_per_customer(cost: Decimal, counts: &SourceCounts, currency: &str) -> Metric {
    let people = counts.distinct_persons;
    let amount = cost.to_f64();
    let customers = wilson(counts.customers, people, Z_95).map(|rate| (rate.low * people as f64, rate.high * people as f64));
    let by = |customers: f64| amount.filter(|_| customers > 0.0).map(|amount| amount / customers);
    Metric {
        low: customers.and_then(|(_, most)| by(most)),
        high: customers.and_then(|(least, _)| by(least)),
        ..per_case("cac", cost, counts.customers, currency)
    }
}

fn per_case(name: &str, amount: Decimal, cases: u64, currency: &str) -> Metric {
    let numerator = amount.to_f64();
    let value = numerator.filter(|_| cases > 0).map(|amount| amount / cases as f64);
    let state = if value.is_some() { State::Ok } else { State::Unchecked };
    Metric { value, n: cases, numerator, state, ..unmeasured(name, currency) }
}

fn proportion(name: &str, cases: Option<u64>, of: u64) -> Metric {
    let Some((cases, interval)) = cases.and_then(|cases| Some((cases.min(of), wilson(cases, of, Z_95)?))) else {
        return Metric { n: of, ..unmeasured(name, "share") };
    };
    Metric { numerator: Some(cases as f64), ..estimate(name, cases as f64 / of as f64, interval, of) }
}

fn estimate(name: &str, value: f64, Interval { low, high }: Interval, n: u64) -> Metric {
    Metric { value: Some(value), n, low: Some(low), high: Some(high), state: State::Ok, ..unmeasured(name, "share") }
}

fn unmeasured(name: &str, unit: &str) -> Metric {
    Metric {
        name: name.to_owned(),
        value: None,
        n: 0,
        numerator: None,
        low: None,
        high: None,
        state: State::Unchecked,
        unit: unit.to_owned(),
    }
}
