//! The companies that people work for, as far as the people say.
//!
//! Two people are of one company when they share its registration number in one country, or its domain. A number of one of the courts
//! of a country counts in the city that stands with it, and says nothing without one. Whoever names neither is of the company of that
//! name, if there is one alone. A name never joins two numbers. What the company is called and where it sits is what most of its people
//! say.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use headwater_model::{company_number, ids, lists};

use crate::identity::Forest;

/// What a company has, by the name of the prospect's field that says it.
pub const FIELDS: [&str; 9] =
    ["company_name", "company_domain", "company_number", "website", "street", "city", "region", "postal_code", "country"];

/// What stands before a company's id.
const ID: &str = "cmp_";
/// A number that stands with more domains than this only fills a form.
const DOMAINS_PER_NUMBER: usize = 8;

/// What some people say alike of their company.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Voice {
    /// What their fields say, by [`FIELDS`].
    pub fields: BTreeMap<&'static str, String>,
    /// How many people say so.
    pub people: usize,
}

/// A company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    /// Its id, made of its registration number; of its domain where nobody says a number, and of its name where nobody says either.
    pub id: String,
    /// Ids that it had while less was known: by another number, its domains, its names.
    pub aliases: Vec<String>,
    /// What most of its people say, by [`FIELDS`]; of values said equally often, the first in the alphabet.
    pub fields: BTreeMap<&'static str, String>,
    /// Whose company it is: the places of their voices among those that were given, in that order.
    pub voices: Vec<usize>,
}

/// What a company is known by, the strongest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    /// A registration number, and the country of its register as far as somebody says it; of a court's number the city too.
    Number(String, Option<String>),
    Domain(String),
    Name(String),
}

impl Key {
    /// What stands in the field that says it.
    fn text(&self) -> &String {
        let (Self::Number(text, _) | Self::Domain(text) | Self::Name(text)) = self;
        text
    }

    fn id(&self) -> String {
        match self {
            Self::Number(number, country) => ids::derived(ID, &["number", number, country.as_deref().unwrap_or_default()]),
            Self::Domain(domain) => ids::derived(ID, &["domain", domain]),
            Self::Name(name) => ids::derived(ID, &["name", name]),
        }
    }
}

/// What one person says that tells companies from each other; each is a key of that kind.
#[derive(Debug)]
struct Said {
    number: Option<Key>,
    domain: Option<Key>,
    name: Option<Key>,
}

impl Said {
    /// The strongest that the person says besides a name.
    fn proof(&self) -> Option<&Key> {
        self.number.as_ref().or(self.domain.as_ref())
    }
}

/// The companies of these people, by what they are known by. Whoever names neither a company nor a number or domain of one has none.
#[must_use]
pub fn roll_up(voices: &[Voice]) -> Vec<Company> {
    let registers = Registers::of(voices);
    let said: Vec<Said> = voices
        .iter()
        .map(|voice| Said {
            number: registers.number(voice),
            domain: domain(voice).map(Key::Domain),
            name: name(voice).map(Key::Name),
        })
        .collect();
    let mut known = Known::of(&said);
    let mut companies: BTreeMap<&Key, Vec<(usize, &Voice, &Said)>> = BTreeMap::new();
    for (place, (voice, said)) in voices.iter().zip(&said).enumerate() {
        let key = match (said.proof(), &said.name) {
            (Some(proof), _) => known.company_of(proof),
            (None, Some(name)) => known.only(name).or(Some(name)),
            (None, None) => None,
        };
        if let Some(key) = key {
            companies.entry(key).or_default().push((place, voice, said));
        }
    }
    let mut aliases = known.aliases(&registers);
    let company = |(key, voices): (&Key, Vec<(usize, &Voice, &Said)>)| {
        let said =
            |field: &&'static str| most(voices.iter().filter_map(|(_, voice, _)| Some((voice.fields.get(field)?, voice.people))));
        let mut fields: BTreeMap<&'static str, String> = FIELDS.iter().filter_map(|field| Some((*field, said(field)?))).collect();
        // The domain that it has is not that of somebody's private mailbox, and its number not one that only fills a form.
        let domain = most(voices.iter().filter_map(|(_, voice, said)| Some((said.domain.as_ref()?.text(), voice.people))));
        let number = most(voices.iter().filter_map(|(_, voice, said)| Some((said.number.as_ref()?.text(), voice.people))));
        for (field, value) in [("company_domain", domain), ("company_number", number)] {
            match value {
                Some(value) => drop(fields.insert(field, value)),
                None => drop(fields.remove(field)),
            }
        }
        Company {
            id: key.id(),
            aliases: aliases.remove(key).unwrap_or_default(),
            fields,
            voices: voices.iter().map(|(place, ..)| *place).collect(),
        }
    };
    companies.into_iter().map(company).collect()
}

