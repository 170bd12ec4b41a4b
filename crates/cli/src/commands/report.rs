//! `report`: the measures.

use std::collections::BTreeSet;
use std::path::Path;

use headwater_runtime::Error;
use headwater_runtime::report::{
    self, Cohort, CohortsReport, DriftAlert, FunnelReport, Metric, MoneyText, SourceCard, SourcesReport, SpendReport, StageCount,
    WhatIf, money_text,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::query::csv_line;
use super::{report_channels as credits, report_people as people};
use crate::args::{Format, Global, ReportLevel, ReportName};
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

/// The figures that a table shows without `--all`: header and metric.
const MAIN: [(&str, &str); 7] = [
    ("records", "volume"),
    ("people", "distinct_persons"),
    ("valid e-mail", "validity"),
    ("came back", "bounce"),
    ("became customers", "conversion_rate"),
    ("cost per lead", "cost_per_lead"),
    ("return", "roas"),
];
/// The metric whose state is told.
const OUTCOME: &str = "conversion_rate";

/// How a report is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options<'a> {
    /// The attribution model.
    pub(crate) model: &'a str,
    /// Whether every figure is shown.
    pub(crate) all: bool,
    /// Whether each source is shown by the period in which it first named its people.
    pub(crate) cohorts: bool,
    /// By what credits are added up.
    pub(crate) by: ReportLevel,
    /// Whether the rules of channels are shown.
    pub(crate) rules: bool,
    /// Whether the changes of past credits are shown.
    pub(crate) changes: bool,
    /// Where the page with all reports goes.
    pub(crate) html: Option<&'a Path>,
    /// The budget to move: `FROM:TO:AMOUNT`.
    pub(crate) what_if: Option<&'a str>,
}

pub(crate) async fn run(global: &Global, what: ReportName, options: Options<'_>, console: &Console) -> Result<Code, Failure> {
    let Options { model, all, cohorts, by, rules, changes, html, what_if } = options;
    if what != ReportName::Channels && (changes || rules || by != ReportLevel::Channel) {
        return Err(Error::Usage("`--by`, `--rules` and `--changes` belong to `report channels`".to_owned()).into());
    }
    if what != ReportName::Sources && cohorts {
        return Err(Error::Usage("`--cohorts` belongs to `report sources`".to_owned()).into());
    }
    let engine = wiring::quiet_engine(global).await?;
    if let Some(file) = html {
        let page = report::html(&engine, model).await?;
        std::fs::write(file, page).map_err(|source| Error::File {
            path: file.display().to_string(),
            doing: "written",
            source,
        })?;
        console.note(&format!("wrote {}", file.display()));
        return Ok(Code::Done);
    }
    if let Some(asked) = what_if {
        let (from, to, amount) = moved(what, asked)?;
        let answer = report::what_if(&engine, from, to, amount).await?;
        return give(console, &answer, || what_if_csv(&answer), || what_if_text(&answer));
    }
    match what {
        ReportName::Sources if cohorts => {
            let report = report::cohorts(&engine).await?;
            give(console, &report, || cards_csv(&report.cohorts), || by_cohort(&report, all))
        }
        ReportName::Sources => {
            let report = report::sources(&engine).await?;
            give(console, &report, || cards_csv(&report.sources), || sources(&report, all))
        }
        ReportName::Channels if rules => {
            let report = report::rules(&engine);
            give(console, &report, || credits::rules_csv(&report), || credits::rules(&report))
        }
        ReportName::Channels if changes => {
            let report = report::changes(&engine, None).await?;
            give(console, &report, || credits::changes_csv(&report), || credits::changes(&report))
        }
        ReportName::Channels => {
            let report = report::channels(&engine, model, credits::level(by)).await?;
            give(console, &report, || credits::channels_csv(&report), || credits::channels(&report))
        }
        ReportName::Funnel => {
            let report = report::funnel(&engine).await?;
            give(console, &report, || funnel_csv(&report), || funnel(&report))
        }
        ReportName::Spend => {
            let report = report::spend(&engine, model).await?;
            give(console, &report, || spend_csv(&report), || spend(&report))
        }
        ReportName::Propensity => {
            let report = report::propensity(&engine).await?;
            give(console, &report, || people::propensity_csv(&report), || people::propensity(&report))
        }
        ReportName::Customers => {
            let report = report::customers(&engine).await?;
            give(console, &report, || people::customers_csv(&report), || people::customers(&report))
        }
    }
}

