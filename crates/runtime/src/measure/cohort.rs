//! The period in which a source first named somebody.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::project::CohortPeriod;

/// One period. Its text form is that of ISO 8601 where there is one: `2026-10`, `2026-Q4`, `2026`; earlier ones sort first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cohort {
    year: i16,
    part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Month(i8),
    Quarter(i8),
    Year,
}

impl Cohort {
    /// The period of an instant in microseconds since 1970; what no calendar reaches counts to its first year.
    pub(super) fn of(at_us: i64, period: CohortPeriod) -> Self {
        let date = Timestamp::from_microsecond(at_us).unwrap_or(Timestamp::MIN).to_zoned(TimeZone::UTC).date();
        let part = match period {
            CohortPeriod::Month => Part::Month(date.month()),
            CohortPeriod::Quarter => Part::Quarter((date.month() + 2) / 3),
            CohortPeriod::Year => Part::Year,
        };
        Self { year: date.year(), part }
    }
}

impl fmt::Display for Cohort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, part } = self;
        match part {
            Part::Month(month) => write!(f, "{year:04}-{month:02}"),
            Part::Quarter(quarter) => write!(f, "{year:04}-Q{quarter}"),
            Part::Year => write!(f, "{year:04}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_begins_and_ends_at_midnight_utc() {
        let of = |text: &str, period| {
            let at: Timestamp = text.parse().unwrap();
            Cohort::of(at.as_microsecond(), period).to_string()
        };
        for (at, month, quarter, year) in [
            ("2026-09-30T23:59:59.999999Z", "2026-09", "2026-Q3", "2026"),
            ("2026-10-01T00:00:00Z", "2026-10", "2026-Q4", "2026"),
            ("2026-12-31T23:59:59Z", "2026-12", "2026-Q4", "2026"),
            ("2027-01-01T00:00:00Z", "2027-01", "2027-Q1", "2027"),
        ] {
            assert_eq!(of(at, CohortPeriod::Month), month);
            assert_eq!(of(at, CohortPeriod::Quarter), quarter);
            assert_eq!(of(at, CohortPeriod::Year), year);
        }
    }
}
