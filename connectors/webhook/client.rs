//! The request: its signature, and what its answer means.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_sdk::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use headwater_sdk::http::{Body, HttpClient, HttpError, HttpSettings, Method, Rate, RequestSpec, Url, base_url};
use headwater_sdk::{BuildContext, Clock, Error, ErrorKind, Result, Retry, Secret, SecretRef};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::config::SinkConfig;

/// The window in which requests are counted.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// The most secrets that an event is signed with.
const MAX_SECRETS: usize = 4;

/// What an answer says of an event.
#[derive(Debug)]
pub(super) enum Told {
    /// It was taken.
    Taken,
    /// It had been taken before.
    Known,
    /// It is refused, and would be again.
    Refused(String),
    /// It may be taken later.
    Later { reason: String, after: Option<Duration> },
}

/// The way to one receiver.
pub(super) struct Client {
    http: HttpClient,
    url: Url,
    secrets: Vec<Secret>,
    clock: Clock,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("http", &self.http).field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

impl Client {
    /// How many requests were sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.http.sent()
    }

    /// How many were sent today with this credential, by all processes.
    pub(super) fn sent_today(&self) -> Option<u64> {
        self.http.sent_today()
    }

    /// # Errors
    /// `Config` when the address or a secret cannot be used.
    pub(super) fn new(config: &SinkConfig, cx: &BuildContext) -> Result<Self> {
        let (without_query, _) = config.url.split_once('?').unwrap_or((&config.url, ""));
        let base = base_url(without_query)?;
        let mut url = base.clone();
        url.set_query(config.url.split_once('?').map(|(_, query)| query));
        let named = std::iter::once(&config.secret).chain(&config.previous_secrets);
        let secrets = named.map(|secret| key(secret, cx)).collect::<Result<Vec<_>>>()?;
        if secrets.len() > MAX_SECRETS {
            return Err(Error::new(ErrorKind::Config, format!("there are more than {MAX_SECRETS} secrets"))
                .context("path", "previous_secrets")
                .hint("take out those that the receiver no longer goes by"));
        }
        let mut settings = HttpSettings::new(base, cx);
        settings.budget.rate = Some(Rate { requests: config.requests_per_10s, per: WINDOW });
        Ok(Self { http: HttpClient::new(settings)?, url, secrets, clock: cx.clock.clone() })
    }

    /// Asks whether anybody is there. What a receiver says to a request that is no event tells nothing more.
    pub(super) async fn probe(&self) -> Result<()> {
        let request = RequestSpec::to(Method::HEAD, "the webhook", self.url.clone()).any_status();
        self.http.send(&request).await.map(drop)
    }

    /// Posts an event once. Trying again is the caller's: the next attempt has another time, and so another signature.
    ///
    /// # Errors
    /// When no event can be told: the receiver is gone for good, does not exist or does not accept our signature.
    pub(super) async fn post(&self, id: &str, body: Vec<u8>) -> Result<Told> {
        let now = self.clock.now().as_second();
        let signatures: Vec<String> = self.secrets.iter().map(|secret| signature(secret, id, now, &body)).collect();
        let unsendable = |_| Error::new(ErrorKind::Internal, "a header of the event cannot be sent");
        let value = |text: &str| HeaderValue::from_str(text).map_err(unsendable);
        let request = RequestSpec::to(Method::POST, "the webhook", self.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(HeaderName::from_static("webhook-id"), value(id)?)
            .header(HeaderName::from_static("webhook-timestamp"), value(&now.to_string())?)
            .header(HeaderName::from_static("webhook-signature"), value(&signatures.join(" "))?)
            .body(Body::Raw(body))
            .idempotent(false);
        match self.http.send(&request).await {
            // 208: "already reported".
            Ok(answer) if answer.status().as_u16() == 208 => Ok(Told::Known),
            Ok(_) => Ok(Told::Taken),
            Err(error) => meaning(error),
        }
    }
}

/// What a refusal means for the event, or for all of them.
fn meaning(error: Error) -> Result<Told> {
    let status = HttpError::of(&error).map(|answer| answer.status().as_u16());
    match (error.kind(), status) {
        (_, Some(410)) => Err(Error::new(ErrorKind::Config, "the receiver wants no events any more")
            .context("path", "url")
            .hint("it answered 410 Gone: take the sink out, or name another address")
            .source(error)),
        (ErrorKind::NotFound, _) => {
            Err(Error::new(ErrorKind::Config, "there is nothing at the webhook's address").context("path", "url").source(error))
        }
        (ErrorKind::Auth, _) => {
            Err(error.hint("does the receiver know `secret`? It may also refuse a clock that is minutes off"))
        }
        (ErrorKind::RateLimited | ErrorKind::Unavailable, _) => {
            let after = match error.retry_advice() {
                Retry::After(wait) => Some(wait),
                Retry::Never | Retry::Backoff => None,
            };
            Ok(Told::Later { reason: error.message().to_owned(), after })
        }
        (ErrorKind::Rejected | ErrorKind::Conflict, Some(status)) => {
            Ok(Told::Refused(format!("the receiver refused the event with {status}")))
        }
        _ => Err(error),
    }
}

/// The bytes behind `whsec_` and base64.
fn key(secret: &SecretRef, cx: &BuildContext) -> Result<Secret> {
    let text = cx.secret(secret)?;
    let text = text.expose_str().trim();
    match STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)) {
        Ok(key) if !key.is_empty() => Ok(Secret::new(key)),
        _ => Err(Error::new(ErrorKind::Config, format!("{secret} holds no signing secret"))
            .context("path", "secret")
            .hint("it is `whsec_` and base64; `printf 'whsec_%s' \"$(openssl rand -base64 32)\"` makes one")),
    }
}

/// `v1,` and the signature of id, time and body.
fn signature(secret: &Secret, id: &str, timestamp: i64, body: &[u8]) -> String {
    // An HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose()) else { return String::new() };
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn signature_is_that_of_standard_webhooks() {
        let secret = Secret::new(STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
        let told = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(told, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
