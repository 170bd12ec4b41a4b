//! The sections of the page: a sentence, a chart, the table it was drawn from.

use super::charts::{Bar, Line, bars, legend, lines};
use super::{Reports, escape};
use crate::report::{
    ChangesReport, ChannelsReport, CohortsReport, CreditChange, CustomersReport, FunnelReport, Metric, OriginRow,
    PropensityReport, SourcesReport, SpendReport, minute, money_text,
};
use std::collections::BTreeSet;

/// Figures of a source that stand in the table, with their headers.
const FIGURES: [(&str, &str); 12] = [
    ("records", "volume"),
    ("people", "distinct_persons"),
    ("valid e-mail", "validity"),
    ("age on arrival", "freshness_days"),
    ("came back", "bounce"),
    ("answered or clicked", "engagement"),
    ("new people", "net_new"),
    ("became customers", "conversion_rate"),
    ("ever will", "conversion_ultimate"),
    ("cost per lead", "cost_per_lead"),
    ("cost per customer", "cac"),
    ("return", "roas"),
];
/// The ages at which conversion is drawn.
const AGES: [u32; 4] = [30, 60, 90, 180];

/// Cases below which a source is not called the worst.
const JUDGED: i64 = 30;

/// The three questions, each answered in a card: the figure first, then how sure it is, then what to do.
pub(super) fn answers(reports: &Reports) -> String {
    let cards = [
        ("Who is likely to convert soon?", "#propensity-h", likely(reports)),
        ("Which origin is best, which worst?", "#sources-h", origins(reports)),
        ("Is the money well spent?", "#spend-h", money(reports)),
    ];
    let mut out = String::from("<div class=\"answers\">");
    for (question, more, Answer { figure, lines }) in cards {
        let lines: Vec<String> = lines.iter().map(|line| format!("<p>{}</p>", escape(line))).collect();
        out += &format!(
            "<section class=\"answer\"><h2>{question}</h2><p class=\"figure\">{}</p>{}<p><a href=\"{more}\">the figures</a></p></section>",
            escape(&figure),
            lines.concat()
        );
    }
    out + "</div>"
}

struct Answer {
    figure: String,
    lines: Vec<String>,
}

fn likely(reports: &Reports) -> Answer {
    let propensity = &reports.propensity;
    let best = match (&propensity.refusal, propensity.people.first()) {
        (Some(refusal), _) => {
            return Answer { figure: "not known yet".to_owned(), lines: vec![format!("Nobody can tell yet: {refusal}.")] };
        }
        (None, None) => {
            return Answer { figure: "nobody".to_owned(), lines: vec!["Nobody who may be contacted has a score.".to_owned()] };
        }
        (None, Some(best)) => best,
    };
    let mut lines = vec![format!(
        "conversions to expect within {} days of {} people; the likeliest has {}.",
        propensity.horizon_days,
        propensity.scored,
        percent(best.probability)
    )];
    let needs: Vec<String> = propensity
        .needs
        .iter()
        .filter_map(|group| Some(format!("{} ({:.1})", group.need.as_ref()?, group.expected)))
        .take(3)
        .collect();
    if !needs.is_empty() {
        lines.push(format!("Call this week about: {}.", needs.join("; ")));
    }
    Answer { figure: format!("{:.1}", propensity.expected), lines }
}

fn origins(reports: &Reports) -> Answer {
    let rated = || {
        let rates = reports.sources.sources.iter().filter_map(|card| Some((card, card.metric("conversion_rate")?)));
        rates.filter(|(_, rate)| rate.value.is_some() && rate.n >= JUDGED)
    };
    let best = rated().max_by(|a, b| a.1.value.unwrap_or(0.0).total_cmp(&b.1.value.unwrap_or(0.0)));
    let worst = rated().min_by(|a, b| a.1.value.unwrap_or(0.0).total_cmp(&b.1.value.unwrap_or(0.0)));
    let figure = reports.sources.best.clone().unwrap_or_else(|| "not known yet".to_owned());
    let mut lines = vec![format!("{}.", capital(&reports.sources.verdict))];
    if let (Some((best, high)), Some((worst, low))) = (best, worst)
        && best.source != worst.source
    {
        let sure = if low.high < high.low { "for certain" } else { "by what is known; the two intervals overlap" };
        lines
            .push(format!("Fewest people of {} became customers, {sure}: {low}; most of {}: {high}.", worst.source, best.source));
    }
    match reports.sources.alerts.len() {
        0 => {}
        1 => lines.push("One figure of a source is not what it was; see below.".to_owned()),
        count => lines.push(format!("{count} figures of sources are not what they were; see below.")),
    }
    Answer { figure, lines }
}

