//! BottleCRM: contacts or leads in a CRM that knows no idempotency.
//!
//! The sink keeps our id in a field of each record, and after a doubtful create looks for it before it creates again. It does
//! not delete, convert, merge or assign, and reads nothing but what it needs to write. Invariants: a record is ours or matched
//! only when we compared the value ourselves, for this CRM ignores filters it does not know and answers with every record.

mod client;
mod config;
mod fields;
mod sink;
#[cfg(test)]
mod tests;

use headwater_sdk::{BuildContext, ConfigDoc, Connector, ConnectorSpec, Result, Sink};

/// The connector.
#[derive(Debug)]
pub(crate) struct BottleCrm;

impl Connector for BottleCrm {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "bottlecrm",
            title: "BottleCRM",
            summary: "writes prospects as contacts or leads of a BottleCRM organisation",
            source_schema: None,
            sink_schema: Some(schemars::schema_for!(config::SinkConfig).to_value()),
            readme: include_str!("README.md"),
        }
    }

    fn sink(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(sink::BottleCrmSink::new(&config.parse()?, cx)?))
    }
}
