//! The scanner against the csv crate.
