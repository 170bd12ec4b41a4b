//! How common every value is: the chance that a record of somebody else has it too.
//!
//! A value that one person has in all her records is rare however many they are, so identifiers (addresses, phones) count the
//! different surnames that use them, and everything leaves the compared pair itself out.

#![expect(clippy::indexing_slicing, reason = "tables are as long as the pools that number their rows")]
#![expect(clippy::cast_possible_truncation, reason = "chances need no more than the precision of an f32")]

use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{In, Out};
use super::edit::{may_be_within, within_one};
use super::model::Model;
use super::pool::Pool;
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

    /// The natural logarithm of the chance that a further record has a form of so many, the two at hand left out, where in general one in
    /// `usual` has any given form.
    fn rate(&self, count: u32, usual: f64) -> f32 {
        let others = f64::from(count.saturating_sub(2)) + UNSEEN + ELSEWHERE / usual;
        (others / (f64::from(self.total) + ELSEWHERE)).min(1.0).ln() as f32
    }
}

/// Most values are in no more records than this.
const FEW: u32 = 64;
/// What a value that nobody else has still counts for: names are seldom unique.
const UNSEEN: f64 = 0.5;
/// The same for what is given to one person only.
const UNSEEN_IDENTIFIER: f64 = 0.02;
/// How many records of leads in general stand behind those at hand: a handful of leads does not make every name common.
const ELSEWHERE: f64 = 50.0;

/// Counts over all records; what a model freezes.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
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
    /// The natural logarithm of the chance that the numbers of two strangers are one stroke apart.
    pub(super) phone_slip: f32,
}

/// The chance of a slip among numbers that fill their range evenly, as a logarithm: no roster's is taken to be less.
const PHONE_SLIP: f32 = -11.0;
/// About so many pairs of numbers are looked at for those that are one stroke apart.
const PHONE_PAIRS: usize = 400_000;

/// Numbers come in blocks: of one firm, one exchange, one country. The denser they lie, the less a stroke between two says. Counted
/// over pairs of different numbers that the order of their hashes picks, with one pair of the even range as if it had been seen.
fn phone_slip(phones: &Pool) -> f32 {
    let mut order: Vec<(u64, u32)> = (1..phones.len() as u32).map(|form| (xxh3_64(phones.get(form).as_bytes()), form)).collect();
    order.sort_unstable();
    let steps = (PHONE_PAIRS / order.len().max(1)).clamp(1, order.len().saturating_sub(1).max(1));
    let (mut pairs, mut slips) = (0_u32, 0_u32);
    for step in 1..=steps {
        for ((_, one), (_, two)) in order.iter().zip(order.iter().skip(step)).take(PHONE_PAIRS) {
            pairs += 1;
            let may_be = may_be_within(1, phones.sketch(*one), phones.sketch(*two));
            slips += u32::from(may_be && within_one(phones.get(*one).as_bytes(), phones.get(*two).as_bytes()));
        }
    }
    let seen = f64::from(PHONE_SLIP.exp()).recip();
    (((f64::from(slips) + 1.0) / (f64::from(pairs) + seen)).ln() as f32).max(PHONE_SLIP)
}

/// Initials are counted by their scalar value within this many buckets.
pub(super) const INITIALS: usize = 1024;

pub(super) fn initial_bucket(initial: u32) -> u32 {
    initial % INITIALS as u32
}

