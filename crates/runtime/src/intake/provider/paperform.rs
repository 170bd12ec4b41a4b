//! Paperform.

use super::{Body, Draft, EventId, Provider, time};
use crate::intake::payload::{Fields, Json};

pub(super) static PROVIDER: Provider = Provider {
    name: "paperform",
    title: "Paperform",
    documentation: "https://paperform.co/help/articles/webhooks/",
    recognise: |body| {
        let first = body.json().and_then(|json| json.get("data")?.items()?.into_iter().next());
        body.has(&["submission_id"]) && first.is_some_and(|answer| answer.get("custom_key").is_some())
    },
    event_id: |body| body.json()?.text_at("submission_id").map(EventId::Event),
    read,
    ..Provider::FORM
};

/// A partial submission, somebody who has not sent the form off, has no submission's id and is no lead.
fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    let Some(id) = json.text_at("submission_id") else {
        return json.get("data").is_some().then(Vec::new);
    };
    let mut fields = Fields::default();
    for answer in json.get("data")?.items()? {
        let value = answer.get("value").and_then(Json::cell);
        match answer.text_at("type").as_deref() {
            Some("email") => fields.kind("email", value.clone()),
            Some("phone") => fields.kind("phone", value.clone()),
            Some("url") => fields.kind("website", value.clone()),
            _ => {}
        }
        if let Some(title) = answer.text_at("title") {
            fields.label(&title, value.clone());
        }
        let name = answer.text_at("custom_key").filter(|key| !key.is_empty()).or_else(|| answer.text_at("key"))?;
        fields.put(&name, value);
    }
    fields.about("form_id", json.text_at("form_id"));
    fields.about("response_id", Some(id.clone()));
    fields.about("submitted_at", json.text_at("created_at").map(time::utc));
    Some(vec![Draft::of(fields, json.raw().to_owned()).with_id(Some(id))])
}
