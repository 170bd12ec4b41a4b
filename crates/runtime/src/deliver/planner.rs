//! Makes the plan of one part: what we have, beside what the remote has, under the policy.
//!
//! An audience is planned in windows, so that a large one takes no more memory than a small one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use arrow::array::{BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use headwater_analysis::company;
use headwater_model::suppression::Kind;
use headwater_model::tables;
use headwater_sdk::{Companion, Lookup, MatchKey, RemoteRecord, Sink};
use headwater_store::{CrmLink, OutboxState, Snapshot};

use super::budget::Budget;
use super::companies::{self, Voices};
use super::consent;
use super::leave::Members;
use super::look;
use super::map::{expressions, rows_error};
use super::owners::{Owners, Territory};
use super::plan::{Action, FieldChange, Keep, Kept, NOT_MADE, Named, Ownership, Plan, PlannedBudget, PlannedRow, link_fields};
use super::policy::{Standing, Times, Verdict, on_update};
use super::purse::{Purse, USED_UP};
use super::push::refused_and_due;
use super::receipt::{OUR_ID, undone};
use super::reference::{COMING, Reference, References};
use super::taker::Taker;
use super::values::{Made, Values, cell};
use super::windows::Windows;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::{FieldPolicy, SinkEntry, SinkField};
use crate::query::{KEPT_OUT, asks_who_may_be_contacted};
use crate::resolve;
use crate::rows::{at, batches, booleans, instants, text};

/// The match key that means the field in which a sink keeps our id.
const EXTERNAL_ID: &str = OUR_ID;
/// How many rows of an audience are planned at once, at most.
const WINDOW_ROWS: usize = 4_000;
/// Columns that every plan looks at: who it is, whether they may be reached, and what names are made of.
const ALWAYS: &[&str] = &["prospect_id", "hold_reason", "given_name", "family_name", "full_name"];
/// Why nothing is done to a record that holds an id of ours and is somebody else's.
const OF_ANOTHER: &str = "a record of somebody else holds this id: another project writes here too (give one of them an `id_namespace`), \
     or our ledger was made anew and the person changed (take the id out of the record)";

/// A part of a delivery whose settings were checked.
pub(super) struct Part {
    pub(super) entry: SinkEntry,
    pub(super) sink: Box<dyn Sink>,
    pub(super) map: BTreeMap<String, SinkField>,
    /// Whether records of other parts name those of this one.
    pub(super) is_named: bool,
    /// The fields that are made in the remote before the first row is written.
    pub(super) to_make: Vec<String>,
}

