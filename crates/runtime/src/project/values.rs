//! Values that have the right type and still mean nothing: found before the first row moves.

use headwater_analysis::channel::{Classifier, OwnRule};
use headwater_model::instant::{self, DateStyle};
use headwater_model::money::{self, NumberStyle};
use headwater_model::{country, tables};
use jiff::tz::TimeZone;

use super::error::ProjectError;
use super::file::{ChannelRule, ChannelsSection, CostSection, CostUnit};
use super::{Project, Schedule, SourceEntry, nearest};

/// Checks what can be checked without asking anybody.
pub(super) fn check(project: &Project) -> Result<(), ProjectError> {
    Schedule::of(project)?;
    for (index, field) in project.file.measures.required_fields.iter().enumerate() {
        let known = || tables::LEAD.columns.iter().map(|column| column.name);
        if !known().any(|name| name == field) {
            let complaint =
                project.error(&format!("measures.required_fields[{index}]"), format!("a lead has no field `{field}`"));
            return Err(match nearest(field, known()) {
                Some(near) => complaint.help(format!("did you mean `{near}`?")),
                None => complaint,
            });
        }
    }
    identity(project)?;
    channels(project)?;
    measures(project)?;
    for entry in &project.sources {
        if let Some(sink) = &entry.section.same_as_sink
            && project.sink(sink).is_none()
        {
            let complaint = entry.error("same_as_sink", format!("there is no sink `{sink}`"));
            return Err(match nearest(sink, project.sinks.iter().map(|sink| sink.name.as_str())) {
                Some(near) => complaint.help(format!("did you mean `{near}`?")),
                None => complaint.help("name a sink of this project"),
            });
        }
    }
    project.sources.iter().try_for_each(source)
}

/// Chances are shares, and what is joined needs no review.
fn identity(project: &Project) -> Result<(), ProjectError> {
    let section = &project.file.identity;
    for (key, value) in [
        ("auto_merge_above", section.auto_merge_above),
        ("review_above", section.review_above),
        ("gates.precision", section.gates.precision),
        ("gates.sampled_precision", section.gates.sampled_precision.unwrap_or_default()),
    ] {
        if !(0.0..=1.0).contains(&value) {
            return Err(project
                .error(&format!("identity.{key}"), format!("`{value}` is no chance"))
                .help("write a number from 0 to 1"));
        }
    }
    if section.review_above > section.auto_merge_above {
        return Err(project
            .error("identity.review_above", "pairs below the bound of a join cannot be reviewed")
            .help("set `review_above` to at most `auto_merge_above`"));
    }
    Ok(())
}

/// Money is added up in a currency there is, and costs are divided among sources there are.
fn measures(project: &Project) -> Result<(), ProjectError> {
    let section = &project.file.measures;
    match &section.currency {
        Some(code) if money::currency(code).is_none() => {
            let complaint = project.error("measures.currency", format!("`{code}` is not a currency"));
            return Err(complaint.help("write its ISO 4217 code such as EUR"));
        }
        None if section.rates_file.is_some() => {
            let complaint = project.error("measures.rates_file", "rates into no currency");
            return Err(complaint.help("write the currency in which amounts are added up as `currency:` beside it"));
        }
        Some(_) | None => {}
    }
    for (index, rule) in section.cost_rules.iter().enumerate() {
        for (place, name) in rule.among.iter().enumerate() {
            if project.source(name).is_none() {
                let path = format!("measures.cost_rules[{index}].among[{place}]");
                let complaint = project.error(&path, format!("there is no source `{name}`"));
                return Err(match nearest(name, project.sources.iter().map(|source| source.name.as_str())) {
                    Some(near) => complaint.help(format!("did you mean `{near}`?")),
                    None => complaint,
                });
            }
        }
    }
    let drift = &section.drift;
    if drift.window_days == 0 || drift.base_days < drift.window_days {
        let complaint = project.error("measures.drift", "there is nothing to compare");
        return Err(complaint.help("set `window_days` to 1 or more, and `base_days` to at least `window_days`"));
    }
    if !(0.0..=1.0).contains(&drift.false_alerts) {
        let complaint = project.error("measures.drift.false_alerts", format!("`{}` is no share", drift.false_alerts));
        return Err(complaint.help("write a number from 0 to 1"));
    }
    Ok(())
}

