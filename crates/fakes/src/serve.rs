//! A fake on loopback.

use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, header};
use futures::stream;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::call::http_date;
use crate::{Answer, Call, Conditions, RetryAfter};

/// The largest request: vendors take some ten megabytes, and Salesforce's bulk files 150.
const MAX_BODY_BYTES: usize = 160 * 1024 * 1024;

/// A vendor's API as a machine of calls and answers.
pub trait Vendor: Send + 'static {
    /// Answers a call. `now_us` is the time in microseconds since 1970 in UTC.
    fn answer(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer;

    /// What the vendor says to a call too many; the caller may come again after `wait_ms`.
    fn limited(&self, wait_ms: u64, now_us: i64) -> Answer;

    /// Everything a test compares: records without times and versions, as JSON.
    fn state(&self) -> serde_json::Value;
}

impl<V: Vendor + ?Sized> Vendor for Box<V> {
    fn answer(&mut self, call: &Call, conditions: &Conditions, now_us: i64) -> Answer {
        (**self).answer(call, conditions, now_us)
    }

    fn limited(&self, wait_ms: u64, now_us: i64) -> Answer {
        (**self).limited(wait_ms, now_us)
    }

    fn state(&self) -> serde_json::Value {
        (**self).state()
    }
}

/// What a fake was asked so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls in all.
    pub calls: u64,
    /// Calls that wrote.
    pub writes: u64,
    /// Calls refused because there were too many.
    pub limited: u64,
    /// Answers that were lost.
    pub lost: u64,
    /// From the first call to the last, in microseconds.
    pub busy_us: u64,
}

/// The time, in microseconds since 1970 in UTC.
type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

struct Inner<V> {
    vendor: V,
    conditions: Conditions,
    counts: Counts,
    /// When the calls of the present window came.
    recent: VecDeque<i64>,
    /// When the first call came.
    first: Option<i64>,
}

/// A fake that answers on loopback until it is dropped.
pub struct Running<V> {
    url: String,
    inner: Arc<Mutex<Inner<V>>>,
    /// Aborts what it holds when it is dropped.
    _server: JoinSet<()>,
}

/// Serves a fake on `port` of loopback, or on a free one when it is 0.
///
/// # Errors
/// When the port cannot be had.
pub async fn serve<V: Vendor>(
    vendor: V,
    conditions: Conditions,
    port: u16,
    now: impl Fn() -> i64 + Send + Sync + 'static,
) -> std::io::Result<Running<V>> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let inner =
        Arc::new(Mutex::new(Inner { vendor, conditions, counts: Counts::default(), recent: VecDeque::new(), first: None }));
    let now: Now = Arc::new(now);
    let router = Router::new().fallback(take::<V>).with_state((inner.clone(), now));
    let mut server = JoinSet::new();
    server.spawn(async move { drop(axum::serve(listener, router).await) });
    Ok(Running { url, inner, _server: server })
}

impl<V: Vendor> Running<V> {
    /// Where it answers.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it was asked so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Everything a test compares.
    #[must_use]
    pub fn state(&self) -> serde_json::Value {
        self.lock().vendor.state()
    }

    /// Changes what goes wrong from now on.
    pub fn set(&self, conditions: Conditions) {
        self.lock().conditions = conditions;
    }

    /// Works on the vendor's records directly, as its other users do.
    pub fn with<T>(&self, work: impl FnOnce(&mut V) -> T) -> T {
        work(&mut self.lock().vendor)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> fmt::Debug for Running<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("url", &self.url).finish_non_exhaustive()
    }
}

async fn take<V: Vendor>(State((inner, now)): State<(Arc<Mutex<Inner<V>>>, Now)>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await.unwrap_or_default();
    let decode = |segment: &str| {
        // What means something in a form is itself in a path.
        let escaped = segment.replace('+', "%2B").replace('=', "%3D").replace('&', "%26");
        url::form_urlencoded::parse(escaped.as_bytes()).map(|(name, _)| name.into_owned()).next().unwrap_or_default()
    };
    let header =
        |(name, value): (&header::HeaderName, &HeaderValue)| (name.to_string(), value.to_str().unwrap_or_default().to_owned());
    let call = Call {
        method: parts.method.to_string(),
        path: parts.uri.path().split('/').filter(|segment| !segment.is_empty()).map(decode).collect(),
        query: url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
        headers: parts.headers.iter().map(header).collect(),
        body: body.to_vec(),
    };
    let (answer, lost) = inner.lock().unwrap_or_else(PoisonError::into_inner).answer(&call, now());
    respond(answer, lost)
}

impl<V: Vendor> Inner<V> {
    /// The answer, and whether it gets lost on its way.
    fn answer(&mut self, call: &Call, now_us: i64) -> (Answer, bool) {
        self.counts.calls += 1;
        let first = *self.first.get_or_insert(now_us);
        self.counts.busy_us = u64::try_from(now_us - first).unwrap_or_default();
        if let Some(wait_ms) = self.wait(now_us) {
            self.counts.limited += 1;
            let answer = match self.conditions.retry_after {
                None => self.vendor.limited(wait_ms, now_us),
                Some(RetryAfter::Seconds) => Answer::empty(429).with("retry-after", wait_ms.div_ceil(1_000).to_string()),
                Some(RetryAfter::Date) => Answer::empty(429).with("retry-after", http_date(wait_ms, now_us)),
            };
            return (answer, false);
        }
        let nth = |every: Option<std::num::NonZeroU64>, count: u64| every.is_some_and(|every| count.is_multiple_of(every.get()));
        if nth(self.conditions.fail_every, self.counts.calls) {
            return (Answer::empty(500), false);
        }
        let answer = self.vendor.answer(call, &self.conditions, now_us);
        self.counts.writes += u64::from(answer.wrote);
        let lost = answer.wrote && nth(self.conditions.lose_answer_every, self.counts.writes);
        self.counts.lost += u64::from(lost);
        (answer, lost)
    }

    /// How long this call should have waited, if it comes too early.
    fn wait(&mut self, now_us: i64) -> Option<u64> {
        let rate = self.conditions.rate?;
        let window_us = i64::try_from(rate.window_ms * 1_000).unwrap_or(i64::MAX);
        while self.recent.front().is_some_and(|at| now_us - at >= window_us) {
            self.recent.pop_front();
        }
        if (self.recent.len() as u64) < rate.calls {
            self.recent.push_back(now_us);
            return None;
        }
        let left_us = self.recent.front().map_or(0, |at| at + window_us - now_us);
        Some(u64::try_from(left_us).unwrap_or(0).div_ceil(1_000))
    }
}

fn respond(answer: Answer, lost: bool) -> Response<Body> {
    let Answer { status, headers, body, wrote: _ } = answer;
    let mut response = Response::builder().status(status);
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        response = response.header(header::CONTENT_TYPE, "application/json");
    }
    for (name, value) in headers {
        response = response.header(name, value);
    }
    // The head arrives and then the connection breaks: the caller cannot know what became of the call.
    let body = if lost {
        Body::from_stream(stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("the answer is lost"))]))
    } else {
        Body::from(body)
    };
    response.body(body).unwrap_or_default()
}
