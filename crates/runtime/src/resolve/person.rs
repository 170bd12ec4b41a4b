//! What is known of one person beyond their fields: how far they are, how they came, whether we may contact them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use headwater_analysis::identity::{Field, Golden, Leads, ProspectId};
use headwater_analysis::lifecycle::{self, ConversionKind, Fact, FactKind, Lifecycle, Stage};
use headwater_model::consent::{self, LastWord};
use headwater_model::mapping::Origin;
use headwater_model::suppression::{Kind, Screen};
use headwater_model::tables;

use super::timeline::Moment;
use crate::error::{Error, Result};

/// Why somebody must not be contacted who said so.
pub(crate) const SUPPRESSED: &str = "suppressed";
/// Why somebody must not be contacted who took their consent back.
pub(crate) const WITHDRAWN: &str = "consent withdrawn";

/// One person beyond their fields.
#[derive(Debug, Default)]
pub(super) struct Person<'a> {
    lifecycle: Lifecycle<'a>,
    first_channel: Option<&'a str>,
    last_channel: Option<&'a str>,
    consent: Option<&'static str>,
    lawful_basis: Option<&'a str>,
    hold_reason: Option<&'static str>,
    conversions: i64,
    revenue: Option<(i128, &'a str)>,
    gone: bool,
}

/// Derives what is known of a cluster's person.
pub(super) fn derive<'a>(
    leads: &'a Leads,
    members: &[u32],
    moments: impl Iterator<Item = Moment<'a>>,
    screen: &Screen,
) -> Person<'a> {
    let mut person = Person::default();
    let mut facts: Vec<Fact<'a>> = members.iter().map(|row| lead_fact(leads, *row)).collect();
    let mut said = consent_of(leads, members);
    let mut revenue: BTreeMap<&str, i128> = BTreeMap::new();
    for moment in moments {
        match moment {
            Moment::Touch { channel } => {
                person.first_channel.get_or_insert(channel);
                person.last_channel = Some(channel);
            }
            Moment::Fact { at_us, kind, id, word } => {
                facts.push(Fact { at_us, kind, id });
                match kind {
                    FactKind::Conversion { kind, micros, currency } => {
                        person.conversions += 1;
                        *revenue.entry(currency).or_default() += signed(kind, micros);
                    }
                    // Only what people did with our messages says anything of consent; an order of a `subscribed` kind does not.
                    _ => {
                        if let Some(status) = consent::of_engagement(word) {
                            said.hear(at_us, status);
                        }
                    }
                }
            }
        }
    }
    person.lifecycle = lifecycle::derive(&facts);
    person.consent = said.status();
    person.lawful_basis = basis(leads, members, person.consent, person.lifecycle.stage);
    person.hold_reason = hold(&person, leads, members, screen);
    // Amounts of several currencies have no sum; the conversions themselves keep them.
    person.revenue = if revenue.len() == 1 { revenue.pop_first().map(|(currency, amount)| (amount, currency)) } else { None };
    person
}

/// A refund takes away whatever its sign in the source.
fn signed(kind: ConversionKind, micros: i128) -> i128 {
    if kind == ConversionKind::Refund { -micros.abs() } else { micros }
}

fn lead_fact(leads: &Leads, row: u32) -> Fact<'_> {
    let states_need = [Field::Need, Field::Budget, Field::IntendedUse].iter().any(|field| leads.text(*field, row).is_some());
    let origin = Origin::from_word(leads.text(Field::Origin, row).unwrap_or_default());
    Fact { at_us: leads.first_seen_at(row), kind: FactKind::from_origin(origin, states_need), id: leads.id(row) }
}

/// What these leads say of consent.
fn consent_of(leads: &Leads, members: &[u32]) -> LastWord {
    let mut last = LastWord::default();
    for row in members {
        if let Some(status) = leads.text(Field::Consent, *row).and_then(consent::known) {
            last.hear(leads.observed_at(*row), status);
        }
    }
    last
}

/// On what basis a person is held: their consent, else what a source declares, else the contract a customer has with us.
fn basis<'a>(leads: &'a Leads, members: &[u32], consent: Option<&str>, stage: Stage) -> Option<&'a str> {
    if consent == Some("granted") {
        return Some("consent");
    }
    if stage == Stage::Customer {
        return Some("contract");
    }
    members.iter().filter_map(|row| leads.text(Field::LawfulBasis, *row)).min()
}

/// Why a person must not be contacted, if so.
fn hold(person: &Person<'_>, leads: &Leads, members: &[u32], screen: &Screen) -> Option<&'static str> {
    // Whoever objects by one of their addresses objects as a person, also where another address won.
    let stopped = |row: &u32| {
        let reached = [(Field::Email, Kind::Email), (Field::Phone, Kind::Phone), (Field::Mobile, Kind::Phone)];
        reached.into_iter().any(|(field, kind)| leads.text(field, *row).is_some_and(|value| screen.stops(kind, value)))
    };
    if !screen.is_empty() && members.iter().any(stopped) {
        Some(SUPPRESSED)
    } else if person.consent.is_some_and(consent::forbids_contact) {
        Some(WITHDRAWN)
    } else if person.lawful_basis.is_none() {
        Some("no lawful basis recorded")
    } else {
        None
    }
}

/// The people of a batch of prospects, in its order.
#[derive(Debug, Default)]
pub(super) struct People<'a>(Vec<Person<'a>>);

