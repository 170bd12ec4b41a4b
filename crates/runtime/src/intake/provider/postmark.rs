//! Postmark: one event a delivery, unsigned; a user and a password in the address prove the sender.

use super::event::{Event, kind_in};
use super::{Body, Draft, Provider};
use crate::intake::payload::Json;

pub(super) static PROVIDER: Provider = Provider {
    name: "postmark",
    title: "Postmark",
    documentation: "https://postmarkapp.com/developer/webhooks/webhooks-overview",
    signature: "basic",
    read: |body: &Body<'_>| Some(vec![event(body.json()?)?]),
    ..Provider::EVENTS
};

/// <https://postmarkapp.com/developer/api/bounce-api#bounce-types>
const BOUNCES: &[(&str, &str)] = &[
    ("HardBounce", "bounced_hard"),
    ("BadEmailAddress", "bounced_hard"),
    ("SoftBounce", "bounced_soft"),
    ("Transient", "bounced_soft"),
    ("DnsError", "bounced_soft"),
    ("Blocked", "bounced_soft"),
    ("SpamNotification", "bounced_soft"),
    ("VirusNotification", "bounced_soft"),
    ("DMARCPolicy", "bounced_soft"),
    ("SpamComplaint", "complained"),
    ("Unsubscribe", "unsubscribed"),
    ("Subscribe", "subscribed"),
    ("AutoResponder", "auto_replied"),
    ("AddressChange", "auto_replied"),
    ("ChallengeVerification", "auto_replied"),
    ("ManuallyDeactivated", "rejected"),
    ("SMTPApiError", "failed"),
    ("TemplateRenderingFailed", "failed"),
];

fn event(json: Json<'_>) -> Option<Draft> {
    let record = json.text_at("RecordType")?;
    let part = |name: &str| json.text_at(name).unwrap_or_default();
    let (kind, word) = match record.as_str() {
        "Delivery" => ("delivered", record),
        "Open" => ("opened", record),
        "Click" => ("clicked", record),
        "SpamComplaint" => ("complained", record),
        "Bounce" => (kind_in(BOUNCES, &part("Type")), format!("Bounce {}", part("Type"))),
        "SubscriptionChange" => (suppression(json), format!("SubscriptionChange {}", part("SuppressionReason"))),
        // Inbound mail and whatever comes later.
        _ => return None,
    };
    let first = |names: &[&str]| names.iter().find_map(|name| json.text_at(name));
    let event = Event {
        kind,
        word: word.trim().to_owned(),
        email: first(&["Recipient", "Email"]),
        at: first(&["DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt"]),
        agent: json.text_at("UserAgent"),
        campaign: json.text_at("Tag").filter(|tag| !tag.is_empty()),
        url: json.text_at("OriginalLink"),
        message_id: json.text_at("MessageID"),
        ..Event::default()
    };
    Some(event.of_json(json))
}

/// Why nothing will be sent to an address any more. Only what the person did is a withdrawal: a bounce says nothing of what they want.
fn suppression(json: Json<'_>) -> &'static str {
    if json.text_at("SuppressSending").as_deref() != Some("true") {
        return "resubscribed";
    }
    match (json.text_at("SuppressionReason").as_deref(), json.text_at("Origin").as_deref()) {
        (Some("HardBounce"), _) => "bounced_hard",
        (Some("SpamComplaint"), _) => "complained",
        (Some("ManualSuppression"), Some("Recipient")) => "unsubscribed",
        _ => "rejected",
    }
}
