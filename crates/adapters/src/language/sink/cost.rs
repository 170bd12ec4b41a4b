//! How many requests rows take, and what these cost.

use headwater_sdk::Writes;

use super::{DeclarativeSink, ListSink};
use crate::engine::plan::Requester;
use crate::language::compile::WritePlan;

/// What a request counts: one, or as much as the remote counts it.
type Weigh = fn(&Requester) -> usize;

impl DeclarativeSink {
    pub(super) fn requests(&self, writes: Writes, weigh: Weigh) -> usize {
        let Writes { creates, updates, removals, ties: _ } = writes;
        let (plan, most) = (&self.plan, self.plan.max_rows);
        // What is changed or removed is read first.
        let read = |rows: usize| rows.div_ceil(plan.fetch.batch) * weigh(&plan.fetch.request);
        let removed = plan.remove.as_ref().map_or(0, |remove| sent(remove, removals, most, weigh));
        let changed = read(updates) + sent(&plan.update, updates, most, weigh);
        sent(&plan.create, creates, most, weigh) + changed + read(removals) + removed
    }
}

impl ListSink {
    pub(super) fn requests(&self, writes: Writes, weigh: Weigh) -> usize {
        let Writes { creates, updates, removals, ties: _ } = writes;
        let joins = creates + updates;
        let (add, remove) = (&self.plan.add, &self.plan.remove);
        // Each person is asked about before.
        let asked = (joins + removals) * weigh(&self.plan.member);
        asked + joins.div_ceil(add.batch) * weigh(&add.request) + removals.div_ceil(remove.batch) * weigh(&remove.request)
    }
}

/// What it takes to send rows, at most so many in one write.
fn sent(plan: &WritePlan, rows: usize, most: usize, weigh: Weigh) -> usize {
    let one_write = |rows: usize| match plan.job.as_ref().filter(|job| rows >= job.from_rows) {
        Some(job) => {
            let results = job.results.iter().map(|result| weigh(&result.request)).sum::<usize>();
            [&job.open, &job.fill, &job.start, &job.state].map(weigh).iter().sum::<usize>() + results
        }
        None => {
            let first = plan.first.as_ref().map_or(0, |first| rows * weigh(&first.request));
            rows.div_ceil(plan.batch.unwrap_or(1).max(1)) * weigh(&plan.request) + first
        }
    };
    let most = most.max(1);
    let rest = rows % most;
    rows / most * one_write(most) + if rest > 0 { one_write(rest) } else { 0 }
}
