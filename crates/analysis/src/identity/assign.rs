//! Stable ids: which prospect a cluster is, given what the prospects were before.
//!
//! A cluster keeps the oldest id among the prospects whose larger part it holds; the younger ones become its aliases. A part
//! that leaves a prospect gets a new id, never one that was in use before, so an id that went out to a CRM always means the
//! same lineage. Running again on the same leads changes nothing and causes no event.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use hashbrown::{HashMap, HashSet};
use xxhash_rust::xxh3::xxh3_128;

use super::cluster::Clusters;
use super::leads::{Leads, instant_column, text_column};
use super::link::Links;
use super::{Error, ProspectId};

/// What happened to a prospect's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It was seen for the first time.
    Mint,
    /// It took in the other prospect, whose id is now an alias.
    Merge,
    /// Leads of it went to the other prospect.
    Split,
    /// None of its leads is left.
    Retire,
}

impl Change {
    /// Its name in the lake.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mint => "mint",
            Self::Merge => "merge",
            Self::Split => "split",
            Self::Retire => "retire",
        }
    }
}

/// One change of identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// What happened.
    pub change: Change,
    /// To which prospect: the survivor of a merge, the one that a split takes from.
    pub prospect: ProspectId,
    /// The prospect that was taken in, or that received the parted leads.
    pub other: Option<ProspectId>,
    /// What joined them, for a merge.
    pub evidence: Option<String>,
}

/// How many of what happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// New prospects.
    pub minted: usize,
    /// Prospects that were taken in by another.
    pub merged: usize,
    /// Times that leads went from one prospect to another.
    pub split: usize,
    /// Prospects that have no lead any more.
    pub retired: usize,
    /// New leads of prospects that were known.
    pub joined: usize,
}

/// What the last run decided.
#[derive(Debug, Clone, Default)]
pub struct Prior {
    of_lead: HashMap<u128, ProspectId>,
    aliases: BTreeMap<ProspectId, ProspectId>,
    minted_at: HashMap<ProspectId, i64>,
    /// Whose a lead was until its prospect was merged away.
    former: HashMap<u128, ProspectId>,
}

