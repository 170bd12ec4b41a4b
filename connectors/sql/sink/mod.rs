//! Prospects into a table of MySQL, MariaDB or SQLite: one row each.
//!
//! A call is one transaction, so an error means that nothing of it was written. What became of a row is told by the table itself: it is
//! read before and after, and a row that reads the same is unchanged, whatever spelling the database has for a value. Several rows go
//! into one statement; where it is refused, its halves are tried apart until the rows at fault stand alone.

mod open;
mod table;

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use headwater_sdk::sink::{MOVED, by_external_id};
use headwater_sdk::{
    BuildContext, DeliveryRow, Error, ErrorKind, Lookup, MatchKey, RemoteRecord, Removal, Result, RowOutcome, Sink,
    SinkCapability, WriteReport,
};

use super::client::failed;
use super::config::{FileTable, ServerTable};
use super::delivery::{self, KEY, Shape, UPDATED_AT, id_of, shapes};
use open::{Open, Way, refusal};
use table::Table;

/// The rows of a call are one transaction, which should be over in a moment.
const MAX_ROWS: usize = 2_000;
/// The most values that one statement binds: SQLite takes 32,766 and MySQL 65,535.
const MAX_BINDS: usize = 30_000;
/// The most rows that one search may find; a field that finds more tells nobody apart.
const MAX_FOUND: usize = 50_000;

/// The cells of a row.
type Cells = Vec<Option<String>>;

/// A table as a sink.
#[derive(Debug)]
pub(super) struct SqlSink {
    way: Way,
    create: bool,
}

impl SqlSink {
    /// # Errors
    /// `Config` when the secret is missing, the URL cannot be read or the name cannot be one.
    pub(super) fn mysql(config: &ServerTable, cx: &BuildContext) -> Result<Self> {
        Self { way: Way::mysql(&cx.secret(&config.url)?, &config.table)?, create: config.create }.named()
    }

    /// # Errors
    /// `Config` when the name cannot be one.
    pub(super) fn sqlite(config: &FileTable, cx: &BuildContext) -> Result<Self> {
        Self { way: Way::sqlite(&cx.path(&config.path), &config.table, config.create), create: config.create }.named()
    }

    fn named(self) -> Result<Self> {
        self.way.name().map(|_| self)
    }

    /// The table, made fit for these fields where that is wanted.
    async fn table_for(&self, open: &mut Open, rows: &[DeliveryRow]) -> Result<Table> {
        let mut found = self.way.table(open).await?;
        let mut names: Vec<&str> = rows.iter().flat_map(|row| row.fields.keys()).map(String::as_str).collect();
        if names.contains(&KEY) {
            return Err(self.config(format!("the field `{KEY}` is the sink's own")).hint("give the field in `map` another name"));
        }
        names.push(KEY);
        names.sort_unstable();
        names.dedup();
        let unfit = |name: &&&str| {
            found.columns.get(**name).is_some_and(|column| column.generated || column.holds == table::Holds::Bytes)
        };
        if let Some(name) = names.iter().find(unfit) {
            return Err(self
                .config(format!("the column `{name}` takes no text: the database fills it by itself, or it holds bytes"))
                .hint("take it out of `map`"));
        }
        names.retain(|name| !found.columns.contains_key(*name));
        if names.is_empty() {
            return Ok(found);
        }
        if !self.create {
            return Err(self.lacking(&found, &names));
        }
        if found.columns.is_empty() {
            open.run(&found.create()).await?;
            found = self.way.table(open).await?;
        }
        for name in names.iter().filter(|name| !found.columns.contains_key(**name)) {
            open.run(&found.add_column(name)?).await?;
        }
        self.way.table(open).await
    }

    fn lacking(&self, found: &Table, names: &[&str]) -> Error {
        if found.columns.is_empty() {
            return self.config("there is no such table, or this user may not see it").hint("create it, or set `create: true`");
        }
        if names.contains(&KEY) {
            return self
                .config(format!("the table has no column `{KEY}`"))
                .hint(format!("`ALTER TABLE {} ADD COLUMN {KEY} varchar(64) UNIQUE`, or set `create: true`", found.name));
        }
        let held: Vec<&str> = found.readable().collect();
        self.config(format!("the table has no column `{}`", names.join("`, `")))
            .hint(format!("map to one of {}, add the column, or set `create: true`", held.join(", ")))
    }

