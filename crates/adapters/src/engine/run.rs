//! Runs a plan.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError};

use async_stream::try_stream;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use headwater_sdk::http::Pause;
use headwater_sdk::{BuildContext, Error, ErrorKind, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::expr::Slice;
use super::pages::{SlicePage, one, pages};
use super::plan::{Checkpoints, Cursor, Lookup, Requester, Retriever, SchemaPlan, SourcePlan, StreamPlan, Whole};
use super::request::{Call, Page, Shared};
use super::slices::{ParentStates, intervals, joined, partitions};
use super::state::{OpenSlice, PartitionState, StreamState};
use super::value::{Map, Value};

/// How many pages a slice may be ahead of who takes them.
const PAGES_AHEAD: usize = 2;
/// How many records a stream may have that others look into.
const MAX_LOOKUP: usize = 20_000;
/// How many pages are asked for to learn a schema.
const SCHEMA_PAGES: usize = 100;

/// One step of a read.
#[derive(Debug)]
pub enum Event {
    /// The records of a page, in its order; never empty.
    Records(Vec<Value>),
    /// The position after all records before it, as the stream's codec writes it.
    State(Value),
    /// Everything that the remote has was in the records before, and the position that follows covers it.
    Whole {
        /// Whether the read went on from the middle of another.
        resumed: bool,
        /// Whether a record may have slipped past while others were removed.
        shifting: bool,
    },
}

/// The answer to a request that belongs to no stream.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) status: u16,
    pub(crate) headers: Value,
    pub(crate) body: Value,
}

/// A plan at work. Cheap to clone; clones share connections, tokens and budget.
#[derive(Debug, Clone)]
pub struct Executor {
    shared: Arc<Shared>,
}

impl Executor {
    /// A plan with its connections, which are not opened yet. `pause` is how it waits; the time comes from `cx`.
    ///
    /// # Errors
    /// None now; `Config` is kept for plans that cannot run.
    pub fn new(plan: SourcePlan, cx: &BuildContext, pause: Pause) -> Result<Self> {
        Ok(Self { shared: Arc::new(Shared::new(plan, cx, pause)) })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &SourcePlan {
        &self.shared.plan
    }

    /// How many requests were sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent()
    }

    /// What they cost, as the remote counts them.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.shared.spent()
    }

    /// What the requests cost that were sent with its credential on the present day of UTC, by all processes that count together.
    #[must_use]
    pub fn sent_today(&self) -> Option<u64> {
        self.shared.sent_today()
    }

    /// A stream of the plan.
    #[must_use]
    pub fn stream(&self, name: &str) -> Option<&Arc<StreamPlan>> {
        self.shared.plan.streams.iter().find(|stream| stream.name == name)
    }

    /// Reads a stream after a state of its codec, or from the beginning. Slices are read concurrently, as far as the plan lets them;
    /// their records and states come in the order of the slices. Dropping the stream stops the work.
    #[must_use]
    pub fn read(&self, stream: &Arc<StreamPlan>, state: Option<&Value>) -> BoxStream<'static, Result<Event>> {
        records(Arc::new(self.shared.of_read()), Arc::clone(stream), state.cloned()).map(|event| Ok(event?.0)).boxed()
    }

    /// Asks for the first page of each stream that the plan names for it.
    ///
    /// # Errors
    /// What the first stream fails with.
    pub async fn check(&self) -> Result<()> {
        for name in &self.shared.plan.check {
            let stream = self.stream(name).ok_or_else(|| {
                Error::new(ErrorKind::Config, "the stream to check with does not exist").context("stream", name.clone())
            })?;
            let mut events = self.read(stream, None);
            if let Some(event) = events.next().await {
                event.map_err(|error| error.context("stream", name.clone()))?;
            }
        }
        Ok(())
    }

    /// Sends one request that belongs to no stream. `more` is what its expressions may name; with `once` it is not sent again when
    /// nobody knows what became of it.
    pub(crate) async fn ask(&self, requester: &Requester, more: &[(&str, &Value)], once: bool) -> Result<Asked> {
        let call = Call { slice: None, next_page_token: None, inject: &[], more, once };
        let Page { body, headers, status, .. } = self.shared.call(requester, &call).await?;
        Ok(Asked { status, headers, body })
    }

    /// The time of the plan's clock.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.shared.clock.now()
    }

    /// Waits as the plan waits.
    pub(crate) async fn wait(&self, time: std::time::Duration) {
        self.shared.pause.sleep(time).await;
    }

    /// The JSON schema of a stream's records, asked for where the plan says so.
    ///
    /// # Errors
    /// As a read.
    pub async fn schema(&self, stream: &StreamPlan) -> Result<Value> {
        let maker = match &stream.schema {
            SchemaPlan::Inline(schema) => return Ok(schema.clone()),
            SchemaPlan::Dynamic(maker) => maker,
        };
        maker.schema(&self.fetch(maker.retriever()).await?)
    }

    /// All records of a retriever without slices: what describes schemas and streams.
    ///
    /// # Errors
    /// As a read; `Protocol` when they do not end within a bound.
    pub async fn fetch(&self, retriever: &Retriever) -> Result<Vec<Value>> {
        let Retriever::Pages(plan) = retriever else {
            return Err(Error::new(ErrorKind::Unsupported, "a job cannot describe streams"));
        };
        let (slice, mut token, mut out) = (Slice::default(), None, Vec::new());
        for _ in 0..SCHEMA_PAGES {
            let (page, next) = one(&self.shared, plan, &slice, &[], (token, &[]), None).await?;
            out.extend(page.records);
            if next.is_none() {
                return Ok(out);
            }
            token = next;
        }
        Err(Error::new(ErrorKind::Protocol, "the descriptions do not end").context("pages", SCHEMA_PAGES.to_string()))
    }
}

