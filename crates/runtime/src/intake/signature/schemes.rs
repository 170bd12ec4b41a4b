//! One reader per scheme: from a delivery to what it claims.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::claim::{Claim, Method};
use super::headers::{Headers, hex, instant, unhex};
use super::{MAX_SIGNATURES, Refusal};
use crate::intake::endpoint::Incoming;
use crate::intake::payload::{form_pairs, json_member};

const SECOND_US: i64 = 1_000_000;
const MILLISECOND_US: i64 = 1_000;

fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(super) fn base64_header<'a>(incoming: &Incoming<'a>, name: &str, prefix: &str) -> Result<Claim<'a>, Refusal> {
    Headers(incoming.headers).decoded(name, prefix, base64).map(|proof| Claim::of_body(incoming.body, proof))
}

pub(super) fn hex_header<'a>(incoming: &Incoming<'a>, name: &str, prefix: &str) -> Result<Claim<'a>, Refusal> {
    Headers(incoming.headers).decoded(name, prefix, unhex).map(|proof| Claim::of_body(incoming.body, proof))
}

/// `{id}.{timestamp}.{body}`, and a list of signatures while the sender changes its secret: `v1` symmetric, `v1a` not.
pub(super) fn standard_webhooks<'a>(incoming: &Incoming<'a>, has_public_key: bool) -> Result<Vec<Claim<'a>>, Refusal> {
    let headers = Headers(incoming.headers);
    let family = if headers.has("webhook-signature") || !headers.has("svix-signature") { "webhook" } else { "svix" };
    let signature = format!("{family}-signature");
    let id = headers.one(&format!("{family}-id"))?;
    let timestamp_name = format!("{family}-timestamp");
    let (timestamp, sent_at_us) = instant(headers.one(&timestamp_name)?, &timestamp_name, SECOND_US)?;
    let list = headers.one(&signature)?;
    let (mut symmetric, mut asymmetric) = (Vec::new(), Vec::new());
    for entry in list.split(' ').filter(|entry| !entry.is_empty()).take(MAX_SIGNATURES) {
        let (version, text) = entry.split_once(',').ok_or_else(|| Refusal::Malformed(signature.clone()))?;
        let proofs = match version {
            "v1" => &mut symmetric,
            "v1a" => &mut asymmetric,
            _ => continue,
        };
        proofs.push(base64(text).ok_or_else(|| Refusal::Malformed(signature.clone()))?);
    }
    let claims = [(Method::HmacSha256, symmetric), (Method::Ed25519, if has_public_key { asymmetric } else { Vec::new() })];
    let claims: Vec<Claim<'a>> = claims
        .into_iter()
        .filter(|(_, proofs)| !proofs.is_empty())
        .map(|(method, proofs)| Claim {
            method,
            message: vec![Cow::Owned(format!("{id}.{timestamp}.").into_bytes()), Cow::Borrowed(incoming.body)],
            proofs,
            sent_at_us: Some(sent_at_us),
            id: Some(id.to_owned()),
            covers_body: true,
        })
        .collect();
    match claims.is_empty() {
        false => Ok(claims),
        true if list.is_empty() => Err(Refusal::Malformed(signature)),
        true => Err(Refusal::Unsupported),
    }
}

/// `sha256=<hex>, t=<ms>` over the body and then the time.
pub(super) fn ghost<'a>(incoming: &Incoming<'a>) -> Result<Claim<'a>, Refusal> {
    const NAME: &str = "x-ghost-signature";
    let malformed = || Refusal::Malformed(NAME.to_owned());
    let (digest, timestamp) = Headers(incoming.headers).one(NAME)?.split_once(',').ok_or_else(malformed)?;
    let digest = digest.trim().strip_prefix("sha256=").and_then(unhex).ok_or_else(malformed)?;
    let timestamp = timestamp.trim().strip_prefix("t=").ok_or_else(malformed)?;
    let (timestamp, at) = instant(timestamp, NAME, MILLISECOND_US)?;
    let message = vec![Cow::Borrowed(incoming.body), Cow::Borrowed(timestamp.as_bytes())];
    Ok(Claim::of(Method::HmacSha256, message, digest).at(at))
}

pub(super) fn webflow<'a>(incoming: &Incoming<'a>) -> Result<Claim<'a>, Refusal> {
    const NAME: &str = "x-webflow-timestamp";
    let headers = Headers(incoming.headers);
    let (timestamp, at) = instant(headers.one(NAME)?, NAME, MILLISECOND_US)?;
    let digest = headers.decoded("x-webflow-signature", "", unhex)?;
    let message = vec![Cow::Owned(format!("{timestamp}:").into_bytes()), Cow::Borrowed(incoming.body)];
    Ok(Claim::of(Method::HmacSha256, message, digest).at(at))
}

