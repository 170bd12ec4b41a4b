//! Positions of our cursors, and how a stream's position is written into a checkpoint.

use std::sync::Arc;

use headwater_sdk::{Error, ErrorKind, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map as JsonMap, Value as Json, json};

use super::evaluate::Placed;
use super::expr::{self, formatted};
use super::spec::Precision;
use crate::engine::plan::{Bound, Positions, StateCodec, StreamPlan};
use crate::engine::{Evaluate as _, OpenSlice, PartitionState, Scope, Slice, StreamState, Value, json as text};

/// The position of a read that begins at everything there is: requests then say no beginning.
pub(super) const BEGINNING: i64 = i64::MIN;

/// How times are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// RFC 3339 in UTC.
    Rfc3339,
    /// Seconds of Unix time.
    Unix,
    /// Milliseconds of Unix time.
    UnixMs,
    /// A strftime format, in UTC.
    Local(String),
}

impl Form {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "rfc3339" => Some(Self::Rfc3339),
            "unix" => Some(Self::Unix),
            "unix_ms" => Some(Self::UnixMs),
            format if format.contains('%') && jiff::fmt::strtime::format(format, Timestamp::UNIX_EPOCH).is_ok() => {
                Some(Self::Local(format.to_owned()))
            }
            _ => None,
        }
    }
}

/// Times as positions: microseconds of UTC.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) written: Form,
    pub(super) read: Form,
    pub(super) precision: Precision,
}

impl Positions for Times {
    fn read(&self, value: &Value) -> Result<Option<i64>> {
        let plain = value.to_plain();
        if plain.is_empty() {
            return Ok(None);
        }
        let whole = || plain.split_once('.').map_or(plain.as_str(), |(whole, _)| whole).parse::<i64>().ok();
        let at = match &self.read {
            Form::Rfc3339 => expr::instant(&plain),
            Form::Unix => whole().and_then(|seconds| Timestamp::from_second(seconds).ok()),
            Form::UnixMs => whole().and_then(|millis| Timestamp::from_millisecond(millis).ok()),
            Form::Local(format) => formatted(&plain, format),
        };
        let wrong = || {
            Error::new(ErrorKind::Protocol, "a record's time cannot be read")
                .hint("say in the connector file how records write it: `cursor.read`")
        };
        at.map(|at| Some(at.as_microsecond())).ok_or_else(wrong)
    }

    fn write(&self, position: i64) -> Value {
        if position == BEGINNING {
            return Value::Null;
        }
        // Cut, never rounded up: what lies between would be lost.
        let at = Timestamp::from_microsecond(position - position.rem_euclid(unit(self.precision)));
        let Ok(at) = at else { return Value::Null };
        match &self.written {
            Form::Rfc3339 if self.precision == Precision::Day => at.strftime("%Y-%m-%d").to_string().into(),
            Form::Rfc3339 => at.to_string().into(),
            Form::Unix => Value::Int(at.as_second()),
            Form::UnixMs => Value::Int(at.as_millisecond()),
            Form::Local(format) => at.to_zoned(TimeZone::UTC).strftime(format).to_string().into(),
        }
    }
}

/// One step of a precision, in microseconds.
pub(super) fn unit(precision: Precision) -> i64 {
    match precision {
        Precision::Day => 86_400_000_000,
        Precision::Second => 1_000_000,
        Precision::Millisecond => 1_000,
        Precision::Microsecond => 1,
    }
}

/// Whole numbers as positions.
#[derive(Debug)]
pub(super) struct Integers;

impl Positions for Integers {
    fn read(&self, value: &Value) -> Result<Option<i64>> {
        match value {
            Value::Null => Ok(None),
            Value::Int(number) => Ok(Some(*number)),
            // An id that grows is often written as text; digits are compared as the number they are.
            Value::Text(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(digits.parse().ok()),
            _ => Err(Error::new(ErrorKind::Protocol, "a record's position is no whole number")),
        }
    }

    fn write(&self, position: i64) -> Value {
        if position == BEGINNING { Value::Null } else { Value::Int(position) }
    }
}

/// Where the first read begins.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) at: Option<Placed>,
    pub(super) positions: Arc<dyn Positions>,
    pub(super) integer: bool,
}

impl Bound for Start {
    fn at(&self, scope: &Scope<'_>) -> Result<i64> {
        let Some(placed) = &self.at else { return Ok(BEGINNING) };
        let value = placed.value(scope)?;
        if value.is_null() || value.as_str() == Some("") {
            return Ok(BEGINNING);
        }
        let wrong = || Error::new(ErrorKind::Config, "the beginning of a stream is no day or instant").hint("write 2026-01-31");
        if self.integer {
            return Ok(self.positions.read(&value)?.unwrap_or(BEGINNING));
        }
        expr::instant(&value.to_plain()).map(|at| at.as_microsecond()).ok_or_else(wrong)
    }
}

/// A read ends now.
#[derive(Debug)]
pub(super) struct Now;

