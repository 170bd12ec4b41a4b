//! Ghost.

use headwater_sdk::{Connector, ConnectorSpec};

/// The connector.
#[derive(Debug)]
pub(crate) struct Ghost;

impl Connector for Ghost {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec { name: "ghost", title: "Ghost", summary: "", source_schema: None, sink_schema: None, readme: include_str!("README.md") }
    }
}
