//! What the control tables hold of one person, and how it goes.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::error::placed;
use crate::ledger::{identity, link, list, meta, outbox};
use crate::{CrmLink, Decision, Edit, FormerProspect, OutboxRow, Result, Store};

/// By which ids a person is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonKeys {
    /// Their prospect, and those that were merged into it.
    pub prospects: Vec<String>,
    /// Their leads.
    pub leads: Vec<String>,
    /// Their rows of the quarantine.
    pub quarantined: Vec<String>,
    /// Pushed payloads that are theirs alone, by number.
    pub intake: Vec<i64>,
}

/// What the control tables hold of a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonRecords {
    /// What was or is to be pushed.
    pub pushes: Vec<OutboxRow>,
    /// Their records in sinks.
    pub links: Vec<CrmLink>,
    /// What people said of their leads.
    pub decisions: Vec<Decision>,
    /// What people said their fields are.
    pub edits: Vec<Edit>,
    /// Whose their leads were before a merge.
    pub former: Vec<FormerProspect>,
}

impl Store {
    /// What the control tables hold of a person.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn person_records(&self, keys: &PersonKeys) -> Result<PersonRecords> {
        placed("reading what is held of a person", self.ledger(), async {
            let prospects = list(&keys.prospects);
            let leads = list(&keys.leads);
            let pushes = "SELECT * FROM hw_outbox WHERE prospect_id IN (SELECT value FROM json_each(?1)) ORDER BY id";
            let links =
                "SELECT * FROM hw_crm_link WHERE prospect_id IN (SELECT value FROM json_each(?1)) ORDER BY sink, prospect_id";
            let decisions = "SELECT one, two, verdict FROM hw_decision WHERE one IN (SELECT value FROM json_each(?1)) \
                 OR two IN (SELECT value FROM json_each(?1)) ORDER BY one, two";
            let edits = "SELECT lead_id, field, value, edited_at FROM hw_edit WHERE lead_id IN (SELECT value FROM json_each(?1)) \
                 ORDER BY lead_id, field";
            let former = "SELECT lead_id, prospect_id FROM hw_merge WHERE lead_id IN (SELECT value FROM json_each(?1)) \
                 ORDER BY lead_id, prospect_id";
            Ok(PersonRecords {
                pushes: self.rows(pushes, &prospects, outbox::row_of).await?,
                links: self.rows(links, &prospects, link::link_of).await?,
                decisions: self.rows(decisions, &leads, identity::decision_of).await?,
                edits: self.rows(edits, &leads, identity::edit_of).await?,
                former: self.rows(former, &leads, identity::former_of).await?,
            })
        })
        .await
    }

    /// Whether an erasure is committed of which there may still be traces on the disk: [`Store::finish_erasure`] removes them.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn erasure_pending(&self) -> Result<bool> {
        placed("looking for an unfinished erasure", self.ledger(), async {
            let mut connection = self.pool().acquire().await?;
            Ok(meta::get(&mut connection, meta::ERASURE).await?.is_some())
        })
        .await
    }

    async fn rows<T>(&self, statement: &'static str, ids: &str, of: impl Fn(&SqliteRow) -> Result<T>) -> Result<Vec<T>> {
        sqlx::query(statement).bind(ids).fetch_all(self.pool()).await?.iter().map(of).collect()
    }
}

/// Removes a person. Which remote records they are stays, without what was pushed: there they still have to be erased. From here on
/// the erasure is pending.
pub(crate) async fn erase(connection: &mut SqliteConnection, keys: &PersonKeys) -> Result<()> {
    let PersonKeys { prospects, leads, quarantined, intake } = keys;
    let (prospects, leads) = (list(prospects), list(leads));
    for (statement, ids) in [
        ("DELETE FROM hw_outbox WHERE prospect_id IN (SELECT value FROM json_each(?1))", &prospects),
        (
            "UPDATE hw_crm_link SET pushed_fields = '{}', pushed_hash = '' WHERE prospect_id IN (SELECT value FROM json_each(?1))",
            &prospects,
        ),
        ("DELETE FROM hw_merge WHERE prospect_id IN (SELECT value FROM json_each(?1))", &prospects),
        ("DELETE FROM hw_merge WHERE lead_id IN (SELECT value FROM json_each(?1))", &leads),
        ("DELETE FROM hw_edit WHERE lead_id IN (SELECT value FROM json_each(?1))", &leads),
        (
            "DELETE FROM hw_decision WHERE one IN (SELECT value FROM json_each(?1)) OR two IN (SELECT value FROM json_each(?1))",
            &leads,
        ),
        (
            "DELETE FROM hw_review WHERE one IN (SELECT value FROM json_each(?1)) OR two IN (SELECT value FROM json_each(?1))",
            &leads,
        ),
        (
            "DELETE FROM hw_sample WHERE one IN (SELECT value FROM json_each(?1)) OR two IN (SELECT value FROM json_each(?1))",
            &leads,
        ),
        ("DELETE FROM hw_quarantine_state WHERE quarantine_id IN (SELECT value FROM json_each(?1))", &list(quarantined)),
        (
            "UPDATE hw_intake SET taken = 1, headers = '{}', body = x'' WHERE seq IN (SELECT value FROM json_each(?1))",
            &list(intake),
        ),
    ] {
        sqlx::query(statement).bind(ids).execute(&mut *connection).await?;
    }
    meta::set(connection, meta::ERASURE, "begun").await
}
