//! Connections, and what the databases' errors mean.

use std::path::Path;
use std::time::Duration;

use futures::TryStreamExt as _;
use headwater_sdk::{Error, ErrorKind, Result, Secret};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _, SqlSafeStr as _, Statement as _, TypeInfo as _,
    ValueRef as _,
};

use super::cells::{Cell, Kind};
use super::config::From;
use super::statements::{Column, Dialect, Statement};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// What our own watch over a statement waits beyond the database's.
const GRACE: Duration = Duration::from_secs(5);
/// The most bytes of a page; it ends after the row that reaches it.
const PAGE_BYTES: usize = 16 * 1024 * 1024;

/// The way to one database.
#[derive(Debug, Clone)]
pub(super) enum Client {
    Postgres(PgConnectOptions),
    Mysql(MySqlConnectOptions),
    Sqlite(SqliteConnectOptions, String),
}

/// The rows of a page.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) rows: Vec<Vec<Cell>>,
    /// Whether the page ended before the statement's rows did, since they are large.
    pub(super) is_cut: bool,
}

/// An open connection, with the longest that a statement may take.
pub(super) struct Connection {
    inner: Inner,
    timeout_secs: u64,
}

enum Inner {
    Postgres(PgConnection),
    Mysql(MySqlConnection),
    Sqlite(SqliteConnection),
}

impl Client {
    /// # Errors
    /// `Config` when the URL cannot be read; its text is a secret and is not shown.
    pub(super) fn server(dialect: Dialect, url: &Secret) -> Result<Self> {
        let url = url.expose_str();
        let (schemes, example): (&[&str], _) = match dialect {
            Dialect::Mysql => (&["mysql://", "mariadb://"], "mysql://user:password@host:3306/database"),
            Dialect::Postgres | Dialect::Sqlite => {
                (&["postgres://", "postgresql://"], "postgres://user:password@host:5432/database")
            }
        };
        let unreadable = || {
            Error::new(ErrorKind::Config, "the database's url cannot be read")
                .hint(format!("write {example}, with `@`, `/` and `:` of the password percent-encoded"))
        };
        if !schemes.iter().any(|scheme| url.starts_with(scheme)) {
            return Err(unreadable());
        }
        // The parser's own error may quote the url.
        Ok(match dialect {
            Dialect::Mysql => {
                Self::Mysql(url.parse::<MySqlConnectOptions>().map_err(|_| unreadable())?.disable_statement_logging())
            }
            Dialect::Postgres | Dialect::Sqlite => {
                let options: PgConnectOptions = url.parse().map_err(|_| unreadable())?;
                Self::Postgres(options.application_name("headwater").disable_statement_logging())
            }
        })
    }

    /// The SQLite file at `path`, which is only read.
    pub(super) fn sqlite(path: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(path).read_only(true).create_if_missing(false).busy_timeout(GRACE);
        Self::Sqlite(options.disable_statement_logging(), path.display().to_string())
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Mysql(_) => Dialect::Mysql,
            Self::Sqlite(..) => Dialect::Sqlite,
        }
    }

    pub(super) async fn connect(&self, timeout_secs: u64) -> Result<Connection> {
        let connect = async {
            Ok(match self {
                Self::Postgres(options) => Inner::Postgres(PgConnection::connect_with(options).await.map_err(failed)?),
                Self::Mysql(options) => {
                    let mut connection = MySqlConnection::connect_with(options).await.map_err(failed)?;
                    // MariaDB knows the first and MySQL the second; our own watch stands behind both.
                    let maria = format!("SET SESSION max_statement_time = {timeout_secs}");
                    if sqlx::raw_sql(AssertSqlSafe(maria)).execute(&mut connection).await.is_err() {
                        let mysql = format!("SET SESSION max_execution_time = {}", timeout_secs.saturating_mul(1_000));
                        let set = sqlx::raw_sql(AssertSqlSafe(mysql)).execute(&mut connection).await;
                        tracing::debug!(bounded = set.is_ok(), "statements bounded by the server");
                    }
                    Inner::Mysql(connection)
                }
                Self::Sqlite(options, path) => Inner::Sqlite(SqliteConnection::connect_with(options).await.map_err(|error| {
                    Error::new(ErrorKind::Config, format!("{path} cannot be opened as a SQLite file"))
                        .context("path", "path")
                        .hint("check that it exists, is a SQLite database and that this user may read it")
                        .source(error)
                })?),
            })
        };
        match tokio::time::timeout(CONNECT, connect).await {
            Ok(inner) => Ok(Connection { inner: inner?, timeout_secs }),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "the database did not answer in time")),
        }
    }
}