/// Plans one part of a delivery, window by window, and gives each to whoever takes the rows. What its records name is planned before.
pub(super) async fn plan_with(
    engine: &Engine,
    part: &Part,
    references: Option<&References<'_>>,
    keep: Keep,
    taker: &mut dyn Taker,
) -> Result<Plan> {
    let Part { entry, sink, map, is_named, to_make } = part;
    let sink = sink.as_ref();
    let before = sink.calls_made();
    let values = Values::new(entry, map)?;
    let budget = Budget::of(engine, entry, sink).await?;
    let snapshot = engine.store.snapshot().await?;
    let mut owners = Owners::of(engine, entry).await?;
    let Living { count: living, aliases } = Living::read(&snapshot)?;
    let taken_back = engine.store.outbox_keys(&entry.name, OutboxState::Undone).await?;
    let mut planner = Planner {
        entry,
        sink,
        links: HashMap::new(),
        aliases,
        refused: engine.store.outbox_keys(&entry.name, OutboxState::Rejected).await?,
        refused_and_due: refused_and_due(engine, entry).await?,
        held: engine.store.outbox_keys(&entry.name, OutboxState::HeldBack).await?,
        undone_contents: taken_back.iter().filter_map(|key| content_of(key)).collect(),
        undone: taken_back,
        observed: observed(entry, &snapshot)?,
        waiting: engine.store.outbox_waiting(&entry.name).await?,
        objectors: objectors(engine, &snapshot).await?,
        withdrawn: match asks_who_may_be_contacted(&entry.section.audience) {
            true => consent::withdrawn(engine, &snapshot).await?,
            false => HashSet::new(),
        },
        in_review: in_review(engine, entry, &snapshot).await?,
        map,
        values,
        references,
        is_owned: owners.is_some(),
        spent: HashSet::new(),
    };
    let mut members = Members::of(engine, part, &snapshot).await?;
    if let Some(members) = &mut members {
        planner.spent = std::mem::take(&mut members.spent);
    }
    taker.begin(&entry.name, to_make)?;
    let mut plan = Plan {
        sink: entry.name.clone(),
        fields_to_make: to_make.clone(),
        rows: Vec::new(),
        actions: BTreeMap::new(),
        waiting_for_another: 0,
        ties: 0,
        held_back: BTreeMap::new(),
        outside_audience: 0,
        calls_made: 0,
        calls_to_write: 0,
        seconds_to_write: None,
        employers: None,
        named: HashMap::new(),
        unlooked: HashSet::new(),
        budget: None,
    };
    let (expressions, columns) = (expressions(map), planner.columns());
    let audience = crate::query::audience(engine, &snapshot, (&entry.section.audience, &columns), &expressions);
    let at_fault = |error| rows_error(engine, &snapshot, entry, (&columns, map), error);
    let mut audience = match audience.await {
        Ok(audience) => audience,
        Err(error) => return Err(at_fault(error).await),
    };
    let most = sink.capability().max_rows.clamp(1, WINDOW_ROWS);
    let mut windows = Windows::of(WINDOW_ROWS / most * most);
    let (mut looked, mut unlooked, mut read) = (0, 0, 0);
    if entry.companion == Some(Companion::Companies) {
        let mut voices = Voices::default();
        loop {
            let batch = match audience.next().await {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(error) => return Err(at_fault(error).await),
            };
            let batch = planner.only_admitted(&batch)?;
            let ids = text(&batch, "prospect_id")?;
            voices.hear(&batch, &company::FIELDS, |row| Ok(!planner.is_suppressed(ids.value(row), &batch, row)?))?;
        }
        let (companies, employers) = voices.companies();
        planner.aliases = companies::aliases(&companies);
        plan.employers = Some(employers);
        windows.push(companies::batch(&companies)?);
    }
    loop {
        // The people of companies are read already.
        let next = match entry.companion {
            Some(Companion::Companies) => None,
            _ => match audience.next().await {
                Ok(next) => next,
                Err(error) => return Err(at_fault(error).await),
            },
        };
        let is_last = next.is_none();
        next.into_iter().for_each(|batch| windows.push(batch));
        while let Some(window) = windows.next(is_last)? {
            engine.stop_if_told()?;
            planner.links = planner.links_of(engine, &window).await?;
            let mut rows = Vec::with_capacity(window.num_rows());
            read += window.num_rows() as u64;
            for row in 0..window.num_rows() {
                let planned = planner.desired(&window, row)?;
                if let Some(members) = &mut members {
                    let id = text(&window, "prospect_id")?.value(row);
                    let ids = std::iter::once(id).chain(planner.aliases.get(id).into_iter().flatten().map(String::as_str));
                    let objects = planner.is_suppressed(id, &window, row)? || planner.kept_out(id, &window, row).is_some();
                    if members.meet(ids, objects) {
                        continue;
                    }
                }
                rows.extend(planned);
            }
            looked += planner.compare(&mut rows, budget.as_ref().map(|budget| Purse::new(budget, plan.writes()))).await?;
            unlooked += rows.iter().filter(|row| row.reason.as_deref() == Some(USED_UP)).count();
            if taker.writes() {
                rows.iter_mut().filter(|row| row.names_what_is_coming()).for_each(PlannedRow::wait_for_what_it_names);
            }
            if let Some(owners) = &mut owners {
                planner.give(owners, &mut rows);
            }
            taker.take(&rows, false).await?;
            plan.take(rows, keep, *is_named);
        }
        if is_last {
            break;
        }
    }
    if entry.companion.is_none() {
        plan.outside_audience = living.saturating_sub(read);
    }
    for rows in members.into_iter().flat_map(|members| members.leave(&planner)) {
        taker.take(&rows, true).await?;
        plan.take(rows, keep, *is_named);
    }
    // Tasks and places in lists are planned only for those who are in the remote.
    if plan.people() != read && (entry.companion.is_none() || entry.companion == Some(Companion::Companies)) {
        return Err(Error::Internal(format!("of {read} rows for {}, {} are in the plan", entry.name, plan.people())));
    }
    let counted = sink.calls_made().zip(before).map(|(after, before)| usize::try_from(after - before).unwrap_or(usize::MAX));
    plan.calls_made = counted.unwrap_or(looked);
    let writes = plan.writes();
    plan.calls_to_write = sink.calls_to_write(writes);
    let cost = sink.cost_to_write(writes) as u64;
    // Whom nobody looked at yet will cost what the others did.
    let written = (writes.creates + writes.updates).max(1) as u64;
    let rest = (plan.calls_made as u64 + cost) * unlooked as u64 / written;
    plan.budget = budget.map(|budget| PlannedBudget::of(&budget, cost, rest));
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let seconds = sink.pace().map(|pace| plan.calls_to_write as f64 / f64::from(pace.calls.max(1)) * pace.per.as_secs_f64());
    plan.seconds_to_write = seconds;
    taker.end(&plan)?;
    Ok(plan)
}

