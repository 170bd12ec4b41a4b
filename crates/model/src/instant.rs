//! Instants and days from text, without guessing.
//!
//! ISO 8601 is read as it stands; a time without a zone is read in the zone the source declares, else in UTC. A date such as
//! `02/03/2025` means different days to different people: it is read only when the source declares its format.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

/// How a source writes its dates.
#[derive(Debug, Clone)]
pub struct DateStyle {
    /// A strftime format tried before ISO 8601.
    pub format: Option<String>,
    /// The zone of times that name none.
    pub zone: TimeZone,
}

impl Default for DateStyle {
    fn default() -> Self {
        Self { format: None, zone: TimeZone::UTC }
    }
}

/// Why a text is not an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnInstant {
    /// It can be read in more than one way.
    #[error("the day and the month cannot be told apart: declare the format, for example `dates: {{ format: \"%d/%m/%Y\" }}`")]
    Ambiguous,
    /// It cannot be read.
    #[error("not a date: write ISO 8601 such as 2026-10-03 or 2026-10-03T14:00:00Z, or declare the format under `dates:`")]
    Unreadable,
    /// It lies more than [`MAX_AHEAD_US`] ahead.
    #[error(
        "the date lies in the future, when nothing can have happened yet: mend it, or declare the format under `dates:`; `quarantine retry` takes the row when its day has come"
    )]
    Ahead,
}

/// So far a date may lie ahead of our clock: clocks differ, and a date without a time zone may be of a place where it is tomorrow.
pub const MAX_AHEAD_US: i64 = 86_400_000_000;

impl NotAnInstant {
    /// The word by which a row is refused.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous_date",
            Self::Unreadable => "unreadable_date",
            Self::Ahead => "future_date",
        }
    }
}

/// The instant at which something happened, as [`parse`] reads it.
///
/// # Errors
/// As [`parse`]; also when it lies ahead of `now_us`.
pub fn parse_past(raw: &str, style: &DateStyle, now_us: i64) -> Result<i64, NotAnInstant> {
    let at_us = parse(raw, style)?;
    if at_us > now_us.saturating_add(MAX_AHEAD_US) { Err(NotAnInstant::Ahead) } else { Ok(at_us) }
}

/// The instant a text names, in microseconds of UTC.
///
/// # Errors
/// When it names none, or more than one.
pub fn parse(raw: &str, style: &DateStyle) -> Result<i64, NotAnInstant> {
    let text = raw.trim();
    if let Some(format) = &style.format {
        return declared(text, format, &style.zone).or_else(|| iso(text, &style.zone)).ok_or(NotAnInstant::Unreadable);
    }
    if let Some(micros) = fast_utc(text) {
        return Ok(micros);
    }
    iso(text, &style.zone).ok_or(if looks_local(text) { NotAnInstant::Ambiguous } else { NotAnInstant::Unreadable })
}

/// The day a text names: days since 1970.
///
/// # Errors
/// When it names none, or more than one.
pub fn parse_day(raw: &str, style: &DateStyle) -> Result<i32, NotAnInstant> {
    let micros = parse(raw, style)?;
    let timestamp = Timestamp::from_microsecond(micros).map_err(|_| NotAnInstant::Unreadable)?;
    Ok(day_of(timestamp.to_zoned(style.zone.clone()).date()))
}

/// Whether a strftime format is one that dates can be read by.
#[must_use]
pub fn is_format(format: &str) -> bool {
    let example = civil::date(2025, 12, 31).at(23, 59, 58, 0).to_zoned(TimeZone::UTC);
    example.is_ok_and(|example| {
        // What the format writes it must be able to read, and to a day at least.
        strtime::format(format, &example).is_ok_and(|text| declared(&text, format, &TimeZone::UTC).is_some())
    })
}

/// Days since 1970 of a date.
#[must_use]
pub fn day_of(date: civil::Date) -> i32 {
    (date - civil::date(1970, 1, 1)).get_days()
}

/// `2026-10-03T14:00:00Z`, the form nearly every machine writes, without going through a general parser.
fn fast_utc(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b' ', h1, h2, b':', i1, i2, b':', s1, s2, b'Z'] = *bytes else {
        return None;
    };
    let number = |digits: &[u8]| -> Option<i64> {
        digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    };
    let (year, month, day) = (number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?);
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[i1, i2])?, number(&[s1, s2])?);
    let date = civil::Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    (hour < 24 && minute < 60 && second < 60)
        .then(|| (i64::from(day_of(date)) * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000_000)
}

