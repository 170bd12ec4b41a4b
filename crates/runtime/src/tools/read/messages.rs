//! The messages of the Airbyte protocol that a connector of ours has something to say in.

use std::borrow::Cow;

use arrow::array::{Array, StringArray};
use headwater_model::checkpoint::Checkpoint;
use headwater_model::page::Page;
use headwater_sdk::{ErrorKind, StreamSpec};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// The field by which Airbyte marks a record that is gone at its source.
const DELETED_AT: &str = "_ab_cdc_deleted_at";

/// One message.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Message<'a> {
    /// A record: there are many, so it is written without a detour.
    Record {
        #[serde(rename = "type")]
        kind: &'static str,
        record: Record<'a>,
    },
    /// Any other.
    Other(Value),
}

/// The content of a `RECORD`.
#[derive(Serialize)]
pub(super) struct Record<'a> {
    stream: &'a str,
    data: &'a RawValue,
    emitted_at: i64,
}

/// How far a stream is.
#[derive(Debug, Clone, Copy)]
pub(super) enum StreamStatus {
    Started,
    Complete,
    Incomplete,
}

impl<'a> Message<'a> {
    pub(super) fn record(stream: &'a str, data: &'a RawValue, now_ms: i64) -> Self {
        Self::Record { kind: "RECORD", record: Record { stream, data, emitted_at: now_ms } }
    }

    pub(super) fn spec(schema: &Value) -> Self {
        Self::Other(json!({ "type": "SPEC", "spec": {
            "connectionSpecification": schema, "supportsIncremental": true, "supported_destination_sync_modes": [],
        } }))
    }

    pub(super) fn status(error: Option<&headwater_sdk::Error>) -> Self {
        let status = match error {
            None => json!({ "status": "SUCCEEDED" }),
            Some(error) => {
                let hint = error.hint_text().map(|hint| format!("; {hint}")).unwrap_or_default();
                json!({ "status": "FAILED", "message": format!("{error}{hint}") })
            }
        };
        Self::Other(json!({ "type": "CONNECTION_STATUS", "connectionStatus": status }))
    }

    pub(super) fn catalog(streams: &[StreamSpec]) -> Self {
        let streams: Vec<Value> = streams.iter().map(stream).collect();
        Self::Other(json!({ "type": "CATALOG", "catalog": { "streams": streams } }))
    }

    pub(super) fn state(stream: &str, checkpoint: &Checkpoint, records: u64) -> Self {
        Self::Other(json!({ "type": "STATE", "state": {
            "type": "STREAM",
            "stream": { "stream_descriptor": { "name": stream }, "stream_state": checkpoint },
            // The protocol has counts as decimal numbers.
            "sourceStats": { "recordCount": records as f64 },
        } }))
    }

    pub(super) fn stream_status(stream: &str, status: StreamStatus, now_ms: i64) -> Self {
        let status = match status {
            StreamStatus::Started => "STARTED",
            StreamStatus::Complete => "COMPLETE",
            StreamStatus::Incomplete => "INCOMPLETE",
        };
        Self::Other(json!({ "type": "TRACE", "trace": {
            "type": "STREAM_STATUS", "emitted_at": now_ms as f64,
            "stream_status": { "stream_descriptor": { "name": stream }, "status": status },
        } }))
    }

    pub(super) fn error(error: &Error, now_ms: i64) -> Self {
        let failure_type = match error {
            Error::Connection { source, .. } => match source.kind() {
                ErrorKind::Config | ErrorKind::Auth | ErrorKind::NotFound => "config_error",
                ErrorKind::RateLimited | ErrorKind::Unavailable => "transient_error",
                _ => "system_error",
            },
            Error::Interrupted | Error::Moved { .. } => "transient_error",
            Error::Usage(_) | Error::NotFound { .. } | Error::Project(_) | Error::Wild(_) => "config_error",
            Error::Store(_) | Error::Query(_) | Error::File { .. } | Error::Internal(_) => "system_error",
        };
        Self::Other(json!({ "type": "TRACE", "trace": {
            "type": "ERROR", "emitted_at": now_ms as f64,
            "error": { "message": error.to_string(), "failure_type": failure_type },
        } }))
    }
}

fn stream(spec: &StreamSpec) -> Value {
    let properties: Map<String, Value> =
        spec.fields.iter().map(|field| (field.clone(), json!({ "type": ["null", "string"] }))).collect();
    json!({
        "name": spec.name,
        // What a remote adds tomorrow is given too, so the schema does not close the list.
        "json_schema": { "type": "object", "properties": properties, "additionalProperties": true },
        "supported_sync_modes": ["full_refresh", "incremental"],
        "source_defined_cursor": true,
    })
}

/// The records of a page as JSON objects.
pub(super) struct Rows<'a> {
    page: &'a Page,
    columns: Vec<(String, &'a StringArray)>,
}

impl<'a> Rows<'a> {
    pub(super) fn of(page: &'a Page) -> Self {
        let fields = page.fields.schema_ref().fields().iter().zip(page.fields.columns());
        let text = fields.filter_map(|(field, column)| Some((field.name().clone(), column.as_any().downcast_ref()?)));
        Self { page, columns: text.collect() }
    }

    /// The record as the remote gave it, else its fields; absent ones are left out, empty ones are kept.
    pub(super) fn data(&self, row: usize) -> Result<Box<RawValue>> {
        let bug = |error: serde_json::Error| Error::Internal(format!("a record is not JSON: {error}"));
        let deleted = self.page.deleted.as_ref().is_some_and(|deleted| deleted.get(row) == Some(&true));
        let raw = self.page.raw.as_ref().filter(|raw| raw.is_valid(row)).map(|raw| raw.value(row));
        // A line end between tokens would end the message; inside a string JSON has none.
        if let (Some(raw), false) = (raw, deleted || raw.is_some_and(|raw| raw.contains(['\n', '\r']) || !raw.starts_with('{'))) {
            return RawValue::from_string(raw.to_owned()).map_err(bug);
        }
        let mut data = match raw.map(serde_json::from_str).transpose().map_err(bug)? {
            Some(Value::Object(data)) => data,
            Some(other) => Map::from_iter([("value".to_owned(), other)]),
            None => self.fields(row),
        };
        if deleted {
            data.insert(DELETED_AT.to_owned(), Value::String(self.deleted_at(row).into_owned()));
        }
        serde_json::value::to_raw_value(&data).map_err(bug)
    }

    fn fields(&self, row: usize) -> Map<String, Value> {
        let present = self.columns.iter().filter(|(_, column)| column.is_valid(row));
        present.map(|(name, column)| (name.clone(), Value::String(column.value(row).to_owned()))).collect()
    }

    /// When we learned that it is gone, where the page says so; the mark counts, not its value.
    fn deleted_at(&self, row: usize) -> Cow<'static, str> {
        let at = self.page.received_at.as_ref().filter(|at| at.is_valid(row)).map(|at| at.value(row));
        let at = at.and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
        at.map_or(Cow::Borrowed("unknown"), |at| Cow::Owned(at.to_string()))
    }
}
