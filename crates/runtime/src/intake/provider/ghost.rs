//! Ghost: its members. The webhook is quick, the `ghost` source complete.

use headwater_model::mapping::Origin;

use super::{Body, Draft, EventId, Provider};
use crate::intake::payload::{Fields, Json, joined};

pub(super) static PROVIDER: Provider = Provider {
    name: "ghost",
    title: "Ghost",
    documentation: "https://ghost.org/docs/webhooks/",
    signature: "ghost",
    origin: Origin::EmailTool,
    person_ids: true,
    mapping: &[("external_id", "id"), ("created_at", "created_at"), ("observed_at", "updated_at")],
    recognise: |body| {
        let event = body.json().and_then(|json| json.text_at("event"));
        body.has(&["member"]) && event.is_some_and(|event| event.starts_with("member."))
    },
    // The id names a member, who comes back when edited.
    event_id: |body| {
        let json = body.json()?;
        Some(EventId::Thing(format!("{}:{}", json.text_at("event")?, member(json)?.0.text_at("id")?)))
    },
    read,
    ..Provider::FORM
};

/// The member that an event is about, and whether it is gone: then `current` is empty and the person stands in `previous`.
fn member(json: Json<'_>) -> Option<(Json<'_>, bool)> {
    let member = json.get("member")?;
    let deleted = json.text_at("event")? == "member.deleted";
    Some((member.get(if deleted { "previous" } else { "current" })?, deleted))
}

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    let event = json.text_at("event")?;
    if !["member.added", "member.edited", "member.deleted"].contains(&event.as_str()) {
        return None;
    }
    let (member, deleted) = member(json)?;
    let id = member.text_at("id")?;
    let mut fields = Fields::default();
    for (name, value) in member.members()? {
        let names = value.items().map(|items| items.into_iter().filter_map(|item| item.text_at("name")).collect::<Vec<_>>());
        match name.as_str() {
            "labels" | "newsletters" | "tiers" => fields.put(&name, names.and_then(joined)),
            "name" => {
                fields.kind("full_name", value.text());
                fields.put(&name, value.text());
            }
            _ => fields.put(&name, value.cell()),
        }
    }
    fields.about("event_type", Some(event));
    Some(vec![Draft { deleted, ..Draft::of(fields, json.raw().to_owned()).with_id(Some(id)) }])
}
