//! Positions, and the intervals that follow from them.

use jiff::{Timestamp, tz::TimeZone};

use super::plan::Step;

/// The position a step further, or back: microseconds by the calendar of UTC, or numbers. It stays where it is at the ends of time.
pub(crate) fn step(position: i64, step: &Step, back: bool) -> i64 {
    match step {
        Step::Count(count) => {
            if back {
                position.saturating_sub(*count)
            } else {
                position.saturating_add(*count)
            }
        }
        Step::Span(span) => {
            let span = if back { span.negate() } else { *span };
            let at = Timestamp::from_microsecond(position).map(|at| at.to_zoned(TimeZone::UTC));
            let moved = at.and_then(|at| at.checked_add(span));
            moved.map_or(position, |moved| moved.timestamp().as_microsecond())
        }
    }
}
