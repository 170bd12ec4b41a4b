//! The source: one stream, `rows`, of a table or query.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use futures::StreamExt as _;
use headwater_model::aliases;
use headwater_model::checkpoint::Checkpoint;
use headwater_model::mapping::{Origin, Role};
use headwater_model::page::{Page, Places, Refused};
use headwater_sdk::{Clock, Error, ErrorKind, EventStream, Result, Source, SourceEvent, StreamSpec};

use super::cells::{Cell, Kind, earlier};
use super::client::{Client, Connection, Rows};
use super::config::{CursorType, Deletions, From, Wanted};
use super::position::Position;
use super::statements::{Column, Part, Plan};

/// The longest value that becomes a field: a longer one is a document and no property of a person.
const MAX_CELL_BYTES: usize = 1024 * 1024;
/// Parts the values of a key of several columns; it stands in no text a person types.
const KEY_SEPARATOR: &str = "\u{1f}";
/// How far a run starts before the newest time where the user says nothing.
const OVERLAP_SECS: u32 = 60;

/// A table or query of one database.
#[derive(Debug, Clone)]
pub(super) struct Table {
    client: Client,
    wanted: Arc<Wanted>,
    clock: Clock,
}

impl Table {
    pub(super) fn new(client: Client, wanted: Wanted, clock: Clock) -> Self {
        Self { client, wanted: Arc::new(wanted), clock }
    }

    async fn open(&self) -> Result<(Connection, Plan)> {
        let mut connection = self.client.connect(self.wanted.timeout_secs).await?;
        let dialect = self.client.dialect();
        let there = connection.columns(&self.wanted.from).await?;
        let columns = self.columns(there)?;
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let key = self.wanted.key.iter().filter_map(place).collect();
        let cursor = self.wanted.cursor.as_ref().and_then(|cursor| place(&cursor.column));
        let (from, limit) = (self.wanted.from.clone(), self.wanted.page_rows);
        Ok((connection, Plan { dialect, from, columns, key, cursor, limit }))
    }

    /// The columns to read of those that are there, in the database's order.
    fn columns(&self, there: Vec<Column>) -> Result<Vec<Column>> {
        let Wanted { columns, key, cursor, deleted_column, .. } = self.wanted.as_ref();
        let names: Vec<&str> = there.iter().map(|column| column.name.as_str()).collect();
        if let Some(twice) = names.iter().enumerate().find_map(|(at, name)| names.get(..at)?.contains(name).then_some(*name)) {
            return Err(wrong("query", format!("two columns are called `{twice}`"), "give them names of their own with `AS`"));
        }
        let cursor = cursor.as_ref().map(|cursor| ("cursor.column", &cursor.column));
        let needed = key.iter().map(|name| ("key", name)).chain(cursor);
        let needed: Vec<_> = needed.chain(deleted_column.as_ref().map(|name| ("deleted_column", name))).collect();
        let named = needed.iter().copied().chain(columns.iter().map(|name| ("columns", name)));
        for (path, name) in named {
            if !names.contains(&name.as_str()) {
                return Err(wrong(
                    path,
                    format!("there is no column `{name}`"),
                    &format!("the columns are: {}", names.join(", ")),
                ));
            }
        }
        let wanted =
            |name: &String| columns.is_empty() || columns.contains(name) || needed.iter().any(|(_, needed)| *needed == name);
        let chosen: Vec<Column> = there.into_iter().filter(|column| wanted(&column.name)).collect();
        match chosen.iter().find(|column| column.kind == Kind::Binary) {
            Some(binary) => {
                let what = format!("`{}` holds bytes, which are no text", binary.name);
                Err(wrong("columns", what, "list the columns to read without it, or turn it into text in a `query`"))
            }
            None => Ok(chosen),
        }
    }

    /// What the position belongs to.
    fn reading(&self) -> String {
        let Wanted { from, key, cursor, deletions, columns: _, deleted_column: _, page_rows: _, timeout_secs: _ } =
            self.wanted.as_ref();
        let cursor = cursor.as_ref().map(|cursor| (&cursor.column, cursor.of_type));
        format!("{from:?} {key:?} {cursor:?} {deletions:?}")
    }
}

#[async_trait]
impl Source for Table {
    async fn check(&self) -> Result<()> {
        self.open().await.map(|_| ())
    }

    async fn streams(&self) -> Result<Vec<StreamSpec>> {
        let (_, plan) = self.open().await?;
        let fields: Vec<String> = plan.columns.into_iter().map(|column| column.name).collect();
        let mapping = aliases::mapping(&fields);
        let read = match (&self.wanted.cursor, self.wanted.deletions) {
            (Some(cursor), _) => format!("rows that changed, by `{}`", cursor.column),
            (None, Deletions::Snapshot) => "all rows in every run, and what is gone as deleted".to_owned(),
            (None, Deletions::None) => "all rows in every run: set `cursor` to read what changed".to_owned(),
        };
        Ok(vec![StreamSpec {
            name: "rows".to_owned(),
            role: Role::Leads,
            origin: Origin::Import,
            fields,
            mapping,
            vendor: None,
            whole: self.wanted.deletions == Deletions::Snapshot,
            notes: Some(format!("reads {read}")),
        }])
    }

