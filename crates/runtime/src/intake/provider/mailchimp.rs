//! Mailchimp's audience webhooks: form posts, unsigned. It asks by GET whether the address is there before it saves it.

use super::event::Event;
use super::{Body, Draft, Provider, form_as_json, time};
use crate::intake::payload::Fields;

pub(super) static PROVIDER: Provider = Provider {
    name: "mailchimp",
    title: "Mailchimp",
    documentation: "https://mailchimp.com/developer/marketing/guides/sync-audience-data-webhooks/",
    posts_json: false,
    posts_forms: true,
    asks_first: true,
    read,
    ..Provider::EVENTS
};

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let data = |name: &str| body.value(&format!("data[{name}]"));
    let word = body.value("type")?;
    let kind = match (word.as_str(), data("reason").as_deref()) {
        ("subscribe", _) => "subscribed",
        // Taken out by the person, or by whoever keeps the list: either way no mail is wanted.
        ("unsubscribe", Some("abuse")) | ("cleaned", Some("abuse")) => "complained",
        ("unsubscribe", _) => "unsubscribed",
        ("cleaned", _) => "bounced_hard",
        ("profile" | "upemail", _) => "profile_changed",
        // That a campaign went out concerns no person.
        ("campaign", _) => return Some(Vec::new()),
        _ => return None,
    };
    let mut fields = Fields::default();
    body.form()?.iter().for_each(|(name, value)| fields.put(name, Some(value.clone())));
    let event = Event {
        kind,
        word,
        email: data("email").or_else(|| data("new_email")),
        at: body.value("fired_at").map(time::utc),
        campaign: data("campaign_id"),
        ..Event::default()
    };
    Some(vec![event.draft(fields, form_as_json(body.form()?))])
}
