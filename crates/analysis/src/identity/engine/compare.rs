//! What two records say of each other, field by field: a level of agreement, and how likely strangers reach it.
//!
//! Fields of a business lead depend on each other: an address is made of the name and the company's domain, and colleagues share
//! domain, company, switchboard and city. So each field is judged *given* those before it. The name comes first; the mailbox is
//! judged given the name and the domain; the organisation is one field however many columns speak of it; phone and city are
//! judged given the organisation.

#![expect(clippy::indexing_slicing, reason = "tables are as long as the pools that number their rows")]
#![expect(clippy::cast_precision_loss, reason = "counts of records as chances")]

use super::edit::{length, may_be_within, may_begin_within, room, same_digits, within_one, within_two};
use super::lists::are_forms;
use super::rates::{Counts, Rates, initial_bucket};
use super::roster::{PLAIN, Record, Roster, told_words};

/// How many fields a comparison has.
pub(super) const FIELDS: usize = 8 + PLAIN.len();
/// The most levels of a field; level 0 says nothing.
pub(super) const LEVELS: usize = 16;

pub(super) const FIRST: usize = 0;
pub(super) const LAST: usize = 1;
pub(super) const MAIL: usize = 2;
pub(super) const ORG: usize = 3;
pub(super) const PHONE: usize = 4;
pub(super) const CITY: usize = 5;
pub(super) const COUNTRY: usize = 6;
pub(super) const TITLE: usize = 7;
pub(super) const PLAINS: usize = 8;

/// Levels of names.
pub(super) mod name {
    pub(in super::super) const SAME: u8 = 1;
    /// A familiar form of one name, or a part of a double surname.
    pub(in super::super) const FORM: u8 = 2;
    pub(in super::super) const INITIAL: u8 = 3;
    pub(in super::super) const OTHER_INITIAL: u8 = 4;
    pub(in super::super) const PREFIX: u8 = 5;
    pub(in super::super) const SLIP: u8 = 6;
    pub(in super::super) const OTHER: u8 = 7;
    /// The name stands in the other record's mailbox only.
    pub(in super::super) const IN_MAILBOX: u8 = 8;
    pub(in super::super) const INITIAL_IN_MAILBOX: u8 = 9;
    pub(in super::super) const NOT_IN_MAILBOX: u8 = 10;
    pub(in super::super) const SWAPPED: u8 = 11;
    /// Two slips, or a name cut and mistyped.
    pub(in super::super) const ALIKE: u8 = 12;
}

/// Levels of mailboxes: two work addresses, two free ones, one of each.
pub(super) mod mail {
    pub(in super::super) const WORK_SAME: u8 = 1;
    pub(in super::super) const WORK_SLIP: u8 = 2;
    pub(in super::super) const WORK_ALIAS: u8 = 3;
    pub(in super::super) const WORK_COLLEAGUE: u8 = 4;
    pub(in super::super) const WORK_MOVED: u8 = 5;
    pub(in super::super) const WORK_OTHER: u8 = 6;
    pub(in super::super) const FREE_SAME: u8 = 7;
    pub(in super::super) const FREE_SLIP: u8 = 8;
    pub(in super::super) const FREE_MOVED: u8 = 9;
    pub(in super::super) const FREE_OTHER: u8 = 10;
    pub(in super::super) const MIXED_TELLING: u8 = 11;
    pub(in super::super) const MIXED_SAME: u8 = 12;
    pub(in super::super) const MIXED_OTHER: u8 = 13;
}

/// Levels of organisations.
pub(super) mod org {
    pub(in super::super) const DOMAIN: u8 = 1;
    pub(in super::super) const COMPANY: u8 = 2;
    pub(in super::super) const STEM: u8 = 3;
    pub(in super::super) const ALIKE: u8 = 4;
    pub(in super::super) const COMPANY_OTHER_DOMAIN: u8 = 5;
    pub(in super::super) const OTHER: u8 = 7;
}

/// Levels of fields that are equal, nearly so, or not.
pub(super) mod plain {
    pub(in super::super) const SAME: u8 = 1;
    pub(in super::super) const SLIP: u8 = 2;
    pub(in super::super) const ALIKE: u8 = 3;
    pub(in super::super) const OTHER: u8 = 4;
}

