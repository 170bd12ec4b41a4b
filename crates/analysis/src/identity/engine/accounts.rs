//! Companies: which account each record belongs to.
//!
//! A registration number decides; then the domain of the address or the website; then the company's name, which follows the
//! domain that most of its records have. Mail providers and platforms are no account.

#![expect(clippy::indexing_slicing, reason = "tables are as long as the pools that number their rows")]
#![expect(clippy::cast_possible_truncation, reason = "records are fewer than 2^31")]
#![expect(clippy::cast_precision_loss, reason = "counts of records as shares")]

use hashbrown::HashMap;

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
    let domain_of_company = dominant_domains(records);
    let mut forest = Forest::new(records.len());
    let mut first_of: HashMap<(u8, u64), u32> = HashMap::new();
    let mut tie = |forest: &mut Forest, key: (u8, u64), row: u32| {
        let first = *first_of.entry(key).or_insert(row);
        forest.union(first, row);
    };
    let numbers = usable_numbers(roster);
    for (row, record) in (0_u32..).zip(records) {
        let domain = domain_of(record, &domain_of_company);
        let number = roster.registrations.get(row as usize).copied().unwrap_or(0);
        if number != 0 && numbers[number as usize] {
            tie(&mut forest, (0, u64::from(number)), row);
        }
        if domain != 0 {
            tie(&mut forest, (1, u64::from(domain)), row);
        } else if record.company != 0 {
            // The same name in two countries is two companies unless a domain says otherwise.
            tie(&mut forest, (2, u64::from(record.company) << 32 | u64::from(record.country)), row);
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

fn domain_of(record: &Record, of_company: &HashMap<u32, u32>) -> u32 {
    match (record.domain, record.web) {
        (0, 0) => of_company.get(&record.company).copied().unwrap_or(0),
        (0, web) => web,
        (domain, _) => domain,
    }
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