fn source(entry: &SourceEntry) -> Result<(), ProjectError> {
    let section = &entry.section;
    if let Some(name) = &section.country
        && country::code(name).is_none()
    {
        return Err(entry
            .error("country", format!("`{name}` is not a country we know"))
            .help("write its ISO 3166 code such as FR"));
    }
    if let Some(code) = &section.currency {
        currency(entry, "currency", code)?;
    }
    if let Some(dates) = &section.dates {
        if let Some(name) = &dates.zone
            && TimeZone::get(name).is_err()
        {
            return Err(entry
                .error("dates.zone", format!("there is no time zone `{name}`"))
                .help("write an IANA name such as Europe/Paris"));
        }
        if let Some(format) = &dates.format
            && !instant::is_format(format)
        {
            let message = format!("dates cannot be read by the format `{format}`");
            return Err(entry.error("dates.format", message).help("write a strftime format such as %d/%m/%Y"));
        }
    }
    section.cost.as_ref().map_or(Ok(()), |section| cost(entry, section))
}

fn cost(entry: &SourceEntry, section: &CostSection) -> Result<(), ProjectError> {
    let CostSection { amount, currency: code, kind: _, day, until_day, per } = section;
    if let Err(error) = money::parse(amount, NumberStyle::Point) {
        let message = match error {
            money::NotAnAmount::Ambiguous => "the decimal sign cannot be told".to_owned(),
            other @ (money::NotAnAmount::Unreadable | money::NotAnAmount::OutOfRange) => other.to_string(),
        };
        return Err(entry.error("cost.amount", message).help("write a plain number such as \"1234.50\""));
    }
    currency(entry, "cost.currency", code)?;
    let parse = |key: &str, day: &Option<String>| {
        let parsed = day.as_deref().map(|day| instant::parse_day(day, &DateStyle::default())).transpose();
        parsed.map_err(|_| entry.error(key, "not a day").help("write it as 2026-10-03"))
    };
    let (first, last) = (parse("cost.day", day)?, parse("cost.until_day", until_day)?);
    if last.is_some_and(|last| first.is_some_and(|first| last < first)) {
        return Err(entry.error("cost.until_day", "is before `day`").help("write the last day it pays for"));
    }
    if *per == CostUnit::Day && first.is_none() {
        return Err(entry.error("cost.per", "a price of each day needs the first").help("write it as `day:`"));
    }
    Ok(())
}

fn currency(entry: &SourceEntry, key: &str, code: &str) -> Result<(), ProjectError> {
    if money::currency(code).is_some() {
        return Ok(());
    }
    Err(entry.error(key, format!("`{code}` is not a currency")).help("write its ISO 4217 code such as EUR"))
}

/// The rules of a project. Each is named after its place and channel, as touches record it.
pub(super) fn classifier(section: &ChannelsSection) -> Classifier {
    let own = section.rules.iter().zip(1..).map(|(rule, place)| {
        let ChannelRule { channel, utm_source, utm_medium, utm_campaign, click_id, referrer } = rule.clone();
        OwnRule { id: format!("project.{place}.{channel}"), channel, utm_source, utm_medium, utm_campaign, click_id, referrer }
    });
    Classifier::with(own.collect(), &section.ignored_referrers)
}

fn channels(project: &Project) -> Result<(), ProjectError> {
    for (place, rule) in project.classifier.own_rules().iter().enumerate() {
        let path = format!("channels.rules[{place}]");
        if rule.is_empty() {
            let complaint = project.error(&path, "a rule that asks for nothing would fit nothing");
            return Err(complaint.help("write what it is told by: utm_source, utm_medium, utm_campaign, click_id or referrer"));
        }
        let is_name = !rule.channel.is_empty()
            && rule.channel.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_name {
            let complaint = project.error(&format!("{path}.channel"), format!("`{}` is no name of a channel", rule.channel));
            return Err(complaint.help("write it in snake case: partner, paid_search, field_event"));
        }
    }
    Ok(())
}
