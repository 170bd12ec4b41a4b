use headwater_sdk::{Error, ErrorKind, Result, SecretRef};
use schemars::JsonSchema;
use serde::Deserialize;

/// The most that Mailchimp gives per page.
const MAX_PAGE_SIZE: usize = 1_000;
const PAGE_SIZE: usize = 500;
/// Mails are opened and clicked for weeks after a campaign.
const ACTIVITY_DAYS: u16 = 90;

/// A Mailchimp account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// An API key with its data centre, such as `…-us1`.
    pub api_key: SecretRef,
    /// The address of the API, where it is not the one that the key's data centre names.
    #[serde(default)]
    pub server_url: Option<String>,
    /// The audiences to read, by id. Default: all.
    #[serde(default)]
    pub list_ids: Vec<String>,
    /// Merge fields to read besides FNAME, LNAME, PHONE, COMPANY and ADDRESS, by tag; each becomes a field of that name.
    #[serde(default)]
    pub merge_fields: Vec<String>,
    /// Records per request, 1 to 1000. Default: 500.
    #[serde(default = "default_page_size")]
    #[schemars(range(min = 1, max = 1000))]
    pub page_size: usize,
    /// For how many days after its sending a campaign's opens, clicks and bounces are read: one request at least per campaign
    /// and run. Default: 90.
    #[serde(default = "default_activity_days")]
    pub activity_days: u16,
}

impl Config {
    /// The settings, if their values are within bounds.
    pub(super) fn checked(self) -> Result<Self> {
        if (1..=MAX_PAGE_SIZE).contains(&self.page_size) {
            return Ok(self);
        }
        Err(Error::new(ErrorKind::Config, "page_size must be between 1 and 1000").context("path", "page_size"))
    }
}

fn default_page_size() -> usize {
    PAGE_SIZE
}

fn default_activity_days() -> u16 {
    ACTIVITY_DAYS
}
