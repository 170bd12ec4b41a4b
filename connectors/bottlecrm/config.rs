//! The settings.

use headwater_sdk::{Error, ErrorKind, Result, SecretRef};
use schemars::JsonSchema;
use serde::Deserialize;

/// Which CRM to write into, and as what.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SinkConfig {
    /// Where the CRM is, for example `https://crm.example.com`.
    pub(crate) url: String,
    /// A personal access token (`bcrm_pat_…`) of a user who may see every record of the organisation; for `intake`, the webhook's key.
    pub(crate) token: SecretRef,
    /// What a prospect becomes.
    #[serde(default)]
    pub(crate) object: Object,
    /// For `intake`: the id of the lead webhook, which stands in its address.
    #[serde(default)]
    pub(crate) intake_id: Option<String>,
    /// The field that keeps our id: `source_ref`, or `cf_KEY` for a custom text field, which the CRM can search.
    #[serde(default = "source_ref")]
    pub(crate) id_field: String,
    /// Whether to make the custom field of `id_field` where the organisation lacks it; needs the token of an administrator.
    #[serde(default)]
    pub(crate) create_id_field: bool,
}

fn source_ref() -> String {
    "source_ref".to_owned()
}

/// What a prospect becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Object {
    /// Contacts: people.
    #[default]
    Contacts,
    /// Leads: enquiries, which the CRM's users work on and convert.
    Leads,
    /// Leads that the CRM takes in through a lead webhook of its own, and of which it tells one that comes twice by our id.
    Intake,
    /// Accounts: companies; what `companies` of a sink makes.
    #[serde(skip)]
    Accounts,
    /// Tasks; what `tasks` of a sink makes.
    #[serde(skip)]
    Tasks,
}

/// Where our id is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IdField {
    /// The reference, as `hw:ID`. The CRM cannot search it.
    SourceRef,
    /// The custom field with this key, as the bare id.
    Custom(String),
}

impl IdField {
    /// # Errors
    /// `Config` when the text names no such field.
    pub(super) fn parse(text: &str) -> Result<Self> {
        match text.strip_prefix("cf_") {
            None if text == "source_ref" => Ok(Self::SourceRef),
            Some(key) if !key.is_empty() => Ok(Self::Custom(key.to_owned())),
            None | Some(_) => Err(Error::new(ErrorKind::Config, format!("`{text}` cannot keep our id"))
                .context("path", "id_field")
                .hint("set `id_field: source_ref`, or `id_field: cf_KEY` with the key of a custom text field")),
        }
    }
}
