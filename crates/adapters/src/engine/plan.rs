//! What a declarative connector compiles to.
//!
//! A front end reads its own file format, checks it, and makes a [`SourcePlan`]; the executor knows nothing else. What differs
//! between formats is data here (waits, bounds) or a trait object ([`Evaluate`](super::Evaluate), [`Positions`], [`Bound`],
//! [`StateCodec`], [`Transform`], [`Extract`]). Plans are compiled for one connection: its settings are known, so what depends on
//! them alone may already be decided.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use headwater_sdk::http::Method;
use headwater_sdk::{ErrorKind, Result};
use jiff::Span;

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
    /// How its position is written down.
    pub codec: Arc<dyn StateCodec>,
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
}

/// Records as the result of a job.
#[derive(Debug)]
pub struct Job {
    /// Makes the job.
    pub create: Requester,
    /// Asks how it goes; sees the answer of `create` as `creation_response`.
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

/// A request.
#[derive(Debug)]
pub struct Requester {
    /// What messages call it: a path with its variables unfilled.
    pub name: String,
    /// The whole URL, or its part before `path`.
    pub url: Expr,
    /// The path below `url`.
    pub path: Option<Expr>,
    /// The method.
    pub method: Method,
    /// Query parameters: an object; a list repeats its name, null leaves it out.
    pub query: Option<Expr>,
    /// Headers: an object; null leaves one out.
    pub headers: Option<Expr>,
    /// What it carries.
    pub body: BodyPlan,
    /// Who we are.
    pub auth: Auth,
    /// How its answer is read.
    pub decoder: Decoder,
    /// What its answer means.
    pub errors: ErrorRules,
}

/// What a request carries.
#[derive(Debug, Clone, Default)]
pub enum BodyPlan {
    /// Nothing but what is injected.
    #[default]
    Empty,
    /// JSON: what the expression gives.
    Json(Expr),
    /// A form: an object.
    Form(Expr),
    /// Text as it is.
    Text(Expr),
}

/// A place in a request for a value.
#[derive(Debug, Clone)]
pub enum Inject {
    /// A query parameter.
    Query(Expr),
    /// A header.
    Header(Expr),
    /// A form field.
    Form(Expr),
    /// A member of the JSON body, by its path.
    Json(Vec<Expr>),
    /// The URL or path itself (only a page token).
    Url,
}

/// Who we are.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Nobody says.
    #[default]
    None,
    /// A value at a place, such as a key in a header.
    Key {
        /// Where.
        at: Inject,
        /// What.
        value: Expr,
    },
    /// `Authorization: Bearer …`.
    Bearer(Expr),
    /// `Authorization: Basic …`.
    Basic {
        /// The user.
        user: Expr,
        /// The password.
        password: Expr,
    },
    /// A token that is fetched or signed and lasts for a while; shared by all requesters that hold this plan.
    Token(Arc<TokenPlan>),
}

/// A token that lasts for a while.
#[derive(Debug)]
pub struct TokenPlan {
    /// Where it comes from.
    pub source: TokenSource,
    /// How long it lasts.
    pub lifetime: Lifetime,
    /// A token to begin with, and until when it lasts.
    pub initial: Option<(Expr, i64)>,
    /// Where it goes: `None` is `Authorization: Bearer …`.
    pub at: Option<Inject>,
    /// What stands before the token, such as `Token `; for `at` of `None` instead of `Bearer `.
    pub prefix: Option<String>,
}

/// Where a token comes from.
#[derive(Debug)]
pub enum TokenSource {
    /// A request. A refresh token of an earlier answer is seen as `refresh_token`.
    Request {
        /// The request.
        requester: Box<Requester>,
        /// Where the answer has the token.
        token: Path,
        /// Where the answer has the next refresh token, if it gives one.
        refresh_token: Option<Path>,
    },
    /// A JWT that we sign.
    Jwt(Jwt),
}

/// A JWT that we sign.
#[derive(Debug)]
pub struct Jwt {
    /// `HS256`, `HS384`, `HS512`, `RS256`, `RS384`, `RS512`, `PS256`, `ES256`, `EdDSA`, …
    pub algorithm: String,
    /// The key: text, or PEM for asymmetric algorithms.
    pub key: Expr,
    /// How the real key follows from it.
    pub key_form: KeyForm,
    /// Further members of the header: an object.
    pub headers: Option<Expr>,
    /// Claims: an object; `iat`, `nbf` and `exp` are added.
    pub claims: Option<Expr>,
}

/// How the real key follows from the one that is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// It is the one.
    Plain,
    /// It is base64 of the real one.
    Decode,
    /// The real one is base64 of it.
    Encode,
}

/// How long a token lasts.
#[derive(Debug, Clone)]
pub enum Lifetime {
    /// As long as the run.
    Run,
    /// So long.
    Fixed(Duration),
    /// Seconds, where the answer says them.
    Seconds(Path),
    /// An instant, where the answer says it.
    Until(Path, Arc<dyn Positions>),
}

