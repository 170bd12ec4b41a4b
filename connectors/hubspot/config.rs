//! The settings.

use std::num::NonZeroU32;

use headwater_sdk::SecretRef;
use schemars::JsonSchema;
use serde::Deserialize;

/// Which account to write into, and as what.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SinkConfig {
    /// The access token of a private app (`pat-…`) with the rights that the README names.
    pub(crate) token: SecretRef,
    /// What a prospect becomes.
    #[serde(default)]
    pub(crate) object: Object,
    /// The property that keeps our id. It must have unique values.
    #[serde(default = "id_property")]
    pub(crate) id_property: String,
    /// Whether to make `id_property` where the account lacks it.
    #[serde(default)]
    pub(crate) create_id_property: bool,
    /// Further text properties to make where the account lacks them, by the names that `map` has.
    #[serde(default)]
    pub(crate) create_properties: Vec<String>,
    /// Requests in ten seconds: 100 suits every plan, a private app of Professional or Enterprise may take 190.
    #[serde(default = "requests_per_10s")]
    pub(crate) requests_per_10s: NonZeroU32,
    /// Where the API is.
    #[serde(default = "url")]
    pub(crate) url: String,
}

fn id_property() -> String {
    "headwater_id".to_owned()
}

fn requests_per_10s() -> NonZeroU32 {
    const EVERY_PLAN: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");
    EVERY_PLAN
}

fn url() -> String {
    "https://api.hubapi.com".to_owned()
}

/// What a prospect becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Object {
    /// Contacts: people.
    #[default]
    Contacts,
    /// Companies.
    Companies,
    /// Tasks about contacts; what `tasks` of a sink makes.
    #[serde(skip)]
    Tasks,
}

impl Object {
    /// As the API's paths name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
            Self::Companies => "companies",
            Self::Tasks => "tasks",
        }
    }

    /// The group in which HubSpot shows the properties that we make.
    pub(super) fn property_group(self) -> &'static str {
        match self {
            Self::Contacts => "contactinformation",
            Self::Companies => "companyinformation",
            Self::Tasks => "task",
        }
    }

    /// What a record of it belongs to.
    pub(super) fn tie(self) -> Option<Tie> {
        match self {
            // HubSpot keeps the primary company in a property.
            Self::Contacts => Some(Tie { field: "associatedcompanyid", from: "contacts", to: "companies", is_property: true }),
            Self::Companies => None,
            Self::Tasks => Some(Tie { field: "contact", from: "tasks", to: "contacts", is_property: false }),
        }
    }
}

/// An association between records of two kinds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tie {
    /// The field of a row that names the other record.
    pub(super) field: &'static str,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    /// Whether a property of the record shows it.
    pub(super) is_property: bool,
}

impl Object {
    /// Whether it is the default, which has companions.
    pub(super) fn is_people(self) -> bool {
        self == Self::Contacts
    }
}
