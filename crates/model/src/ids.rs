//! Ids: deterministic, readable, and of one length.
//!
//! An id is a prefix and 26 characters of Crockford's base 32 (128 bits). It is derived from what it names, so the same input
//! gives the same id on every machine, and a repeated delivery cannot make a second one.

use xxhash_rust::xxh3::xxh3_128;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of an id after its prefix.
pub const BODY_LEN: usize = 26;

/// 128 bits as 26 characters, most significant first.
#[must_use]
pub fn encode(bits: u128) -> [u8; BODY_LEN] {
    let mut out = [b'0'; BODY_LEN];
    let mut rest = bits;
    for slot in out.iter_mut().rev() {
        #[expect(clippy::indexing_slicing, reason = "five bits index an alphabet of 32")]
        {
            *slot = ALPHABET[(rest & 31) as usize];
        }
        rest >>= 5;
    }
    out
}

/// The 128 bits of an id with this prefix; none where it is no such id.
#[must_use]
pub fn bits(prefix: &str, id: &str) -> Option<u128> {
    let body = id.strip_prefix(prefix).filter(|body| body.len() == BODY_LEN)?;
    // 26 letters of five bits are 130 bits, so the first one has only three.
    if body.as_bytes().first().is_none_or(|first| VALUES.get(usize::from(*first)).is_none_or(|value| *value > 7)) {
        return None;
    }
    body.bytes().try_fold(0_u128, |bits, letter| {
        let value = *VALUES.get(usize::from(letter)).filter(|value| **value != NO_LETTER)?;
        Some(bits << 5 | u128::from(value))
    })
}

/// What no letter of the alphabet is worth.
const NO_LETTER: u8 = u8::MAX;

/// What each letter of the alphabet is worth, by its byte: a million ids are read at once.
const VALUES: [u8; 256] = values();

#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "the positions are below 32, the letters bytes")]
const fn values() -> [u8; 256] {
    let mut values = [NO_LETTER; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
}

/// `prefix` and the 26 characters of `bits`.
#[must_use]
pub fn id(prefix: &str, bits: u128) -> String {
    let mut out = String::with_capacity(prefix.len() + BODY_LEN);
    push_id(&mut out, prefix, bits);
    out
}

/// Appends `prefix` and the 26 characters of `bits`.
pub fn push_id(out: &mut String, prefix: &str, bits: u128) {
    out.push_str(prefix);
    out.extend(encode(bits).into_iter().map(char::from));
}

/// The identity of a lead: the same source, stream and key are the same lead. The key is foreign, so the hash is one that
/// nobody can steer: a crafted key must not take another lead's place.
#[must_use]
pub fn lead_bits(source: &str, stream: &str, key: &[u8]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(source.as_bytes()).update(&[0x1f]).update(stream.as_bytes()).update(&[0x1f]).update(key);
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    u128::from_be_bytes(bytes)
}

/// The identity of one version of a lead's record.
#[must_use]
pub fn record_bits(lead: u128, content: u64) -> u128 {
    let mut bytes = [0; 24];
    let (head, tail) = bytes.split_at_mut(16);
    head.copy_from_slice(&lead.to_be_bytes());
    tail.copy_from_slice(&content.to_be_bytes());
    xxh3_128(&bytes)
}

/// An id derived from several texts.
#[must_use]
pub fn derived(prefix: &str, parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.as_bytes()).update(&[0x1f]);
    }
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    id(prefix, u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_as_their_bits() {
        assert!(id("x_", 1) < id("x_", 2));
        assert!(id("x_", u128::MAX - 1) < id("x_", u128::MAX));
        assert_eq!(id("x_", 0).len(), 2 + BODY_LEN);
    }

    #[test]
    fn bits_of_an_id_are_what_it_was_made_of() {
        for made_of in [0, 1, 31, u128::MAX, 1 << 127] {
            assert_eq!(bits("x_", &id("x_", made_of)), Some(made_of));
        }
        assert_eq!(bits("x_", &id("y_", 7)), None);
        assert_eq!(bits("x_", "x_7"), None);
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(derived("x_", &["ab", "c"]), derived("x_", &["a", "bc"]));
        assert_ne!(lead_bits("ab", "c", b"d"), lead_bits("a", "bc", b"d"));
    }
}
