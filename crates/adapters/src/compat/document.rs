//! A manifest's text into one tree: references resolved, parameters handed down, component types filled in.

use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Problem;
use crate::engine::{Map, Value};

/// The largest manifest; the largest real ones have a megabyte.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// How deep a manifest may be nested once its references are resolved: each level costs stack.
const MAX_DEPTH: usize = 96;
/// How many values a manifest may have once its references are resolved: references of references grow without end.
const MAX_VALUES: usize = 4_000_000;

/// Reads a manifest, which is YAML or JSON.
pub(crate) fn parse(text: &[u8]) -> Result<Value, Problem> {
    let wrong = |what: String| Problem::new("", what);
    if text.len() > MAX_BYTES {
        return Err(wrong(format!("the manifest is longer than {MAX_BYTES} bytes")));
    }
    let text = std::str::from_utf8(text).map_err(|_| wrong("the manifest is no UTF-8 text".to_owned()))?;
    if text.trim_start().starts_with('{')
        && let Ok(value) = crate::engine::json::parse(text.as_bytes())
    {
        return Ok(value);
    }
    let Yaml(value) = serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true })
        .map_err(|error| wrong(format!("the manifest cannot be read: {error}")))?;
    Ok(value)
}

/// Resolves references, then hands parameters down.
pub(crate) fn resolve(manifest: &Value) -> Result<Value, Problem> {
    let mut left = MAX_VALUES;
    let resolved = references(manifest, manifest, &mut Vec::new(), "", &mut left)?;
    Ok(parameters(resolved, &Map::default(), "", 0))
}

struct Yaml(Value);

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Value;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
                deserializer.deserialize_any(self)
            }

            fn visit_bool<E>(self, yes: bool) -> Result<Value, E> {
                Ok(Value::Bool(yes))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
                Ok(Value::Int(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
                Ok(i64::try_from(number).map_or_else(|_| Value::Number(number.to_string().into()), Value::Int))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
                Ok(Value::float(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
                let mut out = Vec::new();
                while let Some(Yaml(item)) = items.next_element()? {
                    out.push(item);
                }
                Ok(Value::List(out))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
                let mut out = Map::default();
                while let Some((Yaml(key), Yaml(value))) = members.next_entry()? {
                    if matches!(key, Value::List(_) | Value::Map(_)) {
                        return Err(de::Error::custom("a key is no plain text"));
                    }
                    let _ = out.insert(key.to_plain(), value);
                }
                Ok(Value::Map(out))
            }
        }
        deserializer.deserialize_any(Reader).map(Self)
    }
}

fn references(value: &Value, root: &Value, open: &mut Vec<String>, path: &str, left: &mut usize) -> Result<Value, Problem> {
    *left = left.checked_sub(1).ok_or_else(|| Problem::new(path, "the references of the manifest grow without end"))?;
    if path.matches('.').count() + open.len() > MAX_DEPTH {
        return Err(Problem::new(path, "the manifest is nested too deeply"));
    }
    match value {
        Value::Map(map) => {
            let mut out = Map::default();
            if let Some(Value::Text(reference)) = map.get("$ref") {
                if open.iter().any(|known| **known == **reference) {
                    return Err(Problem::new(path, format!("the reference `{reference}` leads back to itself")));
                }
                let found = follow(root, reference)
                    .ok_or_else(|| Problem::new(path, format!("the reference `{reference}` leads nowhere")))?;
                open.push(reference.to_string());
                let resolved = references(found, root, open, path, left)?;
                open.pop();
                match resolved {
                    Value::Map(base) => out = base,
                    other if map.len() == 1 => return Ok(other),
                    _ => {}
                }
            }
            for (key, member) in map.iter().filter(|(key, _)| *key != "$ref") {
                let member = references(member, root, open, &join(path, key), left)?;
                // What the referring component says of its parameters adds to what the other one says.
                let merged = match (out.get_mut(key), member) {
                    (Some(Value::Map(base)), Value::Map(more)) if key == "$parameters" => {
                        for (name, value) in more {
                            base.insert(name, value);
                        }
                        continue;
                    }
                    (_, member) => member,
                };
                out.insert(key, merged);
            }
            Ok(Value::Map(out))
        }
        Value::List(items) => {
            let each = |(index, item)| references(item, root, open, &format!("{path}[{index}]"), left);
            Ok(Value::List(items.iter().enumerate().map(each).collect::<Result<_, _>>()?))
        }
        Value::Text(text) if text.starts_with("#/") => match follow(root, text) {
            Some(found) if !open.iter().any(|known| **known == **text) => {
                open.push(text.to_string());
                let resolved = references(found, root, open, path, left);
                open.pop();
                resolved
            }
            _ => Ok(value.clone()),
        },
        other => Ok(other.clone()),
    }
}

/// What a reference such as `#/definitions/a/b` names; a name may hold slashes itself.
fn follow<'v>(root: &'v Value, reference: &str) -> Option<&'v Value> {
    let steps: Vec<&str> = reference.strip_prefix("#/")?.split('/').collect();
    walk(root, &steps)
}

