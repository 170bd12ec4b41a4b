//! The stream of members.
//!
//! Mailchimp knows no page tokens: only an offset, and the members changed since a time. An offset shifts while members
//! change, since each that is edited leaves its place for the end. So a page starts at the second in which the last one
//! ended, and offsets serve only within a second that holds more members than a page; there, pages overlap by half, so that
//! half a page of members may leave between two requests before one is missed.

use std::collections::BTreeMap;

use async_stream::try_stream;
use futures::StreamExt as _;
use headwater_model::checkpoint::Checkpoint;
use headwater_model::mapping::{Mapping, Origin, Role};
use headwater_model::page::Page;
use headwater_sdk::{EventStream, Result, SinceCursor, SourceEvent, StreamSpec, TextRows, json_text};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{self, Client, Listing, Record};
use super::source::{self, Settings};

pub(super) const NAME: &str = "members";
/// How many seconds before the newest change a read starts again: an edit may be committed after one with a later time.
const OVERLAP_SECS: i64 = 5;
/// Pages of one audience that one read gives at most; the next read goes on.
const MAX_PAGES: usize = 100_000;

type Read = fn(&Record) -> Option<String>;

const FIELDS: &[(&str, Read)] = &[
    ("id", |m| plain(m, "id")),
    ("contact_id", |m| plain(m, "contact_id")),
    ("list_id", |m| plain(m, "list_id")),
    ("email_address", |m| plain(m, "email_address")),
    ("full_name", |m| plain(m, "full_name")),
    ("status", |m| plain(m, "status")),
    ("consent", consent),
    ("email_status", email_status),
    ("unsubscribe_reason", |m| plain(m, "unsubscribe_reason")),
    ("tags", tags),
    ("language", |m| plain(m, "language")),
    ("vip", |m| plain(m, "vip")),
    ("member_rating", |m| plain(m, "member_rating")),
    ("source", |m| plain(m, "source")),
    ("timestamp_signup", |m| plain(m, "timestamp_signup")),
    ("timestamp_opt", |m| plain(m, "timestamp_opt")),
    ("last_changed", |m| plain(m, "last_changed")),
    ("country_code", |m| inner(m, "location", "country_code")),
    ("FNAME", |m| inner(m, "merge_fields", "FNAME")),
    ("LNAME", |m| inner(m, "merge_fields", "LNAME")),
    ("PHONE", |m| inner(m, "merge_fields", "PHONE")),
    ("COMPANY", |m| inner(m, "merge_fields", "COMPANY")),
    ("ADDRESS.addr1", |m| address(m, "addr1")),
    ("ADDRESS.city", |m| address(m, "city")),
    ("ADDRESS.state", |m| address(m, "state")),
    ("ADDRESS.zip", |m| address(m, "zip")),
    ("ADDRESS.country", |m| address(m, "country")),
];

const MAPPING: &[(&str, &str)] = &[
    ("external_id", "id"),
    ("email", "email_address"),
    ("given_name", "FNAME"),
    ("family_name", "LNAME"),
    ("full_name", "full_name"),
    ("phone", "PHONE"),
    ("company_name", "COMPANY"),
    ("street", "ADDRESS.addr1"),
    ("city", "ADDRESS.city"),
    ("region", "ADDRESS.state"),
    ("postal_code", "ADDRESS.zip"),
    ("country", "ADDRESS.country"),
    ("country", "country_code"),
    ("language", "language"),
    ("tags", "tags"),
    ("consent", "consent"),
    ("email_status", "email_status"),
    ("created_at", "timestamp_signup"),
    ("created_at", "timestamp_opt"),
    ("observed_at", "last_changed"),
];

const NOTES: &str = "A member's id is a hash of the address: a member who changes the address appears as a new one. Members \
    deleted for good show in no listing: that they are gone is told when everything is read again.";

/// The position, by audience.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    lists: BTreeMap<String, ListPosition>,
    /// The read from the beginning that has not ended: it shows every member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    full: Option<Full>,
}

/// A read from the beginning.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    /// Whether part of it was read by offset, where a member may slip past while another is deleted.
    by_offset: bool,
}

/// The position in one audience: what was seen last, and within a read where it goes on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListPosition {
    cursor: SinceCursor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    since: Option<i64>,
    offset: usize,
}

pub(super) fn spec(settings: &Settings) -> StreamSpec {
    StreamSpec {
        name: NAME.to_owned(),
        role: Role::Leads,
        origin: Origin::EmailTool,
        fields: names(settings).map(str::to_owned).collect(),
        mapping: Mapping::of(MAPPING.iter().copied()),
        vendor: Some("mailchimp".to_owned()),
        whole: true,
        notes: Some(NOTES.to_owned()),
    }
}

