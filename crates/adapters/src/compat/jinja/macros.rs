//! The functions that Airbyte adds to templates.

use super::eval::{Context, Eval, Fail, Given};
use super::py::Py;
use super::time::{self, Moment};

pub(super) fn call<'a>(context: &Context<'a>, name: &str, args: &Given<'a>) -> Eval<'a> {
    let now = || Moment::utc(context.scope.now);
    match name {
        "now_utc" => Ok(Py::Moment(now())),
        "today_utc" => Ok(Py::Date(now().civil.date())),
        "today_with_timezone" => {
            let zone = args.text(0, "timezone").unwrap_or_default();
            let zone = jiff::tz::TimeZone::get(&zone).map_err(|_| Fail::new("there is no such time zone"))?;
            Ok(Py::Date(context.scope.now.to_zoned(zone).date()))
        }
        "day_delta" => {
            let days = args.get(0, "num_days").and_then(Py::as_int).and_then(|days| i64::try_from(days).ok());
            let moved = days.and_then(|days| jiff::Span::new().try_days(days).ok()).and_then(|span| now().moved(span));
            let format = args.text(1, "format").unwrap_or_else(|| "%Y-%m-%dT%H:%M:%S.%f%z".to_owned());
            moved.map(|at| Py::from(time::format(&at, &format))).ok_or_else(|| Fail::new("day_delta needs a number of days"))
        }
        "duration" => {
            let span = time::duration(&args.text(0, "datestring").unwrap_or_default());
            let span = span.ok_or_else(|| Fail::new("what duration was given is no ISO 8601 duration"))?;
            Ok(time::fixed_micros(&span).map_or(Py::Calendar(span), Py::Delta))
        }
        "timestamp" => timestamp(args.get(0, "dt")),
        "str_to_datetime" => {
            let at = moment(args.get(0, "s"))?;
            Moment::from_micros(at.micros(), Some(0)).map(Py::Moment).ok_or_else(|| Fail::new("a value is no date"))
        }
        "format_datetime" => format_datetime(args),
        "max" | "min" => extreme(name == "max", &args.plain),
        "sanitize_url" => Ok(Py::from(encode(&args.text(0, "value").unwrap_or_default(), ""))),
        "camel_case_to_snake_case" => Ok(Py::from(snake(&args.text(0, "value").unwrap_or_default()))),
        "generate_uuid" => Err(Fail::new("generate_uuid is not supported: a read would not be repeatable")),
        other => Err(Fail::new(format!("there is no function `{other}`"))),
    }
}

fn moment(value: Option<&Py<'_>>) -> Result<Moment, Fail> {
    let found = match value {
        Some(Py::Moment(moment)) => Some(*moment),
        Some(Py::Date(date)) => Some(Moment { civil: date.to_datetime(jiff::civil::Time::midnight()), offset_secs: Some(0) }),
        Some(Py::Int(number)) => i64::try_from(*number)
            .ok()
            .and_then(|secs| secs.checked_mul(1_000_000))
            .and_then(|at| Moment::from_micros(at, Some(0))),
        #[expect(clippy::cast_possible_truncation, reason = "an instant far beyond any calendar is refused by the next step")]
        Some(Py::Float(number)) => Moment::from_micros((number * 1e6).round() as i64, Some(0)),
        Some(Py::Str(text)) => time::parse_any(text),
        Some(Py::Undefined) => return Err(Fail::Undefined),
        _ => None,
    };
    found.ok_or_else(|| Fail::new("a value is no date"))
}

fn timestamp<'a>(value: Option<&Py<'a>>) -> Eval<'a> {
    match value {
        Some(Py::Int(number)) => Ok(Py::Int(*number)),
        #[expect(clippy::cast_possible_truncation, reason = "Python cuts a float here too")]
        Some(Py::Float(number)) => Ok(Py::Int(number.trunc() as i128)),
        #[expect(clippy::cast_precision_loss, reason = "Python's timestamps are floats")]
        other => Ok(Py::Float(moment(other)?.micros() as f64 / 1e6)),
    }
}

fn format_datetime<'a>(args: &Given<'a>) -> Eval<'a> {
    let format = args.text(1, "format").unwrap_or_default();
    let at = match (args.get(0, "dt"), args.get(2, "input_format")) {
        (Some(Py::Str(text)), Some(Py::Str(input))) => {
            time::parse(text, input).ok_or_else(|| Fail::new("a value does not fit its input format"))?
        }
        (value, _) => moment(value)?,
    };
    Ok(Py::from(time::format(&at, &format)))
}

pub(super) fn extreme<'a>(most: bool, plain: &[Py<'a>]) -> Eval<'a> {
    let items = match plain {
        [one] => one.items().ok_or_else(|| Fail::new("min and max need a list or several values"))?,
        many => many.to_vec(),
    };
    let mut items = items.into_iter();
    let mut best = items.next().ok_or_else(|| Fail::new("min and max need at least one value"))?;
    for item in items {
        let order = item.compare(&best).ok_or_else(|| Fail::new("min and max need values of one kind"))?;
        if order == if most { std::cmp::Ordering::Greater } else { std::cmp::Ordering::Less } {
            best = item;
        }
    }
    Ok(best)
}

/// As Python's `quote_plus` encodes, leaving `safe` as it is.
pub(super) fn encode(text: &str, safe: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(char::from(byte)),
            b' ' if safe.is_empty() => out.push('+'),
            _ if safe.as_bytes().contains(&byte) => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn snake(text: &str) -> String {
    let mut out = String::new();
    for (index, letter) in text.chars().enumerate() {
        if letter.is_uppercase() && index > 0 {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}
