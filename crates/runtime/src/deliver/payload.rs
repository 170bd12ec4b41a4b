//! What the outbox keeps of a row: JSON in which each value stands once.
//!
//! A delivery of a hundred thousand writes, reads and settles as many of them. So what is set is written once; what the remote has of
//! ours afterwards, and what we wanted, only where they differ from it; and what only moves on, into a link or a receipt, stays text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use headwater_sdk::sink::Fields;
use headwater_sdk::{DeliveryRow, MatchKey, Operation};
use headwater_store::{DeliveryOp, DuePush, OutboxEntry};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::plan::{Action, PlannedRow};
use super::receipt::{OUR_ID, Receipt};
use crate::error::{Error, Result};
use crate::project::SinkEntry;

/// A row of the outbox as it is read back.
#[derive(Debug, Deserialize)]
pub(super) struct Payload<'a> {
    #[serde(borrow)]
    fields: &'a RawValue,
    #[serde(borrow, default)]
    pushed: Option<&'a RawValue>,
    #[serde(borrow, default)]
    desired: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) hash: Cow<'a, str>,
    match_keys: Vec<(String, String)>,
}

/// The same as it is written.
#[derive(Serialize)]
struct Written<'a> {
    fields: By<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pushed: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    desired: Option<&'a BTreeMap<String, String>>,
    hash: &'a str,
    match_keys: Vec<(&'a str, &'a str)>,
}

/// Values by the remote's name of the field.
type By<'a> = BTreeMap<&'a str, Option<&'a str>>;

impl<'a> Payload<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self> {
        serde_json::from_str(text).map_err(unreadable)
    }

    /// The fields to set, as JSON.
    pub(super) fn fields(&self) -> &'a str {
        self.fields.get()
    }

    /// The fields to set.
    pub(super) fn set(&self) -> Result<Fields> {
        parsed(self.fields())
    }

    /// What the remote has of ours once they are set, as JSON.
    pub(super) fn pushed(&self) -> &'a str {
        self.pushed.unwrap_or(self.fields).get()
    }

    /// What we wanted the remote to have.
    pub(super) fn desired(&self) -> Result<Fields> {
        parsed(self.desired.or(self.pushed).unwrap_or(self.fields).get())
    }

    /// By what its record is found.
    pub(super) fn keys(&self) -> Vec<MatchKey> {
        let match_key = |(field, value): &(String, String)| MatchKey { field: field.clone(), value: value.clone() };
        self.match_keys.iter().map(match_key).collect()
    }

    /// The row as a sink takes it: with all that is ours, where it replaces records.
    pub(super) fn delivery(&self, entry: &SinkEntry, row: &DuePush, whole: bool) -> Result<DeliveryRow> {
        let operation = match &row.entry.remote_id {
            Some(remote_id) => Operation::Update { remote_id: remote_id.clone() },
            None => Operation::Create,
        };
        Ok(DeliveryRow {
            key: row.entry.delivery_key.clone(),
            prospect_id: entry.external_id(&row.entry.prospect_id),
            operation,
            fields: if whole { parsed(self.pushed())? } else { self.set()? },
            match_keys: self.keys(),
            doubtful: row.attempts > 0,
            seen: before(row),
        })
    }
}

/// A planned row as the outbox takes it.
pub(super) fn entry(sink: &str, row: &PlannedRow) -> Result<OutboxEntry> {
    let set: By<'_> = row.changes.iter().map(|change| (change.field.as_str(), change.after.as_deref())).collect();
    let sets = |values: &BTreeMap<String, String>| {
        values.len() == set.len()
            && values.iter().zip(&set).all(|(one, other)| (one.0.as_str(), Some(one.1.as_str())) == (*other.0, *other.1))
    };
    // What we set in a record that we make is all that it has of ours.
    let pushed = (row.remote_id.is_some() && !sets(&row.pushed)).then_some(&row.pushed);
    let wants_it = pushed.map_or_else(|| sets(&row.desired), |pushed| *pushed == row.desired);
    let written = Written {
        pushed,
        desired: (!wants_it).then_some(&row.desired),
        fields: set,
        hash: &row.hash,
        match_keys: row.keys.iter().map(|key| (key.field.as_str(), key.value.as_str())).collect(),
    };
    // Nothing stood in a record that is not there.
    let before = row.remote_id.as_ref().map(|_| {
        let ours = row.adopted.then_some((OUR_ID, None));
        row.changes.iter().map(|change| (change.field.as_str(), change.before.as_deref())).chain(ours).collect::<By<'_>>()
    });
    Ok(OutboxEntry {
        sink: sink.to_owned(),
        prospect_id: row.prospect_id.clone(),
        delivery_key: row.key.clone(),
        op: match row.action {
            Action::Leave => DeliveryOp::Remove,
            _ if row.remote_id.is_some() => DeliveryOp::Update,
            _ => DeliveryOp::Create,
        },
        remote_id: row.remote_id.clone(),
        payload: json(&written)?,
        before: before.as_ref().map(json).transpose()?,
    })
}

/// What stood in the fields of a record that is changed.
pub(super) fn before(row: &DuePush) -> Fields {
    let mut before = Receipt::values(row.entry.before.as_ref());
    before.remove(OUR_ID);
    before
}

/// The value of one field among what a push leaves in the remote.
pub(super) fn pushed_value(payload: &str, field: &str) -> Option<String> {
    let payload = Payload::read(payload).ok()?;
    parsed::<Fields>(payload.pushed()).ok()?.remove(field).flatten()
}

pub(super) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Internal(error.to_string()))
}

fn parsed<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(unreadable)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn unreadable(error: serde_json::Error) -> Error {
    // Its words may hold a value.
    Error::Internal(format!("an outbox row cannot be read, at byte {}", error.column()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_once_is_read_wherever_it_belongs() {
        let short = r#"{"fields":{"email":"ann@example.com"},"hash":"h","match_keys":[["external_id","prs_1"]]}"#;
        let payload = Payload::read(short).unwrap();
        let email: Fields = [("email".to_owned(), Some("ann@example.com".to_owned()))].into();
        assert_eq!((payload.set().unwrap(), payload.desired().unwrap()), (email.clone(), email));
        assert_eq!(payload.pushed(), r#"{"email":"ann@example.com"}"#);
        assert_eq!(pushed_value(short, "email").as_deref(), Some("ann@example.com"));
    }

    #[test]
    fn a_row_that_an_older_version_queued_is_read() {
        let old = r#"{"fields":{"phone":null},"desired":{"email":"a\"b"},"pushed":{"name":"Ann"},"hash":"h","match_keys":[]}"#;
        let payload = Payload::read(old).unwrap();
        assert_eq!(payload.set().unwrap(), [("phone".to_owned(), None)].into());
        assert_eq!(payload.desired().unwrap(), [("email".to_owned(), Some("a\"b".to_owned()))].into());
        assert_eq!((payload.pushed(), payload.hash.as_ref()), (r#"{"name":"Ann"}"#, "h"));
        assert!(Payload::read("{}").is_err(), "what was erased is not pushed");
    }
}
