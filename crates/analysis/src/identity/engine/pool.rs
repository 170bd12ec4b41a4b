//! Texts kept once, under a number.

#![expect(clippy::indexing_slicing, reason = "numbers come from `intern` of the same pool, slots are masked to the table")]
#![expect(clippy::cast_possible_truncation, reason = "a pool holds fewer than 2^32 texts: `Roster` bounds its rows and forms")]

use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{In, Out};
use super::edit::sketch;

/// Distinct texts, numbered in the order they came; 0 is the empty text and stands for "nothing known".
#[derive(Debug, Clone)]
pub(super) struct Pool {
    /// Open addressing: half of the text's hash, and its number; 0 is a free slot.
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
/// A stored table has seven slots for five texts: a twentieth may come before it must grow.
const KEPT_SLOTS: (usize, usize) = (7, 5);

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
        let mut at = home(tag, self.slots.len());
        loop {
            match self.slots[at] {
                0 => return Found::Free(at),
                slot if (slot >> 32) as u32 == tag && self.get(slot as u32) == text => return Found::Known(slot as u32),
                _ => at = after(at, self.slots.len()),
            }
        }
    }

    fn grow(&mut self, slots: usize) {
        self.slots = moved(&self.slots, slots);
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
        let fit = (texts.len() * KEPT_SLOTS.0).div_ceil(KEPT_SLOTS.1).max(FEWEST_SLOTS);
        if slots.len() == fit {
            out.u64s(slots.iter().copied());
        } else {
            out.u64s(moved(slots, fit).into_iter());
        }
        out.u64(u64::from(*is_sketched));
        out.u32s(sketches.iter().copied());
    }

    pub(super) fn read(bytes: &mut In<'_>) -> Option<Self> {
        let texts = Texts::read(bytes)?;
        let slots = bytes.u64s()?;
        let is_sketched = bytes.u64()? == 1;
        let sketches = bytes.u32s()?;
        let has_room = slots.len() > texts.len();
        let is_whole = has_room && sketches.len() == if is_sketched { texts.len() } else { 1 };
        is_whole.then_some(Self { slots, texts, sketches, is_sketched })
    }
}

/// Texts in a row, by number; 0 is the empty text.
#[derive(Debug, Clone)]
pub(super) struct Texts {
    bytes: String,
    /// The low half of where each ends.
    ends: Vec<u32>,
    /// The texts with which the high half grew by one.
    turns: Vec<u32>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { bytes: String::new(), ends: vec![0], turns: Vec::new() }
    }
}

impl Texts {
    /// How many numbers are in use, with that of the empty text.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        let end = self.bytes.len() as u32;
        // No text is as long as four thousand million bytes.
        if self.ends.last().is_some_and(|last| end < *last) {
            self.turns.push(self.ends.len() as u32);
        }
        self.ends.push(end);
    }

    pub(super) fn get(&self, id: u32) -> &str {
        match id {
            0 => "",
            // Of a stored pool nobody looked whether every end is one of a whole letter; its digest says that it is as it was written.
            id => self.bytes.get(self.end(id - 1)..self.end(id)).unwrap_or_default(),
        }
    }

    fn end(&self, id: u32) -> usize {
        let high = if self.turns.is_empty() { 0 } else { self.turns.partition_point(|turn| *turn <= id) };
        high << u32::BITS | self.ends[id as usize] as usize
    }

    pub(super) fn write(&self, out: &mut Out<'_>) {
        out.text(&self.bytes);
        out.u32s(self.ends.iter().copied());
    }

    pub(super) fn read(bytes: &mut In<'_>) -> Option<Self> {
        let text = bytes.text()?;
        let ends = bytes.u32s()?;
        let is_turn = |(at, pair): (usize, &[u32])| (pair[1] < pair[0]).then_some(at as u32 + 1);
        let turns: Vec<u32> = ends.windows(2).enumerate().filter_map(is_turn).collect();
        let texts = Self { bytes: text, ends, turns };
        let last = u32::try_from(texts.len()).ok()?.checked_sub(1)?;
        (texts.ends.first() == Some(&0) && texts.end(last) == texts.bytes.len()).then_some(texts)
    }
}

/// The slots of a table in one of another length.
fn moved(old: &[u64], slots: usize) -> Vec<u64> {
    let mut new = vec![0; slots];
    for slot in old.iter().filter(|slot| **slot != 0) {
        let mut at = home((slot >> 32) as u32, slots);
        while new[at] != 0 {
            at = after(at, slots);
        }
        new[at] = *slot;
    }
    new
}

/// The slot where a tag is looked for first: tags are spread over all slots, in their order.
fn home(tag: u32, slots: usize) -> usize {
    ((u64::from(tag) * slots as u64) >> u32::BITS) as usize
}

fn after(at: usize, slots: usize) -> usize {
    if at + 1 == slots { 0 } else { at + 1 }
}

fn tag_of(text: &str) -> u32 {
    (xxh3_64(text.as_bytes()) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_beyond_what_half_an_end_can_say() {
        // As if four thousand million bytes stood before them, twice.
        let texts = Texts { bytes: "abcdef".to_owned(), ends: vec![0, 2, 1, 3, 0, 1], turns: vec![2, 4] };
        assert_eq!([0, 1, 2, 3, 4].map(|id| texts.end(id)), [0, 2, (1 << 32) + 1, (1 << 32) + 3, 2 << 32]);
        assert_eq!((texts.end(5), texts.get(1), texts.get(3)), ((2 << 32) + 1, "ab", ""));
    }

    #[test]
    fn stored_texts_are_as_they_were_and_torn_ones_are_none() {
        let mut texts = Texts::default();
        ["Ada", "", "é", "Bo"].iter().for_each(|text| texts.push(text));
        let mut bytes = Vec::new();
        let mut out = Out::new(&mut bytes);
        texts.write(&mut out);
        out.finish().unwrap();
        let read = |bytes: &[u8]| {
            let mut from = bytes;
            Texts::read(&mut In::new(&mut from, bytes.len() as u64)?)
        };
        let again = read(&bytes).unwrap();
        assert_eq!([1, 2, 3, 4].map(|id| again.get(id)), ["Ada", "", "é", "Bo"]);
        let last = bytes.len() - 8 - 4;
        bytes[last] += 1;
        assert!(read(&bytes).is_none());
    }
}
