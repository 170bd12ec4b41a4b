//! HubSpot: contacts with their companies, tasks and lists, or companies alone, written in batches.
//!
//! Our id lives in a property with unique values, so a batch upsert by it is idempotent: the same row twice is one record, also
//! after an answer that got lost. Invariants: a row counts as written only when the answer names it; a batch that is refused as a
//! whole is halved until the rows at fault stand alone.

mod client;
mod config;
mod list;
mod sink;
#[cfg(test)]
mod tests;

use headwater_sdk::{BuildContext, Companion, ConfigDoc, Connector, ConnectorSpec, Error, ErrorKind, Result, Sink};

/// The connector.
#[derive(Debug)]
pub(crate) struct HubSpot;

impl Connector for HubSpot {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "hubspot",
            title: "HubSpot",
            summary: "writes prospects as contacts or companies of a HubSpot account".into(),
            source_schema: None,
            sink_schema: Some(schemars::schema_for!(config::SinkConfig).to_value()),
            readme: include_str!("README.md"),
        }
    }

    fn sink(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(sink::HubSpotSink::new(&config.parse()?, cx)?))
    }

    fn companion(&self, companion: &Companion, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        let people: config::SinkConfig = config.parse()?;
        // Those are of people.
        let people = config::SinkConfig { create_properties: Vec::new(), ..people };
        if !people.object.is_people() {
            let message = format!("only contacts have {}", companion.noun());
            return Err(Error::new(ErrorKind::Config, message).context("path", "object").hint("write `object: contacts`"));
        }
        Ok(match companion {
            Companion::Companies => {
                Box::new(sink::HubSpotSink::new(&config::SinkConfig { object: config::Object::Companies, ..people }, cx)?)
            }
            Companion::Tasks => {
                Box::new(sink::HubSpotSink::new(&config::SinkConfig { object: config::Object::Tasks, ..people }, cx)?)
            }
            Companion::List { id } => Box::new(list::ListSink::new(id, &people, cx)?),
        })
    }
}
