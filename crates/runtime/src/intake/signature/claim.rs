//! What a delivery claims, and whether one of our keys bears it out.

use std::borrow::Cow;

use headwater_sdk::Secret;
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// How a key and a message make a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    HmacSha256,
    /// Mandrill's alone; HMAC does not need the collision resistance that SHA-1 has lost.
    HmacSha1,
    /// SHA-256 of the key and then the message. It can be lengthened by whoever knows a signature, but only by bytes that make the
    /// body unreadable; HubSpot's oldest two.
    KeyedSha256,
    EcdsaP256,
    Ed25519,
    /// The proof is the key itself.
    Same,
}

/// One of `proofs` is made of `message` by `method` with one of our keys.
pub(super) struct Claim<'a> {
    pub(super) method: Method,
    pub(super) message: Vec<Cow<'a, [u8]>>,
    pub(super) proofs: Vec<Vec<u8>>,
    /// When the delivery was sent, where that is signed; microseconds.
    pub(super) sent_at_us: Option<i64>,
    /// The sender's id of the delivery, where that is signed.
    pub(super) id: Option<String>,
    /// Whether the message holds the whole body.
    pub(super) covers_body: bool,
}

impl<'a> Claim<'a> {
    /// A proof of the body alone.
    pub(super) fn of_body(body: &'a [u8], proof: Vec<u8>) -> Self {
        Self::of(Method::HmacSha256, vec![Cow::Borrowed(body)], proof)
    }

    /// A proof of several pieces that stand one behind the other.
    pub(super) fn of(method: Method, message: Vec<Cow<'a, [u8]>>, proof: Vec<u8>) -> Self {
        Self { method, message, proofs: vec![proof], sent_at_us: None, id: None, covers_body: true }
    }

    pub(super) fn at(self, sent_at_us: i64) -> Self {
        Self { sent_at_us: Some(sent_at_us), ..self }
    }

    /// A secret shown openly.
    pub(super) fn same(proof: Vec<u8>) -> Self {
        Self { covers_body: false, ..Self::of(Method::Same, Vec::new(), proof) }
    }

    /// Every key is tried against every proof, whatever fits first, so that the time taken tells nothing.
    pub(super) fn fits(&self, keys: &[Secret]) -> bool {
        let mut fits = Choice::from(0);
        for key in keys {
            let key = key.expose();
            match self.method {
                Method::HmacSha256 => {
                    // HMAC takes keys of any length.
                    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { continue };
                    self.message.iter().for_each(|part| mac.update(part));
                    fits |= self.any(&mac.finalize().into_bytes());
                }
                Method::HmacSha1 => {
                    let mut mac =
                        ring::hmac::Context::with_key(&ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key));
                    self.message.iter().for_each(|part| mac.update(part));
                    fits |= self.any(mac.sign().as_ref());
                }
                Method::KeyedSha256 => {
                    let mut hash = Sha256::new_with_prefix(key);
                    self.message.iter().for_each(|part| hash.update(part));
                    fits |= self.any(&hash.finalize());
                }
                // Public keys and signatures are no secrets.
                Method::EcdsaP256 => fits |= self.signed(&UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)),
                Method::Ed25519 => fits |= self.signed(&UnparsedPublicKey::new(&ED25519, key)),
                Method::Same => fits |= self.any(key),
            }
        }
        bool::from(fits)
    }

    fn any(&self, ours: &[u8]) -> Choice {
        self.proofs.iter().fold(Choice::from(0), |fits, proof| fits | ours.ct_eq(proof))
    }

    fn signed(&self, key: &UnparsedPublicKey<&[u8]>) -> Choice {
        let message = self.message.concat();
        let fits = self.proofs.iter().any(|proof| key.verify(&message, proof).is_ok());
        Choice::from(u8::from(fits))
    }
}
