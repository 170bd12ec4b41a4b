//! What goes wrong.

use std::num::NonZeroU64;

/// What goes wrong, by counting and by the clock, never by chance.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// How many calls are taken in any window.
    pub rate: Option<Rate>,
    /// The answer to every so many-th writing call is lost after the records were written.
    pub lose_answer_every: Option<NonZeroU64>,
    /// Every so many-th call is answered 500 and does nothing.
    pub fail_every: Option<NonZeroU64>,
    /// How long a new or changed record stays out of search results.
    pub search_lag_ms: u64,
    /// How long an access token lasts.
    pub token_ms: Option<u64>,
    /// How many calls an access token is good for, whatever its time.
    pub token_calls: Option<u64>,
    /// How a gateway in front of the vendor refuses a call too many, instead of the vendor's own way.
    pub retry_after: Option<RetryAfter>,
    /// A value that holds this text is refused.
    pub refuse: Option<String>,
    /// Whether one refused row makes the vendor refuse the whole batch, where the vendor is known to do either.
    pub whole_batch_fails: bool,
}

/// So many calls in any window of that length.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// How many.
    pub calls: u64,
    /// The window.
    pub window_ms: u64,
}

/// The two forms of `Retry-After` (RFC 9110, section 10.2.3), with status 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// Seconds from now.
    Seconds,
    /// An HTTP date.
    Date,
}

impl Conditions {
    /// Whether a value is refused.
    #[must_use]
    pub fn refuses(&self, value: &str) -> bool {
        self.refuse.as_deref().is_some_and(|part| value.contains(part))
    }
}
