//! Texts kept once, under a number.

#![expect(clippy::indexing_slicing, reason = "numbers come from `intern` of the same pool")]
#![expect(clippy::cast_possible_truncation, reason = "a pool holds fewer than 2^32 texts: `Roster` bounds its rows and forms")]

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::edit::sketch;

/// Distinct texts, numbered in the order they came; 0 is the empty text and stands for "nothing known".
#[derive(Debug, Clone)]
pub(super) struct Pool {
    table: HashTable<(u32, u32)>,
    bytes: String,
    ends: Vec<usize>,
    sketches: Vec<u32>,
    is_sketched: bool,
}

impl Default for Pool {
    fn default() -> Self {
        Self { table: HashTable::new(), bytes: String::new(), ends: vec![0], sketches: vec![0], is_sketched: true }
    }
}

impl Pool {
    /// A pool whose texts are never compared with each other.
    pub(super) fn unsketched() -> Self {
        Self { is_sketched: false, ..Self::default() }
    }

    /// How many numbers are in use, with that of the empty text.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The number of a text and whether it is new.
    pub(super) fn intern(&mut self, text: &str) -> (u32, bool) {
        if text.is_empty() {
            return (0, false);
        }
        let hash = xxh3_64(text.as_bytes());
        let tag = (hash >> 32) as u32;
        let Self { table, bytes, ends, sketches, is_sketched } = self;
        let found = table.find(hash, |(known, id)| *known == tag && slice(bytes, ends, *id) == text);
        if let Some((_, id)) = found {
            return (*id, false);
        }
        let id = ends.len() as u32;
        bytes.push_str(text);
        ends.push(bytes.len());
        if *is_sketched {
            sketches.push(sketch(text));
        }
        table.insert_unique(hash, (tag, id), |(_, id)| xxh3_64(slice(bytes, ends, *id).as_bytes()));
        (id, true)
    }

    /// The number of a text that is here.
    pub(super) fn find(&self, text: &str) -> Option<u32> {
        let hash = xxh3_64(text.as_bytes());
        let tag = (hash >> 32) as u32;
        self.table.find(hash, |(known, id)| *known == tag && self.get(*id) == text).map(|(_, id)| *id)
    }

    /// The sketch of a text of a sketched pool, for telling it from others without reading it.
    pub(super) fn sketch(&self, id: u32) -> u32 {
        self.sketches[id as usize]
    }

    pub(super) fn get(&self, id: u32) -> &str {
        slice(&self.bytes, &self.ends, id)
    }
}

#[expect(clippy::string_slice, reason = "`ends` are ends of whole texts")]
fn slice<'a>(bytes: &'a str, ends: &[usize], id: u32) -> &'a str {
    match id {
        0 => "",
        id => &bytes[ends[id as usize - 1]..ends[id as usize]],
    }
}
