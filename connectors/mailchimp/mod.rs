//! Mailchimp: the members of audiences, and what they did with campaigns, over the Marketing API.
//!
//! Not here: webhooks (they come in by the intake) and anything that writes.

mod activity;
mod client;
mod config;
mod members;
mod source;
#[cfg(test)]
mod tests;

use headwater_sdk::http::Pause;
use headwater_sdk::{BuildContext, ConfigDoc, Connector, ConnectorSpec, Result, Source};

/// The connector.
#[derive(Debug)]
pub(crate) struct Mailchimp;

impl Connector for Mailchimp {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "mailchimp",
            title: "Mailchimp",
            summary: "reads the members of Mailchimp audiences, and their opens, clicks and bounces".into(),
            source_schema: Some(schemars::schema_for!(config::Config).to_value()),
            sink_schema: None,
            readme: include_str!("README.md"),
        }
    }

    fn source(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(source::MailchimpSource::new(config.parse()?, cx, Pause::real())?))
    }
}
