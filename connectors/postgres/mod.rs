//! PostgreSQL: one row per prospect in a table; and the rows of tables as a source, by the `sql` connectors' reader.
//!
//! The sink writes into a table of the user's own making, whose columns have types, or makes one of text. It does not read
//! prospects from a database and does not delete. Invariants: values are bound, never put into the statement; a call is one
//! transaction, so an error means that nothing of it was written.

mod client;
mod config;
mod sink;
mod statements;
#[cfg(test)]
pub(crate) mod tests;

use headwater_sdk::{BuildContext, ConfigDoc, Connector, ConnectorSpec, Result, Sink, Source};

/// The connector.
#[derive(Debug)]
pub(crate) struct Postgres;

impl Connector for Postgres {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "postgres",
            title: "PostgreSQL",
            summary: "reads the rows of a table or query of a PostgreSQL database, and writes prospects into a table".into(),
            source_schema: Some(crate::sql::postgres_schema()),
            sink_schema: Some(schemars::schema_for!(config::SinkConfig).to_value()),
            readme: include_str!("README.md"),
        }
    }

    fn source(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Source>> {
        crate::sql::postgres(config, cx)
    }

    fn sink(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(sink::PostgresSink::new(config.parse()?, cx)?))
    }
}
