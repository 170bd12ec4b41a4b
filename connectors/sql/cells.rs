//! Values on their way from a database to text.

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};

/// What a column holds, as far as its text depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole number.
    Integer,
    /// An instant; the database gives it in UTC.
    Instant,
    /// A date with a time of day and no zone.
    DateTime,
    /// Bytes, which no field of ours can be.
    Binary,
    /// Anything else, as the database writes it.
    Other,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cell {
    Null,
    /// A whole number, where the database tells it from text row by row.
    Integer(i64),
    /// The database's text.
    Text(String),
    /// Bytes.
    Binary,
}

impl Cell {
    /// The value as the database writes it.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Null | Self::Binary => None,
            Self::Integer(number) => Some(number.to_string()),
            Self::Text(text) => Some(text.clone()),
        }
    }

    /// The value as a field: an instant as RFC 3339 in UTC, a date with a time as ISO 8601, all else as the database writes it.
    pub(super) fn field(&self, kind: Kind) -> Option<String> {
        let text = self.text()?;
        Some(match kind {
            Kind::Instant => instant(&text, "Z"),
            Kind::DateTime => instant(&text, ""),
            Kind::Integer | Kind::Binary | Kind::Other => text,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Null | Self::Integer(_) | Self::Binary => 8,
        }
    }

    /// Whether a mark of deletion is set.
    pub(super) fn is_set(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Integer(number) => *number != 0,
            Self::Text(text) => !matches!(text.trim().to_lowercase().as_str(), "" | "0" | "f" | "false" | "n" | "no"),
            Self::Binary => true,
        }
    }
}

/// `2026-01-03 10:30:00+00` as `2026-01-03T10:30:00Z`. What has another shape, such as `infinity`, stays.
fn instant(text: &str, zone: &str) -> String {
    let local = text.strip_suffix("+00").unwrap_or(text);
    match local.split_once(' ') {
        Some((day, time)) if day.len() == 10 && time.len() >= 8 && !time.contains([' ', '+', '-']) => {
            format!("{day}T{time}{zone}")
        }
        _ => text.to_owned(),
    }
}

/// The bound a read starts at: `secs` before a time, written as the time is but without fraction and zone, so that it also sorts
/// before it as text. `None` when the text is no time.
pub(super) fn earlier(text: &str, secs: u32) -> Option<String> {
    let (day, rest) = (text.get(..10)?, text.get(10..)?);
    let day: Date = day.parse().ok()?;
    let separator = match rest.chars().next() {
        None => {
            return Some(
                DateTime::from_parts(day, jiff::civil::Time::midnight())
                    .checked_sub(i64::from(secs).seconds())
                    .ok()?
                    .date()
                    .to_string(),
            );
        }
        Some(separator @ (' ' | 'T')) => separator,
        Some(_) => return None,
    };
    let at: DateTime = format!("{day}T{}", rest.get(1..9)?).parse().ok()?;
    let start = at.checked_sub(i64::from(secs).seconds()).ok()?;
    Some(format!("{}{separator}{:02}:{:02}:{:02}", start.date(), start.hour(), start.minute(), start.second()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn instants_are_utc_and_other_shapes_stay() {
        let field = |text: &str, kind| Cell::Text(text.to_owned()).field(kind).unwrap();
        for (text, expected) in [
            ("2026-01-03 10:30:00+00", "2026-01-03T10:30:00Z"),
            ("2026-01-03 10:30:00.123456+00", "2026-01-03T10:30:00.123456Z"),
            ("infinity", "infinity"),
            ("0044-03-15 10:00:00+00 BC", "0044-03-15 10:00:00+00 BC"),
            ("2026-01-03", "2026-01-03"),
        ] {
            assert_eq!(field(text, Kind::Instant), expected);
        }
        assert_eq!(field("2026-01-03 10:30:00", Kind::DateTime), "2026-01-03T10:30:00");
        assert_eq!(field("2026-01-03 10:30:00", Kind::Other), "2026-01-03 10:30:00");
    }

    #[test]
    fn a_read_starts_before_the_newest_time_in_its_own_shape() {
        for (text, secs, expected) in [
            ("2026-01-01 00:00:30.5+00", 60, "2025-12-31 23:59:30"),
            ("2026-01-01T00:00:30Z", 0, "2026-01-01T00:00:30"),
            ("2024-03-01", 86_400, "2024-02-29"),
            ("2024-03-01", 1, "2024-02-29"),
        ] {
            assert_eq!(earlier(text, secs).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "yesterday", "1700000000", "2026-13-01", "2026-01-01x10:00:00", "2026-01-01 10", "é2026-01-01"] {
            assert_eq!(earlier(text, 1), None, "{text}");
        }
    }

    #[test]
    fn marks_of_deletion_are_told_from_their_absence() {
        for set in ["true", "t", "1", "2026-01-01", "yes"] {
            assert!(Cell::Text(set.to_owned()).is_set(), "{set}");
        }
        for unset in ["false", "f", "0", "", " no "] {
            assert!(!Cell::Text(unset.to_owned()).is_set(), "{unset}");
        }
        assert!(!Cell::Null.is_set() && Cell::Integer(1).is_set() && !Cell::Integer(0).is_set());
    }

    proptest! {
        #[test]
        fn the_start_never_sorts_after_the_time(secs in 0_i64..4_000_000_000, overlap in 0_u32..1_000_000, fraction in "(\\.[0-9]{1,6})?") {
            let at = jiff::Timestamp::from_second(secs).unwrap().to_zoned(jiff::tz::TimeZone::UTC).datetime();
            let text = format!("{} {:02}:{:02}:{:02}{fraction}", at.date(), at.hour(), at.minute(), at.second());
            let start = earlier(&text, overlap).unwrap();
            prop_assert!(start <= text, "{} {}", start, text);
        }
    }
}
