//! Singer's messages, as they stand on lines.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// A message; which keys there are depends on its type.
#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    /// `RECORD`, `SCHEMA`, `STATE`, …
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(super) stream: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    pub(super) record: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(super) value: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) key_properties: Option<Vec<String>>,
}

/// A metric, as programs print it on their stderr.
#[derive(Debug, Deserialize)]
struct Metric {
    metric: String,
    value: Value,
    #[serde(default)]
    tags: Value,
}

/// How many records of a stream the metrics speak of; none when they speak of none.
pub(super) fn counted<'a>(metrics: impl Iterator<Item = &'a [u8]>, stream: &str) -> Option<u64> {
    let of_stream = |metric: &Metric| {
        let tag = ["stream", "endpoint"].into_iter().find_map(|tag| metric.tags.get(tag)?.as_str());
        metric.metric == "record_count" && tag == Some(stream)
    };
    let metrics = metrics.filter_map(|json| serde_json::Deserializer::from_slice(json).into_iter().next()?.ok());
    let counts = metrics.filter(of_stream).filter_map(|metric: Metric| metric.value.as_u64());
    counts.fold(None, |sum, count| Some(sum.unwrap_or(0) + count))
}

/// What a target is given.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "UPPERCASE")]
pub(super) enum Given<'a> {
    /// What the records look like.
    Schema { stream: &'a str, schema: Value, key_properties: [&'a str; 1] },
    /// One record.
    Record { stream: &'a str, record: Value },
    /// To be echoed when everything before it is safe.
    State { value: &'a Value },
}

impl Given<'_> {
    /// The message as a line.
    pub(super) fn line(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn metrics_of_a_stream_add_up_whatever_stands_behind_them() {
        let metrics: [&[u8]; 5] = [
            br#"{"type":"counter","metric":"record_count","value":1000,"tags":{"stream":"leads","pid":1}}"#,
            br#"{"type": "counter", "metric": "record_count", "value": 24, "tags": {"endpoint": "leads"}} trailing"#,
            br#"{"type":"counter","metric":"record_count","value":7,"tags":{"stream":"other"}}"#,
            br#"{"type":"timer","metric":"sync_duration","value":0.3,"tags":{"stream":"leads"}}"#,
            b"nonsense",
        ];
        assert_eq!(counted(metrics.into_iter(), "leads"), Some(1024));
        assert_eq!(counted(metrics.into_iter(), "nothing"), None);
    }

    proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..120),
            text in r#"[{}\[\]:," a-dtypesrcordSCHEMA0-9\\-]{0,80}"#,
        ) {
            let message = format!(r#"{{"type":"RECORD","stream":"a","record":{text}}}"#);
            for line in [bytes.as_slice(), text.as_bytes(), message.as_bytes()] {
                drop(serde_json::from_slice::<Message<'_>>(line));
                prop_assert_eq!(counted(std::iter::once(line), "no such stream"), None);
            }
        }
    }
}
