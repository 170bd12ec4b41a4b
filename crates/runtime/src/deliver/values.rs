//! What a prospect has for a field of a remote: one of our columns as text, a template over them, or what an SQL expression gives.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, Decimal128Array, RecordBatch, StringArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use headwater_analysis::company;
use headwater_model::{money, tables};
use headwater_sdk::Companion;
use minijinja::{Environment, ErrorKind, Value};

use crate::error::{Error, Result};
use crate::project::{ProjectError, SinkEntry, SinkField, nearest};

/// The longest value that a template may make: no field of a CRM holds more.
const MAX_VALUE_BYTES: usize = 64 * 1024;

/// The values of a sink's fields, by the remote's name of the field.
pub(super) struct Values {
    columns: BTreeMap<String, String>,
    templates: Environment<'static>,
    names: Vec<String>,
    /// Columns that templates use.
    used: BTreeSet<String>,
}

/// What a row has for a sink's fields.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// By the remote's name of the field; nothing for a field of which it has no value.
    pub(super) values: BTreeMap<String, String>,
    /// Why a template makes nothing of this row, where one fails.
    pub(super) failed: Option<String>,
}

impl Values {
    /// A map whose columns are known to exist, and whose templates are checked here.
    ///
    /// # Errors
    /// When a template cannot be read or names something that a prospect does not have, with file and line.
    pub(super) fn new(entry: &SinkEntry, map: &BTreeMap<String, SinkField>) -> Result<Self, ProjectError> {
        let mut values =
            Self { columns: BTreeMap::new(), templates: Environment::empty(), names: Vec::new(), used: BTreeSet::new() };
        filters(&mut values.templates);
        for (remote, field) in map {
            let ours = match field {
                SinkField::Text(ours) => ours,
                SinkField::Sql(_) => {
                    values.columns.insert(remote.clone(), computed(remote));
                    continue;
                }
            };
            if !is_template(ours) {
                values.columns.insert(remote.clone(), ours.clone());
                continue;
            }
            let at = |message: String| entry.error(&format!("map.{remote}"), message);
            values.templates.add_template_owned(remote.clone(), ours.clone()).map_err(|error| {
                let detail = error.detail().unwrap_or("it cannot be read").to_owned();
                at(format!("the template is wrong: {detail}")).help("write as in `{{ given_name | title }} {{ family_name }}`")
            })?;
            let used = values.templates.get_template(remote).map(|template| template.undeclared_variables(false));
            let known = fields_of(entry);
            for name in used.unwrap_or_default() {
                if !known.contains(&name.as_str()) {
                    return Err(unknown(at(format!("{} has no field `{name}`", noun(entry))), &name, &known));
                }
                values.used.insert(name);
            }
            values.tried(remote).map_err(|kind| {
                at(format!("the template is wrong: {kind}")).help(format!("the filters are: {}", FILTERS.join(", ")))
            })?;
            values.names.push(remote.clone());
        }
        Ok(values)
    }

    /// The columns that they are made of.
    pub(super) fn columns(&self) -> BTreeSet<&str> {
        self.columns.values().chain(&self.used).map(String::as_str).collect()
    }

    /// Whether a template fails whatever a row says: it asks for a filter that there is not, or hands it too little.
    fn tried(&self, remote: &str) -> Result<(), ErrorKind> {
        let Ok(template) = self.templates.get_template(remote) else { return Ok(()) };
        let names = template.undeclared_variables(false);
        for value in [Value::from("2026-03-01"), Value::UNDEFINED] {
            let context: BTreeMap<&str, Value> = names.iter().map(|name| (name.as_str(), value.clone())).collect();
            if let Err(error) = template.render(Value::from(context))
                && is_of_the_template(error.kind())
            {
                return Err(error.kind());
            }
        }
        Ok(())
    }

