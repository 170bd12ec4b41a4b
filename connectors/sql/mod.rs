//! Database tables and queries as sources: PostgreSQL, MySQL or MariaDB, SQLite; and tables of the latter two as sinks ([`sink`]).
//!
//! One reader for all three, since what decides whether rows are lost is the same: the order that pages follow and where a read
//! goes on. What differs (quoting, casts, how errors look) is behind [`client::Client`] and [`statements::Dialect`]. The source never writes:
//! its every statement runs in a transaction that may only read. It does not follow a database's log of changes.
//!
//! Invariants: pages follow the key, or the cursor and then the key, so rows with equal times at a page's border are neither lost nor
//! skipped; every value comes as the exact text the database has for it; a row without a cursor's value is read in every run.

mod cells;
mod client;
mod config;
pub(crate) mod delivery;
mod position;
mod sink;
mod source;
mod statements;
#[cfg(test)]
mod tests;

use headwater_sdk::{BuildContext, ConfigDoc, Connector, ConnectorSpec, Result, Sink, Source};

use statements::Dialect;

/// The connector of SQLite files.
#[derive(Debug)]
pub(crate) struct Sqlite;

/// The connector of MySQL and MariaDB.
#[derive(Debug)]
pub(crate) struct Mysql;

impl Connector for Sqlite {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "sqlite",
            title: "SQLite",
            summary: "reads the rows of a table or query of a SQLite file, and writes prospects into a table".into(),
            source_schema: Some(schemars::schema_for!(config::FileDatabase).to_value()),
            sink_schema: Some(schemars::schema_for!(config::FileTable).to_value()),
            readme: include_str!("README.md"),
        }
    }

    fn source(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Source>> {
        let (path, wanted) = config.parse::<config::FileDatabase>()?.parts()?;
        Ok(Box::new(source::Table::new(client::Client::sqlite(&cx.path(&path)), wanted, cx.clock.clone())))
    }

    fn sink(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(sink::SqlSink::sqlite(&config.parse()?, cx)?))
    }
}

impl Connector for Mysql {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec {
            name: "mysql",
            title: "MySQL and MariaDB",
            summary: "reads the rows of a table or query of a MySQL or MariaDB database, and writes prospects into a table"
                .into(),
            source_schema: Some(schemars::schema_for!(config::ServerDatabase).to_value()),
            sink_schema: Some(schemars::schema_for!(config::ServerTable).to_value()),
            readme: include_str!("README.md"),
        }
    }

    fn source(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Source>> {
        server(Dialect::Mysql, config, cx)
    }

    fn sink(&self, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(sink::SqlSink::mysql(&config.parse()?, cx)?))
    }
}

/// The schema of a PostgreSQL source's settings.
pub(crate) fn postgres_schema() -> serde_json::Value {
    schemars::schema_for!(config::ServerDatabase).to_value()
}

/// A source of a PostgreSQL table or query.
pub(crate) fn postgres(config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Source>> {
    server(Dialect::Postgres, config, cx)
}

fn server(dialect: Dialect, config: &ConfigDoc, cx: &BuildContext) -> Result<Box<dyn Source>> {
    let (url, wanted) = config.parse::<config::ServerDatabase>()?.parts()?;
    Ok(Box::new(source::Table::new(client::Client::server(dialect, &cx.secret(&url)?)?, wanted, cx.clock.clone())))
}
