//! Survivorship: one value for every field of a prospect, the losers kept, the rule named.
//!
//! Nothing is never better than something: a null does not compete. A source that empties a cell on purpose does, by
//! [`OP_CLEAR`](super::OP_CLEAR). Work goes by ranges of clusters, so memory is bounded by the range and not by the lake.

use std::cmp::Reverse;
use std::ops::Range;

use arrow::array::RecordBatch;
use hashbrown::HashMap;
use headwater_model::email::kind_of;

use super::Error;
use super::assign::Assignment;
use super::batches::{FieldRow, FieldsBuilder};
use super::cluster::Clusters;
use super::golden::{Golden, GoldenBuilder};
use super::leads::{Field, Leads};
use super::standing::{Clearings, OP_CLEAR, Policy, Rule, Standing};

/// The fields of a prospect that are chosen among its leads. The email's kind goes with the email.
pub const SURVIVING: [Field; 23] = [
    Field::Email,
    Field::GivenName,
    Field::FamilyName,
    Field::FullName,
    Field::Phone,
    Field::Mobile,
    Field::JobTitle,
    Field::Seniority,
    Field::Department,
    Field::CompanyName,
    Field::CompanyDomain,
    Field::CompanyNumber,
    Field::Website,
    Field::LinkedinUrl,
    Field::Street,
    Field::City,
    Field::Region,
    Field::PostalCode,
    Field::Country,
    Field::Language,
    Field::Need,
    Field::Budget,
    Field::IntendedUse,
];

/// What a person said a field is, above every source. It stands with a lead, and goes where that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The lead.
    pub lead_id: String,
    /// The field.
    pub field: Field,
    /// Its value; empty for none.
    pub value: String,
    /// When it was said, in microseconds since 1970.
    pub at: i64,
}

/// Chooses the values of prospects.
#[derive(Debug)]
pub struct Survivorship<'a> {
    leads: &'a Leads,
    clusters: &'a Clusters,
    assignment: &'a Assignment,
    trust: Vec<i64>,
    /// What people said, by the row of the lead.
    edits: HashMap<u32, Vec<&'a Edit>>,
}

/// The values of a range of prospects.
#[derive(Debug)]
pub struct Survived {
    /// One row per prospect.
    pub golden: Golden,
    /// Rows of the table `prospect_field`: every distinct value that any lead of the prospect has, the winner first.
    pub fields: RecordBatch,
}

impl<'a> Survivorship<'a> {
    /// Survivorship over these clusters, named by `assignment`.
    #[must_use]
    pub fn new(leads: &'a Leads, clusters: &'a Clusters, assignment: &'a Assignment, policy: &Policy) -> Self {
        let trust = leads.sources().iter().map(|source| policy.trust.get(source).copied().unwrap_or(0)).collect();
        Self { leads, clusters, assignment, trust, edits: HashMap::new() }
    }

    /// With what people said of fields. Of leads that are gone, nothing is left of what was said.
    #[must_use]
    pub fn edited(mut self, edits: &'a [Edit]) -> Self {
        let mut said: HashMap<&str, Vec<&Edit>> = HashMap::new();
        for edit in edits {
            said.entry(&edit.lead_id).or_default().push(edit);
        }
        if !said.is_empty() {
            self.edits = self.leads.rows().filter_map(|row| Some((row, said.remove(self.leads.id(row))?))).collect();
        }
        self
    }

    /// What was said last of a field of these leads, and of which lead.
    fn edit(&self, field: Field, members: &[u32]) -> Option<(&'a Edit, u32)> {
        if self.edits.is_empty() {
            return None;
        }
        let said = members.iter().filter_map(|row| Some((self.edits.get(row)?, *row)));
        let said = said.flat_map(|(edits, row)| edits.iter().map(move |edit| (*edit, row)));
        said.filter(|(edit, _)| edit.field == field)
            .max_by(|(one, _), (two, _)| (one.at, &one.lead_id).cmp(&(two.at, &two.lead_id)))
    }

