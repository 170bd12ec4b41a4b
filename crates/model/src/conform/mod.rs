//! From a source's text to our columns, or to a reason why not.
//!
//! Conforming is pure: the same page under the same context gives the same rows. It drops nothing silently: every row of a page
//! ends as accepted, as suppressed, or as refused with a reason that says what to do.

mod columns;
mod facts;
mod leads;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{nullif, take_record_batch};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use xxhash_rust::xxh3::Xxh3;

use crate::ids;
use crate::instant::{self, DateStyle};
use crate::mapping::{FieldRule, Mapping, Origin, Role};
use crate::page::{Page, Refused};
use crate::suppression::Screen;

pub use facts::Facts;
pub use leads::{Leads, TouchColumns};

/// What the project says about a source, and what every one of its rows shares.
#[derive(Debug, Clone)]
pub struct Context {
    /// The name of the connection.
    pub source: String,
    /// The stream.
    pub stream: String,
    /// The run that reads.
    pub run_id: String,
    /// By which way people came to be in it.
    pub origin: Origin,
    /// How dates are written.
    pub dates: DateStyle,
    /// The country (ISO 3166 alpha-2) of numbers written nationally, where a row names none.
    pub country: Option<String>,
    /// The currency of amounts, where a row names none.
    pub currency: Option<String>,
    /// On what basis the records are held.
    pub lawful_basis: Option<String>,
    /// When that basis was obtained, in microseconds of UTC.
    pub basis_obtained_at: Option<i64>,
    /// When the people were told, in microseconds of UTC.
    pub notice_at: Option<i64>,
}

/// The fields a mapping may fill, by role.
#[must_use]
pub fn fields_of(role: Role) -> &'static [&'static str] {
    match role {
        Role::Leads | Role::Touches => leads::FIELDS,
        Role::Engagements => facts::ENGAGEMENT_FIELDS,
        Role::Conversions => facts::CONVERSION_FIELDS,
        Role::Costs => facts::COST_FIELDS,
    }
}

/// Why rows could not be conformed at all.
#[derive(Debug, thiserror::Error)]
pub enum ConformError {
    /// The mapping names a field of ours that there is not.
    #[error("there is no field `{field}` to map to")]
    UnknownField {
        /// The field.
        field: String,
        /// The fields there are.
        known: &'static [&'static str],
    },
    /// The mapping's `format` is not one we know.
    #[error("`{format}` is not a format of `{field}`: write {expected}")]
    UnknownFormat {
        /// The field.
        field: String,
        /// The format.
        format: String,
        /// What would be one.
        expected: &'static str,
    },
    /// A bug: columns that do not fit together.
    #[error("columns do not fit together")]
    Arrow(#[from] ArrowError),
}

/// Who a row is and what it says, before anything is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowHash {
    /// The identity of the lead (or other fact) that the row is a version of.
    pub identity: u128,
    /// The row's content.
    pub content: u64,
}

impl RowHash {
    /// The first half of the identity: what the lake keeps to recognise a record by.
    #[must_use]
    pub fn identity_hash(&self) -> i64 {
        let head = (self.identity >> 64) as u64;
        head.cast_signed()
    }
}

/// Conforms the pages of one stream.
#[derive(Debug)]
pub struct Conformer {
    role: Role,
    rules: BTreeMap<String, FieldRule>,
    context: Context,
}

impl Conformer {
    /// A conformer of this role with this mapping.
    ///
    /// # Errors
    /// When the mapping names a field or a format that there is not.
    pub fn new(role: Role, mapping: &Mapping, context: Context) -> Result<Self, ConformError> {
        let known = fields_of(role);
        for (field, rule) in &mapping.0 {
            if !known.contains(&field.as_str()) {
                return Err(ConformError::UnknownField { field: field.clone(), known });
            }
            if let Some(format) = &rule.format {
                check_format(field, format)?;
            }
        }
        Ok(Self { role, rules: mapping.0.clone(), context })
    }

    /// What its rows are.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Who each row of the page is and what it says. A row without a key is known by its content.
    #[must_use]
    pub fn hashes(&self, page: &Page) -> Vec<RowHash> {
        let columns: Vec<_> = columns::all(&page.fields);
        let mut hasher = Xxh3::new();
        (0..page.rows())
            .map(|row| {
                hasher.reset();
                match given(page, row) {
                    Some(raw) => hasher.update(raw.as_bytes()),
                    None => columns.iter().for_each(|column| match column.is_valid(row) {
                        // A null and an empty cell are different contents, and text may hold any separator: lengths tell cells apart.
                        true => {
                            let cell = column.value(row).as_bytes();
                            hasher.update(&(cell.len() as u64 + 1).to_le_bytes());
                            hasher.update(cell);
                        }
                        false => hasher.update(&0_u64.to_le_bytes()),
                    }),
                }
                let identity = match key(page, row) {
                    Some(key) => ids::lead_bits(&self.context.source, &self.context.stream, key.as_bytes()),
                    None => ids::lead_bits(&self.context.source, &self.context.stream, &hasher.digest128().to_be_bytes()),
                };
                // The same record, gone, is the same record: only what is said of it differs.
                hasher.update(&[u8::from(deleted(page, row))]);
                RowHash { identity, content: hasher.digest() }
            })
            .collect()
    }

