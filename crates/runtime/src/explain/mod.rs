//! `explain`: everything that is known of one person, and where each part of it came from.
//!
//! Reads the lake and the ledger, decides nothing. An error names neither the address nor the id that was asked for.

pub(crate) mod find;
mod gather;
#[cfg(test)]
mod tests;
mod weights;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::engine::Engine;
use crate::error::Result;
use find::Found;
pub use weights::{FieldWeight, Waterfall};

/// The version of the explanation's shape.
const VERSION: u32 = 1;

/// One person, explained.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The version of this shape.
    pub version: u32,
    /// The person.
    pub prospect_id: String,
    /// How the question led to the person: `email`, `prospect_id`, `lead_id`, or `remote_id in SINK`.
    pub found_by: String,
    /// Ids that were merged into this person.
    pub merged_ids: Vec<String>,
    /// Other people that the question fits as well.
    pub also: Vec<String>,
    /// How things stand.
    pub standing: Standing,
    /// Every field, with where its value came from and which values lost.
    pub fields: Vec<Field>,
    /// The leads that are this person, with what joined them.
    pub leads: Vec<Lead>,
    /// Contacts through channels, oldest first.
    pub touches: Vec<Touch>,
    /// What the person did with messages and pages.
    pub engagements: Vec<Engagement>,
    /// Orders and the like, with who is credited for them.
    pub conversions: Vec<Conversion>,
    /// The steps from stage to stage, oldest first.
    pub transitions: Vec<Transition>,
    /// What was said of consent and lawful basis, by record.
    pub consents: Vec<Consent>,
    /// The person's records in sinks.
    pub links: Vec<Link>,
    /// What was pushed where and what came of it, oldest first.
    pub deliveries: Vec<Delivery>,
}

/// How things stand with a person.
#[derive(Debug, Serialize)]
pub struct Standing {
    /// Suspect, prospect or customer.
    pub lifecycle: String,
    /// How far they are in buying.
    pub buying_stage: String,
    /// Whether they may be contacted.
    pub may_contact: bool,
    /// Why not.
    pub hold_reason: Option<String>,
    /// On what basis they are held.
    pub lawful_basis: Option<String>,
    /// What they said of consent last.
    pub consent: Option<String>,
    /// The source that brought them first.
    pub first_source: Option<String>,
    /// The channel they came through first.
    pub first_channel: Option<String>,
    /// The channel they came through last.
    pub last_channel: Option<String>,
    /// When they were first seen.
    pub first_seen_at: Option<Timestamp>,
    /// When something was last heard of them.
    pub last_seen_at: Option<Timestamp>,
    /// How many conversions they have.
    pub conversion_count: i64,
    /// What those were worth, where all are in one currency.
    pub revenue: Option<String>,
    /// The currency.
    pub currency: Option<String>,
}

/// One field of a person.
#[derive(Debug, Serialize)]
pub struct Field {
    /// Its name.
    pub field: String,
    /// The value that stands.
    pub winner: Option<Candidate>,
    /// The values that do not.
    pub losers: Vec<Candidate>,
}

/// One value of a field.
#[derive(Debug, Serialize)]
pub struct Candidate {
    /// The value.
    pub value: String,
    /// The rule that decided.
    pub rule: String,
    /// The source that says it.
    pub source: String,
    /// The lead.
    pub lead_id: String,
    /// The record.
    pub record_id: String,
    /// When it was said.
    pub observed_at: Option<Timestamp>,
}

/// One lead of a person.
#[derive(Debug, Serialize)]
pub struct Lead {
    /// Its id.
    pub lead_id: String,
    /// Its source.
    pub source: String,
    /// Its stream.
    pub stream: String,
    /// Where its last record stood: file and line, or request.
    pub place: Option<String>,
    /// The last record.
    pub record_id: Option<String>,
    /// When that record arrived.
    pub received_at: Option<Timestamp>,
    /// How many versions of it arrived.
    pub versions: u64,
    /// The lead it was joined to; nothing for the first.
    pub joined_to: Option<String>,
    /// How that was decided.
    pub method: String,
    /// On what evidence.
    pub evidence: Option<String>,
    /// How sure it is, from 0 to 1.
    pub score: f64,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
    /// By which rules or which model.
    pub model_version: String,
    /// What every field said, where they were weighed.
    pub weights: Option<Waterfall>,
}

