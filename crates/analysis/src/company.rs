//! The companies that people work for, as far as the people say.
//!
//! Two people are of one company when they share its domain; whoever names no domain is of the company of that name, if there is one
//! alone. What the company is called and where it sits is what most of its people say.

use std::collections::{BTreeMap, BTreeSet};

use headwater_model::{ids, lists};

/// What a company has, by the name of the prospect's field that says it.
pub const FIELDS: [&str; 8] = ["company_name", "company_domain", "website", "street", "city", "region", "postal_code", "country"];

/// What stands before a company's id.
const ID: &str = "cmp_";

/// What one person says of the company.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Employee {
    /// The person.
    pub prospect_id: String,
    /// What the person's fields say, by [`FIELDS`].
    pub fields: BTreeMap<&'static str, String>,
}

/// A company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    /// Its id, made of its domain; of its name where nobody says a domain.
    pub id: String,
    /// Ids that it had while less was known: by its names alone.
    pub aliases: Vec<String>,
    /// What most of its people say, by [`FIELDS`]; of values said equally often, the first in the alphabet.
    pub fields: BTreeMap<&'static str, String>,
    /// Its people, in the order in which they were given.
    pub people: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Domain(String),
    Name(String),
}

impl Key {
    fn id(&self) -> String {
        match self {
            Self::Domain(domain) => ids::derived(ID, &["domain", domain]),
            Self::Name(name) => ids::derived(ID, &["name", name]),
        }
    }
}

/// The companies of these people, by id. Whoever names neither a company nor a domain of one has none.
#[must_use]
pub fn roll_up(people: &[Employee]) -> Vec<Company> {
    let said: Vec<(Option<String>, Option<String>)> = people.iter().map(|person| (domain(person), name(person))).collect();
    let mut domains_of: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    for (domain, name) in &said {
        if let (Some(domain), Some(name)) = (domain, name) {
            domains_of.entry(name).or_default().insert(domain);
        }
    }
    let only = |name: &String| {
        let domains = domains_of.get(name)?;
        (domains.len() == 1).then(|| domains.first().copied()).flatten()
    };
    let mut companies: BTreeMap<Key, Vec<&Employee>> = BTreeMap::new();
    for (person, said) in people.iter().zip(&said) {
        let key = match said {
            (Some(domain), _) => Key::Domain(domain.clone()),
            (None, Some(name)) => only(name).map_or_else(|| Key::Name(name.clone()), |domain| Key::Domain(domain.clone())),
            (None, None) => continue,
        };
        companies.entry(key).or_default().push(person);
    }
    let aliases = |key: &Key| match key {
        Key::Name(_) => Vec::new(),
        Key::Domain(domain) => {
            let names = domains_of.keys().filter(|name| only(name) == Some(domain));
            names.map(|name| Key::Name((*name).clone()).id()).collect()
        }
    };
    let company = |(key, people): (Key, Vec<&Employee>)| {
        let mut fields: BTreeMap<&'static str, String> = FIELDS
            .iter()
            .filter_map(|field| Some((*field, most(people.iter().filter_map(|person| person.fields.get(field)))?)))
            .collect();
        // The domain it is known by is not that of somebody's private mailbox.
        match &key {
            Key::Domain(domain) => drop(fields.insert("company_domain", domain.clone())),
            Key::Name(_) => drop(fields.remove("company_domain")),
        }
        Company {
            id: key.id(),
            aliases: aliases(&key),
            fields,
            people: people.iter().map(|person| person.prospect_id.clone()).collect(),
        }
    };
    companies.into_iter().map(company).collect()
}

fn domain(person: &Employee) -> Option<String> {
    let domain = person.fields.get("company_domain")?.trim().to_lowercase();
    (!domain.is_empty() && !lists::is_freemail(&domain) && !lists::is_disposable(&domain)).then_some(domain)
}

/// A company's name without what spells it otherwise: case, punctuation, and the words at its end that say what it is in law.
fn name(person: &Employee) -> Option<String> {
    let said = person.fields.get("company_name")?;
    let folded: String = said.to_lowercase().replace(['.', '\''], "");
    let mut words: Vec<&str> =
        folded.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    while words.len() > 1 && words.last().is_some_and(|word| LEGAL.contains(word)) {
        words.pop();
    }
    (!words.is_empty()).then(|| words.join(" "))
}

