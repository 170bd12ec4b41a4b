//! Fillout.

use super::{Body, Draft, EventId, Provider};
use crate::intake::payload::{Fields, Json};

pub(super) static PROVIDER: Provider = Provider {
    name: "fillout",
    title: "Fillout",
    documentation: "https://www.fillout.com/help/webhook",
    recognise: |body| {
        body.has(&["formId", "submission"]) && body.json().and_then(|json| json.get("submission")?.get("questions")).is_some()
    },
    // The id names a submission, which comes back when it is edited.
    event_id: |body| body.json()?.get("submission")?.text_at("submissionId").map(EventId::Thing),
    read,
    ..Provider::FORM
};

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    let submission = json.get("submission")?;
    let mut fields = Fields::default();
    for question in submission.get("questions")?.items()? {
        let value = question.get("value").and_then(Json::cell);
        match question.text_at("type").as_deref() {
            Some("EmailInput") => fields.kind("email", value.clone()),
            Some("PhoneNumber") => fields.kind("phone", value.clone()),
            Some("URLInput") => fields.kind("website", value.clone()),
            _ => {}
        }
        if let Some(label) = question.text_at("name") {
            fields.label(&label, value.clone());
        }
        fields.put(&question.text_at("id")?, value);
    }
    for parameter in submission.get("urlParameters").and_then(Json::items).unwrap_or_default() {
        if let Some(name) = parameter.text_at("name").or_else(|| parameter.text_at("id")) {
            fields.put(&name, parameter.text_at("value"));
        }
    }
    let id = submission.text_at("submissionId");
    fields.about("form_id", json.text_at("formId"));
    fields.about("form_name", json.text_at("formName"));
    fields.about("response_id", id.clone());
    fields.about("submitted_at", submission.text_at("submissionTime"));
    Some(vec![Draft::of(fields, json.raw().to_owned()).with_id(id)])
}
