//! What an answer, or its absence, means.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::{HttpResponse, HttpSettings, RequestSpec};
use crate::{Error, ErrorKind, Retry};

/// How much of a refusing body is kept for the connector.
const EXCERPT_BYTES: usize = 4 * 1024;

/// A refusing answer, kept as the source of its [`Error`]. It prints its status only: a body may hold a person's data.
pub struct HttpError {
    status: StatusCode,
    excerpt: String,
}

impl HttpError {
    /// The refusing answer behind an error, if one is.
    #[must_use]
    pub fn of(error: &Error) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The beginning of its body, for the connector to judge; never for a message.
    #[must_use]
    pub fn excerpt(&self) -> &str {
        &self.excerpt
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the remote answered {}", self.status)
    }
}

impl fmt::Debug for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpError").field("status", &self.status).finish_non_exhaustive()
    }
}

impl std::error::Error for HttpError {}

/// The error that an answer is, unless it is a success.
pub(super) fn of_answer(settings: &HttpSettings, request: &RequestSpec, answer: &HttpResponse) -> Option<Error> {
    let status = answer.status();
    if status.is_success() {
        return None;
    }
    let overloaded = settings.overload.as_ref().is_some_and(|judge| judge(status, answer.headers(), answer.body()));
    let kind = if overloaded { ErrorKind::RateLimited } else { kind_of(status) };
    let message = match kind {
        ErrorKind::Auth => "the remote refused our credentials",
        ErrorKind::RateLimited => "the remote asks us to slow down",
        ErrorKind::Unavailable => "the remote does not work now",
        ErrorKind::NotFound => "the remote does not know this",
        ErrorKind::Conflict => "the remote says that this conflicts with what it has",
        ErrorKind::Rejected => "the remote refused the request",
        ErrorKind::Config | ErrorKind::Protocol | ErrorKind::Input | ErrorKind::Unsupported | ErrorKind::Internal => {
            "the remote gave an answer that means nothing to us"
        }
    };
    let mut excerpt = String::from_utf8_lossy(answer.body().get(..EXCERPT_BYTES).unwrap_or(answer.body())).into_owned();
    excerpt.shrink_to_fit();
    let error = located(Error::new(kind, message), settings, request)
        .context("status", status.as_u16().to_string())
        .source(HttpError { status, excerpt });
    let asked = retry_after(answer.headers(), settings.clock.now());
    Some(match (error.retry_advice(), asked) {
        (Retry::Backoff, Some(wait)) => error.retry(Retry::After(wait)),
        (Retry::Never | Retry::Backoff | Retry::After(_), _) => error,
    })
}

/// The error behind a request that got no full answer.
pub(super) fn of_transport(settings: &HttpSettings, request: &RequestSpec, cause: reqwest::Error) -> Error {
    // The URL holds the query, which may hold anything.
    let cause = cause.without_url();
    let error = if cause.is_redirect() {
        Error::new(ErrorKind::Protocol, "the remote redirects to another host")
            .hint("set the url to the address that the remote itself uses")
    } else if cause.is_timeout() {
        return late(settings, request).source(root(&cause));
    } else if cause.is_connect() {
        Error::new(ErrorKind::Unavailable, "the remote cannot be reached")
    } else if cause.is_builder() {
        Error::new(ErrorKind::Internal, "the request cannot be made")
    } else if cause.is_decode() {
        // A body that breaks off looks the same as one that was packed wrongly; the first passes by itself.
        Error::new(ErrorKind::Unavailable, "the remote's answer broke off, or cannot be decompressed")
    } else {
        Error::new(ErrorKind::Unavailable, "the connection broke")
    };
    located(error, settings, request).source(root(&cause))
}

/// The error behind a request that got no answer in its time.
pub(super) fn late(settings: &HttpSettings, request: &RequestSpec) -> Error {
    located(Error::new(ErrorKind::Unavailable, "the remote did not answer in time"), settings, request)
}

/// What lies at the bottom: the layers above it only say that something below them failed.
fn root(cause: &reqwest::Error) -> String {
    let mut root: &dyn std::error::Error = cause;
    while let Some(below) = root.source() {
        root = below;
    }
    root.to_string()
}

/// Adds where an error happened.
pub(super) fn located(error: Error, settings: &HttpSettings, request: &RequestSpec) -> Error {
    error.context("request", request.name()).context("host", settings.base_url.host_str().unwrap_or_default())
}

fn kind_of(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 | 403 => ErrorKind::Auth,
        404 | 410 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::RateLimited,
        408 | 425 | 500..=599 => ErrorKind::Unavailable,
        400..=499 => ErrorKind::Rejected,
        _ => ErrorKind::Protocol,
    }
}

/// How long the remote asks us to wait: seconds, or a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}