fn money(reports: &Reports) -> Answer {
    let returns = || reports.spend.sources.iter().filter_map(|source| Some((source, source.roas.as_ref()?)));
    let known = || returns().filter(|(_, roas)| roas.value.is_some());
    let best = known().max_by(|a, b| a.1.value.unwrap_or(0.0).total_cmp(&b.1.value.unwrap_or(0.0)));
    let worst = known().min_by(|a, b| a.1.value.unwrap_or(0.0).total_cmp(&b.1.value.unwrap_or(0.0)));
    let (Some((best, roas)), Some((worst, least))) = (best, worst) else {
        let none = "No source has both a cost and a return in one currency.";
        return Answer { figure: "not known yet".to_owned(), lines: vec![none.to_owned()] };
    };
    let mut lines = vec![format!("times its cost comes back from {}{}.", best.source, between(roas))];
    if best.source != worst.source {
        let verdict = match (least.low, least.high) {
            (_, Some(high)) if high < 1.0 => "less than it costs, for certain",
            (Some(low), _) if low > 1.0 => "more than it costs, for certain",
            _ => "which may be more or less than it costs",
        };
        lines.push(format!("Least from {}: {} times{}, {verdict}.", worst.source, least.figure(), between(least)));
    }
    let of_channels = reports.spend.channels.iter().filter_map(|row| {
        let ratio = row.return_on_spend.values().next().filter(|_| row.return_on_spend.len() == 1)?;
        Some((row, ratio.parse::<f64>().ok()?))
    });
    if let Some((row, ratio)) = of_channels.min_by(|a, b| a.1.total_cmp(&b.1)) {
        lines.push(format!(
            "Of the channels {} brings back least: {ratio:.2} times (model {}).",
            row.channel, reports.spend.model
        ));
    }
    Answer { figure: roas.figure(), lines }
}

