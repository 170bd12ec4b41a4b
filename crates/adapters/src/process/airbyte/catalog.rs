//! What a source can read, and how one stream of it is asked for.

use std::collections::{BTreeMap, BTreeSet};

use headwater_sdk::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use super::message::Descriptor;
use crate::process::config::at;
use crate::process::fields::Fields;

/// One stream of a source.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    /// Its name with us: with its namespace where it has one.
    pub(super) name: String,
    /// Its name with the source.
    pub(super) descriptor: Descriptor,
    /// The paths of the fields that tell its records apart.
    pub(super) keys: Vec<Vec<String>>,
    /// Its fields.
    pub(super) fields: Fields,
    /// Whether it is read from where the last read ended.
    pub(super) incremental: bool,
    cursor: Vec<String>,
    json: Value,
}

impl Stream {
    /// The streams of a source's answer.
    pub(super) fn parse(catalog: &str, cursors: &BTreeMap<String, String>, full_refresh: &BTreeSet<String>) -> Result<Vec<Self>> {
        let wrong = || Error::new(ErrorKind::Protocol, "the source's catalog is no Airbyte catalog");
        let catalog: Value = serde_json::from_str(catalog).map_err(|_| wrong())?;
        let streams = catalog.get("streams").and_then(Value::as_array).ok_or_else(wrong)?;
        let streams: Vec<Self> = streams.iter().map(|stream| Self::of(stream).ok_or_else(wrong)).collect::<Result<_>>()?;
        let named = cursors.keys().map(|name| (name, "cursors")).chain(full_refresh.iter().map(|name| (name, "full_refresh")));
        for (name, key) in named {
            if !streams.iter().any(|stream| stream.name == *name) {
                return Err(at(format!("the source has no stream `{name}`"), key));
            }
        }
        Ok(streams.into_iter().map(|stream| stream.synced(cursors, full_refresh)).collect())
    }

    fn of(json: &Value) -> Option<Self> {
        let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_owned);
        let paths: Vec<Vec<String>> = json.get("source_defined_primary_key").map(strings).unwrap_or_default();
        let descriptor = Descriptor { name: text("name")?, namespace: text("namespace").filter(|space| !space.is_empty()) };
        let name = match &descriptor.namespace {
            Some(space) => format!("{space}.{}", descriptor.name),
            None => descriptor.name.clone(),
        };
        let fields = Fields::of(json.get("json_schema").unwrap_or(&Value::Null), &paths);
        Some(Self { name, descriptor, keys: paths, fields, incremental: false, cursor: Vec::new(), json: json.clone() })
    }

    fn synced(mut self, cursors: &BTreeMap<String, String>, full_refresh: &BTreeSet<String>) -> Self {
        let listed = |key: &str| self.json.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let able = listed("supported_sync_modes").iter().any(|mode| mode == "incremental");
        let of_source = self.json.get("source_defined_cursor").and_then(Value::as_bool).unwrap_or_default();
        let default: Vec<String> =
            listed("default_cursor_field").iter().filter_map(|part| part.as_str().map(str::to_owned)).collect();
        let wanted = cursors.get(&self.name).map(|path| path.split('.').map(str::to_owned).collect());
        self.cursor = wanted.unwrap_or(default);
        self.incremental = able && (of_source || !self.cursor.is_empty()) && !full_refresh.contains(&self.name);
        self
    }

    /// The configured catalog that asks for this stream alone.
    pub(super) fn chosen(&self) -> Value {
        let mode = if self.incremental { "incremental" } else { "full_refresh" };
        json!({"streams": [{
            "stream": self.json,
            "sync_mode": mode,
            "destination_sync_mode": "append",
            "cursor_field": self.cursor,
            "primary_key": self.keys,
        }]})
    }
}

fn strings(paths: &Value) -> Vec<Vec<String>> {
    let path = |path: &Value| path.as_array()?.iter().map(|part| part.as_str().map(str::to_owned)).collect();
    paths.as_array().map(|paths| paths.iter().filter_map(path).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(cursors: &[(&str, &str)], full_refresh: &[&str]) -> Result<Vec<Stream>> {
        let catalog = json!({"streams": [
            {"name": "users", "json_schema": {"properties": {"id": {}}}, "supported_sync_modes": ["full_refresh", "incremental"],
             "source_defined_cursor": true, "default_cursor_field": ["updated_at"], "source_defined_primary_key": [["id"]]},
            {"name": "free", "json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"], "namespace": "crm"},
            {"name": "plain", "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
        ]});
        let cursors = cursors.iter().map(|(stream, field)| ((*stream).to_owned(), (*field).to_owned())).collect();
        let full_refresh = full_refresh.iter().map(|name| (*name).to_owned()).collect();
        Stream::parse(&catalog.to_string(), &cursors, &full_refresh)
    }

    #[test]
    fn a_stream_is_read_incrementally_where_source_and_user_let_it() {
        let modes = |cursors: &[(&str, &str)], full: &[&str]| -> Vec<bool> {
            streams(cursors, full).unwrap().iter().map(|stream| stream.incremental).collect()
        };
        assert_eq!(modes(&[], &[]), [true, false, false]);
        assert_eq!(modes(&[("crm.free", "meta.at"), ("plain", "at")], &["users"]), [false, true, false]);
        assert_eq!(streams(&[("free", "at")], &[]).unwrap_err().config_path(), Some("cursors"));
    }

    #[test]
    fn one_stream_is_asked_for() {
        let users = streams(&[], &[]).unwrap().remove(0).chosen();
        let asked = &users["streams"][0];
        assert_eq!(users["streams"].as_array().map(Vec::len), Some(1));
        assert_eq!((&asked["sync_mode"], &asked["cursor_field"]), (&json!("incremental"), &json!(["updated_at"])));
        assert_eq!((&asked["primary_key"], &asked["stream"]["name"]), (&json!([["id"]]), &json!("users")));
    }
}
