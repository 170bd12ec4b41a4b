//! Whom a run has to write: everybody, or those of whom something is not as the last run left it.
//!
//! A person is a function of their leads, touches and facts and of the rules. So where the rules are those of the last run, and the
//! lake still has all that it read then, a person is as they were unless one of their rows came since, or they are of other leads or
//! own other facts than then. The rest of the tables of people stays where it lies.

use hashbrown::{HashMap, HashSet};
use headwater_analysis::identity::{Assignment, Leads, ProspectId, Resolved};
use headwater_model::tables::{self, Table};
use headwater_store::{FileRows, Snapshot, SnapshotId};
use serde_json::{Value, json};

use super::INPUTS;
use super::identify::Identified;
use super::timeline::Facts;
use crate::cells::each;
use crate::error::Result;
use crate::rows::{load, text};

/// The tables that have rows of people, all of which name their prospect.
pub(super) const OF_PEOPLE: [&Table; 4] =
    [&tables::PROSPECT, &tables::PROSPECT_FIELD, &tables::IDENTITY_LINK, &tables::LIFECYCLE_TRANSITION];
/// A table is written anew when so many of its rows are of no use any more, of each hundred: every reader steps over them. So it is when
/// so many of the people changed at once.
const WORN_PERCENT: i64 = 20;
/// A table is written anew when it has so many files: each is opened by every reader.
const MOST_FILES: usize = 64;

/// The inputs that may change without a change of everybody: what is new of them is looked at.
const FOLLOWED: [&str; 2] = ["tables", "records"];

/// What a run read, for the next one to know what came since.
pub(super) fn seen(snapshot: &Snapshot, generic_keys: usize) -> Value {
    let tables = INPUTS.iter().map(|table| (table.name.to_owned(), json!(digest(snapshot, table, SnapshotId::MAX))));
    json!({ "snapshot": snapshot.id(), "generic_keys": generic_keys, "files": tables.collect::<serde_json::Map<_, _>>() })
}

/// A last run from which this one can go on: all that it read is still as it was, its rules are those of now, and the tables of
/// people are not worn.
#[derive(Debug)]
pub(super) struct Last {
    /// The snapshot that it read.
    pub(super) snapshot: SnapshotId,
    model: String,
    generic_keys: u64,
}

impl Last {
    /// The last run, by what it left in the cursor and by what this one goes by.
    pub(super) fn of(snapshot: &Snapshot, before: Option<&Value>, state: &Value) -> Option<Self> {
        let before = before?;
        let (then, now) = (before.get("inputs")?.as_object()?, state.get("inputs")?.as_object()?);
        let is_followed = |name: &String| FOLLOWED.contains(&name.as_str());
        let is_same =
            then.len() == now.len() && now.iter().all(|(name, value)| is_followed(name) || then.get(name) == Some(value));
        let (model, seen) = (before.pointer("/identity/model")?.as_str()?.to_owned(), before.get("seen")?);
        let (last, generic_keys) = (seen.get("snapshot")?.as_i64()?, seen.get("generic_keys")?.as_u64()?);
        let is_kept = |table: &&Table| {
            seen.get("files").and_then(|files| files.get(table.name)).and_then(Value::as_str)
                == Some(&digest(snapshot, table, last))
        };
        let is_fresh = |table: &&Table| {
            let (gone, left) = (snapshot.deleted_rows(table), snapshot.rows(table));
            gone * 100 <= (gone + left) * WORN_PERCENT && snapshot.files(table).len() < MOST_FILES
        };
        let goes_on = is_same && INPUTS.iter().all(is_kept) && OF_PEOPLE.iter().all(is_fresh);
        goes_on.then_some(Self { snapshot: last, model, generic_keys })
    }

    /// Whether what it decided still stands: by this model, and with as many keys that are too common. A key that joined and is too
    /// common now, or joins again, is evidence also of people who stayed together.
    pub(super) fn stands(&self, identified: &Identified) -> bool {
        self.model == identified.version && self.generic_keys == identified.resolved.links.generic_keys as u64
    }
}

/// The rows of a table up to a snapshot, in a word: rows that go, or come by another way than at the end, change it.
fn digest(snapshot: &Snapshot, table: &Table, upto: SnapshotId) -> String {
    let mut digest = blake3::Hasher::new();
    for file in snapshot.files(table).iter().filter(|file| file.begin_snapshot <= upto) {
        digest.update(&file.id.to_le_bytes());
    }
    digest.update(&snapshot.deleted_rows(table).to_le_bytes());
    digest.finalize().to_hex().as_str().to_owned()
}

