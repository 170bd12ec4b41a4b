//! Times in expressions: text of RFC 3339 in UTC, made of what vendors write.

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The longest span that is read; more is a mistake.
const MAX_DAYS: i64 = 36_500;

/// An instant, as text of RFC 3339 with an offset, or a day (its beginning in UTC).
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let utc = |at: civil::DateTime| at.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
    match text.parse::<civil::DateTime>() {
        Ok(at) => utc(at),
        Err(_) => utc(text.parse::<civil::Date>().ok()?.at(0, 0, 0, 0)),
    }
}

/// An instant in a local form, in UTC unless the form names an offset.
pub(crate) fn formatted(text: &str, format: &str) -> Option<Timestamp> {
    let parsed = jiff::fmt::strtime::parse(format, text.trim()).ok()?;
    if let Ok(at) = parsed.to_timestamp() {
        return Some(at);
    }
    let at = parsed.to_datetime().ok().or_else(|| Some(parsed.to_date().ok()?.at(0, 0, 0, 0)))?;
    at.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp())
}

/// A span such as `90d`, `12h`, `30m`, `5s` or `250ms`, with `-` before it for the past.
pub(crate) fn parse_duration(text: &str) -> Option<SignedDuration> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: i64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(SignedDuration::from_millis(if negative { -number } else { number })),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    let seconds = number.checked_mul(seconds).filter(|seconds| *seconds <= MAX_DAYS * 86_400)?;
    Some(SignedDuration::from_secs(if negative { -seconds } else { seconds }))
}