/// What is said of each registration number.
#[derive(Debug, Default)]
struct Registers(BTreeMap<String, Register>);

#[derive(Debug, Default)]
struct Register {
    places: BTreeSet<String>,
    domains: BTreeSet<String>,
}

impl Registers {
    fn of(voices: &[Voice]) -> Self {
        let mut registers: BTreeMap<String, Register> = BTreeMap::new();
        for voice in voices {
            if let Some(number) = number(voice) {
                let register = registers.entry(number.clone()).or_default();
                register.places.extend(place(&number, voice));
                register.domains.extend(domain(voice));
            }
        }
        Self(registers)
    }

    /// The number that a person says. Who says no country means the one that others say of it, if it is one alone.
    fn number(&self, voice: &Voice) -> Option<Key> {
        let number = number(voice)?;
        self.0.get(&number).filter(|register| register.domains.len() <= DOMAINS_PER_NUMBER)?;
        if company_number::is_of_a_court(&number) {
            let place = place(&number, voice)?;
            return Some(Key::Number(number, Some(place)));
        }
        let place = self.only_place(&number).cloned().or_else(|| place(&number, voice));
        Some(Key::Number(number, place))
    }

    fn only_place(&self, number: &str) -> Option<&String> {
        let places = &self.0.get(number)?.places;
        places.first().filter(|_| places.len() == 1)
    }
}

/// Which numbers, domains and names are one company's.
struct Known<'a> {
    /// Numbers and domains in their order, so that the first of a company is its strongest.
    proofs: Vec<&'a Key>,
    /// The place of each in that order.
    places: HashMap<&'a Key, u32>,
    forest: Forest,
    /// The companies that bear each name, each by the place of its first proof.
    bearers: BTreeMap<&'a Key, BTreeSet<u32>>,
}

impl<'a> Known<'a> {
    fn of(said: &'a [Said]) -> Self {
        let proofs: BTreeSet<&Key> = said.iter().flat_map(|said| [&said.number, &said.domain]).flatten().collect();
        let proofs: Vec<&Key> = proofs.into_iter().collect();
        let places = proofs.iter().copied().zip(0..).collect();
        let forest = Forest::new(proofs.len());
        let mut known = Self { proofs, places, forest, bearers: BTreeMap::new() };
        for said in said {
            if let (Some(number), Some(domain)) = (&said.number, &said.domain) {
                known.join(number, domain);
            }
        }
        known.bear(said);
        known.join_by_name();
        known.bear(said);
        known
    }

    fn place(&mut self, proof: &Key) -> Option<u32> {
        let place = self.places.get(proof)?;
        Some(self.forest.root(*place))
    }

    fn join(&mut self, one: &Key, other: &Key) {
        if let (Some(one), Some(other)) = (self.place(one), self.place(other)) {
            self.forest.union(one, other);
        }
    }

    fn bear(&mut self, said: &'a [Said]) {
        self.bearers.clear();
        for said in said {
            if let (Some(proof), Some(name)) = (said.proof(), &said.name)
                && let Some(place) = self.place(proof)
            {
                self.bearers.entry(name).or_default().insert(place);
            }
        }
    }

