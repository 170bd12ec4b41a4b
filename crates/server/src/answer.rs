//! What a sender is told. The status is an API of its own: senders repeat, give up, or switch a webhook off by it.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use headwater_runtime::intake::Reply;
use headwater_runtime::intake::signature::Refusal;
use serde_json::{Value, json};

/// How long a sender should wait after an answer that is not final.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// What became of a post.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Durable now.
    Accepted { seq: i64 },
    /// Durable before.
    Duplicate { seq: i64 },
    /// A question that the sender puts before it posts.
    Answered(Reply),
    /// A question where posts are taken and nothing is asked.
    NothingToAsk,
    /// No source of that name was ever configured.
    UnknownSource,
    /// The source is paused, or was taken out of the project.
    Away,
    /// As many posts are at work as may be.
    Crowded,
    /// More unsigned posts than the source takes.
    RateLimited { wait: Duration },
    /// Neither a form nor JSON, or compressed.
    ContentType,
    /// Larger than the source takes.
    TooLarge { limit: usize },
    /// The body did not come in time.
    SlowBody,
    /// The body broke off.
    BrokenBody,
    /// There is no body.
    Empty,
    /// The signature, token or timestamp does not hold.
    Refused(Refusal),
    /// The log's queue is full.
    LogBusy,
    /// The log's disk is full.
    DiskFull,
    /// The log failed.
    LogFailed,
    /// The log did not answer in time; the delivery may or may not be durable.
    LogSlow,
}

impl Outcome {
    /// A stable code, of answers and of metrics.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Duplicate { .. } => "duplicate",
            Self::Answered(_) => "answered",
            Self::NothingToAsk => "unknown_method",
            Self::UnknownSource => "unknown_source",
            Self::Away => "paused",
            Self::Crowded => "crowded",
            Self::RateLimited { .. } => "rate_limited",
            Self::ContentType => "unsupported_content_type",
            Self::TooLarge { .. } => "body_too_large",
            Self::SlowBody => "body_too_slow",
            Self::BrokenBody => "body_broken_off",
            Self::Empty => "empty_body",
            Self::Refused(refusal) => refusal.code(),
            Self::LogBusy => "busy",
            Self::DiskFull => "disk_full",
            Self::LogFailed => "store_unavailable",
            Self::LogSlow => "store_slow",
        }
    }

    /// The status. 404 and 410 make senders switch a webhook off (Typeform, Ghost), so only a source that never was gets one.
    fn status(&self) -> u16 {
        match self {
            Self::Accepted { .. } => 202,
            Self::Duplicate { .. } | Self::Answered(_) => 200,
            Self::UnknownSource => 404,
            Self::NothingToAsk => 405,
            Self::BrokenBody | Self::Empty => 400,
            Self::Refused(_) => 401,
            Self::SlowBody => 408,
            Self::TooLarge { .. } => 413,
            Self::ContentType => 415,
            Self::RateLimited { .. } => 429,
            Self::Away | Self::Crowded | Self::LogBusy | Self::DiskFull | Self::LogFailed | Self::LogSlow => 503,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Accepted { .. } | Self::Duplicate { .. } | Self::Answered(_) => String::new(),
            Self::NothingToAsk => "this address takes no such request".to_owned(),
            Self::UnknownSource => "no intake source of this name is configured".to_owned(),
            Self::Away => "this source takes nothing at the moment; send again later".to_owned(),
            Self::Crowded => "too many deliveries at once; send again later".to_owned(),
            Self::RateLimited { .. } => "too many unsigned deliveries; send again later, or sign them".to_owned(),
            Self::ContentType => {
                "send application/json, application/x-www-form-urlencoded or multipart/form-data, not compressed".to_owned()
            }
            Self::TooLarge { limit } => format!("the body is larger than the {limit} bytes this source takes"),
            Self::SlowBody => "the body did not arrive in time; send again".to_owned(),
            Self::BrokenBody => "the body broke off".to_owned(),
            Self::Empty => "the delivery has no body".to_owned(),
            Self::Refused(refusal) => refusal.to_string(),
            Self::LogBusy | Self::DiskFull | Self::LogFailed | Self::LogSlow => {
                "the delivery could not be made durable; send again later".to_owned()
            }
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { wait } => Some(*wait),
            Self::Away | Self::Crowded | Self::LogBusy | Self::DiskFull | Self::LogFailed | Self::LogSlow => Some(RETRY_AFTER),
            Self::Accepted { .. }
            | Self::Duplicate { .. }
            | Self::Answered(_)
            | Self::NothingToAsk
            | Self::UnknownSource
            | Self::ContentType
            | Self::TooLarge { .. }
            | Self::SlowBody
            | Self::BrokenBody
            | Self::Empty
            | Self::Refused(_) => None,
        }
    }

    /// The answer to a program; a `browser` that posted a form gets a page, or is sent to `redirect`.
    pub(crate) fn answer(&self, browser: bool, redirect: Option<&str>) -> Response {
        if let Self::Answered(Reply { content_type, body }) = self {
            return respond(200, content_type, body.clone());
        }
        let (Self::Accepted { seq } | Self::Duplicate { seq }) = self else {
            let mut response = problem(self.status(), self.code(), &self.detail());
            if let Some(wait) = self.retry_after() {
                response.headers_mut().insert(header::RETRY_AFTER, whole_secs(wait).into());
            }
            if matches!(self, Self::Refused(_)) {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Webhook-Signature"));
            }
            return response;
        };
        match (browser, redirect.and_then(|address| HeaderValue::from_str(address).ok())) {
            (true, Some(address)) => {
                let mut response = respond(303, "text/plain; charset=utf-8", "thank you\n".to_owned());
                response.headers_mut().insert(header::LOCATION, address);
                response
            }
            (true, None) => respond(200, "text/html; charset=utf-8", THANKS.to_owned()),
            (false, _) => json_body(self.status(), "application/json", &json!({ "status": self.code(), "id": seq.to_string() })),
        }
    }
}

/// In as few words as a visitor of any language can take in.
const THANKS: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>Thank you</title><h1>Thank you</h1><p>We have received your message.</p></html>\n";

/// An error as RFC 9457 has it, with our stable code.
pub(crate) fn problem(status: u16, code: &str, detail: &str) -> Response {
    let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    let body = json!({ "type": "about:blank", "title": title, "status": status, "code": code, "detail": detail });
    json_body(status, "application/problem+json", &body)
}

/// An answer that no cache keeps and no browser reads as anything else.
pub(crate) fn respond(status: u16, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    response
}

pub(crate) fn json_body(status: u16, content_type: &'static str, body: &Value) -> Response {
    respond(status, content_type, body.to_string())
}

pub(crate) async fn no_such_path() -> Response {
    problem(404, "unknown_path", "there is nothing at this address")
}

pub(crate) async fn no_such_method() -> Response {
    problem(405, "unknown_method", "this address takes no such request")
}

/// Rounded up: who comes back early is only told to wait again.
fn whole_secs(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
