//! Parquet: every column as the text of its exact value.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use headwater_model::page::{Page, Places};
use headwater_sdk::{Error, ErrorKind, Result};

use super::header;
use super::input::{decoded, unreadable};
use super::rows::{Opened, PAGE_ROWS, Rows};

/// What a file that is none cannot be read as.
const KIND: &str = "Parquet";
/// A value that is no text and cannot become one is an error, never a null.
const EXACT: CastOptions<'static> = CastOptions { safe: false, format_options: FormatOptions::new() };

/// Reads the schema of a file and makes its rows readable.
pub(super) fn open(path: &Path, file: &str, consumed: &Arc<AtomicU64>) -> Result<Opened> {
    let opened = File::open(path).map_err(|error| unreadable(file, error))?;
    let size = opened.metadata().map_or(0, |metadata| metadata.len());
    // What Arrow says of the types beside Parquet is not needed.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = decoded(file, KIND, || ParquetRecordBatchReaderBuilder::try_new_with_options(opened, options))?;
    let groups = builder.metadata().row_groups().iter();
    let total = groups.fold(0_u64, |total, group| total.saturating_add_signed(group.num_rows()));
    let columns: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    if columns.len() > header::MAX_COLUMNS {
        return Err(Error::new(ErrorKind::Input, format!("{file} has more than {} columns", header::MAX_COLUMNS)));
    }
    let nested = builder.schema().fields().iter().any(|field| field.data_type().is_nested());
    let fields = header::names(&columns);
    let schema = Arc::new(Schema::new(fields.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>()));
    let reader = decoded(file, KIND, || builder.with_batch_size(PAGE_ROWS).build())?;
    let rows = ParquetRows {
        file: file.to_owned(),
        reader,
        schema,
        nested,
        batch: None,
        given: 0,
        total,
        size,
        consumed: Arc::clone(consumed),
    };
    Ok(Opened { fields, notes: vec![format!("Parquet, {total} rows")], rows: Box::new(rows) })
}

struct ParquetRows {
    file: String,
    reader: ParquetRecordBatchReader,
    schema: SchemaRef,
    nested: bool,
    /// What is left of the batch read last.
    batch: Option<RecordBatch>,
    given: u64,
    total: u64,
    size: u64,
    consumed: Arc<AtomicU64>,
}

impl Rows for ParquetRows {
    fn next(&mut self, most: usize) -> Result<Option<Page>> {
        let batch = match self.batch.take().filter(|batch| batch.num_rows() > 0) {
            Some(batch) => batch,
            None => match decoded(&self.file, KIND, || self.reader.next().transpose())? {
                None if self.given == self.total => return Ok(None),
                // A torn page may end early, and that is no error of Parquet.
                None => {
                    let Self { file, given, total, .. } = self;
                    let short = format!("{file} is damaged: it holds {given} rows, and says itself that there are {total}");
                    return Err(Error::new(ErrorKind::Input, short).hint("export it again, or as CSV"));
                }
                Some(batch) => batch,
            },
        };
        let rows = batch.num_rows().min(most.max(1));
        let now = batch.slice(0, rows);
        self.batch = Some(batch.slice(rows, batch.num_rows() - rows));
        let texts = || now.columns().iter().map(|column| Ok(Arc::new(text(column)?) as ArrayRef)).collect();
        let columns = decoded::<Vec<ArrayRef>, ArrowError>(&self.file, KIND, texts)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let fields =
            decoded(&self.file, KIND, || RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options))?;
        // A Parquet file has no lines; its rows are counted from one.
        let lines = (self.given + 1..=self.given + rows as u64).collect();
        self.given += rows as u64;
        let consumed = u128::from(self.size) * u128::from(self.given) / u128::from(self.total.max(1));
        self.consumed.store(u64::try_from(consumed).unwrap_or(self.size), Ordering::Relaxed);
        let mut page = Page::new(fields, Places::Lines { file: self.file.clone(), lines })
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        if self.nested {
            page.raw = Some(decoded(&self.file, KIND, || raw(&now))?);
        }
        Ok(Some(page))
    }
}

/// A column as text.
fn text(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    match column.data_type() {
        // A float is written without an exponent and without `.0`, as a person would write it.
        DataType::Float64 => {
            Ok(column.as_primitive::<Float64Type>().iter().map(|value| value.map(|value| value.to_string())).collect())
        }
        DataType::Float32 => {
            Ok(column.as_primitive::<Float32Type>().iter().map(|value| value.map(|value| value.to_string())).collect())
        }
        // An instant is the same in every zone: it is written in UTC.
        DataType::Timestamp(unit, Some(zone)) if zone.as_ref() != "+00:00" => {
            let utc = cast_with_options(column, &DataType::Timestamp(*unit, Some("+00:00".into())), &EXACT)?;
            text(&utc)
        }
        DataType::Dictionary(_, values) => text(&cast_with_options(column, values, &EXACT)?),
        kind if kind.is_nested() => {
            let mut cells: Vec<Option<String>> = Vec::with_capacity(column.len());
            for row in 0..column.len() {
                cells.push(if column.is_null(row) { None } else { Some(json(column, row)?.to_string()) });
            }
            Ok(StringArray::from(cells))
        }
        _ => Ok(cast_with_options(column, &DataType::Utf8, &EXACT)?.as_string::<i32>().clone()),
    }
}

/// The rows as JSON objects.
fn raw(batch: &RecordBatch) -> Result<StringArray, ArrowError> {
    let schema = batch.schema();
    (0..batch.num_rows())
        .map(|row| {
            let mut object = serde_json::Map::new();
            for (field, column) in schema.fields().iter().zip(batch.columns()) {
                object.insert(field.name().clone(), json(column, row)?);
            }
            Ok(Some(serde_json::Value::Object(object).to_string()))
        })
        .collect()
}

/// One value as JSON. Whole numbers that JSON readers may round stay text; so do decimals and dates.
fn json(column: &ArrayRef, row: usize) -> Result<serde_json::Value, ArrowError> {
    use serde_json::Value;
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    let list = |items: ArrayRef| -> Result<Value, ArrowError> {
        (0..items.len()).map(|item| json(&items, item)).collect::<Result<Vec<Value>, ArrowError>>().map(Value::Array)
    };
    match column.data_type() {
        DataType::Boolean => Ok(Value::Bool(column.as_boolean().value(row))),
        DataType::List(_) => list(column.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(column.as_list::<i64>().value(row)),
        DataType::FixedSizeList(_, _) => list(column.as_fixed_size_list().value(row)),
        DataType::Map(_, _) => list(Arc::new(column.as_map().value(row))),
        DataType::Struct(fields) => {
            let mut object = serde_json::Map::new();
            for (field, inner) in fields.iter().zip(column.as_struct().columns()) {
                object.insert(field.name().clone(), json(inner, row)?);
            }
            Ok(Value::Object(object))
        }
        kind if kind.is_nested() => {
            Ok(Value::String(ArrayFormatter::try_new(column, &FormatOptions::new())?.value(row).try_to_string()?))
        }
        _ => {
            let cell = text(&column.slice(row, 1))?;
            Ok(if cell.is_null(0) { Value::Null } else { Value::String(cell.value(0).to_owned()) })
        }
    }
}
