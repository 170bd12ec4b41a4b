//! The stages together: a project in a folder, a store, a scripted source and a remote in memory.

#![expect(clippy::large_futures, reason = "a test's future is made once, and its size costs nothing here")]

mod delivering;
mod ingesting;
mod measuring;
mod project_files;
mod remote;
mod resolving;
mod rig;
mod script;
mod suppressing;
