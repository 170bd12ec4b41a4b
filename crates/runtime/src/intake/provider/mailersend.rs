//! MailerSend: `activity.…` events. The first open comes as `opened` and as `opened_unique`; one activity, one id.

use super::event::{Event, kind_in};
use super::{Body, Draft, Provider};

pub(super) static PROVIDER: Provider = Provider {
    name: "mailersend",
    title: "MailerSend",
    documentation: "https://developers.mailersend.com/api/v1/webhooks.html",
    signature: "hmac_hex",
    read,
    ..Provider::EVENTS
};

const KINDS: &[(&str, &str)] = &[
    ("activity.sent", "sent"),
    ("activity.delivered", "delivered"),
    ("activity.deferred", "deferred"),
    ("activity.soft_bounced", "bounced_soft"),
    ("activity.hard_bounced", "bounced_hard"),
    ("activity.opened", "opened"),
    ("activity.opened_unique", "opened"),
    ("activity.clicked", "clicked"),
    ("activity.clicked_unique", "clicked"),
    ("activity.unsubscribed", "unsubscribed"),
    ("activity.spam_complaint", "complained"),
];

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    let word = json.text_at("type")?;
    let data = json.get("data")?;
    let email = data.get("email");
    let morph = data.get("morph");
    let event = Event {
        kind: kind_in(KINDS, &word),
        word,
        email: email.and_then(|email| email.get("recipient")?.text_at("email")),
        at: data.text_at("created_at").or_else(|| json.text_at("created_at")),
        agent: morph.and_then(|morph| morph.text_at("user_agent")),
        campaign: email.and_then(|email| email.get("tags")?.cell()),
        url: morph.and_then(|morph| morph.text_at("url")),
        message_id: email.and_then(|email| email.get("message")?.text_at("id")),
        ..Event::default()
    };
    Some(vec![event.of_json(json)])
}
