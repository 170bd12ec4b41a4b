//! Brevo (once Sendinblue): one event a delivery, without an id of its own. `X-Mailin-custom` may be any text and is kept as one.

use super::event::{Event, kind_in};
use super::{Body, Draft, Provider, time};
use crate::intake::payload::Json;

pub(super) static PROVIDER: Provider = Provider {
    name: "brevo",
    title: "Brevo",
    documentation: "https://developers.brevo.com/docs/transactional-webhooks",
    read: |body: &Body<'_>| {
        let json = body.json()?;
        // Batched webhooks post a list.
        json.items().unwrap_or_else(|| vec![json]).into_iter().map(event).collect()
    },
    ..Provider::EVENTS
};

/// A first open comes as `unique_opened` beside `opened`: they get one id, so they are one.
const KINDS: &[(&str, &str)] = &[
    ("request", "queued"),
    ("sent", "sent"),
    ("delivered", "delivered"),
    ("deferred", "deferred"),
    ("hard_bounce", "bounced_hard"),
    ("hardBounce", "bounced_hard"),
    ("soft_bounce", "bounced_soft"),
    ("softBounce", "bounced_soft"),
    ("blocked", "rejected"),
    ("invalid_email", "rejected"),
    ("invalid", "rejected"),
    ("error", "failed"),
    ("spam", "complained"),
    ("complaint", "complained"),
    ("opened", "opened"),
    ("open", "opened"),
    ("uniqueOpened", "opened"),
    ("unique_opened", "opened"),
    ("proxy_open", "opened_machine"),
    ("proxyOpen", "opened_machine"),
    ("unique_proxy_open", "opened_machine"),
    ("uniqueProxyOpen", "opened_machine"),
    ("loaded_by_proxy", "opened_machine"),
    ("click", "clicked"),
    ("unsubscribed", "unsubscribed"),
    ("unsubscribe", "unsubscribed"),
    ("list_addition", "subscribed"),
    ("contact_updated", "profile_changed"),
];

fn event(json: Json<'_>) -> Option<Draft> {
    let word = json.text_at("event")?;
    let first = |names: &[&str]| names.iter().find_map(|name| json.text_at(name)).filter(|value| !value.is_empty());
    let event = Event {
        kind: kind_in(KINDS, &word),
        word,
        email: json.text_at("email"),
        // Transactional and marketing events name the instant differently; `date` is of the account's zone.
        at: first(&["ts_event", "ts_epoch", "ts"]).map(|at| if at.len() > 11 { time::millis(at) } else { time::seconds(at) }),
        agent: json.text_at("user_agent"),
        campaign: first(&["campaign name", "camp_id"]).or_else(|| json.get("tags").and_then(Json::cell)),
        url: first(&["link", "URL", "url"]),
        message_id: json.text_at("message-id"),
        ..Event::default()
    };
    Some(event.of_json(json))
}
