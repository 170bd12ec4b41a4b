//! Gravity Forms, by its Webhooks add-on with all fields: an entry whose answers stand under the fields' numbers. Chosen fields under
//! names of one's own arrive as a plain form or plain JSON and need no provider.

use super::{Body, Draft, EventId, Provider, time};
use crate::intake::payload::{Fields, Pairs};

pub(super) static PROVIDER: Provider = Provider {
    name: "gravity_forms",
    title: "Gravity Forms",
    documentation: "https://docs.gravityforms.com/triggering-webhooks-on-form-submissions/",
    posts_forms: true,
    recognise: |body| ["form_id", "date_created", "source_url", "is_starred"].iter().all(|name| member(body, name).is_some()),
    // The id names an entry; a feed may send it again when it is edited.
    event_id: |body| member(body, "id").map(EventId::Thing),
    read,
    ..Provider::FORM
};

/// What the plugin keeps of an entry beside the answers.
const OWN: &[&str] =
    &["id", "form_id", "post_id", "date_created", "date_updated", "is_starred", "is_read", "ip", "source_url", "user_agent"];

fn member(body: &Body<'_>, name: &str) -> Option<String> {
    body.value(name).or_else(|| body.json()?.text_at(name))
}

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let entry: Pairs = match (body.json(), body.form()) {
        (Some(json), _) => json.members()?.into_iter().filter_map(|(name, value)| Some((name, value.cell()?))).collect(),
        (None, pairs) => pairs?.clone(),
    };
    let id = member(body, "id");
    let mut fields = Fields::default();
    for (name, value) in entry.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
        fields.put(name, Some(value.clone()));
    }
    fields.about("form_id", member(body, "form_id"));
    fields.about("page_url", member(body, "source_url"));
    fields.about("response_id", id.clone());
    // <https://docs.gravityforms.com/entry-object/>: UTC.
    fields.about("submitted_at", member(body, "date_created").map(time::utc));
    let raw = body.json().map_or_else(|| super::form_as_json(&entry), |json| json.raw().to_owned());
    // An entry's number is its own within one site only, and so is this source.
    Some(vec![Draft::of(fields, raw).with_id(id)])
}