fn walk<'v>(value: &'v Value, steps: &[&str]) -> Option<&'v Value> {
    if steps.is_empty() {
        return Some(value);
    }
    if let Value::List(items) = value {
        return walk(items.get(steps.first()?.parse::<usize>().ok()?)?, steps.get(1..)?);
    }
    (1..=steps.len()).find_map(|used| {
        let (name, rest) = steps.split_at_checked(used)?;
        walk(value.get(&name.join("/"))?, rest)
    })
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Hands parameters down: what a component does not say itself, its parameters say.
fn parameters(value: Value, inherited: &Map, place: &str, depth: usize) -> Value {
    let Value::Map(mut map) = value else { return value };
    if depth > MAX_DEPTH {
        return Value::Map(map);
    }
    if map.get("type").is_none()
        && let Some(kind) = kind_at(place)
    {
        map.insert("type", Value::text(if map.get("class_name").is_some() { "Custom" } else { kind }));
    }
    let kind = match map.get("type") {
        Some(Value::Text(kind)) if kind.starts_with(char::is_uppercase) => kind.to_string(),
        _ => {
            // No component, but there may be some in it: authenticators by name, for one.
            let inner = map.into_iter().map(|(key, value)| {
                let value = if matches!(&value, Value::Map(inner) if is_component(inner)) {
                    parameters(value, inherited, "", depth + 1)
                } else {
                    value
                };
                (key, value)
            });
            return Value::Map(inner.collect());
        }
    };
    let mut own = inherited.clone();
    if let Some(Value::Map(more)) = map.remove("$parameters") {
        for (name, value) in more {
            own.insert(name, value);
        }
    }
    for (name, value) in own.iter() {
        if map.get(name).is_none_or(|known| !known.truthy()) && name != "type" {
            map.insert(name, value.clone());
        }
    }
    let mut out = Map::with_capacity(map.len() + 1);
    for (key, member) in map {
        let mut handed = own.clone();
        // A parameter of the field's own name would repeat itself in it without end.
        handed.remove(&key);
        let place = format!("{kind}.{key}");
        let member = match member {
            Value::Map(_) if handed_down(&key) => parameters(member, &handed, &place, depth + 1),
            Value::List(items) if handed_down(&key) => {
                Value::List(items.into_iter().map(|item| parameters(item, &handed, &place, depth + 1)).collect())
            }
            other => other,
        };
        out.insert(key, member);
    }
    if !own.is_empty() {
        out.insert("$parameters", Value::Map(own));
    }
    Value::Map(out)
}

fn is_component(map: &Map) -> bool {
    matches!(map.get("type"), Some(Value::Text(kind)) if kind.starts_with(char::is_uppercase))
}

/// Schemas and bodies are data, whatever their members are called.
fn handed_down(key: &str) -> bool {
    !matches!(
        key,
        "schema"
            | "connection_specification"
            | "request_body_json"
            | "request_parameters"
            | "request_headers"
            | "$parameters"
            | "definitions"
    )
}