    async fn read(&self, stream: &StreamSpec, from: Option<Checkpoint>) -> Result<EventStream> {
        let _ = stream;
        let position = Position::from(from, &self.reading())?;
        let (mut connection, plan) = self.open().await?;
        if !connection.rows((plan.keyless(), Vec::new()), &[]).await?.rows.is_empty() {
            let hint = "name columns that are never null, or leave these rows out by a `query`";
            return Err(wrong("key", "some row has no value in the key".to_owned(), hint));
        }
        let now = self.clock.now().to_string();
        let reading = Reading { wanted: Arc::clone(&self.wanted), plan, position, now, pages: 0 };
        Ok(reading.events(connection).boxed())
    }
}

/// A read in progress.
struct Reading {
    wanted: Arc<Wanted>,
    plan: Plan,
    position: Position,
    now: String,
    pages: u64,
}

impl Reading {
    fn events(mut self, mut connection: Connection) -> impl futures::Stream<Item = Result<SourceEvent>> + Send {
        async_stream::try_stream! {
            let resumed = self.position.after.is_some();
            for part in self.parts()? {
                let mut after = self.begin(&part);
                loop {
                    let statement = self.plan.page(&part, after.as_deref())?;
                    let Rows { mut rows, is_cut } = connection.rows(statement, &self.plan.columns).await?;
                    self.require_order(&part, &rows)?;
                    let limit = usize::try_from(self.wanted.page_rows).unwrap_or(usize::MAX);
                    let is_last = rows.len() <= limit && !is_cut;
                    rows.truncate(limit);
                    let Some(last) = rows.last() else { break };
                    after = Some(pick(last, &self.plan.order(&part)));
                    self.advance(&part, &rows, after.as_deref())?;
                    yield SourceEvent::Page(self.page(&rows)?);
                    yield SourceEvent::Checkpoint(self.position.checkpoint()?);
                    if is_last {
                        break;
                    }
                }
            }
            if self.wanted.deletions == Deletions::Snapshot {
                // Pages follow the key: what is removed meanwhile hides nothing.
                yield SourceEvent::Whole { resumed, shifting: false };
            }
            self.position.after = None;
            yield SourceEvent::Checkpoint(self.position.checkpoint()?);
        }
    }

    /// What is read one after the other.
    fn parts(&self) -> Result<Vec<Part>> {
        let Some(cursor) = &self.wanted.cursor else { return Ok(vec![Part::All]) };
        let start = match (&self.position.newest, cursor.of_type) {
            (None, _) => None,
            (Some(newest), CursorType::Time) => {
                let newest = if *newest > self.now_like(newest) { self.now_like(newest) } else { newest.clone() };
                let start = earlier(&newest, cursor.overlap.unwrap_or(OVERLAP_SECS));
                Some(Cell::Text(start.ok_or_else(|| Error::new(ErrorKind::Internal, "the position holds no time"))?))
            }
            (Some(newest), CursorType::Integer) => {
                let newest: i64 = newest.parse().map_err(|_| Error::new(ErrorKind::Internal, "the position holds no number"))?;
                Some(Cell::Integer(newest.saturating_sub(i64::from(cursor.overlap.unwrap_or(0)))))
            }
        };
        Ok(vec![Part::Unmarked, Part::Since(start)])
    }

    /// The present, written as `time` is: a row with a time in the future must not hide what changes until then.
    fn now_like(&self, time: &str) -> String {
        let mut now = self.now.clone();
        if let Some(separator) = time.get(10..11) {
            now = now.replacen('T', separator, 1);
        }
        now.get(..time.len().min(19)).unwrap_or(&now).to_owned()
    }

    fn begin(&self, part: &Part) -> Option<Vec<Cell>> {
        match part {
            Part::All => self.position.after.clone(),
            Part::Unmarked | Part::Since(_) => None,
        }
    }

    /// Refuses rows that what they are sorted by does not tell apart: the next page would begin after both.
    fn require_order(&self, part: &Part, rows: &[Vec<Cell>]) -> Result<()> {
        let order = self.plan.order(part);
        let same = rows.windows(2).any(|pair| match pair {
            [one, other] => pick(one, &order) == pick(other, &order),
            _ => false,
        });
        let binary = rows.iter().any(|row| pick(row, &order).contains(&Cell::Binary));
        match (same, binary) {
            (true, _) => Err(wrong("key", "two rows have the same key".to_owned(), "name all columns that together are unique")),
            (_, true) => {
                Err(wrong("key", "the key holds bytes".to_owned(), "read a `query` that turns it into text, such as `hex(id)`"))
            }
            (false, false) => Ok(()),
        }
    }

