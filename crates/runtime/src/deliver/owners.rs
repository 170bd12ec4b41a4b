//! Who of the remote's users a person is given to.
//!
//! What we gave stays: it stands in the link to the record, as everything that we wrote there, and is counted from there. So the
//! same people in the same order are given to the same owners, on whichever day a plan is made.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use headwater_sdk::Sink;

use super::payload::pushed_value;
use super::plan::link_fields;
use super::values::cell;
use crate::engine::Engine;
use crate::error::Result;
use crate::project::{FieldPolicy, OwnerRule, OwnersSection, ProjectError, SinkEntry};

/// Where a person is and what they need, as the rules ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Territory {
    country: String,
    region: String,
    postal_code: String,
    need: String,
}

impl Territory {
    /// The columns that it is read from.
    pub(super) const COLUMNS: &[&str] = &["country", "region", "postal_code", "need", "intended_use"];

    pub(super) fn of(batch: &RecordBatch, row: usize) -> Result<Self> {
        let text = |field| Ok::<_, crate::Error>(cell(batch, field, row)?.unwrap_or_default());
        let plain = |text: String| text.chars().filter(|character| !character.is_whitespace()).collect::<String>();
        Ok(Self {
            country: text("country")?,
            region: text("region")?,
            postal_code: plain(text("postal_code")?),
            need: format!("{} {}", text("need")?, text("intended_use")?).to_lowercase(),
        })
    }
}

/// Gives people to owners, one after the other.
#[derive(Debug)]
pub(super) struct Owners<'a> {
    section: &'a OwnersSection,
    /// How many people whom we gave each owner has.
    counts: BTreeMap<String, u32>,
}

impl<'a> Owners<'a> {
    /// The owners of a sink's settings, with whom they have already; nothing where there are none.
    pub(super) async fn of(engine: &Engine, entry: &'a SinkEntry) -> Result<Option<Self>> {
        let Some(section) = &entry.section.owners else { return Ok(None) };
        if entry.policy(&section.field) == FieldPolicy::Never {
            return Ok(None);
        }
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        let links = engine.store.links(&entry.name).await?;
        for link in links.values() {
            if let Some(owner) = link_fields(link).remove(&section.field).flatten() {
                *counts.entry(owner).or_default() += 1;
            }
        }
        // Who is on the way there has no link yet.
        for row in engine.store.outbox_due(&entry.name, i64::MAX, u32::MAX).await? {
            let given = pushed_value(&row.entry.payload, &section.field);
            if let (Some(owner), false) = (given, links.contains_key(&row.entry.prospect_id)) {
                *counts.entry(owner).or_default() += 1;
            }
        }
        Ok(Some(Self { section, counts }))
    }

    /// The remote's field of the owner.
    pub(super) fn field(&self) -> &str {
        &self.section.field
    }

    /// The next owner of somebody there, and why; or why there is none.
    pub(super) fn give(&mut self, territory: &Territory) -> Result<(String, String), &'static str> {
        let fitting = self.section.rules.iter().enumerate().find_map(|(index, rule)| Some((index, rule, fits(rule, territory)?)));
        let Some((index, rule, why)) = fitting else { return Err("no rule of `owners` fits") };
        let count = |owner: &String| self.counts.get(owner).copied().unwrap_or_default();
        let has_room = |owner: &&String| self.section.capacity.get(*owner).is_none_or(|most| count(owner) < *most);
        // The first of those with the fewest.
        let Some(owner) = rule.to.iter().filter(has_room).min_by_key(|owner| count(owner)) else {
            return Err("no owner whom `owners` names for them has room");
        };
        let reason = format!("rule {} of `owners` ({why}); has {} of our people so far", index + 1, count(owner));
        let owner = owner.clone();
        *self.counts.entry(owner.clone()).or_default() += 1;
        Ok((owner, reason))
    }
}

/// Why a rule fits somebody, if it does.
fn fits(rule: &OwnerRule, territory: &Territory) -> Option<String> {
    let mut why = Vec::new();
    let mut holds = |name: &str, wanted: &[String], fits: &dyn Fn(&str) -> bool| {
        if wanted.is_empty() {
            return true;
        }
        let found = wanted.iter().find(|wanted| !wanted.trim().is_empty() && fits(wanted.trim()));
        why.extend(found.map(|found| format!("{name} {found}")));
        found.is_some()
    };
    let all = holds("country", &rule.countries, &|wanted| wanted.eq_ignore_ascii_case(&territory.country))
        && holds("region", &rule.regions, &|wanted| wanted.to_lowercase() == territory.region.trim().to_lowercase())
        && holds("postal code", &rule.postal_codes, &|wanted| {
            territory.postal_code.get(..wanted.len()).is_some_and(|start| start.eq_ignore_ascii_case(wanted))
        })
        && holds("need", &rule.needs, &|wanted| territory.need.contains(&wanted.to_lowercase()));
    all.then(|| if why.is_empty() { "everybody".to_owned() } else { why.join(", ") })
}

