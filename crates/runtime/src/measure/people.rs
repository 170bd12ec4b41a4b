//! What is known of each person, dated: the ground of propensity and of reports about people.

use hashbrown::{HashMap, HashSet};
use headwater_analysis::lifecycle::EngagementKind;
use headwater_analysis::propensity::features::{Act, Person};
use headwater_model::tables;
use headwater_store::Snapshot;

use crate::cells::each;
use crate::error::Result;
use crate::resolve::SUPPRESSED;
use crate::rows::load;

/// A living person of the lake.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) person: Person,
    pub(crate) need: Option<String>,
    pub(crate) channel: String,
    pub(crate) may_contact: bool,
}

/// Everybody but those merged into another and those who must not be held, in the order of their ids.
pub(crate) fn known(snapshot: &Snapshot) -> Result<Vec<Known>> {
    let mut people = standing(snapshot)?;
    let places: HashMap<String, usize> =
        people.iter().enumerate().map(|(place, known)| (known.person.id.clone(), place)).collect();
    let mut acts: Vec<(usize, Act, i64)> = Vec::new();
    contacts(snapshot, &places, &mut acts)?;
    engagements(snapshot, &places, &mut acts)?;
    for (place, act, at) in acts {
        if let Some(known) = people.get_mut(place) {
            known.person.acts.push((act, at));
        }
    }
    Ok(people)
}

/// The ids of everybody but those merged into another and those who must not be held.
pub(super) fn living(snapshot: &Snapshot) -> Result<HashSet<String>> {
    Ok(standing(snapshot)?.into_iter().map(|known| known.person.id).collect())
}

fn standing(snapshot: &Snapshot) -> Result<Vec<Known>> {
    let columns = [
        "prospect_id",
        "merged_into",
        "first_source",
        "first_channel",
        "first_seen_at",
        "became_customer_at",
        "hold_reason",
        "may_contact",
        "need",
    ];
    let mut people = Vec::new();
    for row in each(&load(snapshot, &tables::PROSPECT, &columns)?) {
        if row.text("merged_into")?.is_some() || row.text("hold_reason")? == Some(SUPPRESSED) {
            continue;
        }
        people.push(Known {
            person: Person {
                id: row.word("prospect_id")?,
                source: row.word("first_source")?,
                first_at_us: row.micros("first_seen_at")?.unwrap_or_default(),
                acts: Vec::new(),
                converted_at_us: row.micros("became_customer_at")?,
            },
            need: row.owned("need")?,
            channel: row.word("first_channel")?,
            may_contact: row.flag("may_contact")?,
        });
    }
    people.sort_unstable_by(|a, b| a.person.id.cmp(&b.person.id));
    Ok(people)
}

/// Touches, and the records in which somebody stated a need, a budget or a use.
fn contacts(snapshot: &Snapshot, places: &HashMap<String, usize>, acts: &mut Vec<(usize, Act, i64)>) -> Result<()> {
    let mut of_lead: HashMap<String, usize> = HashMap::new();
    for row in each(&load(snapshot, &tables::IDENTITY_LINK, &["lead_id", "prospect_id"])?) {
        if let Some(place) = row.text("prospect_id")?.and_then(|prospect| places.get(prospect)) {
            of_lead.insert(row.word("lead_id")?, *place);
        }
    }
    for row in each(&load(snapshot, &tables::TOUCH, &["lead_id", "occurred_at"])?) {
        let place = row.text("lead_id")?.and_then(|lead| of_lead.get(lead));
        if let (Some(place), Some(at)) = (place, row.micros("occurred_at")?) {
            acts.push((*place, Act::Touch, at));
        }
    }
    let columns = ["lead_id", "need", "budget", "intended_use", "created_at", "observed_at"];
    let batches = load(snapshot, &tables::LEAD, &columns)?;
    let (mut seen, mut declared): (HashSet<&str>, HashSet<&str>) = (HashSet::new(), HashSet::new());
    for row in each(&batches) {
        let Some(lead) = row.text("lead_id")? else { continue };
        let is_first = seen.insert(lead);
        let states = ["need", "budget", "intended_use"].map(|field| row.text(field));
        let mut states_any = false;
        for state in states {
            states_any |= state?.is_some();
        }
        // A later version was filled in later than the record was made; only the first is as old as the record.
        let made = if is_first { row.micros("created_at")? } else { None };
        let at = made.or(row.micros("observed_at")?);
        if states_any
            && let (Some(place), Some(at)) = (of_lead.get(lead), at)
            && declared.insert(lead)
        {
            acts.push((*place, Act::Declared, at));
        }
    }
    Ok(())
}

fn engagements(snapshot: &Snapshot, places: &HashMap<String, usize>, acts: &mut Vec<(usize, Act, i64)>) -> Result<()> {
    let mut of_fact: HashMap<String, usize> = HashMap::new();
    for row in each(&load(snapshot, &tables::FACT_LINK, &["fact_id", "kind", "prospect_id"])?) {
        if row.text("kind")? == Some("engagement")
            && let Some(place) = row.text("prospect_id")?.and_then(|prospect| places.get(prospect))
        {
            of_fact.insert(row.word("fact_id")?, *place);
        }
    }
    let columns = ["engagement_id", "kind", "machine", "url", "occurred_at"];
    let mut seen: HashSet<String> = HashSet::new();
    for row in each(&load(snapshot, &tables::ENGAGEMENT, &columns)?) {
        let Some(place) = row.text("engagement_id")?.and_then(|fact| of_fact.get(fact)) else { continue };
        let (kind, machine) = (row.text("kind")?.unwrap_or_default(), row.text("machine")?.unwrap_or_default());
        if matches!(machine, "machine" | "likely_machine") {
            continue;
        }
        let Some(act) = act(kind, row.text("url")?) else { continue };
        if let (Some(at), true) = (row.micros("occurred_at")?, seen.insert(row.word("engagement_id")?)) {
            acts.push((*place, act, at));
        }
    }
    Ok(())
}

fn act(kind: &str, url: Option<&str>) -> Option<Act> {
    if matches!(kind, "bounced_hard" | "complained" | "unsubscribed") {
        return Some(Act::Gone);
    }
    match EngagementKind::from_row(kind, url) {
        EngagementKind::Visit => Some(Act::Visit),
        EngagementKind::PricingVisit | EngagementKind::Demo => Some(Act::Pricing),
        EngagementKind::Click => Some(Act::Click),
        EngagementKind::Reply => Some(Act::Reply),
        EngagementKind::Subscribed => Some(Act::Subscribed),
        EngagementKind::Open | EngagementKind::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use headwater_model::engagement;

    use super::*;

    #[test]
    fn what_ends_a_conversation_is_told_by_the_words_of_the_lake() {
        for raw in ["bounce", "complaint", "unsubscribe"] {
            assert_eq!(act(engagement::kind(raw), None), Some(Act::Gone), "{raw}");
        }
        assert_eq!(act(engagement::kind("soft_bounce"), None), None);
    }
}
