//! A table of signature schemes over the raw bytes of a delivery.
//!
//! There is no common webhook contract; what the schemes share is an HMAC-SHA256 over the body with something before or after it, so
//! a scheme is no more than a reader of headers that says which bytes were signed and which digests are claimed (`Claim`). The
//! comparison, the rotation of secrets and the age of a timestamp are the same code for all of them.
//!
//! Invariants: digests and tokens are compared in constant time; a timestamp is believed only once its signature holds; a header that
//! comes twice is refused, since two readers could each see another one; no secret, signature or body is in a message.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater_sdk::{Error, ErrorKind, Secret, SecretRef};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::config::Signature;
use super::endpoint::Incoming;

/// A delivery whose signature was checked.
pub const VERIFIED: &str = "verified";
/// A delivery that came to an unguessable address.
pub const TOKEN_ONLY: &str = "token_only";
/// A delivery that anybody could have made.
pub const UNSIGNED: &str = "unsigned";

/// The most signatures of one header that are compared: a rotation needs two.
const MAX_SIGNATURES: usize = 8;

/// The shortest token that counts as unguessable: 16 random letters and digits hold 95 bits.
const MIN_TOKEN_BYTES: usize = 16;

/// Why a delivery is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A header of the scheme is not there.
    #[error("the header {0} is missing: the sender must sign its deliveries")]
    Missing(String),
    /// A header of the scheme does not read as the scheme says, or comes twice.
    #[error("the header {0} is not of the form this source's signature type has")]
    Malformed(String),
    /// Signed, but in a way we do not verify.
    #[error("only symmetric signatures (v1) are verified, and this delivery has others: choose a whsec_ secret at the sender")]
    Unsupported,
    /// No signature in the header fits any of our secrets.
    #[error("the signature does not fit the body and the secret: compare the secrets on both sides")]
    Mismatch,
    /// The signature holds, but its timestamp is too old or too far ahead.
    #[error("the signed timestamp is too far from now: a replayed delivery, or a clock that is wrong")]
    Stale,
    /// The address lacks the token, or has another.
    #[error("the address lacks its token, or has another: copy the address again")]
    Token,
}

impl Refusal {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "signature_missing",
            Self::Malformed(_) => "signature_malformed",
            Self::Unsupported => "signature_unsupported",
            Self::Mismatch => "signature_mismatch",
            Self::Stale => "timestamp_stale",
            Self::Token => "token_mismatch",
        }
    }
}

/// How a delivery that is let in was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// [`VERIFIED`], [`TOKEN_ONLY`] or [`UNSIGNED`].
    pub status: &'static str,
    /// The sender's id of the delivery, where the signature covers it.
    pub signed_id: Option<String>,
}

/// Judges deliveries of one source; holds its secrets.
#[derive(Debug)]
pub struct Verifier {
    scheme: Scheme,
    keys: Vec<Secret>,
    tolerance_us: i64,
}

#[derive(Debug, PartialEq, Eq)]
enum Scheme {
    Typeform,
    StandardWebhooks,
    Ghost,
    Tally,
    Webflow,
    Formspree,
    HmacHex { header: String, prefix: String },
    Token,
    Public,
}

