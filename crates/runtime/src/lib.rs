//! Settings and project files into ingest, resolve, measure and deliver.
//!
//! The four loops each have a durable cursor; the store is the only buffer between them. This crate knows no connector by name:
//! it is handed a registry.

mod cells;
pub mod deliver;
pub mod demo;
pub mod engine;
pub mod error;
pub mod explain;
pub mod ingest;
pub mod intake;
pub mod measure;
pub mod preview;
pub mod privacy;
pub mod project;
pub mod quarantine;
pub mod query;
pub mod report;
pub mod resolve;
pub mod review;
mod rows;
pub mod status;
pub mod sync;
pub mod tools;
#[cfg(test)]
mod world;

pub use engine::{Engine, Progress};
pub use error::{Error, Result};