impl Prior {
    /// Tells which prospects leads had until those were merged into others, the latest first: a part that is split off again gets
    /// its id back.
    ///
    /// # Errors
    /// A prospect id is not one of ours.
    pub fn remember<'a>(&mut self, former: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), Error> {
        for (lead, prospect) in former {
            let prospect = prospect.parse()?;
            self.former.entry(lead_hash(lead)).or_insert(prospect);
        }
        Ok(())
    }

    /// The prospect that a lead belonged to until it was merged away, if that is still so.
    fn former_of(&self, leads: &Leads, row: u32) -> Option<ProspectId> {
        if self.former.is_empty() {
            return None;
        }
        self.former.get(&lead_hash(leads.id(row))).copied().filter(|former| self.aliases.contains_key(former))
    }

    /// The id that these leads had before a merge, if it is free: that of most of them, and of those the least.
    fn revived(&self, leads: &Leads, members: &[u32]) -> Option<ProspectId> {
        let mut votes: BTreeMap<ProspectId, usize> = BTreeMap::new();
        for row in members {
            self.former_of(leads, *row).into_iter().for_each(|former| *votes.entry(former).or_default() += 1);
        }
        votes.into_iter().max_by_key(|(prospect, votes)| (*votes, std::cmp::Reverse(*prospect))).map(|(prospect, _)| prospect)
    }

    /// Reads the last run's `identity_link` rows and every `identity_event` row.
    ///
    /// # Errors
    /// A column is missing or mistyped, or a prospect id is not one of ours.
    pub fn read(links: &[RecordBatch], events: &[RecordBatch]) -> Result<Self, Error> {
        let mut prior = Self::default();
        for batch in events {
            prior.read_events(batch)?;
        }
        for batch in links {
            let leads = text_column(batch, "lead_id")?.ok_or(Error::MissingColumn { column: "lead_id" })?;
            let prospects = text_column(batch, "prospect_id")?.ok_or(Error::MissingColumn { column: "prospect_id" })?;
            // The rows of a prospect follow each other.
            let mut last: Option<(&str, ProspectId)> = None;
            for row in leads.iter().zip(&prospects) {
                let (Some(lead), Some(text)) = row else {
                    let column = if row.0.is_none() { "lead_id" } else { "prospect_id" };
                    return Err(Error::MissingValue { column });
                };
                let prospect = match last {
                    Some((known, prospect)) if known == text => prospect,
                    _ => text.parse()?,
                };
                last = Some((text, prospect));
                prior.of_lead.insert(lead_hash(lead), prospect);
            }
        }
        Ok(prior)
    }

    fn read_events(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let text = |column| text_column(batch, column)?.ok_or(Error::MissingColumn { column });
        let (prospects, kinds, others) = (text("prospect_id")?, text("kind")?, text("other_prospect_id")?);
        let at = instant_column(batch, "at")?.ok_or(Error::MissingColumn { column: "at" })?;
        for (((prospect, kind), other), at) in prospects.iter().zip(&kinds).zip(&others).zip(&at) {
            let prospect: ProspectId = prospect.ok_or(Error::MissingValue { column: "prospect_id" })?.parse()?;
            match (kind, other) {
                (Some("mint"), _) => {
                    let at = at.ok_or(Error::MissingValue { column: "at" })?;
                    self.minted_at.entry(prospect).and_modify(|first| *first = at.min(*first)).or_insert(at);
                    // Minted again: it was split off and has its id back.
                    self.aliases.remove(&prospect);
                }
                (Some("merge"), Some(other)) => {
                    self.aliases.insert(other.parse()?, prospect);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What the next run starts from, after `assignment` was committed at `at` (microseconds).
    #[must_use]
    pub fn after(mut self, leads: &Leads, clusters: &Clusters, assignment: &Assignment, at: i64) -> Self {
        self.of_lead.clear();
        for (members, prospect) in clusters.iter().zip(&assignment.prospects) {
            self.of_lead.extend(members.iter().map(|row| (lead_hash(leads.id(*row)), *prospect)));
        }
        for event in &assignment.events {
            match (event.change, event.other) {
                (Change::Mint, _) => {
                    self.minted_at.entry(event.prospect).or_insert(at);
                    self.aliases.remove(&event.prospect);
                }
                (Change::Merge, Some(other)) => {
                    self.aliases.insert(other, event.prospect);
                }
                (Change::Merge | Change::Split | Change::Retire, _) => {}
            }
        }
        self
    }

    /// The prospects of the last run some of whose leads are gone; `before` are those of the leads that are here.
    fn left(&self, leads: &Leads, before: &[Option<ProspectId>]) -> HashSet<ProspectId> {
        if before.iter().flatten().count() == self.of_lead.len() {
            return HashSet::new();
        }
        let here: HashSet<u128> = leads.rows().map(|row| lead_hash(leads.id(row))).collect();
        self.of_lead.iter().filter(|(lead, _)| !here.contains(*lead)).map(|(_, prospect)| *prospect).collect()
    }

    /// Where every alias led at the end of the last run.
    fn aliases_before(&self) -> BTreeMap<ProspectId, ProspectId> {
        if self.aliases.is_empty() { BTreeMap::new() } else { straight(&self.aliases, &self.of_lead.values().copied().collect()) }
    }

    /// How old an id is: by when it was minted, then by its text. An id without a mint event counts as the youngest.
    fn age(&self, prospect: ProspectId) -> (i64, ProspectId) {
        (self.minted_at.get(&prospect).copied().unwrap_or(i64::MAX), prospect)
    }

    fn of(&self, leads: &Leads, row: u32) -> Option<ProspectId> {
        self.of_lead.get(&lead_hash(leads.id(row))).copied()
    }
}

/// Who is not what they were in the last run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// The clusters that are another prospect, or of other leads, ascending.
    pub clusters: Vec<usize>,
    /// The prospects of the last run that lost leads, or are elsewhere.
    pub prospects: HashSet<ProspectId>,
}

/// Which prospect every cluster is, and what changed since the last run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The prospect of each cluster, in the order of [`Clusters`].
    pub prospects: Vec<ProspectId>,
    /// Every id that was merged away, with the prospect it is now; never a chain, never to a prospect without leads.
    pub aliases: BTreeMap<ProspectId, ProspectId>,
    /// What changed, in a fixed order.
    pub events: Vec<Event>,
    /// How much changed.
    pub counts: Counts,
    /// Who changed.
    pub moved: Moved,
}

/// Names every cluster.
#[must_use]
pub fn assign(leads: &Leads, links: &Links, clusters: &Clusters, prior: &Prior) -> Assignment {
    let before: Vec<Option<ProspectId>> = leads.rows().map(|row| prior.of(leads, row)).collect();
    let claims = claims(leads, clusters, &before, prior);
    let homes = homes(&claims);
    let mut assignment = Assignment::default();
    let keepers = keepers(&homes, prior);
    let mut used = InUse { prior, minted: HashSet::new(), before: before.iter().flatten().copied().collect() };

    for (number, members) in clusters.iter().enumerate() {
        let prospect = match keepers.get(&number) {
            Some(kept) => {
                assignment.counts.joined += members.iter().filter(|row| at(&before, **row).is_none()).count();
                *kept
            }
            None => {
                let revived = prior.revived(leads, members).filter(|prospect| used.revive(*prospect));
                let minted = revived.unwrap_or_else(|| used.mint(members.first().map_or("", |row| leads.id(*row))));
                assignment.events.push(Event { change: Change::Mint, prospect: minted, other: None, evidence: None });
                minted
            }
        };
        assignment.prospects.push(prospect);
    }
    for claim in &claims {
        let Some(now) = assignment.prospects.get(claim.cluster).copied() else { continue };
        let is_home = homes.get(&claim.prospect) == Some(&claim.cluster);
        if is_home && now != claim.prospect {
            let evidence = Some(joining_evidence(links, clusters, claim.cluster, &before));
            assignment.events.push(Event { change: Change::Merge, prospect: now, other: Some(claim.prospect), evidence });
        } else if !is_home {
            assignment.events.push(Event { change: Change::Split, prospect: claim.prospect, other: Some(now), evidence: None });
        }
    }
    let left = prior.left(leads, &before);
    let gone = left.iter().copied().filter(|prospect| !homes.contains_key(prospect));
    assignment.events.extend(gone.map(|prospect| Event { change: Change::Retire, prospect, other: None, evidence: None }));
    assignment.events.sort_unstable();
    assignment.count();
    assignment.aliases = aliases(prior, &assignment);
    assignment.moved = moved(clusters, &before, (prior, left), &assignment);
    assignment
}

/// Who is not what they were. `left` are the prospects of the last run some of whose leads are gone.
fn moved(
    clusters: &Clusters,
    before: &[Option<ProspectId>],
    (prior, left): (&Prior, HashSet<ProspectId>),
    assignment: &Assignment,
) -> Moved {
    let mut prospects = left;
    let mut is_moved = vec![false; clusters.len()];
    for ((members, now), is_moved) in clusters.iter().zip(&assignment.prospects).zip(&mut is_moved) {
        for before in members.iter().map(|row| at(before, *row)).filter(|before| before != &Some(*now)) {
            *is_moved = true;
            prospects.extend(before);
        }
    }
    // Whose alias leads elsewhere now, or nowhere, has another row.
    let mut targets = HashSet::new();
    for (alias, target) in prior.aliases_before() {
        let now = assignment.aliases.get(&alias);
        if now != Some(&target) {
            prospects.insert(alias);
            targets.extend(now.copied());
        }
    }
    let clusters = (0..).zip(&assignment.prospects).zip(is_moved);
    let clusters = clusters.filter(|((_, now), is_moved)| *is_moved || prospects.contains(*now) || targets.contains(*now));
    Moved { clusters: clusters.map(|((cluster, _), _)| cluster).collect(), prospects }
}

impl Assignment {
    fn count(&mut self) {
        for event in &self.events {
            match event.change {
                Change::Mint => self.counts.minted += 1,
                Change::Merge => self.counts.merged += 1,
                Change::Split => self.counts.split += 1,
                Change::Retire => self.counts.retired += 1,
            }
        }
    }
}

/// What a prospect of the last run holds of a cluster.
#[derive(Debug, Clone, Copy)]
struct Claim {
    prospect: ProspectId,
    cluster: usize,
    /// Leads that did not come to the prospect by a merge: where they are, it is at home.
    own: usize,
    leads: usize,
    oldest: (i64, u32),
}

/// One claim for every prospect and cluster that share a lead, by prospect.
fn claims(leads: &Leads, clusters: &Clusters, before: &[Option<ProspectId>], prior: &Prior) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    for (cluster, members) in clusters.iter().enumerate() {
        for row in members {
            let Some(prospect) = at(before, *row) else { continue };
            let own = usize::from(prior.former_of(leads, *row).is_none());
            claims.push(Claim { prospect, cluster, own, leads: 1, oldest: (leads.first_seen_at(*row), *row) });
        }
    }
    claims.sort_unstable_by_key(|claim| (claim.prospect, claim.cluster, claim.oldest));
    // The first of each run is the one with the oldest lead.
    claims.dedup_by(|next, first| {
        let is_same = (next.prospect, next.cluster) == (first.prospect, first.cluster);
        first.leads += usize::from(is_same);
        first.own += if is_same { next.own } else { 0 };
        is_same
    });
    claims
}