fn iso(text: &str, zone: &TimeZone) -> Option<i64> {
    if !text.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_microsecond());
    }
    let civil = text.parse::<DateTime>().ok()?;
    Some(zone.to_zoned(civil).ok()?.timestamp().as_microsecond())
}

fn declared(text: &str, format: &str, zone: &TimeZone) -> Option<i64> {
    let broken = strtime::parse(format, text).ok()?;
    if let Ok(timestamp) = broken.to_timestamp() {
        return Some(timestamp.as_microsecond());
    }
    let civil = broken.to_datetime().or_else(|_| broken.to_date().map(DateTime::from)).ok()?;
    Some(zone.to_zoned(civil).ok()?.timestamp().as_microsecond())
}

/// Whether a text has the shape of a date in some country's habit: numbers between slashes, dots or dashes, the year not first.
fn looks_local(text: &str) -> bool {
    let head = text.split([' ', 'T']).next().unwrap_or(text);
    let parts: Vec<&str> = head.split(['/', '.', '-']).collect();
    let number =
        |part: &&str, longest: usize| (1..=longest).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    matches!(parts.as_slice(), [first, second, last] if number(first, 2) && number(second, 2) && number(last, 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(micros: i64) -> String {
        Timestamp::from_microsecond(micros).unwrap().to_string()
    }

    #[test]
    fn what_has_happened_lies_not_ahead_but_for_a_day() {
        let now = parse("2026-11-20T12:00:00Z", &DateStyle::default()).unwrap();
        for (raw, expected) in [
            ("2026-11-21", Ok(now + MAX_AHEAD_US / 2)),
            ("2026-11-21T12:00:00Z", Ok(now + MAX_AHEAD_US)),
            ("2026-11-21T12:00:01Z", Err(NotAnInstant::Ahead)),
            ("2062-11-20", Err(NotAnInstant::Ahead)),
            ("soon", Err(NotAnInstant::Unreadable)),
        ] {
            assert_eq!(parse_past(raw, &DateStyle::default(), now), expected, "{raw}");
        }
        assert!(parse_past("2026-11-21", &DateStyle::default(), i64::MAX).is_ok());
    }

    #[test]
    fn iso_forms_are_read_as_they_stand() {
        let style = DateStyle::default();
        for (raw, expected) in [
            ("2025-02-28", "2025-02-28T00:00:00Z"),
            ("2025-02-28T10:00:00Z", "2025-02-28T10:00:00Z"),
            ("2025-02-28 10:00:00", "2025-02-28T10:00:00Z"),
            ("2025-02-28T10:00:00.123456+02:00", "2025-02-28T08:00:00.123456Z"),
        ] {
            assert_eq!(text(parse(raw, &style).unwrap()), expected, "{raw}");
        }
    }

    #[test]
    fn an_ambiguous_date_is_refused_until_its_format_is_declared() {
        assert_eq!(parse("02/03/2025", &DateStyle::default()), Err(NotAnInstant::Ambiguous));
        assert_eq!(parse("25.12.2025", &DateStyle::default()), Err(NotAnInstant::Ambiguous));
        let style = DateStyle { format: Some("%d/%m/%Y".to_owned()), zone: TimeZone::UTC };
        assert_eq!(text(parse("02/03/2025", &style).unwrap()), "2025-03-02T00:00:00Z");
        assert_eq!(text(parse("2025-03-02", &style).unwrap()), "2025-03-02T00:00:00Z");
    }

    #[test]
    fn dirty_text_is_refused_not_guessed() {
        for raw in ["abc", "", "2025-13-01", "20250228x", "2025-02-30T00:00:00Z", "2025-02-28T25:00:00Z"] {
            assert_eq!(parse(raw, &DateStyle::default()), Err(NotAnInstant::Unreadable), "{raw}");
        }
    }

    #[test]
    fn a_format_that_cannot_name_a_day_is_none() {
        for format in ["%d/%m/%Y", "%d.%m.%y %H:%M", "%Y%m%d", "%b %d, %Y", "%s", "%Y-%m-%dT%H:%M:%S%z"] {
            assert!(is_format(format), "{format}");
        }
        for format in ["", "dd/mm/yyyy", "%d/%m", "%H:%M", "%Q", "%"] {
            assert!(!is_format(format), "{format}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_read_in_the_declared_zone() {
        let style = DateStyle { format: None, zone: TimeZone::get("Europe/Paris").unwrap() };
        assert_eq!(text(parse("2025-07-01 12:00:00", &style).unwrap()), "2025-07-01T10:00:00Z");
    }
}