/// `, 95 % between 1.2 and 3.4`, where there is an interval.
fn between(metric: &Metric) -> String {
    let ends = metric.low.zip(metric.high);
    ends.map_or_else(String::new, |(low, high)| format!(" (95 %: {low:.2} to {high:.2})"))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

pub(super) fn sources(report: &SourcesReport) -> String {
    let rate = |name: &str| -> Vec<Bar> {
        let measured = report.sources.iter().filter_map(|card| Some((card, card.metric(name)?)));
        measured
            .filter_map(|(card, metric)| {
                let value = metric.value?;
                Some(Bar {
                    label: card.source.clone(),
                    value,
                    text: with_state(&percent(value), metric),
                    range: metric.low.zip(metric.high),
                    series: 0,
                })
            })
            .collect()
    };
    let chart = bars(
        "sources",
        "Share of people who became customers, by source",
        "One bar a source, with its 95 % interval as a line. The table below has the numbers.",
        &rate("conversion_rate"),
    );
    let used: Vec<&(&str, &str)> = FIGURES
        .iter()
        .filter(|(_, name)| report.sources.iter().any(|card| card.metric(name).is_some_and(|metric| metric.value.is_some())))
        .collect();
    let figure = |card: &crate::report::SourceCard, name: &str| {
        card.metric(name).map(|metric| with_state(&metric.to_string(), metric)).unwrap_or_default()
    };
    let caption = "Figures of each source with their 95 % intervals and cases";
    // Few sources stand side by side, which is how they are compared; many stand below each other.
    let figures = if report.sources.len() <= SIDE_BY_SIDE {
        let headers: Vec<&str> =
            std::iter::once("figure").chain(report.sources.iter().map(|card| card.source.as_str())).collect();
        let channels = report.sources.iter().map(|card| card.channel.clone());
        let first = std::iter::once("channel".to_owned()).chain(channels).collect();
        let rows = used.iter().map(|(header, name)| {
            std::iter::once((*header).to_owned()).chain(report.sources.iter().map(|card| figure(card, name))).collect()
        });
        table(caption, &headers, 1, std::iter::once(first).chain(rows))
    } else {
        let headers: Vec<&str> = ["source", "channel"].into_iter().chain(used.iter().map(|(header, _)| *header)).collect();
        let rows = report.sources.iter().map(|card| {
            let figures = used.iter().map(|(_, name)| figure(card, name));
            [card.source.clone(), card.channel.clone()].into_iter().chain(figures).collect()
        });
        table(caption, &headers, 2, rows)
    };
    section("sources", "What each source is worth", &chart, &(figures + &drifted(report)))
}

/// Each source by the period in which it first named its people: did its later lists get worse?
pub(super) fn cohorts(report: &CohortsReport) -> String {
    const SHOWN: [(&str, &str); 5] = [
        ("people", "distinct_persons"),
        ("valid e-mail", "validity"),
        ("new people", "net_new"),
        ("became customers", "conversion_rate"),
        ("by 90 days", "conversion_by_90d"),
    ];
    let headers: Vec<&str> = ["source", "first named"].into_iter().chain(SHOWN.map(|(header, _)| header)).collect();
    let rows = report.cohorts.iter().map(|card| {
        let figure = |name| card.metric(name).map(|metric| with_state(&metric.to_string(), metric)).unwrap_or_default();
        let whose = [card.source.clone(), card.cohort.clone().unwrap_or_default()];
        whose.into_iter().chain(SHOWN.map(|(_, name)| figure(name))).collect()
    });
    let caption = "Figures of each source by when it first named its people; later ones have had less time";
    section("by-time", "Whether sources got better or worse", "", &table(caption, &headers, 2, rows))
}

/// Sources up to which the figures stand side by side.
const SIDE_BY_SIDE: usize = 5;

fn drifted(report: &SourcesReport) -> String {
    let rows = report.alerts.iter().map(|alert| {
        let figure = |value: f64| match alert.figure.as_str() {
            "records_a_day" => format!("{value:.1}"),
            "countries" | "email_domains" => format!("{value:.2} apart"),
            _ => percent(value),
        };
        let chance =
            if alert.probability < 1e-4 { "below 0.01 %".to_owned() } else { format!("{:.2} %", alert.probability * 100.0) };
        vec![alert.source.clone(), alert.figure.replace('_', " "), figure(alert.before), figure(alert.now), chance]
    });
    table("Sources that are not what they were", &["source", "figure", "before", "now", "chance of it"], 2, rows)
}

/// What was changed of past credits.
pub(super) fn changes(report: &ChangesReport) -> String {
    if report.changes.is_empty() {
        let text = "<p>Nothing: every credit stands as it was first given.</p>";
        return section("changes", "What was changed of credits given before", text, "");
    }
    let causes = report.causes.iter().map(|(cause, count)| vec![cause.replace('_', " "), count.to_string()]);
    let rows = report.changes.iter().take(SHOWN_CHANGES).map(|change| {
        vec![
            change.conversion_id.as_ref().or(change.channel.as_ref()).cloned().unwrap_or_default(),
            minute(change.at),
            change.model.clone(),
            CreditChange::told(&change.before),
            CreditChange::told(&change.after),
            change.cause.replace('_', " "),
        ]
    });
    let tables = table("Changes by cause", &["cause", "changes"], 1, causes)
        + &table("The latest changes", &["of", "when (UTC)", "model", "before", "since", "why"], 9, rows);
    section("changes", "What was changed of credits given before", "", &tables)
}

/// Changes that the page names; the table `credit_change` has all.
const SHOWN_CHANGES: usize = 30;

pub(super) fn channels(reports: &[ChannelsReport]) -> String {
    let names: BTreeSet<&str> = reports.iter().flat_map(|report| &report.channels).map(|row| row.channel.as_str()).collect();
    let of = |report: &ChannelsReport, name: &str| {
        report.channels.iter().find(|row| row.channel == name).map_or(0.0, |row| row.conversions)
    };
    let mut ordered: Vec<&str> = names.into_iter().collect();
    let sum = |name: &str| reports.iter().map(|report| of(report, name)).sum::<f64>();
    ordered.sort_by(|a, b| sum(b).total_cmp(&sum(a)));
    let credits: Vec<Bar> = ordered
        .iter()
        .flat_map(|name| {
            reports.iter().enumerate().map(|(series, report)| {
                let value = of(report, name);
                Bar { label: (*name).to_owned(), value, text: format!("{value:.2}"), range: None, series }
            })
        })
        .collect();
    let models: Vec<String> = reports.iter().map(|report| report.model.clone()).collect();
    let chart = bars(
        "channels",
        "Conversions credited to each channel, by model",
        &format!("For each channel one bar a model: {}. The table below has the numbers.", models.join(", ")),
        &credits,
    );
    let chart = if chart.is_empty() { chart } else { legend(&models) + &chart };
    let headers: Vec<&str> = std::iter::once("channel").chain(models.iter().map(String::as_str)).collect();
    let mut rows: Vec<Vec<String>> = ordered
        .iter()
        .map(|name| {
            let credits = reports.iter().map(|report| format!("{:.2}", of(report, name)));
            std::iter::once((*name).to_owned()).chain(credits).collect()
        })
        .collect();
    let unattributed = reports.iter().map(|report| format!("{:.2}", report.unattributed));
    rows.push(std::iter::once("(unattributed)".to_owned()).chain(unattributed).collect());
    section(
        "channels",
        "Which channel earned the conversions",
        &chart,
        &table("Credited conversions by model", &headers, 1, rows),
    )
}

pub(super) fn funnel(report: &FunnelReport) -> String {
    let stages = report.lifecycle.iter().zip(0..).map(|(stage, series)| Bar {
        label: stage.stage.replace('_', " "),
        value: whole(stage.now),
        text: stage.now.to_string(),
        range: None,
        series,
    });
    let now =
        bars("funnel", "People by stage, now", "One bar a stage: suspect, prospect, customer.", &stages.collect::<Vec<_>>());
    let cohorts: Vec<Bar> = report
        .cohorts
        .iter()
        .flat_map(|cohort| {
            let part = |count: u64, what: &str, series| {
                let value = if cohort.people == 0 { 0.0 } else { whole(count) / whole(cohort.people) };
                Bar { label: cohort.month.clone(), value, text: format!("{} {what}", percent(value)), range: None, series }
            };
            [part(cohort.prospects, "prospects", 0), part(cohort.customers, "customers", 1)]
        })
        .collect();
    let by_month = bars(
        "cohorts",
        "Share of people who became prospects and customers, by the month in which they were first seen",
        "Two bars a month. Later months have had less time.",
        &cohorts,
    );
    let rows = report.cohorts.iter().map(|cohort| {
        vec![cohort.month.clone(), cohort.people.to_string(), cohort.prospects.to_string(), cohort.customers.to_string()]
    });
    let headers = ["first seen", "people", "became prospects", "became customers"];
    section("funnel", "How far people are", &(now + &by_month), &table("People by month", &headers, 1, rows))
}

pub(super) fn time_to_convert(report: &SourcesReport) -> String {
    let of = |card: &crate::report::SourceCard, age: u32| card.metric(&format!("conversion_by_{age}d")).cloned();
    let curves: Vec<Line> = report
        .sources
        .iter()
        .map(|card| {
            let seen = AGES.iter().filter_map(|age| {
                let metric = of(card, *age)?;
                (metric.state != "immature").then_some((f64::from(*age), metric.value?))
            });
            Line { name: card.source.clone(), points: std::iter::once((0.0, 0.0)).chain(seen).collect() }
        })
        .filter(|line| line.points.len() > 1)
        .collect();
    let chart = lines(
        "time",
        "Share of people who have converted, by days since they came",
        "One line a source (Kaplan and Meier); it ends where nobody was watched longer.",
        "d",
        &curves,
    );
    let headers: Vec<String> = AGES.iter().map(|age| format!("by {age} days")).collect();
    let headers: Vec<&str> = std::iter::once("source").chain(headers.iter().map(String::as_str)).chain(["median days"]).collect();
    let rows = report.sources.iter().map(|card| {
        let ages =
            AGES.iter().map(|age| of(card, *age).map(|metric| with_state(&metric.to_string(), &metric)).unwrap_or_default());
        let median = card.metric("velocity_median_days");
        let median = median.map_or_else(String::new, |metric| {
            metric.value.map_or_else(|| "not reached".to_owned(), |days| format!("{days:.0}"))
        });
        std::iter::once(card.source.clone()).chain(ages).chain([median]).collect()
    });
    section("time", "How long it takes", &chart, &table("Share converted by age", &headers, 1, rows))
}

pub(super) fn spend(report: &SpendReport) -> String {
    let currencies: BTreeSet<&String> = report.channels.iter().flat_map(|row| row.cost.keys().chain(row.value.keys())).collect();
    let mut charts = String::new();
    for (at, currency) in currencies.into_iter().enumerate() {
        let amount = |of: &crate::report::MoneyText| of.get(currency).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        let pairs: Vec<Bar> = report
            .channels
            .iter()
            .filter(|row| amount(&row.cost) != 0.0 || amount(&row.value) != 0.0)
            .flat_map(|row| {
                let bar = |of: &crate::report::MoneyText, what: &str, series| Bar {
                    label: row.channel.clone(),
                    value: amount(of),
                    text: format!("{:.2} {what}", amount(of)),
                    range: None,
                    series,
                };
                [bar(&row.cost, "spent", 1), bar(&row.value, "earned", 0)]
            })
            .collect();
        charts += &bars(
            &format!("spend{at}"),
            &format!("Spent and earned by channel, in {currency}"),
            &format!("Two bars a channel: what was spent and what it is credited with (model {}).", report.model),
            &pairs,
        );
    }
    let rows = report.channels.iter().map(|row| {
        vec![
            row.channel.clone(),
            money_text(&row.cost),
            format!("{:.2}", row.conversions),
            money_text(&row.value),
            money_text(&row.cost_per_conversion),
            returns(&row.return_on_spend),
        ]
    });
    let headers = ["channel", "cost", "conversions", "value", "cost per conversion", "value by cost"];
    section("spend", "What was spent, and what came of it", &charts, &table("Spend by channel", &headers, 1, rows))
}

/// A return is a ratio within one currency; the currency is named only where there are several.
fn returns(ratios: &crate::report::MoneyText) -> String {
    match ratios.len() {
        0 => "–".to_owned(),
        1 => ratios.values().cloned().collect(),
        _ => ratios.iter().map(|(currency, ratio)| format!("{ratio} in {currency}")).collect::<Vec<_>>().join(", "),
    }
}

pub(super) fn propensity(report: &PropensityReport) -> String {
    if let Some(refusal) = &report.refusal {
        let text = format!("<p>There are no scores: {}.</p>", escape(refusal));
        return section("propensity", "Who is likely to convert", &text, "");
    }
    let figure = |path: &str| report.quality.as_ref().and_then(|quality| quality.pointer(path)?.as_f64());
    let shown = |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), |value| format!("{value:.3}"));
    let note = format!(
        "<p>Probability to convert within {} days, by {} ({}). Of people left out of the fit: AUC {}, log-loss {}, Brier {}, slope of \
         calibration {}, lift of the highest tenth {}.</p>",
        report.horizon_days,
        escape(report.method.as_deref().unwrap_or("no model")),
        escape(report.model_version.as_deref().unwrap_or("none")),
        shown(figure("/all/auc")),
        shown(figure("/all/log_loss")),
        shown(figure("/all/brier")),
        shown(figure("/calibration_slope")),
        shown(figure("/all/lift_at_10_percent")),
    );
    let people = report.people.iter().map(|person| {
        vec![
            person.prospect_id.clone(),
            person.source.clone(),
            person.need.clone().unwrap_or_default(),
            percent(person.probability),
            person.why(),
        ]
    });
    let needs = report.needs.iter().map(|group| {
        let call: Vec<String> = group
            .call
            .iter()
            .map(|person| format!("{} ({})", person.prospect_id, percent(person.probability).replace(' ', "\u{a0}")))
            .collect();
        vec![
            group.need.clone().unwrap_or_else(|| "(none stated)".to_owned()),
            group.people.to_string(),
            format!("{:.1}", group.expected),
            call.join(", "),
        ]
    });
    let expected: Vec<Bar> = report
        .needs
        .iter()
        .map(|group| Bar {
            label: group.need.clone().unwrap_or_else(|| "(none stated)".to_owned()),
            value: group.expected,
            text: format!("{:.1} of {}", group.expected, group.people),
            range: None,
            series: 0,
        })
        .collect();
    let chart = bars(
        "needs",
        "Conversions to expect, by the need that was stated",
        "One bar a need, of the people who may be contacted. The table below has the numbers.",
        &expected,
    );
    let tables = table("Whom to call this week, by need", &["need", "people", "expected", "call first"], 9, needs)
        + &table("Whom to call first of all", &["prospect", "source", "need", "probability", "why"], 9, people);
    section("propensity", "Who is likely to convert", &(note + &chart), &tables)
}

