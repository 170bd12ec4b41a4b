//! The current leads by columns, in one canonical order.
//!
//! They are laid down anew in the order of their ids. Everything after it speaks of a lead as its position in that order, so no
//! result can depend on the order or the cut of the batches; and goes through the leads in that order, so that what is read next lies
//! next. At a million leads each pass over rows left where they came costs seconds in waiting for memory.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow::compute::{cast, interleave};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use hashbrown::{HashMap, HashTable};
use xxhash_rust::xxh3::xxh3_64;

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

/// Columns that every batch must have, without empty cells. `observed_at` is the third.
const REQUIRED: [Field; 2] = [Field::LeadId, Field::Source];

/// So many rows lie in one part, a power of two: few enough for the texts of a column, which may take 2 GiB.
const ROWS: usize = 8192;

/// The current leads: one row per lead id, addressed by position in the order of their ids.
#[derive(Debug)]
pub struct Leads {
    /// Of [`ROWS`] rows each, but for the last.
    parts: Vec<Part>,
    rows: usize,
    sources: Vec<String>,
    source_of: Vec<u32>,
    /// Made when the first lead is looked for.
    by_id: OnceLock<HashTable<u32>>,
}

#[derive(Debug)]
struct Part {
    texts: Vec<Option<StringArray>>,
    observed_at: TimestampMicrosecondArray,
    created_at: Option<TimestampMicrosecondArray>,
}

impl Leads {
    /// The columns worth reading from the lake. Of these only `lead_id`, `source` and `observed_at` must be there; a column that a
    /// batch lacks counts as empty.
    pub fn columns() -> impl Iterator<Item = &'static str> {
        Field::ALL.iter().map(|field| field.name()).chain(["observed_at", "created_at"])
    }

    /// The leads of these batches. Leave deleted and test leads out: identity knows neither.
    ///
    /// # Errors
    /// A required column is missing, mistyped or has empty cells, two rows have one lead id, or the texts of a column of some
    /// thousand leads pass 2 GiB.
    pub fn new(batches: &[RecordBatch]) -> Result<Self, Error> {
        let came = batches.iter().map(Part::new).collect::<Result<Vec<_>, _>>()?;
        let order = in_order(&came)?;
        if order.windows(2).any(|pair| matches!(pair, [one, two] if one.is_of_lead(*two, &came))) {
            return Err(Error::DuplicateLead);
        }
        Self::laid_down(came, &order)
    }

    /// The leads as the last row of each says; rows stand in the order in which they came. `live` tells of each row of each batch
    /// whether it counts: a lead whose last row does not is left out.
    ///
    /// # Errors
    /// As [`new`](Self::new), but for ids that repeat.
    pub fn of_last(batches: &[RecordBatch], live: &[BooleanArray]) -> Result<Self, Error> {
        let came = batches.iter().map(Part::new).collect::<Result<Vec<_>, _>>()?;
        let mut order = in_order(&came)?;
        // The rows of a lead follow each other, the last one first when all are turned round.
        order.reverse();
        order.dedup_by(|earlier, last| last.is_of_lead(*earlier, &came));
        order.reverse();
        order.retain(|Place { part, row, .. }| {
            let live = live.get(*part as usize).filter(|live| (*row as usize) < live.len());
            live.is_some_and(|live| live.is_valid(*row as usize) && live.value(*row as usize))
        });
        Self::laid_down(came, &order)
    }

    fn laid_down(came: Vec<Part>, order: &[Place]) -> Result<Self, Error> {
        let gather = |places: &[Place]| {
            let places: Vec<_> = places.iter().map(|place| (place.part as usize, place.row as usize)).collect();
            Part::gather(&came, &places)
        };
        let parts = order.chunks(ROWS).map(gather).collect::<Result<Vec<_>, _>>()?;
        drop(came);
        let (sources, source_of) = intern_sources(&parts);
        Ok(Self { parts, rows: order.len(), sources, source_of, by_id: OnceLock::new() })
    }

    /// How many leads there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The positions of all leads, in the order of their ids.
    #[expect(clippy::cast_possible_truncation, reason = "the constructor refuses more rows than an i32 counts")]
    pub fn rows(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.rows as u32
    }

    /// The text of a field, or nothing where the cell is empty.
    #[must_use]
    pub fn text(&self, field: Field, row: u32) -> Option<&str> {
        let (part, row) = self.at(row)?;
        part.text(field, row)
    }

    /// The id of a lead.
    #[must_use]
    pub fn id(&self, row: u32) -> &str {
        self.text(Field::LeadId, row).unwrap_or_default()
    }

    /// The position of a lead.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<u32> {
        let found = self.by_id.get_or_init(|| {
            let mut table = HashTable::with_capacity(self.rows);
            for row in self.rows() {
                table.insert_unique(hash_of(self.id(row)), row, |row| hash_of(self.id(*row)));
            }
            table
        });
        found.find(hash_of(id), |row| self.id(*row) == id).copied()
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
        let row = row as usize;
        (row < self.rows).then_some((self.parts.get(row / ROWS)?, row % ROWS))
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

    fn text(&self, field: Field, row: usize) -> Option<&str> {
        let column = self.texts.get(field as usize)?.as_ref()?;
        column.is_valid(row).then(|| column.value(row))
    }

    /// The rows in these places of these parts, in this order.
    fn gather(came: &[Self], places: &[(usize, usize)]) -> Result<Self, Error> {
        let texts = Field::ALL.iter().map(|field| {
            let of = |part: &Self| Some(part.texts.get(*field as usize)?.as_ref()?.clone());
            Ok(gathered(came, of, places)?.map(|column| column.as_string().clone()))
        });
        let texts = texts.collect::<Result<Vec<_>, Error>>()?;
        let instants = |of: &dyn Fn(&Self) -> Option<TimestampMicrosecondArray>| -> Result<_, Error> {
            // Files of several writers may name the zone in several ways; the instants are the same.
            let of = |part: &Self| Some(of(part)?.with_timezone_opt(None::<&str>));
            Ok(gathered(came, of, places)?.map(|column| column.as_primitive::<TimestampMicrosecondType>().clone()))
        };
        let observed_at =
            instants(&|part| Some(part.observed_at.clone()))?.ok_or(Error::MissingColumn { column: "observed_at" })?;
        Ok(Self { texts, observed_at, created_at: instants(&|part| part.created_at.clone())? })
    }
}

