//! Which slices a stream has: its partitions, times the intervals of its cursor.

use std::sync::Arc;

use async_stream::try_stream;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use headwater_sdk::{Error, ErrorKind, Result};

use super::cursor::step;
use super::expr::{Scope, Slice};
use super::plan::{Cursor, Parent, Partitions, StreamPlan};
use super::request::Shared;
use super::run::{Event, records};
use super::state::StreamState;
use super::value::{Key, Map, Value};

/// How many partitions a product or a group holds in memory.
const MAX_HELD: usize = 1_000_000;
/// The name under which a partition holds its parent's.
pub(super) const PARENT: &str = "parent_slice";

/// The states of parents, learned while their records become partitions.
pub(super) type ParentStates = Arc<std::sync::Mutex<Vec<(String, Value)>>>;

/// The partitions of a stream, one after another.
pub(super) fn partitions<'a>(
    shared: &'a Arc<Shared>,
    plan: &'a Partitions,
    state: &'a StreamState,
    learned: &'a ParentStates,
) -> BoxStream<'a, Result<Slice>> {
    match plan {
        Partitions::One => futures::stream::iter([Ok(Slice::default())]).boxed(),
        Partitions::List { values, name, .. } => {
            let scope = Scope::new(&shared.plan.config, shared.clock.now());
            let listed = values.value(&scope).and_then(|values| match values {
                Value::List(values) => Ok(values),
                Value::Null => {
                    Err(Error::new(ErrorKind::Config, "the list of partitions is missing").context("partition", name.clone()))
                }
                one => Ok(vec![one]),
            });
            let slice = |value| Slice { partition: [(name.as_str(), value)].into_iter().collect(), ..Slice::default() };
            match listed {
                Ok(values) => futures::stream::iter(values).map(move |value| Ok(slice(value))).boxed(),
                Err(error) => futures::stream::iter([Err(error)]).boxed(),
            }
        }
        Partitions::Parents(parents) => {
            futures::stream::iter(parents).flat_map(move |parent| of_parent(shared, parent, state, learned)).boxed()
        }
        Partitions::Product(parts) => product(shared, parts, state, learned),
        Partitions::Groups { of, size, distinct } => groups(partitions(shared, of, state, learned), *size, *distinct),
    }
}

fn of_parent<'a>(
    shared: &'a Arc<Shared>,
    parent: &'a Parent,
    state: &'a StreamState,
    learned: &'a ParentStates,
) -> BoxStream<'a, Result<Slice>> {
    let slices = try_stream! {
        let name = &parent.stream.name;
        let known = state.parents.iter().find(|(known, _)| known == name).map(|(_, state)| state.clone());
        let from = if parent.incremental { known } else { None };
        let mut events = records(Arc::clone(shared), Arc::clone(&parent.stream), from);
        while let Some(event) = events.next().await {
            match event? {
                (Event::Records(rows), slice) => {
                    for row in rows {
                        // A record without the value is no parent.
                        let Some(value) = row.at(&parent.key).filter(|value| !value.is_null()) else { continue };
                        let mut partition: Map = [(parent.name.as_str(), value.clone())].into_iter().collect();
                        partition.insert(PARENT, Value::Map(slice.partition.clone()));
                        let mut extra = Map::default();
                        for path in &parent.extra {
                            extra.insert(path.join("."), row.at(path).cloned().unwrap_or_default());
                        }
                        yield Slice { partition, extra, ..Slice::default() };
                    }
                }
                (Event::Whole { .. }, _) => {}
                (Event::State(state), _) => {
                    if parent.incremental {
                        let mut learned = learned.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        learned.retain(|(known, _)| known != name);
                        learned.push((name.clone(), state));
                    }
                }
            }
        }
    };
    slices.boxed()
}

fn product<'a>(
    shared: &'a Arc<Shared>,
    parts: &'a [Partitions],
    state: &'a StreamState,
    learned: &'a ParentStates,
) -> BoxStream<'a, Result<Slice>> {
    let slices = try_stream! {
        let mut known = vec![Slice::default()];
        for part in parts {
            let mut next = Vec::new();
            let mut values = Vec::new();
            let mut slices = partitions(shared, part, state, learned);
            while let Some(slice) = slices.next().await {
                values.push(slice?);
                bounded(values.len())?;
            }
            for left in &known {
                for right in &values {
                    next.push(join(left, right));
                    bounded(next.len())?;
                }
            }
            known = next;
        }
        for slice in known {
            yield slice;
        }
    };
    slices.boxed()
}

fn bounded(held: usize) -> Result<()> {
    if held <= MAX_HELD {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Config, "the stream has more partitions than we keep in memory")
        .context("limit", MAX_HELD.to_string()))
}

fn join(left: &Slice, right: &Slice) -> Slice {
    let merged = |a: &Map, b: &Map| a.entries().iter().chain(b.entries()).cloned().collect::<Map>();
    Slice { partition: merged(&left.partition, &right.partition), extra: merged(&left.extra, &right.extra), ..Slice::default() }
}

