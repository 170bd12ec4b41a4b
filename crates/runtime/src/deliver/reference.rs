//! Fields that name another record of the remote: a person's company, a task's person.
//!
//! The other record may be one that the same delivery makes first. Until it is there, the plan says so in place of its id.

use std::collections::{HashMap, HashSet};

use headwater_sdk::Sink;
use headwater_store::OutboxState;

use super::companies::Employers;
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
    /// This delivery has made it: our id of it, and the remote's.
    Made(String, String),
    /// This delivery makes it; our id of it.
    New(String),
    /// An earlier delivery has it under way; our id of it.
    Coming(String),
    /// It was there and was taken back; our id of it.
    Undone(String),
    /// It is not in the remote and does not come there.
    Missing,
    /// This delivery was to make it, and did not.
    NotMade,
}

/// What a part's records name, by the person they are about.
#[derive(Debug)]
pub(super) struct References<'a> {
    /// The remote's field.
    pub(super) field: String,
    /// Whether a record makes no sense without.
    pub(super) is_needed: bool,
    of: By<'a>,
}

#[derive(Debug)]
enum By<'a> {
    /// By the person's company.
    Company { employers: &'a Employers, named: &'a HashMap<String, Reference> },
    /// By the person: as this delivery plans them, else where they are already.
    Person { planned: &'a HashMap<String, Reference>, there: HashMap<String, Reference> },
}

impl<'a> References<'a> {
    /// What people name: their companies.
    pub(super) fn to_companies(sink: &dyn Sink, companies: &'a Plan) -> Option<Self> {
        let field = sink.company_field()?.to_owned();
        let of = By::Company { employers: companies.employers.as_ref()?, named: &companies.named };
        Some(Self { field, is_needed: false, of })
    }

    /// What tasks and places in lists name: people.
    pub(super) async fn to_people(engine: &Engine, sink: &dyn Sink, people: &'a Plan) -> Result<Option<Self>> {
        let Some(field) = sink.person_field() else { return Ok(None) };
        // Who left the audience is still in the remote.
        let links = engine.store.links(&people.sink).await?.into_values();
        let there = links
            .filter(|link| !people.named.contains_key(&link.prospect_id))
            .map(|link| (link.prospect_id.clone(), Reference::There(link.prospect_id, link.remote_id)))
            .collect();
        Ok(Some(Self { field: field.to_owned(), is_needed: true, of: By::Person { planned: &people.named, there } }))
    }

    /// Whether the record about this person makes no sense, because what it names was not made.
    pub(super) fn lacks(&self, person: &str) -> bool {
        self.is_needed && self.of(person) == Some(&Reference::NotMade)
    }

    /// Whether a record that makes no sense without what it names is about something that this delivery makes: then none is there yet.
    pub(super) fn is_first(&self, person: &str) -> bool {
        self.is_needed && matches!(self.of(person), Some(Reference::New(_) | Reference::Made(..)))
    }

    /// What the record about this person names.
    pub(super) fn of(&self, person: &str) -> Option<&Reference> {
        match &self.of {
            By::Company { employers, named } => Some(named.get(employers.of(person)?).unwrap_or(&Reference::Missing)),
            By::Person { planned, there } => planned.get(person).or_else(|| there.get(person)),
        }
    }
}

impl Reference {
    /// How a planned record is named.
    pub(super) fn of_row(row: &PlannedRow) -> Self {
        let id = || row.prospect_id.clone();
        match (row.action, &row.remote_id) {
            (_, Some(remote_id)) => Self::There(id(), remote_id.clone()),
            (Action::Create, None) => Self::New(id()),
            (Action::Waiting, None) => Self::Coming(id()),
            (Action::HeldBack, None) if row.is_undone => Self::Undone(id()),
            (Action::Update | Action::Leave | Action::Unchanged | Action::HeldBack | Action::Rejected, None) => Self::Missing,
        }
    }
}

/// Says of the records that a part was to make what became of them, now that it was pushed.
pub(super) async fn made(engine: &Engine, plan: &mut Plan) -> Result<()> {
    let is_open = |reference: &Reference| matches!(reference, Reference::New(_) | Reference::Coming(_));
    if !plan.named.values().any(is_open) {
        return Ok(());
    }
    let links = engine.store.links(&plan.sink).await?;
    let waiting = engine.store.outbox_waiting(&plan.sink).await?;
    for (id, reference) in &mut plan.named {
        if !is_open(reference) {
            continue;
        }
        match links.get(id) {
            Some(link) if matches!(reference, Reference::New(_)) => {
                *reference = Reference::Made(id.clone(), link.remote_id.clone())
            }
            Some(link) => *reference = Reference::There(id.clone(), link.remote_id.clone()),
            None if waiting.contains(id) || plan.unlooked.contains(id) => {}
            None => *reference = Reference::NotMade,
        }
    }
    Ok(())
}

/// Puts the remote's ids in place of ours, once the records are made that the rows of a saved plan name.
pub(super) struct Settling {
    /// The remote's field that names them.
    field: String,
    /// The part that made them.
    part: String,
    /// Whether a row makes no sense without.
    is_needed: bool,
    /// Whose records are still under way.
    waiting: HashSet<String>,
    /// Deliveries that the remote refused before.
    refused: HashSet<String>,
}

impl Settling {
    /// For the rows of a part that name records of another one, which was pushed before it.
    pub(super) async fn new(engine: &Engine, entry: &SinkEntry, (field, part): (&str, &str), is_needed: bool) -> Result<Self> {
        let waiting = engine.store.outbox_waiting(part).await?.into_iter().collect();
        let refused = engine.store.outbox_keys(&entry.name, OutboxState::Rejected).await?;
        Ok(Self { field: field.to_owned(), part: part.to_owned(), is_needed, waiting, refused })
    }

    /// Settles some rows, and counts in the plan where they come to end. What was refused is left out; one of which nobody knows
    /// yet makes its rows wait.
    pub(super) async fn settle(&self, engine: &Engine, rows: &mut [PlannedRow], plan: &mut Plan) -> Result<()> {
        let coming = |row: &PlannedRow| {
            let value = row.desired.get(&self.field).filter(|_| row.names_what_is_coming())?;
            value.strip_prefix(COMING).map(str::to_owned)
        };
        let named: HashSet<String> = rows.iter().filter_map(coming).collect();
        if named.is_empty() {
            return Ok(());
        }
        let links = engine.store.links_of(&self.part, &named.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        for row in rows {
            let Some(id) = coming(row) else { continue };
            let planned = row.action;
            match links.get(&id) {
                Some(link) => row.name(&self.field, Some(&link.remote_id)),
                None if self.waiting.contains(&id) => row.wait_for_another(NOT_MADE_YET),
                None if self.is_needed => row.hold(NOT_MADE),
                None => row.name(&self.field, None),
            }
            if self.refused.contains(&row.key) && matches!(row.action, Action::Create | Action::Update) {
                row.action = Action::Rejected;
                row.reason = Some("the remote refused exactly this before".to_owned());
            }
            plan.recount(planned, row);
        }
        Ok(())
    }
}
