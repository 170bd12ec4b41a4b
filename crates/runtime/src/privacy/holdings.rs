//! What the store holds of one person: which rows of which table are theirs.
//!
//! Theirs are the leads that resolve joined, in every version, and what came of them: records, touches, consents, facts, credits,
//! pushes. An address is theirs alone when no lead of somebody else has it; then what was not resolved yet, or refused, and has
//! the address is theirs too.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::{HashMap, HashSet};
use headwater_model::email;
use headwater_model::tables::{self, Table};
use headwater_store::{DataFile, PersonKeys, Snapshot};

use super::mention::Mentions;
use crate::cells::{Row, each, matching};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::explain::find::{self, Found};

/// How many pushed payloads are looked at at once.
const PAYLOADS_AT_ONCE: u32 = 256;
/// How many other records that mention an address are named.
const MOST_NAMED: usize = 100;

/// What ties a row to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tie {
    Prospect,
    Lead,
    Record,
    Fact,
    Quarantined,
}

/// The columns that tie a table's rows to a person.
pub(super) type Ties = &'static [(&'static str, Tie)];

/// Which columns tie which table's rows to a person. What is not here holds nobody's data: sums over many, or costs.
pub(super) static TIES: [(&Table, Ties); 18] = [
    (&tables::SOURCE_RECORD, &[("record_id", Tie::Record)]),
    (&tables::LEAD, &[("lead_id", Tie::Lead)]),
    (&tables::TOUCH, &[("lead_id", Tie::Lead)]),
    (&tables::CONSENT, &[("lead_id", Tie::Lead)]),
    (&tables::ENGAGEMENT, &[("engagement_id", Tie::Fact)]),
    (&tables::CONVERSION, &[("conversion_id", Tie::Fact)]),
    (&tables::QUARANTINE, &[("quarantine_id", Tie::Quarantined)]),
    (&tables::PROSPECT, &[("prospect_id", Tie::Prospect)]),
    (&tables::PROSPECT_FIELD, &[("prospect_id", Tie::Prospect)]),
    (&tables::IDENTITY_LINK, &[("prospect_id", Tie::Prospect), ("lead_id", Tie::Lead)]),
    (&tables::FACT_LINK, &[("prospect_id", Tie::Prospect), ("fact_id", Tie::Fact)]),
    (&tables::IDENTITY_EVENT, &[("prospect_id", Tie::Prospect)]),
    (&tables::LIFECYCLE_TRANSITION, &[("prospect_id", Tie::Prospect)]),
    (&tables::CREDIT, &[("prospect_id", Tie::Prospect), ("conversion_id", Tie::Fact)]),
    (&tables::PROPENSITY, &[("prospect_id", Tie::Prospect)]),
    (&tables::CUSTOMER, &[("prospect_id", Tie::Prospect)]),
    (&tables::COMPANY, &[("prospect_id", Tie::Prospect)]),
    (&tables::DELIVERY, &[("prospect_id", Tie::Prospect)]),
];

/// A pushed payload that waits and mentions the person.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) source: String,
    pub(super) seq: i64,
    pub(super) received_at: i64,
    pub(super) body: Vec<u8>,
}

/// What the store holds of one person.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    pub(super) prospects: BTreeSet<String>,
    leads: HashSet<String>,
    records: HashSet<String>,
    facts: HashSet<String>,
    quarantined: HashSet<String>,
    /// Addresses that are theirs alone.
    pub(super) addresses: BTreeSet<String>,
    /// Numbers in E.164 that are theirs alone.
    pub(super) numbers: BTreeSet<String>,
    /// The same as the sources wrote them.
    written: BTreeSet<String>,
    /// The sources that their rows came from.
    pub(super) sources: BTreeSet<String>,
    pub(super) waiting: Vec<Waiting>,
    /// Records of others, or of nobody, that mention an address of theirs.
    pub(super) mentioned_in: Vec<String>,
    /// How many there are.
    pub(super) mentions: u64,
}

