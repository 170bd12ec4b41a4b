//! Connections for writing, and why a database refuses a row.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use headwater_sdk::{Error, ErrorKind, Result, Secret};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::super::client::failed;
use super::super::delivery::KEY;
use super::super::statements::Dialect;
use super::table::{Column, Table};

/// How long a connection may take to be made, a statement may take, and a lock be waited for.
const CONNECT: Duration = Duration::from_secs(10);
/// Values that do not fit are refused, not cut; times are UTC; nothing waits for ever.
const MYSQL_SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,\
                             NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', innodb_lock_wait_timeout = 10";
/// The columns of a table of MySQL. Its catalog gives some names as bytes.
const MYSQL_COLUMNS: &str = "SELECT CAST(column_name AS char), CAST(column_type AS char), \
                             IF(extra LIKE '%GENERATED%' AND extra NOT LIKE 'DEFAULT_GENERATED%', '1', '0') \
                             FROM information_schema.columns WHERE table_schema = coalesce(?, database()) AND table_name = ?";
/// Whether one of its unique indexes is on our id alone.
const MYSQL_UNIQUE: &str = "SELECT CAST(max(column_name) AS char) FROM information_schema.statistics \
                            WHERE table_schema = coalesce(?, database()) AND table_name = ? AND non_unique = 0 \
                            GROUP BY index_name HAVING count(*) = 1";
const SQLITE_COLUMNS: &str = "SELECT name, type, CAST(hidden IN (2, 3) AS text) FROM pragma_table_xinfo(?2) WHERE ?1 IS NULL";
const SQLITE_UNIQUE: &str = "SELECT max(i.name) FROM pragma_index_list(?2) AS l JOIN pragma_index_info(l.name) AS i \
                             WHERE ?1 IS NULL AND l.\"unique\" = 1 AND l.partial = 0 GROUP BY l.name HAVING count(*) = 1";

/// The way to one table.
#[derive(Debug)]
pub(super) struct Way {
    options: Options,
    schema: Option<String>,
    table: String,
}

#[derive(Debug)]
enum Options {
    Mysql(MySqlConnectOptions),
    Sqlite(SqliteConnectOptions, String),
}

/// An open connection.
pub(super) enum Open {
    Mysql(MySqlConnection),
    Sqlite(SqliteConnection),
}

impl Way {
    /// # Errors
    /// `Config` when the URL cannot be read; its text is a secret and is not shown.
    pub(super) fn mysql(url: &Secret, table: &str) -> Result<Self> {
        let unreadable = || {
            Error::new(ErrorKind::Config, "the database's url cannot be read")
                .hint("write mysql://user:password@host:3306/database, with `@`, `/` and `:` of the password percent-encoded")
        };
        let url = url.expose_str();
        if !url.starts_with("mysql://") && !url.starts_with("mariadb://") {
            return Err(unreadable());
        }
        // The parser's own error may quote the url.
        let options: MySqlConnectOptions = url.parse().map_err(|_| unreadable())?;
        let (schema, table) = match table.split_once('.') {
            Some((schema, table)) => (Some(schema.to_owned()), table),
            None => (None, table),
        };
        Ok(Self { options: Options::Mysql(options.disable_statement_logging()), schema, table: table.to_owned() })
    }

    /// The file at `path`, which is made where that is wanted.
    pub(super) fn sqlite(path: &Path, table: &str, create: bool) -> Self {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(create).busy_timeout(CONNECT);
        let options = Options::Sqlite(options.disable_statement_logging(), path.display().to_string());
        Self { options, schema: None, table: table.to_owned() }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self.options {
            Options::Mysql(_) => Dialect::Mysql,
            Options::Sqlite(..) => Dialect::Sqlite,
        }
    }

    /// The table's name as a statement holds it.
    pub(super) fn name(&self) -> Result<String> {
        let quoted = |name: &str| Table::quoted(self.dialect(), name);
        let table = quoted(&self.table)?;
        Ok(match &self.schema {
            Some(schema) => format!("{}.{table}", quoted(schema)?),
            None => table,
        })
    }

