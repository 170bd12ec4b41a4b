//! Companies: which account each record belongs to.
//!
//! A registration number of one country decides; then the domain of the address or the website; then the company's name, which
//! follows the domain that most of its records have. A name never joins two numbers of one country. Mail providers and platforms are
//! no account.

#![expect(clippy::indexing_slicing, reason = "tables are as long as the pools that number their rows")]
#![expect(clippy::cast_possible_truncation, reason = "records are fewer than 2^31")]
#![expect(clippy::cast_precision_loss, reason = "counts of records as shares")]

use hashbrown::{HashMap, HashSet};

use super::super::forest::Forest;
use super::roster::{Record, Roster};

/// A company's name follows a domain that at least this share of its records with a domain have.
const DOMINANT: f64 = 0.6;
/// A registration number that stands with more domains than this is a placeholder.
const DOMAINS_PER_NUMBER: usize = 8;

/// For each record the number of its account, the least of the account's records; nothing for one that names no organisation.
#[must_use]
pub fn accounts(roster: &Roster) -> Vec<Option<u32>> {
    let records = &roster.records;
    let numbers = numbers(roster);
    let domain_of_company = dominant_domains(records);
    let places: Vec<Option<Place>> = records.iter().map(|record| Place::of(record, &domain_of_company)).collect();
    let contested = contested(&places, &numbers);
    let mut forest = Forest::new(records.len());
    let mut first_of: HashMap<(u8, u64), u32> = HashMap::new();
    let mut tie = |forest: &mut Forest, key: (u8, u64), row: u32| {
        let first = *first_of.entry(key).or_insert(row);
        forest.union(first, row);
    };
    for (row, (place, number)) in (0_u32..).zip(places.iter().zip(&numbers)) {
        if let Some(number) = number {
            tie(&mut forest, (0, u64::from(number.number) << 32 | u64::from(number.country)), row);
        }
        if let Some(place) = place {
            let follows = !place.is_by_name || number.is_none_or(|number| !contested.contains(&(place.key, number.country)));
            if follows {
                tie(&mut forest, place.key, row);
            }
        }
    }
    let names_one = |row: usize, record: &Record| {
        record.domain != 0
            || record.web != 0
            || record.company != 0
            || roster.registrations.get(row).is_some_and(|number| *number != 0)
    };
    records.iter().enumerate().map(|(row, record)| names_one(row, record).then(|| forest.root(row as u32))).collect()
}

/// A registration number, and the country of its register as far as a record says it.
#[derive(Debug, Clone, Copy)]
struct Number {
    number: u32,
    country: u32,
}

/// Where a record belongs besides its number.
#[derive(Debug, Clone, Copy)]
struct Place {
    key: (u8, u64),
    /// Whether only the company's name says so.
    is_by_name: bool,
}

impl Place {
    fn of(record: &Record, of_company: &HashMap<u32, u32>) -> Option<Self> {
        let own = if record.domain != 0 { record.domain } else { record.web };
        let domain = if own != 0 { own } else { of_company.get(&record.company).copied().unwrap_or(0) };
        let key = match (domain, record.company) {
            (0, 0) => return None,
            // The same name in two countries is two companies unless a domain says otherwise.
            (0, company) => (2, u64::from(company) << 32 | u64::from(record.country)),
            (domain, _) => (1, u64::from(domain)),
        };
        Some(Self { key, is_by_name: own == 0 })
    }
}

/// The number of each record. Who says no country means the one that others say of the number, if it is one alone.
fn numbers(roster: &Roster) -> Vec<Option<Number>> {
    let usable = usable_numbers(roster);
    let mut said: Vec<(u32, u32)> =
        roster.registrations.iter().copied().zip(roster.records.iter().map(|record| record.country)).collect();
    said.sort_unstable();
    said.dedup();
    let mut country_of: HashMap<u32, u32> = HashMap::new();
    for number in said.chunk_by(|one, two| one.0 == two.0) {
        let countries: Vec<u32> = number.iter().map(|(_, country)| *country).filter(|country| *country != 0).collect();
        if let [only] = countries.as_slice() {
            country_of.insert(number[0].0, *only);
        }
    }
    let number = |(row, record): (usize, &Record)| {
        let number = roster.registrations.get(row).copied().filter(|number| *number != 0 && usable[*number as usize])?;
        Some(Number { number, country: country_of.get(&number).copied().unwrap_or(record.country) })
    };
    roster.records.iter().enumerate().map(number).collect()
}

/// The places that have records of several numbers of one country: no name leads a number there.
fn contested(places: &[Option<Place>], numbers: &[Option<Number>]) -> HashSet<((u8, u64), u32)> {
    let both = places.iter().zip(numbers).filter_map(|(place, number)| Some((place.as_ref()?, number.as_ref()?)));
    let mut said: Vec<((u8, u64), u32, u32)> = both.map(|(place, number)| (place.key, number.country, number.number)).collect();
    said.sort_unstable();
    said.dedup();
    let several = said.chunk_by(|one, two| (one.0, one.1) == (two.0, two.1)).filter(|numbers| numbers.len() > 1);
    several.map(|numbers| (numbers[0].0, numbers[0].1)).collect()
}

/// The domain that a company's name stands for.
fn dominant_domains(records: &[Record]) -> HashMap<u32, u32> {
    let mut pairs: Vec<(u32, u32)> = records
        .iter()
        .filter(|record| record.company != 0)
        .map(|record| (record.company, if record.domain != 0 { record.domain } else { record.web }))
        .filter(|(_, domain)| *domain != 0)
        .collect();
    pairs.sort_unstable();
    let mut out = HashMap::new();
    for company in pairs.chunk_by(|one, two| one.0 == two.0) {
        let largest = company.chunk_by(|one, two| one.1 == two.1).max_by_key(|domain| domain.len());
        if let Some(domain) = largest
            && domain.len() as f64 >= DOMINANT * company.len() as f64
        {
            out.insert(company[0].0, domain[0].1);
        }
    }
    out
}

/// Whether each registration number belongs to few enough domains to mean one company.
fn usable_numbers(roster: &Roster) -> Vec<bool> {
    let mut pairs: Vec<(u32, u32)> = roster
        .registrations
        .iter()
        .copied()
        .zip(roster.records.iter().map(|record| record.domain))
        .filter(|(number, _)| *number != 0)
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut usable = vec![true; roster.registration_pool.len()];
    for number in pairs.chunk_by(|one, two| one.0 == two.0) {
        usable[number[0].0 as usize] = number.len() <= DOMAINS_PER_NUMBER;
    }
    usable
}
