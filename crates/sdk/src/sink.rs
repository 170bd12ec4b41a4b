//! The half of a connector that writes.
//!
//! - K1 `write` returns one outcome per row in row order.
//! - K2 `Err` means that no row of the call is known to be written.
//! - K3 The same rows twice leave the remote as once: by idempotency key, else by looking up our id first.
//! - K4 Nothing is reported as written while it is only buffered.
//! - K5 Limits and abilities are declared in `capability`, `pace` and `removes`.
//! - K6 What is taken back is taken back once: `remove` of a record that is gone says so and touches nothing else. It is no refusal,
//!   also where the remote refuses to remove what an earlier attempt removed whose answer was lost.
//! - K7 Only `prepare`, `write`, `remove` and `release` change anything in the remote: who checks and plans writes nothing.
//!
//! Rows, not record batches, are the currency here: after the field policy each row carries only the fields it changes, so the
//! rows of one call have different columns, and a delivery is small beside an ingest.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Error, ErrorKind, Result};

/// Fields by the remote's name. `None` clears the field; an absent field is left alone.
pub type Fields = BTreeMap<String, Option<String>>;

/// How a match key names our id, whatever the remote calls the field that keeps it.
pub const EXTERNAL_ID: &str = "external_id";

/// The reason of a row that is not written because its record is another one than was planned for. It is planned anew, not refused.
pub const MOVED: &str = "the record was changed in the remote since this was planned";

/// What a sink can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkCapability {
    /// The most rows one `write` takes.
    pub max_rows: usize,
    /// Whether `lookup` reads the remote's records back. Without it a plan compares with what we pushed last.
    pub lookup: bool,
    /// API calls that one row costs at most, for the plan's estimate where rows do not share calls; 0 where there is no API.
    pub calls_per_row: usize,
}

/// One thing to find a record by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchKey {
    /// The remote's field, or `external_id` for the field in which the sink keeps our id.
    pub field: String,
    /// Its value.
    pub value: String,
}

/// A record as the remote has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteRecord {
    /// The remote's id.
    pub remote_id: String,
    /// Its fields, all as text.
    pub fields: Fields,
    /// Which match key found it.
    pub matched_on: String,
}

/// What a lookup found for one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// No such record.
    Absent,
    /// Exactly one, verified by us: a filter the remote ignores must not choose for us.
    Found(RemoteRecord),
    /// Several; writing to any of them would be a guess.
    Ambiguous(usize),
}

/// What to do with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Make a record. After a doubtful outcome the sink looks for our id first.
    Create,
    /// Change the record with this id.
    Update {
        /// The remote's id.
        remote_id: String,
    },
}

/// One row to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Prospect and content: the same key is the same write.
    pub key: String,
    /// Our id of the person; the sink keeps it in the remote's external-id field.
    pub prospect_id: String,
    /// What to do.
    pub operation: Operation,
    /// The fields to set, by the remote's name.
    pub fields: Fields,
    /// What to find the record by before a create, strongest first.
    pub match_keys: Vec<MatchKey>,
    /// Whether an earlier attempt may have got through.
    pub doubtful: bool,
    /// What the record had in the fields to set when this was planned, where that is known. A sink that reads the record before it
    /// writes refuses the row as [`MOVED`] where somebody changed one of them since.
    pub seen: Fields,
}

impl DeliveryRow {
    /// Whether somebody changed a field that the row sets since it was planned, and not to what the row sets: an attempt whose answer
    /// was lost may have set it. `holds` says whether the record holds a value in a field now.
    ///
    /// # Errors
    /// Those of `holds`.
    pub fn moved(&self, mut holds: impl FnMut(&str, Option<&str>) -> Result<bool>) -> Result<bool> {
        for (name, seen) in &self.seen {
            let Some(set) = self.fields.get(name) else { continue };
            if !holds(name, seen.as_deref())? && !holds(name, set.as_deref())? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowOutcome {
    /// Made.
    Created {
        /// The remote's id.
        remote_id: String,
    },
    /// Changed.
    Updated {
        /// The remote's id.
        remote_id: String,
    },
    /// The remote already had all of it.
    Unchanged {
        /// The remote's id.
        remote_id: String,
    },
    /// Refused by the remote; never tried again by itself.
    Rejected {
        /// Why, in the remote's words, without a person's data.
        reason: String,
    },
    /// Not written now; try again.
    Retry {
        /// Why.
        reason: String,
        /// How long to wait, where the remote said so.
        after: Option<Duration>,
    },
}

/// One outcome per row of a write. It cannot be made with another number of them.
#[derive(Debug)]
pub struct WriteReport(Vec<RowOutcome>);

impl WriteReport {
    /// Pairs `rows` rows with their outcomes.
    ///
    /// # Errors
    /// `Internal` when the numbers differ: a lost report is never success.
    pub fn new(rows: usize, outcomes: Vec<RowOutcome>) -> Result<Self> {
        if rows == outcomes.len() {
            return Ok(Self(outcomes));
        }
        Err(Error::new(ErrorKind::Internal, "a sink reported another number of outcomes than it was given rows")
            .context("rows", rows.to_string())
            .context("outcomes", outcomes.len().to_string()))
    }

    /// The outcomes, in row order.
    #[must_use]
    pub fn into_outcomes(self) -> Vec<RowOutcome> {
        self.0
    }
}

/// What became of a record that was to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It is gone now.
    Removed,
    /// It was gone already.
    Gone,
    /// The remote keeps it.
    Refused {
        /// Why, in the remote's words, without a person's data.
        reason: String,
    },
}

/// What [`Sink::fetch_all`] answers where the remote's id of a record is ours: what a lookup of it finds.
///
/// # Errors
/// Those of the lookup.
pub async fn by_external_id(sink: &(impl Sink + ?Sized), ids: &[String]) -> Result<Vec<Option<RemoteRecord>>> {
    let key = |id: &String| vec![MatchKey { field: EXTERNAL_ID.to_owned(), value: id.clone() }];
    let one = |found| match found {
        Lookup::Found(record) => Some(record),
        Lookup::Absent | Lookup::Ambiguous(_) => None,
    };
    let found = sink.lookup(&ids.iter().map(key).collect::<Vec<_>>()).await?;
    Ok(found.into_iter().map(one).collect())
}

/// How much is to be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Writes {
    /// Records to be made, or places in lists to be taken.
    pub creates: usize,
    /// Records to be changed.
    pub updates: usize,
    /// Records to be removed, or places in lists to be taken back.
    pub removals: usize,
    /// How many of those made and changed are tied to another record: a person to a company, a task to a person.
    pub ties: usize,
}

/// How fast a sink writes, by the remote's limit or as measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// So many calls,
    pub calls: u32,
    /// in so long.
    pub per: Duration,
}

