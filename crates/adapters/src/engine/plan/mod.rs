//! What a declarative connector compiles to.
//!
//! A front end reads its own file format, checks it, and makes a [`SourcePlan`]; the executor knows nothing else. What differs
//! between formats is data here (waits, bounds) or a trait object ([`Evaluate`](super::Evaluate), [`Positions`], [`Bound`],
//! [`StateCodec`], [`Transform`], [`Extract`]). Plans are compiled for one connection: its settings are known, so what depends on
//! them alone may already be decided.

mod answers;
mod requests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use headwater_sdk::Result;
use jiff::Span;

pub use self::answers::{
    Action, BudgetMatcher, BudgetPlan, BudgetPolicy, BudgetRate, Capture, ErrorRules, Fallback, Handler, Rule, Wait,
};
pub use self::requests::{Auth, BodyPlan, Decoder, Inject, Jwt, KeyForm, Lifetime, Requester, TokenPlan, TokenSource};
use super::expr::{Expr, Scope, Slice};
use super::state::StreamState;
use super::value::Value;

/// A path of member names into a value.
pub type Path = Vec<String>;

/// A source.
#[derive(Debug)]
pub struct SourcePlan {
    /// Its name, for messages.
    pub name: String,
    /// The connection's settings, as expressions see them; secrets included.
    pub config: Value,
    /// Its streams.
    pub streams: Vec<Arc<StreamPlan>>,
    /// The streams of which at least one record is asked for to check the connection.
    pub check: Vec<String>,
    /// Which hosts may be called.
    pub hosts: HostRules,
    /// What the remote allows, in all streams together.
    pub budget: BudgetPlan,
    /// How many requests may be in flight, in all streams together.
    pub concurrency: usize,
    /// When a position is given out.
    pub checkpoints: Checkpoints,
    /// Where its requests go and who they say they are, where that is one for all.
    pub home: Option<Home>,
}

/// Where requests go and who they say they are.
#[derive(Debug)]
pub struct Home {
    /// The address below which they go.
    pub url: Expr,
    /// How they show who we are.
    pub auth: Auth,
}

/// Which hosts may be called.
#[derive(Debug, Clone, Default)]
pub struct HostRules {
    /// Hosts (with their port where it is not the scheme's) and, with a leading `*.`, everything below a domain.
    pub allowed: Vec<String>,
    /// Whether these hosts may be loopback and private addresses.
    pub allow_private: bool,
}

/// When a position is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoints {
    /// After every page, with the page's place in it: a kill repeats what was in flight.
    EveryPage,
    /// After every slice, as Airbyte's programs do.
    EverySlice,
}

/// A stream.
#[derive(Debug)]
pub struct StreamPlan {
    /// Its name.
    pub name: String,
    /// The paths of its primary key, if it has one.
    pub primary_key: Vec<Path>,
    /// The JSON schema of its records.
    pub schema: SchemaPlan,
    /// How records are asked for.
    pub retriever: Retriever,
    /// Which partitions there are.
    pub partitions: Partitions,
    /// Where it stands, and which intervals follow from that.
    pub cursor: Option<Cursor>,
    /// Where it stands in the remote's own words, instead of a cursor.
    pub bookmark: Option<Bookmark>,
    /// Small streams that are read first, whole; what selects its records sees them as `lookup`.
    pub lookups: Vec<Lookup>,
    /// Whether a read from its beginning shows everything that the remote has, and says so.
    pub whole: Option<Whole>,
    /// How its position is written down.
    pub codec: Arc<dyn StateCodec>,
}

/// What a read that shows everything is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// Whether a record may slip from one page to another that is read already, when others are removed meanwhile.
    pub shifting: bool,
}

/// A small stream as keys and values.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// Its name in `lookup`.
    pub name: String,
    /// The stream, of which each record has the two members below.
    pub stream: Arc<StreamPlan>,
}

impl Lookup {
    /// The member of a record that is its key.
    pub const KEY: &'static str = "key";
    /// The member of a record that is its value.
    pub const VALUE: &'static str = "value";
    /// The name under which all are seen.
    pub const SEEN: &'static str = "lookup";
}

/// The schema of a stream's records.
#[derive(Debug, Clone)]
pub enum SchemaPlan {
    /// Known.
    Inline(Value),
    /// Made of an answer of the remote.
    Dynamic(Arc<dyn MakeSchema>),
}

/// Makes a schema of records that the remote describes its fields with.
pub trait MakeSchema: Send + Sync + fmt::Debug {
    /// What to ask for the descriptions.
    fn retriever(&self) -> &Retriever;