impl Counts {
    pub(super) fn of(roster: &Roster) -> Self {
        let mut counts = Self {
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
        counts.phone_slip = phone_slip(&roster.phones);
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

/// Counts by the hash of the text, for use with other rosters: those that matter, in the order of the hashes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Frozen {
    pub(super) total: u32,
    /// Hash, records, different surnames.
    pub(super) of: Vec<(u64, u32, u32)>,
}

/// A value in fewer records than this counts as one that nobody else has: two are the pair at hand.
const TELLING: u32 = 3;

impl Frozen {
    fn of_forms(counted: &Counted, names: &[u32], hash: impl Fn(u32) -> u64) -> Self {
        let mut of: Vec<(u64, u32, u32)> = (0_u32..)
            .zip(&counted.of)
            .map(|(form, count)| (form, *count, names.get(form as usize).copied().unwrap_or(0)))
            .filter(|(_, count, names)| *count >= TELLING || *names > 1)
            .map(|(form, count, names)| (hash(form), count, names))
            .collect();
        of.sort_unstable();
        Self { total: counted.total, of }
    }

    fn get(&self, hash: u64) -> (u32, u32) {
        match self.of.binary_search_by_key(&hash, |(known, ..)| *known) {
            Ok(at) => (self.of[at].1, self.of[at].2),
            Err(_) => (0, 0),
        }
    }
}

/// How many tables of counts there are.
pub(super) const TABLES: usize = 12 + PLAIN.len();

impl Counts {
    /// The tables with the pools of their forms, in the order in which they are frozen. Initials have no pool.
    fn tables<'a>(&'a self, roster: &'a Roster) -> Vec<(&'a Counted, Option<&'a Pool>, &'a [u32])> {
        let mut tables: Vec<(&Counted, Option<&Pool>, &[u32])> = vec![
            (&self.first, Some(&roster.names), &[]),
            (&self.root, Some(&roster.names), &[]),
            (&self.initial, None, &[]),
            (&self.last, Some(&roster.names), &[]),
            (&self.email, Some(&roster.emails), &self.email_names),
            (&self.local, Some(&roster.locals), &[]),
            (&self.domain, Some(&roster.domains), &[]),
            (&self.company, Some(&roster.companies), &[]),
            (&self.phone, Some(&roster.phones), &self.phone_names),
            (&self.city, Some(&roster.cities), &[]),
            (&self.title, Some(&roster.titles), &[]),
            (&self.country, Some(&roster.countries), &[]),
        ];
        for (counted, pool) in self.plain.iter().zip(&roster.plains) {
            tables.push((counted, Some(pool), &[]));
        }
        tables
    }

    pub(super) fn frozen(&self, roster: &Roster) -> Vec<Frozen> {
        let freeze = |(counted, pool, names): (&Counted, Option<&Pool>, &[u32])| {
            Frozen::of_forms(counted, names, |form| pool.map_or(u64::from(form), |pool| xxh3_64(pool.get(form).as_bytes())))
        };
        self.tables(roster).into_iter().map(freeze).collect()
    }

    /// Adds the counts of forms that came to the roster since; for a new roster, of all its forms.
    pub(super) fn thaw(&mut self, model: &Model, roster: &Roster) {
        self.phone_slip = model.phone_slip;
        let mut frozen = model.counts.iter();
        let mut extend = |counted: &mut Counted, names: Option<&mut Vec<u32>>, pool: Option<&Pool>| {
            let Some(frozen) = frozen.next() else { return };
            counted.total = frozen.total;
            let (known, forms) = (counted.of.len(), pool.map_or(INITIALS, Pool::len));
            // Where all that is frozen is known already, nothing of it can be new.
            let is_known = counted.of.iter().filter(|count| **count > 0).count() == frozen.of.len();
            let hash = |form: usize| pool.map_or(form as u64, |pool| xxh3_64(pool.get(form as u32).as_bytes()));
            let of_form = |form: usize| if is_known { (0, 0) } else { frozen.get(hash(form)) };
            let found: Vec<(u32, u32)> = (known..forms).map(of_form).collect();
            counted.of.extend(found.iter().map(|(count, _)| *count));
            if let Some(names) = names {
                names.extend(found.iter().map(|(_, names)| *names));
            }
        };
        extend(&mut self.first, None, Some(&roster.names));
        extend(&mut self.root, None, Some(&roster.names));
        extend(&mut self.initial, None, None);
        extend(&mut self.last, None, Some(&roster.names));
        extend(&mut self.email, Some(&mut self.email_names), Some(&roster.emails));
        extend(&mut self.local, None, Some(&roster.locals));
        extend(&mut self.domain, None, Some(&roster.domains));
        extend(&mut self.company, None, Some(&roster.companies));
        extend(&mut self.phone, Some(&mut self.phone_names), Some(&roster.phones));
        extend(&mut self.city, None, Some(&roster.cities));
        extend(&mut self.title, None, Some(&roster.titles));
        extend(&mut self.country, None, Some(&roster.countries));
        for (counted, pool) in self.plain.iter_mut().zip(&roster.plains) {
            extend(counted, None, Some(pool));
        }
    }
}

impl Counts {
    /// Every table, in a fixed order.
    fn all(&self) -> Vec<&Counted> {
        let Self { first, root, initial, last, local, domain, company, city, title, country, email, phone, .. } = self;
        let named = [first, root, initial, last, local, domain, company, city, title, country, email, phone];
        named.into_iter().chain(&self.plain).collect()
    }

