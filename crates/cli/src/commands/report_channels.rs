//! `report channels`: what the touches earned, and what of it was changed since.

use headwater_runtime::report::{ChangesReport, ChannelsReport, CreditChange, Level, MoneyText, RulesReport, money_text};

use super::report::{columns, count, currencies, header, in_each, minute};
use crate::args::ReportLevel;
use crate::console::Rows;

pub(super) const fn level(by: ReportLevel) -> Level {
    match by {
        ReportLevel::Channel => Level::Channel,
        ReportLevel::Campaign => Level::Campaign,
        ReportLevel::Source => Level::Source,
        ReportLevel::Vendor => Level::Vendor,
        ReportLevel::Rep => Level::Rep,
        ReportLevel::Category => Level::Category,
    }
}

pub(super) fn channels(report: &ChannelsReport) -> String {
    let mut rows = Rows::new(&[report.by.as_str(), "conversions", "value", "cost"]).right(1..=3);
    for row in &report.channels {
        rows.row([row.channel.clone(), count(row.conversions), money_text(&row.value), money_text(&row.cost)]);
    }
    if report.unattributed > 0.0 {
        rows.row([
            "(unattributed)".to_owned(),
            count(report.unattributed),
            money_text(&report.unattributed_value),
            "–".to_owned(),
        ]);
    }
    if report.unnamed != 0.0 || !report.unnamed_value.is_empty() {
        let (conversions, value) = (count(report.unnamed), money_text(&report.unnamed_value));
        rows.row([format!("(no {} named)", report.by.as_str()), conversions, value, "–".to_owned()]);
    }
    if !report.unallocated_cost.is_empty() {
        rows.row([
            format!("(cost of no {})", report.by.as_str()),
            "–".to_owned(),
            "–".to_owned(),
            money_text(&report.unallocated_cost),
        ]);
    }
    let title = format!(
        "Which {} earned the conversions (model {}, touches of up to {} days before, measured {} UTC)",
        report.by.as_str(),
        report.model,
        report.window_days,
        minute(Some(report.as_of))
    );
    let none = if rows.is_empty() { "There are no conversions and no costs yet.".to_owned() } else { rows.render() };
    let note = match report.model.as_str() {
        _ if report.unattributed <= 0.0 => "",
        "counterfactual" => "\nUnattributed: would have come anyway, belong to no single channel, or have no touch.",
        _ => "\nUnattributed: no touch of a known person explains them.",
    };
    format!("{title}\n\n{none}{note}")
}

pub(super) fn channels_csv(report: &ChannelsReport) -> Vec<Vec<String>> {
    let values =
        currencies(report.channels.iter().map(|row| &row.value).chain([&report.unattributed_value, &report.unnamed_value]));
    let costs = currencies(report.channels.iter().map(|row| &row.cost).chain([&report.unallocated_cost]));
    let line = |channel: &str, conversions: f64, value: &MoneyText, cost: &MoneyText| {
        [vec![channel.to_owned(), conversions.to_string()], in_each(value, &values), in_each(cost, &costs)].concat()
    };
    let none = MoneyText::new();
    let mut rows =
        vec![[header(&[report.by.as_str(), "conversions"]), columns("value", &values), columns("cost", &costs)].concat()];
    rows.extend(report.channels.iter().map(|row| line(&row.channel, row.conversions, &row.value, &row.cost)));
    rows.push(line("unattributed", report.unattributed, &report.unattributed_value, &none));
    if report.by != Level::Channel {
        rows.push(line("unnamed", report.unnamed, &report.unnamed_value, &none));
    }
    rows.push(line("unallocated", 0.0, &none, &report.unallocated_cost));
    rows
}

pub(super) fn changes(report: &ChangesReport) -> String {
    let title = format!("What was changed of credits given before (measured {} UTC)", minute(Some(report.as_of)));
    if report.changes.is_empty() {
        return format!("{title}\n\nNothing: every credit stands as it was first given.");
    }
    let mut rows = Rows::new(&["when (UTC)", "model", "of", "before", "since", "why"]);
    for change in &report.changes {
        let of = change.conversion_id.as_ref().or(change.channel.as_ref()).cloned().unwrap_or_default();
        rows.row([
            minute(Some(change.at)),
            change.model.clone(),
            of,
            CreditChange::told(&change.before),
            CreditChange::told(&change.after),
            why(&change.cause).to_owned(),
        ]);
    }
    let causes: Vec<String> = report.causes.iter().map(|(cause, count)| format!("{count} for {}", why(cause))).collect();
    let shown = if report.total > report.changes.len() as u64 {
        " (the latest are shown; the table `credit_change` has all)"
    } else {
        ""
    };
    format!("{title}\n\n{}\n\n{} changes{shown}: {}", rows.render(), report.total, causes.join(", "))
}

fn why(cause: &str) -> &str {
    match cause {
        "model" => "another model or parameter",
        "settings" => "other settings",
        "conversion" => "the source restated the conversion",
        "identity" => "other contacts belong to the person",
        "late_data" => "a contact that became known later",
        "milestones" => "other stages of the person",
        "journeys" => "learned from other journeys",
        "gone" => "the conversion is gone",
        other => other,
    }
}

pub(super) fn changes_csv(report: &ChangesReport) -> Vec<Vec<String>> {
    let names = ["at", "model", "from_version", "to_version", "conversion_id", "revision", "channel", "before", "after", "cause"];
    let mut rows = vec![header(&names)];
    rows.extend(report.changes.iter().map(|change| {
        vec![
            change.at.to_string(),
            change.model.clone(),
            change.from_version.clone(),
            change.to_version.clone(),
            change.conversion_id.clone().unwrap_or_default(),
            change.revision.map(|revision| revision.to_string()).unwrap_or_default(),
            change.channel.clone().unwrap_or_default(),
            change.before.to_string(),
            change.after.to_string(),
            change.cause.clone(),
        ]
    }));
    rows
}

/// The rules in their order.
pub(super) fn rules(report: &RulesReport) -> String {
    let mut rows = Rows::new(&["", "channel", "rule", "where all of this holds"]).right(0..=0);
    for (rule, place) in report.rules.iter().zip(1..) {
        rows.row([place.to_string(), rule.channel.clone(), rule.rule.clone(), rule.condition.clone()]);
    }
    format!(
        "By which a contact is classed into a channel: the first that fits (version {}; those of the project are `project.…`)\n\n{}",
        report.rules_version,
        rows.render()
    )
}

pub(super) fn rules_csv(report: &RulesReport) -> Vec<Vec<String>> {
    let rows = report.rules.iter().zip(1..);
    let rows = rows.map(|(rule, place)| vec![place.to_string(), rule.channel.clone(), rule.rule.clone(), rule.condition.clone()]);
    std::iter::once(header(&["place", "channel", "rule", "condition"])).chain(rows).collect()
}
