//! `report propensity` and `report customers`: reports about people.

use headwater_runtime::report::{Affinity, CurrencyCustomers, CustomersReport, OriginRow, PropensityReport};

use super::report::{header, minute, percent};
use crate::console::Rows;

pub(super) fn propensity(report: &PropensityReport) -> String {
    let title =
        format!("Who is likely to convert within {} days (measured {} UTC)", report.horizon_days, minute(Some(report.as_of)));
    if let Some(refusal) = &report.refusal {
        return format!("{title}\n\nThere are no scores: {refusal}.");
    }
    let figure = |path: &str| report.quality.as_ref().and_then(|quality| quality.pointer(path)?.as_f64());
    let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
    let mut people = Rows::new(&["prospect", "source", "need", "probability", "why"]).right(3..=3);
    for person in &report.people {
        let need = person.need.clone().unwrap_or_default();
        people.row([person.prospect_id.clone(), person.source.clone(), need, percent(person.probability), person.why()]);
    }
    let mut needs =
        Rows::new(&["need", "people", "conversions to expect", "call first", "probability"]).right(1..=2).right(4..=4);
    for group in &report.needs {
        let need = group.need.clone().unwrap_or_else(|| "(none stated)".to_owned());
        let first = group.call.first();
        let whole = [need, group.people.to_string(), format!("{:.1}", group.expected)];
        let call = |person: Option<&headwater_runtime::report::Likely>| {
            let probability = person.map(|person| percent(person.probability)).unwrap_or_default();
            [person.map(|person| person.prospect_id.clone()).unwrap_or_default(), probability]
        };
        needs.row(whole.into_iter().chain(call(first)));
        for person in group.call.iter().skip(1) {
            needs.row([String::new(), String::new(), String::new()].into_iter().chain(call(Some(person))));
        }
    }
    let mut sources =
        Rows::new(&["source", "cases", "converted", "expected", "AUC", "log-loss", "lift of the first tenth"]).right(1..=6);
    let by_source = report.quality.as_ref().and_then(|quality| quality.get("by_source")?.as_object());
    for (source, own) in by_source.into_iter().flatten() {
        let figure = |name: &str| own.get(name).and_then(serde_json::Value::as_f64);
        let whole = |name: &str| figure(name).map_or_else(|| "–".to_owned(), |value| format!("{value:.0}"));
        sources.row([
            source.clone(),
            whole("cases"),
            whole("converted"),
            figure("expected_rate").map_or_else(|| "–".to_owned(), percent),
            shown(figure("auc")),
            shown(figure("log_loss")),
            shown(figure("lift_at_10_percent")),
        ]);
    }
    format!(
        "{title}\n\n{}\n\n{} people have a score, {:.1} conversions are to be expected\n\nWhom to call this week, by the need they \
         stated\n\n{}\n\nWhat the scores of people left out of the \
         fit were worth ({}): AUC {}, log-loss {}, Brier {}, slope of calibration {}, lift of the first tenth {}\n\n{}",
        people.render(),
        report.scored,
        report.expected,
        needs.render(),
        report.method.as_deref().unwrap_or("no model"),
        shown(figure("/all/auc")),
        shown(figure("/all/log_loss")),
        shown(figure("/all/brier")),
        shown(figure("/calibration_slope")),
        shown(figure("/all/lift_at_10_percent")),
        sources.render()
    )
}

pub(super) fn propensity_csv(report: &PropensityReport) -> Vec<Vec<String>> {
    let mut rows = vec![header(&["prospect_id", "source", "need", "probability", "why"])];
    rows.extend(report.people.iter().map(|person| {
        let need = person.need.clone().unwrap_or_default();
        vec![person.prospect_id.clone(), person.source.clone(), need, person.probability.to_string(), person.why()]
    }));
    rows
}