    /// One connection per call: nothing lingers between calls.
    pub(super) async fn open(&self) -> Result<Open> {
        let connect =
            async {
                Ok(match &self.options {
                    Options::Mysql(options) => {
                        let mut connection = MySqlConnection::connect_with(options).await.map_err(failed)?;
                        sqlx::raw_sql(MYSQL_SESSION).execute(&mut connection).await.map_err(failed)?;
                        Open::Mysql(connection)
                    }
                    Options::Sqlite(options, path) => {
                        Open::Sqlite(SqliteConnection::connect_with(options).await.map_err(|error| {
                            Error::new(ErrorKind::Config, format!("{path} cannot be opened as a SQLite file"))
                        .context("path", "path")
                        .hint("check that it is a SQLite database that this user may write; `create: true` makes a missing one")
                        .source(error)
                        })?)
                    }
                })
            };
        match tokio::time::timeout(CONNECT, connect).await {
            Ok(open) => open,
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "the database did not answer in time")),
        }
    }

    /// What the table looks like; no columns where there is none.
    pub(super) async fn table(&self, open: &mut Open) -> Result<Table> {
        let dialect = self.dialect();
        let rows = open.rows(if dialect == Dialect::Mysql { MYSQL_COLUMNS } else { SQLITE_COLUMNS }, &self.place(), 3).await;
        let mut columns = BTreeMap::new();
        for row in rows.map_err(failed)? {
            if let [Some(name), of_type, generated] = &row[..] {
                let of_type = of_type.clone().unwrap_or_default();
                columns.insert(name.clone(), Column::new(dialect, of_type, generated.as_deref() == Some("1")));
            }
        }
        Ok(Table { dialect, name: self.name()?, columns })
    }

    /// Whether our id is unique in the table.
    pub(super) async fn is_unique(&self, open: &mut Open) -> Result<bool> {
        let statement = if self.dialect() == Dialect::Mysql { MYSQL_UNIQUE } else { SQLITE_UNIQUE };
        let rows = open.rows(statement, &self.place(), 1).await.map_err(failed)?;
        Ok(rows.iter().any(|row| matches!(&row[..], [Some(name)] if name == KEY)))
    }

    fn place(&self) -> [Option<String>; 2] {
        [self.schema.clone(), Some(self.table.clone())]
    }
}

impl Open {
    /// The rows of a statement, each with so many cells as text.
    pub(super) async fn rows(
        &mut self,
        sql: &str,
        binds: &[Option<String>],
        cells: usize,
    ) -> sqlx::Result<Vec<Vec<Option<String>>>> {
        macro_rules! fetched {
            ($connection:expr) => {{
                let query =
                    binds.iter().fold(sqlx::query(AssertSqlSafe(sql)).persistent(false), |query, value| query.bind(value));
                let rows = query.fetch_all($connection).await?;
                let text = |row: &_| (0..cells).map(|place| sqlx::Row::try_get_unchecked(row, place)).collect();
                rows.iter().map(text).collect()
            }};
        }
        match self {
            Self::Mysql(connection) => fetched!(connection),
            Self::Sqlite(connection) => fetched!(connection),
        }
    }

    /// Runs a statement; how many rows it touched.
    pub(super) async fn execute(&mut self, sql: &str, binds: &[Option<String>]) -> sqlx::Result<u64> {
        macro_rules! executed {
            ($connection:expr) => {{
                let query = binds.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, value| query.bind(value));
                query.execute($connection).await?.rows_affected()
            }};
        }
        Ok(match self {
            Self::Mysql(connection) => executed!(connection),
            Self::Sqlite(connection) => executed!(connection),
        })
    }

    /// Begins, ends or defines: a statement of ours without values.
    pub(super) async fn run(&mut self, sql: &str) -> Result<()> {
        let done = match self {
            Self::Mysql(connection) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop),
            Self::Sqlite(connection) => sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop),
        };
        done.map_err(failed)
    }

    /// Begins a transaction that will write.
    pub(super) async fn begin(&mut self) -> Result<()> {
        let begin = match self {
            Self::Mysql(_) => "START TRANSACTION",
            // A transaction that begins by reading could not write once another has written.
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
        };
        self.run(begin).await
    }
}

/// Why the database refuses this row and would take others, without its values; `None` when it is not about the row.
pub(super) fn refusal(error: &sqlx::Error) -> Option<String> {
    let sqlx::Error::Database(error) = error else { return None };
    match error.try_downcast_ref::<MySqlDatabaseError>() {
        Some(error) => of_mysql(error.number(), error.message()),
        None => of_sqlite(error.code()?.parse().ok()?, error.message()),
    }
}

