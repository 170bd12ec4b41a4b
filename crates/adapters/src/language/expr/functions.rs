//! The functions: a closed set. A function that is given nothing gives nothing, and null gives null, unless it says otherwise.

use std::borrow::Cow;
use std::cmp::Ordering;

use base64::Engine as _;
use jiff::Timestamp;
use md5::Digest as _;

use super::check::Type;
use super::eval::{Found, Scope, order, same};
use super::{EvalError, ExprError, times};
use crate::engine::{Map, Value, json};

/// The largest number of decimal places that a number is moved by.
const MAX_SCALE: i64 = 18;

type Body = fn(&Arguments<'_>, &Scope<'_>) -> Result<Option<Value>, EvalError>;

/// One function.
#[derive(Clone, Copy)]
pub(super) struct Function(&'static Entry);

struct Entry {
    name: &'static str,
    parameters: &'static [&'static [Type]],
    required: usize,
    gives: Type,
    /// Whether it wants to see an absent or null first argument.
    takes_nothing: bool,
    body: Body,
}

const ANY: &[Type] = &[Type::Any];
const TEXT: &[Type] = &[Type::Text];
const LIST: &[Type] = &[Type::List];
const MAP: &[Type] = &[Type::Map];
const NUMBER: &[Type] = &[Type::Number];
const TEXT_OR_NUMBER: &[Type] = &[Type::Text, Type::Number];
const LIST_OR_MAP: &[Type] = &[Type::List, Type::Map];
const TEXT_OR_LIST: &[Type] = &[Type::Text, Type::List];

