//! A table of signature schemes over the raw bytes of a delivery.
//!
//! There is no common webhook contract. What the schemes share is that a key of ours and a message make a proof that the delivery
//! shows; a scheme is no more than a reader (`schemes`) that says which bytes were signed, and what is claimed of them (`Claim`). The
//! comparison, the change of secrets and the age of a timestamp are the same code for all of them. To add a scheme, add a variant to
//! [`Signature`], a reader, and the arm that joins them.
//!
//! | family | what is proved | types |
//! |---|---|---|
//! | A | the sender knows the address, or a password in it | `none`, `basic` |
//! | B | the sender knows a secret that stands in the body | `body_secret` |
//! | C | base64 HMAC of the body | `typeform`, `tally`, `mautic`, `hmac_base64` |
//! | D | hex HMAC of the body | `meta`, `linkedin`, `hmac_hex` |
//! | E | time and body, in one header | `formspree` |
//! | F | id, time and body | `standard_webhooks` |
//! | G | time and body, in two headers | `webflow`, `ghost`, `customerio`, `klaviyo` |
//! | H | address and body | `hubspot`, `mandrill` |
//! | I | a signed token, or an asymmetric signature | `netlify`, `sendgrid`, `standard_webhooks` with a public key |
//! | J | time and a token, not the body | `mailgun` |
//!
//! Invariants: secrets and digests are compared in constant time; a timestamp is believed only once its signature holds; a header that
//! comes twice is refused, since two readers could each see another one; no secret, signature or body is in a message; what does not
//! prove the body is [`TOKEN_ONLY`], never [`VERIFIED`].

mod claim;
mod headers;
mod schemes;
mod settings;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater_sdk::{Error, ErrorKind, Secret, SecretRef};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use self::claim::Claim;
use super::endpoint::Incoming;

pub use self::settings::{
    AddressBound, Basic, BodySecret, Header, Hubspot, HubspotVersion, Keyed, Mailgun, Meta, Secrets, Signature, Timed, Unsigned,
};

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
    #[error(
        "the delivery is signed in a way that this source's settings cannot verify: compare the kind of secret on both sides"
    )]
    Unsupported,
    /// The body lacks the secret or the signature that the scheme puts there.
    #[error("the body has no usable {0}: the sender must prove itself there")]
    InBody(String),
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
            Self::InBody(_) => "signature_missing",
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
    secrets: Vec<Secret>,
    public_keys: Vec<Secret>,
    tolerance_us: i64,
}

#[derive(Debug, PartialEq, Eq)]
enum Scheme {
    Basic,
    BodySecret { field: String },
    Customerio,
    Formspree,
    Ghost,
    HmacBase64 { header: String, prefix: String },
    HmacHex { header: String, prefix: String },
    Hubspot { url: String, version: HubspotVersion },
    Klaviyo,
    Linkedin,
    Mailgun,
    Mandrill { url: String },
    Mautic,
    Meta,
    Netlify,
    Public,
    Sendgrid,
    StandardWebhooks,
    Tally,
    Token,
    Typeform,
    Webflow,
}

type Resolve<'a> = &'a dyn Fn(&SecretRef) -> Result<Secret, Error>;