impl Connection {
    /// The columns of a table or query.
    pub(super) async fn columns(&mut self, from: &From) -> Result<Vec<Column>> {
        let dialect = self.dialect();
        let sql = AssertSqlSafe(dialect.describe(from)).into_sql_str();
        let described: Vec<(String, String)> = match &mut self.inner {
            Inner::Postgres(connection) => described(connection.prepare(sql).await.map_err(failed)?.columns()),
            Inner::Mysql(connection) => described(connection.prepare(sql).await.map_err(failed)?.columns()),
            Inner::Sqlite(connection) => described(connection.prepare(sql).await.map_err(failed)?.columns()),
        };
        let columns = described.into_iter().map(|(name, of_type)| Column { kind: kind(dialect, &of_type), name, of_type });
        let mut columns: Vec<Column> = columns.collect();
        if dialect == Dialect::Mysql {
            self.tell_text_from_bytes(from, &mut columns).await?;
        }
        Ok(columns)
    }

    /// MySQL calls text that is compared byte by byte, JSON of MariaDB among it, binary too; its character set tells.
    async fn tell_text_from_bytes(&mut self, from: &From, columns: &mut [Column]) -> Result<()> {
        let mut doubtful: Vec<&mut Column> = columns.iter_mut().filter(|column| column.kind == Kind::Binary).collect();
        if doubtful.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = doubtful.iter().map(|column| column.name.as_str()).collect();
        let shape = vec![Column { name: String::new(), kind: Kind::Other, of_type: String::new() }; names.len()];
        let rows = self.rows((Dialect::Mysql.charsets(from, &names), Vec::new()), &shape).await?.rows;
        for (column, charset) in doubtful.iter_mut().zip(rows.first().into_iter().flatten()) {
            if charset.text().is_some_and(|charset| charset != "binary") {
                column.kind = Kind::Other;
            }
        }
        Ok(())
    }

    fn dialect(&self) -> Dialect {
        match &self.inner {
            Inner::Postgres(_) => Dialect::Postgres,
            Inner::Mysql(_) => Dialect::Mysql,
            Inner::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// The rows of a statement, up to the first that fills a page; each with as many cells as `columns`.
    pub(super) async fn rows(&mut self, statement: Statement, columns: &[Column]) -> Result<Rows> {
        let timeout = Duration::from_secs(self.timeout_secs).saturating_add(GRACE);
        match tokio::time::timeout(timeout, self.fetch(statement, columns)).await {
            Ok(rows) => rows,
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "a statement took too long")
                .hint("add an index on the cursor's column and the key, or raise `statement_timeout_secs`")),
        }
    }

