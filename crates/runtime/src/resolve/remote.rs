//! Whose a remote's record is that we wrote there: what a CRM says of its own record is said of the person whom we pushed.

use std::collections::{BTreeMap, HashMap};

use headwater_analysis::identity::Assignment;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::error::Result;

/// The records that sinks wrote, for the sources that read the same remotes.
#[derive(Debug, Default)]
pub(super) struct RemoteRecords {
    /// By source: the prospect of each record, by the remote's id.
    of: BTreeMap<String, BTreeMap<String, String>>,
}

impl RemoteRecords {
    pub(super) async fn read(engine: &Engine) -> Result<Self> {
        let mut of = BTreeMap::new();
        for source in &engine.project.sources {
            let Some(sink) = &source.section.same_as_sink else { continue };
            let mut links: Vec<_> = engine.store.links(sink).await?.into_values().collect();
            // Where two prospects were one record, the one that was pushed last has it.
            links.sort_by(|one, two| (one.pushed_at, &one.prospect_id).cmp(&(two.pushed_at, &two.prospect_id)));
            of.insert(source.name.clone(), links.into_iter().map(|link| (link.remote_id, link.prospect_id)).collect());
        }
        Ok(Self { of })
    }

    /// Everything of them on which an answer depends; null where no source reads a sink's remote.
    pub(super) fn state(&self) -> Value {
        if self.of.is_empty() {
            return Value::Null;
        }
        let mut said = blake3::Hasher::new();
        for (source, records) in &self.of {
            for (remote_id, prospect_id) in records {
                said.update(format!("{source}\n{remote_id}\n{prospect_id}\n").as_bytes());
            }
        }
        json!(said.finalize().to_hex().as_str())
    }

    /// The cluster of each record's person, by source and the remote's id.
    pub(super) fn owners(&self, assignment: &Assignment) -> RemoteOwners {
        if self.of.is_empty() {
            return RemoteOwners::default();
        }
        let cluster_of: HashMap<String, usize> =
            assignment.prospects.iter().enumerate().map(|(cluster, id)| (id.to_string(), cluster)).collect();
        let merged: HashMap<String, String> =
            assignment.aliases.iter().map(|(from, into)| (from.to_string(), into.to_string())).collect();
        let cluster = |id: &String| cluster_of.get(merged.get(id).unwrap_or(id)).copied();
        let of = self.of.iter().map(|(source, records)| {
            let records = records.iter().filter_map(|(remote_id, id)| Some((remote_id.clone(), cluster(id)?)));
            (source.clone(), records.collect())
        });
        RemoteOwners { of: of.collect() }
    }
}

/// The person of each record, as a cluster of leads.
#[derive(Debug, Default)]
pub(super) struct RemoteOwners {
    of: HashMap<String, HashMap<String, usize>>,
}

impl RemoteOwners {
    /// The person whose record it is.
    pub(super) fn by_record(&self, source: &str, remote_id: &str) -> Option<usize> {
        self.of.get(source)?.get(remote_id).copied()
    }
}