impl Verifier {
    /// The verifier that the settings ask for; `resolve` gives the value behind a reference.
    ///
    /// # Errors
    /// `Config` when a secret is missing, empty or not of the form the scheme needs.
    pub fn new(signature: &Signature, resolve: Resolve<'_>) -> Result<Self, Error> {
        let of = |scheme: Scheme, secret: &Secrets, previous: &[SecretRef]| -> Result<Self, Error> {
            let references = secret.0.iter().chain(previous);
            let secrets = references.map(|reference| checked(reference, resolve(reference)?)).collect::<Result<_, _>>()?;
            Ok(Self { scheme, secrets, public_keys: Vec::new(), tolerance_us: 0 })
        };
        let keyed = |scheme, Keyed { secret, previous_secrets }: &Keyed| of(scheme, secret, previous_secrets);
        let timed = |scheme, Timed { secret, previous_secrets, tolerance_secs }: &Timed| {
            Ok(of(scheme, secret, previous_secrets)?.within(tolerance_secs.get()))
        };
        match signature {
            Signature::Basic(Basic { username, password }) => of(Scheme::Basic, password, &[])?.with_user(username),
            Signature::BodySecret(BodySecret { field, secret, previous_secrets }) => {
                of(Scheme::BodySecret { field: field.clone() }, secret, previous_secrets)
            }
            Signature::Customerio(settings) => timed(Scheme::Customerio, settings),
            Signature::Formspree(settings) => timed(Scheme::Formspree, settings),
            Signature::Ghost(settings) => timed(Scheme::Ghost, settings),
            Signature::HmacBase64(Header { header, prefix, secret, previous_secrets }) => {
                of(Scheme::HmacBase64 { header: header_name(header)?, prefix: prefix.clone() }, secret, previous_secrets)
            }
            Signature::HmacHex(Header { header, prefix, secret, previous_secrets }) => {
                of(Scheme::HmacHex { header: header_name(header)?, prefix: prefix.clone() }, secret, previous_secrets)
            }
            Signature::Hubspot(Hubspot { secret, previous_secrets, url, version, tolerance_secs }) => {
                let scheme = Scheme::Hubspot { url: address(url)?, version: *version };
                Ok(of(scheme, secret, previous_secrets)?.within(tolerance_secs.get()))
            }
            Signature::Klaviyo(settings) => timed(Scheme::Klaviyo, settings),
            Signature::Linkedin(settings) => keyed(Scheme::Linkedin, settings),
            Signature::Mailgun(Mailgun { secret, previous_secrets, tolerance_secs }) => {
                Ok(of(Scheme::Mailgun, secret, previous_secrets)?.within(tolerance_secs.get()))
            }
            Signature::Mandrill(AddressBound { secret, previous_secrets, url }) => {
                of(Scheme::Mandrill { url: address(url)? }, secret, previous_secrets)
            }
            Signature::Mautic(settings) => keyed(Scheme::Mautic, settings),
            Signature::Meta(Meta { secret, previous_secrets, verify_token: _ }) => of(Scheme::Meta, secret, previous_secrets),
            Signature::Netlify(settings) => keyed(Scheme::Netlify, settings),
            Signature::None(Unsigned { token: None }) => {
                Ok(Self { scheme: Scheme::Public, secrets: Vec::new(), public_keys: Vec::new(), tolerance_us: 0 })
            }
            Signature::None(Unsigned { token: Some(tokens) }) => {
                let token = |reference: &SecretRef| long_enough(reference, resolve(reference)?);
                let secrets = tokens.0.iter().map(token).collect::<Result<_, _>>()?;
                Ok(Self { scheme: Scheme::Token, secrets, public_keys: Vec::new(), tolerance_us: 0 })
            }
            Signature::Sendgrid(settings) => timed(Scheme::Sendgrid, settings)?.with_spki(),
            Signature::StandardWebhooks(settings) => timed(Scheme::StandardWebhooks, settings)?.with_whsec(),
            Signature::Tally(settings) => keyed(Scheme::Tally, settings),
            Signature::Typeform(settings) => keyed(Scheme::Typeform, settings),
            Signature::Webflow(settings) => timed(Scheme::Webflow, settings),
        }
    }

    fn within(self, tolerance_secs: u32) -> Self {
        Self { tolerance_us: i64::from(tolerance_secs) * 1_000_000, ..self }
    }

    fn with_user(mut self, username: &str) -> Result<Self, Error> {
        if username.contains(':') {
            return Err(Error::new(ErrorKind::Config, "the username of basic authentication holds a colon")
                .hint("choose a name without one: a colon parts name and password"));
        }
        self.secrets = self.secrets.iter().map(|key| Secret::new([username.as_bytes(), b":", key.expose()].concat())).collect();
        Ok(self)
    }

