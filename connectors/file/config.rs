//! The settings of a file source.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

use encoding_rs::Encoding;
use headwater_sdk::{Error, ErrorKind, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::csv::Wanted;
use super::remote::Storage;

/// Reads the records of one or several files.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileSource {
    /// The file, or a pattern of files, relative to the project: `*` and `?` stand for any text and any character in a name,
    /// `**` for any folders. Or files of an object store: `s3://bucket/…`, `gs://bucket/…`, `az://account/container/…`; or of an SFTP server:
    /// `sftp://user@host/…`.
    pub path: String,
    /// Where the object store is and who asks; how the SFTP server and we prove who we are.
    #[serde(default)]
    pub storage: Storage,
    /// How the files are written; found by their extension when left out. `.gz`, `.zst` and `.zip` are unpacked.
    #[serde(default)]
    pub format: Format,
    /// How text was saved: `auto`, or a name such as `utf-8`, `windows-1252`, `macintosh`, `utf-16le`.
    #[serde(default = "auto")]
    pub encoding: String,
    /// What parts the fields of a line: `auto`, `tab` or one character.
    #[serde(default = "auto")]
    pub delimiter: String,
    /// The number of the line, or of the row of a sheet, that holds the column names; found when left out.
    #[serde(default)]
    pub header_row: Option<NonZeroU32>,
    /// The sheet of an XLSX file; needed only when several hold rows.
    #[serde(default)]
    pub sheet: Option<String>,
    /// Whose columns these are: `auto`, `zoominfo`, `apollo`, `lusha`, `cognism`, `kaspr`, `dropcontact`, `sales_navigator`,
    /// `crunchbase`, `sirene`, `companies_house`, or `none` to map nothing.
    #[serde(default)]
    pub preset: Preset,
    /// The column, or columns together, whose value identifies a record; the vendor's own id when left out.
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(schema_with = "one_or_many_schema")]
    pub key: Vec<String>,
    /// Whether the files together are all that there is: when one of them changes, comes or goes, all are read again, and a record that
    /// is in none of them any more is gone.
    #[serde(default)]
    pub whole: bool,
    /// After how many rows of a file the position in it is kept, so that a stopped read goes on from there.
    #[serde(default = "default_checkpoint_rows")]
    pub checkpoint_rows: NonZeroU64,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// As its extension says.
    #[default]
    Auto,
    /// Delimited text.
    Csv,
    /// Text parted by tabs.
    Tsv,
    /// An Excel workbook.
    Xlsx,
    /// One JSON object a line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

/// Whose columns a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Preset {
    /// As the column names say; otherwise common names in seven languages.
    #[default]
    Auto,
    /// A ZoomInfo export of contacts.
    Zoominfo,
    /// An Apollo export of contacts.
    Apollo,
    /// A Lusha export of contacts.
    Lusha,
    /// An export of Cognism; never guessed.
    Cognism,
    /// An export of Kaspr; never guessed.
    Kaspr,
    /// A file enriched by Dropcontact.
    Dropcontact,
    /// A scraper's export of Sales Navigator.
    SalesNavigator,
    /// A Crunchbase export of people or organizations.
    Crunchbase,
    /// The French register of companies, `StockUniteLegale`.
    Sirene,
    /// The British register of companies, `BasicCompanyData`.
    CompaniesHouse,
    /// Nothing is mapped.
    None,
}

impl FileSource {
    /// The declared encoding; none for `auto`.
    pub(super) fn declared_encoding(&self) -> Result<Option<&'static Encoding>> {
        if self.encoding == "auto" {
            return Ok(None);
        }
        Encoding::for_label(self.encoding.as_bytes()).map(Some).ok_or_else(|| {
            Error::new(ErrorKind::Config, format!("encoding `{}` is not known", self.encoding))
                .context("path", "encoding")
                .hint("use a name such as utf-8, windows-1252, windows-1250, macintosh or utf-16le")
        })
    }

    /// What the user says about the layout of text.
    pub(super) fn wanted(&self) -> Result<Wanted> {
        let delimiter = match (self.delimiter.as_str(), self.delimiter.as_bytes()) {
            ("auto", _) if self.format == Format::Tsv => Some(b'\t'),
            ("auto", _) => None,
            ("tab", _) => Some(b'\t'),
            (_, [byte]) if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Some(*byte),
            (_, _) => {
                return Err(Error::new(ErrorKind::Config, format!("delimiter `{}` is not one character", self.delimiter))
                    .context("path", "delimiter")
                    .hint("use auto, tab or one ASCII character such as `;`"));
            }
        };
        Ok(Wanted { delimiter, header_line: self.header_row.map(|line| u64::from(line.get())) })
    }

    /// Everything that decides how bytes become cells. When it changes, a file must be read anew.
    pub(super) fn reading(&self) -> String {
        let Self {
            path: _,
            storage: _,
            format,
            encoding,
            delimiter,
            header_row,
            sheet,
            preset: _,
            key: _,
            checkpoint_rows: _,
            whole: _,
        } = self;
        let header_row = header_row.map_or(0, NonZeroU32::get);
        format!("{format:?} {encoding} {delimiter:?} {header_row} {}", sheet.as_deref().unwrap_or_default()).to_lowercase()
    }
}

fn auto() -> String {
    "auto".to_owned()
}

fn default_checkpoint_rows() -> NonZeroU64 {
    const ROWS: NonZeroU64 = NonZeroU64::new(250_000).unwrap();
    ROWS
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a column or a list of them")
        }
        fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Vec<String>, E> {
            Ok(vec![name.to_owned()])
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
            let mut names = Vec::new();
            while let Some(name) = seq.next_element()? {
                names.push(name);
            }
            Ok(names)
        }
    }
    deserializer.deserialize_any(Visitor)
}

fn one_or_many_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
}
