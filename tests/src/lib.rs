//! Helpers of the end-to-end tests and of the tidy checks.
//!
//! Nothing of ours is imported here: what these tests know of Headwater they know through its program, its files and its
//! source text, as a user and a reviewer would.

pub mod project;
pub mod tree;
