//! Who is who in a run: the engine, what people decided, the frozen model, the gates, and what is left in doubt.

use std::collections::BTreeMap;

use hashbrown::HashSet;
use headwater_analysis::identity::engine::{Doubt, Gates, Index, Model, Options, Problem};
use headwater_analysis::identity::sample::Estimate;
use headwater_analysis::identity::{self, Bounds, Clusters, Exact, Found, Leads, Prior, Probabilistic, Resolved, Resolver};
use headwater_store::{Decision, ReviewPair, Sample, Snapshot, SnapshotId, Verdict};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::{cluster_of, internal};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::{GatesSection, IdentityEngine, IdentitySection};
use crate::review::{Checked, review_id};

/// The rules of the probabilistic engine; raised when they may decide differently.
const RULES: &str = "engine-3";

/// Everything by which leads are joined, besides the leads.
#[derive(Debug)]
pub(super) struct Rules {
    exact: Exact,
    section: IdentitySection,
    decisions: Vec<Decision>,
    sample: Option<Sample>,
}

/// Who is who, and what it leaves to do.
pub(super) struct Identified {
    pub(super) resolved: Resolved,
    /// The version of the rules or of the model.
    pub(super) version: String,
    /// What to ask people.
    pub(super) queue: Vec<ReviewPair>,
    /// A model that was learned in this run.
    pub(super) learned: Option<Model>,
    /// What the next run needs to look at new leads alone, where it differs from what is kept.
    pub(super) index: Option<Box<Index>>,
    /// For the cursor: which model, and how it fits.
    pub(super) note: Value,
}

impl Rules {
    pub(super) async fn read(engine: &Engine, vendors: BTreeMap<String, String>) -> Result<Self> {
        let exact = Exact { vendors, bounds: Bounds::default() };
        let section = engine.project.file.identity.clone();
        let (decisions, sample) = (engine.store.decisions().await?, engine.store.sample().await?);
        Ok(Self { exact, section, decisions, sample })
    }

    /// The joins that are certain.
    pub(super) fn exact(&self) -> &Exact {
        &self.exact
    }

    /// Which vendor's ids the sources share.
    pub(super) fn vendors(&self) -> &BTreeMap<String, String> {
        &self.exact.vendors
    }

    /// Everything of these rules on which the answer depends.
    pub(super) fn state(&self) -> Value {
        let IdentitySection { engine, auto_merge_above, review_above, gates: _ } = &self.section;
        let mut said = blake3::Hasher::new();
        for Decision { one, two, verdict } in &self.decisions {
            said.update(format!("{one} {two} {}\n", verdict.as_str()).as_bytes());
        }
        json!({
            "engine": engine.as_str(), "exact": self.exact.version(), "rules": RULES, "vendors": self.exact.vendors,
            "auto_merge_above": auto_merge_above, "review_above": review_above, "decisions": said.finalize().to_hex().as_str(),
        })
    }

    /// Finds who is who.
    pub(super) fn identify(&self, leads: &Leads, prior: &Prior, known: Known) -> Result<Identified> {
        match self.section.engine {
            IdentityEngine::Exact => self.by_keys(leads, prior),
            IdentityEngine::Probabilistic => self.by_weights(leads, prior, known),
        }
    }

    /// What the last run left; nothing where it is not to be relied on (`force`).
    pub(super) async fn known(&self, engine: &Engine, cursor: Option<&Value>, force: bool) -> Result<Known> {
        if force || self.section.engine == IdentityEngine::Exact {
            return Ok(Known::default());
        }
        let Some(model) = frozen(engine, cursor).await? else { return Ok(Known::default()) };
        let file = engine.store.identity_index()?;
        let read = |(mut file, bytes)| Index::read(&mut file, bytes, model.clone(), &options(&self.section));
        let index = file.and_then(read).map(Box::new);
        let drift = cursor.and_then(|cursor| cursor.pointer("/identity/drift")).and_then(Value::as_f64);
        Ok(Known { model: Some(model), index, drift })
    }