    /// Moves the position behind these rows; never back.
    fn advance(&mut self, part: &Part, rows: &[Vec<Cell>], after: Option<&[Cell]>) -> Result<()> {
        match part {
            Part::All => self.position.after = after.map(<[Cell]>::to_vec),
            Part::Unmarked => {}
            Part::Since(_) => {
                let (Some(cursor), Some(place)) = (&self.wanted.cursor, self.plan.cursor) else { return Ok(()) };
                let (of_type, column) = (cursor.of_type, cursor.column.clone());
                for cell in rows.iter().filter_map(|row| row.get(place)) {
                    self.newest(cell, of_type, &column)?;
                }
            }
        }
        Ok(())
    }

    fn newest(&mut self, cell: &Cell, of_type: CursorType, column: &str) -> Result<()> {
        let text = cell.text().unwrap_or_default();
        let later = match of_type {
            CursorType::Integer => {
                let number = |text: &str| text.parse::<i64>().ok();
                let this = number(&text).ok_or_else(|| {
                    wrong(
                        "cursor.type",
                        format!("`{column}` holds more than whole numbers"),
                        "choose another column, or `type: time`",
                    )
                })?;
                self.position.newest.as_deref().and_then(number).is_none_or(|newest| this > newest)
            }
            // The end of time is after every position and becomes none.
            CursorType::Time if text.contains("infinity") => false,
            CursorType::Time => {
                if matches!(cell, Cell::Integer(_)) || earlier(&text, 0).is_none() {
                    let hint = "store times as `2026-01-03 10:30:00`; for seconds since 1970 say `type: integer`";
                    return Err(wrong("cursor.type", format!("`{column}` holds values that are no times"), hint));
                }
                self.position.newest.as_ref().is_none_or(|newest| text > *newest)
            }
        };
        if later {
            self.position.newest = Some(text);
        }
        Ok(())
    }

    fn key(&self, row: &[Cell]) -> String {
        let parts: Vec<String> = pick(row, &self.plan.key).iter().filter_map(Cell::text).collect();
        parts.join(KEY_SEPARATOR)
    }

    fn place(&self) -> String {
        match &self.wanted.from {
            From::Table(table) => format!("{table} page {}", self.pages),
            From::Query(_) => format!("query page {}", self.pages),
        }
    }

    fn page(&mut self, rows: &[Vec<Cell>]) -> Result<Page> {
        self.pages += 1;
        let place = self.place();
        let too_long = |cell: &Cell| matches!(cell, Cell::Text(text) if text.len() > MAX_CELL_BYTES);
        let unreadable = |row: &&Vec<Cell>| row.iter().any(|cell| *cell == Cell::Binary || too_long(cell));
        let (refused, read): (Vec<_>, Vec<_>) = rows.iter().partition(unreadable);
        let mut columns: Vec<StringBuilder> = self.plan.columns.iter().map(|_| StringBuilder::new()).collect();
        for row in &read {
            for ((builder, cell), column) in columns.iter_mut().zip(row.iter()).zip(&self.plan.columns) {
                builder.append_option(cell.field(column.kind));
            }
        }
        let keys: StringArray = read.iter().map(|row| Some(self.key(row))).collect();
        let mut page = self.built(columns, keys, place)?;
        page.refused = refused.iter().map(|row| self.refused(row, &page.places, too_long)).collect();
        let mark = self.wanted.deleted_column.as_ref();
        if let Some(place) = mark.and_then(|mark| self.plan.columns.iter().position(|column| column.name == *mark)) {
            page.deleted = Some(read.iter().map(|row| row.get(place).is_some_and(Cell::is_set)).collect());
        }
        Ok(page)
    }

    fn refused(&self, row: &[Cell], places: &Places, too_long: impl Fn(&Cell) -> bool) -> Refused {
        let at = row.iter().position(|cell| *cell == Cell::Binary || too_long(cell));
        let (code, reason) = match at.and_then(|at| row.get(at)) {
            Some(Cell::Binary) => ("not_text", "a value holds bytes, which are no text"),
            _ => ("oversized_field", "a value has more than 1 MiB"),
        };
        let field = at.and_then(|at| self.plan.columns.get(at)).map(|column| column.name.clone());
        let place = places.of(0);
        // The key finds the row in the database; the rest need not be kept twice.
        Refused { place, code, field, reason: reason.to_owned(), raw: serde_json::json!({ "key": self.key(row) }).to_string() }
    }

    fn built(&self, columns: Vec<StringBuilder>, keys: StringArray, place: String) -> Result<Page> {
        let bug = |error: String| Error::new(ErrorKind::Internal, error);
        let fields: Vec<Field> = self.plan.columns.iter().map(|column| Field::new(&column.name, DataType::Utf8, true)).collect();
        let arrays = columns.into_iter().map(|mut column| Arc::new(column.finish()) as ArrayRef).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|error| bug(error.to_string()))?;
        let mut page = Page::new(batch, Places::Request(place)).map_err(|error| bug(error.to_string()))?;
        page.keys = Some(keys);
        Ok(page)
    }
}

fn pick(row: &[Cell], places: &[usize]) -> Vec<Cell> {
    places.iter().filter_map(|place| row.get(*place)).cloned().collect()
}

fn wrong(path: &str, what: String, hint: &str) -> Error {
    Error::new(ErrorKind::Config, what).context("path", path).hint(hint)
}
