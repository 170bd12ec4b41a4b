//! File.

use headwater_sdk::{Connector, ConnectorSpec};

/// The connector.
#[derive(Debug)]
pub(crate) struct File;

impl Connector for File {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec { name: "file", title: "File", summary: "", source_schema: None, sink_schema: None, readme: include_str!("README.md") }
    }
}
