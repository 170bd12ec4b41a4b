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

/// Whether texts of these sketches can be so few strokes apart. A stroke changes the length by one or not at all, and brings one
/// letter at most to the longer text; to the shorter one only where it does not change the length.
pub(super) fn may_be_within(strokes: u32, one: u32, two: u32) -> bool {
    let (long, short) = if one >> LETTERS < two >> LETTERS { (two, one) } else { (one, two) };
    let apart = (long >> LETTERS) - (short >> LETTERS);
    apart <= strokes && news(long, short) <= strokes && news(short, long) <= strokes - apart
}

/// Whether the beginning of the first text, cut to the length of the second, can be so few strokes from the second.
pub(super) fn may_begin_within(strokes: u32, one: u32, two: u32) -> bool {
    length(one) + strokes >= length(two) && news(two, one) <= strokes
}

/// How many letters the first text has that the second lacks.
fn news(one: u32, two: u32) -> u32 {
    (one & !two & ((1 << LETTERS) - 1)).count_ones()
}

/// The length that a sketch says, at most 63.
pub(super) fn length(sketch: u32) -> u32 {
    sketch >> LETTERS
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
    // The first letters differ, so a stroke is due there: a replacement, one letter too many on either side, or a swap.
    let (Some(rest), Some(other)) = (one.get(1..), two.get(1..)) else { return one.len() + two.len() <= 2 };
    let is_swap = one.len() > 1 && two.len() > 1 && one[0] == two[1] && one[1] == two[0];
    within_one(rest, other) || within_one(rest, two) || within_one(one, other) || (is_swap && within_one(&one[2..], &two[2..]))
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
    use super::{may_be_within, may_begin_within, sketch, within_one, within_two};

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

    /// Optimal string alignment, by the book.
    fn distance(one: &[u8], two: &[u8]) -> usize {
        let mut rows = vec![vec![0; two.len() + 1]; one.len() + 1];
        for i in 0..=one.len() {
            for j in 0..=two.len() {
                rows[i][j] = match (i, j) {
                    (0, _) => j,
                    (_, 0) => i,
                    _ => {
                        let cost = usize::from(one[i - 1] != two[j - 1]);
                        let best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + cost);
                        let is_swap = i > 1 && j > 1 && one[i - 1] == two[j - 2] && one[i - 2] == two[j - 1];
                        if is_swap { best.min(rows[i - 2][j - 2] + 1) } else { best }
                    }
                };
            }
        }
        rows[one.len()][two.len()]
    }

    proptest::proptest! {
        #[test]
        fn strokes_are_those_of_the_book_and_sketches_rule_out_nothing(one in "[a-d]{0,9}", two in "[a-d]{0,9}") {
            let strokes = distance(one.as_bytes(), two.as_bytes());
            proptest::prop_assert_eq!(within_one(one.as_bytes(), two.as_bytes()), strokes <= 1);
            proptest::prop_assert_eq!(within_two(one.as_bytes(), two.as_bytes()), strokes <= 2);
            for bound in 1..=2_u32 {
                let (left, right) = (sketch(&one), sketch(&two));
                proptest::prop_assert!(strokes > bound as usize || may_be_within(bound, left, right));
                let head = &one.as_bytes()[..one.len().min(two.len())];
                let is_near = distance(head, two.as_bytes()) <= bound as usize;
                proptest::prop_assert!(!is_near || may_begin_within(bound, left, right));
            }
        }
    }
}