/// The parts of `FROM:TO:AMOUNT`.
fn moved(what: ReportName, asked: &str) -> Result<(&str, &str, f64), Failure> {
    if what != ReportName::Spend {
        return Err(Error::Usage("`--what-if` belongs to `report spend`".to_owned()).into());
    }
    let parts = asked.split(':').collect::<Vec<_>>();
    match parts.as_slice() {
        [from, to, amount] if !from.is_empty() && !to.is_empty() => {
            let amount = amount.parse().map_err(|_| Error::Usage(format!("`{amount}` is not an amount")))?;
            Ok((from, to, amount))
        }
        _ => Err(Error::Usage("write what to move as `FROM:TO:AMOUNT`".to_owned()).into()),
    }
}

fn what_if_text(answer: &WhatIf) -> String {
    let WhatIf { version: _, from, to, amount, currency, people, customers, low, high, gain } = answer;
    format!(
        "If {amount:.2} {currency} moved from {from} to {to}: {people:+.1} new people, {customers:+.2} customers (95 % between {low:+.2} \
         and {high:+.2}); more customers with a probability of {}.\nAt the costs and rates so far: more money is taken to buy more of the \
         same people at the same price.",
        percent(*gain)
    )
}

fn what_if_csv(answer: &WhatIf) -> Vec<Vec<String>> {
    let WhatIf { version: _, from, to, amount, currency, people, customers, low, high, gain } = answer;
    let numbers = [people, customers, low, high, gain].map(ToString::to_string);
    let row = [from.clone(), to.clone(), amount.to_string(), currency.clone()].into_iter().chain(numbers).collect();
    vec![header(&["from", "to", "amount", "currency", "people", "customers", "low", "high", "gain"]), row]
}

/// A share as a person reads it.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A row of eighths for a row of numbers, the largest full.
fn sparkline(values: impl IntoIterator<Item = u64>) -> String {
    const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values: Vec<u64> = values.into_iter().collect();
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let eighth = |value: u64| usize::try_from(value.saturating_mul(7).div_ceil(most)).unwrap_or(7);
    values.into_iter().filter_map(|value| EIGHTHS.get(eighth(value))).collect()
}

fn give(
    console: &Console,
    value: &impl Serialize,
    csv: impl FnOnce() -> Vec<Vec<String>>,
    human: impl FnOnce() -> String,
) -> Result<Code, Failure> {
    console.answer(value, || match console.format() {
        Format::Csv => csv_text(csv()),
        Format::Human | Format::Json => human(),
    })
}

/// Lines of CSV, the header first.
pub(super) fn csv_text(rows: Vec<Vec<String>>) -> String {
    rows.into_iter().map(|row| csv_line(row.into_iter().map(Some))).collect::<Vec<_>>().join("\n")
}

/// An instant to the minute, in UTC.
pub(super) fn minute(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default()
}

fn sources(report: &SourcesReport, all: bool) -> String {
    let table = if all { every_metric(&report.sources) } else { main_metrics(&report.sources) };
    let more = if all { "" } else { "; `--all` shows every figure" };
    format!(
        "What each source is worth (measured {} UTC; percentages with their 95 % interval and cases{more})\n\n{table}\n\n{}Verdict: {}",
        minute(Some(report.as_of)),
        drifted(&report.alerts),
        report.verdict
    )
}

