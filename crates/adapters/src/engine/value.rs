//! What an API says, kept as it said it.
//!
//! `serde_json::Value` would not do: it sorts the keys of objects and turns a number that fits no machine type into another one.
//! Here objects keep their order, and a number that is no 64-bit integer keeps its digits as text (`10.10` stays `10.10`).

use std::fmt;

/// A JSON value without loss.
#[derive(Clone, Default, PartialEq)]
pub enum Value {
    /// Null.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// An integer written as one, without leading zeros, that fits 64 bits.
    Int(i64),
    /// Any other number, as a valid JSON literal.
    Number(Box<str>),
    /// Text.
    Text(Box<str>),
    /// A list.
    List(Vec<Self>),
    /// An object, in the order in which it was written; a repeated key has its last value.
    Map(Map),
}

/// The members of an object, in order. Two are equal when their members are, in whatever order.
#[derive(Clone, Default)]
pub struct Map(Vec<(Key, Value)>);

/// The name of a member. Records of one answer share theirs.
pub type Key = std::sync::Arc<str>;

impl Map {
    /// An object with room for `members`.
    #[must_use]
    pub fn with_capacity(members: usize) -> Self {
        Self(Vec::with_capacity(members))
    }

    /// The value of a member.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| &**name == key).map(|(_, value)| value)
    }

    /// The value of a member, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(name, _)| &**name == key).map(|(_, value)| value)
    }

    /// Sets a member: in its place where there is one of this name, else at the end.
    pub fn insert(&mut self, key: impl Into<Key> + AsRef<str>, value: Value) -> Option<Value> {
        match self.get_mut(key.as_ref()) {
            Some(place) => Some(std::mem::replace(place, value)),
            None => {
                self.0.push((key.into(), value));
                None
            }
        }
    }

    /// Adds a member that is known not to be there.
    pub(crate) fn push(&mut self, key: Key, value: Value) {
        self.0.push((key, value));
    }

    /// Takes a member out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let index = self.0.iter().position(|(name, _)| &**name == key)?;
        Some(self.0.remove(index).1)
    }

    /// The members, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Value)> + ExactSizeIterator {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    /// The members with their shared names, in order.
    pub fn entries(&self) -> &[(Key, Value)] {
        &self.0
    }

    /// The members, to change their values.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Value)> {
        self.0.iter_mut().map(|(key, value)| (&**key, value))
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl IntoIterator for Map {
    type Item = (Key, Value);
    type IntoIter = std::vec::IntoIter<(Key, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Into<Key> + AsRef<str>> FromIterator<(K, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(members: I) -> Self {
        let mut map = Self::default();
        for (key, value) in members {
            map.insert(key, value);
        }
        map
    }
}

impl Value {
    /// Text.
    pub fn text(text: impl Into<Box<str>>) -> Self {
        Self::Text(text.into())
    }

    /// A number that a computation gave; not finite ones become null, as JSON has none.
    #[must_use]
    pub fn float(number: f64) -> Self {
        if number.is_finite() { Self::Number(format!("{number:?}").into()) } else { Self::Null }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Number(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The members, if it is an object.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// The members, if it is an object, to change them.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match self {
            Self::Map(map) => Some(map),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// The items, if it is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Number(_) | Self::Text(_) | Self::Map(_) => None,
        }
    }

    /// The integer, if it is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The number as a float, if it is one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "asked for as a float")]
            Self::Int(number) => Some(*number as f64),
            Self::Number(digits) => digits.parse().ok(),
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The member of an object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key)
    }

    /// What stands at the end of a path of names; in a list a name that is a number is a place in it.
    #[must_use]
    pub fn at<S: AsRef<str>>(&self, path: &[S]) -> Option<&Self> {
        path.iter().try_fold(self, |value, step| match value {
            Self::Map(map) => map.get(step.as_ref()),
            Self::List(list) => list.get(step.as_ref().parse::<usize>().ok()?),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Number(_) | Self::Text(_) => None,
        })
    }

    /// Whether it counts as true where no dialect says otherwise: false, null, zero and what is empty do not.
    #[must_use]
    pub fn truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(yes) => *yes,
            Self::Int(number) => *number != 0,
            Self::Number(_) => self.as_f64() != Some(0.0),
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
        }
    }

    /// The value as text that goes into a URL, header or form: text as it is, null as nothing, the rest as JSON.
    #[must_use]
    pub fn to_plain(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Text(text) => text.clone().into(),
            Self::Bool(_) | Self::Int(_) | Self::Number(_) | Self::List(_) | Self::Map(_) => self.to_json(),
        }
    }

    /// The value as JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        super::json::write(self, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }
}

/// Prints the kind only: a value may be a person's.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(_) => f.write_str("a truth value"),
            Self::Int(_) | Self::Number(_) => f.write_str("a number"),
            Self::Text(text) => write!(f, "a text of {} bytes", text.len()),
            Self::List(list) => write!(f, "a list of {}", list.len()),
            Self::Map(map) => map.fmt(f),
        }
    }
}

/// Prints the number of members only.
impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of {}", self.0.len())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::text(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::text(value)
    }
}

impl From<Map> for Value {
    fn from(value: Map) -> Self {
        Self::Map(value)
    }
}

impl From<Vec<Self>> for Value {
    fn from(value: Vec<Self>) -> Self {
        Self::List(value)
    }
}

impl From<&serde_json::Value> for Value {
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match value {
            Json::Null => Self::Null,
            Json::Bool(yes) => Self::Bool(*yes),
            Json::Number(number) => match number.as_i64() {
                Some(number) => Self::Int(number),
                None => Self::Number(number.to_string().into()),
            },
            Json::String(text) => Self::text(text.as_str()),
            Json::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Json::Object(members) => members.iter().map(|(key, value)| (key.as_str(), Self::from(value))).collect::<Map>().into(),
        }
    }
}
