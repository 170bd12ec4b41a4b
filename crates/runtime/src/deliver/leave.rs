//! Who is taken off a list again: whom we put there, and who does not belong there any more.

use std::collections::{BTreeMap, HashMap, HashSet};

use headwater_model::tables;
use headwater_sdk::Companion;
use headwater_store::{CrmLink, OutboxState, Snapshot};

use super::plan::{Action, FieldChange, Ownership, PlannedRow, link_fields};
use super::planner::{Part, Planner};
use crate::engine::Engine;
use crate::error::Result;
use crate::rows::{batches, text};

/// What stands at the end of the key of a delivery that takes somebody off a list.
const LEAVE: &str = ":leave";
/// What stands before such a key in the hash of a place that an undo gave back.
const GIVEN_BACK: &str = "undone ";
/// How many rows are planned at once.
const ROWS: usize = 2_000;

/// The places in a list that we gave, of which those are left over whose people the audience does not have.
pub(super) struct Members {
    links: HashMap<String, CrmLink>,
    /// Deliveries that the remote has or had.
    pub(super) spent: HashSet<String>,
    /// Who is being taken off.
    leaving: HashSet<String>,
    /// The remote's field that names the person.
    field: String,
}

impl Members {
    /// Nothing where a part is no list, or its settings or its sink let nobody be taken off.
    pub(super) async fn of(engine: &Engine, part: &Part, snapshot: &Snapshot) -> Result<Option<Self>> {
        let name = &part.entry.name;
        let Some(Companion::List { .. }) = part.entry.companion else { return Ok(None) };
        let lists = engine.project.sink(part.entry.sink_name()).map(|sink| &sink.section.lists);
        let list = name.rsplit_once(".lists.").and_then(|(_, list)| lists?.get(list));
        let field = part.sink.person_field().filter(|_| part.sink.removes());
        let (Some(field), Some(list)) = (field, list) else { return Ok(None) };
        let keys = async |state| engine.store.outbox_keys(name, state).await;
        let mut spent = keys(OutboxState::Written).await?;
        spent.extend(keys(OutboxState::Unchanged).await?);
        let mut leaving = HashSet::new();
        for state in [OutboxState::Pending, OutboxState::Retry, OutboxState::Sent] {
            let waiting = keys(state).await?;
            leaving.extend(waiting.iter().filter(|key| key.contains(LEAVE)).filter_map(|key| whose(key)).map(str::to_owned));
        }
        let mut links = HashMap::new();
        if list.leave {
            links = engine.store.links(name).await?;
            // Who was in the list before us stays in it, and so does somebody of whom we know nothing any more.
            let ours: HashSet<&str> = spent.iter().filter_map(|key| whose(key)).collect();
            let mut known = HashSet::new();
            for batch in batches(snapshot, &tables::PROSPECT, &["prospect_id"])? {
                let batch = batch?;
                known.extend(
                    text(&batch, "prospect_id")?.iter().flatten().filter(|id| links.contains_key(*id)).map(str::to_owned),
                );
            }
            links.retain(|id, _| ours.contains(id.as_str()) && known.contains(id));
        }
        Ok(Some(Self { links, spent, leaving, field: field.to_owned() }))
    }

    /// Notes that the audience has this person, by all ids; whether they leave all the same, because they objected.
    pub(super) fn meet<'a>(&mut self, ids: impl Iterator<Item = &'a str>, objected: bool) -> bool {
        let mut leaves = false;
        for id in ids {
            if objected {
                leaves |= self.links.contains_key(id);
            } else {
                self.links.remove(id);
            }
        }
        leaves
    }

    /// The rows of those who leave, in the order of their ids.
    pub(super) fn leave(self, planner: &Planner<'_>) -> Vec<Vec<PlannedRow>> {
        let mut links: Vec<&CrmLink> = self.links.values().collect();
        links.sort_by(|one, other| one.prospect_id.cmp(&other.prospect_id));
        links.chunks(ROWS).map(|links| links.iter().map(|link| self.row(planner, link)).collect()).collect()
    }

    fn row(&self, planner: &Planner<'_>, link: &CrmLink) -> PlannedRow {
        let before = link_fields(link).remove(&self.field).flatten().unwrap_or_else(|| link.remote_id.clone());
        let reason = Some("does not belong in the list any more".to_owned());
        let mut row = PlannedRow {
            prospect_id: link.prospect_id.clone(),
            action: Action::Leave,
            remote_id: Some(link.remote_id.clone()),
            changes: vec![FieldChange { field: self.field.clone(), before: Some(before), after: None, reason }],
            kept: Vec::new(),
            reason: None,
            key: planner.fresh(format!("{}:{}{LEAVE}", link.prospect_id, link.pushed_at)),
            desired: BTreeMap::new(),
            pushed: BTreeMap::new(),
            aliases: Vec::new(),
            hash: String::new(),
            keys: Vec::new(),
            observed: BTreeMap::new(),
            ownership: Ownership::default(),
            named: None,
            is_undone: false,
            waits_for_another: false,
            adopted: false,
            relink: false,
        };
        let given_back = link.pushed_hash.strip_prefix(GIVEN_BACK);
        let stays = if self.leaving.contains(&row.prospect_id) {
            Some((Action::Waiting, "an earlier push of this prospect still waits"))
        } else if planner.waiting.contains(&row.prospect_id) {
            // It is stopped first.
            Some((Action::HeldBack, "no longer in the audience"))
        } else if planner.refused.contains(&row.key) {
            Some((Action::Rejected, "the remote refused exactly this before"))
        } else if given_back.is_some_and(|key| planner.undone.contains(key)) {
            row.is_undone = true;
            Some((Action::HeldBack, "it was undone; it is done again when they come back and leave"))
        } else {
            None
        };
        if let Some((action, reason)) = stays {
            row.changes.clear();
            (row.action, row.reason) = (action, Some(reason.to_owned()));
        }
        row
    }
}

/// What the link of a place holds that an undo of this delivery gave back.
pub(super) fn given_back(delivery_key: &str) -> String {
    format!("{GIVEN_BACK}{delivery_key}")
}

/// The person of a delivery.
fn whose(key: &str) -> Option<&str> {
    key.split_once(':').map(|(id, _)| id)
}
