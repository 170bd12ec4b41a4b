//! What a person may ask of whoever holds their data: to be left alone, to see it, to have it erased.
//!
//! Invariants:
//! - Nothing here tells a person's data to a log, an error or the audit log; only [`export`] tells it at all.
//! - An erasure commits at once in files, control tables and audit log. What it leaves on the disk (replaced files, free pages) is
//!   gone when it ends, or after the next run if it is killed.

mod erasure;
mod export;
mod holdings;
mod mention;
mod suppression;

pub use erasure::{Elsewhere, EraseOptions, EraseReport, Fate, RemoteRecord, erase, finish_pending};
pub use export::{PersonExport, export};
pub use suppression::{Suppressed, is_suppressed, suppress, unsuppress};
