//! `report propensity` and `report customers`: reports about people.

use headwater_runtime::report::{CurrencyCustomers, CustomersReport, OriginRow, PropensityReport};

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
    let mut needs = Rows::new(&["need", "people", "conversions to expect"]).right(1..=2);
    for group in &report.needs {
        let need = group.need.clone().unwrap_or_else(|| "(none stated)".to_owned());
        needs.row([need, group.people.to_string(), format!("{:.1}", group.expected)]);
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
        "{title}\n\n{}\n\n{} people have a score, {:.1} conversions are to be expected\n\n{}\n\nWhat the scores of people left out of the \
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
    [title].into_iter().chain(parts).collect::<Vec<_>>().join("\n\n")
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
        "{} customers in {}: {}{refusal}\n\n{}\n\n{}",
        of.customers,
        of.currency,
        segments.join(", "),
        table("source", &of.sources),
        table("channel", &of.channels)
    )
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
