//! What the lake has of one person, table by table.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use hashbrown::{HashMap, HashSet};
use headwater_model::{money, tables};
use headwater_store::Snapshot;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Candidate, Consent, Conversion, Credit, Delivery, Engagement, Field, Lead, Pushed, Standing, Touch, Transition};
use crate::cells::{Row, each, instant, matching};
use crate::error::{Error, Result};
use crate::rows::latest;

/// One person, and the leads and facts that are theirs.
pub(super) struct Person<'a> {
    snapshot: &'a Snapshot,
    pub(super) prospect_id: String,
    /// This id and those merged into it.
    ids: HashSet<String>,
    /// Their rows of `identity_link`.
    identity: Vec<RecordBatch>,
    leads: HashSet<String>,
    /// By which key each order and click was found to be theirs.
    matched_on: HashMap<String, String>,
}

impl<'a> Person<'a> {
    pub(super) fn of(snapshot: &'a Snapshot, prospect_id: String, merged_ids: &[String]) -> Result<Self> {
        let own = HashSet::from([prospect_id.as_str()]);
        let identity = matching(snapshot, &tables::IDENTITY_LINK, &[], "prospect_id", &own)?;
        let leads = each(&identity).map(|row| row.word("lead_id")).collect::<Result<_>>()?;
        let facts = matching(snapshot, &tables::FACT_LINK, &["fact_id", "prospect_id", "matched_on"], "prospect_id", &own)?;
        let matched_on = each(&facts).map(|row| Ok((row.word("fact_id")?, row.word("matched_on")?))).collect::<Result<_>>()?;
        let ids = merged_ids.iter().cloned().chain([prospect_id.clone()]).collect();
        drop(own);
        Ok(Self { snapshot, prospect_id, ids, identity, leads, matched_on })
    }

    pub(super) fn ids(&self) -> &HashSet<String> {
        &self.ids
    }

    fn own(&self) -> HashSet<&str> {
        HashSet::from([self.prospect_id.as_str()])
    }

    fn facts(&self) -> HashSet<&str> {
        self.matched_on.keys().map(String::as_str).collect()
    }

    pub(super) fn standing(&self) -> Result<Standing> {
        let rows = matching(self.snapshot, &tables::PROSPECT, &[], "prospect_id", &self.own())?;
        let row = each(&rows).next().ok_or_else(|| Error::Internal("a prospect vanished from its snapshot".to_owned()))?;
        Ok(Standing {
            lifecycle: row.word("lifecycle")?,
            buying_stage: row.word("buying_stage")?,
            may_contact: row.flag("may_contact")?,
            hold_reason: row.owned("hold_reason")?,
            lawful_basis: row.owned("lawful_basis")?,
            consent: row.owned("consent")?,
            first_source: row.owned("first_source")?,
            first_channel: row.owned("first_channel")?,
            last_channel: row.owned("last_channel")?,
            first_seen_at: row.instant("first_seen_at")?,
            last_seen_at: row.instant("last_seen_at")?,
            conversion_count: row.integer("conversion_count")?.unwrap_or_default(),
            revenue: row.amount("revenue")?.map(money::format),
            currency: row.owned("currency")?,
        })
    }

    /// The fields in the order of the table, the winner before the losers.
    pub(super) fn fields(&self) -> Result<Vec<Field>> {
        let rows = matching(self.snapshot, &tables::PROSPECT_FIELD, &[], "prospect_id", &self.own())?;
        let mut fields: Vec<Field> = Vec::new();
        for row in each(&rows) {
            let name = row.word("field")?;
            let at = match fields.iter().position(|field| field.field == name) {
                Some(at) => at,
                None => {
                    fields.push(Field { field: name, winner: None, losers: Vec::new() });
                    fields.len() - 1
                }
            };
            let Some(field) = fields.get_mut(at) else { continue };
            let candidate = Candidate {
                value: row.word("value")?,
                rule: row.word("rule")?,
                source: row.word("source")?,
                lead_id: row.word("lead_id")?,
                record_id: row.word("record_id")?,
                observed_at: row.instant("observed_at")?,
            };
            if row.flag("is_winner")? {
                field.winner = Some(candidate);
            } else {
                field.losers.push(candidate);
            }
        }
        Ok(fields)
    }

