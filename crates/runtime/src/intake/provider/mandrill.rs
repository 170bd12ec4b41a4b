//! Mandrill (Mailchimp Transactional): a form post whose one field is a list of events. It asks by HEAD whether the address is there.

use super::event::{Event, kind_in};
use super::{Body, Draft, Provider, made_id, time};
use crate::intake::payload::Json;

pub(super) static PROVIDER: Provider = Provider {
    name: "mandrill",
    title: "Mandrill",
    documentation: "https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/",
    signature: "mandrill",
    posts_json: false,
    posts_forms: true,
    asks_first: true,
    // A batch holds up to a thousand events, percent-encoded.
    max_body_bytes: Some(4 * 1024 * 1024),
    read,
    record: |json| event(json)?.pop(),
    ..Provider::EVENTS
};

const KINDS: &[(&str, &str)] = &[
    ("send", "sent"),
    ("delivered", "delivered"),
    ("deferral", "deferred"),
    ("hard_bounce", "bounced_hard"),
    ("soft_bounce", "bounced_soft"),
    ("open", "opened"),
    ("click", "clicked"),
    ("spam", "complained"),
    ("unsub", "unsubscribed"),
    ("reject", "rejected"),
];

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let list = body.value("mandrill_events")?;
    let drafts = Json::parse(&list)?.items()?.into_iter().map(event).collect::<Option<Vec<_>>>()?;
    Some(drafts.into_iter().flatten().collect())
}

/// What became of a message; a change of the deny and allow lists concerns an address and no message, and is left out.
fn event(json: Json<'_>) -> Option<Vec<Draft>> {
    let Some(word) = json.text_at("event") else {
        return json.get("type").map(|_| Vec::new());
    };
    let message = json.get("msg");
    let of_message = |name: &str| message.and_then(|message| message.text_at(name));
    let at = json.text_at("ts");
    let event = Event {
        kind: kind_in(KINDS, &word),
        email: of_message("email"),
        agent: json.text_at("user_agent"),
        campaign: message.and_then(|message| message.get("tags")?.cell()),
        url: json.text_at("url"),
        message_id: json.text_at("_id"),
        id: Some(made_id(&[Some(&word), at.as_deref(), json.text_at("_id").as_deref(), json.text_at("url").as_deref()])),
        at: at.map(time::seconds),
        word,
        ..Event::default()
    };
    Some(vec![event.of_json(json)])
}
