//! Which fields of forms are which of ours.
//!
//! Every field has an alias in lower snake case, so one list of names serves all senders. `id`, `name` of a thing and `title` of a
//! person are left out where they would be a guess: an `id` is mostly the submission's.

use headwater_model::conform;
use headwater_model::mapping::{Mapping, Role};

use crate::intake::config::Format;
use crate::intake::payload::SUBMITTED_AT;

/// Names beside our own, in English, French, German and Spanish.
const ALIASES: &[(&str, &[&str])] = &[
    (
        "email",
        &[
            "e_mail",
            "mail",
            "email_address",
            "work_email",
            "business_email",
            "your_email",
            "courriel",
            "adresse_email",
            "adresse_e_mail",
            "correo",
            "correo_electronico",
            "contact_email",
            "user_email",
        ],
    ),
    ("given_name", &["first_name", "firstname", "fname", "forename", "prénom", "prenom", "vorname", "nombre"]),
    ("family_name", &["last_name", "lastname", "lname", "surname", "nom", "nom_de_famille", "nachname", "apellido", "apellidos"]),
    ("full_name", &["name", "your_name", "contact_name", "nom_complet", "nombre_completo"]),
    (
        "phone",
        &[
            "phone_number",
            "telephone",
            "téléphone",
            "tel",
            "work_phone",
            "your_phone",
            "telefon",
            "telefonnummer",
            "teléfono",
            "telefono",
        ],
    ),
    ("mobile", &["mobile_phone", "mobile_number", "cell", "cell_phone", "portable", "handy", "móvil", "movil"]),
    ("job_title", &["position", "role", "poste", "fonction", "cargo", "puesto"]),
    (
        "company_name",
        &[
            "company",
            "organization",
            "organisation",
            "employer",
            "société",
            "societe",
            "entreprise",
            "firma",
            "unternehmen",
            "empresa",
        ],
    ),
    ("website", &["company_website", "site_web", "webseite", "sitio_web", "url"]),
    ("linkedin_url", &["linkedin", "linkedin_profile"]),
    ("street", &["address", "street_address", "adresse", "strasse", "straße", "dirección"]),
    ("city", &["town", "ville", "stadt", "ciudad"]),
    ("region", &["state", "province", "région"]),
    ("postal_code", &["zip", "zip_code", "zipcode", "postcode", "code_postal", "plz", "código_postal"]),
    ("country", &["country_code", "pays", "land", "país", "pais"]),
    ("language", &["locale", "lang", "langue", "sprache", "idioma"]),
    ("need", &["needs", "besoin", "bedarf", "necesidad"]),
    ("budget", &["presupuesto", "what_is_your_budget"]),
    ("intended_use", &["use_case"]),
    ("message", &["comment", "comments", "your_message", "note", "notes", "commentaire", "nachricht", "mensaje"]),
    ("tags", &["labels"]),
    ("consent", &["opt_in", "optin", "marketing_consent", "consentement", "einwilligung"]),
    ("landing_url", &["landing_page", "page_url"]),
    ("referrer", &["referer"]),
];

/// What only a sender that proved who it is may say, and in fields of which we know what they hold.
const GHOST: &[(&str, &str)] = &[("external_id", "id"), ("created_at", "created_at"), ("observed_at", "updated_at")];

pub(super) fn of(format: Format) -> Mapping {
    let own = conform::fields_of(Role::Leads).iter().filter(|ours| !["observed_at", "created_at", "notice_at"].contains(ours));
    let pairs = own.map(|ours| (*ours, *ours)).chain([("observed_at", SUBMITTED_AT)]);
    let aliases = ALIASES.iter().flat_map(|(ours, aliases)| aliases.iter().map(|alias| (*ours, *alias)));
    let vendor = if format == Format::Ghost { GHOST } else { &[] };
    Mapping::of(pairs.chain(aliases).chain(vendor.iter().copied()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_alias_leads_to_a_field_there_is_and_to_one_only() {
        let known = conform::fields_of(Role::Leads);
        let mut seen = BTreeSet::new();
        for (ours, aliases) in ALIASES {
            assert!(known.contains(ours), "{ours}");
            aliases.iter().for_each(|alias| assert!(seen.insert(alias) && !known.contains(alias), "{alias}"));
        }
    }

    #[test]
    fn a_date_of_a_form_is_not_taken_for_the_time_it_was_sent() {
        let mapping = of(Format::Auto);
        assert_eq!(mapping.0["observed_at"].from, [SUBMITTED_AT]);
        assert!(!mapping.0.contains_key("created_at"));
        assert_eq!(of(Format::Ghost).0["observed_at"].from, [SUBMITTED_AT, "updated_at"]);
    }
}
