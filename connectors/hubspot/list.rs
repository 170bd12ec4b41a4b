//! Contacts into a static list, and out of it again.

use async_trait::async_trait;
use headwater_sdk::{
    BuildContext, DeliveryRow, Error, ErrorKind, Fields, Lookup, MatchKey, Operation, Pace, RemoteRecord, Removal, Result,
    RowOutcome, Sink, SinkCapability, WriteReport, Writes,
};

use super::client::{Client, MAX_BATCH, Moved, WINDOW};
use super::config::SinkConfig;

/// The field that names the contact.
const CONTACT: &str = "contact";
/// HubSpot's name for contacts in its lists.
const CONTACTS: &str = "0-1";

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

    /// Moves contacts. Where the list is gone meanwhile, that is said, and nobody's row is at fault.
    async fn moved(&self, contacts: &[String], out: bool) -> Result<Moved> {
        match self.client.move_members(&self.list, contacts, out).await {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Rejected) => {
                self.check().await?;
                Err(error)
            }
            moved => moved,
        }
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
        let wrong = |message: String| {
            Error::new(ErrorKind::Config, message)
                .context("path", "list")
                .hint("write the id of a static list of contacts: it stands in the list's address in HubSpot")
        };
        let list = self.client.list(&self.list).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => wrong(format!("the account has no list `{}`", self.list)),
            _ => error,
        })?;
        if list.processing == "DYNAMIC" {
            return Err(wrong(format!("the list `{}` is active: HubSpot alone decides who is in it", self.list)));
        }
        if !matches!(list.of.as_str(), "" | CONTACTS) {
            return Err(wrong(format!("the list `{}` holds no contacts", self.list)));
        }
        Ok(())
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
        let missing = self.moved(&wanted, false).await?.missing;
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

    fn calls_made(&self) -> Option<u64> {
        Some(self.client.sent())
    }

    fn calls_today(&self) -> Option<u64> {
        self.client.sent_today()
    }

    fn calls_to_write(&self, writes: Writes) -> usize {
        let Writes { creates, updates, removals, ties: _ } = writes;
        (creates + updates).div_ceil(MAX_BATCH) + removals.div_ceil(MAX_BATCH)
    }

    fn removes(&self) -> bool {
        true
    }

    async fn remove(&self, remote_ids: &[String]) -> Result<Vec<Removal>> {
        let removed = self.moved(remote_ids, true).await?.removed;
        let removal = |id: &String| if removed.contains(id) { Removal::Removed } else { Removal::Gone };
        Ok(remote_ids.iter().map(removal).collect())
    }
}