    async fn fetch(&mut self, (sql, binds): Statement, columns: &[Column]) -> Result<Rows> {
        let sql = AssertSqlSafe(sql);
        match &mut self.inner {
            Inner::Postgres(connection) => {
                // Dates and times read the same way on every server.
                let begin = format!(
                    "BEGIN READ ONLY; SET LOCAL statement_timeout = '{}s'; SET LOCAL timezone = 'UTC'; \
                     SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'iso_8601'; SET LOCAL extra_float_digits = 1",
                    self.timeout_secs
                );
                sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *connection).await.map_err(failed)?;
                let query = binds.iter().fold(sqlx::query(sql), |query, (_, cell)| query.bind(cell.text()));
                let rows = gather(query.fetch(&mut *connection), |row| texts(row, columns.len())).await?;
                sqlx::raw_sql("COMMIT").execute(connection).await.map_err(failed)?;
                Ok(rows)
            }
            Inner::Mysql(connection) => {
                sqlx::raw_sql("START TRANSACTION READ ONLY").execute(&mut *connection).await.map_err(failed)?;
                let mut query = sqlx::query(sql);
                for (column, cell) in &binds {
                    // A number in a text would be compared as a float, which rounds.
                    let is_integer = columns.get(*column).is_some_and(|column| column.kind == Kind::Integer);
                    let text = cell.text();
                    let number = text.as_deref().filter(|_| is_integer).map(|text| (text.parse::<i64>(), text.parse::<u64>()));
                    query = match number {
                        Some((Ok(number), _)) => query.bind(number),
                        Some((Err(_), Ok(number))) => query.bind(number),
                        Some((Err(_), Err(_))) | None => query.bind(text),
                    };
                }
                let rows = gather(query.fetch(&mut *connection), |row| texts(row, columns.len())).await?;
                sqlx::raw_sql("COMMIT").execute(connection).await.map_err(failed)?;
                Ok(rows)
            }
            Inner::Sqlite(connection) => {
                let query = binds.iter().fold(sqlx::query(sql), |query, (_, cell)| match cell {
                    Cell::Integer(number) => query.bind(*number),
                    Cell::Null | Cell::Text(_) | Cell::Binary => query.bind(cell.text()),
                });
                gather(query.fetch(connection), |row| values(row, columns.len())).await
            }
        }
    }
}

fn described<C: sqlx::Column>(columns: &[C]) -> Vec<(String, String)> {
    columns.iter().map(|column| (column.name().to_owned(), column.type_info().name().to_owned())).collect()
}

/// What a type's values are; SQLite says so value by value.
fn kind(dialect: Dialect, of_type: &str) -> Kind {
    let name = of_type.to_uppercase();
    match (dialect, name.as_str()) {
        (Dialect::Postgres, "TIMESTAMPTZ") | (Dialect::Mysql, "TIMESTAMP") => Kind::Instant,
        (Dialect::Postgres, "TIMESTAMP") | (Dialect::Mysql, "DATETIME") => Kind::DateTime,
        (Dialect::Postgres, "BYTEA") => Kind::Binary,
        (Dialect::Mysql, name) if name.ends_with("BLOB") || name.ends_with("BINARY") || matches!(name, "BIT" | "GEOMETRY") => {
            Kind::Binary
        }
        (Dialect::Postgres, "INT2" | "INT4" | "INT8") => Kind::Integer,
        (Dialect::Mysql, name) if name.contains("INT") || name == "BOOLEAN" => Kind::Integer,
        _ => Kind::Other,
    }
}

async fn gather<R>(
    mut rows: impl futures::Stream<Item = sqlx::Result<R>> + Unpin,
    cells: impl Fn(&R) -> sqlx::Result<Vec<Cell>>,
) -> Result<Rows> {
    let (mut all, mut bytes, mut is_cut) = (Vec::new(), 0, false);
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        // The rest is drained, not kept: the page ends here, and the next begins after its last row.
        if bytes >= PAGE_BYTES {
            is_cut = true;
            continue;
        }
        let row = cells(&row).map_err(failed)?;
        bytes += row.iter().map(Cell::bytes).sum::<usize>();
        all.push(row);
    }
    Ok(Rows { rows: all, is_cut })
}

/// The cells of a row whose columns were cast to text.
fn texts<R: sqlx::Row>(row: &R, columns: usize) -> sqlx::Result<Vec<Cell>>
where
    usize: sqlx::ColumnIndex<R>,
    for<'r> Option<String>: sqlx::Decode<'r, R::Database>,
{
    let cell = |place| row.try_get_unchecked::<Option<String>, _>(place).map(|text| text.map_or(Cell::Null, Cell::Text));
    (0..columns).map(cell).collect()
}

