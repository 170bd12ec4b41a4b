//! Contacts into a static list, and out of it again.

use std::collections::BTreeSet;

use async_trait::async_trait;
use headwater_sdk::{
    BuildContext, DeliveryRow, Error, ErrorKind, Fields, Lookup, MatchKey, Operation, Pace, RemoteRecord, Removal, Result,
    RowOutcome, Sink, SinkCapability, WriteReport,
};

use super::client::{Client, MAX_BATCH, WINDOW};
use super::config::SinkConfig;

/// The field that names the contact.
const CONTACT: &str = "contact";

/// One list; a record of it is a contact's place in it, and has the contact's id.
#[derive(Debug)]
pub(crate) struct ListSink {
    client: Client,
    list: String,
    pace: Pace,
}

impl ListSink {
    /// # Errors
    /// `Config` when the address or the token cannot be used.
    pub(crate) fn new(list: &str, config: &SinkConfig, cx: &BuildContext) -> Result<Self> {
        let pace = Pace { calls: config.requests_per_10s.get(), per: WINDOW };
        Ok(Self { client: Client::new(config, cx)?, list: list.to_owned(), pace })
    }

    async fn holds(&self, contact: &str) -> Result<bool> {
        Ok(self.client.lists_of(contact).await?.contains(&self.list))
    }

    fn place(contact: &str) -> RemoteRecord {
        let fields = Fields::from([(CONTACT.to_owned(), Some(contact.to_owned()))]);
        RemoteRecord { remote_id: contact.to_owned(), fields, matched_on: CONTACT.to_owned() }
    }
}

#[async_trait]
impl Sink for ListSink {
    fn capability(&self) -> SinkCapability {
        SinkCapability { max_rows: MAX_BATCH, lookup: true, calls_per_row: 1 }
    }

    async fn check(&self) -> Result<()> {
        self.client.list_name(&self.list).await.map(drop).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::new(ErrorKind::Config, format!("the account has no list `{}`", self.list))
                .hint("write the id of a static list of contacts: it stands in the list's address in HubSpot"),
            _ => error,
        })
    }

    fn person_field(&self) -> Option<&str> {
        Some(CONTACT)
    }

    async fn lookup(&self, rows: &[Vec<MatchKey>]) -> Result<Vec<Lookup>> {
        let mut found = Vec::with_capacity(rows.len());
        for keys in rows {
            // Whoever has no id yet is in no list.
            let contact = keys.iter().find(|key| key.field == CONTACT && key.value.bytes().all(|byte| byte.is_ascii_digit()));
            found.push(match contact {
                Some(key) if self.holds(&key.value).await? => Lookup::Found(Self::place(&key.value)),
                Some(_) | None => Lookup::Absent,
            });
        }
        Ok(found)
    }

    async fn fetch(&self, remote_id: &str) -> Result<Option<RemoteRecord>> {
        Ok(self.holds(remote_id).await?.then(|| Self::place(remote_id)))
    }

    async fn write(&self, rows: &[DeliveryRow]) -> Result<WriteReport> {
        let contact = |row: &DeliveryRow| row.fields.get(CONTACT).cloned().flatten();
        let wanted: Vec<String> = rows.iter().filter_map(contact).collect();
        if wanted.is_empty() {
            let none = RowOutcome::Rejected { reason: "the row names no contact".to_owned() };
            return WriteReport::new(rows.len(), vec![none; rows.len()]);
        }
        let missing: BTreeSet<String> = self.client.move_members(&self.list, &wanted, false).await?.into_iter().collect();
        let outcome = |row: &DeliveryRow| match contact(row) {
            None => RowOutcome::Rejected { reason: "the row names no contact".to_owned() },
            Some(contact) if missing.contains(&contact) => RowOutcome::Rejected { reason: "the contact is gone".to_owned() },
            Some(contact) if row.operation == Operation::Create => RowOutcome::Created { remote_id: contact },
            Some(contact) => RowOutcome::Updated { remote_id: contact },
        };
        WriteReport::new(rows.len(), rows.iter().map(outcome).collect())
    }

    fn pace(&self) -> Option<Pace> {
        Some(self.pace)
    }

    fn removes(&self) -> bool {
        true
    }

    async fn remove(&self, remote_ids: &[String]) -> Result<Vec<Removal>> {
        self.client.move_members(&self.list, remote_ids, true).await?;
        Ok(vec![Removal::Removed; remote_ids.len()])
    }
}
