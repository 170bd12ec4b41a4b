//! What a tap can read, and the choice of one stream of it.

use headwater_sdk::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use crate::process::fields::{Fields, paths};

const INCREMENTAL: &str = "INCREMENTAL";
const FULL_TABLE: &str = "FULL_TABLE";

/// A tap's catalog.
#[derive(Debug, Clone)]
pub(super) struct Catalog(Vec<Entry>);

/// One stream of it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its name in the catalog.
    pub(super) id: String,
    /// Its name in messages.
    pub(super) stream: String,
    /// The fields that tell its records apart.
    pub(super) keys: Vec<Vec<String>>,
    /// Its fields.
    pub(super) fields: Fields,
    json: Map<String, Value>,
}

/// How a stream is to be read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Method<'a> {
    /// As its catalog says.
    OfCatalog,
    /// From where the last read ended, by that field.
    Incremental(&'a str),
    /// From its beginning, each time.
    FullTable,
}

impl Catalog {
    /// The catalog in a tap's answer or a user's file.
    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        let wrong =
            || Error::new(ErrorKind::Protocol, "the tap's catalog is no Singer catalog").hint("give one as `catalog_file`");
        let json: Value = serde_json::from_slice(text).map_err(|error| wrong().context("line", error.line().to_string()))?;
        let streams = json.get("streams").and_then(Value::as_array).ok_or_else(wrong)?;
        streams.iter().map(|stream| Entry::of(stream).ok_or_else(wrong)).collect::<Result<_>>().map(Self)
    }

    /// Its streams.
    pub(super) fn streams(&self) -> &[Entry] {
        &self.0
    }

    /// The stream of that name.
    pub(super) fn find(&self, id: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.id == id)
    }

    /// The catalog with this stream and all its fields chosen, and nothing else.
    pub(super) fn choose(&self, id: &str, method: Method<'_>) -> Value {
        json!({"streams": self.0.iter().map(|entry| entry.chosen(entry.id == id, method)).collect::<Vec<_>>()})
    }
}

impl Entry {
    fn of(json: &Value) -> Option<Self> {
        let json = json.as_object()?;
        let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_owned);
        let id = text("tap_stream_id").or_else(|| text("stream"))?;
        let names = |value: &Value| value.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect();
        let keys: Vec<String> = [json.get("key_properties"), top(json, "table-key-properties"), top(json, "view-key-properties")]
            .into_iter()
            .flatten()
            .filter_map(names)
            .find(|keys: &Vec<String>| !keys.is_empty())
            .unwrap_or_default();
        let keys = paths(&keys);
        let fields = Fields::of(json.get("schema").unwrap_or(&Value::Null), &keys);
        Some(Self { stream: text("stream").unwrap_or_else(|| id.clone()), id, keys, fields, json: json.clone() })
    }

    /// Whether the tap reads it incrementally whatever it is asked for.
    pub(super) fn is_incremental(&self) -> bool {
        let forced = top(&self.json, "forced-replication-method").and_then(Value::as_str);
        forced.is_some_and(|method| !method.is_empty() && method != FULL_TABLE)
    }

    /// The entry with the choice written in both ways that taps look for it: in the metadata, and in the schema.
    fn chosen(&self, chosen: bool, method: Method<'_>) -> Value {
        let mut entry = self.json.clone();
        let properties: Vec<String> = entry
            .get("schema")
            .and_then(|schema| schema.get("properties")?.as_object())
            .map(|properties| properties.keys().cloned().collect())
            .unwrap_or_default();
        let old_style = !entry.contains_key("metadata");
        if let Some(schema) = entry.get_mut("schema").and_then(Value::as_object_mut) {
            schema.insert("selected".to_owned(), chosen.into());
            let fields = schema.get_mut("properties").and_then(Value::as_object_mut).filter(|_| old_style);
            for field in fields.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
                field.insert("selected".to_owned(), chosen.into());
            }
        }
        let metadata = entry.entry("metadata").or_insert_with(|| json!([]));
        note(metadata, &json!([]), "selected", chosen.into());
        if chosen {
            for property in properties {
                let place = json!(["properties", property]);
                if found(metadata, &place).and_then(|known| known.get("inclusion")?.as_str()) != Some("unsupported") {
                    note(metadata, &place, "selected", true.into());
                }
            }
        }
        match method {
            Method::Incremental(cursor) if chosen => {
                note(metadata, &json!([]), "replication-method", INCREMENTAL.into());
                note(metadata, &json!([]), "replication-key", cursor.into());
                entry.insert("replication_method".to_owned(), INCREMENTAL.into());
                entry.insert("replication_key".to_owned(), cursor.into());
            }
            Method::FullTable if chosen => {
                note(metadata, &json!([]), "replication-method", FULL_TABLE.into());
                entry.insert("replication_method".to_owned(), FULL_TABLE.into());
            }
            Method::Incremental(_) | Method::FullTable | Method::OfCatalog => {}
        }
        Value::Object(entry)
    }
}

