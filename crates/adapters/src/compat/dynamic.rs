//! Streams and schemas that only the remote or the settings know.

use std::sync::Arc;

use headwater_sdk::Result;

use super::Problem;
use super::compile::{Compiler, not_supported};
use super::document::Node;
use super::jinja::{Kinds, Template};
use crate::engine::plan::{MakeSchema, Retriever, Transformation};
use crate::engine::{Evaluate as _, Expr, Map, Scope, Value};

/// How many streams one template may make.
const MAX_STREAMS: usize = 10_000;

/// A schema made of descriptions of fields.
#[derive(Debug)]
struct Described {
    retriever: Retriever,
    fields: Vec<Expr>,
    name: Vec<Expr>,
    kind: Option<Vec<Expr>>,
    kinds: Vec<(Vec<Value>, Value, Option<Template>)>,
    transforms: Vec<Transformation>,
    filter: Option<Template>,
    config: Value,
    now: jiff::Timestamp,
}

pub(super) fn schema_loader(compiler: &Compiler<'_>, node: &Node<'_>) -> Result<Arc<dyn MakeSchema>, Problem> {
    let retriever = compiler.retriever(&node.need_child("retriever")?, Vec::new(), None, false)?;
    let identifier = node.need_child("schema_type_identifier")?;
    let mut kinds = Vec::new();
    for map in identifier.children("types_mapping")? {
        let current = match map.need("current_type")? {
            Value::List(items) => items.clone(),
            one => vec![one.clone()],
        };
        let condition = compiler.template(&map, "condition")?.filter(|_| map.get("condition").is_some_and(Value::truthy));
        kinds.push((current, map.need("target_type")?.clone(), condition));
    }
    let filter = match node.child("schema_filter")? {
        Some(filter) if filter.kind() == "RecordFilter" => compiler.template(&filter, "condition")?,
        Some(filter) => return Err(filter.problem("", not_supported(filter.kind()))),
        None => None,
    };
    let transforms =
        node.children("schema_transformations")?.iter().map(|step| compiler.transformation(step)).collect::<Result<_, _>>()?;
    Ok(Arc::new(Described {
        retriever,
        fields: compiler.steps(&identifier, "schema_pointer")?,
        name: compiler.steps(&identifier, "key_pointer")?,
        kind: identifier.get("type_pointer").map(|_| compiler.steps(&identifier, "type_pointer")).transpose()?,
        kinds,
        transforms,
        filter,
        config: compiler.config.clone(),
        now: compiler.now,
    }))
}

impl MakeSchema for Described {
    fn retriever(&self) -> &Retriever {
        &self.retriever
    }

    fn schema(&self, records: &[Value]) -> Result<Value> {
        let scope = Scope::new(&self.config, self.now);
        let texts = |path: &[Expr]| path.iter().map(|step| step.text(&scope)).collect::<Result<Vec<String>>>();
        let (fields, name) = (texts(&self.fields)?, texts(&self.name)?);
        let kind = self.kind.as_deref().map(texts).transpose()?;
        let mut properties = Map::default();
        for record in records {
            let described: Vec<&Value> = match record.at(&fields) {
                Some(Value::List(items)) => items.iter().collect(),
                Some(one) => vec![one],
                None => Vec::new(),
            };
            for field in described {
                let Some(key) = field.at(&name).and_then(Value::as_str) else { continue };
                let said = kind.as_ref().map_or_else(|| Some(Value::text("string")), |path| field.at(path).cloned());
                properties.insert(key, self.property(said.as_ref(), field, &scope)?);
            }
        }
        if let Some(filter) = &self.filter {
            let mut kept = Map::default();
            for (key, value) in properties {
                let record = Value::Map([(&*key, value.clone())].into_iter().collect());
                if filter.test(&scope.with_record(&record))? {
                    kept.insert(key, value);
                }
            }
            properties = kept;
        }
        let mut properties = Value::Map(properties);
        for step in &self.transforms {
            crate::engine::transform(step, &mut properties, &scope)?;
        }
        let members = [
            ("$schema", Value::text("https://json-schema.org/draft-07/schema#")),
            ("type", Value::text("object")),
            ("additionalProperties", Value::Bool(true)),
            ("properties", properties),
        ];
        Ok(Value::Map(members.into_iter().collect()))
    }
}

impl Described {
    fn property(&self, said: Option<&Value>, field: &Value, scope: &Scope<'_>) -> Result<Value> {
        let mut target = said.cloned().unwrap_or_else(|| Value::text("string"));
        for (current, to, condition) in &self.kinds {
            let fits = current.iter().any(|one| Some(one) == said);
            let more = [("raw_schema", field)];
            let holds = match condition {
                Some(condition) => condition.test(&Scope { more: &more, ..*scope })?,
                None => true,
            };
            if fits && holds {
                target = to.clone();
                break;
            }
        }
        let both = |kind: &str| Value::List(vec![Value::text("null"), Value::text(kind)]);
        Ok(match &target {
            Value::Text(kind) => known(kind, &both),
            Value::Map(complex) => {
                let kind = complex.get("field_type").and_then(Value::as_str).unwrap_or("array");
                let mut out: Map = [("type", both(kind))].into_iter().collect();
                if let Some(items) = complex.get("items").and_then(Value::as_str) {
                    out.insert("items", known(items, &both));
                }
                Value::Map(out)
            }
            _ => known("string", &both),
        })
    }
}