/// The events of a stream, with the slice that gave them.
pub(super) fn records(
    shared: Arc<Shared>,
    stream: Arc<StreamPlan>,
    from: Option<Value>,
) -> BoxStream<'static, Result<(Event, Slice)>> {
    let events = try_stream! {
        let begun = shared.pause.elapsed();
        let mut state = match &from {
            Some(from) => stream.codec.read(from, &stream)?,
            None => StreamState::default(),
        };
        let known = state.clone();
        state.complete = false;
        let learned = ParentStates::default();
        let resumed: VecDeque<OpenSlice> = std::mem::take(&mut state.open).into();
        let goes_on = !resumed.is_empty();
        let begins = from.is_none() || (stream.cursor.is_none() && stream.bookmark.is_none());
        state.full = stream.whole.is_some() && if goes_on { known.full } else { begins };
        let silent = shared.silent();
        let lookups = Arc::new(looked_up(&shared, &stream).await?);
        let mut slices = upcoming(&shared, &stream, &known, &learned, resumed.clone());
        let ahead = shared.plan.concurrency.max(1);
        let mut running: VecDeque<Running> = VecDeque::new();
        loop {
            while running.len() < ahead {
                // Only the first slice is awaited with nothing to do meanwhile.
                match slices.next().await {
                    Some(open) => running.push_back(Running::start((&shared, &stream, &lookups), open?, ahead > 1)),
                    None => break,
                }
            }
            let Some(mut slice) = running.pop_front() else { break };
            // What begins at a position leaves out what stood before it.
            state.full &= slice.open.slice.range.is_none_or(|(low, _)| low == i64::MIN);
            while let Some(page) = slice.pages.next().await {
                let SlicePage { records, next, high, mark, bookmark } = page?;
                slice.open.high = slice.open.high.max(high);
                slice.open.bookmark = bookmark.or_else(|| slice.open.bookmark.take());
                note(&stream, &mut state, &slice.open, mark);
                if !records.is_empty() {
                    yield (Event::Records(records), slice.open.slice.clone());
                }
                state.full &= shared.silent() == silent;
                slice.open.next_page_token = next;
                if shared.plan.checkpoints == Checkpoints::EveryPage && slice.open.next_page_token.is_some() {
                    state.open = vec![slice.open.clone()];
                    yield (Event::State(stream.codec.write(&state, &stream)), slice.open.slice.clone());
                }
            }
            state.open.clear();
            close(&stream, &mut state, &slice.open);
            state.full &= shared.silent() == silent;
            state.parents = known.parents.clone();
            yield (Event::State(stream.codec.write(&state, &stream)), slice.open.slice.clone());
        }
        let full = std::mem::take(&mut state.full) && shared.silent() == silent;
        if let Some(Whole { shifting }) = stream.whole.filter(|_| full) {
            yield (Event::Whole { resumed: goes_on, shifting }, Slice::default());
        }
        state.parents = learned.lock().unwrap_or_else(PoisonError::into_inner).clone();
        finish(&stream, &mut state, (shared.pause.elapsed() - begun).as_secs());
        yield (Event::State(stream.codec.write(&state, &stream)), Slice::default());
    };
    events.boxed()
}

/// The small streams that a stream looks into, by name.
async fn looked_up(shared: &Arc<Shared>, stream: &StreamPlan) -> Result<Value> {
    let mut all = Map::default();
    for Lookup { name, stream } in &stream.lookups {
        let mut found: BTreeMap<String, Value> = BTreeMap::new();
        let mut events = records(Arc::clone(shared), Arc::clone(stream), None);
        while let Some(event) = events.next().await {
            let (Event::Records(rows), _) = event? else { continue };
            for row in rows {
                let Some(key) = row.get(Lookup::KEY).filter(|key| !key.is_null()) else { continue };
                found.insert(key.to_plain(), row.get(Lookup::VALUE).cloned().unwrap_or_default());
            }
            if found.len() > MAX_LOOKUP {
                return Err(Error::new(
                    ErrorKind::Config,
                    "a stream that is looked into has more records than are kept in memory",
                )
                .context("lookup", name.clone())
                .context("limit", MAX_LOOKUP.to_string()));
            }
        }
        all.insert(name.as_str(), Value::Map(found.into_iter().collect()));
    }
    Ok(Value::Map(all))
}

