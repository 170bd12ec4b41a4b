//! Changes of records that a manifest names: keys, flattening, values that fit the schema.

use std::sync::Arc;

use headwater_sdk::Result;

use super::Problem;
use super::compile::Compiler;
use super::document::Node;
use super::jinja::{Empty, Kinds, Template, python_text};
use crate::engine::plan::{Transform, Transformation};
use crate::engine::{Evaluate as _, Expr, Map, Scope, Value};

/// How deep a schema is followed: each level costs stack.
const MAX_DEPTH: usize = 64;

/// The schema that lets everything through.
pub(super) fn open_schema() -> Value {
    let members = [
        ("type", Value::text("object")),
        ("additionalProperties", Value::Bool(true)),
        ("properties", Value::Map(Map::default())),
    ];
    Value::Map(members.into_iter().collect())
}

/// Several steps as one.
pub(super) fn several(mut steps: Vec<Transformation>) -> Transformation {
    match (steps.len(), steps.pop()) {
        (1, Some(step)) => step,
        (_, last) => {
            steps.extend(last);
            Transformation::Custom(Arc::new(Several(steps)))
        }
    }
}

#[derive(Debug)]
struct Several(Vec<Transformation>);

impl Transform for Several {
    fn apply(&self, record: &mut Value, scope: &Scope<'_>) -> Result<()> {
        self.0.iter().try_for_each(|step| crate::engine::transform(step, record, scope))
    }
}

/// The transformations of keys.
pub(super) fn keys(compiler: &Compiler<'_>, node: &Node<'_>) -> Result<Transformation, Problem> {
    let text = |name: &str| Ok::<_, Problem>(compiler.need_template(node, name)?.kinds(Kinds::Text).empty(Empty::Text));
    let step = match node.kind() {
        "KeysToLower" => Keys::Lower,
        "KeysToSnakeCase" => Keys::Snake,
        "KeysReplace" => Keys::Replace(text("old")?, text("new")?),
        "FlattenFields" => Keys::Flatten { lists: node.get("flatten_lists") != Some(&Value::Bool(false)) },
        _ => {
            let renamed = node.child("key_transformation")?;
            let affix = |name: &str| -> Result<String, Problem> {
                let Some(node) = &renamed else { return Ok(String::new()) };
                Ok(compiler.settled(node, name)?.map(|value| value.to_plain()).unwrap_or_default())
            };
            Keys::FlattenAt {
                path: compiler.steps(node, "field_path")?,
                remove: node.flag("delete_origin_value")?,
                replace: node.flag("replace_record")?,
                prefix: affix("prefix")?,
                suffix: affix("suffix")?,
            }
        }
    };
    Ok(Transformation::Custom(Arc::new(step)))
}

#[derive(Debug)]
enum Keys {
    Lower,
    Snake,
    Replace(Template, Template),
    Flatten { lists: bool },
    FlattenAt { path: Vec<Expr>, remove: bool, replace: bool, prefix: String, suffix: String },
}

impl Transform for Keys {
    fn apply(&self, record: &mut Value, scope: &Scope<'_>) -> Result<()> {
        match self {
            Self::Lower => renamed(record, &|key| key.to_lowercase(), false),
            Self::Snake => renamed(record, &snake, true),
            Self::Replace(old, new) => {
                let seen = scope.with_record(record);
                let (old, new) = (old.text(&seen)?, new.text(&seen)?);
                renamed(record, &|key| key.replace(&old, &new), true);
            }
            Self::Flatten { lists } => {
                let mut out = Map::default();
                if let Value::Map(map) = std::mem::take(record) {
                    for (key, value) in map {
                        flatten("", &key, value, *lists, &mut out);
                    }
                }
                *record = Value::Map(out);
            }
            Self::FlattenAt { path, remove, replace, prefix, suffix } => {
                let seen = scope.with_record(record);
                let path: Vec<String> = path.iter().map(|step| step.text(&seen)).collect::<Result<_>>()?;
                let Some(Value::Map(found)) = record.at(&path).cloned() else { return Ok(()) };
                let lifted = found.into_iter().map(|(key, value)| (format!("{prefix}{key}{suffix}"), value));
                if *replace {
                    *record = Value::Map(lifted.collect());
                    return Ok(());
                }
                if *remove && let Some((last, parents)) = path.split_last() {
                    let holder = parents.iter().try_fold(&mut *record, |value, step| value.as_map_mut()?.get_mut(step));
                    if let Some(holder) = holder.and_then(Value::as_map_mut) {
                        holder.remove(last);
                    }
                }
                if let Some(map) = record.as_map_mut() {
                    for (key, value) in lifted {
                        map.insert(key, value);
                    }
                }
            }
        }
        Ok(())
    }
}

