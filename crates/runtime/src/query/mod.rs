//! SQL over the lake: the tables as one pinned snapshot shows them, to read and nothing else.
//!
//! Invariants:
//! - A query sees one state of the lake, whatever is committed while it runs.
//! - Nothing can be written, and no file can be read but those of the lake.
//! - Memory is bounded; a query that needs more spills to the system's folder for temporary files.

mod session;
#[cfg(test)]
mod tests;
mod worn;

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{DataFrame, SQLOptions, SessionContext};
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::Statement as Sql;
use datafusion::sql::sqlparser::parser::ParserError;
use futures::StreamExt;
use headwater_model::tables;
use headwater_store::Snapshot;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::project::nearest;

pub(crate) use session::session;
pub use session::{CURRENT_LEAD, table_names};

/// How many rows of an answer a person is shown. What follows is for machines: ask for CSV or JSON.
pub const HUMAN_ROWS: usize = 1_000;
/// The most columns that an error lists; the widest table has fewer.
const MAX_LISTED: usize = 64;

/// The rows that answer a query, batch by batch.
pub struct Answer {
    schema: SchemaRef,
    stream: SendableRecordBatchStream,
    cancel: CancellationToken,
}

/// The first rows of an answer.
#[derive(Debug, Clone)]
pub struct Head {
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// How many rows they have.
    pub rows: usize,
    /// Whether the answer goes on.
    pub more: bool,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Answer {
    /// The columns of the answer.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    /// The next rows; nothing after the last ones.
    ///
    /// # Errors
    /// When the query fails on the way, or the run was told to stop.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::Interrupted),
            batch = self.stream.next() => batch.transpose().map_err(|error| explain(&error)),
        }
    }

    /// The first `limit` rows, and whether there are more. The rest is not computed.
    ///
    /// # Errors
    /// As [`Answer::next`].
    pub async fn head(mut self, limit: usize) -> Result<Head> {
        let mut head = Head { batches: Vec::new(), rows: 0, more: false };
        while let Some(batch) = self.next().await? {
            let room = limit - head.rows;
            head.more = batch.num_rows() > room;
            let batch = batch.slice(0, batch.num_rows().min(room));
            head.rows += batch.num_rows();
            if batch.num_rows() > 0 {
                head.batches.push(batch);
            }
            if head.more {
                break;
            }
        }
        Ok(head)
    }
}

/// Answers a query over the lake as it stands now. Only reading SQL is taken: `SELECT`, `WITH`, `EXPLAIN`, `DESCRIBE`, `SHOW`.
///
/// # Errors
/// When the SQL is wrong, would change something, or names a table or column that there is not: then with the nearest that is.
pub async fn query(engine: &Engine, sql: &str) -> Result<Answer> {
    let snapshot = engine.store.snapshot().await?;
    let context = session(&snapshot)?;
    let frame = Box::pin(plan(&context, sql)).await?;
    let stream = Box::pin(frame.execute_stream()).await.map_err(|error| explain(&error))?;
    Ok(Answer { schema: stream.schema(), stream, cancel: engine.cancel.clone() })
}

/// The column of an audience that says why somebody is kept out of it whom it would admit, might they be contacted. Null: they are in it.
pub(crate) const KEPT_OUT: &str = "audience.kept_out";

/// The living prospects that meet a sink's condition, in the order of their ids: the columns asked for, and beside them what the
/// expressions give, each in the column named with it. The expressions passed [`check_expression`]. Among them, told by [`KEPT_OUT`],
/// are those who do not meet it for no other reason than that they may not be contacted.
pub(crate) async fn audience(
    engine: &Engine,
    snapshot: &Snapshot,
    (condition, columns): (&str, &BTreeSet<&'static str>),
    expressions: &[(String, &str)],
) -> Result<Audience> {
    let failed = match expressions {
        [] => Failed::Condition(condition.to_owned()),
        _ => Failed::Map,
    };
    let frame = Box::pin(admitted(&session(snapshot)?, (condition, columns), expressions)).await?;
    let stream = Box::pin(frame.execute_stream()).await.map_err(|error| failed.explained(explain(&error)))?;
    Ok(Audience { answer: Answer { schema: stream.schema(), stream, cancel: engine.cancel.clone() }, failed })
}

/// The rows of an audience as they are read.
pub(crate) struct Audience {
    answer: Answer,
    failed: Failed,
}

/// What an error is about that arises while rows are computed.
enum Failed {
    Condition(String),
    Map,
}

impl Failed {
    fn explained(&self, error: Error) -> Error {
        match self {
            Self::Condition(condition) => of_audience(condition, error),
            Self::Map => of_map(error),
        }
    }
}

impl Audience {
    /// The next rows, at least one; nothing after the last ones.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let batch = self.answer.next().await.map_err(|error| self.failed.explained(error))?;
            if batch.as_ref().is_none_or(|batch| batch.num_rows() > 0) {
                return Ok(batch);
            }
        }
    }
}

