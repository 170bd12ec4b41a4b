//! The lake: Parquet files and the DuckLake catalog that names them.

pub(crate) mod bounds;
pub(crate) mod catalog;
pub(crate) mod change;
pub(crate) mod deletes;
pub(crate) mod find;
pub(crate) mod new_file;
pub(crate) mod place;
pub(crate) mod reader;
pub(crate) mod rows;
pub(crate) mod snapshot;
pub(crate) mod stats;
pub(crate) mod sweep;
pub(crate) mod text;
pub(crate) mod writer;
