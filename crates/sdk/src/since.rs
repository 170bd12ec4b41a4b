//! A position in records that a remote orders by when they last changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// How many records are remembered. What is forgotten is read again as a repeat; nothing is lost by it.
const MAX_SEEN: usize = 1_000;

/// Where a read by change time stands, for remotes whose times have a resolution of a second.
///
/// A record may get a time that we have already passed: another edit in the same second, or one whose transaction ended late.
/// So a read starts `overlap` seconds before the newest change known, and what it saw there is remembered by content, so that
/// an unchanged record is not given again while an edited one is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinceCursor {
    newest: Option<i64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    seen: BTreeMap<i64, Vec<String>>,
}

impl SinceCursor {
    /// The second to start at, if anything was read before.
    #[must_use]
    pub fn start(&self, overlap_secs: i64) -> Option<i64> {
        Some(self.newest?.saturating_sub(overlap_secs))
    }

    /// Notes a record, and says whether it is new: not seen with this content in the overlap.
    pub fn note(&mut self, changed: i64, record: &str, overlap_secs: i64) -> bool {
        let digest = format!("{:016x}", xxh3_64(record.as_bytes()));
        if self.seen.get(&changed).is_some_and(|seen| seen.contains(&digest)) {
            return false;
        }
        self.newest = self.newest.max(Some(changed));
        let start = self.start(overlap_secs).unwrap_or(changed);
        self.seen = self.seen.split_off(&start);
        if changed >= start && self.seen.values().map(Vec::len).sum::<usize>() < MAX_SEEN {
            self.seen.entry(changed).or_default().push(digest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERLAP: i64 = 5;

    #[test]
    fn unchanged_records_of_the_overlap_are_not_new_and_edited_ones_are() {
        let mut cursor = SinceCursor::default();
        assert_eq!(cursor.start(OVERLAP), None);
        assert!(cursor.note(100, "a", OVERLAP));
        assert!(cursor.note(103, "b", OVERLAP));
        assert_eq!(cursor.start(OVERLAP), Some(98));
        let stored = serde_json::to_string(&cursor).unwrap();
        let mut cursor: SinceCursor = serde_json::from_str(&stored).unwrap();
        assert!(!cursor.note(100, "a", OVERLAP));
        assert!(!cursor.note(103, "b", OVERLAP));
        assert!(cursor.note(103, "b edited in the same second", OVERLAP));
        assert!(cursor.note(101, "committed late", OVERLAP));
    }

    #[test]
    fn a_late_record_does_not_move_the_cursor_back() {
        let mut cursor = SinceCursor::default();
        cursor.note(100, "a", OVERLAP);
        assert!(cursor.note(50, "b", OVERLAP));
        assert_eq!(cursor.start(OVERLAP), Some(95));
    }

    #[test]
    fn memory_is_bounded_and_forgetting_only_repeats() {
        let mut cursor = SinceCursor::default();
        let new = (0..5_000).filter(|n| cursor.note(100, &n.to_string(), OVERLAP)).count();
        assert_eq!(new, 5_000);
        assert!(serde_json::to_string(&cursor).unwrap().len() < 30_000);
        cursor.note(200, "later", OVERLAP);
        assert!(serde_json::to_string(&cursor).unwrap().len() < 100);
    }
}
