//! Pages of a slice that begin anew: where the remote asks for it, or gives no more than so many records of one question.

use headwater_sdk::{Error, ErrorKind, Result};

use super::expr::Slice;
use super::pages::SlicePage;
use super::plan::{Anew, Retriever, StreamPlan};
use super::slices::with_interval;

/// How often pages begin anew that nothing makes fewer.
const MOST_REPEATS: u32 = 1;

/// What the pages of a slice gave since they began.
#[derive(Debug, Default)]
pub(super) struct Round {
    records: u64,
    high: Option<i64>,
    repeats: u32,
}

impl Round {
    /// Counts a page in; the slice to read from its first page on, if the pages begin anew after it.
    ///
    /// # Errors
    /// `Protocol` when it would be the same pages once more.
    pub(super) fn after(
        &mut self,
        stream: &StreamPlan,
        slice: &Slice,
        page: &SlicePage,
        is_asked: bool,
    ) -> Result<Option<Slice>> {
        let Retriever::Pages(plan) = &stream.retriever else { return Ok(None) };
        let Anew { narrows, most_records } = plan.anew;
        self.records = self.records.saturating_add(page.records.len() as u64);
        self.high = self.high.max(page.high);
        if !is_asked && most_records.is_none_or(|most| self.records < most) {
            return Ok(None);
        }
        self.records = 0;
        let rest = if narrows { self.rest(stream, slice) } else { None };
        let may_repeat = !narrows || stream.cursor.is_none();
        match rest {
            Some(rest) => {
                self.repeats = 0;
                Ok(Some(rest))
            }
            None if may_repeat && self.repeats < MOST_REPEATS => {
                self.repeats += 1;
                Ok(Some(slice.clone()))
            }
            None => Err(Error::new(ErrorKind::Protocol, "the pages begin anew with the same records, again and again")
                .context("stream", stream.name.clone())
                .hint("cut the stream into shorter intervals, or filter it")),
        }
    }

    /// What is left of a slice behind the furthest record.
    fn rest(&self, stream: &StreamPlan, slice: &Slice) -> Option<Slice> {
        let (cursor, (low, end)) = (stream.cursor.as_ref()?, slice.range?);
        let high = self.high.filter(|high| *high > low)?;
        Some(with_interval(cursor, slice, high, (end != i64::MAX).then_some(end)))
    }
}
