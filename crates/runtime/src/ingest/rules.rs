//! Under which rules the known rows of a stream were conformed.
//!
//! Rows are known by what they say, not by what was made of it. So a change of `map`, `dates` and the like leaves known rows as they
//! are, until the stream is read from its beginning: then each is conformed again, and its new version takes the place of the old.

use headwater_analysis::channel::Classifier;
use headwater_model::mapping::{Mapping, Role};
use headwater_sdk::StreamSpec;
use headwater_store::{Commit, Store};
use serde_json::{Value, json};

use super::origin;
use crate::error::Result;
use crate::project::{BasisSection, ChannelSection, SourceEntry};

/// What the keys of these cursors begin with.
const CURSOR_PREFIX: &str = "rules";

/// The rules of a stream now, and those of the rows that the lake has.
#[derive(Debug)]
pub(super) struct Rules {
    key: String,
    sequence: Option<i64>,
    /// The digest of the rules as they are.
    present: Value,
    /// The digest under which every known row was conformed; null when they were conformed under several, nothing while there are none.
    known: Option<Value>,
    /// Whether known rows are conformed again.
    pub(super) again: bool,
}

impl Rules {
    /// `refresh` says whether the stream is now read from its beginning.
    pub(super) async fn load(
        store: &Store,
        (entry, spec): (&SourceEntry, &StreamSpec),
        (role, mapping): (Role, &Mapping),
        channels: &Classifier,
        refresh: bool,
    ) -> Result<Self> {
        let key = format!("{CURSOR_PREFIX}/{}/{}", entry.name, spec.name);
        let present = Value::String(digest((entry, spec), (role, mapping), channels));
        let cursor = store.cursor(&key).await?;
        let known = cursor.as_ref().map(|cursor| cursor.value.clone());
        let again = refresh && known.as_ref().is_some_and(|known| *known != present);
        Ok(Self { key, sequence: cursor.map(|cursor| cursor.sequence), present, known, again })
    }

    /// Whether known rows were conformed under other rules.
    pub(super) fn differ(&self) -> bool {
        self.known.as_ref().is_some_and(|known| *known != self.present)
    }

    /// Notes with a commit of rows that were taken under which rules they were conformed.
    pub(super) fn note(&mut self, commit: &mut Commit) {
        let value = if self.differ() { Value::Null } else { self.present.clone() };
        self.advance(commit, value);
    }

    /// Notes that every known row was conformed again.
    pub(super) fn end(&mut self, commit: &mut Commit) {
        self.advance(commit, self.present.clone());
    }

    fn advance(&mut self, commit: &mut Commit, value: Value) {
        if self.sequence.is_some() && self.known.as_ref() == Some(&value) {
            return;
        }
        commit.advance(&self.key, self.sequence, &value);
        self.sequence = Some(self.sequence.map_or(1, |sequence| sequence + 1));
        self.known = Some(value);
    }
}

/// A digest of all that the project says about what a row becomes.
fn digest((entry, spec): (&SourceEntry, &StreamSpec), (role, mapping): (Role, &Mapping), channels: &Classifier) -> String {
    let section = &entry.section;
    let channel = section.channel.as_ref().map(|ChannelSection { group, vendor, campaign }| json!([group, vendor, campaign]));
    let basis = section
        .basis
        .as_ref()
        .map(|BasisSection { lawful_basis, obtained_at, notice_at }| json!([lawful_basis.as_str(), obtained_at, notice_at]));
    let dates = section.dates.as_ref().map(|dates| json!([dates.format, dates.zone]));
    let rules = json!({
        "role": role, "map": mapping, "origin": origin(entry, spec).as_str(), "dates": dates, "country": section.country,
        "currency": section.currency, "channel": channel, "basis": basis, "rules_version": channels.rules_version(),
    });
    blake3::hash(rules.to_string().as_bytes()).to_hex().to_string()
}
