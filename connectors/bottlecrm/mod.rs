//! BottleCrm.

use headwater_sdk::{Connector, ConnectorSpec};

/// The connector.
#[derive(Debug)]
pub(crate) struct BottleCrm;

impl Connector for BottleCrm {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec { name: "bottlecrm", title: "BottleCrm", summary: "", source_schema: None, sink_schema: None, readme: include_str!("README.md") }
    }
}