    pub(super) fn write(&self, out: &mut Out<'_>) {
        for Counted { of, total } in self.all() {
            out.u64(u64::from(*total));
            out.u32s(of.iter().copied());
        }
        out.u32s(self.email_names.iter().copied());
        out.u32s(self.phone_names.iter().copied());
        out.u64(u64::from(self.phone_slip.to_bits()));
    }

    /// The counts of these bytes, if they are of the forms of this roster.
    pub(super) fn read(bytes: &mut In<'_>, roster: &Roster) -> Option<Self> {
        let mut counts = Self::default();
        let Self { first, root, initial, last, local, domain, company, city, title, country, email, phone, plain, .. } =
            &mut counts;
        let named = [first, root, initial, last, local, domain, company, city, title, country, email, phone];
        for counted in named.into_iter().chain(plain) {
            let total = u32::try_from(bytes.u64()?).ok()?;
            *counted = Counted { of: bytes.u32s()?, total };
        }
        counts.email_names = bytes.u32s()?;
        counts.phone_names = bytes.u32s()?;
        counts.phone_slip = f32::from_bits(u32::try_from(bytes.u64()?).ok()?);
        let is_whole = counts.tables(roster).iter().all(|(counted, pool, names)| {
            let forms = pool.map_or(INITIALS, Pool::len);
            counted.of.len() == forms && (names.is_empty() || names.len() == forms)
        });
        is_whole.then_some(counts)
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
        let mut rates = Self::default();
        rates.extend(counts);
        rates
    }

    /// Adds the rates of forms that were counted since.
    pub(super) fn extend(&mut self, counts: &Counts) {
        let plain = |rates: &mut Vec<f32>, counted: &Counted, usual: f64| {
            let few: Vec<f32> = (0..FEW).map(|count| counted.rate(count, usual)).collect();
            let rate = |count: &u32| few.get(*count as usize).copied().unwrap_or_else(|| counted.rate(*count, usual));
            let known = rates.len();
            rates.extend(counted.of.iter().skip(known).map(rate));
        };
        // How many forms a field has in general, each taken for as common as the next. It decides where there are few records.
        plain(&mut self.first, &counts.first, 300.0);
        plain(&mut self.root, &counts.root, 300.0);
        plain(&mut self.initial, &counts.initial, 12.0);
        plain(&mut self.last, &counts.last, 3000.0);
        plain(&mut self.local, &counts.local, 3000.0);
        plain(&mut self.domain, &counts.domain, 2000.0);
        plain(&mut self.company, &counts.company, 2000.0);
        plain(&mut self.city, &counts.city, 200.0);
        plain(&mut self.title, &counts.title, 50.0);
        plain(&mut self.country, &counts.country, 8.0);
        identifiers(&mut self.email, &counts.email, &counts.email_names);
        identifiers(&mut self.phone, &counts.phone, &counts.phone_names);
        for ((rates, counted), usual) in self.plain.iter_mut().zip(&counts.plain).zip(USUAL_PLAIN) {
            plain(rates, counted, usual);
        }
    }
}

/// How many dates of birth, personal numbers, streets, house numbers, postal codes and regions there are in general.
const USUAL_PLAIN: [f64; PLAIN.len()] = [10_000.0, 100_000.0, 5_000.0, 100.0, 1_000.0, 20.0];

fn identifiers(rates: &mut Vec<f32>, counted: &Counted, names: &[u32]) {
    let total = f64::from(counted.total) + ELSEWHERE;
    let rate = |count: u32, names: u32| {
        let (count, names) = (f64::from(count), f64::from(names));
        let strangers = if names > 1.0 { count * (names - 1.0) / names } else { 0.0 };
        ((strangers + UNSEEN_IDENTIFIER) / total).min(1.0).ln() as f32
    };
    // Most belong to one person.
    let own = rate(1, 1);
    let known = rates.len();
    let of = counted.of.iter().zip(names).skip(known);
    rates.extend(of.map(|(count, names)| if *names <= 1 { own } else { rate(*count, *names) }));
}
