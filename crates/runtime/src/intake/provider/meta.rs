//! Meta lead ads (Facebook, Instagram). A delivery names leads by id; the answers are asked for with a Page access token.

use headwater_sdk::ErrorKind;
use headwater_sdk::http::RequestSpec;

use super::{Body, Draft, Fetch, Provider, time};
use crate::intake::payload::{Fields, Json, joined};

pub(super) static PROVIDER: Provider = Provider {
    name: "meta",
    title: "Meta lead ads",
    documentation: "https://developers.facebook.com/docs/marketing-api/guides/lead-ads/retrieving/",
    signature: "meta",
    recognise: |body| {
        body.has(&["object", "entry"]) && body.json().and_then(|json| json.text_at("object")).as_deref() == Some("page")
    },
    read,
    record: lead,
    fetch: Some(Fetch {
        base_url: "https://graph.facebook.com/v24.0",
        headers: &[],
        request: |id| {
            const FIELDS: &str = "id,created_time,ad_id,ad_name,adset_id,adset_name,campaign_id,campaign_name,form_id,is_organic,platform,\
                                  field_data,custom_disclaimer_responses";
            RequestSpec::get("/{lead}").param("lead", id).query("fields", FIELDS)
        },
        read: lead,
        refusal,
    }),
    ..Provider::FORM
};

/// Batched by page; a change may lack its value, and a Page's webhook may carry other subscriptions.
fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    let mut drafts = Vec::new();
    for entry in json.get("entry")?.items()? {
        for change in entry.get("changes").and_then(Json::items).unwrap_or_default() {
            let value = change.get("value").filter(|_| change.text_at("field").as_deref() == Some("leadgen"));
            let Some((value, id)) = value.and_then(|value| Some((value, value.text_at("leadgen_id")?))) else { continue };
            let mut fields = Fields::default();
            fields.flattened(value);
            drafts.push(Draft { fetch: Some(id.clone()), ..Draft::of(fields, value.raw().to_owned()).with_id(Some(id)) });
        }
    }
    Some(drafts)
}

fn lead(json: Json<'_>) -> Option<Draft> {
    let id = json.text_at("id")?;
    let mut fields = Fields::default();
    let mut test = false;
    for answer in json.get("field_data")?.items()? {
        let value = joined(answer.get("values").and_then(Json::items).unwrap_or_default().into_iter().filter_map(Json::text));
        // Meta's testing tool fills every answer with such a text.
        test |= value.as_deref().is_some_and(|value| value.starts_with("<test lead:"));
        fields.put(&answer.text_at("name")?, value);
    }
    for box_ in json.get("custom_disclaimer_responses").and_then(Json::items).unwrap_or_default() {
        let key = box_.text_at("checkbox_key").unwrap_or_default();
        fields.put(&format!("disclaimer.{key}"), box_.text_at("is_checked"));
    }
    let organic = json.text_at("is_organic").as_deref() == Some("true");
    let platform = json.text_at("platform");
    let source = if platform.as_deref() == Some("ig") { "instagram" } else { "facebook" };
    fields.about("utm_source", Some(source.to_owned()));
    fields.about("utm_medium", Some(if organic { "social" } else { "paid_social" }.to_owned()));
    fields.about("utm_campaign", json.text_at("campaign_name").or_else(|| json.text_at("campaign_id")));
    fields.about("utm_content", json.text_at("ad_name"));
    for name in ["ad_id", "adset_id", "campaign_id", "form_id"] {
        fields.about(name, json.text_at(name));
    }
    // `+0000` is what RFC 3339 writes as `+00:00`.
    fields.about("submitted_at", json.text_at("created_time").map(|at| at.replace("+0000", "Z")).map(time::utc));
    fields.about("response_id", Some(id.clone()));
    Some(Draft { test, ..Draft::of(fields, json.raw().to_owned()).with_id(Some(id)) })
}

/// The Graph API answers 400 to nearly everything; its own code tells.
/// <https://developers.facebook.com/docs/graph-api/guides/error-handling/>
fn refusal(json: Json<'_>) -> Option<ErrorKind> {
    match json.get("error")?.text_at("code")?.as_str() {
        "10" | "102" | "190" | "200" => Some(ErrorKind::Auth),
        "4" | "17" | "32" | "613" => Some(ErrorKind::RateLimited),
        "1" | "2" => Some(ErrorKind::Unavailable),
        _ => None,
    }
}
