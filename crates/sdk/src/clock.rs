//! The one door through which time comes in.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::http::Pause;

/// Tells the time. Cheap to clone; a test hands in a fixed one.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// How whoever goes by this clock waits; in real time where it says nothing.
    pause: Option<Pause>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the door")]
        Self::new(Timestamp::now)
    }

    /// A clock that tells what `now` says; for tests in which time goes on.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { now: Arc::new(now), pause: None }
    }

    /// A clock that always tells `at`.
    #[must_use]
    pub fn fixed(at: Timestamp) -> Self {
        Self::new(move || at)
    }

    /// A clock whose time begins at `at` and passes only by waiting, which nobody does in earnest.
    #[must_use]
    pub fn virtual_from(at: Timestamp) -> Self {
        let pause = Pause::virtual_time();
        let waited = pause.clone();
        let now = move || SignedDuration::try_from(waited.elapsed()).ok().and_then(|waited| at.checked_add(waited).ok());
        Self { now: Arc::new(move || now().unwrap_or(at)), pause: Some(pause) }
    }

    /// How to wait by this clock.
    #[must_use]
    pub fn pause(&self) -> Pause {
        self.pause.clone().unwrap_or_else(Pause::real)
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// The time now, in microseconds since 1970 in UTC: the unit of every instant in the lake.
    #[must_use]
    pub fn now_us(&self) -> i64 {
        self.now().as_microsecond()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
