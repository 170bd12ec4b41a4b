//! Singer and Airbyte programs as child processes.
//!
//! A tap or an Airbyte source is a source, a target is a sink; all three are strangers. So: the child sees an environment of our
//! choosing, its configuration in a file that only we may read, and nothing else of ours. It is killed with everything it
//! started as soon as nobody listens, and when it is silent for too long. What it prints is bounded, and what it says on stderr
//! is masked before it reaches a log. Its word is checked: a tap that counts differently from us is an error, and a target is
//! believed when it echoes our state, exits with 0 and, where the user gave a way to count, holds what it took.
//!
//! Invariants: a field's text is what the program printed, never a number that was parsed and printed again; a state is kept as
//! the text that it came as.

mod airbyte;
mod child;
mod config;
mod fields;
mod files;
mod lines;
mod mask;
mod pager;
mod reading;
mod singer;
#[cfg(test)]
mod tests;

#[cfg(feature = "fuzz")]
pub(crate) use self::{airbyte::feed as feed_airbyte, singer::feed as feed_singer};

use std::sync::Arc;

use headwater_sdk::Connector;

/// The connectors that run other programs: `airbyte`, `singer` and `singer_target`.
#[must_use]
pub fn connectors() -> [Arc<dyn Connector>; 3] {
    [Arc::new(airbyte::Airbyte), Arc::new(singer::Singer), Arc::new(singer::SingerTarget)]
}