/// The type of a component that does not say it.
fn kind_at(place: &str) -> Option<&'static str> {
    Some(match place {
        "" => "DeclarativeSource",
        "DeclarativeSource.check" => "CheckStream",
        "DeclarativeSource.spec" => "Spec",
        "DeclarativeSource.streams" | "ParentStreamConfig.stream" => "DeclarativeStream",
        "DeclarativeSource.dynamic_streams" => "DynamicDeclarativeStream",
        "DeclarativeStream.retriever" => "SimpleRetriever",
        "DeclarativeStream.incremental_sync" => "DatetimeBasedCursor",
        "DeclarativeStream.schema_loader" => "JsonFileSchemaLoader",
        "SimpleRetriever.requester" => "HttpRequester",
        "SimpleRetriever.record_selector" | "AsyncRetriever.record_selector" => "RecordSelector",
        "SimpleRetriever.paginator" => "NoPagination",
        "RecordSelector.extractor" => "DpathExtractor",
        "RecordSelector.record_filter" => "RecordFilter",
        "HttpRequester.error_handler" | "CompositeErrorHandler.error_handlers" => "DefaultErrorHandler",
        "DefaultErrorHandler.response_filters" => "HttpResponseFilter",
        "SubstreamPartitionRouter.parent_stream_configs" => "ParentStreamConfig",
        "AddFields.fields" => "AddedFieldDefinition",
        "DatetimeBasedCursor.start_datetime" | "DatetimeBasedCursor.end_datetime" => "MinMaxDatetime",
        "DatetimeBasedCursor.start_time_option"
        | "DatetimeBasedCursor.end_time_option"
        | "DefaultPaginator.page_size_option"
        | "DefaultPaginator.page_token_option"
        | "ListPartitionRouter.request_option"
        | "ParentStreamConfig.request_option"
        | "ApiKeyAuthenticator.inject_into" => "RequestOption",
        _ => return None,
    })
}

/// A component and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    pub(super) map: &'a Map,
    pub(super) path: String,
    pub(super) parameters: Arc<Value>,
}

impl<'a> Node<'a> {
    pub(super) fn new(value: &'a Value, path: String) -> Result<Self, Problem> {
        let Value::Map(map) = value else {
            return Err(Problem::new(path, "a component is expected here: an object with a `type`"));
        };
        let parameters = map.get("$parameters").cloned().unwrap_or_else(|| Value::Map(Map::default()));
        Ok(Self { map, path, parameters: Arc::new(parameters) })
    }

    pub(super) fn kind(&self) -> &'a str {
        self.map.get("type").and_then(Value::as_str).unwrap_or("")
    }

    /// A member that says something.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn at(&self, name: &str) -> String {
        join(&self.path, name)
    }

    pub(super) fn problem(&self, name: &str, what: impl Into<String>) -> Problem {
        Problem::new(if name.is_empty() { self.path.clone() } else { self.at(name) }, what)
    }

    pub(super) fn need(&self, name: &str) -> Result<&'a Value, Problem> {
        self.get(name).ok_or_else(|| self.problem(name, format!("`{name}` is missing in {}", self.kind())))
    }

    pub(super) fn child(&self, name: &str) -> Result<Option<Self>, Problem> {
        self.get(name).map(|value| Self::new(value, self.at(name))).transpose()
    }

    pub(super) fn need_child(&self, name: &str) -> Result<Self, Problem> {
        self.need(name)?;
        self.child(name)?.ok_or_else(|| self.problem(name, "is missing"))
    }

    /// The components of a list; one alone counts as a list of one.
    pub(super) fn children(&self, name: &str) -> Result<Vec<Self>, Problem> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::List(items)) => {
                items.iter().enumerate().map(|(index, item)| Self::new(item, format!("{}[{index}]", self.at(name)))).collect()
            }
            Some(one) => Ok(vec![Self::new(one, self.at(name))?]),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.problem(name, "a text is expected here")),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(yes)) => Ok(*yes),
            Some(_) => Err(self.problem(name, "true or false is expected here")),
        }
    }

    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, Problem> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::List(items)) => Ok(items.iter().map(Value::to_plain).collect()),
            Some(Value::Text(text)) => Ok(vec![text.to_string()]),
            Some(_) => Err(self.problem(name, "a list of texts is expected here")),
        }
    }

    /// A list of paths.
    pub(super) fn paths(&self, name: &str) -> Result<Vec<Vec<String>>, Problem> {
        let step = |value: &Value| value.to_plain();
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Text(text)) => Ok(vec![vec![text.to_string()]]),
            Some(Value::List(items)) => Ok(items
                .iter()
                .map(|item| match item {
                    Value::List(steps) => steps.iter().map(step).collect(),
                    one => vec![step(one)],
                })
                .collect()),
            Some(_) => Err(self.problem(name, "a list of paths is expected here")),
        }
    }
}
