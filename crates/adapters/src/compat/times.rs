//! Cursors of manifests: their formats, bounds and states.

use std::sync::Arc;

use headwater_sdk::{Error, ErrorKind, Result};

use super::jinja::time::{self, Moment};
use super::jinja::{Template, python_text};
use crate::engine::plan::{Bound, Partitions, Positions, StateCodec, StreamPlan};
use crate::engine::{Evaluate as _, Map, PartitionState, Scope, StreamState, Value};

/// Positions in time, in the formats of a manifest.
#[derive(Debug)]
pub(super) struct Formats {
    /// How records write them; looked at in order.
    pub(super) read: Vec<String>,
    /// How requests and states write them.
    pub(super) write: String,
}

impl Positions for Formats {
    /// A value that fits no format says nothing: the record counts, its position does not.
    fn read(&self, value: &Value) -> Result<Option<i64>> {
        if value.is_null() {
            return Ok(None);
        }
        let text = python_text(value);
        let formats = self.read.iter().chain([&self.write]);
        let found = formats.into_iter().find_map(|format| time::parse(&text, format)).or_else(|| time::parse_any(&text));
        Ok(found.map(|moment| moment.micros()))
    }

    fn write(&self, position: i64) -> Value {
        Value::text(Moment::from_micros(position, Some(0)).map(|moment| time::format(&moment, &self.write)).unwrap_or_default())
    }
}

/// Positions that are numbers.
#[derive(Debug)]
pub(super) struct Counts;

impl Positions for Counts {
    fn read(&self, value: &Value) -> Result<Option<i64>> {
        Ok(value.as_int().or_else(|| value.as_str()?.trim().parse().ok()))
    }

    fn write(&self, position: i64) -> Value {
        Value::Int(position)
    }
}

/// A date of the manifest, kept between others.
#[derive(Debug)]
pub(super) struct Date {
    pub(super) at: Template,
    pub(super) format: Option<String>,
    pub(super) least: Option<Template>,
    pub(super) most: Option<Template>,
    pub(super) usual: String,
    pub(super) place: String,
}

impl Date {
    fn read(&self, template: &Template, scope: &Scope<'_>) -> Result<Option<i64>> {
        let text = python_text(&template.value(scope)?);
        if text.is_empty() || text == "None" {
            return Ok(None);
        }
        let formats = self.format.iter().chain([&self.usual]);
        let found = formats.into_iter().find_map(|format| time::parse(&text, format)).or_else(|| time::parse_any(&text));
        let found = found.ok_or_else(|| {
            Error::new(ErrorKind::Config, "a date of the manifest or the settings fits none of its formats")
                .context("at", self.place.clone())
        })?;
        Ok(Some(found.micros()))
    }
}

impl Bound for Date {
    fn at(&self, scope: &Scope<'_>) -> Result<i64> {
        let missing = || {
            Error::new(ErrorKind::Config, "a date of the manifest or the settings is missing").context("at", self.place.clone())
        };
        let mut at = self.read(&self.at, scope)?.ok_or_else(missing)?;
        if let Some(least) = &self.least {
            at = at.max(self.read(least, scope)?.unwrap_or(at));
        }
        if let Some(most) = &self.most {
            at = at.min(self.read(most, scope)?.unwrap_or(at));
        }
        Ok(at)
    }
}

/// The time of the run.
#[derive(Debug)]
pub(super) struct Now;

impl Bound for Now {
    fn at(&self, scope: &Scope<'_>) -> Result<i64> {
        Ok(scope.now.as_microsecond())
    }
}

/// A position that is known.
#[derive(Debug)]
pub(super) struct At(pub(super) i64);

impl Bound for At {
    fn at(&self, _: &Scope<'_>) -> Result<i64> {
        Ok(self.0)
    }
}

/// States as Airbyte's programs write them.
#[derive(Debug)]
pub(super) struct AirbyteState;

