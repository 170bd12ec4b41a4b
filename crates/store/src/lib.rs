//! The lake and the ledger: one transaction over files and state.
//!
//! The **lake** holds facts as immutable Parquet files; the **ledger** is one SQL database that holds both the lake's catalog, in
//! the open DuckLake 1.0 layout, and our control tables (`hw_*`). A batch of files, the cursor that covers it and the outbox rows
//! it causes therefore commit together or not at all, and an analyst can attach the same catalog from DuckDB and read on.
//!
//! # Invariants
//!
//! - Files are written, fsynced and renamed into place *before* the transaction. A crash leaves files that no row names, never a
//!   row without its file; [`Store::sweep`] removes them.
//! - The catalog has exactly the tables that DuckDB creates. We append files, end them, and take rows out of them by delete files; every
//!   reader leaves those rows out. We inline no rows, and we refuse to read a table where somebody else did.
//! - A stale cursor, a table replaced since it was read, a table altered since a file was staged: each is a
//!   [`StoreError::Conflict`] that changes nothing.
//! - The catalog and the files' footers keep no statistics of columns that hold a person's data.
//! - Only this crate writes SQL, and it knows no clock: every instant is passed in, as microseconds since 1970 in UTC.

mod commit;
mod error;
pub mod fault;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod index_file;
mod lake;
mod ledger;
mod lock;
mod random;
mod seen_file;
mod store;
mod words;

pub use commit::{Commit, LedgerOp, SnapshotId};
pub use error::StoreError;
pub use lake::reader::TableReader;
pub use lake::rows::FileRows;
pub use lake::snapshot::{DataFile, Snapshot};
pub use lake::sweep::Swept;
pub use lake::writer::{StagedFiles, TableWriter};
pub use ledger::audit::{AuditCheck, AuditEntry, AuditRecord};
pub use ledger::cursor::Cursor;
pub use ledger::identity::{Decision, Edit, FormerProspect, ReviewPair, Sample, SampledPair, Verdict};
pub use ledger::intake::{Appended, IntakeRecord, IntakeRow};
pub use ledger::link::{CrmLink, LinkUpdate};
pub use ledger::outbox::{DeliveryOp, DuePush, OutboxEntry, OutboxRow, OutboxState, Outcome, Settlement};
pub use ledger::person::{PersonKeys, PersonRecords};
pub use ledger::quarantine::{QuarantineMark, QuarantineState};
pub use ledger::run::{NewRun, Run, RunStatus};
pub use ledger::suppression::{Suppression, SuppressionKind};
pub use lock::RunLock;
pub use seen_file::SeenFile;
pub use store::{Store, StoreConfig};

/// What this crate's functions return.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
