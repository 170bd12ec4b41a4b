//! Jinja's filters and tests, and those that Airbyte adds or changes.

use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Digest as _;
use ring::{digest, hmac};

use super::eval::{Context, Eval, Fail, Given, contains};
use super::py::Py;
use super::{arithmetic, macros, methods};

pub(super) fn apply<'a>(context: &mut Context<'a>, name: &str, of: Py<'a>, args: &Given<'a>) -> Eval<'a> {
    match name {
        "default" | "d" => {
            let replace = matches!(of, Py::Undefined) || (args.truth(1, "boolean") && !of.truthy());
            return Ok(if replace {
                args.get(0, "default_value").cloned().unwrap_or_else(|| Py::from(String::new()))
            } else {
                of
            });
        }
        "int" | "float" => return number(name, &of, args),
        "list" | "length" | "count" | "join" | "map" | "select" | "reject" | "selectattr" | "rejectattr" | "sort" | "unique"
        | "reverse" | "first" | "last" | "sum" | "max" | "min" | "items" | "dictsort" | "batch" => {
            return list(context, name, &of, args);
        }
        _ => {}
    }
    match name {
        "string" | "tojson" | "base64encode" | "hash" | "hmac" if matches!(of, Py::Undefined) => return Err(Fail::Kind),
        _ => {}
    }
    text(name, of, args)
}

fn text<'a>(name: &str, of: Py<'a>, args: &Given<'a>) -> Eval<'a> {
    let plain = || of.to_text();
    Ok(Py::from(match name {
        "string" => match &of {
            Py::Str(_) => return Ok(of),
            // In quotes that the literal reader takes off again: a number stays text.
            other => format!("\"\"\"{}\"\"\"", json(other).ok_or(Fail::Kind)?),
        },
        "tojson" => json(&of).ok_or(Fail::Kind)?,
        "lower" => plain().to_lowercase(),
        "upper" => plain().to_uppercase(),
        "title" => methods::title(&plain()),
        "capitalize" => methods::capital(&plain()),
        "trim" => match args.text(0, "chars") {
            Some(set) => plain().trim_matches(|letter| set.contains(letter)).to_owned(),
            None => plain().trim().to_owned(),
        },
        "replace" => {
            let (old, new) = (args.text(0, "old").unwrap_or_default(), args.text(1, "new").unwrap_or_default());
            plain().replace(&old, &new)
        }
        "urlencode" => match of.members() {
            Some(members) => {
                let pair = |(key, value): &(Py<'_>, Py<'_>)| {
                    format!("{}={}", macros::encode(&key.to_text(), ""), macros::encode(&value.to_text(), ""))
                };
                members.iter().map(pair).collect::<Vec<_>>().join("&")
            }
            None => macros::encode(&plain(), "/"),
        },
        "base64encode" => STANDARD.encode(plain()),
        "base64decode" => {
            let bytes = STANDARD.decode(plain()).map_err(|_| Fail::new("a value is no base64"))?;
            String::from_utf8(bytes).map_err(|_| Fail::new("a value is no text in base64"))?
        }
        "base64binascii_decode" => STANDARD.encode(plain()),
        "hash" => hash(&args.text(0, "hash_type").unwrap_or_default(), &plain(), args.text(1, "salt").as_deref())?,
        "hmac" => keyed(&args.text(1, "hash_type").unwrap_or_else(|| "sha256".to_owned()), &plain(), &args.text(0, "key"))?,
        "regex_search" => regex(args)?
            .captures(&plain())
            .and_then(|found| found.get(1).map(|part| part.as_str().to_owned()))
            .unwrap_or_default(),
        "regex_replace" => {
            // Python writes `\1` where we write `${1}`.
            let with = args.text(1, "replacement").unwrap_or_default().replace('$', "$$");
            let with = regex_lite(r"\\(\d)")?.replace_all(&with, "$${$1}").into_owned();
            regex(args)?.replace_all(&plain(), with.as_str()).into_owned()
        }
        "format" => arithmetic::percent(&plain(), &Py::tuple(args.plain.clone()))?,
        "abs" => return absolute(&of),
        "round" => return round(&of, args),
        "safe" | "e" | "escape" | "forceescape" => plain(),
        "attr" => return Ok(of.item(&Py::from(args.text(0, "name").unwrap_or_default())).unwrap_or(Py::Undefined)),
        "wordcount" => return Ok(Py::Int(i128::try_from(plain().split_whitespace().count()).unwrap_or_default())),
        other => return Err(Fail::new(format!("there is no filter `{other}`"))),
    }))
}

