//! Mailchimp.

use headwater_sdk::{Connector, ConnectorSpec};

/// The connector.
#[derive(Debug)]
pub(crate) struct Mailchimp;

impl Connector for Mailchimp {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec { name: "mailchimp", title: "Mailchimp", summary: "", source_schema: None, sink_schema: None, readme: include_str!("README.md") }
    }
}
