//! Streams of a manifest into streams of a plan.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_sdk::http::Url;
use jiff::Timestamp;

use super::Problem;
use super::document::Node;
use super::exprs::{Members, Part, shared};
use super::jinja::{Empty, Kind, Kinds, Template, time};
use super::times::{At, Counts, Date, Formats, Now, codec};
use super::transforms;
use crate::engine::plan::{
    Anew, Bound, Cursor, Decoder, Extractor, Inject, Pages, Paginator, Paging, Parent, Partitions, Retriever, SchemaPlan,
    Selector, Step, StreamPlan, Transformation,
};
use crate::engine::{Constant, Evaluate as _, Expr, Scope, Value, constant};

/// What components are compiled with.
#[derive(Debug)]
pub(super) struct Compiler<'a> {
    pub(super) config: &'a Value,
    pub(super) now: Timestamp,
    /// The hosts that requesters name.
    pub(super) hosts: Mutex<BTreeSet<String>>,
    /// The streams that a state is known of.
    pub(super) with_state: &'a [String],
}

impl<'a> Compiler<'a> {
    pub(super) fn hosts(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        Scope::new(self.config, self.now)
    }

    /// A template of a member; what is no text is its value.
    pub(super) fn template(&self, node: &Node<'_>, name: &str) -> Result<Option<Template>, Problem> {
        node.get(name).map(|value| self.template_of(value, node, &node.at(name))).transpose()
    }

    pub(super) fn need_template(&self, node: &Node<'_>, name: &str) -> Result<Template, Problem> {
        node.need(name)?;
        self.template(node, name)?.ok_or_else(|| node.problem(name, "is missing"))
    }

    pub(super) fn template_of(&self, value: &Value, node: &Node<'_>, place: &str) -> Result<Template, Problem> {
        let source = match value {
            Value::Text(text) => text.to_string(),
            Value::List(_) | Value::Map(_) => return Err(Problem::new(place, "a text is expected here")),
            other => super::jinja::python_text(other),
        };
        Template::new(&source, &node.parameters, place)
            .map_err(|error| Problem::new(place, format!("the template cannot be read: {error}")))
    }

    /// A member's value, which depends on the settings alone.
    pub(super) fn settled(&self, node: &Node<'_>, name: &str) -> Result<Option<Value>, Problem> {
        let Some(value) = node.get(name) else { return Ok(None) };
        if !matches!(value, Value::Text(_)) {
            return Ok(Some(value.clone()));
        }
        let value = self.template_of(value, node, &node.at(name))?.value(&self.scope());
        value.map(Some).map_err(|error| node.problem(name, error.to_string()))
    }

    pub(super) fn settled_int(&self, node: &Node<'_>, name: &str) -> Result<Option<i64>, Problem> {
        match self.settled(node, name)? {
            None | Some(Value::Null) => Ok(None),
            #[expect(clippy::cast_possible_truncation, reason = "a conversion of a float keeps within the type's ends")]
            Some(value) => value
                .as_f64()
                .or_else(|| value.as_str()?.trim().parse().ok())
                .map(|number| Some(number as i64))
                .ok_or_else(|| node.problem(name, "a number is expected here")),
        }
    }

    /// A value with templates in it.
    pub(super) fn part(&self, value: &Value, node: &Node<'_>, place: &str, kinds: Kinds) -> Result<Part, Problem> {
        Ok(match value {
            Value::Text(_) => Part::Template(self.template_of(value, node, place)?.kinds(kinds)),
            Value::List(items) => {
                Part::List(items.iter().map(|item| self.part(item, node, place, kinds)).collect::<Result<_, _>>()?)
            }
            Value::Map(map) => Part::Map(
                map.iter()
                    .filter(|(key, _)| *key != "$parameters")
                    .map(|(key, value)| {
                        let place = super::document::join(place, key);
                        Ok((
                            self.template_of(&Value::text(key), node, &place)?.kinds(Kinds::Text),
                            self.part(value, node, &place, kinds)?,
                        ))
                    })
                    .collect::<Result<_, Problem>>()?,
            ),
            other => Part::Fixed(other.clone()),
        })
    }