fn json(value: &Py<'_>) -> Option<String> {
    match value {
        Py::Undefined | Py::Moment(_) | Py::Date(_) | Py::Delta(_) | Py::Calendar(_) => None,
        // Python puts a space after commas and colons.
        other => Some(spaced_json(&other.to_value())),
    }
}

/// JSON as Python's `json.dumps` spaces it.
pub(in crate::compat) fn spaced_json(value: &crate::engine::Value) -> String {
    use crate::engine::Value;
    match value {
        Value::List(items) => format!("[{}]", items.iter().map(spaced_json).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let member = |(key, value): (&str, &Value)| format!("{}: {}", Value::text(key).to_json(), spaced_json(value));
            format!("{{{}}}", map.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        other => other.to_json(),
    }
}

fn number<'a>(name: &str, of: &Py<'a>, args: &Given<'a>) -> Eval<'a> {
    if matches!(of, Py::Undefined) {
        return Err(Fail::Undefined);
    }
    let text = match of {
        Py::Str(text) => Some(text.trim().replace('_', "")),
        _ => None,
    };
    let float = || of.as_float().or_else(|| text.as_ref()?.parse::<f64>().ok());
    if name == "float" {
        return Ok(float().map_or_else(|| args.get(0, "default").cloned().unwrap_or(Py::Float(0.0)), Py::Float));
    }
    let whole = of.as_int().or_else(|| text.as_ref()?.parse().ok());
    #[expect(clippy::cast_possible_truncation, reason = "Python cuts a float here too")]
    let whole = whole.or_else(|| float().filter(|number| number.is_finite()).map(|number| number.trunc() as i128));
    Ok(whole.map_or_else(|| args.get(0, "default").cloned().unwrap_or(Py::Int(0)), Py::Int))
}

fn absolute<'a>(of: &Py<'a>) -> Eval<'a> {
    match of {
        Py::Float(number) => Ok(Py::Float(number.abs())),
        Py::Delta(micros) => Ok(Py::Delta(micros.saturating_abs())),
        other => other.as_int().map(|number| Py::Int(number.saturating_abs())).ok_or(Fail::Kind),
    }
}

fn round<'a>(of: &Py<'a>, args: &Given<'a>) -> Eval<'a> {
    let number = of.as_float().ok_or(Fail::Kind)?;
    let places = args.get(0, "precision").and_then(Py::as_int).and_then(|places| i32::try_from(places).ok()).unwrap_or(0);
    let scale = 10_f64.powi(places);
    Ok(Py::Float(match args.text(1, "method").as_deref() {
        Some("ceil") => (number * scale).ceil() / scale,
        Some("floor") => (number * scale).floor() / scale,
        // Writing rounds the exact binary value, as Python does; half to even where it is exact.
        _ => match usize::try_from(places) {
            Ok(0) => number.round_ties_even(),
            Ok(places) => format!("{number:.places$}").parse().unwrap_or(number),
            Err(_) => (number * scale).round_ties_even() / scale,
        },
    }))
}

fn hash(kind: &str, text: &str, salt: Option<&str>) -> Result<String, Fail> {
    let whole = format!("{text}{}", salt.unwrap_or_default());
    let algorithm = match kind.to_ascii_lowercase().as_str() {
        "md5" => return Ok(hex(&md5::Md5::digest(whole.as_bytes()))),
        "sha1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => &digest::SHA256,
        "sha384" => &digest::SHA384,
        "sha512" => &digest::SHA512,
        _ => return Err(Fail::new("there is no such hash; md5, sha1, sha256, sha384 and sha512 are known")),
    };
    Ok(hex(digest::digest(algorithm, whole.as_bytes()).as_ref()))
}