/// Slices that were begun, then the others.
fn upcoming<'a>(
    shared: &'a Arc<Shared>,
    stream: &'a Arc<StreamPlan>,
    known: &'a StreamState,
    learned: &'a ParentStates,
    resumed: VecDeque<OpenSlice>,
) -> BoxStream<'a, Result<OpenSlice>> {
    let slices = try_stream! {
        for open in &resumed {
            yield open.clone();
        }
        let mut partitions = partitions(shared, &stream.partitions, known, learned);
        let known = &with_resumed(stream, known, &resumed);
        while let Some(partition) = partitions.next().await {
            for slice in intervals(shared, stream, &partition?, known)? {
                if !resumed.iter().any(|open| covers(&open.slice, &slice)) {
                    yield OpenSlice { slice, next_page_token: None, high: None, bookmark: None };
                }
            }
        }
    };
    slices.boxed()
}

/// Where a stream stands once its begun slices are read: what follows them is cut behind their end, not at their last record.
fn with_resumed(stream: &StreamPlan, known: &StreamState, resumed: &VecDeque<OpenSlice>) -> StreamState {
    let mut state = known.clone();
    for open in resumed {
        if let (Some(cursor), Some(range)) = (&stream.cursor, open.slice.range) {
            joined(cursor, &mut of(&mut state, &open.slice).done, range);
        }
    }
    state
}

/// Whether reading the begun slice leaves nothing of the other.
fn covers(begun: &Slice, slice: &Slice) -> bool {
    let reaches = match (begun.range, slice.range) {
        (Some((_, end)), Some((_, high))) => end == i64::MAX || high <= end,
        _ => begun.interval == slice.interval,
    };
    begun.partition == slice.partition && reaches
}

/// A slice that is being read.
struct Running {
    open: OpenSlice,
    pages: BoxStream<'static, Result<SlicePage>>,
}

impl Running {
    fn start((shared, stream, lookups): (&Arc<Shared>, &Arc<StreamPlan>, &Arc<Value>), open: OpenSlice, aside: bool) -> Self {
        let of = (Arc::clone(shared), Arc::clone(stream), Arc::clone(lookups));
        let pages = pages(of, open.slice.clone(), open.next_page_token.clone());
        Self { pages: if aside { beside(pages) } else { pages }, open }
    }
}

/// Reads on in a task of its own, a few pages ahead; the task ends when nobody takes them any more.
fn beside(mut pages: BoxStream<'static, Result<SlicePage>>) -> BoxStream<'static, Result<SlicePage>> {
    let (send, mut receive) = mpsc::channel(PAGES_AHEAD);
    // A set ends its tasks when it is dropped.
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(page) = pages.next().await {
            if send.send(page).await.is_err() {
                return;
            }
        }
    });
    let taken = async_stream::stream! {
        let _tasks = tasks;
        while let Some(page) = receive.recv().await {
            yield page;
        }
    };
    taken.boxed()
}

/// Notes how far the records of a slice go.
fn note(stream: &StreamPlan, state: &mut StreamState, open: &OpenSlice, mark: Option<Value>) {
    if stream.cursor.is_none() {
        return;
    }
    let known = of(state, &open.slice);
    if open.high > known.high {
        known.high = open.high;
        known.mark = mark.or_else(|| known.mark.take());
    }
}

fn of<'s>(state: &'s mut StreamState, slice: &Slice) -> &'s mut PartitionState {
    let index = state.partitions.iter().position(|known| known.partition == slice.partition).unwrap_or_else(|| {
        state.partitions.push(PartitionState { partition: slice.partition.clone(), ..PartitionState::default() });
        state.partitions.len() - 1
    });
    #[expect(clippy::indexing_slicing, reason = "the index was found or made one line above")]
    &mut state.partitions[index]
}

/// Notes that a slice was read to its end.
fn close(stream: &StreamPlan, state: &mut StreamState, open: &OpenSlice) {
    if let (Some(_), Some(bookmark)) = (&stream.bookmark, &open.bookmark) {
        of(state, &open.slice).mark = Some(bookmark.clone());
    }
    let (Some(cursor), Some((low, high))) = (&stream.cursor, open.slice.range) else { return };
    let known = of(state, &open.slice);
    let end = if high == i64::MAX { open.high.unwrap_or(low).max(low) } else { high };
    joined(cursor, &mut known.done, (low, end));
}

/// Notes that everything was read.
fn finish(stream: &StreamPlan, state: &mut StreamState, secs: u64) {
    state.complete = true;
    let highest = state.partitions.iter().filter_map(|known| known.high).max();
    state.global = state.global.max(highest);
    if matches!(stream.cursor, Some(Cursor { global: true, .. })) {
        state.lookback_secs = i64::try_from(secs).ok();
    }
}
