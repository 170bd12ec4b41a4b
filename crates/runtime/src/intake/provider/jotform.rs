//! Jotform: a form post whose answers stand, as JSON, in its field `rawRequest` under `q3_fullName`.

use super::{Body, Draft, EventId, Provider};
use crate::intake::payload::{Fields, Json};

pub(super) static PROVIDER: Provider = Provider {
    name: "jotform",
    title: "Jotform",
    documentation: "https://www.jotform.com/help/245-how-to-setup-a-webhook-with-jotform/",
    posts_json: false,
    posts_forms: true,
    recognise: |body| ["rawRequest", "formID", "submissionID"].iter().all(|name| body.value(name).is_some()),
    // The id names a submission, which comes back when it is edited.
    event_id: |body| body.value("submissionID").map(EventId::Thing),
    read,
    record: |json| Some(Draft::of(answers(json)?, json.raw().to_owned())),
    ..Provider::FORM
};

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let raw = body.value("rawRequest")?;
    let mut fields = answers(Json::parse(&raw)?)?;
    let id = body.value("submissionID");
    fields.about("form_id", body.value("formID"));
    fields.about("form_name", body.value("formTitle"));
    fields.about("response_id", id.clone());
    Some(vec![Draft::of(fields, raw).with_id(id)])
}

fn answers(json: Json<'_>) -> Option<Fields> {
    let mut fields = Fields::default();
    for (name, value) in json.members()? {
        let answer = name.strip_prefix('q').and_then(|rest| rest.split_once('_'));
        let Some((_, label)) = answer.filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit())) else {
            fields.put(&name, value.cell());
            continue;
        };
        match value.is_object().then(|| value.members()).flatten() {
            Some(members) => {
                for (part, part_value) in &members {
                    fields.put(&format!("{label}.{part}"), part_value.cell());
                }
                parts(&mut fields, value);
            }
            None => fields.put(label, value.cell()),
        }
    }
    Some(fields)
}

/// Its control for a name gives `first` and `last`, its control for a phone `full`, or `area` and `phone`.
fn parts(fields: &mut Fields, value: Json<'_>) {
    if let (Some(first), Some(last)) = (value.text_at("first"), value.text_at("last")) {
        fields.kind("first_name", Some(first));
        fields.kind("last_name", Some(last));
    }
    let local = value.text_at("phone").map(|phone| value.text_at("area").unwrap_or_default() + &phone);
    if let Some(phone) = value.text_at("full").or(local) {
        fields.kind("phone", Some(phone));
    }
}
