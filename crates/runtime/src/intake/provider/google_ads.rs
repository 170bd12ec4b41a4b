//! Google Ads lead forms. The secret stands in the body, so a delivery proves that its sender knows it and no more.

use super::{Body, Draft, EventId, Provider, without};
use crate::intake::payload::Fields;

pub(super) static PROVIDER: Provider = Provider {
    name: "google_ads",
    title: "Google Ads lead forms",
    documentation: "https://developers.google.com/google-ads/webhook/docs/implementation",
    signature: "body_secret",
    recognise: |body| body.has(&["google_key", "user_column_data"]),
    event_id: |body| body.json()?.text_at("lead_id").map(EventId::Event),
    read,
    ..Provider::FORM
};

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    let mut fields = Fields::default();
    for column in json.get("user_column_data")?.items()? {
        let value = column.text_at("string_value").or_else(|| column.text_at("boolean_value"));
        let id = column.text_at("column_id")?;
        if let Some(label) = column.text_at("column_name") {
            fields.label(&label, value.clone());
        }
        match id.as_str() {
            // A question of the advertiser's own carries its text as id.
            "WORK_EMAIL" => fields.kind("email", value.clone()),
            "WORK_PHONE" | "PHONE_NUMBER" => fields.kind("phone", value.clone()),
            _ => {}
        }
        fields.put(&id, value);
    }
    let id = json.text_at("lead_id");
    fields.about("response_id", id.clone());
    for (ours, theirs) in [
        ("form_id", "form_id"),
        ("campaign_id", "campaign_id"),
        ("adgroup_id", "adgroup_id"),
        ("creative_id", "creative_id"),
        ("asset_group_id", "asset_group_id"),
        ("lead_stage", "lead_stage"),
        ("submitted_at", "lead_submit_time"),
        ("gclid", "gcl_id"),
        ("utm_campaign", "campaign_id"),
    ] {
        fields.about(ours, json.text_at(theirs));
    }
    fields.about("utm_source", Some("google".to_owned()));
    fields.about("utm_medium", Some("cpc".to_owned()));
    let test = json.text_at("is_test").as_deref() == Some("true");
    Some(vec![Draft { test, ..Draft::of(fields, without(json, "google_key")).with_id(id) }])
}
