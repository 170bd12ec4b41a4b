//! Netlify forms, by a site's outgoing webhook for form submissions.

use super::{Body, Draft, EventId, Provider};
use crate::intake::payload::Fields;

pub(super) static PROVIDER: Provider = Provider {
    name: "netlify",
    title: "Netlify forms",
    documentation: "https://docs.netlify.com/manage/forms/notifications/",
    signature: "netlify",
    recognise: |body| body.has(&["form_id", "form_name", "ordered_human_fields"]),
    event_id: |body| body.json()?.text_at("id").map(EventId::Event),
    read,
    ..Provider::FORM
};

/// What the platform saw of the sender, not what the form asked.
const SEEN: &[&str] = &["ip", "user_agent", "referrer"];

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    let mut fields = Fields::default();
    for (name, value) in json.get("data")?.members()? {
        match name.as_str() {
            // The page the form stands on.
            "referrer" => fields.about("page_url", value.text()),
            name if SEEN.contains(&name) => {}
            name => fields.put(name, value.cell()),
        }
    }
    for question in json.get("ordered_human_fields").and_then(|list| list.items()).unwrap_or_default() {
        if let Some(title) = question.text_at("title") {
            fields.label(&title, question.get("value").and_then(|value| value.cell()));
        }
    }
    let id = json.text_at("id");
    fields.about("form_id", json.text_at("form_id"));
    fields.about("form_name", json.text_at("form_name"));
    fields.about("site_url", json.text_at("site_url"));
    fields.about("response_id", id.clone());
    fields.about("submitted_at", json.text_at("created_at"));
    Some(vec![Draft::of(fields, json.raw().to_owned()).with_id(id)])
}