    /// The schema.
    ///
    /// # Errors
    /// `Protocol` when the descriptions are none.
    fn schema(&self, records: &[Value]) -> Result<Value>;
}

/// How records are asked for.
#[derive(Debug)]
pub enum Retriever {
    /// Page by page.
    Pages(Box<Pages>),
    /// As a job that is made, waited for and fetched.
    Job(Box<Job>),
}

/// Records page by page.
#[derive(Debug)]
pub struct Pages {
    /// The request.
    pub requester: Requester,
    /// What follows a page.
    pub paginator: Option<Paginator>,
    /// The records of an answer.
    pub selector: Selector,
    /// How they begin anew.
    pub anew: Anew,
}

/// How pages begin anew, which they do when an answer's rule says so.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anew {
    /// Whether they then begin at the furthest record of the slice; else the same are read once more, and not a third time.
    pub narrows: bool,
    /// They begin anew after so many records too: the remote gives no more of one question.
    pub most_records: Option<u64>,
}

/// Records as the result of a job.
#[derive(Debug)]
pub struct Job {
    /// Makes the job.
    pub create: Requester,
    /// What is kept of the answer of `create`, and in positions: later requests see it as `creation_response`. Without it the whole
    /// body.
    pub keep: Option<Expr>,
    /// Asks how it goes.
    pub poll: Requester,
    /// Where the poll's answer says how it goes.
    pub status: Expr,
    /// What the words of `status` mean.
    pub statuses: BTreeMap<String, JobStatus>,
    /// The URLs to fetch, out of the poll's answer; a single one or a list. Without it the job's own answer is fetched.
    pub targets: Option<Expr>,
    /// Fetches one target, seen as `download_target`.
    pub download: Pages,
    /// Tells the remote to forget the job.
    pub delete: Option<Requester>,
    /// Tells the remote to stop a job that takes too long.
    pub abort: Option<Requester>,
    /// How long a job may take.
    pub timeout: Duration,
    /// How long to wait between two polls.
    pub poll_every: Duration,
}

/// How a job goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// It runs.
    Running,
    /// It is done.
    Completed,
    /// It failed.
    Failed,
    /// It took too long.
    TimedOut,
    /// It gave nothing and is to be left out.
    Skipped,
}

/// What follows a page.
#[derive(Debug)]
pub struct Paginator {
    /// How the next page is found.
    pub strategy: Paging,
    /// Where its token goes.
    pub token: Option<Inject>,
    /// How many records a page has, and where the request says so.
    pub size: Option<(Expr, Option<Inject>)>,
}

/// How the next page is found. A page size is the paginator's.
#[derive(Debug)]
pub enum Paging {
    /// The number of records before it. Ends with a page that is not full, or empty where no size is known.
    Offset {
        /// Whether the first request says 0.
        first: bool,
    },
    /// The number of the page. Ends as `Offset` does.
    Number {
        /// The first page.
        start: i64,
        /// Whether the first request says it.
        first: bool,
    },
    /// What an expression says about the answer: a cursor, a URL. Ends when it says nothing, or `stop` is true.
    Token {
        /// The token.
        value: Expr,
        /// Whether this is the last page.
        stop: Option<Expr>,
    },
}

/// The records of an answer.
#[derive(Debug)]
pub struct Selector {
    /// Where they are.
    pub extract: Extractor,
    /// Which are wanted.
    pub filter: Option<Expr>,
    /// What is done to them, in order.
    pub transforms: Vec<Transformation>,
    /// Whether the filter sees a record after the transformations.
    pub transform_first: bool,
    /// Makes values fit the schema, if asked for.
    pub normalize: Option<Arc<dyn Transform>>,
}

/// Where the records of an answer are.
#[derive(Debug, Clone)]
pub enum Extractor {
    /// At a path; `*` stands for every item or member. A list gives its items, an object itself, nothing gives none.
    Path(Vec<Expr>),
    /// By other rules.
    Custom(Arc<dyn Extract>),
}