    /// What a row of prospects has for each field. A template that fails fails for this row alone.
    pub(super) fn of(&self, batch: &RecordBatch, row: usize) -> Result<Made> {
        let mut made = Made::default();
        for (remote, ours) in &self.columns {
            if let Some(value) = value_of(batch, ours, row)? {
                made.values.insert(remote.clone(), value);
            }
        }
        if self.names.is_empty() {
            return Ok(made);
        }
        let mut context: BTreeMap<&str, Value> = BTreeMap::new();
        for column in tables::PROSPECT.columns {
            if batch.column_by_name(column.name).is_some() {
                context.insert(column.name, value_of(batch, column.name, row)?.map_or(Value::UNDEFINED, Value::from));
            }
        }
        let context = Value::from(context);
        for remote in &self.names {
            // The message of the engine may hold a value.
            let rendered = self.templates.get_template(remote).and_then(|template| template.render(context.clone()));
            let failure = match rendered.as_ref().map(|text| text.trim()) {
                Ok("") => continue,
                Ok(text) if text.len() <= MAX_VALUE_BYTES => {
                    made.values.insert(remote.clone(), text.to_owned());
                    continue;
                }
                Ok(_) => format!("makes more than {MAX_VALUE_BYTES} bytes"),
                Err(error) => error.kind().to_string(),
            };
            made.failed.get_or_insert_with(|| format!("the template of `{remote}` fails: {failure}"));
        }
        Ok(made)
    }
}

/// Whether an error is of the template itself, and not of what a row says.
fn is_of_the_template(kind: ErrorKind) -> bool {
    use ErrorKind::{MissingArgument, TooManyArguments, UnknownFilter, UnknownFunction, UnknownMethod, UnknownTest};
    matches!(kind, UnknownFilter | UnknownTest | UnknownFunction | UnknownMethod | MissingArgument | TooManyArguments)
}

/// The column in which the audience's rows have what an SQL expression gives for a field of the remote. No field of ours has a dot.
pub(super) fn computed(remote: &str) -> String {
    format!("map.{remote}")
}

/// Whether what stands in a map is a template and not a column's name.
pub(super) fn is_template(ours: &str) -> bool {
    ours.contains("{{") || ours.contains("{%")
}

/// What a delivery's rows are, for a message.
pub(super) fn noun(entry: &SinkEntry) -> &'static str {
    if entry.companion == Some(Companion::Companies) { "a company" } else { "a prospect" }
}

/// The fields that a delivery's rows have.
pub(super) fn fields_of(entry: &SinkEntry) -> Vec<&'static str> {
    if entry.companion == Some(Companion::Companies) {
        return company::FIELDS.to_vec();
    }
    tables::PROSPECT.columns.iter().map(|column| column.name).collect()
}

/// Adds help to a complaint about a field that a row does not have.
pub(super) fn unknown(complaint: ProjectError, field: &str, ours: &[&str]) -> ProjectError {
    let is_name = field.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let help = match nearest(field, ours.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if is_name => format!("its fields are: {}", ours.join(", ")),
        None => format!("for a value that is the same for all write `\"{{{{ '{}' }}}}\"`", field.replace('\'', "")),
    };
    complaint.help(help)
}

/// What a template may do to a text.
const FILTERS: [&str; 11] =
    ["upper", "lower", "title", "trim", "replace", "default", "split", "first", "last", "join", "plus_days"];

/// Adds what a template may use. Nothing is escaped: a value is data for the remote, never markup.
fn filters(templates: &mut Environment<'static>) {
    templates.add_filter("upper", minijinja::filters::upper);
    templates.add_filter("lower", minijinja::filters::lower);
    templates.add_filter("title", minijinja::filters::title);
    templates.add_filter("trim", minijinja::filters::trim);
    templates.add_filter("replace", minijinja::filters::replace);
    templates.add_filter("default", minijinja::filters::default);
    templates.add_filter("split", minijinja::filters::split);
    templates.add_filter("first", minijinja::filters::first);
    templates.add_filter("last", minijinja::filters::last);
    templates.add_filter("join", minijinja::filters::join);
    templates.add_filter("plus_days", plus_days);
    templates.add_test("defined", minijinja::tests::is_defined);
    templates.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
}

/// The day so many days after a day or an instant; nothing where there is none.
fn plus_days(value: &Value, days: i64) -> Result<Value, minijinja::Error> {
    let Some(text) = value.as_str().filter(|text| !text.trim().is_empty()) else { return Ok(Value::UNDEFINED) };
    let day = text.get(..10).and_then(|day| day.parse::<jiff::civil::Date>().ok());
    let later = day.and_then(|day| day.checked_add(jiff::Span::new().try_days(days).ok()?).ok());
    later
        .map(|day| Value::from(day.to_string()))
        .ok_or_else(|| minijinja::Error::new(ErrorKind::InvalidOperation, "the value is no day, or the day is too far away"))
}

