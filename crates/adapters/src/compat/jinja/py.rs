//! The values that templates compute with, as Python has them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use jiff::Span;
use jiff::civil::Date;

use super::time::{self, Moment};
use crate::engine::{Map, Slice, Value};

/// A value of Python, borrowing what is an API's or the settings'.
#[derive(Debug, Clone)]
pub(crate) enum Py<'a> {
    Undefined,
    None,
    Bool(bool),
    Int(i128),
    /// An integer that even 128 bits do not hold.
    Big(Box<str>),
    Float(f64),
    Str(Cow<'a, str>),
    ListRef(&'a [Value]),
    MapRef(&'a Map),
    /// Headers: their names fit in any case.
    Headers(&'a Map),
    Slice(&'a Slice),
    List(Rc<Vec<Self>>),
    Tuple(Rc<Vec<Self>>),
    Dict(Rc<Vec<(Self, Self)>>),
    Moment(Moment),
    Date(Date),
    /// A `timedelta`, in microseconds.
    Delta(i64),
    /// A duration with months or years.
    Calendar(Span),
}

impl From<String> for Py<'_> {
    fn from(text: String) -> Self {
        Self::Str(Cow::Owned(text))
    }
}

impl<'a> Py<'a> {
    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(Rc::new(items))
    }

    pub(super) fn tuple(items: Vec<Self>) -> Self {
        Self::Tuple(Rc::new(items))
    }

    /// Of equal keys the last counts, in the place of the first.
    pub(super) fn dict(members: Vec<(Self, Self)>) -> Self {
        let mut out: Vec<(Self, Self)> = Vec::with_capacity(members.len());
        for (key, value) in members {
            match out.iter_mut().find(|(known, _)| known.equals(&key)) {
                Some((_, place)) => *place = value,
                None => out.push((key, value)),
            }
        }
        Self::Dict(Rc::new(out))
    }

    pub(crate) fn of(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::None,
            Value::Bool(yes) => Self::Bool(*yes),
            Value::Int(number) => Self::Int((*number).into()),
            Value::Number(digits) => number(digits),
            Value::Text(text) => Self::Str(Cow::Borrowed(text)),
            Value::List(items) => Self::ListRef(items),
            Value::Map(map) => Self::MapRef(map),
        }
    }

    /// The value as JSON; what JSON has not becomes text.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Undefined | Self::None => Value::Null,
            Self::Bool(yes) => Value::Bool(*yes),
            Self::Int(number) => i64::try_from(*number).map_or_else(|_| Value::Number(number.to_string().into()), Value::Int),
            Self::Big(digits) => Value::Number(digits.clone()),
            Self::Float(number) => Value::float(*number),
            Self::Str(text) => Value::text(&**text),
            Self::ListRef(items) => Value::List(items.to_vec()),
            Self::MapRef(map) | Self::Headers(map) => Value::Map((*map).clone()),
            Self::List(items) | Self::Tuple(items) => Value::List(items.iter().map(Self::to_value).collect()),
            Self::Dict(members) => Value::Map(members.iter().map(|(key, value)| (key.to_text(), value.to_value())).collect()),
            Self::Slice(slice) => Value::Map(whole(slice)),
            Self::Moment(_) | Self::Date(_) | Self::Delta(_) | Self::Calendar(_) => Value::text(self.to_text()),
        }
    }

    pub(super) fn truthy(&self) -> bool {
        match self {
            Self::Undefined | Self::None => false,
            Self::Bool(yes) => *yes,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Delta(micros) => *micros != 0,
            Self::Big(_) | Self::Moment(_) | Self::Date(_) | Self::Calendar(_) => true,
            Self::Str(text) => !text.is_empty(),
            _ => self.len() != Some(0),
        }
    }

    /// How many items, members or letters it has.
    pub(super) fn len(&self) -> Option<usize> {
        match self {
            Self::Str(text) => Some(text.chars().count()),
            Self::ListRef(items) => Some(items.len()),
            Self::MapRef(map) | Self::Headers(map) => Some(map.len()),
            Self::Slice(slice) => Some(slice.partition.len() + slice.interval.len()),
            Self::List(items) | Self::Tuple(items) => Some(items.len()),
            Self::Dict(members) => Some(members.len()),
            _ => None,
        }
    }

    /// What a loop over it gives: items, keys, letters.
    pub(super) fn items(&self) -> Option<Vec<Self>> {
        Some(match self {
            Self::Undefined => Vec::new(),
            Self::Str(text) => text.chars().map(|letter| Self::from(letter.to_string())).collect(),
            Self::ListRef(items) => items.iter().map(Self::of).collect(),
            Self::List(items) | Self::Tuple(items) => items.to_vec(),
            _ => self.members()?.into_iter().map(|(key, _)| key).collect(),
        })
    }

    /// The members of a mapping.
    pub(super) fn members(&self) -> Option<Vec<(Self, Self)>> {
        let pair = |(key, value): (&'a str, &'a Value)| (Self::Str(Cow::Borrowed(key)), Self::of(value));
        match self {
            Self::MapRef(map) | Self::Headers(map) => Some(map.iter().map(pair).collect()),
            Self::Slice(slice) => Some(slice.partition.iter().chain(slice.interval.iter()).map(pair).collect()),
            Self::Dict(members) => Some(members.to_vec()),
            _ => None,
        }
    }

    /// A member of a mapping, or item of a list.
    pub(super) fn item(&self, key: &Self) -> Option<Self> {
        match (self, key) {
            (Self::MapRef(map), Self::Str(key)) => map.get(key).map(Self::of),
            (Self::Headers(map), Self::Str(key)) => {
                map.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| Self::of(value))
            }
            (Self::Slice(slice), Self::Str(key)) => slice.partition.get(key).or_else(|| slice.interval.get(key)).map(Self::of),
            (Self::Dict(members), key) => members.iter().find(|(known, _)| known.equals(key)).map(|(_, value)| value.clone()),
            (Self::ListRef(items), Self::Int(index)) => items.get(place(*index, items.len())?).map(Self::of),
            (Self::List(items) | Self::Tuple(items), Self::Int(index)) => items.get(place(*index, items.len())?).cloned(),
            (Self::Str(text), Self::Int(index)) => {
                let at = place(*index, text.chars().count())?;
                text.chars().nth(at).map(|letter| Self::from(letter.to_string()))
            }
            _ => None,
        }
    }

    pub(super) fn is_mapping(&self) -> bool {
        matches!(self, Self::MapRef(_) | Self::Headers(_) | Self::Slice(_) | Self::Dict(_))
    }

    pub(super) fn is_sequence(&self) -> bool {
        matches!(self, Self::ListRef(_) | Self::List(_) | Self::Tuple(_))
    }

    /// The number, truth values included.
    #[expect(clippy::cast_precision_loss, reason = "as Python does where an integer meets a float")]
    pub(super) fn as_float(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Bool(yes) => Some(f64::from(u8::from(*yes))),
            Self::Float(number) => Some(*number),
            Self::Big(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    pub(super) fn as_int(&self) -> Option<i128> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Bool(yes) => Some(i128::from(*yes)),
            _ => None,
        }
    }

    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Undefined, Self::Undefined) | (Self::None, Self::None) => true,
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Big(a), Self::Big(b)) => a == b,
            (Self::Delta(a), Self::Delta(b)) => a == b,
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Moment(a), Self::Moment(b)) => a.compare(b) == Some(Ordering::Equal),
            (Self::Tuple(a), Self::Tuple(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.equals(b)),
            (Self::Tuple(_), _) | (_, Self::Tuple(_)) => false,
            _ => {
                if let (Some(a), Some(b)) = (self.as_int(), other.as_int()) {
                    return a == b;
                }
                if let (Some(a), Some(b)) = (self.as_float(), other.as_float()) {
                    return a == b;
                }
                if self.is_sequence() && other.is_sequence() {
                    let (a, b) = (self.items().unwrap_or_default(), other.items().unwrap_or_default());
                    return a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.equals(b));
                }
                if self.is_mapping() && other.is_mapping() {
                    let a = self.members().unwrap_or_default();
                    let same = |(key, value): &(Self, Self)| other.item(key).is_some_and(|found| found.equals(value));
                    return Some(a.len()) == other.len() && a.iter().all(same);
                }
                false
            }
        }
    }

    /// The order, where Python has one.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Str(a), Self::Str(b)) => Some(a.as_ref().cmp(b.as_ref())),
            (Self::Delta(a), Self::Delta(b)) => Some(a.cmp(b)),
            (Self::Date(a), Self::Date(b)) => Some(a.cmp(b)),
            (Self::Moment(a), Self::Moment(b)) => a.compare(b),
            _ if self.is_sequence() && other.is_sequence() => {
                let (a, b) = (self.items()?, other.items()?);
                let first = a.iter().zip(&b).find(|(a, b)| !a.equals(b));
                first.map_or_else(|| Some(a.len().cmp(&b.len())), |(a, b)| a.compare(b))
            }
            _ => match (self.as_int(), other.as_int()) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                _ => self.as_float()?.partial_cmp(&other.as_float()?),
            },
        }
    }

    /// As `str()` writes it.
    pub(crate) fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::Undefined => {}
            Self::Str(text) => out.push_str(text),
            Self::Moment(moment) => out.push_str(&moment.to_text(' ')),
            Self::Date(date) => out.push_str(&date.to_string()),
            Self::Delta(micros) => out.push_str(&time::delta_text(*micros)),
            Self::Calendar(span) => out.push_str(&span.to_string()),
            _ => self.write_repr(out),
        }
    }

    /// As `repr()` writes it.
    pub(super) fn write_repr(&self, out: &mut String) {
        match self {
            Self::Undefined => out.push_str("Undefined"),
            Self::None => out.push_str("None"),
            Self::Bool(yes) => out.push_str(if *yes { "True" } else { "False" }),
            // Writing into memory does not fail.
            Self::Int(number) => out.push_str(&format!("{number}")),
            Self::Big(digits) => out.push_str(digits),
            Self::Float(number) => out.push_str(&float_text(*number)),
            Self::Str(text) => quote(text, out),
            Self::Tuple(items) => {
                series('(', items, out);
                out.push_str(if items.len() == 1 { ",)" } else { ")" });
            }
            Self::ListRef(_) | Self::List(_) => {
                series('[', &self.items().unwrap_or_default(), out);
                out.push(']');
            }
            Self::MapRef(_) | Self::Headers(_) | Self::Slice(_) | Self::Dict(_) => {
                out.push('{');
                for (index, (key, value)) in self.members().unwrap_or_default().iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    key.write_repr(out);
                    out.push_str(": ");
                    value.write_repr(out);
                }
                out.push('}');
            }
            Self::Moment(_) | Self::Date(_) | Self::Delta(_) | Self::Calendar(_) => {
                out.push('<');
                self.write(out);
                out.push('>');
            }
        }
    }
}