    /// The lead that the others were joined to before them.
    pub(super) fn leads(&self) -> Result<Vec<Lead>> {
        let columns = ["lead_id", "record_id", "source", "stream"];
        let versions = matching(self.snapshot, &tables::LEAD, &columns, "lead_id", &self.leads)?;
        let mut counts: HashMap<String, u64> = HashMap::new();
        for row in each(&versions) {
            *counts.entry(row.word("lead_id")?).or_default() += 1;
        }
        let current = latest(versions, "lead_id")?;
        let record_ids: HashSet<String> = each(&current).map(|row| row.word("record_id")).collect::<Result<_>>()?;
        let columns = ["record_id", "place", "received_at"];
        let records = matching(self.snapshot, &tables::SOURCE_RECORD, &columns, "record_id", &record_ids)?;
        let records: HashMap<String, Row<'_>> =
            each(&records).map(|row| Ok((row.word("record_id")?, row))).collect::<Result<_>>()?;
        let current: HashMap<String, Row<'_>> =
            each(&current).map(|row| Ok((row.word("lead_id")?, row))).collect::<Result<_>>()?;
        let mut leads = Vec::new();
        for link in each(&self.identity) {
            let lead_id = link.word("lead_id")?;
            let lead = current.get(&lead_id);
            let text = |column: &str| lead.map(|lead| lead.word(column)).transpose();
            let record_id = text("record_id")?;
            let record = record_id.as_ref().and_then(|id| records.get(id));
            leads.push(Lead {
                source: text("source")?.unwrap_or_default(),
                stream: text("stream")?.unwrap_or_default(),
                place: record.map(|record| record.owned("place")).transpose()?.flatten(),
                received_at: record.map(|record| record.instant("received_at")).transpose()?.flatten(),
                record_id,
                versions: counts.get(&lead_id).copied().unwrap_or_default(),
                joined_to: link.owned("joined_to")?,
                method: link.word("method")?,
                evidence: link.owned("evidence")?,
                score: link.float("score")?.unwrap_or_default(),
                decided_at: link.instant("decided_at")?,
                model_version: link.word("model_version")?,
                weights: None,
                lead_id,
            });
        }
        let order = |lead: &Lead| (lead.joined_to.is_some(), lead.received_at);
        leads.sort_by(|one, two| order(one).cmp(&order(two)).then_with(|| one.lead_id.cmp(&two.lead_id)));
        Ok(leads)
    }

    pub(super) fn touches(&self) -> Result<Vec<Touch>> {
        let columns = ["touch_id", "lead_id", "source", "occurred_at", "channel", "rule_id", "campaign"];
        let rows = latest(matching(self.snapshot, &tables::TOUCH, &columns, "lead_id", &self.leads)?, "touch_id")?;
        let mut touches = each(&rows)
            .map(|row| {
                Ok(Touch {
                    touch_id: row.word("touch_id")?,
                    occurred_at: row.instant("occurred_at")?,
                    channel: row.word("channel")?,
                    rule: row.word("rule_id")?,
                    source: row.word("source")?,
                    campaign: row.owned("campaign")?,
                })
            })
            .collect::<Result<Vec<Touch>>>()?;
        touches.sort_by(|one, two| (one.occurred_at, &one.touch_id).cmp(&(two.occurred_at, &two.touch_id)));
        Ok(touches)
    }

    pub(super) fn engagements(&self) -> Result<Vec<Engagement>> {
        let columns = ["engagement_id", "kind", "occurred_at"];
        let rows =
            latest(matching(self.snapshot, &tables::ENGAGEMENT, &columns, "engagement_id", &self.facts())?, "engagement_id")?;
        let mut kinds: BTreeMap<String, (u64, Option<Timestamp>)> = BTreeMap::new();
        for row in each(&rows) {
            let (count, last) = kinds.entry(row.word("kind")?).or_default();
            *count += 1;
            *last = (*last).max(row.instant("occurred_at")?);
        }
        Ok(kinds.into_iter().map(|(kind, (count, last_at))| Engagement { kind, count, last_at }).collect())
    }