    fn config(&self, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Config, message).context("table", self.way.name().unwrap_or_default())
    }
}

#[async_trait]
impl Sink for SqlSink {
    fn capability(&self) -> SinkCapability {
        SinkCapability { max_rows: MAX_ROWS, lookup: true, calls_per_row: 0 }
    }

    async fn check(&self) -> Result<()> {
        let mut open = self.way.open().await?;
        let found = self.way.table(&mut open).await?;
        if found.columns.is_empty() && self.create {
            return Ok(());
        }
        if found.columns.is_empty() || (!self.create && !found.columns.contains_key(KEY)) {
            return Err(self.lacking(&found, &[KEY]));
        }
        if found.columns.contains_key(KEY) && !self.way.is_unique(&mut open).await? {
            return Err(self
                .config(format!("the column `{KEY}` is not unique"))
                .hint(format!("`CREATE UNIQUE INDEX people_{KEY} ON {} ({KEY})`", found.name)));
        }
        // A right to write can be asked for only by writing; this writes nothing, and is rolled back.
        open.begin().await?;
        let nobody = || Some("headwater-check".to_owned());
        let tried = open.execute(&found.update(&[KEY]), &[nobody(), nobody()]).await;
        open.run("ROLLBACK").await?;
        tried.map(drop).map_err(failed)
    }

    async fn fields(&self) -> Result<Vec<(String, String)>> {
        if self.create {
            return Ok(Vec::new());
        }
        let mut open = self.way.open().await?;
        let found = self.way.table(&mut open).await?;
        let readable: Vec<&str> = found.readable().collect();
        let fields = found.columns.iter().filter(|(name, column)| !column.generated && readable.contains(&name.as_str()));
        Ok(fields.map(|(name, column)| (name.clone(), column.of_type.clone())).collect())
    }

    async fn lookup(&self, rows: &[Vec<MatchKey>]) -> Result<Vec<Lookup>> {
        let mut open = self.way.open().await?;
        let found = self.way.table(&mut open).await?;
        let mut hits = HashMap::new();
        if found.columns.contains_key(KEY) {
            for (field, values) in delivery::wanted(rows, |column| found.columns.contains_key(column)) {
                for values in values.chunks(MAX_ROWS) {
                    find(&mut open, &found, (field, values), &mut hits).await?;
                }
            }
        }
        Ok(delivery::answers(rows, &hits))
    }

    async fn fetch(&self, remote_id: &str) -> Result<Option<RemoteRecord>> {
        Ok(self.fetch_all(&[remote_id.to_owned()]).await?.pop().flatten())
    }

    async fn fetch_all(&self, remote_ids: &[String]) -> Result<Vec<Option<RemoteRecord>>> {
        by_external_id(self, remote_ids).await
    }

    async fn write(&self, rows: &[DeliveryRow]) -> Result<WriteReport> {
        if rows.is_empty() {
            return WriteReport::new(0, Vec::new());
        }
        let mut open = self.way.open().await?;
        let table = self.table_for(&mut open, rows).await?;
        open.begin().await?;
        let mut outcomes: Vec<Option<RowOutcome>> = vec![None; rows.len()];
        for (shape, members) in shapes(rows) {
            let most = MAX_BINDS / (shape.fields.len() + 1);
            for part in members.chunks(most.max(1)) {
                let part: Vec<(usize, &DeliveryRow)> =
                    part.iter().filter_map(|place| Some((*place, rows.get(*place)?))).collect();
                for (place, outcome) in write_part(&mut open, &table, &shape, &part).await? {
                    if let Some(slot) = outcomes.get_mut(place) {
                        *slot = Some(outcome);
                    }
                }
            }
        }
        open.run("COMMIT").await?;
        WriteReport::new(rows.len(), outcomes.into_iter().flatten().collect())
    }

    fn changed_at_field(&self) -> Option<&str> {
        Some(UPDATED_AT)
    }

    fn removes(&self) -> bool {
        true
    }

