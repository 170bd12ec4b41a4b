//! Sends requests, within every bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::window::Window;
use super::{Account, Body, HttpSettings, RequestSpec, Slots, error, guard};
use crate::{Error, ErrorKind, Result, Retry};

/// The wait before the second attempt; it doubles for each further one, and up to as much again is added at random.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait that we choose ourselves.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait that a remote may ask for within a request; for a longer one the request fails and tells how long.
const LONGEST_ASKED_WAIT: Duration = Duration::from_mins(10);
/// The longest that what another process was told by the remote keeps us from asking ourselves.
const LONGEST_CLOSED: Duration = LONGEST_ASKED_WAIT;
/// How much longer than for other troubles we wait where a remote asks us to slow down and does not say for how long: most count in
/// windows of ten seconds and more.
const SLOWED_DOWN: u32 = 4;
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(60);

/// An HTTP client for one remote. Cheap to clone; clones share connections and budget.
#[derive(Clone)]
pub struct HttpClient(Arc<Inner>);

struct Inner {
    settings: HttpSettings,
    client: reqwest::Client,
    slots: Slots,
    window: Option<Window>,
    account: Option<Account>,
    sent: AtomicU64,
}

/// An answer whose body was read in full.
pub struct HttpResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    request: String,
}

impl HttpClient {
    /// A client for the remote that the settings name.
    ///
    /// # Errors
    /// `Config` when the base URL may not be called or no certificate authorities are installed.
    pub fn new(settings: HttpSettings) -> Result<Self> {
        guard::check_base(&settings.base_url, settings.allow_private_hosts)?;
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Two clients may be made at once; whoever comes second finds the same provider installed.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        let client = reqwest::Client::builder()
            .user_agent(settings.user_agent.as_str())
            .default_headers(settings.headers.clone())
            .timeout(settings.timeout)
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(IDLE)
            .redirect(guard::redirects(&settings.base_url))
            .retry(reqwest::retry::never())
            .referer(false)
            .dns_resolver(Arc::new(guard::Resolver { allow_private: settings.allow_private_hosts }))
            .build()
            .map_err(|cause| {
                Error::new(ErrorKind::Config, "the HTTP client cannot be made")
                    .hint("install the system's certificate authorities (package `ca-certificates`)")
                    .source(cause)
            })?;
        let account = account_of(&settings);
        Ok(Self(Arc::new(Inner {
            slots: Slots::new(settings.budget.concurrent.get(), account.clone()),
            window: settings.budget.rate.map(|rate| Window::new(rate, account.clone())),
            account,
            client,
            settings,
            sent: AtomicU64::new(0),
        })))
    }

    /// Sends a request and gives its answer; waits for the budget, and tries again what may pass by itself.
    ///
    /// # Errors
    /// By status: 401, 403 `Auth`; 404, 410 `NotFound`; 409 `Conflict`; 429 `RateLimited`; 408, 425, 5xx, timeouts and broken
    /// connections `Unavailable`; other 4xx `Rejected`. [`HttpError::of`](super::HttpError::of) has the status and the body's
    /// beginning. `Protocol` for a body above its bound or a redirect to another host.
    pub async fn send(&self, request: &RequestSpec) -> Result<HttpResponse> {
        let settings = &self.0.settings;
        let url = request.url(&settings.base_url)?;
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .with_max_times(settings.max_attempts.saturating_sub(1))
            .with_jitter()
            .build();
        loop {
            let failure = match self.attempt(request, url.clone()).await {
                Err(failure) => failure,
                Ok(answer) => match error::of_answer(settings, request, &answer) {
                    None => return Ok(answer),
                    Some(refusal) if request.any_status && refusal.retry_advice() == Retry::Never => {
                        return Ok(answer);
                    }
                    Some(refusal) => refusal,
                },
            };
            let wait = match (failure.retry_advice(), request.idempotent) {
                (Retry::Never, _) | (_, false) => return Err(failure),
                (Retry::After(asked), true) if asked > LONGEST_ASKED_WAIT => return Err(failure),
                (Retry::After(asked), true) => waits.next().map(|_| asked),
                (Retry::Backoff, true) if failure.kind() == ErrorKind::RateLimited => waits.next().map(|wait| wait * SLOWED_DOWN),
                (Retry::Backoff, true) => waits.next(),
            };
            let Some(wait) = wait else { return Err(failure) };
            if let (ErrorKind::RateLimited, Retry::After(asked), Some(account)) =
                (failure.kind(), failure.retry_advice(), &self.0.account)
            {
                account.close_for(asked);
            }
            tracing::debug!(
                host = settings.base_url.host_str(),
                request = &*request.template,
                wait_ms = wait.as_millis(),
                error = %failure,
                "request tried again"
            );
            settings.pause.sleep(wait).await;
        }
    }

