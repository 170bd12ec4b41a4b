//! The stages together: a project in a folder, a store, a scripted source and a remote in memory.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests stand outside of a test function"
)]

mod amending;
mod applying;
mod companions;
mod delivering;
mod erasing;
mod ingesting;
mod measuring;
mod project_files;
mod remote;
mod resolving;
mod rig;
mod script;
mod suppressing;
mod undoing;
