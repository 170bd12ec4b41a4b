//! lemlist: one activity a delivery.

use super::event::{Event, kind_in};
use super::{Body, Draft, EventId, Provider, without};

pub(super) static PROVIDER: Provider = Provider {
    name: "lemlist",
    title: "lemlist",
    documentation: "https://developer.lemlist.com/api-reference/endpoints/webhooks/add-webhook",
    event_id: |body| body.json()?.text_at("_id").map(EventId::Event),
    read,
    ..Provider::EVENTS
};

const KINDS: &[(&str, &str)] = &[
    ("emailsSent", "sent"),
    ("emailsOpened", "opened"),
    ("emailsClicked", "clicked"),
    ("emailsReplied", "replied"),
    ("emailsBounced", "bounced_hard"),
    ("emailsUnsubscribed", "unsubscribed"),
    ("emailsFailed", "failed"),
    ("emailsSendFailed", "failed"),
    ("linkedinReplied", "replied"),
    ("linkedinSent", "sent"),
    ("linkedinOpened", "opened"),
    ("linkedinInviteAccepted", "replied"),
    ("linkedinSendFailed", "failed"),
    ("whatsappReplied", "replied"),
    ("smsReplied", "replied"),
];

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    let word = json.text_at("type")?;
    let event = Event {
        kind: kind_in(KINDS, &word),
        machine: (json.text_at("bot").as_deref() == Some("true")).then_some("machine"),
        word,
        email: json.text_at("leadEmail").or_else(|| json.text_at("email")),
        external_id: json.text_at("leadId"),
        at: json.text_at("createdAt"),
        campaign: json.text_at("campaignName").or_else(|| json.text_at("campaignId")),
        url: json.text_at("url"),
        message_id: json.text_at("messageId"),
        id: json.text_at("_id"),
        ..Event::default()
    };
    Some(vec![Draft { raw: without(json, "secret"), ..event.of_json(json) }])
}
