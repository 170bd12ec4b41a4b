use async_stream::try_stream;
use async_trait::async_trait;
use futures::StreamExt as _;
use headwater_model::checkpoint::Checkpoint;
use headwater_model::mapping::{Mapping, Origin, Role};
use headwater_model::page::Page;
use headwater_sdk::http::Pause;
use headwater_sdk::{
    BuildContext, Error, ErrorKind, EventStream, Result, SinceCursor, Source, SourceEvent, StreamSpec, TextRows, json_text,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, Listing, Member, Start};
use super::config::Config;

/// How many seconds before the newest change a read starts again: an edit may be committed after one with a later time.
const OVERLAP_SECS: i64 = 5;
/// Pages that one read gives at most; the next read goes on. Ten million members.
const MAX_PAGES: usize = 100_000;
const VERSION: u16 = 1;
const MEMBERS: &str = "members";
/// What Ghost notes of a sign-up; in the record it stands below `attribution`.
const SIGNUP: [&str; 11] = [
    "attribution_type",
    "attribution_url",
    "referrer_source",
    "referrer_medium",
    "referrer_url",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "source",
];

type Read = fn(&Member) -> Option<String>;

/// The fields, and where each stands in a member.
const FIELDS: &[(&str, Read)] = &[
    ("id", |m| plain(m, "id")),
    ("uuid", |m| plain(m, "uuid")),
    ("email", |m| plain(m, "email")),
    ("name", |m| plain(m, "name")),
    ("note", |m| plain(m, "note")),
    ("labels", |m| names(m, "labels")),
    ("status", |m| plain(m, "status")),
    ("subscribed", |m| plain(m, "subscribed")),
    ("newsletters", |m| names(m, "newsletters")),
    ("consent", consent),
    ("email_status", email_status),
    ("country", country),
    ("created_at", |m| plain(m, "created_at")),
    ("updated_at", |m| plain(m, "updated_at")),
    ("last_seen_at", |m| plain(m, "last_seen_at")),
    ("email_count", |m| plain(m, "email_count")),
    ("email_opened_count", |m| plain(m, "email_opened_count")),
    ("email_open_rate", |m| plain(m, "email_open_rate")),
    ("attribution_type", |m| signup(m, "attribution_type")),
    ("attribution_url", |m| signup(m, "attribution_url")),
    ("referrer_source", |m| signup(m, "referrer_source")),
    ("referrer_medium", |m| signup(m, "referrer_medium")),
    ("referrer_url", |m| signup(m, "referrer_url")),
    ("utm_source", |m| signup(m, "utm_source")),
    ("utm_medium", |m| signup(m, "utm_medium")),
    ("utm_campaign", |m| signup(m, "utm_campaign")),
    ("utm_term", |m| signup(m, "utm_term")),
    ("utm_content", |m| signup(m, "utm_content")),
];

/// What our fields are read from. Ghost's own referrer stands in where a sign-up had no utm values.
const MAPPING: &[(&str, &str)] = &[
    ("external_id", "id"),
    ("email", "email"),
    ("full_name", "name"),
    ("tags", "labels"),
    ("country", "country"),
    ("created_at", "created_at"),
    ("observed_at", "updated_at"),
    ("consent", "consent"),
    ("email_status", "email_status"),
    ("utm_source", "utm_source"),
    ("utm_source", "referrer_source"),
    ("utm_medium", "utm_medium"),
    ("utm_medium", "referrer_medium"),
    ("utm_campaign", "utm_campaign"),
    ("utm_term", "utm_term"),
    ("utm_content", "utm_content"),
    ("referrer", "referrer_url"),
    ("landing_url", "attribution_url"),
];

const NOTES: &str = "An edit of labels alone does not move `updated_at`, and a deleted member shows in no listing: both are seen \
    by webhook or by a full read only.";

#[derive(Debug)]
pub(super) struct GhostSource {
    client: Client,
    page_size: usize,
    attribution: bool,
}

/// The position: what was seen last, and within a read the member to go on after.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    cursor: SinceCursor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Start>,
    /// Whether the read in progress began at the beginning: it shows every member.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    full: bool,
}

impl GhostSource {
    pub(super) fn new(config: &Config, cx: &BuildContext, pause: Pause) -> Result<Self> {
        let client = Client::new(config, cx, pause)?;
        Ok(Self { client, page_size: config.page_size()?, attribution: config.attribution })
    }
}

#[async_trait]
impl Source for GhostSource {
    async fn check(&self) -> Result<()> {
        self.client.members(&Start::Beginning, 1).await.map(drop)
    }

    async fn streams(&self) -> Result<Vec<StreamSpec>> {
        Ok(vec![StreamSpec {
            name: MEMBERS.to_owned(),
            role: Role::Leads,
            origin: Origin::EmailTool,
            fields: FIELDS.iter().map(|(name, _)| (*name).to_owned()).collect(),
            mapping: Mapping::of(MAPPING.iter().copied()),
            vendor: Some("ghost".to_owned()),
            whole: true,
            notes: Some(NOTES.to_owned()),
        }])
    }

