//! The contract kit: what every connector has to pass, and doubles for the tests of whoever drives connectors.

mod chaos;
mod contract;
mod fake_sink;
#[cfg(test)]
mod tests;

pub use chaos::ChaosSource;
pub use contract::{Breach, Collected, Row, check_source_contract, collect};
pub use fake_sink::FakeSink;
