//! A stored body and its submissions: fields as text under names that a mapping can expect.
//!
//! This runs when a run reads the log, long after the answer; what it cannot read is refused into quarantine with the body as it
//! arrived. Nothing is guessed into a number, nothing decoded leniently. What a sender's body looks like is said in one file per
//! sender, in [`super::provider`].

mod attribution;
mod fields;
mod form;
mod json;
#[cfg(test)]
mod tests;

pub(super) use self::attribution::COOKIES;
pub(super) use self::fields::Fields;
pub(super) use self::form::{Pairs, as_json as form_as_json};
pub(super) use self::json::{Json, joined};
use super::config::Format;
use super::endpoint::is_browser_form;
use super::log::Delivery;
use super::provider::{self, Body, Draft, EventId, Provider};
use super::signature::UNSIGNED;

/// The most submissions in one delivery that is a list. SendGrid's are the largest: 768 kB of events, of some 400 bytes each.
const MAX_SUBMISSIONS: usize = 5_000;

/// One submission of a form, or one event.
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
    /// The sender's id of what has to be asked for, where the delivery only says that there is something.
    pub(super) fetch: Option<String>,
}

/// The field that holds when the form was sent off, where a sender that proved who it is says so as an instant with its zone. Apart
/// from `submitted_at`, since that may be anything in a form that names a field so.
pub const SUBMITTED_AT: &str = "intake.submitted_at";

impl Submission {
    pub(super) fn of(draft: Draft) -> Result<Self, Unreadable> {
        let Draft { mut fields, raw, id, deleted, test, fetch } = draft;
        if test {
            fields.kind("is_test", Some("true".to_owned()));
        }
        Ok(Self { fields: fields.finish()?, raw, id, deleted, fetch })
    }

    /// Whether a field that people do not see was filled in.
    fn fills(&self, honeypot: Option<&str>) -> bool {
        let filled = |value: &Option<String>| value.as_ref().is_some_and(|value| !value.trim().is_empty());
        self.fields.iter().any(|(name, value)| Some(name.as_str()) == honeypot && filled(value))
    }

    pub(super) fn submitted_at(&mut self) {
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
    pub(super) fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self { code, field: None, reason: reason.into() }
    }

    fn not_utf8() -> Self {
        Self::new("not_utf8", "the body is not UTF-8: put accept-charset=\"utf-8\" on the form")
    }

    fn undocumented(provider: &Provider) -> Self {
        Self::new("unknown_event", format!("this is nothing that {} documents: send only such events", provider.title))
    }
}

/// The sender of a body and its id of the event, for recognising a repetition. Never fails: an unreadable body has none.
pub(super) fn identify(content_type: &str, body: &[u8], format: Format) -> Option<(&'static str, EventId)> {
    with_body(content_type, body, |body| {
        let provider = sender(body, format)?;
        Some((provider.name, (provider.event_id)(body)?))
    })
    .ok()
    .flatten()
}

/// A member of a JSON body, as text.
pub(super) fn json_member(body: &[u8], name: &str) -> Option<String> {
    Json::parse(std::str::from_utf8(body).ok()?)?.text_at(name)
}

/// The fields of a form post.
pub(super) fn form_pairs(content_type: &str, body: &[u8]) -> Option<Pairs> {
    form::pairs(content_type, body).ok()
}

/// The submissions of a delivery. With a honeypot, one that fills it is refused.
///
/// # Errors
/// Why the body as a whole is none, for quarantine.
pub fn read(delivery: &Delivery, format: Format, honeypot: Option<&str>) -> Result<Vec<Submission>, Unreadable> {
    let drafts = with_body(&delivery.content_type, &delivery.body, |body| drafts(body, format))??;
    if drafts.len() > MAX_SUBMISSIONS {
        return Err(Unreadable::new("too_many_rows", format!("a delivery may hold {MAX_SUBMISSIONS} submissions")));
    }
    let mut submissions = drafts.into_iter().map(Submission::of).collect::<Result<Vec<_>, _>>()?;
    for submission in &mut submissions {
        complete(submission, delivery, honeypot)?;
    }
    Ok(submissions)
}

/// What a kept record says: a body, or the part of one that became a row. Nothing where it does not say enough by itself.
#[must_use]
pub fn reread(raw: &str, format: Format, honeypot: Option<&str>) -> Option<Submission> {
    let json = Json::parse(raw)?;
    let body = Body::Json(json);
    let draft = match sender(&body, format) {
        Some(provider) => (provider.record)(json).or_else(|| {
            let pairs = form::of_json(json);
            let body = if provider.posts_json { body } else { Body::Form(&pairs) };
            let mut drafts = (provider.read)(&body)?;
            if drafts.len() == 1 { drafts.pop() } else { None }
        })?,
        None => plain_json(json).ok()?,
    };
    let mut submission = Submission::of(draft).ok()?;
    attribution::add(&mut submission.fields, None);
    (submission.fetch.is_none() && !submission.fills(honeypot)).then_some(submission)
}

