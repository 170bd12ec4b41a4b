//! The parameters of the model and what they make of a comparison.
//!
//! Two records are one person, or kin (one surname under one roof or in one firm), or namesakes, or strangers. Every class gives
//! each level of each field a chance; the weight of a level is the logarithm of that chance over the one among strangers. What a
//! class does not speak of is as among strangers and weighs nothing.

#![expect(clippy::indexing_slicing, reason = "levels are below LEVELS and fields below FIELDS by construction")]

use super::compare::{
    CITY, COUNTRY, Comparison, FIELDS, FIRST, LAST, LEVELS, MAIL, ORG, PHONE, PLAINS, TITLE, city, mail, name, org, plain,
};

pub(super) type Table = [[f32; LEVELS]; FIELDS];

/// A class's way to say "as among strangers".
pub(super) const AS_STRANGERS: f32 = f32::INFINITY;

/// Levels that exclude each other given what was compared: the chances of a group sum to one.
pub(super) const GROUPS: [(usize, &[u8]); 20] = [
    (FIRST, &[name::SAME, name::FORM, name::PREFIX, name::SLIP, name::OTHER, name::SWAPPED, name::ALIKE]),
    (FIRST, &[name::INITIAL, name::OTHER_INITIAL]),
    (FIRST, &[name::IN_MAILBOX, name::INITIAL_IN_MAILBOX, name::NOT_IN_MAILBOX]),
    (LAST, &[name::SAME, name::FORM, name::SLIP, name::OTHER, name::ALIKE]),
    (LAST, &[name::INITIAL, name::OTHER_INITIAL]),
    (LAST, &[name::IN_MAILBOX, name::NOT_IN_MAILBOX]),
    (MAIL, &[mail::WORK_SAME, mail::WORK_SLIP, mail::WORK_ALIAS, mail::WORK_COLLEAGUE]),
    (MAIL, &[mail::WORK_MOVED, mail::WORK_OTHER]),
    (MAIL, &[mail::FREE_SAME, mail::FREE_SLIP, mail::FREE_MOVED, mail::FREE_OTHER]),
    (MAIL, &[mail::MIXED_TELLING, mail::MIXED_SAME, mail::MIXED_OTHER]),
    (ORG, &[org::DOMAIN, org::COMPANY, org::STEM, org::ALIKE, org::COMPANY_OTHER_DOMAIN, org::OTHER]),
    (PHONE, &[plain::SAME, plain::SLIP, plain::OTHER]),
    (CITY, &[city::SAME_ORG_SAME, city::SAME_ORG_OTHER]),
    (CITY, &[city::SAME, city::OTHER]),
    (COUNTRY, &[plain::SAME, plain::OTHER]),
    (TITLE, &[plain::SAME, plain::ALIKE, plain::OTHER]),
    (PLAINS, &[plain::SAME, plain::SLIP, plain::ALIKE, plain::OTHER]),
    (PLAINS + 1, &[plain::SAME, plain::SLIP, plain::ALIKE, plain::OTHER]),
    (PLAINS + 2, &[plain::SAME, plain::SLIP, plain::ALIKE, plain::OTHER]),
    (PLAINS + 3, &[plain::SAME, plain::SLIP, plain::ALIKE, plain::OTHER]),
];
/// Postal code and region come after the list above: equal or nearly so like the rest.
pub(super) const MORE_GROUPS: [(usize, &[u8]); 2] = [
    (PLAINS + 4, &[plain::SAME, plain::SLIP, plain::ALIKE, plain::OTHER]),
    (PLAINS + 5, &[plain::SAME, plain::SLIP, plain::ALIKE, plain::OTHER]),
];

pub(super) fn groups() -> impl Iterator<Item = (usize, &'static [u8])> {
    GROUPS.into_iter().chain(MORE_GROUPS)
}

/// One class: how common it is among all pairs, and its chances. All are natural logarithms.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Class {
    pub(super) prior: f32,
    pub(super) table: Table,
}

/// The parameters of the three classes besides strangers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weights {
    pub(super) person: Class,
    pub(super) kin: Class,
    pub(super) namesake: Class,
}