impl Verifier {
    /// The verifier that the settings ask for; `resolve` gives the value behind a reference.
    ///
    /// # Errors
    /// `Config` when a secret is missing, empty or not of the form the scheme needs.
    pub fn new(signature: &Signature, resolve: &dyn Fn(&SecretRef) -> Result<Secret, Error>) -> Result<Self, Error> {
        let all = |secret: &SecretRef, previous: &[SecretRef]| -> Result<Vec<Secret>, Error> {
            std::iter::once(secret).chain(previous).map(|reference| checked(reference, resolve(reference)?)).collect()
        };
        let (scheme, keys, tolerance_secs) = match signature {
            Signature::Typeform { secret, previous_secrets } => (Scheme::Typeform, all(secret, previous_secrets)?, 0),
            Signature::Tally { secret, previous_secrets } => (Scheme::Tally, all(secret, previous_secrets)?, 0),
            Signature::StandardWebhooks { secret, previous_secrets, tolerance_secs } => {
                let keys = all(secret, previous_secrets)?.iter().map(whsec).collect::<Result<_, _>>()?;
                (Scheme::StandardWebhooks, keys, tolerance_secs.get())
            }
            Signature::Ghost { secret, previous_secrets, tolerance_secs } => {
                (Scheme::Ghost, all(secret, previous_secrets)?, tolerance_secs.get())
            }
            Signature::Webflow { secret, previous_secrets, tolerance_secs } => {
                (Scheme::Webflow, all(secret, previous_secrets)?, tolerance_secs.get())
            }
            Signature::Formspree { secret, previous_secrets, tolerance_secs } => {
                (Scheme::Formspree, all(secret, previous_secrets)?, tolerance_secs.get())
            }
            Signature::HmacHex { header, prefix, secret, previous_secrets } => {
                let header = header.trim().to_ascii_lowercase();
                if header.is_empty() {
                    return Err(Error::new(ErrorKind::Config, "signature header has no name")
                        .hint("name the header that holds the signature, such as `header: X-Hub-Signature-256`"));
                }
                (Scheme::HmacHex { header, prefix: prefix.clone() }, all(secret, previous_secrets)?, 0)
            }
            Signature::None { token: Some(token) } => (Scheme::Token, vec![long_enough(token, resolve(token)?)?], 0),
            Signature::None { token: None } => (Scheme::Public, Vec::new(), 0),
        };
        Ok(Self { scheme, keys, tolerance_us: i64::from(tolerance_secs) * 1_000_000 })
    }

    /// Whether anybody may post here.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.scheme == Scheme::Public
    }

    /// Judges a delivery.
    ///
    /// # Errors
    /// Why it is not let in.
    pub fn verify(&self, incoming: &Incoming<'_>) -> Result<Verdict, Refusal> {
        let headers = Headers(incoming.headers);
        let claim = match &self.scheme {
            Scheme::Public if incoming.token.is_none() => {
                return Ok(Verdict { status: UNSIGNED, signed_id: None });
            }
            Scheme::Public => return Err(Refusal::Token),
            Scheme::Token => return self.verify_token(incoming.token.unwrap_or_default()),
            Scheme::Typeform => base64_digest(&headers, "typeform-signature", "sha256=")?,
            Scheme::Tally => base64_digest(&headers, "tally-signature", "")?,
            Scheme::StandardWebhooks => standard_webhooks(&headers)?,
            Scheme::Ghost => ghost(&headers)?,
            Scheme::Webflow => webflow(&headers)?,
            Scheme::Formspree => formspree(&headers)?,
            Scheme::HmacHex { header, prefix } => hex_digest(&headers, header, prefix)?,
        };
        if incoming.token.is_some() {
            return Err(Refusal::Token);
        }
        if !self.fits(&claim, incoming.body) {
            return Err(Refusal::Mismatch);
        }
        match claim.sent_at_us {
            Some(sent_at) if sent_at.abs_diff(incoming.now_us) > self.tolerance_us.unsigned_abs() => Err(Refusal::Stale),
            Some(_) | None => Ok(Verdict { status: VERIFIED, signed_id: claim.id }),
        }
    }

    fn verify_token(&self, token: &str) -> Result<Verdict, Refusal> {
        let fits = self.keys.iter().fold(Choice::from(0), |fits, key| fits | key.expose().ct_eq(token.as_bytes()));
        if bool::from(fits) { Ok(Verdict { status: TOKEN_ONLY, signed_id: None }) } else { Err(Refusal::Token) }
    }

    /// Every secret is tried against every digest, whatever fits first, so that the time taken tells nothing.
    fn fits(&self, claim: &Claim, body: &[u8]) -> bool {
        let mut fits = Choice::from(0);
        for key in &self.keys {
            // HMAC takes keys of any length; without one there is nothing to fit.
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose()) else { continue };
            mac.update(&claim.before);
            mac.update(body);
            mac.update(&claim.after);
            let ours = mac.finalize().into_bytes();
            for digest in &claim.digests {
                fits |= ours.as_slice().ct_eq(digest);
            }
        }
        bool::from(fits)
    }
}