    async fn remove(&self, remote_ids: &[String]) -> Result<Vec<Removal>> {
        let mut open = self.way.open().await?;
        let table = self.way.table(&mut open).await?;
        if !table.columns.contains_key(KEY) {
            return Ok(vec![Removal::Gone; remote_ids.len()]);
        }
        let statement = table.delete();
        let mut removals = Vec::with_capacity(remote_ids.len());
        open.begin().await?;
        for id in remote_ids {
            removals.push(match open.execute(&statement, &[Some(id.clone())]).await {
                Ok(0) => Removal::Gone,
                Ok(_) => Removal::Removed,
                Err(error) => Removal::Refused { reason: refusal(&error).ok_or_else(|| failed(error))? },
            });
        }
        open.run("COMMIT").await?;
        Ok(removals)
    }
}

/// Writes rows of one shape and tells what became of each.
async fn write_part(
    open: &mut Open,
    table: &Table,
    shape: &Shape<'_>,
    part: &[(usize, &DeliveryRow)],
) -> Result<Vec<(usize, RowOutcome)>> {
    let ids: Vec<Option<String>> = part.iter().map(|(_, row)| Some(id_of(row).to_owned())).collect();
    let before = held(open, table, shape, &ids).await?;
    let mut refused: HashMap<usize, String> = HashMap::new();
    let (there, new): (Vec<_>, Vec<_>) = part.iter().copied().partition(|(_, row)| before.contains_key(id_of(row)));
    if !shape.update {
        insert(open, table, shape, &new, &mut refused).await?;
    }
    if !shape.fields.is_empty() {
        let statement = table.update(&shape.fields);
        for (place, row) in there {
            let mut binds = stored(table, shape, row);
            // What reads the same already needs no statement.
            if before.get(id_of(row)).is_some_and(|cells| *cells == shown(table, shape, &binds)) {
                continue;
            }
            if shape.update && moved(table, shape, row, before.get(id_of(row)))? {
                refused.insert(place, MOVED.to_owned());
                continue;
            }
            binds.push(Some(id_of(row).to_owned()));
            if let Err(error) = open.execute(&statement, &binds).await {
                let Some(reason) = refusal(&error) else { return Err(failed(error)) };
                refused.insert(place, reason);
            }
        }
    }
    let after = held(open, table, shape, &ids).await?;
    let changed = |id: &&str| before.contains_key(*id) && after.contains_key(*id) && before.get(*id) != after.get(*id);
    let stamped: Vec<Option<String>> =
        part.iter().map(|(_, row)| id_of(row)).filter(changed).map(|id| Some(id.to_owned())).collect();
    if let Some(statement) = table.stamp(&shape.fields, stamped.len()).filter(|_| !stamped.is_empty()) {
        open.execute(&statement, &stamped).await.map_err(failed)?;
    }
    let outcome = |(place, row): &(usize, &DeliveryRow)| {
        let remote_id = id_of(row).to_owned();
        let outcome = match (refused.remove(place), before.get(&remote_id), after.get(&remote_id)) {
            (Some(reason), _, _) => RowOutcome::Rejected { reason },
            (None, None, Some(_)) => RowOutcome::Created { remote_id },
            (None, Some(before), Some(after)) if before == after => RowOutcome::Unchanged { remote_id },
            (None, Some(_), Some(_)) => RowOutcome::Updated { remote_id },
            (None, _, None) => RowOutcome::Rejected {
                reason: if shape.update {
                    "the record is gone: no row has this id".to_owned()
                } else {
                    "the database took the row and dropped it: a trigger is in the way".to_owned()
                },
            },
        };
        (*place, outcome)
    };
    Ok(part.iter().map(outcome).collect())
}

/// Whether somebody changed what the row sets since it was planned.
fn moved(table: &Table, shape: &Shape<'_>, row: &DeliveryRow, held: Option<&Cells>) -> Result<bool> {
    row.moved(|name, value| {
        let place = shape.fields.iter().position(|field| *field == name);
        let held = place.and_then(|place| held?.get(place)?.clone());
        let column = table.columns.get(name);
        Ok(held == value.map(|value| column.map_or_else(|| value.to_owned(), |column| column.shown(column.stored(value)))))
    })
}

