//! Which leads are one person, and why: the interface of every resolver, and the one that joins by exact keys.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::forest::Forest;
use super::keys::{is_role, linkedin_key, match_key, name_key, phone_key};
use super::leads::{Field, Leads};

/// How a link was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Equal keys.
    Exact,
    /// A score above the threshold of a model.
    Probabilistic,
    /// Someone said so.
    Manual,
}

impl Method {
    /// Its name in the lake.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Probabilistic => "probabilistic",
            Self::Manual => "manual",
        }
    }
}

/// Two leads that are one person, as positions in [`Leads`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// One lead.
    pub left: u32,
    /// The other.
    pub right: u32,
    /// Who decided.
    pub method: Method,
    /// Why: a position in [`Links::evidence`].
    pub evidence: u32,
    /// How sure it is, from 0 to 1.
    pub score: f64,
}

/// What a resolver found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Links {
    /// The joins. They need not be all pairs: a chain through a group is enough.
    pub edges: Vec<Edge>,
    /// The evidence that edges name, in the resolver's order of preference.
    pub evidence: Vec<String>,
    /// How many keys were too widely shared to mean anything.
    pub generic_keys: usize,
}

impl Links {
    /// Holds joins to what people said: joins the leads that they said are one person, and drops every join by which two that they
    /// said are two would come together, whatever stands behind it. Rows are of `leads` leads.
    ///
    /// What people said must not contradict itself: a pair that is one person and two at once stays joined.
    #[must_use]
    pub fn held_to(mut self, leads: usize, same: &[(u32, u32)], different: &[(u32, u32)]) -> Self {
        let mut apart = Apart::new(leads, different);
        same.iter().for_each(|(one, two)| apart.join(*one, *two));
        if !different.is_empty() {
            self.edges.retain(|edge| {
                let may_join = apart.may_join(edge.left, edge.right);
                if may_join {
                    apart.join(edge.left, edge.right);
                }
                may_join
            });
        }
        if !same.is_empty() {
            let evidence = u32::try_from(self.evidence.len()).unwrap_or(u32::MAX);
            self.evidence.push(DECISION.to_owned());
            let said =
                |(left, right): &(u32, u32)| Edge { left: *left, right: *right, method: Method::Manual, evidence, score: 1.0 };
            self.edges.extend(same.iter().map(said));
        }
        self
    }
}

/// The evidence of a join that somebody decided.
pub(super) const DECISION: &str = "decision";

/// Groups of leads that grow, and the pairs that must never be in one.
struct Apart {
    forest: Forest,
    /// By the root of a group: who must stay out of it.
    foes: HashMap<u32, Vec<u32>>,
}

impl Apart {
    fn new(leads: usize, different: &[(u32, u32)]) -> Self {
        let mut foes: HashMap<u32, Vec<u32>> = HashMap::new();
        for (one, two) in different {
            foes.entry(*one).or_default().push(*two);
            foes.entry(*two).or_default().push(*one);
        }
        Self { forest: Forest::new(leads), foes }
    }

    fn may_join(&mut self, one: u32, two: u32) -> bool {
        let (one, two) = (self.forest.root(one), self.forest.root(two));
        let Self { forest, foes } = self;
        one == two || !foes.get(&one).is_some_and(|foes| foes.iter().any(|foe| forest.root(*foe) == two))
    }

    fn join(&mut self, one: u32, two: u32) {
        let roots = [self.forest.root(one), self.forest.root(two)];
        if self.forest.union(one, two) {
            let foes: Vec<u32> = roots.iter().filter_map(|root| self.foes.remove(root)).flatten().collect();
            if !foes.is_empty() {
                self.foes.insert(self.forest.root(one), foes);
            }
        }
    }
}

/// Decides which leads are one person.
///
/// Contract: the links depend on the set of leads alone, not on threads or clock; every edge names rows of `leads` and evidence
/// of the returned list; evidence names rules and vendors, never a person's data.
pub trait Resolver: std::fmt::Debug + Send + Sync {
    /// Names the rules or the model, and changes whenever they may decide differently.
    fn version(&self) -> &str;
    /// The joins among these leads.
    fn link(&self, leads: &Leads) -> Links;
}

/// How widely a key may be shared before it is taken for a placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most leads that may share a key while their names differ.
    pub leads_per_key: usize,
    /// The most different full names that may share a key: one person is written in a few ways, not in a dozen.
    pub names_per_key: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { leads_per_key: 50, names_per_key: 10 }
    }
}