/// What holds whoever sent it: who may say what, and what the delivery's headers add.
fn complete(submission: &mut Submission, delivery: &Delivery, honeypot: Option<&str>) -> Result<(), Unreadable> {
    if delivery.signature_status != UNSIGNED {
        submission.submitted_at();
    }
    if submission.deleted && delivery.signature_status == UNSIGNED {
        return Err(Unreadable::new("unsigned_deletion", "anybody could have sent this deletion: let the sender sign"));
    }
    if submission.fills(honeypot) {
        return Err(Unreadable {
            field: honeypot.map(str::to_owned),
            ..Unreadable::new("honeypot", "a field that people do not see was filled in, as robots do")
        });
    }
    let header = |name: &str| delivery.headers.get(name).and_then(serde_json::Value::as_str);
    // To us the referring page is the one the form stands on, not the one that brought the person.
    if let Some(page) = header("referer")
        && submission.fields.iter().all(|(name, _)| name != "page_url")
    {
        submission.fields.push(("page_url".to_owned(), Some(page.to_owned())));
    }
    attribution::add(&mut submission.fields, header("cookie"));
    Ok(())
}

fn sender(body: &Body<'_>, format: Format) -> Option<&'static Provider> {
    match format {
        Format::Of(provider) => Some(provider),
        Format::Auto => provider::recognised(body),
        Format::Json | Format::Form => None,
    }
}

fn with_body<T>(content_type: &str, body: &[u8], then: impl FnOnce(&Body<'_>) -> T) -> Result<T, Unreadable> {
    if is_browser_form(content_type) {
        let pairs = form::pairs(content_type, body)?;
        return Ok(then(&Body::Form(&pairs)));
    }
    let text = std::str::from_utf8(body).map_err(|_| Unreadable::not_utf8())?;
    let json = Json::parse(text).ok_or_else(|| Unreadable::new("not_json", "the body is not valid JSON"))?;
    Ok(then(&Body::Json(json)))
}

fn drafts(body: &Body<'_>, format: Format) -> Result<Vec<Draft>, Unreadable> {
    let other = |is: &str| Unreadable::new("other_format", format!("{is}: change provider, or drop it"));
    match (format, body) {
        (Format::Json, Body::Form(_)) => return Err(other("a form post where the provider posts JSON")),
        (Format::Form, Body::Json(_)) => return Err(other("JSON where the provider posts forms")),
        (Format::Of(provider), Body::Json(_)) if !provider.posts_json => {
            return Err(other("JSON where the provider posts forms"));
        }
        (Format::Of(provider), Body::Form(_)) if !provider.posts_forms => {
            return Err(other("a form post where the provider posts JSON"));
        }
        _ => {}
    }
    if let Some(provider) = sender(body, format) {
        return (provider.read)(body).ok_or_else(|| Unreadable::undocumented(provider));
    }
    match body {
        Body::Form(pairs) => Ok(vec![plain_form(pairs)?]),
        Body::Json(json) => match json.items() {
            Some(items) if items.len() > MAX_SUBMISSIONS => {
                Err(Unreadable::new("too_many_rows", format!("a delivery may hold {MAX_SUBMISSIONS} submissions")))
            }
            Some(items) => items.into_iter().map(plain_json).collect(),
            None => Ok(vec![plain_json(*json)?]),
        },
    }
}

/// A name that comes several times, as that of checkboxes does, has several values.
fn plain_form(pairs: &Pairs) -> Result<Draft, Unreadable> {
    if pairs.iter().all(|(_, value)| value.is_empty()) {
        return Err(Unreadable::new("empty_submission", "the form was posted with nothing in it"));
    }
    let mut fields = Fields::default();
    for (name, values) in form::grouped(pairs) {
        fields.put(name, joined(values.into_iter().map(str::to_owned)));
    }
    Ok(Draft::of(fields, form_as_json(pairs)))
}

/// Any object; the envelope of Standard Webhooks is taken off.
fn plain_json(json: Json<'_>) -> Result<Draft, Unreadable> {
    if !json.is_object() {
        return Err(Unreadable::new("not_an_object", "a submission is a JSON object with a member per field"));
    }
    if json.members().is_none_or(|members| members.is_empty()) {
        return Err(Unreadable::new("empty_submission", "the submission has no member"));
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
    Ok(Draft::of(fields, json.raw().to_owned()))
}