/// Checks that the rules can be meant.
pub(super) fn check(entry: &SinkEntry, sink: &dyn Sink, fields: &[(String, String)]) -> Result<(), ProjectError> {
    let Some(OwnersSection { field, rules, capacity }) = &entry.section.owners else { return Ok(()) };
    if entry.section.map.contains_key(field) || sink.company_field() == Some(field) {
        let complaint = entry.error("owners.field", format!("`{field}` is set by another setting too"));
        return Err(complaint.help("take it out of `map`"));
    }
    if !fields.is_empty() && !fields.iter().any(|(name, _)| name == field) {
        let complaint = entry.error("owners.field", format!("the sink has no field `{field}`"));
        return Err(complaint.help("name the field in which the remote keeps the owner; the connector's README lists them"));
    }
    if let Some(index) = rules.iter().position(|rule| rule.to.is_empty()) {
        let complaint = entry.error(&format!("owners.rules[{index}]"), "the rule gives people to nobody");
        return Err(complaint.help("name the remote's ids of the owners in `to`"));
    }
    let stray = capacity.keys().find(|owner| !rules.iter().any(|rule| rule.to.contains(owner)));
    match stray {
        Some(owner) => Err(entry
            .error(&format!("owners.capacity.{owner}"), format!("no rule gives anybody to `{owner}`"))
            .help("name the owner in a rule's `to`, or take the number out")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(section: &OwnersSection) -> Owners<'_> {
        Owners { section, counts: BTreeMap::new() }
    }

    fn rule(to: &[&str], countries: &[&str], postal_codes: &[&str], needs: &[&str]) -> OwnerRule {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        OwnerRule {
            countries: texts(countries),
            regions: Vec::new(),
            postal_codes: texts(postal_codes),
            needs: texts(needs),
            to: texts(to),
        }
    }

    fn at(country: &str, postal_code: &str, need: &str) -> Territory {
        Territory {
            country: country.to_owned(),
            region: String::new(),
            postal_code: postal_code.to_owned(),
            need: need.to_lowercase(),
        }
    }

    fn section(rules: Vec<OwnerRule>, capacity: &[(&str, u32)]) -> OwnersSection {
        let capacity = capacity.iter().map(|(owner, most)| ((*owner).to_owned(), *most)).collect();
        OwnersSection { field: "owner".to_owned(), rules, capacity }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let section = section(
            vec![rule(&["a"], &["DE"], &["80", "81"], &[]), rule(&["b"], &["DE"], &[], &["Solar"]), rule(&["c"], &[], &[], &[])],
            &[],
        );
        let mut owners = owners(&section);
        let mut given = |territory: &Territory| owners.give(territory).unwrap().0;
        assert_eq!(given(&at("DE", "80331", "solar roof")), "a");
        assert_eq!(given(&at("DE", "10115", "a SOLAR roof")), "b");
        assert_eq!(given(&at("de", "8", "")), "c");
        assert_eq!(given(&at("FR", "80331", "solar")), "c");
    }

    #[test]
    fn owners_take_turns_and_the_full_ones_take_nobody() {
        let section = section(vec![rule(&["a", "b", "c"], &[], &[], &[])], &[("b", 1), ("c", 2), ("a", 3)]);
        let mut owners = owners(&section);
        let given: Vec<_> = (0..8).map(|_| owners.give(&Territory::default()).map(|(owner, _)| owner)).collect();
        let names = |name: &str| Ok(name.to_owned());
        let full = Err("no owner whom `owners` names for them has room");
        assert_eq!(given, [names("a"), names("b"), names("c"), names("a"), names("c"), names("a"), full.clone(), full]);
    }

    #[test]
    fn nobody_is_given_where_no_rule_fits() {
        let section = section(vec![rule(&["a"], &["DE"], &[], &[])], &[]);
        assert!(owners(&section).give(&at("FR", "", "")).is_err());
    }
}
