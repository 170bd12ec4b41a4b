//! The fields of a stream, by its JSON schema, and how their text is read from a record.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;

use headwater_model::conform;
use headwater_model::mapping::{Mapping, Role};
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Fields beyond this many stay in the raw record: a page has a column for each.
const MOST_FIELDS: usize = 2_000;
/// Objects within objects beyond this depth are text.
const DEEPEST: usize = 4;
/// New names that are reported.
const MOST_NEW: usize = 20;

const ROLES: [Role; 5] = [Role::Leads, Role::Touches, Role::Engagements, Role::Conversions, Role::Costs];

/// The fields of a stream. An object whose schema names its properties is one field per property, as `address.city`; other
/// objects and lists are a field each, as JSON text.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    names: Vec<String>,
    root: Group,
}

type Group = HashMap<String, Slot>;

#[derive(Debug, Clone)]
enum Slot {
    Text(usize),
    Group(Group),
}

impl Fields {
    /// The fields of a schema's object, and those of a key that it does not name.
    pub(super) fn of(schema: &Value, keys: &[Vec<String>]) -> Self {
        let mut fields = Self::default();
        let mut root = Group::new();
        fields.group(schema, &mut Vec::new(), &mut root);
        for key in keys {
            fields.add(key, &mut root);
        }
        fields.root = root;
        fields
    }

    fn group(&mut self, schema: &Value, path: &mut Vec<String>, into: &mut Group) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        for (name, schema) in properties {
            path.push(name.clone());
            let named = schema.get("properties").and_then(Value::as_object).is_some_and(|properties| !properties.is_empty());
            if named && path.len() < DEEPEST {
                let mut inner = Group::new();
                self.group(schema, path, &mut inner);
                into.insert(name.clone(), Slot::Group(inner));
            } else if self.names.len() < MOST_FIELDS {
                into.insert(name.clone(), Slot::Text(self.names.len()));
                self.names.push(path.join("."));
            }
            path.pop();
        }
    }

    fn add(&mut self, path: &[String], into: &mut Group) {
        let Some((name, rest)) = path.split_first() else { return };
        let mut group = into;
        let mut last = name;
        for name in rest {
            match group.entry(last.clone()).or_insert_with(|| Slot::Group(Group::new())) {
                Slot::Group(inner) => group = inner,
                Slot::Text(_) => return,
            }
            last = name;
        }
        if !group.contains_key(last) {
            group.insert(last.clone(), Slot::Text(self.names.len()));
            self.names.push(path.join("."));
        }
    }

    /// Their names. Two that would be called the same are both there; the later one has no column.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Where the field of this path stands.
    pub(super) fn index(&self, path: &[String]) -> Option<usize> {
        let (last, groups) = path.split_last()?;
        let mut group = &self.root;
        for name in groups {
            match group.get(name)? {
                Slot::Group(inner) => group = inner,
                Slot::Text(_) => return None,
            }
        }
        match group.get(last)? {
            Slot::Text(index) => Some(*index),
            Slot::Group(_) => None,
        }
    }

    /// Each field named like one of ours is that one, and a single key is the vendor's id.
    pub(super) fn mapping(&self, keys: &[Vec<String>]) -> Mapping {
        let ours: BTreeSet<&str> = ROLES.into_iter().flat_map(|role| conform::fields_of(role).iter().copied()).collect();
        let same = self.names.iter().map(String::as_str).filter(|name| ours.contains(name)).map(|name| (name, name));
        let key = match keys {
            [key] => self.index(key).and_then(|index| self.names.get(index)),
            _ => None,
        };
        Mapping::of(
            key.map(|key| ("external_id", key.as_str())).into_iter().chain(same.filter(|(ours, _)| *ours != "external_id")),
        )
    }

    /// The text of each field of a record, in their order. Text stays as it is, null is absent, everything else is the text that
    /// the program wrote. Names that are no fields are added to `new`.
    pub(super) fn read(&self, record: &RawValue, new: &mut BTreeSet<String>) -> serde_json::Result<Vec<Option<String>>> {
        let mut values = vec![None; self.names.len()];
        read_group(&self.root, record, &mut values, Some(new))?;
        Ok(values)
    }
}

fn read_group(
    group: &Group,
    record: &RawValue,
    values: &mut [Option<String>],
    new: Option<&mut BTreeSet<String>>,
) -> serde_json::Result<()> {
    let mut reader = serde_json::Deserializer::from_str(record.get());
    Reader { group, values, new }.deserialize(&mut reader)
}

struct Reader<'a> {
    group: &'a Group,
    values: &'a mut [Option<String>],
    new: Option<&'a mut BTreeSet<String>>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Name<'de>>()? {
            let value: &'de RawValue = map.next_value()?;
            match self.group.get(name.0.as_ref()) {
                Some(Slot::Text(index)) => {
                    if let Some(slot) = self.values.get_mut(*index) {
                        *slot = text(value).map_err(A::Error::custom)?;
                    }
                }
                Some(Slot::Group(inner)) if value.get().starts_with('{') => {
                    read_group(inner, value, self.values, None).map_err(A::Error::custom)?;
                }
                // What is no object stays in the raw record.
                Some(Slot::Group(_)) => {}
                None => {
                    if let Some(new) = &mut self.new
                        && new.len() < MOST_NEW
                    {
                        new.insert(name.0.into_owned());
                    }
                }
            }
        }
        Ok(())
    }
}

