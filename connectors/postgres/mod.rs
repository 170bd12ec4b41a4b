//! Postgres.

use headwater_sdk::{Connector, ConnectorSpec};

/// The connector.
#[derive(Debug)]
pub(crate) struct Postgres;

impl Connector for Postgres {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec { name: "postgres", title: "Postgres", summary: "", source_schema: None, sink_schema: None, readme: include_str!("README.md") }
    }
}
