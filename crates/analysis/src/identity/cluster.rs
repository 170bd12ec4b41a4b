//! From joins to persons: connected groups of leads, each held together by recorded edges.
//!
//! Invariants: clusters stand in the order of their smallest lead id, and so do the leads within one; every lead but a cluster's
//! first has exactly one edge that placed it, and those edges connect the cluster. All of it depends on the set of edges alone.

#![expect(clippy::indexing_slicing, reason = "positions are below the number of leads: `cluster` checks every edge first")]
#![expect(clippy::cast_possible_truncation, reason = "`Leads` holds at most 2^31 rows, and `cluster` checks the number of edges")]

use super::Error;
use super::forest::Forest;
use super::link::{Edge, Links};

/// A join that placed a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Join {
    /// The lead it was joined to.
    pub to: u32,
    /// The position of the edge in [`Links::edges`].
    pub edge: u32,
}

/// The leads, grouped by person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clusters {
    members: Vec<u32>,
    starts: Vec<u32>,
    joins: Vec<Option<Join>>,
}

impl Clusters {
    /// The clusters with these members, one after the other, from each of these starts to the next, and what placed each lead.
    pub(super) fn from_parts(members: Vec<u32>, starts: Vec<u32>, joins: Vec<Option<Join>>) -> Self {
        Self { members, starts, joins }
    }

    /// How many clusters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The leads of a cluster in the order of their ids.
    #[must_use]
    pub fn members(&self, cluster: usize) -> &[u32] {
        match (self.starts.get(cluster), self.starts.get(cluster + 1)) {
            (Some(from), Some(to)) => &self.members[*from as usize..*to as usize],
            _ => &[],
        }
    }

    /// Every cluster's leads, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        (0..self.len()).map(|cluster| self.members(cluster))
    }

    /// The edge that placed a lead; the first lead of a cluster has none.
    #[must_use]
    pub fn join(&self, row: u32) -> Option<Join> {
        self.joins.get(row as usize).copied().flatten()
    }

    /// The size of the largest cluster: the number to watch for a chain of wrong joins.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.iter().map(<[u32]>::len).max().unwrap_or(0)
    }
}

/// Groups `leads` leads by the edges among them.
///
/// # Errors
/// An edge names a lead or an evidence that does not exist, or there are more edges than one resolve can number.
pub fn cluster(leads: usize, links: &Links) -> Result<Clusters, Error> {
    let known = |edge: &Edge| {
        (edge.left as usize) < leads && (edge.right as usize) < leads && (edge.evidence as usize) < links.evidence.len()
    };
    u32::try_from(links.edges.len()).map_err(|_| Error::TooManyLeads)?;
    if !links.edges.iter().all(known) {
        return Err(Error::ForeignEdge);
    }
    let mut forest = Forest::new(leads);
    let kept = strongest_first(&links.edges).into_iter().filter(|at| {
        let edge = &links.edges[*at as usize];
        forest.union(edge.left, edge.right)
    });
    let kept: Vec<u32> = kept.collect();
    let (members, starts) = group(&mut forest);
    let joins = place(leads, &links.edges, &kept, &members, &starts);
    Ok(Clusters { members, starts, joins })
}

/// The edges by falling score, then by evidence and position, so that the kept ones do not depend on their order.
fn strongest_first(edges: &[Edge]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..edges.len() as u32).collect();
    order.sort_unstable_by(|one, two| {
        let (one, two) = (&edges[*one as usize], &edges[*two as usize]);
        let rank = |edge: &Edge| (edge.evidence, edge.left.min(edge.right), edge.left.max(edge.right));
        two.score.total_cmp(&one.score).then_with(|| rank(one).cmp(&rank(two)))
    });
    order
}

/// Counting sort of the rows by root: members, and where each cluster starts (with the end as last entry).
fn group(forest: &mut Forest) -> (Vec<u32>, Vec<u32>) {
    let leads = forest.len() as u32;
    // A root is smaller than its other members, so it is numbered before they are met.
    let mut number_of: Vec<u32> = vec![0; leads as usize];
    let mut sizes: Vec<u32> = Vec::new();
    for row in 0..leads {
        let root = forest.root(row);
        if root == row {
            number_of[row as usize] = sizes.len() as u32;
            sizes.push(0);
        } else {
            number_of[row as usize] = number_of[root as usize];
        }
        sizes[number_of[row as usize] as usize] += 1;
    }
    let mut starts = Vec::with_capacity(sizes.len() + 1);
    starts.push(0);
    starts.extend(sizes.iter().scan(0, |end, size| {
        *end += size;
        Some(*end)
    }));
    let mut next = starts.clone();
    let mut members = vec![0; leads as usize];
    for row in 0..leads {
        let slot = &mut next[number_of[row as usize] as usize];
        members[*slot as usize] = row;
        *slot += 1;
    }
    (members, starts)
}

/// Walks each cluster's tree from its first lead, so that every other lead knows the edge it came by.
fn place(leads: usize, edges: &[Edge], kept: &[u32], members: &[u32], starts: &[u32]) -> Vec<Option<Join>> {
    let mut ends = vec![0_u32; leads + 1];
    for at in kept {
        let edge = &edges[*at as usize];
        ends[edge.left as usize + 1] += 1;
        ends[edge.right as usize + 1] += 1;
    }
    for row in 0..leads {
        ends[row + 1] += ends[row];
    }
    let mut next = ends.clone();
    let mut touching = vec![0_u32; 2 * kept.len()];
    for at in kept {
        let edge = &edges[*at as usize];
        for row in [edge.left, edge.right] {
            touching[next[row as usize] as usize] = *at;
            next[row as usize] += 1;
        }
    }
    let mut joins = vec![None; leads];
    let mut open = Vec::new();
    for start in &starts[..starts.len() - 1] {
        let first = members[*start as usize];
        open.push(first);
        while let Some(row) = open.pop() {
            for at in &touching[ends[row as usize] as usize..ends[row as usize + 1] as usize] {
                let edge = &edges[*at as usize];
                let other = if edge.left == row { edge.right } else { edge.left };
                if other != first && joins[other as usize].is_none() {
                    joins[other as usize] = Some(Join { to: row, edge: *at });
                    open.push(other);
                }
            }
        }
    }
    joins
}