fn keyed(kind: &str, text: &str, key: &Option<String>) -> Result<String, Fail> {
    let algorithm = match kind {
        "sha256" => hmac::HMAC_SHA256,
        "sha512" => hmac::HMAC_SHA512,
        "sha384" => hmac::HMAC_SHA384,
        "sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        _ => return Err(Fail::new("there is no such hash for hmac; sha1, sha256, sha384 and sha512 are known")),
    };
    let key = hmac::Key::new(algorithm, key.as_deref().unwrap_or_default().as_bytes());
    Ok(hex(hmac::sign(&key, text.as_bytes()).as_ref()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn regex(args: &Given<'_>) -> Result<regex::Regex, Fail> {
    regex_lite(&args.text(0, "regex").unwrap_or_default())
}

fn regex_lite(pattern: &str) -> Result<regex::Regex, Fail> {
    regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .build()
        .map_err(|_| Fail::new("a regular expression cannot be read; look-around and back references are not supported"))
}

fn list<'a>(context: &mut Context<'a>, name: &str, of: &Py<'a>, args: &Given<'a>) -> Eval<'a> {
    let int = |number: usize| Py::Int(i128::try_from(number).unwrap_or_default());
    if matches!(name, "length" | "count") {
        return if matches!(of, Py::Undefined) { Ok(Py::Int(0)) } else { of.len().map(int).ok_or(Fail::Kind) };
    }
    if matches!(name, "items" | "dictsort") {
        let mut members = of.members().ok_or(Fail::Kind)?;
        if name == "dictsort" {
            members.sort_by(|(a, _), (b, _)| a.compare(b).unwrap_or(Ordering::Equal));
        }
        return Ok(Py::list(members.into_iter().map(|(key, value)| Py::tuple(vec![key, value])).collect()));
    }
    let mut items = of.items().ok_or(Fail::Kind)?;
    let attribute = args.named.iter().find(|(known, _)| *known == "attribute").map(|(_, value)| value.to_text());
    let key = |item: &Py<'a>| attribute.as_deref().map_or_else(|| item.clone(), |path| along(item, path));
    Ok(match name {
        "join" => {
            let between = args.text(0, "d").unwrap_or_default();
            Py::from(items.iter().map(|item| key(item).to_text()).collect::<Vec<_>>().join(&between))
        }
        "map" => match &attribute {
            Some(path) => Py::list(items.iter().map(|item| along(item, path)).collect()),
            None => {
                let (filter, rest) = args.plain.split_first().ok_or_else(|| Fail::new("`map` needs a filter or an attribute"))?;
                let (filter, rest) = (filter.to_text(), Given { plain: rest.to_vec(), named: args.named.clone() });
                let mapped: Result<Vec<_>, _> = items.into_iter().map(|item| apply(context, &filter, item, &rest)).collect();
                Py::list(mapped?)
            }
        },
        "select" | "reject" | "selectattr" | "rejectattr" => Py::list(select(name, items, args)?),
        "sort" => {
            let lower = |value: Py<'a>| match value {
                Py::Str(text) if !args.truth(1, "case_sensitive") => Py::from(text.to_lowercase()),
                other => other,
            };
            items.sort_by(|a, b| lower(key(a)).compare(&lower(key(b))).unwrap_or(Ordering::Equal));
            if args.truth(0, "reverse") {
                items.reverse();
            }
            Py::list(items)
        }
        "unique" => {
            let mut kept: Vec<Py<'a>> = Vec::new();
            for item in items {
                if !kept.iter().any(|known| key(known).equals(&key(&item))) {
                    kept.push(item);
                }
            }
            Py::list(kept)
        }
        "reverse" => {
            items.reverse();
            if matches!(of, Py::Str(_)) { Py::from(items.iter().map(Py::to_text).collect::<String>()) } else { Py::list(items) }
        }
        "first" => items.into_iter().next().unwrap_or(Py::Undefined),
        "last" => items.pop().unwrap_or(Py::Undefined),
        "sum" => {
            let start = args.named.iter().find(|(known, _)| *known == "start").map_or(Py::Int(0), |(_, value)| value.clone());
            let mut sum = start;
            for item in &items {
                sum = arithmetic::binary(super::tree::Op::Add, &sum, &key(item))?;
            }
            sum
        }
        "max" | "min" if items.is_empty() => Py::Undefined,
        "max" | "min" => macros::extreme(name == "max", &[Py::list(items.iter().map(key).collect())])?,
        "batch" => {
            let size = args.get(0, "linecount").and_then(Py::as_int).and_then(|size| usize::try_from(size).ok());
            let size = size.filter(|size| *size > 0).ok_or_else(|| Fail::new("`batch` needs a size"))?;
            Py::list(items.chunks(size).map(|chunk| Py::list(chunk.to_vec())).collect())
        }
        _ => Py::list(items),
    })
}

