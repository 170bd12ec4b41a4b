//! The methods and attributes of Python's types, as far as manifests use them.

use std::borrow::Cow;

use super::arithmetic;
use super::eval::{Eval, Fail, Given};
use super::py::Py;
use super::time::{self, Moment};

/// An attribute that is no method.
pub(super) fn property<'a>(of: &Py<'a>, name: &str) -> Option<Py<'a>> {
    let int = |number: i64| Some(Py::Int(number.into()));
    match of {
        Py::Slice(slice) => match name {
            "partition" => Some(Py::MapRef(&slice.partition)),
            "cursor_slice" => Some(Py::MapRef(&slice.interval)),
            "extra_fields" => Some(Py::MapRef(&slice.extra)),
            _ => None,
        },
        Py::Delta(micros) => match name {
            "days" => int(micros.div_euclid(86_400_000_000)),
            "seconds" => int(micros.rem_euclid(86_400_000_000) / 1_000_000),
            "microseconds" => int(micros.rem_euclid(1_000_000)),
            _ => None,
        },
        Py::Moment(Moment { civil, .. }) => match name {
            "hour" => int(civil.hour().into()),
            "minute" => int(civil.minute().into()),
            "second" => int(civil.second().into()),
            "microsecond" => int(i64::from(civil.subsec_nanosecond() / 1_000)),
            _ => property(&Py::Date(civil.date()), name),
        },
        Py::Date(date) => match name {
            "year" => int(date.year().into()),
            "month" => int(date.month().into()),
            "day" => int(date.day().into()),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn call<'a>(of: &Py<'a>, name: &str, args: &Given<'a>) -> Eval<'a> {
    let found = match of {
        Py::Undefined => return Err(Fail::Undefined),
        Py::Str(text) => return string(text, name, args),
        Py::Moment(moment) => instant(*moment, name, args),
        Py::Date(date) => day(*date, name, args),
        #[expect(clippy::cast_precision_loss, reason = "Python gives a float")]
        Py::Delta(micros) if name == "total_seconds" => Some(Py::Float(*micros as f64 / 1e6)),
        _ if of.is_mapping() => mapping(of, name, args),
        _ if of.is_sequence() => sequence(of, name, args),
        _ => None,
    };
    // Jinja takes an attribute that is not there for undefined, and so does a call of it.
    found.ok_or(Fail::Undefined)
}

fn mapping<'a>(of: &Py<'a>, name: &str, args: &Given<'a>) -> Option<Py<'a>> {
    match name {
        "get" => {
            let key = args.plain.first()?;
            Some(of.item(key).unwrap_or_else(|| args.plain.get(1).cloned().unwrap_or(Py::None)))
        }
        "items" => Some(Py::list(of.members()?.into_iter().map(|(key, value)| Py::tuple(vec![key, value])).collect())),
        "keys" => Some(Py::list(of.items()?)),
        "values" => Some(Py::list(of.members()?.into_iter().map(|(_, value)| value).collect())),
        "copy" => Some(of.clone()),
        _ => None,
    }
}

fn sequence<'a>(of: &Py<'a>, name: &str, args: &Given<'a>) -> Option<Py<'a>> {
    let items = of.items()?;
    let wanted = args.plain.first()?;
    let number = |count: usize| Py::Int(i128::try_from(count).unwrap_or_default());
    match name {
        "index" => items.iter().position(|item| item.equals(wanted)).map(number),
        "count" => Some(number(items.iter().filter(|item| item.equals(wanted)).count())),
        _ => None,
    }
}

fn instant<'a>(moment: Moment, name: &str, args: &Given<'a>) -> Option<Py<'a>> {
    match name {
        "strftime" => Some(Py::from(time::format(&moment, &args.text(0, "format")?))),
        "isoformat" => Some(Py::from(moment.to_text('T'))),
        #[expect(clippy::cast_precision_loss, reason = "Python gives a float")]
        "timestamp" => Some(Py::Float(moment.micros() as f64 / 1e6)),
        "date" => Some(Py::Date(moment.civil.date())),
        "weekday" => Some(Py::Int(moment.civil.weekday().to_monday_zero_offset().into())),
        "isoweekday" => Some(Py::Int(moment.civil.weekday().to_monday_one_offset().into())),
        "replace" => replaced(moment, args).map(Py::Moment),
        _ => None,
    }
}

fn replaced(moment: Moment, args: &Given<'_>) -> Option<Moment> {
    let mut with = moment.civil.with();
    for (name, value) in &args.named {
        let number = value.as_int();
        let small = number.and_then(|number| i8::try_from(number).ok());
        with = match *name {
            "year" => with.year(i16::try_from(number?).ok()?),
            "month" => with.month(small?),
            "day" => with.day(small?),
            "hour" => with.hour(small?),
            "minute" => with.minute(small?),
            "second" => with.second(small?),
            "microsecond" => with.subsec_nanosecond(i32::try_from(number?.checked_mul(1_000)?).ok()?),
            _ => return None,
        };
    }
    Some(Moment { civil: with.build().ok()?, ..moment })
}

fn day<'a>(date: jiff::civil::Date, name: &str, args: &Given<'a>) -> Option<Py<'a>> {
    let moment = Moment { civil: date.to_datetime(jiff::civil::Time::midnight()), offset_secs: None };
    match name {
        "isoformat" => Some(Py::from(date.to_string())),
        "replace" => replaced(moment, args).map(|moment| Py::Date(moment.civil.date())),
        "strftime" | "weekday" | "isoweekday" => instant(moment, name, args),
        _ => None,
    }
}

