//! Why two records are, or are not, one person: the weight of every field.

#![expect(clippy::indexing_slicing, reason = "fields are below FIELDS by construction")]

use super::compare::{
    CITY, COUNTRY, Comparer, Comparison, FIELDS, FIRST, LAST, MAIL, ORG, PHONE, TITLE, city, mail, name, org, plain,
};
use super::model::Model;
use super::rates::{Counts, Rates};
use super::roster::{PLAIN, Roster};
use super::weights::{Class, share};

/// What one field says of a pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// The field.
    pub field: &'static str,
    /// What was seen, in words.
    pub seen: &'static str,
    /// How much it speaks for one person, in bits; each bit doubles the odds.
    pub bits: f64,
}

/// What all fields say of a pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Where any two records start: how rare it is that two are one person.
    pub prior_bits: f64,
    /// The fields that say something, in a fixed order.
    pub weights: Vec<Weight>,
    /// The odds of kin and of namesakes, in bits against strangers: what else the pair may be.
    pub rivals: [(&'static str, f64); 2],
    /// The chance that they are one person.
    pub chance: f32,
}

/// The fields that doubled the odds of a pair at least, the strongest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Spoke(pub(super) u64);

/// Bits of a field in [`Spoke`]; 0 is none.
const SPOKE_BITS: u32 = 4;
const _: () = assert!(FIELDS < 1 << SPOKE_BITS && FIELDS * SPOKE_BITS as usize <= 64);

impl Spoke {
    pub(super) fn of(class: &Class, comparison: &Comparison) -> Self {
        let weights = (0..FIELDS).map(|field| (class.weight(field, comparison), field));
        let mut telling: Vec<(f32, usize)> = weights.filter(|(nats, _)| *nats >= std::f32::consts::LN_2).collect();
        telling.sort_by(|one, two| two.0.total_cmp(&one.0).then_with(|| field_name(one.1).cmp(field_name(two.1))));
        Self(telling.iter().rev().fold(0, |all, (_, field)| all << SPOKE_BITS | (*field as u64 + 1)))
    }

    /// Their names.
    pub fn fields(self) -> impl Iterator<Item = &'static str> {
        let rest = std::iter::successors(Some(self.0), |rest| Some(rest >> SPOKE_BITS));
        let number = |rest: u64| usize::try_from(rest & ((1 << SPOKE_BITS) - 1)).ok()?.checked_sub(1);
        rest.map_while(number).map(field_name)
    }
}

/// Explains pairs of one roster.
#[derive(Debug)]
pub struct Explainer<'a> {
    roster: &'a Roster,
    model: &'a Model,
    counts: Counts,
    rates: Rates,
}

impl<'a> Explainer<'a> {
    /// Explains by this model.
    #[must_use]
    pub fn new(roster: &'a Roster, model: &'a Model) -> Self {
        let mut counts = Counts::default();
        counts.thaw(model, roster);
        let rates = Rates::of(&counts);
        Self { roster, model, counts, rates }
    }

    /// The waterfall of a pair; nothing where a number is no record.
    #[must_use]
    pub fn explain(&self, one: u32, two: u32) -> Option<Explanation> {
        if one.max(two) as usize >= self.roster.len() {
            return None;
        }
        let comparer = Comparer { roster: self.roster, rates: &self.rates, counts: &self.counts };
        let comparison = comparer.compare(one.min(two), one.max(two));
        let class = &self.model.weights.person;
        let bits = |nats: f32| f64::from(nats) / std::f64::consts::LN_2;
        let spoken = (0..FIELDS).filter(|field| comparison.level[*field] != 0);
        let weights = spoken
            .map(|field| Weight {
                field: field_name(field),
                seen: seen(field, comparison.level[field]),
                bits: bits(class.weight(field, &comparison)),
            })
            .collect();
        let odds = self.model.weights.odds(&comparison);
        Some(Explanation {
            prior_bits: bits(class.prior),
            weights,
            rivals: [("kin", bits(odds[1])), ("namesakes", bits(odds[2]))],
            chance: share(odds),
        })
    }
}

fn field_name(field: usize) -> &'static str {
    match field {
        FIRST => "given name",
        LAST => "surname",
        MAIL => "mailbox",
        ORG => "organisation",
        PHONE => "phone",
        CITY => "city",
        COUNTRY => "country",
        TITLE => "job title",
        plain => PLAIN.get(plain - 8).map_or("", |attribute| attribute.name()),
    }
}

fn seen(field: usize, level: u8) -> &'static str {
    match field {
        FIRST | LAST => match level {
            name::SAME => "the same",
            name::FORM => "a form of the same",
            name::INITIAL => "the initial fits",
            name::OTHER_INITIAL => "another initial",
            name::PREFIX => "one begins the other",
            name::SLIP => "one stroke apart",
            name::ALIKE => "two strokes apart",
            name::IN_MAILBOX => "stands in the other's mailbox",
            name::INITIAL_IN_MAILBOX => "its initial stands in the other's mailbox",
            name::NOT_IN_MAILBOX => "does not stand in the other's mailbox",
            name::SWAPPED => "given name and surname swapped",
            _ => "another",
        },
        MAIL => match level {
            mail::WORK_SAME | mail::FREE_SAME => "the same address",
            mail::WORK_SLIP | mail::FREE_SLIP => "one stroke apart",
            mail::WORK_ALIAS => "two addresses of one name at one domain",
            mail::WORK_COLLEAGUE => "two mailboxes at one domain",
            mail::WORK_MOVED | mail::FREE_MOVED | mail::MIXED_SAME => "the same mailbox at another domain",
            mail::MIXED_TELLING => "the same mailbox, with digits, at another domain",
            _ => "another address",
        },
        ORG => match level {
            org::DOMAIN => "the same domain",
            org::COMPANY => "the same company",
            org::STEM => "the domain is made of the company's name",
            org::ALIKE => "alike",
            org::COMPANY_OTHER_DOMAIN => "the same company, another domain",
            _ => "another",
        },
        CITY => match level {
            city::SAME_ORG_SAME | city::SAME => "the same",
            _ => "another",
        },
        _ => match level {
            plain::SAME => "the same",
            plain::SLIP => "one stroke apart",
            plain::ALIKE => "alike",
            _ => "another",
        },
    }
}