    pub(super) fn conversions(&self) -> Result<Vec<Conversion>> {
        let facts = self.facts();
        let columns = ["conversion_id", "source", "kind", "value", "currency", "occurred_at"];
        let rows = latest(matching(self.snapshot, &tables::CONVERSION, &columns, "conversion_id", &facts)?, "conversion_id")?;
        let mut credits = self.credits(&facts)?;
        let mut conversions = Vec::new();
        for row in each(&rows) {
            let conversion_id = row.word("conversion_id")?;
            conversions.push(Conversion {
                kind: row.word("kind")?,
                occurred_at: row.instant("occurred_at")?,
                value: row.amount("value")?.map(money::format),
                currency: row.owned("currency")?,
                source: row.word("source")?,
                matched_on: self.matched_on.get(&conversion_id).cloned().unwrap_or_default(),
                credits: credits.remove(&conversion_id).unwrap_or_default(),
                conversion_id,
            });
        }
        conversions.sort_by(|one, two| (one.occurred_at, &one.conversion_id).cmp(&(two.occurred_at, &two.conversion_id)));
        Ok(conversions)
    }

    /// Credits by conversion and model.
    fn credits(&self, conversions: &HashSet<&str>) -> Result<HashMap<String, BTreeMap<String, Vec<Credit>>>> {
        let columns = ["model", "conversion_id", "touch_id", "channel", "source", "share", "value"];
        let rows = matching(self.snapshot, &tables::CREDIT, &columns, "conversion_id", conversions)?;
        let mut credits: HashMap<String, BTreeMap<String, Vec<Credit>>> = HashMap::new();
        for row in each(&rows) {
            credits.entry(row.word("conversion_id")?).or_default().entry(row.word("model")?).or_default().push(Credit {
                channel: row.word("channel")?,
                touch_id: row.owned("touch_id")?,
                source: row.owned("source")?,
                share: row.float("share")?.unwrap_or_default(),
                value: row.amount("value")?.map(money::format),
            });
        }
        Ok(credits)
    }

    pub(super) fn transitions(&self) -> Result<Vec<Transition>> {
        let rows = matching(self.snapshot, &tables::LIFECYCLE_TRANSITION, &[], "prospect_id", &self.own())?;
        let mut transitions = each(&rows)
            .map(|row| {
                Ok(Transition {
                    at: row.instant("at")?,
                    from: row.owned("from_stage")?,
                    to: row.word("to_stage")?,
                    cause: row.word("cause")?,
                    cause_id: row.owned("cause_id")?,
                })
            })
            .collect::<Result<Vec<Transition>>>()?;
        // Stable: steps of one instant stay in the order in which they were taken.
        transitions.sort_by_key(|step| step.at);
        Ok(transitions)
    }

    pub(super) fn consents(&self) -> Result<Vec<Consent>> {
        let rows = latest(matching(self.snapshot, &tables::CONSENT, &[], "lead_id", &self.leads)?, "consent_id")?;
        each(&rows)
            .map(|row| {
                Ok(Consent {
                    source: row.word("source")?,
                    basis: row.word("basis")?,
                    status: row.word("status")?,
                    obtained_at: row.instant("obtained_at")?,
                    notice_at: row.instant("notice_at")?,
                })
            })
            .collect()
    }

    /// What was pushed, under this id or one that was merged into it.
    pub(super) fn deliveries(&self) -> Result<Vec<Delivery>> {
        let rows = matching(self.snapshot, &tables::DELIVERY, &[], "prospect_id", &self.ids)?;
        let mut deliveries = each(&rows)
            .map(|row| {
                Ok(Delivery {
                    at: row.micros("at")?.and_then(instant),
                    run_id: row.word("run_id")?,
                    sink: row.word("sink")?,
                    op: row.word("op")?,
                    outcome: row.word("outcome")?,
                    remote_id: row.owned("remote_id")?,
                    reason: row.owned("reason")?,
                    fields: pushed(row.text("fields")?, row.text("before")?),
                })
            })
            .collect::<Result<Vec<Delivery>>>()?;
        deliveries.sort_by_key(|delivery| delivery.at);
        Ok(deliveries)
    }
}

/// The fields of a push, each with what stood there before.
fn pushed(fields: Option<&str>, before: Option<&str>) -> Vec<Pushed> {
    let object =
        |text: Option<&str>| text.and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok()).unwrap_or_default();
    let before = object(before);
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    object(fields)
        .iter()
        .map(|(field, after)| Pushed { field: field.clone(), before: text(before.get(field)), after: text(Some(after)) })
        .collect()
}
