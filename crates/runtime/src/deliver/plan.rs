//! What a delivery would do, row by row and field by field, before it does it.

use std::collections::{BTreeMap, HashMap, HashSet};

use headwater_sdk::{MatchKey, Writes};
use headwater_store::CrmLink;
use serde::{Deserialize, Serialize};

use super::SinkCounts;
use super::budget::Budget;
use super::companies::Employers;
use super::owners::Territory;
use super::reference::{COMING, Reference};

/// Why a row waits whose record is named by it and still under way.
pub(super) const NOT_MADE_YET: &str = "the record that it names is not made yet";
/// Why a row is held back that makes no sense without the record it names.
pub(super) const NOT_MADE: &str = "the record that it names was not made";

/// What a delivery to one sink would do.
#[derive(Debug)]
pub struct Plan {
    /// The sink.
    pub sink: String,
    /// The fields that a sync makes in the remote before it writes the first row.
    pub fields_to_make: Vec<String>,
    /// Every prospect of the audience, or those of them that were asked for: see [`Keep`].
    pub rows: Vec<PlannedRow>,
    /// How many prospects of the audience end where.
    pub(super) actions: BTreeMap<Action, u64>,
    /// How many wait for a record that they name and are not queued.
    pub(super) waiting_for_another: u64,
    /// How many of those that would be written are tied to another record.
    pub(super) ties: u64,
    /// How many are held back by which rule.
    pub held_back: BTreeMap<String, u64>,
    /// How many people there are beside those of the audience; counted where a plan is of people.
    pub outside_audience: u64,
    /// API calls spent on looking.
    pub calls_made: usize,
    /// API calls that writing would cost.
    pub calls_to_write: usize,
    /// How long these would take at the pace of the sink, where it tells one.
    pub seconds_to_write: Option<f64>,
    /// The company of each person, where this is a plan of companies.
    pub(super) employers: Option<Employers>,
    /// How those who name these records would name each, where other parts do.
    pub(super) named: HashMap<String, Reference>,
    /// Whom of these nobody looked for, because the day's calls are used up.
    pub(super) unlooked: HashSet<String>,
    /// What the project lets the sink spend, where it bounds that.
    pub budget: Option<PlannedBudget>,
}

/// Which rows of a plan stay in memory. All are planned and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Every one.
    All,
    /// The first so many of the updates, of the creates, and of those that nothing is done with; none of which is unchanged.
    First(usize),
}

/// What a day's budget of calls means for a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PlannedBudget {
    /// How many calls a day has.
    pub calls_per_day: u64,
    /// How many of today's are left, those of this plan taken off.
    pub calls_left_today: u64,
    /// On how many days something is written, today among them.
    pub days_to_write: u64,
}

/// What would become of one prospect.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedRow {
    /// The prospect.
    pub prospect_id: String,
    /// What would be done.
    pub action: Action,
    /// The remote record, where there is one.
    pub remote_id: Option<String>,
    /// Fields that would change.
    pub changes: Vec<FieldChange>,
    /// Fields that would not, although ours differ.
    pub kept: Vec<Kept>,
    /// Why, where that is not plain.
    pub reason: Option<String>,
    /// The delivery: this prospect with this content after what was pushed last. The same key is the same delivery.
    #[serde(skip)]
    pub(super) key: String,
    #[serde(skip)]
    pub(super) desired: BTreeMap<String, String>,
    /// What a record that is there has of ours once this is done: what we set, not what somebody else wrote. Of one that is made, that
    /// is what changes.
    #[serde(skip)]
    pub(super) pushed: BTreeMap<String, String>,
    /// Ids of the same person that were merged away.
    #[serde(skip)]
    pub(super) aliases: Vec<String>,
    #[serde(skip)]
    pub(super) hash: String,
    #[serde(skip)]
    pub(super) keys: Vec<MatchKey>,
    /// When each of our values was last seen in a source, in microseconds of UTC, where a policy asks.
    #[serde(skip)]
    pub(super) observed: BTreeMap<String, i64>,
    #[serde(skip)]
    pub(super) ownership: Ownership,
    #[serde(skip)]
    pub(super) named: Option<Named>,
    /// Whether it is held back because it was undone.
    #[serde(skip)]
    pub(super) is_undone: bool,
    /// Whether it waits for the record that it names, and is not queued.
    #[serde(skip)]
    pub(super) waits_for_another: bool,
    /// Whether the record held no id of ours when we found it.
    #[serde(skip)]
    pub(super) adopted: bool,
    /// Whether the link to the remote record is news to the ledger.
    #[serde(skip)]
    pub(super) relink: bool,
}

/// The record that a row names.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// The remote's field.
    pub(super) field: String,
    /// Our id of it; empty while it is not in the remote.
    pub(super) id: String,
    /// Whether this delivery makes it, so that nothing in the remote names it yet.
    pub(super) is_new: bool,
}

