//! Everything dated that belongs to somebody: touches, orders, clicks, by cluster and in the order in which it happened.

use std::ops::Range;

use arrow::array::{Array, RecordBatch};
use headwater_analysis::identity::{Clusters, Directory, Leads};
use headwater_analysis::lifecycle::{ConversionKind, FactKind};
use headwater_model::tables;
use headwater_store::Snapshot;

use super::cluster_of;
use super::remote::RemoteOwners;
use crate::error::Result;
use crate::rows::{amounts, at, instants, latest, load, text};

/// What was bought and clicked, and whose each is.
#[derive(Debug, Default)]
pub(super) struct Facts {
    conversions: Vec<RecordBatch>,
    engagements: Vec<RecordBatch>,
    /// In the order of the batches.
    owned: Vec<Entry>,
}

/// The dated facts of some people.
#[derive(Debug)]
pub(super) struct Timeline<'a> {
    touches: Vec<RecordBatch>,
    facts: &'a Facts,
    /// Sorted by cluster, then time.
    entries: Vec<Entry>,
    /// Where each cluster's entries are.
    ranges: Vec<Range<usize>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    cluster: u32,
    at_us: i64,
    table: Kind,
    part: u32,
    row: u32,
    matched: Matched,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Touch,
    Conversion,
    Engagement,
}

/// By which key a fact found its person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Matched {
    Lead,
    RemoteId,
    Email,
    ExternalId,
    Phone,
}

impl Matched {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Lead => "lead_id",
            Self::RemoteId => "remote_id",
            Self::Email => "email",
            Self::ExternalId => "external_id",
            Self::Phone => "phone",
        }
    }
}

/// One dated fact of a person.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment<'a> {
    /// A contact through a channel.
    Touch {
        /// The channel.
        channel: &'a str,
    },
    /// An order, click or the like.
    Fact {
        /// When.
        at_us: i64,
        /// What.
        kind: FactKind<'a>,
        /// The row that says so.
        id: &'a str,
        /// Its kind in the source's words, for consent.
        word: &'a str,
    },
}

/// Which person a conversion or engagement belongs to, and how that was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct FactLink<'a> {
    pub(super) fact_id: &'a str,
    pub(super) kind: &'static str,
    pub(super) cluster: usize,
    pub(super) matched_on: &'static str,
}

impl Facts {
    /// Every conversion and engagement as it is said now; nobody's yet.
    pub(super) fn load(snapshot: &Snapshot) -> Result<Self> {
        let columns = ["conversion_id", "source", "external_id", "email", "phone", "kind", "value", "currency", "occurred_at"];
        let conversions = latest(load(snapshot, &tables::CONVERSION, &columns)?, "conversion_id")?;
        let columns = ["engagement_id", "source", "external_id", "email", "kind", "machine", "url", "occurred_at"];
        let engagements = latest(load(snapshot, &tables::ENGAGEMENT, &columns)?, "engagement_id")?;
        Ok(Self { conversions, engagements, owned: Vec::new() })
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.conversions.is_empty() && self.engagements.is_empty()
    }

    /// Finds whose each is.
    pub(super) fn find_owners(&mut self, directory: &Directory, records: &RemoteOwners) -> Result<()> {
        let owner = Owner { directory, records };
        let mut owned = Vec::new();
        for (table, batches) in [(Kind::Conversion, &self.conversions), (Kind::Engagement, &self.engagements)] {
            for (part, batch) in (0_u32..).zip(batches) {
                let at_us = instants(batch, "occurred_at")?;
                for (row, index) in (0_u32..).zip(0..batch.num_rows()) {
                    if let Some((cluster, matched)) = owner.of_fact(batch, index)? {
                        owned.push(Entry { cluster, at_us: at_us.value(index), table, part, row, matched });
                    }
                }
            }
        }
        self.owned = owned;
        Ok(())
    }

    /// Whose every conversion and engagement is, where that is known.
    pub(super) fn links(&self) -> impl Iterator<Item = FactLink<'_>> {
        self.owned.iter().filter_map(|entry| {
            let (batches, column, kind) = match entry.table {
                Kind::Touch => return None,
                Kind::Conversion => (&self.conversions, "conversion_id", "conversion"),
                Kind::Engagement => (&self.engagements, "engagement_id", "engagement"),
            };
            let fact_id = text(batches.get(entry.part as usize)?, column).ok()?.value(entry.row as usize);
            Some(FactLink { fact_id, kind, cluster: entry.cluster as usize, matched_on: entry.matched.as_str() })
        })
    }
}

