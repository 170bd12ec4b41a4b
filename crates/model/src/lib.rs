//! The normalised prospect model: rows, ids, normalisers and the mapping from vendor fields.
//!
//! This crate knows no files, network, clock or async. Bytes come in as text columns, and leave as the tables of the lake or as
//! a reason for refusal.

pub mod aliases;
pub mod checkpoint;
pub mod company_number;
pub mod conform;
pub mod consent;
pub mod country;
pub mod decoding;
pub mod email;
pub mod engagement;
pub mod ids;
pub mod instant;
pub mod lists;
pub mod mapping;
pub mod money;
pub mod page;
pub mod phone;
pub mod suppression;
pub mod tables;
pub mod text;
