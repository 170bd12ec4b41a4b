//! How common every value is: the chance that a record of somebody else has it too.
//!
//! A value that one person has in all her records is rare however many they are, so identifiers (addresses, phones) count the
//! different surnames that use them, and everything leaves the compared pair itself out.

#![expect(clippy::indexing_slicing, reason = "tables are as long as the pools that number their rows")]
#![expect(clippy::cast_possible_truncation, reason = "chances need no more than the precision of an f32")]

use hashbrown::HashMap;
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
}

/// The natural logarithm of the chance that a further record of `total` has a form of so many, the two at hand left out, where in general
/// one in `usual` has any given form.
fn rate(total: u32, count: u32, usual: f64) -> f32 {
    let others = f64::from(count.saturating_sub(2)) + UNSEEN + ELSEWHERE / usual;
    (others / (f64::from(total) + ELSEWHERE)).min(1.0).ln() as f32
}

/// Occurrences of the forms of a pool of which most are one person's: of those alone that are told from one that nobody else has.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared {
    /// Records and different surnames.
    of: HashMap<u32, (u32, u32)>,
    total: u32,
    /// How many forms were looked at.
    forms: usize,
}

impl Shared {
    fn of(counted: &Counted, names: &[u32]) -> Self {
        let name = |form: u32| names.get(form as usize).copied().unwrap_or_default();
        let each = (0_u32..).zip(&counted.of).map(|(form, count)| (form, (*count, name(form))));
        let of = each.filter(|(_, (count, names))| is_telling(*count, *names)).collect();
        Self { of, total: counted.total, forms: counted.of.len() }
    }

    /// In how many records a form is; 0 where they are too few to tell.
    pub(super) fn count(&self, form: u32) -> u32 {
        self.of.get(&form).map_or(0, |(count, _)| *count)
    }
}

/// Whether a value in so many records with so many surnames is told from one that nobody else has: two records are the pair at hand.
fn is_telling(count: u32, names: u32) -> bool {
    count > 2 || names > 1
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
    pub(super) email: Shared,
    pub(super) local: Shared,
    pub(super) domain: Counted,
    pub(super) company: Counted,
    pub(super) phone: Shared,
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
            domain: Counted::new(roster.domains.len()),
            company: Counted::new(roster.companies.len()),
            city: Counted::new(roster.cities.len()),
            title: Counted::new(roster.titles.len()),
            country: Counted::new(roster.countries.len()),
            plain: std::array::from_fn(|at| Counted::new(roster.plains[at].len())),
            ..Self::default()
        };
        let (mut email, mut local) = (Counted::new(roster.emails.len()), Counted::new(roster.locals.len()));
        let mut phone = Counted::new(roster.phones.len());
        for record in &roster.records {
            counts.add(roster, record);
            email.add(record.email);
            local.add(record.local);
            phone.add(record.phone);
            phone.add(record.mobile);
        }
        for plain in &roster.plain {
            plain.iter().zip(&mut counts.plain).for_each(|(form, counted)| counted.add(*form));
        }
        counts.email = Shared::of(&email, &counts.surnames(roster, roster.emails.len(), |record| [record.email, 0]));
        counts.local = Shared::of(&local, &[]);
        counts.phone_slip = phone_slip(&roster.phones);
        let names = counts.surnames(roster, roster.phones.len(), |record| [record.phone, record.mobile]);
        counts.phone = Shared::of(&phone, &names);
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
        self.domain.add(record.domain);
        self.domain.add(record.web);
        self.company.add(record.company);
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