/// Writes records to a system we do not control.
#[async_trait]
pub trait Sink: Send + Sync {
    /// What it can do.
    fn capability(&self) -> SinkCapability;

    /// Whether a write must carry every field that we keep of the record, also those that did not change: a remote that replaces
    /// records would otherwise lose the others.
    fn whole_rows(&self) -> bool {
        false
    }

    /// Makes the least real request that shows that `write` could work.
    async fn check(&self) -> Result<()>;

    /// The fields this sink takes, with a word on each; empty when it takes any. Those that `prepare` would make are among them.
    async fn fields(&self) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    /// The fields that the settings ask for and the remote lacks: `prepare` would make them. Reads only.
    async fn fields_to_make(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Makes what `fields_to_make` names, before the first row is written; the second time there is nothing to make. A sink that was
    /// not told to prepare does it as it writes.
    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    /// Finds the remote's record for each list of match keys, in order. Reads only.
    async fn lookup(&self, rows: &[Vec<MatchKey>]) -> Result<Vec<Lookup>> {
        Ok(rows.iter().map(|_| Lookup::Absent).collect())
    }

    /// The remote's record with this id, or none when it is gone. Reads only.
    async fn fetch(&self, remote_id: &str) -> Result<Option<RemoteRecord>> {
        let _ = remote_id;
        Ok(None)
    }

    /// The remote's records with these ids, one answer each, in order: many in one request where the remote gives many.
    async fn fetch_all(&self, remote_ids: &[String]) -> Result<Vec<Option<RemoteRecord>>> {
        let mut records = Vec::with_capacity(remote_ids.len());
        for remote_id in remote_ids {
            records.push(self.fetch(remote_id).await?);
        }
        Ok(records)
    }

    /// Writes the rows; one outcome per row, in row order. `Err`: nothing of this call is known to be written.
    async fn write(&self, rows: &[DeliveryRow]) -> Result<WriteReport>;

    /// How many calls the remote takes in how long; nothing where that is not known or there is no API.
    fn pace(&self) -> Option<Pace> {
        None
    }

    /// How many calls this sink has made so far; nothing where there is no API whose calls count.
    fn calls_made(&self) -> Option<u64> {
        None
    }

    /// What its calls have cost so far, in what the remote allows of them in a day: where that is tokens or credits, one call is several.
    fn spent(&self) -> Option<u64> {
        self.calls_made()
    }

    /// What the calls cost that were made with its credential on the present day of UTC, by all processes that count together; nothing
    /// where they do not.
    fn calls_today(&self) -> Option<u64> {
        None
    }

    /// How many calls it would make to write so much, where no answer is lost and no row refused. It lies within a fifth of the calls
    /// made; what is asked once for all rows need not be in it.
    fn calls_to_write(&self, writes: Writes) -> usize {
        let Writes { creates, updates, removals, ties: _ } = writes;
        (creates + updates + removals) * self.capability().calls_per_row
    }

    /// What these calls would cost.
    fn cost_to_write(&self, writes: Writes) -> usize {
        self.calls_to_write(writes)
    }

    /// Whether `remove` removes records.
    fn removes(&self) -> bool {
        false
    }

    /// Removes records that we made; one answer per id, in order. `Err`: none is known to be removed.
    async fn remove(&self, remote_ids: &[String]) -> Result<Vec<Removal>> {
        let refused = || Removal::Refused { reason: "this sink does not delete".to_owned() };
        Ok(remote_ids.iter().map(|_| refused()).collect())
    }

    /// Takes our id out of a record that we did not make, where it stands in a field of its own. Does nothing where the record
    /// does not hold exactly this id.
    async fn release(&self, remote_id: &str, prospect_id: &str) -> Result<()> {
        let (_, _) = (remote_id, prospect_id);
        Ok(())
    }

    /// The field by which the remote tells records apart, where it cannot be searched by our id: an address, say. A doubtful row is
    /// looked for by it, and `lookup` takes it in place of `external_id`.
    fn identity_field(&self) -> Option<&str> {
        None
    }

    /// The field of a person's record that names the company by the remote's id of it, where `companion` writes companies.
    fn company_field(&self) -> Option<&str> {
        None
    }

    /// The field of a companion's record, such as a task, that names the person by the remote's id.
    fn person_field(&self) -> Option<&str> {
        None
    }

    /// The field of a [`RemoteRecord`] that says when somebody last changed it (RFC 3339), where the remote keeps that.
    fn changed_at_field(&self) -> Option<&str> {
        None
    }
}
