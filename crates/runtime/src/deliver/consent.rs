//! Who took their consent back since people were last resolved: the prospects do not say so yet.
//!
//! The tables go by batch by batch. What is held is the last word of each address that said one, under 16 bytes of its hash.

use std::collections::{HashMap, HashSet};

use headwater_model::consent::{self, LastWord};
use headwater_model::tables;
use headwater_store::Snapshot;

use crate::engine::Engine;
use crate::error::Result;
use crate::resolve;
use crate::rows::{at, batches, instants, text};

/// The people one of whose addresses last said no; nobody where resolve has heard all of it.
///
/// # Errors
/// When the lake or the ledger cannot be read.
pub(super) async fn withdrawn(engine: &Engine, snapshot: &Snapshot) -> Result<HashSet<String>> {
    let mut people = HashSet::new();
    if resolve::has_heard(engine, snapshot).await? {
        return Ok(people);
    }
    let refused = refused(snapshot)?;
    if refused.is_empty() {
        return Ok(people);
    }
    for batch in batches(snapshot, &tables::PROSPECT_FIELD, &["prospect_id", "field", "value"])? {
        let batch = batch?;
        let (id, field, value) = (text(&batch, "prospect_id")?, text(&batch, "field")?, text(&batch, "value")?);
        let refuses = |row: &usize| field.value(*row) == "email" && refused.contains(&Key::of_address(value.value(*row)));
        people.extend((0..batch.num_rows()).filter(refuses).map(|row| id.value(row).to_owned()));
    }
    Ok(people)
}

/// An address, or an id of a source, by its hash: nobody can make another one that is taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key([u8; 16]);

impl Key {
    fn of_address(email: &str) -> Self {
        Self::of(&[email])
    }

    fn of_id(source: &str, id: &str) -> Self {
        Self::of(&[source, id])
    }

    fn of(parts: &[&str]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        Self(bytes)
    }
}

/// The addresses whose last word forbids to contact them.
fn refused(snapshot: &Snapshot) -> Result<HashSet<Key>> {
    let mut words: HashMap<Key, LastWord> = HashMap::new();
    // What is said under an id is its address's, which a lead knows.
    let mut of_ids: HashMap<Key, LastWord> = HashMap::new();
    for batch in batches(snapshot, &tables::ENGAGEMENT, &["source", "external_id", "email", "kind", "occurred_at"])? {
        let batch = batch?;
        let (source, id, email) = (text(&batch, "source")?, text(&batch, "external_id")?, text(&batch, "email")?);
        let (kind, when) = (text(&batch, "kind")?, instants(&batch, "occurred_at")?);
        for row in 0..batch.num_rows() {
            let Some(status) = consent::of_engagement(kind.value(row)) else { continue };
            let word = match (at(email, row), at(id, row)) {
                (Some(email), _) => words.entry(Key::of_address(email)).or_default(),
                (None, Some(id)) => of_ids.entry(Key::of_id(source.value(row), id)).or_default(),
                (None, None) => continue,
            };
            word.hear(when.value(row), status);
        }
    }
    let mut address_of: HashMap<Key, Key> = HashMap::new();
    for batch in batches(snapshot, &tables::LEAD, &["source", "external_id", "email", "consent", "observed_at"])? {
        let batch = batch?;
        let (source, id, email) = (text(&batch, "source")?, text(&batch, "external_id")?, text(&batch, "email")?);
        let (word, when) = (text(&batch, "consent")?, instants(&batch, "observed_at")?);
        for row in 0..batch.num_rows() {
            let Some(email) = at(email, row) else { continue };
            if let Some(id) = at(id, row).filter(|_| !of_ids.is_empty()) {
                let id = Key::of_id(source.value(row), id);
                if of_ids.contains_key(&id) {
                    address_of.insert(id, Key::of_address(email));
                }
            }
            if let Some(status) = at(word, row).and_then(consent::known) {
                words.entry(Key::of_address(email)).or_default().hear(when.value(row), status);
            }
        }
    }
    for (id, said) in of_ids {
        if let Some(address) = address_of.get(&id) {
            words.entry(*address).or_default().hear_last(said);
        }
    }
    let refuses = |said: &LastWord| said.status().is_some_and(consent::forbids_contact);
    Ok(words.into_iter().filter(|(_, said)| refuses(said)).map(|(address, _)| address).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    #[tokio::test]
    async fn the_last_word_counts_also_where_it_is_said_under_an_id() {
        let world = World::of("").await;
        let lead = |source, id, email, word, at| {
            [("source", source), ("external_id", id), ("email", email), ("consent", word), ("observed_at", at)]
        };
        let leads = [
            lead("crm", "1", "ann@example.com", "granted", "10"),
            // What an address was called by before belongs to who has it now.
            lead("crm", "2", "before@example.com", "granted", "10"),
            lead("crm", "2", "bob@example.com", "granted", "10"),
            lead("crm", "3", "cat@example.com", "denied", "10"),
            lead("crm", "4", "dan@example.com", "denied", "10"),
            lead("web", "1", "eve@example.com", "granted", "10"),
            lead("crm", "6", "fay@example.com", "", "10"),
        ];
        world.put(&tables::LEAD, &leads.iter().map(<[_; 5]>::as_slice).collect::<Vec<_>>()).await;
        let said = |id, kind, at| [("source", "crm"), ("external_id", id), ("kind", kind), ("occurred_at", at)];
        let engagements = [
            said("1", "unsubscribed", "20"),
            said("2", "complained", "20"),
            said("3", "resubscribed", "20"),
            said("4", "subscribed", "5"),
            said("6", "opened", "20"),
            said("7", "unsubscribed", "20"),
        ];
        world.put(&tables::ENGAGEMENT, &engagements.iter().map(<[_; 4]>::as_slice).collect::<Vec<_>>()).await;
        let refused = refused(&world.engine.store.snapshot().await.unwrap()).unwrap();
        let expected = ["ann@example.com", "bob@example.com", "dan@example.com"].map(Key::of_address);
        assert_eq!(refused, HashSet::from(expected));
    }
}