/// What a delivery's headers claim: one of `digests` is the HMAC of `before`, the body and `after`.
struct Claim {
    before: Vec<u8>,
    after: Vec<u8>,
    digests: Vec<Vec<u8>>,
    sent_at_us: Option<i64>,
    id: Option<String>,
}

impl Claim {
    fn of_body(digest: Vec<u8>) -> Self {
        Self { before: Vec::new(), after: Vec::new(), digests: vec![digest], sent_at_us: None, id: None }
    }
}

struct Headers<'a>(&'a [(&'a str, &'a [u8])]);

impl<'a> Headers<'a> {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _)| found.eq_ignore_ascii_case(name))
    }

    /// The one value of a header.
    fn one(&self, name: &str) -> Result<&'a str, Refusal> {
        let mut values = self.0.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        let value = values.next().ok_or_else(|| Refusal::Missing(name.to_owned()))?;
        match (std::str::from_utf8(value), values.next()) {
            (Ok(text), None) => Ok(text.trim()),
            _ => Err(Refusal::Malformed(name.to_owned())),
        }
    }
}

fn base64_digest(headers: &Headers<'_>, name: &str, prefix: &str) -> Result<Claim, Refusal> {
    let digest = headers.one(name)?.strip_prefix(prefix).and_then(|text| STANDARD.decode(text).ok());
    digest.map(Claim::of_body).ok_or_else(|| Refusal::Malformed(name.to_owned()))
}

fn hex_digest(headers: &Headers<'_>, name: &str, prefix: &str) -> Result<Claim, Refusal> {
    let digest = headers.one(name)?.strip_prefix(prefix).and_then(unhex);
    digest.map(Claim::of_body).ok_or_else(|| Refusal::Malformed(name.to_owned()))
}

/// `{id}.{timestamp}.{body}`, and a list of signatures while the sender changes its secret.
fn standard_webhooks(headers: &Headers<'_>) -> Result<Claim, Refusal> {
    let family = if headers.has("webhook-signature") || !headers.has("svix-signature") { "webhook" } else { "svix" };
    let signature = format!("{family}-signature");
    let id = headers.one(&format!("{family}-id"))?;
    let timestamp_name = format!("{family}-timestamp");
    let (timestamp, sent_at_us) = instant(headers.one(&timestamp_name)?, &timestamp_name, 1_000_000)?;
    let list = headers.one(&signature)?;
    let mut digests = Vec::new();
    for entry in list.split(' ').filter(|entry| !entry.is_empty()) {
        let (version, text) = entry.split_once(',').ok_or_else(|| Refusal::Malformed(signature.clone()))?;
        if version == "v1" && digests.len() < MAX_SIGNATURES {
            digests.push(STANDARD.decode(text).map_err(|_| Refusal::Malformed(signature.clone()))?);
        }
    }
    if digests.is_empty() {
        return Err(if list.is_empty() { Refusal::Malformed(signature) } else { Refusal::Unsupported });
    }
    Ok(Claim {
        before: format!("{id}.{timestamp}.").into_bytes(),
        after: Vec::new(),
        digests,
        sent_at_us: Some(sent_at_us),
        id: Some(id.to_owned()),
    })
}

/// `sha256=<hex>, t=<ms>` over the body and then the time.
fn ghost(headers: &Headers<'_>) -> Result<Claim, Refusal> {
    const NAME: &str = "x-ghost-signature";
    let malformed = || Refusal::Malformed(NAME.to_owned());
    let (digest, timestamp) = headers.one(NAME)?.split_once(',').ok_or_else(malformed)?;
    let digest = digest.trim().strip_prefix("sha256=").and_then(unhex).ok_or_else(malformed)?;
    let timestamp = timestamp.trim().strip_prefix("t=").ok_or_else(malformed)?;
    let (timestamp, sent_at_us) = instant(timestamp, NAME, 1_000)?;
    Ok(Claim { after: timestamp.as_bytes().to_vec(), sent_at_us: Some(sent_at_us), ..Claim::of_body(digest) })
}

