//! Elementor Pro's webhook action: a form post, flat with the labels as names, or with "advanced data" in groups such as
//! `fields[email][value]`.

use super::{Body, Draft, Provider};
use crate::intake::payload::Fields;

pub(super) static PROVIDER: Provider = Provider {
    name: "elementor",
    title: "Elementor",
    documentation: "https://elementor.com/help/form-actions-after-submit/",
    posts_json: false,
    posts_forms: true,
    recognise: |body| {
        body.value("form[id]").is_some()
            && body
                .form()
                .is_some_and(|pairs| pairs.iter().any(|(name, _)| name.starts_with("fields[") && name.ends_with("][value]")))
    },
    read,
    ..Provider::FORM
};

fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let pairs = body.form()?;
    let mut fields = Fields::default();
    let mut grouped = false;
    for (name, value) in pairs {
        let Some(field) = name.strip_prefix("fields[").and_then(|rest| rest.strip_suffix("][value]")) else { continue };
        grouped = true;
        let value = Some(value.clone());
        match body.value(&format!("fields[{field}][type]")).as_deref() {
            Some("email") => fields.kind("email", value.clone()),
            Some("tel") => fields.kind("phone", value.clone()),
            Some("url") => fields.kind("website", value.clone()),
            _ => {}
        }
        if let Some(title) = body.value(&format!("fields[{field}][title]")) {
            fields.label(&title, value.clone());
        }
        fields.put(field, value);
    }
    if !grouped {
        pairs.iter().for_each(|(name, value)| fields.put(name, Some(value.clone())));
    }
    fields.about("form_id", body.value("form[id]"));
    fields.about("form_name", body.value("form[name]"));
    fields.about("page_url", body.value("meta[page_url][value]"));
    Some(vec![Draft::of(fields, super::form_as_json(pairs))])
}
