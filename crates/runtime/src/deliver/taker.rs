//! Who takes the rows of a plan while it is made, so that nobody has to hold it as a whole.

use async_trait::async_trait;

use super::plan::{Plan, PlannedRow};
use crate::error::Result;

/// Takes what is planned: part by part, and within a part in the order of the prospects' ids.
#[async_trait]
pub trait Taker: Send {
    /// A part of a sink is planned next; a sync makes these fields in the remote first.
    ///
    /// # Errors
    /// When it cannot be taken; the planning ends with it, here and in the other methods.
    fn begin(&mut self, sink: &str, fields_to_make: &[String]) -> Result<()> {
        let (_, _) = (sink, fields_to_make);
        Ok(())
    }

    /// Some of its rows. Those who leave a list come after all others, `leaving`, in the order of ids again.
    ///
    /// # Errors
    /// As [`Taker::begin`].
    async fn take(&mut self, rows: &[PlannedRow], leaving: bool) -> Result<()>;

    /// The part is planned; of its rows the plan holds no more than was asked for.
    ///
    /// # Errors
    /// As [`Taker::begin`].
    fn end(&mut self, plan: &Plan) -> Result<()> {
        let _ = plan;
        Ok(())
    }

    /// Whether what it takes is written as it is taken. Then whoever names a record that is not there yet waits for it.
    fn writes(&self) -> bool {
        false
    }
}

/// Takes nothing: the plan alone is wanted.
#[derive(Debug, Default, Clone, Copy)]
pub struct Nobody;

#[async_trait]
impl Taker for Nobody {
    async fn take(&mut self, _rows: &[PlannedRow], _leaving: bool) -> Result<()> {
        Ok(())
    }
}
