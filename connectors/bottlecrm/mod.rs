//! BottleCRM: contacts with their accounts and tasks, or leads, in a CRM that knows no idempotency.
//!
//! The sink keeps our id in a field of each record, and after a doubtful create looks for it before it creates again. It does
//! not delete, convert, merge or assign, and reads nothing but what it needs to write. Invariants: a record is ours or matched
//! only when we compared the value ourselves, for this CRM ignores filters it does not know and answers with every record.

mod client;
mod config;
mod fields;
mod intake;
mod sink;
mod tasks;
#[cfg(test)]
mod tests;

use headwater_sdk::{BuildContext, Companion, ConfigDoc, Connector, ConnectorSpec, Error, ErrorKind, Result, Sink};

/// The connector.
#[derive(Debug)]
pub(crate) struct BottleCrm;

impl Connector for BottleCrm {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "bottlecrm",
            title: "BottleCRM",
            summary: "writes prospects as contacts or leads of a BottleCRM organisation".into(),
            source_schema: None,
            sink_schema: Some(schemars::schema_for!(config::SinkConfig).to_value()),
            readme: include_str!("README.md"),
        }
    }

    fn sink(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        let config: config::SinkConfig = config.parse()?;
        match config.object {
            config::Object::Intake => Ok(Box::new(intake::IntakeSink::new(&config, cx)?)),
            _ => Ok(Box::new(sink::BottleCrmSink::new(&config, cx)?)),
        }
    }

    fn companion(&self, companion: &Companion, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        let people: config::SinkConfig = config.parse()?;
        match (companion, people.object) {
            (Companion::Companies, config::Object::Contacts) => {
                let accounts = config::SinkConfig { object: config::Object::Accounts, ..people };
                Ok(Box::new(sink::BottleCrmSink::new(&accounts, cx)?))
            }
            (Companion::Companies, _) => Err(Error::new(ErrorKind::Config, "only contacts belong to accounts")
                .context("path", "object")
                .hint("write `object: contacts`")),
            (Companion::Tasks, config::Object::Contacts) => {
                let tasks = config::SinkConfig { object: config::Object::Tasks, ..people };
                Ok(Box::new(tasks::TaskSink::new(&tasks, cx)?))
            }
            (Companion::Tasks, _) => Err(Error::new(ErrorKind::Config, "only contacts have tasks here")
                .context("path", "object")
                .hint("write `object: contacts`")),
            (Companion::List { .. }, _) => {
                let message = format!("connector `bottlecrm` does not write {}", companion.noun());
                Err(Error::new(ErrorKind::Unsupported, message))
            }
        }
    }
}
