//! Who must not be held: keyed hashes of normalised addresses and numbers, never the values.
//!
//! The hash is HMAC-SHA-256 over `kind`, a separator and the normalised value. It is keyed because an unkeyed hash of an
//! address is undone by a dictionary. The normaliser is the one every record passes, so a person is recognised however a list
//! writes them; it has a version because a hash cannot be made anew when it changes.

use hashbrown::HashSet;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The version of the normalisers that the hashes were made with.
pub const NORMALISER_VERSION: i64 = 1;

/// What was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A normalised e-mail address.
    Email,
    /// A phone number in E.164.
    Phone,
}

impl Kind {
    /// The word used in the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
        }
    }
}

/// Makes the hashes of one tenant.
#[derive(Clone)]
pub struct Hasher(Hmac<Sha256>);

impl Hasher {
    /// A hasher with the tenant's key.
    ///
    /// # Panics
    /// Never: HMAC takes a key of any length.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        Self(Hmac::new_from_slice(key).expect("a key of any length"))
    }

    /// The hash of a value in normal form.
    #[must_use]
    pub fn hash(&self, kind: Kind, normalised: &str) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(kind.as_str().as_bytes());
        mac.update(&[0x1f]);
        mac.update(normalised.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher(***)")
    }
}

/// Tells whether somebody must not be held. Empty, it stops nobody and costs nothing.
#[derive(Debug, Clone)]
pub struct Screen {
    hasher: Hasher,
    hashes: HashSet<[u8; 32]>,
}

impl Screen {
    /// A screen of these hashes, made with this hasher's key.
    #[must_use]
    pub fn new(hasher: Hasher, hashes: HashSet<[u8; 32]>) -> Self {
        Self { hasher, hashes }
    }

    /// Whether nobody is suppressed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether the person with this value, in normal form, is suppressed.
    #[must_use]
    pub fn stops(&self, kind: Kind, normalised: &str) -> bool {
        !self.hashes.is_empty() && self.hashes.contains(&self.hasher.hash(kind, normalised))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_keys_do_not_collide() {
        let (one, two) = (Hasher::new(b"one"), Hasher::new(b"two"));
        assert_eq!(one.hash(Kind::Email, "a@example.com"), one.hash(Kind::Email, "a@example.com"));
        assert_ne!(one.hash(Kind::Email, "a@example.com"), two.hash(Kind::Email, "a@example.com"));
        assert_ne!(one.hash(Kind::Email, "+4930123456"), one.hash(Kind::Phone, "+4930123456"));
    }
}