const fn entry(name: &'static str, parameters: &'static [&'static [Type]], gives: Type, body: Body) -> Entry {
    Entry { name, parameters, required: parameters.len(), gives, takes_nothing: false, body }
}

static FUNCTIONS: &[Entry] = &[
    // Text.
    entry("lower", &[TEXT], Type::Text, |a, _| Ok(Some(a.text(0)?.to_lowercase().into()))),
    entry("upper", &[TEXT], Type::Text, |a, _| Ok(Some(a.text(0)?.to_uppercase().into()))),
    entry("trim", &[TEXT], Type::Text, |a, _| Ok(Some(a.text(0)?.trim().into()))),
    entry("replace", &[TEXT, TEXT, TEXT], Type::Text, |a, _| Ok(Some(a.text(0)?.replace(a.text(1)?, a.text(2)?).into()))),
    entry("split", &[TEXT, TEXT], Type::List, |a, _| {
        Ok(Some(Value::List(a.text(0)?.split(a.text(1)?).map(Value::from).collect())))
    }),
    entry("before", &[TEXT, TEXT], Type::Text, |a, _| {
        let text = a.text(0)?;
        Ok(Some(text.split_once(a.text(1)?).map_or(text, |(before, _)| before).into()))
    }),
    entry("after", &[TEXT, TEXT], Type::Text, |a, _| Ok(a.text(0)?.split_once(a.text(1)?).map(|(_, after)| after.into()))),
    entry("starts_with", &[TEXT, TEXT], Type::Bool, |a, _| Ok(Some(a.text(0)?.starts_with(a.text(1)?).into()))),
    entry("ends_with", &[TEXT, TEXT], Type::Bool, |a, _| Ok(Some(a.text(0)?.ends_with(a.text(1)?).into()))),
    entry("text", &[ANY], Type::Text, |a, _| Ok(Some(a.get(0)?.to_plain().into()))),
    entry("filled", &[ANY], Type::Any, |a, _| Ok(Some(a.get(0)?).filter(|value| !is_empty(value)).cloned())),
    entry("url_param", &[TEXT, TEXT], Type::Text, |a, _| Ok(url_param(a.text(0)?, a.text(1)?))),
    entry("host", &[TEXT], Type::Text, |a, _| Ok(Some(host(a.text(0)?)).filter(|host| !host.is_empty()).map(Value::from))),
    entry("site_forms", &[TEXT], Type::List, |a, _| {
        let host = host(a.text(0)?);
        let forms = ["", "www."].into_iter().flat_map(|www| {
            let site = format!("{www}{host}");
            [
                site.clone(),
                format!("http://{site}"),
                format!("https://{site}"),
                format!("http://{site}/"),
                format!("https://{site}/"),
            ]
        });
        Ok(Some(Value::List(forms.map(Value::from).collect())))
    }),
    entry("url_encode", &[TEXT], Type::Text, |a, _| {
        Ok(Some(url::form_urlencoded::byte_serialize(a.text(0)?.as_bytes()).collect::<String>().replace('+', "%20").into()))
    }),
    entry("md5", &[TEXT], Type::Text, |a, _| {
        let digest = md5::Md5::digest(a.text(0)?.as_bytes());
        Ok(Some(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()))
    }),
    entry("base64", &[TEXT], Type::Text, |a, _| Ok(Some(base64::engine::general_purpose::STANDARD.encode(a.text(0)?).into()))),
    entry("json", &[ANY], Type::Text, |a, _| Ok(Some(a.get(0)?.to_json().into()))),
    entry("parse_json", &[TEXT], Type::Any, |a, _| {
        let wrong = |_| EvalError("`parse_json` was given text that is no JSON".to_owned());
        json::parse(a.text(0)?.as_bytes()).map(Some).map_err(wrong)
    }),
    // Lists, and keys with values.
    entry("replace_each", &[LIST, TEXT, TEXT], Type::List, |a, _| {
        let (from, to) = (a.text(1)?, a.text(2)?);
        Ok(Some(Value::List(a.list(0)?.iter().map(|item| item.to_plain().replace(from, to).into()).collect())))
    }),
    entry("wrap_each", &[LIST, TEXT, TEXT], Type::List, |a, _| {
        let (before, after) = (a.text(1)?, a.text(2)?);
        let wrapped = |item: &Value| format!("{before}{}{after}", item.to_plain()).into();
        Ok(Some(Value::List(a.list(0)?.iter().map(wrapped).collect())))
    }),
    entry("object", &[TEXT, ANY], Type::Map, |a, _| {
        let value = a.found(1).cloned().unwrap_or_default();
        Ok(Some(Value::Map([(a.text(0)?, value)].into_iter().collect::<Map>())))
    }),
    entry("merge", &[MAP, MAP], Type::Map, |a, _| {
        let mut merged = a.map(0)?.clone();
        for (name, value) in a.found(1).and_then(Value::as_map).into_iter().flat_map(Map::iter) {
            merged.insert(name, value.clone());
        }
        Ok(Some(Value::Map(merged)))
    }),
    entry("omit", &[MAP, TEXT], Type::Map, |a, _| {
        let name = a.text(1)?;
        let left = a.map(0)?.iter().filter(|(key, _)| *key != name).map(|(key, value)| (key, value.clone()));
        Ok(Some(Value::Map(left.collect::<Map>())))
    }),
    entry("csv", &[ANY, TEXT], Type::Text, |a, _| csv(a.list(0)?, a.text(1)?).map(|text| Some(text.into()))),
    entry("join", &[LIST, TEXT], Type::Text, |a, _| {
        let items: Vec<String> = a.list(0)?.iter().filter(|item| !is_empty(item)).map(Value::to_plain).collect();
        Ok(Some(items.join(a.text(1)?).into()))
    }),
    entry("first", &[LIST], Type::Any, |a, _| Ok(a.list(0)?.first().cloned())),
    entry("last", &[LIST], Type::Any, |a, _| Ok(a.list(0)?.last().cloned())),
    Entry {
        takes_nothing: true,
        ..entry("count", &[LIST], Type::Number, |a, _| {
            let count = if a.is_nothing(0) { 0 } else { a.list(0)?.len() };
            Ok(i64::try_from(count).ok().map(Value::Int))
        })
    },
    Entry {
        takes_nothing: true,
        ..entry("contains", &[TEXT_OR_LIST, ANY], Type::Bool, |a, _| {
            Ok(Some(Value::Bool(match a.found(0) {
                None | Some(Value::Null) => false,
                Some(Value::List(items)) => items.iter().any(|item| a.found(1).is_some_and(|wanted| same(item, wanted))),
                Some(_) => a.text(0)?.contains(a.text(1)?),
            })))
        })
    },
    entry("find", &[LIST, TEXT, ANY], Type::Any, |a, _| {
        let (path, wanted) = (path(a.text(1)?), a.found(2));
        Ok(a.list(0)?.iter().find(|item| matches(item, &path, wanted)).cloned())
    }),
    entry("where", &[LIST, TEXT, ANY], Type::List, |a, _| {
        let (path, wanted) = (path(a.text(1)?), a.found(2));
        Ok(Some(Value::List(a.list(0)?.iter().filter(|item| matches(item, &path, wanted)).cloned().collect())))
    }),
    // Some languages write keys and values without any as `[]`.
    entry("values", &[LIST_OR_MAP], Type::List, |a, _| match a.found(0) {
        Some(Value::List(items)) => Ok(Some(Value::List(items.clone()))),
        _ => Ok(Some(Value::List(a.map(0)?.iter().map(|(_, value)| value.clone()).collect()))),
    }),
    entry("max", &[LIST], Type::Any, |a, _| extreme(a.list(0)?, Ordering::is_gt)),
    entry("min", &[LIST], Type::Any, |a, _| extreme(a.list(0)?, Ordering::is_lt)),
    entry("entries", &[LIST_OR_MAP], Type::List, |a, _| {
        if a.found(0).and_then(Value::as_list).is_some_and(<[Value]>::is_empty) {
            return Ok(Some(Value::List(Vec::new())));
        }
        let pair = |(key, value): (&str, &Value)| {
            Value::Map([("key", Value::from(key)), ("value", value.clone())].into_iter().collect::<Map>())
        };
        Ok(Some(Value::List(a.map(0)?.iter().map(pair).collect())))
    }),
    entry("get", &[MAP, TEXT], Type::Any, |a, _| if a.is_nothing(1) { Ok(None) } else { Ok(a.map(0)?.get(a.text(1)?).cloned()) }),
    Entry { takes_nothing: true, ..entry("has", &[ANY], Type::Bool, |a, _| Ok(Some(a.found(0).is_some().into()))) },
    // Numbers.
    entry("scale", &[TEXT_OR_NUMBER, NUMBER], Type::Number, |a, _| {
        let places = a.get(1)?.as_int().filter(|places| places.abs() <= MAX_SCALE);
        let places = places.ok_or_else(|| EvalError(format!("`scale` moves by at most {MAX_SCALE} places")))?;
        let wrong = || EvalError("`scale` was given something that is no plain decimal number".to_owned());
        scale(&a.get(0)?.to_plain(), places).map(Some).ok_or_else(wrong)
    }),
    entry("round", &[TEXT_OR_NUMBER, NUMBER], Type::Number, |a, _| {
        let places = a.get(1)?.as_int().filter(|places| (0..=MAX_SCALE).contains(places));
        let places = places.ok_or_else(|| EvalError(format!("`round` leaves 0 to {MAX_SCALE} places")))?;
        let wrong = || EvalError("`round` was given something that is no plain decimal number".to_owned());
        round(&a.get(0)?.to_plain(), places).map(Some).ok_or_else(wrong)
    }),
    entry("integer", &[TEXT_OR_NUMBER], Type::Number, |a, _| {
        let text = a.get(0)?.to_plain();
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let wrong = || EvalError("`integer` was given something that is no whole number".to_owned());
        text.parse().ok().filter(|_| plain).map(|number| Some(Value::Int(number))).ok_or_else(wrong)
    }),
    // Times.
    Entry {
        required: 1,
        ..entry("time", &[TEXT, TEXT], Type::Text, |a, _| {
            let text = a.text(0)?;
            let at = if a.is_nothing(1) { times::instant(text) } else { times::formatted(text, a.text(1)?) };
            shown(at, "time")
        })
    },
    entry("from_unix", &[TEXT_OR_NUMBER], Type::Text, |a, _| shown(Timestamp::from_second(a.integer(0)?).ok(), "from_unix")),
    entry("from_unix_ms", &[TEXT_OR_NUMBER], Type::Text, |a, _| {
        shown(Timestamp::from_millisecond(a.integer(0)?).ok(), "from_unix_ms")
    }),
    entry("unix", &[TEXT], Type::Number, |a, _| Ok(Some(Value::Int(a.instant(0)?.as_second())))),
    entry("unix_ms", &[TEXT], Type::Number, |a, _| Ok(Some(Value::Int(a.instant(0)?.as_millisecond())))),
    entry("format_time", &[TEXT, TEXT], Type::Text, |a, _| {
        let wrong = |_| EvalError("`format_time` was given a format that cannot be written".to_owned());
        jiff::fmt::strtime::format(a.text(1)?, a.instant(0)?).map(|text| Some(text.into())).map_err(wrong)
    }),
    entry("date", &[TEXT], Type::Text, |a, _| Ok(Some(a.instant(0)?.strftime("%Y-%m-%d").to_string().into()))),
    entry("shift", &[TEXT, TEXT], Type::Text, |a, _| {
        let wrong = || EvalError("`shift` takes a span such as '-90d'".to_owned());
        let by = times::parse_duration(a.text(1)?).ok_or_else(wrong)?;
        shown(a.instant(0)?.checked_add(by).ok(), "shift")
    }),
    Entry { takes_nothing: true, ..entry("now", &[], Type::Text, |_, scope| Ok(Some(scope.now().to_string().into()))) },
];

impl Function {
    pub(super) fn named(name: &str) -> Option<Self> {
        FUNCTIONS.iter().find(|entry| entry.name == name).map(Self)
    }

    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        FUNCTIONS.iter().map(|entry| entry.name)
    }

    pub(super) fn name(self) -> &'static str {
        self.0.name
    }

    pub(super) fn parameters(self) -> impl Iterator<Item = &'static [Type]> {
        self.0.parameters.iter().copied()
    }

    pub(super) fn gives(self) -> Type {
        self.0.gives
    }

    pub(super) fn arity(self, at: usize, given: usize) -> Result<(), ExprError> {
        let Entry { name, parameters, required, .. } = self.0;
        if (*required..=parameters.len()).contains(&given) {
            return Ok(());
        }
        let most = parameters.len();
        let wanted = if *required == most { most.to_string() } else { format!("{required} to {most}") };
        Err(ExprError::new(at, format!("`{name}` takes {wanted} values, not {given}")))
    }

    pub(super) fn call(self, arguments: &[Found<'_>], scope: &Scope<'_>) -> Result<Option<Value>, EvalError> {
        if !self.0.takes_nothing {
            match arguments.first().and_then(Option::as_deref) {
                None => return Ok(None),
                Some(Value::Null) => return Ok(Some(Value::Null)),
                Some(_) => {}
            }
        }
        (self.0.body)(&Arguments { name: self.0.name, values: arguments }, scope)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name)
    }
}