/// Levels of cities: those of one organisation, and the others.
pub(super) mod city {
    pub(in super::super) const SAME_ORG_SAME: u8 = 1;
    pub(in super::super) const SAME_ORG_OTHER: u8 = 2;
    pub(in super::super) const SAME: u8 = 3;
    pub(in super::super) const OTHER: u8 = 4;
}

/// About as many texts are one stroke away from a name, each as likely as the next.
const SLIPS_LN: f32 = 4.1;
/// The same for what is alike in a looser way.
const ALIKES_LN: f32 = 6.2;
/// The places of street and house number among the plain attributes.
const STREET: usize = 2;
const HOUSE: usize = 3;
/// The chance that strangers of one street share the house, as a logarithm: a tenth.
const HOUSE_OF_STREET: f32 = -2.3;
/// The plain attributes from this one on are parts of a postal address.
const POSTAL: usize = 2;
const POSTCODE: usize = 4;
const REGION: usize = 5;
/// Who shares city or postal code shares the region too, but for how it is written: the chance that strangers do.
const REGION_OF_PLACE: f32 = 0.9;
/// The chance that two strangers of one organisation are in one city.
const CITY_OF_ORG: f32 = 0.75;
/// No level is less likely among strangers than this.
const MIXED_FLOOR: f32 = -16.0;

/// The levels of a pair and, for each, the natural logarithm of its chance among strangers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comparison {
    pub(super) level: [u8; FIELDS],
    pub(super) rate: [f32; FIELDS],
}

/// Compares records of one roster.
#[derive(Debug)]
pub(super) struct Comparer<'a> {
    pub(super) roster: &'a Roster,
    pub(super) rates: &'a Rates,
    pub(super) counts: &'a Counts,
}

