//! Requests in a moving window.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Account, Rate};

/// Lets so many requests through in any window of a length, at once or spread: what was not used while the caller was busy with
/// something else can be used afterwards.
///
/// The remote counts when requests arrive, and the way of one may take longer than that of the next. So our window is a 25th longer than
/// the remote's, by which ways may differ; 96 % of what is allowed can be used.
#[derive(Debug)]
pub(super) struct Window {
    requests: usize,
    length: Duration,
    /// When those of the present window were sent.
    sent: Mutex<VecDeque<Duration>>,
    /// Where the requests of all processes are counted.
    account: Option<Account>,
}

impl Window {
    pub(super) fn new(rate: Rate, account: Option<Account>) -> Self {
        let requests = usize::try_from(rate.requests.get()).unwrap_or(usize::MAX);
        Self { requests, length: rate.per + rate.per / 25, sent: Mutex::default(), account }
    }

    /// Counts a request that is sent now, or says how long it should wait before it asks again.
    pub(super) fn take(&self, now: Duration) -> Result<(), Duration> {
        let shared = self.account.as_ref().and_then(|account| account.with(self.length, |now, sent| self.judge(now, sent)));
        if let Some(told) = shared {
            return told;
        }
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        while sent.front().is_some_and(|at| *at + self.length <= now) {
            sent.pop_front();
        }
        self.judge(now, &mut sent)
    }

    fn judge(&self, now: Duration, sent: &mut VecDeque<Duration>) -> Result<(), Duration> {
        match wait_for_window(self.requests, self.length, now, sent) {
            Some(wait) => Err(wait),
            None => {
                sent.push_back(now);
                Ok(())
            }
        }
    }
}

/// How long the next request should wait so that no window of that length holds more than so many; nothing when it need not. `sent` may
/// reach back farther than the window.
#[must_use]
pub fn wait_for_window(requests: usize, length: Duration, now: Duration, sent: &VecDeque<Duration>) -> Option<Duration> {
    let nth = sent.len().checked_sub(requests.max(1))?;
    let free = *sent.get(nth)? + length;
    (free > now).then(|| free - now)
}
