//! Decoders of foreign bytes that are not ours: some panic at bytes that nobody wrote on purpose, and a torn file is no bug.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// How many decoders run on this thread, one within the other.
    static RUNNING: Cell<u32> = const { Cell::new(0) };
}

/// The bytes are damaged in a way that their decoder did not foresee. What it panicked with is not told: it may hold somebody's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are damaged, in a way that their decoder did not foresee")]
pub struct Damaged;

/// Runs a decoder. What it works on must not be used after an error: it may be half changed.
///
/// # Errors
/// [`Damaged`], if the decoder panics.
pub fn decode<T>(decoder: impl FnOnce() -> T) -> Result<T, Damaged> {
    RUNNING.with(|running| running.set(running.get() + 1));
    let ended = catch_unwind(AssertUnwindSafe(decoder));
    RUNNING.with(|running| running.set(running.get() - 1));
    ended.map_err(|_panic| Damaged)
}

/// Whether this thread runs a decoder, so that a panic hook can tell its panics from bugs of ours.
#[must_use]
pub fn is_decoding() -> bool {
    RUNNING.with(|running| running.get() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_decoder_is_damage_of_its_bytes() {
        let bytes: Vec<u8> = Vec::new();
        assert_eq!(decode(|| bytes[1]), Err(Damaged));
        assert!(!is_decoding());
        assert_eq!(decode(|| (is_decoding(), decode(|| bytes[1]), is_decoding())), Ok((true, Err(Damaged), true)));
        assert!(!is_decoding());
    }
}
