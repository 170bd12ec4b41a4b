//! What can be wrong with the rows that identity is fed.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// Why identity could not work on its input. Messages never hold a value of a row.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A batch lacks a column that every row needs.
    #[error("the rows lack the column {column}; read it from the lake together with the others")]
    MissingColumn {
        /// The column that is needed.
        column: &'static str,
    },
    /// A column has another type than its table declares.
    #[error("column {column} holds {found}; it must be {expected}")]
    WrongType {
        /// The column.
        column: &'static str,
        /// What the batch holds.
        found: DataType,
        /// What the table declares.
        expected: &'static str,
    },
    /// A required column has an empty cell.
    #[error("column {column} has rows without a value; every row needs one")]
    MissingValue {
        /// The column.
        column: &'static str,
    },
    /// Two rows have the same lead id.
    #[error("two rows have one lead id; keep the newest version of each lead only")]
    DuplicateLead,
    /// There are more rows than positions.
    #[error("more leads than one resolve can number (2147483647); resolve them in parts")]
    TooManyLeads,
    /// A resolver named a lead or an evidence that does not exist.
    #[error("the resolver joined rows that were not in its input; report this as a bug of the resolver")]
    ForeignEdge,
    /// A text is not a prospect id.
    #[error("a prospect id is not `prs_` and 26 characters; rebuild identity from the leads")]
    ForeignProspectId,
    /// The values of a range of clusters pass what one batch may hold.
    #[error("the values of these clusters pass 1 GiB; ask for fewer clusters at once")]
    RangeTooLarge,
    /// A batch could not be put together.
    #[error("failed to build the batch")]
    Batch(#[from] ArrowError),
}
