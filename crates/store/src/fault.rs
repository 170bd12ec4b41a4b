//! Points where a test can kill the process, to show that a crash there loses nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::words::words;

words! {
    /// One durable step of the store.
    FaultPoint {
        /// A Parquet file is complete, but still under its temporary name.
        AfterFileBeforeRename = "after-file-before-rename",
        /// The files of a commit are in place, the transaction has not begun.
        AfterFilesBeforeCommit = "after-files-before-commit",
        /// Every row of a commit is written, `COMMIT` has not been said.
        InsideCommitBeforeCommit = "inside-commit-before-commit",
        /// A commit is durable, its caller does not know yet.
        AfterCommit = "after-commit",
        /// Intake rows are written, `COMMIT` has not been said.
        InsideIntakeBeforeCommit = "inside-intake-before-commit",
        /// Intake rows are durable, nobody was told.
        AfterIntakeBeforeReply = "after-intake-before-reply",
        /// Outbox rows are marked as sent, the remote has not been called.
        AfterSentBeforeSettle = "after-sent-before-settle",
        /// The remote has answered, `COMMIT` of the outcomes has not been said.
        InsideSettleBeforeCommit = "inside-settle-before-commit",
        /// Snapshots are expired in the catalog, their files are still there.
        AfterExpireBeforeDelete = "after-expire-before-delete",
        /// A person's files are gone, what the ledger's free pages and its log hold is not.
        AfterDeleteBeforeVacuum = "after-delete-before-vacuum",
    }
}

static ARMED: OnceLock<(FaultPoint, AtomicU32)> = OnceLock::new();

/// Makes the process abort when it passes `point` for the `nth` time, counted from one. The first call of a process counts.
pub fn arm(point: FaultPoint, nth: u32) {
    ARMED.get_or_init(|| (point, AtomicU32::new(nth)));
}

/// Aborts the process if this point is armed and due.
pub(crate) fn point(here: FaultPoint) {
    if let Some((armed, left)) = ARMED.get()
        && *armed == here
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::abort();
    }
}
