//! What a project file says about signatures.

use std::fmt;
use std::num::NonZeroU32;

use headwater_sdk::SecretRef;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// How a delivery proves where it comes from. A `secret` may be a list: all of them verify, so that one can be changed without losing
/// a delivery; so do `previous_secrets`. Take the old one out when the sender has the new one.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Signature {
    /// HTTP basic authentication, with a user and a password that stand in the address given to the sender: Postmark, Netlify and
    /// other tools that sign nothing.
    Basic(Basic),
    /// A secret that stands in the body: Google Ads (`field: google_key`), Smartlead (`field: secret_key`).
    BodySecret(BodySecret),
    /// Customer.io: `X-CIO-Signature`, the hex HMAC-SHA256 of `v0:<seconds>:<body>`, and `X-CIO-Timestamp`.
    Customerio(Timed),
    /// Formspree: `Formspree-Signature: t=<seconds>,v1=<hex>` over `<seconds>.<body>`.
    Formspree(Timed),
    /// Ghost: `X-Ghost-Signature: sha256=<hex>, t=<milliseconds>` over the body and the time.
    Ghost(Timed),
    /// Any sender that puts the base64 HMAC-SHA256 of the body into a header.
    HmacBase64(Header),
    /// Any sender that puts the hex HMAC-SHA256 of the body into a header, as GitHub and MailerLite do.
    HmacHex(Header),
    /// HubSpot: a signature over method, address and body with the app's client secret.
    Hubspot(Hubspot),
    /// Klaviyo: `Klaviyo-Signature`, the hex HMAC-SHA256 of the body and then `Klaviyo-Timestamp`.
    Klaviyo(Timed),
    /// LinkedIn: `X-LI-Signature` with the app's client secret, which also answers the hourly challenge.
    Linkedin(Keyed),
    /// Mailgun: `timestamp`, `token` and `signature` in the body. They do not cover the event, so each token counts once.
    Mailgun(Mailgun),
    /// Mandrill: `X-Mandrill-Signature`, the base64 HMAC-SHA1 of the address and the sorted form fields.
    Mandrill(AddressBound),
    /// Mautic: `Webhook-Signature`, the base64 HMAC-SHA256 of the body.
    Mautic(Keyed),
    /// Meta: `X-Hub-Signature-256` with the app's secret; the verify token answers the subscription's challenge.
    Meta(Meta),
    /// Netlify: `X-Webhook-Signature`, a token signed with HS256 that holds the body's SHA-256.
    Netlify(Keyed),
    /// A sender that signs nothing: plain HTML forms, Jotform, Paperform, Elementor.
    None(Unsigned),
    /// SendGrid's event webhook: an ECDSA P-256 signature over time and body. The `secret` is the verification key it shows.
    Sendgrid(Timed),
    /// Standard Webhooks and Svix: `webhook-id`, `webhook-timestamp`, `webhook-signature` (or `svix-…`). A secret `whsec_…` verifies
    /// symmetric signatures (`v1`), a public key `whpk_…` asymmetric ones (`v1a`).
    StandardWebhooks(Timed),
    /// Tally: `Tally-Signature`, the base64 HMAC-SHA256 of the body.
    Tally(Keyed),
    /// Typeform: `Typeform-Signature: sha256=` and the base64 HMAC-SHA256 of the body.
    Typeform(Keyed),
    /// Webflow: `x-webflow-signature`, the hex HMAC-SHA256 of `<milliseconds>:<body>`, and `x-webflow-timestamp`.
    Webflow(Timed),
}

/// A secret alone.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keyed {
    /// The secret; a list while it is changed.
    pub secret: Secrets,
    /// Secrets that were replaced and still verify.
    #[serde(default)]
    pub previous_secrets: Vec<SecretRef>,
}

/// A secret, where a time is signed too.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// The secret; a list while it is changed.
    pub secret: Secrets,
    /// Secrets that were replaced and still verify.
    #[serde(default)]
    pub previous_secrets: Vec<SecretRef>,
    /// How old or how far ahead a delivery's timestamp may be, in seconds.
    #[serde(default = "default_tolerance_secs")]
    pub tolerance_secs: NonZeroU32,
}

/// Mailgun's secret.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mailgun {
    /// The account's webhook signing key; a list while it is changed.
    pub secret: Secrets,
    /// Secrets that were replaced and still verify.
    #[serde(default)]
    pub previous_secrets: Vec<SecretRef>,
    /// How old or how far ahead a delivery's timestamp may be, in seconds. Mailgun tries again for eight hours, and a token counts
    /// once in any case.
    #[serde(default = "half_a_day_secs")]
    pub tolerance_secs: NonZeroU32,
}