/// Who is to be written anew.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Their clusters, ascending.
    pub(super) clusters: Vec<usize>,
    /// The prospects whose rows are of no use any more, as text.
    stale: HashSet<String>,
    /// Whether a fact has another owner than before.
    pub(super) are_facts_moved: bool,
}

impl Touched {
    /// Finds them.
    pub(super) fn find(
        (snapshot, since): (&Snapshot, SnapshotId),
        leads: &Leads,
        resolved: &Resolved,
        facts: &Facts,
    ) -> Result<Self> {
        let cluster_of = super::cluster_of(&resolved.clusters, leads.len());
        let Assignment { prospects, aliases, moved, .. } = &resolved.assignment;
        let mut clusters: HashSet<usize> = moved.clusters.iter().copied().collect();
        for table in [&tables::LEAD, &tables::TOUCH] {
            for batch in snapshot.read_since(table, &["lead_id"], since)? {
                let rows = text(&batch?, "lead_id")?.iter().flatten().filter_map(|lead| leads.find(lead)).collect::<Vec<_>>();
                clusters.extend(rows.into_iter().filter_map(|row| Some(*cluster_of.get(row as usize)? as usize)));
            }
        }
        let (mut owners, are_facts_moved) = Self::of_facts((snapshot, since), prospects, facts)?;
        owners.extend(&moved.prospects);
        if !owners.is_empty() {
            clusters.extend(prospects.iter().enumerate().filter(|(_, id)| owners.contains(*id)).map(|(cluster, _)| cluster));
        }
        let written: HashSet<ProspectId> = clusters.iter().filter_map(|cluster| prospects.get(*cluster).copied()).collect();
        let aliases = aliases.iter().filter(|(_, target)| written.contains(*target)).map(|(alias, _)| alias);
        let stale = owners.iter().chain(&written).chain(aliases).map(ToString::to_string).collect();
        let mut clusters: Vec<usize> = clusters.into_iter().collect();
        clusters.sort_unstable();
        Ok(Self { clusters, stale, are_facts_moved })
    }

    /// The prospects, of now and of before, of facts that are new, said otherwise or somebody else's.
    fn of_facts(
        (snapshot, since): (&Snapshot, SnapshotId),
        prospects: &[ProspectId],
        facts: &Facts,
    ) -> Result<(HashSet<ProspectId>, bool)> {
        let mut came: HashSet<String> = HashSet::new();
        for (table, column) in [(&tables::CONVERSION, "conversion_id"), (&tables::ENGAGEMENT, "engagement_id")] {
            for batch in snapshot.read_since(table, &[column], since)? {
                came.extend(text(&batch?, column)?.iter().flatten().map(str::to_owned));
            }
        }
        let mut before: HashMap<String, (String, String)> = HashMap::new();
        for row in each(&load(snapshot, &tables::FACT_LINK, &["fact_id", "prospect_id", "matched_on"])?) {
            before.insert(row.word("fact_id")?, (row.word("prospect_id")?, row.word("matched_on")?));
        }
        let (mut owners, mut are_moved) = (HashSet::new(), false);
        for link in facts.links() {
            let Some(owner) = prospects.get(link.cluster) else { continue };
            let was = before.remove(link.fact_id);
            let is_same = was.as_ref().is_some_and(|(id, matched_on)| *id == owner.to_string() && matched_on == link.matched_on);
            are_moved |= !is_same;
            if !is_same || came.contains(link.fact_id) {
                owners.insert(*owner);
                owners.extend(was.and_then(|(id, _)| id.parse::<ProspectId>().ok()));
            }
        }
        // Facts that are nobody's any more.
        are_moved |= !before.is_empty();
        owners.extend(before.into_values().filter_map(|(id, _)| id.parse::<ProspectId>().ok()));
        Ok((owners, are_moved))
    }

    /// Whether they are so many that the tables are better written as a whole.
    pub(super) fn are_many(&self, people: usize) -> bool {
        self.clusters.len() as u64 * 100 > people as u64 * WORN_PERCENT.unsigned_abs()
    }

    /// Where the rows of a table of people stand that are of no use any more.
    pub(super) fn stale_rows(&self, snapshot: &Snapshot, table: &'static Table) -> Result<Vec<FileRows>> {
        Ok(snapshot.find_rows(table, "prospect_id", |id| self.stale.contains(id))?)
    }
}
