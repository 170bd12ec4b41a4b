//! Values as text, in the form that DuckDB writes them into the catalog.

use jiff::civil::date;
use jiff::{Span, Timestamp};

/// An instant, such as `2026-01-02 03:04:05.678+00`; `None` outside of the years 1 to 9999.
pub(crate) fn instant_text(microseconds: i64) -> Option<String> {
    let instant = Timestamp::from_microsecond(microseconds).ok()?;
    (instant.to_zoned(jiff::tz::TimeZone::UTC).year() >= 1).then(|| instant.strftime("%Y-%m-%d %H:%M:%S%.f+00").to_string())
}

/// The instant that a text in the catalog stands for, as DuckDB or we wrote it.
pub(crate) fn instant_of(text: &str) -> Option<i64> {
    let text = text.replacen(' ', "T", 1);
    text.parse::<Timestamp>().ok().map(Timestamp::as_microsecond)
}

/// A day, such as `2026-01-02`; `None` outside of the years 1 to 9999.
pub(crate) fn day_text(days: i32) -> Option<String> {
    let day = date(1970, 1, 1).checked_add(Span::new().try_days(days).ok()?).ok()?;
    (day.year() >= 1).then(|| day.to_string())
}

/// An amount with six decimals, such as `-1.250000`.
pub(crate) fn money_text(millionths: i128) -> String {
    let sign = if millionths < 0 { "-" } else { "" };
    let size = millionths.unsigned_abs();
    format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_duckdb_writes_them() {
        assert_eq!(instant_text(1_767_323_045_678_000).as_deref(), Some("2026-01-02 03:04:05.678+00"));
        assert_eq!(instant_text(1_767_323_045_000_000).as_deref(), Some("2026-01-02 03:04:05+00"));
        assert_eq!(instant_text(i64::MAX), None);
        assert_eq!(day_text(20_455).as_deref(), Some("2026-01-02"));
        assert_eq!(day_text(i32::MIN), None);
        assert_eq!(money_text(-1_250_000), "-1.250000");
        assert_eq!(money_text(-1), "-0.000001");
        assert_eq!(money_text(3_000_000), "3.000000");
    }

    #[test]
    fn instants_of_the_catalog_are_read_back() {
        for instant in [0, 1_767_323_045_678_901, -1] {
            assert_eq!(instant_of(&instant_text(instant).unwrap()), Some(instant));
        }
        assert_eq!(instant_of("2026-01-02 04:04:05.678+01"), Some(1_767_323_045_678_000));
        assert_eq!(instant_of("yesterday"), None);
    }
}
