//! Tasks about contacts, one outcome each.
//!
//! The CRM answers a task that it made without its id, and lists tasks without what is in them. So a task is looked for by our id in
//! a custom field, and what the list gives is read one by one and compared.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use headwater_sdk::sink::{EXTERNAL_ID, MOVED};
use headwater_sdk::{
    BuildContext, DeliveryRow, Error, ErrorKind, Fields, Lookup, MatchKey, Operation, Pace, RemoteRecord, Removal, Result,
    RowOutcome, Sink, SinkCapability, WriteReport, Writes,
};
use serde_json::{Value, json};

use super::client::{Answer, Client, Record};
use super::config::{IdField, SinkConfig};
use super::fields::{Kind, read_text, same};
use super::sink::{CALLS_A_SECOND, MAX_ROWS, OneByOne};

/// The field that names the contact.
const CONTACT: &str = "contact";
/// The fields of a task, with a word on each.
const FIELDS: [(&str, &str); 6] = [
    ("title", "what is to be done; up to 200 characters"),
    ("description", "more about it"),
    ("status", "New (the default), In Progress or Completed"),
    ("priority", "Low, Medium (the default) or High"),
    ("due_date", "by when, YYYY-MM-DD"),
    (CONTACT, "id of the contact whom it is about"),
];
/// What the CRM wants of every task.
const DEFAULTS: [(&str, &str); 2] = [("status", "New"), ("priority", "Medium")];
/// More tasks than this with one id of ours: the CRM does not filter by the custom field.
const MAX_CANDIDATES: usize = 20;

/// The tasks of one organisation as a sink.
#[derive(Debug)]
pub(crate) struct TaskSink {
    client: Client,
    /// The key of the custom field that keeps our id.
    key: String,
    create_id_field: bool,
}

impl TaskSink {
    /// # Errors
    /// `Config` when the address, the token or the id's field cannot be used.
    pub(crate) fn new(config: &SinkConfig, cx: &BuildContext) -> Result<Self> {
        let IdField::Custom(key) = IdField::parse(&config.id_field)? else {
            return Err(Error::new(ErrorKind::Config, "tasks have no `source_ref` to keep our id")
                .context("path", "id_field")
                .hint("set `id_field: cf_KEY`, and make a custom text field of that key for contacts and for tasks"));
        };
        Ok(Self { client: Client::new(config, cx)?, key, create_id_field: config.create_id_field })
    }

    /// The CRM drops values of custom fields it does not have without a word, and our id with them.
    async fn keeps_our_id(&self) -> Result<bool> {
        let customs = self.client.custom_fields().await?;
        Ok(customs.iter().any(|custom| custom.key == self.key && custom.of_type == "text"))
    }

    fn lacking(&self) -> Error {
        Error::new(ErrorKind::Config, format!("tasks have no custom text field `{}` to keep our id", self.key))
            .context("path", "id_field")
            .hint("set `create_id_field: true` with an administrator's token, or make the field for tasks in the CRM's settings")
    }

