//! Fields that name another record of the remote: a person's company, a task's person.
//!
//! The other record may be one that the same delivery makes first. Until it is there, the plan says so in place of its id.

use std::collections::{BTreeMap, HashMap, HashSet};

use headwater_sdk::Sink;
use headwater_store::OutboxState;

use super::plan::{Action, NOT_MADE, NOT_MADE_YET, Plan, PlannedRow};
use crate::engine::Engine;
use crate::error::Result;
use crate::project::SinkEntry;

/// What stands in a plan before our id of a record that is still to be made.
pub(super) const COMING: &str = "new:";

/// The record that a field is to name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    /// It is in the remote: our id of it, and the remote's.
    There(String, String),
    /// This delivery makes it, or an earlier one has it under way; our id of it.
    Coming(String),
    /// It was there and was taken back; our id of it.
    Undone(String),
    /// It is not in the remote and does not come there.
    Missing,
    /// This delivery was to make it, and did not.
    NotMade,
}

/// What a part's records name, by the person they are about.
#[derive(Debug, Default)]
pub(super) struct References {
    /// The remote's field.
    pub(super) field: String,
    /// The part that makes the named records.
    pub(super) part: String,
    /// Whether a record makes no sense without.
    pub(super) is_needed: bool,
    of: HashMap<String, Reference>,
}

impl References {
    /// What people name: their companies.
    pub(super) fn to_companies(sink: &dyn Sink, companies: &Plan) -> Option<Self> {
        let field = sink.company_field()?.to_owned();
        let of = companies.employers.iter();
        let of =
            of.map(|(person, company)| (person.clone(), companies.named.get(company).cloned().unwrap_or(Reference::Missing)));
        Some(Self { field, part: companies.sink.clone(), is_needed: false, of: of.collect() })
    }

    /// What tasks and places in lists name: people.
    pub(super) async fn to_people(engine: &Engine, sink: &dyn Sink, people: &Plan) -> Result<Option<Self>> {
        let Some(field) = sink.person_field() else { return Ok(None) };
        // Who left the audience is still in the remote.
        let links = engine.store.links(&people.sink).await?.into_values();
        let mut of: HashMap<String, Reference> =
            links.map(|link| (link.prospect_id.clone(), Reference::There(link.prospect_id, link.remote_id))).collect();
        of.extend(people.named.iter().map(|(id, reference)| (id.clone(), reference.clone())));
        Ok(Some(Self { field: field.to_owned(), part: people.sink.clone(), is_needed: true, of }))
    }

    /// Whether the record about this person makes no sense, because what it names was not made.
    pub(super) fn lacks(&self, person: &str) -> bool {
        self.is_needed && self.of(person) == Some(&Reference::NotMade)
    }

    /// What the record about this person names.
    pub(super) fn of(&self, person: &str) -> Option<&Reference> {
        self.of.get(person)
    }
}

impl Reference {
    /// How a planned record is named.
    pub(super) fn of_row(row: &PlannedRow) -> Self {
        let id = || row.prospect_id.clone();
        match (row.action, &row.remote_id) {
            (_, Some(remote_id)) => Self::There(id(), remote_id.clone()),
            (Action::Create | Action::Waiting, None) => Self::Coming(id()),
            (Action::HeldBack, None) if row.is_undone => Self::Undone(id()),
            (Action::Update | Action::Leave | Action::Unchanged | Action::HeldBack | Action::Rejected, None) => Self::Missing,
        }
    }
}

/// Says of the records that a part was to make what became of them, now that it was pushed.
pub(super) async fn made(engine: &Engine, plan: &mut Plan) -> Result<()> {
    if !plan.named.values().any(|reference| matches!(reference, Reference::Coming(_))) {
        return Ok(());
    }
    let links = engine.store.links(&plan.sink).await?;
    let waiting = engine.store.outbox_waiting(&plan.sink).await?;
    for (id, reference) in &mut plan.named {
        if !matches!(reference, Reference::Coming(_)) {
            continue;
        }
        match links.get(id) {
            Some(link) => *reference = Reference::There(id.clone(), link.remote_id.clone()),
            None if waiting.contains(id) => {}
            None => *reference = Reference::NotMade,
        }
    }
    Ok(())
}

/// Puts the remote's ids in place of ours, now that the records are made. One that was refused is left out; one of which nobody
/// knows yet makes its rows wait.
pub(super) async fn settle(engine: &Engine, entry: &SinkEntry, references: &References, plan: &mut Plan) -> Result<()> {
    let field = &references.field;
    let coming =
        |fields: &BTreeMap<String, String>| fields.get(field).and_then(|value| value.strip_prefix(COMING)).map(str::to_owned);
    if !plan.rows.iter().any(|row| coming(&row.desired).is_some()) {
        return Ok(());
    }
    let links = engine.store.links(&references.part).await?;
    let waiting: HashSet<String> = engine.store.outbox_waiting(&references.part).await?.into_iter().collect();
    let refused = engine.store.outbox_keys(&entry.name, OutboxState::Rejected).await?;
    for row in &mut plan.rows {
        let Some(id) = coming(&row.desired) else { continue };
        match links.get(&id) {
            Some(link) => row.name(field, Some(&link.remote_id)),
            None if waiting.contains(&id) => row.wait_for_another(NOT_MADE_YET),
            None if references.is_needed => row.hold(NOT_MADE),
            None => row.name(field, None),
        }
        if refused.contains(&row.key) && matches!(row.action, Action::Create | Action::Update) {
            row.action = Action::Rejected;
            row.reason = Some("the remote refused exactly this before".to_owned());
        }
    }
    plan.recount();
    Ok(())
}
