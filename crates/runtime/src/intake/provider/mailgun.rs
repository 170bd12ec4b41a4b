//! Mailgun. Its signature covers a time and a token, not the event: the delivery's key is the token, so that a captured signature
//! pasted on another event is a repetition and is not kept.

use super::event::{Event, kind_in};
use super::{Body, Draft, Provider, time};
use crate::intake::payload::Json;

pub(super) static PROVIDER: Provider = Provider {
    name: "mailgun",
    title: "Mailgun",
    documentation: "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhooks",
    signature: "mailgun",
    read: |body: &Body<'_>| Some(vec![event(body.json()?.get("event-data")?)?]),
    record: event,
    ..Provider::EVENTS
};

const KINDS: &[(&str, &str)] = &[
    ("accepted", "queued"),
    ("rejected", "rejected"),
    ("delivered", "delivered"),
    ("opened", "opened"),
    ("clicked", "clicked"),
    ("unsubscribed", "unsubscribed"),
    ("complained", "complained"),
];

fn event(json: Json<'_>) -> Option<Draft> {
    let word = json.text_at("event")?;
    let reason = json.text_at("reason").unwrap_or_default();
    let kind = match (word.as_str(), json.text_at("severity").as_deref()) {
        // Never sent, because the address bounced, complained or unsubscribed before.
        ("failed", _) if reason.starts_with("suppress") => "rejected",
        ("failed", Some("permanent")) => "bounced_hard",
        ("failed", _) => "deferred",
        (word, _) => kind_in(KINDS, word),
    };
    let client = json.get("client-info");
    let machine = match client.and_then(|client| client.text_at("bot")).as_deref() {
        None | Some("") => None,
        // Gmail's proxy fetches when a person opens, and at times before.
        Some("gmail") => Some("likely_machine"),
        Some(_) => Some("machine"),
    };
    let event = Event {
        kind,
        word,
        machine,
        email: json.text_at("recipient"),
        at: json.text_at("timestamp").map(time::seconds),
        agent: client.and_then(|client| client.text_at("user-agent")),
        campaign: json.get("campaigns").or_else(|| json.get("tags")).and_then(Json::cell),
        url: json.text_at("url"),
        message_id: json.get("message").and_then(|message| message.get("headers")?.text_at("message-id")),
        id: json.text_at("id"),
        ..Event::default()
    };
    Some(event.of_json(json))
}
