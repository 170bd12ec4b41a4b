//! Texts kept once, under a number.

#![expect(clippy::indexing_slicing, reason = "numbers come from `intern` of the same pool, slots are masked to the table")]
#![expect(clippy::cast_possible_truncation, reason = "a pool holds fewer than 2^32 texts: `Roster` bounds its rows and forms")]

use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{In, Out};
use super::edit::sketch;

/// Distinct texts, numbered in the order they came; 0 is the empty text and stands for "nothing known".
#[derive(Debug, Clone)]
pub(super) struct Pool {
    /// Open addressing: half of the text's hash, and its number; 0 is a free slot. The length is a power of two.
    slots: Vec<u64>,
    bytes: String,
    ends: Vec<usize>,
    sketches: Vec<u32>,
    is_sketched: bool,
}

impl Default for Pool {
    fn default() -> Self {
        Self { slots: vec![0; FEWEST_SLOTS], bytes: String::new(), ends: vec![0], sketches: vec![0], is_sketched: true }
    }
}

const FEWEST_SLOTS: usize = 8;

/// The number of a text, or the free slot that waits for it.
enum Found {
    Known(u32),
    Free(usize),
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
        if self.ends.len() * 4 > self.slots.len() * 3 {
            self.grow(self.slots.len() * 2);
        }
        let tag = tag_of(text);
        match self.look(tag, text) {
            Found::Known(id) => (id, false),
            Found::Free(slot) => {
                let id = self.ends.len() as u32;
                self.bytes.push_str(text);
                self.ends.push(self.bytes.len());
                if self.is_sketched {
                    self.sketches.push(sketch(text));
                }
                self.slots[slot] = u64::from(tag) << 32 | u64::from(id);
                (id, true)
            }
        }
    }

    /// The number of a text that is here.
    pub(super) fn find(&self, text: &str) -> Option<u32> {
        match self.look(tag_of(text), text) {
            Found::Known(id) => Some(id),
            Found::Free(_) => None,
        }
    }

    fn look(&self, tag: u32, text: &str) -> Found {
        let mask = self.slots.len() - 1;
        let mut at = tag as usize & mask;
        loop {
            match self.slots[at] {
                0 => return Found::Free(at),
                slot if (slot >> 32) as u32 == tag && self.get(slot as u32) == text => return Found::Known(slot as u32),
                _ => at = (at + 1) & mask,
            }
        }
    }

    fn grow(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![0; slots]);
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            self.place(slot);
        }
    }

    fn place(&mut self, slot: u64) {
        let mask = self.slots.len() - 1;
        let mut at = (slot >> 32) as usize & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    /// The sketch of a text of a sketched pool, for telling it from others without reading it.
    pub(super) fn sketch(&self, id: u32) -> u32 {
        self.sketches[id as usize]
    }

    pub(super) fn get(&self, id: u32) -> &str {
        slice(&self.bytes, &self.ends, id)
    }

    pub(super) fn write(&self, out: &mut Out) {
        let Self { slots, bytes, ends, sketches, is_sketched } = self;
        let mut tags = vec![0; ends.len()];
        slots.iter().filter(|slot| **slot != 0).for_each(|slot| tags[*slot as u32 as usize] = (slot >> 32) as u32);
        out.text(bytes);
        out.u64s(ends.iter().map(|end| *end as u64));
        out.u32s(tags.into_iter());
        out.u64(u64::from(*is_sketched));
        out.u32s(sketches.iter().copied());
    }

    pub(super) fn read(bytes: &mut In<'_>) -> Option<Self> {
        let text = bytes.text()?.to_owned();
        let ends: Vec<usize> = bytes.u64s()?.into_iter().map(|end| end as usize).collect();
        let tags = bytes.u32s()?;
        let is_sketched = bytes.u64()? == 1;
        let sketches = bytes.u32s()?;
        let is_whole = ends.first() == Some(&0)
            && ends.last() == Some(&text.len())
            && ends.is_sorted()
            && ends.iter().all(|end| text.is_char_boundary(*end))
            && tags.len() == ends.len()
            && sketches.len() == if is_sketched { ends.len() } else { 1 };
        if !is_whole {
            return None;
        }
        let slots = (ends.len() * 2).next_power_of_two().max(FEWEST_SLOTS);
        let mut pool = Self { slots: vec![0; slots], bytes: text, ends, sketches, is_sketched };
        for (id, tag) in (0_u64..).zip(tags).skip(1) {
            pool.place(u64::from(tag) << 32 | id);
        }
        Some(pool)
    }
}

fn tag_of(text: &str) -> u32 {
    (xxh3_64(text.as_bytes()) >> 32) as u32
}

#[expect(clippy::string_slice, reason = "`ends` are ends of whole texts")]
fn slice<'a>(bytes: &'a str, ends: &[usize], id: u32) -> &'a str {
    match id {
        0 => "",
        id => &bytes[ends[id as usize - 1]..ends[id as usize]],
    }
}