/// The cluster that holds the larger part of each prospect's own leads, then of all its leads; on a tie, the part with the oldest.
fn homes(claims: &[Claim]) -> HashMap<ProspectId, usize> {
    let mut homes = HashMap::new();
    for parts in claims.chunk_by(|one, two| one.prospect == two.prospect) {
        let largest = parts.iter().max_by_key(|claim| (claim.own, claim.leads, std::cmp::Reverse(claim.oldest)));
        homes.extend(largest.map(|claim| (claim.prospect, claim.cluster)));
    }
    homes
}

/// The id that each cluster keeps: the oldest of those that are at home in it.
fn keepers(homes: &HashMap<ProspectId, usize>, prior: &Prior) -> HashMap<usize, ProspectId> {
    let mut keepers: HashMap<usize, ProspectId> = HashMap::new();
    for (prospect, cluster) in homes {
        let keeper = keepers.entry(*cluster).or_insert(*prospect);
        if prior.age(*prospect) < prior.age(*keeper) {
            *keeper = *prospect;
        }
    }
    keepers
}

/// The distinct evidence of the edges that tie a cluster's former prospects together.
fn joining_evidence(links: &Links, clusters: &Clusters, cluster: usize, before: &[Option<ProspectId>]) -> String {
    let mut evidence: Vec<&str> = Vec::new();
    for row in clusters.members(cluster) {
        let Some(join) = clusters.join(*row) else { continue };
        if at(before, *row).is_none() || at(before, *row) != at(before, join.to) {
            let name = links.edges.get(join.edge as usize).and_then(|edge| links.evidence.get(edge.evidence as usize));
            evidence.extend(name.map(String::as_str));
        }
    }
    evidence.sort_unstable();
    evidence.dedup();
    evidence.join("; ")
}