    /// A member that is an object of templates.
    pub(super) fn members(&self, node: &Node<'_>, name: &str, kinds: Kinds) -> Result<Option<Members>, Problem> {
        let Some(value) = node.get(name) else { return Ok(None) };
        match self.part(value, node, &node.at(name), kinds)? {
            Part::Map(members) => Ok(Some(Members { members, texts: !matches!(kinds, Kinds::Any), strict: false })),
            _ => Err(node.problem(name, "an object is expected here")),
        }
    }

    pub(super) fn steps(&self, node: &Node<'_>, name: &str) -> Result<Vec<Expr>, Problem> {
        let Some(value) = node.get(name) else { return Ok(Vec::new()) };
        let Value::List(items) = value else { return Err(node.problem(name, "a list is expected here")) };
        let step = |item: &Value| self.step(item, node, &node.at(name));
        items.iter().map(step).collect()
    }

    fn step(&self, item: &Value, node: &Node<'_>, place: &str) -> Result<Expr, Problem> {
        match item {
            Value::Text(text) if !text.contains("{{") => Ok(constant(&**text)),
            Value::Text(_) => Ok(shared(self.template_of(item, node, place)?.kinds(Kinds::Text).empty(Empty::Text))),
            other => Ok(constant(other.to_plain())),
        }
    }

    pub(super) fn inject(&self, node: &Node<'_>) -> Result<Inject, Problem> {
        if node.kind() == "RequestPath" {
            return Ok(Inject::Url);
        }
        if node.kind() != "RequestOption" {
            return Err(node.problem("", format!("{} cannot stand here", node.kind())));
        }
        let name = || Ok(shared(self.need_template(node, "field_name")?.kinds(Kinds::Text).empty(Empty::Text)));
        match node.text("inject_into")? {
            Some("request_parameter") => Ok(Inject::Query(name()?)),
            Some("header") => Ok(Inject::Header(name()?)),
            Some("body_data") => Ok(Inject::Form(name()?)),
            Some("body_json") => Ok(Inject::Json(match node.get("field_path") {
                Some(_) => self.steps(node, "field_path")?,
                None => vec![name()?],
            })),
            _ => Err(node.problem("inject_into", "one of request_parameter, header, body_data, body_json is expected here")),
        }
    }

    fn inject_at(&self, node: &Node<'_>, name: &str) -> Result<Option<Inject>, Problem> {
        node.child(name)?.map(|node| self.inject(&node)).transpose()
    }

    /// A stream.
    pub(super) fn stream(&self, node: &Node<'_>) -> Result<Arc<StreamPlan>, Problem> {
        match node.kind() {
            "DeclarativeStream" => {}
            "StateDelegatingStream" => {
                let name = node.text("name")?.unwrap_or_default();
                let known = self.with_state.iter().any(|known| known == name);
                return self.stream(&node.need_child(if known { "incremental_stream" } else { "full_refresh_stream" })?);
            }
            other => return Err(node.problem("", format!("{other} is no stream that is supported"))),
        }
        if let Some(first) =
            node.children("state_migrations")?.iter().find(|one| one.kind() != "LegacyToPerPartitionStateMigration")
        {
            return Err(first.problem("", "custom Python code is not run"));
        }
        if node.get("file_uploader").is_some() {
            return Err(node.problem("file_uploader", "files are not uploaded"));
        }
        let name = node.text("name")?.unwrap_or_default().to_owned();
        let cursor = node.child("incremental_sync")?.map(|cursor| self.cursor(&cursor)).transpose()?;
        let schema = self.schema(node)?;
        let retriever = node.need_child("retriever")?;
        let partitions = match retriever.kind() {
            "SimpleRetriever" | "AsyncRetriever" => self.routers(&retriever, "partition_router")?,
            _ => Partitions::One,
        };
        let inline = match &schema {
            SchemaPlan::Inline(schema) => Some(schema.clone()),
            SchemaPlan::Dynamic(_) => None,
        };
        let transforms =
            node.children("transformations")?.iter().map(|step| self.transformation(step)).collect::<Result<Vec<_>, _>>()?;
        let filtered = cursor.as_ref().is_some_and(|cursor| cursor.filter);
        let retriever = self.retriever(&retriever, transforms, inline, filtered)?;
        let primary_key = node.paths("primary_key")?;
        Ok(Arc::new(StreamPlan {
            name,
            primary_key,
            schema,
            retriever,
            partitions,
            cursor,
            bookmark: None,
            lookups: Vec::new(),
            whole: None,
            codec: codec(),
        }))
    }

