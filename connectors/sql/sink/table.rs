//! The table and its statements, as text with places for values. Names are quoted, values are bound.

use std::collections::BTreeMap;
use std::iter;

use headwater_sdk::{Error, ErrorKind, Result};

use super::super::delivery::{KEY, UPDATED_AT};
use super::super::statements::Dialect;

/// The longest name that MySQL takes; SQLite takes any.
const LONGEST_NAME: usize = 64;

/// The table as the database has it.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) dialect: Dialect,
    /// Its name, quoted, with its schema.
    pub(super) name: String,
    /// By name; empty when there is no such table.
    pub(super) columns: BTreeMap<String, Column>,
}

/// A column of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// The database's name for its type.
    pub(super) of_type: String,
    pub(super) holds: Holds,
    /// Whether the database fills it by itself and takes no value.
    pub(super) generated: bool,
}

/// What a column's values are, as far as their text differs from ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Bytes, which are neither read nor written.
    Bytes,
    /// A flag, which MySQL keeps as a number.
    Flag,
    /// A time without a zone, which is UTC.
    Time,
    /// What has a text as we write it.
    Text,
}

impl Column {
    /// A column as the catalog describes it.
    pub(super) fn new(dialect: Dialect, of_type: String, generated: bool) -> Self {
        let name = of_type.to_ascii_lowercase();
        let holds = match dialect {
            Dialect::Mysql if name.contains("blob") || name.contains("binary") || name.starts_with("bit") => Holds::Bytes,
            Dialect::Mysql if name == "tinyint(1)" => Holds::Flag,
            Dialect::Mysql if name.starts_with("datetime") || name.starts_with("timestamp") => Holds::Time,
            Dialect::Sqlite if name.contains("blob") => Holds::Bytes,
            Dialect::Mysql | Dialect::Sqlite | Dialect::Postgres => Holds::Text,
        };
        Self { of_type, holds, generated }
    }

    /// One of our values as the column takes it.
    pub(super) fn stored(&self, value: &str) -> String {
        match self.holds {
            Holds::Flag if value.eq_ignore_ascii_case("true") => "1".to_owned(),
            Holds::Flag if value.eq_ignore_ascii_case("false") => "0".to_owned(),
            Holds::Time => match value.trim().parse::<jiff::Timestamp>() {
                Ok(at) => at.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string(),
                Err(_) => value.to_owned(),
            },
            Holds::Flag | Holds::Bytes | Holds::Text => value.to_owned(),
        }
    }

    /// One of its values as we write it.
    pub(super) fn shown(&self, value: String) -> String {
        match (self.holds, value.as_str()) {
            (Holds::Flag, "1") => "true".to_owned(),
            (Holds::Flag, "0") => "false".to_owned(),
            (Holds::Time, _) => {
                let at = format!("{}Z", value.replace(' ', "T")).parse::<jiff::Timestamp>();
                at.map_or(value, |at| at.to_string())
            }
            _ => value,
        }
    }
}

impl Table {
    /// A name as a statement may hold it.
    ///
    /// # Errors
    /// `Config` when the database could not keep it as it is.
    pub(super) fn quoted(dialect: Dialect, name: &str) -> Result<String> {
        if name.is_empty() || name.contains('\0') || dialect == Dialect::Mysql && name.chars().count() > LONGEST_NAME {
            return Err(Error::new(ErrorKind::Config, "a name must have between 1 and 64 characters")
                .context("name", name.chars().take(LONGEST_NAME).collect::<String>()));
        }
        Ok(dialect.quote(name))
    }

    fn quote(&self, name: &str) -> String {
        self.dialect.quote(name)
    }

    /// Makes the table.
    pub(super) fn create(&self) -> String {
        let (key, at) = (self.quote(KEY), self.quote(UPDATED_AT));
        match self.dialect {
            Dialect::Mysql => format!(
                "CREATE TABLE IF NOT EXISTS {} ({key} varchar(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, \
                 {at} datetime(6) NOT NULL DEFAULT (utc_timestamp(6))) ENGINE = InnoDB CHARACTER SET utf8mb4",
                self.name
            ),
            Dialect::Sqlite | Dialect::Postgres => format!(
                "CREATE TABLE IF NOT EXISTS {} ({key} text NOT NULL PRIMARY KEY, {at} text NOT NULL DEFAULT ({}))",
                self.name,
                self.now()
            ),
        }
    }

    /// Adds a column of text.
    pub(super) fn add_column(&self, name: &str) -> Result<String> {
        let of_type = match self.dialect {
            _ if name == KEY => "varchar(64) UNIQUE",
            Dialect::Mysql => "mediumtext CHARACTER SET utf8mb4",
            Dialect::Sqlite | Dialect::Postgres => "text",
        };
        Ok(format!("ALTER TABLE {} ADD COLUMN {} {of_type}", self.name, Self::quoted(self.dialect, name)?))
    }