/// MySQL's words hold the value at fault, so only the column is taken out of them.
fn of_mysql(number: u16, message: &str) -> Option<String> {
    let what = match number {
        1048 | 1364 => "the column must not be empty",
        1062 => "another row has the same value",
        1264 | 1690 => "the value is out of range for the column",
        1292 | 1366 | 1411 => "the value does not fit the column's type",
        1265 => "the value is not one of those that the column takes",
        1406 => "the value is too long for the column",
        1451 | 1452 => "the row refers to one that is not there, or another refers to it",
        3819 | 4025 => "a constraint of the table refuses the row",
        3140 | 4038 => "the value is no JSON",
        // A trigger's own words may hold anything.
        1644 => "a trigger of the table refuses the row",
        _ => return None,
    };
    // `… for column 'score' at row 1`, or with the schema and table before the name; `Column 'score' cannot be null`.
    let quoted = message.to_lowercase().find("column ").and_then(|at| message.get(at + "column ".len()..));
    let quoted = quoted.map(|rest| rest.split(" at row ").next().unwrap_or(rest));
    let column = quoted.and_then(|text| {
        let text = text.split(" cannot ").next().unwrap_or(text);
        text.trim().rsplit('.').next().map(|name| name.trim_matches(['\'', '`', '"']))
    });
    let column = column.filter(|name| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_- ".contains(c)));
    Some(column.map_or_else(|| what.to_owned(), |column| format!("{what} (field {column})")))
}

/// SQLite's words name columns, never values.
fn of_sqlite(code: u32, message: &str) -> Option<String> {
    /// The extended code of a trigger's refusal.
    const TRIGGER: u32 = 1811;
    let columns = message.rsplit(": ").next().unwrap_or_default();
    let column = columns.split(", ").next().and_then(|first| first.rsplit('.').next()).unwrap_or_default();
    match (code & 0xff, code) {
        (19, TRIGGER) => Some("a trigger of the table refuses the row".to_owned()),
        (19, 1299) => Some(format!("the column must not be empty (field {column})")),
        (19, 1555 | 2067) => Some(format!("another row has the same value (field {column})")),
        (19, 3091) => Some(format!(
            "the value does not fit the column's type (field {})",
            message.rsplit(['.', ' ']).next().unwrap_or_default()
        )),
        (19, 787) => Some("the row refers to one that is not there, or another refers to it".to_owned()),
        (19, _) => Some("a constraint of the table refuses the row".to_owned()),
        (20, _) => Some("the value does not fit the column's type".to_owned()),
        (18, _) => Some("the value is too long for the database".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_the_column_and_hides_the_value() {
        for (number, message, expected) in [
            (
                1366,
                "Incorrect integer value: 'ada@example.com' for column `crm`.`people`.`score` at row 1",
                "the value does not fit the column's type (field score)",
            ),
            (
                1366,
                "Incorrect integer value: 'x' for column 'score' at row 12",
                "the value does not fit the column's type (field score)",
            ),
            (1406, "Data too long for column 'code' at row 1", "the value is too long for the column (field code)"),
            (1048, "Column 'note' cannot be null", "the column must not be empty (field note)"),
            (1062, "Duplicate entry 'ada@example.com' for key 'email'", "another row has the same value"),
            (1644, "ada@example.com is unlucky", "a trigger of the table refuses the row"),
        ] {
            assert_eq!(of_mysql(number, message).as_deref(), Some(expected));
        }
        assert_eq!(of_mysql(1213, "Deadlock found"), None);
        for (code, message, expected) in [
            (2067, "UNIQUE constraint failed: people.email", "another row has the same value (field email)"),
            (1299, "NOT NULL constraint failed: people.note", "the column must not be empty (field note)"),
            (
                3091,
                "cannot store TEXT value in INTEGER column people.score",
                "the value does not fit the column's type (field score)",
            ),
            (1811, "ada@example.com is unlucky", "a trigger of the table refuses the row"),
        ] {
            assert_eq!(of_sqlite(code, message).as_deref(), Some(expected));
        }
        assert_eq!(of_sqlite(5, "database is locked"), None);
    }

    #[test]
    fn a_url_that_cannot_be_read_is_not_shown() {
        for url in ["host=secret", "mysql://u:p ss@host:port/db", "postgres://u:secret@h/d"] {
            let error = Way::mysql(&Secret::new(url), "people").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(!format!("{error} {error:?} {:?}", error.hint_text()).contains("secret"), "{error:?}");
        }
    }
}