    fn with_spki(self) -> Result<Self, Error> {
        let public_keys = self.secrets.iter().map(p256_point).collect::<Result<_, _>>()?;
        Ok(Self { secrets: Vec::new(), public_keys, ..self })
    }

    fn with_whsec(mut self) -> Result<Self, Error> {
        for secret in std::mem::take(&mut self.secrets) {
            let public = secret.expose_str().trim().starts_with("whpk_");
            let keys = if public { &mut self.public_keys } else { &mut self.secrets };
            keys.push(whsec(&secret)?);
        }
        Ok(self)
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
        if self.scheme != Scheme::Token && incoming.token.is_some() {
            return Err(Refusal::Token);
        }
        if self.scheme == Scheme::Public {
            return Ok(Verdict { status: UNSIGNED, signed_id: None });
        }
        let claims = self.claims(incoming)?;
        let Some(claim) = claims.into_iter().find(|claim| self.bears_out(claim)) else {
            return Err(if self.scheme == Scheme::Token { Refusal::Token } else { Refusal::Mismatch });
        };
        match claim.sent_at_us {
            Some(sent_at) if sent_at.abs_diff(incoming.now_us) > self.tolerance_us.unsigned_abs() => Err(Refusal::Stale),
            Some(_) | None => Ok(Verdict { status: if claim.covers_body { VERIFIED } else { TOKEN_ONLY }, signed_id: claim.id }),
        }
    }

    /// The answer to a sender's challenge over `text`: the hex HMAC with the secret in use.
    #[must_use]
    pub fn prove(&self, text: &str) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secrets.first()?.expose()).ok()?;
        mac.update(text.as_bytes());
        Some(headers::hex(&mac.finalize().into_bytes()))
    }

    /// Whether an address's token is one of ours; what has no token has none to be wrong.
    #[must_use]
    pub fn token_fits(&self, token: Option<&str>) -> bool {
        match self.scheme {
            Scheme::Token => Claim::same(token.unwrap_or_default().as_bytes().to_vec()).fits(&self.secrets),
            _ => token.is_none(),
        }
    }

    fn bears_out(&self, claim: &Claim<'_>) -> bool {
        let public = matches!(claim.method, claim::Method::EcdsaP256 | claim::Method::Ed25519);
        claim.fits(if public { &self.public_keys } else { &self.secrets })
    }

    fn claims<'a>(&self, incoming: &Incoming<'a>) -> Result<Vec<Claim<'a>>, Refusal> {
        let claim = match &self.scheme {
            Scheme::Basic => schemes::basic(incoming)?,
            Scheme::BodySecret { field } => schemes::body_secret(incoming, field)?,
            Scheme::Customerio => schemes::customerio(incoming)?,
            Scheme::Formspree => schemes::formspree(incoming)?,
            Scheme::Ghost => schemes::ghost(incoming)?,
            Scheme::HmacBase64 { header, prefix } => schemes::base64_header(incoming, header, prefix)?,
            Scheme::HmacHex { header, prefix } => schemes::hex_header(incoming, header, prefix)?,
            Scheme::Hubspot { url: _, version: HubspotVersion::V1 } => schemes::hubspot_hash(incoming, None)?,
            Scheme::Hubspot { url, version: HubspotVersion::V2 } => schemes::hubspot_hash(incoming, Some(url))?,
            Scheme::Hubspot { url, version: HubspotVersion::V3 } => schemes::hubspot_v3(incoming, url)?,
            Scheme::Klaviyo => schemes::klaviyo(incoming)?,
            Scheme::Linkedin => schemes::linkedin(incoming)?,
            Scheme::Mailgun => schemes::mailgun(incoming)?,
            Scheme::Mandrill { url } => schemes::mandrill(incoming, url)?,
            Scheme::Mautic => schemes::base64_header(incoming, "webhook-signature", "")?,
            Scheme::Meta => schemes::hex_header(incoming, "x-hub-signature-256", "sha256=")?,
            Scheme::Netlify => schemes::netlify(incoming)?,
            Scheme::Sendgrid => schemes::sendgrid(incoming)?,
            Scheme::StandardWebhooks => return schemes::standard_webhooks(incoming, !self.public_keys.is_empty()),
            Scheme::Tally => schemes::base64_header(incoming, "tally-signature", "")?,
            Scheme::Public | Scheme::Token => Claim::same(incoming.token.unwrap_or_default().as_bytes().to_vec()),
            Scheme::Typeform => schemes::base64_header(incoming, "typeform-signature", "sha256=")?,
            Scheme::Webflow => schemes::webflow(incoming)?,
        };
        Ok(vec![claim])
    }
}