/// How a row stands to the owners of the settings.
#[derive(Debug, Clone, Default)]
pub(super) struct Ownership {
    /// Whether the settings give people to owners.
    pub(super) asked: bool,
    /// Whether it is decided who owns the record.
    pub(super) open: bool,
    /// To whom we gave it before.
    pub(super) ours: Option<String>,
    /// Who owns it in the remote; known when the record was looked at.
    pub(super) theirs: Option<String>,
    /// Whether the record was looked at.
    pub(super) looked: bool,
    pub(super) territory: Territory,
}

/// What is done with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A record is made.
    Create,
    /// A record is changed.
    Update,
    /// A place in a list is taken back: its person does not belong there any more.
    Leave,
    /// Nothing: the remote has everything.
    Unchanged,
    /// Nothing: a rule forbids it.
    HeldBack,
    /// Nothing: the remote refused exactly this before.
    Rejected,
    /// Nothing yet: an earlier push of the same prospect still waits.
    Waiting,
}

/// One field that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The remote's field.
    pub field: String,
    /// What the remote has.
    pub before: Option<String>,
    /// What it would have; nothing where it is cleared.
    pub after: Option<String>,
    /// Why it is this, where no value of ours says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One field that does not change although ours differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The remote's field.
    pub field: String,
    /// Why.
    pub reason: &'static str,
}

impl Plan {
    /// How many prospects of the audience end there.
    #[must_use]
    pub fn count(&self, action: Action) -> u64 {
        self.actions.get(&action).copied().unwrap_or_default()
    }

    /// How much is written.
    pub(super) fn writes(&self) -> Writes {
        let count = |action| usize::try_from(self.count(action)).unwrap_or(usize::MAX);
        Writes {
            creates: count(Action::Create),
            updates: count(Action::Update),
            removals: count(Action::Leave),
            ties: usize::try_from(self.ties).unwrap_or(usize::MAX),
        }
    }

    /// How many rows would end where, were this plan carried out.
    #[must_use]
    pub fn would_be(&self) -> SinkCounts {
        SinkCounts {
            created: self.count(Action::Create),
            updated: self.count(Action::Update),
            removed: self.count(Action::Leave),
            pending: self.count(Action::Waiting),
            ..self.counts()
        }
    }

    /// How many prospects the audience has, and who leaves a list: each ends in exactly one place.
    #[must_use]
    pub fn people(&self) -> u64 {
        self.actions.values().sum()
    }

    /// How many rows end where before anything is pushed: what would be written counts as pending.
    #[must_use]
    pub fn counts(&self) -> SinkCounts {
        SinkCounts {
            created: 0,
            updated: 0,
            removed: 0,
            unchanged: self.count(Action::Unchanged),
            rejected: self.count(Action::Rejected),
            held_back: self.count(Action::HeldBack),
            pending: [Action::Create, Action::Update, Action::Leave, Action::Waiting]
                .map(|action| self.count(action))
                .iter()
                .sum(),
        }
    }

    /// Without what other parts name its records by, once these are planned too.
    pub(super) fn without_names(mut self) -> Self {
        (self.employers, self.named) = (None, HashMap::new());
        self
    }

    /// Counts a window of rows, and keeps what was asked for of them.
    pub(super) fn take(&mut self, rows: Vec<PlannedRow>, keep: Keep, is_named: bool) {
        for row in rows {
            self.count_row(&row);
            if is_named {
                self.named.insert(row.prospect_id.clone(), Reference::of_row(&row));
                self.unlooked.extend(row.waits_for_another.then(|| row.prospect_id.clone()));
            }
            let is_kept = match (keep, row.action) {
                (Keep::All, _) => true,
                (Keep::First(_), Action::Unchanged) => false,
                (Keep::First(most), Action::Create | Action::Update | Action::Leave) => self.count(row.action) <= most as u64,
                (Keep::First(most), _) => {
                    let still = [Action::HeldBack, Action::Rejected, Action::Waiting].map(|action| self.count(action));
                    still.iter().sum::<u64>() <= most as u64
                }
            };
            if is_kept {
                self.rows.push(row);
            }
        }
    }

    fn count_row(&mut self, row: &PlannedRow) {
        *self.actions.entry(row.action).or_default() += 1;
        self.waiting_for_another += u64::from(row.waits_for_another);
        self.ties += u64::from(row.action.is_written() && row.is_tied());
        if row.action == Action::HeldBack {
            *self.held_back.entry(row.rule().to_owned()).or_default() += 1;
        }
    }

    /// Counts a row that came to end elsewhere than it was planned to.
    pub(super) fn recount(&mut self, planned: Action, row: &PlannedRow) {
        if planned != row.action {
            self.actions.entry(planned).and_modify(|count| *count = count.saturating_sub(1));
            self.count_row(row);
        }
    }
}