/// Joins leads that share an exact key: email address, phone with name, LinkedIn profile, or id at one vendor.
///
/// A desk's address (`info@`, or an `email_kind` that says so) joins only leads of one full name.
#[derive(Debug, Clone, Default)]
pub struct Exact {
    /// The vendor of a source, for ids that several sources share. A source that is not listed is its own vendor.
    pub vendors: BTreeMap<String, String>,
    /// When a key is too common to join.
    pub bounds: Bounds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Email,
    EmailAndName,
    LinkedIn,
    VendorId,
    PhoneAndName,
}

/// The rules that yield one evidence each, in order of preference; vendor ids follow, one evidence per vendor.
const RULES: [(Rule, &str); 4] = [
    (Rule::Email, "email"),
    (Rule::LinkedIn, "linkedin"),
    (Rule::PhoneAndName, "phone+name"),
    (Rule::EmailAndName, "email+name"),
];

/// A hashed key and the lead that has it. 128 bits make an accidental collision among 2^32 keys less likely than 1e-19.
type Entry = (u128, u32);

impl Resolver for Exact {
    fn version(&self) -> &'static str {
        "exact-1"
    }

    fn link(&self, leads: &Leads) -> Links {
        self.link_by(&RULES.map(|(rule, _)| rule), leads)
    }
}

impl Exact {
    /// The joins by ids that somebody gave to one person only: LinkedIn profiles and vendors' ids.
    pub(super) fn link_by_ids(&self, leads: &Leads) -> Links {
        self.link_by(&[Rule::LinkedIn], leads)
    }

    /// Whether an id of one person may be shared so widely that names tell whether it means anything. Where none is that is said of
    /// few leads; where one is, always.
    #[must_use]
    pub fn needs_names(&self, leads: &Leads) -> bool {
        let Bounds { leads_per_key, names_per_key } = self.bounds;
        // More is not counted.
        let Some(most) = u8::try_from(leads_per_key.min(names_per_key)).ok().filter(|most| *most < u8::MAX) else { return true };
        let vendors = Vendors::new(leads, &self.vendors);
        [Rule::LinkedIn, Rule::VendorId].into_iter().any(|rule| {
            // Keys that fall into one place are counted as one key.
            let mut places = vec![0_u8; (2 * leads.len()).next_power_of_two()];
            let last = places.len() as u128 - 1;
            let mut is_passed = false;
            collect(rule, leads, &|_| Name::default(), &vendors, |(key, _)| {
                let place = usize::try_from(key & last).ok().and_then(|place| places.get_mut(place));
                if let Some(place) = place {
                    *place = place.saturating_add(1);
                    is_passed |= *place > most;
                }
            });
            is_passed
        })
    }

    /// The joins by these rules and by vendors' ids.
    fn link_by(&self, rules: &[Rule], leads: &Leads) -> Links {
        let mut links =
            Links { evidence: RULES.iter().map(|(_, evidence)| (*evidence).to_owned()).collect(), ..Links::default() };
        let vendors = Vendors::new(leads, &self.vendors);
        // Rules that hold names beside keys ask for every name; the others only where many leads share a key.
        let needs_names = rules.contains(&Rule::PhoneAndName) || rules.contains(&Rule::EmailAndName);
        let known: Vec<Name> = if needs_names { leads.rows().map(|row| Name::of(leads, row)).collect() } else { Vec::new() };
        let name = |row: u32| known.get(row as usize).copied().unwrap_or_else(|| Name::of(leads, row));
        let mut entries: Vec<Entry> = Vec::new();
        for ((rule, _), evidence) in RULES.iter().zip(0..).filter(|((rule, _), _)| rules.contains(rule)) {
            collect(*rule, leads, &name, &vendors, |entry| entries.push(entry));
            self.chain(&mut entries, &name, &mut links, |_| evidence);
        }
        collect(Rule::VendorId, leads, &name, &vendors, |entry| entries.push(entry));
        let first = u32::try_from(links.evidence.len()).unwrap_or(u32::MAX);
        self.chain(&mut entries, &name, &mut links, |row| first + vendors.number(leads, row));
        links.evidence.extend(vendors.names.iter().map(|vendor| format!("vendor_id:{vendor}")));
        links
    }

    /// Sorts the entries into groups of one key and joins each group in a chain. Leaves `entries` empty.
    fn chain(&self, entries: &mut Vec<Entry>, name: &impl Fn(u32) -> Name, links: &mut Links, evidence: impl Fn(u32) -> u32) {
        entries.sort_unstable();
        entries.dedup();
        for group in entries.chunk_by(|one, two| one.0 == two.0) {
            if self.is_generic(group, name) {
                links.generic_keys += 1;
                continue;
            }
            for (&(_, left), &(_, right)) in group.iter().zip(group.iter().skip(1)) {
                links.edges.push(Edge { left, right, method: Method::Exact, evidence: evidence(left), score: 1.0 });
            }
        }
        entries.clear();
    }