/// How an answer's body is read. Each bound is the engine's.
#[derive(Debug, Clone, Default)]
pub enum Decoder {
    /// JSON.
    #[default]
    Json,
    /// One JSON value a line.
    JsonLines,
    /// Each line is a record `{"record": line}`.
    Lines,
    /// CSV with a header.
    Csv {
        /// Between fields.
        delimiter: u8,
        /// The encoding's label.
        encoding: String,
        /// Values that become null.
        nulls: Vec<String>,
    },
    /// XML, as nested objects.
    Xml,
    /// Gzip around another.
    Gzip(Box<Self>),
    /// The files of a zip archive, each read by another.
    Zip(Box<Self>),
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

/// What an answer means.
#[derive(Debug, Clone, Default)]
pub struct ErrorRules {
    /// Looked at in order; the first one that has an opinion counts.
    pub handlers: Vec<Handler>,
}

/// A set of rules with its own waits.
#[derive(Debug, Clone)]
pub struct Handler {
    /// Looked at in order.
    pub rules: Vec<Rule>,
    /// What a status means that no rule names; `None` leaves it to the next handler.
    pub fallback: Option<Fallback>,
    /// How often a request is tried again.
    pub max_retries: u32,
    /// How long the waits may be in all.
    pub max_time: Duration,
    /// How long to wait; the first that knows counts, else the engine's own growing wait.
    pub waits: Vec<Wait>,
    /// Added to each of `waits`.
    pub extra_wait: Duration,
}

/// What statuses mean that no rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// 2xx is a success, 429 and 5xx are tried again, the rest fails.
    Usual,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The statuses it is for; with the other conditions empty it is for these alone.
    pub statuses: Vec<u16>,
    /// Text that the error message of the answer holds.
    pub contains: Option<String>,
    /// A condition on the answer.
    pub when: Option<Expr>,
    /// What then.
    pub action: Action,
    /// What is said, where the action is to fail.
    pub message: Option<Expr>,
    /// The kind of error, where the action is to fail; else by the status.
    pub kind: Option<ErrorKind>,
}

/// What is done about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Its records are taken.
    Success,
    /// It is taken as an empty page.
    Ignore,
    /// The request is sent again.
    Retry,
    /// The request is sent again; the remote is overloaded.
    RateLimited,
    /// The stream fails.
    Fail,
    /// The token is made anew and the request sent again.
    RefreshToken,
    /// Paging begins anew.
    ResetPages,
}

/// How long to wait before the next attempt.
#[derive(Debug, Clone)]
pub enum Wait {
    /// So many seconds.
    Constant(Expr),
    /// The factor in seconds, times 2 to the number of attempts.
    Exponential(Expr),
    /// As long as a header says, in seconds.
    Header {
        /// The header.
        name: Expr,
        /// What of it is the number.
        pattern: Option<Arc<dyn Capture>>,
        /// Above this the stream fails instead.
        max: Option<Duration>,
    },
    /// Until the instant that a header says, in seconds of Unix time.
    Until {
        /// The header.
        name: Expr,
        /// What of it is the number.
        pattern: Option<Arc<dyn Capture>>,
        /// The least wait.
        min: Option<Expr>,
    },
}

/// Finds a part of a text.
pub trait Capture: Send + Sync + fmt::Debug {
    /// The part, if there is one.
    fn capture(&self, text: &str) -> Option<String>;
}

/// What the remote allows.
#[derive(Debug, Clone, Default)]
pub struct BudgetPlan {
    /// The first whose matchers fit a request counts it.
    pub policies: Vec<BudgetPolicy>,
    /// The header that says how many requests are left.
    pub remaining_header: Option<String>,
    /// The header that says when the count begins anew, in seconds of Unix time.
    pub reset_header: Option<String>,
    /// Answers that mean that nothing is left.
    pub exhausted_statuses: Vec<u16>,
}

/// A limit on some requests.
#[derive(Debug, Clone)]
pub struct BudgetPolicy {
    /// Which requests; none means all.
    pub matchers: Vec<BudgetMatcher>,
    /// All of these hold; none means that there is no limit.
    pub rates: Vec<BudgetRate>,
    /// Whether windows follow each other, instead of moving with time.
    pub fixed_window: bool,
}

/// So many requests in so long.
#[derive(Debug, Clone, Copy)]
pub struct BudgetRate {
    /// How many.
    pub limit: u32,
    /// In how long.
    pub interval: Duration,
}

/// Which requests a limit is for.
#[derive(Debug, Clone, Default)]
pub struct BudgetMatcher {
    /// The method.
    pub method: Option<Method>,
    /// What the URL begins with.
    pub url_base: Option<String>,
    /// What the path must fit.
    pub path: Option<Arc<dyn Capture>>,
    /// Query parameters that must be there.
    pub query: Vec<(String, String)>,
    /// Headers that must be there.
    pub headers: Vec<(String, String)>,
}

/// A slice as state and messages name it.
pub type Partition = Slice;
