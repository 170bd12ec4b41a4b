//! Tally.

use super::{Body, Draft, EventId, Provider};
use crate::intake::payload::{Fields, Json, joined};

pub(super) static PROVIDER: Provider = Provider {
    name: "tally",
    title: "Tally",
    documentation: "https://tally.so/help/webhooks",
    signature: "tally",
    recognise: |body| {
        body.has(&["eventType", "eventId"]) && body.json().and_then(|json| json.get("data")?.get("fields")).is_some()
    },
    event_id: |body| body.json()?.text_at("eventId").map(EventId::Event),
    read,
    ..Provider::FORM
};

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    if json.text_at("eventType").is_some_and(|event| event != "FORM_RESPONSE") {
        return None;
    }
    let data = json.get("data")?;
    let mut fields = Fields::default();
    for field in data.get("fields")?.items()? {
        let value = value(field);
        let kind = field.text_at("type").unwrap_or_default();
        match kind.as_str() {
            "INPUT_EMAIL" => fields.kind("email", value.clone()),
            "INPUT_PHONE_NUMBER" | "INPUT_PHONE" => fields.kind("phone", value.clone()),
            "INPUT_LINK" => fields.kind("website", value.clone()),
            _ => {}
        }
        match field.text_at("label") {
            // A hidden field has no question: its label is its name in the address.
            Some(label) if kind == "HIDDEN_FIELDS" => fields.put(&label, value),
            Some(label) => {
                fields.label(&label, value.clone());
                fields.put(&field.text_at("key")?, value);
            }
            None => fields.put(&field.text_at("key")?, value),
        }
    }
    let id = data.text_at("submissionId").or_else(|| data.text_at("responseId"));
    fields.about("event_type", json.text_at("eventType"));
    fields.about("form_id", data.text_at("formId"));
    fields.about("form_name", data.text_at("formName"));
    fields.about("response_id", id.clone());
    fields.about("submitted_at", data.text_at("createdAt").or_else(|| json.text_at("createdAt")));
    Some(vec![Draft::of(fields, json.raw().to_owned()).with_id(id)])
}

/// Choices are ids; their texts stand in the options.
fn value(field: Json<'_>) -> Option<String> {
    let value = field.get("value")?;
    let (Some(chosen), Some(options)) = (value.items(), field.get("options").and_then(Json::items)) else {
        return value.cell();
    };
    let text = |id: String| {
        let option = options.iter().find(|option| option.text_at("id").as_ref() == Some(&id));
        option.and_then(|option| option.text_at("text")).unwrap_or(id)
    };
    joined(chosen.into_iter().filter_map(Json::text).map(text))
}
