//! Runs declarative sources.
//!
//! Purpose: one executor under every file format. A front end compiles its format to a [`SourcePlan`](plan::SourcePlan); the executor
//! makes the requests, follows the pages, keeps the positions, and gives records and states.
//!
//! Invariants:
//! - Nothing here knows a file format, a template syntax or the shape of a stored state: those stand behind trait objects.
//! - Only hosts that the plan names are called, whatever a remote's answer says.
//! - A state covers every record that was given before it.
//! - A number is never changed by reading it, nor the order of an object's members.

mod anew;
mod auth;
mod budget;
mod credential;
mod cursor;
mod decode;
mod expr;
mod job;
pub mod json;
mod pages;
pub mod plan;
mod request;
mod rules;
mod run;
mod select;
mod slices;
mod state;
mod value;

#[cfg(feature = "fuzz")]
pub(crate) use decode::decode;
pub use expr::{Constant, Evaluate, Expr, Scope, Slice, constant};
#[cfg(feature = "fuzz")]
pub(crate) use rules::headers_value;
pub use run::{Event, Executor};
pub(crate) use select::{set, transform};
pub use state::{OpenSlice, PartitionState, StreamState};
pub use value::{Key, Map, Value};