    /// Conforms the rows `keep` (in page order) of a page of leads or touches.
    ///
    /// # Errors
    /// When columns do not fit together, which is a bug.
    pub fn leads(&self, page: &Page, keep: &Keep, screen: &Screen, now_us: i64) -> Result<Leads, ConformError> {
        leads::conform(self, &Kept::of(page, keep)?, screen, now_us)
    }

    /// Conforms the rows `keep` of a page of engagements, conversions or costs.
    ///
    /// # Errors
    /// When columns do not fit together, which is a bug.
    pub fn facts(&self, page: &Page, keep: &Keep, screen: &Screen, now_us: i64) -> Result<Facts, ConformError> {
        facts::conform(self, &Kept::of(page, keep)?, screen, now_us)
    }
}

/// Which rows of a page to conform, with their identities.
#[derive(Debug)]
pub struct Keep {
    /// Row numbers, ascending.
    pub rows: Vec<u32>,
    /// The identity and content of each of them.
    pub hashes: Vec<RowHash>,
}

/// The kept rows of a page, laid side by side.
struct Kept<'a> {
    page: &'a Page,
    rows: &'a [u32],
    hashes: &'a [RowHash],
    fields: RecordBatch,
    /// The rows of which nothing may be kept but that they are gone.
    blank: Option<BooleanArray>,
}

impl<'a> Kept<'a> {
    fn of(page: &'a Page, keep: &'a Keep) -> Result<Self, ConformError> {
        let fields = if keep.rows.len() == page.rows() {
            page.fields.clone()
        } else {
            take_record_batch(&page.fields, &UInt32Array::from(keep.rows.clone()))?
        };
        Ok(Self { page, rows: &keep.rows, hashes: &keep.hashes, fields, blank: None })
    }

    /// The same rows, nothing left of those that `blank` names.
    fn without(&self, blank: BooleanArray) -> Result<Self, ConformError> {
        let schema = self.fields.schema();
        let fields: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let columns = self.fields.columns().iter().map(|column| nullif(column, &blank)).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.len()));
        let fields = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
        Ok(Self { page: self.page, rows: self.rows, hashes: self.hashes, fields, blank: Some(blank) })
    }

    fn is_blank(&self, row: usize) -> bool {
        self.blank.as_ref().is_some_and(|blank| blank.value(row))
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn page_row(&self, row: usize) -> usize {
        self.rows.get(row).map_or(0, |row| *row as usize)
    }

    fn place(&self, row: usize) -> String {
        self.page.places.of(self.page_row(row))
    }

    fn deleted(&self, row: usize) -> bool {
        deleted(self.page, self.page_row(row))
    }

    /// The raw record as the source gave it, where it gave one.
    fn given(&self, row: usize) -> Option<&str> {
        given(self.page, self.page_row(row)).filter(|_| !self.is_blank(row))
    }

    fn key(&self, row: usize) -> Option<&str> {
        key(self.page, self.page_row(row)).filter(|_| !self.is_blank(row))
    }

    fn received_at(&self, row: usize, now_us: i64) -> i64 {
        self.page.received_at.as_ref().map_or(now_us, |at| at.value(self.page_row(row)))
    }

    fn raw(&self, row: usize, columns: &record::Columns<'_>) -> String {
        self.given(row).map_or_else(|| columns.json(row), str::to_owned)
    }

    fn refuse(&self, row: usize, columns: &record::Columns<'_>, why: Refusal) -> Refused {
        let Refusal { code, field, reason } = why;
        Refused { place: self.place(row), code, field: field.map(str::to_owned), reason, raw: self.raw(row, columns) }
    }
}

fn given(page: &Page, row: usize) -> Option<&str> {
    page.raw.as_ref().filter(|raw| raw.is_valid(row)).map(|raw| raw.value(row))
}

fn key(page: &Page, row: usize) -> Option<&str> {
    page.keys.as_ref().filter(|keys| keys.is_valid(row)).map(|keys| keys.value(row))
}

fn deleted(page: &Page, row: usize) -> bool {
    page.deleted.as_ref().is_some_and(|deleted| deleted.get(row) == Some(&true))
}

fn check_format(field: &str, format: &str) -> Result<(), ConformError> {
    let (known, expected) = match field {
        "value" | "amount" => (crate::money::NumberStyle::parse(format).is_some(), "point, comma or point_grouped"),
        "created_at" | "observed_at" | "notice_at" | "occurred_at" | "day" | "until_day" => {
            (instant::is_format(format), "a strftime format such as %d/%m/%Y")
        }
        _ => (false, "none: it is text"),
    };
    if known {
        return Ok(());
    }
    Err(ConformError::UnknownFormat { field: field.to_owned(), format: format.to_owned(), expected })
}

/// Why one row is refused.
struct Refusal {
    code: &'static str,
    field: Option<&'static str>,
    reason: String,
}

impl Refusal {
    fn new(code: &'static str, field: Option<&'static str>, reason: impl Into<String>) -> Self {
        Self { code, field, reason: reason.into() }
    }
}
