//! Instants as senders write them, made into text with a zone. What cannot be read stays as it is, so that it is refused by name and
//! not taken for now.

use jiff::Timestamp;

/// Seconds since 1970, perhaps with a fraction: `1521233123.501236`.
pub(super) fn seconds(text: String) -> String {
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let nanos = format!("{fraction:0<9}").chars().take(9).collect::<String>().parse::<i32>();
    let at = whole.parse().ok().zip(nanos.ok()).and_then(|(seconds, nanos)| Timestamp::new(seconds, nanos).ok());
    at.map_or(text, |at| at.to_string())
}

/// Milliseconds since 1970.
pub(super) fn millis(text: String) -> String {
    let at = text.parse().ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    at.map_or(text, |at| at.to_string())
}

/// A date and a time without a zone, `2026-10-03 14:05:09`, of which the vendor says that they are UTC.
pub(super) fn utc(text: String) -> String {
    let at = text.parse::<jiff::civil::DateTime>().ok().and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC).ok());
    match text.parse::<Timestamp>() {
        Ok(_) => text,
        Err(_) => at.map_or(text, |at| at.timestamp().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_keep_their_fraction_and_dirt_stays_dirt() {
        let owned = str::to_owned;
        assert_eq!(seconds(owned("1521233123.501236")), "2018-03-16T20:45:23.501236Z");
        assert_eq!(seconds(owned("1521233123")), "2018-03-16T20:45:23Z");
        assert_eq!(millis(owned("1521233123501")), "2018-03-16T20:45:23.501Z");
        assert_eq!(utc(owned("2026-10-03 14:05:09")), "2026-10-03T14:05:09Z");
        assert_eq!(utc(owned("2026-10-03T14:05:09+02:00")), "2026-10-03T14:05:09+02:00");
        for dirt in ["abc", "", "1.x", "99999999999999999999", "-", "1521233123.5.1"] {
            assert_eq!((seconds(owned(dirt)), utc(owned(dirt))), (owned(dirt), owned(dirt)));
        }
        assert_eq!(millis(owned("abc")), "abc");
    }
}
