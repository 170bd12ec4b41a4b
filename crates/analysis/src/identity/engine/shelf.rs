//! Which records have a key.

#![expect(clippy::indexing_slicing, reason = "tops are counted from the entries that they point into")]
#![expect(clippy::cast_possible_truncation, reason = "entries are fewer than 2^32, and what is cut off is cut off on purpose")]

use hashbrown::HashSet;

use super::block::{Entry, is_outgrown, runs};
use super::bytes::{In, Out, SLOT_BYTES};

/// The top bits of a key lead to about so many entries, a power of two.
const KEYS_PER_TOP: usize = 8;
/// The bits of a slot.
const SLOT_BITS: u32 = 8 * SLOT_BYTES as u32;

/// The entries of records by their keys. Keys that were left out have none.
#[derive(Debug)]
pub(super) struct Shelf {
    /// For each entry as many bits of the key below its top as there is room for, then the record as in [`Entry`]; in order of the
    /// whole, the low byte first. Keys of one top that differ in lower bits alone are taken for one: in a million records, of fifty thousand
    /// looks one meets a stranger by it, who is compared as everybody is.
    slots: Vec<u8>,
    /// Where the entries of keys with each value of the top bits begin; one more than a power of two.
    tops: Vec<u32>,
    /// So many bits of a slot are the record.
    row_bits: u32,
    /// Keys that the model leaves out.
    left_out: HashSet<u64>,
    /// Keys whose blocks outgrew their bound since the model was learned.
    outgrown: HashSet<u64>,
    /// Entries that came since, in order.
    fresh: Vec<Entry>,
    /// Records whose entries in `slots` are not theirs any more.
    moved: HashSet<u32>,
}

impl Shelf {
    /// The shelf of all entries of so many records, in order.
    pub(super) fn of(entries: &[Entry], records: usize, left_out: HashSet<u64>) -> Self {
        let bits = (entries.len() / KEYS_PER_TOP).max(2).ilog2();
        let mut shelf = Self::empty(1 << bits, bits_of(records), left_out);
        shelf.slots.reserve(entries.len() * SLOT_BYTES);
        for run in runs(entries) {
            let key = run[0].0;
            if shelf.left_out.contains(&key) {
                continue;
            }
            if is_outgrown(run) {
                shelf.outgrown.insert(key);
                continue;
            }
            shelf.slots.extend(run.iter().flat_map(|(key, row)| cut(shelf_slot(bits, shelf.row_bits, *key, *row))));
            shelf.tops[(key >> (u64::BITS - bits)) as usize + 1] += run.len() as u32;
        }
        add_up(&mut shelf.tops);
        shelf
    }

    fn empty(tops: usize, row_bits: u32, left_out: HashSet<u64>) -> Self {
        let (slots, fresh) = (Vec::new(), Vec::new());
        let (outgrown, moved) = (HashSet::new(), HashSet::new());
        Self { slots, tops: vec![0; tops + 1], row_bits, left_out, outgrown, fresh, moved }
    }

    fn top_bits(&self) -> u32 {
        (self.tops.len() - 1).ilog2()
    }

    pub(super) fn read(bytes: &mut In<'_>, left_out: HashSet<u64>) -> Option<Self> {
        let row_bits = u32::try_from(bytes.u64()?).ok().filter(|bits| (1..=u32::BITS).contains(bits))?;
        let (slots, tops) = (bytes.slots()?, bytes.u32s()?);
        let outgrown = bytes.u64s()?.into_iter().collect();
        let is_whole = tops.len() > 2
            && (tops.len() - 1).is_power_of_two()
            && tops.last().is_some_and(|end| *end as usize * SLOT_BYTES == slots.len());
        is_whole.then(|| Self { slots, tops, outgrown, ..Self::empty(0, row_bits, left_out) })
    }