    fn by_keys(&self, leads: &Leads, prior: &Prior) -> Result<Identified> {
        let rows: BTreeMap<&str, u32> = leads.rows().map(|row| (leads.id(row), row)).collect();
        let said = |wanted| -> Vec<(u32, u32)> {
            let row = |id: &String| rows.get(id.as_str()).copied();
            self.said(wanted).filter_map(|decision| Some((row(&decision.one)?, row(&decision.two)?))).collect()
        };
        let links = self.exact.link(leads).held_to(leads.len(), &said(Verdict::Same), &said(Verdict::Different));
        let clusters = identity::cluster(leads.len(), &links).map_err(internal)?;
        let assignment = identity::assign(leads, &links, &clusters, prior);
        let resolved = Resolved { links, clusters, assignment };
        let version = self.exact.version().to_owned();
        let note = json!({ "model": version });
        Ok(Identified { resolved, version, queue: Vec::new(), learned: None, index: None, note })
    }

    /// Finds who is who from what came or changed since the index was made, `came`; of all other leads [`columns_of_known`] are enough.
    /// Nothing where all must be looked at. The index is used up.
    ///
    /// [`columns_of_known`]: Probabilistic::columns_of_known
    pub(super) fn identify_since(
        &self,
        leads: &Leads,
        came: &Leads,
        prior: &Prior,
        known: &mut Known,
    ) -> Result<Option<Identified>> {
        let Some(index) = known.index.take() else { return Ok(None) };
        let engine = self.engine(known.model.clone());
        let found = engine.find_since(leads, came, *index).map_err(|problem| said_twice(&problem))?;
        found.map(|found| self.conclude(leads, prior, found, (&engine, known.drift))).transpose()
    }

    fn by_weights(&self, leads: &Leads, prior: &Prior, known: Known) -> Result<Identified> {
        let engine = self.engine(known.model);
        let found = engine.find_from(leads, known.index.map(|index| *index)).map_err(|problem| said_twice(&problem))?;
        self.conclude(leads, prior, found, (&engine, known.drift))
    }

    fn engine(&self, model: Option<Model>) -> Probabilistic {
        let pairs = |wanted| self.said(wanted).map(|decision| (decision.one.clone(), decision.two.clone())).collect::<Vec<_>>();
        let mut engine = Probabilistic::new(self.exact.clone(), options(&self.section), model);
        (engine.same, engine.different) = (pairs(Verdict::Same), pairs(Verdict::Different));
        engine
    }

    fn conclude(
        &self,
        leads: &Leads,
        prior: &Prior,
        found: Found,
        (engine, drift): (&Probabilistic, Option<f64>),
    ) -> Result<Identified> {
        found.resolution.check(&gates(self.section.gates)).map_err(|wild| Error::Wild(wild.to_string()))?;
        held_to_sample(&self.section, self.sample.as_ref())?;
        let clusters = identity::cluster(leads.len(), &found.links).map_err(internal)?;
        let assignment = identity::assign(leads, &found.links, &clusters, prior);
        let queue = queue(leads, &clusters, &found.resolution.doubts, &engine.different);
        let version = found.model.version();
        let matched = found.matched;
        info!(model = version, learned = found.is_learned, drift = found.drift, matched, doubts = queue.len(), "who is who");
        let drift = found.drift.or(drift.filter(|_| !found.is_learned));
        let (records, labels) = (found.model.records(), found.model.labels());
        let note = json!({ "model": version, "learned_from": records, "taught": labels, "drift": drift, "matched": matched });
        let resolved = Resolved { links: found.links, clusters, assignment };
        let index = (found.is_index_new && leads.len() <= MOST_INDEXED).then_some(found.index).map(Box::new);
        Ok(Identified { resolved, version, queue, learned: found.is_learned.then_some(found.model), index, note })
    }

    fn said(&self, wanted: Verdict) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(move |decision| decision.verdict == wanted)
    }
}

/// What the last run left for this one.
#[derive(Debug, Default)]
pub(super) struct Known {
    model: Option<Model>,
    index: Option<Box<Index>>,
    drift: Option<f64>,
}

impl Known {
    /// The snapshot that the index was made of, if there is one.
    pub(super) fn indexed(&self) -> Option<SnapshotId> {
        self.index.as_ref().map(|index| index.stamp)
    }
}

/// An index of more leads takes more than two gigabytes, for which a run reads the leads again instead.
const MOST_INDEXED: usize = 5_000_000;

