//! Resend, signed as Standard Webhooks.

use super::event::{Event, kind_in};
use super::{Body, Draft, Provider};
use crate::intake::payload::Json;

pub(super) static PROVIDER: Provider = Provider {
    name: "resend",
    title: "Resend",
    documentation: "https://resend.com/docs/webhooks/event-types",
    signature: "standard_webhooks",
    read,
    ..Provider::EVENTS
};

const KINDS: &[(&str, &str)] = &[
    ("email.scheduled", "queued"),
    ("email.sent", "sent"),
    ("email.delivered", "delivered"),
    ("email.delivery_delayed", "deferred"),
    ("email.bounced", "bounced_hard"),
    ("email.complained", "complained"),
    ("email.opened", "opened"),
    ("email.clicked", "clicked"),
    ("email.failed", "failed"),
    ("email.suppressed", "rejected"),
];

/// An email may have gone to several people; opens and clicks do not say whose they are.
fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    let word = json.text_at("type")?;
    // Contacts and domains are no events of a message.
    if !word.starts_with("email.") {
        return Some(Vec::new());
    }
    let data = json.get("data")?;
    let click = data.get("click");
    let soft = data.get("bounce").and_then(|bounce| bounce.text_at("type")).is_some_and(|kind| kind != "Permanent");
    let people = data.get("to").and_then(Json::items).unwrap_or_default().into_iter().filter_map(Json::text);
    let events = people.map(|email| Event {
        kind: if soft { "bounced_soft" } else { kind_in(KINDS, &word) },
        word: word.clone(),
        email: Some(email),
        at: click.and_then(|click| click.text_at("timestamp")).or_else(|| json.text_at("created_at")),
        agent: click.and_then(|click| click.text_at("userAgent")),
        campaign: data.text_at("broadcast_id"),
        url: click.and_then(|click| click.text_at("link")),
        message_id: data.text_at("email_id"),
        ..Event::default()
    });
    Some(events.map(|event| event.of_json(json)).collect())
}