    /// A company that is known by a number alone and one that is known by domains alone are one if both have a name that nobody else
    /// has, and neither has such a name together with another.
    fn join_by_name(&mut self) {
        let (mut with_number, mut with_domain) = (BTreeSet::new(), BTreeSet::new());
        for proof in self.proofs.clone() {
            let with = if matches!(proof, Key::Number(..)) { &mut with_number } else { &mut with_domain };
            with.extend(self.place(proof));
        }
        let mut pairs = BTreeSet::new();
        for bearers in self.bearers.values() {
            let numbers: Vec<u32> = bearers.intersection(&with_number).copied().collect();
            let domains: Vec<u32> = bearers.intersection(&with_domain).copied().collect();
            if let ([number], [domain]) = (numbers.as_slice(), domains.as_slice())
                && number != domain
            {
                pairs.insert((*number, *domain));
            }
        }
        let mut partners: BTreeMap<u32, u32> = BTreeMap::new();
        for place in pairs.iter().flat_map(|(number, domain)| [*number, *domain]) {
            *partners.entry(place).or_default() += 1;
        }
        for (number, domain) in pairs {
            if [number, domain].iter().all(|place| partners.get(place) == Some(&1)) {
                self.forest.union(number, domain);
            }
        }
    }

    /// What the company of a number or a domain is known by.
    fn company_of(&mut self, proof: &Key) -> Option<&'a Key> {
        let place = self.place(proof)?;
        self.proofs.get(place as usize).copied()
    }

    /// The one company of a name.
    fn only(&self, name: &Key) -> Option<&'a Key> {
        let bearers = self.bearers.get(name)?;
        let place = bearers.first().filter(|_| bearers.len() == 1)?;
        self.proofs.get(*place as usize).copied()
    }

    /// The ids that each company had while less was known, the strongest first.
    fn aliases(&mut self, registers: &Registers) -> BTreeMap<&'a Key, Vec<String>> {
        let mut aliases: BTreeMap<&Key, Vec<String>> = BTreeMap::new();
        for proof in self.proofs.clone() {
            let Some(company) = self.company_of(proof) else { continue };
            let ids = aliases.entry(company).or_default();
            if proof != company {
                ids.push(proof.id());
            }
            if let Key::Number(number, Some(place)) = proof
                && registers.only_place(number).is_some()
            {
                // Also as it was while a court's number counted in the whole country.
                let country = place.split_once('\n').map(|(country, _)| country.to_owned());
                ids.extend(country.map(|country| Key::Number(number.clone(), Some(country)).id()));
                ids.push(Key::Number(number.clone(), None).id());
            }
        }
        for name in self.bearers.keys() {
            if let Some(company) = self.only(name) {
                aliases.entry(company).or_default().push(name.id());
            }
        }
        aliases
    }
}

fn number(voice: &Voice) -> Option<String> {
    company_number::normalise(voice.fields.get("company_number")?)
}

fn country(voice: &Voice) -> Option<String> {
    let country = voice.fields.get("country")?.trim().to_uppercase();
    (!country.is_empty()).then_some(country)
}

/// Where a number is given: in a country, or by the court of a city in it.
fn place(number: &str, voice: &Voice) -> Option<String> {
    if !company_number::is_of_a_court(number) {
        return country(voice);
    }
    let city = voice.fields.get("city").map(|city| city.trim().to_lowercase()).filter(|city| !city.is_empty())?;
    Some(format!("{}\n{city}", country(voice).unwrap_or_default()))
}

fn domain(voice: &Voice) -> Option<String> {
    let domain = voice.fields.get("company_domain")?.trim().to_lowercase();
    (!domain.is_empty() && !lists::is_freemail(&domain) && !lists::is_disposable(&domain)).then_some(domain)
}