/// One contact through a channel.
#[derive(Debug, Serialize)]
pub struct Touch {
    /// Its id.
    pub touch_id: String,
    /// When.
    pub occurred_at: Option<Timestamp>,
    /// The channel.
    pub channel: String,
    /// The rule that says so.
    pub rule: String,
    /// The source.
    pub source: String,
    /// The campaign.
    pub campaign: Option<String>,
}

/// What a person did, by kind.
#[derive(Debug, Serialize)]
pub struct Engagement {
    /// The kind.
    pub kind: String,
    /// How often.
    pub count: u64,
    /// When last.
    pub last_at: Option<Timestamp>,
}

/// One conversion.
#[derive(Debug, Serialize)]
pub struct Conversion {
    /// Its id.
    pub conversion_id: String,
    /// What it was.
    pub kind: String,
    /// When.
    pub occurred_at: Option<Timestamp>,
    /// What it was worth.
    pub value: Option<String>,
    /// The currency.
    pub currency: Option<String>,
    /// The source that says so.
    pub source: String,
    /// By which key it was found to be this person's.
    pub matched_on: String,
    /// Who is credited for it, by model.
    pub credits: BTreeMap<String, Vec<Credit>>,
}

/// A share of a conversion.
#[derive(Debug, Serialize)]
pub struct Credit {
    /// The channel.
    pub channel: String,
    /// The touch; nothing where no touch explains the conversion.
    pub touch_id: Option<String>,
    /// The touch's source.
    pub source: Option<String>,
    /// How much of it, from 0 to 1.
    pub share: f64,
    /// How much of its value.
    pub value: Option<String>,
}

/// One step from stage to stage.
#[derive(Debug, Serialize)]
pub struct Transition {
    /// When.
    pub at: Option<Timestamp>,
    /// The stage before.
    pub from: Option<String>,
    /// The stage after.
    pub to: String,
    /// Why.
    pub cause: String,
    /// The lead, order or click that caused it.
    pub cause_id: Option<String>,
}

/// What one record says of consent.
#[derive(Debug, Serialize)]
pub struct Consent {
    /// The source.
    pub source: String,
    /// The lawful basis.
    pub basis: String,
    /// Granted, withdrawn, unasked.
    pub status: String,
    /// When the basis was obtained.
    pub obtained_at: Option<Timestamp>,
    /// When the person was told.
    pub notice_at: Option<Timestamp>,
}

/// A person's record in a sink.
#[derive(Debug, Serialize)]
pub struct Link {
    /// The sink.
    pub sink: String,
    /// The record.
    pub remote_id: String,
    /// When it was pushed last.
    pub pushed_at: Option<Timestamp>,
}

/// One push.
#[derive(Debug, Serialize)]
pub struct Delivery {
    /// When.
    pub at: Option<Timestamp>,
    /// The run.
    pub run_id: String,
    /// The sink.
    pub sink: String,
    /// Create or update.
    pub op: String,
    /// What the remote said.
    pub outcome: String,
    /// The remote record.
    pub remote_id: Option<String>,
    /// Why, where it was refused.
    pub reason: Option<String>,
    /// Every field that was sent.
    pub fields: Vec<Pushed>,
}

/// One field of a push.
#[derive(Debug, Serialize)]
pub struct Pushed {
    /// The remote's field.
    pub field: String,
    /// What the remote had, as far as that was seen.
    pub before: Option<String>,
    /// What was sent.
    pub after: Option<String>,
}

/// Explains the person with this address, prospect id, lead id or remote id.
///
/// # Errors
/// [`crate::Error::NotFound`] when nobody is known by it; it says so when that is because the person is suppressed.
pub async fn explain(engine: &Engine, who: &str) -> Result<Explanation> {
    let snapshot = engine.store.snapshot().await?;
    let Found { prospect_id, by, merged_ids, also } = find::find(engine, &snapshot, who.trim()).await?;
    let person = gather::Person::of(&snapshot, prospect_id, &merged_ids)?;
    let links = find::links(engine, person.ids()).await?;
    let mut leads = person.leads()?;
    weights::add(engine, &snapshot, &mut leads).await?;
    Ok(Explanation {
        version: VERSION,
        found_by: by,
        also,
        standing: person.standing()?,
        fields: person.fields()?,
        leads,
        touches: person.touches()?,
        engagements: person.engagements()?,
        conversions: person.conversions()?,
        transitions: person.transitions()?,
        consents: person.consents()?,
        links,
        deliveries: person.deliveries()?,
        prospect_id: person.prospect_id,
        merged_ids,
    })
}
