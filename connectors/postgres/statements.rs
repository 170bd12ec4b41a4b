//! The statements, as text. Names are quoted, types come from the catalog, values are bound.

use std::collections::BTreeMap;

use headwater_sdk::{Error, ErrorKind, Result};

use crate::sql::delivery::{KEY, UPDATED_AT};

/// PostgreSQL cuts longer names without a word.
const LONGEST_NAME: usize = 63;

/// The columns of the table. `$1` is its quoted name.
///
/// A cast to `varchar(3)` cuts what is too long, where an assignment refuses it; so these types are named without their length.
/// For every other type both do the same.
pub(super) const COLUMNS: &str = "
    SELECT a.attname::text,
           format_type(a.atttypid, CASE WHEN a.atttypid::regtype::text IN ('character', 'character varying', 'bit',
               'bit varying', 'character[]', 'character varying[]', 'bit[]', 'bit varying[]') THEN -1 ELSE a.atttypmod END),
           a.attgenerated <> '' OR a.attidentity = 'a'
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum";

/// Whether the user may read, add and change rows, and whether our id is unique. `$1` is the table's quoted name, `$2` the key.
pub(super) const RIGHTS: &str = "
    SELECT has_any_column_privilege(to_regclass($1::text), 'SELECT')
               AND has_any_column_privilege(to_regclass($1::text), 'INSERT')
               AND has_any_column_privilege(to_regclass($1::text), 'UPDATE'),
           EXISTS (SELECT FROM pg_catalog.pg_index i
                   JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                   WHERE i.indrelid = to_regclass($1::text) AND i.indisunique AND i.indnkeyatts = 1
                     AND i.indpred IS NULL AND a.attname = $2)";

/// The table as the database has it.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Its name, quoted, with its schema.
    pub(super) name: String,
    /// By name; empty when there is no such table.
    pub(super) columns: BTreeMap<String, Column>,
}

/// A column of it.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// Its type, as a cast names it.
    pub(super) of_type: String,
    /// Whether the database fills it by itself and takes no value.
    pub(super) generated: bool,
}

