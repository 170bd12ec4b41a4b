//! What fields there are, and when two values of one are the same.

use std::collections::BTreeMap;

use headwater_sdk::sink::Fields;
use serde_json::{Map, Value};

use super::config::{IdField, Object};

/// What stands before our id in the reference, which other integrations use too.
const OURS: &str = "hw:";

/// The field that the CRM keeps the time of the last change in.
pub(super) const CHANGED_AT: &str = "updated_at";

/// How the CRM takes and gives a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text or a date; null clears it.
    Text,
    /// Text that the CRM does not take null for; it is cleared by an empty one.
    Blank,
    /// True or false, which nothing clears.
    Flag,
    /// A number, which comes back in another spelling: `12.5` as `12.50`.
    Number,
}

/// A field a user may map to.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) kind: Kind,
    pub(super) about: String,
}

const PERSON: [(&str, Kind, &str); 14] = [
    ("first_name", Kind::Text, "first name"),
    ("last_name", Kind::Text, "last name"),
    ("email", Kind::Text, "email; unique in the organisation, whatever its case"),
    ("phone", Kind::Text, "phone; 7 to 25 digits, spaces and + - ( ) ."),
    ("linkedin_url", Kind::Text, "a full URL"),
    ("address_line", Kind::Text, "street and number"),
    ("city", Kind::Text, "city"),
    ("state", Kind::Text, "state or region"),
    ("postcode", Kind::Text, "postal code"),
    ("country", Kind::Text, "two-letter country code"),
    ("description", Kind::Text, "notes"),
    ("source_detail", Kind::Blank, "sub-source; free text up to 100 characters"),
    ("source_ref", Kind::Blank, "reference; free text up to 255 characters"),
    ("is_active", Kind::Flag, "true or false"),
];

const CONTACT: [(&str, Kind, &str); 6] = [
    ("organization", Kind::Text, "company name"),
    ("title", Kind::Text, "job title"),
    ("department", Kind::Text, "department"),
    ("do_not_call", Kind::Flag, "true or false"),
    ("account", Kind::Text, "id of an account"),
    ("source", Kind::Blank, "a key of the organisation's lead sources"),
];

const LEAD: [(&str, Kind, &str); 14] = [
    ("title", Kind::Text, "the lead's subject"),
    ("salutation", Kind::Text, "salutation"),
    ("job_title", Kind::Text, "job title"),
    ("company_name", Kind::Text, "company name"),
    ("website", Kind::Text, "website"),
    ("status", Kind::Text, "assigned, in process, recycled or closed; `converted` makes account, contact and deal"),
    ("source", Kind::Text, "a key of the organisation's lead sources"),
    ("industry", Kind::Text, "a key of the CRM's industries"),
    ("rating", Kind::Text, "HOT, WARM or COLD"),
    ("opportunity_amount", Kind::Number, "expected amount"),
    ("currency", Kind::Text, "three-letter currency code"),
    ("probability", Kind::Number, "0 to 100"),
    ("close_date", Kind::Text, "expected close, YYYY-MM-DD"),
    ("next_follow_up", Kind::Text, "next follow-up, YYYY-MM-DD"),
];

const ACCOUNT: [(&str, Kind, &str); 14] = [
    ("name", Kind::Text, "name; unique in the organisation, whatever its case"),
    ("email", Kind::Text, "email"),
    ("phone", Kind::Text, "phone; 7 to 25 digits, spaces and + - ( ) ."),
    ("website", Kind::Text, "a full URL"),
    ("industry", Kind::Text, "a key of the CRM's industries"),
    ("number_of_employees", Kind::Number, "number of employees"),
    ("annual_revenue", Kind::Number, "annual revenue"),
    ("address_line", Kind::Text, "street and number"),
    ("city", Kind::Text, "city"),
    ("state", Kind::Text, "state or region"),
    ("postcode", Kind::Text, "postal code"),
    ("country", Kind::Text, "two-letter country code"),
    ("description", Kind::Text, "notes"),
    ("is_active", Kind::Flag, "true or false"),
];

/// The field of a contact that names its account.
pub(super) const ACCOUNT_OF_CONTACT: &str = "account";

