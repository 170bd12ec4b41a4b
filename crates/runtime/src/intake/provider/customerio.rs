//! Customer.io's reporting webhooks. It waits four seconds and holds later events back behind one that fails, so even what cannot be
//! read is taken and refused later.

use super::event::{Event, kind_in};
use super::{Body, Draft, EventId, Provider, time};

pub(super) static PROVIDER: Provider = Provider {
    name: "customerio",
    title: "Customer.io",
    documentation: "https://docs.customer.io/api/webhooks/",
    signature: "customerio",
    event_id: |body| body.json()?.text_at("event_id").map(EventId::Event),
    read,
    ..Provider::EVENTS
};

const KINDS: &[(&str, &str)] = &[
    ("drafted", "queued"),
    ("attempted", "queued"),
    ("sent", "sent"),
    ("delivered", "delivered"),
    ("deferred", "deferred"),
    ("opened", "opened"),
    ("human_opened", "opened"),
    ("prefetch_opened", "opened_machine"),
    ("clicked", "clicked"),
    ("human_clicked", "clicked"),
    ("machine_clicked", "clicked_machine"),
    ("bounced", "bounced_hard"),
    ("dropped", "rejected"),
    ("suppressed", "rejected"),
    ("undeliverable", "rejected"),
    ("spammed", "complained"),
    ("failed", "failed"),
    ("unsubscribed", "unsubscribed"),
    ("subscribed", "subscribed"),
    ("cio_subscription_preferences_changed", "profile_changed"),
];

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    let metric = json.text_at("metric")?;
    let data = json.get("data")?;
    let identifiers = data.get("identifiers");
    let of_person = |name: &str| identifiers.and_then(|identifiers| identifiers.text_at(name));
    let email = ["email_address", "recipient"].iter().find_map(|name| data.text_at(name)).or_else(|| of_person("email"));
    let first = |names: &[&str]| names.iter().find_map(|name| data.text_at(name)).filter(|value| !value.is_empty());
    let event = Event {
        kind: kind_in(KINDS, &metric),
        machine: metric.starts_with("human_").then_some("human"),
        word: metric,
        email: email.filter(|email| email.contains('@')),
        external_id: of_person("cio_id").or_else(|| data.text_at("customer_id")),
        at: json.text_at("timestamp").map(time::seconds),
        agent: data.text_at("user_agent"),
        campaign: first(&["campaign_id", "broadcast_id", "newsletter_id"]),
        url: first(&["href", "link"]),
        message_id: data.text_at("delivery_id"),
        id: json.text_at("event_id"),
    };
    Some(vec![event.of_json(json)])
}