impl Frozen {
    fn new(total: u32, forms: impl Iterator<Item = (u32, (u32, u32))>, hash: impl Fn(u32) -> u64) -> Self {
        let told = forms.filter(|(_, (count, names))| is_telling(*count, *names));
        let mut of: Vec<(u64, u32, u32)> = told.map(|(form, (count, names))| (hash(form), count, names)).collect();
        of.sort_unstable();
        Self { total, of }
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

/// A table of counts.
enum Table<E, T> {
    Each(E),
    Told(T),
}

/// The tables of counts with the pools of their forms, in the order in which they are frozen and stored. Initials have no pool.
macro_rules! tables {
    ($counts:expr, $roster:expr, $each:ident) => {{
        use Table::{Each, Told};
        let Counts { first, root, initial, last, email, local, domain, company, phone, city, title, country, plain, .. } =
            $counts;
        let mut tables = vec![
            (Each(first), Some(&$roster.names)),
            (Each(root), Some(&$roster.names)),
            (Each(initial), None),
            (Each(last), Some(&$roster.names)),
            (Told(email), Some(&$roster.emails)),
            (Told(local), Some(&$roster.locals)),
            (Each(domain), Some(&$roster.domains)),
            (Each(company), Some(&$roster.companies)),
            (Told(phone), Some(&$roster.phones)),
            (Each(city), Some(&$roster.cities)),
            (Each(title), Some(&$roster.titles)),
            (Each(country), Some(&$roster.countries)),
        ];
        tables.extend(plain.$each().zip(&$roster.plains).map(|(counted, pool)| (Each(counted), Some(pool))));
        tables
    }};
}

impl Counts {
    pub(super) fn frozen(&self, roster: &Roster) -> Vec<Frozen> {
        let freeze = |(table, pool): (Table<&Counted, &Shared>, Option<&Pool>)| {
            let hash = |form: u32| pool.map_or(u64::from(form), |pool| xxh3_64(pool.get(form).as_bytes()));
            match table {
                Table::Each(Counted { of, total }) => Frozen::new(*total, (0..).zip(of.iter().map(|count| (*count, 0))), hash),
                Table::Told(Shared { of, total, .. }) => Frozen::new(*total, of.iter().map(|(form, told)| (*form, *told)), hash),
            }
        };
        tables!(self, roster, iter).into_iter().map(freeze).collect()
    }

    /// Adds the counts of forms that came to the roster since; for a new roster, of all its forms.
    pub(super) fn thaw(&mut self, model: &Model, roster: &Roster) {
        self.phone_slip = model.phone_slip;
        for ((table, pool), frozen) in tables!(self, roster, iter_mut).into_iter().zip(&model.counts) {
            let forms = pool.map_or(INITIALS, Pool::len);
            let hash = |form: usize| pool.map_or(form as u64, |pool| xxh3_64(pool.get(form as u32).as_bytes()));
            // Where all that is frozen is known already, nothing of it can be new.
            match table {
                Table::Each(Counted { of, total }) => {
                    *total = frozen.total;
                    let is_known = of.iter().filter(|count| **count > 0).count() == frozen.of.len();
                    of.extend((of.len()..forms).map(|form| if is_known { 0 } else { frozen.get(hash(form)).0 }));
                }
                Table::Told(Shared { of, total, forms: known }) => {
                    *total = frozen.total;
                    let is_known = of.len() == frozen.of.len();
                    let new = if is_known { forms..forms } else { *known..forms };
                    let told = new.map(|form| (form as u32, frozen.get(hash(form))));
                    of.extend(told.filter(|(_, (count, names))| is_telling(*count, *names)));
                    *known = forms;
                }
            }
        }
    }

    pub(super) fn write(&self, roster: &Roster, out: &mut Out<'_>) {
        for (table, _) in tables!(self, roster, iter) {
            match table {
                Table::Each(Counted { of, total }) => {
                    out.u64(u64::from(*total));
                    out.u32s(of.iter().copied());
                }
                Table::Told(Shared { of, total, .. }) => {
                    let mut told: Vec<[u32; 3]> = of.iter().map(|(form, (count, names))| [*form, *count, *names]).collect();
                    told.sort_unstable();
                    out.u64(u64::from(*total));
                    out.rows(told.into_iter());
                }
            }
        }
        out.u64(u64::from(self.phone_slip.to_bits()));
    }

    /// The counts of these bytes, if they are of the forms of this roster.
    pub(super) fn read(bytes: &mut In<'_>, roster: &Roster) -> Option<Self> {
        let mut counts = Self::default();
        for (table, pool) in tables!(&mut counts, roster, iter_mut) {
            let read = u32::try_from(bytes.u64()?).ok()?;
            let forms = pool.map_or(INITIALS, Pool::len);
            match table {
                Table::Each(Counted { of, total }) => {
                    (*total, *of) = (read, bytes.u32s()?);
                    (of.len() == forms).then_some(())?;
                }
                Table::Told(shared) => {
                    let of = bytes.rows(|[form, count, names]| (form, (count, names)))?.into_iter().collect();
                    *shared = Shared { of, total: read, forms };
                }
            }
        }
        counts.phone_slip = f32::from_bits(u32::try_from(bytes.u64()?).ok()?);
        Some(counts)
    }
}

/// The logarithms of those chances, by the number of the form.
#[derive(Debug, Default)]
pub(super) struct Rates {
    pub(super) first: Vec<f32>,
    pub(super) root: Vec<f32>,
    pub(super) initial: Vec<f32>,
    pub(super) last: Vec<f32>,
    pub(super) email: Told,
    pub(super) local: Told,
    pub(super) domain: Vec<f32>,
    pub(super) company: Vec<f32>,
    pub(super) phone: Told,
    pub(super) city: Vec<f32>,
    pub(super) title: Vec<f32>,
    pub(super) country: Vec<f32>,
    pub(super) plain: [Vec<f32>; PLAIN.len()],
}

/// The same for values of which most are one person's.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// That of a value that nobody else has.
    own: f32,
    of: HashMap<u32, f32>,
}

impl Told {
    /// That of a form.
    pub(super) fn of(&self, form: u32) -> f32 {
        self.of.get(&form).copied().unwrap_or(self.own)
    }

