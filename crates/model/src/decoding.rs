//! Decoders of foreign bytes that are not ours: some panic at bytes that nobody wrote on purpose, and a torn file is no bug.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// How many decoders run on this thread, one within the other.
    static RUNNING: Cell<u32> = const { Cell::new(0) };
}

/// Why bytes could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undecoded<E> {
    /// What their decoder says is wrong with them.
    #[error(transparent)]
    Refused(E),
    /// It panicked. What with is not told: it may hold somebody's data.
    #[error("the bytes are damaged, in a way that their decoder did not foresee")]
    Damaged,
}

/// Runs a decoder. What it works on must not be used after an error: it may be half changed.
///
/// # Errors
/// That of the decoder, or [`Undecoded::Damaged`] if it panics.
pub fn decode<T, E>(decoder: impl FnOnce() -> Result<T, E>) -> Result<T, Undecoded<E>> {
    RUNNING.with(|running| running.set(running.get() + 1));
    let ended = catch_unwind(AssertUnwindSafe(decoder));
    RUNNING.with(|running| running.set(running.get() - 1));
    ended.map_err(|_panic| Undecoded::Damaged)?.map_err(Undecoded::Refused)
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
        let decoder = || -> Result<u8, &str> { Ok(bytes[1]) };
        assert_eq!(decode(decoder), Err(Undecoded::Damaged));
        assert!(!is_decoding());
        let within = || -> Result<_, &str> { Ok((is_decoding(), decode(decoder), is_decoding())) };
        assert_eq!(decode(within), Ok((true, Err(Undecoded::Damaged), true)));
        assert!(!is_decoding());
        assert_eq!(decode(|| Err::<u8, _>("none")), Err(Undecoded::Refused("none")));
    }
}
