//! The HTTP client every connector uses.
//!
//! Purpose: one place for what each API client gets wrong on its own: bounds, retries, rate budgets, redirects and logs.
//!
//! Invariants:
//! - Only the base URL's host is ever called, on its port; a redirect elsewhere is an error. A private or loopback address is
//!   called only if the settings allow it, also when a public name resolves to one.
//! - A body is never larger in memory than `max_body_bytes`, counted after decompression.
//! - A request that is not idempotent is sent once.
//! - Logs, errors and metrics know the path's template, never its values, the query or a body.
//!
//! ```
//! # use headwater_sdk::http::{HttpClient, HttpSettings, RequestSpec};
//! # async fn example(cx: &headwater_sdk::BuildContext) -> headwater_sdk::Result<()> {
//! let base = headwater_sdk::http::base_url("https://api.example.com/v1")?;
//! let client = HttpClient::new(HttpSettings::new(base, cx))?;
//! let request = RequestSpec::get("/lists/{list}/members").param("list", "a/b").query("count", "100");
//! let members = client.json(&request).await?;
//! # drop(members);
//! # Ok(())
//! # }
//! ```

mod account;
mod client;
mod error;
mod guard;
mod pause;
mod request;
mod settings;
#[cfg(test)]
mod tests;
mod window;

pub use account::{Account, InFlight, Slots, share_accounts};
pub use client::{HttpClient, HttpResponse};
pub use error::HttpError;
#[cfg(feature = "testkit")]
pub(crate) use error::retry_after;
pub use pause::Pause;
pub use request::{Body, RequestSpec};
pub use reqwest::{Method, StatusCode, header};
pub use settings::{Authorize, Budget, HttpSettings, Overload, Rate, base_url};
pub use url::Url;
pub use window::wait_for_window;
