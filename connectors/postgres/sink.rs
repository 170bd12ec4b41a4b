//! Rows into the table, one outcome each.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use headwater_sdk::sink::{MOVED, by_external_id};
use headwater_sdk::{
    BuildContext, DeliveryRow, Error, ErrorKind, Lookup, MatchKey, RemoteRecord, Removal, Result, RowOutcome, Sink,
    SinkCapability, WriteReport,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::client::{Client, begin, execute, failed, refusal, table};
use super::config::SinkConfig;
use super::statements::{RIGHTS, Table, quoted};
use crate::sql::delivery::{self, KEY, Shape, UPDATED_AT, id_of, shapes};

/// The rows of a call are one transaction, which should be over in a moment.
const MAX_ROWS: usize = 2_000;

/// A table as a sink.
#[derive(Debug)]
pub(crate) struct PostgresSink {
    client: Client,
    /// The table's quoted name.
    name: String,
    create: bool,
    schema: String,
}

impl PostgresSink {
    /// # Errors
    /// `Config` when the secret is missing, the URL cannot be read or a name cannot be one.
    pub(crate) fn new(config: SinkConfig, cx: &BuildContext) -> Result<Self> {
        let SinkConfig { url, schema, table, create } = config;
        let client = Client::new(&cx.secret(&url)?)?;
        Ok(Self { client, name: format!("{}.{}", quoted(&schema)?, quoted(&table)?), create, schema })
    }

    /// The table, made fit for these fields where that is wanted.
    async fn table_for(&self, connection: &mut PgConnection, rows: &[DeliveryRow]) -> Result<Table> {
        let mut found = table(connection, &self.name).await?;
        let mut names: Vec<&str> = rows.iter().flat_map(|row| row.fields.keys()).map(String::as_str).collect();
        if names.contains(&KEY) {
            return Err(self.config(format!("the field `{KEY}` is the sink's own")).hint("give the field in `map` another name"));
        }
        names.push(KEY);
        names.sort_unstable();
        names.dedup();
        if let Some(name) = names.iter().find(|name| found.columns.get(**name).is_some_and(|column| column.generated)) {
            return Err(self.config(format!("the database fills the column `{name}` by itself")).hint("take it out of `map`"));
        }
        names.retain(|name| !found.columns.contains_key(*name));
        if names.is_empty() {
            return Ok(found);
        }
        if !self.create {
            return Err(self.lacking(&found, &names));
        }
        if found.columns.is_empty() {
            execute(connection, found.create()).await?;
            found = table(connection, &self.name).await?;
        }
        for name in names.iter().filter(|name| !found.columns.contains_key(**name)) {
            execute(connection, found.add_column(name)?).await?;
        }
        table(connection, &self.name).await
    }

    fn lacking(&self, found: &Table, names: &[&str]) -> Error {
        if found.columns.is_empty() {
            return self.config("there is no such table, or this user may not see it").hint("create it, or set `create: true`");
        }
        let held: Vec<&str> = found.readable().collect();
        if names.contains(&KEY) {
            return self
                .config(format!("the table has no column `{KEY}`"))
                .hint(format!("`ALTER TABLE {} ADD COLUMN {KEY} text UNIQUE`, or set `create: true`", self.name));
        }
        self.config(format!("the table has no column `{}`", names.join("`, `")))
            .hint(format!("map to one of {}, add the column, or set `create: true`", held.join(", ")))
    }

    fn config(&self, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Config, message).context("table", self.name.clone())
    }
}

#[async_trait]
impl Sink for PostgresSink {
    fn capability(&self) -> SinkCapability {
        SinkCapability { max_rows: MAX_ROWS, lookup: true, calls_per_row: 0 }
    }

    async fn check(&self) -> Result<()> {
        let mut connection = self.client.connect().await?;
        let found = table(&mut connection, &self.name).await?;
        if found.columns.is_empty() && self.create {
            let may: bool = sqlx::query_scalar("SELECT has_schema_privilege($1, 'CREATE')")
                .bind(&self.schema)
                .fetch_one(&mut connection)
                .await
                .map_err(failed)?;
            let refused =
                || self.auth("this database user may not create a table", format!("`GRANT CREATE ON SCHEMA {}`", self.schema));
            return if may { Ok(()) } else { Err(refused()) };
        }
        if found.columns.is_empty() || (!self.create && !found.columns.contains_key(KEY)) {
            return Err(self.lacking(&found, &[KEY]));
        }
        let (rights, unique): (bool, bool) =
            sqlx::query_as(RIGHTS).bind(&self.name).bind(KEY).fetch_one(&mut connection).await.map_err(failed)?;
        if !rights {
            let grant = format!("`GRANT SELECT, INSERT, UPDATE ON {}`", self.name);
            return Err(self.auth("this database user may not read and write the table", grant));
        }
        if found.columns.contains_key(KEY) && !unique {
            return Err(self
                .config(format!("the column `{KEY}` is not unique"))
                .hint(format!("`CREATE UNIQUE INDEX ON {} ({KEY})`", self.name)));
        }
        Ok(())
    }

