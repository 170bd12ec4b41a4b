//! What the last run decided: whose every lead was, which ids were merged away, and when each was made.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use hashbrown::hash_table::Entry;
use hashbrown::{HashMap, HashSet, HashTable};
use xxhash_rust::xxh3::xxh3_128;

use super::assign::{Assignment, Change};
use super::cluster::Clusters;
use super::leads::{Leads, instant_column, text_column};
use super::{Error, ProspectId};

/// What the last run decided.
#[derive(Debug, Clone, Default)]
pub struct Prior {
    owners: Owners,
    pub(super) aliases: BTreeMap<ProspectId, ProspectId>,
    /// When each id was given to somebody first, in the order of the ids.
    minted: Vec<(ProspectId, i64)>,
    /// Whose a lead was until its prospect was merged away.
    former: HashMap<u128, ProspectId>,
}

/// The prospects of the last run, by a number each, and whose every lead was. At a million leads a table of ids costs more than the
/// order of them, and few are looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Owners {
    /// With how many leads each had.
    known: Vec<(ProspectId, u32)>,
    /// Their numbers, in the order of the ids.
    order: Vec<u32>,
    of_lead: HashTable<Owned>,
}

/// Whose a lead was. By 96 bits of its digest, two of 2^32 leads are one with a chance of 1e-10.
#[derive(Debug, Clone, Copy)]
struct Owned {
    head: u64,
    tail: u32,
    owner: u32,
}

impl Owners {
    /// Numbers a prospect that is not the last one.
    fn number(&mut self, prospect: ProspectId) -> u32 {
        self.known.push((prospect, 0));
        u32::try_from(self.known.len() - 1).unwrap_or(u32::MAX)
    }

    fn give(&mut self, lead: &str, owner: u32) {
        let (head, tail) = digest(lead);
        let is_it = |owned: &Owned| (owned.head, owned.tail) == (head, tail);
        match self.of_lead.entry(head, is_it, |owned| owned.head) {
            Entry::Occupied(mut known) => known.get_mut().owner = owner,
            Entry::Vacant(room) => {
                room.insert(Owned { head, tail, owner });
            }
        }
    }

    /// Puts the prospects in order and counts their leads, once all leads are given. Who was numbered twice gets one number.
    fn settle(&mut self) {
        let Self { known, order, of_lead } = self;
        let mut sorted: Vec<(ProspectId, u32)> =
            known.iter().zip(0..).map(|((prospect, _), number)| (*prospect, number)).collect();
        sorted.sort_unstable();
        let mut one_of: Vec<u32> = (0..).take(known.len()).collect();
        let mut is_twice = false;
        sorted.dedup_by(|(again, number), (prospect, first)| {
            if again == prospect {
                is_twice = true;
                one_of.get_mut(*number as usize).into_iter().for_each(|number| *number = *first);
            }
            again == prospect
        });
        if is_twice {
            of_lead.iter_mut().for_each(|owned| owned.owner = one_of.get(owned.owner as usize).copied().unwrap_or(owned.owner));
        }
        known.iter_mut().for_each(|(_, leads)| *leads = 0);
        for owned in &*of_lead {
            known.get_mut(owned.owner as usize).into_iter().for_each(|(_, leads)| *leads += 1);
        }
        *order = sorted.into_iter().map(|(_, number)| number).collect();
    }

    /// The number of a lead's prospect.
    pub(super) fn of(&self, lead: &str) -> Option<u32> {
        let (head, tail) = digest(lead);
        self.of_lead.find(head, |owned| (owned.head, owned.tail) == (head, tail)).map(|owned| owned.owner)
    }

    /// The prospect of a number.
    pub(super) fn prospect(&self, number: u32) -> Option<ProspectId> {
        self.known.get(number as usize).map(|(prospect, _)| *prospect)
    }

    /// How many leads the prospect of a number had.
    pub(super) fn size(&self, number: u32) -> usize {
        self.known.get(number as usize).map_or(0, |(_, leads)| *leads as usize)
    }

    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The number of a prospect that had leads.
    pub(super) fn find(&self, prospect: ProspectId) -> Option<u32> {
        let at = self.order.binary_search_by_key(&Some(prospect), |number| self.prospect(*number)).ok()?;
        self.order.get(at).copied().filter(|number| self.size(*number) > 0)
    }

    /// How many leads were somebody's.
    pub(super) fn leads(&self) -> usize {
        self.of_lead.len()
    }

    /// The prospects of which a lead is not among these.
    pub(super) fn without<'a>(&self, here: impl Iterator<Item = &'a str>) -> HashSet<ProspectId> {
        let here: HashSet<(u64, u32)> = here.map(digest).collect();
        let gone = self.of_lead.iter().filter(|owned| !here.contains(&(owned.head, owned.tail)));
        gone.filter_map(|owned| self.prospect(owned.owner)).collect()
    }
}

/// A digest of a lead's id.
fn digest(lead_id: &str) -> (u64, u32) {
    let digest = lead_hash(lead_id);
    #[expect(clippy::cast_possible_truncation, reason = "these bits of it are enough")]
    let parts = (digest as u64, (digest >> u64::BITS) as u32);
    parts
}