/// <https://docs.customer.io/journeys/webhooks-action/#securely-verify-requests>
pub(super) fn customerio<'a>(incoming: &Incoming<'a>) -> Result<Claim<'a>, Refusal> {
    const NAME: &str = "x-cio-timestamp";
    let headers = Headers(incoming.headers);
    let (timestamp, at) = instant(headers.one(NAME)?, NAME, SECOND_US)?;
    let digest = headers.decoded("x-cio-signature", "", unhex)?;
    let message = vec![Cow::Owned(format!("v0:{timestamp}:").into_bytes()), Cow::Borrowed(incoming.body)];
    Ok(Claim::of(Method::HmacSha256, message, digest).at(at))
}

/// The body and then the timestamp's text, which may be seconds or a date: it is signed as it stands.
pub(super) fn klaviyo<'a>(incoming: &Incoming<'a>) -> Result<Claim<'a>, Refusal> {
    const NAME: &str = "klaviyo-timestamp";
    let headers = Headers(incoming.headers);
    let timestamp = headers.one(NAME)?;
    let at = match instant(timestamp, NAME, SECOND_US) {
        Ok((_, at)) => at,
        Err(malformed) => timestamp.parse::<jiff::Timestamp>().map_err(|_| malformed)?.as_microsecond(),
    };
    let digest = headers.decoded("klaviyo-signature", "", unhex)?;
    let message = vec![Cow::Borrowed(incoming.body), Cow::Borrowed(timestamp.as_bytes())];
    Ok(Claim::of(Method::HmacSha256, message, digest).at(at))
}

/// `t=<seconds>,v1=<hex>`, several `v1` while the secret changes.
pub(super) fn formspree<'a>(incoming: &Incoming<'a>) -> Result<Claim<'a>, Refusal> {
    const NAME: &str = "formspree-signature";
    let malformed = || Refusal::Malformed(NAME.to_owned());
    let (mut timestamp, mut proofs) = (None, Vec::new());
    for part in Headers(incoming.headers).one(NAME)?.split(',') {
        match part.trim().split_once('=').ok_or_else(malformed)? {
            ("t", text) if timestamp.is_none() => timestamp = Some(instant(text, NAME, SECOND_US)?),
            ("v1", text) if proofs.len() < MAX_SIGNATURES => proofs.push(unhex(text).ok_or_else(malformed)?),
            _ => return Err(malformed()),
        }
    }
    let (timestamp, at) = timestamp.ok_or_else(malformed)?;
    let message = vec![Cow::Owned(format!("{timestamp}.").into_bytes()), Cow::Borrowed(incoming.body)];
    Ok(Claim { proofs, ..Claim::of(Method::HmacSha256, message, Vec::new()).at(at) })
}

/// The prefix `hmacsha256=` is part of what is signed; some deliveries show it before the digits too.
/// <https://learn.microsoft.com/en-us/linkedin/shared/api-guide/webhook-validation>
pub(super) fn linkedin<'a>(incoming: &Incoming<'a>) -> Result<Claim<'a>, Refusal> {
    const PREFIX: &str = "hmacsha256=";
    let digest =
        Headers(incoming.headers).decoded("x-li-signature", "", |text| unhex(text.strip_prefix(PREFIX).unwrap_or(text)))?;
    let message = vec![Cow::Borrowed(PREFIX.as_bytes()), Cow::Borrowed(incoming.body)];
    Ok(Claim::of(Method::HmacSha256, message, digest))
}

/// The older two: SHA-256 of the secret and, from version 2 on, method and address, and the body.
/// <https://developers.hubspot.com/docs/api/webhooks/validating-requests>
pub(super) fn hubspot_hash<'a>(incoming: &Incoming<'a>, url: Option<&str>) -> Result<Claim<'a>, Refusal> {
    let headers = Headers(incoming.headers);
    let version = headers.one("x-hubspot-signature-version")?;
    if version != if url.is_some() { "v2" } else { "v1" } {
        return Err(Refusal::Unsupported);
    }
    let digest = headers.decoded("x-hubspot-signature", "", unhex)?;
    let before = url.map(|url| Cow::Owned(format!("POST{url}").into_bytes()));
    let message = before.into_iter().chain([Cow::Borrowed(incoming.body)]).collect();
    Ok(Claim::of(Method::KeyedSha256, message, digest))
}

/// Method, address, body, time.
pub(super) fn hubspot_v3<'a>(incoming: &Incoming<'a>, url: &str) -> Result<Claim<'a>, Refusal> {
    const NAME: &str = "x-hubspot-request-timestamp";
    let headers = Headers(incoming.headers);
    let (timestamp, at) = instant(headers.one(NAME)?, NAME, MILLISECOND_US)?;
    let digest = headers.decoded("x-hubspot-signature-v3", "", base64)?;
    let message =
        vec![Cow::Owned(format!("POST{url}").into_bytes()), Cow::Borrowed(incoming.body), Cow::Borrowed(timestamp.as_bytes())];
    Ok(Claim::of(Method::HmacSha256, message, digest).at(at))
}