/// What a delivery is of, of its key: who, and what of them. What was pushed before it stands between.
fn content_of(key: &str) -> Option<String> {
    let mut parts = key.trim_end_matches('+').rsplitn(3, ':');
    let (hash, _, prospect_id) = (parts.next()?, parts.next()?, parts.next()?);
    Some(content(prospect_id, hash))
}

fn content(prospect_id: &str, hash: &str) -> String {
    format!("{prospect_id}:{hash}")
}

/// The prospects there are.
struct Living {
    /// How many, those that were merged away left out.
    count: u64,
    /// Ids that were merged away, by the prospect they are now: a record made under an old id is that prospect's.
    aliases: HashMap<String, Vec<String>>,
}

impl Living {
    fn read(snapshot: &Snapshot) -> Result<Self> {
        let mut living = Self { count: 0, aliases: HashMap::new() };
        for batch in batches(snapshot, &tables::PROSPECT, &["prospect_id", "merged_into"])? {
            let batch = batch?;
            let (id, into) = (text(&batch, "prospect_id")?, text(&batch, "merged_into")?);
            for row in 0..batch.num_rows() {
                match at(into, row) {
                    Some(into) => living.aliases.entry(into.to_owned()).or_default().push(id.value(row).to_owned()),
                    None => living.count += 1,
                }
            }
        }
        Ok(living)
    }
}

/// Why the audience keeps somebody out whom it would admit, might they be contacted.
fn kept_out(batch: &RecordBatch, row: usize) -> Option<&str> {
    let reasons = batch.column_by_name(KEPT_OUT)?.as_any().downcast_ref::<StringArray>()?;
    at(reasons, row)
}

/// Whoever may be somebody else too, and waits for a person to say so: with the question, by prospect.
async fn in_review(engine: &Engine, entry: &SinkEntry, snapshot: &Snapshot) -> Result<HashMap<String, String>> {
    let mut in_review = HashMap::new();
    if entry.companion.is_some() || !entry.section.hold_in_review {
        return Ok(in_review);
    }
    let pairs = engine.store.reviews().await?;
    if pairs.is_empty() {
        return Ok(in_review);
    }
    let asked: HashSet<&str> = pairs.iter().flat_map(|pair| [pair.one.as_str(), pair.two.as_str()]).collect();
    let mut prospect_of: HashMap<String, String> = HashMap::with_capacity(asked.len());
    for batch in batches(snapshot, &tables::IDENTITY_LINK, &["lead_id", "prospect_id"])? {
        let batch = batch?;
        let (lead, prospect) = (text(&batch, "lead_id")?, text(&batch, "prospect_id")?);
        for row in (0..batch.num_rows()).filter(|row| asked.contains(lead.value(*row))) {
            prospect_of.insert(lead.value(row).to_owned(), prospect.value(row).to_owned());
        }
    }
    for pair in &pairs {
        if let (Some(one), Some(two)) = (prospect_of.get(&pair.one), prospect_of.get(&pair.two))
            && one != two
        {
            for id in [one, two] {
                in_review.entry(id.clone()).or_insert_with(|| pair.review_id.clone());
            }
        }
    }
    Ok(in_review)
}

/// The people who objected since resolve last looked, by any of their addresses and numbers; nothing when resolve knows all.
pub(super) async fn objectors(engine: &Engine, snapshot: &Snapshot) -> Result<Option<HashSet<String>>> {
    if resolve::knows_suppressed(engine).await? {
        return Ok(None);
    }
    let screen = engine.screen().await?;
    let mut objectors = HashSet::new();
    if screen.is_empty() {
        return Ok(Some(objectors));
    }
    for batch in batches(snapshot, &tables::PROSPECT_FIELD, &["prospect_id", "field", "value"])? {
        let batch = batch?;
        let (id, field, value) = (text(&batch, "prospect_id")?, text(&batch, "field")?, text(&batch, "value")?);
        for row in 0..batch.num_rows() {
            let kind = match field.value(row) {
                "email" => Kind::Email,
                "phone" | "mobile" => Kind::Phone,
                _ => continue,
            };
            if screen.stops(kind, value.value(row)) {
                objectors.insert(id.value(row).to_owned());
            }
        }
    }
    Ok(Some(objectors))
}