impl<'a> People<'a> {
    pub(super) fn push(&mut self, person: Person<'a>) {
        self.0.push(person);
    }

    /// Prospects that were merged away: nothing is known of them but where they went.
    pub(super) fn gone(count: usize) -> Self {
        Self((0..count).map(|_| Person { gone: true, ..Person::default() }).collect())
    }

    /// Rows of `prospect`: identity's columns and ours.
    pub(super) fn batch(&self, golden: &Golden) -> Result<RecordBatch> {
        let schema = tables::PROSPECT.schema();
        let columns = schema.fields().iter().map(|field| {
            if let Some(column) = golden.column(field.name()) {
                return Ok(Arc::clone(column));
            }
            self.column(field.name()).ok_or_else(|| Error::Internal(format!("nobody fills prospect.{}", field.name())))?
        });
        Ok(RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<Vec<_>>>()?)?)
    }

    fn column(&self, name: &str) -> Option<Result<ArrayRef>> {
        Some(Ok(match name {
            "lifecycle" => self.text(|person| Some(if person.gone { "merged" } else { person.lifecycle.stage.as_str() })),
            "buying_stage" => {
                self.text(|person| Some(if person.gone { "merged" } else { person.lifecycle.buying_stage.as_str() }))
            }
            "lawful_basis" => self.text(|person| person.lawful_basis),
            "consent" => self.text(|person| person.consent),
            "may_contact" => {
                Arc::new(self.0.iter().map(|person| Some(!person.gone && person.hold_reason.is_none())).collect::<BooleanArray>())
            }
            "hold_reason" => {
                self.text(|person| if person.gone { Some("merged into another prospect") } else { person.hold_reason })
            }
            "first_channel" => self.text(|person| person.first_channel),
            "last_channel" => self.text(|person| person.last_channel),
            "last_contact_at" => self.instant(|person| person.lifecycle.last_contact_from_person_at),
            "became_prospect_at" => self.instant(|person| person.lifecycle.became_prospect_at),
            "became_customer_at" => self.instant(|person| person.lifecycle.became_customer_at),
            "conversion_count" => Arc::new(Int64Array::from_iter_values(self.0.iter().map(|person| person.conversions))),
            "revenue" => {
                let amounts: Decimal128Array = self.0.iter().map(|person| person.revenue.map(|(amount, _)| amount)).collect();
                match amounts.with_precision_and_scale(18, 6) {
                    Ok(amounts) => Arc::new(amounts),
                    Err(error) => return Some(Err(error.into())),
                }
            }
            "currency" => self.text(|person| person.revenue.map(|(_, currency)| currency)),
            _ => return None,
        }))
    }

    fn text(&self, value: impl Fn(&Person<'a>) -> Option<&'a str>) -> ArrayRef {
        Arc::new(self.0.iter().map(value).collect::<StringArray>())
    }

    fn instant(&self, value: impl Fn(&Person<'a>) -> Option<i64>) -> ArrayRef {
        Arc::new(self.0.iter().map(value).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    }

    /// Rows of `lifecycle_transition`: the steps of both kinds of stages.
    pub(super) fn transitions(&self, prospects: &[ProspectId]) -> Result<RecordBatch> {
        let mut texts: [StringBuilder; 6] = Default::default();
        let mut at = Vec::new();
        let [id, from, to, cause, cause_id, version] = &mut texts;
        let mut push = |prospect: &str, step: (Option<&str>, &str), when: i64, why: (&str, &str)| {
            id.append_value(prospect);
            from.append_option(step.0);
            to.append_value(step.1);
            at.push(when);
            cause.append_value(why.0);
            cause_id.append_value(why.1);
            version.append_value(lifecycle::RULE_VERSION);
        };
        for (person, prospect) in self.0.iter().zip(prospects) {
            let prospect = prospect.to_string();
            for step in &person.lifecycle.transitions {
                push(
                    &prospect,
                    (step.from.map(|from| from.as_str()), step.to.as_str()),
                    step.at_us,
                    (step.cause.as_str(), step.cause_id),
                );
            }
            for step in &person.lifecycle.buying_transitions {
                push(
                    &prospect,
                    (step.from.map(|from| from.as_str()), step.to.as_str()),
                    step.at_us,
                    (step.cause.as_str(), step.cause_id),
                );
            }
        }
        let [id, from, to, cause, cause_id, version] = texts.map(|mut column| Arc::new(column.finish()) as ArrayRef);
        let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(at).with_timezone("UTC"));
        Ok(RecordBatch::try_new(tables::LIFECYCLE_TRANSITION.schema(), vec![id, from, to, at, cause, cause_id, version])?)
    }
}
