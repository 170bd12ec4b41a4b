//! After the purchase: who buys again, who is leaving, what a customer will be worth, and what is bought together.
//!
//! [`orders`] turns orders into histories. [`buying`] and [`spending`] are the two models of repeat purchase (when) and amount (how
//! much); together they give a lifetime value. [`segment`] groups customers by recency, frequency and amount, [`affinity`] finds
//! products that go together, and [`origin`] says all of it by where the customers came from.
//!
//! Invariants: amounts are of one currency in any one call; a refund is no purchase; too few customers give no model and say why.

pub mod affinity;
pub mod buying;
pub mod orders;
pub mod origin;
pub mod segment;
pub mod spending;
#[cfg(test)]
mod tests;

use thiserror::Error;

/// Customers who bought again below which the models follow noise.
pub const MIN_REPEATERS: usize = 50;

/// Why no model was made.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too few bought again.
    #[error("too few to learn from: {repeaters} customers bought again, {MIN_REPEATERS} are needed")]
    TooFew {
        /// How many did.
        repeaters: usize,
    },
    /// The likeliest model is at no finite place.
    #[error("the purchases do not settle on a model; there may be too little difference between customers")]
    Unsettled,
}

/// The purchases of one customer, in any one unit of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct History {
    /// Purchases after the first.
    pub repeats: u32,
    /// From the first purchase to the last; zero where there was one.
    pub last: f64,
    /// From the first purchase to now.
    pub age: f64,
}