/// When the values that won were seen, by prospect and our field; read only where a policy asks.
fn observed(entry: &SinkEntry, snapshot: &Snapshot) -> Result<HashMap<(String, String), i64>> {
    let mut observed = HashMap::new();
    if !entry.section.policy.values().any(|policy| *policy == FieldPolicy::NewestWins) {
        return Ok(observed);
    }
    let columns = ["prospect_id", "field", "is_winner", "observed_at"];
    for batch in batches(snapshot, &tables::PROSPECT_FIELD, &columns)? {
        let batch = batch?;
        let (id, field, when) = (text(&batch, "prospect_id")?, text(&batch, "field")?, instants(&batch, "observed_at")?);
        let winner: &BooleanArray = booleans(&batch, "is_winner")?;
        for row in (0..batch.num_rows()).filter(|row| winner.value(*row)) {
            observed.insert((id.value(row).to_owned(), field.value(row).to_owned()), when.value(row));
        }
    }
    Ok(observed)
}

pub(super) struct Planner<'a> {
    pub(super) entry: &'a SinkEntry,
    sink: &'a dyn Sink,
    map: &'a BTreeMap<String, SinkField>,
    values: Values,
    observed: HashMap<(String, String), i64>,
    /// Deliveries that somebody took back; the same content is not offered again.
    pub(super) undone: HashSet<String>,
    /// The same, as who it is and what of them, whatever was pushed before it.
    undone_contents: HashSet<String>,
    /// The records of the window's people.
    links: HashMap<String, CrmLink>,
    aliases: HashMap<String, Vec<String>>,
    /// Deliveries that the remote refused; the same content is not offered again.
    pub(super) refused: HashSet<String>,
    /// Those of them that the next sync offers again.
    refused_and_due: HashSet<String>,
    /// Deliveries that were queued and then held back; the queue takes no key twice.
    held: HashSet<String>,
    /// Deliveries to a list that the remote has or had: who left it and comes again is a new one.
    spent: HashSet<String>,
    /// Prospects with a push under way: what comes of it is awaited, or a record could be made twice.
    pub(super) waiting: HashSet<String>,
    /// Who must not be reached; nothing when the prospects themselves say so.
    objectors: Option<HashSet<String>>,
    /// Whose consent is gone without the prospects saying so, where the audience asks for it.
    withdrawn: HashSet<String>,
    /// Who may be somebody else too, by the question that is open about them.
    in_review: HashMap<String, String>,
    /// What the rows name.
    references: Option<&'a References<'a>>,
    /// Whether the settings give people to owners.
    is_owned: bool,
}

