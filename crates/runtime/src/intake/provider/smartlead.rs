//! Smartlead, in the two shapes that its two documentations give: `event_type: EMAIL_OPEN` flat, and `event: EMAIL_OPENED`.

use super::event::{Event, kind_in};
use super::{Body, Draft, Provider, without};
use crate::intake::payload::Json;

pub(super) static PROVIDER: Provider = Provider {
    name: "smartlead",
    title: "Smartlead",
    documentation: "https://help.smartlead.ai/Email-Opened-466fc579d2d942a688d52ec51b6e0ae6",
    signature: "body_secret",
    read,
    ..Provider::EVENTS
};

const KINDS: &[(&str, &str)] = &[
    ("EMAIL_SENT", "sent"),
    ("EMAIL_OPEN", "opened"),
    ("EMAIL_OPENED", "opened"),
    ("EMAIL_LINK_CLICK", "clicked"),
    ("EMAIL_LINK_CLICKED", "clicked"),
    ("EMAIL_CLICKED", "clicked"),
    ("EMAIL_REPLY", "replied"),
    ("EMAIL_REPLIED", "replied"),
    ("EMAIL_BOUNCE", "bounced_hard"),
    ("EMAIL_BOUNCED", "bounced_hard"),
    ("LEAD_UNSUBSCRIBED", "unsubscribed"),
];

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    let word = json.text_at("event_type").or_else(|| json.text_at("event"))?;
    let data = json.get("data").filter(|data| data.is_object()).unwrap_or(json);
    let inner = |group: &str, name: &str| data.get(group).and_then(|group| group.text_at(name));
    let first = |names: &[&str]| {
        names.iter().find_map(|name| data.text_at(name).or_else(|| json.text_at(name))).filter(|value| !value.is_empty())
    };
    let url = first(&["link_clicked"]).or_else(|| data.get("link_details").and_then(Json::cell));
    let event = Event {
        kind: kind_in(KINDS, &word),
        word,
        email: first(&["to_email", "lead_email", "email"]).or_else(|| inner("lead", "email")),
        external_id: first(&["sl_email_lead_id", "lead_id"]),
        at: first(&["event_timestamp", "timestamp", "time_opened", "time_clicked", "time_replied", "time_sent"]),
        campaign: first(&["campaign_name", "campaign_id"]).or_else(|| inner("campaign", "name")),
        url,
        message_id: inner("sent_message", "message_id").or_else(|| first(&["message_id", "stats_id"])),
        ..Event::default()
    };
    Some(vec![Draft { raw: without(json, "secret_key"), ..event.of_json(json) }])
}
