//! How the client waits: for a budget, or before it tries again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The waiting clock. A test, and a read at a given time, hand in one whose time passes only by waiting on it.
#[derive(Debug, Clone)]
pub struct Pause(Inner);

#[derive(Debug, Clone)]
enum Inner {
    Real(Instant),
    Virtual(Arc<Virtual>),
}

#[derive(Debug, Default)]
struct Virtual {
    elapsed: Mutex<Duration>,
    /// Tells who waits for an answer that there will be none.
    hung: Notify,
}

impl Virtual {
    fn pass(&self, wait: Duration) {
        *self.elapsed.lock().unwrap_or_else(PoisonError::into_inner) += wait;
    }
}

impl Pause {
    /// Waits in real time.
    #[must_use]
    pub fn real() -> Self {
        Self(Inner::Real(Instant::now()))
    }

    /// Returns at once from every wait and only notes its length. `tokio::time::pause` is no substitute: it lets request
    /// timeouts fire while the answer is on its way.
    #[must_use]
    pub fn virtual_time() -> Self {
        Self(Inner::Virtual(Arc::default()))
    }

    /// How long this clock has been running; for a virtual one, how long was waited in all.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Inner::Real(start) => start.elapsed(),
            Inner::Virtual(clock) => *clock.elapsed.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Whether its time is the world's: only then can two readers of one clock wait for each other.
    #[must_use]
    pub fn is_real(&self) -> bool {
        matches!(self.0, Inner::Real(_))
    }

    /// Lets the time pass in which the remote does not answer: everybody who waits for an answer gives up, at once. Without virtual
    /// time it says nothing.
    pub fn hang(&self) {
        if let Inner::Virtual(clock) = &self.0 {
            clock.hung.notify_waiters();
        }
    }

    /// The work's result, or nothing when it hung for so long. In real time the work has to end by itself.
    pub(super) async fn answered<T>(&self, within: Duration, work: impl Future<Output = T>) -> Option<T> {
        let Inner::Virtual(clock) = &self.0 else { return Some(work.await) };
        let mut hung = std::pin::pin!(clock.hung.notified());
        hung.as_mut().enable();
        tokio::select! {
            biased;
            done = work => Some(done),
            () = hung => {
                clock.pass(within);
                None
            }
        }
    }

    /// Waits.
    pub async fn sleep(&self, wait: Duration) {
        match &self.0 {
            Inner::Real(_) => tokio::time::sleep(wait).await,
            Inner::Virtual(clock) => clock.pass(wait),
        }
    }
}