/// Whether every record has a field of that name.
pub(super) fn is_field(name: &str) -> bool {
    FIELDS.iter().any(|(field, _)| *field == name)
}

pub(super) fn read(client: Client, settings: Settings, from: Option<Checkpoint>) -> Result<EventStream> {
    let begins = from.is_none();
    let mut position: Position = source::position(from)?;
    let resumed = position.full.is_some();
    if begins {
        position.full = Some(Full { by_offset: false });
    }
    Ok(try_stream! {
        let lists = if settings.list_ids.is_empty() { client.lists().await? } else { settings.list_ids.clone() };
        for list in lists {
            for _ in 0..MAX_PAGES {
                let at = position.lists.entry(list.clone()).or_default();
                let place = at.place();
                position.full.iter_mut().for_each(|full| full.by_offset |= place.offset > 0);
                let Listing { mut records, total } =
                    client.members(&list, place.since, place.offset, settings.page_size).await?;
                let next = place.after(&records, total, settings.page_size);
                records.retain(|member| at.note(member));
                at.next = next;
                if !records.is_empty() {
                    yield SourceEvent::Page(page(&list, &records, &settings)?);
                }
                yield SourceEvent::Checkpoint(source::checkpoint(&position)?);
                if next.is_none() {
                    break;
                }
            }
        }
        if let Some(Full { by_offset }) = position.full.filter(|_| position.lists.values().all(|list| list.next.is_none())) {
            position.full = None;
            yield SourceEvent::Whole { resumed, shifting: by_offset };
            yield SourceEvent::Checkpoint(source::checkpoint(&position)?);
        }
    }
    .boxed())
}

impl ListPosition {
    fn place(&self) -> Place {
        self.next.unwrap_or_else(|| Place { since: self.cursor.start(OVERLAP_SECS), offset: 0 })
    }

    /// Notes a member and says whether it is to be given.
    fn note(&mut self, member: &Record) -> bool {
        let content = || serde_json::to_string(member).unwrap_or_default();
        changed(member).is_none_or(|second| self.cursor.note(second, &content(), OVERLAP_SECS))
    }
}

impl Place {
    /// Where the page after this one starts; none when this was the last.
    fn after(self, members: &[Record], total: usize, page_size: usize) -> Option<Self> {
        if members.is_empty() || self.offset + members.len() >= total {
            return None;
        }
        // A second earlier, since the documentation leaves open whether "since" includes its own second.
        let since = members.last().and_then(changed).map(|last| last - 1);
        if since > self.since {
            return Some(Self { since, offset: 0 });
        }
        Some(Self { offset: self.offset + (page_size / 2).max(1), ..self })
    }
}

fn page(list: &str, members: &[Record], settings: &Settings) -> Result<Page> {
    let mut rows = TextRows::new(names(settings));
    for member in members {
        let id = plain(member, "id").unwrap_or_default();
        let own = FIELDS.iter().map(|(_, read)| read(member));
        let more = settings.merge_fields.iter().map(|tag| inner(member, "merge_fields", tag));
        rows.push(&format!("{list}:{id}"), &json!(member).to_string(), own.chain(more));
    }
    rows.finish(format!("lists/{list}/members"))
}

fn names(settings: &Settings) -> impl Iterator<Item = &str> {
    FIELDS.iter().map(|(name, _)| *name).chain(settings.merge_fields.iter().map(String::as_str))
}

fn changed(member: &Record) -> Option<i64> {
    client::second(member.get("last_changed"))
}

fn plain(member: &Record, field: &str) -> Option<String> {
    json_text(member.get(field)?)
}

fn inner(member: &Record, object: &str, field: &str) -> Option<String> {
    json_text(member.get(object)?.get(field)?)
}

/// An address is an object, or an empty text where there is none.
fn address(member: &Record, field: &str) -> Option<String> {
    json_text(member.get("merge_fields")?.get("ADDRESS")?.get(field)?)
}

fn tags(member: &Record) -> Option<String> {
    let names: Vec<&str> = member.get("tags")?.as_array()?.iter().filter_map(|tag| tag.get("name")?.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Cleaned (bounced), transactional (never asked) and archived members have said nothing about consent.
fn consent(member: &Record) -> Option<String> {
    let word = match member.get("status")?.as_str()? {
        "subscribed" => "granted",
        "unsubscribed" => "withdrawn",
        "pending" => "pending",
        _ => return None,
    };
    Some(word.to_owned())
}

fn email_status(member: &Record) -> Option<String> {
    (member.get("status").and_then(Value::as_str) == Some("cleaned")).then(|| "hard_bounced".to_owned())
}
