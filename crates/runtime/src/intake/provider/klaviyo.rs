//! Klaviyo's system webhooks: a list of events, each with the topic that was subscribed to.

use super::event::{Event, kind_in};
use super::{Body, Draft, Provider};
use crate::intake::payload::Json;

pub(super) static PROVIDER: Provider = Provider {
    name: "klaviyo",
    title: "Klaviyo",
    documentation: "https://developers.klaviyo.com/en/docs/working_with_system_webhooks",
    signature: "klaviyo",
    read: |body: &Body<'_>| body.json()?.get("data")?.items()?.into_iter().map(event).collect(),
    record: event,
    ..Provider::EVENTS
};

/// Topics, without `event:klaviyo.`.
const KINDS: &[(&str, &str)] = &[
    ("received_email", "delivered"),
    ("opened_email", "opened"),
    ("clicked_email", "clicked"),
    ("bounced_email", "bounced_hard"),
    ("dropped_email", "rejected"),
    ("marked_email_as_spam", "complained"),
    ("unsubscribed_from_email_marketing", "unsubscribed"),
    ("unsubscribed_from_list", "unsubscribed"),
    ("unsubscribed", "unsubscribed"),
    ("subscribed_to_email_marketing", "subscribed"),
    ("subscribed_to_list", "subscribed"),
];

fn event(json: Json<'_>) -> Option<Draft> {
    let topic = json.text_at("topic")?;
    let payload = json.get("payload")?;
    let event = payload.get("data").filter(|data| data.is_object()).unwrap_or(payload);
    let attributes = event.get("attributes").unwrap_or(event);
    let properties = attributes.get("event_properties").or_else(|| attributes.get("properties"));
    let property = |name: &str| properties.and_then(|properties| properties.text_at(name)).filter(|value| !value.is_empty());
    let included = payload.get("included").and_then(Json::items).unwrap_or_default();
    let profile = included.into_iter().find(|item| item.text_at("type").as_deref() == Some("profile"));
    let email = profile.and_then(|profile| profile.get("attributes")?.text_at("email"));
    let related = || event.get("relationships")?.get("profile")?.get("data")?.text_at("id");
    let word = topic.rsplit(['.', ':']).next().unwrap_or_default();
    let kind = match (kind_in(KINDS, word), property("Bounce Type").as_deref()) {
        ("bounced_hard", Some("Soft" | "soft")) => "bounced_soft",
        (kind, _) => kind,
    };
    let machine = property("machine_open").map(|machine| if machine.eq_ignore_ascii_case("true") { "machine" } else { "human" });
    let event = Event {
        kind,
        machine,
        email: email.or_else(|| property("Recipient Email Address")).or_else(|| property("$email")),
        external_id: profile.and_then(|profile| profile.text_at("id")).or_else(related),
        at: attributes.text_at("datetime"),
        agent: property("user_agent"),
        campaign: property("Campaign Name"),
        url: property("URL"),
        message_id: property("$message"),
        id: json.text_at("external_id").or_else(|| event.text_at("id")),
        word: topic,
    };
    Some(event.of_json(json))
}
