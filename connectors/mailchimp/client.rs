use std::num::NonZeroUsize;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_sdk::http::header::{AUTHORIZATION, HeaderMap};
use headwater_sdk::http::{HttpClient, HttpSettings, Pause, RequestSpec, StatusCode, Url, base_url};
use headwater_sdk::{BuildContext, Error, ErrorKind, Result};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::config::Config;

/// How many connections one account may have at once; there is no limit per time.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(10).unwrap();
/// Records per page where the settings do not say: lists and campaigns.
const LISTING: usize = 1_000;
/// Pages of lists or of campaigns read at most.
const MAX_LISTING_PAGES: usize = 100;

/// One record, as Mailchimp gives it.
pub(super) type Record = Map<String, Value>;

/// The Marketing API of one account.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: HttpClient,
}

/// Part of a listing.
pub(super) struct Listing {
    pub(super) records: Vec<Record>,
    pub(super) total: usize,
}

/// One sent campaign.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Campaign {
    pub(super) id: String,
    #[serde(default)]
    pub(super) settings: CampaignSettings,
    #[serde(default)]
    pub(super) recipients: Recipients,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct CampaignSettings {
    pub(super) title: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Recipients {
    pub(super) list_id: Option<String>,
}

impl Client {
    pub(super) fn new(config: &Config, cx: &BuildContext, pause: Pause) -> Result<Self> {
        let key = cx.secret(&config.api_key)?;
        let key = key.expose_str().trim();
        let base = match &config.server_url {
            Some(url) => base_url(url)?,
            None => data_centre(key)?,
        };
        // Mailchimp takes any name; the key is the password.
        let credentials = STANDARD.encode(format!("headwater:{key}"));
        let mut settings = HttpSettings { pause, overload: Some(Arc::new(overloaded)), ..HttpSettings::new(base, cx) };
        settings.budget.concurrent = CONNECTIONS;
        let settings = settings.secret_header(AUTHORIZATION, &format!("Basic {credentials}"))?;
        Ok(Self { http: HttpClient::new(settings)? })
    }

    #[cfg(test)]
    pub(super) fn host(&self) -> String {
        self.http.base_url().host_str().unwrap_or_default().to_owned()
    }

    /// The smallest request that shows that the key may read.
    pub(super) async fn check(&self) -> Result<()> {
        self.get::<Value>(&RequestSpec::get("/lists").query("count", "1").query("fields", "total_items")).await.map(drop)
    }

    /// The ids of all audiences.
    pub(super) async fn lists(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Answer {
            lists: Vec<List>,
        }
        #[derive(Deserialize)]
        struct List {
            id: String,
        }
        let request = RequestSpec::get("/lists").query("fields", "lists.id,total_items");
        let pages = self.pages(request, |answer: Answer| answer.lists).await?;
        Ok(pages.into_iter().map(|list| list.id).collect())
    }

    /// The campaigns sent since then, oldest first.
    pub(super) async fn campaigns(&self, sent_since: i64) -> Result<Vec<Campaign>> {
        #[derive(Deserialize)]
        struct Answer {
            campaigns: Vec<Campaign>,
        }
        let request = RequestSpec::get("/campaigns")
            .query("status", "sent")
            .query("since_send_time", time(sent_since)?)
            .query("sort_field", "send_time")
            .query("sort_dir", "ASC")
            .query("fields", "campaigns.id,campaigns.settings.title,campaigns.recipients.list_id,total_items");
        self.pages(request, |answer: Answer| answer.campaigns).await
    }

    /// Members of an audience, oldest change first.
    pub(super) async fn members(&self, list: &str, since: Option<i64>, offset: usize, count: usize) -> Result<Listing> {
        #[derive(Deserialize)]
        struct Answer {
            members: Vec<Record>,
            total_items: usize,
        }
        let mut request = RequestSpec::get("/lists/{list}/members")
            .param("list", list)
            .query("count", count.to_string())
            .query("offset", offset.to_string())
            .query("sort_field", "last_changed")
            .query("sort_dir", "ASC")
            .query("exclude_fields", "members._links,_links");
        if let Some(since) = since {
            request = request.query("since_last_changed", time(since)?);
        }
        let Answer { members, total_items } = self.get(&request).await?;
        Ok(Listing { records: members, total: total_items })
    }

    /// What members did with a campaign: one record per member, with the list of what they did.
    pub(super) async fn activity(&self, campaign: &str, since: Option<i64>, offset: usize, count: usize) -> Result<Listing> {
        #[derive(Deserialize)]
        struct Answer {
            emails: Vec<Record>,
            total_items: usize,
        }
        let mut request = RequestSpec::get("/reports/{campaign}/email-activity")
            .param("campaign", campaign)
            .query("count", count.to_string())
            .query("offset", offset.to_string())
            .query("exclude_fields", "emails._links,_links");
        if let Some(since) = since {
            request = request.query("since", time(since)?);
        }
        let Answer { emails, total_items } = self.get(&request).await?;
        Ok(Listing { records: emails, total: total_items })
    }

    async fn pages<A: DeserializeOwned, T>(&self, request: RequestSpec, take: impl Fn(A) -> Vec<T>) -> Result<Vec<T>> {
        let mut all = Vec::new();
        for _ in 0..MAX_LISTING_PAGES {
            let page = request.clone().query("count", LISTING.to_string()).query("offset", all.len().to_string());
            let found = take(self.get(&page).await?);
            let last = found.len() < LISTING;
            all.extend(found);
            if last {
                return Ok(all);
            }
        }
        Err(Error::new(ErrorKind::Protocol, "the listing does not end").context("request", request.name()))
    }

    async fn get<T: DeserializeOwned>(&self, request: &RequestSpec) -> Result<T> {
        self.http.send(request).await.map_err(explain)?.json()
    }
}

/// The host that a key's data centre names. It becomes part of a host name, so nothing but letters and digits may stand there.
fn data_centre(key: &str) -> Result<Url> {
    let centre = key
        .rsplit_once('-')
        .map(|(_, centre)| centre)
        .filter(|centre| (1..=10).contains(&centre.len()) && centre.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let Some(centre) = centre else {
        return Err(Error::new(ErrorKind::Config, "the api key does not end with its data centre")
            .context("path", "api_key")
            .hint("copy the whole key, with the part after the last dash, such as `-us1`"));
    };
    base_url(&format!("https://{centre}.api.mailchimp.com/3.0"))
}

/// Under load Mailchimp answers a bare 403 instead of a 429. A real refusal carries a problem document with a title.
fn overloaded(status: StatusCode, _: &HeaderMap, body: &[u8]) -> bool {
    let problem = || serde_json::from_slice::<Record>(body).is_ok_and(|problem| problem.contains_key("title"));
    status == StatusCode::FORBIDDEN && !problem()
}

fn explain(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Auth => error.hint(
            "check in Mailchimp (Account, Extras, API keys) that the key is enabled, that its user may see audiences and reports, \
             and that it ends with the data centre you see in the browser's address",
        ),
        ErrorKind::NotFound => error.hint("check `list_ids`: an audience's id stands in its settings"),
        _ => error,
    }
}

fn time(second: i64) -> Result<String> {
    let at = Timestamp::from_second(second)
        .map_err(|error| Error::new(ErrorKind::Protocol, "a time is out of range").source(error))?;
    Ok(at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string())
}

/// The second that a time of Mailchimp's stands for.
pub(super) fn second(value: Option<&Value>) -> Option<i64> {
    value?.as_str()?.parse::<Timestamp>().ok().map(Timestamp::as_second)
}
