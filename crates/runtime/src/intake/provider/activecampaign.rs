//! ActiveCampaign: form posts with groups such as `contact[email]`, unsigned.

use super::event::{Event, kind_in};
use super::{Body, Draft, Provider, form_as_json};
use crate::intake::payload::Fields;

pub(super) static PROVIDER: Provider = Provider {
    name: "activecampaign",
    title: "ActiveCampaign",
    documentation: "https://developers.activecampaign.com/page/webhooks",
    posts_json: false,
    posts_forms: true,
    read,
    ..Provider::EVENTS
};

const KINDS: &[(&str, &str)] = &[
    ("sent", "sent"),
    ("open", "opened"),
    ("click", "clicked"),
    ("reply", "replied"),
    ("bounce", "bounced_hard"),
    ("subscribe", "subscribed"),
    ("unsubscribe", "unsubscribed"),
    ("update", "profile_changed"),
];

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let word = body.value("type")?;
    let kind = match (kind_in(KINDS, &word), body.value("bounce[type]").as_deref()) {
        ("bounced_hard", Some("soft")) => "bounced_soft",
        (kind, _) => kind,
    };
    let mut fields = Fields::default();
    body.form()?.iter().for_each(|(name, value)| fields.put(name, Some(value.clone())));
    let event = Event {
        kind,
        word,
        email: body.value("contact[email]"),
        external_id: body.value("contact[id]"),
        at: body.value("date_time"),
        campaign: body.value("campaign[name]").or_else(|| body.value("campaign[id]")),
        url: body.value("link[url]"),
        message_id: body.value("message[id]"),
        ..Event::default()
    };
    Some(vec![event.draft(fields, form_as_json(body.form()?))])
}
