//! The settings of an `intake` source.

use std::num::{NonZeroU32, NonZeroUsize};

use headwater_sdk::SecretRef;
use schemars::JsonSchema;
use serde::Deserialize;

/// The settings of a source that web forms are posted to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntakeConfig {
    /// How a delivery proves where it comes from.
    pub signature: Signature,
    /// The shape of the bodies; by default it is recognised from each body.
    #[serde(default)]
    pub format: Format,
    /// Where a browser is sent after a plain form post: an absolute http or https address. Without it a short thank-you page is
    /// shown. The address is never taken from the request.
    #[serde(default)]
    pub redirect: Option<String>,
    /// The name of a form field that people do not see: a submission that fills it is kept, but goes to quarantine.
    #[serde(default)]
    pub honeypot: Option<String>,
    /// The largest body that is taken, in bytes. Forms are small: well-behaved senders stay under 20 kB.
    #[serde(default = "default_max_body_bytes")]
    pub max_body_bytes: NonZeroUsize,
    /// How many deliveries a minute an unsigned source without a token takes; the rest is told to come back.
    #[serde(default = "default_unsigned_per_minute")]
    pub unsigned_per_minute: NonZeroU32,
    /// Whether deliveries are put off for now. Senders are told to try again later, so none gives up on us.
    #[serde(default)]
    pub paused: bool,
}

fn default_max_body_bytes() -> NonZeroUsize {
    const BYTES: NonZeroUsize = NonZeroUsize::new(256 * 1024).unwrap();
    BYTES
}

fn default_unsigned_per_minute() -> NonZeroU32 {
    const PER_MINUTE: NonZeroU32 = NonZeroU32::new(120).unwrap();
    PER_MINUTE
}

/// How a delivery proves where it comes from. `previous_secrets` still verify, so that a secret can be changed without losing a
/// delivery; take them out when the sender has the new one.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Signature {
    /// Typeform: `Typeform-Signature: sha256=` and the base64 HMAC-SHA256 of the body.
    Typeform {
        /// The webhook's secret.
        secret: SecretRef,
        /// Secrets that were replaced and still verify.
        #[serde(default)]
        previous_secrets: Vec<SecretRef>,
    },
    /// Standard Webhooks and Svix: `webhook-id`, `webhook-timestamp`, `webhook-signature` (or `svix-…`), symmetric signatures (`v1`).
    StandardWebhooks {
        /// The secret: `whsec_` and base64.
        secret: SecretRef,
        /// Secrets that were replaced and still verify.
        #[serde(default)]
        previous_secrets: Vec<SecretRef>,
        /// How old or how far ahead a delivery's timestamp may be, in seconds.
        #[serde(default = "default_tolerance_secs")]
        tolerance_secs: NonZeroU32,
    },
    /// Ghost: `X-Ghost-Signature: sha256=<hex>, t=<milliseconds>` over the body and the time.
    Ghost {
        /// The webhook's secret.
        secret: SecretRef,
        /// Secrets that were replaced and still verify.
        #[serde(default)]
        previous_secrets: Vec<SecretRef>,
        /// How old or how far ahead a delivery's timestamp may be, in seconds.
        #[serde(default = "default_tolerance_secs")]
        tolerance_secs: NonZeroU32,
    },
    /// Tally: `Tally-Signature`, the base64 HMAC-SHA256 of the body.
    Tally {
        /// The signing secret.
        secret: SecretRef,
        /// Secrets that were replaced and still verify.
        #[serde(default)]
        previous_secrets: Vec<SecretRef>,
    },
    /// Webflow: `x-webflow-signature`, the hex HMAC-SHA256 of `<milliseconds>:<body>`, and `x-webflow-timestamp`.
    Webflow {
        /// The webhook's secret key.
        secret: SecretRef,
        /// Secrets that were replaced and still verify.
        #[serde(default)]
        previous_secrets: Vec<SecretRef>,
        /// How old or how far ahead a delivery's timestamp may be, in seconds.
        #[serde(default = "default_tolerance_secs")]
        tolerance_secs: NonZeroU32,
    },
    /// Formspree: `Formspree-Signature: t=<seconds>,v1=<hex>` over `<seconds>.<body>`.
    Formspree {
        /// The webhook's signing secret.
        secret: SecretRef,
        /// Secrets that were replaced and still verify.
        #[serde(default)]
        previous_secrets: Vec<SecretRef>,
        /// How old or how far ahead a delivery's timestamp may be, in seconds.
        #[serde(default = "default_tolerance_secs")]
        tolerance_secs: NonZeroU32,
    },
    /// Any sender that puts the hex HMAC-SHA256 of the body into a header, as GitHub and Meta do.
    HmacHex {
        /// The header's name, such as `X-Hub-Signature-256`.
        header: String,
        /// What stands before the hex digits, such as `sha256=`.
        #[serde(default)]
        prefix: String,
        /// The secret.
        secret: SecretRef,
        /// Secrets that were replaced and still verify.
        #[serde(default)]
        previous_secrets: Vec<SecretRef>,
    },
    /// A sender that signs nothing: plain HTML forms, Jotform, Paperform, Elementor.
    None {
        /// A long random text that makes the address unguessable: `/in/<source>/<token>`. Without it anybody may post, as on
        /// any public page; such deliveries are marked unsigned and limited in number.
        #[serde(default)]
        token: Option<SecretRef>,
    },
}

/// Five minutes, as Standard Webhooks advises.
fn default_tolerance_secs() -> NonZeroU32 {
    const SECS: NonZeroU32 = NonZeroU32::new(300).unwrap();
    SECS
}

/// The shape of a source's bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Recognised from each body.
    #[default]
    Auto,
    /// Any JSON object, or a list of them; also the `type`, `timestamp`, `data` envelope of Standard Webhooks.
    Json,
    /// A plain HTML form post.
    Form,
    /// Typeform's `form_response`.
    Typeform,
    /// Tally's `FORM_RESPONSE`.
    Tally,
    /// Ghost's `member.added`, `member.edited` and `member.deleted`.
    Ghost,
    /// Webflow's form submissions, in both shapes that are alive.
    Webflow,
    /// Jotform's multipart post.
    Jotform,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<IntakeConfig, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn a_signature_needs_its_type_and_only_its_own_keys() {
        let config = parse(r#"{"signature":{"type":"standard_webhooks","secret":{"env":"S"}}}"#).unwrap();
        let Signature::StandardWebhooks { tolerance_secs, previous_secrets, .. } = config.signature else { panic!() };
        assert_eq!((tolerance_secs.get(), previous_secrets.len()), (300, 0));
        for wrong in [
            r#"{"signature":{"type":"typeform"}}"#,
            r#"{"signature":{"secret":{"env":"S"}}}"#,
            r#"{"signature":{"type":"typeform","secret":{"env":"S"},"tolerance_secs":3}}"#,
            r#"{"signature":{"type":"typeform","secret":"plain text"}}"#,
            r#"{"signature":{"type":"none","tokn":{"env":"S"}}}"#,
            r#"{"signature":{"type":"none"},"redirects":"https://example.com"}"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn defaults_are_bounded() {
        let config = parse(r#"{"signature":{"type":"none"}}"#).unwrap();
        assert_eq!((config.max_body_bytes.get(), config.unsigned_per_minute.get()), (256 * 1024, 120));
        assert!(!config.paused && config.format == Format::Auto);
    }
}