/// Keeps an index. It can be made again, so that a full disk costs time and not the run.
pub(super) fn keep(engine: &Engine, mut index: Box<Index>, snapshot: &Snapshot) {
    index.stamp = snapshot.id();
    if let Err(error) = engine.store.keep_identity_index(|to| index.write(to)) {
        warn!(%error, "the identity index is not kept; the next run looks at every lead");
    }
}

/// The model that the last run froze. One of another format is learned anew.
async fn frozen(engine: &Engine, cursor: Option<&Value>) -> Result<Option<Model>> {
    let Some(version) = cursor.and_then(|cursor| cursor.pointer("/identity/model")).and_then(Value::as_str) else {
        return Ok(None);
    };
    let bytes = engine.store.identity_model(version).await?;
    Ok(bytes.and_then(|bytes| Model::from_bytes(&bytes).ok()))
}

#[expect(clippy::cast_possible_truncation, reason = "a chance of single precision is precise enough")]
fn options(section: &IdentitySection) -> Options {
    Options {
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        merge_at: section.auto_merge_above as f32,
        review_at: section.review_above as f32,
    }
}

fn gates(section: GatesSection) -> Gates {
    let GatesSection { largest, doubtful, precision, sampled_precision: _ } = section;
    Gates { largest: usize::try_from(largest).unwrap_or(usize::MAX), doubtful, precision }
}

/// Stops the run if people found too many joins wrong. A sample of another threshold, or of which much is unanswered, says nothing.
fn held_to_sample(section: &IdentitySection, sample: Option<&Sample>) -> Result<()> {
    let Some(least) = section.gates.sampled_precision else { return Ok(()) };
    let Some(checked) = sample.map(|sample| Checked::of(sample, section)) else {
        warn!("no joined pairs were checked; `headwater review sample --size 200` draws some");
        return Ok(());
    };
    match checked.estimate.filter(|_| checked.is_telling) {
        None => warn!(waiting = checked.waiting, outdated = checked.is_outdated, "the checked pairs say nothing of this run"),
        Some(Estimate { precision, interval, answered }) if interval.low < least => {
            return Err(Error::Wild(format!(
                "of {answered} joined pairs that were checked a share of {precision:.3} is right ({:.3} to {:.3}), which may be less \
                 than {least}; raise `identity.auto_merge_above` and check a new sample, or loosen `gates.sampled_precision`",
                interval.low, interval.high
            )));
        }
        Some(_) => {}
    }
    Ok(())
}

fn said_twice(problem: &Problem) -> Error {
    match problem {
        Problem::Contradiction { .. } => Error::Wild(problem.to_string()),
        other => Error::Internal(other.to_string()),
    }
}

/// One question for each two persons in doubt, the most worth first: how likely the answer is another than what was decided, for
/// each pair of leads that it would set right. Persons that somebody told apart are not asked about again.
fn queue(leads: &Leads, clusters: &Clusters, doubts: &[Doubt], different: &[(String, String)]) -> Vec<ReviewPair> {
    let person = cluster_of(clusters, leads.len());
    let of = |row: u32| person.get(row as usize).copied().unwrap_or(u32::MAX);
    let ordered = |one: u32, two: u32| (one.min(two), one.max(two));
    let mut known: HashSet<(u32, u32)> = HashSet::new();
    if !different.is_empty() {
        let rows: BTreeMap<&str, u32> = leads.rows().map(|row| (leads.id(row), of(row))).collect();
        let pair = |(one, two): &(String, String)| Some(ordered(*rows.get(one.as_str())?, *rows.get(two.as_str())?));
        known.extend(different.iter().filter_map(pair));
    }
    let mut queue: Vec<ReviewPair> = Vec::new();
    for Doubt { one, two, chance } in doubts {
        if !known.insert(ordered(of(*one), of(*two))) {
            continue;
        }
        let size = |row: u32| u32::try_from(clusters.members(of(row) as usize).len()).unwrap_or(u32::MAX);
        let chance = f64::from(*chance);
        let worth = chance.min(1.0 - chance) * f64::from(size(*one)) * f64::from(size(*two));
        let (one, two) = (leads.id(*one.min(two)), leads.id(*one.max(two)));
        queue.push(ReviewPair { review_id: review_id(one, two), one: one.to_owned(), two: two.to_owned(), chance, worth });
    }
    queue.sort_by(|one, two| two.worth.total_cmp(&one.worth).then_with(|| one.review_id.cmp(&two.review_id)));
    queue
}
