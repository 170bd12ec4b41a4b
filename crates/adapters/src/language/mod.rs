//! Connector files of our own: `connector.yaml`.
//!
//! Purpose: an API is described in one file, which is read into a [`Spec`](spec::Spec), checked, compiled to the engine's plan and
//! run by it. The format's reference is `docs/connector-language.md`.
//!
//! It is *not* a programming language: what needs a loop or a variable of its own is a native connector.
//!
//! Invariants:
//! - Whatever a file can get wrong without a connection is found when it is loaded, with its line and what to do.
//! - Only the hosts that the file declares, or that the user's own settings name, are called.
//! - What stands in for a secret is never printed.

mod compile;
mod cursor;
mod evaluate;
pub mod expr;
mod load;
pub mod rehearsal;
mod rows;
mod sink;
mod source;
pub mod spec;

#[cfg(test)]
mod tests;

#[cfg(feature = "fuzz")]
pub(crate) use cursor::position;
pub use load::LanguageError;
pub use source::Declarative;