fn webflow(headers: &Headers<'_>) -> Result<Claim, Refusal> {
    const NAME: &str = "x-webflow-timestamp";
    let (timestamp, sent_at_us) = instant(headers.one(NAME)?, NAME, 1_000)?;
    let claim = hex_digest(headers, "x-webflow-signature", "")?;
    Ok(Claim { before: format!("{timestamp}:").into_bytes(), sent_at_us: Some(sent_at_us), ..claim })
}

/// `t=<seconds>,v1=<hex>`, several `v1` while the secret changes.
fn formspree(headers: &Headers<'_>) -> Result<Claim, Refusal> {
    const NAME: &str = "formspree-signature";
    let malformed = || Refusal::Malformed(NAME.to_owned());
    let (mut timestamp, mut digests) = (None, Vec::new());
    for part in headers.one(NAME)?.split(',') {
        match part.trim().split_once('=').ok_or_else(malformed)? {
            ("t", text) if timestamp.is_none() => timestamp = Some(instant(text, NAME, 1_000_000)?),
            ("v1", text) if digests.len() < MAX_SIGNATURES => digests.push(unhex(text).ok_or_else(malformed)?),
            _ => return Err(malformed()),
        }
    }
    let (timestamp, sent_at_us) = timestamp.ok_or_else(malformed)?;
    let before = format!("{timestamp}.").into_bytes();
    Ok(Claim { before, after: Vec::new(), digests, sent_at_us: Some(sent_at_us), id: None })
}

/// A timestamp in a unit of `unit_us` microseconds, as signed and as an instant.
fn instant<'a>(text: &'a str, header: &str, unit_us: i64) -> Result<(&'a str, i64), Refusal> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse::<i64>().ok() } else { None };
    let at = number.and_then(|number| number.checked_mul(unit_us));
    at.map(|at| (text, at)).ok_or_else(|| Refusal::Malformed(header.to_owned()))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
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

/// An empty key makes a signature that everybody can make; so does one of blanks that was meant to be filled in.
fn checked(reference: &SecretRef, secret: Secret) -> Result<Secret, Error> {
    if secret.expose().iter().all(u8::is_ascii_whitespace) {
        return Err(Error::new(ErrorKind::Config, format!("{reference} is empty"))
            .hint("an empty secret verifies a delivery of anybody: set the sender's secret"));
    }
    Ok(secret)
}

/// The key behind `whsec_` and base64.
fn whsec(secret: &Secret) -> Result<Secret, Error> {
    let wrong = |what: &str| {
        Error::new(ErrorKind::Config, format!("the standard_webhooks secret {what}"))
            .hint("copy the sender's signing secret: `whsec_` and base64")
    };
    let text = secret.expose_str().trim();
    if text.starts_with("whsk_") || text.starts_with("whpk_") {
        return Err(wrong("is a key for asymmetric signatures (v1a), which are not verified"));
    }
    match STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)) {
        Ok(key) if !key.is_empty() => Ok(Secret::new(key)),
        Ok(_) => Err(wrong("is empty")),
        Err(_) => Err(wrong("is not base64")),
    }
}

fn long_enough(reference: &SecretRef, token: Secret) -> Result<Secret, Error> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    if token.expose().len() >= MIN_TOKEN_BYTES && token.expose().iter().all(plain) {
        return Ok(token);
    }
    Err(Error::new(ErrorKind::Config, format!("{reference} is no token: it needs {MIN_TOKEN_BYTES} or more letters and digits"))
        .hint("make one with `openssl rand -hex 24`"))
}

#[cfg(test)]
mod tests;