/// The members of a slice, as one object.
pub(crate) fn whole(slice: &Slice) -> Map {
    slice.partition.iter().chain(slice.interval.iter()).map(|(key, value)| (key, value.clone())).collect()
}

fn series(open: char, items: &[Py<'_>], out: &mut String) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        item.write_repr(out);
    }
}

/// A place in a list; negative ones count from the end.
pub(super) fn place(index: i128, len: usize) -> Option<usize> {
    let len = i128::try_from(len).ok()?;
    usize::try_from(if index < 0 { index + len } else { index }).ok()
}

fn number<'a>(digits: &str) -> Py<'a> {
    if digits.contains(['.', 'e', 'E']) {
        return Py::Float(digits.parse().unwrap_or(f64::NAN));
    }
    digits.parse().map_or_else(|_| Py::Big(digits.into()), Py::Int)
}

/// A float as Python writes it: the shortest digits that read back, with an exponent below 1e-4 and from 1e16.
pub(super) fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let text = format!("{number}");
    if text.contains('.') { text } else { text + ".0" }
}

/// A text as Python's `repr` quotes it.
fn quote(text: &str, out: &mut String) {
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(mark);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if letter == mark => {
                out.push('\\');
                out.push(letter);
            }
            letter if letter.is_control() => {
                let code = u32::from(letter);
                out.push_str(&if code < 0x100 { format!("\\x{code:02x}") } else { format!("\\u{code:04x}") });
            }
            letter => out.push(letter),
        }
    }
    out.push(mark);
}