/// Finds records by rules of its own.
pub trait Extract: Send + Sync + fmt::Debug {
    /// The records.
    ///
    /// # Errors
    /// `Protocol` when the answer is not what it should be.
    fn extract(&self, body: Value, scope: &Scope<'_>) -> Result<Vec<Value>>;
}

/// One step that changes a record.
#[derive(Debug, Clone)]
pub enum Transformation {
    /// Sets a member, making the objects on its way.
    Set {
        /// Where.
        path: Vec<Expr>,
        /// What.
        value: Expr,
        /// When.
        when: Option<Expr>,
    },
    /// Takes a member out; `*` stands for every item or member.
    Remove {
        /// Where.
        path: Path,
        /// When; sees the member as `property`.
        when: Option<Expr>,
    },
    /// By other rules.
    Custom(Arc<dyn Transform>),
}

/// Changes a record by rules of its own.
pub trait Transform: Send + Sync + fmt::Debug {
    /// Changes it.
    ///
    /// # Errors
    /// What the front end documents.
    fn apply(&self, record: &mut Value, scope: &Scope<'_>) -> Result<()>;
}

/// Which partitions there are.
#[derive(Debug, Default)]
pub enum Partitions {
    /// One: the stream itself.
    #[default]
    One,
    /// One for each value.
    List {
        /// The values: a list.
        values: Expr,
        /// Their name in the slice.
        name: String,
        /// Where a request says it.
        inject: Option<Inject>,
    },
    /// One for each record of other streams.
    Parents(Vec<Parent>),
    /// Every combination.
    Product(Vec<Self>),
    /// Several at once, their values as lists.
    Groups {
        /// What is grouped.
        of: Box<Self>,
        /// How many.
        size: usize,
        /// Whether equal ones count once.
        distinct: bool,
    },
}

/// A stream whose records are partitions of another.
#[derive(Debug)]
pub struct Parent {
    /// The stream.
    pub stream: Arc<StreamPlan>,
    /// Where its records have the value.
    pub key: Path,
    /// The value's name in the slice.
    pub name: String,
    /// Where a request says it.
    pub inject: Option<Inject>,
    /// What else its records give along.
    pub extra: Vec<Path>,
    /// Whether its position is kept in ours, so that only changed parents are asked for.
    pub incremental: bool,
}

/// Where a stream stands, and which intervals follow from that.
#[derive(Debug)]
pub struct Cursor {
    /// Where records have their position.
    pub field: Path,
    /// How positions are read and written.
    pub positions: Arc<dyn Positions>,
    /// Where the first read begins.
    pub start: Arc<dyn Bound>,
    /// Where every read ends; a read without an end takes all there is.
    pub end: Option<Arc<dyn Bound>>,
    /// How long an interval is; without it there is one.
    pub step: Option<Step>,
    /// How much lies between the end of an interval and the beginning of the next; nothing where the end is exclusive.
    pub gap: Option<Step>,
    /// How far back a later read begins.
    pub lookback: Option<Step>,
    /// The names of an interval's beginning and end in the slice.
    pub names: (String, String),
    /// Where a request says the beginning.
    pub inject_start: Option<Inject>,
    /// Where a request says the end.
    pub inject_end: Option<Inject>,
    /// Whether records before the interval are left out by us.
    pub filter: bool,
    /// Whether paging ends with the first record that is older than the interval.
    pub newest_first: bool,
    /// Whether the partitions share one position.
    pub global: bool,
}

/// A position that only the remote understands, such as a sync token: kept as it was given, and given back.
#[derive(Debug, Clone)]
pub struct Bookmark {
    /// The position after a page, out of its answer; nothing leaves the one before. The last one of a slice counts.
    pub value: Expr,
    /// Its name in the slice's interval.
    pub name: String,
}

/// A distance between positions.
#[derive(Debug, Clone)]
pub enum Step {
    /// Of time; months and years by the calendar of UTC.
    Span(Span),
    /// Of numbers.
    Count(i64),
}

/// Reads and writes positions: microseconds of UTC for instants, the number itself for numbers.
pub trait Positions: Send + Sync + fmt::Debug {
    /// The position that a value says; none where it says nothing.
    ///
    /// # Errors
    /// `Protocol` when it says something that is no position.
    fn read(&self, value: &Value) -> Result<Option<i64>>;

    /// The position as requests and states say it.
    fn write(&self, position: i64) -> Value;

    /// The position a step further (or back); by default microseconds and numbers.
    fn step(&self, position: i64, step: &Step, back: bool) -> i64 {
        super::cursor::step(position, step, back)
    }
}

/// One end of what is read.
pub trait Bound: Send + Sync + fmt::Debug {
    /// Where it lies.
    ///
    /// # Errors
    /// `Config` when the settings say something that is no position.
    fn at(&self, scope: &Scope<'_>) -> Result<i64>;
}

/// How a stream's position is written down.
pub trait StateCodec: Send + Sync + fmt::Debug {
    /// Reads a position.
    ///
    /// # Errors
    /// `Config` when it is none of this stream.
    fn read(&self, state: &Value, stream: &StreamPlan) -> Result<StreamState>;

    /// Writes a position.
    fn write(&self, state: &StreamState, stream: &StreamPlan) -> Value;
}

/// A slice as state and messages name it.
pub type Partition = Slice;
