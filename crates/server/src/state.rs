//! What the handlers share.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use headwater_runtime::intake::{Clock, Endpoint, IntakeLog};
use tokio::sync::{Semaphore, watch};

use crate::metrics::Counters;

/// Posts at work at once. With the bound on a form they hold at most 64 MiB.
pub(crate) const MAX_POSTS: usize = 256;

/// What the server is made from.
pub struct Setup {
    /// The intake sources of the project.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Intake sources that the project had once. They are answered as paused ones are, so that renaming a source does not make its
    /// sender switch the webhook off before anybody notices.
    pub retired: BTreeSet<String>,
    /// Where deliveries are kept.
    pub log: Arc<dyn IntakeLog>,
    /// The time.
    pub clock: Clock,
    /// How the last run went; told by whoever runs them.
    pub last_run: watch::Receiver<Option<LastRun>>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("endpoints", &self.endpoints.keys()).finish_non_exhaustive()
    }
}

/// How the last run went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRun {
    /// Its id.
    pub run_id: String,
    /// Whether it did all it had to.
    pub succeeded: bool,
    /// When it ended, in microseconds of UTC.
    pub finished_at_us: i64,
    /// How many rows of each source ended in each bucket.
    pub rows: BTreeMap<(String, String), u64>,
}

/// What the handlers share; cheap to clone.
#[derive(Clone)]
pub struct AppState(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) doors: BTreeMap<String, Door>,
    pub(crate) log: Arc<dyn IntakeLog>,
    pub(crate) clock: Clock,
    pub(crate) last_run: watch::Receiver<Option<LastRun>>,
    pub(crate) posts: Semaphore,
    pub(crate) counters: Counters,
}

/// Where the deliveries of one source come in.
pub(crate) enum Door {
    Open { endpoint: Box<Endpoint>, limiter: Option<DefaultDirectRateLimiter> },
    Shut,
}

impl AppState {
    /// The state of a server that has answered nothing yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let Setup { endpoints, retired, log, clock, last_run } = setup;
        let mut doors: BTreeMap<String, Door> = retired.into_iter().map(|name| (name, Door::Shut)).collect();
        doors.extend(endpoints.into_iter().map(|(name, endpoint)| (name, Door::of(endpoint))));
        let (posts, counters) = (Semaphore::new(MAX_POSTS), Counters::default());
        Self(Arc::new(Inner { doors, log, clock, last_run, posts, counters }))
    }
}

impl Door {
    fn of(endpoint: Endpoint) -> Self {
        if endpoint.config().paused {
            return Self::Shut;
        }
        let quota = Quota::per_minute(endpoint.config().unsigned_per_minute);
        let limiter = endpoint.is_public().then(|| RateLimiter::direct(quota));
        Self::Open { endpoint: Box::new(endpoint), limiter }
    }
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState").field("sources", &self.0.doors.keys()).finish_non_exhaustive()
    }
}