pub(super) fn customers(report: &CustomersReport) -> String {
    let mut body = String::new();
    for (at, of) in report.currencies.iter().enumerate() {
        if let Some(refusal) = &of.refusal {
            body += &format!(
                "<p class=\"soft\">No value and no risk is expected in {}: {}.</p>",
                escape(&of.currency),
                escape(refusal)
            );
        }
        let rates = of.sources.iter().map(|row| Bar {
            label: row.origin.clone(),
            value: row.repeat_rate,
            text: format!("{} of {}", row.repeaters, row.customers),
            range: Some((row.low, row.high)),
            series: 2,
        });
        body += &bars(
            &format!("customers{at}"),
            &format!("Share of customers who bought again, by source, in {}", of.currency),
            "One bar a source, with its 95 % interval as a line.",
            &rates.collect::<Vec<_>>(),
        );
        let headers = ["origin", "customers", "bought again", "spent each", "not coming back", "expected in 12 months"];
        for (what, rows) in [("source", &of.sources), ("channel", &of.channels)] {
            body += &table(&format!("Customers by {what}, in {}", of.currency), &headers, 1, rows.iter().map(origin));
        }
        let segments = of.segments.iter().map(|(segment, count)| vec![segment.replace('_', " "), count.to_string()]);
        body += &table(&format!("Segments, in {}", of.currency), &["segment", "customers"], 1, segments);
        let groups = (1..).zip(&of.clusters).map(|(number, group)| {
            let figures = [format!("{:.0}", group.idle_days), format!("{:.1}", group.purchases), format!("{:.2}", group.spent)];
            [format!("group {number}"), group.customers.to_string()].into_iter().chain(figures).collect()
        });
        let headers = ["group", "customers", "days since the last purchase", "purchases", "spent"];
        body += &table(&format!("Groups that customers form, in {}", of.currency), &headers, 1, groups);
    }
    let affinity = report.affinity.iter().map(|rule| {
        let share = format!("{} ({} to {})", percent(rule.confidence), percent(rule.low), percent(rule.high));
        vec![rule.has.clone(), rule.buys.clone(), rule.both.to_string(), share, format!("{:.1}", rule.lift)]
    });
    let headers = ["who has", "buys as well", "customers", "share", "times as often as all"];
    body += &table("What is bought together more often than by chance", &headers, 2, affinity);
    if body.is_empty() {
        body.push_str("<p>Nobody has bought yet.</p>");
    }
    section("customers", "After the purchase", "", &body)
}

