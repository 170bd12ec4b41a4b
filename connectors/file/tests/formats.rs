//! Packed text, workbooks, JSON lines, Parquet; and which files a pattern names.
