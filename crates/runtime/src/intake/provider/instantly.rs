//! Instantly: one flat event a delivery.

use super::event::{Event, kind_in};
use super::{Body, Draft, Provider};

pub(super) static PROVIDER: Provider = Provider {
    name: "instantly",
    title: "Instantly",
    documentation: "https://developer.instantly.ai/guides/webhook-events",
    read,
    ..Provider::EVENTS
};

const KINDS: &[(&str, &str)] = &[
    ("email_sent", "sent"),
    ("email_opened", "opened"),
    ("email_link_clicked", "clicked"),
    ("link_clicked", "clicked"),
    ("reply_received", "replied"),
    ("auto_reply_received", "auto_replied"),
    ("email_bounced", "bounced_hard"),
    ("lead_unsubscribed", "unsubscribed"),
    ("account_error", "failed"),
];

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    let word = json.text_at("event_type")?;
    // Of an account or a campaign, and of no lead.
    let Some(email) = json.text_at("lead_email") else { return Some(Vec::new()) };
    let event = Event {
        kind: kind_in(KINDS, &word),
        word,
        email: Some(email),
        at: json.text_at("timestamp"),
        campaign: json.text_at("campaign_name").or_else(|| json.text_at("campaign_id")),
        message_id: json.text_at("email_id"),
        ..Event::default()
    };
    Some(vec![event.of_json(json)])
}
