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
        self.judge(now, &mut self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn judge(&self, now: Duration, sent: &mut VecDeque<Duration>) -> Result<(), Duration> {
        while sent.front().is_some_and(|at| *at + self.length <= now) {
            sent.pop_front();
        }
        match sent.front() {
            Some(first) if sent.len() >= self.requests => Err(*first + self.length - now),
            _ => {
                sent.push_back(now);
                Ok(())
            }
        }
    }
}
