//! The settings.

use headwater_sdk::SecretRef;
use schemars::JsonSchema;
use serde::Deserialize;

/// Which table to write.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SinkConfig {
    /// Where the database is: `postgres://user:password@host:port/database`, as a reference since it holds the password.
    pub(crate) url: SecretRef,
    /// The schema that holds the table.
    #[serde(default = "public")]
    pub(crate) schema: String,
    /// The table.
    pub(crate) table: String,
    /// Whether to make the table, and columns it lacks, as text. Without it a missing one is an error.
    #[serde(default)]
    pub(crate) create: bool,
}

fn public() -> String {
    "public".to_owned()
}
