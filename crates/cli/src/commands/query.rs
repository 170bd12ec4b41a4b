//! `query`: SQL over the lake.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use headwater_runtime::query;
use serde_json::{Map, Value};

use crate::args::{Format, Global};
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

pub(crate) async fn run(global: &Global, sql: &str, limit: usize, console: &Console) -> Result<Code, Failure> {
    let mut engine = wiring::quiet_engine(global).await?;
    engine.cancel = wiring::cancelled_by_signals();
    let mut answer = query::query(&engine, sql).await?;
    let schema = answer.schema();
    match console.format() {
        Format::Human => {
            let head = answer.head(limit).await?;
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let numeric =
                schema.fields().iter().enumerate().filter(|(_, field)| field.data_type().is_numeric()).map(|(index, _)| index);
            let mut rows = Rows::new(&names).right(numeric);
            for batch in &head.batches {
                for row in cells(batch)? {
                    rows.row(row.into_iter().map(Option::unwrap_or_default));
                }
            }
            console.line(&rows.render())?;
            let more = if head.more { "; there are more: `--limit N` or `--format csv` shows them" } else { "" };
            console.note(&format!("{} {}{more}", head.rows, if head.rows == 1 { "row" } else { "rows" }));
        }
        Format::Csv => {
            console.line(&csv_line(schema.fields().iter().map(|field| Some(field.name().clone()))))?;
            while let Some(batch) = answer.next().await? {
                let lines: Vec<String> = cells(&batch)?.into_iter().map(|row| csv_line(row.into_iter())).collect();
                console.write(&lines.into_iter().map(|line| line + "\n").collect::<String>())?;
            }
        }
        Format::Json => {
            while let Some(batch) = answer.next().await? {
                console.write(&json_lines(&schema, &batch)?)?;
            }
        }
    }
    Ok(Code::Done)
}

/// The cells of each row as text; nothing for null.
fn cells(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>, Failure> {
    let options = FormatOptions::default();
    let formatters =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options)).collect::<Result<Vec<_>, _>>();
    let formatters = formatters.map_err(|error| Failure::bug(error.to_string()))?;
    let cell = |row: usize, column: usize| {
        let formatter = formatters.get(column)?;
        (!batch.column(column).is_null(row)).then(|| formatter.value(row).to_string())
    };
    Ok((0..batch.num_rows()).map(|row| (0..batch.num_columns()).map(|column| cell(row, column)).collect()).collect())
}

/// One line of CSV (RFC 4180). Null and empty text are both empty.
pub(crate) fn csv_line(cells: impl Iterator<Item = Option<String>>) -> String {
    let quote = |cell: String| {
        if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
    };
    cells.map(|cell| quote(cell.unwrap_or_default())).collect::<Vec<_>>().join(",")
}

/// A JSON object per row. Numbers and truth values stay what they are; money and instants are text, as exact as they were.
fn json_lines(schema: &SchemaRef, batch: &RecordBatch) -> Result<String, Failure> {
    let mut text = String::new();
    for row in cells(batch)? {
        let fields = schema.fields().iter().zip(row).map(|(field, cell)| {
            let value = match cell {
                None => Value::Null,
                Some(cell) if field.data_type().is_integer() || field.data_type().is_floating() => {
                    serde_json::from_str(&cell).unwrap_or(Value::String(cell))
                }
                Some(cell) if *field.data_type() == arrow::datatypes::DataType::Boolean => Value::Bool(cell == "true"),
                Some(cell) => Value::String(cell),
            };
            (field.name().clone(), value)
        });
        let object: Map<String, Value> = fields.collect();
        text.push_str(&Value::Object(object).to_string());
        text.push('\n');
    }
    Ok(text)
}
