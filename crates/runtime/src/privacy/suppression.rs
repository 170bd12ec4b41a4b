//! Suppression: people who must not be held, known by keyed hashes only.

use headwater_model::suppression::{Hasher, Kind, NORMALISER_VERSION};
use headwater_model::{email, phone};
use headwater_store::{AuditEntry, LedgerOp, Suppression, SuppressionKind};

use crate::engine::{Engine, hex};
use crate::error::{Error, Result};

/// The version of the key that new hashes are made with.
const KEY_VERSION: i64 = 1;

/// What a suppression did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Suppressed {
    /// Addresses and numbers given.
    pub given: u64,
    /// Of them, those not known before; for a removal, those taken back.
    pub changed: u64,
}

/// Suppresses people by address or number. Nothing of the values is kept but keyed hashes. `origin` says where the wish came from.
///
/// # Errors
/// When a value is neither an address nor an international number; then nothing is suppressed. The message holds its place in the
/// list, not the value.
pub async fn suppress(engine: &Engine, values: &[String], reason: &str, origin: &str) -> Result<Suppressed> {
    let now = engine.clock().now_us();
    let mut commit = engine.store.commit(origin, now);
    let mut known = engine.store.suppression_set().await?;
    let mut changed = 0;
    for (kind, hmac) in hashes(&engine.suppression_hasher().await?, values)? {
        changed += u64::from(known.insert(hmac.clone()));
        commit.ledger(LedgerOp::Audit(AuditEntry {
            actor: origin.to_owned(),
            action: "suppress".to_owned(),
            subject_hmac: Some(hmac.clone()),
            detail: reason.to_owned(),
        }));
        commit.ledger(suppression(kind, hmac, reason, (origin, now)));
    }
    commit.execute().await?;
    Ok(Suppressed { given: values.len() as u64, changed })
}

/// The entry that keeps whoever has this hash out.
pub(super) fn suppression(kind: SuppressionKind, hmac: String, reason: &str, (origin, now): (&str, i64)) -> LedgerOp {
    LedgerOp::Suppress(Suppression {
        hmac,
        kind,
        key_version: KEY_VERSION,
        normaliser_version: NORMALISER_VERSION,
        scope: "all".to_owned(),
        reason: reason.to_owned(),
        requested_at: now,
        origin: origin.to_owned(),
    })
}

/// Takes suppressions back.
///
/// # Errors
/// As [`suppress`].
pub async fn unsuppress(engine: &Engine, values: &[String]) -> Result<Suppressed> {
    let hasher = engine.suppression_hasher().await?;
    let hashes: Vec<String> = hashes(&hasher, values)?.into_iter().map(|(_, hash)| hash).collect();
    let changed = engine.store.remove_suppressions(&hashes).await?;
    Ok(Suppressed { given: values.len() as u64, changed })
}

/// Whether this address or number is suppressed; nothing when it is neither.
///
/// # Errors
/// When the store cannot be read.
pub async fn is_suppressed(engine: &Engine, value: &str) -> Result<bool> {
    let Ok(hashes) = hashes(&engine.suppression_hasher().await?, &[value.to_owned()]) else { return Ok(false) };
    let known = engine.store.suppression_set().await?;
    Ok(hashes.iter().any(|(_, hash)| known.contains(hash)))
}

/// The keyed hashes of addresses and numbers, in their order.
pub(super) fn hashes(hasher: &Hasher, values: &[String]) -> Result<Vec<(SuppressionKind, String)>> {
    let hash = |(index, value): (usize, &String)| {
        if let Some(address) = email::normalise(value) {
            return Ok((SuppressionKind::Email, hex(&hasher.hash(Kind::Email, &address))));
        }
        if let Some(number) = phone::normalise(value, None) {
            return Ok((SuppressionKind::Phone, hex(&hasher.hash(Kind::Phone, &number))));
        }
        Err(Error::Usage(format!(
            "value {} is neither an e-mail address nor a phone number with its country code (+49…); nothing was suppressed",
            index + 1
        )))
    };
    values.iter().enumerate().map(hash).collect()
}
