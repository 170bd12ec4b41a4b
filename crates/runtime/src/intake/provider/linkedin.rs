//! LinkedIn lead gen forms. A delivery names a response; the answers are asked for with an access token. A deletion upstream is one
//! here.

use headwater_sdk::ErrorKind;
use headwater_sdk::http::RequestSpec;

use super::{Body, Draft, EventId, Fetch, Provider, time};
use crate::intake::payload::{Fields, Json, joined};

pub(super) static PROVIDER: Provider = Provider {
    name: "linkedin",
    title: "LinkedIn lead gen forms",
    documentation: "https://learn.microsoft.com/en-us/linkedin/marketing/lead-sync/leadsync",
    signature: "linkedin",
    recognise: |body| body.has(&["leadGenFormResponse", "leadAction"]),
    event_id: |body| {
        let json = body.json()?;
        Some(EventId::Thing(response(json)?))
    },
    read,
    record: lead,
    fetch: Some(Fetch {
        base_url: "https://api.linkedin.com/rest",
        headers: &[("linkedin-version", "202510"), ("x-restli-protocol-version", "2.0.0")],
        request: |id| {
            const FIELDS: &str = "id,submittedAt,testLead,leadType,leadMetadataInfo,associatedEntityInfo,versionedLeadGenFormUrn,\
                                  formResponse,form:(id,name,hiddenFields,content)";
            RequestSpec::get("/leadFormResponses/{response}").param("response", id).query("fields", FIELDS)
        },
        read: lead,
        refusal: |json| (json.text_at("code").as_deref() == Some("EXPIRED_ACCESS_TOKEN")).then_some(ErrorKind::Auth),
    }),
    ..Provider::FORM
};

/// The id behind `urn:li:leadGenFormResponse:`.
fn response(json: Json<'_>) -> Option<String> {
    let urn = json.text_at("leadGenFormResponse")?;
    urn.rsplit(':').next().filter(|id| !id.is_empty()).map(str::to_owned)
}

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    let id = response(json)?;
    let deleted = match json.text_at("leadAction")?.as_str() {
        "CREATED" => false,
        "DELETED" => true,
        _ => return None,
    };
    let mut fields = Fields::default();
    fields.flattened(json);
    let fetch = (!deleted).then(|| id.clone());
    Some(vec![Draft { deleted, fetch, ..Draft::of(fields, json.raw().to_owned()).with_id(Some(id)) }])
}

/// Answers carry a question's id; what the question is stands in the form: LinkedIn's own by `predefinedField`, the others by name.
fn lead(json: Json<'_>) -> Option<Draft> {
    let id = json.text_at("id")?;
    let form = json.get("form");
    let questions: Vec<Json<'_>> = form.and_then(|form| form.get("content")?.get("questions")?.items()).unwrap_or_default();
    let mut fields = Fields::default();
    let response = json.get("formResponse")?;
    for answer in response.get("answers").and_then(Json::items).unwrap_or_default() {
        let question_id = answer.text_at("questionId")?;
        let value = answer.get("answerDetails").and_then(value);
        let question = questions.iter().find(|question| question.text_at("questionId").as_ref() == Some(&question_id));
        let known = question.and_then(|question| question.text_at("predefinedField"));
        match known.as_deref() {
            Some("EMAIL" | "WORK_EMAIL") => fields.kind("email", value.clone()),
            Some("PHONE_NUMBER" | "WORK_PHONE_NUMBER") => fields.kind("phone", value.clone()),
            _ => {}
        }
        let name = known.or_else(|| question.and_then(|question| question.text_at("name"))).or_else(|| answer.text_at("name"));
        fields.put(&name.unwrap_or(question_id), value);
    }
    for consent in response.get("consentResponses").and_then(Json::items).unwrap_or_default() {
        let consent_id = consent.text_at("consentId").unwrap_or_default();
        fields.put(&format!("consent.{consent_id}"), consent.text_at("accepted"));
    }
    for hidden in form.and_then(|form| form.get("hiddenFields")?.items()).unwrap_or_default() {
        fields.put(&hidden.text_at("name")?, hidden.text_at("value"));
    }
    let campaign = json.get("leadMetadataInfo").and_then(|info| info.get("sponsoredLeadMetadataInfo")?.get("campaign"));
    let sponsored = json.text_at("leadType").as_deref() == Some("SPONSORED");
    fields.about("utm_source", Some("linkedin".to_owned()));
    fields.about("utm_medium", Some(if sponsored { "paid_social" } else { "social" }.to_owned()));
    fields.about("utm_campaign", campaign.and_then(|campaign| campaign.text_at("name").or_else(|| campaign.text_at("id"))));
    fields.about("form_id", form.and_then(|form| form.text_at("id")).or_else(|| json.text_at("versionedLeadGenFormUrn")));
    fields.about("form_name", form.and_then(|form| form.text_at("name")));
    fields.about("submitted_at", json.text_at("submittedAt").map(time::millis));
    fields.about("response_id", Some(id.clone()));
    let test = json.text_at("testLead").as_deref() == Some("true");
    Some(Draft { test, ..Draft::of(fields, json.raw().to_owned()).with_id(Some(id)) })
}

/// A text, or the choices.
fn value(details: Json<'_>) -> Option<String> {
    let (_, answer) = details.members()?.into_iter().next()?;
    answer.text_at("answer").or_else(|| joined(answer.get("options")?.items()?.into_iter().filter_map(Json::text)))
}
