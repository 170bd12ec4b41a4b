//! The normalised prospect model: rows, ids, normalisers and the mapping from vendor fields.
//!
//! This crate knows no files, network, clock or async. Bytes come in as text columns, and leave as the tables of the lake or as
//! a reason for refusal.

pub mod checkpoint;
pub mod mapping;
pub mod page;
pub mod tables;