/// Adds rows, as many at once as the database takes; what it refuses stands in `refused` by its place.
async fn insert(
    open: &mut Open,
    table: &Table,
    shape: &Shape<'_>,
    new: &[(usize, &DeliveryRow)],
    refused: &mut HashMap<usize, String>,
) -> Result<()> {
    let mut parts = vec![new];
    while let Some(part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        let row = |(_, row): &(usize, &DeliveryRow)| {
            std::iter::once(Some(id_of(row).to_owned())).chain(stored(table, shape, row)).collect::<Cells>()
        };
        let binds: Cells = part.iter().flat_map(row).collect();
        let Err(error) = open.execute(&table.insert(&shape.fields, part.len()), &binds).await else { continue };
        let Some(reason) = refusal(&error) else { return Err(failed(error)) };
        match part {
            [(place, _)] => drop(refused.insert(*place, reason)),
            // One of them is at fault; the halves tell which.
            _ => {
                let (left, right) = part.split_at(part.len() / 2);
                parts.extend([right, left]);
            }
        }
    }
    Ok(())
}

/// The values of a row's fields as the columns take them.
fn stored(table: &Table, shape: &Shape<'_>, row: &DeliveryRow) -> Cells {
    let value = |field: &&str| {
        let value = row.fields.get(*field)?.as_deref()?;
        Some(table.columns.get(*field).map_or_else(|| value.to_owned(), |column| column.stored(value)))
    };
    shape.fields.iter().map(value).collect()
}

/// Cells as we write them, in the order of the shape's fields.
fn shown(table: &Table, shape: &Shape<'_>, cells: &[Option<String>]) -> Cells {
    let show = |(field, cell): (&&str, &Option<String>)| {
        let cell = cell.clone()?;
        Some(match table.columns.get(*field) {
            Some(column) => column.shown(cell),
            None => cell,
        })
    };
    shape.fields.iter().zip(cells).map(show).collect()
}

/// What the table has of the shape's fields in the rows with these ids, by id.
async fn held(open: &mut Open, table: &Table, shape: &Shape<'_>, ids: &[Option<String>]) -> Result<HashMap<String, Cells>> {
    let statement = table.held(&shape.fields, ids.len());
    let mut held = HashMap::new();
    for row in open.rows(&statement, ids, shape.fields.len() + 1).await.map_err(failed)? {
        if let Some((Some(id), cells)) = row.split_first() {
            held.insert(id.clone(), shown(table, shape, cells));
        }
    }
    Ok(held)
}

/// Finds the records that hold one of the values in a field, and puts what each value found into `hits`.
async fn find(
    open: &mut Open,
    table: &Table,
    (field, values): (&str, &[String]),
    hits: &mut HashMap<(String, String), Lookup>,
) -> Result<()> {
    let column = delivery::column(field);
    let binds: Cells =
        values.iter().map(|value| Some(table.columns.get(column).map_or_else(|| value.clone(), |c| c.stored(value)))).collect();
    let readable: Vec<&str> = table.readable().collect();
    let asked: HashSet<&str> = values.iter().map(String::as_str).collect();
    let statement = table.find(column, field == "email", (values.len(), MAX_FOUND));
    let rows = open.rows(&statement, &binds, readable.len() + 1).await.map_err(failed)?;
    if rows.len() >= MAX_FOUND {
        return Err(Error::new(ErrorKind::Config, format!("`{field}` finds more than {MAX_FOUND} rows of the table"))
            .context("path", "match_on")
            .hint("match on a field that tells people apart"));
    }
    for row in rows {
        let Some((Some(remote_id), cells)) = row.split_first() else { continue };
        let shown = |(name, cell): (&&str, &Option<String>)| {
            let cell = cell.clone().map(|cell| table.columns.get(*name).map_or(cell.clone(), |column| column.shown(cell)));
            ((*name).to_owned(), cell)
        };
        let fields: headwater_sdk::Fields = readable.iter().zip(cells).map(shown).collect();
        let value = if column == KEY { Some(remote_id) } else { fields.get(column).and_then(Option::as_ref) };
        // The database may compare as its collation does, where é is e.
        let Some(value) = value.map(|value| delivery::folded(field, value)).filter(|value| asked.contains(value.as_str())) else {
            continue;
        };
        let record = RemoteRecord { remote_id: remote_id.clone(), fields, matched_on: field.to_owned() };
        let hit = hits.entry((field.to_owned(), value));
        hit.and_modify(|hit| *hit = Lookup::Ambiguous(if let Lookup::Ambiguous(count) = hit { *count + 1 } else { 2 }))
            .or_insert(Lookup::Found(record));
    }
    Ok(())
}