fn renamed(value: &mut Value, name: &dyn Fn(&str) -> String, deep: bool) {
    match value {
        Value::Map(map) => {
            let members = std::mem::take(map).into_iter().map(|(key, mut value)| {
                if deep {
                    renamed(&mut value, name, deep);
                }
                (name(&key), value)
            });
            *map = members.collect();
        }
        Value::List(items) if deep => items.iter_mut().for_each(|item| renamed(item, name, deep)),
        Value::List(_) | Value::Null | Value::Bool(_) | Value::Int(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

/// `FirstName`, `first-name`, `First Name` as `first_name`; a key that begins with a digit gets a `_` before it.
fn snake(key: &str) -> String {
    let mut out = String::new();
    let mut before = None;
    let mut letters = key.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_alphanumeric() {
            let upper = letter.is_uppercase();
            let starts = match before {
                None => false,
                Some(last) if char::is_alphanumeric(last) => {
                    (upper && (!char::is_uppercase(last) || letters.peek().is_some_and(|next| next.is_lowercase())))
                        || letter.is_numeric() != char::is_numeric(last)
                }
                Some(_) => !out.is_empty() && !out.ends_with('_'),
            };
            if starts {
                out.push('_');
            }
            out.extend(letter.to_lowercase());
        }
        before = Some(letter);
    }
    if out.starts_with(|first: char| first.is_ascii_digit()) { format!("_{out}") } else { out }
}

/// Members of members get a name of both; where lists stay, a name alone is enough as long as it is free.
fn flatten(above: &str, key: &str, value: Value, lists: bool, out: &mut Map) {
    let dotted = |key: &str| if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") };
    match value {
        Value::Map(map) if !map.is_empty() => {
            let path = dotted(key);
            for (inner, value) in map {
                flatten(&path, &inner, value, lists, out);
            }
        }
        Value::List(items) if lists && !items.is_empty() => {
            let path = dotted(key);
            for (index, item) in items.into_iter().enumerate() {
                flatten(&path, &index.to_string(), item, lists, out);
            }
        }
        other => {
            let name = if lists || out.get(key).is_some() { dotted(key) } else { key.to_owned() };
            out.insert(name, other);
        }
    }
}

/// Makes values fit a schema, as far as they can be read as what it wants.
pub(super) fn normalizer(schema: &Value) -> Arc<dyn Transform> {
    Arc::new(Normalize(schema.clone()))
}

#[derive(Debug)]
struct Normalize(Value);

impl Transform for Normalize {
    fn apply(&self, record: &mut Value, _: &Scope<'_>) -> Result<()> {
        fit(record, &self.0, 0);
        Ok(())
    }
}

fn fit(value: &mut Value, schema: &Value, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::Text(kind)) => vec![kind],
        Some(Value::List(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let nullable = kinds.contains(&"null");
    if value.is_null() {
        return;
    }
    let Some(wanted) = kinds.iter().find(|kind| **kind != "null") else { return };
    let members = matches!(value, Value::Map(_));
    match (*wanted, &mut *value) {
        ("object", Value::Map(map)) => {
            if let Some(properties) = schema.get("properties").and_then(Value::as_map) {
                for (name, member) in map.iter_mut() {
                    if let Some(schema) = properties.get(name) {
                        fit(member, schema, depth + 1);
                    }
                }
            }
        }
        ("array", Value::List(items)) => {
            if let Some(schema) = schema.get("items") {
                items.iter_mut().for_each(|item| fit(item, schema, depth + 1));
            }
        }
        ("array", other) if !members => *other = Value::List(vec![std::mem::take(other)]),
        ("string", other) if !matches!(other, Value::Text(_)) => {
            *other =
                Value::text(if matches!(other, Value::Map(_) | Value::List(_)) { spaced(other) } else { python_text(other) });
        }
        (kind, other) => {
            if let Some(read) = scalar(kind, other, nullable) {
                *other = read;
            }
        }
    }
}

fn spaced(value: &Value) -> String {
    super::jinja::spaced_json(value)
}

fn scalar(kind: &str, value: &Value, nullable: bool) -> Option<Value> {
    match (kind, value) {
        ("integer" | "number" | "boolean", Value::Text(text)) if text.is_empty() && nullable => Some(Value::Null),
        ("integer", Value::Text(text)) => text.trim().parse().ok().map(Value::Int),
        #[expect(clippy::cast_possible_truncation, reason = "Python cuts a float here too")]
        ("integer", Value::Number(_)) => {
            value.as_f64().filter(|number| number.abs() < 9e18).map(|number| Value::Int(number as i64))
        }
        ("number", Value::Text(text)) => text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::float),
        ("boolean", Value::Text(text)) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(Value::Bool(true)),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        ("boolean", Value::Int(number)) => Some(Value::Bool(*number != 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_snakes() {
        for (key, expected) in [
            ("FirstName", "first_name"),
            ("first-name", "first_name"),
            ("First Name", "first_name"),
            ("HTTPServer", "http_server"),
            ("id", "id"),
            ("1st", "_1_st"),
        ] {
            assert_eq!(snake(key), expected);
        }
    }
}
