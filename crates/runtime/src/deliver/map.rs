//! Which of the remote's fields gets what of ours, checked against both sides.

use std::collections::{BTreeMap, BTreeSet};

use headwater_sdk::{Companion, Sink};
use headwater_store::Snapshot;

use super::owners;
use super::receipt::OUR_ID;
use super::values::{Values, computed, fields_of, is_template, noun, unknown};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::{SinkEntry, SinkField, nearest};

/// The key of a sink's policy that holds for every field without one of its own.
pub(crate) const DEFAULT_POLICY: &str = "default";
/// Fields that a sink without a map of its own gets.
const DEFAULT_FIELDS: &[&str] = &[
    "email",
    "given_name",
    "family_name",
    "full_name",
    "phone",
    "job_title",
    "company_name",
    "city",
    "country",
    "lifecycle",
    "first_source",
    "first_channel",
];

/// Points a complaint about the audience at the line it stands on.
pub(super) fn audience_error(entry: &SinkEntry, error: Error) -> Error {
    match error {
        Error::Query(message) => entry.error("audience", message).into(),
        other => other,
    }
}

/// Points a complaint about the rows of an audience at the line that is at fault: of the first expression of the map that fails alone, or
/// of the audience itself.
pub(super) async fn rows_error(
    engine: &Engine,
    snapshot: &Snapshot,
    entry: &SinkEntry,
    (columns, map): (&BTreeSet<&'static str>, &BTreeMap<String, SinkField>),
    error: Error,
) -> Error {
    let Error::Query(message) = error else { return error };
    for expression in expressions(map) {
        let path = expression.0.clone();
        if !can_be_read(engine, snapshot, (&entry.section.audience, columns), &[expression]).await {
            return entry.error(&path, message).into();
        }
    }
    entry.error("audience", message).into()
}

async fn can_be_read(
    engine: &Engine,
    snapshot: &Snapshot,
    audience: (&str, &BTreeSet<&'static str>),
    expressions: &[(String, &str)],
) -> bool {
    let Ok(mut rows) = crate::query::audience(engine, snapshot, audience, expressions).await else { return false };
    loop {
        match rows.next().await {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// The SQL expressions of a map, each with the column that its values come in.
pub(super) fn expressions(map: &BTreeMap<String, SinkField>) -> Vec<(String, &str)> {
    let mut expressions = Vec::new();
    for (remote, field) in map {
        if let SinkField::Sql(sql) = field {
            expressions.push((computed(remote), sql.as_str()));
        }
    }
    expressions
}

/// Checks that every key by which a record is found has values: a key without finds nobody, and everybody would be made again.
fn findable(entry: &SinkEntry) -> Result<()> {
    let (section, ours) = (&entry.section, fields_of(entry));
    let known = || {
        let mapped = section.map.keys().map(String::as_str);
        std::iter::once(OUR_ID).chain(mapped).chain(ours.iter().copied().filter(|field| !section.map.contains_key(*field)))
    };
    let Some((index, stray)) = section.match_on.iter().enumerate().find(|(_, key)| !known().any(|known| known == key.as_str()))
    else {
        return Ok(());
    };
    let message = format!("records cannot be found by `{stray}`: `map` gives no such field a value");
    let complaint = entry.error(&format!("match_on[{index}]"), message);
    let help = nearest(stray, known()).map_or_else(
        || {
            let names: Vec<&str> = std::iter::once(OUR_ID).chain(section.map.keys().map(String::as_str)).collect();
            format!("name one of: {}", names.join(", "))
        },
        |near| format!("did you mean `{near}`?"),
    );
    Err(complaint.help(help).into())
}

/// The remote's field ← ours, checked against both sides.
pub(super) async fn field_map(entry: &SinkEntry, sink: &dyn Sink) -> Result<BTreeMap<String, SinkField>> {
    let theirs = sink.fields().await.map_err(|error| match error.config_path() {
        Some(_) => entry.config_error(&error).into(),
        None => Error::connection(&entry.name, None, error),
    })?;
    let section = &entry.section;
    owners::check(entry, sink, &theirs)?;
    if let Some(Companion::List { .. }) = entry.companion {
        return Ok(BTreeMap::new());
    }
    findable(entry)?;
    if section.map.is_empty() {
        if theirs.is_empty() {
            let same = |field: &&str| ((*field).to_owned(), SinkField::Text((*field).to_owned()));
            return Ok(DEFAULT_FIELDS.iter().map(same).collect());
        }
        let names: Vec<&str> = theirs.iter().map(|(name, _)| name.as_str()).collect();
        return Err(entry.error("", "the sink has no `map`").help(format!("map its fields: {}", names.join(", "))).into());
    }
    let ours = fields_of(entry);
    for (remote, field) in &section.map {
        if section.companies.is_some() && sink.company_field() == Some(remote) {
            let complaint =
                entry.error(&format!("map.{remote}"), format!("`{remote}` names the company, which `companies` sets"));
            return Err(complaint.help("take it out of `map`").into());
        }
        match field {
            SinkField::Text(field) if is_template(field) || ours.contains(&field.as_str()) => {}
            SinkField::Text(field) => {
                let complaint = entry.error(&format!("map.{remote}"), format!("{} has no field `{field}`", noun(entry)));
                return Err(unknown(complaint, field, &ours).into());
            }
            SinkField::Sql(sql) => crate::query::check_expression(sql).await.map_err(|error| match error {
                Error::Query(message) => entry.error(&format!("map.{remote}"), message).into(),
                other => other,
            })?,
        }
        if !theirs.is_empty() && !theirs.iter().any(|(name, _)| name == remote) {
            let names: Vec<&str> = theirs.iter().map(|(name, _)| name.as_str()).collect();
            let complaint = entry.error(&format!("map.{remote}"), format!("the sink has no field `{remote}`"));
            let help = nearest(remote, names.iter().copied())
                .map_or_else(|| format!("its fields are: {}", names.join(", ")), |near| format!("did you mean `{near}`?"));
            return Err(complaint.help(help).into());
        }
    }
    let set_by_us = |field: &str| {
        section.companies.is_some() && sink.company_field() == Some(field)
            || section.owners.as_ref().is_some_and(|owners| owners.field == field)
    };
    let known = |field: &String| *field == DEFAULT_POLICY || section.map.contains_key(field) || set_by_us(field);
    let near = |stray: &str, else_do: &str| {
        let mapped = section.map.keys().map(String::as_str);
        nearest(stray, mapped).map_or_else(|| else_do.to_owned(), |near| format!("did you mean `{near}`? Else {else_do}"))
    };
    if let Some(stray) = section.policy.keys().find(|field| !known(field)) {
        let complaint =
            entry.error(&format!("policy.{stray}"), format!("there is a policy for `{stray}`, but no such field in `map`"));
        return Err(complaint.help(near(stray, "map the field, or take its policy out")).into());
    }
    if let Some(stray) = section.clear.iter().find(|field| !section.map.contains_key(*field)) {
        let complaint = entry.error("clear", format!("`{stray}` is to be cleared, but there is no such field in `map`"));
        return Err(complaint.help(near(stray, "map the field, or take it out of `clear`")).into());
    }
    if let Some(stray) = section.required.iter().find(|field| !section.map.contains_key(*field)) {
        let complaint = entry.error("required", format!("`{stray}` is required, but there is no such field in `map`"));
        return Err(complaint.help(near(stray, "map the field, or take it out of `required`")).into());
    }
    Values::new(entry, &section.map)?;
    Ok(section.map.clone())
}