/// Whether a sink's condition can be asked at all, without looking at any row.
///
/// # Errors
/// When its SQL is wrong, with the condition and the columns there are.
pub async fn check_audience(condition: &str) -> Result<()> {
    Box::pin(admitted(&session::empty()?, (condition, &BTreeSet::from(["prospect_id"])), &[])).await.map(|_| ())
}

/// Whether an expression gives a value for a prospect, without looking at any row.
///
/// # Errors
/// When its SQL is wrong, or what it gives has no text.
pub(crate) async fn check_expression(sql: &str) -> Result<()> {
    DFParser::parse_sql_into_expr(sql).map_err(|error| of_expression(sql, explain(&error)))?;
    let frame = Box::pin(plan(&session::empty()?, &format!("SELECT (\n{sql}\n) AS value FROM prospect"))).await;
    let frame = frame.map_err(|error| of_expression(sql, error))?;
    let plan = frame.into_optimized_plan().map_err(|error| of_expression(sql, explain(&error)))?;
    let textless = |field: &FieldRef| field.data_type().is_nested() || field.data_type().is_binary();
    match plan.schema().fields().iter().find(|field| textless(field)) {
        Some(field) => {
            let what = format!("it gives a {}, which has no text; take a part of it", field.data_type());
            Err(of_expression(sql, Error::Query(what)))
        }
        None => Ok(()),
    }
}

/// Whether a condition leaves out who may not be contacted.
pub(crate) fn asks_who_may_be_contacted(condition: &str) -> bool {
    let condition = condition.to_lowercase();
    ["may_contact", "hold_reason"].iter().any(|column| condition.contains(column))
}

