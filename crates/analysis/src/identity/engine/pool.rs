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
    texts: Texts,
    sketches: Vec<u32>,
    is_sketched: bool,
}

impl Default for Pool {
    fn default() -> Self {
        Self { slots: vec![0; FEWEST_SLOTS], texts: Texts::default(), sketches: vec![0], is_sketched: true }
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
        self.texts.len()
    }

    /// The number of a text and whether it is new.
    pub(super) fn intern(&mut self, text: &str) -> (u32, bool) {
        if text.is_empty() {
            return (0, false);
        }
        if self.texts.len() * 4 > self.slots.len() * 3 {
            self.grow(self.slots.len() * 2);
        }
        let tag = tag_of(text);
        match self.look(tag, text) {
            Found::Known(id) => (id, false),
            Found::Free(slot) => {
                let id = self.texts.len() as u32;
                self.texts.push(text);
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
        self.texts.get(id)
    }

    pub(super) fn write(&self, out: &mut Out<'_>) {
        let Self { slots, texts, sketches, is_sketched } = self;
        texts.write(out);
        out.u64s(slots.iter().copied());
        out.u64(u64::from(*is_sketched));
        out.u32s(sketches.iter().copied());
    }

    pub(super) fn read(bytes: &mut In<'_>) -> Option<Self> {
        let texts = Texts::read(bytes)?;
        let slots = bytes.u64s()?;
        let is_sketched = bytes.u64()? == 1;
        let sketches = bytes.u32s()?;
        let has_room = slots.len().is_power_of_two() && slots.len() > texts.len();
        let is_whole = has_room && sketches.len() == if is_sketched { texts.len() } else { 1 };
        is_whole.then_some(Self { slots, texts, sketches, is_sketched })
    }
}

/// Texts in a row, by number; 0 is the empty text.
#[derive(Debug, Clone)]
pub(super) struct Texts {
    bytes: String,
    ends: Vec<usize>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { bytes: String::new(), ends: vec![0] }
    }
}

impl Texts {
    /// How many numbers are in use, with that of the empty text.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn get(&self, id: u32) -> &str {
        match id {
            0 => "",
            // Of a stored pool nobody looked whether every end is one of a whole letter; its digest says that it is as it was written.
            id => self.bytes.get(self.ends[id as usize - 1]..self.ends[id as usize]).unwrap_or_default(),
        }
    }

    pub(super) fn write(&self, out: &mut Out<'_>) {
        out.text(&self.bytes);
        out.u32s(
            self.ends
                .iter()
                .scan(0, |begin, end| Some((end - std::mem::replace(begin, *end)) as u32))
                .collect::<Vec<_>>()
                .into_iter(),
        );
    }

    pub(super) fn read(bytes: &mut In<'_>) -> Option<Self> {
        let text = bytes.text()?;
        let lengths = bytes.u32s()?;
        let mut end = 0;
        let mut ends = Vec::with_capacity(lengths.capacity());
        ends.extend(lengths.into_iter().map(|length| {
            end += length as usize;
            end
        }));
        let is_whole = ends.first() == Some(&0) && end == text.len();
        is_whole.then_some(Self { bytes: text, ends })
    }
}

fn tag_of(text: &str) -> u32 {
    (xxh3_64(text.as_bytes()) >> 32) as u32
}
