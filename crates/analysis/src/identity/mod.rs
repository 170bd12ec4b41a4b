//! Identity: which leads are one person, what that person is called from now on, and what we believe about them.
//!
//! Four pure steps, all deterministic for a set of leads whatever its order: [`Resolver::link`] finds joins with their evidence,
//! [`cluster`] groups the leads, [`assign`] gives the groups ids that last, and [`Survivorship`] picks each field's value and says
//! by which rule. [`resolve`] does the first three. [`Directory`] then finds the prospect of an order or a click.
//!
//! It is not a store and not a schedule: the leads, the last run's links and the time come in by the door.

mod assign;
mod batches;
mod cluster;
mod directory;
pub mod engine;
mod error;
mod forest;
mod golden;
mod keys;
mod leads;
mod link;
mod part;
mod prior;
mod probabilistic;
mod prospect_id;
pub mod sample;
mod standing;
mod survive;
#[cfg(test)]
mod tests;

pub use assign::{Assignment, Change, Counts, Event, Moved, assign};
pub use batches::{Stamp, identity_events, identity_links};
pub use cluster::{Clusters, Join, cluster};
pub use directory::Directory;
pub use error::Error;
pub(crate) use forest::Forest;
pub use golden::Golden;
pub use keys::{NameKey, is_role, linkedin_key, match_key, name_key, phone_key};
pub use leads::{Field, Leads};
pub use link::{Bounds, Edge, Exact, Links, Method, Resolver};
pub use prior::Prior;
pub use probabilistic::{Found, Probabilistic};
pub use prospect_id::ProspectId;
pub use standing::{OP_CLEAR, Policy, Rule};
pub use survive::{Edit, SURVIVING, Survived, Survivorship};

/// Who is who, before any field is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The joins.
    pub links: Links,
    /// The groups.
    pub clusters: Clusters,
    /// Their names, and what changed.
    pub assignment: Assignment,
}

/// Links, clusters and names the leads.
///
/// # Errors
/// The resolver broke its contract and named leads that are not there.
pub fn resolve(leads: &Leads, resolver: &dyn Resolver, prior: &Prior) -> Result<Resolved, Error> {
    let links = resolver.link(leads);
    let clusters = cluster(leads.len(), &links)?;
    let assignment = assign(leads, &links, &clusters, prior);
    Ok(Resolved { links, clusters, assignment })
}