/// A value of the metadata of the stream itself.
fn top<'a>(entry: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    found(entry.get("metadata")?, &json!([]))?.get(key)
}

fn found<'a>(metadata: &'a Value, place: &Value) -> Option<&'a Value> {
    metadata.as_array()?.iter().find(|one| one.get("breadcrumb") == Some(place))?.get("metadata")
}

fn note(metadata: &mut Value, place: &Value, key: &str, value: Value) {
    let Some(list) = metadata.as_array_mut() else { return };
    let known = list.iter_mut().find(|one| one.get("breadcrumb") == Some(place));
    match known.and_then(|one| one.get_mut("metadata")?.as_object_mut()) {
        Some(known) => {
            known.insert(key.to_owned(), value);
        }
        None => list.push(json!({"breadcrumb": place, "metadata": {key: value}})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let text = json!({"streams": [
            {"tap_stream_id": "public-leads", "stream": "leads", "schema": {"properties": {"id": {}, "blob": {}}},
             "metadata": [
                {"breadcrumb": [], "metadata": {"table-key-properties": ["id"], "selected": false}},
                {"breadcrumb": ["properties", "blob"], "metadata": {"inclusion": "unsupported"}},
             ]},
            {"tap_stream_id": "old", "schema": {"properties": {"n": {"type": "integer"}}}, "key_properties": []},
        ]});
        Catalog::parse(text.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_key_is_found_in_the_metadata_and_a_stream_has_two_names() {
        let catalog = catalog();
        let [leads, old] = catalog.streams() else { panic!() };
        assert_eq!((leads.id.as_str(), leads.stream.as_str(), leads.keys.len()), ("public-leads", "leads", 1));
        assert_eq!((old.stream.as_str(), old.keys.len(), old.fields.names()), ("old", 0, &["n".to_owned()][..]));
    }

    #[test]
    fn one_stream_is_chosen_in_both_styles_and_the_others_are_not() {
        let chosen = catalog().choose("public-leads", Method::Incremental("id"));
        let [leads, old] = chosen["streams"].as_array().unwrap().as_slice() else { panic!() };
        assert_eq!((&leads["schema"]["selected"], &old["schema"]["selected"]), (&json!(true), &json!(false)));
        assert_eq!(
            leads["metadata"],
            json!([
                {"breadcrumb": [], "metadata": {"table-key-properties": ["id"], "selected": true,
                    "replication-method": "INCREMENTAL", "replication-key": "id"}},
                {"breadcrumb": ["properties", "blob"], "metadata": {"inclusion": "unsupported"}},
                {"breadcrumb": ["properties", "id"], "metadata": {"selected": true}},
            ])
        );
        assert_eq!((&leads["replication_method"], &leads["replication_key"]), (&json!("INCREMENTAL"), &json!("id")));
        assert_eq!(old["metadata"], json!([{"breadcrumb": [], "metadata": {"selected": false}}]));
        assert_eq!(
            catalog().choose("old", Method::OfCatalog)["streams"][1]["schema"]["properties"]["n"]["selected"],
            json!(true)
        );
    }

    #[test]
    fn a_stream_that_is_read_as_a_whole_is_asked_for_so() {
        let chosen = catalog().choose("public-leads", Method::FullTable);
        assert_eq!(chosen["streams"][0]["metadata"][0]["metadata"]["replication-method"], json!("FULL_TABLE"));
        assert_eq!(chosen["streams"][1]["metadata"][0]["metadata"].get("replication-method"), None);
        let forced = |method: &str| {
            let metadata = json!([{"breadcrumb": [], "metadata": {"forced-replication-method": method}}]);
            let text = json!({"streams": [{"tap_stream_id": "a", "schema": {}, "metadata": metadata}]}).to_string();
            Catalog::parse(text.as_bytes()).unwrap().streams()[0].is_incremental()
        };
        // An empty one forces nothing: tap-postgres writes it.
        assert_eq!((forced("INCREMENTAL"), forced("FULL_TABLE"), forced("")), (true, false, false));
    }

    #[test]
    fn what_is_no_catalog_is_said_to_be_none() {
        for text in ["", "[]", "{}", r#"{"streams": [{}]}"#] {
            assert_eq!(Catalog::parse(text.as_bytes()).unwrap_err().kind(), ErrorKind::Protocol, "{text}");
        }
    }
}