    fn schema(&self, node: &Node<'_>) -> Result<SchemaPlan, Problem> {
        let open = || SchemaPlan::Inline(transforms::open_schema());
        let Some(first) = node.children("schema_loader")?.into_iter().next() else { return Ok(open()) };
        match first.kind() {
            "InlineSchemaLoader" => Ok(SchemaPlan::Inline(first.get("schema").cloned().unwrap_or_else(transforms::open_schema))),
            // The file stands beside programs that we do not have; without it everything is let through.
            "JsonFileSchemaLoader" => Ok(open()),
            "DynamicSchemaLoader" => super::dynamic::schema_loader(self, &first).map(SchemaPlan::Dynamic),
            other => Err(first.problem("", not_supported(other))),
        }
    }

    /// A retriever without the stream's partitions and cursor.
    pub(super) fn retriever(
        &self,
        node: &Node<'_>,
        transforms: Vec<Transformation>,
        schema: Option<Value>,
        transform_first: bool,
    ) -> Result<Retriever, Problem> {
        match node.kind() {
            "SimpleRetriever" => {}
            "AsyncRetriever" => return super::jobs::job(self, node, transforms, schema).map(|job| Retriever::Job(Box::new(job))),
            other => return Err(node.problem("", not_supported(other))),
        }
        for name in ["page_size_reduction", "request_window_splitting"] {
            if node.get(name).is_some() {
                return Err(node.problem(name, "this is not supported"));
            }
        }
        if node.flag("ignore_stream_slicer_parameters_on_paginated_requests")? {
            return Err(node.problem("ignore_stream_slicer_parameters_on_paginated_requests", "this is not supported"));
        }
        let mut requester = self.requester(&node.need_child("requester")?)?;
        requester.decoder = self.decoder(node, "decoder")?;
        let paginator = node.child("paginator")?.map(|paginator| self.paginator(&paginator)).transpose()?.flatten();
        let selector = self.selector(&node.need_child("record_selector")?, transforms, schema, transform_first)?;
        let anew = anew(node)?;
        Ok(Retriever::Pages(Box::new(Pages { requester, paginator, selector, anew })))
    }

    pub(super) fn decoder(&self, node: &Node<'_>, name: &str) -> Result<Decoder, Problem> {
        let Some(node) = node.child(name)? else { return Ok(Decoder::Json) };
        Ok(match node.kind() {
            "JsonDecoder" => Decoder::Json,
            "JsonlDecoder" => Decoder::JsonLines,
            "IterableDecoder" => Decoder::Lines,
            "XmlDecoder" => Decoder::Xml,
            "CsvDecoder" => {
                let delimiter = node.text("delimiter")?.unwrap_or(",").replace("\\t", "\t");
                let [delimiter] = delimiter.as_bytes() else {
                    return Err(node.problem("delimiter", "one character is expected here"));
                };
                let encoding = node.text("encoding")?.unwrap_or("utf-8").to_owned();
                Decoder::Csv { delimiter: *delimiter, encoding, nulls: node.texts("set_values_to_none")? }
            }
            "GzipDecoder" => Decoder::Gzip(Box::new(self.decoder(&node, "decoder")?)),
            "ZipfileDecoder" => Decoder::Zip(Box::new(self.decoder(&node, "decoder")?)),
            other => return Err(node.problem("", not_supported(other))),
        })
    }