/// A secret and the header that holds the signature.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The header's name, such as `X-Hub-Signature-256`.
    pub header: String,
    /// What stands before the digits, such as `sha256=`.
    #[serde(default)]
    pub prefix: String,
    /// The secret; a list while it is changed.
    pub secret: Secrets,
    /// Secrets that were replaced and still verify.
    #[serde(default)]
    pub previous_secrets: Vec<SecretRef>,
}

/// A secret in the body.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodySecret {
    /// The member of the body that holds it, such as `google_key`.
    pub field: String,
    /// The secret; a list while it is changed.
    pub secret: Secrets,
    /// Secrets that were replaced and still verify.
    #[serde(default)]
    pub previous_secrets: Vec<SecretRef>,
}

/// A user and a password.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// The user's name.
    pub username: String,
    /// The password; a list while it is changed.
    pub password: Secrets,
}

/// A secret, where the address is signed too.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressBound {
    /// The secret; a list while it is changed.
    pub secret: Secrets,
    /// Secrets that were replaced and still verify.
    #[serde(default)]
    pub previous_secrets: Vec<SecretRef>,
    /// The address as it was given to the sender, which signs it: behind a proxy only you know it.
    pub url: String,
}

/// HubSpot's secret.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hubspot {
    /// The app's client secret; a list while it is changed.
    pub secret: Secrets,
    /// Secrets that were replaced and still verify.
    #[serde(default)]
    pub previous_secrets: Vec<SecretRef>,
    /// The address as it was given to HubSpot, which signs it: behind a proxy only you know it.
    pub url: String,
    /// Which of HubSpot's signatures must be there. The older two sign no time, so an old delivery is told by its content alone.
    #[serde(default)]
    pub version: HubspotVersion,
    /// How old or how far ahead a delivery's timestamp may be, in seconds; `v3` only.
    #[serde(default = "default_tolerance_secs")]
    pub tolerance_secs: NonZeroU32,
}

/// The version of HubSpot's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HubspotVersion {
    /// `X-HubSpot-Signature`: SHA-256 of secret and body; the subscriptions of apps.
    V1,
    /// `X-HubSpot-Signature`: SHA-256 of secret, method, address and body; the webhooks of workflows.
    V2,
    /// `X-HubSpot-Signature-v3`: HMAC-SHA256 of method, address, body and time.
    #[default]
    V3,
}

/// Meta's secrets.
#[derive(Debug, Clone, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// The app's secret; a list while it is changed.
    pub secret: Secrets,
    /// Secrets that were replaced and still verify.
    #[serde(default)]
    pub previous_secrets: Vec<SecretRef>,
    /// The text that is also typed in as "verify token" where the webhook is set up.
    pub verify_token: SecretRef,
}

/// No signature.
#[derive(Debug, Clone, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unsigned {
    /// A long random text that makes the address unguessable: `/in/<source>/<token>`; a list while it is changed. Without it anybody
    /// may post, as on any public page; such deliveries are marked unsigned and limited in number.
    #[serde(default)]
    pub token: Option<Secrets>,
}

/// Five minutes, as Standard Webhooks advises.
fn default_tolerance_secs() -> NonZeroU32 {
    const SECS: NonZeroU32 = NonZeroU32::new(300).unwrap();
    SECS
}

fn half_a_day_secs() -> NonZeroU32 {
    const SECS: NonZeroU32 = NonZeroU32::new(43_200).unwrap();
    SECS
}

/// One secret, or several of which each verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets(pub Vec<SecretRef>);

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Secrets;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a reference to a secret, `{ env: NAME }` or `{ file: PATH }`, or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secrets, E> {
                SecretRef::deserialize(de::value::StrDeserializer::new(text)).map(|one| Secrets(vec![one]))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secrets, A::Error> {
                SecretRef::deserialize(MapAccessDeserializer::new(map)).map(|one| Secrets(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Secrets, A::Error> {
                let mut all = Vec::new();
                while let Some(reference) = items.next_element()? {
                    all.push(reference);
                }
                if all.is_empty() { Err(de::Error::invalid_length(0, &self)) } else { Ok(Secrets(all)) }
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Secrets {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secrets".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<SecretRef>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}