async fn admitted(
    context: &SessionContext,
    (condition, columns): (&str, &BTreeSet<&'static str>),
    expressions: &[(String, &str)],
) -> Result<DataFrame> {
    // Parsed by itself first: a condition is one expression and cannot close the bracket it is put into.
    DFParser::parse_sql_into_expr(condition).map_err(|error| of_audience(condition, explain(&error)))?;
    // The line end keeps a comment at the end of the condition from swallowing the bracket.
    let column = |(name, sql): &(String, &str)| format!(", (\n{sql}\n) AS \"{}\"", name.replace('"', "\"\""));
    let computed: String = expressions.iter().map(column).collect();
    let columns = columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ");
    let living = "merged_into IS NULL";
    let admitted = format!(
        "SELECT {columns}{computed}, CAST(NULL AS VARCHAR) AS \"{KEPT_OUT}\" FROM prospect WHERE {living} AND (\n{condition}\n)"
    );
    // Asked as if everybody might be contacted, of those who may not and are not admitted.
    let kept_out = format!(
        "SELECT {columns}{computed}, \"{KEPT_OUT}\" FROM (SELECT * EXCLUDE (may_contact, hold_reason), true AS may_contact, \
         CAST(NULL AS VARCHAR) AS hold_reason, coalesce(hold_reason, 'may not be contacted') AS \"{KEPT_OUT}\" FROM prospect WHERE {living} AND NOT may_contact AND \
         (\n{condition}\n) IS NOT TRUE) AS prospect WHERE (\n{condition}\n)"
    );
    let sql = if asks_who_may_be_contacted(condition) {
        format!("SELECT * FROM ({admitted} UNION ALL {kept_out}) ORDER BY prospect_id")
    } else {
        format!("{admitted} ORDER BY prospect_id")
    };
    let frame = Box::pin(plan(context, &sql)).await.map_err(|error| of_audience(condition, error))?;
    // Types are checked as late as here, and a check shall find what a run would.
    frame.clone().into_optimized_plan().map_err(|error| of_audience(condition, explain(&error)))?;
    Ok(frame)
}

fn of_expression(sql: &str, error: Error) -> Error {
    match error {
        Error::Query(message) => Error::Query(format!("`{sql}` is not an expression over `prospect`: {message}")),
        other => other,
    }
}

/// An error that arises while rows are computed. Its words may hold a value, so they are not shown.
fn of_map(error: Error) -> Error {
    match error {
        Error::Query(_) => Error::Query(
            "the audience or an expression of `map` fails on some row; `try_cast` gives null where `cast` fails, `nullif(x, 0)` where one divides".to_owned(),
        ),
        other => other,
    }
}

fn of_audience(condition: &str, error: Error) -> Error {
    match error {
        Error::Query(message) => {
            Error::Query(format!("the audience `{condition}` is not a condition over `prospect`: {message}"))
        }
        other => other,
    }
}

async fn plan(context: &SessionContext, sql: &str) -> Result<DataFrame> {
    let state = context.state();
    let dialect = state.config_options().sql_parser.dialect;
    if sql.trim().is_empty() {
        return Err(Error::Query("it is empty; write for example `SELECT * FROM prospect`".to_owned()));
    }
    let statement = state.sql_to_statement(sql, &dialect).map_err(|error| explain(&error))?;
    // Before its tables are looked for: what a statement would make does not exist yet.
    if !reads(&statement) {
        return Err(only_reads());
    }
    for table in state.resolve_table_references(&statement).map_err(|error| explain(&error))? {
        // A function such as `generate_series` stands where a table stands; the other schema is the one of `SHOW TABLES`.
        let is_table = table.schema().is_none_or(|schema| schema == "public") && context.table_function(table.table()).is_err();
        if is_table && !table_names().any(|known| known == table.table()) {
            return Err(unknown_table(table.table()));
        }
    }
    let plan = state.statement_to_plan(statement).await.map_err(|error| explain(&error))?;
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    read_only.verify_plan(&plan).map_err(|_| only_reads())?;
    context.execute_logical_plan(plan).await.map_err(|error| explain(&error))
}

/// Whether a statement may be one that only reads; the plan is the judge, this is for the message.
fn reads(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(sql) => !matches!(
            **sql,
            Sql::CreateTable(_) | Sql::CreateView(_) | Sql::Insert(_) | Sql::Update(_) | Sql::Delete(_) | Sql::Drop { .. }
        ),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => false,
        Statement::Explain(explained) => reads(&explained.statement),
    }
}

fn only_reads() -> Error {
    Error::Query(
        "a query only reads: write SELECT, WITH, EXPLAIN, DESCRIBE or SHOW; the lake is changed by `headwater sync`".to_owned(),
    )
}

fn unknown_table(name: &str) -> Error {
    let near = nearest(name, table_names()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    let all: Vec<&str> = table_names().collect();
    Error::Query(format!("there is no table `{name}`; {near}the tables are: {}", all.join(", ")))
}

/// The engine's error in our words where a person mistyped something, else in its own.
fn explain(error: &DataFusionError) -> Error {
    let text = match error.find_root() {
        DataFusionError::SchemaError(found, _) => match found.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => unknown_column(field, valid_fields),
            other @ (SchemaError::AmbiguousReference { .. }
            | SchemaError::DuplicateQualifiedField { .. }
            | SchemaError::DuplicateUnqualifiedField { .. }) => other.to_string(),
        },
        DataFusionError::SQL(parse, _) => match parse.as_ref() {
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
                format!("the SQL cannot be read: {message}")
            }
            ParserError::RecursionLimitExceeded => "the SQL is nested too deeply".to_owned(),
        },
        DataFusionError::ArrowError(error, _) => error.to_string().to_lowercase(),
        DataFusionError::NotImplemented(what) if what.contains("single SQL statement") => {
            "write one statement at a time".to_owned()
        }
        other => other.strip_backtrace(),
    };
    Error::Query(text)
}

fn unknown_column(field: &Column, valid: &[Column]) -> String {
    // Inside an expression the engine does not always say which columns there are; the query's table then is `prospect`.
    let known: Vec<&str> = if valid.is_empty() {
        tables::PROSPECT.columns.iter().map(|column| column.name).collect()
    } else {
        valid.iter().map(Column::name).collect()
    };
    let near = nearest(field.name(), known.iter().copied()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    let listed: Vec<&str> = known.iter().copied().take(MAX_LISTED).collect();
    format!("there is no column `{}`; {near}the columns are: {}", field.flat_name(), listed.join(", "))
}
