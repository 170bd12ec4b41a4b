//! Webhooks: an event for each person that is pushed, signed as Standard Webhooks says.
//!
//! It tells somebody; it keeps nothing and reads nothing back, so a plan compares with what was told last. Invariants: an event's id
//! is made of what it says, so the same delivery has the same id however often it is tried; every attempt is signed anew, with the
//! time of the attempt; an event counts as told only by an answer of 2xx.

mod client;
mod config;
mod sink;
#[cfg(test)]
mod tests;

use headwater_sdk::{BuildContext, ConfigDoc, Connector, ConnectorSpec, Result, Sink};

/// The connector.
#[derive(Debug)]
pub(crate) struct Webhook;

impl Connector for Webhook {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "webhook",
            title: "Webhook",
            summary: "posts an event for each prospect to an address of yours, signed as Standard Webhooks".into(),
            source_schema: None,
            sink_schema: Some(schemars::schema_for!(config::SinkConfig).to_value()),
            readme: include_str!("README.md"),
        }
    }

    fn sink(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(sink::WebhookSink::new(&config.parse()?, cx)?))
    }
}