/// The sources that are not what they were.
fn drifted(alerts: &[DriftAlert]) -> String {
    let Some(first) = alerts.first() else { return String::new() };
    let mut rows = Rows::new(&["source", "figure", "before", "now", "chance of it"]).right(2..=4);
    for alert in alerts {
        let figure = |value: f64| match alert.figure.as_str() {
            "records_a_day" => format!("{value:.1}"),
            "countries" | "email_domains" => format!("{value:.2} apart"),
            _ => percent(value),
        };
        let before = if alert.before == 0.0 && alert.figure.ends_with('s') { "–".to_owned() } else { figure(alert.before) };
        let chance =
            if alert.probability < 1e-4 { "below 0.01 %".to_owned() } else { format!("{:.2} %", alert.probability * 100.0) };
        rows.row([alert.source.clone(), words(&alert.figure), before, figure(alert.now), chance]);
    }
    format!("Not what they were (since {}, beside the days from {} on)\n\n{}\n\n", first.now_from, first.base_from, rows.render())
}

fn by_cohort(report: &CohortsReport, all: bool) -> String {
    let table = if all { every_metric(&report.cohorts) } else { main_metrics(&report.cohorts) };
    let more = if all { "" } else { "; `--all` shows every figure" };
    format!(
        "What the people of each source are worth, by when it first named them (measured {} UTC; percentages with their 95 % interval and \
         cases{more})\n\n{table}",
        minute(Some(report.as_of)),
    )
}

fn main_metrics(cards: &[SourceCard]) -> String {
    let shown: Vec<&(&str, &str)> = MAIN.iter().filter(|(_, name)| cards.iter().any(|card| is_measured(card, name))).collect();
    let second = if has_cohorts(cards) { "first named" } else { "channel" };
    let headers: Vec<&str> =
        ["source", second].into_iter().chain(shown.iter().map(|(header, _)| *header)).chain(["outcome"]).collect();
    let mut rows = Rows::new(&headers).right(2..2 + shown.len());
    for card in cards {
        let figures = shown.iter().map(|(_, name)| card.metric(name).map(ToString::to_string).unwrap_or_default());
        let state = card.metric(OUTCOME).map_or("", |metric| short(&metric.state));
        let second = card.cohort.as_ref().unwrap_or(&card.channel);
        rows.row([card.source.clone(), second.clone()].into_iter().chain(figures).chain([state.to_owned()]));
    }
    rows.render()
}

fn has_cohorts(cards: &[SourceCard]) -> bool {
    cards.iter().any(|card| card.cohort.is_some())
}

fn is_measured(card: &SourceCard, name: &str) -> bool {
    card.metric(name).is_some_and(|metric| metric.value.is_some() || metric.low.is_some())
}

fn short(state: &str) -> &str {
    match state {
        "not_rankable" => "not rankable",
        "unchecked" => "not measured",
        "not_reached" => "not reached",
        other => other,
    }
}

fn every_metric(cards: &[SourceCard]) -> String {
    let mut rows = Rows::new(&["source", "figure", "value", "95 % interval", "n", ""]).right(2..=4);
    for card in cards {
        let named = card.cohort.as_ref().map_or_else(|| card.source.clone(), |cohort| format!("{} {cohort}", card.source));
        for (index, metric) in card.metrics.iter().enumerate() {
            let source = if index == 0 { named.clone() } else { String::new() };
            let interval = metric.interval().unwrap_or_default();
            rows.row([source, metric.name.clone(), metric.figure(), interval, metric.n.to_string(), metric.caveat().to_owned()]);
        }
    }
    rows.render()
}

fn cards_csv(cards: &[SourceCard]) -> Vec<Vec<String>> {
    let mut names = vec!["source", "channel", "metric", "value", "n", "numerator", "low", "high", "state", "unit"];
    let cohorts = has_cohorts(cards);
    if cohorts {
        names.insert(2, "cohort");
    }
    let mut rows = vec![header(&names)];
    for card in cards {
        rows.extend(card.metrics.iter().map(|metric| {
            let Metric { name, value, n, numerator, low, high, state, unit } = metric;
            let number = |number: &Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
            let whose = [card.source.clone(), card.channel.clone()];
            let cohort = cohorts.then(|| card.cohort.clone().unwrap_or_default());
            let figures = [
                name.clone(),
                number(value),
                n.to_string(),
                number(numerator),
                number(low),
                number(high),
                state.clone(),
                unit.clone().unwrap_or_default(),
            ];
            whose.into_iter().chain(cohort).chain(figures).collect()
        }));
    }
    rows
}