fn groups<'a>(mut slices: BoxStream<'a, Result<Slice>>, size: usize, distinct: bool) -> BoxStream<'a, Result<Slice>> {
    let grouped = try_stream! {
        let mut group: Vec<Slice> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some(slice) = slices.next().await {
            let slice = slice?;
            if distinct && !seen.insert(Value::Map(slice.partition.clone()).to_json()) {
                continue;
            }
            bounded(seen.len())?;
            group.push(slice);
            if group.len() >= size.max(1) {
                yield together(&std::mem::take(&mut group));
            }
        }
        if !group.is_empty() {
            yield together(&group);
        }
    };
    grouped.boxed()
}

fn together(group: &[Slice]) -> Slice {
    let lists = |part: fn(&Slice) -> &Map| -> Map {
        let names: Vec<Key> =
            group.first().map(|first| part(first).entries().iter().map(|(key, _)| Arc::clone(key)).collect()).unwrap_or_default();
        let all =
            |name: &Key| Value::List(group.iter().map(|slice| part(slice).get(name).cloned().unwrap_or_default()).collect());
        names
            .into_iter()
            .map(|name| {
                let value = all(&name);
                (name, value)
            })
            .collect()
    };
    let mut partition = lists(|slice| &slice.partition);
    if partition.get(PARENT).is_some() {
        partition.insert(PARENT, Value::Map(Map::default()));
    }
    Slice { partition, extra: lists(|slice| &slice.extra), ..Slice::default() }
}

/// The intervals of a partition that are still to be read.
pub(super) fn intervals(shared: &Shared, stream: &StreamPlan, partition: &Slice, state: &StreamState) -> Result<Vec<Slice>> {
    let Some(cursor) = &stream.cursor else { return Ok(vec![bookmarked(stream, partition, state)]) };
    let scope = Scope { slice: Some(partition), ..Scope::new(&shared.plan.config, shared.clock.now()) };
    let first = cursor.start.at(&scope)?;
    let end = cursor.end.as_ref().map(|end| end.at(&scope)).transpose()?;
    let mut low = first;
    if let Some(known) = last_read(cursor, partition, state) {
        let back = cursor.lookback.as_ref().map_or(known, |back| cursor.positions.step(known, back, true));
        let back =
            state.lookback_secs.filter(|_| cursor.global).map_or(back, |secs| back.min(known.saturating_sub(secs * 1_000_000)));
        low = back.max(first);
    }
    Ok(cut(cursor, low, end).into_iter().map(|(low, high)| with_interval(cursor, partition, low, high)).collect())
}

/// A partition with the word that the remote gave for where we are, if it gave one.
fn bookmarked(stream: &StreamPlan, partition: &Slice, state: &StreamState) -> Slice {
    let mut slice = partition.clone();
    let known = state.partition(&partition.partition).and_then(|known| known.mark.clone());
    if let (Some(bookmark), Some(known)) = (&stream.bookmark, known) {
        slice.interval.insert(bookmark.name.as_str(), known);
    }
    slice
}

fn last_read(cursor: &Cursor, partition: &Slice, state: &StreamState) -> Option<i64> {
    if cursor.global
        && let Some(position) = state.global
    {
        return Some(position);
    }
    let known = state.partition(&partition.partition)?;
    known.done.last().map(|(_, end)| *end).or(known.high)
}

/// Cuts what is to be read at the steps. There is always one interval, so that the remote is asked.
fn cut(cursor: &Cursor, low: i64, end: Option<i64>) -> Vec<(i64, Option<i64>)> {
    /// How many intervals one read may have: a step of a second over ten years would be a mistake.
    const MAX_INTERVALS: usize = 1_000_000;
    let (Some(end), Some(by)) = (end, &cursor.step) else { return vec![(low, end.map(|end| end.max(low)))] };
    let mut out = Vec::new();
    let mut from = low;
    while from <= end && out.len() < MAX_INTERVALS {
        let next = cursor.positions.step(from, by, false);
        let to = cursor.gap.as_ref().map_or(next, |gap| cursor.positions.step(next, gap, true));
        out.push((from, Some(to.min(end))));
        if next <= from || next > end || (cursor.gap.is_none() && next == end) {
            break;
        }
        from = cursor.gap.as_ref().map_or(next, |gap| cursor.positions.step(to, gap, false));
    }
    if out.is_empty() {
        out.push((low, Some(low)));
    }
    out
}

pub(super) fn with_interval(cursor: &Cursor, partition: &Slice, low: i64, high: Option<i64>) -> Slice {
    let mut interval = Map::with_capacity(2);
    interval.insert(cursor.names.0.as_str(), cursor.positions.write(low));
    if let Some(high) = high {
        interval.insert(cursor.names.1.as_str(), cursor.positions.write(high));
    }
    Slice { interval, range: Some((low, high.unwrap_or(i64::MAX))), ..partition.clone() }
}

/// A partition's intervals with one more, joined where they touch.
pub(super) fn joined(cursor: &Cursor, done: &mut Vec<(i64, i64)>, add: (i64, i64)) {
    done.push(add);
    done.sort_unstable();
    let touches = |end: i64| cursor.gap.as_ref().map_or(end, |gap| step(end, gap, false));
    let mut out: Vec<(i64, i64)> = Vec::with_capacity(done.len());
    for (low, high) in done.drain(..) {
        match out.last_mut() {
            Some((_, end)) if low <= touches(*end) => *end = (*end).max(high),
            _ => out.push((low, high)),
        }
    }
    *done = out;
}
