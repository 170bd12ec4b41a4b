//! A stored body and its submissions: fields as text under names that a mapping can expect.
//!
//! This runs when a run reads the log, long after the answer; what it cannot read is refused into quarantine with the body as it
//! arrived. Nothing is guessed into a number, nothing decoded leniently.

mod fields;
mod form;
mod json;
#[cfg(test)]
mod tests;
mod vendors;

use self::fields::Fields;
use self::json::{Json, joined};
use super::config::Format;
use super::endpoint::is_browser_form;
use super::log::Delivery;
use super::signature::UNSIGNED;

/// The most submissions in one delivery that is a list.
const MAX_SUBMISSIONS: usize = 1_000;

/// One submission of a form.
#[derive(Clone, PartialEq, Eq)]
pub struct Submission {
    /// Names and values; `None` is absent or null.
    pub fields: Vec<(String, Option<String>)>,
    /// The whole of it as JSON.
    pub raw: String,
    /// The sender's own id of it.
    pub id: Option<String>,
    /// Whether it says that the person is gone.
    pub deleted: bool,
}

/// The field that holds when the form was sent off, where a sender that proved who it is says so as an instant with its zone. Apart
/// from `submitted_at`, since that may be anything in a form that names a field so.
pub const SUBMITTED_AT: &str = "intake.submitted_at";

impl Submission {
    fn submitted_at(&mut self) {
        let said = self.fields.iter().find(|(name, _)| name == "submitted_at").and_then(|(_, value)| value.clone());
        if let Some(at) = said.filter(|at| at.parse::<jiff::Timestamp>().is_ok()) {
            self.fields.push((SUBMITTED_AT.to_owned(), Some(at)));
        }
    }
}

// A submission is a person's data.
impl std::fmt::Debug for Submission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submission").field("fields", &self.fields.len()).finish_non_exhaustive()
    }
}

/// Why a body is no submission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unreadable {
    /// A stable code.
    pub code: &'static str,
    /// Which field is at fault, where one is.
    pub field: Option<String>,
    /// Why, and what to do.
    pub reason: String,
}

impl Unreadable {
    fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self { code, field: None, reason: reason.into() }
    }

    fn not_utf8() -> Self {
        Self::new("not_utf8", "the body is not UTF-8: put accept-charset=\"utf-8\" on the form")
    }
}

/// Who sent a body, where its shape tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Typeform,
    Tally,
    Ghost,
    Webflow,
    Jotform,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Typeform => "typeform",
            Self::Tally => "tally",
            Self::Ghost => "ghost",
            Self::Webflow => "webflow",
            Self::Jotform => "jotform",
        }
    }

    /// By the members that only this sender's bodies have.
    fn of_json(json: Json<'_>) -> Option<Self> {
        let has = |name: &str| json.get(name).is_some();
        if has("form_response") && has("event_id") {
            return Some(Self::Typeform);
        }
        if has("eventType") && has("eventId") && json.get("data").is_some_and(|data| data.get("fields").is_some()) {
            return Some(Self::Tally);
        }
        if json.text_at("event").is_some_and(|event| event.starts_with("member.")) && has("member") {
            return Some(Self::Ghost);
        }
        let old = has("_id") && has("site") && has("data");
        if old || (has("triggerType") && has("payload")) { Some(Self::Webflow) } else { None }
    }
}

/// The sender of a body and its id of the event, for recognising a repetition. Never fails: an unreadable body has none.
pub(super) fn identify(content_type: &str, body: &[u8]) -> Option<(Kind, String)> {
    if is_browser_form(content_type) {
        let pairs = form::pairs(content_type, body).ok()?;
        return Some((Kind::Jotform, vendors::jotform_id(&pairs)?));
    }
    let json = Json::parse(std::str::from_utf8(body).ok()?)?;
    let kind = Kind::of_json(json)?;
    Some((kind, vendors::event_id(kind, json)?))
}

/// The submissions of a delivery. With a honeypot, one that fills it is refused.
///
/// # Errors
/// Why the body as a whole is none, for quarantine.
pub fn read(delivery: &Delivery, format: Format, honeypot: Option<&str>) -> Result<Vec<Submission>, Unreadable> {
    let mut submissions =
        if is_browser_form(&delivery.content_type) { vec![of_form(delivery, format)?] } else { of_json(&delivery.body, format)? };
    let page = delivery.headers.get("referer").and_then(serde_json::Value::as_str);
    for submission in &mut submissions {
        if delivery.signature_status != UNSIGNED {
            submission.submitted_at();
        }
        if submission.deleted && delivery.signature_status == UNSIGNED {
            return Err(Unreadable::new("unsigned_deletion", "anybody could have sent this deletion: let the sender sign"));
        }
        let filled = |(name, value): &(String, Option<String>)| {
            Some(name.as_str()) == honeypot && value.as_ref().is_some_and(|value| !value.trim().is_empty())
        };
        if submission.fields.iter().any(filled) {
            return Err(Unreadable {
                field: honeypot.map(str::to_owned),
                ..Unreadable::new("honeypot", "a field that people do not see was filled in, as robots do")
            });
        }
        // To us the referring page is the one the form stands on, not the one that brought the person.
        if let Some(page) = page
            && submission.fields.iter().all(|(name, _)| name != "page_url")
        {
            submission.fields.push(("page_url".to_owned(), Some(page.to_owned())));
        }
    }
    Ok(submissions)
}

