//! Access tokens that end.

use crate::Conditions;

/// The access tokens of one account: the last one issued is good, until its time or its calls are used up.
#[derive(Debug)]
pub(crate) struct Tokens {
    prefix: &'static str,
    lasts_ms: u64,
    issued: u64,
    ends_us: i64,
    calls_left: u64,
}

impl Tokens {
    /// None yet; each begins with `prefix` and lasts `lasts_ms`, unless the conditions say otherwise.
    pub(crate) fn new(prefix: &'static str, lasts_ms: u64) -> Self {
        Self { prefix, lasts_ms, issued: 0, ends_us: 0, calls_left: 0 }
    }

    /// A new one; those before it are worth nothing.
    pub(crate) fn issue(&mut self, conditions: &Conditions, now_us: i64) -> String {
        self.issued += 1;
        let lasts_ms = conditions.token_ms.unwrap_or(self.lasts_ms);
        self.ends_us = now_us.saturating_add(i64::try_from(lasts_ms * 1_000).unwrap_or(i64::MAX));
        self.calls_left = conditions.token_calls.unwrap_or(u64::MAX);
        self.current()
    }

    /// Whether a call may show this one.
    pub(crate) fn takes(&mut self, shown: Option<&str>, now_us: i64) -> bool {
        if self.issued == 0 || shown != Some(&self.current()) || now_us >= self.ends_us || self.calls_left == 0 {
            return false;
        }
        self.calls_left -= 1;
        true
    }

    fn current(&self) -> String {
        format!("{}{}", self.prefix, self.issued)
    }
}
