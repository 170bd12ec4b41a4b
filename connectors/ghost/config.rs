use headwater_sdk::{Error, ErrorKind, Result, SecretRef};
use schemars::JsonSchema;
use serde::Deserialize;

/// What Ghost gives at most per page, whatever is asked for.
const MAX_PAGE_SIZE: usize = 100;

/// A Ghost publication.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// The address of the site as Ghost itself knows it, such as `https://news.example.com`.
    pub url: String,
    /// The Admin API key of a custom integration, as `id:secret` in the form Ghost shows it.
    pub admin_key: SecretRef,
    /// Members per request, 1 to 100. Default: 100.
    #[serde(default = "default_page_size")]
    #[schemars(range(min = 1, max = 100))]
    pub page_size: usize,
    /// Whether to read how members came (referrer, utm): one more request per page. Default: true.
    #[serde(default = "default_attribution")]
    pub attribution: bool,
}

impl Config {
    /// The page size, if Ghost would obey it: above its bound it silently gives another.
    pub(super) fn page_size(&self) -> Result<usize> {
        if (1..=MAX_PAGE_SIZE).contains(&self.page_size) {
            return Ok(self.page_size);
        }
        Err(Error::new(ErrorKind::Config, "page_size must be between 1 and 100").context("path", "page_size"))
    }
}

fn default_page_size() -> usize {
    MAX_PAGE_SIZE
}

fn default_attribution() -> bool {
    true
}