struct Arguments<'a> {
    name: &'static str,
    values: &'a [Found<'a>],
}

impl Arguments<'_> {
    fn found(&self, index: usize) -> Option<&Value> {
        self.values.get(index).and_then(|value| value.as_ref()).map(Cow::as_ref)
    }

    fn is_nothing(&self, index: usize) -> bool {
        self.found(index).is_none_or(Value::is_null)
    }

    fn get(&self, index: usize) -> Result<&Value, EvalError> {
        self.found(index).ok_or_else(|| self.wrong(index, "something"))
    }

    fn wrong(&self, index: usize, wanted: &str) -> EvalError {
        EvalError(format!("`{}` needs {wanted} as its value {}", self.name, index + 1))
    }

    fn text(&self, index: usize) -> Result<&str, EvalError> {
        self.found(index).and_then(Value::as_str).ok_or_else(|| self.wrong(index, "text"))
    }

    fn list(&self, index: usize) -> Result<&[Value], EvalError> {
        self.found(index).and_then(Value::as_list).ok_or_else(|| self.wrong(index, "a list"))
    }

    fn map(&self, index: usize) -> Result<&Map, EvalError> {
        self.found(index).and_then(Value::as_map).ok_or_else(|| self.wrong(index, "keys and values"))
    }

    fn instant(&self, index: usize) -> Result<Timestamp, EvalError> {
        times::instant(self.text(index)?).ok_or_else(|| self.wrong(index, "a time"))
    }

    fn integer(&self, index: usize) -> Result<i64, EvalError> {
        let text = self.get(index)?.to_plain();
        // A fraction of the unit is dropped: nothing below it is asked for.
        let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
        whole.parse().map_err(|_| self.wrong(index, "a whole number"))
    }
}