/// Where training starts and what it is drawn to: how leads are written in general.
const START: &[(usize, &[(u8, f32)])] = &[
    (
        FIRST,
        &[
            (name::SAME, 0.84),
            (name::FORM, 0.06),
            (name::PREFIX, 0.012),
            (name::SLIP, 0.045),
            (name::OTHER, 0.015),
            (name::SWAPPED, 0.02),
            (name::ALIKE, 0.008),
        ],
    ),
    (FIRST, &[(name::INITIAL, 0.985), (name::OTHER_INITIAL, 0.015)]),
    (FIRST, &[(name::IN_MAILBOX, 0.6), (name::INITIAL_IN_MAILBOX, 0.25), (name::NOT_IN_MAILBOX, 0.15)]),
    (LAST, &[(name::SAME, 0.92), (name::FORM, 0.01), (name::SLIP, 0.05), (name::OTHER, 0.012), (name::ALIKE, 0.008)]),
    (LAST, &[(name::INITIAL, 0.97), (name::OTHER_INITIAL, 0.03)]),
    (LAST, &[(name::IN_MAILBOX, 0.85), (name::NOT_IN_MAILBOX, 0.15)]),
    (MAIL, &[(mail::WORK_SAME, 0.88), (mail::WORK_SLIP, 0.07), (mail::WORK_ALIAS, 0.04), (mail::WORK_COLLEAGUE, 0.01)]),
    (MAIL, &[(mail::WORK_MOVED, 0.5), (mail::WORK_OTHER, 0.5)]),
    (MAIL, &[(mail::FREE_SAME, 0.8), (mail::FREE_SLIP, 0.07), (mail::FREE_MOVED, 0.05), (mail::FREE_OTHER, 0.08)]),
    (MAIL, &[(mail::MIXED_TELLING, 0.02), (mail::MIXED_SAME, 0.3), (mail::MIXED_OTHER, 0.68)]),
    (
        ORG,
        &[
            (org::DOMAIN, 0.5),
            (org::COMPANY, 0.2),
            (org::STEM, 0.12),
            (org::ALIKE, 0.08),
            (org::COMPANY_OTHER_DOMAIN, 0.02),
            (org::OTHER, 0.08),
        ],
    ),
    (PHONE, &[(plain::SAME, 0.75), (plain::SLIP, 0.03), (plain::OTHER, 0.22)]),
    (CITY, &[(city::SAME_ORG_SAME, 0.9), (city::SAME_ORG_OTHER, 0.1)]),
    (CITY, &[(city::SAME, 0.88), (city::OTHER, 0.12)]),
    (COUNTRY, &[(plain::SAME, 0.98), (plain::OTHER, 0.02)]),
    (TITLE, &[(plain::SAME, 0.75), (plain::ALIKE, 0.12), (plain::OTHER, 0.13)]),
    (PLAINS, &[(plain::SAME, 0.88), (plain::SLIP, 0.06), (plain::ALIKE, 0.03), (plain::OTHER, 0.03)]),
    (PLAINS + 1, &[(plain::SAME, 0.92), (plain::SLIP, 0.05), (plain::ALIKE, 0.015), (plain::OTHER, 0.015)]),
    (PLAINS + 2, &[(plain::SAME, 0.7), (plain::SLIP, 0.06), (plain::ALIKE, 0.08), (plain::OTHER, 0.16)]),
    (PLAINS + 3, &[(plain::SAME, 0.75), (plain::SLIP, 0.08), (plain::ALIKE, 0.04), (plain::OTHER, 0.13)]),
    (PLAINS + 4, &[(plain::SAME, 0.8), (plain::SLIP, 0.06), (plain::ALIKE, 0.04), (plain::OTHER, 0.1)]),
    (PLAINS + 5, &[(plain::SAME, 0.9), (plain::SLIP, 0.03), (plain::ALIKE, 0.02), (plain::OTHER, 0.05)]),
];

