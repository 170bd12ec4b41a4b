//! The resolver that weighs everything leads say, with vendor ids and profiles above it.
//!
//! It puts the leads into a [`Roster`], asks the [engine](super::engine) and gives the joins that hold each person together, with the
//! fields that spoke for them as evidence. What [`Exact`] knows by ids that a vendor or LinkedIn gave stands above every chance.

use hashbrown::{HashMap, HashSet};

use super::engine::{
    Attribute, Decisions, Explainer, Explanation, Model, Options, Problem, Resolution, Roster, resolve_by, resolve_roster,
};
use super::leads::{Field, Leads};
use super::link::{DECISION, Edge, Exact, Links, Method, Resolver};

/// Joins leads by the chance that they are one person.
#[derive(Debug, Clone, Default)]
pub struct Probabilistic {
    /// The deterministic layer: its vendor ids and LinkedIn profiles join whatever the names say.
    pub exact: Exact,
    /// How to resolve.
    pub options: Options,
    model: Option<Model>,
    /// Pairs of lead ids that people said are one person.
    pub same: Vec<(String, String)>,
    /// Pairs of lead ids that people said are two.
    pub different: Vec<(String, String)>,
    version: String,
}

/// What a run found besides the links.
#[derive(Debug, Clone)]
pub struct Found {
    /// The joins.
    pub links: Links,
    /// Persons, doubts and blocks, by position in the leads.
    pub resolution: Resolution,
    /// The model it was decided by.
    pub model: Model,
    /// How far the leads are from those that the frozen model was learned from; nothing where there was none.
    pub drift: Option<f64>,
    /// Whether the model was learned from these leads.
    pub is_learned: bool,
}

/// The version of the rules when no model is frozen.
const RULES: &str = "engine-1";
/// A frozen model whose values moved farther than this is stale: see [`Model::drift`].
const STALE: f64 = 0.1;
/// So many times the records that a frozen model was learned from say more than it does.
const OUTGROWN: u64 = 2;
/// The columns of a lead that speak of the person.
const COLUMNS: [(Field, Attribute); 15] = [
    (Field::GivenName, Attribute::FirstName),
    (Field::FamilyName, Attribute::LastName),
    (Field::FullName, Attribute::FullName),
    (Field::Email, Attribute::Email),
    (Field::Phone, Attribute::Phone),
    (Field::Mobile, Attribute::Mobile),
    (Field::CompanyName, Attribute::Company),
    (Field::JobTitle, Attribute::Title),
    (Field::City, Attribute::City),
    (Field::Country, Attribute::Country),
    (Field::Website, Attribute::Website),
    (Field::CompanyDomain, Attribute::Website),
    (Field::Street, Attribute::Street),
    (Field::PostalCode, Attribute::Postcode),
    (Field::Region, Attribute::Region),
];
/// A field is named as evidence when it doubles the odds at least.
const TELLING_BITS: f64 = 1.0;

impl Probabilistic {
    /// A resolver by a frozen model, or one that learns.
    #[must_use]
    pub fn new(exact: Exact, options: Options, model: Option<Model>) -> Self {
        let version = model.as_ref().map_or_else(|| RULES.to_owned(), Model::version);
        Self { exact, options, model, same: Vec::new(), different: Vec::new(), version }
    }

    /// The leads as the engine reads them.
    ///
    /// # Errors
    /// There are more leads than one run can number.
    pub fn roster(leads: &Leads) -> Result<Roster, Problem> {
        let attributes: Vec<Attribute> = COLUMNS.iter().map(|(_, attribute)| *attribute).collect();
        let mut roster = Roster::new(&attributes);
        for row in leads.rows() {
            // A desk's address, where the source says so, is no mailbox of a person.
            let is_desk = leads.text(Field::EmailKind, row) == Some("generic_pro");
            let cells = COLUMNS.iter().map(|(field, _)| match field {
                Field::Email if is_desk => "",
                field => leads.text(*field, row).unwrap_or_default(),
            });
            roster.push(leads.id(row), cells)?;
        }
        Ok(roster)
    }

