//! How common every value is: the chance that a record of somebody else has it too.
//!
//! A value that one person has in all her records is rare however many they are, so identifiers (addresses, phones) count the
//! different surnames that use them, and everything leaves the compared pair itself out.

#![expect(clippy::indexing_slicing, reason = "tables are as long as the pools that number their rows")]
#![expect(clippy::cast_possible_truncation, reason = "chances need no more than the precision of an f32")]

use super::roster::{PLAIN, Record, Roster};

/// Occurrences of the forms of one pool.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted {
    pub(super) of: Vec<u32>,
    pub(super) total: u32,
}

impl Counted {
    fn new(forms: usize) -> Self {
        Self { of: vec![0; forms], total: 0 }
    }

    fn add(&mut self, form: u32) {
        if form != 0 {
            self.of[form as usize] += 1;
            self.total += 1;
        }
    }

    /// The natural logarithm of the chance that a further record has this form, the two at hand left out.
    fn rate(&self, form: usize) -> f32 {
        let others = f64::from(self.of[form].saturating_sub(2)) + UNSEEN;
        (others / f64::from(self.total.max(1))).min(1.0).ln() as f32
    }

    fn rates(&self) -> Vec<f32> {
        (0..self.of.len()).map(|form| self.rate(form)).collect()
    }
}

/// What a value that nobody else has still counts for: names are seldom unique.
const UNSEEN: f64 = 0.5;
/// The same for what is given to one person only.
const UNSEEN_IDENTIFIER: f64 = 0.02;

/// Counts over all records; what a model freezes.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) records: u32,
    pub(super) first: Counted,
    pub(super) root: Counted,
    pub(super) initial: Counted,
    pub(super) last: Counted,
    pub(super) email: Counted,
    pub(super) email_names: Vec<u32>,
    pub(super) local: Counted,
    pub(super) domain: Counted,
    pub(super) company: Counted,
    pub(super) phone: Counted,
    pub(super) phone_names: Vec<u32>,
    pub(super) city: Counted,
    pub(super) title: Counted,
    pub(super) country: Counted,
    pub(super) plain: [Counted; PLAIN.len()],
}

/// Initials are counted by their scalar value within this many buckets.
pub(super) const INITIALS: usize = 1024;

pub(super) fn initial_bucket(initial: u32) -> u32 {
    initial % INITIALS as u32
}

impl Counts {
    pub(super) fn of(roster: &Roster) -> Self {
        let mut counts = Self {
            records: roster.len() as u32,
            first: Counted::new(roster.names.len()),
            root: Counted::new(roster.names.len()),
            initial: Counted::new(INITIALS),
            last: Counted::new(roster.names.len()),
            email: Counted::new(roster.emails.len()),
            local: Counted::new(roster.locals.len()),
            domain: Counted::new(roster.domains.len()),
            company: Counted::new(roster.companies.len()),
            phone: Counted::new(roster.phones.len()),
            city: Counted::new(roster.cities.len()),
            title: Counted::new(roster.titles.len()),
            country: Counted::new(roster.countries.len()),
            plain: std::array::from_fn(|at| Counted::new(roster.plains[at].len())),
            ..Self::default()
        };
        for record in &roster.records {
            counts.add(roster, record);
        }
        for plain in &roster.plain {
            plain.iter().zip(&mut counts.plain).for_each(|(form, counted)| counted.add(*form));
        }
        counts.email_names = counts.surnames(roster, roster.emails.len(), |record| [record.email, 0]);
        counts.phone_names = counts.surnames(roster, roster.phones.len(), |record| [record.phone, record.mobile]);
        counts
    }

    fn add(&mut self, roster: &Roster, record: &Record) {
        self.first.add(record.first);
        if record.first != 0 {
            let name = roster.name_facts[record.first as usize];
            self.root.add(name.root);
            self.initial.add(initial_bucket(name.initial));
        }
        self.last.add(record.last);
        self.email.add(record.email);
        self.local.add(record.local);
        self.domain.add(record.domain);
        self.domain.add(record.web);
        self.company.add(record.company);
        self.phone.add(record.phone);
        self.phone.add(record.mobile);
        self.city.add(record.city);
        self.title.add(record.title);
        self.country.add(record.country);
    }

    /// How many different surnames use each value. One that stands in a single record of all may be a slip and counts for none.
    fn surnames(&self, roster: &Roster, forms: usize, values: impl Fn(&Record) -> [u32; 2]) -> Vec<u32> {
        let mut pairs: Vec<(u32, u32)> = Vec::with_capacity(roster.len());
        for record in &roster.records {
            let is_said = record.last != 0 && self.last.of[record.last as usize] > 1;
            pairs.extend(values(record).into_iter().filter(|value| *value != 0 && is_said).map(|value| (value, record.last)));
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut names = vec![0; forms];
        pairs.iter().for_each(|(value, _)| names[*value as usize] += 1);
        names
    }
}

/// The logarithms of those chances, by the number of the form.
#[derive(Debug, Default)]
pub(super) struct Rates {
    pub(super) first: Vec<f32>,
    pub(super) root: Vec<f32>,
    pub(super) initial: Vec<f32>,
    pub(super) last: Vec<f32>,
    pub(super) email: Vec<f32>,
    pub(super) local: Vec<f32>,
    pub(super) domain: Vec<f32>,
    pub(super) company: Vec<f32>,
    pub(super) phone: Vec<f32>,
    pub(super) city: Vec<f32>,
    pub(super) title: Vec<f32>,
    pub(super) country: Vec<f32>,
    pub(super) plain: [Vec<f32>; PLAIN.len()],
}

impl Rates {
    pub(super) fn of(counts: &Counts) -> Self {
        Self {
            first: counts.first.rates(),
            root: counts.root.rates(),
            initial: counts.initial.rates(),
            last: counts.last.rates(),
            email: identifiers(&counts.email, &counts.email_names),
            local: counts.local.rates(),
            domain: counts.domain.rates(),
            company: counts.company.rates(),
            phone: identifiers(&counts.phone, &counts.phone_names),
            city: counts.city.rates(),
            title: counts.title.rates(),
            country: counts.country.rates(),
            plain: std::array::from_fn(|at| counts.plain[at].rates()),
        }
    }
}

fn identifiers(counted: &Counted, names: &[u32]) -> Vec<f32> {
    let total = f64::from(counted.total.max(1));
    let rate = |(count, names): (&u32, &u32)| {
        let (count, names) = (f64::from(*count), f64::from(*names));
        let strangers = if names > 1.0 { count * (names - 1.0) / names } else { 0.0 };
        ((strangers + UNSEEN_IDENTIFIER) / total).min(1.0).ln() as f32
    };
    counted.of.iter().zip(names).map(rate).collect()
}
