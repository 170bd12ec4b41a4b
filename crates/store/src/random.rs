//! Bytes from the operating system's source of randomness.

use crate::{Result, StoreError};

pub(crate) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|_| StoreError::Unsupported { what: "this system: it gives no random bytes".to_owned() })?;
    Ok(bytes)
}

/// A random (version 4) UUID.
pub(crate) fn uuid() -> Result<String> {
    let random = u128::from_be_bytes(bytes()?);
    let versioned = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    Ok(format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        versioned >> 96,
        (versioned >> 80) & 0xffff,
        (versioned >> 64) & 0xffff,
        (versioned >> 48) & 0xffff,
        versioned & 0xffff_ffff_ffff
    ))
}
