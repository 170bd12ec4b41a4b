//! HubSpot: webhooks of workflows, which post a contact with the forms it filled in, and subscriptions of apps, which name a contact by
//! id; what such a contact says is asked for with a private app's token.

use headwater_sdk::http::RequestSpec;

use super::{Body, Draft, Fetch, Provider, time};
use crate::intake::payload::{Fields, Json};

pub(super) static PROVIDER: Provider = Provider {
    name: "hubspot",
    title: "HubSpot",
    documentation: "https://developers.hubspot.com/docs/api/webhooks",
    signature: "hubspot",
    person_ids: true,
    mapping: &[("external_id", "contact_id")],
    recognise: |body| {
        let first = body.json().and_then(|json| json.items().and_then(|items| items.into_iter().next()).or(Some(json)));
        first.is_some_and(|first| {
            let has = |name: &str| first.get(name).is_some();
            (has("subscriptionType") && has("portalId")) || (has("properties") && (has("portal-id") || has("vid")))
        })
    },
    read,
    record: |json| named(json)?.pop(),
    fetch: Some(Fetch {
        base_url: "https://api.hubapi.com",
        headers: &[],
        request: |id| {
            const PROPERTIES: &str = "email,firstname,lastname,phone,mobilephone,jobtitle,company,website,address,city,state,zip,country,\
                                      message,hs_language,hs_analytics_source,hs_analytics_first_url,hs_google_click_id,\
                                      hs_facebook_click_id,createdate,lastmodifieddate";
            RequestSpec::get("/crm/v3/objects/contacts/{contact}").param("contact", id).query("properties", PROPERTIES)
        },
        read: contact,
        refusal: |_| None,
    }),
    ..Provider::FORM
};

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    match json.items() {
        Some(events) => Some(events.into_iter().map(named).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect()),
        None => Some(vec![contact(json)?]),
    }
}

/// The contact that an event names; nothing for other objects.
fn named(event: Json<'_>) -> Option<Vec<Draft>> {
    let kind = event.text_at("subscriptionType")?;
    let (object, action) = kind.split_once('.')?;
    // Apps of the newer platform say `object.…` and the kind of object beside it; 0-1 is a contact.
    let is_contact = object == "contact" || (object == "object" && event.text_at("objectTypeId").as_deref() == Some("0-1"));
    if !is_contact {
        return Some(Vec::new());
    }
    let id = event.text_at("objectId")?;
    let deleted = matches!(action, "deletion" | "privacyDeletion");
    let mut fields = Fields::default();
    fields.flattened(event);
    let fetch = (!deleted).then(|| id.clone());
    Some(vec![Draft { deleted, fetch, ..Draft::of(fields, event.raw().to_owned()).with_id(Some(id)) }])
}

/// A contact: its properties are texts, or objects with the text in `value`.
fn contact(json: Json<'_>) -> Option<Draft> {
    let mut fields = Fields::default();
    let properties = json.get("properties")?.members()?;
    let property = |wanted: &str| {
        let (_, value) = properties.iter().find(|(name, _)| name == wanted)?;
        if value.is_object() { value.text_at("value") } else { value.text() }
    };
    for (name, value) in &properties {
        fields.put(name, if value.is_object() { value.text_at("value") } else { value.cell() });
    }
    fields.kind("gclid", property("hs_google_click_id"));
    fields.kind("fbclid", property("hs_facebook_click_id"));
    let id = ["vid", "id", "objectId"].iter().find_map(|name| json.text_at(name)).or_else(|| property("hs_object_id"))?;
    let forms = json.get("form-submissions").and_then(Json::items).unwrap_or_default();
    let when = |form: &Json<'_>| form.text_at("timestamp").and_then(|at| at.parse::<i64>().ok());
    if let Some(last) = forms.into_iter().max_by_key(when) {
        fields.about("form_id", last.text_at("form-id"));
        fields.about("form_name", last.text_at("title"));
        fields.about("page_url", last.text_at("page-url"));
        fields.about("submitted_at", last.text_at("timestamp").map(time::millis));
    }
    fields.about("landing_url", property("hs_analytics_first_url"));
    fields.about("submitted_at", json.text_at("updatedAt"));
    fields.about("contact_id", Some(id.clone()));
    Some(Draft::of(fields, json.raw().to_owned()).with_id(Some(id)))
}
