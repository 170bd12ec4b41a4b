//! What answers mean, how long to wait, and what the remote allows.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use headwater_sdk::ErrorKind;
use headwater_sdk::http::Method;

use crate::engine::expr::Expr;

/// What an answer means.
#[derive(Debug, Clone, Default)]
pub struct ErrorRules {
    /// Looked at in order; the first one that has an opinion counts.
    pub handlers: Vec<Handler>,
}

/// A set of rules with its own waits.
#[derive(Debug, Clone)]
pub struct Handler {
    /// Looked at in order.
    pub rules: Vec<Rule>,
    /// What a status means that no rule names; `None` leaves it to the next handler.
    pub fallback: Option<Fallback>,
    /// How often a request is tried again.
    pub max_retries: u32,
    /// How long the waits may be in all.
    pub max_time: Duration,
    /// How long to wait; the first that knows counts, else the engine's own growing wait.
    pub waits: Vec<Wait>,
    /// Added to each of `waits`.
    pub extra_wait: Duration,
}

/// What statuses mean that no rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// 2xx is a success, 429 and 5xx are tried again, the rest fails.
    Usual,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The statuses it is for; with the other conditions empty it is for these alone.
    pub statuses: Vec<u16>,
    /// Text that the error message of the answer holds.
    pub contains: Option<String>,
    /// A condition on the answer.
    pub when: Option<Expr>,
    /// What then.
    pub action: Action,
    /// What is said, where the action is to fail.
    pub message: Option<Expr>,
    /// The kind of error, where the action is to fail; else by the status.
    pub kind: Option<ErrorKind>,
}

/// What is done about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Its records are taken.
    Success,
    /// It is taken as an empty page.
    Ignore,
    /// The request is sent again.
    Retry,
    /// The request is sent again; the remote is overloaded.
    RateLimited,
    /// The stream fails.
    Fail,
    /// The token is made anew and the request sent again.
    RefreshToken,
    /// Paging begins anew.
    ResetPages,
}

/// How long to wait before the next attempt.
#[derive(Debug, Clone)]
pub enum Wait {
    /// So many seconds.
    Constant(Expr),
    /// The factor in seconds, times 2 to the number of attempts.
    Exponential(Expr),
    /// As long as a header says, in seconds.
    Header {
        /// The header.
        name: Expr,
        /// What of it is the number.
        pattern: Option<Arc<dyn Capture>>,
        /// Above this the stream fails instead.
        max: Option<Duration>,
    },
    /// Until the instant that a header says, in seconds of Unix time.
    Until {
        /// The header.
        name: Expr,
        /// What of it is the number.
        pattern: Option<Arc<dyn Capture>>,
        /// The least wait.
        min: Option<Expr>,
    },
}

/// Finds a part of a text.
pub trait Capture: Send + Sync + fmt::Debug {
    /// The part, if there is one.
    fn capture(&self, text: &str) -> Option<String>;
}

/// What the remote allows.
#[derive(Debug, Clone, Default)]
pub struct BudgetPlan {
    /// The first whose matchers fit a request counts it.
    pub policies: Vec<BudgetPolicy>,
    /// What the plan's requests alone must keep to, beside what all requests of the credential must.
    pub own: Option<BudgetRate>,
    /// The header that says how many requests are left.
    pub remaining_header: Option<String>,
    /// The header that says when the count begins anew, in seconds of Unix time.
    pub reset_header: Option<String>,
    /// Answers that mean that nothing is left.
    pub exhausted_statuses: Vec<u16>,
}

/// A limit on some requests.
#[derive(Debug, Clone)]
pub struct BudgetPolicy {
    /// Which requests; none means all.
    pub matchers: Vec<BudgetMatcher>,
    /// All of these hold; none means that there is no limit.
    pub rates: Vec<BudgetRate>,
    /// Whether windows follow each other, instead of moving with time.
    pub fixed_window: bool,
}

/// So many requests in so long.
#[derive(Debug, Clone, Copy)]
pub struct BudgetRate {
    /// How many.
    pub limit: u32,
    /// In how long.
    pub interval: Duration,
}

/// Which requests a limit is for.
#[derive(Debug, Clone, Default)]
pub struct BudgetMatcher {
    /// The method.
    pub method: Option<Method>,
    /// What the URL begins with.
    pub url_base: Option<String>,
    /// What the path must fit.
    pub path: Option<Arc<dyn Capture>>,
    /// Query parameters that must be there.
    pub query: Vec<(String, String)>,
    /// Headers that must be there.
    pub headers: Vec<(String, String)>,
}
