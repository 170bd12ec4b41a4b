//! The resolver that weighs everything leads say, with vendor ids and profiles above it.
//!
//! It puts the leads into a [`Roster`], asks the [engine](super::engine) and gives the joins that hold each person together, with the
//! fields that spoke for them as evidence. What [`Exact`] knows by ids that a vendor or LinkedIn gave stands above every chance.

use hashbrown::{HashMap, HashSet};
use xxhash_rust::xxh3::xxh3_64;

use super::engine::{
    Attribute, Decisions, Doubt, Index, Model, Options, Problem, Resolution, Roster, Spoke, resolve_by, resolve_taught,
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
#[derive(Debug)]
pub struct Found {
    /// The joins.
    pub links: Links,
    /// Persons, doubts and blocks, by position in the leads.
    pub resolution: Resolution,
    /// The model it was decided by.
    pub model: Model,
    /// How far the leads are from those that the frozen model was learned from; nothing where there was none, or where too few
    /// leads are new to look.
    pub drift: Option<f64>,
    /// Whether the model was learned from these leads.
    pub is_learned: bool,
    /// How many leads were compared with others: all of them, or those that changed since the index was made.
    pub matched: usize,
    /// What the next run needs to look at new leads alone.
    pub index: Index,
    /// Whether the index differs enough from the one that was known to be worth keeping.
    pub is_index_new: bool,
}

/// The version of the rules when no model is frozen.
const RULES: &str = "engine-3";
/// A frozen model whose values moved farther than this is stale: see [`Model::drift`].
const STALE: f64 = 0.1;
/// So many times the records that a frozen model was learned from say more than it does.
const OUTGROWN: u64 = 2;
/// A model is learned anew when people said more than so many times what it was taught, and more than so many pairs.
const OUTTAUGHT: (u64, u64) = (2, 20);
/// An index is made anew, and the drift looked at, when more than one in so many of its records changed.
const SETTLED: usize = 50;
/// An index that has so many records in four for each lead keeps too many that are gone.
const WORN: usize = 5;
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
        let mut roster = Roster::new(&attributes());
        for row in leads.rows() {
            roster.push(leads.id(row), cells(leads, row))?;
        }
        Ok(roster)
    }

    /// Finds joins, doubts and the model they were decided by. A frozen model that the leads
    /// outgrew or left, or that people have much more to teach, is replaced.
    ///
    /// # Errors
    /// Decisions contradict each other, or there are too many leads.
    pub fn find(&self, leads: &Leads) -> Result<Found, Problem> {
        self.find_from(leads, None)
    }

    /// The same, from the index of an earlier run by the frozen model: only what changed since is looked at. The answer is that of
    /// [`find`](Self::find).
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_from(&self, leads: &Leads, known: Option<Index>) -> Result<Found, Problem> {
        let (exact, decisions, labels) = self.said(leads);
        match known.map(|index| self.go_on((leads, leads), index, exact.clone(), (&decisions, &labels))).transpose()?.flatten() {
            Some(found) => Ok(found),
            None => self.find_anew(leads, exact, &decisions, &labels),
        }
    }

    /// The same from what came or changed since the index was made, `came`: of all others only [`columns_of_known`](Self::columns_of_known)
    /// need be told, and whether they are there. Nothing where a run over all that they say is to be preferred.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_since(&self, leads: &Leads, came: &Leads, known: Index) -> Result<Option<Found>, Problem> {
        let (exact, decisions, labels) = self.said(leads);
        self.go_on((leads, came), known, exact, (&decisions, &labels))
    }

    /// The columns of leads that are known: by which ids they are certain and, with `names`, by which names those ids are too common.
    /// Few leads [need them](Exact::needs_names).
    pub fn columns_of_known(names: bool) -> impl Iterator<Item = &'static str> {
        let ids = [Field::LeadId, Field::Source, Field::ExternalId, Field::LinkedinUrl];
        let names = [Field::GivenName, Field::FamilyName, Field::FullName].into_iter().filter(move |_| names);
        ids.into_iter().chain(names).map(Field::name).chain(["observed_at", "created_at"])
    }

    /// What is certain: by ids, and by what people said; with ids that tell the same, and by people alone.
    fn said(&self, leads: &Leads) -> (Links, Decisions, Decisions) {
        // People are believed before ids: two who share a profile are two if somebody says so.
        let row = |(one, two): &(String, String)| Some((leads.find(one)?, leads.find(two)?));
        let mut decisions = Decisions {
            same: self.same.iter().filter_map(row).collect(),
            different: self.different.iter().filter_map(row).collect(),
        };
        let labels = decisions.clone();
        let exact = self.certain(leads).held_to(leads.len(), &decisions.same, &decisions.different);
        decisions.same.extend(exact.edges.iter().filter(|edge| edge.method == Method::Exact).map(|edge| (edge.left, edge.right)));
        (exact, decisions, labels)
    }

    /// Goes on from an index; nothing where it is better made anew.
    fn go_on(
        &self,
        (leads, came): (&Leads, &Leads),
        index: Index,
        exact: Links,
        (decisions, labels): (&Decisions, &Decisions),
    ) -> Result<Option<Found>, Problem> {
        if !is_taught(index.model(), labels) {
            return Ok(None);
        }
        let Some((index, drift, rows)) = self.take_in((leads, came), index, decisions)? else { return Ok(None) };
        let (resolution, spoke) = index.answer(&rows, self.options.review_at);
        let links = links(exact, (&resolution.joins, &spoke), decisions);
        let (model, is_index_new) = (index.model().clone(), drift.is_some());
        let matched = index.changes();
        Ok(Some(Found { links, resolution, model, drift, is_learned: false, matched, index, is_index_new }))
    }

    /// Takes what changed into the index, and gives the numbers of the leads in it; nothing where it is better made anew.
    fn take_in(&self, (leads, came): (&Leads, &Leads), mut index: Index, decisions: &Decisions) -> Result<Option<Gone>, Problem> {
        let is_outgrown = index.model().records() * OUTGROWN < leads.len() as u64;
        if is_outgrown || index.roster().columns() != attributes() {
            return Ok(None);
        }
        let known = u32::try_from(index.roster().len()).unwrap_or(u32::MAX);
        let mut is_there = vec![false; index.roster().len()];
        let mut rows: Vec<u32> = Vec::with_capacity(leads.len());
        let (mut said, mut next, is_all) = (String::new(), 0, std::ptr::eq(leads, came));
        for lead in leads.rows() {
            let id = leads.id(lead);
            // The index was made of leads in this order, so most follow each other there too.
            let is_next = next < known && index.roster().id(next) == id;
            let found = if is_next { Some(next) } else { index.roster().find(id) };
            let row = match (found, if is_all { Some(lead) } else { came.find(id) }) {
                (Some(row), None) => row,
                // Nobody told what it says.
                (None, None) => return Ok(None),
                (found, Some(lead)) => {
                    let mark = mark(came, lead, &mut said);
                    match found.filter(|row| index.mark(*row) == Some(mark)) {
                        Some(row) => row,
                        None => index.put(id, mark, cells(came, lead))?,
                    }
                }
            };
            if let Some(slot) = is_there.get_mut(row as usize) {
                *slot = true;
                next = row + 1;
            }
            rows.push(row);
        }
        for (row, _) in (0..known).zip(&is_there).filter(|(_, is_there)| !**is_there) {
            if index.mark(row) != Some(GONE) {
                index.drop(row, GONE);
            }
        }
        let row = |(one, two): &(u32, u32)| Some((*rows.get(*one as usize)?, *rows.get(*two as usize)?));
        let said = Decisions {
            same: decisions.same.iter().filter_map(row).collect(),
            different: decisions.different.iter().filter_map(row).collect(),
        };
        let drift = (index.changes() * SETTLED > leads.len()).then(|| index.model().drift_to(index.roster()));
        if index.roster().len() * 4 > leads.len() * WORN + 4 || drift.is_some_and(|drift| drift > STALE) {
            return Ok(None);
        }
        index.settle(said)?;
        Ok(if index.is_stale() { None } else { Some((index, drift, rows)) })
    }

    fn find_anew(&self, leads: &Leads, exact: Links, decisions: &Decisions, labels: &Decisions) -> Result<Found, Problem> {
        let roster = Self::roster(leads)?;
        let drift = self.model.as_ref().map(|model| model.drift_to(&roster));
        let is_fit =
            |model: &&Model| drift.is_some_and(|drift| drift <= STALE) && model.records() * OUTGROWN >= roster.len() as u64;
        let frozen = self.model.as_ref().filter(is_fit).filter(|model| is_taught(model, labels));
        let (resolution, model) = match frozen {
            Some(model) => (resolve_by(&roster, model, decisions, &self.options)?, model.clone()),
            None => resolve_taught(&roster, decisions, labels, &self.options)?,
        };
        let mut said = String::new();
        let marks = leads.rows().map(|row| mark(leads, row, &mut said)).collect();
        let index = Index::of(roster, marks, resolution.clone(), model.clone(), decisions.clone(), &self.options);
        let links = links(exact, (index.joins(), index.spoke()), decisions);
        let (is_learned, matched) = (frozen.is_none(), leads.len());
        Ok(Found { links, resolution, model, drift, is_learned, matched, index, is_index_new: true })
    }

    /// The links by ids that somebody gave to one person only.
    fn certain(&self, leads: &Leads) -> Links {
        self.exact.link_by_ids(leads)
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

/// Whether a model knows most of what people said.
fn is_taught(model: &Model, labels: &Decisions) -> bool {
    let (times, pairs) = OUTTAUGHT;
    labels.len() as u64 <= model.labels() * times + pairs
}

/// An index that went on, how far its records are from the model's if that was looked at, and the numbers of the leads in it.
type Gone = (Index, Option<f64>, Vec<u32>);

/// The mark of a record that is gone.
const GONE: u64 = 0;

fn attributes() -> [Attribute; COLUMNS.len()] {
    COLUMNS.map(|(_, attribute)| attribute)
}

/// What a lead says, in the order of the columns.
fn cells(leads: &Leads, row: u32) -> impl Iterator<Item = &str> {
    // A desk's address, where the source says so, is no mailbox of a person.
    let is_desk = leads.text(Field::EmailKind, row) == Some("generic_pro");
    COLUMNS.iter().map(move |(field, _)| match field {
        Field::Email if is_desk => "",
        field => leads.text(*field, row).unwrap_or_default(),
    })
}

/// A digest of what a lead says. `said` is room to work in.
fn mark(leads: &Leads, row: u32, said: &mut String) -> u64 {
    said.clear();
    for cell in cells(leads, row) {
        said.push_str(cell);
        said.push('\u{1f}');
    }
    xxh3_64(said.as_bytes()).max(GONE + 1)
}

fn links(mut links: Links, (joins, spoke): (&[Doubt], &[Spoke]), decisions: &Decisions) -> Links {
    let ordered = |one: u32, two: u32| (one.min(two), one.max(two));
    let exact: HashSet<(u32, u32)> = links.edges.iter().map(|edge| ordered(edge.left, edge.right)).collect();
    let said: HashSet<(u32, u32)> = decisions.same.iter().map(|(one, two)| ordered(*one, *two)).collect();
    let mut numbers: HashMap<Option<Spoke>, u32> = HashMap::new();
    numbers.extend((0..).zip(&links.evidence).filter(|(_, text)| *text == DECISION).map(|(at, _)| (None, at)));
    for (pair, spoke) in joins.iter().zip(spoke) {
        let (left, right) = (pair.one, pair.two);
        if exact.contains(&(left, right)) {
            continue;
        }
        let is_said = said.contains(&(left, right));
        let (method, why) = if is_said { (Method::Manual, None) } else { (Method::Probabilistic, Some(*spoke)) };
        let evidence = *numbers.entry(why).or_insert_with(|| {
            let next = u32::try_from(links.evidence.len()).unwrap_or(u32::MAX);
            links.evidence.push(why.map_or_else(|| DECISION.to_owned(), evidence));
            next
        });
        links.edges.push(Edge { left, right, method, evidence, score: f64::from(pair.chance) });
    }
    links
}

/// The fields that spoke for a join, strongest first.
fn evidence(spoke: Spoke) -> String {
    let fields: Vec<&str> = spoke.fields().collect();
    if fields.is_empty() { "several faint signs".to_owned() } else { fields.join("+") }
}
