//! Ghost: the members of a publication, over its Admin API.
//!
//! Not here: webhooks (they come in by the intake) and anything that writes.

mod client;
mod config;
mod source;
#[cfg(test)]
mod tests;

use headwater_sdk::http::Pause;
use headwater_sdk::{BuildContext, ConfigDoc, Connector, ConnectorSpec, Result, Source};

/// The connector.
#[derive(Debug)]
pub(crate) struct Ghost;

impl Connector for Ghost {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "ghost",
            title: "Ghost",
            summary: "reads the members of a Ghost publication, with labels, consent and how they came".into(),
            source_schema: Some(schemars::schema_for!(config::Config).to_value()),
            sink_schema: None,
            readme: include_str!("README.md"),
        }
    }

    fn source(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Source>> {
        let config: config::Config = config.parse()?;
        Ok(Box::new(source::GhostSource::new(&config, cx, Pause::real())?))
    }
}