    /// Sends a request once, within the budget, and gives its answer whatever its status: for a caller with rules of its own for
    /// what an answer means and when to try again.
    ///
    /// # Errors
    /// `Unavailable` when there was no answer, `Protocol` for a body above its bound or a redirect to another host.
    pub async fn exchange(&self, request: &RequestSpec) -> Result<HttpResponse> {
        let url = request.url(&self.0.settings.base_url)?;
        self.attempt(request, url).await
    }

    /// Sends a request and reads its answer as JSON.
    ///
    /// # Errors
    /// As [`send`](Self::send); `Protocol` when the answer is no JSON.
    pub async fn json(&self, request: &RequestSpec) -> Result<Value> {
        self.send(request).await?.json()
    }

    /// How many requests were sent so far, each attempt counted.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// How many requests were sent with this client's credential on the present day of UTC, by all processes of this user and each
    /// attempt counted; nothing where they do not count together.
    #[must_use]
    pub fn sent_today(&self) -> Option<u64> {
        self.0.account.as_ref()?.sent_today(0)
    }

    /// The URL every path starts from.
    #[must_use]
    pub fn base_url(&self) -> &Url {
        &self.0.settings.base_url
    }

    async fn attempt(&self, request: &RequestSpec, url: Url) -> Result<HttpResponse> {
        let Inner { settings, client, slots, window, account, sent } = &*self.0;
        let slot = slots.take().await.ok_or_else(|| Error::new(ErrorKind::Internal, "the HTTP client is closed"))?;
        while let Some(closed) = account.as_ref().and_then(|account| account.closed_for(LONGEST_CLOSED)) {
            settings.pause.sleep(closed).await;
        }
        if let Some(window) = window {
            while let Err(wait) = window.take(settings.pause.elapsed()) {
                settings.pause.sleep(wait).await;
            }
        }
        let mut builder = client.request(request.method.clone(), url).headers(request.headers.clone());
        if let Some(timeout) = request.timeout {
            builder = builder.timeout(timeout);
        }
        if let Some(authorize) = &settings.authorize {
            builder = builder.headers(authorize()?);
        }
        builder = match &request.body {
            Body::Empty => builder,
            Body::Json(value) => builder.json(value),
            Body::Form(fields) => builder.form(fields),
            Body::Raw(bytes) => builder.body(bytes.clone()),
        };
        sent.fetch_add(1, Ordering::Relaxed);
        account.as_ref().and_then(|account| account.sent_today(1));
        let begun = Instant::now();
        let within = request.timeout.unwrap_or(settings.timeout);
        let answer = settings.pause.answered(within, self.receive(request, builder)).await;
        let answer = answer.unwrap_or_else(|| Err(error::late(settings, request)));
        drop(slot);
        tracing::trace!(
            host = settings.base_url.host_str(),
            method = request.method.as_str(),
            request = &*request.template,
            status = answer.as_ref().ok().map(|answer| answer.status.as_u16()),
            ms = begun.elapsed().as_millis(),
            "request"
        );
        answer
    }

    async fn receive(&self, request: &RequestSpec, builder: reqwest::RequestBuilder) -> Result<HttpResponse> {
        let settings = &self.0.settings;
        let broken = |cause| error::of_transport(settings, request, cause);
        let mut answer = builder.send().await.map_err(broken)?;
        let mut body = Vec::new();
        // The announced length is that of the compressed body, so only counting while it is unpacked is a bound.
        while let Some(chunk) = answer.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > settings.max_body_bytes {
                let error = Error::new(ErrorKind::Protocol, "the remote's answer is larger than we keep in memory")
                    .context("limit_bytes", settings.max_body_bytes.to_string());
                return Err(error::located(error, settings, request));
            }
            body.extend_from_slice(&chunk);
        }
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        Ok(HttpResponse { status, headers, body, request: request.name() })
    }
}

/// The account that a client's fixed secrets name, as long as time is the world's; nothing where it has none.
fn account_of(settings: &HttpSettings) -> Option<Account> {
    let secrets = settings.headers.iter().filter(|(_, value)| value.is_sensitive());
    let proofs: Vec<(&str, &[u8])> = secrets.map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    if proofs.is_empty() || !settings.pause.is_real() {
        return None;
    }
    Account::of(&settings.base_url, &proofs)
}

impl HttpResponse {
    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Its body, decompressed.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Its body, decompressed, to keep.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// Its body as JSON.
    ///
    /// # Errors
    /// `Protocol`, with the place in the body, never with a value out of it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // The parser's own message may quote the value it stumbled over.
            Error::new(ErrorKind::Protocol, "the remote's answer is not the JSON we expect")
                .context("request", self.request.clone())
                .context("status", self.status.as_u16().to_string())
                .context("at", format!("{}:{}", error.line(), error.column()))
        })
    }
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HttpClient").field(&self.0.settings).finish()
    }
}

impl std::fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpResponse").field("status", &self.status).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}