impl<'a> Timeline<'a> {
    /// What it reads of a touch, which is of the same lead in all its versions.
    pub(super) const TOUCH_COLUMNS: [&'static str; 4] = ["touch_id", "lead_id", "channel", "occurred_at"];

    /// The touches of these leads and the facts of their clusters. `here` tells a cluster's number among these, by its number among
    /// all, by which the facts have their owners.
    pub(super) fn new(
        touches: Vec<RecordBatch>,
        leads: &Leads,
        clusters: &Clusters,
        (facts, here): (&'a Facts, impl Fn(u32) -> Option<u32>),
    ) -> Result<Self> {
        let touches = latest(touches, "touch_id")?;
        let cluster_of = cluster_of(clusters, leads.len());
        let of_lead = |lead_id: &str| cluster_of.get(leads.find(lead_id)? as usize).copied();
        let mut entries = Vec::new();
        for (part, batch) in (0_u32..).zip(&touches) {
            let (lead, at_us) = (text(batch, "lead_id")?, instants(batch, "occurred_at")?);
            for (row, index) in (0_u32..).zip(0..batch.num_rows()) {
                if let Some(cluster) = of_lead(lead.value(index)) {
                    entries.push(Entry {
                        cluster,
                        at_us: at_us.value(index),
                        table: Kind::Touch,
                        part,
                        row,
                        matched: Matched::Lead,
                    });
                }
            }
        }
        entries.extend(facts.owned.iter().filter_map(|entry| Some(Entry { cluster: here(entry.cluster)?, ..*entry })));
        entries.sort_unstable();
        let ranges = ranges(&entries, clusters.len());
        Ok(Self { touches, facts, entries, ranges })
    }

    /// What happened to the people of a cluster, in order.
    pub(super) fn of(&self, cluster: usize) -> impl Iterator<Item = Moment<'_>> {
        let range = self.ranges.get(cluster).cloned().unwrap_or_default();
        self.entries.get(range).unwrap_or_default().iter().filter_map(|entry| self.moment(entry))
    }

    fn moment(&self, entry: &Entry) -> Option<Moment<'_>> {
        let (part, row) = (entry.part as usize, entry.row as usize);
        match entry.table {
            Kind::Touch => Some(Moment::Touch { channel: text(self.touches.get(part)?, "channel").ok()?.value(row) }),
            Kind::Conversion => {
                let batch = self.facts.conversions.get(part)?;
                let word = text(batch, "kind").ok()?.value(row);
                let values = amounts(batch, "value").ok()?;
                let micros = if values.is_valid(row) { values.value(row) } else { 0 };
                let currency = at(text(batch, "currency").ok()?, row).unwrap_or_default();
                let kind = FactKind::Conversion { kind: ConversionKind::from_name(word), micros, currency };
                Some(Moment::Fact { at_us: entry.at_us, kind, id: text(batch, "conversion_id").ok()?.value(row), word })
            }
            Kind::Engagement => {
                let batch = self.facts.engagements.get(part)?;
                let word = text(batch, "kind").ok()?.value(row);
                let machine = text(batch, "machine").ok()?.value(row);
                let kind = FactKind::from_engagement(word, machine, at(text(batch, "url").ok()?, row));
                Some(Moment::Fact { at_us: entry.at_us, kind, id: text(batch, "engagement_id").ok()?.value(row), word })
            }
        }
    }
}

/// Finds whose a row is.
struct Owner<'a> {
    directory: &'a Directory,
    records: &'a RemoteOwners,
}

impl Owner<'_> {
    /// The person of an order or click: the one whom we wrote to the remote's record that it names; else by address, then by the id
    /// its source shares with a lead's, then by number.
    fn of_fact(&self, batch: &RecordBatch, row: usize) -> Result<Option<(u32, Matched)>> {
        let record = at(text(batch, "external_id")?, row);
        let source = text(batch, "source")?.value(row);
        if let Some(cluster) = record.and_then(|record| self.records.by_record(source, record)) {
            return Ok(u32::try_from(cluster).ok().map(|cluster| (cluster, Matched::RemoteId)));
        }
        let email = at(text(batch, "email")?, row).and_then(|email| self.directory.by_email(email));
        let by_id = || -> Result<Option<usize>> {
            Ok(at(text(batch, "external_id")?, row).and_then(|id| self.directory.by_external_id(source, id)))
        };
        let by_phone = || {
            let phone = batch.column_by_name("phone").and_then(|_| text(batch, "phone").ok()).and_then(|column| at(column, row));
            phone.and_then(|phone| self.directory.by_phone(phone))
        };
        let found = match email {
            Some(cluster) => Some((cluster, Matched::Email)),
            None => by_id()?.map(|cluster| (cluster, Matched::ExternalId)).or_else(|| Some((by_phone()?, Matched::Phone))),
        };
        Ok(found.and_then(|(cluster, matched)| Some((u32::try_from(cluster).ok()?, matched))))
    }
}

fn ranges(entries: &[Entry], clusters: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::with_capacity(clusters);
    let mut start = 0;
    for cluster in (0_u32..).take(clusters) {
        let length = entries.get(start..).unwrap_or_default().iter().take_while(|entry| entry.cluster == cluster).count();
        ranges.push(start..start + length);
        start += length;
    }
    ranges
}