impl Bound for Now {
    fn at(&self, scope: &Scope<'_>) -> Result<i64> {
        Ok(scope.now.as_microsecond())
    }
}

/// Our form of a stream's position.
#[derive(Debug)]
pub(super) struct Codec;

impl StateCodec for Codec {
    fn read(&self, state: &Value, _: &StreamPlan) -> Result<StreamState> {
        let json: Json = serde_json::from_str(&state.to_json()).map_err(|_| foreign())?;
        decode(&json).ok_or_else(foreign)
    }

    fn write(&self, state: &StreamState, _: &StreamPlan) -> Value {
        (&encode(state)).into()
    }
}

/// Reads a position and writes it again.
#[cfg(feature = "fuzz")]
pub(crate) fn position(json: &Json) {
    if let Some(state) = decode(json) {
        let written = encode(&state);
        assert_eq!(decode(&written).map(|state| encode(&state)), Some(written), "a position is not what was written");
    }
}

fn foreign() -> Error {
    Error::new(ErrorKind::Config, "the stored position is not one of this connector")
        .hint("run `headwater sync --full-refresh` to read everything again")
}

fn encode(state: &StreamState) -> Json {
    let StreamState { partitions, global, lookback_secs, parents, open, complete, full } = state;
    let partitions: Vec<Json> = partitions
        .iter()
        .map(|PartitionState { partition, done, high, mark }| {
            json!({ "of": plain(&Value::Map(partition.clone())), "done": done, "high": high,
                "mark": mark.as_ref().map(plain) })
        })
        .collect();
    let open: Vec<Json> = open
        .iter()
        .map(|OpenSlice { slice: Slice { partition, interval, range, extra }, next_page_token, high, bookmark }| {
            json!({ "of": plain(&Value::Map(partition.clone())), "interval": plain(&Value::Map(interval.clone())),
                "range": range, "extra": plain(&Value::Map(extra.clone())),
                "next": next_page_token.as_ref().map(plain), "high": high, "bookmark": bookmark.as_ref().map(plain) })
        })
        .collect();
    let parents: JsonMap<String, Json> = parents.iter().map(|(name, state)| (name.clone(), plain(state))).collect();
    let mut out = json!({ "partitions": partitions, "global": global, "lookback_secs": lookback_secs, "parents": parents,
        "open": open, "complete": complete, "full": full });
    prune(&mut out);
    out
}

/// Leaves out what says nothing: checkpoints are stored for every page.
fn prune(value: &mut Json) {
    if let Json::Object(map) = value {
        map.retain(|_, value| !matches!(value, Json::Null | Json::Bool(false)));
        map.retain(|_, value| value.as_array().is_none_or(|items| !items.is_empty()));
        map.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
        map.values_mut().filter_map(Json::as_array_mut).flatten().for_each(prune);
    }
}

fn decode(json: &Json) -> Option<StreamState> {
    let map = |json: &Json, key: &str| match json.get(key) {
        None => Some(crate::engine::Map::default()),
        Some(value) => Value::from(value).as_map().cloned(),
    };
    let pair = |json: &Json| Some((json.get(0)?.as_i64()?, json.get(1)?.as_i64()?));
    let list = |key: &str| json.get(key).and_then(Json::as_array).cloned().unwrap_or_default();
    let mut state = StreamState {
        global: json.get("global").and_then(Json::as_i64),
        lookback_secs: json.get("lookback_secs").and_then(Json::as_i64),
        complete: json.get("complete").and_then(Json::as_bool).unwrap_or_default(),
        full: json.get("full").and_then(Json::as_bool).unwrap_or_default(),
        ..StreamState::default()
    };
    json.as_object()?;
    for entry in list("partitions") {
        let done = entry.get("done").and_then(Json::as_array).cloned().unwrap_or_default();
        state.partitions.push(PartitionState {
            partition: map(&entry, "of")?,
            done: done.iter().map(pair).collect::<Option<_>>()?,
            high: entry.get("high").and_then(Json::as_i64),
            mark: entry.get("mark").map(Value::from),
        });
    }
    for entry in list("open") {
        let range = match entry.get("range") {
            None => None,
            Some(range) => Some(pair(range)?),
        };
        state.open.push(OpenSlice {
            slice: Slice {
                partition: map(&entry, "of")?,
                interval: map(&entry, "interval")?,
                range,
                extra: map(&entry, "extra")?,
            },
            next_page_token: entry.get("next").map(Value::from),
            high: entry.get("high").and_then(Json::as_i64),
            bookmark: entry.get("bookmark").map(Value::from),
        });
    }
    for (name, value) in json.get("parents").and_then(Json::as_object).into_iter().flatten() {
        state.parents.push((name.clone(), Value::from(value)));
    }
    Some(state)
}

/// The engine's value as JSON; a number beyond 64 bits stays what it is as far as JSON can say it.
fn plain(value: &Value) -> Json {
    let mut out = Vec::new();
    text::write(value, &mut out);
    serde_json::from_slice(&out).unwrap_or_default()
}