impl Comparer<'_> {
    /// The levels of two records, whichever is named first.
    pub(super) fn compare(&self, one: u32, two: u32) -> Comparison {
        let mut out = Comparison { level: [0; FIELDS], rate: [0.0; FIELDS] };
        let (a, b) = (&self.roster.records[one as usize], &self.roster.records[two as usize]);
        // Some rules take the first of several equal reasons: which record is first must not depend on the input's order.
        let (a, b) = if a.order <= b.order { (a, b) } else { (b, a) };
        self.names(a, b, &mut out);
        let (org_count, is_same_org) = self.org(a, b, &mut out);
        self.mail(a, b, &mut out);
        self.phone(a, b, org_count, is_same_org, &mut out);
        self.city(a, b, is_same_org, &mut out);
        self.title(a, b, &mut out);
        if !self.roster.plain.is_empty() {
            self.plain(one, two, is_same_org, &mut out);
        }
        out
    }

    /// Looks at what a comparison of each of these records will look at. They lie all over the memory, and the processor waits for all of
    /// these looks at once, where it would wait for one after the other while comparing.
    pub(super) fn look_ahead(&self, rows: impl Iterator<Item = u32> + Clone) {
        let roster = self.roster;
        let records = rows.map(|row| &roster.records[row as usize]);
        let mut seen = records.clone().fold(0, |seen, record| seen ^ record.first);
        for record in records {
            seen ^=
                roster.local_fact(record.local).letters ^ roster.locals.sketch(record.local) ^ roster.phones.sketch(record.phone);
            seen ^= roster.company_facts[record.company as usize].head ^ roster.domain_facts[record.domain as usize].head;
        }
        std::hint::black_box(seen);
    }

    /// Whether two records contradict each other in both names and share neither mailbox nor number: no other field can make
    /// them one person. A birth date or a personal number can, so records that have one are always compared.
    pub(super) fn is_hopeless(&self, one: u32, two: u32) -> bool {
        let says_who = |row: u32| self.roster.plain.get(row as usize).is_some_and(|plain| plain[0] != 0 || plain[1] != 0);
        if says_who(one) && says_who(two) {
            return false;
        }
        let (a, b) = (&self.roster.records[one as usize], &self.roster.records[two as usize]);
        if a.first == 0 || b.first == 0 || a.last == 0 || b.last == 0 || a.first == b.first || a.last == b.last {
            return false;
        }
        let shares = |x: u32, y: u32| x != 0 && x == y;
        if a.double != 0
            || b.double != 0
            || shares(a.email, b.email)
            || shares(a.phone, b.phone)
            || shares(a.phone, b.mobile)
            || shares(a.mobile, b.phone)
        {
            return false;
        }
        let fact = |form: u32| &self.roster.name_facts[form as usize];
        let roots = [fact(a.first).root, fact(a.last).root];
        if roots.contains(&fact(b.first).root) || roots.contains(&fact(b.last).root) {
            return false;
        }
        let names = &self.roster.names;
        let differ = |x: u32, y: u32| {
            let (one, two) = (fact(x), fact(y));
            !(one.is_initial || two.is_initial || (one.is_form && two.is_form))
                && one.initial != two.initial
                && !may_be_one_name(names.sketch(x), names.sketch(y))
        };
        differ(a.first, b.first) && differ(a.last, b.last) && differ(a.first, b.last) && differ(a.last, b.first)
    }

    fn names(&self, a: &Record, b: &Record, out: &mut Comparison) {
        if a.first != 0 && b.first != 0 {
            (out.level[FIRST], out.rate[FIRST]) = self.given(a.first, b.first);
        }
        if a.last != 0 && b.last != 0 {
            (out.level[LAST], out.rate[LAST]) = self.family((a.last, a.double), (b.last, b.double));
        }
        let (first, last) = (out.level[FIRST], out.level[LAST]);
        let is_open = |level| matches!(level, name::OTHER | name::OTHER_INITIAL);
        if is_open(first) && is_open(last) {
            let (given, family) = (self.given(a.first, b.last), self.given(a.last, b.first));
            let agrees = |level| matches!(level, name::SAME | name::FORM | name::SLIP);
            if agrees(given.0) && agrees(family.0) {
                out.level[FIRST] = name::SWAPPED;
                out.level[LAST] = name::SWAPPED;
                let rate = |form: u32| self.rates.first[form as usize].max(self.rates.last[form as usize]);
                out.rate[FIRST] = rate(a.first).min(rate(b.last));
                out.rate[LAST] = rate(a.last).min(rate(b.first));
            }
        }
        if a.email != b.email && a.local != b.local {
            self.names_in_mailbox(a, b, out);
            self.names_in_mailbox(b, a, out);
        }
    }

    /// The level of two given names, both known.
    fn given(&self, x: u32, y: u32) -> (u8, f32) {
        let (one, two) = (&self.roster.name_facts[x as usize], &self.roster.name_facts[y as usize]);
        if one.is_initial || two.is_initial {
            let rate = self.rates.initial[initial_bucket(one.initial) as usize];
            return if one.initial == two.initial { (name::INITIAL, rate) } else { (name::OTHER_INITIAL, 0.0) };
        }
        if one.spelled == two.spelled {
            return (name::SAME, self.rates.first[x as usize].max(self.rates.first[y as usize]));
        }
        let names = &self.roster.names;
        let is_near = may_be_one_name(names.sketch(x), names.sketch(y));
        let can_be_form = one.is_form && two.is_form;
        if !is_near && !can_be_form && one.root != two.root && one.initial != two.initial {
            return (name::OTHER, 0.0);
        }
        let (left, right) = (names.get(x), names.get(y));
        if one.root == two.root || (can_be_form && are_forms(left, right)) {
            return (name::FORM, self.rates.root[one.root as usize].max(self.rates.root[two.root as usize]));
        }
        let rarer = self.rates.first[x as usize].min(self.rates.first[y as usize]);
        if let Some(level) = near(left, right) {
            return (level, (rarer + if level == name::SLIP { SLIPS_LN } else { ALIKES_LN }).min(-1.5));
        }
        let (short, long) = if left.len() < right.len() { (left, right) } else { (right, left) };
        if short.len() >= 3 && long.starts_with(short) {
            return (name::PREFIX, (rarer + SLIPS_LN).min(-1.5));
        }
        (name::OTHER, 0.0)
    }

    /// The level of two surnames, both known, each with its parts.
    fn family(&self, (x, double): (u32, u32), (y, other): (u32, u32)) -> (u8, f32) {
        let (one, two) = (&self.roster.name_facts[x as usize], &self.roster.name_facts[y as usize]);
        if one.spelled == two.spelled {
            return (name::SAME, self.rates.last[x as usize].max(self.rates.last[y as usize]));
        }
        if one.is_initial || two.is_initial {
            let rate = self.rates.initial[initial_bucket(one.initial) as usize];
            return if one.initial == two.initial { (name::INITIAL, rate) } else { (name::OTHER_INITIAL, 0.0) };
        }
        if double != 0 || other != 0 {
            let (ours, theirs) = (self.roster.double_parts[double as usize], self.roster.double_parts[other as usize]);
            let shared = ours.into_iter().filter(|part| *part != 0 && (*part == y || theirs.contains(part)));
            let shared = shared.chain(theirs.into_iter().filter(|part| *part != 0 && *part == x));
            if let Some(rate) = shared.map(|part| self.rates.last[part as usize]).reduce(f32::min) {
                return (name::FORM, rate);
            }
        }
        let names = &self.roster.names;
        if !may_be_one_name(names.sketch(x), names.sketch(y)) {
            return (name::OTHER, 0.0);
        }
        if let Some(level) = near(names.get(x), names.get(y)) {
            let rarer = self.rates.last[x as usize].min(self.rates.last[y as usize]);
            return (level, (rarer + if level == name::SLIP { SLIPS_LN } else { ALIKES_LN }).min(-1.5));
        }
        (name::OTHER, 0.0)
    }

    /// Looks for the names of `b` in the mailbox of `a`, where `a` does not say them.
    fn names_in_mailbox(&self, a: &Record, b: &Record, out: &mut Comparison) {
        if a.local == 0 || (a.first != 0 && a.last != 0) {
            return;
        }
        let letters = self.roster.locals.get(self.roster.local_fact(a.local).letters);
        if letters.len() < 3 {
            return;
        }
        let holds = |text: &str| text.len() >= 3 && (letters.starts_with(text) || letters.ends_with(text));
        if a.last == 0 && b.last != 0 && out.level[LAST] == 0 {
            let family = self.roster.names.get(self.roster.name_facts[b.last as usize].spelled);
            (out.level[LAST], out.rate[LAST]) =
                if holds(family) { (name::IN_MAILBOX, self.rates.last[b.last as usize]) } else { (name::NOT_IN_MAILBOX, 0.0) };
        }
        if a.first == 0 && b.first != 0 && out.level[FIRST] == 0 {
            let fact = &self.roster.name_facts[b.first as usize];
            let given = self.roster.names.get(fact.spelled);
            let begins = letters.chars().next().is_some_and(|letter| u32::from(letter) == fact.initial);
            let has_family = matches!(out.level[LAST], name::SAME | name::IN_MAILBOX);
            (out.level[FIRST], out.rate[FIRST]) = if holds(given) {
                (name::IN_MAILBOX, self.rates.first[b.first as usize])
            } else if begins && has_family {
                (name::INITIAL_IN_MAILBOX, self.rates.initial[initial_bucket(fact.initial) as usize])
            } else {
                (name::NOT_IN_MAILBOX, 0.0)
            };
        }
    }

    /// The level of the organisations, how many records the common one has, and whether it is common.
    fn org(&self, a: &Record, b: &Record, out: &mut Comparison) -> (f32, bool) {
        let knows = |record: &Record| record.domain != 0 || record.web != 0 || record.company != 0;
        if !knows(a) || !knows(b) {
            return (0.0, false);
        }
        let shared = |x: u32| x != 0 && (x == b.domain || x == b.web);
        let domain = if shared(a.domain) {
            a.domain
        } else if shared(a.web) {
            a.web
        } else {
            0
        };
        let count = |domain: u32, company: u32| {
            (self.counts.domain.of[domain as usize].max(self.counts.company.of[company as usize])) as f32
        };
        if domain != 0 {
            (out.level[ORG], out.rate[ORG]) = (org::DOMAIN, self.rates.domain[domain as usize]);
            return (count(domain, a.company).max(count(domain, b.company)), true);
        }
        if a.company != 0 && a.company == b.company {
            let has_domains = (a.domain != 0 || a.web != 0) && (b.domain != 0 || b.web != 0);
            out.level[ORG] = if has_domains { org::COMPANY_OTHER_DOMAIN } else { org::COMPANY };
            out.rate[ORG] = self.rates.company[a.company as usize];
            return (count(a.domain, a.company).max(count(b.domain, b.company)), true);
        }
        for (company, other) in [(a.company, b), (b.company, a)] {
            for domain in [other.domain, other.web] {
                if company != 0 && domain != 0 && self.is_stem(company, domain) {
                    let rate = self.rates.company[company as usize].max(self.rates.domain[domain as usize]);
                    (out.level[ORG], out.rate[ORG]) = (org::STEM, rate);
                    return (count(domain, company), true);
                }
            }
        }
        if a.company != 0 && b.company != 0 && self.are_alike(a.company, b.company) {
            let rarer = self.rates.company[a.company as usize].min(self.rates.company[b.company as usize]);
            (out.level[ORG], out.rate[ORG]) = (org::ALIKE, (rarer + SLIPS_LN).min(-2.0));
            return (count(0, a.company).max(count(0, b.company)), true);
        }
        for (company, other) in [(a.company, b), (b.company, a)] {
            for domain in [other.domain, other.web] {
                if company != 0 && domain != 0 && self.is_nearly_stem(company, domain) {
                    (out.level[ORG], out.rate[ORG]) = (org::ALIKE, self.rates.domain[domain as usize]);
                    return (count(domain, company), true);
                }
            }
        }
        out.level[ORG] = org::OTHER;
        (0.0, false)
    }

    /// Whether two different companies may be one, mistyped or cut.
    fn are_alike(&self, one: u32, two: u32) -> bool {
        let (x, y) = (self.roster.company_facts[one as usize], self.roster.company_facts[two as usize]);
        let is_near = may_be_within(2, x.sketch, y.sketch);
        if !is_near && x.head != y.head {
            return false;
        }
        let (left, right) = (self.roster.company_stems.get(one), self.roster.company_stems.get(two));
        let (short, long) = if left.len() < right.len() { (left, right) } else { (right, left) };
        let is_alike = (is_near && near(left, right).is_some()) || (short.len() >= 4 && long.starts_with(short));
        // Stems are of letters alone, and `Works 4` is not `Works 997`.
        is_alike && same_digits(self.roster.companies.get(one).as_bytes(), self.roster.companies.get(two).as_bytes())
    }

    /// Whether a domain is made of a company's name, or of its beginning.
    fn is_stem(&self, company: u32, domain: u32) -> bool {
        if self.roster.company_facts[company as usize].head != self.roster.domain_facts[domain as usize].head {
            return false;
        }
        let (name, label) = (self.roster.company_stems.get(company), self.roster.domain_stems.get(domain));
        let (short, long) = if name.len() < label.len() { (name, label) } else { (label, name) };
        short.len() >= 4 && long.starts_with(short) && (short.len() >= 7 || short.len() * 2 >= long.len())
    }

    /// Whether a domain is a company's name mistyped, or its beginning.
    fn is_nearly_stem(&self, company: u32, domain: u32) -> bool {
        let (name, label) =
            (self.roster.company_facts[company as usize].sketch, self.roster.domain_facts[domain as usize].sketch);
        if length(label) < 5 || !may_begin_within(2, name, label) {
            return false;
        }
        let (left, right) = (self.roster.company_stems.get(company), self.roster.domain_stems.get(domain));
        near(left.get(..right.len()).unwrap_or(left), right).is_some()
    }

    fn mail(&self, a: &Record, b: &Record, out: &mut Comparison) {
        if a.email == 0 || b.email == 0 {
            return;
        }
        let names_agree = |level| !matches!(level, 0 | name::OTHER | name::OTHER_INITIAL | name::NOT_IN_MAILBOX);
        let is_named = names_agree(out.level[FIRST]) && names_agree(out.level[LAST]);
        let (x, y) = (self.roster.local_fact(a.local), self.roster.local_fact(b.local));
        let is_same_local = a.local == b.local || (x.letters == y.letters && !x.has_digits && !y.has_digits);
        let has_digits = x.has_digits && y.has_digits;
        let local = || self.rates.local.of(a.local).max(self.rates.local.of(b.local));
        // A namesake's address is made the same way, and so is that of anybody with the surname and the initial, whatever the
        // given name; a number in it is chance.
        let initial = |form: u32| self.roster.name_facts[form as usize].initial;
        let is_one_initial = a.first == 0 || b.first == 0 || initial(a.first) == initial(b.first);
        let moved = |named: f32| match (names_agree(out.level[FIRST]), names_agree(out.level[LAST])) {
            _ if has_digits => {
                if is_named {
                    -5.0
                } else {
                    local()
                }
            }
            (true, true) => named,
            (false, true) if is_one_initial => named - 0.5,
            (false, true) | (true, false) => local().max(-3.0),
            (false, false) => local(),
        };
        let locals = &self.roster.locals;
        let slipped = || {
            let (one, two) = (locals.get(a.local).as_bytes(), locals.get(b.local).as_bytes());
            may_be_within(1, locals.sketch(a.local), locals.sketch(b.local)) && within_one(one, two) && same_digits(one, two)
        };
        let is_same_domain = a.domain == b.domain;
        let (level, rate) = match (a.is_work, b.is_work) {
            (true, true) if a.email == b.email => (mail::WORK_SAME, self.rates.email.of(a.email)),
            (true, true) if is_same_domain && is_same_local => (mail::WORK_SLIP, -6.0),
            (true, true) if is_same_domain && slipped() => (mail::WORK_SLIP, if is_named { -4.0 } else { -6.0 }),
            (true, true) if is_same_domain && is_named => (mail::WORK_ALIAS, -0.5),
            (true, true) if is_same_domain => (mail::WORK_COLLEAGUE, 0.0),
            (true, true) if is_same_local => (mail::WORK_MOVED, moved(-1.2)),
            (true, true) => (mail::WORK_OTHER, 0.0),
            (false, false) if a.email == b.email => (mail::FREE_SAME, self.rates.email.of(a.email)),
            (false, false) if is_same_local => (mail::FREE_MOVED, moved(-1.5)),
            (false, false) if slipped() => (mail::FREE_SLIP, if is_named { -4.0 } else { (local() + SLIPS_LN).min(-3.0) }),
            (false, false) => (mail::FREE_OTHER, 0.0),
            _ if is_same_local && has_digits => (mail::MIXED_TELLING, moved(-5.0)),
            _ if is_same_local => (mail::MIXED_SAME, moved(-1.4)),
            _ => (mail::MIXED_OTHER, 0.0),
        };
        (out.level[MAIL], out.rate[MAIL]) = (level, rate.max(MIXED_FLOOR));
    }

    fn phone(&self, a: &Record, b: &Record, org_count: f32, is_same_org: bool, out: &mut Comparison) {
        if a.phone == 0 || b.phone == 0 {
            return;
        }
        let shared = |x: u32| x != 0 && (x == b.phone || x == b.mobile);
        let phone = if shared(a.phone) {
            a.phone
        } else if shared(a.mobile) {
            a.mobile
        } else {
            0
        };
        if phone != 0 {
            let rate = self.rates.phone.of(phone);
            // Within one organisation a number is as telling as few of its records have it.
            let others = self.counts.phone.count(phone).saturating_sub(2) as f32 + 0.5;
            let given_org = (others / (org_count - 1.0).max(others + 1.0)).ln();
            (out.level[PHONE], out.rate[PHONE]) = (plain::SAME, if is_same_org { rate.max(given_org) } else { rate });
            return;
        }
        let phones = &self.roster.phones;
        let is_slip = may_be_within(1, phones.sketch(a.phone), phones.sketch(b.phone))
            && within_one(phones.get(a.phone).as_bytes(), phones.get(b.phone).as_bytes());
        (out.level[PHONE], out.rate[PHONE]) =
            if is_slip { (plain::SLIP, if is_same_org { -4.0 } else { self.counts.phone_slip }) } else { (plain::OTHER, 0.0) };
    }

    fn city(&self, a: &Record, b: &Record, is_same_org: bool, out: &mut Comparison) {
        if a.city != 0 && b.city != 0 {
            let is_same = a.city == b.city;
            (out.level[CITY], out.rate[CITY]) = match (is_same_org, is_same) {
                (true, true) => (city::SAME_ORG_SAME, CITY_OF_ORG.ln()),
                (true, false) => (city::SAME_ORG_OTHER, (1.0 - CITY_OF_ORG).ln()),
                (false, true) => (city::SAME, self.rates.city[a.city as usize]),
                (false, false) if self.is_slip_of_city(a.city, b.city) => (city::SAME, self.rates.city[a.city as usize]),
                (false, false) => (city::OTHER, 0.0),
            };
        }
        if a.country != 0 && b.country != 0 {
            if a.country != b.country {
                out.level[COUNTRY] = plain::OTHER;
            } else if !is_same_org && out.level[CITY] == 0 {
                (out.level[COUNTRY], out.rate[COUNTRY]) = (plain::SAME, self.rates.country[a.country as usize]);
            }
        }
    }

    fn is_slip_of_city(&self, x: u32, y: u32) -> bool {
        let cities = &self.roster.cities;
        if !may_be_within(1, cities.sketch(x), cities.sketch(y)) {
            return false;
        }
        let (left, right) = (cities.get(x), cities.get(y));
        left.len() >= 5 && within_one(left.as_bytes(), right.as_bytes())
    }

    fn title(&self, a: &Record, b: &Record, out: &mut Comparison) {
        if a.title == 0 || b.title == 0 {
            return;
        }
        (out.level[TITLE], out.rate[TITLE]) = if a.title == b.title {
            (plain::SAME, self.rates.title[a.title as usize])
        } else {
            let bits = |title: u32| self.roster.title_words[title as usize];
            let words = |title: u32| told_words(self.roster.titles.get(title));
            let may_share = bits(a.title) & bits(b.title) != 0;
            if may_share && words(a.title).any(|word| words(b.title).any(|other| other == word)) {
                (plain::ALIKE, -1.3)
            } else {
                (plain::OTHER, 0.0)
            }
        };
    }

    fn plain(&self, one: u32, two: u32, is_same_org: bool, out: &mut Comparison) {
        let (a, b) = (&self.roster.plain[one as usize], &self.roster.plain[two as usize]);
        for field in 0..PLAIN.len() {
            let (x, y) = (a[field], b[field]);
            // Colleagues share the postal address of their firm: it says no more than the firm does.
            let is_explained = is_same_org && field >= POSTAL;
            if x == 0 || y == 0 || is_explained {
                continue;
            }
            let rates = &self.rates.plain[field];
            let rarer = rates[x as usize].min(rates[y as usize]);
            let pool = &self.roster.plains[field];
            let (level, rate) = if x == y {
                (plain::SAME, rates[x as usize])
            } else {
                let (left, right) = (pool.get(x), pool.get(y));
                if within_one(left.as_bytes(), right.as_bytes()) {
                    (plain::SLIP, (rarer + SLIPS_LN).min(-1.0))
                } else if within_two(left.as_bytes(), right.as_bytes()) || shares_word(left, right) {
                    (plain::ALIKE, (rarer + ALIKES_LN).min(-0.5))
                } else {
                    (plain::OTHER, 0.0)
                }
            };
            // Who shares the street by chance often shares the house: one household, one block of flats.
            let is_house = field == HOUSE && matches!(out.level[PLAINS + STREET], plain::SAME | plain::SLIP);
            let is_one_city = out.level[CITY] == city::SAME;
            let is_one_place = is_one_city || out.level[PLAINS + POSTCODE] == plain::SAME;
            let rate = match field {
                _ if is_house => rate.max(HOUSE_OF_STREET),
                // City, postal code and region are one place told three times: each counts for what it adds to those before it.
                POSTCODE if is_one_city && level == plain::SAME => rate.max(self.postcode_of_city(x, one, two)),
                REGION if is_one_place && level == plain::OTHER => (1.0 - REGION_OF_PLACE).ln(),
                REGION if is_one_place => rate.max(REGION_OF_PLACE.ln()),
                _ => rate,
            };
            (out.level[PLAINS + field], out.rate[PLAINS + field]) = (level, rate);
        }
    }
}