/// A name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A value's text.
fn text(value: &RawValue) -> serde_json::Result<Option<String>> {
    match value.get() {
        "null" => Ok(None),
        text if text.starts_with('"') => serde_json::from_str(text).map(Some),
        text => Ok(Some(text.to_owned())),
    }
}

/// Puts quotes around NaN and the infinities, which Python writes and JSON does not have; none when there are none.
pub(super) fn without_bare_words(line: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];
    let mut out = Vec::with_capacity(line.len() + 8);
    let (mut quoted, mut escaped, mut found) = (false, false, false);
    let mut rest = line;
    while let Some((first, after)) = rest.split_first() {
        let word = WORDS.into_iter().find(|word| !quoted && rest.starts_with(word));
        if let Some(word) = word {
            found = true;
            out.push(b'"');
            out.extend(word);
            out.push(b'"');
            rest = rest.get(word.len()..).unwrap_or_default();
            continue;
        }
        quoted ^= *first == b'"' && !escaped;
        escaped = quoted && *first == b'\\' && !escaped;
        out.push(*first);
        rest = after;
    }
    found.then_some(out)
}

/// The paths of keys that are names of top-level fields.
pub(super) fn paths(names: &[String]) -> Vec<Vec<String>> {
    names.iter().map(|name| vec![name.clone()]).collect()
}

/// The values at these places, as one key: alone as it is, several as a JSON list, so that no two keys look the same.
pub(super) fn key(values: &[Option<String>], places: &[usize]) -> Option<String> {
    let parts: Option<Vec<&str>> = places.iter().map(|place| values.get(*place)?.as_deref()).collect();
    match parts?.as_slice() {
        [] | [""] => None,
        [one] => Some((*one).to_owned()),
        several => serde_json::to_string(several).ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(fields: &Fields, record: &str) -> (Vec<Option<String>>, BTreeSet<String>) {
        let mut new = BTreeSet::new();
        let record: Box<RawValue> = serde_json::from_str(record).unwrap();
        (fields.read(&record, &mut new).unwrap(), new)
    }

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn numbers_keep_the_text_they_came_as() {
        let fields = Fields::of(&json!({"properties": {"n": {"type": "number"}}}), &[]);
        for number in ["123456789012345678901234567890", "1.10", "0.1000000000000000055", "1E5", "-0", "1e400"] {
            assert_eq!(read(&fields, &format!(r#"{{"n": {number}}}"#)).0, some(&[number]));
        }
    }

    #[test]
    fn named_properties_are_fields_and_other_objects_are_text() {
        let schema = json!({"properties": {
            "address": {"type": ["null", "object"], "properties": {"city": {}, "geo": {"properties": {"lat": {}}}}},
            "tags": {"type": "array"},
            "free": {"type": "object"},
        }});
        let fields = Fields::of(&schema, &[]);
        assert_eq!(fields.names(), ["address.city", "address.geo.lat", "free", "tags"]);
        let record = r#"{"address": {"city": "Łódź", "geo": {"lat": 1.50}}, "tags": ["a", 1.0], "free": {"x": 1}, "y": 1}"#;
        let (values, new) = read(&fields, record);
        assert_eq!(values, some(&["Łódź", "1.50", r#"{"x": 1}"#, r#"["a", 1.0]"#]));
        assert_eq!(new, BTreeSet::from(["y".to_owned()]));
        assert_eq!(read(&fields, r#"{"address": null, "tags": null}"#).0, vec![None; 4]);
        assert_eq!(read(&fields, r#"{"address": "in a word"}"#).0, vec![None; 4]);
    }

    #[test]
    fn a_key_that_no_schema_names_is_a_field() {
        let keys = [vec!["id".to_owned()], vec!["a".to_owned(), "b".to_owned()]];
        let fields = Fields::of(&json!({}), &keys);
        assert_eq!(fields.names(), ["id", "a.b"]);
        let (values, _) = read(&fields, r#"{"id": 7, "a": {"b": "x\ny"}}"#);
        assert_eq!(key(&values, &[0]), Some("7".to_owned()));
        assert_eq!(key(&values, &[0, 1]), Some(r#"["7","x\ny"]"#.to_owned()));
        assert_eq!((key(&values, &[]), key(&[None], &[0]), key(&[Some(String::new())], &[0])), (None, None, None));
    }

    #[test]
    fn our_names_are_mapped_and_a_single_key_is_the_id() {
        let fields = Fields::of(&json!({"properties": {"id": {}, "email": {}, "external_id": {}, "other": {}}}), &[]);
        let mapping = fields.mapping(&[vec!["id".to_owned()]]);
        assert_eq!(mapping, Mapping::of([("external_id", "id"), ("email", "email")]));
    }

    #[test]
    fn what_python_calls_json_becomes_json() {
        let fixed = without_bare_words(br#"{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN \" NaN"}"#).unwrap();
        assert_eq!(String::from_utf8(fixed).unwrap(), r#"{"a": "NaN", "b": ["-Infinity", "Infinity"], "c": "NaN \" NaN"}"#);
        assert_eq!(without_bare_words(br#"{"a": "NaN"}"#), None);
    }

    proptest! {
        #[test]
        fn any_text_arrives_as_it_is(text in ".*", n in any::<f64>()) {
            let fields = Fields::of(&json!({"properties": {"t": {}, "n": {}}}), &[]);
            let record = json!({"t": text, "n": n}).to_string();
            let (values, new) = read(&fields, &record);
            prop_assert_eq!(values.last().cloned().flatten(), Some(text));
            prop_assert!(new.is_empty());
        }
    }
}