/// The fields every organisation has, but for the one that keeps our id.
pub(super) fn built_in(object: Object, id: &IdField) -> BTreeMap<String, Field> {
    let (person, own): (&[_], &[_]) = match object {
        Object::Contacts => (&PERSON, &CONTACT),
        Object::Leads | Object::Intake => (&PERSON, &LEAD),
        Object::Accounts => (&[], &ACCOUNT),
        // A sink of their own writes them.
        Object::Tasks => (&[], &[]),
    };
    person
        .iter()
        .chain(own)
        .filter(|(name, _, _)| *name != "source_ref" || *id != IdField::SourceRef)
        .map(|(name, kind, about)| ((*name).to_owned(), Field { kind: *kind, about: (*about).to_owned() }))
        .collect()
}

/// Whether the CRM, holding `held`, has what we want already.
pub(super) fn same(kind: Kind, held: Option<&str>, wanted: Option<&str>) -> bool {
    let plain = |value: Option<&str>| {
        let text = value.map(str::trim).filter(|text| !text.is_empty())?;
        Some(match kind {
            Kind::Text | Kind::Blank => text.to_owned(),
            Kind::Flag => match text.to_ascii_lowercase().as_str() {
                "1" | "t" | "y" | "yes" | "on" => "true".to_owned(),
                "0" | "f" | "n" | "no" | "off" => "false".to_owned(),
                other => other.to_owned(),
            },
            Kind::Number if text.contains('.') => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            Kind::Number => text.to_owned(),
        })
    };
    plain(held) == plain(wanted)
}

/// What a request carries to set these fields.
pub(super) fn body<'a>(
    known: &BTreeMap<String, Field>,
    fields: impl Iterator<Item = (&'a String, &'a Option<String>)>,
) -> Map<String, Value> {
    let mut body = Map::new();
    for (name, value) in fields {
        let value = match (value, known.get(name).map(|field| field.kind)) {
            (Some(value), _) => Value::String(value.clone()),
            (None, Some(Kind::Blank)) => Value::String(String::new()),
            (None, Some(Kind::Text | Kind::Flag | Kind::Number) | None) => Value::Null,
        };
        match name.strip_prefix("cf_") {
            Some(key) => set_custom(&mut body, key, value),
            None => drop(body.insert(name.clone(), value)),
        }
    }
    body
}

fn set_custom(body: &mut Map<String, Value>, key: &str, value: Value) {
    let custom = body.entry("custom_fields").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(custom) = custom {
        custom.insert(key.to_owned(), value);
    }
}

/// A record's fields as text.
pub(super) fn read(record: &Map<String, Value>, known: &BTreeMap<String, Field>) -> Fields {
    let mut fields: Fields = known.keys().filter_map(|name| Some((name.clone(), read_text(record.get(name)?)))).collect();
    fields.extend(record.get(CHANGED_AT).map(|at| (CHANGED_AT.to_owned(), read_text(at))));
    if let Some(Value::Object(custom)) = record.get("custom_fields") {
        fields.extend(custom.iter().map(|(key, value)| (format!("cf_{key}"), read_text(value))));
    }
    fields
}

/// A field's value as text.
pub(super) fn read_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}

impl IdField {
    /// Our id, where the record holds one.
    pub(super) fn read<'a>(&self, record: &'a Map<String, Value>) -> Option<&'a str> {
        match self {
            Self::SourceRef => record.get("source_ref")?.as_str()?.strip_prefix(OURS),
            Self::Custom(key) => record.get("custom_fields")?.get(key)?.as_str().filter(|id| !id.is_empty()),
        }
    }

    /// Whether somebody else's reference stands where our id would: then the record is left without it.
    pub(super) fn taken(&self, record: &Map<String, Value>) -> bool {
        let reference = record.get("source_ref").and_then(Value::as_str).unwrap_or_default();
        *self == Self::SourceRef && !reference.is_empty() && !reference.starts_with(OURS)
    }

    /// Puts our id into a request.
    pub(super) fn write(&self, body: &mut Map<String, Value>, prospect_id: &str) {
        match self {
            Self::SourceRef => drop(body.insert("source_ref".to_owned(), format!("{OURS}{prospect_id}").into())),
            Self::Custom(key) => set_custom(body, key, prospect_id.into()),
        }
    }

    /// Takes our id out with a request.
    pub(super) fn clear(&self, body: &mut Map<String, Value>) {
        match self {
            Self::SourceRef => drop(body.insert("source_ref".to_owned(), String::new().into())),
            Self::Custom(key) => set_custom(body, key, Value::Null),
        }
    }
}
