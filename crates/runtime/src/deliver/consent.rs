//! Who took their consent back since people were last resolved: the prospects do not say so yet.

use std::collections::{HashMap, HashSet};

use headwater_model::consent::{self, LastWord};
use headwater_model::tables;
use headwater_store::Snapshot;

use crate::engine::Engine;
use crate::error::Result;
use crate::resolve;
use crate::rows::{at, instants, load, text};

/// The people one of whose addresses last said no; nobody where resolve has heard all of it.
///
/// # Errors
/// When the lake or the ledger cannot be read.
pub(super) async fn withdrawn(engine: &Engine, snapshot: &Snapshot) -> Result<HashSet<String>> {
    let mut people = HashSet::new();
    if resolve::has_heard(engine, snapshot).await? {
        return Ok(people);
    }
    let said = Said::read(snapshot)?;
    for batch in load(snapshot, &tables::PROSPECT_FIELD, &["prospect_id", "field", "value"])? {
        let (id, field, value) = (text(&batch, "prospect_id")?, text(&batch, "field")?, text(&batch, "value")?);
        let refuses = |row: &usize| field.value(*row) == "email" && said.refuses(value.value(*row));
        people.extend((0..batch.num_rows()).filter(refuses).map(|row| id.value(row).to_owned()));
    }
    Ok(people)
}

/// The last word of each address.
#[derive(Default)]
struct Said(HashMap<String, LastWord>);

impl Said {
    fn read(snapshot: &Snapshot) -> Result<Self> {
        let mut said = Self::default();
        let mut email_of: HashMap<(String, String), String> = HashMap::new();
        for batch in load(snapshot, &tables::LEAD, &["source", "external_id", "email", "consent", "observed_at"])? {
            let (source, id, email) = (text(&batch, "source")?, text(&batch, "external_id")?, text(&batch, "email")?);
            let (word, when) = (text(&batch, "consent")?, instants(&batch, "observed_at")?);
            for row in 0..batch.num_rows() {
                let Some(email) = at(email, row) else { continue };
                if let Some(id) = at(id, row) {
                    email_of.insert((source.value(row).to_owned(), id.to_owned()), email.to_owned());
                }
                if let Some(status) = at(word, row).and_then(consent::known) {
                    said.hear(email, when.value(row), status);
                }
            }
        }
        for batch in load(snapshot, &tables::ENGAGEMENT, &["source", "external_id", "email", "kind", "occurred_at"])? {
            let (source, id, email) = (text(&batch, "source")?, text(&batch, "external_id")?, text(&batch, "email")?);
            let (kind, when) = (text(&batch, "kind")?, instants(&batch, "occurred_at")?);
            for row in 0..batch.num_rows() {
                let Some(status) = consent::of_engagement(kind.value(row)) else { continue };
                let by_id = || email_of.get(&(source.value(row).to_owned(), at(id, row)?.to_owned())).map(String::as_str);
                if let Some(email) = at(email, row).or_else(by_id) {
                    said.hear(email, when.value(row), status);
                }
            }
        }
        Ok(said)
    }

    fn hear(&mut self, email: &str, at_us: i64, status: &'static str) {
        self.0.entry(email.to_owned()).or_default().hear(at_us, status);
    }

    fn refuses(&self, email: &str) -> bool {
        self.0.get(email).and_then(|last| last.status()).is_some_and(consent::forbids_contact)
    }
}
