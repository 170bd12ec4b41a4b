//! Contact Form 7, by an add-on that posts the fields to an address: JSON, or a form.

use super::{Body, Draft, Provider};
use crate::intake::payload::{Fields, Pairs};

pub(super) static PROVIDER: Provider = Provider {
    name: "contact_form_7",
    title: "Contact Form 7",
    documentation: "https://wordpress.org/plugins/cf7-to-zapier/",
    posts_forms: true,
    recognise: |body| {
        let marked = |name: &str| name.starts_with("_wpcf7");
        body.form().is_some_and(|pairs| pairs.iter().any(|(name, _)| marked(name)))
            || body.json().and_then(|json| json.members()).is_some_and(|members| members.iter().any(|(name, _)| marked(name)))
    },
    read,
    ..Provider::FORM
};

/// Fields keep the names of their tags, such as `your-email`; those that begin with `_` are the plugin's own.
fn read(body: &Body<'_>) -> Option<Vec<Draft>> {
    let pairs: Pairs = match (body.json(), body.form()) {
        (Some(json), _) => json.members()?.into_iter().filter_map(|(name, value)| Some((name, value.cell()?))).collect(),
        (None, pairs) => pairs?.clone(),
    };
    let mut fields = Fields::default();
    for (name, value) in &pairs {
        match name.as_str() {
            "_wpcf7" => fields.about("form_id", Some(value.clone())),
            "_url" => fields.about("page_url", Some(value.clone())),
            name if name.starts_with('_') => {}
            name => fields.put(name, Some(value.clone())),
        }
    }
    let raw = body.json().map_or_else(|| super::form_as_json(&pairs), |json| json.raw().to_owned());
    Some(vec![Draft::of(fields, raw)])
}