impl Holdings {
    /// Finds everything of the person with this address or prospect id.
    ///
    /// # Errors
    /// `Usage` when it is neither, or several people have the address. Nobody being known by it is no error.
    pub(super) async fn of(engine: &Engine, snapshot: &Snapshot, who: &str) -> Result<Self> {
        let mut held = Self::default();
        let who = who.trim();
        let address = email::normalise(who).map(std::borrow::Cow::into_owned);
        if address.is_none() && !who.starts_with("prs_") {
            return Err(Error::Usage(
                "give an e-mail address, or a prospect id (prs_…) as `headwater explain` shows it".to_owned(),
            ));
        }
        match find::find(engine, snapshot, who).await {
            Ok(Found { prospect_id, by: _, merged_ids, also }) if also.is_empty() => {
                held.prospects.extend(merged_ids);
                held.prospects.insert(prospect_id);
            }
            Ok(Found { prospect_id, by: _, merged_ids: _, also }) => {
                let ids: Vec<String> = std::iter::once(prospect_id).chain(also).collect();
                let message = format!("{} people have this address: {}; name one of them by the id", ids.len(), ids.join(", "));
                return Err(Error::Usage(message));
            }
            Err(Error::NotFound { .. }) if address.is_none() => drop(held.prospects.insert(who.to_owned())),
            Err(Error::NotFound { .. }) => {}
            Err(other) => return Err(other),
        }
        held.addresses.extend(address);
        held.add_leads(snapshot)?;
        held.add_facts(snapshot)?;
        let mentions = held.look_for();
        held.add_quarantined(snapshot, &mentions)?;
        held.add_waiting(engine, &mentions).await?;
        held.add_mentions(snapshot, &mentions)?;
        Ok(held)
    }