impl Prior {
    /// What it reads of the rows of `identity_link`.
    pub const LINK_COLUMNS: [&str; 2] = ["lead_id", "prospect_id"];
    /// What it reads of the rows of `identity_event`.
    pub const EVENT_COLUMNS: [&str; 4] = ["prospect_id", "kind", "other_prospect_id", "at"];

    /// Reads the last run's `identity_link` rows and every `identity_event` row.
    ///
    /// # Errors
    /// A column is missing or mistyped, or a prospect id is not one of ours.
    pub fn read(links: &[RecordBatch], events: &[RecordBatch]) -> Result<Self, Error> {
        let mut prior = Self::default();
        for batch in events {
            prior.read_events(batch)?;
        }
        prior.in_order();
        let Owners { of_lead, .. } = &mut prior.owners;
        of_lead.reserve(links.iter().map(RecordBatch::num_rows).sum(), |owned| owned.head);
        for batch in links {
            let leads = text_column(batch, "lead_id")?.ok_or(Error::MissingColumn { column: "lead_id" })?;
            let prospects = text_column(batch, "prospect_id")?.ok_or(Error::MissingColumn { column: "prospect_id" })?;
            // The rows of a prospect follow each other.
            let mut last: Option<(&str, u32)> = None;
            for row in leads.iter().zip(&prospects) {
                let (Some(lead), Some(text)) = row else {
                    let column = if row.0.is_none() { "lead_id" } else { "prospect_id" };
                    return Err(Error::MissingValue { column });
                };
                let number = match last {
                    Some((known, number)) if known == text => number,
                    _ => prior.owners.number(text.parse()?),
                };
                last = Some((text, number));
                prior.owners.give(lead, number);
            }
        }
        prior.owners.settle();
        Ok(prior)
    }

    /// Puts the ids that were given in order, each with the first time.
    fn in_order(&mut self) {
        if !self.minted.is_sorted() {
            self.minted.sort_unstable();
        }
        self.minted.dedup_by_key(|(prospect, _)| *prospect);
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
                    self.minted.push((prospect, at));
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

    /// What the next run starts from, after `assignment` was committed at `at` (microseconds).
    #[must_use]
    pub fn after(mut self, leads: &Leads, clusters: &Clusters, assignment: &Assignment, at: i64) -> Self {
        self.owners = Owners::default();
        for (members, prospect) in clusters.iter().zip(&assignment.prospects) {
            let number = self.owners.number(*prospect);
            members.iter().for_each(|row| self.owners.give(leads.id(*row), number));
        }
        self.owners.settle();
        for event in &assignment.events {
            match (event.change, event.other) {
                (Change::Mint, _) => {
                    self.minted.push((event.prospect, at));
                    self.aliases.remove(&event.prospect);
                }
                (Change::Merge, Some(other)) => {
                    self.aliases.insert(other, event.prospect);
                }
                (Change::Merge | Change::Split | Change::Retire, _) => {}
            }
        }
        self.in_order();
        self
    }

    /// Whose every lead was.
    pub(super) fn owners(&self) -> &Owners {
        &self.owners
    }

    /// The prospect that a lead belonged to until it was merged away, if that is still so.
    pub(super) fn former_of(&self, lead: &str) -> Option<ProspectId> {
        if self.former.is_empty() {
            return None;
        }
        self.former.get(&lead_hash(lead)).copied().filter(|former| self.aliases.contains_key(former))
    }

    /// The id that these leads had before a merge, if it is free: that of most of them, and of those the least.
    pub(super) fn revived(&self, leads: &Leads, members: &[u32]) -> Option<ProspectId> {
        let mut votes: BTreeMap<ProspectId, usize> = BTreeMap::new();
        for row in members {
            self.former_of(leads.id(*row)).into_iter().for_each(|former| *votes.entry(former).or_default() += 1);
        }
        votes.into_iter().max_by_key(|(prospect, votes)| (*votes, std::cmp::Reverse(*prospect))).map(|(prospect, _)| prospect)
    }

    /// Where every alias led at the end of the last run.
    pub(super) fn aliases_before(&self) -> BTreeMap<ProspectId, ProspectId> {
        straight(&self.aliases, |prospect| self.owners.find(prospect).is_some())
    }

    /// How old an id is: by when it was minted, then by its text. An id without a mint event counts as the youngest.
    pub(super) fn age(&self, prospect: ProspectId) -> (i64, ProspectId) {
        (self.minted_at(prospect).unwrap_or(i64::MAX), prospect)
    }

    /// Whether an id was ever given to somebody.
    pub(super) fn was_given(&self, prospect: ProspectId) -> bool {
        self.owners.find(prospect).is_some() || self.minted_at(prospect).is_some() || self.aliases.contains_key(&prospect)
    }

    fn minted_at(&self, prospect: ProspectId) -> Option<i64> {
        let at = self.minted.binary_search_by_key(&prospect, |(minted, _)| *minted).ok()?;
        self.minted.get(at).map(|(_, at)| *at)
    }
}

/// Aliases that point straight at a prospect that has leads, without those that lead to none.
pub(super) fn straight(
    aliases: &BTreeMap<ProspectId, ProspectId>,
    is_live: impl Fn(ProspectId) -> bool,
) -> BTreeMap<ProspectId, ProspectId> {
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
        if is_live(target) {
            straight.insert(*alias, target);
        }
    }
    straight
}

fn lead_hash(lead_id: &str) -> u128 {
    xxh3_128(lead_id.as_bytes())
}