/// The cells of a row whose values have types of their own.
fn values(row: &SqliteRow, columns: usize) -> sqlx::Result<Vec<Cell>> {
    let cell = |place: usize| {
        let value = row.try_get_raw(place)?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        let of_type = value.type_info().name().to_owned();
        Ok(match of_type.as_str() {
            "INTEGER" => Cell::Integer(row.try_get_unchecked(place)?),
            // The shortest text that is this number again.
            "REAL" => Cell::Text(format!("{:?}", row.try_get_unchecked::<f64, _>(place)?)),
            "BLOB" => Cell::Binary,
            _ => Cell::Text(row.try_get_unchecked(place)?),
        })
    };
    (0..columns).map(cell).collect()
}

const _: fn(&PgRow, usize) -> sqlx::Result<Vec<Cell>> = texts::<PgRow>;
const _: fn(&MySqlRow, usize) -> sqlx::Result<Vec<Cell>> = texts::<MySqlRow>;

/// The error that a call ends with. The database's own message is not kept: it may quote a value.
pub(super) fn failed(error: sqlx::Error) -> Error {
    let sqlx::Error::Database(cause) = &error else {
        return match &error {
            sqlx::Error::Tls(_) => Error::new(ErrorKind::Unavailable, "the database's encryption failed")
                .hint("set `sslmode` (PostgreSQL) or `ssl-mode` (MySQL) in the url as the server needs it")
                .source(error),
            sqlx::Error::Io(_) => Error::new(ErrorKind::Unavailable, "the database cannot be reached")
                .hint("check the host and port in the url, and that the server runs")
                .source(error),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                Error::new(ErrorKind::Input, "a value of the database is not text").hint("read a `query` that casts the column")
            }
            _ => Error::new(ErrorKind::Unavailable, "the connection to the database broke").source(error),
        };
    };
    let code = cause.code().unwrap_or_default().into_owned();
    // SQLite has one code for most of what is wrong in a statement, and its words name no values.
    let sqlite = |words: &str| code == "1" && cause.message().starts_with(words);
    let (kind, message, hint) = match (code.get(..2).unwrap_or_default(), code.as_str()) {
        ("28", _) => (ErrorKind::Auth, "the database refused the user or password", "renew the secret that `url` names"),
        (_, "42501" | "42000") if cause.message().contains("denied") => {
            (ErrorKind::Auth, "the database user lacks a right", "grant it SELECT on the table")
        }
        (_, "3D000") => (ErrorKind::Config, "there is no such database", "check the name at the end of the url"),
        (_, "42S21") => (ErrorKind::Config, "two columns have one name", "give them names of their own with `AS`"),
        (_, "5" | "6") => (ErrorKind::Unavailable, "the file is locked by another program", "run again when that is done"),
        _ if sqlite("no such table") => (ErrorKind::Config, "there is no such table", "check `table` or `query`"),
        _ if sqlite("no such column") => (ErrorKind::Config, "there is no such column", "check `query`, `key` and `cursor`"),
        (_, "42P01" | "42S02") => (ErrorKind::Config, "there is no such table", "check `table` or `query`"),
        (_, "42703" | "42S22") => (ErrorKind::Config, "there is no such column", "check `query`, `key` and `cursor`"),
        (_, "25006") => (ErrorKind::Config, "the query wants to write", "a source only reads: write a `SELECT`"),
        (_, "57014") => (
            ErrorKind::Unavailable,
            "a statement took too long",
            "add an index on the cursor's column and the key, or raise `statement_timeout_secs`",
        ),
        ("08" | "40" | "53" | "55" | "57" | "58", _) => {
            (ErrorKind::Unavailable, "the database does not work now", "see the server's log under this code")
        }
        _ => (ErrorKind::Config, "the database refused the statement", "try `query` in the database's own shell"),
    };
    Error::new(kind, message).context("code", code).hint(hint)
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("timeout_secs", &self.timeout_secs).finish_non_exhaustive()
    }
}
