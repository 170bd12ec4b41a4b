//! What of a day's calls looking people up may spend.

use headwater_sdk::{Sink, Writes};

use super::budget::Budget;

/// Calls that looking at one row does not exceed, in any sink that we know.
const DEAR_LOOK: u64 = 8;
/// Why a row waits that was not looked at.
pub(super) const USED_UP: &str = "the day's calls are used up; a sync on the next day of UTC goes on";

/// What of a day's calls looking may spend: looking leaves what writing costs, or a day would pass with nothing written.
pub(super) struct Purse<'a> {
    budget: &'a Budget<'a>,
    /// What the plan writes so far.
    writes: Writes,
    /// How many rows were looked at since: each may be written.
    more: usize,
    /// How many rows were looked at last, and what that cost.
    last: Option<(usize, u64)>,
}

impl<'a> Purse<'a> {
    pub(super) fn new(budget: &'a Budget<'a>, writes: Writes) -> Self {
        Self { budget, writes, more: 0, last: None }
    }

    /// How many rows up to `most` may be looked at.
    pub(super) fn rows(purse: Option<&Self>, most: usize, looks: bool) -> usize {
        let Some(Self { budget, writes, more, last }) = purse.filter(|_| looks) else { return most };
        let left = budget.left();
        let look = |rows: usize| match last {
            Some((known, cost)) => cost.saturating_mul(rows.div_ceil(*known) as u64),
            // What a look costs is not known yet: one is tried, unless there is plenty.
            None if rows == 1 => 1,
            None => DEAR_LOOK * rows as u64,
        };
        let mut rows = most;
        while rows > 0 && look(rows).saturating_add(budget.cost_to_write(*writes, more + rows)) > left {
            rows /= 2;
        }
        rows
    }

    /// Notes that so many rows were looked at, and what that cost.
    pub(super) fn looked(&mut self, rows: usize, before: Option<u64>, sink: &dyn Sink) {
        self.last = before.zip(sink.spent()).map(|(before, after)| (rows.max(1), after - before)).or(self.last);
        self.more += rows;
    }
}
