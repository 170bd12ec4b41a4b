//! Sources and sinks that are data, or other people's programs.
//!
//! - [`engine`]: what a declarative connector compiles to, and what runs it: requests, paging, cursors, partitions, decoding.
//! - [`language`]: our own connector files, `connector.yaml`: typed, checked when they are loaded.
//! - [`compat`]: Airbyte's declarative manifests, with the semantics of the program that they were written for.
//! - [`process`]: Singer and Airbyte programs as child processes.
//!
//! Both file formats compile to the one engine. What is a quirk of a format stays in its own module.

pub mod compat;
pub mod engine;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
pub mod language;
pub mod process;