pub(super) fn customers(report: &CustomersReport) -> String {
    let title = format!("Which origin brings good customers (measured {} UTC)", minute(Some(report.as_of)));
    if report.currencies.is_empty() {
        return format!("{title}\n\nNobody has bought yet.");
    }
    let parts = report.currencies.iter().map(|of| in_currency(of, report.horizon_months));
    [title].into_iter().chain(parts).chain([affinity(report)]).collect::<Vec<_>>().join("\n\n")
}

fn affinity(report: &CustomersReport) -> String {
    if report.with_product == 0 {
        return "No order names a product: map the column that holds it as `product`.".to_owned();
    }
    let title = format!("What is bought together, by the {} customers of whom a product is known", report.with_product);
    if report.affinity.is_empty() {
        return format!("{title}: nothing more often than by chance.");
    }
    let mut rows = Rows::new(&["who has", "buys as well", "customers", "share", "times as often as all"]).right(2..=4);
    for Affinity { has, buys, both, confidence, low, high, lift } in &report.affinity {
        let share = format!("{} ({} to {})", percent(*confidence), percent(*low), percent(*high));
        rows.row([has.clone(), buys.clone(), both.to_string(), share, format!("{lift:.1}")]);
    }
    format!("{title}\n\n{}", rows.render())
}

fn in_currency(of: &CurrencyCustomers, months: u32) -> String {
    let refusal =
        of.refusal.as_ref().map_or_else(String::new, |refusal| format!("\nNo value and no risk is expected: {refusal}."));
    let segments: Vec<String> =
        of.segments.iter().map(|(segment, count)| format!("{count} {}", segment.replace('_', " "))).collect();
    let expected = format!("expected in {months} months");
    let table = |what: &str, origins: &[OriginRow]| {
        let headers = [what, "customers", "bought again", "spent each", "not coming back", expected.as_str()];
        let mut rows = Rows::new(&headers).right(1..=5);
        for row in origins {
            rows.row([
                row.origin.clone(),
                row.customers.to_string(),
                format!("{} ({} to {})", percent(row.repeat_rate), percent(row.low), percent(row.high)),
                format!("{:.2}", row.mean_spent),
                row.churn_risk.map_or_else(|| "–".to_owned(), percent),
                row.expected_value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}")),
            ]);
        }
        rows.render()
    };
    format!(
        "{} customers in {}: {}{refusal}\n\n{}\n\n{}{}",
        of.customers,
        of.currency,
        segments.join(", "),
        table("source", &of.sources),
        table("channel", &of.channels),
        clusters(of)
    )
}

/// The groups that customers form by themselves.
fn clusters(of: &CurrencyCustomers) -> String {
    if of.clusters.is_empty() {
        return String::new();
    }
    let mut rows = Rows::new(&["group", "customers", "days since the last purchase", "purchases", "spent"]).right(1..=4);
    for (number, group) in (1..).zip(&of.clusters) {
        let figures = [format!("{:.0}", group.idle_days), format!("{:.1}", group.purchases), format!("{:.2}", group.spent)];
        rows.row([number.to_string(), group.customers.to_string()].into_iter().chain(figures));
    }
    format!("\n\n{}", rows.render())
}

pub(super) fn customers_csv(report: &CustomersReport) -> Vec<Vec<String>> {
    let mut rows = vec![header(&[
        "currency",
        "by",
        "origin",
        "customers",
        "repeaters",
        "repeat_rate",
        "low",
        "high",
        "mean_spent",
        "churn_risk",
        "expected_value",
    ])];
    for of in &report.currencies {
        for (by, origins) in [("source", &of.sources), ("channel", &of.channels)] {
            rows.extend(origins.iter().map(|row| {
                let known = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
                vec![
                    of.currency.clone(),
                    by.to_owned(),
                    row.origin.clone(),
                    row.customers.to_string(),
                    row.repeaters.to_string(),
                    row.repeat_rate.to_string(),
                    row.low.to_string(),
                    row.high.to_string(),
                    row.mean_spent.to_string(),
                    known(row.churn_risk),
                    known(row.expected_value),
                ]
            }));
        }
    }
    rows
}
