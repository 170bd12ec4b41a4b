//! Headers, timestamps and hex, read strictly.

use super::Refusal;

/// The header lines of a delivery.
#[derive(Clone, Copy)]
pub(super) struct Headers<'a>(pub(super) &'a [(&'a str, &'a [u8])]);

impl<'a> Headers<'a> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _)| found.eq_ignore_ascii_case(name))
    }

    /// The one value of a header.
    pub(super) fn one(&self, name: &str) -> Result<&'a str, Refusal> {
        let mut values = self.0.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        let value = values.next().ok_or_else(|| Refusal::Missing(name.to_owned()))?;
        match (std::str::from_utf8(value), values.next()) {
            (Ok(text), None) => Ok(text.trim()),
            _ => Err(Refusal::Malformed(name.to_owned())),
        }
    }

    /// The one value of a header behind a prefix, decoded.
    pub(super) fn decoded(&self, name: &str, prefix: &str, decode: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Vec<u8>, Refusal> {
        self.one(name)?.strip_prefix(prefix).and_then(decode).ok_or_else(|| Refusal::Malformed(name.to_owned()))
    }
}

/// A timestamp in a unit of `unit_us` microseconds, as signed and as an instant.
pub(super) fn instant<'a>(text: &'a str, header: &str, unit_us: i64) -> Result<(&'a str, i64), Refusal> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse::<i64>().ok() } else { None };
    let at = number.and_then(|number| number.checked_mul(unit_us));
    at.map(|at| (text, at)).ok_or_else(|| Refusal::Malformed(header.to_owned()))
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks_exact(2);
    if text.is_empty() || !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| match pair {
            [high, low] => Some((digit(*high)? << 4) | digit(*low)?),
            _ => None,
        })
        .collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
