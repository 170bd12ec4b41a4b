//! Airbyte: sources of its protocol, in today's dialect and in the older one.

mod catalog;
mod message;
mod source;

pub(super) use source::AirbyteSource;
#[cfg(feature = "fuzz")]
pub(crate) use source::feed;

use headwater_sdk::{BuildContext, ConfigDoc, Connector, ConnectorSpec, Result, Source};

use super::config::AirbyteConfig;
use super::reading::Pace;

/// The connector of Airbyte sources.
#[derive(Debug)]
pub(super) struct Airbyte;

impl Connector for Airbyte {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "airbyte",
            title: "Airbyte source",
            summary: "reads the streams of any Airbyte source, run as a child process".into(),
            source_schema: Some(schemars::schema_for!(AirbyteConfig).to_value()),
            sink_schema: None,
            readme: include_str!("README.md"),
        }
    }

    fn source(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(AirbyteSource::new(config.parse()?, cx, Pace::default())?))
    }
}