    /// Finds joins, doubts and the model they were decided by. A frozen model that the leads outgrew or left is replaced.
    ///
    /// # Errors
    /// Decisions contradict each other, or there are too many leads.
    pub fn find(&self, leads: &Leads) -> Result<Found, Problem> {
        let roster = Self::roster(leads)?;
        let mut decisions = Decisions::default();
        let rows = |(one, two): &(String, String)| Some((roster.find(one)?, roster.find(two)?));
        decisions.same.extend(self.same.iter().filter_map(rows));
        decisions.different.extend(self.different.iter().filter_map(rows));
        // People are believed before ids: two who share a profile are two if somebody says so.
        let exact = self.certain(leads).held_to(leads.len(), &decisions.same, &decisions.different);
        decisions.same.extend(exact.edges.iter().filter(|edge| edge.method == Method::Exact).map(|edge| (edge.left, edge.right)));
        let drift = self.model.as_ref().map(|model| model.drift_to(&roster));
        let is_fit =
            |model: &&Model| drift.is_some_and(|drift| drift <= STALE) && model.records() * OUTGROWN >= roster.len() as u64;
        let frozen = self.model.as_ref().filter(is_fit);
        let (resolution, model) = match frozen {
            Some(model) => (resolve_by(&roster, model, &decisions, &self.options)?, model.clone()),
            None => resolve_roster(&roster, &decisions, &self.options)?,
        };
        let links = links(exact, &Explainer::new(&roster, &model), &resolution, &decisions);
        Ok(Found { links, resolution, is_learned: frozen.is_none(), model, drift })
    }

    /// The links by ids that somebody gave to one person only.
    fn certain(&self, leads: &Leads) -> Links {
        let mut links = self.exact.link(leads);
        let is_certain = |evidence: &String| evidence == "linkedin" || evidence.starts_with("vendor_id:");
        let certain: Vec<bool> = links.evidence.iter().map(is_certain).collect();
        links.edges.retain(|edge| certain.get(edge.evidence as usize).copied().unwrap_or(false));
        links
    }
}

impl Resolver for Probabilistic {
    fn version(&self) -> &str {
        if self.version.is_empty() { RULES } else { &self.version }
    }

    fn link(&self, leads: &Leads) -> Links {
        // A contradiction among decisions must not stop a sync: what is certain still joins.
        self.find(leads).map_or_else(|_| self.certain(leads), |found| found.links)
    }
}

fn links(mut links: Links, explainer: &Explainer<'_>, resolution: &Resolution, decisions: &Decisions) -> Links {
    let ordered = |one: u32, two: u32| (one.min(two), one.max(two));
    let exact: HashSet<(u32, u32)> = links.edges.iter().map(|edge| ordered(edge.left, edge.right)).collect();
    let said: HashSet<(u32, u32)> = decisions.same.iter().map(|(one, two)| ordered(*one, *two)).collect();
    let mut numbers: HashMap<String, u32> = links.evidence.iter().cloned().zip(0..).collect();
    for join in &resolution.joins {
        let (left, right) = (join.one, join.two);
        if exact.contains(&ordered(left, right)) {
            continue;
        }
        let is_said = said.contains(&ordered(left, right));
        let (method, text) = match explainer.explain(left, right) {
            Some(found) if !is_said => (Method::Probabilistic, evidence(&found)),
            _ => (Method::Manual, DECISION.to_owned()),
        };
        let next = u32::try_from(links.evidence.len()).unwrap_or(u32::MAX);
        let evidence = *numbers.entry(text).or_insert_with_key(|text| {
            links.evidence.push(text.clone());
            next
        });
        links.edges.push(Edge { left, right, method, evidence, score: f64::from(join.chance) });
    }
    links
}

/// The fields that spoke for a join, strongest first.
fn evidence(found: &Explanation) -> String {
    let mut spoke: Vec<(f64, &str)> =
        found.weights.iter().filter(|weight| weight.bits >= TELLING_BITS).map(|weight| (weight.bits, weight.field)).collect();
    spoke.sort_by(|one, two| two.0.total_cmp(&one.0).then_with(|| one.1.cmp(two.1)));
    let fields: Vec<&str> = spoke.into_iter().map(|(_, field)| field).collect();
    if fields.is_empty() { "several faint signs".to_owned() } else { fields.join("+") }
}