    pub(super) fn paginator(&self, node: &Node<'_>) -> Result<Option<Paginator>, Problem> {
        match node.kind() {
            "NoPagination" => return Ok(None),
            "DefaultPaginator" => {}
            other => return Err(node.problem("", not_supported(other))),
        }
        let plan = node.need_child("pagination_strategy")?;
        let first = plan.flag("inject_on_first_request")?;
        let strategy = match plan.kind() {
            "OffsetIncrement" => Paging::Offset { first },
            "PageIncrement" => Paging::Number { start: self.settled_int(&plan, "start_from_page")?.unwrap_or(0), first },
            "CursorPagination" => Paging::Token {
                value: shared(self.need_template(&plan, "cursor_value")?),
                stop: self.template(&plan, "stop_condition")?.map(shared),
            },
            other => return Err(plan.problem("", not_supported(other))),
        };
        let size = self.template(&plan, "page_size")?.map(shared);
        let at = self.inject_at(node, "page_size_option")?;
        Ok(Some(Paginator { strategy, token: self.inject_at(node, "page_token_option")?, size: size.map(|size| (size, at)) }))
    }

    pub(super) fn selector(
        &self,
        node: &Node<'_>,
        transforms: Vec<Transformation>,
        schema: Option<Value>,
        transform_first: bool,
    ) -> Result<Selector, Problem> {
        if node.kind() != "RecordSelector" {
            return Err(node.problem("", not_supported(node.kind())));
        }
        let extract = Extractor::Path(self.extractor(&node.need_child("extractor")?)?);
        let filter = match node.child("record_filter")? {
            None => None,
            Some(filter) if filter.kind() == "RecordFilter" => self.template(&filter, "condition")?.map(shared),
            Some(filter) => return Err(filter.problem("", not_supported(filter.kind()))),
        };
        let normalize = match node.get("schema_normalization") {
            None => None,
            Some(Value::Text(kind)) if &**kind == "None" => None,
            Some(Value::Text(kind)) if &**kind == "Default" => schema.map(|schema| transforms::normalizer(&schema)),
            Some(_) => return Err(node.problem("schema_normalization", "custom Python code is not run")),
        };
        let transform_first = transform_first || node.flag("transform_before_filtering")?;
        Ok(Selector { extract, filter, transforms, transform_first, normalize })
    }

    pub(super) fn extractor(&self, node: &Node<'_>) -> Result<Vec<Expr>, Problem> {
        if node.kind() != "DpathExtractor" {
            return Err(node.problem("", not_supported(node.kind())));
        }
        if node.get("record_expander").is_some() {
            return Err(node.problem("record_expander", "this is not supported"));
        }
        self.steps(node, "field_path")
    }

    pub(super) fn transformation(&self, node: &Node<'_>) -> Result<Transformation, Problem> {
        let condition = || -> Result<Option<Expr>, Problem> {
            let condition = node.text("condition")?.filter(|text| !text.is_empty());
            Ok(if condition.is_some() { self.template(node, "condition")?.map(shared) } else { None })
        };
        Ok(match node.kind() {
            "AddFields" => {
                let mut steps = Vec::new();
                for field in node.children("fields")? {
                    let kinds = match field.text("value_type")? {
                        None => Kinds::Any,
                        Some("string") => Kinds::Text,
                        Some("integer") => Kinds::Only(Kind::Int),
                        Some("number") => Kinds::Only(Kind::Float),
                        Some("boolean") => Kinds::Only(Kind::Bool),
                        Some(_) => {
                            return Err(field.problem("value_type", "one of string, number, integer, boolean is expected here"));
                        }
                    };
                    let value = shared(self.need_template(&field, "value")?.kinds(kinds).empty(Empty::Text));
                    steps.push(Transformation::Set { path: self.steps(&field, "path")?, value, when: condition()? });
                }
                transforms::several(steps)
            }
            "RemoveFields" => {
                let mut steps = Vec::new();
                for path in node.paths("field_pointers")? {
                    steps.push(Transformation::Remove { path, when: condition()? });
                }
                transforms::several(steps)
            }
            "KeysToLower" | "KeysToSnakeCase" | "FlattenFields" | "DpathFlattenFields" | "KeysReplace" => {
                transforms::keys(self, node)?
            }
            other => return Err(node.problem("", not_supported(other))),
        })
    }

