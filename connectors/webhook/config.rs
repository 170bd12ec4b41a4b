//! The settings.

use std::num::{NonZeroU16, NonZeroU32};

use headwater_sdk::SecretRef;
use schemars::JsonSchema;
use serde::Deserialize;

/// Where to post events, and how they are signed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SinkConfig {
    /// The address that takes the events, such as `https://hooks.example.com/people`.
    pub(crate) url: String,
    /// What events are signed with: `whsec_` and base64.
    pub(crate) secret: SecretRef,
    /// Secrets that the receiver may still go by while it changes to the new one: events are signed with these as well.
    #[serde(default)]
    pub(crate) previous_secrets: Vec<SecretRef>,
    /// How many people one event tells of. With 1, each has an event of their own.
    #[serde(default = "one")]
    pub(crate) batch_rows: NonZeroU16,
    /// Requests in ten seconds.
    #[serde(default = "requests_per_10s")]
    pub(crate) requests_per_10s: NonZeroU32,
}

fn one() -> NonZeroU16 {
    NonZeroU16::MIN
}

fn requests_per_10s() -> NonZeroU32 {
    const TEN_A_SECOND: NonZeroU32 = NonZeroU32::new(100).unwrap();
    TEN_A_SECOND
}
