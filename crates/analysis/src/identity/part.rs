//! Some of the persons of a run, as if they were all there are: what is made of each person depends on nobody else.

#![expect(clippy::cast_possible_truncation, reason = "a part has no more leads, edges and clusters than the whole, which fit")]

use hashbrown::HashSet;

use super::assign::{Assignment, Moved};
use super::cluster::{Clusters, Join};
use super::link::Links;
use super::{Edge, Resolved};

impl Resolved {
    /// The leads of these clusters, ascending.
    #[must_use]
    pub fn leads_of(&self, clusters: &[usize]) -> Vec<u32> {
        let mut rows: Vec<u32> = clusters.iter().flat_map(|cluster| self.clusters.members(*cluster)).copied().collect();
        rows.sort_unstable();
        rows
    }

    /// These clusters, ascending, over [their leads](Self::leads_of) alone. Events and counts stay those of the whole, of the
    /// aliases those that lead to one of these, and nobody has moved.
    #[must_use]
    pub fn part(&self, clusters: &[usize]) -> Self {
        let rows = self.leads_of(clusters);
        let place = |row: &u32| rows.binary_search(row).ok().map(|place| place as u32);
        let mut links = Links { edges: Vec::new(), evidence: self.links.evidence.clone(), generic_keys: self.links.generic_keys };
        let mut joins = vec![None; rows.len()];
        let (mut members, mut starts) = (Vec::with_capacity(rows.len()), vec![0]);
        for cluster in clusters {
            for row in self.clusters.members(*cluster) {
                let Some(here) = place(row) else { continue };
                members.push(here);
                let joined = self.clusters.join(*row);
                let edge = joined.and_then(|join| self.links.edges.get(join.edge as usize).copied());
                if let (Some(join), Some(edge)) = (joined, edge)
                    && let (Some(to), Some(slot)) = (place(&join.to), joins.get_mut(here as usize))
                {
                    *slot = Some(Join { to, edge: links.edges.len() as u32 });
                    links.edges.push(Edge { left: here, right: to, ..edge });
                }
            }
            starts.push(members.len() as u32);
        }
        let Assignment { prospects, aliases, events, counts, moved: _ } = &self.assignment;
        let prospects: Vec<_> = clusters.iter().filter_map(|cluster| prospects.get(*cluster).copied()).collect();
        let mut aliases = aliases.clone();
        if !aliases.is_empty() {
            let here: HashSet<_> = prospects.iter().copied().collect();
            aliases.retain(|_, target| here.contains(target));
        }
        let assignment = Assignment { prospects, aliases, events: events.clone(), counts: *counts, moved: Moved::default() };
        Self { links, clusters: Clusters::from_parts(members, starts, joins), assignment }
    }
}
