//! The senders we know: what their bodies look like, and how a repetition is told.
//!
//! One file per sender, all of the same shape: a `PROVIDER` and the functions it names. To add one, write its file, add its two lines
//! below in their places, and put a body as the vendor documents it, with made-up values, into `samples`; the tests of this folder then
//! hold it to what all keep: it is recognised by itself or by nobody, a repetition has the same key, no bytes make it panic, and
//! `docs/sources.md` says how to set it up.
//!
//! A reader gives drafts: the sender's fields under the sender's names, with what the sender *knows* them to be. It gives nothing for
//! an event that the vendor does not document, which sends the body to quarantine; and an empty list for what concerns no person.

mod event;
mod fetch;
mod machine;
#[cfg(test)]
mod tests;
mod time;

mod activecampaign;
mod brevo;
mod contact_form_7;
mod customerio;
mod elementor;
mod fillout;
mod formspree;
mod ghost;
mod google_ads;
mod gravity_forms;
mod hubspot;
mod instantly;
mod jotform;
mod klaviyo;
mod lemlist;
mod linkedin;
mod mailchimp;
mod mailerlite;
mod mailersend;
mod mailgun;
mod mandrill;
mod mautic;
mod mautic_forms;
mod meta;
mod netlify;
mod paperform;
mod postmark;
mod resend;
mod sendgrid;
mod smartlead;
mod tally;
mod typeform;
mod webflow;

use std::fmt;

use headwater_model::mapping::{Origin, Role};

use super::payload::{Fields, Json, Pairs, form_as_json};

pub(super) use self::event::FIELDS as EVENT_FIELDS;
pub(super) use self::fetch::{Fetch, Found};

/// Every sender, sorted.
pub(super) static PROVIDERS: &[&Provider] = &[
    &activecampaign::PROVIDER,
    &brevo::PROVIDER,
    &contact_form_7::PROVIDER,
    &customerio::PROVIDER,
    &elementor::PROVIDER,
    &fillout::PROVIDER,
    &formspree::PROVIDER,
    &ghost::PROVIDER,
    &google_ads::PROVIDER,
    &gravity_forms::PROVIDER,
    &hubspot::PROVIDER,
    &instantly::PROVIDER,
    &jotform::PROVIDER,
    &klaviyo::PROVIDER,
    &lemlist::PROVIDER,
    &linkedin::PROVIDER,
    &mailchimp::PROVIDER,
    &mailerlite::PROVIDER,
    &mailersend::PROVIDER,
    &mailgun::PROVIDER,
    &mandrill::PROVIDER,
    &mautic::PROVIDER,
    &mautic_forms::PROVIDER,
    &meta::PROVIDER,
    &netlify::PROVIDER,
    &paperform::PROVIDER,
    &postmark::PROVIDER,
    &resend::PROVIDER,
    &sendgrid::PROVIDER,
    &smartlead::PROVIDER,
    &tally::PROVIDER,
    &typeform::PROVIDER,
    &webflow::PROVIDER,
];