    fn routers(&self, node: &Node<'_>, name: &str) -> Result<Partitions, Problem> {
        let mut routers = node.children(name)?.iter().map(|router| self.router(router)).collect::<Result<Vec<_>, _>>()?;
        Ok(if routers.len() > 1 { Partitions::Product(routers) } else { routers.pop().unwrap_or_default() })
    }

    fn router(&self, node: &Node<'_>) -> Result<Partitions, Problem> {
        match node.kind() {
            "ListPartitionRouter" => {
                let values: Expr = match node.need("values")? {
                    list @ Value::List(_) => shared(self.part(list, node, &node.at("values"), Kinds::TextOrList)?),
                    _ => shared(self.need_template(node, "values")?),
                };
                let name = self.settled(node, "cursor_field")?.unwrap_or_default().to_plain();
                Ok(Partitions::List { values, name, inject: self.inject_at(node, "request_option")? })
            }
            "SubstreamPartitionRouter" => {
                let parents = node.children("parent_stream_configs")?;
                Ok(Partitions::Parents(parents.iter().map(|parent| self.parent(parent)).collect::<Result<_, _>>()?))
            }
            "GroupingPartitionRouter" => {
                let of = Box::new(self.router(&node.need_child("underlying_partition_router")?)?);
                let size =
                    self.settled_int(node, "group_size")?.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0);
                let size = size.ok_or_else(|| node.problem("group_size", "a number above zero is expected here"))?;
                let distinct = node.get("deduplicate") != Some(&Value::Bool(false));
                Ok(Partitions::Groups { of, size, distinct })
            }
            other => Err(node.problem("", not_supported(other))),
        }
    }

    fn parent(&self, node: &Node<'_>) -> Result<Parent, Problem> {
        if !node.paths("lazy_read_pointer")?.is_empty() {
            return Err(node.problem("lazy_read_pointer", "this is not supported"));
        }
        let key = self.settled(node, "parent_key")?.unwrap_or_default().to_plain();
        Ok(Parent {
            stream: self.stream(&node.need_child("stream")?)?,
            key: key.split('/').map(str::to_owned).collect(),
            name: self.settled(node, "partition_field")?.unwrap_or_default().to_plain(),
            inject: self.inject_at(node, "request_option")?,
            extra: node.paths("extra_fields")?,
            incremental: node.flag("incremental_dependency")?,
        })
    }

    fn cursor(&self, node: &Node<'_>) -> Result<Cursor, Problem> {
        let field = self.settled(node, "cursor_field")?.unwrap_or_default().to_plain();
        let plain = Cursor {
            field: vec![field],
            positions: Arc::new(Counts),
            start: Arc::new(At(0)),
            end: None,
            step: None,
            gap: None,
            lookback: None,
            names: ("start_time".to_owned(), "end_time".to_owned()),
            inject_start: None,
            inject_end: None,
            filter: false,
            newest_first: false,
            global: false,
        };
        match node.kind() {
            "DatetimeBasedCursor" => self.dates(node, plain),
            "IncrementingCountCursor" => Ok(Cursor {
                start: Arc::new(At(self.settled_int(node, "start_value")?.unwrap_or(0))),
                inject_start: self.inject_at(node, "start_value_option")?,
                ..plain
            }),
            other => Err(node.problem("", not_supported(other))),
        }
    }

    fn dates(&self, node: &Node<'_>, plain: Cursor) -> Result<Cursor, Problem> {
        if node.get("clamping").is_some() {
            return Err(node.problem("clamping", "this is not supported"));
        }
        let write = node.text("datetime_format")?.ok_or_else(|| node.problem("datetime_format", "is missing"))?.to_owned();
        let span = |name: &str| -> Result<Option<Step>, Problem> {
            match self.settled(node, name)? {
                None | Some(Value::Null) => Ok(None),
                Some(value) => {
                    let span = value.as_str().and_then(time::duration);
                    span.map(|span| Some(Step::Span(span)))
                        .ok_or_else(|| node.problem(name, "an ISO 8601 duration is expected here, such as P1D"))
                }
            }
        };
        let name = |name: &str, usual: String| -> Result<String, Problem> {
            Ok(self.settled(node, name)?.map(|value| value.to_plain()).filter(|name| !name.is_empty()).unwrap_or(usual))
        };
        let end: Option<Arc<dyn Bound>> = match node.get("end_datetime") {
            Some(_) => Some(Arc::new(self.date(node, "end_datetime", &write)?)),
            None => Some(Arc::new(Now)),
        };
        let step = span("step")?;
        Ok(Cursor {
            positions: Arc::new(Formats { read: node.texts("cursor_datetime_formats")?, write: write.clone() }),
            start: Arc::new(self.date(node, "start_datetime", &write)?),
            end,
            gap: if step.is_some() { span("cursor_granularity")? } else { None },
            step,
            lookback: span("lookback_window")?,
            names: (name("partition_field_start", plain.names.0.clone())?, name("partition_field_end", plain.names.1.clone())?),
            inject_start: self.inject_at(node, "start_time_option")?,
            inject_end: self.inject_at(node, "end_time_option")?,
            filter: node.flag("is_client_side_incremental")?,
            newest_first: node.flag("is_data_feed")?,
            global: node.flag("global_substream_cursor")?,
            ..plain
        })
    }

    fn date(&self, node: &Node<'_>, name: &str, usual: &str) -> Result<Date, Problem> {
        let place = node.at(name);
        let plain =
            |at: Template| Date { at, format: None, least: None, most: None, usual: usual.to_owned(), place: place.clone() };
        match node.need(name)? {
            Value::Map(_) => {
                let inner = node.need_child(name)?;
                let format = inner.text("datetime_format")?.filter(|format| !format.is_empty()).map(str::to_owned);
                let text =
                    |name: &str| Ok::<_, Problem>(self.template(&inner, name)?.map(|template| template.kinds(Kinds::Text)));
                let at = self.need_template(&inner, "datetime")?.kinds(Kinds::Text);
                Ok(Date { format, least: text("min_datetime")?, most: text("max_datetime")?, ..plain(at) })
            }
            _ => Ok(plain(self.need_template(node, name)?.kinds(Kinds::Text))),
        }
    }

    /// Notes the host that a URL names, if that is known now.
    pub(super) fn note_host(&self, url: &Template) {
        let Ok(text) = url.text(&self.scope()) else { return };
        if let Ok(url) = Url::parse(&text)
            && let Some(host) = url.host_str()
        {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            self.hosts().insert(format!("{host}{port}"));
        }
    }

    pub(super) fn seconds(&self, node: &Node<'_>, name: &str) -> Result<Option<Duration>, Problem> {
        Ok(self.settled_int(node, name)?.and_then(|secs| u64::try_from(secs).ok()).map(Duration::from_secs))
    }
}

