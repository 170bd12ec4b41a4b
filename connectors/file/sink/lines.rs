//! One line of the file, read and written.

use std::borrow::Cow;
use std::io::{self, Write};

use headwater_sdk::sink::Fields;
use headwater_sdk::{Error, ErrorKind, Result};
use serde_json::Value;

use super::{KEY, Target};

/// One line as it stands in the file.
pub(super) enum Line<'a> {
    Csv { header: &'a [String], key: usize, record: &'a ::csv::StringRecord, escaped: bool },
    Json { id: Cow<'a, str>, text: &'a str },
}

impl Line<'_> {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Csv { header: _, key, record, escaped: _ } => record.get(*key).unwrap_or_default(),
            Self::Json { id, text: _ } => id,
        }
    }

    pub(super) fn fields(&self) -> Result<Fields> {
        match self {
            Self::Csv { header, key: _, record, escaped } => {
                let value = |cell: &str| match (cell, escaped) {
                    ("", _) => None,
                    (cell, true) => Some(unescape(cell).to_owned()),
                    (cell, false) => Some(cell.to_owned()),
                };
                let cells = header.iter().zip(record.iter()).filter(|(name, _)| *name != KEY);
                Ok(cells.map(|(name, cell)| (name.clone(), value(cell))).collect())
            }
            Self::Json { id: _, text } => {
                let object: serde_json::Map<String, Value> = serde_json::from_str(text)
                    .map_err(|_| Error::new(ErrorKind::Input, "a line of the file is no JSON object"))?;
                let value = |value: Value| match value {
                    Value::Null => None,
                    Value::String(text) => Some(text),
                    other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => Some(other.to_string()),
                };
                let cells = object.into_iter().filter(|(name, _)| name != KEY);
                Ok(cells.map(|(name, cell)| (name, value(cell))).collect())
            }
        }
    }
}

/// The new file.
pub(super) enum Out<'a> {
    Csv { writer: Box<::csv::Writer<&'a mut dyn Write>>, order: &'a [String], escape: bool },
    Json { file: &'a mut dyn Write, order: &'a [String] },
}

impl<'a> Out<'a> {
    pub(super) fn new(target: &Target, file: &'a mut dyn Write, order: &'a [String]) -> io::Result<Self> {
        if target.json {
            return Ok(Self::Json { file, order });
        }
        let mut writer = Box::new(::csv::Writer::from_writer(file));
        writer.write_record(order)?;
        Ok(Self::Csv { writer, order, escape: target.escape })
    }

    /// Carries a line over as it stands.
    pub(super) fn copy(&mut self, line: &Line<'_>) -> io::Result<()> {
        match (self, line) {
            (Self::Csv { writer, order, escape: _ }, Line::Csv { header, key: _, record, escaped: _ }) => {
                if header == order {
                    return Ok(writer.write_byte_record(record.as_byte_record())?);
                }
                let cell = |name| header.iter().position(|held| held == name).and_then(|index| record.get(index));
                Ok(writer.write_record(order.iter().map(|name| cell(name).unwrap_or_default()))?)
            }
            (Self::Json { file, order: _ }, Line::Json { id: _, text }) => writeln!(file, "{text}"),
            (Self::Csv { .. }, Line::Json { .. }) | (Self::Json { .. }, Line::Csv { .. }) => {
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }

    /// Writes a person's line anew.
    pub(super) fn put(&mut self, id: &str, fields: &Fields) -> io::Result<()> {
        match self {
            Self::Csv { writer, order, escape } => {
                let cell = |name: &String| match fields.get(name) {
                    _ if name == KEY => Cow::Borrowed(id),
                    Some(Some(value)) if *escape => escaped(value),
                    Some(Some(value)) => Cow::Borrowed(value.as_str()),
                    Some(None) | None => Cow::Borrowed(""),
                };
                Ok(writer.write_record(order.iter().map(|name| cell(name).into_owned()))?)
            }
            Self::Json { file, order } => {
                write!(file, "{{\"{KEY}\":")?;
                serde_json::to_writer(&mut *file, id)?;
                for (name, value) in order.iter().filter_map(|name| fields.get_key_value(name)) {
                    file.write_all(b",")?;
                    serde_json::to_writer(&mut *file, name)?;
                    file.write_all(b":")?;
                    serde_json::to_writer(&mut *file, value)?;
                }
                file.write_all(b"}\n")
            }
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Csv { writer, order: _, escape: _ } => writer.flush(),
            Self::Json { file, order: _ } => file.flush(),
        }
    }
}

/// Whether a spreadsheet would run the cell, or would with the quotes before it taken away. Signed numbers cannot call anything.
fn runs(cell: &str) -> bool {
    let bare = cell.trim_start_matches('\'');
    let number = |text: &str| text.chars().all(|c| c.is_ascii_digit() || " +-().".contains(c));
    bare.starts_with(['=', '@', '\t', '\r']) || (bare.starts_with(['+', '-']) && !number(bare))
}

pub(super) fn escaped(cell: &str) -> Cow<'_, str> {
    if runs(cell) { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

pub(super) fn unescape(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| runs(rest)).unwrap_or(cell)
}
