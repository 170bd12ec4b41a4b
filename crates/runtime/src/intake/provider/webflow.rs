//! Webflow, in both shapes that are alive: `{triggerType, payload}`, and the older one whose answers stand at the top.

use super::{Body, Draft, EventId, Provider};
use crate::intake::payload::Fields;

pub(super) static PROVIDER: Provider = Provider {
    name: "webflow",
    title: "Webflow",
    documentation: "https://developers.webflow.com/data/reference/webhooks/events/form-submission",
    signature: "webflow",
    recognise: |body| body.has(&["_id", "site", "data"]) || body.has(&["triggerType", "payload"]),
    event_id: |body| {
        let json = body.json()?;
        json.text_at("_id").or_else(|| json.get("payload")?.text_at("id")).map(EventId::Event)
    },
    read,
    ..Provider::FORM
};

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    if json.text_at("triggerType").is_some_and(|event| event != "form_submission") {
        return None;
    }
    let body = json.get("payload").unwrap_or(json);
    let mut fields = Fields::default();
    fields.flattened(body.get("data").filter(|data| data.is_object())?);
    let first = |names: [&str; 2]| names.iter().find_map(|name| body.text_at(name));
    let id = first(["id", "_id"]);
    fields.about("event_type", json.text_at("triggerType"));
    fields.about("form_id", body.text_at("formId"));
    fields.about("form_name", body.text_at("name"));
    fields.about("site_id", first(["siteId", "site"]));
    fields.about("page_url", body.text_at("pageUrl"));
    fields.about("response_id", id.clone());
    fields.about("submitted_at", first(["submittedAt", "d"]));
    Some(vec![Draft::of(fields, json.raw().to_owned()).with_id(id)])
}