fn string<'a>(text: &Cow<'a, str>, name: &str, args: &Given<'a>) -> Eval<'a> {
    let arg = |index: usize| args.text(index, "");
    let first = || arg(0).ok_or(Fail::Kind);
    let trim = |letter: char| match arg(0) {
        Some(set) => set.contains(letter),
        None => letter.is_whitespace(),
    };
    let limit = |index| args.get(index, "maxsplit").and_then(Py::as_int).and_then(|limit| usize::try_from(limit).ok());
    Ok(match name {
        "upper" => Py::from(text.to_uppercase()),
        "lower" | "casefold" => Py::from(text.to_lowercase()),
        "strip" => Py::from(text.trim_matches(trim).to_owned()),
        "lstrip" => Py::from(text.trim_start_matches(trim).to_owned()),
        "rstrip" => Py::from(text.trim_end_matches(trim).to_owned()),
        "title" => Py::from(title(text)),
        "capitalize" => Py::from(capital(text)),
        "startswith" => Py::Bool(either(args, |part| text.starts_with(part))),
        "endswith" => Py::Bool(either(args, |part| text.ends_with(part))),
        "split" => split(text, args.get(0, "sep"), limit(1)),
        "rsplit" => match (args.get(0, "sep"), limit(1)) {
            (Some(Py::Str(sep)), Some(limit)) if !sep.is_empty() => {
                let mut parts: Vec<_> = text.rsplitn(limit + 1, &**sep).map(|part| Py::from(part.to_owned())).collect();
                parts.reverse();
                Py::list(parts)
            }
            (sep, _) => split(text, sep, None),
        },
        "splitlines" => Py::list(text.lines().map(|line| Py::from(line.to_owned())).collect()),
        "replace" => Py::from(text.replace(&first()?, &arg(1).unwrap_or_default())),
        "join" => {
            let items = args.plain.first().and_then(Py::items).ok_or(Fail::Kind)?;
            let parts: Option<Vec<String>> =
                items.iter().map(|item| matches!(item, Py::Str(_)).then(|| item.to_text())).collect();
            Py::from(parts.ok_or(Fail::Kind)?.join(text))
        }
        "find" => found(text.find(&first()?), text),
        "rfind" => found(text.rfind(&first()?), text),
        "count" => Py::Int(i128::try_from(text.matches(&first()?).count()).unwrap_or_default()),
        "isdigit" | "isnumeric" | "isdecimal" => Py::Bool(!text.is_empty() && text.chars().all(char::is_numeric)),
        "isalpha" => Py::Bool(!text.is_empty() && text.chars().all(char::is_alphabetic)),
        "isalnum" => Py::Bool(!text.is_empty() && text.chars().all(char::is_alphanumeric)),
        "isupper" => Py::Bool(text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)),
        "islower" => Py::Bool(text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)),
        "zfill" => {
            let width = args.plain.first().and_then(Py::as_int).and_then(|width| usize::try_from(width).ok()).unwrap_or(0);
            Py::from(format!("{text:0>width$}", width = width.min(1_000)))
        }
        "removeprefix" => Py::from(text.strip_prefix(&*first()?).unwrap_or(text).to_owned()),
        "removesuffix" => Py::from(text.strip_suffix(&*first()?).unwrap_or(text).to_owned()),
        "format" => Py::from(braces(text, args)?),
        "encode" | "decode" => Py::Str(text.clone()),
        _ => return Err(Fail::Undefined),
    })
}

fn either(args: &Given<'_>, test: impl Fn(&str) -> bool) -> bool {
    match args.plain.first() {
        Some(Py::Str(part)) => test(part),
        Some(many) => many.items().unwrap_or_default().iter().any(|part| test(&part.to_text())),
        None => false,
    }
}

fn found<'a>(at: Option<usize>, text: &str) -> Py<'a> {
    let letters = at.and_then(|at| text.get(..at)).map(|before| before.chars().count());
    Py::Int(letters.and_then(|letters| i128::try_from(letters).ok()).unwrap_or(-1))
}

fn split<'a>(text: &str, sep: Option<&Py<'a>>, limit: Option<usize>) -> Py<'a> {
    let own = |part: &str| Py::from(part.to_owned());
    Py::list(match (sep, limit) {
        (Some(Py::Str(sep)), Some(limit)) if !sep.is_empty() => text.splitn(limit + 1, &**sep).map(own).collect(),
        (Some(Py::Str(sep)), None) if !sep.is_empty() => text.split(&**sep).map(own).collect(),
        _ => text.split_whitespace().map(own).collect(),
    })
}

pub(super) fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::new();
    for letter in text.chars() {
        if inside {
            out.extend(letter.to_lowercase());
        } else {
            out.extend(letter.to_uppercase());
        }
        inside = letter.is_alphabetic();
    }
    out
}

pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    first + &letters.as_str().to_lowercase()
}

/// `'{}-{name}'.format(values)`.
fn braces(text: &str, args: &Given<'_>) -> Result<String, Fail> {
    let mut out = String::new();
    let mut next = 0;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '{' | '}' if letters.peek() == Some(&letter) => {
                letters.next();
                out.push(letter);
            }
            '{' => {
                let field: String = letters.by_ref().take_while(|next| *next != '}').collect();
                let (name, spec) = field.split_once(':').unwrap_or((&field, ""));
                let index = if name.is_empty() {
                    next += 1;
                    next - 1
                } else {
                    name.parse().unwrap_or(usize::MAX)
                };
                let value = args.get(index, name).ok_or_else(|| Fail::new("a format has not enough values"))?;
                let code = spec.chars().next_back().filter(char::is_ascii_alphabetic);
                let width = spec.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
                out.push_str(&if spec.is_empty() {
                    value.to_text()
                } else {
                    arithmetic::padded(value, width, code.unwrap_or('s'))?
                });
            }
            letter => out.push(letter),
        }
    }
    Ok(out)
}