/// A column of rows in these places; nothing where no part has a value of it.
fn gathered<A: Array + 'static>(
    came: &[Part],
    of: impl Fn(&Part) -> Option<A>,
    places: &[(usize, usize)],
) -> Result<Option<ArrayRef>, Error> {
    let columns: Vec<Option<A>> = came.iter().map(of).collect();
    let says = |column: &Option<A>| column.as_ref().is_some_and(|column| column.null_count() < column.len());
    let Some(some) = columns.iter().find(|column| says(column)).and_then(Option::as_ref) else { return Ok(None) };
    let empty = |part: &Part| new_null_array(some.data_type(), part.observed_at.len());
    let empties: Vec<ArrayRef> =
        columns.iter().zip(came).filter(|(column, _)| column.is_none()).map(|(_, part)| empty(part)).collect();
    let mut empties = empties.iter();
    let columns: Vec<&dyn Array> = columns
        .iter()
        .filter_map(|column| match column {
            Some(column) => Some(column as &dyn Array),
            None => empties.next().map(|empty| empty as &dyn Array),
        })
        .collect();
    Ok(Some(interleave(&columns, places)?))
}

/// Where a row came, and what its id begins with.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The first bytes of the id behind what all ids begin with, as a number that orders as they do.
    head: u64,
    part: u32,
    row: u32,
}

impl Place {
    fn id(self, parts: &[Part]) -> &str {
        parts.get(self.part as usize).and_then(|part| part.text(Field::LeadId, self.row as usize)).unwrap_or_default()
    }

    fn is_of_lead(self, other: Self, parts: &[Part]) -> bool {
        self.head == other.head && self.id(parts) == other.id(parts)
    }
}

/// The places of all rows in the order of their ids, those of one id as they came.
fn in_order(parts: &[Part]) -> Result<Vec<Place>, Error> {
    let rows = parts.iter().map(|part| part.observed_at.len()).sum();
    i32::try_from(rows).map_err(|_| Error::TooManyLeads)?;
    let mut order: Vec<Place> = Vec::with_capacity(rows);
    for (part, of) in (0_u32..).zip(parts) {
        order.extend((0_u32..).zip(0..of.observed_at.len()).map(|(row, _)| Place { head: 0, part, row }));
    }
    let Some(first) = order.first().map(|place| place.id(parts).as_bytes()) else { return Ok(order) };
    let alike = |id: &[u8]| first.iter().zip(id).take_while(|(one, two)| one == two).count();
    let common = order.iter().map(|place| alike(place.id(parts).as_bytes())).min().unwrap_or_default();
    for place in &mut order {
        let mut head = [0; size_of::<u64>()];
        head.iter_mut().zip(place.id(parts).bytes().skip(common)).for_each(|(slot, byte)| *slot = byte);
        place.head = u64::from_be_bytes(head);
    }
    order.sort_unstable_by(|one, two| {
        let by_id = one.head.cmp(&two.head).then_with(|| one.id(parts).cmp(two.id(parts)));
        by_id.then_with(|| (one.part, one.row).cmp(&(two.part, two.row)))
    });
    Ok(order)
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

fn hash_of(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

/// Numbers the sources in the order of their names.
fn intern_sources(parts: &[Part]) -> (Vec<String>, Vec<u32>) {
    let names = || parts.iter().filter_map(|part| part.texts.get(Field::Source as usize)?.as_ref()).flatten();
    let sources: BTreeSet<&str> = names().flatten().collect();
    let numbers: HashMap<&str, u32> = sources.iter().copied().zip(0..).collect();
    let source_of = names().flatten().filter_map(|name| numbers.get(name).copied()).collect();
    (sources.into_iter().map(str::to_owned).collect(), source_of)
}