impl Action {
    pub(super) fn is_written(self) -> bool {
        matches!(self, Self::Create | Self::Update)
    }
}

impl PlannedBudget {
    /// Of a plan that costs so many calls, and of so many more for those whom it has not looked at.
    pub(super) fn of(budget: &Budget<'_>, calls: u64, rest: u64) -> Self {
        let (calls_per_day, left) = (budget.per_day(), budget.left());
        let later = (calls.saturating_sub(left) + rest).div_ceil(calls_per_day);
        let today = u64::from(calls > 0 && left > 0);
        Self { calls_per_day, calls_left_today: left, days_to_write: today + later }
    }
}

impl PlannedRow {
    /// Every id that this person has or had.
    pub(super) fn ids(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.prospect_id).chain(&self.aliases)
    }

    /// The rule that holds it back: its reason without what is particular about this row.
    fn rule(&self) -> &str {
        let reason = self.reason.as_deref().unwrap_or_default();
        reason.split([':', ';']).next().unwrap_or(reason)
    }

    pub(super) fn hold(&mut self, reason: &str) {
        self.action = Action::HeldBack;
        self.reason = Some(reason.to_owned());
    }

    /// Whether it sets the field that names another record.
    fn is_tied(&self) -> bool {
        self.named.as_ref().is_some_and(|named| self.changes.iter().any(|change| change.field == named.field))
    }

    /// Whether it would be written, and names a record that is not there yet.
    pub(super) fn names_what_is_coming(&self) -> bool {
        let named = self.named.as_ref().and_then(|named| self.desired.get(&named.field));
        named.is_some_and(|value| value.starts_with(COMING)) && (self.action.is_written() || self.action == Action::Unchanged)
    }

    pub(super) fn wait_for_what_it_names(&mut self) {
        self.wait_for_another(NOT_MADE_YET);
    }

    pub(super) fn wait_for_another(&mut self, reason: &str) {
        (self.action, self.waits_for_another) = (Action::Waiting, true);
        self.reason = Some(reason.to_owned());
    }

    /// Puts the remote's id into a field that names another record, or takes the field out.
    pub(super) fn name(&mut self, field: &str, remote_id: Option<&str>) {
        for fields in [&mut self.desired, &mut self.pushed] {
            match (remote_id, fields.get_mut(field)) {
                (Some(remote_id), Some(value)) => remote_id.clone_into(value),
                (None, Some(_)) => drop(fields.remove(field)),
                (_, None) => {}
            }
        }
        for change in self.changes.iter_mut().filter(|change| change.field == field) {
            change.after = remote_id.map(str::to_owned);
        }
        if remote_id.is_none() {
            self.changes.retain(|change| change.field != field);
            self.named.iter_mut().for_each(|named| named.id.clear());
            if self.changes.is_empty() && self.action == Action::Update {
                (self.action, self.relink) = (Action::Unchanged, true);
            }
        }
        self.rehash();
    }

    /// What a delivery of it would be known by. Who owns the record is not part of it: what is given stays.
    pub(super) fn hash_of_desired(&self) -> String {
        self.hash_where(self.ownership.open)
    }

    /// The same where nobody is found to own the record, or somebody.
    fn hash_where(&self, is_open: bool) -> String {
        let mut desired: BTreeMap<&String, &String> = self.desired.iter().collect();
        // Which record it names is said by our id of it: the remote's may be another after it was taken back.
        let named = self.named.as_ref().map(|named| {
            desired.remove(&named.field);
            format!(" names {}", named.id)
        });
        let mut said = serde_json::to_string(&desired).unwrap_or_default();
        said.push_str(&named.unwrap_or_default());
        if self.ownership.asked {
            said.push_str(if is_open { " nobody's" } else { " somebody's" });
        }
        blake3::hash(said.as_bytes()).to_hex().to_string()
    }

    /// What it may be known by from former plans: who is asked for again who found no owner was nobody's then.
    pub(super) fn hashes_as_known(&self) -> Vec<String> {
        let mut hashes = vec![self.hash.clone()];
        if self.ownership.asked && !self.ownership.open {
            hashes.push(self.hash_where(true));
        }
        hashes
    }

    /// The keys of its delivery with these.
    pub(super) fn keys_as_known(&self) -> impl Iterator<Item = String> {
        self.hashes_as_known().into_iter().map(|hash| self.key.replace(&self.hash, &hash))
    }

    pub(super) fn rehash(&mut self) {
        let hash = self.hash_of_desired();
        self.key = self.key.replace(&self.hash, &hash);
        self.hash = hash;
    }
}

/// What we wrote to a record last, by the remote's field.
pub(super) fn link_fields(link: &CrmLink) -> BTreeMap<String, Option<String>> {
    serde_json::from_str(&link.pushed_fields).unwrap_or_default()
}