pub(super) fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A number of conversions: whole ones without decimals.
pub(super) fn count(conversions: f64) -> String {
    if conversions.fract() == 0.0 { format!("{conversions:.0}") } else { format!("{conversions:.2}") }
}

pub(super) fn currencies<'a>(amounts: impl Iterator<Item = &'a MoneyText>) -> BTreeSet<&'a str> {
    amounts.flat_map(|amounts| amounts.keys().map(String::as_str)).collect()
}

/// One column per currency: amounts of two are never one number.
pub(super) fn columns(name: &str, currencies: &BTreeSet<&str>) -> Vec<String> {
    currencies.iter().map(|currency| format!("{name}_{currency}")).collect()
}

pub(super) fn in_each(amounts: &MoneyText, currencies: &BTreeSet<&str>) -> Vec<String> {
    currencies.iter().map(|currency| amounts.get(*currency).cloned().unwrap_or_default()).collect()
}

fn funnel(report: &FunnelReport) -> String {
    format!(
        "How far {} people are (measured {} UTC)\n\n{}\n\nHow long those who went on took\n\n{}\n\nBy the source that brought them first\n\n{}\n\n{}",
        report.people,
        minute(Some(report.as_of)),
        stages(report).render(),
        steps(report).render(),
        first_sources(report).render(),
        months(report)
    )
}

/// The months in which people were first seen, drawn.
fn months(report: &FunnelReport) -> String {
    let (Some(first), Some(last)) = (report.cohorts.first(), report.cohorts.last()) else { return String::new() };
    let line = |name: &str, of: fn(&Cohort) -> u64| {
        format!("{name:<16} {}  {}", sparkline(report.cohorts.iter().map(of)), report.cohorts.iter().map(of).sum::<u64>())
    };
    format!(
        "By the month in which they were first seen, {} to {}\n\n{}\n{}\n{}",
        first.month,
        last.month,
        line("people", |cohort| cohort.people),
        line("became prospects", |cohort| cohort.prospects),
        line("became customers", |cohort| cohort.customers)
    )
}

fn stages(report: &FunnelReport) -> Rows {
    let mut rows = Rows::new(&["stage", "now there", "share", "ever there"]).right(1..=3);
    for StageCount { stage, now, ever } in report.lifecycle.iter().chain(&report.buying_stage) {
        rows.row([words(stage), now.to_string(), share(*now, report.people), ever.to_string()]);
    }
    rows
}

fn steps(report: &FunnelReport) -> Rows {
    let mut rows = Rows::new(&["step", "entered", "went on", "share", "median days", ""]).right(1..=4);
    for step in &report.steps {
        let median = step.median_days.map_or_else(|| "–".to_owned(), |days| format!("{days:.1}"));
        let state = if step.state == "ok" { "" } else { short(step.state) };
        rows.row([
            format!("{} → {}", words(step.from), words(step.to)),
            step.entered.to_string(),
            step.reached.to_string(),
            share(step.reached, step.entered),
            median,
            state.to_owned(),
        ]);
    }
    rows
}

fn first_sources(report: &FunnelReport) -> Rows {
    let mut rows = Rows::new(&["first source", "people", "suspect", "prospect", "customer"]).right(1..=4);
    for source in &report.sources {
        let at = |stage: &str| {
            let there = source.lifecycle.get(stage).copied().unwrap_or_default();
            format!("{there} ({})", share(there, source.people))
        };
        rows.row([source.source.clone(), source.people.to_string(), at("suspect"), at("prospect"), at("customer")]);
    }
    rows
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

#[expect(clippy::cast_precision_loss, reason = "counts of people fit 53 bits")]
fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "–".to_owned() } else { format!("{:.1} %", part as f64 * 100.0 / whole as f64) }
}