    async fn fields(&self) -> Result<Vec<(String, String)>> {
        if self.create {
            return Ok(Vec::new());
        }
        let found = table(&mut self.client.connect().await?, &self.name).await?;
        let writable = found.columns.into_iter().filter(|(name, column)| name != KEY && !column.generated);
        Ok(writable.map(|(name, column)| (name, column.of_type)).collect())
    }

    async fn lookup(&self, rows: &[Vec<MatchKey>]) -> Result<Vec<Lookup>> {
        let mut connection = self.client.connect().await?;
        let mut transaction = begin(&mut connection).await?;
        let found = table(&mut transaction, &self.name).await?;
        let mut hits: HashMap<(String, String), Lookup> = HashMap::new();
        for (field, values) in delivery::wanted(rows, |column| found.columns.contains_key(column)) {
            for (value, hit) in find(&mut transaction, &found, field, &values).await? {
                hits.insert((field.to_owned(), value), hit);
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
        let mut connection = self.client.connect().await?;
        let table = self.table_for(&mut connection, rows).await?;
        let mut transaction = begin(&mut connection).await?;
        // A deferred constraint would refuse the whole call at its end, where no row can be blamed.
        execute(&mut transaction, "SET CONSTRAINTS ALL IMMEDIATE".to_owned()).await?;
        let mut outcomes: Vec<Option<RowOutcome>> = vec![None; rows.len()];
        for (shape, members) in shapes(rows) {
            let moved =
                if shape.update { moved(&mut transaction, &table, &shape, rows, &members).await? } else { HashSet::new() };
            for index in &moved {
                if let Some(slot) = outcomes.get_mut(*index) {
                    *slot = Some(RowOutcome::Rejected { reason: MOVED.to_owned() });
                }
            }
            let mut parts = vec![members.into_iter().filter(|index| !moved.contains(index)).collect::<Vec<_>>()];
            while let Some(part) = parts.pop() {
                match write_part(&mut transaction, &table, &shape, rows, &part).await? {
                    Ok(part_outcomes) => part_outcomes.into_iter().for_each(|(index, outcome)| {
                        if let Some(slot) = outcomes.get_mut(index) {
                            *slot = Some(outcome);
                        }
                    }),
                    // One of them is at fault; the halves tell which.
                    Err(_) if part.len() > 1 => {
                        let (left, right) = part.split_at(part.len() / 2);
                        parts.extend([right.to_vec(), left.to_vec()]);
                    }
                    Err(reason) => {
                        for index in part {
                            let reason = blame(&mut transaction, &table, rows.get(index), &reason).await?;
                            if let Some(slot) = outcomes.get_mut(index) {
                                *slot = Some(RowOutcome::Rejected { reason });
                            }
                        }
                    }
                }
            }
        }
        transaction.commit().await.map_err(failed)?;
        WriteReport::new(rows.len(), outcomes.into_iter().flatten().collect())
    }

    fn changed_at_field(&self) -> Option<&str> {
        Some(UPDATED_AT)
    }

    fn removes(&self) -> bool {
        true
    }

    async fn remove(&self, remote_ids: &[String]) -> Result<Vec<Removal>> {
        let mut connection = self.client.connect().await?;
        let found = table(&mut connection, &self.name).await?;
        if !found.columns.contains_key(KEY) {
            return Ok(vec![Removal::Gone; remote_ids.len()]);
        }
        let removed: sqlx::Result<Vec<String>> =
            sqlx::query_scalar(AssertSqlSafe(found.delete())).bind(remote_ids).fetch_all(&mut connection).await;
        let removed: HashSet<String> = match removed {
            Ok(removed) => removed.into_iter().collect(),
            Err(error) => {
                let Some(reason) = refusal(&error) else { return Err(failed(error)) };
                return Ok(vec![Removal::Refused { reason }; remote_ids.len()]);
            }
        };
        let removal = |id: &String| if removed.contains(id) { Removal::Removed } else { Removal::Gone };
        Ok(remote_ids.iter().map(removal).collect())
    }
}

impl PostgresSink {
    fn auth(&self, message: &str, hint: String) -> Error {
        Error::new(ErrorKind::Auth, message).context("table", self.name.clone()).hint(hint)
    }
}

/// Writes some rows of one shape; the inner error is a refusal of one of them, after which none of them is written.
async fn write_part(
    connection: &mut PgConnection,
    table: &Table,
    shape: &Shape<'_>,
    rows: &[DeliveryRow],
    part: &[usize],
) -> Result<std::result::Result<Vec<(usize, RowOutcome)>, String>> {
    let members: Vec<(usize, &DeliveryRow)> = part.iter().filter_map(|index| Some((*index, rows.get(*index)?))).collect();
    let ids: Vec<&str> = members.iter().map(|(_, row)| id_of(row)).collect();
    let mut touched: HashMap<String, bool> = HashMap::new();
    if !(shape.update && shape.fields.is_empty()) {
        let statement = if shape.update { table.update(&shape.fields)? } else { table.upsert(&shape.fields)? };
        let mut query = sqlx::query_as(AssertSqlSafe(statement)).bind(&ids);
        for field in &shape.fields {
            let values: Vec<Option<&str>> =
                members.iter().map(|(_, row)| row.fields.get(*field).and_then(Option::as_deref)).collect();
            query = query.bind(values);
        }
        let mut savepoint = connection.begin().await.map_err(failed)?;
        match query.fetch_all(&mut *savepoint).await {
            Ok(returned) => touched.extend::<Vec<(String, bool)>>(returned),
            Err(error) => {
                let Some(reason) = refusal(&error) else { return Err(failed(error)) };
                savepoint.rollback().await.map_err(failed)?;
                return Ok(Err(reason));
            }
        }
        savepoint.commit().await.map_err(failed)?;
    }
    // Untouched means equal, or not there at all: gone, or swallowed by a trigger. Only the table can tell.
    let silent: Vec<&str> = ids.into_iter().filter(|id| !touched.contains_key(*id)).collect();
    let present: HashSet<String> = if silent.is_empty() {
        HashSet::new()
    } else {
        let found: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(table.present())).bind(&silent).fetch_all(connection).await.map_err(failed)?;
        found.into_iter().collect()
    };
    let outcome = |row: &DeliveryRow| {
        let remote_id = id_of(row).to_owned();
        let reason = if shape.update {
            "the record is gone: no row has this id"
        } else {
            "the database took the row and dropped it: a trigger, rule or policy is in the way"
        };
        match touched.get(&remote_id) {
            Some(true) => RowOutcome::Created { remote_id },
            Some(false) => RowOutcome::Updated { remote_id },
            None if present.contains(&remote_id) => RowOutcome::Unchanged { remote_id },
            None => RowOutcome::Rejected { reason: reason.to_owned() },
        }
    };
    Ok(Ok(members.into_iter().map(|(index, row)| (index, outcome(row))).collect()))
}

/// The rows whose records somebody changed since they were planned.
async fn moved(
    connection: &mut PgConnection,
    table: &Table,
    shape: &Shape<'_>,
    rows: &[DeliveryRow],
    members: &[usize],
) -> Result<HashSet<usize>> {
    let planned = members.iter().filter_map(|index| Some((*index, rows.get(*index)?)));
    let planned: Vec<(usize, &DeliveryRow)> = planned.filter(|(_, row)| !row.seen.is_empty()).collect();
    if planned.is_empty() || shape.fields.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<&str> = planned.iter().map(|(_, row)| id_of(row)).collect();
    let found: Vec<(String, Vec<Option<String>>)> =
        sqlx::query_as(AssertSqlSafe(table.held(&shape.fields)?)).bind(&ids).fetch_all(connection).await.map_err(failed)?;
    let found: HashMap<String, Vec<Option<String>>> = found.into_iter().collect();
    let mut moved = HashSet::new();
    for (index, row) in planned {
        let Some(cells) = found.get(id_of(row)) else { continue };
        let held = |name: &str| cells.get(shape.fields.iter().position(|field| *field == name)?)?.as_deref();
        if row.moved(|name, value| Ok(held(name) == value))? {
            moved.insert(index);
        }
    }
    Ok(moved)
}

/// Adds to a refusal which fields do not fit their columns' types, which PostgreSQL does not tell.
async fn blame(connection: &mut PgConnection, table: &Table, row: Option<&DeliveryRow>, reason: &str) -> Result<String> {
    let mut fields = Vec::new();
    for (name, value) in row.into_iter().flat_map(|row| &row.fields) {
        let Some(column) = table.columns.get(name) else { continue };
        let mut savepoint = connection.begin().await.map_err(failed)?;
        let cast = format!("SELECT ($1::text::{}) IS NULL", column.of_type);
        let tried: sqlx::Result<bool> = sqlx::query_scalar(AssertSqlSafe(cast)).bind(value).fetch_one(&mut *savepoint).await;
        savepoint.rollback().await.map_err(failed)?;
        match tried {
            Ok(_) => {}
            Err(error) if refusal(&error).is_some() => fields.push(name.as_str()),
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(if fields.is_empty() { reason.to_owned() } else { format!("{reason} (field {})", fields.join(", ")) })
}

async fn find(connection: &mut PgConnection, table: &Table, field: &str, values: &[String]) -> Result<Vec<(String, Lookup)>> {
    let statement = table.find(delivery::column(field), field == "email")?;
    let found: Vec<(String, i64, String, Vec<Option<String>>)> =
        sqlx::query_as(AssertSqlSafe(statement)).bind(values).fetch_all(connection).await.map_err(failed)?;
    let lookup = |(value, count, remote_id, cells): (String, i64, String, Vec<Option<String>>)| {
        let fields = table.readable().map(str::to_owned).zip(cells).collect();
        let hit = match usize::try_from(count) {
            Ok(1) => Lookup::Found(RemoteRecord { remote_id, fields, matched_on: field.to_owned() }),
            count => Lookup::Ambiguous(count.unwrap_or(usize::MAX)),
        };
        (value, hit)
    };
    Ok(found.into_iter().map(lookup).collect())
}
