//! Files: tables of people as vendors, spreadsheets and scripts write them.
//!
//! The source reads delimited text, XLSX, JSON lines and Parquet, each also packed. Files lie in local folders or in
//! object stores. It does not watch folders and never changes what it reads. Invariants: every cell comes through as the text that stood in the
//! file, and a record that cannot be read is refused by place, never dropped.

mod config;
mod csv;
mod encoding;
mod header;
mod input;
mod jsonl;
mod parquet;
mod paths;
mod position;
mod presets;
mod remote;
mod rows;
mod sink;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod xlsx;

use headwater_sdk::{BuildContext, ConfigDoc, Connector, ConnectorSpec, Result, Sink, Source};

/// The connector.
#[derive(Debug)]
pub(crate) struct File;

impl Connector for File {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "file",
            title: "File",
            summary: "reads people, conversions and costs from CSV, XLSX, JSON lines and Parquet files; writes prospects into CSV and JSON lines files".into(),
            source_schema: Some(schemars::schema_for!(config::FileSource).to_value()),
            sink_schema: Some(schemars::schema_for!(sink::SinkConfig).to_value()),
            readme: include_str!("README.md"),
        }
    }

    fn source(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Source>> {
        Ok(Box::new(source::Files::new(config.parse()?, cx)?))
    }

    fn sink(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(sink::FileSink::new(config.parse()?, cx)?))
    }
}