    async fn read(&self, stream: &StreamSpec, from: Option<Checkpoint>) -> Result<EventStream> {
        if stream.name != MEMBERS {
            return Err(Error::new(ErrorKind::Config, format!("ghost has no stream {}", stream.name)));
        }
        let begins = from.is_none();
        let mut position = Position::of(from)?;
        let resumed = position.next.is_some();
        position.full = begins || (resumed && position.full);
        let (client, page_size, attribution) = (self.client.clone(), self.page_size, self.attribution);
        Ok(try_stream! {
            let mut start = position.start();
            for _ in 0..MAX_PAGES {
                let Listing { mut members, more } = client.members(&start, page_size).await?;
                let end = end_of(&members, &start)?;
                members.retain(|member| position.note(member));
                if attribution {
                    attribute(&client, &mut members).await?;
                }
                if !members.is_empty() {
                    yield SourceEvent::Page(page(&members)?);
                }
                position.next = end.filter(|_| more);
                if position.next.is_none() && std::mem::take(&mut position.full) {
                    // Pages follow time and id: who is deleted meanwhile hides nobody.
                    yield SourceEvent::Whole { resumed, shifting: false };
                }
                yield SourceEvent::Checkpoint(position.checkpoint()?);
                match &position.next {
                    Some(next) => start = next.clone(),
                    None => break,
                }
            }
        }
        .boxed())
    }
}

impl Position {
    fn of(checkpoint: Option<Checkpoint>) -> Result<Self> {
        let Some(Checkpoint { version, state }) = checkpoint else { return Ok(Self::default()) };
        let wrong = || Error::new(ErrorKind::Config, "the stored position is not one of this connector");
        if version != VERSION {
            return Err(wrong().context("version", version.to_string()));
        }
        serde_json::from_value(state).map_err(|error| wrong().source(error))
    }

    fn start(&self) -> Start {
        self.next.clone().unwrap_or_else(|| self.cursor.start(OVERLAP_SECS).map_or(Start::Beginning, Start::Since))
    }

    /// Notes a member and says whether it is to be given.
    fn note(&mut self, member: &Member) -> bool {
        let content = || serde_json::to_string(member).unwrap_or_default();
        changed(member).is_none_or(|second| self.cursor.note(second, &content(), OVERLAP_SECS))
    }

    fn checkpoint(&self) -> Result<Checkpoint> {
        let state = serde_json::to_value(self)
            .map_err(|error| Error::new(ErrorKind::Internal, "a position cannot be written").source(error))?;
        Ok(Checkpoint::new(VERSION, state))
    }
}

/// The place of the last member, which must lie behind the start: else the filter is not obeyed and the read would not end.
fn end_of(members: &[Member], start: &Start) -> Result<Option<Start>> {
    let Some(last) = members.last() else { return Ok(None) };
    let Some(id) = plain(last, "id") else {
        return Err(Error::new(ErrorKind::Protocol, "a member has no id"));
    };
    let end = Start::After(changed(last), id);
    let back = match (start, &end) {
        (Start::Since(second), Start::After(at, _)) => at.is_none_or(|at| at < *second),
        (start, end) => end <= start,
    };
    if back {
        return Err(Error::new(ErrorKind::Protocol, "the members are not in the order asked for"));
    }
    Ok(Some(end))
}

async fn attribute(client: &Client, members: &mut [Member]) -> Result<()> {
    let ids: Vec<String> = members.iter().filter_map(|member| plain(member, "id")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut signups = client.signups(&ids).await?;
    for member in members {
        let signup = plain(member, "id").and_then(|id| signups.remove(&id));
        if let Some(signup) = signup {
            let kept = SIGNUP.iter().map(|name| ((*name).to_owned(), signup.get(name).cloned().unwrap_or_default()));
            member.insert("attribution".to_owned(), Value::Object(kept.collect()));
        }
    }
    Ok(())
}

fn page(members: &[Member]) -> Result<Page> {
    let mut rows = TextRows::new(FIELDS.iter().map(|(name, _)| *name));
    for member in members {
        let mut kept = member.clone();
        // It holds a key with which anybody can unsubscribe the person: a credential, not a fact.
        kept.remove("unsubscribe_url");
        let id = plain(member, "id").unwrap_or_default();
        rows.push(&id, &json!(kept).to_string(), FIELDS.iter().map(|(_, read)| read(member)));
    }
    rows.finish("members")
}

fn changed(member: &Member) -> Option<i64> {
    member.get("updated_at")?.as_str()?.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

fn plain(member: &Member, field: &str) -> Option<String> {
    json_text(member.get(field)?)
}

fn signup(member: &Member, field: &str) -> Option<String> {
    json_text(member.get("attribution")?.get(field)?)
}

fn names(member: &Member, field: &str) -> Option<String> {
    let names: Vec<&str> = member.get(field)?.as_array()?.iter().filter_map(|one| one.get("name")?.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// A member without any newsletter has left them all: that is a withdrawal, and it must not look like a missing value.
fn consent(member: &Member) -> Option<String> {
    let subscribed = member.get("subscribed")?.as_bool()?;
    Some(if subscribed { "granted" } else { "withdrawn" }.to_owned())
}

fn email_status(member: &Member) -> Option<String> {
    let suppression = member.get("email_suppression")?;
    if suppression.get("suppressed")?.as_bool() != Some(true) {
        return None;
    }
    let reason = suppression.get("info").and_then(|info| info.get("reason")).and_then(Value::as_str);
    Some(if reason == Some("spam") { "complained" } else { "hard_bounced" }.to_owned())
}

/// Ghost keeps where a member signed up as JSON in a text.
fn country(member: &Member) -> Option<String> {
    let place: Value = serde_json::from_str(member.get("geolocation")?.as_str()?).ok()?;
    json_text(place.get("country_code")?)
}