    fn new(shared: &Shared, rate: impl Fn(u32, u32) -> f32) -> Self {
        let of = shared.of.iter().map(|(form, (count, names))| (*form, rate(*count, *names))).collect();
        Self { own: rate(0, 0), of }
    }

    /// How likely two who are not kin share what is given to one person.
    fn identifiers(shared: &Shared) -> Self {
        let total = f64::from(shared.total) + ELSEWHERE;
        Self::new(shared, |count, names| {
            let (count, names) = (f64::from(count), f64::from(names));
            let strangers = if names > 1.0 { count * (names - 1.0) / names } else { 0.0 };
            ((strangers + UNSEEN_IDENTIFIER) / total).min(1.0).ln() as f32
        })
    }
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
            let few: Vec<f32> = (0..FEW).map(|count| rate(counted.total, count, usual)).collect();
            let of = |count: &u32| few.get(*count as usize).copied().unwrap_or_else(|| rate(counted.total, *count, usual));
            let known = rates.len();
            rates.extend(counted.of.iter().skip(known).map(of));
        };
        // How many forms a field has in general, each taken for as common as the next. It decides where there are few records.
        plain(&mut self.first, &counts.first, 300.0);
        plain(&mut self.root, &counts.root, 300.0);
        plain(&mut self.initial, &counts.initial, 12.0);
        plain(&mut self.last, &counts.last, 3000.0);
        plain(&mut self.domain, &counts.domain, 2000.0);
        plain(&mut self.company, &counts.company, 2000.0);
        plain(&mut self.city, &counts.city, 200.0);
        plain(&mut self.title, &counts.title, 50.0);
        plain(&mut self.country, &counts.country, 8.0);
        self.local = Told::new(&counts.local, |count, _| rate(counts.local.total, count, 3000.0));
        self.email = Told::identifiers(&counts.email);
        self.phone = Told::identifiers(&counts.phone);
        for ((rates, counted), usual) in self.plain.iter_mut().zip(&counts.plain).zip(USUAL_PLAIN) {
            plain(rates, counted, usual);
        }
    }
}

/// How many dates of birth, personal numbers, streets, house numbers, postal codes and regions there are in general.
const USUAL_PLAIN: [f64; PLAIN.len()] = [10_000.0, 100_000.0, 5_000.0, 100.0, 1_000.0, 20.0];