fn of_form(delivery: &Delivery, format: Format) -> Result<Submission, Unreadable> {
    if !matches!(format, Format::Auto | Format::Form | Format::Jotform) {
        return Err(Unreadable::new(
            "other_format",
            "a form post where the source's format is another: change format, or drop it",
        ));
    }
    let pairs = form::pairs(&delivery.content_type, &delivery.body)?;
    let id = vendors::jotform_id(&pairs).filter(|_| format != Format::Form);
    if id.is_some() {
        return vendors::jotform(&pairs, id);
    }
    if format == Format::Jotform {
        return Err(Unreadable::new("other_format", "this is no submission of Jotform: change format, or drop it"));
    }
    plain_form(pairs)
}

/// A name that comes several times, as that of checkboxes does, has several values.
fn plain_form(pairs: form::Pairs) -> Result<Submission, Unreadable> {
    let mut grouped: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in pairs {
        match grouped.iter_mut().find(|(found, _)| *found == name) {
            Some((_, values)) => values.push(value),
            None => grouped.push((name, vec![value])),
        }
    }
    if grouped.iter().all(|(_, values)| values.iter().all(String::is_empty)) {
        return Err(Unreadable::new("empty_submission", "the form was posted with nothing in it"));
    }
    let mut fields = Fields::default();
    let mut raw = serde_json::Map::new();
    for (name, mut values) in grouped {
        let single = if values.len() == 1 { values.pop() } else { None };
        raw.insert(name.clone(), single.clone().map_or_else(|| values.clone().into(), Into::into));
        fields.put(&name, single.or_else(|| joined(values)));
    }
    Ok(Submission { fields: fields.finish()?, raw: serde_json::Value::Object(raw).to_string(), id: None, deleted: false })
}

fn of_json(body: &[u8], format: Format) -> Result<Vec<Submission>, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|_| Unreadable::not_utf8())?;
    let json = Json::parse(text).ok_or_else(|| Unreadable::new("not_json", "the body is not valid JSON"))?;
    let kind = match format {
        Format::Auto => Kind::of_json(json),
        Format::Typeform => Some(Kind::Typeform),
        Format::Tally => Some(Kind::Tally),
        Format::Ghost => Some(Kind::Ghost),
        Format::Webflow => Some(Kind::Webflow),
        Format::Jotform | Format::Form => {
            return Err(Unreadable::new(
                "other_format",
                "JSON where the source's format is a form post: change format, or drop it",
            ));
        }
        Format::Json => None,
    };
    if let Some(kind) = kind {
        return Ok(vec![vendors::submission(kind, json)?]);
    }
    let items = match json.items() {
        Some(items) if items.len() > MAX_SUBMISSIONS => {
            return Err(Unreadable::new("too_many_rows", format!("a delivery may hold {MAX_SUBMISSIONS} submissions")));
        }
        Some(items) => items,
        None => vec![json],
    };
    items.into_iter().map(plain_json).collect()
}

/// Any object; the envelope of Standard Webhooks is taken off.
fn plain_json(json: Json<'_>) -> Result<Submission, Unreadable> {
    if !json.is_object() {
        return Err(Unreadable::new("not_an_object", "a submission is a JSON object with a member per field"));
    }
    let mut fields = Fields::default();
    match (json.text_at("type"), json.get("data").filter(|data| data.is_object())) {
        (Some(_), Some(data)) => {
            fields.flattened(data);
            for (name, value) in json.members().unwrap_or_default() {
                match name.as_str() {
                    "data" => {}
                    "type" => fields.about("event_type", value.cell()),
                    "timestamp" => fields.about("submitted_at", value.cell()),
                    _ => fields.about(&name, value.cell()),
                }
            }
        }
        _ => fields.flattened(json),
    }
    let fields = fields.finish()?;
    if fields.is_empty() {
        return Err(Unreadable::new("empty_submission", "the submission has no member"));
    }
    Ok(Submission { fields, raw: json.raw().to_owned(), id: None, deleted: false })
}