/// The address, and then every form field's name and value, sorted by name.
pub(super) fn mandrill<'a>(incoming: &Incoming<'a>, url: &str) -> Result<Claim<'a>, Refusal> {
    let digest = Headers(incoming.headers).decoded("x-mandrill-signature", "", base64)?;
    let mut pairs = form_pairs(incoming.content_type, incoming.body).ok_or(Refusal::Mismatch)?;
    pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
    let mut message = vec![Cow::Owned(url.as_bytes().to_vec())];
    message.extend(pairs.into_iter().flat_map(|(name, value)| [name, value]).map(|text| Cow::Owned(text.into_bytes())));
    Ok(Claim::of(Method::HmacSha1, message, digest))
}

/// A token signed with HS256 whose claims name their issuer and the body's SHA-256. Anything but HS256 is refused before it is
/// looked at further: a token may not choose how it is verified.
pub(super) fn netlify<'a>(incoming: &Incoming<'a>) -> Result<Claim<'a>, Refusal> {
    const NAME: &str = "x-webhook-signature";
    let malformed = || Refusal::Malformed(NAME.to_owned());
    let token = Headers(incoming.headers).one(NAME)?;
    let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
    let (head, claims) = signed.split_once('.').ok_or_else(malformed)?;
    let text = |part: &str| URL_SAFE_NO_PAD.decode(part).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (head, claims) = (text(head).ok_or_else(malformed)?, text(claims).ok_or_else(malformed)?);
    if json_member(head.as_bytes(), "alg").as_deref() != Some("HS256") {
        return Err(Refusal::Unsupported);
    }
    let hash = json_member(claims.as_bytes(), "sha256").ok_or_else(malformed)?;
    if json_member(claims.as_bytes(), "iss").as_deref() != Some("netlify") {
        return Err(malformed());
    }
    if !bool::from(hex(&Sha256::digest(incoming.body)).as_bytes().ct_eq(hash.to_ascii_lowercase().as_bytes())) {
        return Err(Refusal::Mismatch);
    }
    let proof = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?;
    Ok(Claim::of(Method::HmacSha256, vec![Cow::Borrowed(signed.as_bytes())], proof))
}

/// `{timestamp}{body}`.
pub(super) fn sendgrid<'a>(incoming: &Incoming<'a>) -> Result<Claim<'a>, Refusal> {
    const NAME: &str = "x-twilio-email-event-webhook-timestamp";
    let headers = Headers(incoming.headers);
    let (timestamp, at) = instant(headers.one(NAME)?, NAME, SECOND_US)?;
    let proof = headers.decoded("x-twilio-email-event-webhook-signature", "", base64)?;
    let message = vec![Cow::Borrowed(timestamp.as_bytes()), Cow::Borrowed(incoming.body)];
    Ok(Claim::of(Method::EcdsaP256, message, proof).at(at))
}

/// `{timestamp}{token}` and nothing of the event, so the token is the delivery's id: who pastes it on another event repeats it.
pub(super) fn mailgun<'a>(incoming: &Incoming<'a>) -> Result<Claim<'a>, Refusal> {
    let missing = || Refusal::InBody("signature".to_owned());
    let block = json_member(incoming.body, "signature").ok_or_else(missing)?;
    let member = |name: &str| json_member(block.as_bytes(), name).ok_or_else(missing);
    let (timestamp, token, signature) = (member("timestamp")?, member("token")?, member("signature")?);
    let (_, at) = instant(&timestamp, "signature", SECOND_US).map_err(|_| missing())?;
    let proof = unhex(&signature).ok_or_else(missing)?;
    let message = vec![Cow::Owned(timestamp.into_bytes()), Cow::Owned(token.clone().into_bytes())];
    Ok(Claim { id: Some(token), covers_body: false, ..Claim::of(Method::HmacSha256, message, proof).at(at) })
}

pub(super) fn body_secret<'a>(incoming: &Incoming<'a>, field: &str) -> Result<Claim<'a>, Refusal> {
    let shown = json_member(incoming.body, field).ok_or_else(|| Refusal::InBody(field.to_owned()))?;
    Ok(Claim::same(shown.into_bytes()))
}

pub(super) fn basic<'a>(incoming: &Incoming<'a>) -> Result<Claim<'a>, Refusal> {
    const NAME: &str = "authorization";
    let credentials = Headers(incoming.headers).one(NAME)?;
    let shown = credentials.split_once(' ').filter(|(kind, _)| kind.eq_ignore_ascii_case("basic"));
    let shown = shown.and_then(|(_, text)| base64(text.trim())).ok_or_else(|| Refusal::Malformed(NAME.to_owned()))?;
    Ok(Claim::same(shown))
}
