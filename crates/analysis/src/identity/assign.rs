//! Stable ids: which prospect a cluster is, given what the prospects were before.
//!
//! A cluster keeps the oldest id among the prospects whose larger part it holds; the younger ones become its aliases. A part
//! that leaves a prospect gets a new id, never one that was in use before, so an id that went out to a CRM always means the
//! same lineage. Running again on the same leads changes nothing and causes no event.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::{HashMap, HashSet};

use super::ProspectId;
use super::cluster::Clusters;
use super::leads::Leads;
use super::link::Links;
use super::prior::{Owners, Prior, straight};

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
///
/// Most are who they were: a cluster of all leads of one prospect and of nobody else keeps its id whatever happens elsewhere, and is not
/// looked at further.
#[must_use]
pub fn assign(leads: &Leads, links: &Links, clusters: &Clusters, prior: &Prior) -> Assignment {
    let before = Before::of(leads, clusters, prior.owners());
    let claims = claims(leads, clusters, &before, prior);
    let homes = homes(&claims);
    let mut assignment = Assignment::default();
    let keepers = keepers(&homes, prior);
    let mut used = InUse { prior, minted: HashSet::new(), before: &before };

    for (number, members) in clusters.iter().enumerate() {
        let prospect = match (before.unmoved(number), keepers.get(&number)) {
            (Some(kept), _) => kept,
            (None, Some(kept)) => {
                assignment.counts.joined += members.iter().filter(|row| before.of_row(**row).is_none()).count();
                *kept
            }
            (None, None) => {
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
    let left = before.left(leads);
    let gone = left.iter().copied().filter(|prospect| !homes.contains_key(prospect));
    assignment.events.extend(gone.map(|prospect| Event { change: Change::Retire, prospect, other: None, evidence: None }));
    assignment.events.sort_unstable();
    assignment.count();
    let live = Live::of(&assignment.prospects, &before);
    assignment.aliases = aliases(prior, &assignment.events, &live);
    assignment.moved = moved(clusters, (prior, &before, left), &assignment, &live);
    assignment
}

/// No prospect of the last run.
const NOBODY: u32 = u32::MAX;

/// What the last run says of the leads that are here.
struct Before<'a> {
    owners: &'a Owners,
    /// By lead: the number of its prospect.
    numbers: Vec<u32>,
    /// By the number of a prospect: whether a lead of it is here.
    is_here: Vec<bool>,
    /// By cluster: the number of the prospect that it was and is, with the same leads.
    unmoved: Vec<u32>,
    /// By the number of a prospect: the cluster that it was and is.
    homes: Vec<u32>,
}

impl<'a> Before<'a> {
    fn of(leads: &Leads, clusters: &Clusters, owners: &'a Owners) -> Self {
        let numbers: Vec<u32> = leads.rows().map(|row| owners.of(leads.id(row)).unwrap_or(NOBODY)).collect();
        let number_of = |row: u32| numbers.get(row as usize).copied().unwrap_or(NOBODY);
        let mut is_here = vec![false; owners.len()];
        for number in &numbers {
            is_here.get_mut(*number as usize).into_iter().for_each(|is_here| *is_here = true);
        }
        let (mut unmoved, mut homes) = (Vec::with_capacity(clusters.len()), vec![NOBODY; owners.len()]);
        for (cluster, members) in (0_u32..).zip(clusters.iter()) {
            let number = members.first().map_or(NOBODY, |row| number_of(*row));
            let is_unmoved =
                number != NOBODY && members.len() == owners.size(number) && members.iter().all(|row| number_of(*row) == number);
            unmoved.push(if is_unmoved { number } else { NOBODY });
            homes.get_mut(number as usize).filter(|_| is_unmoved).into_iter().for_each(|home| *home = cluster);
        }
        Self { owners, numbers, is_here, unmoved, homes }
    }

    /// The prospect of a lead.
    fn of_row(&self, row: u32) -> Option<ProspectId> {
        self.owners.prospect(self.numbers.get(row as usize).copied()?)
    }

    /// The prospect that a cluster was and is.
    fn unmoved(&self, cluster: usize) -> Option<ProspectId> {
        self.owners.prospect(self.unmoved.get(cluster).copied()?)
    }

    /// The cluster of a prospect that is what it was.
    fn home(&self, prospect: ProspectId) -> Option<usize> {
        let home = self.homes.get(self.owners.find(prospect)? as usize).copied();
        home.filter(|home| *home != NOBODY).map(|home| home as usize)
    }

    /// Whether a lead of this prospect is here.
    fn is_here(&self, prospect: ProspectId) -> bool {
        self.owners.find(prospect).and_then(|number| self.is_here.get(number as usize)) == Some(&true)
    }

    /// The prospects some of whose leads are gone.
    fn left(&self, leads: &Leads) -> HashSet<ProspectId> {
        if self.numbers.iter().filter(|number| **number != NOBODY).count() == self.owners.leads() {
            return HashSet::new();
        }
        self.owners.without(leads.rows().map(|row| leads.id(row)))
    }
}

/// The prospects that have leads now.
struct Live<'a> {
    before: &'a Before<'a>,
    /// Those that are not what they were, with their clusters.
    others: HashMap<ProspectId, usize>,
}

impl<'a> Live<'a> {
    fn of(prospects: &[ProspectId], before: &'a Before<'a>) -> Self {
        let others = prospects.iter().zip(0..).filter(|(_, cluster)| before.unmoved(*cluster).is_none());
        Self { before, others: others.map(|(prospect, cluster)| (*prospect, cluster)).collect() }
    }

    fn cluster(&self, prospect: ProspectId) -> Option<usize> {
        self.before.home(prospect).or_else(|| self.others.get(&prospect).copied())
    }
}

/// Who is not what they were. `left` are the prospects of the last run some of whose leads are gone.
fn moved(
    clusters: &Clusters,
    (prior, before, left): (&Prior, &Before<'_>, HashSet<ProspectId>),
    assignment: &Assignment,
    live: &Live<'_>,
) -> Moved {
    let mut prospects = left;
    let mut moved: BTreeSet<usize> = BTreeSet::new();
    for (cluster, (members, now)) in clusters.iter().zip(&assignment.prospects).enumerate() {
        if before.unmoved(cluster).is_some() {
            continue;
        }
        for before in members.iter().map(|row| before.of_row(*row)).filter(|before| before != &Some(*now)) {
            moved.insert(cluster);
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
    moved.extend(prospects.iter().chain(&targets).filter_map(|prospect| live.cluster(*prospect)));
    Moved { clusters: moved.into_iter().collect(), prospects }
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

/// One claim for every prospect and cluster that share a lead, by prospect, but for the clusters that are what they were.
fn claims(leads: &Leads, clusters: &Clusters, before: &Before<'_>, prior: &Prior) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    for (cluster, members) in clusters.iter().enumerate().filter(|(cluster, _)| before.unmoved(*cluster).is_none()) {
        for row in members {
            let Some(prospect) = before.of_row(*row) else { continue };
            let own = usize::from(prior.former_of(leads.id(*row)).is_none());
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
fn joining_evidence(links: &Links, clusters: &Clusters, cluster: usize, before: &Before<'_>) -> String {
    let mut evidence: Vec<&str> = Vec::new();
    for row in clusters.members(cluster) {
        let Some(join) = clusters.join(*row) else { continue };
        if before.of_row(*row).is_none() || before.of_row(*row) != before.of_row(join.to) {
            let name = links.edges.get(join.edge as usize).and_then(|edge| links.evidence.get(edge.evidence as usize));
            evidence.extend(name.map(String::as_str));
        }
    }
    evidence.sort_unstable();
    evidence.dedup();
    evidence.join("; ")
}

/// Every alias, old and new, pointing straight at a prospect that has leads.
fn aliases(prior: &Prior, events: &[Event], live: &Live<'_>) -> BTreeMap<ProspectId, ProspectId> {
    let mut next = prior.aliases.clone();
    for event in events.iter().filter(|event| event.change == Change::Merge) {
        next.extend(event.other.map(|other| (other, event.prospect)));
    }
    next.retain(|alias, _| live.cluster(*alias).is_none());
    straight(&next, |prospect| live.cluster(prospect).is_some())
}

/// Ids that a new prospect may not take.
struct InUse<'a> {
    prior: &'a Prior,
    before: &'a Before<'a>,
    minted: HashSet<ProspectId>,
}

impl InUse<'_> {
    /// Takes an id that was merged away; not if a lead still has it, or another part took it.
    fn revive(&mut self, prospect: ProspectId) -> bool {
        !self.before.is_here(prospect) && self.minted.insert(prospect)
    }

    fn mint(&mut self, lead_id: &str) -> ProspectId {
        let mut attempt = 0;
        loop {
            let id = ProspectId::mint(lead_id, attempt);
            if !self.prior.was_given(id) && self.minted.insert(id) {
                return id;
            }
            attempt += 1;
        }
    }
}
