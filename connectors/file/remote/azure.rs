//! Azure Blob Storage: a shared access signature in the query.

use headwater_sdk::http::Url;
use headwater_sdk::http::header::{HeaderMap, HeaderName, HeaderValue};
use headwater_sdk::{Error, ErrorKind, Result, Secret};

/// The version of the protocol that the answers are read by.
const VERSION: HeaderValue = HeaderValue::from_static("2021-08-06");

/// The URL with the signature, and the headers that go with it.
pub(super) fn sign(sas: Option<&Secret>, mut url: Url, headers: &mut HeaderMap) -> Result<Url> {
    headers.insert(HeaderName::from_static("x-ms-version"), VERSION);
    if let Some(sas) = sas {
        let token = sas.expose_str().trim_start_matches('?');
        if !token.contains("sig=") {
            return Err(Error::new(ErrorKind::Config, "the shared access signature has no `sig=`")
                .context("path", "storage.sas")
                .hint("copy the whole token: it begins with `sv=` or `?sv=`"));
        }
        let query = match url.query() {
            Some(query) => format!("{query}&{token}"),
            None => token.to_owned(),
        };
        url.set_query(Some(&query));
    }
    Ok(url)
}
