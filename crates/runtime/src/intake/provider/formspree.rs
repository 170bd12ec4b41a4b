//! Formspree.

use super::{Body, Draft, Provider};
use crate::intake::payload::Fields;

pub(super) static PROVIDER: Provider = Provider {
    name: "formspree",
    title: "Formspree",
    documentation: "https://help.formspree.io/hc/en-us/articles/360015234873-Webhooks",
    signature: "formspree",
    recognise: |body| {
        body.has(&["form", "submission", "keys"])
            && body.json().and_then(|json| json.get("submission")).is_some_and(|submission| submission.is_object())
    },
    read,
    ..Provider::FORM
};

/// Members that begin with `_` are Formspree's own.
fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let json = body.json()?;
    let mut fields = Fields::default();
    for (name, value) in json.get("submission")?.members()? {
        match name.as_str() {
            "_date" => fields.about("submitted_at", value.text()),
            name => fields.put(name, value.cell()),
        }
    }
    fields.about("form_id", json.text_at("form"));
    Some(vec![Draft::of(fields, json.raw().to_owned())])
}
