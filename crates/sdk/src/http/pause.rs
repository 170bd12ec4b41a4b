//! How the client waits: for a budget, or before it tries again.

use std::time::Duration;

use tokio::time::Instant;

/// The waiting clock. A test, and a read at a given time, hand in one whose time passes only by waiting on it.
#[derive(Debug, Clone)]
pub struct Pause(Inner);

#[derive(Debug, Clone)]
enum Inner {
    Real(Instant),
    Virtual(std::sync::Arc<std::sync::Mutex<Duration>>),
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
        Self(Inner::Virtual(std::sync::Arc::default()))
    }

    /// How long this clock has been running; for a virtual one, how long was waited in all.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Inner::Real(start) => start.elapsed(),
            Inner::Virtual(elapsed) => *elapsed.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
        }
    }

    /// Whether its time is the world's: only then can two readers of one clock wait for each other.
    #[must_use]
    pub fn is_real(&self) -> bool {
        matches!(self.0, Inner::Real(_))
    }

    /// Waits.
    pub async fn sleep(&self, wait: Duration) {
        match &self.0 {
            Inner::Real(_) => tokio::time::sleep(wait).await,
            Inner::Virtual(elapsed) => *elapsed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += wait,
        }
    }
}
