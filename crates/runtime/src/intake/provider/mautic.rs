//! Mautic: members named after triggers, each with a list of events. Form submissions are `mautic_forms`.

use super::event::Event;
use super::{Body, Draft, Provider};
use crate::intake::payload::Json;

pub(super) static PROVIDER: Provider = Provider {
    name: "mautic",
    title: "Mautic",
    documentation: "https://docs.mautic.org/en/5.x/configuration/webhooks.html",
    signature: "mautic",
    max_body_bytes: Some(1024 * 1024),
    read,
    ..Provider::EVENTS
};

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let mut drafts = Vec::new();
    let mut known = false;
    for (trigger, events) in body.json()?.members()? {
        let Some(word) = trigger.strip_prefix("mautic.") else { continue };
        known = true;
        // What a contact filled in is a lead, and what happens inside Mautic is not the person's doing.
        if matches!(word, "form_on_submit" | "lead_points_change" | "lead_post_delete") {
            continue;
        }
        drafts.extend(events.items()?.into_iter().map(|json| event(word, json)));
    }
    known.then_some(drafts)
}

fn event(word: &str, json: Json<'_>) -> Draft {
    let stat = json.get("stat");
    let of_stat = |name: &str| stat.and_then(|stat| stat.text_at(name));
    let contact = json.get("contact").or_else(|| json.get("lead")).or_else(|| stat.and_then(|stat| stat.get("lead")));
    let core = contact.and_then(|contact| contact.get("fields")?.get("core")?.get("email")?.text_at("value"));
    let all = || contact.and_then(|contact| contact.get("fields")?.get("all")?.text_at("email"));
    let kind = match word {
        "email_on_send" => "sent",
        "email_on_open" => "opened",
        "page_on_hit" => "visited",
        "lead_post_save_new" => "subscribed",
        "lead_post_save_update" => "profile_changed",
        // Do-not-contact, with the new state beside the old one.
        "lead_channel_subscription_changed" => match json.text_at("new_status").as_deref() {
            Some("bounced") => "bounced_hard",
            Some("contactable") => "resubscribed",
            Some("manual") => "rejected",
            _ => "unsubscribed",
        },
        _ => "unknown",
    };
    let event = Event {
        kind,
        word: word.to_owned(),
        email: of_stat("emailAddress").or(core).or_else(all).or_else(|| contact?.text_at("email")),
        external_id: contact.and_then(|contact| contact.text_at("id")),
        at: json.text_at("timestamp").or_else(|| of_stat("dateRead")),
        campaign: stat.and_then(|stat| stat.get("email")?.text_at("name")),
        url: json.get("hit").and_then(|hit| hit.text_at("url")),
        message_id: of_stat("trackingHash"),
        ..Event::default()
    };
    event.of_json(json)
}
