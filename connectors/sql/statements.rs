//! The statements, as text with places for values. Names are quoted, values are bound.

use headwater_sdk::{Error, ErrorKind, Result};

use super::cells::{Cell, Kind};
use super::config::From;

/// Whose SQL it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    Mysql,
    Sqlite,
}

/// A column, as the database describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The database's name for its type.
    pub(super) of_type: String,
}

/// What is read, in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) dialect: Dialect,
    pub(super) from: From,
    pub(super) columns: Vec<Column>,
    /// The places of the key's columns among `columns`.
    pub(super) key: Vec<usize>,
    /// The place of the cursor's column.
    pub(super) cursor: Option<usize>,
    pub(super) limit: u32,
}

/// Which rows a statement asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// All of them.
    All,
    /// Those without a value of the cursor.
    Unmarked,
    /// Those whose cursor is at this value or later; those with any value.
    Since(Option<Cell>),
}

/// A statement and the values of its places, each with the place of the column that it is compared with.
pub(super) type Statement = (String, Vec<(usize, Cell)>);

impl Dialect {
    pub(super) fn quote(self, name: &str) -> String {
        match self {
            Self::Mysql => format!("`{}`", name.replace('`', "``")),
            Self::Postgres | Self::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }

    fn relation(self, from: &From) -> String {
        match from {
            From::Table(table) => table.split('.').map(|part| self.quote(part)).collect::<Vec<_>>().join("."),
            // A comment at the end of the query must not swallow the bracket.
            From::Query(query) => format!("({query}\n)"),
        }
    }

    /// A statement that gives no row and tells the columns.
    pub(super) fn describe(self, from: &From) -> String {
        format!("SELECT * FROM {} AS hw WHERE 1 = 0", self.relation(from))
    }

    /// A statement of one row with the character set of each column; it reads no row of the table.
    pub(super) fn charsets(self, from: &From, names: &[&str]) -> String {
        let asked: Vec<String> = names.iter().map(|name| format!("CHARSET(hw.{})", self.quote(name))).collect();
        format!("SELECT {} FROM (SELECT 1 AS one) AS one LEFT JOIN {} AS hw ON 1 = 0", asked.join(", "), self.relation(from))
    }

    /// The type that a bound text is cast to where it is compared with a column.
    fn cast(self, column: &Column) -> Result<Option<&'static str>> {
        if self != Self::Postgres {
            return Ok(None);
        }
        let known = match column.of_type.to_uppercase().as_str() {
            "INT2" => "int2",
            "INT4" => "int4",
            "INT8" => "int8",
            "NUMERIC" => "numeric",
            "UUID" => "uuid",
            "DATE" => "date",
            "TIMESTAMP" => "timestamp",
            "TIMESTAMPTZ" => "timestamptz",
            "TEXT" | "VARCHAR" | "NAME" => "text",
            "CHAR" | "BPCHAR" => "bpchar",
            "CITEXT" => "citext",
            other => {
                let what = format!("rows cannot be put in order by `{}` of type {}", column.name, other.to_lowercase());
                return Err(Error::new(ErrorKind::Config, what).hint("read a `query` that casts it, for example to text"));
            }
        };
        Ok(Some(known))
    }
}

impl Plan {
    /// The next rows of a part, after the row whose cursor and key are `after`.
    pub(super) fn page(&self, part: &Part, after: Option<&[Cell]>) -> Result<Statement> {
        let mut binds = Vec::new();
        let mut conditions = Vec::new();
        match (part, self.cursor) {
            (Part::Unmarked, Some(cursor)) => conditions.push(format!("{} IS NULL", self.name(cursor))),
            (Part::Since(None), Some(cursor)) => conditions.push(format!("{} IS NOT NULL", self.name(cursor))),
            (Part::Since(Some(start)), Some(cursor)) => {
                let place = self.place(cursor, start.clone(), &mut binds)?;
                conditions.push(format!("{} >= {place}", self.name(cursor)));
            }
            (Part::All, _) | (_, None) => {}
        }
        let order = self.order(part);
        if let Some(after) = after {
            let names: Vec<String> = order.iter().map(|place| self.name(*place)).collect();
            let places = order.iter().zip(after).map(|(column, cell)| self.place(*column, cell.clone(), &mut binds));
            let places = places.collect::<Result<Vec<_>>>()?;
            conditions.push(format!("({}) > ({})", names.join(", "), places.join(", ")));
        }
        let columns: Vec<String> = (0..self.columns.len()).map(|place| self.selected(place)).collect();
        let sorted: Vec<String> = order.iter().map(|place| self.name(*place)).collect();
        let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        // One row more than a page: it tells whether there is a next one, and that the key tells rows apart.
        let statement = format!(
            "SELECT {} FROM {} AS hw{filter} ORDER BY {} LIMIT {}",
            columns.join(", "),
            self.dialect.relation(&self.from),
            sorted.join(", "),
            u64::from(self.limit) + 1
        );
        Ok((statement, binds))
    }