    /// Writes every entry that still holds; of so many records.
    pub(super) fn write(&self, out: &mut Out<'_>, records: usize) {
        let (bits, row_bits) = (self.top_bits(), self.row_bits.max(bits_of(records)));
        let mut all: Vec<(usize, u64)> = Vec::with_capacity(self.slots.len() / SLOT_BYTES + self.fresh.len());
        for (top, bounds) in self.tops.windows(2).enumerate() {
            for slot in self.between(bounds[0], bounds[1]) {
                let slot = whole(*slot);
                let row = slot & ((1 << self.row_bits) - 1);
                if !self.is_moved(row as u32) {
                    let tag = slot >> self.row_bits >> (row_bits - self.row_bits);
                    all.push((top, tag << row_bits | row));
                }
            }
        }
        let fresh = self.fresh.iter();
        all.extend(fresh.map(|(key, row)| ((key >> (u64::BITS - bits)) as usize, shelf_slot(bits, row_bits, *key, *row))));
        all.sort_unstable();
        let mut tops = vec![0_u32; self.tops.len()];
        all.iter().for_each(|(top, _)| tops[top + 1] += 1);
        add_up(&mut tops);
        out.u64(u64::from(row_bits));
        out.slots(all.iter().map(|(_, slot)| cut(*slot)));
        out.u32s(tops.into_iter());
        let mut outgrown: Vec<u64> = self.outgrown.iter().copied().collect();
        outgrown.sort_unstable();
        out.u64s(outgrown.into_iter());
    }

    fn between(&self, begin: u32, end: u32) -> &[[u8; SLOT_BYTES]] {
        let (slots, _) = self.slots.as_chunks();
        &slots[begin as usize..end as usize]
    }

    fn is_moved(&self, row: u32) -> bool {
        !self.moved.is_empty() && self.moved.contains(&(row >> 1))
    }

    /// Puts entries on the shelf, in order, and gives each pair of a record that has a key already and one of theirs that has it too, as
    /// often as they share one. Nothing where a key's block outgrows its bound: the shelf is of no use then.
    pub(super) fn meet(&mut self, entries: &[Entry], mut met: impl FnMut(u32, u32)) -> Option<()> {
        let bits = self.top_bits();
        let mut block: Vec<Entry> = Vec::new();
        let mut known = self.fresh.as_slice();
        for run in runs(entries) {
            let key = run[0].0;
            if self.left_out.contains(&key) || self.outgrown.contains(&key) {
                continue;
            }
            let top = (key >> (u64::BITS - bits)) as usize;
            let tag = shelf_slot(bits, self.row_bits, key, 0) >> self.row_bits;
            block.clear();
            for slot in self.between(self.tops[top], self.tops[top + 1]) {
                let slot = whole(*slot);
                if slot >> self.row_bits >= tag {
                    let row = (slot & ((1 << self.row_bits) - 1)) as u32;
                    if slot >> self.row_bits > tag {
                        break;
                    }
                    if !self.is_moved(row) {
                        block.push((key, row));
                    }
                }
            }
            known = &known[known.partition_point(|(other, _)| *other < key)..];
            block.extend(known.iter().take_while(|(other, _)| *other == key));
            for (key, me) in run {
                for (_, you) in block.iter().filter(|(_, you)| (me | you) & 1 == 1) {
                    met(you >> 1, me >> 1);
                }
                block.push((*key, *me));
            }
            if is_outgrown(&block) {
                return None;
            }
        }
        self.fresh.extend_from_slice(entries);
        // Two ordered lists one after the other, which this sort merges.
        self.fresh.sort();
        Some(())
    }

    /// Takes the entries of a record away. Nothing where one is of a key that outgrew its bound, which it may keep to without them.
    pub(super) fn forget(&mut self, row: u32, keys: &[Entry]) -> Option<()> {
        for entry in keys {
            if let Ok(at) = self.fresh.binary_search(entry) {
                self.fresh.remove(at);
            }
        }
        self.moved.insert(row);
        keys.iter().all(|(key, _)| !self.outgrown.contains(key)).then_some(())
    }
}

/// How many bits number the entries of so many records.
fn bits_of(records: usize) -> u32 {
    (2 * records as u64).max(1).ilog2() + 1
}

/// The bits of a key below its top, then the record.
fn shelf_slot(top_bits: u32, row_bits: u32, key: u64, row: u32) -> u64 {
    key << top_bits >> (u64::BITS - SLOT_BITS + row_bits) << row_bits | u64::from(row)
}