    /// Our id in a task.
    fn our_id<'a>(&self, record: &'a Record) -> Option<&'a str> {
        record.get("custom_fields")?.get(&self.key)?.as_str().filter(|id| !id.is_empty())
    }

    /// The tasks that hold an id of ours.
    async fn with_id(&self, id: &str) -> Result<Vec<(String, Record)>> {
        let mut listed: BTreeSet<String> = BTreeSet::new();
        let visit = |record: &Record| listed.extend(record.get("id").and_then(Value::as_str).map(str::to_owned));
        self.client.each(Some((&format!("cf_{}", self.key), id)), visit).await?;
        if listed.len() > MAX_CANDIDATES {
            return Err(Error::new(ErrorKind::Unsupported, "the CRM does not list tasks by a custom field")
                .hint("BottleCRM 1.35 does; leave `tasks` out for an older one"));
        }
        let mut found = Vec::new();
        for task in listed {
            if let Some(record) = self.client.get(&task).await?.filter(|record| self.our_id(record) == Some(id)) {
                found.push((task, record));
            }
        }
        Ok(found)
    }

    async fn write_row(&self, row: &DeliveryRow) -> Result<RowOutcome> {
        let rejected = |reason: &str| Ok(RowOutcome::Rejected { reason: reason.to_owned() });
        match &row.operation {
            Operation::Update { remote_id } => match self.client.get(remote_id).await? {
                Some(record) => self.change(remote_id, &record, row).await,
                None => rejected("the record is gone"),
            },
            Operation::Create if row.doubtful => match self.with_id(&row.prospect_id).await?.as_slice() {
                [] => self.create(row).await,
                [(remote_id, record)] => self.change(remote_id, record, row).await,
                _ => rejected("several tasks hold our id: delete all but one in the CRM"),
            },
            Operation::Create => self.create(row).await,
        }
    }

    async fn create(&self, row: &DeliveryRow) -> Result<RowOutcome> {
        let mut body = sent(row.fields.iter().filter(|(_, value)| value.is_some()));
        for (name, value) in DEFAULTS {
            body.entry(name).or_insert_with(|| value.into());
        }
        body.insert("custom_fields".to_owned(), json!({ &self.key: row.prospect_id }));
        if let Answer::Refused(reason) = self.client.create(body).await? {
            return Ok(RowOutcome::Rejected { reason });
        }
        let made = self.with_id(&row.prospect_id).await?;
        let Some((remote_id, record)) = made.into_iter().next() else {
            let reason = "the CRM took the task and does not show it yet".to_owned();
            return Ok(RowOutcome::Retry { reason, after: None });
        };
        let contact = row.fields.get(CONTACT).and_then(Option::as_deref);
        if contact.is_some() && shown(&record).get(CONTACT).and_then(Option::as_deref) != contact {
            // It leaves out a contact that it does not know, without a word.
            self.client.delete(&remote_id).await?;
            return Ok(RowOutcome::Rejected { reason: format!("{CONTACT}: the CRM knows no such contact") });
        }
        Ok(RowOutcome::Created { remote_id })
    }

    /// Sends what differs.
    async fn change(&self, remote_id: &str, record: &Record, row: &DeliveryRow) -> Result<RowOutcome> {
        let held = shown(record);
        let holds = |name: &str, value: Option<&str>| same(Kind::Text, held.get(name).and_then(Option::as_deref), value);
        let mut body = sent(row.fields.iter().filter(|(name, value)| !holds(name, value.as_deref())));
        if self.our_id(record).is_none() {
            body.insert("custom_fields".to_owned(), json!({ &self.key: row.prospect_id }));
        }
        let remote_id = remote_id.to_owned();
        if body.is_empty() {
            return Ok(RowOutcome::Unchanged { remote_id });
        }
        if row.operation != Operation::Create && row.moved(|name, value| Ok(holds(name, value)))? {
            return Ok(RowOutcome::Rejected { reason: MOVED.to_owned() });
        }
        Ok(match self.client.change(&remote_id, body).await? {
            Answer::Done(remote_id) => RowOutcome::Updated { remote_id },
            Answer::Refused(reason) => RowOutcome::Rejected { reason },
            Answer::Gone => RowOutcome::Rejected { reason: "the record is gone".to_owned() },
        })
    }
}

/// What a request carries to set these fields.
fn sent<'a>(fields: impl Iterator<Item = (&'a String, &'a Option<String>)>) -> Record {
    let part = |(name, value): (&String, &Option<String>)| match name.as_str() {
        CONTACT => ("contacts".to_owned(), value.iter().map(|id| Value::from(id.as_str())).collect()),
        _ => (name.clone(), value.as_deref().map_or(Value::Null, Value::from)),
    };
    fields.map(part).collect()
}

/// A task's fields as text.
fn shown(record: &Record) -> Fields {
    let own = FIELDS.iter().filter(|(name, _)| *name != CONTACT);
    let mut fields: Fields = own.filter_map(|(name, _)| Some(((*name).to_owned(), read_text(record.get(*name)?)))).collect();
    let contact = record.get("contacts").and_then(|contacts| contacts.get(0)).and_then(|contact| contact.get("id"));
    fields.insert(CONTACT.to_owned(), contact.and_then(Value::as_str).map(str::to_owned));
    fields
}