    /// Whether the lake and the intake hold nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.leads.is_empty() && self.facts.is_empty() && self.quarantined.is_empty() && self.waiting.is_empty()
    }

    /// What to look for in texts.
    pub(super) fn look_for(&self) -> Mentions {
        Mentions::of(&self.addresses, &self.numbers.union(&self.written).cloned().collect())
    }

    /// Which rows of a batch are theirs, by the columns of [`TIES`].
    pub(super) fn is_theirs(&self, row: Row<'_>, ties: Ties) -> Result<bool> {
        for (column, tie) in ties {
            let Some(id) = row.text(column)? else { continue };
            let theirs = match tie {
                Tie::Prospect => self.prospects.contains(id),
                Tie::Lead => self.leads.contains(id),
                Tie::Record => self.records.contains(id),
                Tie::Fact => self.facts.contains(id),
                Tie::Quarantined => self.quarantined.contains(id),
            };
            if theirs {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many rows of a file are theirs.
    pub(super) fn rows_in(&self, snapshot: &Snapshot, table: &'static Table, ties: Ties, file: &DataFile) -> Result<u64> {
        let columns: Vec<&str> = ties.iter().map(|(column, _)| *column).collect();
        let mut rows = 0;
        for batch in snapshot.read_file(table, &columns, file)? {
            for row in each(&[batch?]) {
                rows += u64::from(self.is_theirs(row, ties)?);
            }
        }
        Ok(rows)
    }

    /// The ids by which the control tables know them. `intake` are payloads that are theirs.
    pub(super) fn keys(&self, intake: Vec<i64>) -> PersonKeys {
        let sorted = |ids: &HashSet<String>| {
            let mut ids: Vec<String> = ids.iter().cloned().collect();
            ids.sort_unstable();
            ids
        };
        PersonKeys {
            prospects: self.prospects.iter().cloned().collect(),
            leads: sorted(&self.leads),
            quarantined: sorted(&self.quarantined),
            intake,
        }
    }

    /// Their leads by identity, then those that nobody resolved yet and that have an address of theirs alone.
    fn add_leads(&mut self, snapshot: &Snapshot) -> Result<()> {
        let links =
            matching(snapshot, &tables::IDENTITY_LINK, &["lead_id", "prospect_id"], "prospect_id", &hashed(&self.prospects))?;
        for link in each(&links) {
            self.leads.insert(link.word("lead_id")?);
        }
        let asked = self.addresses.clone();
        self.take_leads(snapshot)?;
        self.take_addresses(snapshot)?;
        let others = self.with_addresses(snapshot, &tables::LEAD, "lead_id", &["email", "phone", "mobile"])?;
        let linked = among(snapshot, &tables::IDENTITY_LINK, "lead_id", others.keys())?;
        for (lead, values) in others {
            if linked.contains(&lead) {
                // Somebody else has it as well. What was asked for stays: `find` has seen that it is one person's.
                self.addresses.retain(|address| asked.contains(address) || !values.contains(address));
                if values.iter().any(|value| self.numbers.remove(value)) {
                    // How it was written says nothing either.
                    self.written.clear();
                }
            } else if values.iter().any(|value| self.addresses.contains(value)) {
                self.leads.insert(lead);
            }
        }
        self.take_leads(snapshot)
    }

    /// The records and sources of all versions of their leads.
    fn take_leads(&mut self, snapshot: &Snapshot) -> Result<()> {
        for row in each(&matching(snapshot, &tables::LEAD, &["lead_id", "record_id", "source"], "lead_id", &self.leads)?) {
            self.records.insert(row.word("record_id")?);
            self.sources.insert(row.word("source")?);
        }
        Ok(())
    }

    /// The addresses and numbers of all versions of their leads.
    fn take_addresses(&mut self, snapshot: &Snapshot) -> Result<()> {
        let columns = ["lead_id", "email", "phone", "mobile", "phone_raw"];
        for row in each(&matching(snapshot, &tables::LEAD, &columns, "lead_id", &self.leads)?) {
            self.addresses.extend(row.owned("email")?);
            self.numbers.extend(row.owned("phone")?);
            self.numbers.extend(row.owned("mobile")?);
            self.written.extend(row.owned("phone_raw")?.map(|number| number.trim().to_lowercase()));
        }
        Ok(())
    }

    /// Rows of others that have one of these addresses or numbers, by their id.
    fn with_addresses(
        &self,
        snapshot: &Snapshot,
        table: &'static Table,
        key: &'static str,
        columns: &[&'static str],
    ) -> Result<HashMap<String, BTreeSet<String>>> {
        let mut found: HashMap<String, BTreeSet<String>> = HashMap::new();
        let read: Vec<&str> = std::iter::once(key).chain(columns.iter().copied()).collect();
        for batch in snapshot.read(table, &read, None)? {
            for row in each(&[batch?]) {
                for column in columns {
                    let Some(value) = row.text(column)? else { continue };
                    if self.addresses.contains(value) || self.numbers.contains(value) {
                        let id = row.word(key)?;
                        if !self.leads.contains(&id) && !self.facts.contains(&id) {
                            found.entry(id).or_default().insert(value.to_owned());
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    /// Their facts by what resolve found, then those that it tied to nobody and that have an address of theirs alone.
    fn add_facts(&mut self, snapshot: &Snapshot) -> Result<()> {
        let links = matching(snapshot, &tables::FACT_LINK, &["fact_id", "prospect_id"], "prospect_id", &hashed(&self.prospects))?;
        for link in each(&links) {
            self.facts.insert(link.word("fact_id")?);
        }
        let mut others = self.with_addresses(snapshot, &tables::ENGAGEMENT, "engagement_id", &["email"])?;
        others.extend(self.with_addresses(snapshot, &tables::CONVERSION, "conversion_id", &["email", "phone"])?);
        let linked = among(snapshot, &tables::FACT_LINK, "fact_id", others.keys())?;
        self.facts.extend(others.into_keys().filter(|fact| !linked.contains(fact)));
        for (table, key) in [(&tables::ENGAGEMENT, "engagement_id"), (&tables::CONVERSION, "conversion_id")] {
            for row in each(&matching(snapshot, table, &[key, "record_id", "source"], key, &self.facts)?) {
                self.records.insert(row.word("record_id")?);
                self.sources.insert(row.word("source")?);
            }
        }
        Ok(())
    }

    /// Refused rows that mention them, and refused pushes of theirs.
    fn add_quarantined(&mut self, snapshot: &Snapshot, mentions: &Mentions) -> Result<()> {
        for batch in snapshot.read(&tables::QUARANTINE, &["quarantine_id", "source", "stage", "place", "raw"], None)? {
            for row in each(&[batch?]) {
                let pushed = row.text("stage")? == Some("deliver");
                let theirs = pushed && row.text("place")?.is_some_and(|place| self.prospects.contains(place));
                if theirs || row.text("raw")?.is_some_and(|raw| mentions.in_text(raw)) {
                    self.quarantined.insert(row.word("quarantine_id")?);
                    if !pushed {
                        self.sources.insert(row.word("source")?);
                    }
                }
            }
        }
        Ok(())
    }

    async fn add_waiting(&mut self, engine: &Engine, mentions: &Mentions) -> Result<()> {
        if mentions.is_empty() {
            return Ok(());
        }
        for source in engine.store.intake_sources().await? {
            let mut after = 0;
            loop {
                let rows = engine.store.intake_after(&source, after, PAYLOADS_AT_ONCE).await?;
                let Some(last) = rows.last() else { break };
                after = last.seq;
                for row in rows {
                    if mentions.in_bytes(&row.record.body) {
                        let (received_at, body) = (row.record.received_at, row.record.body);
                        self.waiting.push(Waiting { source: source.clone(), seq: row.seq, received_at, body });
                    }
                }
            }
        }
        Ok(())
    }

    /// Records that are not theirs and mention an address of theirs: a referral, a message, a payload of several people.
    fn add_mentions(&mut self, snapshot: &Snapshot, mentions: &Mentions) -> Result<()> {
        if mentions.is_empty() {
            return Ok(());
        }
        for batch in snapshot.read(&tables::SOURCE_RECORD, &["record_id", "raw"], None)? {
            for row in each(&[batch?]) {
                let id = row.text("record_id")?.unwrap_or_default();
                if !self.records.contains(id) && row.text("raw")?.is_some_and(|raw| mentions.in_text(raw)) {
                    self.mentions += 1;
                    if self.mentioned_in.len() < MOST_NAMED {
                        self.mentioned_in.push(id.to_owned());
                    }
                }
            }
        }
        Ok(())
    }
}

fn hashed(ids: &BTreeSet<String>) -> HashSet<&str> {
    ids.iter().map(String::as_str).collect()
}

/// Which of these ids a table has.
fn among<'a>(
    snapshot: &Snapshot,
    table: &'static Table,
    key: &str,
    ids: impl Iterator<Item = &'a String>,
) -> Result<HashSet<String>> {
    let wanted: HashSet<&str> = ids.map(String::as_str).collect();
    each(&matching(snapshot, table, &[key], key, &wanted)?).map(|row| row.word(key)).collect()
}

/// How many rows of each table are theirs; tables without any are left out.
pub(super) fn counted(held: &Holdings, snapshot: &Snapshot) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for (table, ties) in TIES {
        let mut rows = 0;
        for file in snapshot.files(table) {
            rows += held.rows_in(snapshot, table, ties, file)?;
        }
        if rows > 0 {
            counts.insert(table.name.to_owned(), rows);
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_with_columns_of_people_is_tied_to_them() {
        for table in tables::ALL {
            let tied = TIES.iter().find(|(tied, _)| tied.name == table.name);
            assert!(tied.is_some() || table.personal().next().is_none(), "{} holds data of people", table.name);
            for (column, _) in tied.map(|(_, ties)| *ties).unwrap_or_default() {
                assert!(table.columns.iter().any(|known| known.name == *column), "{} has no {column}", table.name);
            }
        }
        let ids = ["prospect_id", "lead_id"];
        let untied = tables::ALL.iter().filter(|table| TIES.iter().all(|(tied, _)| tied.name != table.name));
        for table in untied {
            assert!(!table.columns.iter().any(|column| ids.contains(&column.name)), "{} names people", table.name);
        }
    }
}
