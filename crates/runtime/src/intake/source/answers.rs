//! The answers behind an id: what a delivery names and does not say is asked for before it becomes a row.

use futures::{StreamExt, TryStreamExt, stream};
use headwater_sdk::http::HttpClient;
use headwater_sdk::{BuildContext, Error, ErrorKind, Result};

use crate::intake::config::IntakeConfig;
use crate::intake::payload::{Submission, Unreadable};
use crate::intake::provider::{Fetch, Found, Provider};
use crate::intake::signature::UNSIGNED;

/// Questions to one vendor at once.
const AT_ONCE: usize = 4;

/// Asks a source's vendor, where the settings say how.
pub(super) struct Answers(Option<(&'static Fetch, HttpClient)>);

impl Answers {
    /// # Errors
    /// `Config` when the source's provider needs no `fetch`, or the token is missing.
    pub(super) fn new(config: &IntakeConfig, cx: &BuildContext) -> Result<Self> {
        let Some(settings) = &config.fetch else { return Ok(Self(None)) };
        let Some(fetch) = config.provider.provider().and_then(|provider: &'static Provider| provider.fetch.as_ref()) else {
            return Err(Error::new(ErrorKind::Config, "`fetch` is of use to a source whose provider posts ids alone")
                .hint("name the provider (`provider: meta`, `linkedin` or `hubspot`), or drop `fetch`"));
        };
        // A private address is called only where the settings name it.
        let cx = BuildContext { allow_private_hosts: cx.allow_private_hosts || settings.url.is_some(), ..cx.clone() };
        Ok(Self(Some((fetch, fetch.client(settings, &cx)?))))
    }

    /// The submissions with what was asked for; of those that cannot be had, why.
    ///
    /// # Errors
    /// What passes or can be mended, such as an expired token: then the deliveries must be read again.
    pub(super) async fn to(&self, submissions: Vec<Submission>, status: &str) -> Result<Vec<Result<Submission, Unreadable>>> {
        // Not `buffer_unordered`: rows are told apart by their place in the delivery.
        stream::iter(submissions).map(|submission| self.one(submission, status)).buffered(AT_ONCE).try_collect().await
    }

    async fn one(&self, submission: Submission, status: &str) -> Result<Result<Submission, Unreadable>> {
        let Some(id) = submission.fetch.as_deref() else { return Ok(Ok(submission)) };
        if status == UNSIGNED {
            let reason = "anybody could have sent this id, and asking for it would spend your budget: let the sender sign";
            return Ok(Err(Unreadable::new("unsigned_id", reason)));
        }
        let Some((fetch, client)) = &self.0 else {
            return Err(Error::new(
                ErrorKind::Config,
                "the deliveries name leads by id, and there is no access to what they answered",
            )
            .hint("set `provider` and `fetch: { access_token: { env: NAME } }`; the deliveries wait until then"));
        };
        Ok(match fetch.ask(client, id).await? {
            Found::Draft(draft) => Submission::of(*draft).map(|mut found| {
                found.submitted_at();
                found
            }),
            Found::Nothing => Err(Unreadable::new("answers_gone", "the sender has no answers under this id, or shows us none")),
        })
    }
}