fn origin(row: &OriginRow) -> Vec<String> {
    let known = |value: Option<f64>, text: fn(f64) -> String| value.map_or_else(|| "–".to_owned(), text);
    vec![
        row.origin.clone(),
        row.customers.to_string(),
        format!("{} ({} to {})", percent(row.repeat_rate), percent(row.low), percent(row.high)),
        format!("{:.2}", row.mean_spent),
        known(row.churn_risk, percent),
        known(row.expected_value, |value| format!("{value:.2}")),
    ]
}

fn section(id: &str, title: &str, chart: &str, table: &str) -> String {
    format!(
        "<section aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{}</h2><div class=\"wide\">{chart}</div><div class=\"wide\">{table}</div></section>",
        escape(title)
    )
}

/// A table; columns from `numbers` on are set to the right. One without rows is none.
fn table(caption: &str, headers: &[&str], numbers: usize, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let class = |at: usize| if at >= numbers { " class=\"n\"" } else { "" };
    let mut body = String::new();
    for row in rows {
        body.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            body += &if at == 0 {
                format!("<th scope=\"row\">{}</th>", escape(cell))
            } else {
                format!("<td{}>{}</td>", class(at), escape(cell))
            };
        }
        body.push_str("</tr>");
    }
    if body.is_empty() {
        return body;
    }
    let mut out = format!("<table><caption>{}</caption><thead><tr>", escape(caption));
    for (at, header) in headers.iter().enumerate() {
        out += &format!("<th scope=\"col\"{}>{}</th>", class(at), escape(header));
    }
    out + "</tr></thead><tbody>" + &body + "</tbody></table>"
}

fn with_state(text: &str, metric: &Metric) -> String {
    match metric.state.as_str() {
        "immature" => format!("{text} (immature)"),
        "not_rankable" => format!("{text} (not rankable)"),
        _ => text.to_owned(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts of people fit 53 bits")]
fn whole(count: u64) -> f64 {
    count as f64
}