fn shown(at: Option<Timestamp>, name: &str) -> Result<Option<Value>, EvalError> {
    let at = at.ok_or_else(|| EvalError(format!("`{name}` was given something that is no time")))?;
    Ok(Some(at.to_string().into()))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => text.trim().is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Bool(_) | Value::Int(_) | Value::Number(_) => false,
    }
}

fn path(text: &str) -> Vec<&str> {
    text.split('.').collect()
}

fn matches(item: &Value, path: &[&str], wanted: Option<&Value>) -> bool {
    match (item.at(path), wanted) {
        (Some(found), Some(wanted)) => same(found, wanted),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Rows as CSV with a header of all their keys. `null` stands where a row says null; where it lacks a key, nothing stands.
fn csv(rows: &[Value], null: &str) -> Result<String, EvalError> {
    let rows = rows.iter().map(|row| row.as_map().ok_or_else(|| EvalError("`csv` takes a list of keys with values".to_owned())));
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<&str> = rows.iter().flat_map(|row| row.iter().map(|(name, _)| name)).collect();
    names.sort_unstable();
    names.dedup();
    let cell = |row: &Map, name: &&str| match row.get(name) {
        None => String::new(),
        Some(Value::Null) => null.to_owned(),
        Some(value) => value.to_plain(),
    };
    let broken = |_| EvalError("`csv` was given what cannot be written".to_owned());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&names).map_err(broken)?;
    for row in rows {
        writer.write_record(names.iter().map(|name| cell(row, name))).map_err(broken)?;
    }
    let bytes = writer.into_inner().map_err(|_| EvalError("`csv` was given what cannot be written".to_owned()))?;
    String::from_utf8(bytes).map_err(|_| EvalError("`csv` was given what cannot be written".to_owned()))
}

fn url_param(text: &str, name: &str) -> Option<Value> {
    let query = text.split_once('?')?.1;
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned().into())
}

