//! JSON read lazily and exactly.
//!
//! A value keeps its own text, so a number is what the sender wrote: `9007199254740993` and `12.50` do not pass through a float. One
//! level is parsed at a time and only where somebody looks, which needs no recursion, whatever the depth of the body.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON value, as its text.
#[derive(Clone, Copy)]
pub(in crate::intake) struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// The value that a whole body is, or nothing when the body is no JSON.
    pub(in crate::intake) fn parse(body: &'a str) -> Option<Self> {
        serde_json::from_str::<&RawValue>(body.trim_start_matches('\u{feff}')).ok().map(|raw| Self(raw.get()))
    }

    /// The members of an object, in order; a repeated name is there twice.
    pub(in crate::intake) fn members(self) -> Option<Vec<(String, Self)>> {
        serde_json::from_str::<Members<'a>>(self.0).ok().map(|members| members.0)
    }

    /// The items of a list.
    pub(in crate::intake) fn items(self) -> Option<Vec<Self>> {
        let items: Vec<&'a RawValue> = serde_json::from_str(self.0).ok()?;
        Some(items.into_iter().map(|raw| Self(raw.get())).collect())
    }

    /// The member of that name; of a repeated one the last, as everywhere.
    pub(in crate::intake) fn get(self, name: &str) -> Option<Self> {
        self.members()?.into_iter().rev().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// The text of the member of that name.
    pub(in crate::intake) fn text_at(self, name: &str) -> Option<String> {
        self.get(name)?.text()
    }

    /// The content of a text, the digits of a number, the JSON of a list or an object; nothing for `null`.
    pub(in crate::intake) fn text(self) -> Option<String> {
        if self.0 == "null" { None } else { Some(serde_json::from_str(self.0).unwrap_or_else(|_| self.0.to_owned())) }
    }

    /// The value as one cell: like [`Json::text`], but a list of plain values reads `a, b`.
    pub(in crate::intake) fn cell(self) -> Option<String> {
        let items = self.items().filter(|items| items.iter().all(|item| !item.is_nested()));
        match items {
            Some(items) => joined(items.into_iter().filter_map(Self::text)),
            None => self.text(),
        }
    }

    /// Whether it is an object.
    pub(in crate::intake) fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// Whether it is an object or a list.
    pub(in crate::intake) fn is_nested(self) -> bool {
        self.is_object() || self.0.starts_with('[')
    }

    /// Its JSON text.
    pub(in crate::intake) fn raw(self) -> &'a str {
        self.0
    }
}

/// Several values in one cell; nothing where there is none.
pub(in crate::intake) fn joined(values: impl IntoIterator<Item = String>) -> Option<String> {
    values.into_iter().reduce(|all, value| format!("{all}, {value}"))
}

struct Members<'a>(Vec<(String, Json<'a>)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, raw)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((name, Json(raw.get())));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_text() {
        let json = Json::parse(r#" {"id": 9007199254740993, "price": 12.50, "big": 1e400, "neg": -0.0} "#).unwrap();
        let text = |name| json.text_at(name).unwrap();
        assert_eq!([text("id"), text("price"), text("big"), text("neg")], ["9007199254740993", "12.50", "1e400", "-0.0"]);
    }

    #[test]
    fn null_is_absent_and_empty_is_empty() {
        let json = Json::parse(r#"{"a":null,"b":"","c":[null],"d":[]}"#).unwrap();
        assert_eq!(["a", "b", "c", "d"].map(|name| json.get(name).unwrap().cell()), [None, Some(String::new()), None, None]);
    }

    #[test]
    fn lists_of_plain_values_read_as_a_cell() {
        let json = Json::parse(r#"{"a":["x",2.0,true],"b":[{"c":1}]}"#).unwrap();
        assert_eq!(json.get("a").unwrap().cell().unwrap(), "x, 2.0, true");
        assert_eq!(json.get("b").unwrap().cell().unwrap(), r#"[{"c":1}]"#);
    }

    #[test]
    fn depth_does_not_matter() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(50_000), "}".repeat(50_000));
        assert!(Json::parse(&deep).unwrap().get("a").unwrap().is_object());
    }

    #[test]
    fn broken_json_is_nothing() {
        for broken in ["", "{", "{\"a\":1}x", "nul", "\u{0}", "[1,"] {
            assert!(Json::parse(broken).is_none(), "{broken:?}");
        }
    }
}