    /// A statement that gives a row when some row has no key.
    pub(super) fn keyless(&self) -> String {
        let absent: Vec<String> = self.key.iter().map(|place| format!("{} IS NULL", self.name(*place))).collect();
        format!("SELECT 1 FROM {} AS hw WHERE {} LIMIT 1", self.dialect.relation(&self.from), absent.join(" OR "))
    }

    /// The columns by which the rows of a part are sorted.
    pub(super) fn order(&self, part: &Part) -> Vec<usize> {
        let cursor = match part {
            Part::Since(_) => self.cursor,
            Part::All | Part::Unmarked => None,
        };
        cursor.into_iter().chain(self.key.iter().copied().filter(|place| Some(*place) != cursor)).collect()
    }

    fn name(&self, place: usize) -> String {
        format!("hw.{}", self.dialect.quote(self.columns.get(place).map_or("", |column| &column.name)))
    }

    fn selected(&self, place: usize) -> String {
        let name = self.name(place);
        match self.dialect {
            Dialect::Postgres => format!("{name}::text"),
            Dialect::Mysql => format!("CAST({name} AS CHAR)"),
            // A value has its own type there, which a cast would round.
            Dialect::Sqlite => name,
        }
    }

    fn place(&self, column: usize, cell: Cell, binds: &mut Vec<(usize, Cell)>) -> Result<String> {
        binds.push((column, cell));
        Ok(match (self.dialect, self.columns.get(column)) {
            (Dialect::Postgres, Some(described)) => {
                let cast = self.dialect.cast(described)?.map(|of_type| format!("::{of_type}")).unwrap_or_default();
                format!("${}::text{cast}", binds.len())
            }
            _ => "?".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(dialect: Dialect) -> Plan {
        let column = |name: &str, kind, of_type: &str| Column { name: name.to_owned(), kind, of_type: of_type.to_owned() };
        Plan {
            dialect,
            from: From::Table("crm.peo\"ple".to_owned()),
            columns: vec![column("id", Kind::Integer, "INT8"), column("at", Kind::Instant, "TIMESTAMPTZ")],
            key: vec![0],
            cursor: Some(1),
            limit: 9,
        }
    }

    #[test]
    fn a_page_starts_at_the_bound_and_after_the_last_row() {
        let start = Cell::Text("2026-01-01 00:00:00".to_owned());
        let last = [Cell::Text("2026-01-02 00:00:00+00".to_owned()), Cell::Text("7".to_owned())];
        let (sql, binds) = plan(Dialect::Postgres).page(&Part::Since(Some(start)), Some(&last)).unwrap();
        assert_eq!(
            sql,
            "SELECT hw.\"id\"::text, hw.\"at\"::text FROM \"crm\".\"peo\"\"ple\" AS hw WHERE hw.\"at\" >= $1::text::timestamptz \
             AND (hw.\"at\", hw.\"id\") > ($2::text::timestamptz, $3::text::int8) ORDER BY hw.\"at\", hw.\"id\" LIMIT 10"
        );
        assert_eq!(binds.iter().map(|(column, _)| *column).collect::<Vec<_>>(), [1, 1, 0]);
    }

    #[test]
    fn names_are_quoted_as_each_database_wants_it() {
        assert_eq!(Dialect::Mysql.quote("a`b\"c"), "`a``b\"c`");
        assert_eq!(Dialect::Sqlite.quote("a`b\"c"), "\"a`b\"\"c\"");
        let from = From::Query("select 1 -- one".to_owned());
        assert_eq!(Dialect::Sqlite.describe(&from), "SELECT * FROM (select 1 -- one\n) AS hw WHERE 1 = 0");
    }

    #[test]
    fn a_type_without_an_order_is_named() {
        let mut plan = plan(Dialect::Postgres);
        plan.columns[0].of_type = "POINT".to_owned();
        let error = plan.page(&Part::All, Some(&[Cell::Text("x".to_owned())])).unwrap_err();
        assert!(error.to_string().contains("`id` of type point"), "{error}");
    }
}