/// A company's name without what spells it otherwise: case, punctuation, and the words at its end that say what it is in law.
fn name(voice: &Voice) -> Option<String> {
    let said = voice.fields.get("company_name")?;
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

/// The value that most people say.
fn most<'a>(values: impl Iterator<Item = (&'a String, usize)>) -> Option<String> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for (value, people) in values.filter(|(value, _)| !value.trim().is_empty()) {
        *counts.entry(value).or_default() += people;
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

    #[derive(Debug, Clone)]
    struct Employee {
        prospect_id: String,
        fields: BTreeMap<&'static str, String>,
    }

    #[derive(Debug, PartialEq, Eq)]
    struct Company {
        id: String,
        aliases: Vec<String>,
        fields: BTreeMap<&'static str, String>,
        people: Vec<String>,
    }

    /// The companies of people; whether those who say the same are heard one by one or as one voice makes none of them another.
    fn roll_up(people: &[Employee]) -> Vec<Company> {
        let each: Vec<Voice> = people.iter().map(|person| Voice { fields: person.fields.clone(), people: 1 }).collect();
        let named = |company: super::Company, people_of: &dyn Fn(usize) -> Vec<String>| {
            let super::Company { id, aliases, fields, voices } = company;
            let mut people: Vec<String> = voices.into_iter().flat_map(people_of).collect();
            people.sort();
            Company { id, aliases, fields, people }
        };
        let one = |place: usize| vec![people[place].prospect_id.clone()];
        let companies: Vec<Company> = super::roll_up(&each).into_iter().map(|company| named(company, &one)).collect();
        let mut alike: BTreeMap<&BTreeMap<&'static str, String>, Vec<String>> = BTreeMap::new();
        for person in people {
            alike.entry(&person.fields).or_default().push(person.prospect_id.clone());
        }
        let voices: Vec<Voice> =
            alike.iter().map(|(fields, people)| Voice { fields: (*fields).clone(), people: people.len() }).collect();
        let groups: Vec<&Vec<String>> = alike.values().collect();
        let some = |place: usize| groups[place].clone();
        let of_voices: Vec<Company> = super::roll_up(&voices).into_iter().map(|company| named(company, &some)).collect();
        assert_eq!(of_voices, companies);
        companies
    }

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

    fn registered(id: &str, number: &str, country: &str, name: &str, domain: &str) -> Employee {
        let mut employee = person(id, name, domain, "");
        for (field, value) in [("company_number", number), ("country", country)] {
            if !value.is_empty() {
                employee.fields.insert(field, value.to_owned());
            }
        }
        employee
    }

    /// The people of each company, which must be the same in every order of the people.
    fn companies_of(people: &[Employee]) -> Vec<Vec<String>> {
        let found = |people: &[Employee]| {
            let mut all: Vec<Vec<String>> = roll_up(people).into_iter().map(|company| company.people).collect();
            all.iter_mut().for_each(|people| people.sort());
            all.sort();
            all
        };
        let (mut turned, once) = (people.to_vec(), found(people));
        for _ in people {
            turned.rotate_left(1);
            assert_eq!(found(&turned), once);
            let back: Vec<Employee> = turned.iter().rev().cloned().collect();
            assert_eq!(found(&back), once);
        }
        once
    }

    #[test]
    fn a_number_of_one_country_is_one_company_whatever_its_names_and_domains() {
        let found = companies_of(&[
            registered("a", "FN 12345a", "AT", "Alder GmbH", "alder.example"),
            registered("b", "fn12345a", "at", "Alder Holding", "alder.test"),
            registered("c", "FN-12345a", "", "Elder", ""),
            person("d", "", "alder.test", ""),
        ]);
        assert_eq!(found, [["a", "b", "c", "d"]]);
    }

    #[test]
    fn a_number_of_two_countries_is_two_companies() {
        let found = companies_of(&[
            registered("a", "12345678", "NL", "Alder", ""),
            registered("b", "12345678", "DK", "Elm", ""),
            registered("c", "12345678", "", "Oak", ""),
        ]);
        assert_eq!(found, [["a"], ["b"], ["c"]]);
    }

    #[test]
    fn a_courts_number_is_one_company_in_one_city_alone() {
        let in_city = |id: &str, city: &str, name: &str| {
            let mut employee = registered(id, "HRB 12345", "DE", name, "");
            employee.fields.extend((!city.is_empty()).then(|| ("city", city.to_owned())));
            employee
        };
        let people = [
            in_city("a", "München", "Alder GmbH"),
            in_city("b", "münchen ", "Alder Holding"),
            in_city("c", "Köln", "Oak GmbH"),
            in_city("d", "", "Elm"),
            in_city("e", "", "Fir"),
        ];
        assert_eq!(companies_of(&people), [vec!["a", "b"], vec!["c"], vec!["d"], vec!["e"]]);
        // The record that was made while the number counted in the whole country is found again where it can be no other.
        let before = Key::Number("HRB12345".to_owned(), Some("DE".to_owned())).id();
        assert!(roll_up(&people[..2])[0].aliases.contains(&before));
        assert!(roll_up(&people).iter().all(|company| !company.aliases.contains(&before)));
    }

    #[test]
    fn two_numbers_are_never_joined_by_a_name() {
        let found = companies_of(&[
            registered("a", "111222", "DE", "Alder", ""),
            registered("b", "333444", "DE", "Alder GmbH", ""),
            person("c", "Alder", "", ""),
        ]);
        assert_eq!(found, [["a"], ["b"], ["c"]]);
        // Nor by two names of one company without a number.
        let found = companies_of(&[
            registered("a", "111222", "DE", "Alder", ""),
            registered("b", "333444", "DE", "Elm", ""),
            person("c", "Alder", "alder.example", ""),
            person("d", "Elm", "alder.example", ""),
        ]);
        assert_eq!(found, [vec!["a"], vec!["b"], vec!["c", "d"]]);
    }

    #[test]
    fn two_numbers_of_one_domain_are_one_company() {
        let found = companies_of(&[
            registered("a", "111222", "DE", "Alder", "alder.example"),
            registered("b", "333444", "DE", "Elm", "alder.example"),
        ]);
        assert_eq!(found, [["a", "b"]]);
    }

    #[test]
    fn a_name_joins_the_one_company_with_a_number_and_the_one_with_a_domain() {
        let people = [
            registered("a", "111222", "DE", "Alder", ""),
            person("b", "Alder GmbH", "alder.example", ""),
            person("c", "ALDER", "", ""),
        ];
        assert_eq!(companies_of(&people), [["a", "b", "c"]]);
        let company = roll_up(&people).remove(0);
        assert_eq!(
            (company.fields["company_number"].as_str(), company.fields["company_domain"].as_str()),
            ("111222", "alder.example")
        );
    }

    #[test]
    fn a_number_that_fills_forms_is_no_company() {
        let mut people: Vec<Employee> = (0..=DOMAINS_PER_NUMBER)
            .map(|at| registered(&format!("p{at}"), "123456", "DE", "", &format!("firm{at}.example")))
            .collect();
        people.push(registered("q", "000000", "DE", "Elm", ""));
        people.push(registered("r", "000000", "DE", "Oak", ""));
        assert_eq!(companies_of(&people).len(), people.len());
        assert!(roll_up(&people).iter().all(|company| !company.fields.contains_key("company_number")));
    }

    #[test]
    fn a_company_whose_number_becomes_known_is_found_by_the_ids_it_had() {
        let named = person("a", "Alder GmbH", "", "");
        let at_home = person("b", "Alder", "alder.example", "");
        let nowhere = registered("c", "111222", "", "Alder", "alder.example");
        let registered = registered("d", "111222", "DE", "Alder", "alder.example");
        let mut people = Vec::new();
        let mut before: Vec<String> = Vec::new();
        for person in [named, at_home, nowhere, registered] {
            people.push(person);
            let found = roll_up(&people);
            assert_eq!(found.len(), 1);
            assert!(before.iter().all(|id| found[0].aliases.contains(id)), "{before:?} {:?}", found[0].aliases);
            before.push(found[0].id.clone());
        }
        before.dedup();
        assert_eq!(before.len(), 4);
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