/// Levels of kin that are fixed: one surname and one organisation, address or phone, two given names and two mailboxes.
const KIN: &[(usize, u8, f32)] = &[
    (FIRST, name::SAME, 0.01),
    (FIRST, name::FORM, 0.005),
    (MAIL, mail::WORK_SAME, 0.03),
    (MAIL, mail::WORK_SLIP, 0.03),
    (MAIL, mail::WORK_ALIAS, 0.3),
    (MAIL, mail::FREE_SAME, 0.05),
    (MAIL, mail::FREE_SLIP, 0.02),
    (PHONE, plain::SAME, 0.4),
    (PHONE, plain::OTHER, 0.55),
    (CITY, city::SAME_ORG_SAME, 0.85),
    (CITY, city::SAME_ORG_OTHER, 0.15),
    (CITY, city::SAME, 0.8),
    (CITY, city::OTHER, 0.2),
];

/// How many persons, kin and namesakes a record has at the start of training, among all records.
const START_PARTNERS: [f32; 3] = [0.8, 0.08, 0.08];

/// Records among which one looks for partners: those at hand, and some that are not. However few there are, most pairs are of
/// strangers.
#[expect(clippy::cast_precision_loss, reason = "a number of records as a share")]
pub(super) fn crowd(records: usize) -> f64 {
    records as f64 + UNSEEN_RECORDS
}

/// So many people who are not among the records could have been.
const UNSEEN_RECORDS: f64 = 40.0;

impl Weights {
    /// The weights before training, for this many records.
    pub(super) fn start(records: usize) -> Self {
        let mut person = [[AS_STRANGERS; LEVELS]; FIELDS];
        for (field, levels) in START {
            levels.iter().for_each(|(level, chance)| person[*field][*level as usize] = chance.ln());
        }
        // The chance of swapped names stands with the given name.
        person[LAST][name::SWAPPED as usize] = 0.0;
        #[expect(clippy::cast_possible_truncation, reason = "chances need no more than the precision of an f32")]
        let prior = |partners: f32| (f64::from(partners) / crowd(records)).ln() as f32;
        let [same, kin, namesake] = START_PARTNERS.map(prior);
        let mut weights = Self {
            person: Class { prior: same, table: person },
            kin: Class { prior: kin, table: person },
            namesake: Class { prior: namesake, table: person },
        };
        weights.derive();
        weights
    }

    /// Sets the classes of kin and namesakes from that of persons.
    pub(super) fn derive(&mut self) {
        let person = &self.person.table;
        let mut kin = [[AS_STRANGERS; LEVELS]; FIELDS];
        for field in [LAST, ORG, COUNTRY, PLAINS + 2, PLAINS + 3, PLAINS + 4, PLAINS + 5] {
            kin[field] = person[field];
        }
        KIN.iter().for_each(|(field, level, chance)| kin[*field][*level as usize] = chance.ln());
        self.kin.table = kin;
        let mut namesake = [[AS_STRANGERS; LEVELS]; FIELDS];
        namesake[FIRST] = person[FIRST];
        namesake[LAST] = person[LAST];
        self.namesake.table = namesake;
    }

    /// The natural logarithms of the odds of each class against strangers.
    pub(super) fn odds(&self, comparison: &Comparison) -> [f32; 3] {
        [&self.person, &self.kin, &self.namesake].map(|class| {
            let mut sum = class.prior;
            for field in 0..FIELDS {
                sum += class.weight(field, comparison);
            }
            sum
        })
    }

    /// The chance that the two records are one person.
    pub(super) fn chance(&self, comparison: &Comparison) -> f32 {
        share(self.odds(comparison))
    }
}

impl Class {
    pub(super) fn weight(&self, field: usize, comparison: &Comparison) -> f32 {
        let level = comparison.level[field] as usize;
        let chance = self.table[field][level];
        if level == 0 || chance == AS_STRANGERS { 0.0 } else { chance - comparison.rate[field] }
    }
}

/// The share of the first class among the three and strangers.
pub(super) fn share(odds: [f32; 3]) -> f32 {
    let most = odds.into_iter().fold(0.0_f32, f32::max);
    let [person, kin, namesake] = odds.map(|odds| (odds - most).exp());
    person / (person + kin + namesake + (-most).exp())
}
