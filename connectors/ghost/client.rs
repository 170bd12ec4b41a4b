use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use headwater_sdk::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use headwater_sdk::http::{HttpClient, HttpSettings, Pause, RequestSpec, base_url};
use headwater_sdk::{BuildContext, Clock, Error, ErrorKind, Result, Secret};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::config::Config;

/// How long a token is good for: the longest that Ghost accepts.
const TOKEN_SECS: i64 = 300;

/// One member, as Ghost gives it.
pub(super) type Member = Map<String, Value>;

/// The Admin API of one site.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) http: HttpClient,
}

/// Where a listing starts. Members are ordered by change and id, so a place in that order is stable while members move: one
/// that is edited goes to the end. A page number is not: each edit would pull one unread member onto a page already read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Start {
    /// The first member.
    Beginning,
    /// Members changed in this second or later.
    Since(i64),
    /// Members after this one; one without a change time comes before all others.
    After(Option<i64>, String),
}

/// A page of members.
pub(super) struct Listing {
    pub(super) members: Vec<Member>,
    pub(super) more: bool,
}

impl Client {
    pub(super) fn new(config: &Config, cx: &BuildContext, pause: Pause) -> Result<Self> {
        let mut base = base_url(&config.url)?;
        let site = base.path().trim_end_matches('/').trim_end_matches("/ghost").to_owned();
        base.set_path(&format!("{site}/ghost/api/admin"));
        let key = AdminKey::parse(&cx.secret(&config.admin_key)?)?;
        let clock = cx.clock.clone();
        let authorize = move || Ok(HeaderMap::from_iter([(AUTHORIZATION, key.authorization(&clock)?)]));
        let settings = HttpSettings { authorize: Some(Arc::new(authorize)), pause, ..HttpSettings::new(base, cx) };
        Ok(Self { http: HttpClient::new(settings)? })
    }

    /// The members from `start` on, oldest change first.
    pub(super) async fn members(&self, start: &Start, limit: usize) -> Result<Listing> {
        #[derive(Deserialize)]
        struct Answer {
            members: Vec<Member>,
            meta: Meta,
        }
        let mut request = RequestSpec::get("/members/").query("order", "updated_at asc,id asc").query("limit", limit.to_string());
        if let Some(filter) = start.filter()? {
            request = request.query("filter", filter);
        }
        let Answer { members, meta } = self.get(&request).await?;
        // Ghost gives a `next` beyond the last page too, so only the number of pages tells the end.
        Ok(Listing { more: meta.pagination.pages > 1 && !members.is_empty(), members })
    }

    /// How members came, by their ids: what Ghost noted at the sign-up. Not every member has one.
    pub(super) async fn signups(&self, ids: &[&str]) -> Result<BTreeMap<String, Value>> {
        #[derive(Deserialize)]
        struct Answer {
            events: Vec<Event>,
            meta: Meta,
        }
        #[derive(Deserialize)]
        struct Event {
            data: Value,
        }
        let mut found = BTreeMap::new();
        let mut todo = vec![ids];
        while let Some(ids) = todo.pop() {
            let [first, ..] = ids else { continue };
            let filter = format!("type:signup_event+data.member_id:[{}]", ids.join(","));
            let request = RequestSpec::get("/members/events/").query("filter", filter).query("limit", "100");
            let Answer { events, meta } = self.get(&request).await?;
            // This listing ignores `page`. Where it is cut off, half of the members are asked for at a time.
            if meta.pagination.total > events.len() && ids.len() > 1 {
                let (left, right) = ids.split_at(ids.len() / 2);
                todo.extend([left, right]);
                continue;
            }
            for Event { data } in events {
                let member = data.get("member_id").and_then(Value::as_str).unwrap_or(first).to_owned();
                found.entry(member).or_insert(data);
            }
        }
        Ok(found)
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, request: &RequestSpec) -> Result<T> {
        self.http.send(request).await.map_err(explain)?.json()
    }
}

#[derive(Deserialize)]
struct Meta {
    pagination: Pagination,
}

#[derive(Deserialize)]
struct Pagination {
    pages: usize,
    total: usize,
}

impl Start {
    /// The start in Ghost's query language; none for the beginning.
    fn filter(&self) -> Result<Option<String>> {
        Ok(Some(match self {
            Self::Beginning => return Ok(None),
            Self::Since(second) => format!("updated_at:>='{}'", time(*second)?),
            Self::After(Some(second), id) => {
                let (at, id) = (time(*second)?, plain(id)?);
                format!("updated_at:>'{at}',(updated_at:'{at}'+id:>'{id}')")
            }
            Self::After(None, id) => {
                let (first, id) = (time(0)?, plain(id)?);
                format!("updated_at:>='{first}',(updated_at:null+id:>'{id}')")
            }
        }))
    }
}

fn time(second: i64) -> Result<String> {
    let at = Timestamp::from_second(second)
        .map_err(|error| Error::new(ErrorKind::Protocol, "a change time is out of range").source(error))?;
    Ok(at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// An id goes into a filter, where anything but letters and digits could mean something else.
fn plain(id: &str) -> Result<&str> {
    if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(id);
    }
    Err(Error::new(ErrorKind::Protocol, "a member's id is not made of letters and digits"))
}

fn explain(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Auth => error.hint(
            "take the Admin API key of a custom integration (Settings, Integrations) as `id:secret`, and check this machine's \
             clock: a token is good for 5 minutes",
        ),
        ErrorKind::NotFound => error.hint("set `url` to the address of the Ghost site itself"),
        _ => error,
    }
}

/// An Admin API key: an id, and a secret that is used as the bytes its hex digits stand for.
struct AdminKey {
    id: String,
    secret: Secret,
}

impl AdminKey {
    fn parse(key: &Secret) -> Result<Self> {
        let parts = key.expose_str().trim().split_once(':');
        let parsed = parts.and_then(|(id, hex)| Some(Self { id: id.to_owned(), secret: Secret::new(from_hex(hex)?) }));
        parsed.filter(|key| !key.id.is_empty()).ok_or_else(|| {
            Error::new(ErrorKind::Config, "the admin key is not of the form `id:secret`")
                .context("path", "admin_key")
                .hint("copy the Admin API key, not the Content API key")
        })
    }

    fn authorization(&self, clock: &Clock) -> Result<HeaderValue> {
        let internal = |what: &'static str| Error::new(ErrorKind::Internal, what);
        let now = clock.now().as_second();
        let header = json!({"alg": "HS256", "typ": "JWT", "kid": self.id});
        let claims = json!({"iat": now, "exp": now + TOKEN_SECS, "aud": "/admin/"});
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.expose()).map_err(|_| internal("the key has no length"))?;
        mac.update(signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        let mut value = HeaderValue::try_from(format!("Ghost {signed}.{signature}"))
            .map_err(|_| internal("a token is not fit for a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks_exact(2).map(|pair| pair.iter().try_fold(0, |high, byte| Some(high * 16 + digit(*byte)?))).collect()
}
