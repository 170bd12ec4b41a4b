//! What a source of leads is worth, and how sure we are of it.
//!
//! [`scorecards`] turns counts into metrics, each with its number of cases, an interval and a [`State`]; [`compare`] says which source
//! is best. [`what_if`] answers what moving budget would do, [`drift`] which source has changed, [`cost`] what was spent where. Below
//! them stand the pure estimators: [`interval`] for proportions, [`bootstrap`] for amounts, [`shrink`] for small sources, [`survival`]
//! and [`cure`] for leads that have not had their time yet.
//!
//! Invariants: a figure that was not measured is `None` and says so in its state, never zero; an interval covers its value; a
//! currency is never mixed with another.

pub mod bootstrap;
pub mod cost;
pub mod cure;
pub mod drift;
pub mod interval;
mod scorecard;
pub mod shrink;
pub mod survival;
#[cfg(test)]
mod tests;
mod verdict;
pub mod what_if;

pub use interval::{Interval, wilson, wilson_of};
pub use scorecard::{Mail, Metric, Money, Scorecard, Settings, SourceCounts, State, scorecards};
pub use verdict::{Certainty, Contender, Verdict, compare};

/// The standard normal quantile of 0.975: the half width of a two-sided 95 % interval in standard errors.
pub const Z_95: f64 = 1.959_963_984_540_054;