/// Every alias, old and new, pointing straight at a prospect that has leads.
fn aliases(prior: &Prior, assignment: &Assignment) -> BTreeMap<ProspectId, ProspectId> {
    let mut next = prior.aliases.clone();
    for event in assignment.events.iter().filter(|event| event.change == Change::Merge) {
        next.extend(event.other.map(|other| (other, event.prospect)));
    }
    let live: HashSet<ProspectId> = assignment.prospects.iter().copied().collect();
    next.retain(|alias, _| !live.contains(alias));
    straight(&next, &live)
}

/// Aliases that point straight at a prospect that has leads, without those that lead to none.
fn straight(aliases: &BTreeMap<ProspectId, ProspectId>, live: &HashSet<ProspectId>) -> BTreeMap<ProspectId, ProspectId> {
    let mut straight = BTreeMap::new();
    for alias in aliases.keys() {
        let mut target = *alias;
        // No walk is longer than the map: an id that comes back is no alias any more.
        for _ in 0..=aliases.len() {
            match aliases.get(&target) {
                Some(further) => target = *further,
                None => break,
            }
        }
        if live.contains(&target) {
            straight.insert(*alias, target);
        }
    }
    straight
}

/// Ids that a new prospect may not take.
struct InUse<'a> {
    prior: &'a Prior,
    before: HashSet<ProspectId>,
    minted: HashSet<ProspectId>,
}

impl InUse<'_> {
    /// Takes an id that was merged away; not if a lead still has it, or another part took it.
    fn revive(&mut self, prospect: ProspectId) -> bool {
        !self.before.contains(&prospect) && self.minted.insert(prospect)
    }

    fn mint(&mut self, lead_id: &str) -> ProspectId {
        let mut attempt = 0;
        loop {
            let id = ProspectId::mint(lead_id, attempt);
            let is_taken =
                self.before.contains(&id) || self.prior.minted_at.contains_key(&id) || self.prior.aliases.contains_key(&id);
            if !is_taken && self.minted.insert(id) {
                return id;
            }
            attempt += 1;
        }
    }
}

fn at(before: &[Option<ProspectId>], row: u32) -> Option<ProspectId> {
    before.get(row as usize).copied().flatten()
}

fn lead_hash(lead_id: &str) -> u128 {
    xxh3_128(lead_id.as_bytes())
}