impl StateCodec for AirbyteState {
    fn read(&self, state: &Value, stream: &StreamPlan) -> Result<StreamState> {
        let Some(cursor) = &stream.cursor else { return Ok(StreamState::default()) };
        let name = cursor.field.last().map(String::as_str).unwrap_or_default();
        let position = |value: Option<&Value>| -> Result<Option<i64>> {
            let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
            let found = cursor.positions.read(value)?;
            found.map(Some).ok_or_else(|| {
                Error::new(ErrorKind::Config, "the state holds no position of this stream").context("stream", stream.name.clone())
            })
        };
        let mut out = StreamState::default();
        let add = |partition: Map, at: Option<&Value>, out: &mut StreamState| -> Result<()> {
            let known = read_partition(partition, at, name, &position)?;
            out.partitions.extend(known);
            Ok(())
        };
        if matches!(stream.partitions, Partitions::One) {
            add(Map::default(), Some(state), &mut out)?;
            return Ok(out);
        }
        if let Some(parents) = state.get("parent_state").and_then(Value::as_map) {
            out.parents = parents.iter().map(|(name, state)| (name.to_owned(), state.clone())).collect();
        }
        match state.get("states").and_then(Value::as_list) {
            Some(states) => {
                for known in states {
                    let partition = known.get("partition").and_then(Value::as_map).cloned().unwrap_or_default();
                    add(partition, known.get("cursor"), &mut out)?;
                }
            }
            // The form before there were lists: by the partition's value.
            None => {
                for (value, at) in state.as_map().into_iter().flat_map(Map::iter).filter(|(_, at)| at.get(name).is_some()) {
                    if let Some(partition) = legacy(&stream.partitions, value) {
                        add(partition, Some(at), &mut out)?;
                    }
                }
            }
        }
        if state.get("use_global_cursor") == Some(&Value::Bool(true)) || cursor.global {
            out.global = position(state.get("state").and_then(|state| state.get(name)).or_else(|| state.get(name)))?;
            out.lookback_secs = state.get("lookback_window").and_then(Value::as_int);
        }
        Ok(out)
    }

    fn write(&self, state: &StreamState, stream: &StreamPlan) -> Value {
        let Some(cursor) = &stream.cursor else {
            return Value::Map([("__ab_no_cursor_state_message", Value::Bool(true))].into_iter().collect());
        };
        let name = cursor.field.last().map(String::as_str).unwrap_or_default();
        let at = |position: i64| Value::Map([(name, cursor.positions.write(position))].into_iter().collect());
        // Where no record was, the beginning of what was read is all that is certain.
        let of = |known: &PartitionState| known.high.or_else(|| known.done.first().map(|(low, _)| *low));
        if matches!(stream.partitions, Partitions::One) {
            return state.partitions.first().and_then(of).map_or_else(|| Value::Map(Map::default()), at);
        }
        let mut out = Map::default();
        out.insert("use_global_cursor", Value::Bool(cursor.global));
        let states = state.partitions.iter().filter_map(|known| {
            let members = [("partition", Value::Map(known.partition.clone())), ("cursor", at(of(known)?))];
            Some(Value::Map(members.into_iter().collect()))
        });
        out.insert("states", Value::List(if cursor.global { Vec::new() } else { states.collect() }));
        if let Some(highest) = state.global.max(state.partitions.iter().filter_map(of).max()) {
            out.insert("state", at(highest));
        }
        out.insert("lookback_window", Value::Int(state.lookback_secs.unwrap_or(0)));
        out.insert(
            "parent_state",
            Value::Map(state.parents.iter().map(|(name, state)| (name.as_str(), state.clone())).collect()),
        );
        Value::Map(out)
    }
}

fn read_partition(
    partition: Map,
    at: Option<&Value>,
    name: &str,
    position: &impl Fn(Option<&Value>) -> Result<Option<i64>>,
) -> Result<Option<PartitionState>> {
    let mut known = PartitionState { partition, ..PartitionState::default() };
    if let Some(slices) = at.and_then(|at| at.get("slices")).and_then(Value::as_list) {
        for slice in slices {
            let high = position(slice.get("most_recent_cursor_value"))?;
            known.high = known.high.max(high);
            if let (Some(low), Some(end)) = (position(slice.get("start"))?, position(slice.get("end"))?) {
                known.done.push((low, end));
            }
        }
        known.done.sort_unstable();
        // Behind a gap nothing is certain.
        known.done.truncate(1);
        return Ok(Some(known));
    }
    Ok(position(at.and_then(|at| at.get(name)))?.map(|at| PartitionState { done: vec![(at, at)], high: Some(at), ..known }))
}

fn legacy(partitions: &Partitions, value: &str) -> Option<Map> {
    let (name, nested) = match partitions {
        Partitions::List { name, .. } => (name, false),
        Partitions::Parents(parents) => (&parents.first()?.name, true),
        Partitions::One | Partitions::Product(_) | Partitions::Groups { .. } => return None,
    };
    let value = value.parse().map_or_else(|_| Value::text(value), Value::Int);
    let mut partition: Map = [(name.as_str(), value)].into_iter().collect();
    if nested {
        partition.insert("parent_slice", Value::Map(Map::default()));
    }
    Some(partition)
}

/// The codec, shared.
pub(super) fn codec() -> Arc<dyn StateCodec> {
    Arc::new(AirbyteState)
}