/// Why a component of this type does not run.
/// How the pages of a retriever begin anew.
fn anew(retriever: &Node<'_>) -> Result<Anew, Problem> {
    let Some(node) = retriever.child("pagination_reset")? else { return Ok(Anew::default()) };
    let narrows = match node.text("action")? {
        Some("SPLIT_USING_CURSOR") => true,
        Some("RESET") => false,
        _ => return Err(node.problem("action", "expected SPLIT_USING_CURSOR or RESET")),
    };
    let limits = node.child("limits")?;
    let most = limits.as_ref().and_then(|limits| limits.get("number_of_records")).filter(|most| !most.is_null());
    let wrong = || node.problem("limits.number_of_records", "expected a number of 1 or more");
    let most_records = most
        .map(|most| most.as_int().and_then(|most| u64::try_from(most).ok()).filter(|most| *most > 0).ok_or_else(wrong))
        .transpose()?;
    Ok(Anew { narrows, most_records })
}

pub(super) fn not_supported(kind: &str) -> String {
    if kind.starts_with("Custom") || kind.is_empty() {
        "custom Python code is not run".to_owned()
    } else {
        format!("{kind} is not supported")
    }
}

/// A value as an expression.
pub(super) fn fixed(value: Value) -> Expr {
    Arc::new(Constant(value))
}
