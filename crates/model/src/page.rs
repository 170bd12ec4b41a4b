//! Records on their way in: text columns exactly as they arrived, with where each row stood.

use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;

/// A page of records of one stream.
#[derive(Debug, Clone)]
pub struct Page {
    /// The fields: every column is UTF-8 text. Null means absent, empty means present and empty.
    pub fields: RecordBatch,
    /// The whole record as JSON text, where the remote gave more than `fields` hold; else it is made from `fields`.
    pub raw: Option<StringArray>,
    /// The source's own id of each record; where there is none, the record's content is its identity.
    pub keys: Option<StringArray>,
    /// Which records the source says are gone; `None` when it says none.
    pub deleted: Option<Vec<bool>>,
    /// Where the rows stood, for messages.
    pub places: Places,
    /// When each record reached us, in microseconds of UTC; `None` means now.
    pub received_at: Option<Int64Array>,
    /// How each record's signature was judged (`verified`, `token_only`, `unsigned`), where it was pushed to us.
    pub signature_status: Option<&'static str>,
    /// Rows that could not even be made into fields.
    pub refused: Vec<Refused>,
    /// How much of the input is behind us and how much there is, in the source's own unit, for a progress bar.
    pub progress: Option<(u64, u64)>,
}

/// Where rows stood in their input.
#[derive(Debug, Clone)]
pub enum Places {
    /// Lines of a file: row `i` starts at line `lines[i]`.
    Lines {
        /// The file, as the user knows it.
        file: String,
        /// One-based line numbers, one per row.
        lines: Vec<u64>,
    },
    /// A request or delivery; rows are told apart by their number in it.
    Request(String),
}

impl Places {
    /// Where row `index` stood.
    #[must_use]
    pub fn of(&self, index: usize) -> String {
        match self {
            Self::Lines { file, lines } => match lines.get(index) {
                Some(line) => format!("{file}:{line}"),
                None => file.clone(),
            },
            Self::Request(request) => format!("{request}#{}", index + 1),
        }
    }
}

/// A row that a source could read but not make into fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Where it stood.
    pub place: String,
    /// A stable code such as `ragged_row`.
    pub code: &'static str,
    /// Which field is at fault, where one is.
    pub field: Option<String>,
    /// Why, and what to do; no person's data.
    pub reason: String,
    /// The row as it arrived, cut at a bound.
    pub raw: String,
}

/// Why a page is not one.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// A column is not text.
    #[error("column {0} is not text: a source yields text columns")]
    NotText(String),
    /// A side column has another length than the fields.
    #[error("{0} has another number of rows than the fields")]
    Length(&'static str),
}

impl Page {
    /// A page of text columns at `places`, with nothing further known.
    ///
    /// # Errors
    /// When a column is not text.
    pub fn new(fields: RecordBatch, places: Places) -> Result<Self, PageError> {
        if let Some(field) = fields.schema().fields().iter().find(|field| field.data_type() != &DataType::Utf8) {
            return Err(PageError::NotText(field.name().clone()));
        }
        Ok(Self {
            fields,
            raw: None,
            keys: None,
            deleted: None,
            places,
            received_at: None,
            signature_status: None,
            refused: Vec::new(),
            progress: None,
        })
    }

    /// How many rows became fields.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.fields.num_rows()
    }

    /// Checks that every side column has a value per row.
    ///
    /// # Errors
    /// Naming the first that has not.
    pub fn validate(&self) -> Result<(), PageError> {
        let rows = self.rows();
        let sides = [
            ("raw", self.raw.as_ref().map(Array::len)),
            ("keys", self.keys.as_ref().map(Array::len)),
            ("deleted", self.deleted.as_ref().map(Vec::len)),
            ("received_at", self.received_at.as_ref().map(Array::len)),
        ];
        match sides.iter().find(|(_, len)| len.is_some_and(|len| len != rows)) {
            Some((name, _)) => Err(PageError::Length(name)),
            None => Ok(()),
        }
    }
}