/// A name as a statement may hold it.
///
/// # Errors
/// `Config` when PostgreSQL could not keep the name as it is.
pub(super) fn quoted(name: &str) -> Result<String> {
    if name.is_empty() || name.len() > LONGEST_NAME || name.contains('\0') {
        return Err(Error::new(ErrorKind::Config, "a name must have between 1 and 63 bytes")
            .context("name", name.chars().take(LONGEST_NAME).collect::<String>()));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

impl Table {
    fn of_type(&self, name: &str) -> &str {
        self.columns.get(name).map_or("text", |column| column.of_type.as_str())
    }

    /// Whether an update sets the time of the change: not where the user writes that column, nor where it is no time.
    fn stamps(&self, fields: &[&str]) -> bool {
        self.of_type(UPDATED_AT).starts_with("timestamp") && !fields.contains(&UPDATED_AT)
    }

    /// `UNNEST` of one array of text per column, and each column cast to its type.
    fn input(&self, fields: &[&str]) -> (String, Vec<String>) {
        let names = || std::iter::once(KEY).chain(fields.iter().copied()).enumerate();
        let arrays: Vec<String> = names().map(|(index, _)| format!("${}::text[]", index + 1)).collect();
        let columns: Vec<String> = names().map(|(index, _)| format!("c{index}")).collect();
        let casts = names().map(|(index, name)| format!("u.c{index}::{}", self.of_type(name))).collect();
        (format!("UNNEST({}) AS u({})", arrays.join(", "), columns.join(", ")), casts)
    }

    /// Adds rows or changes those that are there; gives the ids of the rows it touched and whether each is new.
    pub(super) fn upsert(&self, fields: &[&str]) -> Result<String> {
        let (input, casts) = self.input(fields);
        let names = std::iter::once(&KEY).chain(fields).map(|name| quoted(name)).collect::<Result<Vec<_>>>()?;
        let changed = names.get(1..).unwrap_or_default();
        let mut sets: Vec<String> = changed.iter().map(|name| format!("{name} = EXCLUDED.{name}")).collect();
        if self.stamps(fields) {
            sets.push(format!("\"{UPDATED_AT}\" = now()"));
        }
        let action = if changed.is_empty() {
            "NOTHING".to_owned()
        } else {
            // As text, since some types (json, point) have no equality.
            let side = |table| -> Vec<String> { changed.iter().map(|name| format!("{table}.{name}::text")).collect() };
            format!(
                "UPDATE SET {} WHERE ROW({}) IS DISTINCT FROM ROW({})",
                sets.join(", "),
                side("t").join(", "),
                side("EXCLUDED").join(", ")
            )
        };
        // A row that was just inserted has never been locked or updated, so its xmax is 0.
        Ok(format!(
            "INSERT INTO {} AS t ({}) SELECT {} FROM {input} ON CONFLICT (\"{KEY}\") DO {action} \
             RETURNING t.\"{KEY}\"::text, t.xmax = 0",
            self.name,
            names.join(", "),
            casts.join(", ")
        ))
    }

    /// Changes rows that are there and differ; gives the ids of the rows it touched and `false`: none is new.
    pub(super) fn update(&self, fields: &[&str]) -> Result<String> {
        let (input, casts) = self.input(fields);
        let names = fields.iter().map(|name| quoted(name)).collect::<Result<Vec<_>>>()?;
        let (key, casts) = casts.split_first().map_or(("", &[][..]), |(key, casts)| (key.as_str(), casts));
        let mut sets: Vec<String> = names.iter().zip(casts).map(|(name, cast)| format!("{name} = {cast}")).collect();
        if self.stamps(fields) {
            sets.push(format!("\"{UPDATED_AT}\" = now()"));
        }
        let held: Vec<String> = names.iter().map(|name| format!("t.{name}::text")).collect();
        let wanted: Vec<String> = casts.iter().map(|cast| format!("({cast})::text")).collect();
        Ok(format!(
            "UPDATE {} AS t SET {} FROM {input} WHERE t.\"{KEY}\" = {key} AND ROW({}) IS DISTINCT FROM ROW({}) \
             RETURNING t.\"{KEY}\"::text, false",
            self.name,
            sets.join(", "),
            held.join(", "),
            wanted.join(", ")
        ))
    }

    /// What the rows with the ids in `$1` have in these columns; nobody else changes them until the transaction ends.
    pub(super) fn held(&self, fields: &[&str]) -> Result<String> {
        let cells = fields.iter().map(|name| Ok(format!("{}::text", quoted(name)?))).collect::<Result<Vec<_>>>()?;
        Ok(format!(
            "SELECT \"{KEY}\"::text, ARRAY[{}]::text[] FROM {} WHERE \"{KEY}\"::text = ANY($1::text[]) FOR UPDATE",
            cells.join(", "),
            self.name
        ))
    }

    /// Which of the ids in `$1` the table has.
    pub(super) fn present(&self) -> String {
        format!("SELECT \"{KEY}\"::text FROM {} WHERE \"{KEY}\"::text = ANY($1::text[])", self.name)
    }

    /// Removes the rows with the ids in `$1`; gives the ids of those it removed.
    pub(super) fn delete(&self) -> String {
        format!("DELETE FROM {} WHERE \"{KEY}\"::text = ANY($1::text[]) RETURNING \"{KEY}\"::text", self.name)
    }

    /// For each value in `$1` that the column holds: the value, on how many of our rows it stands, and one of them.
    pub(super) fn find(&self, column: &str, fold: bool) -> Result<String> {
        let column = quoted(column)?;
        let value = if fold { format!("lower(btrim({column}::text))") } else { format!("{column}::text") };
        let cells = self.readable().map(|name| Ok(format!("{}::text", quoted(name)?))).collect::<Result<Vec<_>>>()?;
        Ok(format!(
            "SELECT v, n, id, cells FROM (SELECT {value} AS v, count(*) OVER same AS n, row_number() OVER same AS r, \
             \"{KEY}\"::text AS id, ARRAY[{}]::text[] AS cells FROM {} WHERE \"{KEY}\" IS NOT NULL \
             AND {value} = ANY($1::text[]) WINDOW same AS (PARTITION BY {value})) AS found WHERE r = 1",
            cells.join(", "),
            self.name
        ))
    }

    /// The columns that a record shows, in order.
    pub(super) fn readable(&self) -> impl Iterator<Item = &str> {
        self.columns.keys().map(String::as_str).filter(|name| *name != KEY)
    }

    /// Makes the table.
    pub(super) fn create(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (\"{KEY}\" text PRIMARY KEY, \"{UPDATED_AT}\" timestamptz NOT NULL DEFAULT now())",
            self.name
        )
    }

    /// Adds a column of text.
    pub(super) fn add_column(&self, name: &str) -> Result<String> {
        let unique = if name == KEY { " UNIQUE" } else { "" };
        Ok(format!("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} text{unique}", self.name, quoted(name)?))
    }
}
