//! MailerLite: one event, or a list of them under `events`; `subscriber` beside the event, or the event is the subscriber.

use super::event::{Event, kind_in};
use super::{Body, Draft, Provider, time};
use crate::intake::payload::Json;

pub(super) static PROVIDER: Provider = Provider {
    name: "mailerlite",
    title: "MailerLite",
    documentation: "https://developers.mailerlite.com/docs/webhooks.html",
    signature: "hmac_hex",
    max_body_bytes: Some(1024 * 1024),
    read: |body: &Body<'_>| {
        let json = body.json()?;
        json.get("events").and_then(Json::items).unwrap_or_else(|| vec![json]).into_iter().map(event).collect()
    },
    ..Provider::EVENTS
};

const KINDS: &[(&str, &str)] = &[
    ("subscriber.created", "subscribed"),
    ("subscriber.create", "subscribed"),
    ("subscriber.updated", "profile_changed"),
    ("subscriber.update", "profile_changed"),
    ("subscriber.unsubscribed", "unsubscribed"),
    ("subscriber.unsubscribe", "unsubscribed"),
    ("subscriber.added_to_group", "subscribed"),
    ("subscriber.bounced", "bounced_hard"),
    ("subscriber.spam_reported", "complained"),
    ("subscriber.complaint", "complained"),
    ("campaign.open", "opened"),
    ("campaign.click", "clicked"),
];

fn event(json: Json<'_>) -> Option<Draft> {
    let word = json.text_at("event").or_else(|| json.text_at("type"))?;
    let data = json.get("data").filter(|data| data.is_object()).unwrap_or(json);
    let subscriber = data.get("subscriber").filter(|subscriber| subscriber.is_object()).unwrap_or(data);
    let campaign = data.get("campaign");
    let at = |name: &str| json.text_at(name).or_else(|| subscriber.text_at(name));
    let at = match word.as_str() {
        word if word.contains("unsubscribe") => at("unsubscribed_at").or_else(|| at("timestamp")),
        word if word.contains("update") => at("timestamp").or_else(|| at("updated_at")),
        _ => at("timestamp").or_else(|| at("opened_at")).or_else(|| at("clicked_at")).or_else(|| at("subscribed_at")),
    };
    let at = at.or_else(|| json.text_at("created_at")).or_else(|| subscriber.text_at("updated_at"));
    let event = Event {
        kind: kind_in(KINDS, &word),
        word,
        email: subscriber.text_at("email"),
        external_id: subscriber.text_at("id"),
        at: at.map(|at| if at.bytes().all(|byte| byte.is_ascii_digit()) { time::seconds(at) } else { time::utc(at) }),
        campaign: campaign.and_then(|campaign| campaign.text_at("name").or_else(|| campaign.text_at("id"))),
        url: data.text_at("url").or_else(|| data.get("link")?.text_at("url")),
        ..Event::default()
    };
    Some(event.of_json(json))
}
