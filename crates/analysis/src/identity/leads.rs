//! A columnar view over the current leads, in one canonical order.
//!
//! The view copies no text: it keeps the batches as they came and sorts positions by lead id. Everything after it speaks of a
//! lead as its position in that order, so no result can depend on the order or the cut of the batches.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use hashbrown::HashMap;

use super::Error;

macro_rules! fields {
    ($($variant:ident $name:literal)*) => {
        /// A text column of the lead table that identity reads.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Field {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Field {
            /// Every field, in the order of the lead table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name of its column.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

fields! {
    LeadId "lead_id"
    RecordId "record_id"
    Source "source"
    Op "op"
    ExternalId "external_id"
    Email "email"
    EmailKind "email_kind"
    GivenName "given_name"
    FamilyName "family_name"
    FullName "full_name"
    Phone "phone"
    Mobile "mobile"
    JobTitle "job_title"
    Seniority "seniority"
    Department "department"
    CompanyName "company_name"
    CompanyDomain "company_domain"
    Website "website"
    LinkedinUrl "linkedin_url"
    Street "street"
    City "city"
    Region "region"
    PostalCode "postal_code"
    Country "country"
    Language "language"
    Need "need"
    Budget "budget"
    IntendedUse "intended_use"
    EmailStatus "email_status"
    Origin "origin"
    Consent "consent"
    LawfulBasis "lawful_basis"
    CompanyNumber "company_number"
}

/// Columns that every batch must have, without empty cells. `observed_at` is the fourth.
const REQUIRED: [Field; 3] = [Field::LeadId, Field::RecordId, Field::Source];

/// The current leads: one row per lead id, addressed by position in the order of their ids.
#[derive(Debug)]
pub struct Leads {
    parts: Vec<Part>,
    order: Vec<Place>,
    sources: Vec<String>,
    source_of: Vec<u32>,
}

#[derive(Debug)]
struct Part {
    texts: Vec<Option<StringArray>>,
    observed_at: TimestampMicrosecondArray,
    created_at: Option<TimestampMicrosecondArray>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    part: u32,
    row: u32,
}

impl Leads {
    /// The columns worth reading from the lake. Of these only `lead_id`, `record_id`, `source` and `observed_at` must be there;
    /// a column that a batch lacks counts as empty.
    pub fn columns() -> impl Iterator<Item = &'static str> {
        Field::ALL.iter().map(|field| field.name()).chain(["observed_at", "created_at"])
    }

    /// A view over these batches. Leave deleted and test leads out: identity knows neither.
    ///
    /// # Errors
    /// A required column is missing, mistyped or has empty cells, or two rows have one lead id.
    pub fn new(batches: &[RecordBatch]) -> Result<Self, Error> {
        let mut parts = Vec::with_capacity(batches.len());
        let mut order = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        for (part, batch) in batches.iter().enumerate() {
            let part = u32::try_from(part).map_err(|_| Error::TooManyLeads)?;
            let rows = u32::try_from(batch.num_rows()).map_err(|_| Error::TooManyLeads)?;
            order.extend((0..rows).map(|row| Place { part, row }));
            parts.push(Part::new(batch)?);
        }
        i32::try_from(order.len()).map_err(|_| Error::TooManyLeads)?;
        order.sort_unstable_by_key(|place| text_at(&parts, *place, Field::LeadId));
        let repeated = order.windows(2).any(|pair| match pair {
            [one, two] => text_at(&parts, *one, Field::LeadId) == text_at(&parts, *two, Field::LeadId),
            _ => false,
        });
        if repeated {
            return Err(Error::DuplicateLead);
        }
        let (sources, source_of) = intern_sources(&parts, &order);
        Ok(Self { parts, order, sources, source_of })
    }

    /// How many leads there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The positions of all leads, in the order of their ids.
    #[expect(clippy::cast_possible_truncation, reason = "the constructor refuses more rows than an i32 counts")]
    pub fn rows(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.order.len() as u32
    }

    /// The text of a field, or nothing where the cell is empty.
    #[must_use]
    pub fn text(&self, field: Field, row: u32) -> Option<&str> {
        text_at(&self.parts, *self.order.get(row as usize)?, field)
    }

    /// The id of a lead.
    #[must_use]
    pub fn id(&self, row: u32) -> &str {
        self.text(Field::LeadId, row).unwrap_or_default()
    }

    /// The position of a lead.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<u32> {
        let found = self.order.binary_search_by(|place| text_at(&self.parts, *place, Field::LeadId).unwrap_or_default().cmp(id));
        u32::try_from(found.ok()?).ok()
    }

    /// When the source was seen to say this, in microseconds.
    #[must_use]
    pub fn observed_at(&self, row: u32) -> i64 {
        self.at(row).map_or(0, |(part, row)| part.observed_at.value(row))
    }

    /// When this lead first existed as far as anyone says: the earlier of its creation and its observation.
    #[must_use]
    pub fn first_seen_at(&self, row: u32) -> i64 {
        let Some((part, at)) = self.at(row) else { return 0 };
        let observed = part.observed_at.value(at);
        match &part.created_at {
            Some(created) if created.is_valid(at) => created.value(at).min(observed),
            _ => observed,
        }
    }

    /// The names of the sources; [`Leads::source`] is a position in this list.
    #[must_use]
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// The position of a lead's source in [`Leads::sources`].
    #[must_use]
    pub fn source(&self, row: u32) -> usize {
        self.source_of.get(row as usize).map_or(0, |source| *source as usize)
    }

    fn at(&self, row: u32) -> Option<(&Part, usize)> {
        let place = self.order.get(row as usize)?;
        Some((self.parts.get(place.part as usize)?, place.row as usize))
    }
}

