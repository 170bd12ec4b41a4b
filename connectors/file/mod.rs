//! File.

mod sink;

use headwater_sdk::{BuildContext, ConfigDoc, Connector, ConnectorSpec, Result, Sink};

/// The connector.
#[derive(Debug)]
pub(crate) struct File;

impl Connector for File {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec { name: "file", title: "File", summary: "", source_schema: None, sink_schema: Some(schemars::schema_for!(sink::SinkConfig).to_value()), readme: include_str!("README.md") }
    }

    fn sink(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(sink::FileSink::new(config.parse()?, cx)?))
    }
}