    /// Adds so many rows of these fields, each with its id first.
    pub(super) fn insert(&self, fields: &[&str], rows: usize) -> String {
        let names: Vec<String> = iter::once(&KEY).chain(fields).map(|name| self.quote(name)).collect();
        let row = format!("({})", vec!["?"; names.len()].join(", "));
        format!("INSERT INTO {} ({}) VALUES {}", self.name, names.join(", "), vec![row; rows].join(", "))
    }

    /// Changes the row with an id, which is bound last.
    pub(super) fn update(&self, fields: &[&str]) -> String {
        let sets: Vec<String> = fields.iter().map(|name| format!("{} = ?", self.quote(name))).collect();
        format!("UPDATE {} SET {} WHERE {} = ?", self.name, sets.join(", "), self.quote(KEY))
    }

    /// Notes the time of the change in so many rows; nothing where the table keeps none or the user writes that column.
    pub(super) fn stamp(&self, fields: &[&str], rows: usize) -> Option<String> {
        let column = self.columns.get(UPDATED_AT)?;
        let keeps = column.holds == Holds::Time || self.dialect == Dialect::Sqlite && column.holds == Holds::Text;
        let places = vec!["?"; rows].join(", ");
        let set = || {
            format!(
                "UPDATE {} SET {} = {} WHERE {} IN ({places})",
                self.name,
                self.quote(UPDATED_AT),
                self.now(),
                self.quote(KEY)
            )
        };
        (keeps && !column.generated && !fields.contains(&UPDATED_AT)).then(set)
    }

    fn now(&self) -> &'static str {
        match self.dialect {
            Dialect::Mysql => "utc_timestamp(6)",
            Dialect::Sqlite | Dialect::Postgres => "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
        }
    }

    /// The id and these columns of the rows with so many ids, which nobody else changes until the transaction ends.
    pub(super) fn held(&self, fields: &[&str], ids: usize) -> String {
        let lock = if self.dialect == Dialect::Mysql { " FOR UPDATE" } else { "" };
        let condition = format!("{} IN ({})", self.quote(KEY), vec!["?"; ids].join(", "));
        format!("SELECT {} FROM {} WHERE {condition}{lock}", self.cells(fields), self.name)
    }

    /// The id and these columns of our rows that hold one of so many values in a column; at most `limit` rows.
    pub(super) fn find(&self, column: &str, fold: bool, (values, limit): (usize, usize)) -> String {
        let (key, column) = (self.quote(KEY), self.quote(column));
        let value = if fold { format!("lower(trim({column}))") } else { column };
        let fields: Vec<&str> = self.readable().collect();
        let places = vec!["?"; values].join(", ");
        format!(
            "SELECT {} FROM {} WHERE {key} IS NOT NULL AND {value} IN ({places}) LIMIT {limit}",
            self.cells(&fields),
            self.name
        )
    }

    /// Removes the row with an id.
    pub(super) fn delete(&self) -> String {
        format!("DELETE FROM {} WHERE {} = ?", self.name, self.quote(KEY))
    }

    /// The columns that a record shows, in order.
    pub(super) fn readable(&self) -> impl Iterator<Item = &str> {
        let readable = |(name, column): &(&String, &Column)| *name != KEY && column.holds != Holds::Bytes;
        self.columns.iter().filter(readable).map(|(name, _)| name.as_str())
    }

    fn cells(&self, fields: &[&str]) -> String {
        let text = if self.dialect == Dialect::Mysql { "char" } else { "text" };
        let cells: Vec<String> =
            iter::once(&KEY).chain(fields).map(|name| format!("CAST({} AS {text})", self.quote(name))).collect();
        cells.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_and_a_flag_are_kept_as_the_database_does_and_shown_as_we_do() {
        let column = |of_type: &str| Column::new(Dialect::Mysql, of_type.to_owned(), false);
        for (of_type, ours, theirs) in [
            ("datetime(6)", "2026-01-02T03:04:05.5Z", "2026-01-02 03:04:05.500000"),
            ("timestamp", "2026-01-02T10:20:00Z", "2026-01-02 10:20:00.000000"),
            ("tinyint(1)", "true", "1"),
            ("tinyint(1)", "false", "0"),
            ("tinyint(1)", "7", "7"),
            ("varchar(9)", "true", "true"),
        ] {
            assert_eq!(column(of_type).stored(ours), theirs, "{of_type}");
            assert_eq!(column(of_type).shown(theirs.to_owned()), ours, "{of_type}");
        }
        assert_eq!(column("datetime").shown("2026-01-02 10:20:00".to_owned()), "2026-01-02T10:20:00Z");
        assert_eq!(column("datetime").stored("soon"), "soon", "what is no time is the database's to refuse");
    }

    #[test]
    fn names_are_quoted_and_bounded() {
        assert_eq!(Table::quoted(Dialect::Mysql, "a`b").unwrap(), "`a``b`");
        assert_eq!(Table::quoted(Dialect::Sqlite, "a\"b").unwrap(), "\"a\"\"b\"");
        assert!(
            Table::quoted(Dialect::Mysql, &"é".repeat(65)).is_err() && Table::quoted(Dialect::Mysql, &"é".repeat(64)).is_ok()
        );
        assert!(Table::quoted(Dialect::Sqlite, "").is_err());
    }
}