/// A sender. Start from `Provider::FORM` or `Provider::EVENTS` and say what differs.
pub struct Provider {
    /// The word in `provider:` and in delivery keys.
    pub name: &'static str,
    /// The name a person reads.
    pub title: &'static str,
    /// Where the vendor documents its bodies.
    pub documentation: &'static str,
    /// The `signature.type` that fits.
    pub signature: &'static str,
    /// What its rows are.
    pub role: Role,
    /// How people came to be in it.
    pub origin: Origin,
    /// Whether its ids are the vendor's own of a person, so that they mean the same in all sources of that vendor.
    pub person_ids: bool,
    /// Our fields that only this sender, of whom we know what they hold, may fill, and the names they come under.
    pub(super) mapping: &'static [(&'static str, &'static str)],
    /// The largest body that it is known to send, where that is more than a form's.
    pub max_body_bytes: Option<usize>,
    /// Whether it asks by GET if the address is there before it posts.
    pub asks_first: bool,
    /// Whether it posts JSON.
    pub posts_json: bool,
    /// Whether it posts as browsers post forms.
    pub posts_forms: bool,
    /// Whether a body is this sender's and nobody else's.
    pub(super) recognise: fn(&Body<'_>) -> bool,
    /// The sender's own id of the delivery.
    pub(super) event_id: fn(&Body<'_>) -> Option<EventId>,
    /// What a body says, or nothing where it is no body that the vendor documents.
    pub(super) read: fn(&Body<'_>) -> Option<Vec<Draft>>,
    /// What a kept record says, where that is not the whole of a body; for rows that stood in quarantine.
    pub(super) record: fn(Json<'_>) -> Option<Draft>,
    /// How to ask for what a delivery only names.
    pub(super) fetch: Option<Fetch>,
}

impl Provider {
    /// A form tool that posts JSON.
    const FORM: Self = Self {
        name: "",
        title: "",
        documentation: "",
        signature: "none",
        role: Role::Leads,
        origin: Origin::Form,
        person_ids: false,
        mapping: &[],
        max_body_bytes: None,
        asks_first: false,
        posts_json: true,
        posts_forms: false,
        recognise: |_| false,
        event_id: |_| None,
        read: |_| None,
        record: |_| None,
        fetch: None,
    };

    /// An email tool that posts what people did, as JSON. Such a source must name its provider: its rows are no leads, and that is
    /// decided before the first delivery comes.
    const EVENTS: Self = Self { role: Role::Engagements, origin: Origin::EmailTool, person_ids: true, ..Self::FORM };

    /// The sender of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PROVIDERS.iter().copied().find(|provider| provider.name == name)
    }

    /// Every sender, sorted by name.
    #[must_use]
    pub fn all() -> &'static [&'static Self] {
        PROVIDERS
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Provider").field(&self.name).finish()
    }
}

impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Provider {}

/// The sender of a body, where its shape tells.
pub(super) fn recognised(body: &Body<'_>) -> Option<&'static Provider> {
    PROVIDERS.iter().copied().find(|provider| (provider.recognise)(body))
}

/// A body, read as what its content type says.
pub(super) enum Body<'a> {
    Json(Json<'a>),
    Form(&'a Pairs),
}

impl<'a> Body<'a> {
    pub(super) fn json(&self) -> Option<Json<'a>> {
        match self {
            Self::Json(json) => Some(*json),
            Self::Form(_) => None,
        }
    }

    pub(super) fn form(&self) -> Option<&'a Pairs> {
        match self {
            Self::Json(_) => None,
            Self::Form(pairs) => Some(pairs),
        }
    }

    /// The value of a form's field.
    fn value(&self, wanted: &str) -> Option<String> {
        self.form()?.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    }

    /// Whether it is a JSON object with all of these members.
    fn has(&self, names: &[&str]) -> bool {
        self.json().is_some_and(|json| names.iter().all(|name| json.get(name).is_some()))
    }
}

/// A sender's id, for recognising a repetition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EventId {
    /// Of the event: the same means the same delivery, whatever the rest says.
    Event(String),
    /// Of a thing, which comes back when it changes: only with the same body is it the same delivery.
    Thing(String),
}

/// One submission or event while it is read.
pub(super) struct Draft {
    pub(super) fields: Fields,
    pub(super) raw: String,
    pub(super) id: Option<String>,
    pub(super) deleted: bool,
    /// Whether the sender says that it is a trial and no person's.
    pub(super) test: bool,
    /// The id of what has to be asked for.
    pub(super) fetch: Option<String>,
}

impl Draft {
    pub(super) fn of(fields: Fields, raw: String) -> Self {
        Self { fields, raw, id: None, deleted: false, test: false, fetch: None }
    }

    fn with_id(self, id: Option<String>) -> Self {
        Self { id, ..self }
    }
}

/// A short id made of what tells an event apart, for senders that give none.
fn made_id(parts: &[Option<&str>]) -> String {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        // Lengths part the parts: `ab`,`c` is not `a`,`bc`.
        let part = part.unwrap_or_default();
        hash.update(&part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().to_hex().chars().take(32).collect()
}

/// The raw record without a secret, which is nobody's data and has no business in the lake.
fn without(json: Json<'_>, secret: &str) -> String {
    let members = json.members().unwrap_or_default().into_iter().filter(|(name, _)| name != secret);
    let members = members.map(|(name, value)| format!("{}:{}", serde_json::Value::from(name), value.raw()));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}