/// The schema of Airbyte's own names of types.
fn known(kind: &str, both: &dyn Fn(&str) -> Value) -> Value {
    let (kind, more): (&str, &[(&str, &str)]) = match kind {
        "date" => ("string", &[("format", "date")]),
        "date-time" | "timestamp_with_timezone" => {
            ("string", &[("format", "date-time"), ("airbyte_type", "timestamp_with_timezone")])
        }
        "timestamp_without_timezone" => ("string", &[("format", "date-time"), ("airbyte_type", "timestamp_without_timezone")]),
        "time_with_timezone" => ("string", &[("format", "time"), ("airbyte_type", "time_with_timezone")]),
        "time_without_timezone" => ("string", &[("format", "time"), ("airbyte_type", "time_without_timezone")]),
        other => (other, &[]),
    };
    let mut out: Map = [("type", both(kind))].into_iter().collect();
    for (name, value) in more {
        out.insert(*name, Value::text(*value));
    }
    Value::Map(out)
}

/// What makes streams of a template.
pub(super) enum Resolver {
    /// Known from the settings.
    Known(Vec<Value>),
    /// The remote says.
    Asked(Box<Retriever>),
}

/// Where the values of a dynamic stream come from.
pub(super) fn resolver(compiler: &Compiler<'_>, node: &Node<'_>) -> Result<Resolver, Problem> {
    let resolver = node.need_child("components_resolver")?;
    match resolver.kind() {
        "HttpComponentsResolver" => {
            let retriever = compiler.retriever(&resolver.need_child("retriever")?, Vec::new(), None, false)?;
            Ok(Resolver::Asked(Box::new(retriever)))
        }
        "ConfigComponentsResolver" => {
            let mut values: Vec<Value> = vec![Value::Map(Map::default())];
            for part in resolver.children("stream_config")? {
                let path = part.texts("configs_pointer")?;
                let mut found = match compiler.config.at(&path) {
                    Some(Value::List(items)) => items.clone(),
                    Some(one) => vec![one.clone()],
                    None => Vec::new(),
                };
                if let Some(Value::List(more)) = part.get("default_values") {
                    found.extend(more.iter().cloned());
                }
                let mut next = Vec::new();
                for left in &values {
                    for right in &found {
                        let members = left.as_map().into_iter().chain(right.as_map()).flat_map(Map::iter);
                        next.push(Value::Map(members.map(|(key, value)| (key, value.clone())).collect()));
                    }
                }
                values = next;
            }
            Ok(Resolver::Known(values))
        }
        "ParametrizedComponentsResolver" => {
            let listed = resolver.need_child("stream_parameters")?;
            match listed.need("list_of_parameters_for_stream")? {
                Value::List(items) => Ok(Resolver::Known(items.clone())),
                _ => Err(listed.problem("list_of_parameters_for_stream", "a list is expected here")),
            }
        }
        other => Err(resolver.problem("", not_supported(other))),
    }
}

/// The streams of a template, one for each of the values.
pub(super) fn expand(compiler: &Compiler<'_>, node: &Node<'_>, values: &[Value]) -> Result<Vec<Value>, Problem> {
    if values.len() > MAX_STREAMS {
        return Err(node.problem("", format!("it makes more than {MAX_STREAMS} streams")));
    }
    let resolver = node.need_child("components_resolver")?;
    let mappings = resolver.children("components_mapping")?;
    let mut out = Vec::with_capacity(values.len());
    for values in values {
        let mut stream = node.need("stream_template")?.clone();
        let more = [("components_values", values), ("stream_template_config", node.need("stream_template")?)];
        let scope = Scope { more: &more, ..compiler.scope() };
        let failed = |error: headwater_sdk::Error| resolver.problem("components_mapping", error.to_string());
        for mapping in &mappings {
            if let Some(condition) =
                compiler.template(mapping, "condition")?.filter(|_| mapping.get("condition").is_some_and(Value::truthy))
                && !condition.test(&scope).map_err(failed)?
            {
                continue;
            }
            let kinds = if mapping.text("value_type")? == Some("string") { Kinds::Text } else { Kinds::Any };
            let value = compiler.need_template(mapping, "value")?.kinds(kinds).value(&scope).map_err(failed)?;
            let mut path = Vec::new();
            if let Some(Value::List(steps)) = mapping.get("field_path") {
                for step in steps {
                    let step = compiler.template_of(step, mapping, &mapping.at("field_path"))?;
                    path.push(step.kinds(Kinds::Text).text(&scope).map_err(failed)?);
                }
            }
            put(&mut stream, &path, &value, mapping.flag("create_or_update")?);
        }
        out.push(stream);
    }
    Ok(out)
}

fn put(value: &mut Value, path: &[String], to: &Value, create: bool) {
    let Some((step, rest)) = path.split_first() else {
        *value = to.clone();
        return;
    };
    match value {
        Value::Map(map) if step == "*" => map.iter_mut().for_each(|(_, value)| put(value, rest, to, create)),
        Value::List(items) if step == "*" => items.iter_mut().for_each(|value| put(value, rest, to, create)),
        Value::Map(map) => match map.get_mut(step) {
            Some(member) => put(member, rest, to, create),
            None if create => crate::engine::set(value, path, to.clone()),
            None => {}
        },
        Value::List(items) => {
            if let Some(item) = step.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                put(item, rest, to, create);
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Number(_) | Value::Text(_) => {}
    }
}
