//! A table of records, CSV or Parquet, row by row into a sheet. What is wrong is said with file and line, never with a value.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use csv::{ErrorKind, ReaderBuilder, StringRecord};
use headwater_analysis::identity::engine::{Columns, Misfit, Sheet, Wanted};
use headwater_model::decoding::decode;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::RowGroupMetaData;

use crate::error::{Error, Result};

/// Rows of Parquet in memory at a time: enough to decode fast, few enough that long texts stay small.
const BATCH_ROWS: usize = 4096;
/// A row that is longer is a quotation mark that nobody closed.
const MAX_ROW_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes read from the disk at once.
const BUFFER_BYTES: usize = 1024 * 1024;
/// No id of any tool is longer.
const MAX_ID_BYTES: usize = 1024;

/// A table that was read.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) names: Vec<String>,
    pub(super) columns: Columns,
    pub(super) sheet: Sheet,
}

/// Reads a whole table in.
pub(super) fn read(file: &Path, wanted: &Wanted) -> Result<Taken> {
    let unreadable = |source| Error::File { path: file.display().to_string(), doing: "read", source };
    let opened = File::open(file).map_err(unreadable)?;
    if opened.metadata().map_err(unreadable)?.is_dir() {
        return Err(wrong(file, "is a folder; name a CSV or Parquet file"));
    }
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, opened);
    let start = reader.fill_buf().map_err(unreadable)?;
    let is_text = match start {
        [] => return Err(wrong(file, "is empty: it has no line with column names")),
        [b'P', b'A', b'R', b'1', ..] => false,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err(wrong(file, "is UTF-16 text; save it as UTF-8")),
        [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            return Err(wrong(file, "is compressed or a workbook; unpack it, or save it as CSV"));
        }
        _ => true,
    };
    if is_text {
        let delimiter = delimiter(start);
        from_csv(file, reader, delimiter, wanted)
    } else {
        reader.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        from_parquet(file, reader.into_inner(), wanted)
    }
}

/// The sign between columns: the one that is most often in the first line.
fn delimiter(start: &[u8]) -> u8 {
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |sign: u8| line.iter().filter(|byte| **byte == sign).count();
    // The last of equals is taken, so the comma stands last.
    [b'\t', b';', b','].into_iter().max_by_key(|sign| count(*sign)).unwrap_or(b',')
}

