//! What a delivery only names, asked for when a run reads the log.
//!
//! Some senders post an id and keep the person's answers behind their API. A run asks for them one by one; until it has an answer the
//! delivery stays in the log, so that an expired token costs a failed run and no lead.

use headwater_sdk::http::header::{AUTHORIZATION, HeaderName};
use headwater_sdk::http::{HttpClient, HttpResponse, HttpSettings, RequestSpec, base_url};
use headwater_sdk::{BuildContext, Error, ErrorKind, Result, Retry};

use super::Draft;
use crate::intake::config::FetchConfig;
use crate::intake::payload::Json;

/// How to ask a sender.
pub(in crate::intake) struct Fetch {
    /// Where its API is.
    pub(super) base_url: &'static str,
    /// Headers that every request needs.
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// The request for an id.
    pub(super) request: fn(&str) -> RequestSpec,
    /// What an answer says.
    pub(super) read: fn(Json<'_>) -> Option<Draft>,
    /// What a refusal means, where its status alone does not tell.
    pub(super) refusal: fn(Json<'_>) -> Option<ErrorKind>,
}

/// What asking gave.
pub(in crate::intake) enum Found {
    /// The answers.
    Draft(Box<Draft>),
    /// There is nothing of that id, or nothing that we may see: asking again will not help.
    Nothing,
}

impl Fetch {
    /// The client that asks.
    ///
    /// # Errors
    /// `Config` when the token or the address is not usable.
    pub(in crate::intake) fn client(&self, config: &FetchConfig, cx: &BuildContext) -> Result<HttpClient> {
        let token = cx.secret(&config.access_token)?;
        let base = base_url(config.url.as_deref().unwrap_or(self.base_url))?;
        let mut settings = HttpSettings::new(base, cx);
        for (name, value) in self.headers {
            settings = settings.header(HeaderName::from_static(name), value);
        }
        HttpClient::new(settings.secret_header(AUTHORIZATION, &format!("Bearer {}", token.expose_str().trim()))?)
    }

    /// Asks for an id.
    ///
    /// # Errors
    /// What keeps us from knowing: the token, the budget, the network. The delivery must then be read again.
    pub(in crate::intake) async fn ask(&self, client: &HttpClient, id: &str) -> Result<Found> {
        let answer = client.send(&(self.request)(id).any_status()).await?;
        let unreadable = || Error::new(ErrorKind::Protocol, "the answer about a lead is not what the vendor documents");
        let json = text_of(&answer).and_then(Json::parse).ok_or_else(unreadable);
        if answer.status().is_success() {
            return (self.read)(json?).map(|draft| Found::Draft(Box::new(draft))).ok_or_else(unreadable);
        }
        let kind = match answer.status().as_u16() {
            401 | 403 => Some(ErrorKind::Auth),
            _ => json.ok().and_then(self.refusal),
        };
        match kind {
            Some(ErrorKind::Auth) => {
                Err(Error::new(ErrorKind::Auth, "the lead's answers may not be read with this access token")
                    .hint("make a new token with the rights that docs/sources.md names; no delivery is lost until then"))
            }
            Some(kind) => Err(Error::new(kind, "the lead's answers cannot be read now").retry(Retry::Backoff)),
            None => Ok(Found::Nothing),
        }
    }
}

fn text_of(answer: &HttpResponse) -> Option<&str> {
    std::str::from_utf8(answer.body()).ok()
}