/// The greatest or least of a list, without what is null; nothing where there is none.
fn extreme(items: &[Value], further: fn(Ordering) -> bool) -> Result<Option<Value>, EvalError> {
    let mut best: Option<&Value> = None;
    for item in items.iter().filter(|item| !item.is_null()) {
        let further = match best {
            None => true,
            Some(best) => order(item, best)
                .map(further)
                .ok_or_else(|| EvalError("two values that have no order are compared".to_owned()))?,
        };
        if further {
            best = Some(item);
        }
    }
    Ok(best.cloned())
}

/// The largest power of ten that a number is written with.
const MAX_EXPONENT: i64 = 64;

/// Sign, whole part and fraction of a decimal number; `1.5e-7` too, which is how JSON may write one.
fn decimal(text: &str) -> Option<(&'static str, String, String)> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let (digits, exponent) = match digits.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i64>().ok().filter(|by| by.abs() <= MAX_EXPONENT)?),
        None => (digits, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || digits.ends_with('.') {
        return None;
    }
    let (whole, fraction) = moved(whole, fraction, exponent)?;
    Some((sign, whole, fraction))
}

/// The digits with the decimal point further right.
fn moved(whole: &str, fraction: &str, places: i64) -> Option<(String, String)> {
    if places == 0 {
        return Some((whole.to_owned(), fraction.to_owned()));
    }
    let room = "0".repeat(usize::try_from(places.abs()).ok()?);
    let all = format!("{room}{whole}{fraction}{room}");
    let point = i64::try_from(room.len() + whole.len()).ok()?.checked_add(places)?;
    let (whole, fraction) = all.split_at_checked(usize::try_from(point).ok()?)?;
    Some((whole.to_owned(), fraction.to_owned()))
}

/// A number of its parts, without zeros that say nothing.
fn number(sign: &str, whole: &str, fraction: &str) -> Value {
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = fraction.trim_end_matches('0');
    let sign = if whole == "0" && fraction.is_empty() { "" } else { sign };
    let text = if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
    text.parse().map_or_else(|_| Value::Number(text.as_str().into()), Value::Int)
}

/// The number with its decimal point moved: exact, whatever its length.
fn scale(text: &str, places: i64) -> Option<Value> {
    let (sign, whole, fraction) = decimal(text)?;
    let (whole, fraction) = moved(&whole, &fraction, places)?;
    Some(number(sign, &whole, &fraction))
}

/// The number with so many decimal places; a half goes away from zero.
fn round(text: &str, places: i64) -> Option<Value> {
    let (sign, whole, fraction) = decimal(text)?;
    let Some((kept, gone)) = fraction.split_at_checked(usize::try_from(places).ok()?) else {
        return Some(number(sign, &whole, &fraction));
    };
    if gone.bytes().next().is_none_or(|digit| digit < b'5') {
        return Some(number(sign, &whole, kept));
    }
    // One more, from the last digit on.
    let mut digits: Vec<u8> = [b"0", whole.as_bytes(), kept.as_bytes()].concat();
    for digit in digits.iter_mut().rev() {
        if *digit == b'9' {
            *digit = b'0';
        } else {
            *digit += 1;
            break;
        }
    }
    let digits = String::from_utf8(digits).ok()?;
    let (whole, kept) = digits.split_at_checked(whole.len() + 1)?;
    Some(number(sign, whole, kept))
}

/// The host in a site's address, however that is written, without `www.`; empty where there is none. No other sign stands in it, so
/// that it breaks no query.
fn host(address: &str) -> String {
    let address = address.trim().to_lowercase();
    let (_, rest) = address.split_once("://").unwrap_or(("", &address));
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default();
    let plain = |sign: char| sign.is_alphanumeric() || matches!(sign, '-' | '.');
    if host.chars().all(plain) { host.strip_prefix("www.").unwrap_or(host).to_owned() } else { String::new() }
}
