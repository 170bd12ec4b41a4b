//! `POST /in/{source}`: judged, made durable, answered. `GET` and `HEAD`: some senders ask before they post.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::Response;
use futures::StreamExt;
use governor::clock::{Clock as _, DefaultClock};
use headwater_runtime::intake::{Appended, Asked, Endpoint, Incoming, IntakeRecord, LogError, is_browser_form};
use tracing::{debug, error, warn};

use crate::answer::Outcome;
use crate::metrics::UNKNOWN;
use crate::state::{AppState, Door, Inner};

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the disk may take. Senders wait between two seconds (Ghost) and thirty; some let every later delivery wait behind this
/// one, so an honest "not now" is better than a late yes.
const APPEND_TIMEOUT: Duration = Duration::from_millis(900);

pub(crate) async fn without_token(state: State<AppState>, Path(source): Path<String>, request: Request) -> Response {
    post(&state.0.0, &source, None, request).await
}

pub(crate) async fn with_token(
    state: State<AppState>,
    Path((source, token)): Path<(String, String)>,
    request: Request,
) -> Response {
    post(&state.0.0, &source, Some(&token), request).await
}

pub(crate) async fn asked_without_token(state: State<AppState>, Path(source): Path<String>, uri: Uri) -> Response {
    ask(&state.0.0, &source, None, &uri)
}

pub(crate) async fn asked_with_token(
    state: State<AppState>,
    Path((source, token)): Path<(String, String)>,
    uri: Uri,
) -> Response {
    ask(&state.0.0, &source, Some(&token), &uri)
}

/// Nothing is kept of a question.
fn ask(state: &Inner, source: &str, token: Option<&str>, uri: &Uri) -> Response {
    let (name, outcome) = match state.doors.get_key_value(source) {
        None => (UNKNOWN, Outcome::UnknownSource),
        Some((name, Door::Shut)) => (name.as_str(), Outcome::Away),
        Some((name, Door::Open { endpoint, .. })) => {
            let asked = Asked { query: uri.query().unwrap_or_default(), token };
            let outcome = match endpoint.answer(&asked) {
                Ok(Some(reply)) => Outcome::Answered(reply),
                Ok(None) => Outcome::NothingToAsk,
                Err(refusal) => Outcome::Refused(refusal),
            };
            (name.as_str(), outcome)
        }
    };
    state.counters.count(name, outcome.code());
    debug!(source = name, outcome = outcome.code(), "question answered");
    outcome.answer(false, None)
}

async fn post(state: &Inner, source: &str, token: Option<&str>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let content_type = text(headers, header::CONTENT_TYPE);
    let browser = is_browser_form(content_type) && text(headers, header::ACCEPT).contains("text/html");
    let (name, outcome, redirect) = match state.doors.get_key_value(source) {
        // The name in the path is anybody's text, and would make a metric of every guess.
        None => (UNKNOWN, Outcome::UnknownSource, None),
        Some((name, Door::Shut)) => (name.as_str(), Outcome::Away, None),
        Some((name, Door::Open { endpoint, limiter })) => {
            let wait = limiter.as_ref().and_then(|limiter| limiter.check().err());
            let outcome = match wait {
                Some(until) => Outcome::RateLimited { wait: until.wait_time_from(DefaultClock::default().now()) },
                None => take(state, name, endpoint, token, headers, body).await.unwrap_or_else(|refused| refused),
            };
            (name.as_str(), outcome, endpoint.redirect())
        }
    };
    state.counters.count(name, outcome.code());
    debug!(source = name, outcome = outcome.code(), "delivery answered");
    outcome.answer(browser, redirect)
}

/// From body to durable record. Both sides of the result are outcomes: the error side is the one nothing was kept for.
async fn take(
    state: &Inner,
    source: &str,
    endpoint: &Endpoint,
    token: Option<&str>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Outcome, Outcome> {
    let content_type = text(headers, header::CONTENT_TYPE);
    let coding = text(headers, header::CONTENT_ENCODING);
    if !is_supported(content_type) || !(coding.is_empty() || coding.eq_ignore_ascii_case("identity")) {
        return Err(Outcome::ContentType);
    }
    let _permit = state.posts.try_acquire().map_err(|_| Outcome::Crowded)?;
    let limit = endpoint.config().max_body_bytes();
    let announced = text(headers, header::CONTENT_LENGTH).parse::<usize>();
    if announced.is_ok_and(|length| length > limit) {
        return Err(Outcome::TooLarge { limit });
    }
    let body = tokio::time::timeout(BODY_TIMEOUT, whole(body, limit)).await.map_err(|_| Outcome::SlowBody)??;
    if body.is_empty() {
        return Err(Outcome::Empty);
    }
    let lines: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let incoming = Incoming { headers: &lines, content_type, body: &body, token, now_us: state.clock.now_us() };
    let record = endpoint.admit(source, &incoming).map_err(Outcome::Refused)?;
    append(state, source, record).await
}

async fn append(state: &Inner, source: &str, record: IntakeRecord) -> Result<Outcome, Outcome> {
    match tokio::time::timeout(APPEND_TIMEOUT, state.log.append(record)).await {
        Ok(Ok(Appended { seq, duplicate: false })) => Ok(Outcome::Accepted { seq }),
        Ok(Ok(Appended { seq, duplicate: true })) => Ok(Outcome::Duplicate { seq }),
        Ok(Err(LogError::Busy)) => Err(Outcome::LogBusy),
        Ok(Err(LogError::DiskFull)) => {
            error!(source, "the disk is full: deliveries are turned away until there is room");
            Err(Outcome::DiskFull)
        }
        Ok(Err(LogError::Unavailable(cause))) => {
            error!(source, cause, "a delivery could not be made durable");
            Err(Outcome::LogFailed)
        }
        Err(_) => {
            warn!(source, "the disk was too slow for a delivery; its repetition will be recognised");
            Err(Outcome::LogSlow)
        }
    }
}

/// The body, if it is no larger than `limit`.
async fn whole(body: Body, limit: usize) -> Result<Vec<u8>, Outcome> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Outcome::BrokenBody)?;
        if bytes.len() + chunk.len() > limit {
            return Err(Outcome::TooLarge { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn is_supported(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    json || is_browser_form(content_type)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
