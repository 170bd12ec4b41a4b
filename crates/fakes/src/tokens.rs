//! Access tokens that end.

use std::collections::VecDeque;

use crate::Conditions;

/// How many tokens are good at once: a newer one ends the oldest, after zoho.com/crm/developer/docs (token validity).
const AT_ONCE: usize = 15;

/// The access tokens of one account: each is good until its time or its calls are used up.
#[derive(Debug)]
pub(crate) struct Tokens {
    prefix: &'static str,
    lasts_ms: u64,
    issued: u64,
    /// Those that may be good still, the oldest first.
    good: VecDeque<Token>,
}

#[derive(Debug)]
struct Token {
    text: String,
    ends_us: i64,
    calls_left: u64,
}

impl Tokens {
    /// None yet; each begins with `prefix` and lasts `lasts_ms`, unless the conditions say otherwise.
    pub(crate) fn new(prefix: &'static str, lasts_ms: u64) -> Self {
        Self { prefix, lasts_ms, issued: 0, good: VecDeque::new() }
    }

    /// A new one; those before it last on.
    pub(crate) fn issue(&mut self, conditions: &Conditions, now_us: i64) -> String {
        self.issued += 1;
        let text = format!("{}{}", self.prefix, self.issued);
        let lasts_ms = conditions.token_ms.unwrap_or(self.lasts_ms);
        let ends_us = now_us.saturating_add(i64::try_from(lasts_ms * 1_000).unwrap_or(i64::MAX));
        let calls_left = conditions.token_calls.unwrap_or(u64::MAX);
        self.good.push_back(Token { text: text.clone(), ends_us, calls_left });
        if self.good.len() > AT_ONCE {
            self.good.pop_front();
        }
        text
    }

    /// Whether a call may show this one.
    pub(crate) fn takes(&mut self, shown: Option<&str>, now_us: i64) -> bool {
        let token = self.good.iter_mut().find(|token| shown == Some(&token.text));
        let token = token.filter(|token| now_us < token.ends_us && token.calls_left > 0);
        token.map(|token| token.calls_left -= 1).is_some()
    }
}
