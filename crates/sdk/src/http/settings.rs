//! What a client is told when it is made.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::Pause;
use crate::{BuildContext, Clock, Error, ErrorKind, Result};

/// The largest body kept in memory, after decompression: far above any page a sane API gives.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
/// How long one attempt may take, from the first byte out to the last byte in.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often one request is tried in all.
const MAX_ATTEMPTS: usize = 5;
/// How many requests are in flight at once unless the connector says otherwise.
const CONCURRENT: usize = 8;

/// Makes the headers that prove who we are, anew for every attempt: a token may have expired while we waited.
pub type Authorize = Arc<dyn Fn() -> Result<HeaderMap> + Send + Sync>;

/// Says whether an answer means overload although its status says something else.
pub type Overload = Arc<dyn Fn(StatusCode, &HeaderMap, &[u8]) -> bool + Send + Sync>;

/// How much the remote allows.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Requests per time; the client waits, it does not fail.
    pub rate: Option<Rate>,
    /// Requests in flight at once.
    pub concurrent: NonZeroUsize,
}

/// So many requests in any window of that length.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// How many.
    pub requests: NonZeroU32,
    /// The window.
    pub per: Duration,
}

/// Everything a client needs to know. Make one with [`HttpSettings::new`] and change what differs.
#[derive(Clone)]
pub struct HttpSettings {
    /// Where every path starts; its host is the only one that is called.
    pub base_url: Url,
    /// Headers sent with every request.
    pub headers: HeaderMap,
    /// Headers made for every attempt.
    pub authorize: Option<Authorize>,
    /// What the remote allows.
    pub budget: Budget,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// The largest body, after decompression.
    pub max_body_bytes: usize,
    /// How often a request is tried in all.
    pub max_attempts: usize,
    /// Which answers mean overload although their status says otherwise.
    pub overload: Option<Overload>,
    /// Whether loopback and private addresses may be called.
    pub allow_private_hosts: bool,
    /// How the client names itself.
    pub user_agent: String,
    /// The time, to read a `Retry-After` date.
    pub clock: Clock,
    /// How the client waits.
    pub pause: Pause,
}

impl HttpSettings {
    /// Settings with the bounds every connector starts from.
    #[must_use]
    pub fn new(base_url: Url, cx: &BuildContext) -> Self {
        Self {
            base_url,
            headers: HeaderMap::new(),
            authorize: None,
            budget: Budget { rate: None, concurrent: NonZeroUsize::new(CONCURRENT).unwrap_or(NonZeroUsize::MIN) },
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            max_body_bytes: MAX_BODY_BYTES,
            max_attempts: MAX_ATTEMPTS,
            overload: None,
            allow_private_hosts: cx.allow_private_hosts,
            user_agent: concat!("headwater/", env!("CARGO_PKG_VERSION")).to_owned(),
            clock: cx.clock.clone(),
            pause: cx.clock.pause(),
        }
    }

    /// Adds a header to every request.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// Adds a header whose value is secret to every request.
    ///
    /// # Errors
    /// `Config` when the value cannot stand in a header.
    pub fn secret_header(mut self, name: HeaderName, value: &str) -> Result<Self> {
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            Error::new(ErrorKind::Config, "the secret holds a character that cannot be sent in a header")
                .hint("check it for line ends and for characters that were pasted along")
        })?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }
}

impl std::fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpSettings").field("host", &self.base_url.host_str()).finish_non_exhaustive()
    }
}

/// Reads a base URL from the settings.
///
/// # Errors
/// `Config` when it is no http or https URL, or holds a user, password, query or fragment.
pub fn base_url(text: &str) -> Result<Url> {
    let wrong = |what: &str| Error::new(ErrorKind::Config, what.to_owned()).context("path", "url");
    let url = Url::parse(text.trim()).map_err(|error| wrong("the url cannot be read").source(error))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("the url must start with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("the url holds a user or password").hint("name the secret by reference in its own key"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("the url must end with its path: no `?` and no `#`"));
    }
    Ok(url)
}