fn cut(slot: u64) -> [u8; SLOT_BYTES] {
    let [one, two, three, four, five, ..] = slot.to_le_bytes();
    [one, two, three, four, five]
}

fn whole([one, two, three, four, five]: [u8; SLOT_BYTES]) -> u64 {
    u64::from_le_bytes([one, two, three, four, five, 0, 0, 0])
}

/// How many there are up to each, out of how many there are of each.
fn add_up(counts: &mut [u32]) {
    let mut sum = 0;
    for count in counts {
        sum += *count;
        *count = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of which many have their top bits in common, and of which a few are shared.
    fn entries(records: u32) -> Vec<Entry> {
        let key = |row: u32, at: u32| {
            let shared = if at == 0 { row / 3 } else { row * 5 + at };
            u64::from(shared).wrapping_mul(0x9e37_79b9_7f4a_7c15) & !15 | 3
        };
        let mut all: Vec<Entry> = (0..records).flat_map(|row| (0..5).map(move |at| (key(row, at), 2 * row + row % 2))).collect();
        all.sort_unstable();
        all
    }

    fn pairs(all: &[Entry]) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        for run in runs(all) {
            for (at, (_, one)) in run.iter().enumerate() {
                found.extend(run[..at].iter().filter(|(_, two)| (one | two) & 1 == 1).map(|(_, two)| (two >> 1, one >> 1)));
            }
        }
        found.sort_unstable();
        found
    }

    fn met(shelf: &mut Shelf, later: &[Entry]) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        shelf.meet(later, |one, two| found.push((one.min(two), one.max(two)))).unwrap();
        found.sort_unstable();
        found
    }

    fn kept(shelf: &Shelf, records: usize) -> Shelf {
        let mut bytes = Vec::new();
        let mut out = Out::new(&mut bytes);
        shelf.write(&mut out, records);
        out.finish().unwrap();
        let length = bytes.len() as u64;
        let mut from = bytes.as_slice();
        Shelf::read(&mut In::new(&mut from, length).unwrap(), shelf.left_out.clone()).unwrap()
    }

    #[test]
    fn who_comes_later_meets_whom_they_would_meet_at_once() {
        let all = entries(600);
        let part = |from: u32, to: u32| -> Vec<Entry> {
            all.iter().copied().filter(|(_, row)| (from..to).contains(&(row >> 1))).collect()
        };
        // Of few records a slot has many bits of the key; it keeps fewer when there are many.
        let mut shelf = Shelf::of(&part(0, 7), 7, HashSet::new());
        let mut found = pairs(&part(0, 7));
        for (from, to) in [(7, 8), (8, 200), (200, 600)] {
            found.extend(met(&mut shelf, &part(from, to)));
            shelf = kept(&shelf, to as usize);
        }
        found.sort_unstable();
        assert_eq!(found, pairs(&all));
    }

    #[test]
    fn who_went_is_met_no_more_and_keys_that_are_left_out_have_nobody() {
        let all = entries(30);
        let (known, later): (Vec<Entry>, Vec<Entry>) = all.iter().partition(|(_, row)| row >> 1 < 25);
        let keys_of = |row: u32| -> Vec<Entry> { all.iter().copied().filter(|(_, other)| other >> 1 == row).collect() };
        let mut shelf = Shelf::of(&known, 25, HashSet::new());
        shelf.forget(24, &keys_of(24)).unwrap();
        assert!(met(&mut shelf, &later).iter().all(|(one, two)| *one != 24 && *two != 24));
        shelf.forget(26, &keys_of(26)).unwrap();
        let again = |shelf: &mut Shelf| met(shelf, &keys_of(25)).iter().any(|(one, two)| [*one, *two].contains(&26));
        assert!(!again(&mut shelf) && !again(&mut kept(&shelf, 30)));
        let left_out: HashSet<u64> = all.iter().map(|(key, _)| *key).collect();
        assert_eq!(met(&mut Shelf::of(&known, 25, left_out), &later), []);
    }
}