impl Planner<'_> {
    /// The columns of `prospect` that are looked at.
    fn columns(&self) -> BTreeSet<&'static str> {
        let section = &self.entry.section;
        let used = self.values.columns();
        let named = |column: &str| used.contains(column) || section.match_on.iter().any(|key| key == column);
        let names = tables::PROSPECT.columns.iter().map(|column| column.name);
        let companies = self.entry.companion == Some(Companion::Companies);
        let company = |column: &str| companies && company::FIELDS.contains(&column);
        let owned = |column: &str| self.is_owned && Territory::COLUMNS.contains(&column);
        names.filter(|column| ALWAYS.contains(column) || named(column) || company(column) || owned(column)).collect()
    }

    /// The links of a window's people, by all ids that they have or had.
    async fn links_of(&self, engine: &Engine, window: &RecordBatch) -> Result<HashMap<String, CrmLink>> {
        let ids = text(window, "prospect_id")?;
        let mut wanted: Vec<&str> = ids.iter().flatten().collect();
        wanted.extend(ids.iter().flatten().filter_map(|id| self.aliases.get(id)).flatten().map(String::as_str));
        Ok(engine.store.links_of(&self.entry.name, &wanted).await?)
    }

    /// What we would want the remote to have of one prospect; nothing of one that it would have to name and lacks.
    fn desired(&self, batch: &RecordBatch, row: usize) -> Result<Option<PlannedRow>> {
        let prospect_id = text(batch, "prospect_id")?.value(row).to_owned();
        let Made { values: mut desired, failed } = self.values.of(batch, row)?;
        let mut named = None;
        if let Some(references) = self.references {
            let (value, by) = match references.of(&prospect_id) {
                Some(Reference::There(id, remote_id) | Reference::Made(id, remote_id)) => {
                    (Some(remote_id.clone()), Some(id.clone()))
                }
                Some(Reference::New(id) | Reference::Coming(id)) => (Some(format!("{COMING}{id}")), Some(id.clone())),
                Some(Reference::Undone(_) | Reference::Missing) | None if references.is_needed => return Ok(None),
                Some(Reference::Undone(id)) => (None, Some(id.clone())),
                Some(Reference::Missing | Reference::NotMade) => (None, Some(String::new())),
                None => (None, None),
            };
            let is_new = references.is_first(&prospect_id);
            named = by.map(|id| Named { field: references.field.clone(), id, is_new });
            desired.extend(value.map(|value| (references.field.clone(), value)));
        }
        let mut keys = Vec::new();
        for field in &self.entry.section.match_on {
            let value = match field.as_str() {
                EXTERNAL_ID => Some(self.entry.external_id(&prospect_id)),
                field => match desired.get(field) {
                    Some(value) => Some(value.clone()),
                    None => batch.column_by_name(field).map(|_| cell(batch, field, row)).transpose()?.flatten(),
                },
            };
            keys.extend(value.map(|value| MatchKey { field: field.clone(), value }));
        }
        if let (Some(Companion::List { .. }), Some(references)) = (&self.entry.companion, self.references) {
            // A place in a list holds no id of ours: it is the person's.
            let field = references.field.clone();
            keys = desired.get(&field).map(|value| MatchKey { field, value: value.clone() }).into_iter().collect();
        }
        if let (Some(Companion::Tasks), Some(references)) = (&self.entry.companion, self.references)
            && self.sink.identity_field() == Some(&references.field)
        {
            // The remote cannot be searched by our id: a task is looked for among those of its person.
            let field = references.field.clone();
            keys.extend(desired.get(&field).map(|value| MatchKey { field, value: value.clone() }));
        }
        let link = self.link(&prospect_id);
        let mut ownership = Ownership { asked: self.is_owned, ..Ownership::default() };
        if let Some(owners) = self.entry.section.owners.as_ref().filter(|_| self.is_owned) {
            ownership.ours = link.and_then(|link| link_fields(link).remove(&owners.field).flatten());
            ownership.territory = Territory::of(batch, row)?;
        }
        let mut planned = PlannedRow {
            prospect_id,
            action: Action::Unchanged,
            remote_id: None,
            changes: Vec::new(),
            kept: Vec::new(),
            reason: None,
            key: String::new(),
            desired,
            pushed: BTreeMap::new(),
            aliases: Vec::new(),
            hash: String::new(),
            keys,
            observed: self.observed_of(batch, row)?,
            ownership,
            named,
            is_undone: false,
            waits_for_another: false,
            adopted: false,
            relink: false,
        };
        planned.hash = planned.hash_of_desired();
        planned.aliases = self.aliases.get(&planned.prospect_id).cloned().unwrap_or_default();
        let pushed_at = self.link(&planned.prospect_id).map_or(0, |link| link.pushed_at);
        planned.key = format!("{}:{pushed_at}:{}", planned.prospect_id, planned.hash);
        planned.key = self.fresh(planned.key);
        let not_made = self.references.is_some_and(|references| references.lacks(&planned.prospect_id));
        if self.is_suppressed(&planned.prospect_id, batch, row)? {
            planned.hold(resolve::SUPPRESSED);
        } else if let Some(reason) = self.kept_out(&planned.prospect_id, batch, row).map(str::to_owned) {
            planned.hold(&reason);
            planned.remote_id = self.link(&planned.prospect_id).map(|link| link.remote_id.clone());
        } else if not_made {
            planned.hold(NOT_MADE);
        } else if planned.ids().any(|id| self.waiting.contains(id)) {
            planned.action = Action::Waiting;
            planned.reason = Some("an earlier push of this prospect still waits".to_owned());
        } else if let Some(reason) = failed {
            planned.hold(&reason);
        }
        Ok(Some(planned))
    }

    /// The key under which the queue takes a delivery.
    pub(super) fn fresh(&self, mut key: String) -> String {
        while self.held.contains(&key) || self.spent.contains(&key) {
            key.push('+');
        }
        key
    }

    fn observed_of(&self, batch: &RecordBatch, row: usize) -> Result<BTreeMap<String, i64>> {
        let mut observed = BTreeMap::new();
        if !self.observed.is_empty() {
            let prospect = text(batch, "prospect_id")?.value(row);
            for (remote, ours) in self.map {
                let ours = ours.text().unwrap_or_default().to_owned();
                let when = self.observed.get(&(prospect.to_owned(), ours));
                observed.extend(when.map(|when| (remote.clone(), *when)));
            }
        }
        Ok(observed)
    }

    /// The last look before a push: whoever objected since the audience was made is not in it.
    fn is_suppressed(&self, prospect_id: &str, batch: &RecordBatch, row: usize) -> Result<bool> {
        match &self.objectors {
            // A company is made of people who do not object.
            _ if batch.column_by_name("hold_reason").is_none() => Ok(false),
            Some(objectors) => Ok(objectors.contains(prospect_id)),
            None => Ok(at(text(batch, "hold_reason")?, row) == Some(resolve::SUPPRESSED)),
        }
    }

    /// Why somebody is kept out whom the audience would admit, might they be contacted.
    fn kept_out<'b>(&self, prospect_id: &str, batch: &'b RecordBatch, row: usize) -> Option<&'b str> {
        kept_out(batch, row).or_else(|| self.withdrawn.contains(prospect_id).then_some(resolve::WITHDRAWN))
    }

    /// The rows of an audience without those who are kept out of it.
    fn only_admitted(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let id = text(batch, "prospect_id")?;
        let admitted: BooleanArray =
            (0..batch.num_rows()).map(|row| Some(self.kept_out(id.value(row), batch, row).is_none())).collect();
        Ok(filter_record_batch(batch, &admitted)?)
    }

    fn link(&self, prospect_id: &str) -> Option<&CrmLink> {
        let of_alias = || self.aliases.get(prospect_id)?.iter().find_map(|alias| self.links.get(alias));
        self.links.get(prospect_id).or_else(of_alias)
    }

    /// Compares every row with what the remote has, as far as the day's calls reach; how many calls that took.
    async fn compare(&self, rows: &mut [PlannedRow], mut purse: Option<Purse<'_>>) -> Result<usize> {
        let mut calls = 0;
        let mut unlinked: Vec<&mut PlannedRow> = Vec::new();
        let mut linked: Vec<(&mut PlannedRow, &CrmLink)> = Vec::new();
        for row in rows.iter_mut().filter(|row| row.action == Action::Unchanged) {
            match self.link(&row.prospect_id) {
                Some(link) if link.pushed_hash == row.hash && link.prospect_id == row.prospect_id => {
                    row.remote_id = Some(link.remote_id.clone());
                }
                _ if !self.refused_and_due.is_empty() && row.keys_as_known().any(|key| self.refused_and_due.contains(&key)) => {
                    row.action = Action::Waiting;
                    row.reason = Some("the remote refused it before; the next sync offers it again (`retry_refused`)".to_owned());
                }
                _ if !self.refused.is_empty() && row.keys_as_known().any(|key| self.refused.contains(&key)) => {
                    row.action = Action::Rejected;
                    row.reason = Some("the remote refused exactly this before".to_owned());
                }
                link if self.was_undone(row, link) => {
                    row.hold("it was undone; it is pushed again when it changes");
                    // A record that was only changed is still there.
                    row.remote_id = link.map(|link| link.remote_id.clone());
                    row.is_undone = link.is_none();
                }
                Some(link) => linked.push((row, link)),
                // A task or a place in a list of somebody who is not there, or was not a moment ago.
                None if row.named.as_ref().is_some_and(|named| named.is_new) => self.create(row),
                None => unlinked.push(row),
            }
        }
        let capability = self.sink.capability();
        let most = capability.max_rows.max(1);
        let mut rest = linked.as_mut_slice();
        while !rest.is_empty() {
            let fits = Purse::rows(purse.as_ref(), rest.len().min(most), capability.lookup);
            if fits == 0 {
                for (row, link) in &mut *rest {
                    row.wait_for_another(USED_UP);
                    row.remote_id = Some(link.remote_id.clone());
                }
                break;
            }
            let (chunk, after) = std::mem::take(&mut rest).split_at_mut(fits);
            let spent = self.sink.spent();
            calls += self.compare_linked(chunk).await?;
            purse.iter_mut().for_each(|purse| purse.looked(chunk.len(), spent, self.sink));
            rest = after;
        }
        let mut rest = unlinked.as_mut_slice();
        while !rest.is_empty() {
            let fits = Purse::rows(purse.as_ref(), rest.len().min(most), capability.lookup);
            if fits == 0 {
                rest.iter_mut().for_each(|row| row.wait_for_another(USED_UP));
                break;
            }
            let (chunk, after) = std::mem::take(&mut rest).split_at_mut(fits);
            let spent = self.sink.spent();
            calls += self.compare_unlinked(chunk).await?;
            purse.iter_mut().for_each(|purse| purse.looked(chunk.len(), spent, self.sink));
            rest = after;
        }
        Ok(calls)
    }

    /// Looks for the records of rows of which we know none; how many calls that took, where the sink does not count them.
    async fn compare_unlinked(&self, rows: &mut [&mut PlannedRow]) -> Result<usize> {
        let keys: Vec<Vec<MatchKey>> = rows.iter().map(|row| row.keys.clone()).collect();
        let (found, calls) = if self.sink.capability().lookup {
            (look::find(self.sink, &self.entry.name, &keys).await?, rows.len())
        } else {
            (vec![Ok(Lookup::Absent); rows.len()], 0)
        };
        for (row, lookup) in rows.iter_mut().zip(found) {
            match lookup {
                Ok(Lookup::Absent) => self.create(row),
                Ok(Lookup::Found(record)) if self.is_of_another(row, &record) => row.hold(OF_ANOTHER),
                Ok(Lookup::Found(record)) => self.update(row, &record, None),
                Err(reason) => row.hold(&format!("the remote refuses to search for it: {reason}")),
                Ok(Lookup::Ambiguous(count)) => row.hold(&format!("{count} records in the remote match; merge them there first")),
            }
        }
        Ok(calls)
    }

    /// Whether somebody took exactly this back: the record as a whole, or what was last written to it.
    fn was_undone(&self, row: &PlannedRow, link: Option<&CrmLink>) -> bool {
        if self.undone.is_empty() {
            return false;
        }
        let content = |hash: &String| self.undone_contents.contains(&content(&row.prospect_id, hash));
        row.keys_as_known().any(|key| self.undone.contains(&key))
            || match link {
                Some(link) => row.hashes_as_known().iter().any(|hash| link.pushed_hash == undone(hash)),
                None => row.hashes_as_known().iter().any(content),
            }
    }

    /// Whether a record that holds our id, and that this ledger never wrote, is somebody else by everything else that records are
    /// found by: then another project's person has the same id.
    fn is_of_another(&self, row: &PlannedRow, record: &RemoteRecord) -> bool {
        if !matches!(self.entry.companion, None | Some(Companion::Companies)) || record.matched_on != EXTERNAL_ID {
            return false;
        }
        let theirs = |key: &MatchKey| record.fields.get(&key.field).and_then(Option::as_deref).filter(|value| !value.is_empty());
        let both =
            row.keys.iter().filter(|key| key.field != EXTERNAL_ID).filter_map(|key| Some((key.value.as_str(), theirs(key)?)));
        let equal: Vec<bool> = both.map(|(ours, theirs)| ours.trim().eq_ignore_ascii_case(theirs.trim())).collect();
        !equal.is_empty() && !equal.contains(&true)
    }

    /// Compares rows with the records that we wrote or found before; how many calls that took, where the sink does not count them.
    async fn compare_linked(&self, rows: &mut [(&mut PlannedRow, &CrmLink)]) -> Result<usize> {
        if !self.sink.capability().lookup {
            for (row, link) in rows {
                let fields = link_fields(link);
                let record = RemoteRecord {
                    remote_id: link.remote_id.clone(),
                    fields: fields.clone(),
                    matched_on: "our last push".to_owned(),
                };
                self.update(row, &record, Some(&fields));
            }
            return Ok(0);
        }
        let ids: Vec<String> = rows.iter().map(|(_, link)| link.remote_id.clone()).collect();
        let records = self.sink.fetch_all(&ids).await.map_err(|error| Error::connection(&self.entry.name, None, error))?;
        if records.len() != rows.len() {
            return Err(Error::Internal(format!("sink {} fetched {} rows of {}", self.entry.name, records.len(), rows.len())));
        }
        for ((row, link), record) in rows.iter_mut().zip(records) {
            match record {
                Some(record) => self.update(row, &record, Some(&link_fields(link))),
                None => row.hold("the record was deleted in the remote; it is not made again by itself"),
            }
        }
        Ok(ids.len())
    }

    fn create(&self, row: &mut PlannedRow) {
        row.action = Action::Create;
        for (field, value) in &row.desired {
            if self.entry.policy(field) == FieldPolicy::Never {
                row.kept.push(Kept { field: field.clone(), reason: "the policy says never" });
            } else {
                let reason = (value.starts_with(COMING)).then(|| "made before it".to_owned());
                row.changes.push(FieldChange { field: field.clone(), before: None, after: Some(value.clone()), reason });
            }
        }
        row.ownership.looked = true;
        let is_missing = |field: &&String| !row.changes.iter().any(|change| change.field == **field);
        if row.changes.is_empty() {
            row.hold("no field to set");
        } else if let Some(field) = self.entry.section.required.iter().find(is_missing) {
            row.hold(&format!("required field `{field}` has no value"));
        } else if let Some(question) = self.in_review.get(&row.prospect_id) {
            row.hold(&format!("review pending: {question}"));
        }
    }

    fn update(&self, row: &mut PlannedRow, record: &RemoteRecord, pushed: Option<&BTreeMap<String, Option<String>>>) {
        row.remote_id = Some(record.remote_id.clone());
        row.adopted = pushed.is_none() && record.matched_on != EXTERNAL_ID;
        let changed_at = self.sink.changed_at_field().and_then(|field| record.fields.get(field)).and_then(Option::as_deref);
        let cleared = self.entry.section.clear.iter().filter(|field| !row.desired.contains_key(*field));
        let cleared: Vec<String> = cleared.cloned().collect();
        let wanted = row.desired.iter().map(|(field, ours)| (field, Some(ours.as_str())));
        let owner = self.entry.section.owners.as_ref().filter(|_| self.is_owned).map(|owners| &owners.field);
        row.ownership.looked = true;
        row.ownership.theirs =
            owner.and_then(|field| record.fields.get(field)).cloned().flatten().filter(|owner| !owner.is_empty());
        let given = owner.zip(row.ownership.ours.as_deref()).map(|(field, owner)| (field, Some(owner)));
        for (field, ours) in wanted.chain(given).chain(cleared.iter().map(|field| (field, None))) {
            let remote = record.fields.get(field).and_then(Option::as_deref);
            let pushed = pushed.and_then(|pushed| pushed.get(field)).and_then(Option::as_deref);
            let times = Times { ours: row.observed.get(field).copied(), remote: changed_at };
            let verdict = on_update(self.entry.policy(field), Standing { ours, remote, pushed }, times);
            let ours_there = match verdict {
                Verdict::Same => ours,
                Verdict::Set => {
                    row.changes.push(FieldChange {
                        field: field.clone(),
                        before: remote.map(str::to_owned),
                        after: ours.map(str::to_owned),
                        reason: ours.is_some_and(|ours| ours.starts_with(COMING)).then(|| "made before it".to_owned()),
                    });
                    ours
                }
                Verdict::Keep(reason) => {
                    row.kept.push(Kept { field: field.clone(), reason });
                    pushed
                }
            };
            row.pushed.extend(ours_there.map(|value| (field.clone(), value.to_owned())));
        }
        row.action = if row.changes.is_empty() { Action::Unchanged } else { Action::Update };
        row.relink = row.changes.is_empty();
    }

    /// Gives to owners whoever has none, in the order of the rows.
    fn give(&self, owners: &mut Owners<'_>, rows: &mut [PlannedRow]) {
        let field = owners.field().to_owned();
        let policy = self.entry.policy(&field);
        let blank = Standing { ours: Some("somebody"), remote: None, pushed: None };
        let fills = on_update(policy, blank, Times::default()) == Verdict::Set;
        for row in rows.iter_mut().filter(|row| row.ownership.looked && row.ownership.ours.is_none()) {
            let keep = match row.action {
                Action::Create => None,
                _ if row.ownership.theirs.is_some() => Some("somebody in the remote owns it"),
                Action::Update | Action::Unchanged if fills => None,
                Action::Update | Action::Unchanged => Some("the policy says only when the record is made"),
                Action::Leave | Action::HeldBack | Action::Rejected | Action::Waiting => continue,
            };
            if let Some(reason) = keep {
                row.kept.push(Kept { field: field.clone(), reason });
                continue;
            }
            match owners.give(&row.ownership.territory) {
                Ok((owner, reason)) => {
                    let (before, after, reason) = (None, Some(owner.clone()), Some(reason));
                    row.changes.push(FieldChange { field: field.clone(), before, after, reason });
                    row.pushed.insert(field.clone(), owner);
                    if row.action == Action::Unchanged {
                        (row.action, row.relink) = (Action::Update, false);
                    }
                }
                Err(reason) => {
                    row.kept.push(Kept { field: field.clone(), reason });
                    row.ownership.open = true;
                    row.rehash();
                }
            }
        }
    }
}