fn remote(remote_id: String, record: &Record, matched_on: &str) -> RemoteRecord {
    RemoteRecord { remote_id, fields: shown(record), matched_on: matched_on.to_owned() }
}

#[async_trait]
impl Sink for TaskSink {
    fn capability(&self) -> SinkCapability {
        SinkCapability { max_rows: MAX_ROWS, lookup: true, calls_per_row: 3 }
    }

    async fn check(&self) -> Result<()> {
        self.client.probe().await?;
        if self.create_id_field || self.keeps_our_id().await? { Ok(()) } else { Err(self.lacking()) }
    }

    async fn fields(&self) -> Result<Vec<(String, String)>> {
        Ok(FIELDS.iter().map(|(name, about)| ((*name).to_owned(), (*about).to_owned())).collect())
    }

    async fn lookup(&self, rows: &[Vec<MatchKey>]) -> Result<Vec<Lookup>> {
        let mut answers = Vec::with_capacity(rows.len());
        for keys in rows {
            let ours = keys.iter().find(|key| key.field == EXTERNAL_ID && !key.value.is_empty());
            let found = match ours {
                Some(key) => self.with_id(&key.value).await?,
                None => Vec::new(),
            };
            answers.push(match found.as_slice() {
                [] => Lookup::Absent,
                [(remote_id, record)] => Lookup::Found(remote(remote_id.clone(), record, EXTERNAL_ID)),
                several => Lookup::Ambiguous(several.len()),
            });
        }
        Ok(answers)
    }

    async fn fetch(&self, remote_id: &str) -> Result<Option<RemoteRecord>> {
        let record = self.client.get(remote_id).await?;
        Ok(record.map(|record| remote(remote_id.to_owned(), &record, "id")))
    }

    async fn write(&self, rows: &[DeliveryRow]) -> Result<WriteReport> {
        if rows.is_empty() {
            return WriteReport::new(0, Vec::new());
        }
        let known = |name: &&String| FIELDS.iter().any(|(field, _)| field == name);
        if let Some(name) = rows.iter().flat_map(|row| row.fields.keys()).find(|name| !known(name)) {
            return Err(Error::new(ErrorKind::Config, format!("tasks have no field `{name}`"))
                .hint(format!("map to one of {}", FIELDS.map(|(name, _)| name).join(", "))));
        }
        if !self.keeps_our_id().await? {
            if self.create_id_field {
                self.client.make_custom_field(&self.key).await?;
            }
            if !self.create_id_field || !self.keeps_our_id().await? {
                return Err(self.lacking());
            }
        }
        let mut work = OneByOne::default();
        for row in rows {
            if !work.waits() {
                work.note(self.write_row(row).await)?;
            }
        }
        work.report(rows.len())
    }

    fn calls_made(&self) -> Option<u64> {
        Some(self.client.sent())
    }

    fn calls_to_write(&self, writes: Writes) -> usize {
        let Writes { creates, updates, removals, ties: _ } = writes;
        // A task is made, listed and read; what is changed is read first.
        (creates + updates).div_ceil(MAX_ROWS) + 3 * creates + 2 * updates + removals
    }

    fn pace(&self) -> Option<Pace> {
        Some(Pace { calls: CALLS_A_SECOND, per: Duration::from_secs(1) })
    }

    fn person_field(&self) -> Option<&str> {
        Some(CONTACT)
    }

    fn removes(&self) -> bool {
        true
    }

    async fn remove(&self, remote_ids: &[String]) -> Result<Vec<Removal>> {
        self.client.remove(remote_ids).await
    }

    async fn release(&self, remote_id: &str, prospect_id: &str) -> Result<()> {
        let Some(record) = self.client.get(remote_id).await? else { return Ok(()) };
        if self.our_id(&record) != Some(prospect_id) {
            return Ok(());
        }
        let body = Record::from_iter([("custom_fields".to_owned(), json!({ &self.key: null }))]);
        match self.client.change(remote_id, body).await? {
            Answer::Done(_) | Answer::Gone => Ok(()),
            Answer::Refused(reason) => {
                Err(Error::new(ErrorKind::Rejected, "the CRM keeps our id in the task").context("reason", reason))
            }
        }
    }
}
