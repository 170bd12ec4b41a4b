//! The stream of what members did with campaigns: opens, clicks and bounces, one row each.
//!
//! Mailchimp gives them per campaign and member, not in the order of time. So a campaign's position moves only when all its
//! members were read, and then not beyond the moment at which that pass began: what somebody did meanwhile may lie on a page
//! already behind us.

use std::collections::BTreeMap;

use async_stream::try_stream;
use futures::StreamExt as _;
use headwater_model::checkpoint::Checkpoint;
use headwater_model::mapping::{Mapping, Origin, Role};
use headwater_model::page::Page;
use headwater_sdk::{Clock, EventStream, Result, SourceEvent, StreamSpec, TextRows, json_text};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{self, Campaign, Client, Listing, Record};
use super::source::{self, Settings};

pub(super) const NAME: &str = "email_activity";
/// How far before the position a pass starts again: clocks differ, and opens are counted with a delay.
const OVERLAP_SECS: i64 = 15 * 60;
/// Pages of one campaign that one read gives at most; the next read goes on.
const MAX_PAGES: usize = 100_000;
const DAY_SECS: i64 = 24 * 60 * 60;

const FIELDS: [&str; 12] = [
    "campaign_id",
    "campaign",
    "list_id",
    "email_id",
    "email_address",
    "kind",
    "action",
    "type",
    "timestamp",
    "url",
    "ip",
    "list_is_active",
];

const MAPPING: &[(&str, &str)] = &[
    ("external_id", "email_id"),
    ("email", "email_address"),
    ("kind", "kind"),
    ("campaign", "campaign"),
    ("url", "url"),
    ("message_id", "campaign_id"),
    ("occurred_at", "timestamp"),
];

const NOTES: &str = "Mailchimp keeps 1000 opens and 1000 clicks per member and campaign, and does not say whether a machine \
    opened. The same action at the same address in the same second counts once.";

/// The position, by campaign.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    campaigns: BTreeMap<String, CampaignPosition>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CampaignPosition {
    /// Everything done before this second was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pass: Option<Pass>,
}

/// A pass over a campaign's members that is under way.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pass {
    began: i64,
    offset: usize,
    newest: Option<i64>,
}

pub(super) fn spec() -> StreamSpec {
    StreamSpec {
        name: NAME.to_owned(),
        role: Role::Engagements,
        origin: Origin::EmailTool,
        fields: FIELDS.map(str::to_owned).to_vec(),
        mapping: Mapping::of(MAPPING.iter().copied()),
        vendor: Some("mailchimp".to_owned()),
        whole: false,
        notes: Some(NOTES.to_owned()),
    }
}

pub(super) fn read(client: Client, settings: Settings, clock: Clock, from: Option<Checkpoint>) -> Result<EventStream> {
    let mut position: Position = source::position(from)?;
    Ok(try_stream! {
        let now = clock.now().as_second();
        let mut campaigns = client.campaigns(now - i64::from(settings.activity_days) * DAY_SECS).await?;
        campaigns.retain(|campaign| settings.wants(campaign.recipients.list_id.as_deref()));
        position.campaigns.retain(|id, _| campaigns.iter().any(|campaign| campaign.id == *id));
        for campaign in &campaigns {
            for _ in 0..MAX_PAGES {
                let at = position.campaigns.entry(campaign.id.clone()).or_default();
                let pass = at.pass.unwrap_or(Pass { began: clock.now().as_second(), offset: 0, newest: None });
                let since = at.done.map(|done| done - OVERLAP_SECS);
                let Listing { records, total } =
                    client.activity(&campaign.id, since, pass.offset, settings.page_size).await?;
                *at = at.after(pass, &records, total);
                let more = at.pass.is_some();
                if let Some(page) = page(campaign, &records)? {
                    yield SourceEvent::Page(page);
                }
                yield SourceEvent::Checkpoint(source::checkpoint(&position)?);
                if !more {
                    break;
                }
            }
        }
    }
    .boxed())
}

impl CampaignPosition {
    fn after(&self, pass: Pass, members: &[Record], total: usize) -> Self {
        let Pass { began, offset, newest } = pass;
        let newest =
            members.iter().flat_map(actions).filter_map(|action| client::second(action.get("timestamp"))).max().max(newest);
        let offset = offset + members.len();
        if !members.is_empty() && offset < total {
            return Self { done: self.done, pass: Some(Pass { began, offset, newest }) };
        }
        Self { done: self.done.max(newest.map(|newest| newest.min(began))), pass: None }
    }
}

fn actions(member: &Record) -> impl Iterator<Item = &Value> {
    member.get("activity").and_then(Value::as_array).into_iter().flatten()
}

fn page(campaign: &Campaign, members: &[Record]) -> Result<Option<Page>> {
    let mut rows = TextRows::new(FIELDS);
    for member in members {
        for action in actions(member) {
            let of_member = |field: &str| json_text(member.get(field)?);
            let of_action = |field: &str| json_text(action.get(field)?);
            let identity = [of_member("email_id"), of_action("action"), of_action("timestamp"), of_action("url")];
            let mut raw = member.clone();
            raw.insert("activity".to_owned(), json!([action]));
            rows.push(
                &key(&campaign.id, &identity),
                &json!(raw).to_string(),
                [
                    Some(campaign.id.clone()),
                    Some(
                        campaign.settings.title.clone().filter(|title| !title.is_empty()).unwrap_or_else(|| campaign.id.clone()),
                    ),
                    of_member("list_id"),
                    of_member("email_id"),
                    of_member("email_address"),
                    kind(action),
                    of_action("action"),
                    of_action("type"),
                    of_action("timestamp"),
                    of_action("url"),
                    of_action("ip"),
                    of_member("list_is_active"),
                ],
            );
        }
    }
    let request = format!("reports/{}/email-activity", campaign.id);
    if rows.is_empty() { Ok(None) } else { rows.finish(request).map(Some) }
}

/// Mailchimp gives an action no id: what happened, to whom and when is its identity.
fn key(campaign: &str, identity: &[Option<String>]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(campaign.as_bytes());
    for part in identity {
        hasher.update(&[0x1f]);
        hasher.update(part.as_deref().unwrap_or_default().as_bytes());
    }
    hasher.finalize().to_hex().chars().take(32).collect()
}

/// What was done, in the words every tool's engagements share.
fn kind(action: &Value) -> Option<String> {
    let word = match (action.get("action")?.as_str()?, action.get("type").and_then(Value::as_str)) {
        ("open", _) => "opened",
        ("click", _) => "clicked",
        ("bounce", Some("soft")) => "bounced_soft",
        ("bounce", _) => "bounced_hard",
        (other, _) => other,
    };
    Some(word.to_owned())
}
