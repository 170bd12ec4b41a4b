//! Mautic's form submissions. A webhook that sends them needs an address of its own, apart from the one for what people did.

use super::{Body, Draft, Provider};
use crate::intake::payload::{Fields, Json};

pub(super) static PROVIDER: Provider = Provider {
    name: "mautic_forms",
    title: "Mautic forms",
    documentation: "https://docs.mautic.org/en/5.x/configuration/webhooks.html",
    signature: "mautic",
    recognise: |body| {
        let members = body.json().and_then(|json| json.members()).unwrap_or_default();
        let mut triggers = members.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("mautic.")).peekable();
        triggers.peek().is_some() && triggers.all(|trigger| trigger == "mautic.form_on_submit")
    },
    read,
    record: submission,
    ..Provider::FORM
};

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let events = body.json()?.get("mautic.form_on_submit")?.items()?;
    events.into_iter().map(submission).collect()
}

fn submission(event: Json<'_>) -> Option<Draft> {
    let submission = event.get("submission")?;
    let mut fields = Fields::default();
    for (name, value) in submission.get("results").and_then(Json::members).unwrap_or_default() {
        fields.put(&name, value.cell());
    }
    let form = submission.get("form");
    let id = submission.text_at("id");
    fields.about("form_id", form.and_then(|form| form.text_at("id")));
    fields.about("form_name", form.and_then(|form| form.text_at("name")));
    // To Mautic the referrer is the page the form stands on.
    fields.about("page_url", submission.text_at("referer"));
    fields.about("response_id", id.clone());
    fields.about("submitted_at", submission.text_at("dateSubmitted").or_else(|| event.text_at("timestamp")));
    Some(Draft::of(fields, event.raw().to_owned()).with_id(id))
}
