//! The contract kit: what every connector has to pass, and doubles for the tests of whoever drives connectors.

mod chaos;
mod contract;
mod fake_sink;
pub mod recorded;
pub mod server;
#[cfg(test)]
mod tests;
pub mod troubles;

pub use chaos::ChaosSource;
pub use contract::{Breach, Collected, Resumed, Row, check_deletion_arrives, check_source_contract, collect, collect_into};
pub use fake_sink::FakeSink;

/// How long an answer with this `Retry-After` asks us to wait.
#[must_use]
pub fn retry_after(value: &[u8], now: jiff::Timestamp) -> Option<std::time::Duration> {
    let value = crate::http::header::HeaderValue::from_bytes(value).ok()?;
    crate::http::retry_after(&[(crate::http::header::RETRY_AFTER, value)].into_iter().collect(), now)
}

/// What the environment says of a real server that a test needs. `./test e2e` starts the servers and sets the variables.
///
/// # Panics
/// When the variable is not set: a test that needs a server does not pass without one.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "only the environment knows the server, and a test without it must fail"
)]
pub fn live(variable: &str) -> String {
    match std::env::var(variable) {
        Ok(value) if !value.trim().is_empty() => value.trim().to_owned(),
        _ => panic!("{variable} is not set: this test needs a real server; run it by `./test e2e`"),
    }
}