    fn is_generic(&self, group: &[Entry], name: &impl Fn(u32) -> Name) -> bool {
        let Bounds { leads_per_key, names_per_key } = self.bounds;
        if group.len() <= leads_per_key.min(names_per_key) {
            return false;
        }
        let known = group.iter().map(|(_, row)| name(*row)).filter(|name| name.is_known);
        let mut known: Vec<u64> = known.map(|name| name.hash).collect();
        known.sort_unstable();
        known.dedup();
        known.len() > names_per_key || (group.len() > leads_per_key && known.len() > 1)
    }
}

/// The matching form of a lead's name, hashed.
#[derive(Debug, Clone, Copy, Default)]
struct Name {
    hash: u64,
    is_known: bool,
    is_full: bool,
}

impl Name {
    fn of(leads: &Leads, row: u32) -> Self {
        let text = |field| leads.text(field, row);
        match name_key(text(Field::GivenName), text(Field::FamilyName), text(Field::FullName)) {
            Some(key) => Self { hash: xxh3_64(key.text.as_bytes()), is_known: true, is_full: key.is_full },
            None => Self::default(),
        }
    }
}

/// The vendors of the leads' sources, numbered in the order of their names.
#[derive(Debug)]
struct Vendors {
    names: Vec<String>,
    of_source: Vec<u32>,
}

impl Vendors {
    fn new(leads: &Leads, vendors: &BTreeMap<String, String>) -> Self {
        let vendor_of = |source: &String| vendors.get(source).unwrap_or(source).clone();
        let mut names: Vec<String> = leads.sources().iter().map(vendor_of).collect();
        names.sort_unstable();
        names.dedup();
        let number =
            |source| names.binary_search(&vendor_of(source)).ok().and_then(|at| u32::try_from(at).ok()).unwrap_or_default();
        let of_source = leads.sources().iter().map(number).collect();
        Self { names, of_source }
    }

    fn number(&self, leads: &Leads, row: u32) -> u32 {
        self.of_source.get(leads.source(row)).copied().unwrap_or_default()
    }
}

fn collect(rule: Rule, leads: &Leads, name: &impl Fn(u32) -> Name, vendors: &Vendors, mut take: impl FnMut(Entry)) {
    for row in leads.rows() {
        let mut add = |key: u128| take((key, row));
        match rule {
            Rule::Email => personal_email(leads, row).map(|email| xxh3_128(email.as_bytes())).into_iter().for_each(add),
            Rule::EmailAndName if name(row).is_full => {
                desk_email(leads, row).map(|email| with_name(&email, name(row))).into_iter().for_each(add);
            }
            Rule::PhoneAndName if name(row).is_full => {
                for phone in [Field::Phone, Field::Mobile].into_iter().filter_map(|field| phone_key(leads.text(field, row)?)) {
                    add(with_name(&phone, name(row)));
                }
            }
            Rule::LinkedIn => {
                let key = leads.text(Field::LinkedinUrl, row).and_then(linkedin_key);
                key.map(|key| xxh3_128(key.as_bytes())).into_iter().for_each(add);
            }
            Rule::VendorId => {
                let id = leads.text(Field::ExternalId, row).map(str::trim).filter(|id| !id.is_empty());
                id.map(|id| vendor_key(vendors.number(leads, row), id)).into_iter().for_each(add);
            }
            Rule::EmailAndName | Rule::PhoneAndName => {}
        }
    }
}

/// The matching form of a lead's address, if one person reads it.
fn personal_email(leads: &Leads, row: u32) -> Option<String> {
    let email = leads.text(Field::Email, row)?;
    if is_desk(leads, row, email) { None } else { match_key(email) }
}

fn desk_email(leads: &Leads, row: u32) -> Option<String> {
    let email = leads.text(Field::Email, row)?;
    if is_desk(leads, row, email) { match_key(email) } else { None }
}

fn is_desk(leads: &Leads, row: u32, email: &str) -> bool {
    leads.text(Field::EmailKind, row) == Some("generic_pro") || is_role(email)
}

fn with_name(key: &str, name: Name) -> u128 {
    let mut bytes = Vec::with_capacity(key.len() + 8);
    bytes.extend_from_slice(&name.hash.to_le_bytes());
    bytes.extend_from_slice(key.as_bytes());
    xxh3_128(&bytes)
}

fn vendor_key(vendor: u32, id: &str) -> u128 {
    let mut bytes = Vec::with_capacity(id.len() + 4);
    bytes.extend_from_slice(&vendor.to_le_bytes());
    bytes.extend_from_slice(id.as_bytes());
    xxh3_128(&bytes)
}
