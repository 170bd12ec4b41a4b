//! Runs a plan.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use headwater_sdk::http::Pause;
use headwater_sdk::{BuildContext, Error, ErrorKind, Result};

use super::plan::{SourcePlan, StreamPlan};
use super::value::Value;

/// One step of a read.
#[derive(Debug)]
pub enum Event {
    /// The records of a page, in its order; never empty.
    Records(Vec<Value>),
    /// The position after all records before it, as the stream's codec writes it.
    State(Value),
}

/// A plan at work. Cheap to clone; clones share connections, tokens and budget.
#[derive(Debug, Clone)]
pub struct Executor {
    plan: Arc<SourcePlan>,
}

impl Executor {
    /// A plan with its connections, which are not opened yet.
    ///
    /// # Errors
    /// `Config` when no certificate authorities are installed.
    pub fn new(plan: SourcePlan, cx: &BuildContext, pause: Pause) -> Result<Self> {
        let (_, _) = (cx, pause);
        Ok(Self { plan: Arc::new(plan) })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &SourcePlan {
        &self.plan
    }

    /// A stream of the plan.
    #[must_use]
    pub fn stream(&self, name: &str) -> Option<&Arc<StreamPlan>> {
        self.plan.streams.iter().find(|stream| stream.name == name)
    }

    /// Reads a stream after a state of its codec, or from the beginning. Dropping the stream stops the work.
    pub fn read(&self, stream: &Arc<StreamPlan>, state: Option<&Value>) -> BoxStream<'static, Result<Event>> {
        let (_, _) = (stream, state);
        futures::stream::once(async { Err(Error::new(ErrorKind::Unsupported, "not yet")) }).boxed()
    }

    /// Asks for the first record of each stream that the plan names for it.
    ///
    /// # Errors
    /// What the first stream fails with.
    pub async fn check(&self) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }
}