/// What stands at a path such as `a.b.0`.
fn along<'a>(item: &Py<'a>, path: &str) -> Py<'a> {
    path.split('.').fold(item.clone(), |value, step| {
        let key = step.parse().map_or_else(|_| Py::from(step.to_owned()), Py::Int);
        value.item(&key).unwrap_or(Py::Undefined)
    })
}

fn select<'a>(name: &str, items: Vec<Py<'a>>, args: &Given<'a>) -> Result<Vec<Py<'a>>, Fail> {
    let wanted = name.starts_with("select");
    let by_attribute = name.ends_with("attr");
    let mut plain = args.plain.iter();
    let path = if by_attribute { plain.next().map(Py::to_text) } else { None };
    let test_name = plain.next().map(Py::to_text);
    let rest = Given { plain: plain.cloned().collect(), named: Vec::new() };
    let mut kept = Vec::new();
    for item in items {
        let value = path.as_deref().map_or_else(|| item.clone(), |path| along(&item, path));
        let fits = match &test_name {
            Some(name) => test(name, &value, &rest)?,
            None => value.truthy(),
        };
        if fits == wanted {
            kept.push(item);
        }
    }
    Ok(kept)
}

pub(super) fn test(name: &str, of: &Py<'_>, args: &Given<'_>) -> Result<bool, Fail> {
    let operand = || args.plain.first().ok_or_else(|| Fail::new(format!("the test `{name}` needs a value")));
    let order = || -> Result<Ordering, Fail> { of.compare(operand()?).ok_or(Fail::Kind) };
    Ok(match name {
        "defined" => !matches!(of, Py::Undefined),
        "undefined" => matches!(of, Py::Undefined),
        "none" => matches!(of, Py::None),
        "string" => matches!(of, Py::Str(_)),
        "number" => of.as_float().is_some(),
        "integer" => matches!(of, Py::Int(_) | Py::Big(_)),
        "float" => matches!(of, Py::Float(_)),
        "boolean" => matches!(of, Py::Bool(_)),
        "true" => matches!(of, Py::Bool(true)),
        "false" => matches!(of, Py::Bool(false)),
        "mapping" => of.is_mapping(),
        "sequence" => of.is_sequence() || of.is_mapping() || matches!(of, Py::Str(_)),
        "iterable" => of.items().is_some(),
        "odd" | "even" => of.as_int().ok_or(Fail::Kind)?.rem_euclid(2) == i128::from(name == "odd"),
        "divisibleby" => {
            let (number, by) = (of.as_int(), operand()?.as_int());
            let (number, by) = number.zip(by.filter(|by| *by != 0)).ok_or(Fail::Kind)?;
            number.checked_rem(by) == Some(0)
        }
        "lower" | "upper" => {
            let text = of.to_text();
            text == if name == "lower" { text.to_lowercase() } else { text.to_uppercase() }
        }
        "eq" | "equalto" | "==" | "sameas" => of.equals(operand()?),
        "ne" | "!=" => !of.equals(operand()?),
        "lt" | "lessthan" | "<" => order()? == Ordering::Less,
        "gt" | "greaterthan" | ">" => order()? == Ordering::Greater,
        "le" | "<=" => order()? != Ordering::Greater,
        "ge" | ">=" => order()? != Ordering::Less,
        "in" => contains(operand()?, of)?,
        other => return Err(Fail::new(format!("there is no test `{other}`"))),
    })
}