/// Forms of companies in law. Words such as `group` are not among them: they tell companies of one owner apart.
const LEGAL: [&str; 40] = [
    "inc",
    "incorporated",
    "llc",
    "corporation",
    "corp",
    "company",
    "co",
    "limited",
    "ltd",
    "plc",
    "llp",
    "lp",
    "gmbh",
    "mbh",
    "ag",
    "kg",
    "kgaa",
    "ohg",
    "ug",
    "ek",
    "se",
    "sarl",
    "sas",
    "sasu",
    "sa",
    "sl",
    "slu",
    "srl",
    "spa",
    "bv",
    "nv",
    "vof",
    "ab",
    "as",
    "aps",
    "oy",
    "oyj",
    "kft",
    "pty",
    "lda",
];

/// The value that is said most often.
fn most<'a>(values: impl Iterator<Item = &'a String>) -> Option<String> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for value in values.filter(|value| !value.trim().is_empty()) {
        *counts.entry(value).or_default() += 1;
    }
    let mut best: Option<(&String, usize)> = None;
    for (value, count) in counts {
        if best.is_none_or(|(_, most)| count > most) {
            best = Some((value, count));
        }
    }
    best.map(|(value, _)| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: &str, name: &str, domain: &str, city: &str) -> Employee {
        let fields = [("company_name", name), ("company_domain", domain), ("city", city)];
        let fields = fields.into_iter().filter(|(_, value)| !value.is_empty());
        Employee { prospect_id: id.to_owned(), fields: fields.map(|(field, value)| (field, value.to_owned())).collect() }
    }

    fn people_of(companies: &[Company]) -> Vec<Vec<&str>> {
        let mut all: Vec<Vec<&str>> =
            companies.iter().map(|company| company.people.iter().map(String::as_str).collect()).collect();
        all.sort();
        all
    }

    #[test]
    fn people_of_one_domain_are_of_one_company_however_they_spell_it() {
        let companies = roll_up(&[
            person("a", "Alder GmbH", "alder.example", "Bonn"),
            person("b", "ALDER", "alder.example", "Bonn"),
            person("c", "Alder GmbH", "Alder.example", "Köln"),
        ]);
        assert_eq!(people_of(&companies), [["a", "b", "c"]]);
        assert_eq!(companies[0].fields["company_name"], "Alder GmbH");
        assert_eq!(companies[0].fields["city"], "Bonn");
    }

    #[test]
    fn a_name_alone_joins_the_one_company_of_that_name() {
        let companies = roll_up(&[person("a", "Alder GmbH", "alder.example", ""), person("b", "alder", "", "")]);
        assert_eq!(people_of(&companies), [["a", "b"]]);
    }

    #[test]
    fn a_name_that_two_companies_bear_joins_neither() {
        let companies = roll_up(&[
            person("a", "Alder", "alder.example", ""),
            person("b", "Alder", "alder.test", ""),
            person("c", "Alder", "", ""),
        ]);
        assert_eq!(people_of(&companies), [["a"], ["b"], ["c"]]);
    }

    #[test]
    fn the_domain_of_a_free_mailbox_is_no_company() {
        let companies = roll_up(&[person("a", "", "gmail.com", ""), person("b", "Alder", "gmail.com", "")]);
        assert_eq!(people_of(&companies), [["b"]]);
        assert!(!companies[0].fields.contains_key("company_domain"));
    }

    #[test]
    fn a_company_whose_domain_becomes_known_is_found_by_the_id_of_its_name() {
        let before = roll_up(&[person("a", "Alder GmbH", "", "")]);
        let after = roll_up(&[person("a", "Alder GmbH", "", ""), person("b", "Alder", "alder.example", "")]);
        assert_eq!(after.len(), 1);
        assert!(after[0].aliases.contains(&before[0].id));
    }

    #[test]
    fn the_answer_does_not_hang_on_the_order_of_the_people() {
        let mut people = vec![
            person("a", "Alder", "alder.example", "Bonn"),
            person("b", "Elm", "", "Lyon"),
            person("c", "Alder Ltd", "alder.example", "Aachen"),
        ];
        let ids = |people: &[Employee]| -> Vec<(String, BTreeMap<&'static str, String>)> {
            roll_up(people).into_iter().map(|company| (company.id, company.fields)).collect()
        };
        let one = ids(&people);
        people.reverse();
        assert_eq!(one, ids(&people));
    }
}
