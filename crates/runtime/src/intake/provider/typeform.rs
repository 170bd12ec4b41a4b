//! Typeform.

use super::{Body, Draft, EventId, Provider};
use crate::intake::payload::{Fields, Json, joined};

pub(super) static PROVIDER: Provider = Provider {
    name: "typeform",
    title: "Typeform",
    documentation: "https://www.typeform.com/developers/webhooks/example-payload/",
    signature: "typeform",
    recognise: |body| body.has(&["form_response", "event_id"]),
    event_id: |body| body.json()?.text_at("event_id").map(EventId::Event),
    read,
    ..Provider::FORM
};

/// Answers carry no question: that stands in the definition, under the same field id.
fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    if json.text_at("event_type").is_some_and(|event| event != "form_response") {
        return None;
    }
    let response = json.get("form_response")?;
    let definition = response.get("definition");
    let questions: Vec<(String, String)> = definition
        .and_then(|definition| definition.get("fields")?.items())
        .unwrap_or_default()
        .into_iter()
        .filter_map(|question| Some((question.text_at("id")?, question.text_at("title")?)))
        .collect();
    let mut fields = Fields::default();
    for answer in response.get("answers").and_then(Json::items).unwrap_or_default() {
        let kind = answer.text_at("type")?;
        let value = value(answer.get(&kind)?);
        let field = answer.get("field");
        let id = field.and_then(|field| field.text_at("id"));
        let name = field.and_then(|field| field.text_at("ref")).or_else(|| id.clone())?;
        match kind.as_str() {
            "email" => fields.kind("email", value.clone()),
            "phone_number" => fields.kind("phone", value.clone()),
            "url" => fields.kind("website", value.clone()),
            _ => {}
        }
        if let Some((_, title)) = questions.iter().find(|(question, _)| Some(question) == id.as_ref()) {
            fields.label(title, value.clone());
        }
        fields.put(&name, value);
    }
    for (name, value) in response.get("hidden").and_then(Json::members).unwrap_or_default() {
        fields.put(&name, value.cell());
    }
    let id = response.text_at("token");
    fields.about("event_type", json.text_at("event_type"));
    fields.about("form_id", response.text_at("form_id"));
    fields.about("form_name", definition.and_then(|definition| definition.text_at("title")));
    fields.about("response_id", id.clone());
    fields.about("landed_at", response.text_at("landed_at"));
    fields.about("submitted_at", response.text_at("submitted_at"));
    fields.about("score", response.get("calculated").and_then(|calculated| calculated.text_at("score")));
    Some(vec![Draft::of(fields, json.raw().to_owned()).with_id(id)])
}

/// A choice is its label, or what the person wrote under "other"; several are listed.
fn value(value: Json<'_>) -> Option<String> {
    if !value.is_object() {
        return value.cell();
    }
    let labels = value.get("labels").and_then(Json::items).unwrap_or_default().into_iter().filter_map(Json::text);
    let single = value.text_at("label");
    joined(labels.chain(single).chain(value.text_at("other"))).or_else(|| value.text())
}
