//! How far two short texts are apart, in strokes of the keyboard.

#![expect(clippy::indexing_slicing, reason = "every index is bounded by the lengths taken from the same slices")]

/// Which letters a text has and how long it is, in one number: enough to tell most texts apart without reading them.
pub(super) fn sketch(text: &str) -> u32 {
    let letters = text.bytes().fold(0_u32, |letters, byte| letters | 1 << (byte.wrapping_sub(b'a') % LETTERS));
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX).min(LONGEST);
    letters | length << LETTERS
}

/// Bits of a sketch that say which letters there are; the rest is the length.
const LETTERS: u8 = 26;
/// The greatest length that a sketch can say.
const LONGEST: u32 = 63;

/// Whether texts of these sketches can be so few strokes apart. A stroke changes the length by one, and two letters at most.
pub(super) fn may_be_within(strokes: u32, one: u32, two: u32) -> bool {
    let apart = (one >> LETTERS).abs_diff(two >> LETTERS);
    let letters = (one ^ two) & ((1 << LETTERS) - 1);
    apart <= strokes && letters.count_ones() <= 2 * strokes
}

/// The most strokes apart that two names of these sketches may be and still be one name: short names leave room for one.
pub(super) fn room(one: u32, two: u32) -> u32 {
    if (one >> LETTERS).min(two >> LETTERS) >= 5 { 2 } else { 1 }
}

/// Whether two different texts are one insertion, deletion, replacement or swap of neighbours apart.
pub(super) fn within_one(one: &[u8], two: &[u8]) -> bool {
    let (one, two) = trimmed(one, two);
    match (one.len(), two.len()) {
        (0 | 1, 0 | 1) => true,
        (2, 2) => one[0] == two[1] && one[1] == two[0],
        _ => false,
    }
}

/// Whether two texts hold the same digits in the same order. A number in a name or a mailbox tells people apart: `ann1` and `ann2`
/// are one stroke apart, and two people.
pub(super) fn same_digits(one: &[u8], two: &[u8]) -> bool {
    let (one, two) = (one.iter().filter(|byte| byte.is_ascii_digit()), two.iter().filter(|byte| byte.is_ascii_digit()));
    one.eq(two)
}

/// The longest middle parts that are still compared: what differs in more places is no slip of a finger.
const LONGEST_MIDDLE: usize = 24;

/// Whether two different texts are at most two such strokes apart (optimal string alignment).
pub(super) fn within_two(one: &[u8], two: &[u8]) -> bool {
    let (one, two) = trimmed(one, two);
    if one.len().abs_diff(two.len()) > 2 || one.len() > LONGEST_MIDDLE || two.len() > LONGEST_MIDDLE {
        return false;
    }
    let mut rows = [[0_u8; LONGEST_MIDDLE + 1]; 3];
    for (at, cell) in (0..).zip(rows[0].iter_mut()) {
        *cell = at;
    }
    for i in 1..=one.len() {
        let (now, last, before) = (i % 3, (i + 2) % 3, (i + 1) % 3);
        rows[now][0] = rows[last][0] + 1;
        for j in 1..=two.len() {
            let cost = u8::from(one[i - 1] != two[j - 1]);
            let mut best = (rows[last][j] + 1).min(rows[now][j - 1] + 1).min(rows[last][j - 1] + cost);
            if i > 1 && j > 1 && one[i - 1] == two[j - 2] && one[i - 2] == two[j - 1] {
                best = best.min(rows[before][j - 2] + 1);
            }
            rows[now][j] = best;
        }
    }
    rows[one.len() % 3][two.len()] <= 2
}

/// The middles without the common beginning and end.
fn trimmed<'a>(one: &'a [u8], two: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let head = one.iter().zip(two).take_while(|(a, b)| a == b).count();
    let (one, two) = (&one[head..], &two[head..]);
    let tail = one.iter().rev().zip(two.iter().rev()).take_while(|(a, b)| a == b).count();
    (&one[..one.len() - tail], &two[..two.len() - tail])
}

#[cfg(test)]
mod tests {
    use super::{within_one, within_two};

    #[test]
    fn one_stroke_is_told_from_two() {
        for (one, two) in [("smith", "smit"), ("smith", "smyth"), ("smith", "smiht"), ("smith", "ssmith")] {
            assert!(within_one(one.as_bytes(), two.as_bytes()), "{one} {two}");
            assert!(within_two(one.as_bytes(), two.as_bytes()), "{one} {two}");
        }
        for (one, two) in [("smith", "smi"), ("smith", "sytih"), ("technologies", "tecnologeis")] {
            assert!(!within_one(one.as_bytes(), two.as_bytes()), "{one} {two}");
            assert!(within_two(one.as_bytes(), two.as_bytes()), "{one} {two}");
        }
        assert!(!within_two(b"smith", b"jones"));
    }
}