fn header_name(header: &str) -> Result<String, Error> {
    let header = header.trim().to_ascii_lowercase();
    if header.is_empty() {
        return Err(Error::new(ErrorKind::Config, "signature header has no name")
            .hint("name the header that holds the signature, such as `header: X-Hub-Signature-256`"));
    }
    Ok(header)
}

/// An address that is signed as it stands, so it is only looked at, never put in order.
fn address(url: &str) -> Result<String, Error> {
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(url.to_owned());
    }
    Err(Error::new(ErrorKind::Config, "the signature's url is not a web address")
        .hint("write it as it was given to the sender, such as `url: https://leads.example.com/in/hubspot`"))
}

/// An empty key makes a signature that everybody can make; so does one of blanks that was meant to be filled in.
fn checked(reference: &SecretRef, secret: Secret) -> Result<Secret, Error> {
    if secret.expose().iter().all(u8::is_ascii_whitespace) {
        return Err(Error::new(ErrorKind::Config, format!("{reference} is empty"))
            .hint("an empty secret verifies a delivery of anybody: set the sender's secret"));
    }
    Ok(secret)
}

/// The key behind `whsec_` or `whpk_` and base64.
fn whsec(secret: &Secret) -> Result<Secret, Error> {
    /// An ed25519 public key.
    const PUBLIC_KEY_BYTES: usize = 32;
    let wrong = |what: &str| {
        Error::new(ErrorKind::Config, format!("the standard_webhooks secret {what}"))
            .hint("copy the sender's signing secret: `whsec_` and base64, or its public key: `whpk_` and base64")
    };
    let text = secret.expose_str().trim();
    if text.starts_with("whsk_") {
        return Err(wrong("is the sender's private key, which only the sender may have"));
    }
    let public = text.strip_prefix("whpk_");
    match STANDARD.decode(public.or(text.strip_prefix("whsec_")).unwrap_or(text)) {
        Ok(key) if public.is_some() && key.len() != PUBLIC_KEY_BYTES => Err(wrong("is no ed25519 public key")),
        Ok(key) if !key.is_empty() => Ok(Secret::new(key)),
        Ok(_) => Err(wrong("is empty")),
        Err(_) => Err(wrong("is not base64")),
    }
}

/// The point of a P-256 public key, which stands as base64 of its DER form (SPKI), with or without the lines around it.
fn p256_point(key: &Secret) -> Result<Secret, Error> {
    /// What stands before the point in the DER form of every P-256 key: the algorithm and the curve.
    const BEFORE: &[u8] = &[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
        0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    /// An uncompressed point.
    const POINT_BYTES: usize = 65;
    let lines = key.expose_str().lines().filter(|line| !line.starts_with("-----")).map(str::trim);
    let der = STANDARD.decode(lines.collect::<String>()).unwrap_or_default();
    match der.strip_prefix(BEFORE) {
        Some(point) if point.len() == POINT_BYTES => Ok(Secret::new(point)),
        _ => Err(Error::new(ErrorKind::Config, "the sendgrid secret is no P-256 public key")
            .hint("copy the verification key that SendGrid shows beside the event webhook; it begins with `MFkw`")),
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
