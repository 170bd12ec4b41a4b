//! SendGrid's event webhook: always a list, repeated now and then, each event with an id.

use super::event::{Event, kind_in};
use super::{Body, Draft, Provider, time};
use crate::intake::payload::Json;

pub(super) static PROVIDER: Provider = Provider {
    name: "sendgrid",
    title: "SendGrid",
    documentation: "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event",
    signature: "sendgrid",
    // A batch is sent when it holds 768 kilobytes.
    max_body_bytes: Some(1024 * 1024),
    read: |body: &Body<'_>| body.json()?.items()?.into_iter().map(event).collect(),
    record: event,
    ..Provider::EVENTS
};

const KINDS: &[(&str, &str)] = &[
    ("processed", "queued"),
    ("deferred", "deferred"),
    ("delivered", "delivered"),
    ("dropped", "rejected"),
    ("open", "opened"),
    ("click", "clicked"),
    ("spamreport", "complained"),
    ("unsubscribe", "unsubscribed"),
    ("group_unsubscribe", "unsubscribed"),
    ("group_resubscribe", "resubscribed"),
];

fn event(json: Json<'_>) -> Option<Draft> {
    let word = json.text_at("event")?;
    let kind = match (word.as_str(), json.text_at("type").as_deref()) {
        // Refused for now by the other side's filter; the address may be good.
        ("bounce", Some("blocked")) => "bounced_soft",
        ("bounce", _) => "bounced_hard",
        (word, _) => kind_in(KINDS, word),
    };
    let campaign = ["marketing_campaign_name", "singlesend_name", "marketing_campaign_id", "singlesend_id"];
    let event = Event {
        kind,
        machine: (json.text_at("sg_machine_open").as_deref() == Some("true")).then_some("machine"),
        word,
        email: json.text_at("email"),
        at: json.text_at("timestamp").map(time::seconds),
        agent: json.text_at("useragent"),
        campaign: campaign.iter().find_map(|name| json.text_at(name)).or_else(|| json.get("category").and_then(Json::cell)),
        url: json.text_at("url"),
        message_id: json.text_at("sg_message_id"),
        id: json.text_at("sg_event_id"),
        ..Event::default()
    };
    Some(event.of_json(json))
}