impl Part {
    fn new(batch: &RecordBatch) -> Result<Self, Error> {
        let texts = Field::ALL.iter().map(|field| text_column(batch, field.name())).collect::<Result<Vec<_>, _>>()?;
        for field in REQUIRED {
            match texts.get(field as usize).and_then(Option::as_ref) {
                None => return Err(Error::MissingColumn { column: field.name() }),
                Some(column) if column.null_count() > 0 => {
                    return Err(Error::MissingValue { column: field.name() });
                }
                Some(_) => {}
            }
        }
        let observed_at = instant_column(batch, "observed_at")?.ok_or(Error::MissingColumn { column: "observed_at" })?;
        if observed_at.null_count() > 0 {
            return Err(Error::MissingValue { column: "observed_at" });
        }
        Ok(Self { texts, observed_at, created_at: instant_column(batch, "created_at")? })
    }
}

/// A text column by name, whatever Arrow layout the reader chose for it.
pub(super) fn text_column(batch: &RecordBatch, column: &'static str) -> Result<Option<StringArray>, Error> {
    let Some(array) = batch.column_by_name(column) else { return Ok(None) };
    let array: ArrayRef = match array.data_type() {
        DataType::Utf8 => return Ok(Some(array.as_string().clone())),
        DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) | DataType::Null => cast(array, &DataType::Utf8)?,
        other => return Err(Error::WrongType { column, found: other.clone(), expected: "text" }),
    };
    Ok(Some(array.as_string().clone()))
}

/// A column of instants by name.
pub(super) fn instant_column(batch: &RecordBatch, column: &'static str) -> Result<Option<TimestampMicrosecondArray>, Error> {
    let Some(array) = batch.column_by_name(column) else { return Ok(None) };
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(Some(array.as_primitive::<TimestampMicrosecondType>().clone())),
        other => Err(Error::WrongType { column, found: other.clone(), expected: "an instant in microseconds" }),
    }
}

fn text_at(parts: &[Part], place: Place, field: Field) -> Option<&str> {
    let column = parts.get(place.part as usize)?.texts.get(field as usize)?.as_ref()?;
    let row = place.row as usize;
    column.is_valid(row).then(|| column.value(row))
}

/// Numbers the sources in the order of their names.
fn intern_sources(parts: &[Part], order: &[Place]) -> (Vec<String>, Vec<u32>) {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    for place in order {
        numbers.entry(text_at(parts, *place, Field::Source).unwrap_or_default()).or_insert(0);
    }
    let mut names: Vec<&str> = numbers.keys().copied().collect();
    names.sort_unstable();
    for (number, name) in (0..).zip(&names) {
        numbers.insert(name, number);
    }
    let number_of = |place: &Place| {
        let name = text_at(parts, *place, Field::Source).unwrap_or_default();
        numbers.get(name).copied().unwrap_or_default()
    };
    let source_of = order.iter().map(number_of).collect();
    (names.into_iter().map(str::to_owned).collect(), source_of)
}