/// What a prospect has for one of our fields. Where a source gave a whole name and the remote wants its parts, or the other way
/// round, the name is parted at its first space or put together: a remote that requires both parts would refuse the person.
fn value_of(batch: &RecordBatch, ours: &str, row: usize) -> Result<Option<String>> {
    let own = cell(batch, ours, row)?;
    // A company has no name in parts.
    if own.is_some() || batch.column_by_name("full_name").is_none() {
        return Ok(own);
    }
    let whole = || -> Result<Option<(String, String)>> {
        let whole = cell(batch, "full_name", row)?;
        Ok(whole.and_then(|name| name.trim().split_once(' ').map(|(given, family)| (given.to_owned(), family.trim().to_owned()))))
    };
    let (given, family) = (cell(batch, "given_name", row)?, cell(batch, "family_name", row)?);
    Ok(match ours {
        "given_name" if family.is_none() => whole()?.map(|(given, _)| given),
        "family_name" if given.is_none() => whole()?.map(|(_, family)| family),
        "full_name" => match (given, family) {
            (Some(given), Some(family)) => Some(format!("{given} {family}")),
            _ => None,
        },
        _ => None,
    })
}

/// A cell as the text that a remote is given; nothing for null.
pub(crate) fn cell(batch: &RecordBatch, name: &str, row: usize) -> Result<Option<String>> {
    let column = batch.column_by_name(name).ok_or_else(|| Error::Internal(format!("prospect has no column {name}")))?;
    if column.is_null(row) {
        return Ok(None);
    }
    if let Some(texts) = column.as_any().downcast_ref::<StringArray>() {
        return Ok(Some(texts.value(row).to_owned()));
    }
    if let Some(amounts) = column.as_any().downcast_ref::<Decimal128Array>() {
        return Ok(Some(money::format(amounts.value(row))));
    }
    let options = FormatOptions::default();
    Ok(Some(ArrayFormatter::try_new(column, &options)?.value(row).to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn made(template: &str, given: Option<&str>, family: Option<&str>) -> Option<String> {
        let column = |value: Option<&str>| Arc::new(StringArray::from(vec![value])) as _;
        let columns = [("given_name", given), ("family_name", family), ("full_name", None)];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, value)| (name, column(value), true))).unwrap();
        let mut values = Values {
            columns: BTreeMap::new(),
            templates: Environment::empty(),
            names: vec!["x".to_owned()],
            used: BTreeSet::new(),
        };
        filters(&mut values.templates);
        values.templates.add_template_owned("x", template.to_owned()).unwrap();
        let mut made = values.of(&batch, 0).unwrap();
        assert_eq!(made.failed.is_some(), template.contains("[0]") && !made.values.contains_key("x"));
        made.values.remove("x")
    }

    #[test]
    fn a_template_that_fails_for_a_row_makes_nothing_of_it_and_says_so() {
        let template = "{{ (given_name | split(' '))[0] }}";
        assert_eq!(made(template, Some("Ann Bea"), None).as_deref(), Some("Ann"));
        assert_eq!(made(template, None, None), None);
    }

    #[test]
    fn a_template_joins_fields_and_escapes_nothing() {
        assert_eq!(
            made("{{ family_name }}, {{ given_name }}", Some("Ann"), Some("O'Brien & <Co>")).as_deref(),
            Some("O'Brien & <Co>, Ann")
        );
        assert_eq!(made("{{ given_name | lower | title }}", Some("ANN"), None).as_deref(), Some("Ann"));
    }

    #[test]
    fn a_template_that_makes_nothing_is_no_value() {
        assert_eq!(made("{{ given_name }}", None, None), None);
        assert_eq!(made("{% if given_name %}Dear {{ given_name }}{% endif %}", None, None), None);
        assert_eq!(made("{{ given_name | default('friend') }}", None, None).as_deref(), Some("friend"));
    }
}