    /// The values of the clusters in `range`, which is cut to the clusters there are.
    ///
    /// # Errors
    /// The values of the range pass 1 GiB: ask for fewer clusters at once. 10,000 are a good range.
    pub fn survive(&self, range: Range<usize>) -> Result<Survived, Error> {
        let mut golden = GoldenBuilder::default();
        let mut fields = FieldsBuilder::default();
        let mut candidates = Vec::new();
        for cluster in range {
            let Some(prospect) = self.assignment.prospects.get(cluster).copied() else { break };
            let members = self.clusters.members(cluster);
            golden.begin(prospect, None);
            golden.seen(self.leads, members);
            fields.begin(prospect);
            for field in SURVIVING {
                self.rank(field, members, &mut candidates);
                let edit = self.edit(field, members);
                if let Some((Edit { value, at, .. }, row)) = edit {
                    golden.value(Some(value.as_str()).filter(|value| !value.is_empty()));
                    if field == Field::Email {
                        golden.email_kind((!value.is_empty()).then(|| kind_of(value).as_str()));
                    }
                    let row = FieldRow { field, value, is_winner: true, rule: Rule::Edited, row, edited_at: Some(*at) };
                    fields.push(self.leads, &row)?;
                } else {
                    let winner = candidates.first().filter(|winner| !winner.value.is_empty());
                    golden.value(winner.map(|winner| winner.value));
                    if field == Field::Email {
                        golden.email_kind(winner.and_then(|winner| self.leads.text(Field::EmailKind, winner.row)));
                    }
                }
                for (place, candidate) in candidates.iter().enumerate() {
                    let Candidate { value, row, standing: _ } = *candidate;
                    let rule = if edit.is_some() { Rule::Edited } else { rule(&candidates, place) };
                    let is_winner = place == 0 && edit.is_none();
                    fields.push(self.leads, &FieldRow { field, value, is_winner, rule, row, edited_at: None })?;
                }
            }
        }
        Ok(Survived { golden: golden.finish(), fields: fields.finish()? })
    }

    /// The distinct values of a field among the members, best first, each with the lead that says it best.
    fn rank(&self, field: Field, members: &[u32], candidates: &mut Vec<Candidate<'a>>) {
        candidates.clear();
        let mut clearings = Clearings::default();
        for row in members {
            let Some(value) = self.leads.text(field, *row) else { continue };
            if value.is_empty() {
                if self.leads.text(Field::Op, *row) != Some(OP_CLEAR) {
                    continue;
                }
                clearings.add(self.trust_of(*row), self.leads.observed_at(*row));
            }
            candidates.push(Candidate { value, standing: Standing::ALONE, row: *row });
        }
        // Most prospects are one lead: what has no rival needs no standing.
        if candidates.len() > 1 {
            for candidate in candidates.iter_mut() {
                let (row, trust) = (candidate.row, self.trust_of(candidate.row));
                candidate.standing = Standing::of(self.leads, row, field, trust, &clearings);
            }
            candidates.sort_unstable_by(|one, two| one.value.cmp(two.value).then_with(|| two.rank().cmp(&one.rank())));
            candidates.dedup_by_key(|candidate| candidate.value);
            candidates.sort_unstable_by_key(|candidate| Reverse(candidate.rank()));
        }
    }

    fn trust_of(&self, row: u32) -> i64 {
        self.trust.get(self.leads.source(row)).copied().unwrap_or(0)
    }
}

/// A value of a field and the lead that says it.
#[derive(Debug, Clone, Copy)]
struct Candidate<'a> {
    value: &'a str,
    standing: Standing<'a>,
    row: u32,
}

impl<'a> Candidate<'a> {
    /// Orders any two candidates: record ids could repeat, rows cannot.
    fn rank(&self) -> (Standing<'a>, Reverse<u32>) {
        (self.standing, Reverse(self.row))
    }
}

/// The rule that set the winner above the candidate in this place; the winner names the one that set it above the second.
fn rule(candidates: &[Candidate<'_>], place: usize) -> Rule {
    match (candidates.first(), candidates.get(place.max(1))) {
        (Some(winner), Some(other)) => winner.standing.rule_over(&other.standing),
        _ => Rule::OnlyValue,
    }
}
