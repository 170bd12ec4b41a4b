//! The settings of an `intake` source.

use std::num::{NonZeroU32, NonZeroUsize};

use headwater_model::mapping::Role;
use headwater_sdk::SecretRef;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _};

use super::provider::Provider;
use super::signature::Signature;

/// The settings of a source that web forms are posted to.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntakeConfig {
    /// How a delivery proves where it comes from.
    pub signature: Signature,
    /// Who posts; by default a form tool is recognised from each body. What an email tool posts is no lead, so such a source names it.
    #[serde(default, alias = "format")]
    pub provider: Format,
    /// Where the answers are asked for that a delivery only names: `meta`, `linkedin`, and `hubspot`'s subscriptions.
    #[serde(default)]
    pub fetch: Option<FetchConfig>,
    /// Where a browser is sent after a plain form post: an absolute http or https address. Without it a short thank-you page is
    /// shown. The address is never taken from the request.
    #[serde(default)]
    pub redirect: Option<String>,
    /// The name of a form field that people do not see: a submission that fills it is kept, but goes to quarantine.
    #[serde(default)]
    pub honeypot: Option<String>,
    /// The largest body that is taken, in bytes. Default: what the provider is known to send, else 262144: forms are small, and
    /// well-behaved senders stay under 20 kB.
    #[serde(default)]
    pub max_body_bytes: Option<NonZeroUsize>,
    /// How many deliveries a minute an unsigned source without a token takes; the rest is told to come back.
    #[serde(default = "default_unsigned_per_minute")]
    pub unsigned_per_minute: NonZeroU32,
    /// Whether deliveries are put off for now. Senders are told to try again later, so none gives up on us.
    #[serde(default)]
    pub paused: bool,
}

/// The largest body of a form.
const MAX_BODY_BYTES: usize = 256 * 1024;

impl IntakeConfig {
    /// The largest body that is taken, in bytes.
    #[must_use]
    pub fn max_body_bytes(&self) -> usize {
        let known = self.provider.provider().and_then(|provider| provider.max_body_bytes);
        self.max_body_bytes.map(NonZeroUsize::get).or(known).unwrap_or(MAX_BODY_BYTES)
    }
}

fn default_unsigned_per_minute() -> NonZeroU32 {
    const PER_MINUTE: NonZeroU32 = NonZeroU32::new(120).unwrap();
    PER_MINUTE
}

/// Where the answers are asked for that a delivery only names.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FetchConfig {
    /// A token that may read them: Meta's of the Page, LinkedIn's of the app, HubSpot's of a private app.
    pub access_token: SecretRef,
    /// The address of the API, where it is another than the vendor's.
    #[serde(default)]
    pub url: Option<String>,
}

/// Who posts to a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Recognised from each body.
    #[default]
    Auto,
    /// Nobody we know: any JSON object, or a list of them; also the `type`, `timestamp`, `data` envelope of Standard Webhooks.
    Json,
    /// Nobody we know: a plain HTML form post.
    Form,
    /// A sender we know.
    Of(&'static Provider),
}

impl Format {
    const WORDS: [(&'static str, Self); 3] = [("auto", Self::Auto), ("json", Self::Json), ("form", Self::Form)];

    /// The format of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let word = Self::WORDS.into_iter().find(|(word, _)| *word == name).map(|(_, format)| format);
        word.or_else(|| Provider::named(name).map(Self::Of))
    }

    /// The sender, where the settings name one.
    #[must_use]
    pub fn provider(self) -> Option<&'static Provider> {
        match self {
            Self::Of(provider) => Some(provider),
            Self::Auto | Self::Json | Self::Form => None,
        }
    }

    /// Whether what comes is what people did with messages.
    pub(super) fn is_events(self) -> bool {
        self.provider().is_some_and(|provider| provider.role == Role::Engagements)
    }

    fn names() -> Vec<&'static str> {
        Self::WORDS.iter().map(|(word, _)| *word).chain(Provider::all().iter().map(|provider| provider.name)).collect()
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name)
            .ok_or_else(|| D::Error::custom(format!("`{name}` is no provider; there are {}", Self::names().join(", "))))
    }
}

impl JsonSchema for Format {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Format".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Self::names() })
    }
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
        let Signature::StandardWebhooks(settings) = config.signature else { panic!() };
        assert_eq!((settings.tolerance_secs.get(), settings.previous_secrets.len()), (300, 0));
        for wrong in [
            r#"{"signature":{"type":"typeform"}}"#,
            r#"{"signature":{"secret":{"env":"S"}}}"#,
            r#"{"signature":{"type":"typeform","secret":{"env":"S"},"tolerance_secs":3}}"#,
            r#"{"signature":{"type":"typeform","secret":"plain text"}}"#,
            r#"{"signature":{"type":"typeform","secret":["plain text"]}}"#,
            r#"{"signature":{"type":"typeform","secret":[]}}"#,
            r#"{"signature":{"type":"none"},"provider":"typo"}"#,
            r#"{"signature":{"type":"none","tokn":{"env":"S"}}}"#,
            r#"{"signature":{"type":"none"},"redirects":"https://example.com"}"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn defaults_are_bounded() {
        let config = parse(r#"{"signature":{"type":"none"}}"#).unwrap();
        assert_eq!((config.max_body_bytes(), config.unsigned_per_minute.get()), (256 * 1024, 120));
        assert!(!config.paused && config.provider == Format::Auto);
    }

    #[test]
    fn a_secret_may_be_a_list_and_a_provider_stands_under_its_name() {
        let config =
            parse(r#"{"signature":{"type":"tally","secret":[{"env":"NEW"},{"env":"OLD"}]},"provider":"tally"}"#).unwrap();
        let Signature::Tally(settings) = config.signature else { panic!() };
        assert_eq!(settings.secret.0.len(), 2);
        assert_eq!(config.provider.provider().map(|provider| provider.name), Some("tally"));
        let events = parse(r#"{"signature":{"type":"none"},"provider":"mandrill"}"#).unwrap();
        assert!(events.max_body_bytes() > MAX_BODY_BYTES);
    }
}