fn funnel_csv(report: &FunnelReport) -> Vec<Vec<String>> {
    let mut rows = vec![header(&["source", "stage", "now", "ever"])];
    let all = report.lifecycle.iter().chain(&report.buying_stage);
    rows.extend(all.map(|count| vec![String::new(), count.stage.to_owned(), count.now.to_string(), count.ever.to_string()]));
    for source in &report.sources {
        let stages = source.lifecycle.iter().chain(&source.buying_stage);
        rows.extend(stages.map(|(stage, now)| vec![source.source.clone(), stage.clone(), now.to_string(), String::new()]));
    }
    rows
}

fn spend(report: &SpendReport) -> String {
    let title =
        format!("What was spent, and what came of it (model {}, measured {} UTC)", report.model, minute(Some(report.as_of)));
    if report.channels.is_empty() && report.sources.is_empty() && report.unallocated_cost.is_empty() {
        return format!(
            "{title}\n\nNo costs are known. Say what a source cost under its `cost:`, or read costs with a source of `role: costs`."
        );
    }
    let tables = [spend_by_channel(report), spend_by_source(report)].into_iter().filter(|rows| !rows.is_empty());
    [title].into_iter().chain(tables.map(Rows::render)).collect::<Vec<_>>().join("\n\n")
}

fn spend_by_channel(report: &SpendReport) -> Rows {
    let mut rows =
        Rows::new(&["channel", "cost", "clicks", "conversions", "value", "cost per conversion", "return"]).right(1..=6);
    for row in &report.channels {
        let clicks = row.clicks.map_or_else(|| "–".to_owned(), |clicks| clicks.to_string());
        let (cost, value) = (money_text(&row.cost), money_text(&row.value));
        rows.row([
            row.channel.clone(),
            cost,
            clicks,
            count(row.conversions),
            value,
            money_text(&row.cost_per_conversion),
            returns(&row.return_on_spend),
        ]);
    }
    if !report.unallocated_cost.is_empty() {
        let none = || "–".to_owned();
        rows.row(["(no channel named)".to_owned(), money_text(&report.unallocated_cost), none(), none(), none(), none(), none()]);
    }
    rows
}

fn spend_by_source(report: &SpendReport) -> Rows {
    let mut rows = Rows::new(&["source", "cost", "per new person", "per customer", "return", "outcome"]).right(1..=4);
    for row in &report.sources {
        let figure = |metric: &Option<Metric>| metric.as_ref().map(ToString::to_string).unwrap_or_default();
        let state = row.cac.as_ref().map_or("", |metric| short(&metric.state));
        rows.row([
            row.source.clone(),
            money_text(&row.cost),
            figure(&row.cost_per_lead),
            figure(&row.cac),
            figure(&row.roas),
            state.to_owned(),
        ]);
    }
    rows
}

/// A return is a ratio within one currency; the currency is named only where there are several.
fn returns(ratios: &MoneyText) -> String {
    match ratios.len() {
        0 => "–".to_owned(),
        1 => ratios.values().cloned().collect(),
        _ => ratios.iter().map(|(currency, ratio)| format!("{ratio} in {currency}")).collect::<Vec<_>>().join(", "),
    }
}

fn spend_csv(report: &SpendReport) -> Vec<Vec<String>> {
    let all = currencies(report.channels.iter().flat_map(|row| [&row.cost, &row.value]).chain([&report.unallocated_cost]));
    let names = ["cost", "value", "cost_per_conversion", "return_on_spend"].map(|name| columns(name, &all));
    let mut rows = vec![[header(&["channel", "impressions", "clicks", "conversions"]), names.concat()].concat()];
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    rows.extend(report.channels.iter().map(|row| {
        let amounts =
            [&row.cost, &row.value, &row.cost_per_conversion, &row.return_on_spend].map(|amounts| in_each(amounts, &all));
        [vec![row.channel.clone(), number(row.impressions), number(row.clicks), row.conversions.to_string()], amounts.concat()]
            .concat()
    }));
    rows
}