impl Comparer<'_> {
    /// The chance that strangers of the cities of two records share this postal code.
    fn postcode_of_city(&self, postcode: u32, one: u32, two: u32) -> f32 {
        let of_city = |row: u32| self.counts.city.of[self.roster.records[row as usize].city as usize];
        let others = |count: u32| count.saturating_sub(2) as f32 + 0.5;
        let (have, live) = (others(self.counts.plain[POSTCODE].of[postcode as usize]), others(of_city(one).max(of_city(two))));
        (have / live.max(have)).ln()
    }
}

fn may_be_one_name(one: u32, two: u32) -> bool {
    may_be_within(room(one, two), one, two)
}

fn shares_word(left: &str, right: &str) -> bool {
    left.contains(' ') && left.split(' ').any(|word| word.len() > 4 && right.split(' ').any(|other| other == word))
}

/// Whether two different names may be one name mistyped, and how badly.
fn near(left: &str, right: &str) -> Option<u8> {
    let (one, two) = (left.as_bytes(), right.as_bytes());
    let (shorter, longer) = (one.len().min(two.len()), one.len().max(two.len()));
    if shorter < 3 || longer - shorter > 2 {
        return None;
    }
    if longer - shorter <= 1 && within_one(one, two) {
        return same_digits(one, two).then_some(name::SLIP);
    }
    (shorter >= 5 && within_two(one, two) && same_digits(one, two)).then_some(name::ALIKE)
}
