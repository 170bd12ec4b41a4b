//! Airbyte's messages, as they stand on lines.

use std::borrow::Cow;

use headwater_sdk::{Error, ErrorKind};
use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::{debug, warn};

use crate::process::mask::Mask;

/// A message; the key of its type is there.
#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    /// `RECORD`, `STATE`, `LOG`, …
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(super) record: Option<Record<'a>>,
    #[serde(default, borrow)]
    pub(super) state: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) log: Option<Log>,
    #[serde(default)]
    pub(super) trace: Option<Trace>,
    #[serde(default, rename = "connectionStatus")]
    pub(super) connection_status: Option<ConnectionStatus>,
    #[serde(default, borrow)]
    pub(super) catalog: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    pub(super) stream: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(super) namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) data: &'a RawValue,
}

/// A state: of one stream, of the whole connection, or in the old form of one text for everything.
#[derive(Debug, Deserialize)]
pub(super) struct State<'a> {
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) stream: Option<OfStream>,
    #[serde(default, borrow)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(default, rename = "sourceStats")]
    pub(super) source_stats: Option<Stats>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OfStream {
    pub(super) stream_descriptor: Descriptor,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Descriptor {
    pub(super) name: String,
    #[serde(default)]
    pub(super) namespace: Option<String>,
}

/// How many records came since the last state of the stream: a count that is written as a decimal.
#[derive(Debug, Deserialize)]
pub(super) struct Stats {
    #[serde(default, rename = "recordCount")]
    pub(super) record_count: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Log {
    level: String,
    message: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Trace {
    #[serde(default)]
    error: Option<Failure>,
    #[serde(default)]
    pub(super) stream_status: Option<StreamStatus>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    message: String,
    #[serde(default)]
    failure_type: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct StreamStatus {
    pub(super) stream_descriptor: Descriptor,
    pub(super) status: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct ConnectionStatus {
    status: String,
    #[serde(default)]
    message: Option<String>,
}

impl Log {
    /// Hands it to our log.
    pub(super) fn tell(&self, mask: &Mask) {
        let said = mask.text(&self.message);
        match self.level.as_str() {
            "FATAL" | "ERROR" | "WARN" => warn!(said, "the source complains"),
            _ => debug!(said, "the source says"),
        }
    }
}

impl Trace {
    /// The failure that it reports, if it does.
    pub(super) fn failure(&self, mask: &Mask) -> Option<Error> {
        let Failure { message, failure_type } = self.error.as_ref()?;
        let kind = if failure_type.as_deref() == Some("config_error") { ErrorKind::Config } else { ErrorKind::Unavailable };
        Some(Error::new(kind, format!("the source failed: {}", mask.text(message))))
    }
}

impl ConnectionStatus {
    /// Whether it works.
    pub(super) fn verdict(&self, mask: &Mask) -> Result<(), Error> {
        if self.status == "SUCCEEDED" {
            return Ok(());
        }
        let why = mask.text(self.message.as_deref().unwrap_or("it does not say why"));
        Err(Error::new(ErrorKind::Config, format!("the source refuses its `config`: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..120),
            key in prop::sample::select(vec!["record", "state", "log", "trace", "connectionStatus", "catalog"]),
            text in r#"[{}\[\]:," a-dstreamlogvk0-9\\.-]{0,60}"#,
        ) {
            let message = format!(r#"{{"type":"X","{key}":{text}}}"#);
            for line in [bytes.as_slice(), text.as_bytes(), message.as_bytes()] {
                if let Ok(message) = serde_json::from_slice::<Message<'_>>(line) {
                    drop(message.state.map(|state| serde_json::from_str::<State<'_>>(state.get())));
                    drop(message.trace.and_then(|trace| trace.failure(&Mask::default())));
                    drop(message.connection_status.map(|status| status.verdict(&Mask::default())));
                }
            }
        }
    }
}
