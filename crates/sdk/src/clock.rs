//! The one door through which time comes in.

use std::sync::Arc;

use jiff::Timestamp;

/// Tells the time. Cheap to clone; a test hands in a fixed one.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the door")]
        Self(Arc::new(Timestamp::now))
    }

    /// A clock that tells what `now` says; for tests in which time goes on.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// A clock that always tells `at`.
    #[must_use]
    pub fn fixed(at: Timestamp) -> Self {
        Self(Arc::new(move || at))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
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
