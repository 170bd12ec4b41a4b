//! PostgreSQL: one row per prospect in a table.
//!
//! The sink writes into a table of the user's own making, whose columns have types, or makes one of text. It does not read
//! prospects from a database and does not delete. Invariants: values are bound, never put into the statement; a call is one
//! transaction, so an error means that nothing of it was written.

mod client;
mod config;
mod sink;
mod statements;
#[cfg(test)]
mod tests;

use headwater_sdk::{BuildContext, ConfigDoc, Connector, ConnectorSpec, Result, Sink};

/// The connector.
#[derive(Debug)]
pub(crate) struct Postgres;

impl Connector for Postgres {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "postgres",
            title: "PostgreSQL",
            summary: "writes prospects into a table of a PostgreSQL database",
            source_schema: None,
            sink_schema: Some(schemars::schema_for!(config::SinkConfig).to_value()),
            readme: include_str!("README.md"),
        }
    }

    fn sink(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(sink::PostgresSink::new(config.parse()?, cx)?))
    }
}