/// A reader that gives up on a row that does not end.
struct Capped<R> {
    inner: R,
    read: Rc<Cell<u64>>,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.read.set(self.read.get() + read as u64);
        if self.read.get() > MAX_ROW_BYTES {
            let what = format!("a row is longer than {MAX_ROW_BYTES} bytes; look for a quotation mark that is not closed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(read)
    }
}

pub(super) fn from_csv(file: &Path, reader: impl Read, delimiter: u8, wanted: &Wanted) -> Result<Taken> {
    let read = Rc::new(Cell::new(0));
    let capped = Capped { inner: reader, read: Rc::clone(&read) };
    let mut rows = ReaderBuilder::new().delimiter(delimiter).from_reader(capped);
    let names: Vec<String> = rows.headers().map_err(|error| explain(file, error))?.iter().map(str::to_owned).collect();
    let columns = found(file, &names, wanted)?;
    let mut sheet = Sheet::new(columns.clone());
    let mut cells = StringRecord::new();
    loop {
        read.set(0);
        if !rows.read_record(&mut cells).map_err(|error| explain(file, error))? {
            break;
        }
        let place = || format!(":{}", cells.position().map_or(0, csv::Position::line));
        take(file, &mut sheet, &columns, |at| cells.get(at).unwrap_or_default(), place)?;
    }
    Ok(Taken { names, columns, sheet })
}

fn from_parquet(file: &Path, opened: File, wanted: &Wanted) -> Result<Taken> {
    let broken =
        |error: &dyn std::fmt::Display| wrong(file, &format!("is Parquet that cannot be read: {error}; export it again"));
    // What Arrow says of the types beside Parquet is not needed.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder =
        decode(|| ParquetRecordBatchReaderBuilder::try_new_with_options(opened, options)).map_err(|error| broken(&error))?;
    let whole = builder.metadata().row_groups().iter().map(RowGroupMetaData::num_rows).fold(0, i64::saturating_add);
    let names: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let columns = found(file, &names, wanted)?;
    let mut used: Vec<usize> = columns.evidence.iter().map(|(at, _)| *at).chain([columns.id]).chain(columns.truth).collect();
    used.sort_unstable();
    used.dedup();
    if let Some(name) =
        used.iter().find_map(|at| builder.schema().fields().get(*at).filter(|field| field.data_type().is_nested()))
    {
        return Err(wrong(file, &format!("has no plain values in column `{}`", name.name())));
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), used.iter().copied());
    let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    let mut batches = decode(|| builder.build()).map_err(|error| broken(&error))?;
    let mut sheet = Sheet::new(columns.clone());
    let mut next = || -> Result<Option<Vec<ArrayRef>>, ArrowError> {
        let Some(batch) = batches.next().transpose()? else { return Ok(None) };
        batch.columns().iter().map(|column| cast(column, &DataType::Utf8)).collect::<Result<_, _>>().map(Some)
    };
    while let Some(texts) = decode(&mut next).map_err(|error| broken(&error))? {
        let rows = texts.first().map_or(0, |column| column.len());
        let texts: Vec<Option<&StringArray>> = texts.iter().map(|column| column.as_string_opt()).collect();
        for row in 0..rows {
            let cell = |at: usize| {
                let column = used.binary_search(&at).ok().and_then(|place| texts.get(place).copied().flatten());
                column.filter(|column| column.is_valid(row)).map_or("", |column| column.value(row))
            };
            take(file, &mut sheet, &columns, cell, String::new)?;
        }
    }
    // A torn page may end early, and that is no error of Parquet.
    if whole != i64::try_from(sheet.len()).unwrap_or(i64::MAX) {
        return Err(wrong(
            file,
            &format!("is damaged: it holds {} rows, and says itself that there are {whole}; export it again", sheet.len()),
        ));
    }
    Ok(Taken { names, columns, sheet })
}

fn take<'a>(
    file: &Path,
    sheet: &mut Sheet,
    columns: &Columns,
    cell: impl Fn(usize) -> &'a str,
    place: impl Fn() -> String,
) -> Result<()> {
    let wrong = |what: String| Error::Usage(format!("{}{}: {what}", file.display(), place()));
    if cell(columns.id).len() > MAX_ID_BYTES {
        return Err(wrong(format!("record {} has an id of more than {MAX_ID_BYTES} bytes", sheet.len() + 1)));
    }
    sheet.push(cell).map_err(|problem| wrong(problem.to_string()))
}

fn found(file: &Path, names: &[String], wanted: &Wanted) -> Result<Columns> {
    Columns::of(names.iter().map(String::as_str), wanted).map_err(|misfit| {
        let help = match &misfit {
            Misfit::Missing(_) => "; name the column that it stands in with `--config`",
            Misfit::Twice(_) | Misfit::IdIsTruth(_) | Misfit::Mute => "",
        };
        // The names of the columns are not shown: in a file without a header they are somebody's data.
        wrong(file, &format!("{misfit}{help}"))
    })
}

fn wrong(file: &Path, what: &str) -> Error {
    Error::Usage(format!("{} {what}", file.display()))
}

fn explain(file: &Path, error: csv::Error) -> Error {
    let line = error.position().map_or(1, csv::Position::line);
    let shown = file.display();
    match error.into_kind() {
        ErrorKind::Io(source) if source.kind() == io::ErrorKind::InvalidData => Error::Usage(format!("{shown}: {source}")),
        ErrorKind::Io(source) => Error::File { path: shown.to_string(), doing: "read", source },
        ErrorKind::UnequalLengths { expected_len, len, pos: _ } => {
            Error::Usage(format!("{shown}:{line}: has {len} fields where the header has {expected_len}"))
        }
        ErrorKind::Utf8 { .. } => Error::Usage(format!("{shown}:{line}: is not UTF-8 text; save it as UTF-8")),
        _ => Error::Usage(format!("{shown}:{line}: is not CSV")),
    }
}
