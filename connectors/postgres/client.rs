//! Connections, and what the database's errors mean.

use std::time::Duration;

use headwater_sdk::{Error, ErrorKind, Result, Secret};
use sqlx::postgres::{PgConnectOptions, PgDatabaseError};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Postgres, Transaction};

use super::statements::{COLUMNS, Column, Table};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// Bounds what one statement may take and wait for. Dates are read year first, so that `03/04/2026` is refused and not guessed.
const SESSION: &str = "SET LOCAL statement_timeout = '60s'; SET LOCAL lock_timeout = '10s'; \
                       SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'";

/// The way to one database.
#[derive(Debug)]
pub(super) struct Client(PgConnectOptions);

impl Client {
    /// # Errors
    /// `Config` when the URL cannot be read; its text is a secret and is not shown.
    pub(super) fn new(url: &Secret) -> Result<Self> {
        let unreadable = || {
            Error::new(ErrorKind::Config, "the database's url cannot be read")
                .hint("write postgres://user:password@host:5432/database, with `@`, `/` and `:` of the password percent-encoded")
        };
        let url = url.expose_str();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(unreadable());
        }
        // The parser's own error may quote the url.
        let options: PgConnectOptions = url.parse().map_err(|_| unreadable())?;
        Ok(Self(options.application_name("headwater").disable_statement_logging()))
    }

    /// One connection per call: it is made in a moment beside what a call writes, and nothing lingers between calls.
    pub(super) async fn connect(&self) -> Result<PgConnection> {
        match tokio::time::timeout(CONNECT, PgConnection::connect_with(&self.0)).await {
            Ok(connection) => connection.map_err(failed),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "the database did not answer in time")),
        }
    }
}

/// Begins a transaction in which values read and write the same way on every server.
pub(super) async fn begin(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>> {
    let mut transaction = connection.begin().await.map_err(failed)?;
    sqlx::raw_sql(SESSION).execute(&mut *transaction).await.map_err(failed)?;
    Ok(transaction)
}

/// Reads what the table looks like; no columns where there is none.
pub(super) async fn table(connection: &mut PgConnection, name: &str) -> Result<Table> {
    let columns: Vec<(String, String, bool)> = sqlx::query_as(COLUMNS).bind(name).fetch_all(connection).await.map_err(failed)?;
    let columns = columns.into_iter().map(|(name, of_type, generated)| (name, Column { of_type, generated }));
    Ok(Table { name: name.to_owned(), columns: columns.collect() })
}

/// Runs a statement that only names of ours and types of the catalog went into.
pub(super) async fn execute(connection: &mut PgConnection, statement: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(drop).map_err(failed)
}

/// Why the database refuses this row and would take others, in its words without its values; `None` when it is not about the row.
pub(super) fn refusal(error: &sqlx::Error) -> Option<String> {
    let sqlx::Error::Database(error) = error else { return None };
    let error = error.try_downcast_ref::<PgDatabaseError>()?;
    let named = |what: &str, name: Option<&str>| name.map(|name| format!(" ({what} {name})")).unwrap_or_default();
    match error.code().get(..2)? {
        "22" => Some(unquoted(error.message())),
        "23" | "44" => Some(format!(
            "{}{}{}",
            match error.code() {
                "23502" => "the column must not be empty",
                "23503" => "the row refers to one that is not there",
                "23505" => "another row has the same value",
                _ => "a constraint of the table refuses the row",
            },
            named("column", error.column()),
            named("constraint", error.constraint())
        )),
        // A trigger's own words may hold anything.
        "P0" => Some("a trigger of the table refuses the row".to_owned()),
        _ => None,
    }
}

/// A message without what stands in quotes: PostgreSQL quotes the value at fault.
fn unquoted(message: &str) -> String {
    let parts: Vec<&str> = message.split('"').collect();
    let shown: Vec<&str> = parts.iter().enumerate().map(|(index, part)| if index % 2 == 0 { *part } else { "…" }).collect();
    shown.concat()
}

/// The error that a call ends with. The database's own message is not kept: it may quote a value.
pub(super) fn failed(error: sqlx::Error) -> Error {
    let sqlx::Error::Database(cause) = &error else {
        return match &error {
            sqlx::Error::Tls(_) => Error::new(ErrorKind::Unavailable, "the database's encryption failed")
                .hint("set `sslmode` and `sslrootcert` in the url as the server needs them")
                .source(error),
            sqlx::Error::Io(_) => Error::new(ErrorKind::Unavailable, "the database cannot be reached")
                .hint("check the host and port in the url, and that the server runs")
                .source(error),
            _ => Error::new(ErrorKind::Unavailable, "the connection to the database broke").source(error),
        };
    };
    let code = cause.code().unwrap_or_default().into_owned();
    let (kind, message, hint) = match (code.get(..2).unwrap_or_default(), code.as_str()) {
        ("28", _) => (ErrorKind::Auth, "the database refused the user or password", "renew the secret that `url` names"),
        (_, "42501") => (
            ErrorKind::Auth,
            "the database user lacks a right",
            "grant it USAGE on the schema and SELECT, INSERT, UPDATE on the table; `create: true` also needs CREATE",
        ),
        (_, "3D000") => (ErrorKind::Config, "there is no such database", "check the name at the end of the url"),
        (_, "3F000") => (ErrorKind::Config, "there is no such schema", "create it, or set `schema`"),
        (_, "42P01") => (ErrorKind::Config, "there is no such table", "create it, or set `create: true`"),
        (_, "42703") => (ErrorKind::Config, "the table lacks a column", "add it, or set `create: true`"),
        (_, "42P10") => (ErrorKind::Config, "the column `headwater_id` is not unique", "add a unique index on it"),
        (_, "25006") => (ErrorKind::Config, "the database is read-only", "name the primary server in the url"),
        ("08" | "40" | "53" | "55" | "57" | "58", _) => {
            (ErrorKind::Unavailable, "the database does not work now", "see the server's log under this SQLSTATE")
        }
        _ => (ErrorKind::Rejected, "the database refused the statement", "see the server's log under this SQLSTATE"),
    };
    Error::new(kind, message).context("sqlstate", code).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_loses_the_value_it_quotes() {
        assert_eq!(
            unquoted("invalid input syntax for type integer: \"ada@example.com\""),
            "invalid input syntax for type integer: …"
        );
        assert_eq!(unquoted("value \"a\" is out of range for type \"b"), "value … is out of range for type …");
    }

    #[test]
    fn a_url_that_cannot_be_read_is_not_shown() {
        for url in ["host=secret", "postgres://u:p ss@host:port/db", "mysql://u:secret@h/d"] {
            let error = Client::new(&Secret::new(url)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(!format!("{error} {error:?} {:?}", error.hint_text()).contains("secret"), "{error:?}");
        }
    }
}
